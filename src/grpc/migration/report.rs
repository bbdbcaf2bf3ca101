//! The report and what belongs to it, on the wire.

use prost_types::Timestamp;
use time::UtcDateTime;

use crate::acceptance::Phase;
use crate::grpc::answer::timestamp;
use crate::grpc::proto::admin as wire;
use crate::grpc::{proto, status};
use crate::ledger::{Credential, Gap, Sighting};
use crate::migration::Found;
use crate::report::{Blocker, BlockerCode, DayCount, Rehearsal, Rehearsed, Report, Usage, Verdict};

/// Callers, clients, keys and subjects that a report names as stragglers.
pub(super) const HEADS: usize = 10;

/// The report, with the subjects that used hashes last.
#[must_use]
pub(super) fn write(report: Report, subjects: Vec<Sighting>) -> wire::MigrationReport {
    let mut stragglers = stragglers(&report, subjects);
    for list in [&mut stragglers.callers, &mut stragglers.clients, &mut stragglers.keys] {
        list.truncate(HEADS);
    }
    let shadow = report
        .shadow
        .into_iter()
        .map(|(reason, count)| wire::ShadowCount { reason: status::reason(reason).into(), count });
    wire::MigrationReport {
        application: report.application,
        phase: phase(report.phase).into(),
        at: Some(timestamp(report.at)),
        days: report.days.iter().map(day).collect(),
        callers: report.callers.into_iter().map(usage).collect(),
        clients: report.clients.into_iter().map(usage).collect(),
        keys: report.keys.into_iter().map(usage).collect(),
        hash_subjects: report.hash_subjects,
        jwt_subjects: report.jwt_subjects,
        stragglers: Some(stragglers),
        shadow: shadow.collect(),
        gaps: report.gaps.into_iter().map(gap).collect(),
        verdict: Some(verdict(report.verdict)),
    }
}

/// Who uses hashes still.
#[must_use]
pub(super) fn stragglers(report: &Report, subjects: Vec<Sighting>) -> wire::Stragglers {
    let straggling = |list: &[Usage]| list.iter().filter(|one| one.is_straggling()).cloned().map(usage).collect();
    let straggler = |mut sighting: Sighting| wire::Straggler {
        pseudonym: std::mem::take(&mut sighting.pseudonym),
        sighting: Some(self::sighting(sighting)),
    };
    wire::Stragglers {
        callers: straggling(&report.callers),
        clients: straggling(&report.clients),
        keys: straggling(&report.keys),
        subjects: subjects.into_iter().map(straggler).collect(),
    }
}

/// What was seen of a subject.
#[must_use]
pub(super) fn found(found: Found) -> wire::FoundSubject {
    let Found { pseudonym, audit_pseudonym, sightings } = found;
    wire::FoundSubject { pseudonym, audit_pseudonym, sightings: sightings.into_iter().map(sighting).collect() }
}

/// Who would be refused.
#[must_use]
pub(super) fn rehearsal(rehearsal: Rehearsal) -> wire::RehearseResponse {
    let rehearsed = |one: Rehearsed| wire::Rehearsed {
        caller: one.caller,
        client: one.client,
        hashes: one.hashes,
        subjects: one.subjects,
        last_hash: Some(timestamp(one.last_hash)),
        hash_until: Some(timestamp(one.hash_until)),
    };
    wire::RehearseResponse {
        rehearsed: rehearsal.rehearsed.into_iter().map(rehearsed).collect(),
        refused: rehearsal.refused,
        refused_subjects: rehearsal.refused_subjects,
        issued_until: rehearsal.issued_until.map(timestamp),
        unknown: rehearsal.unknown.into_iter().map(blocker).collect(),
    }
}

fn phase(phase: Phase) -> wire::Phase {
    match phase {
        Phase::Closed => wire::Phase::Closed,
        Phase::HashOnly => wire::Phase::HashOnly,
        Phase::Dual => wire::Phase::Dual,
        Phase::JwtOnly => wire::Phase::JwtOnly,
    }
}

fn day(day: &DayCount) -> wire::DayCount {
    wire::DayCount {
        date: day.date.to_string(),
        hash_accepted: day.hash.accepted,
        hash_refused: day.hash.refused,
        hash_invalid: day.hash.invalid,
        jwt_accepted: day.jwt.accepted,
        jwt_refused: day.jwt.refused,
        jwt_invalid: day.jwt.invalid,
        hash_issued: day.hash.issued,
        jwt_issued: day.jwt.issued,
        hash_subjects: day.hash_subjects,
        jwt_subjects: day.jwt_subjects,
    }
}

fn usage(usage: Usage) -> wire::Usage {
    let at = |at: Option<UtcDateTime>| -> Option<Timestamp> { at.map(timestamp) };
    wire::Usage {
        name: usage.name,
        hashes: usage.hashes,
        jwts: usage.jwts,
        hashes_issued: usage.hashes_issued,
        jwts_issued: usage.jwts_issued,
        hash_subjects: usage.hash_subjects,
        last_hash: at(usage.last_hash),
        last_jwt: at(usage.last_jwt),
    }
}

fn gap(gap: Gap) -> wire::Gap {
    wire::Gap { from: Some(timestamp(gap.from)), until: Some(timestamp(gap.until)), lost: gap.lost }
}

fn blocker(blocker: Blocker) -> wire::Blocker {
    let code = match blocker.code {
        BlockerCode::HashesSeen => wire::BlockerCode::HashesSeen,
        BlockerCode::HashesIssued => wire::BlockerCode::HashesIssued,
        BlockerCode::TooFewJwts => wire::BlockerCode::TooFewJwts,
        BlockerCode::WindowIncomplete => wire::BlockerCode::WindowIncomplete,
        BlockerCode::CountsLost => wire::BlockerCode::CountsLost,
        BlockerCode::FileChanged => wire::BlockerCode::FileChanged,
    };
    wire::Blocker { code: code.into(), message: blocker.message }
}

fn verdict(verdict: Verdict) -> wire::Verdict {
    wire::Verdict {
        ready: verdict.ready,
        blockers: verdict.blockers.into_iter().map(blocker).collect(),
        projected_ready_at: verdict.projected_ready_at.map(timestamp),
        why_not_projected: verdict.why_not_projected,
    }
}

fn sighting(sighting: Sighting) -> wire::Sighting {
    let credential = match sighting.credential {
        Credential::Hash => proto::CredentialKind::LegacyHash,
        Credential::Jwt => proto::CredentialKind::Jwt,
    };
    wire::Sighting {
        credential: credential.into(),
        last_seen: Some(timestamp(sighting.last)),
        caller: sighting.caller,
        client: sighting.client,
        key_id: sighting.key,
    }
}
