//! Curves are found again in what they make.

use proptest::prelude::*;

use super::*;

fn points(link: Link, middle: f64, scale: f64, volume: f64) -> Vec<Point> {
    let day = |day: u8| {
        let day = f64::from(day);
        let old = (volume * link.mean((middle - day) / scale).0).round();
        Point { day, old, new: if link == Link::Exponential { 0.0 } else { volume - old } }
    };
    (0..28).map(day).collect()
}

proptest! {
    #[test]
    fn a_curve_is_found_again(shape in 0..2_usize, middle in 12.0_f64..24.0, scale in 1.0_f64..3.0, volume in 2_000.0_f64..1e6) {
        let link = [Link::Normal, Link::Logistic][shape];
        let curve = Curve::of(&points(link, middle, scale, volume)).unwrap();
        let wanted = |day: f64| volume * link.mean((middle - day) / scale).0;
        // To a quarter of a day: where a curve is steep, a tenth of its height is an hour.
        for day in [20.0, 25.0, 30.0, 35.0] {
            let (least, most) = (0.9 * wanted(day + 0.25) - 1.0, 1.1 * wanted(day - 0.25) + 1.0);
            prop_assert!((least..=most).contains(&curve.expected(day)), "{day}: {curve:?}");
        }
    }
}

#[test]
fn a_straight_line_is_found_again() {
    let share = |day: f64| ((25.0 - day) / 20.0).clamp(0.0, 1.0);
    let points: Vec<Point> = (0..20)
        .map(|day| {
            let old = (5_000.0 * share(f64::from(day))).round();
            Point { day: f64::from(day), old, new: 5_000.0 - old }
        })
        .collect();
    let curve = Curve::of(&points).unwrap();
    assert!((curve.expected(24.0) - 250.0).abs() < 25.0, "{curve:?}");
    assert!(curve.expected(26.0) < 1e-3, "{curve:?}");
}

#[test]
fn numbers_alone_are_followed_too() {
    let curve = Curve::of(&points(Link::Exponential, 12.0, 2.0, 1.0)).unwrap();
    assert!((curve.expected(14.0) - (-1.0_f64).exp()).abs() < 0.1, "{curve:?}");
}

#[test]
fn a_flaw_is_told() {
    let good = points(Link::Logistic, 14.0, 2.0, 1_000.0);
    assert_eq!(Curve::of(&good[..6]), Err(Flaw::Short));
    assert_eq!(Curve::of(&good[..13]), Err(Flaw::High));
    let stopped: Vec<Point> = good.iter().map(|point| Point { old: point.old.max(20.0), ..*point }).collect();
    assert_eq!(Curve::of(&stopped), Err(Flaw::Irregular));
    // Ten visits a day do not say where it ends.
    assert_eq!(Curve::of(&points(Link::Logistic, 20.0, 6.0, 10.0)), Err(Flaw::Vague));
}
