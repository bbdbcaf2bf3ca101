//! When it will be ready, if things go on as they do: `docs/migrating.md` has the method in words, and its error.
//!
//! Each caller's client is a series of its own, because pages and apps move one by one, and a mixture of curves is no
//! curve. What is expected of all of them is added up.

use std::collections::BTreeMap;

use time::{Date, Duration};

use super::days::{later, start};
use super::fit::{Curve, Flaw, HORIZON, Point};
use super::verdict::{has_gap, is_counted, is_hash, list, who};
use super::{DayCount, Inquiry};
use crate::ledger::{Cell, Credential, Evidence, Outcome};

const NOTHING: &str = "No complete day is counted yet.";
/// So few complete days without a hash are no end yet.
const SILENCE: i64 = 3;

/// The first day on whose start it will be ready; or why that cannot be said.
pub(super) fn project(evidence: &Evidence, asked: &Inquiry<'_>, complete: &[DayCount]) -> Result<Date, String> {
    let (Some(yesterday), Some(since)) = (complete.last(), evidence.since) else {
        return Err(NOTHING.to_owned());
    };
    if !is_counted(evidence, yesterday.date) {
        return Err(NOTHING.to_owned());
    }
    if yesterday.jwt.accepted < asked.min_daily {
        return Err("Too few JWTs come.".to_owned());
    }
    let last_hash = last_hash(evidence, asked, yesterday.date)?;
    let few = complete.iter().rfind(|day| day.jwt.accepted < asked.min_daily).map(|day| day.date);
    let lost = asked.days.iter().filter(|day| has_gap(&evidence.gaps, *day)).last();
    let uncounted = (start(since.date()) < since).then_some(since.date()).or(since.date().previous_day());
    let last_bad = [last_hash, few, lost, uncounted].into_iter().flatten().max();
    let ready = last_bad.map(|day| later(day, 1 + complete.len())).filter(|day| asked.days.last() < *day);
    ready.ok_or_else(|| "Somebody has to decide which policy holds.".to_owned())
}

/// The last day of hashes, coming or made: the one after which none is likelier than one, and not before the last that
/// was seen. None where none was seen.
fn last_hash(evidence: &Evidence, asked: &Inquiry<'_>, yesterday: Date) -> Result<Option<Date>, String> {
    let series = [false, true].into_iter().flat_map(|issued| series(evidence, asked, issued));
    let (mut seen, mut outlooks, mut flaws) = (None, Vec::new(), BTreeMap::<Flaw, Vec<String>>::new());
    for series in series {
        seen = seen.max(series.last);
        match series.outlook(asked, yesterday) {
            Ok(outlook) => outlooks.push(outlook),
            Err(flaw) => flaws.entry(flaw).or_default().push(series.name),
        }
    }
    if !flaws.is_empty() {
        let told: Vec<String> = flaws.iter().map(|(flaw, names)| flaw.told(&list(names))).collect();
        return Err(told.join(" "));
    }
    let today = asked.days.last();
    let day = |ahead: u16| later(today, ahead.into());
    let mut rest = 0.0;
    for ahead in (0..HORIZON).rev() {
        rest += outlooks.iter().map(|outlook| outlook.expected(day(ahead))).sum::<f64>();
        // The last of rare and independent events is as likely before this day as after it.
        if rest >= std::f64::consts::LN_2 {
            let too_far = ahead + 1 == HORIZON;
            let end = Ok(seen.max(Some(day(ahead))));
            return if too_far { Err("Hashes fall too slowly to say.".to_owned()) } else { end };
        }
    }
    Ok(seen)
}

/// The hashes of a caller's client, coming or made.
struct Series {
    name: String,
    issued: bool,
    /// Hashes and JWTs of each complete day.
    days: BTreeMap<Date, (u64, u64)>,
    /// The last day with a hash; it may be today.
    last: Option<Date>,
    /// The days of the others that say nothing of a curve: brownouts, gaps, those before counting began.
    excluded: Vec<Date>,
}

/// What is expected of a series.
enum Outlook {
    /// Nothing more.
    Ended,
    /// It falls. Where hashes are no longer made after a day, it ends there.
    Falls(Curve, Option<Date>),
    /// Nobody knows, until a day after which nothing comes.
    Until(Date),
}

