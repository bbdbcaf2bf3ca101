//! What status says.

use prost_types::Timestamp;

use super::*;
use crate::grpc::proto::Reason;
use crate::grpc::proto::admin::{
    Blocker, Brownout, DayCount, Gap, RolloutStep, RuntimeAcceptance, ShadowCount, Stragglers, Usage,
};

fn day(day: i64) -> Timestamp {
    Timestamp { seconds: day * 86_400, nanos: 0 }
}

fn report() -> MigrationReport {
    let count = |date: &str, hash_accepted, jwt_accepted| DayCount {
        date: date.to_owned(),
        hash_accepted,
        jwt_accepted,
        ..DayCount::default()
    };
    MigrationReport {
        application: "acme/feedback".to_owned(),
        phase: Phase::Dual.into(),
        at: Some(day(3)),
        days: vec![count("1970-01-03", 1_204, 4_000), count("1970-01-04", 0, 12)],
        hash_subjects: 900,
        jwt_subjects: 3_000,
        stragglers: Some(Stragglers {
            clients: vec![Usage {
                name: "ios/2.9".to_owned(),
                hashes: 1_204,
                hash_subjects: 900,
                last_hash: Some(day(2)),
                ..Usage::default()
            }],
            ..Stragglers::default()
        }),
        shadow: vec![ShadowCount { reason: Reason::HashRolledOut.into(), count: 12 }],
        gaps: vec![Gap { from: Some(day(1)), until: Some(day(2)), lost: None }],
        verdict: Some(Verdict {
            ready: false,
            blockers: vec![Blocker { code: 1, message: "1,204 genuine hashes came.".to_owned() }],
            projected_ready_at: Some(day(40)),
            why_not_projected: String::new(),
        }),
        ..MigrationReport::default()
    }
}

fn policy() -> GetAcceptanceResponse {
    let in_force = Acceptance {
        hash_until: Some(day(90)),
        brownouts: vec![
            Brownout { from: Some(day(1)), until: Some(day(2)) },
            Brownout { from: Some(day(10)), until: Some(day(11)) },
        ],
        rollout: vec![RolloutStep { at: Some(day(20)), percent: 5 }],
        ..Acceptance::default()
    };
    let runtime = RuntimeAcceptance {
        acceptance: Some(in_force.clone()),
        caller: "ops".to_owned(),
        set_at: Some(day(2)),
        reason: "first brownout\u{1b}[2J".to_owned(),
        file_changed: true,
    };
    GetAcceptanceResponse { in_force: Some(in_force), file: None, runtime: Some(runtime), version: 3 }
}

fn told(report: &MigrationReport, policy: &GetAcceptanceResponse) -> String {
    text(report, report.verdict.as_ref().unwrap(), policy)
}

#[test]
fn the_curve_the_verdict_and_the_policy_are_told() {
    let told = told(&report(), &policy());
    let (head, rest) = told.split_once("100 %").unwrap();
    assert_eq!(head, "acme/feedback: dual, at 1970-01-04T00:00:00Z\n\n");
    let (_, rest) = rest.split_once("a column is a day\n").unwrap();
    let wanted = "
            hashes  refused  invalid  made   JWTs  refused  invalid  made
1970-01-03   1,204        0        0     0  4,000        0        0     0
1970-01-04       0        0        0     0     12        0        0     0
distinct subjects, about: 900 with a hash, 3,000 with a JWT

NOT READY
  1,204 genuine hashes came.
projected: ready at 1970-02-10T00:00:00Z, if things go on as they do

client   hashes  made  subjects        last
ios/2.9   1,204     0       900  1970-01-03

the shadow would have refused 12 more: HASH_ROLLED_OUT
not counted from 1970-01-02T00:00:00Z to 1970-01-03T00:00:00Z: nobody can say how many

policy, set at run time by ops at 1970-01-03T00:00:00Z
  because: first brownout\\u{1b}[2J
  The file has changed since: decide with `set` or `reset`.
  hash_until  1970-04-01T00:00:00Z
  brownout    1970-01-02T00:00:00Z/1970-01-03T00:00:00Z
  brownout    1970-01-11T00:00:00Z/1970-01-12T00:00:00Z
  rollout     1970-01-21T00:00:00Z=5
in the file
  hashes and JWTs count, with no end
next
  1970-01-11T00:00:00Z  brownout, until 1970-01-12T00:00:00Z
  1970-01-21T00:00:00Z  5 % of the users need a JWT
  1970-04-01T00:00:00Z  hashes end
";
    assert_eq!(rest, wanted);
    assert!(told.lines().all(|line| line.chars().count() <= 96), "{told}");
}

#[test]
fn ready_is_said_and_so_is_why_there_is_no_date() {
    let mut report = report();
    report.verdict = Some(Verdict { ready: true, ..Verdict::default() });
    let file = GetAcceptanceResponse::default();
    assert!(told(&report, &file).contains("READY: hashes can end.\n"));
    assert!(told(&report, &file).contains("\npolicy, from the file\n  hashes and JWTs count, with no end\n"));
    let why_not_projected = "Not down by half: ios/2.9 of gateway.".to_owned();
    report.verdict = Some(Verdict { why_not_projected, ..Verdict::default() });
    assert!(told(&report, &file).contains("NOT READY\nno projection: Not down by half: ios/2.9 of gateway.\n"));
}
