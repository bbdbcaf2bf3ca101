//! Whether the payload is one JSON object, and what it is otherwise.

use serde_json::{Map, Value};

use super::form::Opened;
use super::judged::{Judged, Mistake};
use super::{Case, spelling, wrapping};
use crate::identity::Field;
use crate::json;
use crate::profile::JwtFormat;
use crate::refusal::Reason;

/// Members that claims are put into by mistake.
const WRAPPERS: [&str; 14] = [
    "payload",
    "data",
    "claims",
    "user",
    "token",
    "tokenData",
    "token_data",
    "body",
    "identity",
    "profile",
    "attributes",
    "params",
    "props",
    "value",
];

pub(super) fn judge(case: &Case<'_>, format: &JwtFormat, opened: &Opened) -> (Judged, Option<Map<String, Value>>) {
    let Some(bytes) = opened.payload.as_deref() else {
        return (Judged::inconclusive("The payload cannot be decoded: see token.form."), None);
    };
    let Some(claims) = json::object(bytes) else {
        let (what, remedy) = no_object(bytes);
        return (Judged::failed(Mistake::new(what, remedy)), None);
    };
    if let Some(wrapper) = wrapper(case, format, &claims) {
        let what = format!("The claims are inside of the member `{wrapper}` instead of in the payload itself.");
        let remedy = "Sign the object with the claims itself, not an object around it.";
        return (Judged::failed(Mistake::new(what, remedy)), Some(claims));
    }
    (Judged::passed("The payload is one JSON object."), Some(claims))
}

/// The member that all the claims are in. Only asked where what is required is missing.
pub(super) fn wrapper(case: &Case<'_>, format: &JwtFormat, claims: &Map<String, Value>) -> Option<&'static str> {
    let read = format.read(claims, &case.application.users, &case.application.companies);
    if !read.is_err_and(|refused| refused.reason == Reason::ClaimMissing) {
        return None;
    }
    let own = |name: &str| format.claims.values().any(|path| path.0.first().is_some_and(|first| first == name));
    let top = [Field::UserId, Field::Email].iter().filter_map(|field| format.claims.get(field)?.0.first());
    if top.into_iter().any(|name| claims.contains_key(name)) {
        return None;
    }
    WRAPPERS.into_iter().filter(|name| !own(name)).find(|name| match claims.get(*name) {
        Some(Value::Object(inner)) => holds_claims(format, inner),
        Some(Value::String(text)) => json::object(text.as_bytes()).is_some_and(|inner| holds_claims(format, &inner)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => false,
    })
}

fn holds_claims(format: &JwtFormat, inner: &Map<String, Value>) -> bool {
    let named = format.claims.values().filter_map(|path| path.0.first()).any(|name| inner.contains_key(name));
    named || spelling::identifiers().any(|name| inner.contains_key(name))
}

fn no_object(bytes: &[u8]) -> (&'static str, &'static str) {
    let as_object = "Sign the object itself, once: libraries turn it into JSON.";
    if bytes.is_empty() {
        return ("The payload is empty.", "Sign an object with the user's claims.");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return (
            "The payload is not UTF-8 text: it is compressed, encrypted or in another character set.",
            "Sign the claims as JSON in UTF-8, without `zip` and without encryption.",
        );
    };
    if text.starts_with('\u{feff}') {
        return ("The payload begins with a byte order mark.", "Write JSON without byte order mark.");
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) => (
            "The payload has a member twice, so that two readers could read two things.",
            "Write each claim once: look where claims are added to those that are there.",
        ),
        Ok(Value::String(inner)) if is_token(&inner) => NESTED,
        Ok(Value::String(_)) => {
            ("The payload is a string and not an object: it was turned into JSON twice (double-encoded).", as_object)
        }
        Ok(Value::Array(_)) => ("The payload is a list and not an object.", "Sign one object for one user."),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_)) => {
            ("The payload is a bare value and not an object.", as_object)
        }
        Err(_) if is_token(text) => NESTED,
        Err(_) if wrapping::base64(text).is_some_and(|inner| json::object(&inner).is_some()) => (
            "The payload is base64-encoded twice (double-encoded).",
            "Encode the JSON of the claims once; better, let a JWT library do it.",
        ),
        Err(_) if text.starts_with('{') && text.contains('\'') && !text.contains('"') => (
            "The payload is not JSON: it has single quotes, as Python or JavaScript print an object.",
            "Turn the claims into JSON with a JSON library.",
        ),
        Err(_) if text.starts_with('{') => (
            "The payload begins as JSON and is none: it is cut short, or written by hand.",
            "Turn the claims into JSON with a JSON library, and send all of the token.",
        ),
        Err(_) if text.contains('=') => {
            ("The payload is not JSON: it looks like form data.", "Turn the claims into a JSON object.")
        }
        Err(_) => ("The payload is not JSON.", "Sign a JSON object with the user's claims."),
    }
}

const NESTED: (&str, &str) = (
    "The payload is another token (nested): a token was signed as if it were the claims.",
    "Sign the claims once, and send what comes out.",
);

fn is_token(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("eyJ") && text.matches('.').count() == 2
}
