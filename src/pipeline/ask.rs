//! How one source is asked for one user: from the cache while that is fresh, from the other replicas, from the place
//! itself, and from the cache again where the operator takes the old for the missing.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use countersign_claim_source::{Ask, Why};
use futures::FutureExt as _;
use time::UtcDateTime;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::claims::{Fragment, value};
use super::flights::Flights;
use super::kept::{Entry, Kept, Key, Tag, Use};
use super::plan::Part;
use super::shared::{Seal, Shared, SharedEntries, Unreachable, Written};
use super::source::{Deadline, Failure, Found, OnError, Source};
use crate::application::Application;
use crate::identity::{Identity, Subject};
use crate::limits;
use crate::observe::events;
use crate::refusal::Reason;

/// How long the second level may keep a request waiting.
const SHARED_WAIT: Duration = Duration::from_millis(50);

/// Asks claim sources, and keeps what they said.
#[derive(Clone, Debug)]
pub struct Pipeline(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept: Kept,
    flights: Flights<Result<Told, Failure>>,
    seal: Arc<Seal>,
    shared: Option<Shared>,
    tasks: TaskTracker,
}

/// One source, asked for one user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'q> {
    pub(super) application: &'q Arc<Application>,
    pub(super) source: &'q Arc<Source>,
    pub(super) part: &'q Part,
    pub(super) now: UtcDateTime,
    /// Until when the request can wait.
    pub(super) until: Instant,
}

/// What a source is told to have said.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The claims; none where it does not know the subject.
    pub(super) fragment: Option<Arc<Fragment>>,
    /// How long ago.
    pub(super) age: Duration,
    /// Whether that is past its freshness.
    pub(super) stale: bool,
    /// Whether that is because the source failed just now.
    pub(super) failed: bool,
}

impl Told {
    fn kept(entry: &Entry, good: Use, now: UtcDateTime) -> Self {
        let stale = good == Use::Stale;
        Self { fragment: entry.fragment.clone(), age: entry.age(now), stale, failed: false }
    }
}

/// What a flight takes along: everything of a question, and nothing borrowed.
struct Trip {
    pipeline: Pipeline,
    application: Arc<Application>,
    source: Arc<Source>,
    ask: Ask,
    key: Key,
    tags: Vec<Tag>,
    epoch: u64,
    now: UtcDateTime,
}

impl Pipeline {
    /// A pipeline that keeps what it is told in this process; `tasks` are those that outlive a request.
    #[must_use]
    pub fn new(seal: Seal, tasks: TaskTracker) -> Self {
        Self::with(seal, None, tasks)
    }

    /// A pipeline that shares with other replicas what the operator lets it.
    #[must_use]
    pub fn sharing(seal: Seal, entries: Arc<dyn SharedEntries>, tasks: TaskTracker) -> Self {
        Self::with(seal, Some(entries), tasks)
    }

    fn with(seal: Seal, entries: Option<Arc<dyn SharedEntries>>, tasks: TaskTracker) -> Self {
        let seal = Arc::new(seal);
        let shared = entries.map(|entries| Shared::new(entries, Arc::clone(&seal)));
        let kept = Kept::with_room(limits::CACHE_BYTES);
        Self(Arc::new(Inner { kept, flights: Flights::new(tasks.clone()), seal, shared, tasks }))
    }

    /// Drops what is kept about a subject, here and, where there are other replicas, there too. Nothing is kept here in
    /// any case; the error says that the others could not be told.
    pub async fn invalidate(&self, application: &str, subject: &Subject, now: UtcDateTime) -> Result<(), Unreachable> {
        let tag = self.tag(application, subject);
        self.0.kept.forget(tag, now);
        match &self.0.shared {
            None => Ok(()),
            Some(shared) => {
                shared.entries.announce(&tag).await?;
                shared.entries.forget(&tag).await
            }
        }
    }

