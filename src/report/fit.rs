//! Fits a falling curve to one series of days: old credentials beside new ones, or old ones alone.
//!
//! A generalised linear model, fitted by Fisher scoring: binomial with a logistic or a normal curve, or a straight line,
//! for the share of the old; Poisson with an exponential one where there are no new ones to compare with. Zeros count as
//! what they are, and a day weighs as much as it saw. A curve that says less than it seems to is refused, with the reason.

/// One day of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// The day, as a number.
    pub(super) day: f64,
    /// Hashes.
    pub(super) old: f64,
    /// JWTs of the same caller and client.
    pub(super) new: f64,
}

/// Why a series carries no curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    /// Too few days.
    Short,
    /// It has not come down by half.
    High,
    /// It does not follow a curve, or did so and stopped.
    Irregular,
    /// It follows one whose end is not sure within days.
    Vague,
}

/// The fewest days that say anything.
const SHORTEST: usize = 7;
/// How many days have to be below a half.
const HALVED: usize = 3;
/// The days that say how much comes.
const WEEK: usize = 7;
/// The share of the variation that a curve has to explain, unless nothing but chance is left to explain.
const EXPLAINED: f64 = 0.9;
/// The variation that is left, in that of pure chance, where nothing but chance is left.
const CHANCE: f64 = 2.0;
/// How far the last days may be from the curve: a share of it, and so many standard deviations of pure chance.
const OFF: (f64, f64) = (0.25, 4.0);
/// The standard error of the end, in days, beyond which a curve is vague.
const VAGUE: f64 = 2.0;
/// A day on which fewer are expected is behind the end, near enough.
const NEXT_TO_NONE: f64 = 0.3;
/// How far ahead an end is looked for, in days.
pub(super) const HORIZON: u16 = 730;
/// Where new ones are a smaller share of all, they are no other half.
const ALONE: f64 = 0.05;
const ROUNDS: usize = 50;
/// A line that moves by less has settled.
const SETTLED: f64 = 1e-7;

/// What falls, and along which line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    /// A share, along the logistic curve.
    Logistic,
    /// A share, along the normal distribution.
    Normal,
    /// A share, along a straight line: as many move on each day.
    Straight,
    /// A number, exponentially.
    Exponential,
}

/// A curve that falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Curve {
    link: Link,
    /// The day that the line is measured from.
    origin: f64,
    /// The line's height at the origin, and its slope.
    line: (f64, f64),
    /// Old and new ones together on a day; 1 where they are no shares.
    volume: f64,
}

/// The sums of a weighted least squares line: of w, wx, wxx, wz, wxz.
type Sums = [f64; 5];

impl Curve {
    /// The curve of a series, whose days are in order.
    pub(super) fn of(points: &[Point]) -> Result<Self, Flaw> {
        let sum = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>();
        if sum(|point| point.new) <= ALONE * sum(|point| point.old) {
            return Self::among(&[Link::Exponential], points, has_halved(points));
        }
        // Before the first JWT the page or app could send none: those days are no part of its curve.
        let begun: Vec<Point> = points.iter().skip_while(|point| point.new == 0.0).copied().collect();
        let (old, new) = begun.iter().rev().take(HALVED).fold((0.0, 0.0), |(o, n), p| (o + p.old, n + p.new));
        Self::among(&[Link::Logistic, Link::Normal, Link::Straight], &begun, old <= new)
    }

    /// How many old ones are expected on a day.
    pub(super) fn expected(&self, day: f64) -> f64 {
        self.volume * self.link.mean(self.height(day)).0
    }

    fn height(&self, day: f64) -> f64 {
        self.line.0 + self.line.1 * (day - self.origin)
    }

    /// The nearest of the curves, over as many of the last days as follow one: before, it may not have begun, or others
    /// may have joined. One that leaves nothing but chance goes before one that follows more days.
    fn among(links: &[Link], points: &[Point], halved: bool) -> Result<Self, Flaw> {
        if points.len() < SHORTEST {
            return Err(Flaw::Short);
        }
        if !halved {
            return Err(Flaw::High);
        }
        let lengths = std::iter::successors(Some(points.len()), |length| Some(length * 3 / 4));
        let tails =
            lengths.take_while(|length| *length >= SHORTEST).filter_map(|length| points.get(points.len() - length..));
        let tried: Vec<Result<(Self, f64), Flaw>> = tails.map(|tail| Self::nearest(links, tail)).collect();
        let by_chance = tried.iter().flatten().find(|(_, left)| *left <= CHANCE);
        let best = by_chance.or_else(|| tried.iter().flatten().next()).map(|(curve, _)| *curve);
        best.ok_or_else(|| tried.into_iter().find_map(Result::err).unwrap_or(Flaw::Short))
    }

