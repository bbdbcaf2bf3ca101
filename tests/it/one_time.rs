//! One-time tokens: the first Verify uses the token, and there is only one first.

use std::sync::Arc;

use countersign::grpc::proto::{self, Reason};
use countersign::store::{Embedded, State};
use countersign_claim_source::Answer;
use countersign_test_services::Redis;
use futures::future::join_all;
use serde_json::json;
use time::UtcDateTime;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::*;
use crate::scripted::{SCRIPTED, Script, found, say};

const ONE_TIME: &str = "[applications.\"acme/feedback\".tokens]\none_time = true\n";

fn one_time() -> Setup {
    Setup::default().and(ONE_TIME).and("[applications.\"acme/feedback\".exchange]\njwt = true\n")
}

fn diagnose(token: &str) -> proto::DiagnoseRequest {
    proto::DiagnoseRequest { application: APP.to_owned(), jwt: Some(token.to_owned()), ..Default::default() }
}

async fn exchanged(server: &mut Running, token: &str) -> Result<proto::SignResponse, Reason> {
    let request =
        proto::ExchangeRequest { application: APP.to_owned(), jwt: Some(token.to_owned()), ..Default::default() };
    match server.exchange(request).await.unwrap().outcome.unwrap() {
        proto::exchange_response::Outcome::Signed(signed) => Ok(signed),
        proto::exchange_response::Outcome::Refused(refused) => Err(refused.reason()),
    }
}

#[tokio::test]
async fn a_token_counts_once_and_has_an_id_of_its_own() {
    let mut server = one_time().start().await;
    let (one, other) =
        (server.sign(sign_for(user("1"))).await.unwrap(), server.sign(sign_for(user("1"))).await.unwrap());
    assert_eq!(claims(&one.token)["jti"], json!(one.token_id));
    assert_ne!(one.token_id, other.token_id, "of the same second, for the same user");
    for signed in [one, other] {
        let accepted = server.accepted(verify_jwt(&signed.token)).await;
        assert_eq!(accepted.token_id, signed.token_id);
        assert!(accepted.refused_attributes.is_empty(), "the id is no attribute");
        assert_eq!(server.why(verify_jwt(&signed.token)).await, Reason::TokenReplayed);
    }
    let hash = verify_hash("1", user_hash("1", IV_SECRET));
    server.accepted(hash.clone()).await;
    server.accepted(hash).await;
}

#[tokio::test]
async fn a_token_without_an_id_is_known_by_what_was_signed() {
    let mut server = one_time().start().await;
    let (one, other) = (token(json!({"userId": "1"})), token(json!({"userId": "2"})));
    for token in [&one, &other] {
        server.accepted(verify_jwt(token)).await;
        assert_eq!(server.why(verify_jwt(token)).await, Reason::TokenReplayed);
    }
    // The same id is the same token, whatever else it says.
    server.accepted(verify_jwt(token(json!({"jti": "x", "userId": "1"})))).await;
    assert_eq!(server.why(verify_jwt(token(json!({"jti": "x", "userId": "2"})))).await, Reason::TokenReplayed);
}

#[tokio::test]
async fn only_an_accepted_token_is_used() {
    let mut server = one_time().start().await;
    let token = token(json!({}));
    let other = Some(user("other"));
    let wrong = proto::VerifyRequest { asserted: other, ..verify_jwt(&token) };
    assert_eq!(server.why(wrong).await, Reason::IdentityMismatch);
    for _ in 0..2 {
        let diagnosed = server.client.diagnose(from_billing(diagnose(&token))).await.unwrap().into_inner();
        assert_eq!(diagnosed.verdict(), Reason::Unspecified);
    }
    server.accepted(verify_jwt(&token)).await;
    let diagnosed = server.client.diagnose(from_billing(diagnose(&token))).await.unwrap().into_inner();
    assert_eq!(diagnosed.verdict(), Reason::TokenReplayed);
    let failed = |finding: &&proto::Finding| finding.result() == proto::FindingResult::Failed;
    assert_eq!(diagnosed.findings.iter().find(failed).unwrap().check, "policy.acceptance");
}

#[tokio::test]
async fn a_use_is_remembered_until_the_token_ends_with_its_leeway() {
    let mut server = one_time().start().await;
    let token = token(json!({"exp": NOW + 60}));
    server.accepted(verify_jwt(&token)).await;
    server.set_now(NOW + 60 + 29);
    assert_eq!(server.why(verify_jwt(&token)).await, Reason::TokenReplayed);
    server.set_now(NOW + 60 + 30);
    assert_eq!(server.why(verify_jwt(&token)).await, Reason::TokenExpired);
}

#[tokio::test]
async fn an_exchange_uses_the_token_and_gives_another_one() {
    let mut server = one_time().start().await;
    let old = token(json!({}));
    let new = exchanged(&mut server, &old).await.unwrap();
    assert_eq!(claims(&new.token)["jti"], json!(new.token_id));
    assert_eq!(server.why(verify_jwt(&old)).await, Reason::TokenReplayed);
    assert_eq!(exchanged(&mut server, &old).await.unwrap_err(), Reason::TokenReplayed);
    server.accepted(verify_jwt(&new.token)).await;
    assert_eq!(exchanged(&mut server, &new.token).await.unwrap_err(), Reason::TokenReplayed);
}