    /// Drops what is kept here about a subject or an entry that another replica named.
    pub fn heard(&self, tag: Tag, now: UtcDateTime) {
        self.0.kept.forget(tag, now);
        if let Some(shared) = self.0.shared.clone() {
            // A replica whose question was under way may have laid its answer there after the first removal. Whatever
            // else is to be heard does not wait for that.
            self.0.tasks.spawn(async move { shared.entries.forget(&tag).await.unwrap_or_default() });
        }
    }

    /// Drops all that is kept here: nobody knows what other replicas said in the meantime.
    pub fn forget_all(&self) {
        self.0.kept.forget_all();
    }

    fn tag(&self, application: &str, subject: &Subject) -> Tag {
        let parts = [b"subject".as_slice(), application.as_bytes(), subject.kind.name().as_bytes()];
        self.0.seal.name(&[parts.as_slice(), &[subject.value.as_bytes()]].concat())
    }

    /// What the source said before, where that still is an answer. Nothing is awaited on this way.
    pub(super) fn remembers(&self, question: &Question<'_>, identity: &Identity) -> Option<Told> {
        let Question { source, part, now, .. } = *question;
        if !source.keeps() {
            return None;
        }
        let (entry, good) = self.0.kept.find(&part.key(identity), now)?;
        (good == Use::Fresh).then(|| {
            source.counts.fresh.inc();
            Told::kept(&entry, good, now)
        })
    }

    /// What the source says, or why there is no answer.
    pub(super) async fn ask(&self, question: Question<'_>, identity: &Identity) -> Result<Told, Failure> {
        let Question { application, source, part, now, .. } = question;
        let deadline = Deadline::of(source.rules.timeout, Some(question.until));
        if !source.keeps() {
            let (found, fragment) = fetch(application, source, question.ask(identity), deadline).await?;
            return Ok(Told::now(found.claims.is_some().then_some(fragment)));
        }
        let key = part.key(identity);
        match self.0.kept.find(&key, now) {
            Some((entry, Use::Stale)) if !source.rules.fresh.is_zero() => {
                source.counts.stale.inc();
                // The answer is for whoever comes next.
                drop(self.fly(&question, identity, &key));
                return Ok(Told::kept(&entry, Use::Stale, now));
            }
            Some(_) | None => source.counts.miss.inc(),
        };
        let began = Instant::now();
        let coming = self.fly(&question, identity, &key);
        let outcome = match timeout_at(deadline.at(), coming).await {
            Ok(landed) => landed.unwrap_or(Err(Failure::Bug)),
            Err(_elapsed) => {
                // The question goes on, for whoever comes next, and is told when it ends; this request is told now.
                let (application, source) = (&application.name, &source.name);
                let (outcome, why) = ("gave_up", "no answer while the request could wait");
                events::SourceFailed { application, source, outcome, reason: Reason::SourceTimedOut, why }.emit();
                events::SourceCalled { counts: &question.source.counts, outcome, took: began.elapsed() }.emit();
                Err(Failure::TimedOut)
            }
        };
        match outcome {
            Err(
                Failure::Unavailable(_)
                | Failure::LeftAlone
                | Failure::TimedOut
                | Failure::Crowded
                | Failure::Malformed(_),
            ) if source.rules.on_error == OnError::Stale => {
                let old = self.0.kept.find(&key, now).map(|(entry, good)| {
                    source.counts.stale.inc();
                    Told::kept(&entry, good, now)
                });
                old.map(|told| Told { stale: true, failed: true, ..told }).map_or(outcome, Ok)
            }
            outcome => outcome,
        }
    }

