//! Policies that are set at run time: they win over the file, on every server, and are moved back as easily as forward.

use std::sync::Arc;

use countersign::grpc::proto::admin as wire;
use countersign::grpc::proto::admin::migration_client::MigrationClient;
use countersign::grpc::proto::verify_response::Outcome;
use countersign::grpc::proto::{Reason, admin};
use countersign::store::{Documents as _, Embedded, Memory};
use countersign_test_services::{Redis, until};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::cli::process::{command, ended};
use crate::harness::{
    APP, IV_SECRET, NOW, Running, Setup, error, from_billing, hash_of, timestamp, user_hash, verify_hash,
};

const FILE: &str = "hash_until = \"2027-01-01T00:00:00Z\"";

pub fn migration(server: &Running) -> MigrationClient<Channel> {
    MigrationClient::new(server.channel.clone())
}

async fn get(server: &Running) -> wire::GetAcceptanceResponse {
    let request = wire::GetAcceptanceRequest { application: APP.to_owned() };
    migration(server).get_acceptance(from_billing(request)).await.unwrap().into_inner()
}

pub fn set_to(policy: wire::Acceptance, version: u64) -> wire::SetAcceptanceRequest {
    let reason = "the last release is out".to_owned();
    wire::SetAcceptanceRequest { application: APP.to_owned(), acceptance: Some(policy), version, reason }
}

pub fn ended_policy() -> wire::Acceptance {
    wire::Acceptance { hash_until: Some(timestamp("2026-05-01T00:00:00Z")), ..Default::default() }
}

pub async fn set(server: &Running, policy: wire::Acceptance, version: u64) -> u64 {
    migration(server).set_acceptance(from_billing(set_to(policy, version))).await.unwrap().into_inner().version
}

pub async fn reset(server: &Running, version: u64) -> u64 {
    let reason = "a client was forgotten".to_owned();
    let request = wire::ResetAcceptanceRequest { application: APP.to_owned(), version, reason };
    migration(server).reset_acceptance(from_billing(request)).await.unwrap().into_inner().version
}

fn told(status: &Status) -> (Code, String) {
    let (code, reason, _) = error(status);
    (code, reason)
}

/// What who read an older version is told.
pub async fn conflict() -> Status {
    let server = Setup::default().policy(FILE).start().await;
    migration(&server).set_acceptance(from_billing(set_to(ended_policy(), 1))).await.unwrap_err()
}

/// Why the hash is refused now; none where it is accepted.
async fn verdict(server: &mut Running) -> Option<Reason> {
    match server.verify(verify_hash("ada", user_hash("ada", IV_SECRET))).await.unwrap().outcome.unwrap() {
        Outcome::Accepted(_) => None,
        Outcome::Refused(refused) => Some(refused.reason()),
    }
}

#[tokio::test]
async fn what_is_set_wins_over_the_file_until_it_is_reset() {
    let mut server = Setup::default().policy(FILE).start().await;
    let before = get(&server).await;
    assert_eq!((before.version, before.runtime), (0, None));
    assert_eq!(before.in_force, before.file);
    assert_eq!(verdict(&mut server).await, None);

    assert_eq!(set(&server, ended_policy(), 0).await, 1);
    assert_eq!(verdict(&mut server).await, Some(Reason::HashNoLongerAccepted));
    let status = server.hash(hash_of("ada")).await.unwrap_err();
    assert_eq!(told(&status), (Code::FailedPrecondition, "HASH_NO_LONGER_ISSUED".to_owned()));
    let during = get(&server).await;
    let runtime = during.runtime.unwrap();
    assert_eq!(
        (during.version, &during.in_force, &runtime.acceptance),
        (1, &Some(ended_policy()), &Some(ended_policy()))
    );
    assert_eq!(during.file, before.file);
    assert_eq!((runtime.caller.as_str(), runtime.reason.as_str()), ("billing", "the last release is out"));
    assert_eq!(runtime.set_at.unwrap().seconds, NOW);
    assert!(!runtime.file_changed);

    assert_eq!(reset(&server, 1).await, 2);
    assert_eq!(verdict(&mut server).await, None);
    let after = get(&server).await;
    assert_eq!((after.version, after.in_force, after.runtime), (2, before.file, None));
}

