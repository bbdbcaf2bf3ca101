//! Verify, with a legacy hash: the exact bytes, one identifier, and the policy.

use std::sync::Arc;

use countersign::grpc::proto::{self, HashedIdentifier, NoticeCode, Reason};
use serde_json::json;
use tonic::Code;

use crate::harness::*;

fn good() -> proto::VerifyRequest {
    verify_hash("123456", user_hash("123456", IV_SECRET))
}

#[tokio::test]
async fn a_hash_proves_one_identifier_and_nothing_else() {
    let mut server = start().await;
    let mut request = good();
    request.asserted = Some(proto::Identity {
        email: "user@example.com".to_owned(),
        attributes: Some(attributes(json!({"plan": "Premium", "theme": "dark"}))),
        ..user("123456")
    });
    let accepted = server.accepted(request).await;
    assert_eq!(accepted.credential(), proto::CredentialKind::LegacyHash);
    assert_eq!(accepted.verified.unwrap(), user("123456"));
    let unverified = accepted.unverified.unwrap();
    assert_eq!((unverified.user_id.as_str(), unverified.email.as_str()), ("", "user@example.com"));
    assert_eq!(unverified.attributes, Some(attributes(json!({"theme": "dark"}))));
    assert_eq!(accepted.refused_attributes[0].name, "plan");
    assert_eq!((accepted.token_id.as_str(), accepted.claims_json.as_str(), accepted.key_id.as_str()), ("", "", "iv"));
    assert_eq!(codes(&accepted.notices), [NoticeCode::LegacyHashDeprecated]);
}

#[tokio::test]
async fn the_bytes_are_exact_and_the_shape_strict() {
    let mut server = start().await;
    let hash = user_hash("123456", IV_SECRET);
    server.accepted(verify_hash("123456", hash.to_uppercase())).await;
    for id in ["123456 ", " 123456", "123457", "１２３４５６"] {
        assert_eq!(server.why(verify_hash(id, hash.as_str())).await, Reason::HashMismatch, "{id}");
    }
    for bad in [
        &hash[..63],
        &format!("{hash}0"),
        &format!(" {}", &hash[1..]),
        "x",
        &hash.replace(&hash[..1], "g"),
        &"a".repeat(500_000),
    ] {
        assert_eq!(server.why(verify_hash("123456", bad)).await, Reason::HashMalformed, "{}", bad.len());
    }
    server.accepted(verify_hash("ß\u{1F600}\n", user_hash("ß\u{1F600}\n", IV_SECRET))).await;
}

#[tokio::test]
async fn there_is_no_fallback_to_the_next_identifier() {
    let mut server = start().await;
    let over_email = user_hash("user@example.com", IV_SECRET);
    let both = proto::Identity { email: "user@example.com".to_owned(), ..user("123456") };
    let request = |hashed: HashedIdentifier, asserted: proto::Identity| proto::VerifyRequest {
        legacy: Some(proto::LegacyProof { user_hash: over_email.clone(), hashed: hashed.into(), ..Default::default() }),
        asserted: Some(asserted),
        ..verify_hash("", "")
    };
    assert_eq!(server.why(request(HashedIdentifier::Unspecified, both.clone())).await, Reason::HashMismatch);
    let accepted = server.accepted(request(HashedIdentifier::Email, both.clone())).await;
    assert_eq!(accepted.verified.unwrap().email, "user@example.com");
    assert_eq!(accepted.unverified.unwrap().user_id, "123456");
    let only = proto::Identity { email: "user@example.com".to_owned(), ..Default::default() };
    server.accepted(request(HashedIdentifier::Unspecified, only.clone())).await;
    assert_eq!(server.why(request(HashedIdentifier::UserId, only)).await, Reason::ClaimMissing);
    assert_eq!(
        server.why(request(HashedIdentifier::Unspecified, proto::Identity::default())).await,
        Reason::ClaimMissing
    );
}