    /// Joins the question that is under way, or sends it out.
    fn fly(
        &self,
        question: &Question<'_>,
        identity: &Identity,
        key: &Key,
    ) -> impl Future<Output = Option<Result<Told, Failure>>> + use<> {
        let (kept, now) = (&self.0.kept, question.now);
        let epoch = kept.epoch();
        let landed = || {
            let (entry, good) = kept.find(key, now).filter(|(_, good)| *good == Use::Fresh)?;
            Some(Ok(Told::kept(&entry, good, now)))
        };
        self.0.flights.join(key.clone(), epoch, landed, || {
            // The entry itself is named too: what a source denies is dropped on every replica.
            let entry = self.0.seal.name(&[b"entry", key]);
            let subjects = identity.subjects().map(|subject| self.tag(&question.application.name, &subject));
            let tags = std::iter::once(entry).chain(subjects);
            let trip = Trip {
                pipeline: self.clone(),
                application: Arc::clone(question.application),
                source: Arc::clone(question.source),
                ask: question.ask(identity),
                tags: tags.collect(),
                key: key.clone(),
                epoch,
                now,
            };
            trip.go()
        })
    }
}

impl Trip {
    /// Looks at what other replicas have, asks the place, and keeps what it said.
    async fn go(self) -> Result<Told, Failure> {
        let kept = &self.pipeline.0.kept;
        let shared = self.pipeline.0.shared.as_ref().filter(|_| self.source.rules.shared);
        let rules = &self.source.rules;
        let mut was_kept = kept.has(&self.key);
        if let Some(shared) = shared
            && let Some(written) = shared.find(&self.key, SHARED_WAIT.min(rules.timeout / 4)).await
            && let Some(entry) = self.entry(&written)
        {
            was_kept = true;
            let good = entry.good_for(self.now).filter(|_| kept.stands(entry.epoch, &entry.tags));
            let told = good.map(|good| Told::kept(&entry, good, self.now));
            kept.keep(self.key.clone(), entry);
            if let Some(told) = told.filter(|told| !told.stale) {
                self.source.counts.shared.inc();
                return Ok(told);
            }
        }
        let deadline = Deadline::of(rules.timeout, None);
        let fetched = fetch(&self.application, &self.source, self.ask.clone(), deadline).await;
        let (found, fragment) = match fetched {
            // What is kept may still stand in, unless the place itself says no.
            Err(Failure::Denied(why)) => {
                self.drop(was_kept).await;
                return Err(Failure::Denied(why));
            }
            Err(failure) => return Err(failure),
            Ok((_, fragment)) if fragment.malformed().is_some() && rules.on_error == OnError::Stale => {
                return Err(Failure::Malformed(Why::from("a claim is not what the application declares")));
            }
            // One claim is wrong and the others are not: that is for this request, and nothing to keep.
            Ok((_, fragment)) if fragment.malformed().is_some() => return Ok(Told::now(Some(fragment))),
            Ok(fetched) => fetched,
        };
        let known = found.claims.is_some();
        let fragment = known.then_some(fragment);
        match Entry::of(fragment.clone(), found.fresh_for, rules, self.now, (self.epoch, self.tags.clone())) {
            None => self.drop(was_kept).await,
            Some(entry) => {
                let life = entry.fresh + entry.stale;
                kept.keep(self.key.clone(), entry);
                if let Some(shared) = shared {
                    self.share(shared.clone(), found, life);
                }
            }
        }
        Ok(Told::now(fragment))
    }

    /// Lays the answer where other replicas find it. Nobody waits for that.
    fn share(&self, shared: Shared, found: Found, life: Duration) {
        let asked_at = (self.now.unix_timestamp(), self.now.nanosecond());
        let fresh_for = found.fresh_for.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let written = Written { asked_at, claims: found.claims, fresh_for };
        let (pipeline, key, tags, epoch) = (self.pipeline.clone(), self.key.clone(), self.tags.clone(), self.epoch);
        self.pipeline.0.tasks.spawn(async move {
            shared.keep(&key, &written, life, &tags).await;
            if !pipeline.0.kept.stands(epoch, &tags) {
                // It was invalidated in the meantime, perhaps before it lay there.
                shared.remove(&key).await;
            }
        });
    }