fn series(evidence: &Evidence, asked: &Inquiry<'_>, issued: bool) -> Vec<Series> {
    let excluded: Vec<Date> = asked.days.iter().filter(|day| says_nothing(evidence, asked, *day)).collect();
    let mut all: BTreeMap<(&str, &str), Series> = BTreeMap::new();
    let wanted = |cell: &Cell| is_hash(cell, issued) || is_jwt(cell, issued);
    for (cell, tally) in evidence.cells.iter().filter(|(cell, tally)| tally.count > 0 && wanted(cell)) {
        if !asked.days.has(cell.day) {
            continue;
        }
        let series = all.entry((&cell.caller, &cell.client)).or_insert_with(|| Series {
            name: who(&cell.caller, &cell.client),
            issued,
            days: asked.days.complete().map(|day| (day, (0, 0))).collect(),
            last: None,
            excluded: excluded.clone(),
        });
        let hash = cell.credential == Credential::Hash;
        if let Some((hashes, jwts)) = series.days.get_mut(&cell.day) {
            let sum = if hash { hashes } else { jwts };
            *sum = sum.saturating_add(tally.count);
        }
        series.last = series.last.max(hash.then_some(cell.day));
    }
    all.into_values().filter(|series| series.last.is_some()).collect()
}

fn is_jwt(cell: &Cell, issued: bool) -> bool {
    cell.credential == Credential::Jwt
        && cell.outcome != Outcome::Invalid
        && issued == (cell.outcome == Outcome::Issued)
}

/// Whether what came on that day says nothing of a curve: in a brownout clients try again, or turn to the JWT for once.
fn says_nothing(evidence: &Evidence, asked: &Inquiry<'_>, day: Date) -> bool {
    let (from, until) = (start(day), start(later(day, 1)));
    let brownout = asked.policy.brownouts.iter().any(|window| window.from < until && from < window.until);
    brownout || has_gap(&evidence.gaps, day) || !is_counted(evidence, day)
}

impl Series {
    fn outlook(&self, asked: &Inquiry<'_>, yesterday: Date) -> Result<Outlook, Flaw> {
        let until = asked.policy.issues_hash_until().filter(|_| self.issued);
        if until.is_some_and(|until| until <= asked.now) {
            return Ok(Outlook::Ended);
        }
        let end = until.map(|until| until.saturating_sub(Duration::NANOSECOND).date());
        match (Curve::of(&self.points()), end) {
            (Ok(curve), end) => Ok(Outlook::Falls(curve, end)),
            (Err(_), _) if self.is_silent(yesterday) => Ok(Outlook::Ended),
            (Err(_), Some(end)) => Ok(Outlook::Until(end)),
            (Err(flaw), None) => Err(flaw),
        }
    }

    fn points(&self) -> Vec<Point> {
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 a count is not exact here, and need not be")]
        let point =
            |(day, (old, new)): (&Date, &(u64, u64))| Point { day: number(*day), old: *old as f64, new: *new as f64 };
        self.days.iter().filter(|(day, _)| !self.excluded.contains(day)).map(point).collect()
    }

    /// Whether it has been silent for days, and longer than twice any pause that it made: it was switched off.
    fn is_silent(&self, yesterday: Date) -> bool {
        let seen: Vec<Date> = self.days.iter().filter(|(_, (old, _))| *old > 0).map(|(day, _)| *day).collect();
        let pauses = seen.iter().zip(seen.iter().skip(1)).map(|(day, next)| (*next - *day).whole_days() - 1);
        let silence = self.last.map_or(0, |last| (yesterday - last).whole_days());
        silence >= SILENCE && silence > 2 * pauses.max().unwrap_or(0)
    }
}

impl Outlook {
    /// How many hashes are expected on the day.
    fn expected(&self, day: Date) -> f64 {
        match self {
            Self::Ended => 0.0,
            Self::Falls(_, Some(end)) if *end < day => 0.0,
            Self::Falls(curve, _) => curve.expected(number(day)),
            // That one comes on the last day is all that matters.
            Self::Until(end) => f64::from(u8::from(day <= *end)),
        }
    }
}

impl Flaw {
    /// What is said of the series that have it.
    fn told(self, names: &str) -> String {
        match self {
            Self::Short => format!("Too few days are known of {names}."),
            Self::High => format!("Not down by half: {names}."),
            Self::Irregular => format!("Not falling along a curve: {names}."),
            Self::Vague => format!("Falling, with an end that is not sure within days: {names}."),
        }
    }
}

fn number(day: Date) -> f64 {
    f64::from(day.to_julian_day())
}
