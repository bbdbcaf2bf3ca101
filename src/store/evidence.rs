//! What all stores of the ledger share: how a cell is written, and how distinct subjects are put together. Instants are
//! milliseconds since 1970.

use std::collections::{BTreeMap, BTreeSet};

use time::{Date, Duration, UtcDateTime};

use crate::ledger::{Cell, Credential, Distinct, Evidence, Gap, Outcome, Series, Sighting, Tally, UNHEARD};
use crate::refusal::Reason;

/// From the beginning of a day until its last instant.
const LAST_OF_DAY: Duration = Duration::milliseconds(86_400_000 - 1);

/// A cell without its day.
pub(super) fn cell_text(series: &Series, (outcome, shadow): (Outcome, Option<Reason>)) -> String {
    let Series { credential, caller, client, key, .. } = series;
    let shadow = shadow.map(Reason::name);
    serde_json::json!([credential.name(), outcome.name(), caller, client, key, shadow]).to_string()
}

/// What [`cell_text`] wrote; none for anything else.
fn read_cell(day: Date, text: &str) -> Option<Cell> {
    type Words = (String, String, String, String, String, Option<String>);
    let (credential, outcome, caller, client, key, shadow) = serde_json::from_str::<Words>(text).ok()?;
    let reason = |name: String| Reason::ALL.iter().copied().find(|reason| reason.name() == name);
    Some(Cell {
        day,
        credential: Credential::ALL.into_iter().find(|known| known.name() == credential)?,
        outcome: Outcome::ALL.into_iter().find(|known| known.name() == outcome)?,
        caller,
        client,
        key,
        shadow: match shadow {
            None => None,
            Some(name) => Some(reason(name)?),
        },
    })
}

/// Takes a cell into the evidence. One that cannot be read, because a later version wrote it, is not left out: it is told
/// as a gap of its day.
pub(super) fn take_cell(evidence: &mut Evidence, day: Date, text: &str, tally: Option<Tally>) {
    match read_cell(day, text).zip(tally) {
        Some((cell, tally)) => drop(evidence.cells.insert(cell, tally)),
        None => {
            let from = day.midnight().as_utc();
            let gap = Gap { from, until: from.saturating_add(LAST_OF_DAY), lost: None };
            evidence.gaps.extend(Some(gap).filter(|gap| !evidence.gaps.contains(gap)));
        }
    }
}

/// From whom a subject came last: caller, client label, key.
pub(super) fn whence_text(series: &Series) -> String {
    serde_json::json!([series.caller, series.client, series.key]).to_string()
}

/// A sighting, from what [`whence_text`] wrote; none for anything else.
pub(super) fn sighting(pseudonym: &str, credential: Credential, last: i64, whence: &str) -> Option<Sighting> {
    let [caller, client, key] = serde_json::from_str::<[String; 3]>(whence).ok()?;
    Some(Sighting { pseudonym: pseudonym.to_owned(), credential, last: instant(last)?, caller, client, key })
}

pub(super) fn millis(at: UtcDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

pub(super) fn instant(millis: i64) -> Option<UtcDateTime> {
    UtcDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()
}

/// What distinct subjects are counted of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    All(Credential),
    Day(Date, Credential),
    Caller(String),
    Client(String),
    Key(String),
    Pair(String, String),
}

/// The series of genuine credentials that these cells are of, by what is counted together.
pub(super) fn groups<'c>(cells: impl IntoIterator<Item = &'c Cell>) -> BTreeMap<Group, BTreeSet<Series>> {
    let mut groups: BTreeMap<Group, BTreeSet<Series>> = BTreeMap::new();
    for cell in cells.into_iter().filter(|cell| matches!(cell.outcome, Outcome::Accepted | Outcome::Refused)) {
        let Cell { day, credential, caller, client, key, .. } = cell.clone();
        let series = Series { day, credential, caller: caller.clone(), client: client.clone(), key: key.clone() };
        let mut of = vec![Group::All(credential), Group::Day(day, credential)];
        if credential == Credential::Hash {
            let pair = Group::Pair(caller.clone(), client.clone());
            of.extend([Group::Caller(caller), Group::Client(client), Group::Key(key), pair]);
        }
        for group in of {
            groups.entry(group).or_default().insert(series.clone());
        }
    }
    groups
}

/// The numbers of all groups.
pub(super) fn distinct(numbers: impl IntoIterator<Item = (Group, u64)>) -> Distinct {
    let mut distinct = Distinct::default();
    for (group, number) in numbers {
        match group {
            Group::All(Credential::Hash) => distinct.hash = number,
            Group::All(Credential::Jwt) => distinct.jwt = number,
            Group::Day(day, Credential::Hash) => distinct.days.entry(day).or_default().0 = number,
            Group::Day(day, Credential::Jwt) => distinct.days.entry(day).or_default().1 = number,
            Group::Caller(caller) => drop(distinct.callers.insert(caller, number)),
            Group::Client(client) => drop(distinct.clients.insert(client, number)),
            Group::Key(key) => drop(distinct.keys.insert(key, number)),
            Group::Pair(caller, client) => drop(distinct.pairs.insert((caller, client), number)),
        }
    }
    distinct
}

/// The gap that a server leaves open which was heard of last at that instant, and has not said that it ends.
pub(super) fn open_gap(last: UtcDateTime, now: UtcDateTime) -> Option<Gap> {
    (now - last > UNHEARD).then_some(Gap { from: last, until: now, lost: None })
}

/// Keeps of the gaps what lies in the days, and not before anything was counted.
pub(super) fn limit_gaps(evidence: &mut Evidence, (first, last): (Date, Date)) {
    let begin = first.midnight().as_utc();
    let end = last.midnight().as_utc().saturating_add(Duration::DAY);
    let begin = evidence.since.map_or(begin, |since| since.max(begin));
    evidence.gaps.retain(|gap| begin < gap.until && gap.from < end);
    evidence.gaps.iter_mut().for_each(|gap| gap.from = gap.from.max(begin));
    evidence.gaps.sort_by_key(|gap| (gap.from, gap.until));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_cannot_be_read_is_a_gap_of_its_day() {
        let day = Date::from_julian_day(2_461_193).unwrap();
        let last = day.midnight().as_utc();
        let tally = Some(Tally { count: 7, last });
        let mut evidence = Evidence::default();
        let later = r#"["hash","accepted","billing","web","iv","A_LATER_REASON"]"#;
        for (text, tally) in [(later, tally), ("not ours", tally), (&later.replace("\"A_LATER_REASON\"", "null"), None)]
        {
            take_cell(&mut evidence, day, text, tally);
            assert_eq!(evidence.cells, BTreeMap::new(), "{text}");
            assert_eq!(evidence.gaps, [Gap { from: last, until: last + LAST_OF_DAY, lost: None }], "{text}");
        }
        take_cell(&mut evidence, day, &later.replace("\"A_LATER_REASON\"", "\"HASH_BROWNOUT\""), tally);
        assert_eq!((evidence.cells.len(), evidence.gaps.len()), (1, 1));
    }
}