#[tokio::test]
async fn everything_that_a_policy_can_say_comes_back_as_it_was_set() {
    let server = Setup::default().policy(FILE).start().await;
    let policy = wire::Acceptance {
        hash_from: Some(timestamp("2025-01-01T00:00:00Z")),
        jwt_from: Some(timestamp("2026-01-01T00:00:00Z")),
        hash_until: Some(timestamp("2027-03-31T00:00:00Z")),
        issue_jwt_from: Some(timestamp("2026-01-02T00:00:00Z")),
        issue_hash_until: Some(timestamp("2027-02-28T00:00:00Z")),
        exceptions: vec![wire::AcceptanceException {
            client: "ios".to_owned(),
            caller: "billing".to_owned(),
            hash_until: Some(timestamp("2027-06-30T00:00:00.5Z")),
        }],
        brownouts: vec![wire::Brownout {
            from: Some(timestamp("2027-02-01T10:00:00Z")),
            until: Some(timestamp("2027-02-01T10:15:00Z")),
        }],
        rollout: vec![wire::RolloutStep { at: Some(timestamp("2027-01-15T00:00:00Z")), percent: 5 }],
        ratchet: Some(wire::Ratchet {
            scope: admin::RatchetScope::SubjectAndClient.into(),
            grace: Some(prost_types::Duration { seconds: 1_209_600, nanos: 0 }),
            on_store_error: admin::OnStoreError::Refuse.into(),
        }),
        shadow: None,
    };
    let shadow = wire::Acceptance { hash_until: Some(timestamp("2027-01-01T00:00:00Z")), ..policy.clone() };
    let policy = wire::Acceptance { shadow: Some(Box::new(shadow)), ..policy };
    set(&server, policy.clone(), 0).await;
    assert_eq!(get(&server).await.in_force, Some(policy));
}

