//! Whether the user that was sent beside the token is the one in it.

use serde_json::{Map, Value};

use super::Case;
use super::claims::at;
use super::judged::{Judged, Mistake, joined};
use crate::identity::{Identity, SubjectKind};
use crate::profile::JwtFormat;

pub(super) fn judge(case: &Case<'_>, format: &JwtFormat, claims: &Map<String, Value>) -> Judged {
    let said = case.asserted;
    if said.user_id.is_none() && said.email.is_none() {
        return Judged::not_applicable("No identifier was sent beside the token.");
    }
    let read = format.read(claims, &case.application.users, &case.application.companies);
    let token = read.map_or_else(|_| identifiers(format, claims), |read| read.identity);
    let mistakes: Vec<Mistake> = SubjectKind::ALL.into_iter().filter_map(|kind| mismatch(said, &token, kind)).collect();
    joined(mistakes).map_or_else(|| Judged::passed("No identifier contradicts the token."), Judged::failed)
}

/// The identifiers of a token that cannot be read whole.
fn identifiers(format: &JwtFormat, claims: &Map<String, Value>) -> Identity {
    let text = |kind: SubjectKind| match at(format, claims, kind.field()) {
        Some(Value::String(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    Identity { user_id: text(SubjectKind::UserId), email: text(SubjectKind::Email), ..Identity::default() }
}

fn mismatch(said: &Identity, token: &Identity, kind: SubjectKind) -> Option<Mistake> {
    let (said_value, token_value) = (said.identifier(kind)?, token.identifier(kind)?);
    if said_value == token_value {
        return None;
    }
    let name = kind.name();
    let other = match kind {
        SubjectKind::UserId => SubjectKind::Email,
        SubjectKind::Email => SubjectKind::UserId,
    };
    let (what, remedy) = if said_value.trim() == token_value.trim() {
        ("only in white space", "Send the identifier exactly as it was signed.")
    } else if said_value.trim().to_lowercase() == token_value.trim().to_lowercase() {
        ("only in capital letters", "Send the identifier exactly as it was signed, and write it in one way everywhere.")
    } else if token.identifier(other) == Some(said_value) {
        return Some(Mistake::new(
            format!("What was sent as {name} is the {} of the token.", other.name()),
            "Send each identifier in the field of its kind.",
        ));
    } else {
        (
            "altogether: the token is another user's",
            "Get a new token after an account switch, and drop the old one at sign-out; a token that is kept in a \
             cache, a cookie or a singleton outlives its user.",
        )
    };
    Some(Mistake::new(format!("The {name} that was sent beside the token differs from the token's, {what}."), remedy))
}
