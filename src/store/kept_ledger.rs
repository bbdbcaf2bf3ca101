//! The ledger in redb: in the file of one server, or in memory. One server writes it, and a batch is added with its number
//! in one transaction, so that it is there once or not at all.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use redb::{ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use time::{Date, UtcDateTime};

use super::evidence::{
    cell_text, distinct, groups, instant, limit_gaps, millis, open_gap, sighting, take_cell, whence_text,
};
use crate::ledger::sketch::{Damaged, Sketch};
use crate::ledger::{
    Batch, Counts, Credential, EVERY_APPLICATION, Evidence, GAPS, Gap, KEEP_DAYS, LABELS, OVERFLOW, Presence,
    SIGHTINGS, Series, Sighting, Tally,
};

/// Of an application, on a day, a text.
type DayKey = (&'static str, i32, &'static str);
/// From when, until when, how many are lost.
type StoredGap = (i64, i64, Option<u64>);

/// How often, and when last: by application, Julian day and cell.
const CELLS: TableDefinition<'_, DayKey, (u64, i64)> = TableDefinition::new("ledger-cells");
/// Sketches of subjects: by application, Julian day and series.
const SUBJECTS: TableDefinition<'_, DayKey, &[u8]> = TableDefinition::new("ledger-subjects");
/// Client labels that are kept apart: by application, Julian day and label.
const CLIENTS: TableDefinition<'_, DayKey, ()> = TableDefinition::new("ledger-labels");
/// When a subject was seen last, and whence: by application, credential and pseudonym.
const SEEN: TableDefinition<'_, (&str, &str, &str), (i64, &str)> = TableDefinition::new("ledger-seen");
/// The same by when.
const LAST: TableDefinition<'_, (&str, &str, i64, &str), ()> = TableDefinition::new("ledger-last");
/// How many subjects are in there: by application and credential.
const NUMBER: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("ledger-number");
/// The last batch of each writer, its instant, and whether the writer has ended: by application and writer.
const WRITERS: TableDefinition<'_, (&str, &str), (u64, i64, bool)> = TableDefinition::new("ledger-writers");
/// Gaps: by application and name.
const MISSING: TableDefinition<'_, (&str, &str), StoredGap> = TableDefinition::new("ledger-gaps");
/// From when on an application is counted.
const SINCE: TableDefinition<'_, &str, i64> = TableDefinition::new("ledger-since");

/// Makes the tables, and closes what earlier writers left: who did not come to an orderly end leaves a gap.
pub(super) fn prepare(transaction: &WriteTransaction, now: UtcDateTime) -> Result<(), redb::Error> {
    drop((transaction.open_table(CELLS)?, transaction.open_table(SUBJECTS)?, transaction.open_table(CLIENTS)?));
    drop((transaction.open_table(SEEN)?, transaction.open_table(LAST)?, transaction.open_table(NUMBER)?));
    drop(transaction.open_table(SINCE)?);
    let (mut writers, mut gaps) = (transaction.open_table(WRITERS)?, transaction.open_table(MISSING)?);
    for entry in writers.extract_from_if::<(&str, &str), _>(.., |_, _| true)? {
        let (key, value) = entry?;
        let ((application, writer), (_, at, ended)) = (key.value(), value.value());
        if !ended && application == EVERY_APPLICATION {
            // A clock that was set back says that the writer wrote later than now.
            let gap = (at.min(millis(now)), at.max(millis(now)), None);
            put_gap(&mut gaps, application, &Batch::crash(writer), gap)?;
        }
    }
    Ok(())
}

/// Adds a batch; nothing where it is there. Whether it was added.
pub(super) fn add(transaction: &WriteTransaction, batch: &Batch) -> Result<bool, redb::Error> {
    let key = (batch.application.as_str(), batch.writer.as_str());
    let mut writers = transaction.open_table(WRITERS)?;
    if writers.get(key)?.is_some_and(|known| batch.number <= known.value().0) {
        return Ok(false);
    }
    writers.insert(key, (batch.number, millis(batch.at), batch.ended))?;
    let mut since = transaction.open_table(SINCE)?;
    if since.get(key.0)?.is_none() {
        since.insert(key.0, millis(batch.from))?;
    }
    for (name, gap) in &batch.gaps {
        let gap = (millis(gap.from), millis(gap.until), gap.lost);
        put_gap(&mut transaction.open_table(MISSING)?, key.0, name, gap)?;
    }
    for (series, counts) in &batch.series {
        count(transaction, key.0, series, counts)?;
    }
    forget(transaction, key.0, batch.at.date().to_julian_day() - KEEP_DAYS)?;
    Ok(true)
}

