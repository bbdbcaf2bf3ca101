//! What is answered when the shared store is away, hangs, comes back empty or fails over: each row of the table in
//! docs/operating.md, over the wire, on real servers. Load is in `outage.rs` and `failover.rs`.

use countersign::grpc::proto::{self, verify_response};
use countersign_test_services::{Redis, RedisSentinel};
use serde_json::json;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::harness::*;
use crate::revoking::{revoke, user_id};

/// The configuration's `max_staleness_secs`.
const STALE: i64 = 30;
/// How often a store that is back is asked again, and the pause in between.
const TRIES: (usize, std::time::Duration) = (600, std::time::Duration::from_millis(50));

/// The applications beside the usual one, and what each has that it has not.
const OTHERS: [(&str, &str); 4] = [
    ("once", "tokens]\none_time = true"),
    ("strict", "tokens]\nstrict_revocation = true"),
    ("firm", "acceptance]\nratchet = { scope = \"subject\", on_store_error = \"refuse\" }"),
    ("lenient", "acceptance]\nratchet = { scope = \"subject\", on_store_error = \"accept\" }"),
];

/// What is answered to all that is asked.
type Column = [&'static str; ASKED.len()];

/// The first column of the table.
const ASKED: [&str; 9] = [
    "a JWT",
    "a hash",
    "a hash that was revoked",
    "a JWT, `strict_revocation`",
    "a hash, ratchet, `on_store_error = \"refuse\"`",
    "the same, `\"accept\"`",
    "a one-time token that was used",
    "one that was not, from before",
    "one from afterwards",
];

pub fn setup(url: &str, more: &str) -> Setup {
    let mut setup = Setup::default().on_any(url, &format!("{more}\nmax_staleness_secs = {STALE}"));
    for (name, more) in OTHERS {
        let app = format!("applications.\"acme/{name}\"");
        let key = |purpose: &str| {
            let secret = format!("{}_{}", name.to_uppercase(), purpose.to_uppercase());
            format!("[{app}.keys.{purpose}]\npurpose = \"{purpose}\"\nsecret = {{ env = \"{secret}\" }}\n")
        };
        setup = setup
            .and(&format!("[{app}]\nprofile = \"featurebase\"\n{}{}[{app}.{more}\n", key("jwt"), key("legacy")))
            .env(&format!("{}_JWT", name.to_uppercase()), &secret(name, "jwt"))
            .env(&format!("{}_LEGACY", name.to_uppercase()), &secret(name, "legacy"));
    }
    setup
}

/// The secret of an application's key.
fn secret(name: &str, purpose: &str) -> String {
    format!("the {purpose} secret of {name}, which is long enough")
}

fn of(name: &str, request: proto::VerifyRequest) -> proto::VerifyRequest {
    proto::VerifyRequest { application: format!("acme/{name}"), ..request }
}

/// A JWT for an application beside the usual one.
pub fn jwt(name: &str, user_id: &str, iat: i64) -> proto::VerifyRequest {
    let claims = json!({"userId": user_id, "iat": iat, "exp": NOW + 3_600});
    of(name, verify_jwt(foreign_token(&claims, &secret(name, "jwt"))))
}

pub fn hash(name: &str, user_id: &str) -> proto::VerifyRequest {
    of(name, verify_hash(user_id, user_hash(user_id, &secret(name, "legacy"))))
}

/// What Verify answers, in the words of the table.
async fn answer(server: &mut Running, request: proto::VerifyRequest) -> &'static str {
    match server.verify(request).await {
        Ok(answer) => match answer.outcome.unwrap() {
            verify_response::Outcome::Accepted(_) => "accepted",
            verify_response::Outcome::Refused(_) => "refused",
        },
        Err(status) => unavailable(&status),
    }
}

fn unavailable(status: &Status) -> &'static str {
    assert_eq!(error(status), (tonic::Code::Unavailable, "STORE_UNAVAILABLE".to_owned(), vec![]));
    assert!(status.get_error_details().retry_info().is_some());
    "UNAVAILABLE"
}

/// A server that has revoked and used something while all was well.
async fn prepared(setup: Setup) -> Running {
    let mut server = setup.start().await;
    server.until_serving().await;
    // A new replica may take its time to acknowledge.
    until_revoked(&mut server, "gone").await;
    assert_eq!(answer(&mut server, jwt("once", "used", NOW)).await, "accepted");
    server
}

/// One column of the table: what this server answers now.
async fn column(server: &mut Running) -> Column {
    column_again(server, 0).await
}

