//! What is remembered of sources: how long, for whom, who shares it, and what ends it.

use std::sync::Arc;

use countersign::grpc::proto::admin::InvalidateRequest;
use countersign::grpc::proto::admin::sources_client::SourcesClient;
use countersign::grpc::proto::subject::Kind;
use countersign::grpc::proto::{self, NoticeCode};
use countersign_claim_source::Answer;
use countersign_test_services::{Redis, until};
use futures::future::join_all;
use serde_json::json;
use tokio::sync::Semaphore;
use tonic::Code;

use crate::harness::*;
use crate::scripted::{Act, Script, found, say, with_plan as with};

const SECRET: &str = "pseudonym-secret-of-the-tests-0123456789";

/// The same on a Redis that replicas share.
fn sharing(redis: &str, script: &str, rules: &str) -> Setup {
    let redis_store = "kind = \"redis\"\nurl = { env = \"STORE_URL\" }\nprefix = \"test\"";
    with(script, rules)
        .replace("kind = \"embedded\"\npath = \"unused\"", redis_store)
        .and("[server]\npseudonym_secret = { env = \"PSEUDONYM\" }\n")
        .env("STORE_URL", redis)
        .env("PSEUDONYM", SECRET)
}

fn gold() -> Answer {
    found(json!({"plan": "Gold"}))
}

fn explained(id: &str) -> proto::SignRequest {
    proto::SignRequest { explain: true, ..sign_for(user(id)) }
}

/// What the token says of the plan, how old it is in seconds, and whether it is stale.
async fn plan(server: &mut Running, id: &str) -> (Option<String>, i64, bool) {
    let signed = server.sign(explained(id)).await.unwrap();
    let origin = signed.origins.iter().find(|origin| origin.claim == "plan");
    let age = origin.map_or(0, |origin| origin.age.unwrap().seconds);
    let stale = origin.is_some_and(|origin| origin.stale);
    assert_eq!(codes(&signed.notices).contains(&NoticeCode::StaleClaims), stale);
    (claims(&signed.token)["plan"].as_str().map(str::to_owned), age, stale)
}

fn fresh(plan: &str, age: i64) -> (Option<String>, i64, bool) {
    (Some(plan.to_owned()), age, false)
}

async fn invalidate(server: &Running, kind: Kind) -> Result<(), tonic::Status> {
    let subject = Some(proto::Subject { kind: Some(kind) });
    let request = InvalidateRequest { application: APP.to_owned(), subject };
    SourcesClient::new(server.channel.clone()).invalidate(from_billing(request)).await.map(drop)
}

#[tokio::test]
async fn an_answer_is_kept_for_its_subject_while_it_is_fresh_and_not_at_all_by_default() {
    let script = Script::new("fresh", say(gold()));
    let mut server = with("fresh", "on_error = \"refuse\"\nfresh_secs = 300").start().await;
    assert_eq!(plan(&mut server, "1").await, fresh("Gold", 0));
    script.play(say(found(json!({"plan": "Free"}))));
    server.set_now(NOW + 299);
    assert_eq!(plan(&mut server, "1").await, fresh("Gold", 299));
    assert_eq!(plan(&mut server, "2").await, fresh("Free", 0), "another subject is another answer");
    server.set_now(NOW + 300);
    assert_eq!(plan(&mut server, "1").await, fresh("Free", 0));
    assert_eq!(script.calls(), 3);

    let uncached = Script::new("uncached", say(gold()));
    let mut server = with("uncached", "on_error = \"refuse\"").start().await;
    for _ in 0..3 {
        plan(&mut server, "1").await;
    }
    assert_eq!(uncached.calls(), 3);
}

#[tokio::test]
async fn a_source_can_shorten_its_answers_life_and_never_lengthen_it() {
    let script = Script::new("lives", |ask| {
        let fresh_for = match ask.user_id.as_deref() {
            Some("short") => Some(std::time::Duration::from_secs(10)),
            Some("long") => Some(std::time::Duration::from_secs(1_000)),
            _ => Some(std::time::Duration::ZERO),
        };
        Act::Say(Answer::Found { claims: json!({"plan": "Gold"}).as_object().cloned().unwrap(), fresh_for })
    });
    let mut server = with("lives", "on_error = \"refuse\"\nfresh_secs = 100").start().await;
    let mut calls = Vec::new();
    for (now, id) in
        [(0, "short"), (9, "short"), (10, "short"), (0, "long"), (99, "long"), (100, "long"), (0, "no"), (0, "no")]
    {
        server.set_now(NOW + now);
        plan(&mut server, id).await;
        calls.push(script.calls());
    }
    assert_eq!(calls, [1, 1, 2, 3, 3, 4, 5, 6]);
}

