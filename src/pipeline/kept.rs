//! What sources said before: entries by everything that an answer depends on, bounded in bytes, and dropped when their
//! subject is invalidated. How old an entry may be is judged against `now`; the cache's own clock only frees memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;
use time::UtcDateTime;

use super::claims::Fragment;
use super::source::Rules;
use crate::limits;

/// Everything that an answer depends on, each part length-prefixed.
pub(super) type Key = Vec<u8>;
/// A subject of an application, as a keyed digest: what invalidation names.
pub(super) type Tag = [u8; 32];

/// What a source said.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The claims; none where it did not know the subject.
    pub(super) fragment: Option<Arc<Fragment>>,
    /// When it was asked.
    pub(super) asked_at: UtcDateTime,
    /// How long it is fresh from then on, and how long after that it may stand in.
    pub(super) fresh: Duration,
    pub(super) stale: Duration,
    /// How much had been invalidated when it was asked.
    pub(super) epoch: u64,
    /// Whom it is about.
    pub(super) tags: Vec<Tag>,
    /// About how many bytes it takes.
    pub(super) bytes: usize,
}

/// How an entry may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// As an answer.
    Fresh,
    /// In place of an answer.
    Stale,
}

/// A clock of another replica may be ahead by as much.
const SKEW: Duration = Duration::from_secs(30);
/// Invalidations that are remembered one by one; with more, everything is dropped.
const TOMBSTONES: usize = 10_000;

impl Entry {
    /// An entry by the rules of its source; none where it is not to be kept.
    pub(super) fn of(
        fragment: Option<Arc<Fragment>>,
        fresh_for: Option<Duration>,
        rules: &Rules,
        asked_at: UtcDateTime,
        (epoch, tags): (u64, Vec<Tag>),
    ) -> Option<Self> {
        let (fresh, stale) = match (&fragment, fresh_for) {
            (None, _) => (rules.absent, Duration::ZERO),
            // RFC 9111 section 5.2.2.5: what must not be stored is not stored, not even to stand in.
            (Some(_), Some(Duration::ZERO)) => return None,
            (Some(_), told) => (told.map_or(rules.fresh, |told| told.min(rules.fresh)), rules.stale),
        };
        let bytes = fragment.as_ref().map_or(0, |fragment| fragment.bytes()) + limits::ENTRY_BYTES;
        let kept = !(fresh.is_zero() && stale.is_zero());
        kept.then_some(Self { fragment, asked_at, fresh, stale, epoch, tags, bytes })
    }

    pub(super) fn age(&self, now: UtcDateTime) -> Duration {
        (now - self.asked_at).try_into().unwrap_or(Duration::ZERO)
    }

    /// What it is good for now.
    pub(super) fn good_for(&self, now: UtcDateTime) -> Option<Use> {
        if self.asked_at - now > SKEW {
            return None;
        }
        let age = self.age(now);
        if age < self.fresh { Some(Use::Fresh) } else { (age < self.fresh + self.stale).then_some(Use::Stale) }
    }
}

/// The entries of this process.
#[derive(Debug)]
pub(super) struct Kept {
    entries: Cache<Key, Arc<Entry>>,
    epoch: AtomicU64,
    tombstones: RwLock<Tombstones>,
}

#[derive(Debug, Default)]
struct Tombstones {
    /// Entries that were asked for before this are dropped, whatever they are about.
    floor: Option<Cut>,
    /// Entries about these subjects from before this are dropped.
    by_tag: BTreeMap<Tag, Cut>,
}

/// When something was invalidated.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// In the count of this process, which orders what happens in it.
    epoch: u64,
    /// By the clock, for what other replicas asked; none where nothing says that they do not know it.
    at: Option<UtcDateTime>,
}

impl Kept {
    /// Room for entries of so many bytes.
    pub(super) fn with_room(bytes: u64) -> Self {
        let weigh = |key: &Key, entry: &Arc<Entry>| u32::try_from(key.len() + entry.bytes).unwrap_or(u32::MAX);
        let entries = Cache::builder().max_capacity(bytes).weigher(weigh).expire_after(Life).build();
        Self { entries, epoch: AtomicU64::new(0), tombstones: RwLock::default() }
    }

    /// What a question that is asked now will be stamped with.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The entry, if it is good for anything.
    pub(super) fn find(&self, key: &[u8], now: UtcDateTime) -> Option<(Arc<Entry>, Use)> {
        let entry = self.entries.get(key)?;
        let good = entry.good_for(now).filter(|_| self.stands(entry.epoch, &entry.tags))?;
        Some((entry, good))
    }

    /// Whether nothing of what was asked for at `epoch` was invalidated since.
    pub(super) fn stands(&self, epoch: u64, tags: &[Tag]) -> bool {
        if epoch == self.epoch() {
            return true;
        }
        self.is_after(tags, |cut| epoch >= cut.epoch)
    }

    /// Whether nothing about these subjects was invalidated since another replica asked. Whoever writes to the shared
    /// store can lay an old answer there again.
    pub(super) fn stands_since(&self, asked_at: UtcDateTime, tags: &[Tag]) -> bool {
        self.is_after(tags, |cut| cut.at.is_none_or(|at| asked_at > at + SKEW))
    }

