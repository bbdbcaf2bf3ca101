//! What claim sources cost: Sign with three sources hot in the cache beside Sign with the same claims written into the
//! configuration, and the tail of Sign while one of three sources hangs. Numbers are ratios of one run:
//! `cargo bench --bench sources`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on should stop")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::account::{Account, Books};
use countersign::audit::Audit;
use countersign::authority::Authority;
use countersign::caller::Caller;
use countersign::clock::Fixed;
use countersign::config::{self, World};
use countersign::identity::Identity;
use countersign::ledger::Ledger;
use countersign::observe::Metrics;
use countersign::order::SignOrder;
use countersign::pipeline::registry::{KINDS, Kind, Of};
use countersign::pseudonym::Pseudonyms;
use countersign::serve::pipeline;
use countersign::store::Memory;
use countersign_claim_source::{Answer, Ask, Check, ClaimSource, OpenError, SourceKind};
use futures::future::join_all;
use serde_json::{Map, json};
use time::UtcDateTime;
use tokio_util::task::TaskTracker;

/// Signs in a round, and rounds.
const ROUND: usize = 500;
const ROUNDS: usize = 200;
/// The attributes, and what each of them is.
const CLAIMS: [&str; 3] = ["plan", "title", "number"];
const VALUE: &str = "a value of some length";
/// What all sources have together while one hangs.
const BUDGET: Duration = Duration::from_millis(100);
/// Signs under way at once, and how many times over.
const HANGING: (usize, usize) = (64, 20);

/// A source that has its claim at once, or never answers.
struct Bench;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Config {
    claim: Option<String>,
}

#[async_trait::async_trait]
impl SourceKind for Bench {
    const NAME: &'static str = "bench";
    type Config = Config;
    type Checked = Config;

    fn check(config: Config, check: &Check<'_>) -> Option<Config> {
        check.asks_with("user_id");
        Some(config)
    }

    async fn open(config: Config) -> Result<Arc<dyn ClaimSource>, OpenError> {
        Ok(Arc::new(Open(config)))
    }
}

struct Open(Config);

#[async_trait::async_trait]
impl ClaimSource for Open {
    async fn claims(&self, _ask: &Ask) -> Answer {
        match &self.0.claim {
            Some(claim) => Answer::found(Map::from_iter([(claim.clone(), json!(VALUE))])),
            None => std::future::pending().await,
        }
    }
}

/// An authority whose three attributes come each from a source of its own, or all from the only one that there is.
fn authority(runtime: &tokio::runtime::Runtime, source: impl Fn(&str) -> Option<String>) -> Authority {
    let mut config = String::from(
        "[applications.demo]\nprofile = \"featurebase\"\nkeys.jwt = { purpose = \"jwt\", secret = { env = \"S\" } }\n\
         keys.iv = { purpose = \"legacy\", secret = { env = \"IV\" } }\n",
    );
    config.push_str(&format!("claims = {{ budget_ms = {} }}\n", BUDGET.as_millis()));
    let sources: Vec<_> = CLAIMS.iter().filter_map(|claim| Some((*claim, source(claim)?))).collect();
    for claim in CLAIMS {
        let from = sources.iter().find(|(name, _)| *name == claim).map_or(CLAIMS[0], |(name, _)| name);
        config.push_str(&format!("attributes.{claim} = {{ type = \"string\", from = [\"{from}s\"] }}\n"));
    }
    for (claim, rules) in &sources {
        let sets = if sources.len() == 1 { CLAIMS.to_vec() } else { vec![*claim] };
        config.push_str(&format!("[sources.{claim}s]\nsets = {sets:?}\n{rules}\n"));
    }
    let env = BTreeMap::from(
        [("S", "jwt-secret"), ("IV", "iv-secret")]
            .map(|(name, secret)| (name.to_owned(), format!("{secret}-of-the-benchmark-0123456789"))),
    );
    // 2026-06-01: results do not depend on the day.
    let now = UtcDateTime::from_unix_timestamp(1_780_272_000).unwrap();
    let kinds: Vec<&dyn Kind> = KINDS.iter().copied().chain([&Of::<Bench>::KIND as &dyn Kind]).collect();
    let world = World { env: &env, now, kinds: &kinds, dev: true };
    let settings = config::parse("benchmark", &config, world).unwrap();
    let metrics = Arc::new(Metrics::default());
    let pipeline = runtime.block_on(pipeline(&settings, None, &TaskTracker::new())).unwrap();
    let (_, _, snapshot) = runtime.block_on(settings.open(&metrics)).unwrap();
    let store = Arc::new(Memory::default());
    let names = snapshot.applications.keys().map(String::as_str);
    let ledger = Ledger::new(names, Arc::<Memory>::clone(&store), Arc::clone(&metrics), now);
    let books =
        Books { metrics, pseudonyms: Pseudonyms::from_secret(b"of the tests"), ledger, audit: Audit::default() };
    let authority = Authority::new(Arc::new(Fixed::at(now)), snapshot, store, pipeline, books);
    runtime.block_on(authority.follow_policies(None)).unwrap();
    runtime.block_on(authority.ledger().introduce(now)).unwrap();
    authority
}

