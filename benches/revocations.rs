//! What ten million live revocations cost: Verify beside a server on which nothing is revoked, and the memory that they
//! take. Numbers are ratios of one run: `cargo bench --bench revocations`. Linux alone says how much memory it is.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on should stop")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use countersign::account::{Account, Books};
use countersign::audit::Audit;
use countersign::authority::Authority;
use countersign::caller::Caller;
use countersign::clock::Fixed;
use countersign::config::{self, World, dev};
use countersign::identity::Identity;
use countersign::ledger::Ledger;
use countersign::observe::Metrics;
use countersign::order::{SignOrder, VerifyOrder};
use countersign::pipeline::registry::KINDS;
use countersign::pseudonym::Pseudonyms;
use countersign::serve::pipeline;
use countersign::store::{FOREVER, Mark, Memory, Revoked, Revoking as _, name};
use time::UtcDateTime;
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

/// Revocations, and how many are made at once.
const MANY: usize = 10_000_000;
const CHUNK: usize = 100_000;
/// Verifies in a round, and rounds.
const ROUND: usize = 500;
const ROUNDS: usize = 200;
/// Bytes of a page, which is what the kernel counts in.
const PAGE: usize = 4_096;
/// 2026-06-01: results do not depend on the day.
const NOW: i64 = 1_780_272_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let none = authority(&runtime, Arc::new(Memory::default()));
    let one = authority(&runtime, revoked(&runtime, 1));
    let before = resident();
    let store = revoked(&runtime, MANY);
    let bytes = resident().saturating_sub(before) as f64 / MANY as f64;
    let many = authority(&runtime, store);
    let authorities = [&none, &one, &many];
    let mut took = [Vec::new(), Vec::new(), Vec::new()];
    // Round by round in turn, so that what else the machine does falls on all of them.
    for _ in 0..ROUNDS {
        for (authority, took) in authorities.iter().zip(&mut took) {
            took.push(timed(&runtime, authority));
        }
    }
    let [none, one, many] = took.map(median);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Verify of a JWT with {MANY} revocations: {:.2} x with none, {:.2} x with one",
        many / none,
        many / one
    )
    .unwrap();
    writeln!(out, "{bytes:.0} bytes of memory for each").unwrap();
}

fn authority(runtime: &Runtime, store: Arc<Memory>) -> Authority {
    let secret = |name: &str| (name.to_owned(), format!("{name} of the benchmark, which is long enough"));
    let env: BTreeMap<String, String> = dev::SECRETS.into_iter().map(secret).collect();
    let now = UtcDateTime::from_unix_timestamp(NOW).unwrap();
    let world = World { env: &env, now, kinds: KINDS, dev: true };
    let settings = config::parse("benchmark", dev::CONFIGURATION, world).unwrap();
    let metrics = Arc::new(Metrics::default());
    let pipeline = runtime.block_on(pipeline(&settings, None, &TaskTracker::new())).unwrap();
    let (_, _, snapshot) = runtime.block_on(settings.open(&metrics)).unwrap();
    let names = snapshot.applications.keys().map(String::as_str);
    let ledger = Ledger::new(names, Arc::<Memory>::clone(&store), Arc::clone(&metrics), now);
    let books =
        Books { metrics, pseudonyms: Pseudonyms::from_secret(b"of the benchmark"), ledger, audit: Audit::default() };
    let authority = Authority::new(Arc::new(Fixed::at(now)), snapshot, store, pipeline, books);
    runtime.block_on(authority.follow_policies(None)).unwrap();
    runtime.block_on(authority.ledger().introduce(now)).unwrap();
    authority
}

/// A store in which so many are revoked, of nobody who signs in here.
fn revoked(runtime: &Runtime, many: usize) -> Arc<Memory> {
    let store = Memory::with_room(many);
    let now = UtcDateTime::from_unix_timestamp(NOW).unwrap();
    for first in (0..many).step_by(CHUNK) {
        let chunk = (first..many.min(first + CHUNK)).map(|index| Revoked {
            name: name(&["benchmark", &index.to_string()]),
            application: String::new(),
            mark: Mark { at: NOW, until: FOREVER },
        });
        runtime.block_on(store.revoke(chunk.collect(), now)).unwrap();
    }
    Arc::new(store)
}

/// How long so many Verifies take.
fn timed(runtime: &Runtime, authority: &Authority) -> f64 {
    let caller = Caller::anyone("benchmark");
    let identity = Identity {
        user_id: Some("123456".to_owned()),
        email: Some("user@example.com".to_owned()),
        ..Identity::default()
    };
    let sign = SignOrder { application: dev::APPLICATION.to_owned(), identity, ..SignOrder::default() };
    runtime.block_on(async {
        let signed = authority.sign(&mut Account::open("", &caller, ""), &sign).await.unwrap();
        let jwt = Some(signed.token.token);
        let order = VerifyOrder { application: dev::APPLICATION.to_owned(), jwt, ..VerifyOrder::default() };
        let began = Instant::now();
        for _ in 0..ROUND {
            black_box(authority.verify(&mut Account::open("", &caller, ""), black_box(&order)).await).unwrap();
        }
        began.elapsed().as_secs_f64()
    })
}

/// Bytes of memory that the process has now.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap()
}
