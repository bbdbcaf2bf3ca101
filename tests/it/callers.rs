//! Who may call what.

use countersign::grpc::proto;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::harness::*;

fn with(authorization: &str) -> Request<proto::SignRequest> {
    let mut request = Request::new(sign_for(user("1")));
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    request
}

#[tokio::test]
async fn only_a_known_token_is_let_in() {
    let mut server = start().await;
    for good in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}")] {
        server.client.sign(with(&good)).await.unwrap();
    }
    let unknown = (Code::Unauthenticated, "CALLER_UNKNOWN".to_owned(), vec![]);
    for bad in [
        TOKEN.to_owned(),
        format!("Basic {TOKEN}"),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {TOKEN}x"),
        "Bearer billing".to_owned(),
    ] {
        assert_eq!(error(&server.client.sign(with(&bad)).await.unwrap_err()), unknown, "{bad}");
    }
    let mut twice = with(&format!("Bearer {TOKEN}"));
    twice.metadata_mut().append("authorization", "Bearer other".parse().unwrap());
    assert_eq!(error(&server.client.sign(twice).await.unwrap_err()), unknown);
    assert_eq!(error(&server.client.sign(Request::new(sign_for(user("1")))).await.unwrap_err()), unknown);
    // Who is not known is not told what a request should look like.
    let garbage = Request::new(proto::SignRequest::default());
    assert_eq!(error(&server.client.sign(garbage).await.unwrap_err()), unknown);
}

#[tokio::test]
async fn everything_that_is_not_allowed_is_forbidden() {
    let all = r#"may = ["sign", "verify", "legacy_hash", "exchange", "diagnose", "revoke", "admin"]"#;
    let mut server = Setup::default().replace(all, r#"may = ["verify"]"#).start().await;
    let not_allowed = (Code::PermissionDenied, "CALLER_NOT_ALLOWED".to_owned(), vec![]);
    let app = || APP.to_owned();
    let c = &mut server.client;
    c.verify(from_billing(verify_jwt("x"))).await.unwrap();
    for status in [
        c.sign(from_billing(sign_for(user("1")))).await.unwrap_err(),
        c.legacy_hash(from_billing(hash_of("1"))).await.unwrap_err(),
        c.exchange(from_billing(proto::ExchangeRequest { application: app(), ..Default::default() }))
            .await
            .unwrap_err(),
        c.diagnose(from_billing(proto::DiagnoseRequest { application: app(), ..Default::default() }))
            .await
            .unwrap_err(),
        c.revoke(from_billing(proto::RevokeRequest { application: app(), ..Default::default() })).await.unwrap_err(),
        c.restore(from_billing(proto::RestoreRequest { application: app(), ..Default::default() })).await.unwrap_err(),
        c.batch_sign(from_billing(proto::BatchSignRequest::default())).await.unwrap_err(),
        c.batch_legacy_hash(from_billing(proto::BatchLegacyHashRequest::default())).await.unwrap_err(),
    ] {
        assert_eq!(error(&status), not_allowed);
    }
}

#[tokio::test]
async fn another_callers_application_looks_like_none() {
    let other = Setup::default().config.replace("acme/feedback", "other/app");
    let applications =
        other.split("[applications.").skip(1).map(|part| format!("[applications.{part}")).collect::<String>();
    let applications = applications.replace("JWT_SECRET", "JWT_SECRET_2").replace("IV_SECRET", "IV_SECRET_2");
    let setup =
        Setup::default().and(&applications).env("JWT_SECRET_2", &"2".repeat(32)).env("IV_SECRET_2", &"3".repeat(32));
    let mut server = setup.start().await;
    let of = |name: &str| proto::SignRequest { application: name.to_owned(), ..sign_for(user("1")) };
    let theirs = server.sign(of("other/app")).await.unwrap_err();
    let nobodys = server.sign(of("no/app")).await.unwrap_err();
    assert_eq!(error(&theirs), (Code::NotFound, "APPLICATION_UNKNOWN".to_owned(), vec![]));
    assert_eq!(
        (theirs.code(), theirs.message(), theirs.details()),
        (nobodys.code(), nobodys.message(), nobodys.details())
    );
}

#[tokio::test]
async fn health_is_for_everybody_and_reflection_for_the_known() {
    let server = start().await;
    let mut health = HealthClient::new(server.channel.clone());
    for service in ["", "countersign.v1.TokenAuthority"] {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "SERVING");
    }
    let mut reflection = ServerReflectionClient::new(server.channel.clone());
    let list = || {
        let message_request = Some(MessageRequest::ListServices(String::new()));
        tokio_stream::iter([ServerReflectionRequest { host: String::new(), message_request }])
    };
    let status = reflection.server_reflection_info(list()).await.unwrap_err();
    assert_eq!(error(&status).1, "CALLER_UNKNOWN");
    let mut answers = reflection.server_reflection_info(from_billing(list())).await.unwrap().into_inner();
    let text = format!("{:?}", answers.message().await.unwrap().unwrap());
    for service in ["countersign.v1.TokenAuthority", "grpc.health.v1.Health"] {
        assert!(text.contains(service), "{text}");
    }
}