#[tokio::test]
async fn a_company_hash_proves_an_id_and_one_wrong_refuses_all() {
    let mut server = start().await;
    let with = |hashes: &[(&str, String)]| {
        let mut request = good();
        let company_hashes = hashes.iter().map(|(id, hash)| ((*id).to_owned(), hash.clone())).collect();
        request.legacy.as_mut().unwrap().company_hashes = company_hashes;
        request.asserted.as_mut().unwrap().companies =
            vec![proto::Company { id: "c1".to_owned(), name: "One".to_owned(), ..proto::Company::default() }];
        request
    };
    let c1 = user_hash("c1", IV_SECRET);
    let accepted = server.accepted(with(&[("c1", c1.clone())])).await;
    let bare = proto::Company { id: "c1".to_owned(), ..proto::Company::default() };
    assert_eq!(accepted.verified.unwrap().companies, [bare]);
    assert_eq!(accepted.unverified.unwrap().companies[0].name, "One");
    assert!(codes(&accepted.notices).contains(&NoticeCode::CompanyNotBound));
    assert_eq!(server.why(with(&[("c1", c1.clone()), ("c2", c1.clone())])).await, Reason::HashMismatch);
    assert_eq!(server.why(with(&[("c1", c1), ("c2", "x".to_owned())])).await, Reason::HashMalformed);
    assert_eq!(server.why(with(&[("root", user_hash("root", IV_SECRET))])).await, Reason::SubjectPrivileged);
}

#[tokio::test]
async fn privilege_looks_at_what_is_said_too() {
    let mut server = start().await;
    let mut request = good();
    request.asserted.as_mut().unwrap().email = "Boss@B.example".to_owned();
    assert_eq!(server.why(request).await, Reason::SubjectPrivileged);
    let email = |address: &str| proto::VerifyRequest {
        asserted: Some(proto::Identity { email: address.to_owned(), ..proto::Identity::default() }),
        ..verify_hash("", user_hash(address, IV_SECRET))
    };
    assert_eq!(server.why(email("x@acme.example")).await, Reason::SubjectPrivileged);
    server.accepted(email("x@sub.acme.example")).await;
}

#[tokio::test]
async fn a_sunset_is_exact_and_an_exception_extends_it_for_its_own() {
    let policy = r#"
hash_from = "2026-05-01T00:00:00Z"
hash_until = "2026-07-01T00:00:00Z"
exceptions = [{ client = "ios", hash_until = "2026-08-01T00:00:00Z" }, { client = "android", hash_until = "2026-09-01T00:00:00Z" }]
"#;
    let mut server = Setup::default().policy(policy).start().await;
    let from = |client: &str| proto::VerifyRequest { client: client.to_owned(), ..good() };
    let at = |text: &str| timestamp(text).seconds;
    server.set_now(at("2026-05-01T00:00:00Z") - 1);
    assert_eq!(server.why(from("")).await, Reason::HashNotYetAccepted);
    server.set_now(at("2026-07-01T00:00:00Z") - 1);
    let accepted = server.accepted(from("ios/3.2")).await;
    assert_eq!(accepted.notices[0].deadline, Some(timestamp("2026-08-01T00:00:00Z")));
    server.set_now(at("2026-07-01T00:00:00Z"));
    assert_eq!(server.why(from("web")).await, Reason::HashNoLongerAccepted);
    server.accepted(from("ios/3.2")).await;
    // The caller is not configured for android: the label counts as none.
    for label in ["android", "iosx", "IOS", ""] {
        assert_eq!(server.why(from(label)).await, Reason::HashNoLongerAccepted, "{label}");
    }
    server.set_now(at("2026-08-01T00:00:00Z"));
    assert_eq!(server.why(from("ios")).await, Reason::HashNoLongerAccepted);
}

#[tokio::test]
async fn the_ratchet_turns_for_every_identifier_that_a_jwt_carries() {
    let ratchet = |scope: &str| {
        Setup::default()
            .policy(&format!("ratchet = {{ scope = \"{scope}\", grace_secs = 100, on_store_error = \"refuse\" }}"))
    };
    let over = |email: &str| proto::VerifyRequest {
        asserted: Some(proto::Identity { email: email.to_owned(), ..proto::Identity::default() }),
        client: "ios/3".to_owned(),
        ..verify_hash("", user_hash(email, IV_SECRET))
    };
    let jwt = |client: &str| proto::VerifyRequest {
        client: client.to_owned(),
        ..verify_jwt(token(json!({"email": "user@example.com", "exp": NOW + 80_000})))
    };
    let mut server = ratchet("subject").start().await;
    server.accepted(jwt("web")).await;
    server.accepted(good()).await;
    server.set_now(NOW + 99);
    server.accepted(jwt("web")).await;
    server.accepted(good()).await;
    server.set_now(NOW + 100);
    assert_eq!(server.why(good()).await, Reason::HashSuperseded);
    assert_eq!(server.why(over("user@example.com")).await, Reason::HashSuperseded);
    server.accepted(over("other@example.com")).await;

    let mut server = ratchet("subject_and_client").start().await;
    server.accepted(jwt("web/1")).await;
    server.set_now(NOW + 100);
    server.accepted(over("user@example.com")).await;
    assert_eq!(server.why(proto::VerifyRequest { client: "web/2".to_owned(), ..good() }).await, Reason::HashSuperseded);
}