/// What was seen of an application on these days.
pub(super) fn evidence(
    transaction: &ReadTransaction,
    application: &str,
    days: &RangeInclusive<Date>,
    now: UtcDateTime,
) -> Result<Evidence, redb::Error> {
    let (first, last) = (days.start().to_julian_day(), days.end().to_julian_day());
    let since = transaction.open_table(SINCE)?.get(application)?.and_then(|since| instant(since.value()));
    let mut evidence = Evidence { since, ..Evidence::default() };
    for entry in transaction.open_table(CELLS)?.range((application, first, "")..(application, last + 1, ""))? {
        let (key, value) = entry?;
        let ((_, day, text), (count, last)) = (key.value(), value.value());
        let tally = instant(last).map(|last| Tally { count, last });
        take_cell(&mut evidence, Date::from_julian_day(day).map_err(|_day| damaged(Damaged))?, text, tally);
    }
    let mut sketches = BTreeMap::new();
    for entry in transaction.open_table(SUBJECTS)?.range((application, first, "")..(application, last + 1, ""))? {
        let (key, value) = entry?;
        let (_, day, text) = key.value();
        sketches.insert((day, text.to_owned()), Sketch::read(value.value()).map_err(damaged)?);
    }
    let number = |series: &Series| sketches.get(&(series.day.to_julian_day(), series_text(series)));
    let groups = groups(evidence.cells.keys()).into_iter();
    evidence.distinct = distinct(groups.map(|(group, of)| (group, Sketch::distinct(of.iter().filter_map(number)))));
    let missing = transaction.open_table(MISSING)?;
    for application in [application, EVERY_APPLICATION] {
        for entry in missing.range((application, "")..(after(application).as_str(), ""))? {
            let (from, until, lost) = entry?.1.value();
            evidence.gaps.extend(instant(from).zip(instant(until)).map(|(from, until)| Gap { from, until, lost }));
        }
    }
    let end = after(EVERY_APPLICATION);
    for entry in transaction.open_table(WRITERS)?.range((EVERY_APPLICATION, "")..(end.as_str(), ""))? {
        let (_, at, ended) = entry?.1.value();
        evidence.gaps.extend(instant(at).filter(|_| !ended).and_then(|at| open_gap(at, now)));
    }
    limit_gaps(&mut evidence, (*days.start(), *days.end()));
    Ok(evidence)
}

/// The subjects that were seen last with a hash, since then, the last first.
pub(super) fn stragglers(
    transaction: &ReadTransaction,
    application: &str,
    since: UtcDateTime,
    limit: usize,
) -> Result<Vec<Sighting>, redb::Error> {
    let (seen, hash) = (transaction.open_table(SEEN)?, Credential::Hash.name());
    let range = (application, hash, millis(since), "")..=(application, hash, i64::MAX, "");
    let mut found = Vec::new();
    for entry in transaction.open_table(LAST)?.range(range)?.rev().take(limit) {
        let key = entry?.0;
        let (_, _, last, pseudonym) = key.value();
        if let Some(value) = seen.get((application, hash, pseudonym))? {
            found.extend(sighting(pseudonym, Credential::Hash, last, value.value().1));
        }
    }
    Ok(found)
}

/// The last sightings of these pseudonyms.
pub(super) fn sightings(
    transaction: &ReadTransaction,
    application: &str,
    pseudonyms: &[String],
) -> Result<Vec<Sighting>, redb::Error> {
    let seen = transaction.open_table(SEEN)?;
    let mut found = Vec::new();
    for pseudonym in pseudonyms {
        for credential in Credential::ALL {
            if let Some(value) = seen.get((application, credential.name(), pseudonym.as_str()))? {
                let (last, whence) = value.value();
                found.extend(sighting(pseudonym, credential, last, whence));
            }
        }
    }
    Ok(found)
}

fn count(
    transaction: &WriteTransaction,
    application: &str,
    series: &Series,
    counts: &Counts,
) -> Result<(), redb::Error> {
    let day = series.day.to_julian_day();
    let client = label(&mut transaction.open_table(CLIENTS)?, application, day, &series.client)?;
    let series = &Series { client, ..series.clone() };
    let mut cells = transaction.open_table(CELLS)?;
    for (what, tally) in &counts.tallies {
        let text = cell_text(series, *what);
        let key = (application, day, text.as_str());
        let (count, last) = cells.get(key)?.map_or((0, i64::MIN), |known| known.value());
        cells.insert(key, (count + tally.count, last.max(millis(tally.last))))?;
    }
    let text = series_text(series);
    let key = (application, day, text.as_str());
    let mut distinct = counts.subjects.iter().filter(|(_, presence)| presence.distinct).peekable();
    if distinct.peek().is_some() {
        let mut sketches = transaction.open_table(SUBJECTS)?;
        let stored = sketches.get(key)?.map(|stored| Sketch::read(stored.value()));
        let mut sketch = stored.transpose().map_err(damaged)?.unwrap_or_default();
        distinct.for_each(|(pseudonym, _)| sketch.add(pseudonym));
        sketches.insert(key, sketch.stored().as_slice())?;
    }
    see(transaction, application, series, &counts.subjects)
}

