//! Every reason of the contract, provoked over the wire. A reason that is neither provoked nor under [`NOT_YET`] fails.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign::grpc::proto::{self, Reason};
use countersign::refusal;
use countersign_claim_source::Answer;
use serde_json::json;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::auditing::audited;
use crate::harness::*;
use crate::revoking::{revoke, user_id};
use crate::scripted::{Act, SCRIPTED, Script, found, say};

/// What this version cannot produce, and why.
const NOT_YET: &[(Reason, &str)] = &[
    (Reason::RateLimited, "callers have no rate limit"),
    (Reason::Overloaded, "the server has no load limit of its own"),
    (Reason::Draining, "draining finishes what is under way and takes nothing new"),
];

fn hash() -> proto::VerifyRequest {
    verify_hash("123456", user_hash("123456", IV_SECRET))
}

/// What Verify says, under a policy.
async fn under(policy: &str, request: proto::VerifyRequest) -> Reason {
    Setup::default().policy(policy).start().await.why(request).await
}

async fn verify(request: proto::VerifyRequest) -> Reason {
    start().await.why(request).await
}

fn reason(status: &Status) -> Reason {
    let name = status.get_error_details().error_info().expect("every error has ErrorInfo").reason.clone();
    Reason::from_str_name(&format!("REASON_{name}")).expect("a reason of the contract")
}

async fn sign_with_source(answer: &str) -> Reason {
    let name = format!("reasons-{answer}");
    match answer {
        "away" => Script::new(&name, say(Answer::unavailable("it is away"))),
        "hang" => Script::new(&name, |_| Act::Hang),
        "panic" => Script::new(&name, |_| Act::Panic),
        _ => Script::new(&name, say(found(json!({"plan": 1})))),
    };
    let mut setup = Setup::default()
        .replace("attributes.plan]\ntype = \"string\"", "attributes.plan]\ntype = \"string\"\nfrom = [\"s\"]")
        .and("[sources.s]\nkind = \"scripted\"\nsets = [\"plan\"]\non_error = \"refuse\"\n")
        // On a machine that is loaded an answer at once may take longer than a short timeout.
        .and(if answer == "hang" { "timeout_ms = 20\n" } else { "timeout_ms = 20000\n" })
        .and(&format!("config = {{ script = \"{name}\" }}\n"));
    setup.kinds.push(SCRIPTED);
    reason(&setup.start().await.sign(sign_for(user("1"))).await.unwrap_err())
}

async fn sign_under(policy: &str) -> Reason {
    reason(&Setup::default().policy(policy).start().await.sign(sign_for(user("1"))).await.unwrap_err())
}

fn key(retire: &str) -> Setup {
    Setup::default().env("OTHER", &"o".repeat(40)).and(&format!(
        "[applications.\"acme/feedback\".keys.other]\npurpose = \"jwt\"\nsecret = {{ env = \"OTHER\" }}\n{retire}\n"
    ))
}

fn signed_by_other() -> proto::VerifyRequest {
    verify_jwt(foreign_token(&json!({"userId": "1", "exp": NOW + 60}), &"o".repeat(40)))
}

/// What an unknown caller gets.
async fn as_caller(authorization: Option<&str>, application: &str) -> Reason {
    let setup = Setup::default().replace("\"diagnose\", \"revoke\", \"admin\"", "\"diagnose\"");
    let mut request =
        tonic::Request::new(proto::RevokeRequest { application: application.to_owned(), ..Default::default() });
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    reason(&setup.start().await.client.revoke(request).await.unwrap_err())
}