#[tokio::test]
async fn without_facts_the_operator_has_decided() {
    let with = |on_store_error: &str| {
        let policy = format!("ratchet = {{ scope = \"subject\", on_store_error = \"{on_store_error}\" }}");
        Setup { state: Arc::new(NoStore::default()), ..Setup::default() }.policy(&policy)
    };
    let mut server = with("accept").start().await;
    server.accepted(good()).await;
    let mut server = with("refuse").start().await;
    let status = server.verify(good()).await.unwrap_err();
    assert_eq!(error(&status), (Code::Unavailable, "STORE_UNAVAILABLE".to_owned(), vec![]));
    // A JWT needs no facts.
    server.accepted(verify_jwt(token(json!({})))).await;
}

#[tokio::test]
async fn a_shadow_changes_nothing() {
    let policy = "shadow = { hash_until = \"2026-05-01T00:00:00Z\", \
                  ratchet = { scope = \"subject\", grace_secs = 0, on_store_error = \"refuse\" } }";
    let mut server = Setup { state: Arc::new(NoStore::default()), ..Setup::default() }.policy(policy).start().await;
    let accepted = server.accepted(good()).await;
    assert_eq!(accepted.notices[0].deadline, None);
    server.accepted(verify_jwt(token(json!({})))).await;
    assert_eq!(server.hash(hash_of("1")).await.unwrap().accepted_until, None);
}

#[tokio::test]
async fn a_key_that_retires_soon_is_told() {
    let secret = "secret = { env = \"IV_SECRET\" }";
    let retiring = format!("{secret}\nretire_at = \"2026-06-30T00:00:00Z\"");
    let mut server = Setup::default().replace(secret, &retiring).start().await;
    let retires = |notices: &[proto::Notice]| {
        notices.iter().find(|n| n.code() == NoticeCode::KeyRetiresSoon).and_then(|n| n.deadline)
    };
    let at = timestamp("2026-06-30T00:00:00Z");
    assert_eq!(retires(&server.accepted(good()).await.notices), Some(at));
    assert_eq!(retires(&server.hash(hash_of("1")).await.unwrap().notices), Some(at));
    server.set_now(NOW - 86_400 * 5);
    assert_eq!(retires(&server.accepted(good()).await.notices), None, "over thirty days ahead");
    server.set_now(at.seconds);
    assert_eq!(server.why(good()).await, Reason::KeyRetired);
}

#[tokio::test]
async fn a_short_key_is_told_in_every_answer() {
    let setup = Setup::default()
        .replace("secret = { env = \"IV_SECRET\" }", "secret = { env = \"SHORT\" }\nallow_weak = true")
        .env("SHORT", "short");
    let mut server = setup.start().await;
    let accepted = server.accepted(verify_hash("1", user_hash("1", "short"))).await;
    assert!(codes(&accepted.notices).contains(&NoticeCode::WeakKey));
    let refused = server.refused(verify_hash("2", user_hash("1", "short"))).await;
    assert!(codes(&refused.notices).contains(&NoticeCode::WeakKey));
    let hashed = server.hash(hash_of("1")).await.unwrap();
    assert!(codes(&hashed.notices).contains(&NoticeCode::WeakKey));
}

#[tokio::test]
async fn a_scheme_that_has_ended_needs_no_keys() {
    let setup = Setup::default()
        .replace(
            "[applications.\"acme/feedback\".keys.iv]\npurpose = \"legacy\"\nsecret = { env = \"IV_SECRET\" }\n",
            "",
        )
        .policy("hash_until = \"2026-05-01T00:00:00Z\"");
    let mut server = setup.start().await;
    assert_eq!(server.why(good()).await, Reason::HashNoLongerAccepted);
}

#[tokio::test]
async fn a_short_key_that_judged_a_company_is_told_too() {
    let weak = "[applications.\"acme/feedback\".keys.weak]\npurpose = \"legacy\"\nsecret = { env = \"WEAK\" }\nallow_weak = true\n";
    let setup = Setup::default().env("WEAK", "short").and(&format!("{weak}not_before = \"2026-05-01T00:00:00Z\"\n"));
    let mut server = setup.start().await;
    let mut request = good();
    assert!(!codes(&server.accepted(request.clone()).await.notices).contains(&NoticeCode::WeakKey));
    request.legacy.as_mut().unwrap().company_hashes = [("c1".to_owned(), user_hash("c1", "short"))].into();
    assert!(codes(&server.accepted(request).await.notices).contains(&NoticeCode::WeakKey));
}