/// The label under which a client is counted.
fn label(labels: &mut Table<'_, DayKey, ()>, application: &str, day: i32, client: &str) -> Result<String, redb::Error> {
    if client.is_empty() || labels.get((application, day, client))?.is_some() {
        return Ok(client.to_owned());
    }
    if labels.range((application, day, "")..(application, day + 1, ""))?.count() >= LABELS {
        return Ok(OVERFLOW.to_owned());
    }
    labels.insert((application, day, client), ())?;
    Ok(client.to_owned())
}

/// Notes when the subjects were seen last. Beyond what is kept, the oldest go.
fn see(
    transaction: &WriteTransaction,
    application: &str,
    series: &Series,
    subjects: &BTreeMap<String, Presence>,
) -> Result<(), redb::Error> {
    let (credential, whence) = (series.credential.name(), whence_text(series));
    let (mut seen, mut by_last) = (transaction.open_table(SEEN)?, transaction.open_table(LAST)?);
    let mut numbers = transaction.open_table(NUMBER)?;
    let mut number = numbers.get((application, credential))?.map_or(0, |number| number.value());
    for (pseudonym, Presence { last, .. }) in subjects {
        let (key, last) = ((application, credential, pseudonym.as_str()), millis(*last));
        match seen.get(key)?.map(|known| known.value().0) {
            Some(known) if last < known => continue,
            Some(known) => drop(by_last.remove((application, credential, known, pseudonym.as_str()))?),
            None => number += 1,
        }
        seen.insert(key, (last, whence.as_str()))?;
        by_last.insert((application, credential, last, pseudonym.as_str()), ())?;
    }
    let surplus = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(SIGHTINGS);
    for _ in 0..surplus {
        let oldest = by_last
            .range((application, credential, i64::MIN, "")..(application, credential, i64::MAX, ""))?
            .next()
            .transpose()?;
        let oldest = oldest.map(|(key, _)| (key.value().2, key.value().3.to_owned()));
        let Some((last, pseudonym)) = oldest else { break };
        by_last.remove((application, credential, last, pseudonym.as_str()))?;
        seen.remove((application, credential, pseudonym.as_str()))?;
        number -= 1;
    }
    numbers.insert((application, credential), number)?;
    Ok(())
}

/// Keeps a gap. Those of one name are one, and those beyond what is kept apart too.
fn put_gap(
    gaps: &mut Table<'_, (&'static str, &'static str), StoredGap>,
    application: &str,
    name: &str,
    (from, until, lost): StoredGap,
) -> Result<(), redb::Error> {
    let known = gaps.get((application, name))?.map(|known| known.value());
    let end = after(application);
    let full = known.is_none() && gaps.range((application, "")..(end.as_str(), ""))?.count() >= GAPS;
    let name = if full { OVERFLOW } else { name };
    let known = gaps.get((application, name))?.map(|known| known.value());
    let lost_with = |known: Option<u64>| known.zip(lost).map(|(one, two)| one + two);
    let gap = known
        .map_or((from, until, lost), |(began, ended, known)| (began.min(from), ended.max(until), lost_with(known)));
    gaps.insert((application, name), gap)?;
    Ok(())
}

/// Removes what is older than the day.
fn forget(transaction: &WriteTransaction, application: &str, day: i32) -> Result<(), redb::Error> {
    let old = || (application, i32::MIN, "")..(application, day, "");
    transaction.open_table(CELLS)?.retain_in(old(), |_, _| false)?;
    transaction.open_table(SUBJECTS)?.retain_in(old(), |_, _| false)?;
    transaction.open_table(CLIENTS)?.retain_in(old(), |_, _| false)?;
    let day = Date::from_julian_day(day).map_or(i64::MIN, |day| millis(day.midnight().as_utc()));
    let end = after(application);
    let mut gaps = transaction.open_table(MISSING)?;
    gaps.retain_in((application, "")..(end.as_str(), ""), |_, (_, until, _)| day <= until)?;
    Ok(())
}

fn series_text(series: &Series) -> String {
    serde_json::json!([series.credential.name(), series.caller, series.client, series.key]).to_string()
}

/// The first text after this one.
fn after(text: &str) -> String {
    format!("{text}\0")
}

fn damaged(Damaged: Damaged) -> redb::Error {
    redb::Error::Corrupted("a sketch of the ledger".to_owned())
}
