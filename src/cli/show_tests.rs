//! What people and scripts see of each answer.

use std::collections::BTreeMap;

use prost_types::{Duration, Struct, Timestamp, Value};

use super::*;

const EXPIRES: Timestamp = Timestamp { seconds: 3600, nanos: 0 };

fn sign_response() -> proto::SignResponse {
    proto::SignResponse {
        token: "h.p.s".to_owned(),
        token_id: "abc".to_owned(),
        key_id: "jwt".to_owned(),
        issued_at: Some(Timestamp::default()),
        expires_at: Some(EXPIRES),
        origins: vec![proto::ClaimOrigin {
            claim: "plan".to_owned(),
            source: "billing".to_owned(),
            age: Some(Duration { seconds: 400, nanos: 0 }),
            stale: true,
        }],
        notices: vec![proto::Notice {
            code: proto::NoticeCode::KeyRetiresSoon.into(),
            message: "The key retires.".to_owned(),
            deadline: Some(EXPIRES),
        }],
    }
}

#[test]
fn a_token_is_alone_on_standard_output() -> Result<(), Trouble> {
    let answer = signed(&sign_response(), false)?;
    assert_eq!(answer.output, "h.p.s\n");
    let wanted = "\
token id  abc
key       jwt
issued    1970-01-01T00:00:00Z
expires   1970-01-01T01:00:00Z
claims
  plan  from billing, 400 s ago: stale
notice: KEY_RETIRES_SOON [1970-01-01T01:00:00Z] The key retires.
";
    assert_eq!(answer.remarks, wanted);
    assert_eq!(signed(&sign_response(), true)?.remarks, "");
    Ok(())
}

#[test]
fn the_hash_of_the_user_comes_first_and_companies_alone_in_the_order_asked_for() -> Result<(), Trouble> {
    let company_hashes = BTreeMap::from([("c1".to_owned(), "h1".to_owned()), ("c2".to_owned(), "h2".to_owned())]);
    let mut response = proto::LegacyHashResponse {
        user_hash: "hu".to_owned(),
        company_hashes,
        ..proto::LegacyHashResponse::default()
    };
    let companies = ["c2".to_owned(), "c1".to_owned()];
    let both = hashed(&response, &companies, false)?;
    assert_eq!(both.output, "hu\n");
    assert!(both.remarks.starts_with("company c2 h2\ncompany c1 h1\n"), "{}", both.remarks);
    response.user_hash.clear();
    assert_eq!(hashed(&response, &companies, false)?.output, "h2\nh1\n");
    assert!(hashed(&response, &["c3".to_owned()], false).is_err());
    Ok(())
}

#[test]
fn an_acceptance_says_what_is_proven_and_what_is_not() -> Result<(), Trouble> {
    let attributes = |name: &str, value: Value| Some(Struct { fields: [(name.to_owned(), value)].into() });
    let accepted = proto::Accepted {
        credential: proto::CredentialKind::Jwt.into(),
        verified: Some(proto::Identity {
            user_id: "u1\u{1b}[2J".to_owned(),
            companies: vec![proto::Company {
                id: "c1".to_owned(),
                monthly_spend: Some(500.0),
                attributes: attributes("industry", Value::from("Fintech")),
                ..proto::Company::default()
            }],
            attributes: attributes("seats", Value::from(5.0)),
            ..proto::Identity::default()
        }),
        unverified: Some(proto::Identity { name: "Ada".to_owned(), ..proto::Identity::default() }),
        refused_attributes: vec![proto::RefusedAttribute {
            name: "plan".to_owned(),
            reason: proto::Reason::AttributeNotProven.into(),
        }],
        key_id: "jwt".to_owned(),
        ..proto::Accepted::default()
    };
    let response = proto::VerifyResponse { outcome: Some(verify_response::Outcome::Accepted(accepted)) };
    let wanted = "\
accepted: JWT
verified
  user_id                      u1\\u{1b}[2J
  companies[c1]                (its id alone)
  companies[c1].monthly_spend  500
  companies[c1].industry       \"Fintech\"
  seats                        5
unverified, use it where no proof is needed
  name  Ada
refused attributes
  plan  ATTRIBUTE_NOT_PROVEN
key  jwt
";
    assert_eq!(verified(&response, false)?, Answer::done(wanted.to_owned(), String::new()));
    Ok(())
}

#[test]
fn a_refusal_says_why_and_what_to_do() -> Result<(), Trouble> {
    let refused = proto::Refused {
        reason: proto::Reason::HashMismatch.into(),
        message: "The hash does not fit.".to_owned(),
        remedy: "Check the secret.".to_owned(),
        notices: Vec::new(),
    };
    let wanted = "refused: HASH_MISMATCH\n  The hash does not fit.\nwhat to do: Check the secret.\n";
    let response = proto::VerifyResponse { outcome: Some(verify_response::Outcome::Refused(refused.clone())) };
    assert_eq!(verified(&response, false)?, Answer::refused(wanted.to_owned(), String::new()));
    // Where a token is expected on standard output, the refusal is not.
    let response = proto::ExchangeResponse { outcome: Some(exchange_response::Outcome::Refused(refused)) };
    assert_eq!(exchanged(&response, false)?, Answer::refused(String::new(), wanted.to_owned()));
    assert!(exchanged(&response, true)?.output.contains(r#""reason":"REASON_HASH_MISMATCH""#));
    Ok(())
}

#[test]
fn an_answer_of_a_newer_server_is_no_verdict() {
    assert!(verified(&proto::VerifyResponse { outcome: None }, false).is_err());
    assert!(exchanged(&proto::ExchangeResponse { outcome: None }, true).is_err());
    assert_eq!(reason(9999), "reason 9999, which this version does not know");
}