fn order() -> SignOrder {
    let identity = Identity { user_id: Some("123456".to_owned()), ..Identity::default() };
    SignOrder { application: "demo".to_owned(), identity, ..SignOrder::default() }
}

/// How long so many Signs take.
fn timed(runtime: &tokio::runtime::Runtime, authority: &Authority, caller: &Caller, order: &SignOrder) -> f64 {
    let began = Instant::now();
    runtime.block_on(async {
        for _ in 0..ROUND {
            black_box(authority.sign(&mut Account::open("", caller, ""), black_box(order)).await).unwrap();
        }
    });
    began.elapsed().as_secs_f64()
}

/// Sign with three sources hot in the cache, against Sign with the same claims written into the configuration: as three
/// static sources, and as one. Round by round in turn, so that what else the machine does falls on all of them.
fn hot(out: &mut impl std::io::Write) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (caller, order) = (Caller::anyone("benchmark"), order());
    let in_cache = authority(&runtime, |claim| {
        let config = format!("config = {{ claim = \"{claim}\" }}");
        Some(format!("kind = \"bench\"\non_error = \"refuse\"\nfresh_secs = 3600\n{config}"))
    });
    let written = |claims: &str| {
        Some(format!("kind = \"static\"\non_error = \"refuse\"\nconfig = {{ claims = {{ {claims} }} }}"))
    };
    let three = authority(&runtime, |claim| written(&format!("{claim} = \"{VALUE}\"")));
    let all = CLAIMS.map(|claim| format!("{claim} = \"{VALUE}\"")).join(", ");
    let one = authority(&runtime, |claim| (claim == CLAIMS[0]).then(|| written(&all)).flatten());
    let (mut against_three, mut against_one) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let [hot, three, one] = [&in_cache, &three, &one].map(|authority| timed(&runtime, authority, &caller, &order));
        against_three.push(hot / three);
        against_one.push(hot / one);
    }
    for (name, mut ratios) in [("three static sources", against_three), ("one static source", against_one)] {
        ratios.sort_by(f64::total_cmp);
        let at = |percent: usize| ratios.get(ratios.len() * percent / 100).copied().unwrap_or_default();
        writeln!(out, "sign, three sources hot in the cache / {name}").unwrap();
        writeln!(out, "  median {:.2}, quartiles {:.2} to {:.2}", at(50), at(25), at(75)).unwrap();
    }
}

/// The tail of Sign while one of three sources hangs, with the breaker out of the way.
fn hanging(out: &mut impl std::io::Write) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (caller, order) = (Caller::anyone("benchmark"), order());
    let authority = authority(&runtime, |claim| {
        let config = if claim == "plan" { "{}".to_owned() } else { format!("{{ claim = \"{claim}\" }}") };
        let rules = "on_error = \"omit\"\nbreaker_failures = 1000000\nconcurrency = 1000";
        Some(format!("kind = \"bench\"\n{rules}\nconfig = {config}"))
    });
    let one = || async {
        let began = Instant::now();
        authority.sign(&mut Account::open("", &caller, ""), &order).await.unwrap();
        began.elapsed().as_secs_f64() / BUDGET.as_secs_f64()
    };
    let (at_once, times) = HANGING;
    let mut shares: Vec<f64> = runtime.block_on(async {
        let mut shares = Vec::new();
        for _ in 0..times {
            shares.extend(join_all((0..at_once).map(|_| one())).await);
        }
        shares
    });
    shares.sort_by(f64::total_cmp);
    let at = |percent: usize| shares.get(shares.len() * percent / 100).copied().unwrap_or_default();
    let over = (at(99) - 1.0) * BUDGET.as_secs_f64() * 1_000.0;
    writeln!(out, "sign while one of three sources hangs, {} calls, / the budget of {BUDGET:?}", at_once * times)
        .unwrap();
    writeln!(out, "  median {:.3}, p99 {:.3}, which is {over:.1} ms over it", at(50), at(99)).unwrap();
}

fn main() {
    // `cargo test --benches` runs benchmarks with `--test`: that they start is all it asks.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap_or_default();
    let mut out = std::io::stdout();
    hot(&mut out);
    hanging(&mut out);
}
