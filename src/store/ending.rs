//! A map whose entries end by themselves. What has ended is swept when the map has doubled since it was swept last, so
//! that it is never more than twice as large as what lives, and nobody waits for a timer.

/// Entries below which sweeping is not worth it.
const FEW: usize = 64;

/// When an entry ends.
pub(super) trait Ends {
    /// The first second, since 1970, at which it does not count any more.
    fn end(&self) -> i64;
}

/// Entries by name.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "looked up by name; nothing depends on the order")]
pub(super) struct Ending<V> {
    entries: std::collections::HashMap<super::Name, V>,
    sweep_at: usize,
}

impl<V> Default for Ending<V> {
    fn default() -> Self {
        Self { entries: Default::default(), sweep_at: FEW }
    }
}

impl<V: Ends> Ending<V> {
    pub(super) fn get(&self, name: &super::Name) -> Option<&V> {
        self.entries.get(name)
    }

    /// In no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&super::Name, &V)> {
        self.entries.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Puts it in place of what is there. `now`: seconds since 1970.
    pub(super) fn put(&mut self, name: super::Name, value: V, now: i64) {
        if self.entries.len() >= self.sweep_at {
            self.sweep(now);
        }
        self.entries.insert(name, value);
    }

    pub(super) fn remove(&mut self, name: &super::Name) -> Option<V> {
        self.entries.remove(name)
    }

    pub(super) fn sweep(&mut self, now: i64) {
        self.entries.retain(|_, value| now < value.end());
        self.sweep_at = FEW.max(self.entries.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Ends for i64 {
        fn end(&self) -> i64 {
            *self
        }
    }

    #[test]
    fn what_has_ended_is_swept_when_the_map_has_doubled() {
        let mut map = Ending::default();
        let name = |index: usize| super::super::name(&[&index.to_string()]);
        for index in 0..FEW {
            map.put(name(index), if index % 2 == 0 { 10 } else { 100 }, 0);
        }
        map.put(name(FEW), 100, 9);
        assert_eq!(map.len(), FEW + 1, "nothing has ended");
        (FEW + 1..FEW * 2).for_each(|index| map.put(name(index), 100, 10));
        assert_eq!(map.len(), FEW * 2, "not doubled yet");
        map.put(name(FEW * 2), 100, 10);
        assert_eq!(map.len(), FEW * 2 + 1 - FEW / 2);
        assert_eq!((map.get(&name(0)), map.get(&name(1))), (None, Some(&100)));
    }
}
