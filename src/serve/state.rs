//! What a server keeps and what it shares, opened as the configuration says; and the tasks that keep it and hear of it for
//! as long as the server lives.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use tokio_util::task::TaskTracker;

use super::audit::audit;
use crate::account::Books;
use crate::application::Application;
use crate::authority::Authority;
use crate::clock::{Clock, System};
use crate::config::{Settings, Store};
use crate::ledger::Ledger;
use crate::observe::{Metrics, events};
use crate::pipeline::{Pipeline, Seal};
use crate::pseudonym::Pseudonyms;
use crate::revocation::least_end;
use crate::runtime;
use crate::store::{Documents as _, Embedded, Heard, Memory, Place, Replicated, SharedClaims, SharedRedis, State};

/// How often it is asked for policies that were set at run time.
const POLICIES: Duration = Duration::from_millis(500);
/// The pause after a task that must not end has ended.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the store may take at the end to have what was counted last.
const LAST: Duration = Duration::from_secs(5);

/// The Redis that servers share, where there is one.
#[must_use]
pub fn shared_redis(settings: &Settings) -> Option<SharedRedis> {
    match &settings.store {
        Some(Store::Redis(place)) => Some(SharedRedis::new(Place::clone(place))),
        Some(Store::Embedded { .. }) | None => None,
    }
}

/// The state, where the configuration says that it is kept; in memory where it says nothing.
pub async fn state(
    settings: &Settings,
    redis: Option<SharedRedis>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    tasks: &TaskTracker,
) -> anyhow::Result<Arc<dyn State>> {
    let expected = settings.applications.iter().map(|one| (one.name.clone(), one.expected.clone()));
    let expected: BTreeMap<_, _> = expected.collect();
    let least = move |name: &str, at| expected.get(name).map_or(at, |expected| least_end(expected, at));
    if let Some(redis) = redis {
        let opened = Arc::new(Replicated::open(redis, clock.now(), Box::new(least)).await.context("store.url")?);
        tasks.spawn(hear_revocations(Arc::clone(&opened), clock, metrics));
        return Ok(opened);
    }
    let Some(Store::Embedded { path }) = &settings.store else { return Ok(Arc::new(Memory::default())) };
    let opened = Embedded::open(path, clock.now(), least);
    Ok(Arc::new(opened.with_context(|| format!("store.path, {}", path.display()))?))
}

/// What requests are written down in. The secret of the pseudonyms is the configured one, or is made once and kept in the
/// store, where there is one server alone.
pub(super) async fn books(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    state: &Arc<dyn State>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Books> {
    const SECRET: (&str, &str) = ("secrets", "pseudonyms");
    let pseudonyms = match &settings.server.pseudonym_secret {
        Some(secret) => Pseudonyms::from_secret(secret.expose()),
        None => {
            let mut made = vec![0; 32];
            aws_lc_rs::rand::fill(&mut made).context("this machine gives no randomness")?;
            // One that is there already is not replaced.
            state.keep(SECRET.0, SECRET.1, 0, made).await.context("the store")?;
            let kept = state.document(SECRET.0, SECRET.1).await.context("the store")?;
            Pseudonyms::from_secret(&kept.context("the store lost what it just kept")?.bytes)
        }
    };
    let applications = settings.applications.iter().map(|application| application.name.as_str());
    let ledger = Ledger::new(applications, Arc::<dyn State>::clone(state), Arc::clone(metrics), clock.now());
    let audit = audit(settings, clock, state, &pseudonyms, metrics)?;
    Ok(Books { metrics: Arc::clone(metrics), pseudonyms, ledger, audit })
}

/// Tells the store what is counted, for ever, also after a bug.
pub(super) async fn keep_counts(authority: &Authority) -> Infallible {
    loop {
        let keeping = authority.ledger().keep(|| authority.present().1);
        drop(AssertUnwindSafe(keeping).catch_unwind().await);
        tokio::time::sleep(AGAIN).await;
    }
}

/// Tells the store the rest. Where something is still under way, this is not the orderly end, and whoever reads is told of a
/// gap; so it is where the store does not take it.
pub(super) async fn keep_last_counts(authority: &Authority, under_way: bool) {
    let (ledger, now) = (authority.ledger(), authority.present().1);
    let last = async { if under_way { ledger.flush(now).await } else { ledger.end(now).await } };
    let told = tokio::time::timeout(LAST, last).await;
    if !matches!(told, Ok(Ok(()))) {
        events::LedgerKept { away: true }.emit();
    }
}

/// Hears what is revoked, for ever, also after a bug.
async fn hear_revocations(store: Arc<Replicated>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) {
    loop {
        let following = store.follow(&*clock, |unheard| metrics.revocations_unheard(unheard));
        drop(AssertUnwindSafe(following).catch_unwind().await);
        tokio::time::sleep(AGAIN).await;
    }
}

/// Takes over the policies that are set at run time, for ever.
pub async fn follow_policies(authority: Arc<Authority>) {
    let mut known = None;
    loop {
        let following = AssertUnwindSafe(authority.follow_policies(known)).catch_unwind().await;
        // A store that is away changes nothing: what was known last stays in force.
        known = following.ok().and_then(Result::ok).or(known);
        tokio::time::sleep(POLICIES).await;
    }
}

/// The pipeline: with what replicas share, where the store is one that they do.
pub async fn pipeline(
    settings: &Settings,
    redis: Option<SharedRedis>,
    tasks: &TaskTracker,
) -> anyhow::Result<Pipeline> {
    let (Some(redis), Some(secret)) = (redis, &settings.server.pseudonym_secret) else {
        let seal = Seal::random().context("this machine gives no randomness")?;
        return Ok(Pipeline::new(seal, tasks.clone()));
    };
    let claims = SharedClaims::open(redis).await;
    let seal = Seal::from_secret(secret.expose()).context("the keys of the shared cache")?;
    let pipeline = Pipeline::sharing(seal, Arc::new(claims.clone()), tasks.clone());
    tasks.spawn(hear_replicas(claims, pipeline.clone()));
    Ok(pipeline)
}

/// Does what other replicas say, for ever. After a bug it begins anew, with nothing that could have been missed.
async fn hear_replicas(claims: SharedClaims, pipeline: Pipeline) {
    let hear = |heard| {
        let pipeline = pipeline.clone();
        async move {
            match heard {
                Heard::Again => events::ReplicasHeard.emit(),
                Heard::Nothing => events::ReplicasUnheard.emit(),
                Heard::Gap => pipeline.forget_all(),
                Heard::Forget(tag) => pipeline.heard(tag, System.now()),
            }
        }
    };
    loop {
        let listening = AssertUnwindSafe(claims.listen(hear)).catch_unwind();
        drop(listening.await);
        pipeline.forget_all();
        tokio::time::sleep(AGAIN).await;
    }
}

/// What was set at run time, where the store can be looked into from here.
pub(super) fn runtime_policies(settings: &Settings) -> Result<BTreeMap<String, Option<Application>>, &'static str> {
    let look = async {
        match &settings.store {
            None => Ok(BTreeMap::new()),
            Some(Store::Embedded { path }) => Embedded::look(path, runtime::KIND),
            Some(Store::Redis(place)) => {
                let documents = SharedRedis::new(Place::clone(place)).documents(runtime::KIND).await;
                documents.map_err(|_away| "the store cannot be reached from here")
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let documents = runtime.map_err(|_error| "this machine gives no timers or sockets")?.block_on(look)?;
    Ok(runtime::set_at_run_time(&settings.applications, &documents))
}
