//! What is revoked, as every request reads it: in memory, in shards, so that a revocation never holds up more than a
//! 256th of the requests, and those for some hundred nanoseconds. It keeps digests and dates; what they are of is
//! `revocation.rs`, and that they survive is the store's business.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use time::UtcDateTime;
use tokio::sync::watch;

use super::ending::{Ending, Ends};
use super::{Away, Name};

/// The end of what does not end.
pub const FOREVER: i64 = i64::MAX;

/// A revocation of one name, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When it was revoked.
    pub at: i64,
    /// From when on it need not be remembered any more, or [`FOREVER`].
    pub until: i64,
}

impl Mark {
    /// Both in one: neither shortens the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { at: self.at.max(other.at), until: self.until.max(other.until) }
    }
}

impl Ends for Mark {
    fn end(&self) -> i64 {
        self.until
    }
}

/// A revocation with its name, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// What is revoked.
    pub name: Name,
    /// The application's name, whose configuration says how long tokens live.
    pub application: String,
    /// Since when, until when.
    pub mark: Mark,
}

/// The copy in memory.
#[derive(Debug)]
pub struct Revocations {
    shards: Box<[RwLock<Ending<Mark>>; 256]>,
    many: AtomicUsize,
    loaded: watch::Sender<bool>,
    /// The second, since 1970, in which all of it was last heard.
    heard: AtomicI64,
    /// For how long it may go unheard, where others revoke too.
    max_staleness: Option<Duration>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            shards: Box::new(std::array::from_fn(|_| RwLock::default())),
            many: AtomicUsize::new(0),
            loaded: watch::Sender::new(true),
            heard: AtomicI64::new(0),
            max_staleness: None,
        }
    }
}

impl Revocations {
    /// An empty copy of something that is not there yet, and that others change.
    #[must_use]
    pub fn not_loaded(max_staleness: Option<Duration>) -> Self {
        Self { loaded: watch::Sender::new(false), max_staleness, ..Self::default() }
    }

    /// Whether everything that was revoked before the start is in it: nothing can be judged before.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// Returns when it is loaded.
    pub async fn loaded(&self) {
        // It cannot fail: the sender is here.
        self.loaded.subscribe().wait_for(|loaded| *loaded).await.map(drop).unwrap_or_default();
    }

    /// Whether nothing was heard of what others revoke for longer than may be.
    #[must_use]
    pub fn is_stale(&self, now: UtcDateTime) -> bool {
        let age = now.unix_timestamp().saturating_sub(self.heard.load(Ordering::Acquire));
        self.max_staleness.is_some_and(|most| u64::try_from(age).is_ok_and(|age| age > most.as_secs()))
    }

    /// Notes that everything is in it that was there in that second.
    pub(super) fn set_heard(&self, at: i64) {
        self.heard.store(at, Ordering::Release);
        self.loaded.send_if_modified(|loaded| !std::mem::replace(loaded, true));
    }

    /// What is in force and not among these. Whose they are is not known here.
    pub(super) fn missing(&self, among: &BTreeSet<Name>, now: i64) -> Vec<Revoked> {
        let mut missing = Vec::new();
        for shard in self.shards.iter() {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            let lost = shard.iter().filter(|(name, mark)| now < mark.until && !among.contains(*name));
            missing.extend(lost.map(|(name, mark)| Revoked { name: *name, application: String::new(), mark: *mark }));
        }
        missing
    }

    /// The mark of a name that counts now. `name` is made only where anything is revoked at all.
    pub fn mark(&self, name: impl FnOnce() -> Name, now: UtcDateTime) -> Option<Mark> {
        if self.many.load(Ordering::Acquire) == 0 {
            return None;
        }
        let name = name();
        let shard = self.shard(&name).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(&name).copied().filter(|mark| now.unix_timestamp() < mark.until)
    }

    /// How many are held, those included that have ended and are not swept yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.many.load(Ordering::Acquire)
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a mark to what is there.
    pub(super) fn add(&self, name: Name, mark: Mark, now: i64) {
        let mut shard = self.shard(&name).write().unwrap_or_else(PoisonError::into_inner);
        let before = shard.len();
        let mark = shard.get(&name).map_or(mark, |known| known.and(mark));
        shard.put(name, mark, now);
        self.count(before, shard.len());
    }

    /// Whether there was one.
    pub(super) fn remove(&self, name: &Name) -> bool {
        let mut shard = self.shard(name).write().unwrap_or_else(PoisonError::into_inner);
        let before = shard.len();
        let removed = shard.remove(name).is_some();
        self.count(before, shard.len());
        removed
    }

    /// Whether that many more fit in; what has ended makes room.
    pub(super) fn has_room(&self, more: usize, room: usize, now: i64) -> Result<(), Away> {
        if self.len() + more > room {
            self.sweep(now);
        }
        if self.len() + more > room { Err(Away) } else { Ok(()) }
    }

    /// Drops what has ended.
    pub(super) fn sweep(&self, now: i64) {
        for shard in self.shards.iter() {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let before = shard.len();
            shard.sweep(now);
            self.count(before, shard.len());
        }
    }

    fn count(&self, before: usize, after: usize) {
        if after >= before {
            self.many.fetch_add(after - before, Ordering::AcqRel);
        } else {
            self.many.fetch_sub(before - after, Ordering::AcqRel);
        }
    }

    fn shard(&self, name: &Name) -> &RwLock<Ending<Mark>> {
        let [first, ..] = *name;
        #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
        &self.shards[usize::from(first)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(seconds).unwrap()
    }

    #[test]
    fn a_mark_counts_until_its_end_and_a_second_one_never_shortens_it() {
        let revocations = Revocations::default();
        let name = super::super::name(&["x"]);
        assert_eq!(revocations.mark(|| panic!("nothing is revoked"), at(0)), None);
        revocations.add(name, Mark { at: 10, until: 100 }, 10);
        revocations.add(name, Mark { at: 20, until: 50 }, 20);
        let both = Mark { at: 20, until: 100 };
        assert_eq!(revocations.mark(|| name, at(99)), Some(both));
        assert_eq!(revocations.mark(|| name, at(100)), None);
        assert_eq!(revocations.len(), 1);
        revocations.sweep(99);
        assert_eq!(revocations.len(), 1);
        revocations.sweep(100);
        assert!(revocations.is_empty());
        revocations.add(name, both, 10);
        assert!(!revocations.is_stale(at(i64::from(u32::MAX))), "nobody else changes it");
        assert!(revocations.remove(&name) && !revocations.remove(&name));
        assert!(revocations.is_empty());
    }

    #[test]
    fn it_is_stale_a_second_after_the_longest_time() {
        let revocations = Revocations::not_loaded(Some(Duration::from_secs(30)));
        revocations.set_heard(100);
        assert!(!revocations.is_stale(at(90)), "a clock that went back");
        assert!(!revocations.is_stale(at(130)));
        assert!(revocations.is_stale(at(131)));
        revocations.set_heard(101);
        assert!(!revocations.is_stale(at(131)));
    }
}
