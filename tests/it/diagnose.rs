//! Diagnose over the wire: the mistake is named, and nothing else is blamed. Its tables of mistakes are beside its code.

use countersign::grpc::proto::{self, FindingResult, Reason};
use serde_json::json;

use crate::harness::*;

async fn diagnose(request: proto::DiagnoseRequest) -> proto::DiagnoseResponse {
    let request = proto::DiagnoseRequest { application: APP.to_owned(), ..request };
    start().await.client.diagnose(from_billing(request)).await.unwrap().into_inner()
}

/// The checks that failed.
fn failed(response: &proto::DiagnoseResponse) -> Vec<&str> {
    let findings = response.findings.iter().filter(|finding| finding.result() == FindingResult::Failed);
    findings.map(|finding| finding.check.as_str()).collect()
}

fn hash(user_hash: String, asserted: proto::Identity) -> proto::DiagnoseRequest {
    proto::DiagnoseRequest { user_hash, asserted: Some(asserted), ..Default::default() }
}

#[tokio::test]
async fn a_good_credential_raises_no_alarm() {
    let jwt = proto::DiagnoseRequest { jwt: Some(token(json!({"plan": "Gold"}))), ..Default::default() };
    for request in [jwt, hash(user_hash("123456", IV_SECRET), user("123456"))] {
        let response = diagnose(request).await;
        assert_eq!(response.verdict(), Reason::Unspecified);
        let alarms = [FindingResult::Failed, FindingResult::Warning];
        assert!(!response.findings.iter().any(|finding| alarms.contains(&finding.result())), "{response:?}");
    }
}

#[tokio::test]
async fn the_secret_is_not_blamed_where_the_identifier_is_missing() {
    let response = diagnose(hash(user_hash("123456", IV_SECRET), proto::Identity::default())).await;
    assert_eq!((response.verdict(), failed(&response)), (Reason::ClaimMissing, vec!["hash.identifier"]));
}

#[tokio::test]
async fn the_token_is_not_blamed_for_the_audience_that_was_asked_for() {
    let jwt = Some(token(json!({})));
    let response = diagnose(proto::DiagnoseRequest { jwt, audience: "zz".to_owned(), ..Default::default() }).await;
    assert_eq!((response.verdict(), failed(&response)), (Reason::AudienceMismatch, vec!["request.audience"]));
}

#[tokio::test]
async fn a_scheme_before_a_hash_is_seen_through() {
    let good = user_hash("123456", IV_SECRET);
    let response = diagnose(hash(format!("Bearer {good}"), user("123456"))).await;
    assert_eq!((response.verdict(), failed(&response)), (Reason::HashMalformed, vec!["hash.form"]));
    let form = response.findings.iter().find(|finding| finding.check == "hash.form").unwrap();
    assert!(form.message.contains("Bearer") && !form.message.contains(&good), "{form:?}");
}