    /// The curve that leaves the least to chance, and how much.
    fn nearest(links: &[Link], points: &[Point]) -> Result<(Self, f64), Flaw> {
        let fitted = links.iter().filter_map(|link| solve(*link, points));
        let weighed = fitted.map(|(curve, sums)| (curve, sums, curve.variation_left(points)));
        let nearest = weighed.min_by(|(.., one), (.., other)| one.total_cmp(other));
        let (curve, sums, left) = nearest.ok_or(Flaw::Irregular)?;
        let agrees = [WEEK, HALVED].iter().all(|days| curve.agrees_with_the_last(*days, points));
        if !agrees || left > CHANCE && !curve.explains(points) {
            return Err(Flaw::Irregular);
        }
        if curve.error_of_end(&sums, points, left.max(1.0)).is_none_or(|error| error > VAGUE) {
            return Err(Flaw::Vague);
        }
        Ok((curve, left))
    }

    /// The variation around the curve, in that of pure chance.
    fn variation_left(&self, points: &[Point]) -> f64 {
        let of = |point: &Point| {
            let (volume, mean) = (self.link.volume(point), self.link.mean(self.height(point.day)).0);
            // Where less than one is expected, one more is no miracle.
            (point.old - volume * mean).powi(2) / (volume * self.link.variance(mean)).max(1.0)
        };
        #[expect(clippy::cast_precision_loss, reason = "a number of days")]
        let free = (points.len() - 2) as f64;
        points.iter().map(of).sum::<f64>() / free
    }

    /// Whether hardly anything of the way down is left to explain.
    fn explains(&self, points: &[Point]) -> bool {
        let sum = |of: &dyn Fn(&Point, f64) -> f64| -> f64 {
            points.iter().map(|point| (point, self.link.volume(point))).map(|(point, volume)| of(point, volume)).sum()
        };
        let average = sum(&|point, _| point.old) / sum(&|_, volume| volume);
        let off = |mean: &dyn Fn(&Point) -> f64| {
            sum(&|point, volume| (point.old - volume * mean(point)).powi(2) / volume.max(1.0))
        };
        off(&|point| self.link.mean(self.height(point.day)).0) <= (1.0 - EXPLAINED) * off(&|_| average)
    }

    /// A curve that stopped falling fits its past, and not its last days.
    fn agrees_with_the_last(&self, days: usize, points: &[Point]) -> bool {
        let (mut came, mut expected) = (0.0, 0.0);
        for point in points.iter().rev().take(days) {
            came += point.old;
            expected += self.link.volume(point) * self.link.mean(self.height(point.day)).0;
        }
        let (share, deviations) = OFF;
        (came - expected).abs() <= share * expected + deviations * f64::sqrt(expected.max(1.0))
    }

    /// The standard error of the day on which next to none are expected; none where that is out of sight.
    fn error_of_end(&self, sums: &Sums, points: &[Point], left: f64) -> Option<f64> {
        let first = points.first()?.day;
        let days = (0..HORIZON).map(|day| first + f64::from(day));
        let end = days.into_iter().find(|day| self.expected(*day) < NEXT_TO_NONE)? - self.origin;
        let [w, wx, wxx, ..] = *sums;
        let variance = (wxx - 2.0 * end * wx + end * end * w) / (w * wxx - wx * wx);
        Some((left * variance).sqrt() / self.line.1.abs())
    }
}

