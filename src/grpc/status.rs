//! What becomes of a refusal on the wire. Nowhere else is there a gRPC code.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use super::proto;
use crate::notice::NoticeCode;
use crate::observe::events;
use crate::refusal::{Class, Reason, Refusal, Violation};

/// Who speaks in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "countersign";
/// Bytes of violations that are told at once: gRPC's own clients take 8 KiB of headers, and base64 takes its part.
const VIOLATION_BYTES: usize = 3 * 1024;
/// When to try again, where that can help.
const RETRY: Duration = Duration::from_secs(1);

/// The error that a refusal is on the wire.
#[must_use]
pub fn status(refusal: &Refusal) -> Status {
    let mut details = details(refusal.reason());
    let violations = violations(refusal);
    if !violations.is_empty() {
        let fields: Vec<_> = violations.iter().map(|v| FieldViolation::new(&v.field, &v.description)).collect();
        details.set_bad_request(fields);
    }
    let code = code(refusal.class());
    if code == Code::Unavailable {
        details.set_retry_info(Some(RETRY));
    }
    if code == Code::Internal {
        return incident();
    }
    Status::with_error_details(code, refusal.message(), details)
}

/// What the same refusal is for one item of a batch.
#[must_use]
pub fn failure(refusal: &Refusal) -> proto::Failure {
    let fields = violations(refusal)
        .iter()
        .map(|v| proto::FieldViolation { field: v.field.clone(), description: v.description.clone() })
        .collect();
    let message = if refusal.class() == Class::Internal { incident().message().to_owned() } else { refusal.message() };
    proto::Failure { code: i32::from(code(refusal.class())), reason: reason(refusal.reason()).into(), message, fields }
}

/// A bug: the caller gets an id, the log has the same.
#[must_use]
pub fn incident() -> Status {
    let mut bytes = [0; 9];
    let incident = match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => URL_SAFE_NO_PAD.encode(bytes),
        Err(_no_randomness) => "unnumbered".to_owned(),
    };
    events::Bug { incident: &incident }.emit();
    let message = format!("{} Incident: {incident}.", Reason::Internal.text());
    Status::with_error_details(Code::Internal, message, details(Reason::Internal))
}

/// A message that could not be decoded, or that is over the limit.
#[must_use]
pub fn undecodable(code: Code, description: &str) -> Status {
    Status::with_error_details(code, description, details(Reason::RequestInvalid))
}

fn details(reason: Reason) -> ErrorDetails {
    ErrorDetails::with_error_info(reason.name(), DOMAIN, [])
}

fn violations(refusal: &Refusal) -> &[Violation] {
    match refusal {
        Refusal::Invalid(_, violations) => {
            let bytes = |violation: &Violation| violation.field.len() + violation.description.len() + 8;
            let mut room = VIOLATION_BYTES;
            let fitting = violations.iter().take_while(|violation| {
                let left = room.checked_sub(bytes(violation));
                room = left.unwrap_or(0);
                left.is_some()
            });
            // One at least: it is what the caller has to know.
            violations.get(..fitting.count().max(1)).unwrap_or(violations)
        }
        Refusal::Verdict(_)
        | Refusal::CallerUnknown
        | Refusal::CallerNotAllowed
        | Refusal::ApplicationUnknown
        | Refusal::Privileged
        | Refusal::Precondition(_)
        | Refusal::SourceFailed(_)
        | Refusal::StoreUnavailable
        | Refusal::VersionConflict
        | Refusal::AuditUnavailable
        | Refusal::NotImplemented
        | Refusal::Internal => &[],
    }
}

const fn code(class: Class) -> Code {
    match class {
        // A verdict is an answer; where one is told as an error after all, this is what it comes closest to.
        Class::Verdict | Class::FailedPrecondition => Code::FailedPrecondition,
        Class::InvalidArgument => Code::InvalidArgument,
        Class::Unauthenticated => Code::Unauthenticated,
        Class::PermissionDenied => Code::PermissionDenied,
        Class::NotFound => Code::NotFound,
        Class::Unavailable => Code::Unavailable,
        Class::Aborted => Code::Aborted,
        Class::Unimplemented => Code::Unimplemented,
        Class::Internal => Code::Internal,
    }
}

/// The reason's value on the wire. The names are the same; `tests/it/reasons.rs` holds them together.
#[must_use]
pub fn reason(reason: Reason) -> proto::Reason {
    proto::Reason::from_str_name(&format!("REASON_{}", reason.name())).unwrap_or(proto::Reason::Unspecified)
}

/// The notice's value on the wire.
#[must_use]
pub const fn notice(code: NoticeCode) -> proto::NoticeCode {
    match code {
        NoticeCode::LegacyHashDeprecated => proto::NoticeCode::LegacyHashDeprecated,
        NoticeCode::BrownoutAnnounced => proto::NoticeCode::BrownoutAnnounced,
        NoticeCode::HashNotIssuedSoon => proto::NoticeCode::HashNotIssuedSoon,
        NoticeCode::KeyRetiresSoon => proto::NoticeCode::KeyRetiresSoon,
        NoticeCode::WeakKey => proto::NoticeCode::WeakKey,
        NoticeCode::NoExpiry => proto::NoticeCode::NoExpiry,
        NoticeCode::CompanyNotBound => proto::NoticeCode::CompanyNotBound,
        NoticeCode::IdentifierMissing => proto::NoticeCode::IdentifierMissing,
        NoticeCode::StaleClaims => proto::NoticeCode::StaleClaims,
        NoticeCode::ClaimOmitted => proto::NoticeCode::ClaimOmitted,
        NoticeCode::AttributeUndeclared => proto::NoticeCode::AttributeUndeclared,
        NoticeCode::SourceUnavailable => proto::NoticeCode::SourceUnavailable,
        NoticeCode::JwtIgnored => proto::NoticeCode::JwtIgnored,
    }
}
