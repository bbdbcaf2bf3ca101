//! Counts in process: adds up, in shards, what was seen since it was last taken. What a request does here takes some hundred
//! nanoseconds, and memory is bounded: what has no room is counted as lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::UtcDateTime;

use super::{Counts, Credential, Gap, OVERFLOW, Outcome, Presence, Series, Tally};
use crate::refusal::Reason;

/// Parts that are locked apart, so that requests on different cores seldom meet.
const SHARDS: usize = 16;
/// Series of an application that wait in one shard, at most. More are counted as the label [`OVERFLOW`].
const SERIES: usize = 512;
/// Series of an application that wait in one shard, those of [`OVERFLOW`] among them. More are lost.
const ALL_SERIES: usize = 2 * SERIES;
/// Subjects of an application that wait in one shard, at most. More are counted, but not told apart.
const SUBJECTS: usize = 8_192;

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Which credential.
    pub credential: Credential,
    /// What came of it.
    pub outcome: Outcome,
    /// The caller's name.
    pub caller: &'a str,
    /// The client label, where this caller is configured for it; else empty.
    pub client: &'a str,
    /// The id of the key that it was made with.
    pub key: &'a str,
    /// The pseudonyms of the subjects that it proves; the first stands for it. None for what was issued.
    pub subjects: &'a [String],
    /// Why the shadow policy would have refused what was accepted.
    pub shadow: Option<Reason>,
}

/// What waits to be told to the store.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) series: BTreeMap<Series, Counts>,
    /// What could not be counted.
    pub(super) lost: Option<Gap>,
    /// Subjects that were not told apart.
    pub(super) blurred: u64,
    subjects: usize,
}

/// The counter.
#[derive(Debug, Default)]
pub(super) struct Counter {
    shards: [Mutex<BTreeMap<String, Pending>>; SHARDS],
}

impl Counter {
    /// Counts it.
    pub(super) fn saw(&self, application: &str, seen: &Seen<'_>, now: UtcDateTime) {
        let index = seen.subjects.first().and_then(|first| first.bytes().next());
        let index = index.map_or_else(|| fastrand::usize(..SHARDS), usize::from);
        // The index is below the number of shards.
        let Some(shard) = self.shards.get(index % SHARDS) else { return };
        let mut shard = locked(shard);
        if let Some(pending) = shard.get_mut(application) {
            return pending.saw(seen, now);
        }
        shard.entry(application.to_owned()).or_default().saw(seen, now);
    }

    /// Takes what waits of an application.
    pub(super) fn take(&self, application: &str) -> Pending {
        let waiting = self.shards.iter().filter_map(|shard| locked(shard).remove(application));
        waiting.reduce(Pending::and).unwrap_or_default()
    }

    /// The applications of which anything waits.
    pub(super) fn waiting(&self) -> BTreeSet<String> {
        self.shards.iter().flat_map(|shard| locked(shard).keys().cloned().collect::<Vec<_>>()).collect()
    }

    /// Entries that wait.
    pub(super) fn len(&self) -> usize {
        let entries = |pending: &Pending| pending.series.len() + pending.subjects;
        self.shards.iter().map(|shard| locked(shard).values().map(entries).sum::<usize>()).sum()
    }
}

impl Pending {
    fn saw(&mut self, seen: &Seen<'_>, now: UtcDateTime) {
        let genuine = seen.outcome != Outcome::Invalid;
        let mut series = Series {
            day: now.date(),
            credential: seen.credential,
            caller: seen.caller.to_owned(),
            client: if genuine { seen.client.to_owned() } else { String::new() },
            key: if genuine { seen.key.to_owned() } else { String::new() },
        };
        if self.series.len() >= SERIES && !series.client.is_empty() && !self.series.contains_key(&series) {
            OVERFLOW.clone_into(&mut series.client);
        }
        if self.series.len() >= ALL_SERIES && !self.series.contains_key(&series) {
            let gap = Gap { from: now, until: now, lost: Some(1) };
            self.lost = Some(self.lost.map_or(gap, |lost| lost.and(gap)));
            return;
        }
        let counts = self.series.entry(series).or_default();
        counts.count((seen.outcome, seen.shadow), Tally { count: 1, last: now });
        if !genuine || seen.outcome == Outcome::Issued {
            return;
        }
        for (index, pseudonym) in seen.subjects.iter().enumerate() {
            let presence = Presence { last: now, distinct: index == 0 };
            if let Some(known) = counts.subjects.get_mut(pseudonym) {
                *known = known.and(presence);
            } else if self.subjects < SUBJECTS {
                self.subjects += 1;
                counts.subjects.insert(pseudonym.clone(), presence);
            } else {
                self.blurred += 1;
            }
        }
    }

    fn and(mut self, other: Self) -> Self {
        for (series, more) in other.series {
            let counts = self.series.entry(series).or_default();
            for (what, tally) in more.tallies {
                counts.count(what, tally);
            }
            for (pseudonym, presence) in more.subjects {
                let known = counts.subjects.entry(pseudonym).or_insert(presence);
                *known = known.and(presence);
            }
        }
        let lost = self.lost.zip(other.lost).map(|(one, two)| one.and(two)).or(self.lost).or(other.lost);
        Self { lost, blurred: self.blurred + other.blurred, subjects: self.subjects + other.subjects, ..self }
    }
}

impl Counts {
    pub(super) fn count(&mut self, what: (Outcome, Option<Reason>), tally: Tally) {
        self.tallies.entry(what).and_modify(|known| *known = known.and(tally)).or_insert(tally);
    }
}

impl Presence {
    fn and(self, other: Self) -> Self {
        Self { last: self.last.max(other.last), distinct: self.distinct || other.distinct }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
