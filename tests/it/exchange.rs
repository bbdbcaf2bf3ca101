//! Exchange never adds trust.

use countersign::grpc::proto::{self, NoticeCode, Reason};
use serde_json::json;

use crate::harness::*;

fn of_hash(id: &str) -> proto::ExchangeRequest {
    let verify = verify_hash(id, user_hash(id, IV_SECRET));
    proto::ExchangeRequest {
        application: verify.application,
        legacy: verify.legacy,
        asserted: verify.asserted,
        ..proto::ExchangeRequest::default()
    }
}

fn of_jwt(token: impl Into<String>) -> proto::ExchangeRequest {
    proto::ExchangeRequest { application: APP.to_owned(), jwt: Some(token.into()), ..Default::default() }
}

async fn signed(server: &mut Running, request: proto::ExchangeRequest) -> proto::SignResponse {
    match server.exchange(request).await.unwrap().outcome.unwrap() {
        proto::exchange_response::Outcome::Signed(signed) => signed,
        proto::exchange_response::Outcome::Refused(refused) => panic!("refused: {refused:?}"),
    }
}

async fn why(server: &mut Running, request: proto::ExchangeRequest) -> Reason {
    match server.exchange(request).await.unwrap().outcome.unwrap() {
        proto::exchange_response::Outcome::Refused(refused) => refused.reason(),
        proto::exchange_response::Outcome::Signed(signed) => panic!("signed: {signed:?}"),
    }
}

#[tokio::test]
async fn a_hash_becomes_a_token_over_what_it_proves() {
    let setup = Setup::default()
        .replace("attributes.plan]\ntype = \"string\"", "attributes.plan]\ntype = \"string\"\nfrom = [\"caller\", \"plans\"]")
        .and("[sources.plans]\nkind = \"static\"\nsets = [\"plan\"]\non_error = \"refuse\"\nconfig = { claims = { plan = \"Free\" } }\n");
    let mut server = setup.start().await;
    let mut request = of_hash("123456");
    request.legacy.as_mut().unwrap().company_hashes = [("c1".to_owned(), user_hash("c1", IV_SECRET))].into();
    request.asserted = Some(proto::Identity {
        user_id: "123456".to_owned(),
        attributes: Some(attributes(json!({"plan": "Enterprise", "title": "CEO"}))),
        ..guide()
    });
    let signed = signed(&mut server, request).await;
    let provenance = json!({"from": "hash", "first": NOW});
    let wanted = json!({"userId": "123456", "plan": "Free", "iat": NOW, "exp": NOW + 3_600, "countersign": provenance});
    assert_eq!(claims(&signed.token), wanted);
    let notices = codes(&signed.notices);
    for code in [NoticeCode::LegacyHashDeprecated, NoticeCode::CompanyNotBound, NoticeCode::IdentifierMissing] {
        assert!(notices.contains(&code), "{notices:?}");
    }
    let accepted = server.accepted(verify_jwt(signed.token)).await;
    assert!(accepted.refused_attributes.is_empty(), "the private claim is no attribute");
}

#[tokio::test]
async fn a_token_from_a_hash_does_not_turn_the_ratchet() {
    let policy = "ratchet = { scope = \"subject\", grace_secs = 0, on_store_error = \"refuse\" }";
    let setup = Setup::default().policy(policy).and("[applications.\"acme/feedback\".exchange]\njwt = true\n");
    let mut server = setup.start().await;
    let from_hash = signed(&mut server, of_hash("123456")).await.token;
    server.accepted(verify_jwt(&from_hash)).await;
    let again = signed(&mut server, of_jwt(&from_hash)).await.token;
    assert_eq!(claims(&again)["countersign"], json!({"from": "hash", "first": NOW}), "inherited");
    server.accepted(verify_jwt(&again)).await;
    server.accepted(verify_hash("123456", user_hash("123456", IV_SECRET))).await;
    // A token of its own does.
    let own = server.sign(sign_for(user("123456"))).await.unwrap().token;
    server.accepted(verify_jwt(own)).await;
    assert_eq!(server.why(verify_hash("123456", user_hash("123456", IV_SECRET))).await, Reason::HashSuperseded);
}

#[tokio::test]
async fn a_session_of_tokens_has_an_end() {
    let setup =
        Setup::default().and("[applications.\"acme/feedback\".exchange]\njwt = true\nmax_session_secs = 5000\n");
    let mut server = setup.start().await;
    let first = server.sign(sign_for(user("1"))).await.unwrap().token;
    server.set_now(NOW + 3_000);
    let second = signed(&mut server, of_jwt(first)).await;
    assert_eq!(claims(&second.token)["countersign"], json!({"from": "jwt", "first": NOW}));
    assert_eq!(second.expires_at.unwrap().seconds, NOW + 5_000, "cut at the session's end");
    server.set_now(NOW + 4_999);
    signed(&mut server, of_jwt(&second.token)).await;
    server.set_now(NOW + 5_000);
    assert_eq!(why(&mut server, of_jwt(&second.token)).await, Reason::ExchangeNotAllowed);
    // Without a date nobody knows when the session began.
    server.set_now(NOW);
    assert_eq!(why(&mut server, of_jwt(token(json!({"iat": "absent"})))).await, Reason::ExchangeNotAllowed);
    // Only verified identifiers are signed again, no other claim of the old token.
    let carried = signed(&mut server, of_jwt(token(json!({"name": "N", "plan": "Gold"})))).await;
    let names: Vec<_> = claims(&carried.token).as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["userId", "iat", "exp", "countersign"]);
}