impl Link {
    /// The share or number at a height of the line, and how fast it grows there.
    fn mean(self, height: f64) -> (f64, f64) {
        match self {
            Self::Logistic => {
                let share = 1.0 / (1.0 + (-height.clamp(-30.0, 30.0)).exp());
                (share, share * (1.0 - share))
            }
            Self::Normal => {
                let height = height.clamp(-7.0, 7.0);
                let share = libm::erfc(-height * std::f64::consts::FRAC_1_SQRT_2) / 2.0;
                (share, (-height * height / 2.0).exp() / std::f64::consts::TAU.sqrt())
            }
            Self::Straight => {
                let share = height.clamp(1e-9, 1.0 - 1e-9);
                // Beside the slope, a day says nothing about it.
                (share, f64::from(u8::from(0.0 < height && height < 1.0)))
            }
            Self::Exponential => {
                let number = height.clamp(-30.0, 30.0).exp();
                (number, number)
            }
        }
    }

    /// The variance of one.
    fn variance(self, mean: f64) -> f64 {
        match self {
            Self::Exponential => mean,
            Self::Logistic | Self::Normal | Self::Straight => mean * (1.0 - mean),
        }
    }

    /// The variance that a day is weighed by. Along a straight line all days weigh alike: those at its ends, where nearly
    /// all or none are old, would outweigh the rest.
    fn spread(self, mean: f64) -> f64 {
        if self == Self::Straight { 0.25 } else { self.variance(mean) }
    }

    /// How many could have been old.
    fn volume(self, point: &Point) -> f64 {
        match self {
            Self::Exponential => 1.0,
            Self::Logistic | Self::Normal | Self::Straight => point.old + point.new,
        }
    }

    /// About where on the line a day stands, before there is a line; half a credential more of each has no infinities.
    fn guess(self, point: &Point) -> f64 {
        let odds = ((point.old + 0.5) / (point.new + 0.5)).ln();
        match self {
            Self::Logistic => odds,
            // The two curves lie closest where one is drawn out by this.
            Self::Normal => odds / 1.7,
            Self::Straight => (point.old + 0.5) / (point.old + point.new + 1.0),
            Self::Exponential => (point.old + 0.5).ln(),
        }
    }
}

fn has_halved(points: &[Point]) -> bool {
    let sums: Vec<f64> = points.windows(HALVED).map(|days| days.iter().map(|point| point.old).sum()).collect();
    let most = sums.iter().copied().fold(0.0, f64::max);
    sums.last().is_some_and(|last| *last <= most / 2.0)
}

/// The likeliest falling curve of that kind, and the sums that say how sure its line is.
fn solve(link: Link, points: &[Point]) -> Option<(Curve, Sums)> {
    #[expect(clippy::cast_precision_loss, reason = "a number of days")]
    let of = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
    let origin = of(&mut points.iter().map(|point| point.day), points.len());
    let volume = of(&mut points.iter().rev().take(WEEK).map(|point| link.volume(point)), WEEK.min(points.len()));
    let mut curve = Curve { link, origin, line: (0.0, 0.0), volume };
    let mut sums = Sums::default();
    for round in 0..ROUNDS {
        let of = |point: &Point| if round == 0 { link.guess(point) } else { curve.height(point.day) };
        sums = weighed(link, points, origin, of);
        let [w, wx, wxx, wz, wxz] = sums;
        let determinant = w * wxx - wx * wx;
        let line = ((wxx * wz - wx * wxz) / determinant, (w * wxz - wx * wz) / determinant);
        if !line.0.is_finite() || !line.1.is_finite() {
            return None;
        }
        let moved = (line.0 - curve.line.0).abs() + (line.1 - curve.line.1).abs();
        curve.line = line;
        if round > 0 && moved < SETTLED {
            break;
        }
    }
    // A line that has not settled is no good one: what is left to explain says so.
    (curve.line.1 < 0.0).then_some((curve, sums))
}

/// The sums of one round of Fisher scoring, around the heights that the days have until now.
fn weighed(link: Link, points: &[Point], origin: f64, height: impl Fn(&Point) -> f64) -> Sums {
    let mut sums = Sums::default();
    for point in points {
        let (x, height, volume) = (point.day - origin, height(point), link.volume(point));
        let (mean, growth) = link.mean(height);
        if volume <= 0.0 || growth <= 0.0 {
            continue;
        }
        let weight = volume * growth * growth / link.spread(mean);
        let aim = height + (point.old / volume - mean) / growth;
        for (sum, term) in sums.iter_mut().zip([1.0, x, x * x, aim, x * aim]) {
            *sum += weight * term;
        }
    }
    sums
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
