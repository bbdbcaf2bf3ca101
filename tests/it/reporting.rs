//! The Migration service over the wire: the report, the stragglers, the rehearsal. What is counted is in `counting.rs`, what
//! follows from it in the property tests of `src/report`.

use countersign::grpc::proto::admin as wire;
use countersign::grpc::proto::admin::migration_client::MigrationClient;
use countersign::grpc::proto::subject::Kind;
use countersign::grpc::proto::{self, CredentialKind};
use prost_types::Duration;
use serde_json::json;
use tonic::Code;
use tonic::transport::Channel;

use crate::harness::{
    APP, IV_SECRET, NOW, Running, Setup, error, from_billing, hash_of, sign_for, timestamp, token, user, user_hash,
    verify_hash, verify_jwt,
};

const DAY: i64 = 86_400;
/// Noon of the usual day.
const NOON: i64 = NOW + DAY / 2;

fn migration(server: &Running) -> MigrationClient<Channel> {
    MigrationClient::new(server.channel.clone())
}

fn days(days: i64) -> Option<Duration> {
    Some(Duration { seconds: days * DAY, nanos: 0 })
}

async fn report(server: &Running, window: Option<Duration>) -> wire::MigrationReport {
    let request = wire::GetReportRequest { application: APP.to_owned(), window };
    migration(server).get_report(from_billing(request)).await.unwrap().into_inner().report.unwrap()
}

fn with_hash(user_id: &str, client: &str) -> proto::VerifyRequest {
    let client = client.to_owned();
    proto::VerifyRequest { client, ..verify_hash(user_id, user_hash(user_id, IV_SECRET)) }
}

fn subject(user_id: &str) -> proto::Subject {
    proto::Subject { kind: Some(Kind::UserId(user_id.to_owned())) }
}

/// A day with hashes from two clients and a JWT, and the morning after it.
async fn two_days() -> Running {
    let mut server = Setup::default().at(NOON - DAY).start().await;
    for user_id in ["ada", "bob", "eve"] {
        server.accepted(with_hash(user_id, "ios/3.2")).await;
    }
    server.accepted(with_hash("ada", "web")).await;
    server.hash(hash_of("ada")).await.unwrap();
    server.set_now(NOON);
    server.accepted(verify_jwt(token(json!({"userId": "ada", "iat": NOON, "exp": NOON + 60})))).await;
    server.sign(sign_for(user("ada"))).await.unwrap();
    server.accepted(with_hash("bob", "ios/3.2")).await;
    server
}

#[tokio::test]
async fn a_report_has_every_day_of_its_window_and_says_who_uses_hashes() {
    let server = two_days().await;
    let report = report(&server, days(3)).await;
    assert_eq!((report.application.as_str(), report.phase()), (APP, wire::Phase::Dual));
    assert_eq!(report.at, Some(prost_types::Timestamp { seconds: NOON, nanos: 0 }));
    let empty = wire::DayCount { date: "2026-05-30".to_owned(), ..Default::default() };
    let yesterday = wire::DayCount {
        date: "2026-05-31".to_owned(),
        hash_accepted: 4,
        hash_issued: 1,
        hash_subjects: 3,
        ..Default::default()
    };
    let today = wire::DayCount {
        date: "2026-06-01".to_owned(),
        hash_accepted: 1,
        jwt_accepted: 1,
        jwt_issued: 1,
        hash_subjects: 1,
        jwt_subjects: 1,
        ..Default::default()
    };
    assert_eq!(report.days, [empty, yesterday, today]);
    assert_eq!((report.hash_subjects, report.jwt_subjects), (3, 1));
    let clients: Vec<_> = report.clients.iter().map(|one| (one.name.as_str(), one.hashes, one.hash_subjects)).collect();
    assert_eq!(clients, [("ios/3.2", 4, 3), ("web", 1, 1), ("", 0, 0)]);
    let [billing] = report.callers.as_slice() else { panic!("{:?}", report.callers) };
    assert_eq!((billing.name.as_str(), billing.hashes, billing.jwts, billing.hashes_issued), ("billing", 5, 1, 1));
    assert_eq!(billing.last_hash, Some(prost_types::Timestamp { seconds: NOON, nanos: 0 }));
    let keys: Vec<_> = report.keys.iter().map(|one| (one.name.as_str(), one.hashes, one.jwts)).collect();
    assert_eq!(keys, [("iv", 5, 0), ("jwt-2026", 0, 1)]);
    let verdict = report.verdict.unwrap();
    assert!(!verdict.ready);
    let codes: Vec<_> = verdict.blockers.iter().map(wire::Blocker::code).collect();
    assert!(codes.contains(&wire::BlockerCode::HashesSeen), "{codes:?}");
    assert!(codes.contains(&wire::BlockerCode::HashesIssued), "{codes:?}");
    assert!(verdict.blockers[0].message.contains("ios/3.2"), "{:?}", verdict.blockers);
    assert_eq!(report.stragglers.unwrap().subjects.len(), 3);
}

