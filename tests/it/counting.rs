//! What the ledger counts, over the wire: every call that presents or makes a credential, once, under what it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign::grpc::proto;
use countersign::ledger::{Cell, Credential, Evidence, Outcome, Tally};
use countersign::refusal::Reason;
use countersign::store::State;
use countersign_test_services::Redis;
use serde_json::json;
use time::UtcDateTime;

use crate::harness::{
    APP, IV_SECRET, NOW, Running, Setup, error, foreign_token, from_billing, hash_of, sign_for, token, user, user_hash,
    verify_hash, verify_jwt,
};

/// How often the store is asked whether everything has come, and what lies between: the ledger tells it twice a second.
const TRIES: usize = 200;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// What was counted: credential, outcome, client, key, shadow.
type Counted = BTreeMap<(Credential, Outcome, String, String, Option<Reason>), u64>;

fn at(seconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(seconds).unwrap()
}

fn counted(evidence: &Evidence) -> Counted {
    let cells = evidence.cells.iter();
    let key = |(cell, tally): (&Cell, &Tally)| {
        assert_eq!((cell.day, cell.caller.as_str(), tally.last), (at(NOW).date(), "billing", at(NOW)));
        ((cell.credential, cell.outcome, cell.client.clone(), cell.key.clone(), cell.shadow), tally.count)
    };
    cells.map(key).collect()
}

async fn evidence(state: &Arc<dyn State>) -> Evidence {
    state.evidence(APP, at(NOW).date()..=at(NOW).date(), at(NOW)).await.unwrap()
}

