//! Revocation: what is refused, from when on, until when, and by whom.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use countersign::grpc::proto::revoke_request::Target;
use countersign::grpc::proto::subject::Kind;
use countersign::grpc::proto::{self, Reason};
use countersign_test_services::{Redis, RedisCluster, RedisSentinel, until};
use serde_json::json;
use tonic::{Code, Status};

use crate::harness::*;
use crate::observing::get;
use crate::store_down::sentinel;

/// The longest lifetime, and the leeway twice: once for the lifetime, once for the end.
const LONGEST: i64 = 86_400 + 2 * 30;

pub fn user_id(id: &str) -> Target {
    Target::Subject(proto::Subject { kind: Some(Kind::UserId(id.to_owned())) })
}

fn email(address: &str) -> Target {
    Target::Subject(proto::Subject { kind: Some(Kind::Email(address.to_owned())) })
}

fn key_id(id: &str) -> Target {
    Target::KeyId(id.to_owned())
}

pub fn to_revoke(target: Target) -> proto::RevokeRequest {
    proto::RevokeRequest { application: APP.to_owned(), target: Some(target), expires_at: None }
}

/// The second of the cut-off.
pub async fn revoke(server: &mut Running, target: Target) -> Result<i64, Status> {
    let answer = server.client.revoke(from_billing(to_revoke(target))).await?;
    Ok(answer.into_inner().revoked_at.unwrap().seconds)
}

async fn restore(server: &mut Running, kind: Kind) -> Result<bool, Status> {
    let subject = Some(proto::Subject { kind: Some(kind) });
    let request = proto::RestoreRequest { application: APP.to_owned(), subject };
    Ok(server.client.restore(from_billing(request)).await?.into_inner().was_revoked)
}

fn hash(id: &str) -> proto::VerifyRequest {
    verify_hash(id, user_hash(id, IV_SECRET))
}

fn of_hash(id: &str) -> proto::ExchangeRequest {
    let proto::VerifyRequest { application, legacy, asserted, .. } = hash(id);
    proto::ExchangeRequest { application, legacy, asserted, ..Default::default() }
}

fn of_jwt(token: String) -> proto::ExchangeRequest {
    proto::ExchangeRequest { application: APP.to_owned(), jwt: Some(token), ..Default::default() }
}

async fn why_not_exchanged(server: &mut Running, request: proto::ExchangeRequest) -> Reason {
    match server.exchange(request).await.unwrap().outcome.unwrap() {
        proto::exchange_response::Outcome::Refused(refused) => refused.reason(),
        proto::exchange_response::Outcome::Signed(signed) => panic!("signed: {signed:?}"),
    }
}