#[tokio::test]
async fn a_window_is_whole_days_and_without_one_it_is_the_applications_and_today() {
    let server = two_days().await;
    assert_eq!(report(&server, None).await.days.len(), 29);
    assert_eq!(report(&server, days(1)).await.days.len(), 1);
    assert_eq!(report(&server, days(366)).await.days.len(), 366);
    let wrong =
        [days(0), days(367), Some(Duration { seconds: DAY + 1, nanos: 0 }), Some(Duration { seconds: DAY, nanos: 1 })];
    for window in wrong {
        let request = wire::GetReportRequest { application: APP.to_owned(), window };
        let status = migration(&server).get_report(from_billing(request)).await.unwrap_err();
        assert_eq!(error(&status), (Code::InvalidArgument, "REQUEST_INVALID".to_owned(), vec!["window".to_owned()]));
    }
    let setup = Setup::default().and("[applications.\"acme/feedback\".migration]\nwindow_days = 7\n");
    assert_eq!(report(&setup.start().await, None).await.days.len(), 8);
}

#[tokio::test]
async fn stragglers_are_callers_clients_keys_and_the_subjects_that_were_seen_last() {
    let server = two_days().await;
    let list = async |limit| {
        let request = wire::ListStragglersRequest { application: APP.to_owned(), window: days(3), limit };
        migration(&server).list_stragglers(from_billing(request)).await
    };
    let stragglers = list(0).await.unwrap().into_inner().stragglers.unwrap();
    let names = |list: &[wire::Usage]| list.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&stragglers.callers), ["billing"]);
    assert_eq!(names(&stragglers.clients), ["ios/3.2", "web", ""], "without a label a hash was made");
    assert_eq!(names(&stragglers.keys), ["iv"], "no key of JWTs");
    let subjects = stragglers.subjects;
    let last = subjects[0].sighting.clone().unwrap();
    assert_eq!(subjects.len(), 3);
    assert_eq!((last.client.as_str(), last.caller.as_str(), last.key_id.as_str()), ("ios/3.2", "billing", "iv"));
    assert_eq!(last.last_seen, Some(prost_types::Timestamp { seconds: NOON, nanos: 0 }));
    assert!(subjects.iter().all(|one| !one.pseudonym.contains("bob") && one.pseudonym.len() == 22), "{subjects:?}");
    assert_eq!(list(1).await.unwrap().into_inner().stragglers.unwrap().subjects.len(), 1);
    list(1_000).await.unwrap();
    assert_eq!(error(&list(1_001).await.unwrap_err()).2, ["limit"]);
}

#[tokio::test]
async fn a_subject_is_found_by_its_plain_value() {
    let server = two_days().await;
    let request = wire::FindSubjectRequest { application: APP.to_owned(), subject: Some(subject("ada")) };
    let found = migration(&server).find_subject(from_billing(request)).await.unwrap().into_inner().found.unwrap();
    let sightings: Vec<_> = found.sightings.iter().map(|one| (one.credential(), one.client.as_str())).collect();
    assert_eq!(sightings.len(), 2);
    assert!(sightings.contains(&(CredentialKind::LegacyHash, "web")), "{sightings:?}");
    assert!(sightings.contains(&(CredentialKind::Jwt, "")), "{sightings:?}");
    assert_ne!(found.pseudonym, found.audit_pseudonym);

    let find = async |subjects: Vec<proto::Subject>| {
        let request = wire::FindSubjectsRequest { application: APP.to_owned(), subjects };
        migration(&server).find_subjects(from_billing(request)).await
    };
    let many = find(vec![subject("nobody"), subject("ada")]).await.unwrap().into_inner().found;
    assert_eq!((many[0].sightings.len(), &many[1]), (0, &found));
    assert_eq!(find(vec![subject("ada"); 1_000]).await.unwrap().into_inner().found.len(), 1_000);
    assert_eq!(error(&find(vec![subject("ada"); 1_001]).await.unwrap_err()).2, ["subjects"]);
    assert_eq!(error(&find(vec![]).await.unwrap_err()).2, ["subjects"]);
    assert_eq!(error(&find(vec![subject("ada"), subject("")]).await.unwrap_err()).2, ["subjects[1].user_id"]);
}

