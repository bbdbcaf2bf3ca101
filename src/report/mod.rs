//! The report: what the evidence says of an application's move, and whether hashes can end.
//!
//! Pure: from the ledger's [`Evidence`], a policy and `now` to a [`Report`]. It counts nothing and keeps nothing. What
//! is not known is never made up: it is absent, or it blocks.

mod days;
mod fit;
mod projection;
mod rehearsal;
mod usage;
mod verdict;

use std::collections::BTreeMap;

use time::{Date, UtcDateTime};

pub use self::days::Days;
pub use self::rehearsal::{Rehearsal, Rehearsed};
pub use self::usage::Usage;
pub use self::verdict::{Blocker, BlockerCode, Verdict};
use crate::acceptance::{Acceptance, Phase};
use crate::ledger::{Credential, Evidence, Gap, Outcome};
use crate::refusal::Reason;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// The application's name.
    pub application: &'a str,
    /// The policy in force.
    pub policy: &'a Acceptance,
    /// The window.
    pub days: Days,
    /// How many accepted JWTs each complete day needs.
    pub min_daily: u64,
    /// Whether the file's policy has changed since another was set at run time.
    pub file_changed: bool,
    /// The present instant.
    pub now: UtcDateTime,
}

/// What was seen of an application in a window of days, all of UTC, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The application's name.
    pub application: String,
    /// Where it is in its move.
    pub phase: Phase,
    /// When this was put together.
    pub at: UtcDateTime,
    /// One entry for each day of the window, oldest first; the last is today so far.
    pub days: Vec<DayCount>,
    /// Callers, most hashes first.
    pub callers: Vec<Usage>,
    /// Client labels, most hashes first.
    pub clients: Vec<Usage>,
    /// Keys, most hashes first.
    pub keys: Vec<Usage>,
    /// Distinct subjects with a genuine hash, estimated.
    pub hash_subjects: u64,
    /// Distinct subjects with a genuine JWT, estimated.
    pub jwt_subjects: u64,
    /// Accepted hashes that the shadow would have refused, by reason.
    pub shadow: BTreeMap<Reason, u64>,
    /// Times of the window of which not everything is counted.
    pub gaps: Vec<Gap>,
    /// Whether hashes can end.
    pub verdict: Verdict,
}

/// What was seen on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayCount {
    /// The day, of UTC.
    pub date: Date,
    /// Of hashes.
    pub hash: Counts,
    /// Of JWTs.
    pub jwt: Counts,
    /// Distinct subjects with a genuine hash, estimated.
    pub hash_subjects: u64,
    /// Distinct subjects with a genuine JWT, estimated.
    pub jwt_subjects: u64,
}

/// What came of credentials of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They counted.
    pub accepted: u64,
    /// They were genuine and did not count.
    pub refused: u64,
    /// They were not genuine.
    pub invalid: u64,
    /// They were made here.
    pub issued: u64,
}

impl Report {
    /// The report on the evidence. Evidence of other days is left out.
    #[must_use]
    pub fn of(evidence: &Evidence, asked: &Inquiry<'_>) -> Self {
        let days = day_counts(evidence, asked.days);
        let distinct = &evidence.distinct;
        Self {
            application: asked.application.to_owned(),
            phase: asked.policy.phase_at(asked.now),
            at: asked.now,
            callers: usage::by(evidence, asked.days, &distinct.callers, |cell| &cell.caller),
            clients: usage::by(evidence, asked.days, &distinct.clients, |cell| &cell.client),
            keys: usage::by(evidence, asked.days, &distinct.keys, |cell| &cell.key),
            hash_subjects: distinct.hash,
            jwt_subjects: distinct.jwt,
            shadow: shadow(evidence, asked.days),
            gaps: evidence.gaps.iter().filter(|gap| asked.days.meets(gap)).copied().collect(),
            verdict: verdict::of(evidence, asked, &days),
            days,
        }
    }
}

impl Counts {
    /// Those that a key of the application made, whatever came of them.
    #[must_use]
    pub const fn genuine(self) -> u64 {
        self.accepted.saturating_add(self.refused)
    }

    const fn add(&mut self, outcome: Outcome, count: u64) {
        let sum = match outcome {
            Outcome::Accepted => &mut self.accepted,
            Outcome::Refused => &mut self.refused,
            Outcome::Invalid => &mut self.invalid,
            Outcome::Issued => &mut self.issued,
        };
        *sum = sum.saturating_add(count);
    }
}

fn day_counts(evidence: &Evidence, days: Days) -> Vec<DayCount> {
    let mut counts: BTreeMap<Date, (Counts, Counts)> = days.iter().map(|day| (day, <_>::default())).collect();
    for (cell, tally) in &evidence.cells {
        let Some((hash, jwt)) = counts.get_mut(&cell.day) else { continue };
        match cell.credential {
            Credential::Hash => hash.add(cell.outcome, tally.count),
            Credential::Jwt => jwt.add(cell.outcome, tally.count),
        }
    }
    let entry = |(date, (hash, jwt))| {
        let (hash_subjects, jwt_subjects) = evidence.distinct.days.get(&date).copied().unwrap_or_default();
        DayCount { date, hash, jwt, hash_subjects, jwt_subjects }
    };
    counts.into_iter().map(entry).collect()
}

fn shadow(evidence: &Evidence, days: Days) -> BTreeMap<Reason, u64> {
    let mut reasons = BTreeMap::new();
    for (cell, tally) in evidence.cells.iter().filter(|(cell, _)| days.has(cell.day)) {
        let counts = cell.credential == Credential::Hash && cell.outcome == Outcome::Accepted;
        if let Some(reason) = cell.shadow.filter(|_| counts) {
            let sum: &mut u64 = reasons.entry(reason).or_default();
            *sum = sum.saturating_add(tally.count);
        }
    }
    reasons
}

#[cfg(test)]
mod tests;