#[tokio::test]
async fn jwt_for_jwt_is_off_unless_it_is_on() {
    let mut server = start().await;
    assert_eq!(why(&mut server, of_jwt(token(json!({})))).await, Reason::ExchangeNotAllowed);
    assert_eq!(why(&mut server, of_jwt("x")).await, Reason::TokenMalformed);
    assert_eq!(
        why(&mut server, proto::ExchangeRequest { application: APP.to_owned(), ..Default::default() }).await,
        Reason::CredentialMissing
    );
}

#[tokio::test]
async fn a_forged_provenance_of_the_wrong_type_is_refused() {
    let mut server = start().await;
    for bad in [json!(1), json!({"from": "sky", "first": 1}), json!({"first": 1}), json!({"from": "jwt", "first": "1"})]
    {
        assert_eq!(server.why(verify_jwt(token(json!({"countersign": bad})))).await, Reason::ClaimTypeInvalid, "{bad}");
    }
}

#[tokio::test]
async fn what_the_profile_needs_and_the_hash_does_not_prove_is_missing() {
    let setup = Setup::default().and("[applications.\"acme/feedback\".attributes.name]\nrequired = true\n");
    let mut server = setup.start().await;
    let outcome = server.exchange(of_hash("1")).await.unwrap().outcome.unwrap();
    let proto::exchange_response::Outcome::Refused(refused) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refused.reason(), Reason::ClaimMissing);
    assert!(refused.message.contains("`name`"), "{}", refused.message);
}

#[tokio::test]
async fn a_privileged_identifier_that_a_source_brings_is_refused() {
    let setup = Setup::default()
        .and("[applications.\"acme/feedback\".attributes.email]\nfrom = [\"directory\"]\n")
        .and("[sources.directory]\nkind = \"static\"\nsets = [\"email\"]\non_error = \"refuse\"\nconfig = { claims = { email = \"boss@b.example\" } }\n");
    let mut server = setup.start().await;
    assert_eq!(why(&mut server, of_hash("1")).await, Reason::SubjectPrivileged);
    let refused = server.sign(sign_for(user("1"))).await.unwrap_err();
    assert_eq!(error(&refused).1, "SUBJECT_PRIVILEGED");
}

#[tokio::test]
async fn a_session_begins_at_the_latest_now() {
    let setup = Setup::default().and("[applications.\"acme/feedback\".exchange]\njwt = true\n");
    let mut server = setup.start().await;
    let future = json!({"from": "jwt", "first": NOW + 1_000_000});
    let exchanged = signed(&mut server, of_jwt(token(json!({"countersign": future})))).await;
    assert_eq!(claims(&exchanged.token)["countersign"], json!({"from": "jwt", "first": NOW}));
    // Without `first`, the token's own date counts.
    let undated = json!({"from": "hash"});
    let exchanged = signed(&mut server, of_jwt(token(json!({"countersign": undated, "iat": NOW - 100})))).await;
    assert_eq!(claims(&exchanged.token)["countersign"], json!({"from": "hash", "first": NOW - 100}));
}

#[tokio::test]
async fn the_audience_that_is_asked_for_is_the_new_tokens() {
    let setup = Setup::default()
        .and("[applications.\"acme/feedback\".exchange]\njwt = true\n")
        .and("[applications.\"acme/feedback\".tokens]\naudiences = [\"web\", \"api\"]\n");
    let mut server = setup.start().await;
    let old = token(json!({"aud": "web"}));
    let narrowed = proto::ExchangeRequest { audience: "api".to_owned(), ..of_jwt(&old) };
    assert_eq!(claims(&signed(&mut server, narrowed).await.token)["aud"], "api");
    let unknown = proto::ExchangeRequest { audience: "x".to_owned(), ..of_jwt(&old) };
    assert_eq!(error(&server.exchange(unknown).await.unwrap_err()).2, ["audience"]);
}

#[tokio::test]
async fn an_exchanged_jwt_turns_the_ratchet_as_a_verified_one_does() {
    let policy = "ratchet = { scope = \"subject\", grace_secs = 0, on_store_error = \"refuse\" }";
    let setup = Setup::default().policy(policy).and("[applications.\"acme/feedback\".exchange]\njwt = true\n");
    let mut server = setup.start().await;
    signed(&mut server, of_jwt(token(json!({})))).await;
    assert_eq!(why(&mut server, of_hash("123456")).await, Reason::HashSuperseded);
}