/// The same, with one-time tokens that were not tried before.
async fn column_again(server: &mut Running, turn: usize) -> Column {
    let requests = [
        verify_jwt(token(json!({"userId": "1"}))),
        verify_hash("1", user_hash("1", IV_SECRET)),
        verify_hash("gone", user_hash("gone", IV_SECRET)),
        jwt("strict", "1", NOW),
        hash("firm", "1"),
        hash("lenient", "1"),
        jwt("once", "used", NOW),
        jwt("once", &format!("from before, {turn}"), NOW),
        jwt("once", &format!("from afterwards, {turn}"), NOW + 11),
    ];
    let mut column = [""; ASKED.len()];
    for (cell, request) in column.iter_mut().zip(requests) {
        *cell = answer(server, request).await;
    }
    column
}

/// Until the store has taken a revocation.
async fn until_revoked(server: &mut Running, id: &str) {
    for _ in 0..TRIES.0 {
        if revoke(server, user_id(id)).await.is_ok() {
            return;
        }
        tokio::time::sleep(TRIES.1).await;
    }
    panic!("the store takes no revocation");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_when_the_store_is_down_is_in_the_table() {
    let mut redis = Redis::start();
    let mut server = prepared(setup(&redis.url(), "")).await;
    redis.pause();
    let hangs = column(&mut server).await;
    redis.resume();
    redis.kill();
    let away = column(&mut server).await;
    let mut started = setup(&redis.url(), "").start().await;
    let at_the_start = column(&mut started).await;
    assert_eq!(unavailable(&started.hash(hash_of("1")).await.unwrap_err()), "UNAVAILABLE");
    server.set_now(NOW + STALE + 1);
    let away_for_long = column(&mut server).await;
    server.set_now(NOW + 10);
    redis.restart();
    until_revoked(&mut server, "somebody").await;
    let back_empty = column(&mut server).await;
    let failed_over = failed_over().await;

    let documented = std::fs::read_to_string("docs/operating.md").unwrap();
    for (row, asked) in ASKED.iter().enumerate() {
        let cells = [at_the_start, away, away_for_long, hangs, back_empty, failed_over].map(|column| column[row]);
        let line = format!("| {asked} | {} |", cells.join(" | "));
        assert!(documented.contains(&line), "docs/operating.md has no row\n{line}");
    }
}

async fn failed_over() -> Column {
    let redis = RedisSentinel::start();
    let mut server = prepared(sentinel(&redis, setup)).await;
    redis.primary.kill();
    let redis = tokio::task::spawn_blocking(move || {
        redis.wait_for_failover();
        redis
    });
    let mut redis = redis.await.unwrap();
    // As the replica of the new one.
    redis.primary.restart();
    until_revoked(&mut server, "somebody").await;
    // Each group of tokens has a connection of its own, which finds the new primary when it is next used.
    for turn in 0..TRIES.0 {
        let column = column_again(&mut server, turn).await;
        if !column.contains(&"UNAVAILABLE") {
            return column;
        }
        tokio::time::sleep(TRIES.1).await;
    }
    panic!("it is not the same again");
}

/// A server on the Redis that the Sentinel watches, which waits for its replica.
pub fn sentinel(redis: &RedisSentinel, setup: impl Fn(&str, &str) -> Setup) -> Setup {
    let name = RedisSentinel::MASTER_NAME;
    let more = format!(
        "sentinel = {{ master_name = \"{name}\", password = {{ env = \"SENTINEL_PASSWORD\" }} }}\n\
         password = {{ env = \"REDIS_PASSWORD\" }}\nwait_replicas = 1"
    );
    let setup = setup(&redis.url(), &more).env("SENTINEL_PASSWORD", RedisSentinel::SENTINEL_PASSWORD);
    setup.env("REDIS_PASSWORD", RedisSentinel::PASSWORD)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_application_does_nothing_by_what_was_heard_too_long_ago() {
    let mut redis = Redis::start();
    let mut server = prepared(setup(&redis.url(), "")).await;
    redis.kill();
    let exchange = || {
        let proto::VerifyRequest { application, legacy, asserted, .. } = hash("strict", "1");
        proto::ExchangeRequest { application, legacy, asserted, ..Default::default() }
    };
    let sign = || proto::SignRequest { application: "acme/strict".to_owned(), ..sign_for(user("1")) };
    server.set_now(NOW + STALE);
    server.sign(sign()).await.unwrap();
    server.exchange(exchange()).await.unwrap();
    assert_eq!(answer(&mut server, hash("strict", "1")).await, "accepted");
    server.set_now(NOW + STALE + 1);
    unavailable(&server.sign(sign()).await.unwrap_err());
    unavailable(&server.exchange(exchange()).await.unwrap_err());
    assert_eq!(answer(&mut server, hash("strict", "1")).await, "UNAVAILABLE");
    server.sign(sign_for(user("1"))).await.unwrap();
    redis.restart();
    until_revoked(&mut server, "somebody").await;
    server.sign(sign()).await.unwrap();
    server.exchange(exchange()).await.unwrap();
    assert_eq!(answer(&mut server, hash("strict", "1")).await, "accepted");
}
