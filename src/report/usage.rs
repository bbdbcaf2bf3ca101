//! What a caller, a client or a key had to do with genuine credentials. What is not genuine is nobody's.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use time::UtcDateTime;

use super::Days;
use crate::ledger::{Cell, Credential, Evidence, Outcome};

/// As many are told of; those with the most hashes go first.
const MOST: usize = 100;

/// What a caller, a client or a key had to do with genuine credentials in the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The caller's name, the client label (empty: none that counts) or the key's id.
    pub name: String,
    /// Genuine hashes, accepted or refused.
    pub hashes: u64,
    /// Genuine JWTs, accepted or refused.
    pub jwts: u64,
    /// Hashes that were made.
    pub hashes_issued: u64,
    /// JWTs that were made.
    pub jwts_issued: u64,
    /// Distinct subjects with a genuine hash, estimated.
    pub hash_subjects: u64,
    /// When the last genuine hash came or was made.
    pub last_hash: Option<UtcDateTime>,
    /// When the last genuine JWT came or was made.
    pub last_jwt: Option<UtcDateTime>,
}

impl Usage {
    /// Whether it has to do with hashes still.
    #[must_use]
    pub const fn is_straggling(&self) -> bool {
        self.last_hash.is_some()
    }
}

/// The usages of the window by what `name` picks, most hashes first.
pub(super) fn by(
    evidence: &Evidence,
    days: Days,
    subjects: &BTreeMap<String, u64>,
    name: impl Fn(&Cell) -> &String,
) -> Vec<Usage> {
    let mut usages: BTreeMap<&str, Usage> = BTreeMap::new();
    let genuine = |cell: &Cell| days.has(cell.day) && cell.outcome != Outcome::Invalid;
    for (cell, tally) in evidence.cells.iter().filter(|(cell, _)| genuine(cell)) {
        let usage = usages.entry(name(cell)).or_default();
        let came = cell.outcome != Outcome::Issued;
        let (count, last) = match (cell.credential, came) {
            (Credential::Hash, true) => (&mut usage.hashes, &mut usage.last_hash),
            (Credential::Hash, false) => (&mut usage.hashes_issued, &mut usage.last_hash),
            (Credential::Jwt, true) => (&mut usage.jwts, &mut usage.last_jwt),
            (Credential::Jwt, false) => (&mut usage.jwts_issued, &mut usage.last_jwt),
        };
        *count = count.saturating_add(tally.count);
        *last = (*last).max(Some(tally.last));
    }
    let named = |(name, usage): (&str, Usage)| Usage {
        name: name.to_owned(),
        hash_subjects: subjects.get(name).copied().unwrap_or_default(),
        ..usage
    };
    let mut usages: Vec<Usage> = usages.into_iter().map(named).collect();
    // The sort is stable: what has as many is in the order of its name.
    usages.sort_by_key(|usage| (Reverse(usage.hashes), Reverse(usage.hashes_issued)));
    usages.truncate(MOST);
    usages
}
