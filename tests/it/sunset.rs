//! What tells old backends that hashes end, in the metadata of answers.

use countersign::grpc::proto;
use tonic::Response;
use tonic::metadata::MetadataMap;

use crate::harness::{APP, IV_SECRET, Running, Setup, from_billing, hash_of, user_hash, verify_hash};

const POLICY: &str = r#"
jwt_from = "2026-01-01T00:00:00Z"
hash_until = "2027-03-31T00:00:00Z"
brownouts = [{ from = "2026-06-03T10:00:00Z", until = "2026-06-03T10:15:00Z" }]
exceptions = [{ client = "ios", hash_until = "2027-06-30T00:00:00Z" }]
"#;

fn verify(client: &str) -> proto::VerifyRequest {
    let client = client.to_owned();
    proto::VerifyRequest { client, ..verify_hash("ada", user_hash("ada", IV_SECRET)) }
}

fn told<T>(response: &Response<T>) -> [Option<String>; 3] {
    let metadata: &MetadataMap = response.metadata();
    let told = |name: &str| metadata.get(name).map(|value| value.to_str().unwrap().to_owned());
    ["deprecation", "sunset", "countersign-brownout"].map(told)
}

fn dates(sunset: &str) -> [Option<String>; 3] {
    ["@1767225600", sunset, "Wed, 03 Jun 2026 10:00:00 GMT"].map(|date| Some(date.to_owned()))
}

async fn server() -> Running {
    Setup::default().policy(POLICY).start().await
}

#[tokio::test]
async fn every_answer_about_a_hash_says_since_when_there_is_better_and_when_it_ends() {
    let mut server = server().await;
    let verified = server.client.verify(from_billing(verify("web"))).await.unwrap();
    assert_eq!(told(&verified), dates("Wed, 31 Mar 2027 00:00:00 GMT"));
    let extended = server.client.verify(from_billing(verify("ios/3.2"))).await.unwrap();
    assert_eq!(told(&extended), dates("Wed, 30 Jun 2027 00:00:00 GMT"));
    let proto::VerifyRequest { application, legacy, asserted, .. } = verify("web");
    let exchange = proto::ExchangeRequest { application, legacy, asserted, ..Default::default() };
    let exchanged = server.client.exchange(from_billing(exchange)).await.unwrap();
    assert_eq!(told(&exchanged), dates("Wed, 31 Mar 2027 00:00:00 GMT"));
    let hashed = server.client.legacy_hash(from_billing(hash_of("ada"))).await.unwrap();
    assert_eq!(told(&hashed), dates("Wed, 31 Mar 2027 00:00:00 GMT"));
}

#[tokio::test]
async fn a_batch_tells_the_earliest_of_its_items() {
    let mut server = server().await;
    let requests = vec![verify("ios"), verify("web"), proto::VerifyRequest::default()];
    let batch = server.client.batch_verify(from_billing(proto::BatchVerifyRequest { requests })).await.unwrap();
    assert_eq!(told(&batch), dates("Wed, 31 Mar 2027 00:00:00 GMT"));
}

#[tokio::test]
async fn an_answer_about_a_jwt_or_garbage_says_nothing_and_without_dates_there_is_no_sunset() {
    let mut server = Setup::default().start().await;
    let order = proto::SignRequest {
        application: APP.to_owned(),
        identity: Some(proto::Identity {
            user_id: "ada".to_owned(),
            email: "ada@b.example".to_owned(),
            name: "Ada".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let signed = server.client.sign(from_billing(order)).await.unwrap();
    assert_eq!(told(&signed), [None, None, None]);
    let jwt = Some(signed.into_inner().token);
    let jwt = proto::VerifyRequest { application: APP.to_owned(), jwt, ..Default::default() };
    assert_eq!(told(&server.client.verify(from_billing(jwt)).await.unwrap()), [None, None, None]);
    let mut garbage = verify("web");
    garbage.legacy.as_mut().unwrap().user_hash = "00".repeat(32);
    assert_eq!(told(&server.client.verify(from_billing(garbage)).await.unwrap()), [None, None, None]);
    let undated = server.client.verify(from_billing(verify("web"))).await.unwrap();
    assert_eq!(told(&undated), [Some("@0".to_owned()), None, None]);
}

#[tokio::test]
async fn an_end_before_1970_is_told_as_the_first_date_that_there_is() {
    let ended = "hash_until = \"1965-01-01T00:00:00Z\"\nissue_hash_until = \"2030-01-01T00:00:00Z\"\n";
    let mut server = Setup::default().policy(ended).start().await;
    let hashed = server.client.legacy_hash(from_billing(hash_of("ada"))).await.unwrap();
    assert_eq!(told(&hashed)[1].as_deref(), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
}