/// A server whose tokens may be exchanged, and whose `email` comes from a source.
fn exchanging() -> Setup {
    Setup::default()
        .and("[applications.\"acme/feedback\".exchange]\njwt = true\n")
        .and("[applications.\"acme/feedback\".attributes.email]\ntype = \"string\"\nfrom = [\"caller\", \"emails\"]\n")
        .and("[sources.emails]\nkind = \"static\"\nsets = [\"email\"]\non_error = \"refuse\"\n")
        .and("config = { claims = { email = \"ada@b.example\" } }\n")
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_no_other_one() {
    // Those of the first format are named by their digest, those of the second by their `jti`.
    let parties = "[applications.\"acme/feedback\".tokens]\nissuer = \"me\"\naudiences = [\"us\"]\n";
    for profile in ["featurebase", "generic"] {
        let mut server = Setup::default().replace("featurebase", profile).and(parties).start().await;
        let of = |id: &str| sign_for(proto::Identity { email: format!("{id}@b.example"), ..user(id) });
        let (one, other) = (server.sign(of("1")).await.unwrap(), server.sign(of("2")).await.unwrap());
        assert_eq!(server.accepted(verify_jwt(&one.token)).await.token_id, one.token_id);
        server.set_now(NOW + 5);
        assert_eq!(revoke(&mut server, Target::TokenId(one.token_id)).await.unwrap(), NOW + 5);
        assert_eq!(server.why(verify_jwt(&one.token)).await, Reason::TokenRevoked, "{profile}");
        server.accepted(verify_jwt(other.token)).await;
    }
}

#[tokio::test]
async fn a_subjects_tokens_are_refused_up_to_the_second_of_the_cut_off() {
    let mut server = start().await;
    let at = |iat: serde_json::Value| verify_jwt(token(json!({"iat": iat, "email": "ada@b.example"})));
    revoke(&mut server, user_id("123456")).await.unwrap();
    for refused in [json!(NOW - 1), json!(NOW), json!("absent")] {
        assert_eq!(server.why(at(refused)).await, Reason::TokenRevoked);
    }
    server.accepted(at(json!(NOW + 1))).await;
    let other = verify_jwt(token(json!({"userId": "12345", "email": "ada@b.example"})));
    server.accepted(other.clone()).await;
    // Every verified identifier counts, and kinds are not mixed up.
    revoke(&mut server, email("12345")).await.unwrap();
    server.accepted(other.clone()).await;
    revoke(&mut server, email("ada@b.example")).await.unwrap();
    assert_eq!(server.why(other).await, Reason::TokenRevoked);
    // What stands beside the token proves nothing.
    let beside = proto::Identity { email: "ada@b.example".to_owned(), ..Default::default() };
    let request = verify_jwt(token(json!({"userId": "7"})));
    server.accepted(proto::VerifyRequest { asserted: Some(beside), ..request }).await;
}

#[tokio::test]
async fn a_user_signs_in_again_from_the_next_second_on() {
    let mut server = start().await;
    revoke(&mut server, user_id("1")).await.unwrap();
    let stillborn = server.sign(sign_for(user("1"))).await.unwrap_err();
    assert_eq!(error(&stillborn), (Code::FailedPrecondition, "TOKEN_REVOKED".to_owned(), vec![]));
    server.sign(sign_for(user("2"))).await.unwrap();
    server.set_now(NOW + 1);
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    server.accepted(verify_jwt(signed.token)).await;
}

#[tokio::test]
async fn a_subjects_hashes_are_refused_until_they_are_restored() {
    let mut server = start().await;
    let mut company = hash("1");
    company.legacy.as_mut().unwrap().company_hashes = [("123456".to_owned(), user_hash("123456", IV_SECRET))].into();
    server.accepted(company.clone()).await;
    revoke(&mut server, email("123456")).await.unwrap();
    // An HMAC does not bind what kind of value was hashed.
    for refused in [hash("123456"), company.clone()] {
        assert_eq!(server.why(refused).await, Reason::HashRevoked);
    }
    assert_eq!(server.why(verify_hash("123456", user_hash("1", IV_SECRET))).await, Reason::HashMismatch);
    server.accepted(hash("1")).await;
    assert_eq!(why_not_exchanged(&mut server, of_hash("123456")).await, Reason::HashRevoked);
    // Hashes never end, and neither does this.
    server.set_now(NOW + 86_400 * 3_650);
    assert_eq!(server.why(hash("123456")).await, Reason::HashRevoked);
    server.set_now(NOW);

    assert!(!restore(&mut server, Kind::UserId("123456".to_owned())).await.unwrap(), "it was the e-mail address");
    assert!(restore(&mut server, Kind::Email("123456".to_owned())).await.unwrap());
    assert!(!restore(&mut server, Kind::Email("123456".to_owned())).await.unwrap());
    server.accepted(hash("123456")).await;
    server.accepted(company).await;
}

#[tokio::test]
async fn restoring_lifts_nothing_from_tokens() {
    let mut server = start().await;
    revoke(&mut server, user_id("123456")).await.unwrap();
    assert!(restore(&mut server, Kind::UserId("123456".to_owned())).await.unwrap());
    assert_eq!(server.why(verify_jwt(token(json!({})))).await, Reason::TokenRevoked);
    server.accepted(hash("123456")).await;
}

#[tokio::test]
async fn a_revoked_key_makes_nothing_and_nothing_that_it_made_counts() {
    let older = "[applications.\"acme/feedback\".keys.next]\npurpose = \"jwt\"\nsecret = { env = \"NEXT\" }\n";
    let newer = format!("{older}not_before = \"2026-05-01T00:00:00Z\"\n");
    let mut server = Setup::default().env("NEXT", &"n".repeat(40)).and(&newer).start().await;
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!(signed.key_id, "next");
    revoke(&mut server, key_id("next")).await.unwrap();
    assert_eq!(server.why(verify_jwt(signed.token)).await, Reason::TokenRevoked);
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!(signed.key_id, "jwt-2026", "the one before signs again");
    server.accepted(verify_jwt(signed.token)).await;
    revoke(&mut server, key_id("jwt-2026")).await.unwrap();
    let none = (Code::FailedPrecondition, "NO_SIGNING_KEY".to_owned(), vec![]);
    assert_eq!(error(&server.sign(sign_for(user("1"))).await.unwrap_err()), none);
    server.accepted(hash("1")).await;
    revoke(&mut server, key_id("iv")).await.unwrap();
    assert_eq!(server.why(hash("1")).await, Reason::HashRevoked);
    assert_eq!(error(&server.hash(hash_of("1")).await.unwrap_err()), none);
    server.set_now(NOW + 86_400 * 3_650);
    assert_eq!(server.why(hash("1")).await, Reason::HashRevoked, "a key does not end by itself");
}

#[tokio::test]
async fn an_identifier_found_while_assembling_is_looked_at_too() {
    let mut server = exchanging().start().await;
    server.exchange(of_hash("1")).await.unwrap();
    revoke(&mut server, email("ada@b.example")).await.unwrap();
    assert_eq!(why_not_exchanged(&mut server, of_hash("1")).await, Reason::HashRevoked);
    let before = token(json!({"userId": "1"}));
    server.accepted(verify_jwt(&before)).await;
    assert_eq!(why_not_exchanged(&mut server, of_jwt(before)).await, Reason::TokenRevoked);
    server.set_now(NOW + 1);
    let after = token(json!({"userId": "1", "iat": NOW + 1}));
    let answer = server.exchange(of_jwt(after)).await.unwrap().outcome.unwrap();
    assert!(matches!(answer, proto::exchange_response::Outcome::Signed(_)), "{answer:?}");
}

#[tokio::test]
async fn a_cut_off_is_remembered_as_long_as_a_token_may_live() {
    let mut server = start().await;
    revoke(&mut server, user_id("1")).await.unwrap();
    let longest = token(json!({"userId": "1", "exp": NOW + 86_400 + 30}));
    let timeless = || verify_jwt(token(json!({"userId": "1", "iat": "absent", "exp": NOW + LONGEST + 60})));
    server.set_now(NOW + LONGEST - 1);
    assert_eq!(server.why(verify_jwt(longest)).await, Reason::TokenRevoked);
    assert_eq!(server.why(timeless()).await, Reason::TokenRevoked);
    server.set_now(NOW + LONGEST + 1);
    server.accepted(timeless()).await;
}

#[tokio::test]
async fn a_cut_off_is_remembered_longer_where_it_is_asked_or_tokens_may_never_end() {
    let end = NOW + 10 * 86_400;
    let timeless = |exp: i64| verify_jwt(token(json!({"userId": "1", "iat": "absent", "exp": exp})));
    let mut server = start().await;
    let expires_at = Some(prost_types::Timestamp { seconds: end, nanos: 0 });
    let request = proto::RevokeRequest { expires_at, ..to_revoke(user_id("1")) };
    server.client.revoke(from_billing(request)).await.unwrap();
    server.set_now(end + 29);
    assert_eq!(server.why(timeless(end + 600)).await, Reason::TokenRevoked);
    server.set_now(end + 31);
    server.accepted(timeless(end + 600)).await;

    let endless = "[applications.\"acme/feedback\".tokens]\nrequire_exp = false\n";
    let mut server = Setup::default().and(endless).start().await;
    revoke(&mut server, user_id("1")).await.unwrap();
    server.set_now(NOW + 86_400 * 3_650);
    assert_eq!(server.why(verify_jwt(token(json!({"userId": "1", "exp": "absent"})))).await, Reason::TokenRevoked);
}

#[tokio::test]
async fn diagnose_says_what_is_revoked() {
    let mut server = start().await;
    revoke(&mut server, user_id("123456")).await.unwrap();
    let of_jwt = proto::DiagnoseRequest {
        application: APP.to_owned(),
        jwt: Some(token(json!({}))),
        ..proto::DiagnoseRequest::default()
    };
    let of_hash = proto::DiagnoseRequest {
        jwt: None,
        user_hash: user_hash("123456", IV_SECRET),
        asserted: Some(user("123456")),
        ..of_jwt.clone()
    };
    for (request, verdict) in [(of_jwt, Reason::TokenRevoked), (of_hash, Reason::HashRevoked)] {
        let diagnosed = server.client.diagnose(from_billing(request)).await.unwrap().into_inner();
        assert_eq!(diagnosed.verdict(), verdict);
        let failed = diagnosed.findings.iter().find(|finding| finding.result() == proto::FindingResult::Failed);
        assert_eq!(failed, None, "the operator's doing is no mistake");
    }
}

#[tokio::test]
async fn who_may_revoke_is_not_who_may_restore() {
    let all = r#""diagnose", "revoke", "admin"]"#;
    let mut server = Setup::default().replace(all, r#""diagnose", "revoke"]"#).start().await;
    revoke(&mut server, user_id("1")).await.unwrap();
    let not_allowed = (Code::PermissionDenied, "CALLER_NOT_ALLOWED".to_owned(), vec![]);
    assert_eq!(error(&restore(&mut server, Kind::UserId("1".to_owned())).await.unwrap_err()), not_allowed);
    assert_eq!(error(&revoke(&mut server, key_id("iv")).await.unwrap_err()), not_allowed);
    server.accepted(hash("2")).await;

    let mut server = Setup::default().replace(all, r#""diagnose", "admin"]"#).start().await;
    assert_eq!(error(&revoke(&mut server, user_id("1")).await.unwrap_err()), not_allowed);
    restore(&mut server, Kind::UserId("1".to_owned())).await.unwrap();
    revoke(&mut server, key_id("iv")).await.unwrap();
}

#[tokio::test]
async fn a_request_that_names_nothing_is_told_what_is_wrong() {
    let mut server = start().await;
    let nobody = Target::Subject(proto::Subject::default());
    for (target, field) in [
        (None, "target"),
        (Some(Target::TokenId(String::new())), "token_id"),
        (Some(Target::TokenId("x".repeat(16 * 1024 + 1))), "token_id"),
        (Some(key_id("iv2")), "key_id"),
        (Some(key_id("")), "key_id"),
        (Some(nobody), "subject"),
        (Some(user_id(&"x".repeat(513))), "subject.user_id"),
        (Some(email("")), "subject.email"),
    ] {
        let request = proto::RevokeRequest { target, ..to_revoke(user_id("1")) };
        let wrong = error(&server.client.revoke(from_billing(request)).await.unwrap_err());
        assert_eq!((wrong.0, wrong.1.as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert!(wrong.2.contains(&field.to_owned()), "{field}: {:?}", wrong.2);
    }
    let expires_at = Some(prost_types::Timestamp { seconds: 0, nanos: -1 });
    let request = proto::RevokeRequest { expires_at, ..to_revoke(user_id("1")) };
    assert_eq!(error(&server.client.revoke(from_billing(request)).await.unwrap_err()).2, ["expires_at"]);
    let unknown = proto::RevokeRequest { application: "other/app".to_owned(), ..to_revoke(user_id("1")) };
    assert_eq!(error(&server.client.revoke(from_billing(unknown)).await.unwrap_err()).1, "APPLICATION_UNKNOWN");
}

#[tokio::test]
async fn what_the_store_did_not_take_is_not_answered() {
    let mut server = Setup { state: Arc::new(NoStore::default()), ..Setup::default() }.start().await;
    let away = (Code::Unavailable, "STORE_UNAVAILABLE".to_owned(), vec![]);
    assert_eq!(error(&revoke(&mut server, user_id("1")).await.unwrap_err()), away);
    assert_eq!(error(&restore(&mut server, Kind::UserId("1".to_owned())).await.unwrap_err()), away);
    // What is not revoked does not need it.
    server.accepted(hash("1")).await;
    server.accepted(verify_jwt(token(json!({})))).await;
}

/// What Verify says first that is not this, within a second.
async fn within_a_second(server: &mut Running, request: proto::VerifyRequest, wanted: Option<Reason>) {
    let began = tokio::time::Instant::now();
    loop {
        let reason = match server.verify(request.clone()).await.unwrap().outcome.unwrap() {
            proto::verify_response::Outcome::Accepted(_) => None,
            proto::verify_response::Outcome::Refused(refused) => Some(refused.reason()),
        };
        if reason == wanted {
            return;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(1), "still {reason:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_of_a_redis_revokes_the_others_refuse_within_a_second() {
    let redis = Redis::start();
    the_others_refuse_within_a_second(|| Setup::default().on(&redis)).await;
    let redis = RedisSentinel::start();
    let on = |url: &str, more: &str| Setup::default().on_any(url, &more.replace("wait_replicas = 1", ""));
    the_others_refuse_within_a_second(|| sentinel(&redis, on)).await;
    let redis = RedisCluster::start();
    the_others_refuse_within_a_second(|| Setup::default().on_any(&redis.url(), "cluster = true")).await;
}

async fn the_others_refuse_within_a_second(setup: impl Fn() -> Setup) {
    let (mut one, mut two) = (setup().start().await, setup().start().await);
    one.until_serving().await;
    two.until_serving().await;
    let jwt = verify_jwt(token(json!({})));
    two.accepted(jwt.clone()).await;
    revoke(&mut one, user_id("123456")).await.unwrap();
    assert_eq!(one.why(hash("123456")).await, Reason::HashRevoked, "it holds when it is answered");
    within_a_second(&mut two, hash("123456"), Some(Reason::HashRevoked)).await;
    assert_eq!(two.why(jwt.clone()).await, Reason::TokenRevoked);
    assert!(restore(&mut two, Kind::UserId("123456".to_owned())).await.unwrap());
    two.accepted(hash("123456")).await;
    within_a_second(&mut one, hash("123456"), None).await;
    assert_eq!(one.why(jwt).await, Reason::TokenRevoked);
}

/// For how long the server there says that it has not heard of revocations.
fn unheard(admin: SocketAddr) -> f64 {
    let (_, text) = get(admin, "/metrics");
    let value = text.lines().find_map(|line| line.strip_prefix("countersign_revocations_unheard_seconds "));
    value.unwrap().parse().unwrap()
}

/// Whether the metric tells how long ago the server last heard.
async fn the_metric_tells_it(setup: Setup, pause: impl FnOnce(), resume: impl FnOnce()) {
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = setup.replace("[server]\n", &format!("[server]\nadmin_listen = \"{admin}\"\n"));
    let server = setup.start().await;
    server.until_serving().await;
    until("news", || unheard(admin) < 1.0);
    pause();
    until("silence", || unheard(admin) > 1.0);
    resume();
    until("news again", || unheard(admin) < 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn for_how_long_nothing_was_heard_is_a_metric() {
    let redis = Redis::start();
    the_metric_tells_it(Setup::default().on(&redis), || redis.pause(), || redis.resume()).await;
    let redis = RedisSentinel::start();
    let setup = sentinel(&redis, |url, more| Setup::default().on_any(url, more));
    the_metric_tells_it(setup, || redis.primary.pause(), || redis.wait_for_failover()).await;
    let redis = RedisCluster::start();
    let setup = Setup::default().on_any(&redis.url(), "cluster = true");
    let home = &redis.primaries[redis.home("{test:revoked}:all")];
    the_metric_tells_it(setup, || home.pause(), || home.resume()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_lifts_no_revocation_and_what_it_lost_is_told_again() {
    let mut redis = Redis::start();
    let mut one = Setup::default().on(&redis).start().await;
    one.until_serving().await;
    revoke(&mut one, user_id("123456")).await.unwrap();
    redis.kill();
    assert_eq!(one.why(hash("123456")).await, Reason::HashRevoked);
    one.accepted(hash("1")).await;
    let status = revoke(&mut one, user_id("2")).await.unwrap_err();
    assert_eq!(error(&status), (Code::Unavailable, "STORE_UNAVAILABLE".to_owned(), vec![]));
    // A server that starts now does not know what is revoked, and judges nothing.
    let mut two = Setup::default().on(&redis).start().await;
    let away = (Code::Unavailable, "STORE_UNAVAILABLE".to_owned(), vec![]);
    assert_eq!(error(&two.verify(hash("123456")).await.unwrap_err()), away);
    assert_eq!(error(&two.sign(sign_for(user("1"))).await.unwrap_err()), away);
    assert_eq!(error(&two.exchange(of_hash("1")).await.unwrap_err()), away);
    assert_eq!(error(&two.hash(hash_of("1")).await.unwrap_err()), away);
    // It comes back empty, and is told by who knows.
    redis.restart();
    until("a revocation", || redis.run(&["HLEN", "{test:revoked}:all"]) == "2");
    two.until_serving().await;
    within_a_second(&mut two, hash("123456"), Some(Reason::HashRevoked)).await;
}