/// What was counted, once so much of it is in the store.
async fn until(state: &Arc<dyn State>, total: u64) -> Evidence {
    for _ in 0..TRIES {
        let evidence = evidence(state).await;
        let now: u64 = evidence.cells.values().map(|tally| tally.count).sum();
        assert!(now <= total, "{:?}", counted(&evidence));
        if now == total {
            return evidence;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{:?}", counted(&evidence(state).await));
}

/// The same, and how often.
type Row<'a> = (Credential, Outcome, &'a str, &'a str, Option<Reason>, u64);

fn cells<const N: usize>(cells: [Row<'_>; N]) -> Counted {
    let own = |(credential, outcome, client, key, shadow, count): Row<'_>| {
        ((credential, outcome, client.to_owned(), key.to_owned(), shadow), count)
    };
    cells.map(own).into()
}

async fn started(setup: Setup) -> (Running, Arc<dyn State>) {
    let server = setup.start().await;
    let state = Arc::clone(&server.state);
    (server, state)
}

fn hash(user_id: &str, client: &str) -> proto::VerifyRequest {
    let client = client.to_owned();
    proto::VerifyRequest { client, ..verify_hash(user_id, user_hash(user_id, IV_SECRET)) }
}

fn jwt(client: &str) -> proto::VerifyRequest {
    proto::VerifyRequest { client: client.to_owned(), ..verify_jwt(token(json!({}))) }
}

fn exchange(credential: proto::VerifyRequest) -> proto::ExchangeRequest {
    let proto::VerifyRequest { application, jwt, legacy, asserted, client, .. } = credential;
    proto::ExchangeRequest { application, jwt, legacy, asserted, client, ..proto::ExchangeRequest::default() }
}

#[tokio::test]
async fn what_is_accepted_is_counted_by_caller_client_and_key() {
    let (mut server, state) = started(Setup::default()).await;
    server.accepted(hash("1", "ios/3.2")).await;
    server.accepted(hash("2", "ios/3.2")).await;
    server.accepted(hash("2", "ios/3.2")).await;
    server.accepted(hash("2", "")).await;
    // A label that this caller is not configured for is none.
    server.accepted(hash("3", "android")).await;
    server.accepted(jwt("web")).await;
    let evidence = until(&state, 6).await;
    let (hash, jwt) = (Credential::Hash, Credential::Jwt);
    assert_eq!(
        counted(&evidence),
        cells([
            (hash, Outcome::Accepted, "", "iv", None, 2),
            (hash, Outcome::Accepted, "ios/3.2", "iv", None, 3),
            (jwt, Outcome::Accepted, "web", "jwt-2026", None, 1),
        ])
    );
    assert_eq!((evidence.distinct.hash, evidence.distinct.jwt), (3, 1));
    assert_eq!(evidence.since, Some(at(NOW)));
    assert_eq!(evidence.gaps, []);
    let stragglers = state.stragglers(APP, at(NOW), 9).await.unwrap();
    assert_eq!(stragglers.len(), 3);
    // A pseudonym, never the plain value.
    assert!(stragglers.iter().all(|one| one.pseudonym.len() == 22 && one.key == "iv"), "{stragglers:?}");
}

#[tokio::test]
async fn what_is_genuine_and_refused_is_told_from_what_anybody_can_send() {
    let setup =
        Setup::default().policy(r#"brownouts = [{ from = "2026-06-01T00:00:00Z", until = "2026-06-01T01:00:00Z" }]"#);
    let (mut server, state) = started(setup).await;
    assert_eq!(server.why(hash("1", "ios")).await, proto::Reason::HashBrownout);
    assert_eq!(server.why(hash("root", "ios")).await, proto::Reason::SubjectPrivileged);
    let forged =
        proto::VerifyRequest { client: "ios".to_owned(), ..verify_hash("1", user_hash("1", "another secret")) };
    assert_eq!(server.why(forged).await, proto::Reason::HashMismatch);
    assert_eq!(server.why(verify_hash("1", "short")).await, proto::Reason::HashMalformed);
    let expired = token(json!({"iat": NOW - 7_200, "exp": NOW - 3_600}));
    assert_eq!(server.why(verify_jwt(expired)).await, proto::Reason::TokenExpired);
    let forged =
        foreign_token(&json!({"userId": "1", "iat": NOW, "exp": NOW + 60}), "another secret of thirty-two bytes");
    assert_eq!(server.why(verify_jwt(forged)).await, proto::Reason::SignatureInvalid);
    assert_eq!(server.why(verify_jwt("nonsense")).await, proto::Reason::TokenMalformed);
    // Without any there is nothing to count; and what is no verdict is not counted.
    let nothing = proto::VerifyRequest { application: APP.to_owned(), ..Default::default() };
    assert_eq!(server.why(nothing).await, proto::Reason::CredentialMissing);
    let unknown = proto::VerifyRequest { application: "acme/unknown".to_owned(), ..jwt("") };
    server.verify(unknown).await.unwrap_err();
    let evidence = until(&state, 7).await;
    let (hash, jwt) = (Credential::Hash, Credential::Jwt);
    assert_eq!(
        counted(&evidence),
        cells([
            (hash, Outcome::Refused, "ios", "iv", None, 2),
            (hash, Outcome::Invalid, "", "", None, 2),
            (jwt, Outcome::Refused, "", "jwt-2026", None, 1),
            (jwt, Outcome::Invalid, "", "", None, 2),
        ])
    );
    // Both genuine hashes make stragglers, the forged one does not.
    assert_eq!(evidence.distinct.hash, 2);
    assert_eq!(state.stragglers(APP, at(NOW), 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_retired_or_revoked_key_made_is_genuine() {
    let setup = Setup::default().replace(
        "purpose = \"legacy\"\nsecret = { env = \"IV_SECRET\" }\n",
        "purpose = \"legacy\"\nsecret = { env = \"IV_SECRET\" }\nretire_at = \"2026-06-01T00:00:00Z\"\n\
         [applications.\"acme/feedback\".keys.iv-2]\npurpose = \"legacy\"\nsecret = { env = \"IV_2\" }\n",
    );
    let (mut server, state) = started(setup.env("IV_2", "iv-2-of-the-tests-0123456789abcdef-xyz")).await;
    assert_eq!(server.why(hash("1", "ios")).await, proto::Reason::KeyRetired);
    let target = Some(proto::revoke_request::Target::KeyId("jwt-2026".to_owned()));
    let revoke = proto::RevokeRequest { application: APP.to_owned(), target, expires_at: None };
    server.client.revoke(from_billing(revoke)).await.unwrap();
    assert_eq!(server.why(jwt("")).await, proto::Reason::TokenRevoked);
    let evidence = until(&state, 2).await;
    assert!(evidence.cells.keys().all(|cell| cell.outcome == Outcome::Refused), "{:?}", counted(&evidence));
    assert_eq!((evidence.distinct.hash, evidence.distinct.jwt), (1, 1));
}

#[tokio::test]
async fn what_is_made_is_counted_and_makes_no_straggler() {
    let (mut server, state) = started(Setup::default()).await;
    server.sign(proto::SignRequest { client: "web".to_owned(), ..sign_for(user("1")) }).await.unwrap();
    server.hash(proto::LegacyHashRequest { company_ids: vec!["c".to_owned()], ..hash_of("1") }).await.unwrap();
    server.sign(sign_for(user("root"))).await.unwrap_err();
    server.hash(hash_of("root")).await.unwrap_err();
    server.exchange(exchange(hash("2", "ios"))).await.unwrap();
    let evidence = until(&state, 4).await;
    let (hash, jwt) = (Credential::Hash, Credential::Jwt);
    assert_eq!(
        counted(&evidence),
        cells([
            (hash, Outcome::Issued, "", "iv", None, 1),
            (hash, Outcome::Accepted, "ios", "iv", None, 1),
            (jwt, Outcome::Issued, "web", "jwt-2026", None, 1),
            (jwt, Outcome::Issued, "ios", "jwt-2026", None, 1),
        ])
    );
    assert_eq!(state.stragglers(APP, at(NOW), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_exchange_that_is_refused_counts_what_came_and_a_diagnosis_nothing() {
    let (mut server, state) = started(Setup::default()).await;
    let refused = server.exchange(exchange(jwt(""))).await.unwrap();
    assert!(matches!(refused.outcome, Some(proto::exchange_response::Outcome::Refused(_))));
    let asked = hash("2", "ios");
    let diagnose = proto::DiagnoseRequest {
        application: APP.to_owned(),
        user_hash: asked.legacy.unwrap().user_hash,
        asserted: asked.asserted,
        ..proto::DiagnoseRequest::default()
    };
    server.client.diagnose(from_billing(diagnose)).await.unwrap();
    server.accepted(hash("3", "web")).await;
    let evidence = until(&state, 2).await;
    assert_eq!(
        counted(&evidence),
        cells([
            (Credential::Hash, Outcome::Accepted, "web", "iv", None, 1),
            (Credential::Jwt, Outcome::Refused, "", "jwt-2026", None, 1),
        ])
    );
}

#[tokio::test]
async fn a_genuine_hash_counts_also_where_it_could_not_be_answered() {
    let plan = "attributes.plan]\ntype = \"string\"\n";
    let setup = Setup::default().replace(plan, &format!("{plan}from = [\"down\"]\n")).and(
        r#"
        [sources.down]
        kind = "lookup"
        sets = ["plan"]
        on_error = "refuse"
        [sources.down.config]
        url = "http://127.0.0.1:9/{user_id}"
        "#,
    );
    let (mut server, state) = started(setup).await;
    let failed = server.exchange(exchange(hash("1", "ios"))).await.unwrap_err();
    assert_eq!(failed.code(), tonic::Code::Unavailable, "{failed}");
    let evidence = until(&state, 1).await;
    assert_eq!(counted(&evidence), cells([(Credential::Hash, Outcome::Refused, "ios", "iv", None, 1)]));
}

#[tokio::test]
async fn of_two_credentials_the_one_that_decides_is_counted() {
    let setup = Setup::default().policy(r#"jwt_from = "2026-06-01T00:00:10Z""#);
    let (mut server, state) = started(setup).await;
    let both = proto::VerifyRequest { jwt: Some("nonsense".to_owned()), ..hash("1", "") };
    server.accepted(both.clone()).await;
    let evidence = until(&state, 1).await;
    assert_eq!(counted(&evidence), cells([(Credential::Hash, Outcome::Accepted, "", "iv", None, 1)]));

    let (mut server, state) = started(Setup::default()).await;
    assert_eq!(server.why(both).await, proto::Reason::TokenMalformed);
    let evidence = until(&state, 1).await;
    assert_eq!(counted(&evidence), cells([(Credential::Jwt, Outcome::Invalid, "", "", None, 1)]));
}

#[tokio::test]
async fn what_the_shadow_would_have_refused_is_counted_beside() {
    let setup = Setup::default().policy(r#"shadow = { hash_until = "2026-01-01T00:00:00Z" }"#);
    let (mut server, state) = started(setup).await;
    server.accepted(hash("1", "")).await;
    server.accepted(jwt("")).await;
    let evidence = until(&state, 2).await;
    let shadow = Some(Reason::HashNoLongerAccepted);
    assert_eq!(
        counted(&evidence),
        cells([
            (Credential::Hash, Outcome::Accepted, "", "iv", shadow, 1),
            (Credential::Jwt, Outcome::Accepted, "", "jwt-2026", None, 1),
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_batch_are_counted_like_calls() {
    let (mut server, state) = started(Setup::default()).await;
    let forged = verify_hash("1", user_hash("1", "another"));
    let requests = [hash("1", "ios"), jwt("web"), forged, hash("2", "ios")];
    let batch = proto::BatchVerifyRequest { requests: requests.to_vec() };
    server.client.batch_verify(from_billing(batch)).await.unwrap();
    let batch = proto::BatchSignRequest { requests: vec![sign_for(user("1")), sign_for(user("root"))] };
    server.client.batch_sign(from_billing(batch)).await.unwrap();
    let batch = proto::BatchLegacyHashRequest { requests: vec![hash_of("1"), hash_of("2")] };
    server.client.batch_legacy_hash(from_billing(batch)).await.unwrap();
    let evidence = until(&state, 7).await;
    let (hash, jwt) = (Credential::Hash, Credential::Jwt);
    assert_eq!(
        counted(&evidence),
        cells([
            (hash, Outcome::Accepted, "ios", "iv", None, 2),
            (hash, Outcome::Invalid, "", "", None, 1),
            (hash, Outcome::Issued, "", "iv", None, 2),
            (jwt, Outcome::Accepted, "web", "jwt-2026", None, 1),
            (jwt, Outcome::Issued, "", "jwt-2026", None, 1),
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_garbage_is_one_number_and_hides_nobody() {
    let (mut server, state) = started(Setup::default()).await;
    server.accepted(hash("genuine", "ios/3.2")).await;
    for part in 0..3 {
        let forged = (0..1_000).map(|index| proto::VerifyRequest {
            client: format!("ios/{part}-{index}"),
            ..verify_hash(&format!("{part}-{index}"), user_hash("x", "another"))
        });
        let batch = proto::BatchVerifyRequest { requests: forged.collect() };
        server.client.batch_verify(from_billing(batch)).await.unwrap();
    }
    let evidence = until(&state, 3_001).await;
    assert_eq!(
        counted(&evidence),
        cells([
            (Credential::Hash, Outcome::Accepted, "ios/3.2", "iv", None, 1),
            (Credential::Hash, Outcome::Invalid, "", "", None, 3_000),
        ])
    );
    assert_eq!(evidence.distinct.hash, 1);
    assert_eq!(state.stragglers(APP, at(NOW), 9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_a_redis_count_together() {
    let redis = Redis::start();
    let (mut one, first) = started(Setup::default().on(&redis)).await;
    let (mut two, second) = started(Setup::default().on(&redis)).await;
    one.until_serving().await;
    two.until_serving().await;
    one.accepted(hash("1", "ios")).await;
    one.accepted(hash("2", "ios")).await;
    two.accepted(hash("2", "ios")).await;
    two.accepted(jwt("")).await;
    for state in [first, second] {
        let evidence = until(&state, 4).await;
        assert_eq!(
            counted(&evidence),
            cells([
                (Credential::Hash, Outcome::Accepted, "ios", "iv", None, 3),
                (Credential::Jwt, Outcome::Accepted, "", "jwt-2026", None, 1),
            ])
        );
        assert_eq!((evidence.distinct.hash, evidence.gaps), (2, vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_which_the_store_does_not_know_judges_nothing() {
    let redis = Redis::start();
    Setup::default().on(&redis).start().await.until_serving().await;
    redis.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let mut late = Setup::default().on(&redis).start().await;
    for sent in [hash("1", "ios"), jwt("")] {
        let status = late.client.verify(from_billing(sent)).await.unwrap_err();
        assert_eq!(error(&status).1, "STORE_UNAVAILABLE", "{status}");
    }
    redis.run(&["CONFIG", "SET", "maxmemory", "0"]);
    late.until_serving().await;
    late.accepted(hash("1", "ios")).await;
}
