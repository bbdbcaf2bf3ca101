//! The ledger of this server: counts in process, and tells the store twice a second. Counting never waits; telling does,
//! and is nobody's request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use time::{Date, UtcDateTime};
use tokio::sync::{Mutex, watch};

use super::counter::{Counter, Seen};
use super::outbox::{Outbox, Say};
use super::{Added, EVERY_APPLICATION, Evidence, Sighting};
use crate::observe::{Metrics, events};
use crate::store::{Away, Counting};

/// How often the store is told.
const FLUSH: std::time::Duration = std::time::Duration::from_millis(500);
/// Applications that are told of at once.
const AT_ONCE: usize = 64;
/// How often in one flush a store may have lost what it had. More is left to the next.
const REWINDS: usize = 2;

/// The ledger.
pub struct Ledger {
    counter: Counter,
    outboxes: Mutex<BTreeMap<String, Outbox>>,
    store: Arc<dyn Counting>,
    metrics: Arc<Metrics>,
    /// Whether the store knows of this server.
    known: watch::Sender<bool>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Ledger {
    /// A ledger of these applications, which counts from now on.
    #[must_use]
    pub fn new<'a>(
        applications: impl IntoIterator<Item = &'a str>,
        store: Arc<dyn Counting>,
        metrics: Arc<Metrics>,
        now: UtcDateTime,
    ) -> Self {
        let writer = format!("{:032x}", fastrand::u128(..));
        let outbox = |name: &str| (name.to_owned(), Outbox::new(name, &writer, now));
        let outboxes = applications.into_iter().chain([EVERY_APPLICATION]).map(outbox).collect();
        let known = watch::Sender::new(false);
        Self { counter: Counter::default(), outboxes: Mutex::new(outboxes), store, metrics, known }
    }

    /// Counts it. Never waits.
    pub fn saw(&self, application: &str, seen: &Seen<'_>, now: UtcDateTime) {
        self.counter.saw(application, seen, now);
    }

    /// Whether the store knows of this server. Until then nothing must be counted: what is lost with a server of which
    /// nobody knew leaves no gap.
    #[must_use]
    pub fn is_known(&self) -> bool {
        *self.known.borrow()
    }

    /// Returns when it does.
    pub async fn known(&self) {
        // It cannot fail: the sender is here.
        self.known.subscribe().wait_for(|known| *known).await.map(drop).unwrap_or_default();
    }

    /// Makes this server known to the store, where it is not.
    ///
    /// # Errors
    ///
    /// Where the store does not take it.
    pub async fn introduce(&self, now: UtcDateTime) -> Result<(), Away> {
        if !self.is_known() {
            self.tell_one(EVERY_APPLICATION, now).await?;
            self.known.send_replace(true);
        }
        Ok(())
    }