#[tokio::test]
async fn the_stale_stands_in_while_one_refresh_runs_behind() {
    let script = Script::new("behind", say(gold()));
    let rules = "on_error = \"stale\"\nfresh_secs = 300\nstale_secs = 3600";
    let mut server = with("behind", rules).start().await;
    plan(&mut server, "1").await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    script.play(move |_| Act::Wait(Arc::clone(&held), found(json!({"plan": "Free"}))));
    server.set_now(NOW + 400);
    for _ in 0..5 {
        assert_eq!(plan(&mut server, "1").await, (Some("Gold".to_owned()), 400, true));
    }
    script.asked(2).await;
    assert_eq!(script.calls(), 2, "one refresh, however many ask");
    gate.add_permits(1);
    settled(&mut server, "1", "Free").await;

    // A failure leaves the old in place until its time is over.
    script.play(say(Answer::unavailable("no")));
    server.set_now(NOW + 400 + 300 + 3_599);
    assert_eq!(plan(&mut server, "1").await, (Some("Free".to_owned()), 3_899, true));
    server.set_now(NOW + 400 + 300 + 3_600);
    let refused = server.sign(sign_for(user("1"))).await.unwrap_err();
    assert_eq!(error(&refused), (Code::Unavailable, "SOURCE_UNAVAILABLE".to_owned(), vec![]));
}