    /// What was kept is not so any more, wherever it lies.
    async fn drop(&self, was_kept: bool) {
        self.pipeline.0.kept.drop(&self.key);
        if let Some(shared) = self.pipeline.0.shared.clone().filter(|_| self.source.rules.shared && was_kept)
            && let Some(tag) = self.tags.first().copied()
        {
            // Not to be found there again either, also where it cannot be removed now.
            self.pipeline.0.kept.forget(tag, self.now);
            self.pipeline.0.tasks.spawn(async move {
                shared.entries.announce(&tag).await.unwrap_or_default();
                shared.entries.forget(&tag).await.unwrap_or_default();
            });
        }
    }

    /// What another replica laid there, judged as if it had come from the source.
    fn entry(&self, written: &Written) -> Option<Entry> {
        let claims = written.claims.as_ref();
        let fragment = claims.map(|claims| Arc::new(Fragment::of(&self.application, &self.source.name, claims)));
        if fragment.as_ref().is_some_and(|fragment| fragment.malformed().is_some()) {
            return None;
        }
        let asked_at = written.asked_at()?;
        if !self.pipeline.0.kept.stands_since(asked_at, &self.tags) {
            return None;
        }
        let fresh_for = written.fresh_for.map(Duration::from_millis);
        Entry::of(fragment, fresh_for, &self.source.rules, asked_at, (self.epoch, self.tags.clone()))
    }
}

impl Told {
    const fn now(fragment: Option<Arc<Fragment>>) -> Self {
        Self { fragment, age: Duration::ZERO, stale: false, failed: false }
    }
}

impl Question<'_> {
    fn ask(&self, identity: &Identity) -> Ask {
        let known = self.part.known.iter().filter_map(|name| Some((name.clone(), value(identity, name)?)));
        Ask {
            application: self.application.name.as_str().into(),
            user_id: identity.user_id.clone(),
            email: identity.email.clone(),
            known: known.collect(),
            wanted: Arc::clone(&self.part.wanted),
            time: Duration::ZERO,
        }
    }
}

/// Asks the place, and judges what it says. One span, one log line and one count, whatever comes of it.
async fn fetch(
    application: &Application,
    source: &Source,
    ask: Ask,
    deadline: Deadline,
) -> Result<(Found, Arc<Fragment>), Failure> {
    let name = &*source.name;
    let span = tracing::info_span!("source_call", source = name, application = application.name);
    let began = Instant::now();
    let called = async {
        let judged = async {
            source.call(ask, deadline).await.map(|found| {
                let claims = found.claims.as_ref();
                let fragment = claims.map(|claims| Fragment::of(application, name, claims)).unwrap_or_default();
                (found, Arc::new(fragment))
            })
        };
        let outcome = AssertUnwindSafe(judged).catch_unwind().await.unwrap_or(Err(Failure::Bug));
        let (word, trouble) = match &outcome {
            Ok((_, fragment)) if fragment.malformed().is_some() => {
                let claim = fragment.malformed().unwrap_or_default();
                let why = format!("claim {claim} is not what the application declares");
                ("malformed", Some((Reason::SourceMalformed, why)))
            }
            Ok((Found { claims: Some(_), .. }, _)) => ("found", None),
            Ok((Found { claims: None, .. }, _)) => ("absent", None),
            // That it is left alone was said when that began; a line for each request would bury what else there is.
            Err(failure @ Failure::LeftAlone) => (failure.told().0, None),
            Err(failure) => {
                let (word, why) = failure.told();
                (word, Some((failure.reason(), why)))
            }
        };
        if let Some((reason, why)) = &trouble {
            let application = &application.name;
            events::SourceFailed { application, source: name, outcome: word, reason: *reason, why }.emit();
        }
        events::SourceCalled { counts: &source.counts, outcome: word, took: began.elapsed() }.emit();
        outcome
    };
    called.instrument(span).await
}

/// The sources that are open, by name.
pub type Sources = BTreeMap<String, Arc<Source>>;