#[tokio::test]
async fn a_rehearsal_says_who_would_be_refused_with_the_exceptions_of_the_policy() {
    let exception = "hash_until = \"2027-01-01T00:00:00Z\"\n\
                     exceptions = [{ client = \"web\", hash_until = \"2027-06-30T00:00:00Z\" }]\n";
    let mut server = Setup::default().policy(exception).at(NOON).start().await;
    server.accepted(with_hash("ada", "ios/3.2")).await;
    server.accepted(with_hash("bob", "web")).await;
    let request = wire::RehearseRequest {
        application: APP.to_owned(),
        hash_until: Some(timestamp("2026-07-01T00:00:00Z")),
        window: days(2),
    };
    let rehearsal = migration(&server).rehearse(from_billing(request.clone())).await.unwrap().into_inner();
    assert_eq!((rehearsal.refused, rehearsal.refused_subjects), (1, 1));
    let until = |client: &str| {
        rehearsal.rehearsed.iter().find(|one| one.client == client).and_then(|one| one.hash_until).unwrap()
    };
    assert_eq!(until("ios/3.2"), timestamp("2026-07-01T00:00:00Z"));
    assert_eq!(until("web"), timestamp("2027-06-30T00:00:00Z"));
    server.accepted(with_hash("ada", "ios/3.2")).await;
    let undated = wire::RehearseRequest { hash_until: None, ..request };
    let status = migration(&server).rehearse(from_billing(undated)).await.unwrap_err();
    assert_eq!(error(&status).2, ["hash_until"]);
}

#[tokio::test]
async fn who_watches_is_told_when_something_has_changed_and_that_the_server_stops() {
    let mut server = Setup::default().at(NOON).start().await;
    let request = wire::WatchReportRequest { application: APP.to_owned(), window: days(2) };
    let mut reports = migration(&server).watch_report(from_billing(request)).await.unwrap().into_inner();
    let first = reports.message().await.unwrap().unwrap().report.unwrap();
    assert_eq!(first.days[1].hash_accepted, 0);
    server.set_now(NOON + 1);
    server.accepted(with_hash("ada", "web")).await;
    let second = reports.message().await.unwrap().unwrap().report.unwrap();
    assert_eq!(second.days[1].hash_accepted, 1, "the time alone is no change");
    drop(server);
    while reports.message().await.unwrap().is_some() {}
}

#[tokio::test]
async fn nobody_but_who_may_admin_sees_the_evidence() {
    let server = Setup::default().replace(", \"admin\"]", "]").start().await;
    let mut client = migration(&server);
    let application = APP.to_owned();
    let forbidden = [
        client
            .get_report(from_billing(wire::GetReportRequest { application: application.clone(), window: None }))
            .await
            .err(),
        client
            .watch_report(from_billing(wire::WatchReportRequest { application: application.clone(), window: None }))
            .await
            .err(),
        client
            .list_stragglers(from_billing(wire::ListStragglersRequest {
                application: application.clone(),
                ..Default::default()
            }))
            .await
            .err(),
        client
            .find_subject(from_billing(wire::FindSubjectRequest {
                application: application.clone(),
                subject: Some(subject("ada")),
            }))
            .await
            .err(),
        client
            .find_subjects(from_billing(wire::FindSubjectsRequest {
                application: application.clone(),
                subjects: vec![subject("ada")],
            }))
            .await
            .err(),
        client
            .rehearse(from_billing(wire::RehearseRequest {
                application: application.clone(),
                hash_until: Some(timestamp("2026-07-01T00:00:00Z")),
                window: None,
            }))
            .await
            .err(),
    ];
    for status in forbidden {
        assert_eq!(status.map(|status| status.code()), Some(Code::PermissionDenied));
    }
}