async fn provoke(wanted: Reason) -> Option<Reason> {
    let privileged = verify_hash("root", user_hash("root", IV_SECRET));
    let issuer = "[applications.\"acme/feedback\".tokens]\nissuer = \"me\"\naudiences = [\"us\"]\n";
    Some(match wanted {
        Reason::Unspecified => return None,
        Reason::RequestInvalid => reason(
            &start()
                .await
                .sign(sign_for(proto::Identity { user_id: "x".repeat(513), ..Default::default() }))
                .await
                .unwrap_err(),
        ),
        Reason::ClaimTypeInvalid => verify(verify_jwt(token(json!({"userId": 1})))).await,
        Reason::ClaimMissing => verify(verify_jwt(token(json!({"userId": "absent"})))).await,
        Reason::CallerUnknown => as_caller(Some("Bearer nobody"), APP).await,
        Reason::CallerNotAllowed => as_caller(Some(&format!("Bearer {TOKEN}")), APP).await,
        Reason::ApplicationUnknown => {
            let request = proto::SignRequest { application: "other/app".to_owned(), ..sign_for(user("1")) };
            reason(&start().await.sign(request).await.unwrap_err())
        }
        Reason::HashNoLongerIssued => {
            let setup = Setup::default().policy("issue_hash_until = \"2026-05-01T00:00:00Z\"");
            reason(&setup.start().await.hash(hash_of("1")).await.unwrap_err())
        }
        Reason::JwtNotYetIssued => sign_under("issue_jwt_from = \"2026-07-01T00:00:00Z\"").await,
        Reason::SubjectPrivileged => verify(privileged).await,
        Reason::NoSigningKey => {
            let setup = Setup::default().replace(
                "secret = { env = \"JWT_SECRET\" }",
                "secret = { env = \"JWT_SECRET\" }\nretire_at = \"2026-05-01T00:00:00Z\"",
            );
            reason(&setup.start().await.sign(sign_for(user("1"))).await.unwrap_err())
        }
        Reason::SourceUnavailable => sign_with_source("away").await,
        Reason::SourceTimedOut => sign_with_source("hang").await,
        Reason::SourceMalformed => sign_with_source("wrong type").await,
        Reason::StoreUnavailable => {
            let policy = "ratchet = { scope = \"subject\", grace_secs = 0, on_store_error = \"refuse\" }";
            let setup = Setup { state: Arc::new(NoStore::default()), ..Setup::default() }.policy(policy);
            reason(&setup.start().await.verify(hash()).await.unwrap_err())
        }
        Reason::Internal => sign_with_source("panic").await,
        Reason::NotImplemented => {
            let mut request = from_billing(sign_for(user("1")));
            request.metadata_mut().insert("grpc-encoding", "unknown".parse().unwrap());
            reason(&start().await.client.sign(request).await.unwrap_err())
        }
        Reason::CredentialMissing => {
            verify(proto::VerifyRequest { application: APP.to_owned(), ..Default::default() }).await
        }
        Reason::TokenMalformed => verify(verify_jwt("")).await,
        Reason::TokenTooLarge => verify(verify_jwt("x".repeat(16 * 1024 + 1))).await,
        Reason::AlgorithmNotAllowed => verify(verify_jwt(raw_token(r#"{"alg":"none"}"#, b"{}", "x"))).await,
        Reason::KeyUnknown => {
            let setup = Setup::default()
                .replace("[applications.\"acme/feedback\".keys.jwt-2026]\npurpose = \"jwt\"\nsecret = { env = \"JWT_SECRET\" }\n", "");
            setup.start().await.why(verify_jwt(token(json!({})))).await
        }
        Reason::KeyRetired => key("retire_at = \"2026-05-01T00:00:00Z\"").start().await.why(signed_by_other()).await,
        Reason::KeyNotYetValid => {
            key("not_before = \"2026-07-01T00:00:00Z\"").start().await.why(signed_by_other()).await
        }
        Reason::SignatureInvalid => verify(signed_by_other()).await,
        Reason::TokenExpired => verify(verify_jwt(token(json!({"exp": NOW - 100})))).await,
        Reason::TokenNotYetValid => verify(verify_jwt(token(json!({"nbf": NOW + 100})))).await,
        Reason::IssuedInFuture => verify(verify_jwt(token(json!({"iat": NOW + 100})))).await,
        Reason::LifetimeTooLong => verify(verify_jwt(token(json!({"exp": NOW + 100_000})))).await,
        Reason::AudienceMismatch => {
            Setup::default().and(issuer).start().await.why(verify_jwt(token(json!({"iss": "me", "aud": "them"})))).await
        }
        Reason::IssuerMismatch => {
            Setup::default().and(issuer).start().await.why(verify_jwt(token(json!({"iss": "you", "aud": "us"})))).await
        }
        Reason::IdentityMismatch => {
            verify(proto::VerifyRequest { asserted: Some(user("other")), ..verify_jwt(token(json!({}))) }).await
        }
        Reason::HashMalformed => verify(verify_hash("1", "x")).await,
        Reason::HashMismatch => verify(verify_hash("1", user_hash("2", IV_SECRET))).await,
        Reason::HashNotYetAccepted => under("hash_from = \"2026-07-01T00:00:00Z\"", hash()).await,
        Reason::HashNoLongerAccepted => under("hash_until = \"2026-06-01T00:00:00Z\"", hash()).await,
        Reason::HashBrownout => {
            let window = "brownouts = [{ from = \"2026-06-01T00:00:00Z\", until = \"2026-06-01T00:15:00Z\" }]";
            under(window, hash()).await
        }
        Reason::HashRolledOut => under("rollout = [{ at = \"2026-06-01T00:00:00Z\", percent = 100 }]", hash()).await,
        Reason::HashSuperseded => {
            let policy = "ratchet = { scope = \"subject\", grace_secs = 0, on_store_error = \"refuse\" }";
            let mut server = Setup::default().policy(policy).start().await;
            server.accepted(verify_jwt(token(json!({})))).await;
            server.why(hash()).await
        }
        Reason::JwtNotYetAccepted => under("jwt_from = \"2026-07-01T00:00:00Z\"", verify_jwt(token(json!({})))).await,
        Reason::ExchangeNotAllowed => {
            let request = proto::ExchangeRequest {
                application: APP.to_owned(),
                jwt: Some(token(json!({}))),
                ..Default::default()
            };
            match start().await.exchange(request).await.unwrap().outcome.unwrap() {
                proto::exchange_response::Outcome::Refused(refused) => refused.reason(),
                proto::exchange_response::Outcome::Signed(_) => return None,
            }
        }
        Reason::AttributeNotProven | Reason::AttributeUndeclared => {
            let said = if wanted == Reason::AttributeNotProven { json!({"plan": "x"}) } else { json!({"nobody": 1}) };
            let asserted = proto::Identity { attributes: Some(attributes(said)), ..proto::Identity::default() };
            let request = proto::VerifyRequest { asserted: Some(asserted), ..verify_jwt(token(json!({}))) };
            start().await.accepted(request).await.refused_attributes[0].reason()
        }
        Reason::TokenRevoked | Reason::HashRevoked => {
            let mut server = start().await;
            revoke(&mut server, user_id("123456")).await.unwrap();
            server.why(if wanted == Reason::HashRevoked { hash() } else { verify_jwt(token(json!({}))) }).await
        }
        Reason::TokenReplayed => {
            let one_time = "[applications.\"acme/feedback\".tokens]\none_time = true\n";
            let mut server = Setup::default().and(one_time).start().await;
            server.accepted(verify_jwt(token(json!({})))).await;
            server.why(verify_jwt(token(json!({})))).await
        }
        Reason::VersionConflict => reason(&crate::policies::conflict().await),
        Reason::AuditUnavailable => {
            let folder = tempfile::tempdir().unwrap();
            let mut server = audited(&folder, "required = true").start().await;
            std::fs::remove_dir_all(folder.path().join("logs")).unwrap();
            reason(&server.sign(sign_for(user("1"))).await.unwrap_err())
        }
        Reason::RateLimited | Reason::Overloaded | Reason::Draining => return None,
    })
}

fn all() -> Vec<Reason> {
    (0..1_000)
        .filter_map(|value| Reason::try_from(value).ok())
        .filter(|reason| *reason != Reason::Unspecified)
        .collect()
}

#[tokio::test]
async fn every_reason_is_provoked_or_not_yet() {
    let not_yet: BTreeSet<_> = NOT_YET.iter().map(|(reason, _)| *reason as i32).collect();
    for reason in all() {
        let provoked = provoke(reason).await;
        match not_yet.contains(&(reason as i32)) {
            true => assert_eq!(provoked, None, "{reason:?} can be provoked: take it out of NOT_YET"),
            false => assert_eq!(provoked, Some(reason), "{reason:?} is neither provoked nor NOT_YET"),
        }
    }
}

#[test]
fn the_core_and_the_wire_have_the_same_reasons() {
    let wire: BTreeSet<_> =
        all().iter().map(|reason| reason.as_str_name().trim_start_matches("REASON_").to_owned()).collect();
    let core: BTreeSet<_> = refusal::Reason::ALL.iter().map(|reason| reason.name().to_owned()).collect();
    assert_eq!(core, wire);
    for reason in refusal::Reason::ALL {
        assert!(!reason.text().is_empty() && !reason.remedy().is_empty(), "{reason:?}");
    }
}
