//! What a request costs in process: Sign, Verify and LegacyHash of the guide's user, beside `jsonwebtoken` on the same
//! claims. The numbers are ratios of one run: `cargo bench`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on should stop")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use countersign::account::{Account, Books, Ending};
use countersign::authority::Authority;
use countersign::caller::Caller;
use countersign::clock::{Clock, Fixed};
use countersign::config::{self, World, dev};
use countersign::identity::{Company, Identity};
use countersign::ledger::Ledger;
use countersign::observe::Metrics;
use countersign::order::{HashOrder, LegacyProof, SignOrder, VerifyOrder};
use countersign::pipeline::registry::KINDS;
use countersign::pseudonym::Pseudonyms;
use countersign::serve::{self, pipeline};
use countersign::store::{Memory, State};
use criterion::{Criterion, criterion_group, criterion_main};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value, json};
use time::UtcDateTime;
use tokio_util::task::TaskTracker;

const JWT_SECRET: &str = "benchmark-jwt-secret-0123456789abcdef";
const IV_SECRET: &str = "benchmark-iv-secret-0123456789abcdef";

/// An authority, with the configuration of an audit log or without one.
fn authority(runtime: &tokio::runtime::Runtime, audit: &str) -> Authority {
    let secrets = dev::SECRETS.into_iter().zip([JWT_SECRET, IV_SECRET]);
    let env: BTreeMap<String, String> = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    // 2026-06-01: results do not depend on the day.
    let now = UtcDateTime::from_unix_timestamp(1_780_272_000).unwrap();
    let world = World { env: &env, now, kinds: KINDS, dev: true };
    let configuration = format!("{}\n{audit}", dev::CONFIGURATION);
    let settings = config::parse("benchmark", &configuration, world).unwrap();
    let metrics = Arc::new(Metrics::default());
    let pipeline = runtime.block_on(pipeline(&settings, None, &TaskTracker::new())).unwrap();
    let (clock, state): (Arc<dyn Clock>, Arc<dyn State>) = (Arc::new(Fixed::at(now)), Arc::new(Memory::default()));
    let pseudonyms = Pseudonyms::from_secret(b"of the tests");
    let audit = async { serve::audit(&settings, Arc::clone(&clock), &state, &pseudonyms, &metrics).unwrap() };
    let audit = runtime.block_on(audit);
    let (_, _, snapshot) = runtime.block_on(settings.open(&metrics)).unwrap();
    let names = snapshot.applications.keys().map(String::as_str);
    let ledger = Ledger::new(names, Arc::<dyn State>::clone(&state), Arc::clone(&metrics), now);
    let books = Books { metrics, pseudonyms, ledger, audit };
    let authority = Authority::new(clock, snapshot, state, pipeline, books);
    runtime.block_on(authority.follow_policies(None)).unwrap();
    runtime.block_on(authority.ledger().introduce(now)).unwrap();
    authority
}

fn guide() -> Identity {
    let members = |value: Value| value.as_object().cloned().unwrap_or_else(Map::new);
    Identity {
        user_id: Some("123456".to_owned()),
        email: Some("user@example.com".to_owned()),
        name: Some("User Name".to_owned()),
        profile_picture: Some("https://example.com/images/yourcustomer.png".to_owned()),
        companies: vec![Company {
            id: "987654321".to_owned(),
            name: Some("Business Inc. 23".to_owned()),
            monthly_spend: Some(500.into()),
            created_at: None,
            attributes: members(json!({"industry": "Fintech", "location": "Canada"})),
        }],
        attributes: members(json!({"title": "Product Manager", "plan": "Premium", "number": "123"})),
        ..Identity::default()
    }
}

fn benchmark(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = format!("[audit]\n[[audit.sinks]]\nkind = \"file\"\npath = {:?}\n", folder.path().join("audit.log"));
    let (authority, audited) = (authority(&runtime, ""), authority(&runtime, &log));
    let caller = Caller::anyone("benchmark");
    let application = dev::APPLICATION.to_owned();

    let order = SignOrder { application: application.clone(), identity: guide(), ..SignOrder::default() };
    let token = runtime.block_on(authority.sign(&mut Account::open("", &caller, ""), &order)).unwrap().token.token;
    let hash_order = HashOrder {
        application: application.clone(),
        identity: Identity { user_id: Some("123456".to_owned()), ..Identity::default() },
        ..HashOrder::default()
    };
    let (_, hash) = authority.legacy_hash(&mut Account::open("", &caller, ""), &hash_order).unwrap().user.unwrap();
    let verify_jwt =
        VerifyOrder { application: application.clone(), jwt: Some(token.clone()), ..VerifyOrder::default() };
    let proof = LegacyProof { user_hash: hash, ..LegacyProof::default() };
    let verify_hash = VerifyOrder { application, legacy: Some(proof), asserted: guide(), ..VerifyOrder::default() };

    let (encoding, decoding) =
        (EncodingKey::from_secret(JWT_SECRET.as_bytes()), DecodingKey::from_secret(JWT_SECRET.as_bytes()));
    let mut validation = Validation::new(Algorithm::HS256);
    // The clock of the benchmark stands in the past or the future of the machine's.
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Value>(&token, &decoding, &validation).unwrap().claims;

    let mut sign = criterion.benchmark_group("sign");
    sign.bench_function("countersign", |b| {
        b.iter(|| runtime.block_on(authority.sign(&mut Account::open("", &caller, ""), black_box(&order))))
    });
    sign.bench_function("jsonwebtoken", |b| {
        b.iter(|| jsonwebtoken::encode(&Header::default(), black_box(&claims), &encoding));
    });
    sign.finish();

    let mut verify = criterion.benchmark_group("verify");
    verify.bench_function("countersign jwt", |b| {
        b.iter(|| runtime.block_on(authority.verify(&mut Account::open("", &caller, ""), black_box(&verify_jwt))));
    });
    verify.bench_function("jsonwebtoken", |b| {
        b.iter(|| jsonwebtoken::decode::<Value>(black_box(&token), &decoding, &validation));
    });
    verify.bench_function("countersign hash", |b| {
        b.iter(|| runtime.block_on(authority.verify(&mut Account::open("", &caller, ""), black_box(&verify_hash))));
    });
    verify.bench_function("countersign hash, counted", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let mut account = Account::open("", &caller, dev::APPLICATION);
                let result = authority.verify(&mut account, black_box(&verify_hash)).await;
                authority.close(account, Ending::of_verdict(&result)).await.and(result)
            })
        });
    });
    verify.finish();

    // Beside each other: what a request costs that is closed, without an audit log and with one.
    let mut audit = criterion.benchmark_group("audit");
    for (name, authority) in [("sign without", &authority), ("sign with a file", &audited)] {
        audit.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let mut account = Account::open("Sign", &caller, &order.application);
                    authority.sign(&mut account, black_box(&order)).await.unwrap();
                    authority.close(account, Ending::Done).await
                })
            });
        });
    }
    audit.finish();

    let mut hash = criterion.benchmark_group("hash");
    hash.bench_function("countersign", |b| {
        b.iter(|| authority.legacy_hash(&mut Account::open("", &caller, ""), black_box(&hash_order)))
    });
    hash.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
