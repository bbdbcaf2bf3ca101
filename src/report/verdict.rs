//! Whether hashes can end, by the complete days of the window alone; what stands against it, with numbers and names.

use std::collections::BTreeMap;

use time::{Date, UtcDateTime};

use super::days::start;
use super::{DayCount, Days, Inquiry, projection};
use crate::ledger::{Cell, Credential, Evidence, Gap, Outcome};
use crate::words::grouped;

/// As many are named in a sentence.
const NAMED: usize = 3;

/// Whether hashes can end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In the whole window no genuine hash came, none were made, enough JWTs came each day, and nothing was lost.
    pub ready: bool,
    /// Everything that stands against it, the weightiest first.
    pub blockers: Vec<Blocker>,
    /// When it will be ready if things go on as they do; absent where it is ready, or the data do not carry it.
    pub projected_ready_at: Option<UtcDateTime>,
    /// Why there is no projection; empty where there is one, or none is needed.
    pub why_not_projected: String,
}

/// What stands against the end of hashes, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// What it is.
    pub code: BlockerCode,
    /// A sentence with the numbers and names.
    pub message: String,
}

/// What stands against the end of hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockerCode {
    /// Genuine hashes came.
    HashesSeen,
    /// Hashes were still made.
    HashesIssued,
    /// On a day fewer JWTs came than are asked for.
    TooFewJwts,
    /// The ledger is younger than the window.
    WindowIncomplete,
    /// Something was lost, or may have been.
    CountsLost,
    /// Another policy is in the file than was there when one was set at run time.
    FileChanged,
}

/// The verdict on the days, of which the last is not over.
pub(super) fn of(evidence: &Evidence, asked: &Inquiry<'_>, days: &[DayCount]) -> Verdict {
    let complete = days.split_last().map_or(days, |(_today, complete)| complete);
    let blockers: Vec<Blocker> = [
        hashes(evidence, asked, BlockerCode::HashesSeen),
        hashes(evidence, asked, BlockerCode::HashesIssued),
        counts_lost(evidence, asked.days),
        window_incomplete(evidence, asked.days),
        too_few_jwts(evidence, asked, complete),
        file_changed(asked),
    ]
    .into_iter()
    .flatten()
    .collect();
    if blockers.is_empty() {
        return Verdict { ready: true, blockers, projected_ready_at: None, why_not_projected: String::new() };
    }
    let (at, why) = match projection::project(evidence, asked, complete) {
        Ok(day) => (Some(start(day)), String::new()),
        Err(why) => (None, why),
    };
    Verdict { ready: false, blockers, projected_ready_at: at, why_not_projected: why }
}

/// What of the days is not known: what follows from the rest is not sure.
pub(super) fn unknown(evidence: &Evidence, days: Days) -> Vec<Blocker> {
    counts_lost(evidence, days).into_iter().chain(window_incomplete(evidence, days)).collect()
}

/// Whether everything of the day can be counted, but for gaps.
pub(super) fn is_counted(evidence: &Evidence, day: Date) -> bool {
    evidence.since.is_some_and(|since| since <= start(day))
}

/// Whether something of the day is not counted.
pub(super) fn has_gap(gaps: &[Gap], day: Date) -> bool {
    gaps.iter().any(|gap| gap.from.date() <= day && day <= gap.until.date())
}

/// Whether the cell is a hash that came, or one that was made.
pub(super) fn is_hash(cell: &Cell, issued: bool) -> bool {
    cell.credential == Credential::Hash
        && cell.outcome != Outcome::Invalid
        && issued == (cell.outcome == Outcome::Issued)
}

/// A caller's client, for people.
pub(super) fn who(caller: &str, client: &str) -> String {
    if client.is_empty() { format!("{caller} without a label") } else { format!("{client} of {caller}") }
}

/// A list of at most a few names.
pub(super) fn list(names: &[String]) -> String {
    let named: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = names.len().saturating_sub(NAMED);
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}

fn hashes(evidence: &Evidence, asked: &Inquiry<'_>, code: BlockerCode) -> Option<Blocker> {
    let issued = code == BlockerCode::HashesIssued;
    let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let (mut sum, mut last) = (0_u64, None);
    let judged = |cell: &Cell| asked.days.judges(cell.day) && is_hash(cell, issued);
    for (cell, tally) in evidence.cells.iter().filter(|(cell, tally)| tally.count > 0 && judged(cell)) {
        let count = pairs.entry((&cell.caller, &cell.client)).or_default();
        *count = count.saturating_add(tally.count);
        sum = sum.saturating_add(tally.count);
        last = last.max(Some(cell.day));
    }
    let last = last?;
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let names: Vec<String> = pairs
        .iter()
        .map(|((caller, client), count)| format!("{} ({})", who(caller, client), grouped(*count)))
        .collect();
    let what = match (issued, sum) {
        (false, 1) => "1 genuine hash came".to_owned(),
        (false, _) => format!("{} genuine hashes came", grouped(sum)),
        (true, 1) => "1 hash was made".to_owned(),
        (true, _) => format!("{} hashes were made", grouped(sum)),
    };
    Some(Blocker { code, message: format!("{what}, the last on {last}: {}.", list(&names)) })
}

fn too_few_jwts(evidence: &Evidence, asked: &Inquiry<'_>, complete: &[DayCount]) -> Option<Blocker> {
    let few = |day: &&DayCount| is_counted(evidence, day.date) && day.jwt.accepted < asked.min_daily;
    let last = complete.iter().rfind(few)?;
    let (few, of) = (complete.iter().filter(few).count(), complete.len());
    let (least, last) = (grouped(asked.min_daily), last.date);
    let message = format!("On {few} of {of} days fewer than {least} JWTs were accepted, the last time on {last}.");
    Some(Blocker { code: BlockerCode::TooFewJwts, message })
}

fn window_incomplete(evidence: &Evidence, days: Days) -> Option<Blocker> {
    let counted = days.complete().filter(|day| is_counted(evidence, *day)).count();
    let of = days.complete().count();
    let message = match evidence.since {
        _ if of == 0 => "The window has no complete day.".to_owned(),
        Some(_) if counted == of => return None,
        Some(since) => format!("{counted} of {of} complete days are counted: counting began on {}.", since.date()),
        None => "Counting has not begun.".to_owned(),
    };
    Some(Blocker { code: BlockerCode::WindowIncomplete, message })
}

fn counts_lost(evidence: &Evidence, days: Days) -> Option<Blocker> {
    let of = days.complete().count();
    let days: Vec<Date> = days.complete().filter(|day| has_gap(&evidence.gaps, *day)).collect();
    let last = days.last()?;
    let of_days = |gap: &&Gap| days.iter().any(|day| has_gap(std::slice::from_ref(*gap), *day));
    let lost: Option<u64> = evidence.gaps.iter().filter(of_days).map(|gap| gap.lost).sum();
    let lost = lost.map_or("how many counts are lost, nobody can say".to_owned(), |lost| {
        format!("{} counts are lost", grouped(lost))
    });
    let some = days.len();
    let message = format!("On {some} of {of} days not everything was counted, the last time on {last}: {lost}.");
    Some(Blocker { code: BlockerCode::CountsLost, message })
}

fn file_changed(asked: &Inquiry<'_>) -> Option<Blocker> {
    let message = "The file's policy has changed since another was set at run time: reset that, or set it again.";
    asked.file_changed.then(|| Blocker { code: BlockerCode::FileChanged, message: message.to_owned() })
}