#[tokio::test]
async fn who_read_an_older_version_changes_nothing() {
    let mut server = Setup::default().policy(FILE).start().await;
    set(&server, ended_policy(), 0).await;
    for known in [0, 2, u64::MAX] {
        let status = migration(&server).set_acceptance(from_billing(set_to(wire::Acceptance::default(), known))).await;
        let status = status.unwrap_err();
        assert_eq!(told(&status), (Code::Aborted, "VERSION_CONFLICT".to_owned()));
    }
    assert_eq!(verdict(&mut server).await, Some(Reason::HashNoLongerAccepted));
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_policy_is_told_by_its_field() {
    let mut server = Setup::default().policy(FILE).start().await;
    let step = |percent| wire::RolloutStep { at: Some(timestamp("2027-01-15T00:00:00Z")), percent };
    let wrong = wire::Acceptance {
        hash_until: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
        exceptions: vec![wire::AcceptanceException::default()],
        brownouts: vec![wire::Brownout::default(); 101],
        rollout: vec![step(101), step(1), step(2)],
        ratchet: Some(wire::Ratchet::default()),
        ..Default::default()
    };
    let status = migration(&server).set_acceptance(from_billing(set_to(wrong, 0))).await.unwrap_err();
    assert_eq!(told(&status), (Code::InvalidArgument, "REQUEST_INVALID".to_owned()));
    let (_, _, fields) = error(&status);
    for field in [
        "acceptance.hash_until",
        "acceptance.exceptions[0].client",
        "acceptance.exceptions[0].hash_until",
        "acceptance.brownouts[0].from",
    ] {
        assert!(fields.iter().any(|told| told == field), "{field}: {fields:?}");
    }
    let empty = wire::SetAcceptanceRequest { application: APP.to_owned(), ..Default::default() };
    let status = migration(&server).set_acceptance(from_billing(empty)).await.unwrap_err();
    let (_, _, fields) = error(&status);
    assert_eq!(fields, ["reason", "acceptance"]);
    let long = wire::SetAcceptanceRequest { reason: "x".repeat(513), ..set_to(ended_policy(), 0) };
    assert_eq!(migration(&server).set_acceptance(from_billing(long)).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!((get(&server).await.version, verdict(&mut server).await), (0, None));
}

#[tokio::test]
async fn a_list_has_a_hundred_entries_at_most() {
    let server = Setup::default().policy(FILE).start().await;
    let step = |day: i64| wire::RolloutStep {
        at: Some(prost_types::Timestamp { seconds: NOW + day * 86_400, nanos: 0 }),
        percent: 1,
    };
    let many = |many: i64| wire::Acceptance { rollout: (0..many).map(step).collect(), ..Default::default() };
    let status = migration(&server).set_acceptance(from_billing(set_to(many(101), 0))).await.unwrap_err();
    assert_eq!(error(&status).2, ["acceptance.rollout"]);
    set(&server, many(100), 0).await;
}

#[tokio::test]
async fn what_is_odd_and_works_is_told() {
    let server = Setup::default().policy(FILE).start().await;
    let exception = wire::AcceptanceException {
        client: "ios".to_owned(),
        hash_until: Some(timestamp("2026-01-01T00:00:00Z")),
        ..Default::default()
    };
    let odd = wire::Acceptance { exceptions: vec![exception], ..ended_policy() };
    let answer = migration(&server).set_acceptance(from_billing(set_to(odd, 0))).await.unwrap().into_inner();
    let [exception, ended] = answer.warnings.as_slice() else { panic!("{:?}", answer.warnings) };
    assert!(exception.starts_with("acceptance.exceptions[0].hash_until: "), "{exception}");
    assert!(ended.starts_with("acceptance.hash_until: has passed"), "{ended}");
}

#[tokio::test]
async fn only_who_may_admin_sees_or_sets_a_policy() {
    let setup = Setup::default().policy(FILE).replace(", \"admin\"]", "]");
    let server = setup.start().await;
    let status = migration(&server).set_acceptance(from_billing(set_to(ended_policy(), 0))).await.unwrap_err();
    assert_eq!(told(&status), (Code::PermissionDenied, "CALLER_NOT_ALLOWED".to_owned()));
    let request = wire::GetAcceptanceRequest { application: APP.to_owned() };
    let status = migration(&server).get_acceptance(from_billing(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let setup = Setup::default().policy(FILE);
    let foreign = wire::SetAcceptanceRequest { application: "other/app".to_owned(), ..set_to(ended_policy(), 0) };
    let server = setup.start().await;
    let status = migration(&server).set_acceptance(from_billing(foreign)).await.unwrap_err();
    assert_eq!(told(&status), (Code::NotFound, "APPLICATION_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn a_policy_survives_a_restart_and_a_file_that_changed_is_told() {
    let state = Arc::new(Memory::default());
    let on = |policy: &str| Setup { state: Arc::clone(&state) as _, ..Setup::default() }.policy(policy);
    let server = on(FILE).start().await;
    set(&server, ended_policy(), 0).await;
    let mut again = on(FILE).start().await;
    assert_eq!(verdict(&mut again).await, Some(Reason::HashNoLongerAccepted));
    assert!(!get(&again).await.runtime.unwrap().file_changed);

    let mut changed = on("hash_until = \"2028-01-01T00:00:00Z\"").start().await;
    assert_eq!(verdict(&mut changed).await, Some(Reason::HashNoLongerAccepted), "the file does not win by changing");
    assert!(get(&changed).await.runtime.unwrap().file_changed);
    // Somebody decides: for what is set, or for the file.
    set(&changed, ended_policy(), 1).await;
    assert!(!get(&changed).await.runtime.unwrap().file_changed);
    reset(&changed, 2).await;
    assert_eq!(verdict(&mut changed).await, None);
}

#[tokio::test]
async fn nothing_is_judged_by_a_policy_that_cannot_be_read() {
    let state = Arc::new(Memory::default());
    state.keep("acceptance", APP, 0, b"of a later version".to_vec()).await.unwrap();
    let mut server = Setup { state, ..Setup::default() }.policy(FILE).start().await;
    let status = server.verify(verify_hash("ada", user_hash("ada", IV_SECRET))).await.unwrap_err();
    assert_eq!(told(&status), (Code::Unavailable, "STORE_UNAVAILABLE".to_owned()));
    let status = server.hash(hash_of("ada")).await.unwrap_err();
    assert_eq!(told(&status), (Code::Unavailable, "STORE_UNAVAILABLE".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_of_a_redis_follows_within_seconds() {
    let redis = Redis::start();
    let one = Setup::default().policy(FILE).on(&redis).start().await;
    let mut two = Setup::default().policy(FILE).on(&redis).start().await;
    one.until_serving().await;
    two.until_serving().await;
    assert_eq!(verdict(&mut two).await, None);
    set(&one, ended_policy(), 0).await;
    let mut tries = 0;
    while verdict(&mut two).await.is_none() {
        tries += 1;
        assert!(tries < 500, "nobody told it");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(get(&two).await.version, 1);
    reset(&two, 1).await;
    assert_eq!(verdict(&mut two).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_lost_a_policy_gets_it_back_from_who_knows_it() {
    let mut redis = Redis::start();
    let mut one = Setup::default().policy(FILE).on(&redis).start().await;
    one.until_serving().await;
    set(&one, wire::Acceptance::default(), 0).await;
    set(&one, ended_policy(), 1).await;
    redis.restart();
    until("the policy", || redis.run(&["HGET", "{test:documents-acceptance}:all", APP]).starts_with("2 "));
    assert_eq!(verdict(&mut one).await, Some(Reason::HashNoLongerAccepted));
    let mut two = Setup::default().policy(FILE).on(&redis).start().await;
    two.until_serving().await;
    assert_eq!(verdict(&mut two).await, Some(Reason::HashNoLongerAccepted));
}

#[test]
fn check_config_tells_the_file_and_what_was_set_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("countersign.toml");
    let store = folder.path().join("state.redb");
    let config = format!(
        "[server]\ninsecure = true\n[store]\nkind = \"embedded\"\npath = {store:?}\n\
         [applications.\"{APP}\"]\nprofile = \"featurebase\"\n\
         [applications.\"{APP}\".keys.iv]\npurpose = \"legacy\"\nsecret = {{ env = \"IV_SECRET\" }}\n\
         [applications.\"{APP}\".acceptance]\n{FILE}\n"
    );
    std::fs::write(&file, config).unwrap();
    let check = || {
        let mut command = command();
        command.env("IV_SECRET", IV_SECRET).args(["check-config", "--config"]).arg(&file);
        let ended = ended(&mut command, "");
        assert_eq!(ended.status, 0, "{ended:?}");
        ended.remarks
    };
    assert!(check().contains("hashes until: 2027-01-01"));
    assert!(!store.exists(), "looking makes no file");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let now = time::UtcDateTime::from_unix_timestamp(NOW).unwrap();
        let state = Arc::new(Embedded::open(&store, now, |_, at| at).unwrap());
        let server = Setup { state, ..Setup::default() }.policy(FILE).start().await;
        set(&server, ended_policy(), 0).await;
    });
    let open = check();
    assert!(open.contains("a server has the store open"), "{open}");
    // The server ends with its runtime, and the file is free.
    drop(runtime);
    let told = check();
    assert!(told.contains("hashes until: 2027-01-01"), "{told}");
    assert!(told.contains("set at run time by billing at 2026-06-01T00:00:00Z"), "{told}");
    assert!(told.contains("hashes until: 2026-05-01") && !told.contains("HAS CHANGED"), "{told}");

    let changed = std::fs::read_to_string(&file).unwrap().replace("2027-01-01", "2028-01-01");
    std::fs::write(&file, changed).unwrap();
    assert!(check().contains("THE FILE HAS CHANGED SINCE"));
}