    fn is_after(&self, tags: &[Tag], after: impl Fn(&Cut) -> bool) -> bool {
        let tombstones = self.tombstones.read().unwrap_or_else(PoisonError::into_inner);
        tombstones.floor.iter().chain(tags.iter().filter_map(|tag| tombstones.by_tag.get(tag))).all(after)
    }

    /// Keeps an entry, unless its subject was invalidated while the question was under way.
    pub(super) fn keep(&self, key: Key, entry: Entry) {
        if self.stands(entry.epoch, &entry.tags) {
            self.entries.insert(key, Arc::new(entry));
        }
    }

    /// Whether there is an entry, whatever it is good for.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn drop(&self, key: &[u8]) {
        self.entries.invalidate(key);
    }

    /// Drops what is kept about a subject, and what is being asked about it now.
    pub(super) fn forget(&self, tag: Tag, at: UtcDateTime) {
        let mut tombstones = self.tombstones.write().unwrap_or_else(PoisonError::into_inner);
        let cut = self.cut(Some(at));
        if tombstones.by_tag.len() >= TOMBSTONES {
            // Too much is dropped rather than too little.
            *tombstones = Tombstones { floor: Some(cut), by_tag: BTreeMap::new() };
        } else {
            tombstones.by_tag.insert(tag, cut);
        }
    }

    /// Drops everything that is kept here.
    pub(super) fn forget_all(&self) {
        let mut tombstones = self.tombstones.write().unwrap_or_else(PoisonError::into_inner);
        *tombstones = Tombstones { floor: Some(self.cut(None)), by_tag: BTreeMap::new() };
    }

    fn cut(&self, at: Option<UtcDateTime>) -> Cut {
        Cut { epoch: self.epoch.fetch_add(1, Ordering::AcqRel) + 1, at }
    }
}

struct Life;

impl Expiry<Key, Arc<Entry>> for Life {
    fn expire_after_create(&self, _key: &Key, entry: &Arc<Entry>, _created_at: Instant) -> Option<Duration> {
        Some(entry.fresh + entry.stale)
    }

    fn expire_after_update(
        &self,
        _key: &Key,
        entry: &Arc<Entry>,
        _updated_at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.fresh + entry.stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(epoch: u64, tags: &[Tag]) -> Entry {
        Entry {
            fragment: None,
            asked_at: UtcDateTime::UNIX_EPOCH,
            fresh: Duration::from_secs(10),
            stale: Duration::from_secs(5),
            epoch,
            tags: tags.to_vec(),
            bytes: limits::ENTRY_BYTES,
        }
    }

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
    }

    #[test]
    fn an_entry_is_fresh_then_stale_then_nothing() {
        let entry = entry(0, &[]);
        for (seconds, good) in [
            (-31, None),
            (-30, Some(Use::Fresh)),
            (0, Some(Use::Fresh)),
            (9, Some(Use::Fresh)),
            (10, Some(Use::Stale)),
            (14, Some(Use::Stale)),
            (15, None),
        ] {
            assert_eq!(entry.good_for(at(seconds)), good, "{seconds}");
        }
    }

    #[test]
    fn what_was_asked_before_an_invalidation_is_not_kept_after_it() {
        let kept = Kept::with_room(1_000_000);
        let (ada, bob) = ([1; 32], [2; 32]);
        let early = kept.epoch();
        kept.keep(b"ada".to_vec(), entry(early, &[ada]));
        kept.keep(b"bob".to_vec(), entry(early, &[bob]));
        kept.forget(ada, at(0));
        assert!(kept.find(b"ada", at(0)).is_none() && kept.find(b"bob", at(0)).is_some());
        kept.keep(b"ada".to_vec(), entry(early, &[ada]));
        assert!(kept.find(b"ada", at(0)).is_none(), "it was under way when its subject was invalidated");
        kept.keep(b"ada".to_vec(), entry(kept.epoch(), &[ada]));
        assert!(kept.find(b"ada", at(0)).is_some());
        assert!(
            !kept.stands_since(at(30), &[ada]) && kept.stands_since(at(31), &[ada]) && kept.stands_since(at(0), &[bob])
        );
        kept.forget_all();
        assert!(kept.stands_since(at(0), &[bob]), "what others know is theirs to drop");
        assert!(kept.find(b"ada", at(0)).is_none() && kept.find(b"bob", at(0)).is_none());
    }

    #[test]
    fn with_too_many_invalidations_everything_is_dropped() {
        let kept = Kept::with_room(1_000_000);
        kept.keep(b"bob".to_vec(), entry(kept.epoch(), &[[2; 32]]));
        let tag = |n: usize| {
            let mut tag = [9; 32];
            tag.iter_mut().zip(n.to_be_bytes()).for_each(|(byte, value)| *byte = value);
            tag
        };
        for n in 0..TOMBSTONES {
            kept.forget(tag(n), at(0));
        }
        assert!(kept.find(b"bob", at(0)).is_some());
        kept.forget(tag(TOMBSTONES), at(0));
        assert!(kept.find(b"bob", at(0)).is_none());
    }

    #[test]
    fn room_is_bounded() {
        let kept = Kept::with_room(100 * limits::ENTRY_BYTES as u64);
        for n in 0..1_000_u32 {
            kept.keep(n.to_be_bytes().to_vec(), entry(kept.epoch(), &[]));
        }
        kept.entries.run_pending_tasks();
        assert!(kept.entries.entry_count() <= 100);
    }
}