/// Asks until a refresh behind has landed.
async fn settled(server: &mut Running, id: &str, expected: &str) {
    for _ in 0..1_000 {
        if plan(server, id).await.0.as_deref() == Some(expected) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the refresh did not land");
}

#[tokio::test]
async fn absent_ends_the_stale_and_denied_drops_it() {
    let rules = "on_error = \"stale\"\nfresh_secs = 300\nstale_secs = 3600";
    let script = Script::new("ends-absent", say(gold()));
    let mut server = with("ends-absent", rules).start().await;
    plan(&mut server, "1").await;
    script.play(say(Answer::NotFound));
    server.set_now(NOW + 400);
    assert_eq!(plan(&mut server, "1").await.0.as_deref(), Some("Gold"), "nobody knows better yet");
    for _ in 0..1_000 {
        if plan(&mut server, "1").await.0.is_none() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(plan(&mut server, "1").await.0, None);

    let script = Script::new("ends-denied", say(gold()));
    let mut server = with("ends-denied", rules).start().await;
    plan(&mut server, "1").await;
    script.play(say(Answer::denied("no")));
    server.set_now(NOW + 400);
    plan(&mut server, "1").await;
    let refused = async {
        for _ in 0..1_000 {
            if server.sign(sign_for(user("1"))).await.is_err() {
                return true;
            }
        }
        false
    };
    assert!(refused.await);
}

#[tokio::test]
async fn without_freshness_the_source_is_asked_first_and_the_old_stands_in_only_for_a_failure() {
    let script = Script::new("if-error", say(gold()));
    let mut server = with("if-error", "on_error = \"stale\"\nstale_secs = 3600\nretries = 0").start().await;
    plan(&mut server, "1").await;
    script.play(say(found(json!({"plan": "Free"}))));
    assert_eq!(plan(&mut server, "1").await, fresh("Free", 0));
    for failure in [Answer::unavailable("no"), Answer::malformed("no"), found(json!({"plan": 1}))] {
        script.play(say(failure));
        server.set_now(NOW + 60);
        let signed = server.sign(sign_for(user("1"))).await.unwrap();
        assert_eq!(claims(&signed.token)["plan"], "Free");
        assert_eq!(codes(&signed.notices)[..2], [NoticeCode::SourceUnavailable, NoticeCode::StaleClaims]);
    }
    let cold = server.sign(sign_for(user("2"))).await.unwrap_err();
    assert_eq!(error(&cold).1, "SOURCE_MALFORMED", "nothing stands in for what was never known");
}

#[tokio::test]
async fn that_a_subject_is_not_known_is_remembered_as_long_as_the_operator_says() {
    let script = Script::new("negative", say(Answer::NotFound));
    let mut server = with("negative", "on_error = \"refuse\"\nfresh_secs = 300\nabsent_secs = 30").start().await;
    for (now, calls) in [(0, 1), (29, 1), (30, 2)] {
        server.set_now(NOW + now);
        assert_eq!(plan(&mut server, "1").await.0, None);
        assert_eq!(script.calls(), calls, "{now}");
    }
    let forgetful = Script::new("not-negative", say(Answer::NotFound));
    let mut server = with("not-negative", "on_error = \"refuse\"\nfresh_secs = 300").start().await;
    plan(&mut server, "1").await;
    plan(&mut server, "1").await;
    assert_eq!(forgetful.calls(), 2);
}

#[tokio::test]
async fn ten_thousand_at_once_for_one_cold_subject_are_one_call() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let script = Script::new("stampede", move |_| Act::Wait(Arc::clone(&held), gold()));
    let rules = "on_error = \"refuse\"\nfresh_secs = 300\ntimeout_ms = 25000";
    let server =
        with("stampede", rules).and("[applications.\"acme/feedback\".claims]\nbudget_ms = 25000\n").start().await;
    // A connection has 128 requests under way at most.
    let mut clients = Vec::new();
    for _ in 0..100 {
        let endpoint = tonic::transport::Channel::from_shared(format!("http://{}", server.address)).unwrap();
        clients.push(proto::token_authority_client::TokenAuthorityClient::new(endpoint.connect().await.unwrap()));
    }
    let calls = clients.iter().flat_map(|client| (0..100).map(move |_| client.clone())).map(|mut client| async move {
        client.sign(from_billing(sign_for(user("1")))).await.map(|signed| claims(&signed.into_inner().token))
    });
    let opening = async {
        script.asked(1).await;
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
    };
    let (signed, ()) = tokio::join!(join_all(calls), opening);
    assert_eq!(signed.len(), 10_000);
    assert!(signed.into_iter().all(|claims| claims.unwrap()["plan"] == "Gold"));
    assert_eq!(script.calls(), 1);
}

#[tokio::test]
async fn invalidated_claims_are_asked_for_again_also_those_under_way() {
    let script = Script::new("invalidated", say(gold()));
    let mut server = with("invalidated", "on_error = \"refuse\"\nfresh_secs = 300").start().await;
    let both = || proto::Identity { email: "ada@b.example".to_owned(), ..user("1") };
    server.sign(sign_for(both())).await.unwrap();
    plan(&mut server, "2").await;
    assert_eq!(script.calls(), 2);
    invalidate(&server, Kind::UserId("1".to_owned())).await.unwrap();
    server.sign(sign_for(both())).await.unwrap();
    plan(&mut server, "2").await;
    assert_eq!(script.calls(), 3, "the one subject and no other");
    invalidate(&server, Kind::Email("ada@b.example".to_owned())).await.unwrap();
    server.sign(sign_for(both())).await.unwrap();
    assert_eq!(script.calls(), 4, "whichever identifier the operator knows");

    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    script.play(move |_| Act::Wait(Arc::clone(&held), found(json!({"plan": "Old"}))));
    let mut client = server.client.clone();
    let signing = async { client.sign(from_billing(sign_for(user("3")))).await.unwrap().into_inner() };
    let invalidating = async {
        script.asked(5).await;
        invalidate(&server, Kind::UserId("3".to_owned())).await.unwrap();
        gate.add_permits(1);
    };
    let (signed, ()) = tokio::join!(signing, invalidating);
    assert_eq!(claims(&signed.token)["plan"], "Old", "it was asked before");
    script.play(say(gold()));
    assert_eq!(plan(&mut server, "3").await, fresh("Gold", 0), "and is not kept");
}

#[tokio::test]
async fn only_an_admin_invalidates_and_only_its_own_applications() {
    let server = with("unused", "on_error = \"refuse\"").replace(", \"admin\"", "");
    Script::new("unused", say(gold()));
    let server = server.start().await;
    let refused = invalidate(&server, Kind::UserId("1".to_owned())).await.unwrap_err();
    assert_eq!(error(&refused).1, "CALLER_NOT_ALLOWED");

    let server = start().await;
    let mut client = SourcesClient::new(server.channel.clone());
    let unknown = InvalidateRequest {
        application: "other/app".to_owned(),
        subject: Some(proto::Subject { kind: Some(Kind::UserId("1".to_owned())) }),
    };
    assert_eq!(error(&client.invalidate(from_billing(unknown)).await.unwrap_err()).1, "APPLICATION_UNKNOWN");
    let empty = InvalidateRequest { application: APP.to_owned(), subject: None };
    let refused = client.invalidate(from_billing(empty)).await.unwrap_err();
    assert_eq!(error(&refused), (Code::InvalidArgument, "REQUEST_INVALID".to_owned(), vec!["subject".to_owned()]));
    let nobody = client.invalidate(InvalidateRequest::default()).await.unwrap_err();
    assert_eq!(error(&nobody).1, "CALLER_UNKNOWN");
}

const SHARED: &str = "on_error = \"stale\"\nfresh_secs = 300\nstale_secs = 3600\nabsent_secs = 30\nshared = true";

/// The entries that lie in the shared store, once there are as many.
fn shared(redis: &Redis, count: usize) -> Vec<String> {
    let keys = || redis.run(&["KEYS", "test:claims:*"]).lines().map(str::to_owned).collect::<Vec<_>>();
    until("an entry in the shared store", || keys().len() == count);
    keys()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_what_they_know_and_drop_it_together() {
    let redis = Redis::start();
    let script = Script::new("shared", say(gold()));
    let mut one = sharing(&redis.url(), "shared", SHARED).start().await;
    let mut two = sharing(&redis.url(), "shared", SHARED).start().await;
    assert_eq!(plan(&mut one, "1").await, fresh("Gold", 0));
    shared(&redis, 1);
    two.set_now(NOW + 100);
    assert_eq!(plan(&mut two, "1").await, fresh("Gold", 100), "the other replica asked, a while ago");
    assert_eq!(script.calls(), 1);
    let key = redis.run(&["KEYS", "test:claims:*"]);
    assert!(!redis.run(&["--no-raw", "GET", &key]).contains("Gold"), "nobody reads it there");

    script.play(say(found(json!({"plan": "Free"}))));
    invalidate(&one, Kind::UserId("1".to_owned())).await.unwrap();
    assert_eq!(plan(&mut one, "1").await.0.as_deref(), Some("Free"));
    for _ in 0..2_000 {
        if plan(&mut two, "1").await.0.as_deref() == Some("Free") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(plan(&mut two, "1").await.0.as_deref(), Some("Free"), "dropped on every replica");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_to_the_shared_store_forges_nothing() {
    let redis = Redis::start();
    let script = Script::new("forged", |ask| {
        Act::Say(found(json!({"plan": format!("of {}", ask.user_id.as_deref().unwrap_or_default())})))
    });
    let mut one = sharing(&redis.url(), "forged", SHARED).start().await;
    plan(&mut one, "ada").await;
    plan(&mut one, "eve").await;
    let keys = shared(&redis, 2);
    // Each entry in the other's place, then nonsense, then nothing of ours.
    redis.run(&["RENAME", &keys[0], "swap"]);
    redis.run(&["RENAME", &keys[1], &keys[0]]);
    redis.run(&["RENAME", "swap", &keys[1]]);
    let mut two = sharing(&redis.url(), "forged", SHARED).start().await;
    assert_eq!(plan(&mut two, "ada").await.0.as_deref(), Some("of ada"));
    assert_eq!(plan(&mut two, "eve").await.0.as_deref(), Some("of eve"));
    assert_eq!(script.calls(), 4);
    for key in &keys {
        redis.run(&["SET", key, "{\"asked_at\":[1780272000,0],\"claims\":{\"plan\":\"Forged\"},\"fresh_for\":null}"]);
    }
    let mut three = sharing(&redis.url(), "forged", SHARED).start().await;
    assert_eq!(plan(&mut three, "ada").await.0.as_deref(), Some("of ada"));
    // Another deployment's secret opens nothing.
    let mut stranger =
        sharing(&redis.url(), "forged", SHARED).env("PSEUDONYM", "another-secret-0123456789abcdef").start().await;
    assert_eq!(plan(&mut stranger, "ada").await, fresh("of ada", 0));
    assert_eq!(script.calls(), 6);
    // An old entry that is put back is as old as it was.
    let mut late = sharing(&redis.url(), "forged", SHARED).at(NOW + 4_000).start().await;
    assert_eq!(plan(&mut late, "ada").await, fresh("of ada", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_put_back_after_an_invalidation_is_not_believed() {
    let redis = Redis::start();
    let script = Script::new("put-back", say(gold()));
    let mut server = sharing(&redis.url(), "put-back", SHARED).start().await;
    plan(&mut server, "1").await;
    let key = shared(&redis, 1).remove(0);
    redis.run(&["COPY", &key, "kept"]);
    script.play(say(found(json!({"plan": "Free"}))));
    invalidate(&server, Kind::UserId("1".to_owned())).await.unwrap();
    redis.run(&["RENAME", "kept", &key]);
    assert_eq!(plan(&mut server, "1").await, fresh("Free", 0));
}

#[tokio::test]
async fn without_the_shared_store_signing_goes_on_and_invalidating_says_so() {
    let redis = Redis::start();
    let url = redis.url();
    drop(redis);
    let script = Script::new("storeless", say(gold()));
    let mut server = sharing(&url, "storeless", SHARED).start().await;
    assert_eq!(plan(&mut server, "1").await, fresh("Gold", 0));
    assert_eq!(plan(&mut server, "1").await, fresh("Gold", 0));
    assert_eq!(script.calls(), 1, "it is kept here all the same");
    let refused = invalidate(&server, Kind::UserId("1".to_owned())).await.unwrap_err();
    assert_eq!(error(&refused), (Code::Unavailable, "STORE_UNAVAILABLE".to_owned(), vec![]));
    plan(&mut server, "1").await;
    assert_eq!(script.calls(), 2, "and was dropped here all the same");
}

#[tokio::test]
async fn the_configuration_says_what_can_be_kept() {
    let problem = |rules: &str, key: &str, wrong: &str| {
        let problems = with("x", rules).check().unwrap_err();
        let texts: Vec<_> = problems.iter().map(|problem| (problem.key.as_str(), problem.wrong.as_str())).collect();
        assert!(texts.iter().any(|(k, w)| *k == key && w.contains(wrong)), "{rules}: {texts:?}");
    };
    problem("on_error = \"stale\"\nfresh_secs = 1", "sources.s.stale_secs", "is missing");
    problem("on_error = \"stale\"\nstale_secs = 0", "sources.s.stale_secs", "is 0");
    problem("on_error = \"omit\"\nstale_secs = 5", "sources.s.stale_secs", "alone");
    problem("on_error = \"omit\"\nfresh_secs = 5\nshared = true", "sources.s.shared", "replicas share");
    problem("on_error = \"omit\"\nfresh_secs = -1", "sources.s.fresh_secs", "");
    problem("on_error = \"omit\"\nconcurrency = 0", "sources.s.concurrency", "");
    let nowhere = sharing("http://127.0.0.1:1", "x", "on_error = \"omit\"").check().unwrap_err();
    assert_eq!(nowhere[0].key, "store.url");
    let short = sharing("redis://127.0.0.1:1", "x", "on_error = \"omit\"").env("PSEUDONYM", "short").check().unwrap();
    assert!(short.warnings.iter().any(|warning| warning.key == "server.pseudonym_secret"), "{:?}", short.warnings);
    let unkept = sharing("redis://127.0.0.1:1", "x", "on_error = \"omit\"\nshared = true").check().unwrap_err();
    assert_eq!(unkept[0].key, "sources.s.shared");
}

#[tokio::test]
async fn an_answer_is_its_users_alone_and_dropped_with_whichever_of_them_is_named() {
    // The source asks with the team and nothing else: what it says is the same for both, and yet each has an own answer.
    let script = Script::new("teams", |ask| {
        Act::Say(found(json!({"plan": format!("{} of {}", ask.application, ask.text("title").unwrap_or_default())})))
    });
    let rules = "on_error = \"refuse\"\nfresh_secs = 300\nneeds = [\"title\"]";
    let other = "[applications.\"acme/other\"]\nprofile = \"featurebase\"\n\
                 keys.jwt = { purpose = \"jwt\", secret = { env = \"OTHER\" } }\n\
                 keys.iv = { purpose = \"legacy\", secret = { env = \"OTHER_IV\" } }\n\
                 attributes.title = { type = \"string\" }\n\
                 attributes.plan = { type = \"string\", from = [\"s\"] }\n";
    let setup = with("teams", rules).and(other).env("OTHER", &"o".repeat(40)).env("OTHER_IV", &"i".repeat(40));
    let mut server = setup.replace("template = \"{user_id}\"", "template = \"{title}\"").start().await;
    let of = |application: &str, id: &str, team: &str| proto::SignRequest {
        application: application.to_owned(),
        ..sign_for(proto::Identity { attributes: Some(attributes(json!({"title": team}))), ..user(id) })
    };
    for (application, id, team, plan, calls) in [
        (APP, "ada", "red", "acme/feedback of red", 1),
        (APP, "ada", "red", "acme/feedback of red", 1),
        (APP, "ada", "blue", "acme/feedback of blue", 2),
        ("acme/other", "ada", "red", "acme/other of red", 3),
        (APP, "bob", "red", "acme/feedback of red", 4),
    ] {
        let signed = server.sign(of(application, id, team)).await.unwrap();
        assert_eq!(claims(&signed.token)["plan"], plan);
        assert_eq!(script.calls(), calls, "{application} {id} {team}");
    }
    invalidate(&server, Kind::UserId("bob".to_owned())).await.unwrap();
    server.sign(of(APP, "bob", "red")).await.unwrap();
    server.sign(of(APP, "ada", "red")).await.unwrap();
    assert_eq!(script.calls(), 5, "bob is asked about again, and ada is not");
}

#[tokio::test]
async fn what_is_not_to_be_kept_stands_in_for_nothing() {
    let kept = |fresh_for| Answer::Found { claims: json!({"plan": "Gold"}).as_object().cloned().unwrap(), fresh_for };
    let script = Script::new("no-store", say(kept(Some(std::time::Duration::ZERO))));
    let rules = "on_error = \"stale\"\nfresh_secs = 300\nstale_secs = 3600\nretries = 0";
    let mut server = with("no-store", rules).start().await;
    plan(&mut server, "1").await;
    script.play(say(Answer::unavailable("no")));
    assert_eq!(error(&server.sign(sign_for(user("1"))).await.unwrap_err()).1, "SOURCE_UNAVAILABLE");

    // Nor is an answer of which a part is wrong, nor what it never said that it sets.
    let script = Script::new("partly", say(found(json!({"plan": 1, "title": "CEO"}))));
    let rules = "on_error = \"omit\"\nfresh_secs = 300";
    let mut server = with("partly", rules)
        .replace(
            "attributes.title]\ntype = \"string\"",
            "attributes.title]\ntype = \"string\"\nfrom = [\"s\", \"caller\"]",
        )
        .replace("sets = [\"plan\"]", "sets = [\"plan\", \"title\"]")
        .start()
        .await;
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!((claims(&signed.token).get("plan"), &claims(&signed.token)["title"]), (None, &json!("CEO")));
    script.play(say(found(json!({"plan": "Gold", "title": "CEO"}))));
    assert_eq!(plan(&mut server, "1").await, fresh("Gold", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_denies_is_dropped_on_every_replica_also_while_the_store_is_away() {
    let mut redis = Redis::start();
    let script = Script::new("denied-shared", say(gold()));
    let rules = "on_error = \"stale\"\nfresh_secs = 1\nstale_secs = 3600\nretries = 0\nshared = true";
    let mut one = sharing(&redis.url(), "denied-shared", rules).start().await;
    plan(&mut one, "1").await;
    shared(&redis, 1);
    let mut two = sharing(&redis.url(), "denied-shared", rules).start().await;
    plan(&mut two, "1").await;
    script.play(say(Answer::denied("no")));
    one.set_now(NOW + 10);
    two.set_now(NOW + 10);
    let gone = async |server: &mut Running| {
        for _ in 0..2_000 {
            if server.sign(sign_for(user("1"))).await.is_err() {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        false
    };
    assert!(gone(&mut one).await);
    script.play(say(Answer::unavailable("no")));
    assert!(gone(&mut two).await, "the other replica hears of it");
    redis.restart();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_store_that_hangs_takes_no_source_with_it() {
    let redis = Redis::start();
    let script = Script::new("hanging-store", say(gold()));
    let rules = "on_error = \"refuse\"\nfresh_secs = 300\ntimeout_ms = 200\nshared = true";
    let mut server = sharing(&redis.url(), "hanging-store", rules).start().await;
    redis.pause();
    for id in 0..10 {
        assert_eq!(plan(&mut server, &id.to_string()).await.0.as_deref(), Some("Gold"));
    }
    assert_eq!(script.calls(), 10);
    redis.resume();
}
