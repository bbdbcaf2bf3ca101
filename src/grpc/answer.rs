//! From neutral form onto the wire.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use serde_json::{Map, Value};
use time::UtcDateTime;

use super::{proto, status};
use crate::diagnose::{Finding, FindingResult};
use crate::identity::{Company, Identity, SubjectKind};
use crate::notice::Notice;
use crate::order::{Accepted, Diagnosis, Hashed, Outcome, Proven, Signed};
use crate::refusal::Refused;

/// The answer of Sign.
#[must_use]
pub fn signed(signed: Signed, explain: bool) -> proto::SignResponse {
    let origins = signed.origins.into_iter().filter(|_| explain).map(|origin| proto::ClaimOrigin {
        claim: origin.claim,
        source: origin.source,
        age: prost_types::Duration::try_from(origin.age).ok(),
        stale: origin.stale,
    });
    proto::SignResponse {
        token: signed.token.token,
        token_id: signed.token.token_id,
        key_id: signed.key_id,
        issued_at: Some(timestamp(signed.token.issued_at)),
        expires_at: Some(timestamp(signed.token.expires_at)),
        origins: origins.collect(),
        notices: notices(signed.notices),
    }
}

/// The answer of Verify.
#[must_use]
pub fn verified(outcome: Outcome<Accepted>) -> proto::VerifyResponse {
    use proto::verify_response::Outcome as Wire;
    let outcome = match outcome {
        Outcome::Accepted(accepted) => Wire::Accepted(self::accepted(accepted)),
        Outcome::Refused(refused, notices) => Wire::Refused(self::refused(&refused, notices)),
    };
    proto::VerifyResponse { outcome: Some(outcome) }
}

/// The answer of Revoke.
#[must_use]
pub fn revoked(at: UtcDateTime) -> proto::RevokeResponse {
    proto::RevokeResponse { revoked_at: Some(timestamp(at)) }
}

/// The answer of LegacyHash.
#[must_use]
pub fn hashed(hashed: Hashed) -> proto::LegacyHashResponse {
    let (kind, user_hash) = hashed.user.unzip();
    proto::LegacyHashResponse {
        user_hash: user_hash.unwrap_or_default(),
        hashed: kind.map_or(proto::HashedIdentifier::Unspecified, identifier).into(),
        company_hashes: hashed.companies.into_iter().collect(),
        key_id: hashed.key_id,
        accepted_until: hashed.accepted_until.map(timestamp),
        notices: notices(hashed.notices),
    }
}

/// The answer of Exchange.
#[must_use]
pub fn exchanged(outcome: Outcome<Signed>) -> proto::ExchangeResponse {
    use proto::exchange_response::Outcome as Wire;
    let outcome = match outcome {
        Outcome::Accepted(signed) => Wire::Signed(self::signed(signed, false)),
        Outcome::Refused(refused, notices) => Wire::Refused(self::refused(&refused, notices)),
    };
    proto::ExchangeResponse { outcome: Some(outcome) }
}

/// The answer of Diagnose.
#[must_use]
pub fn diagnosed(diagnosis: Diagnosis) -> proto::DiagnoseResponse {
    let finding = |finding: Finding| proto::Finding {
        check: finding.check.to_owned(),
        result: match finding.result {
            FindingResult::Passed => proto::FindingResult::Passed,
            FindingResult::Failed => proto::FindingResult::Failed,
            FindingResult::Warning => proto::FindingResult::Warning,
            FindingResult::NotApplicable => proto::FindingResult::NotApplicable,
            FindingResult::Inconclusive => proto::FindingResult::Inconclusive,
        }
        .into(),
        message: finding.message,
        remedy: finding.remedy,
    };
    let verdict = diagnosis.verdict.map_or(proto::Reason::Unspecified, |refused| status::reason(refused.reason));
    proto::DiagnoseResponse { findings: diagnosis.findings.into_iter().map(finding).collect(), verdict: verdict.into() }
}

fn accepted(accepted: Accepted) -> proto::Accepted {
    let refused_attributes = accepted
        .split
        .refused
        .into_iter()
        .map(|(name, reason)| proto::RefusedAttribute { name, reason: status::reason(reason).into() });
    let mut wire = proto::Accepted {
        credential: proto::CredentialKind::LegacyHash.into(),
        verified: Some(identity(accepted.proof.verified)),
        unverified: Some(identity(accepted.split.unverified)),
        refused_attributes: refused_attributes.collect(),
        key_id: accepted.proof.key_id,
        notices: notices(accepted.notices),
        ..proto::Accepted::default()
    };
    if let Proven::Jwt { token_id, claims_json, times, .. } = accepted.proof.credential {
        wire.credential = proto::CredentialKind::Jwt.into();
        wire.token_id = token_id;
        wire.claims_json = claims_json;
        wire.issued_at = times.issued_at.map(timestamp);
        wire.expires_at = times.expires_at.map(timestamp);
    }
    wire
}

fn refused(refused: &Refused, notices: Vec<Notice>) -> proto::Refused {
    proto::Refused {
        reason: status::reason(refused.reason).into(),
        message: refused.to_string(),
        remedy: refused.reason.remedy().to_owned(),
        notices: self::notices(notices),
    }
}

fn notices(notices: Vec<Notice>) -> Vec<proto::Notice> {
    let notice = |notice: Notice| proto::Notice {
        code: status::notice(notice.code).into(),
        message: notice.code.text().to_owned(),
        deadline: notice.deadline.map(timestamp),
    };
    notices.into_iter().map(notice).collect()
}

const fn identifier(kind: SubjectKind) -> proto::HashedIdentifier {
    match kind {
        SubjectKind::UserId => proto::HashedIdentifier::UserId,
        SubjectKind::Email => proto::HashedIdentifier::Email,
    }
}

fn identity(identity: Identity) -> proto::Identity {
    proto::Identity {
        user_id: identity.user_id.unwrap_or_default(),
        email: identity.email.unwrap_or_default(),
        name: identity.name.unwrap_or_default(),
        profile_picture: identity.profile_picture.unwrap_or_default(),
        locale: identity.locale.unwrap_or_default(),
        created_at: identity.created_at.map(timestamp),
        companies: identity.companies.into_iter().map(company).collect(),
        attributes: attributes(identity.attributes),
    }
}

fn company(company: Company) -> proto::Company {
    proto::Company {
        id: company.id,
        name: company.name.unwrap_or_default(),
        monthly_spend: company.monthly_spend.and_then(|spend| spend.as_f64()),
        created_at: company.created_at.map(timestamp),
        attributes: attributes(company.attributes),
    }
}

fn attributes(attributes: Map<String, Value>) -> Option<prost_types::Struct> {
    (!attributes.is_empty()).then(|| members(attributes))
}

fn members(members: Map<String, Value>) -> prost_types::Struct {
    let fields: BTreeMap<_, _> = members.into_iter().map(|(name, value)| (name, self::value(value))).collect();
    prost_types::Struct { fields }
}

fn value(value: Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::String(value) => Kind::StringValue(value),
        Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        Value::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.into_iter().map(self::value).collect() })
        }
        Value::Object(members) => Kind::StructValue(self::members(members)),
    };
    prost_types::Value { kind: Some(kind) }
}

pub(super) fn timestamp(at: UtcDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.unix_timestamp(), nanos: i32::try_from(at.nanosecond()).unwrap_or_default() }
}
