//! A rehearsal: who would be refused if hashes ended at an instant, judged by who used them in the window.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use time::UtcDateTime;

use super::{Blocker, Days, verdict};
use crate::acceptance::Acceptance;
use crate::ledger::{Credential, Evidence, Outcome};

/// Who would be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// Each caller and client label that used hashes, most hashes first.
    pub rehearsed: Vec<Rehearsed>,
    /// Genuine hashes of the window that would have been refused.
    pub refused: u64,
    /// Distinct subjects of them, estimated.
    pub refused_subjects: u64,
    /// Until when hashes are made, where that is later than the end that is tried out.
    pub issued_until: Option<UtcDateTime>,
    /// What of the window is not known: there may be others.
    pub unknown: Vec<Blocker>,
}

/// What would become of a caller's client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    /// The caller's name.
    pub caller: String,
    /// The client label; empty: none that counts.
    pub client: String,
    /// Its genuine hashes in the window.
    pub hashes: u64,
    /// Distinct subjects of them, estimated.
    pub subjects: u64,
    /// When the last one came.
    pub last_hash: UtcDateTime,
    /// Until when its hashes would be accepted.
    pub hash_until: UtcDateTime,
}

impl Rehearsal {
    /// What an end at `hash_until` would do, with the exceptions of the policy.
    #[must_use]
    pub fn of(evidence: &Evidence, policy: &Acceptance, days: Days, hash_until: UtcDateTime) -> Self {
        let trial = Acceptance { hash_until: Some(hash_until), ..policy.clone() };
        let mut pairs: BTreeMap<(&str, &str), (u64, UtcDateTime)> = BTreeMap::new();
        let came = [Outcome::Accepted, Outcome::Refused];
        for (cell, tally) in evidence.cells.iter().filter(|(cell, _)| days.has(cell.day)) {
            if cell.credential == Credential::Hash && came.contains(&cell.outcome) {
                let (hashes, last) = pairs.entry((&cell.caller, &cell.client)).or_insert((0, tally.last));
                *hashes = hashes.saturating_add(tally.count);
                *last = tally.last.max(*last);
            }
        }
        let judged = pairs.into_iter().map(|((caller, client), (hashes, last_hash))| Rehearsed {
            hash_until: trial
                .hash_until_for(caller, Some(client).filter(|client| !client.is_empty()))
                .unwrap_or(hash_until),
            subjects: *evidence.distinct.pairs.get(&(caller.to_owned(), client.to_owned())).unwrap_or(&0),
            caller: caller.to_owned(),
            client: client.to_owned(),
            hashes,
            last_hash,
        });
        let mut rehearsed: Vec<Rehearsed> = judged.collect();
        rehearsed.sort_by_key(|pair| Reverse(pair.hashes));
        let refused = || rehearsed.iter().filter(|pair| pair.hash_until <= hash_until);
        let subjects = refused().fold(0_u64, |sum, pair| sum.saturating_add(pair.subjects));
        Self {
            refused: refused().fold(0, |sum, pair| sum.saturating_add(pair.hashes)),
            // Who is with two clients is in two estimates, and once in that of all.
            refused_subjects: subjects.min(evidence.distinct.hash),
            issued_until: trial.issues_hash_until().filter(|until| hash_until < *until),
            unknown: verdict::unknown(evidence, days),
            rehearsed,
        }
    }
}
