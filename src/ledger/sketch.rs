//! How many distinct subjects there are, about, in a few kilobytes: HyperLogLog with 2^14 registers, a standard error of
//! 0.81 %. The stored form is that of Apache DataSketches, which has one for few subjects too, and does not change.

use datasketches::hll::{HllSketch, HllType, HllUnion};

/// The binary logarithm of the number of registers.
const PRECISION: u8 = 14;

/// What is stored is no sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sketch of distinct subjects")]
pub struct Damaged;

/// A sketch of a set of subjects.
#[derive(Clone, Debug)]
pub struct Sketch(HllSketch);

impl Default for Sketch {
    #[expect(clippy::expect_used, reason = "the precision is in the range that there is")]
    fn default() -> Self {
        Self(HllSketch::new(PRECISION, HllType::Hll6).expect("a precision of 4 to 21"))
    }
}

impl Sketch {
    /// Reads what [`stored`](Self::stored) wrote.
    ///
    /// # Errors
    ///
    /// For anything else, and for another precision.
    pub fn read(stored: &[u8]) -> Result<Self, Damaged> {
        let read = HllSketch::deserialize(stored).ok().filter(|sketch| sketch.lg_config_k() == PRECISION);
        read.map(Self).ok_or(Damaged)
    }

    /// The stored form.
    #[must_use]
    pub fn stored(&self) -> Vec<u8> {
        self.0.serialize()
    }

    /// Adds a subject.
    pub fn add(&mut self, pseudonym: &str) {
        self.0.update(pseudonym);
    }

    /// How many subjects are in any of them.
    #[expect(clippy::expect_used, reason = "the precision is in the range that there is")]
    pub fn distinct<'s>(sketches: impl IntoIterator<Item = &'s Self>) -> u64 {
        let mut union = HllUnion::new(PRECISION).expect("a precision of 4 to 21");
        for Self(sketch) in sketches {
            union.update(sketch);
        }
        rounded(union.estimate())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, far below 2^53")]
fn rounded(estimate: f64) -> u64 {
    estimate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: std::ops::Range<u32>) -> Sketch {
        let mut sketch = Sketch::default();
        range.for_each(|number| sketch.add(&number.to_string()));
        sketch
    }

    #[test]
    fn a_million_are_counted_within_two_percent_and_few_exactly() {
        let (one, two) = (of(0..700_000), of(300_000..1_000_000));
        let both = Sketch::distinct([&one, &two]);
        assert!((980_000..=1_020_000).contains(&both), "{both}");
        assert_eq!((Sketch::distinct([&of(0..3), &of(2..5)]), Sketch::distinct([])), (5, 0));
    }

    #[test]
    fn the_stored_form_stays_and_nothing_else_is_read() {
        let stored = of(0..2).stored();
        assert_eq!(hex::encode(&stored), "0201070e03080204b999db1401409705");
        let many = of(0..100_000);
        assert_eq!(Sketch::read(&many.stored()).unwrap().stored(), many.stored());
        let mut coarse = HllSketch::new(12, HllType::Hll6).unwrap();
        coarse.update("x");
        for damaged in [vec![], b"nonsense".to_vec(), many.stored()[..1_000].to_vec(), coarse.serialize()] {
            assert_eq!(Sketch::read(&damaged).map(drop), Err(Damaged));
        }
    }
}