    /// Entries that wait for the store.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.counter.len()
    }

    /// Tells the store for ever.
    pub async fn keep(&self, now: impl Fn() -> UtcDateTime) -> Infallible {
        let mut away = false;
        loop {
            let told = match self.introduce(now()).await {
                Ok(()) => self.tell(now(), Say::IfAnything).await,
                away => away,
            };
            if away != told.is_err() {
                away = told.is_err();
                events::LedgerKept { away }.emit();
            }
            tokio::time::sleep(FLUSH).await;
        }
    }

    /// Tells the store everything that was seen until now.
    ///
    /// # Errors
    ///
    /// Where the store does not have all of it. It is told again.
    pub async fn flush(&self, now: UtcDateTime) -> Result<(), Away> {
        self.tell(now, Say::Anyway).await
    }

    /// Tells the store everything, and that nothing follows.
    ///
    /// # Errors
    ///
    /// Where the store does not have all of it.
    pub async fn end(&self, now: UtcDateTime) -> Result<(), Away> {
        self.tell(now, Say::Last).await
    }

    /// What was seen of an application on these days by any server. All that this one saw is in it.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read. One that can be read but not written tells of a gap.
    pub async fn evidence(
        &self,
        application: &str,
        days: RangeInclusive<Date>,
        now: UtcDateTime,
    ) -> Result<Evidence, Away> {
        self.tell_one(application, now).await.unwrap_or_default();
        self.store.evidence(application, days, now).await
    }

    /// The subjects that were seen last with a genuine hash, since then, the last first.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    pub async fn stragglers(
        &self,
        application: &str,
        since: UtcDateTime,
        limit: usize,
        now: UtcDateTime,
    ) -> Result<Vec<Sighting>, Away> {
        self.tell_one(application, now).await.unwrap_or_default();
        self.store.stragglers(application, since, limit).await
    }

    /// The last sightings of these pseudonyms with each credential, in the order of the pseudonyms.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    pub async fn sightings(
        &self,
        application: &str,
        pseudonyms: &[String],
        now: UtcDateTime,
    ) -> Result<Vec<Sighting>, Away> {
        self.tell_one(application, now).await.unwrap_or_default();
        self.store.sightings(application, pseudonyms).await
    }

    /// Tells the store what waits of all applications, and then, where it has all of that, that the server lives.
    pub(super) async fn tell(&self, now: UtcDateTime, say: Say) -> Result<(), Away> {
        let mut outboxes = self.outboxes.lock().await;
        let counted = self.counter.waiting();
        let mut beat = outboxes.remove(EVERY_APPLICATION);
        let waiting = outboxes.iter_mut().filter(|(name, outbox)| outbox.waits(now, say) || counted.contains(*name));
        let telling: Vec<_> = waiting.map(|(name, outbox)| self.tell_of(name, outbox, now, say)).collect();
        let told: Vec<_> = stream::iter(telling).buffer_unordered(AT_ONCE).collect().await;
        let mut told = told.into_iter().collect::<Result<(), Away>>();
        if let Some(beat) = &mut beat {
            told = match told {
                Ok(()) => self.tell_of(EVERY_APPLICATION, beat, now, say).await,
                away => away,
            };
        }
        outboxes.extend(beat.map(|beat| (EVERY_APPLICATION.to_owned(), beat)));
        self.metrics.ledger_pending(self.pending());
        told
    }

    /// Tells the store what was seen of one application until now, also where that is nothing: the answer says what the store
    /// has.
    async fn tell_one(&self, name: &str, now: UtcDateTime) -> Result<(), Away> {
        let mut outboxes = self.outboxes.lock().await;
        match outboxes.get_mut(name) {
            Some(outbox) => self.tell_of(name, outbox, now, Say::Anyway).await,
            None => Ok(()),
        }
    }

    /// Tells the store of one application: what waited for it first, then what was counted since. Where this is dropped in
    /// the middle, what was taken is in the outbox, and is sent again under its number.
    async fn tell_of(&self, name: &str, outbox: &mut Outbox, now: UtcDateTime, say: Say) -> Result<(), Away> {
        self.send(name, outbox).await?;
        let pending = self.counter.take(name);
        let lost = pending.lost.and_then(|gap| gap.lost).unwrap_or_default();
        if lost > 0 || pending.blurred > 0 {
            events::CountsLost { application: name, lost, subjects: pending.blurred }.emit(&self.metrics);
        }
        outbox.put(pending, now, say);
        self.send(name, outbox).await
    }

    async fn send(&self, name: &str, outbox: &mut Outbox) -> Result<(), Away> {
        let mut rewinds = 0;
        while let Some(batch) = outbox.first() {
            match self.store.add(&batch).await {
                Ok(Added::Kept) => outbox.kept(),
                Ok(Added::Behind(known)) if rewinds < REWINDS => {
                    rewinds += 1;
                    let lost = outbox.behind(known);
                    events::StoreLostCounts { application: name, lost }.emit(&self.metrics);
                }
                Ok(Added::Behind(_)) | Err(Away) => {
                    self.metrics.ledger_failed();
                    return Err(Away);
                }
            }
        }
        Ok(())
    }
}