#[tokio::test]
async fn an_exchange_that_fails_uses_nothing() {
    let script = Script::new("one-time", say(Answer::unavailable("no")));
    let mut setup = one_time()
        .replace("attributes.plan]\ntype = \"string\"", "attributes.plan]\ntype = \"string\"\nfrom = [\"s\"]")
        .and("[sources.s]\nkind = \"scripted\"\nsets = [\"plan\"]\non_error = \"refuse\"\nretries = 0\n")
        .and("config = { script = \"one-time\" }\n");
    setup.kinds.push(SCRIPTED);
    let mut server = setup.start().await;
    let token = token(json!({}));
    let request =
        proto::ExchangeRequest { application: APP.to_owned(), jwt: Some(token.clone()), ..Default::default() };
    let status = server.exchange(request).await.unwrap_err();
    assert_eq!(error(&status).1, "SOURCE_UNAVAILABLE");
    script.play(say(found(json!({"plan": "Gold"}))));
    exchanged(&mut server, &token).await.unwrap();
    assert_eq!(server.why(verify_jwt(&token)).await, Reason::TokenReplayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_tries_at_two_servers_of_a_redis_one_is_accepted() {
    let redis = Redis::start();
    one_of_a_thousand(&[one_time().on(&redis).start().await, one_time().on(&redis).start().await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_refuses_one_time_tokens_alone() {
    let mut redis = Redis::start();
    let mut server = one_time().on(&redis).start().await;
    server.until_serving().await;
    let first = token(json!({"userId": "1"}));
    server.accepted(verify_jwt(&first)).await;
    redis.kill();
    let status = server.verify(verify_jwt(token(json!({"userId": "2"})))).await.unwrap_err();
    assert_eq!(error(&status), (Code::Unavailable, "STORE_UNAVAILABLE".to_owned(), vec![]));
    assert!(status.get_error_details().retry_info().is_some());
    server.accepted(verify_hash("1", user_hash("1", IV_SECRET))).await;
    server.sign(sign_for(user("1"))).await.unwrap();
    // It comes back empty, and does not know what was used before.
    redis.restart();
    server.set_now(NOW + 10);
    for _ in 0..10 {
        let status = server.verify(verify_jwt(&first)).await.unwrap_err();
        assert_eq!(error(&status).1, "STORE_UNAVAILABLE");
    }
    let later = token(json!({"userId": "3", "iat": NOW + 11}));
    server.accepted(verify_jwt(&later)).await;
    assert_eq!(server.why(verify_jwt(&later)).await, Reason::TokenReplayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_tries_at_two_servers_of_a_file_one_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let now = UtcDateTime::from_unix_timestamp(NOW).unwrap();
    let file: Arc<dyn State> = Arc::new(Embedded::open(&folder.path().join("state.redb"), now, |_, at| at).unwrap());
    let servers = join_all([0, 1].map(|_| Setup { state: Arc::clone(&file), ..one_time() }.start())).await;
    one_of_a_thousand(&servers).await;
}

async fn one_of_a_thousand(servers: &[Running]) {
    join_all(servers.iter().map(Running::until_serving)).await;
    let token = token(json!({}));
    let tries = (0..1_000).map(|index: usize| {
        let mut client = servers[index % 2].client.clone();
        let request = from_billing(verify_jwt(&token));
        async move { client.verify(request).await.unwrap().into_inner().outcome.unwrap() }
    });
    let mut accepted = 0;
    for outcome in join_all(tries).await {
        match outcome {
            proto::verify_response::Outcome::Accepted(_) => accepted += 1,
            proto::verify_response::Outcome::Refused(refused) => assert_eq!(refused.reason(), Reason::TokenReplayed),
        }
    }
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn without_the_store_nothing_is_judged() {
    let away = Setup { state: Arc::new(NoStore::default()), ..one_time() };
    let mut server = away.start().await;
    let token = token(json!({}));
    let unavailable = (Code::Unavailable, "STORE_UNAVAILABLE".to_owned(), vec![]);
    assert_eq!(error(&server.verify(verify_jwt(&token)).await.unwrap_err()), unavailable);
    let exchange =
        proto::ExchangeRequest { application: APP.to_owned(), jwt: Some(token.clone()), ..Default::default() };
    assert_eq!(error(&server.exchange(exchange).await.unwrap_err()), unavailable);
    let status = server.client.diagnose(from_billing(diagnose(&token))).await.unwrap_err();
    assert_eq!(error(&status), unavailable);
    // What is refused anyway needs no store, and neither does a hash.
    assert_eq!(server.why(verify_jwt("x")).await, Reason::TokenMalformed);
    server.accepted(verify_hash("1", user_hash("1", IV_SECRET))).await;
}
