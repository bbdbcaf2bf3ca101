//! Whether the claims about the user are there, have the names of the profile and the types that were declared.

use serde_json::{Map, Value};

use super::judged::{Judged, Mistake, is_unset};
use super::{Case, payload, spelling};
use crate::attributes::Kind;
use crate::identity::{Field, SubjectKind};
use crate::json;
use crate::limits;
use crate::mint::Provenance;
use crate::profile::{JwtFormat, TimeFormat};
use crate::refusal::{Reason, Refused};

type Claims = Map<String, Value>;

pub(super) fn judge(case: &Case<'_>, format: &JwtFormat, claims: &Claims) -> Judged {
    if payload::wrapper(case, format, claims).is_some() {
        return Judged::inconclusive("Cannot be told before the claims are in the payload itself: see token.payload.");
    }
    let application = case.application;
    let read = |claims: &Claims| format.read(claims, &application.users, &application.companies);
    let full = read(claims);
    let refused = texts(format, claims).or_else(|| match &full {
        Ok(_) => Provenance::read(claims, format).err(),
        // What is wrong with the companies has a check of its own.
        Err(_) => read(&without_companies(format, claims)).err().filter(|refused| !of_companies(format, refused)),
    });
    let Some(refused) = refused else {
        let undeclared = full.map(|read| read.undeclared.len()).unwrap_or_default();
        let more = if undeclared > 0 { " Claims that the application does not declare are not used." } else { "" };
        let passed = format!("Every claim that is needed is there, with the type that is declared.{more}");
        return Judged::warned_by(warnings(case, format, claims), passed);
    };
    Judged::failed_by(mistakes(case, format, claims), &refused)
}

/// The registered claims that are text, apart from `iss`.
fn texts(format: &JwtFormat, claims: &Claims) -> Option<Refused> {
    let names = ["sub", "jti", format.token_id_claim()];
    let wrong = names.into_iter().find(|name| claims.get(*name).is_some_and(|value| !value.is_string()))?;
    Some(Refused::claim(Reason::ClaimTypeInvalid, wrong))
}

fn without_companies(format: &JwtFormat, claims: &Claims) -> Claims {
    let mut rest = claims.clone();
    if let Some([name]) = format.claims.get(&Field::Companies).map(|path| path.0.as_slice()) {
        rest.shift_remove(name);
    }
    rest
}

fn of_companies(format: &JwtFormat, refused: &Refused) -> bool {
    refused.claim.as_deref() == Some(format.claim_name(Field::Companies).as_str())
}

/// What works for now and is not what was meant.
fn warnings(case: &Case<'_>, format: &JwtFormat, claims: &Claims) -> Vec<Mistake> {
    let mut found = Vec::new();
    for field in Field::ALL {
        let here = at(format, claims, field);
        if here.is_none() && field != Field::Companies && spelling::misspelt(case, format, claims, field) {
            let claim = format.claim_name(field);
            found.push(Mistake::new(
                format!(
                    "The claim `{claim}` is not there, and one whose name differs only in capital letters or \
                     separators is. It is not read."
                ),
                format!("Name the claim `{claim}`."),
            ));
        }
    }
    for kind in SubjectKind::ALL {
        if at(format, claims, kind.field()).and_then(Value::as_str).is_some_and(is_unset) {
            found.push(Mistake::new(
                format!(
                    "The claim `{}` is the text of a variable that is not set, such as `undefined` or `null`.",
                    format.claim_name(kind.field())
                ),
                "Set the variable before signing: every user would be the same one.",
            ));
        }
    }
    found
}

fn mistakes(case: &Case<'_>, format: &JwtFormat, claims: &Claims) -> Vec<Mistake> {
    let mut found = Vec::new();
    for (name, value) in &format.constants {
        match claims.get(name) {
            Some(said) if said == value => {}
            said => {
                let how = if said.is_some() { "has another value than this profile wants" } else { "is missing" };
                found.push(Mistake::new(
                    format!("The claim `{name}` {how}; it is the same in every token."),
                    format!("Sign with `\"{name}\": {value}`."),
                ));
            }
        }
    }
    for name in ["sub", "jti", format.token_id_claim()] {
        let is_user = format.claim_name(Field::UserId) == name;
        if claims.get(name).is_some_and(|value| !value.is_string()) && !is_user {
            found.push(Mistake::new(
                format!("`{name}` is not text."),
                format!("Write `{name}` as a string, in quotes."),
            ));
        }
    }
    for field in Field::ALL.into_iter().filter(|field| *field != Field::Companies) {
        found.extend(at(format, claims, field).and_then(|value| of_type(format, field, value)));
    }
    found.extend(on_the_way(format, claims));
    found.extend(attributes(case, format, claims));
    found.extend(missing(case, format, claims));
    found
}

/// The value of a field, where it is at its place.
pub(super) fn at<'c>(format: &JwtFormat, claims: &'c Claims, field: Field) -> Option<&'c Value> {
    find(claims, &format.claims.get(&field)?.0)
}

fn find<'c>(claims: &'c Claims, path: &[String]) -> Option<&'c Value> {
    let (first, rest) = path.split_first()?;
    let value = claims.get(first)?;
    if rest.is_empty() { Some(value) } else { find(value.as_object()?, rest) }
}

/// Members that should be objects because claims are inside of them.
fn on_the_way(format: &JwtFormat, claims: &Claims) -> Vec<Mistake> {
    let mut parents: Vec<&String> =
        format.claims.values().filter(|path| path.0.len() > 1).filter_map(|path| path.0.first()).collect();
    parents.dedup();
    let no_object = |name: &&&String| claims.get(**name).is_some_and(|value| !value.is_object() && !value.is_null());
    let mistake = |name: &&String| {
        Mistake::new(
            format!("`{name}` is {} and should be an object with claims in it.", kind_of(claims.get(*name))),
            format!("Write `{name}` as a JSON object."),
        )
    };
    parents.iter().filter(no_object).map(mistake).collect()
}

/// A field of the wrong type.
fn of_type(format: &JwtFormat, field: Field, value: &Value) -> Option<Mistake> {
    let claim = format.claim_name(field);
    let kind = kind_of(Some(value));
    match (field, value) {
        (Field::UserId | Field::Email, Value::String(text)) => {
            let what = if text.len() > limits::IDENTIFIER_BYTES {
                format!("`{claim}` has over {} bytes.", limits::IDENTIFIER_BYTES)
            } else if text.contains('\0') {
                format!("`{claim}` has NUL (U+0000) in it.")
            } else {
                return None;
            };
            Some(Mistake::new(what, format!("Sign with the user's identifier as `{claim}`, and nothing else in it.")))
        }
        (Field::UserId | Field::Email, Value::Number(_)) => Some(Mistake::new(
            format!(
                "`{claim}` is a number: identifiers are text, because large numbers lose digits and text is compared."
            ),
            format!("Write `{claim}` as a string, as with `String(id)`, and hash and send the same string everywhere."),
        )),
        (Field::UserId | Field::Email, _) => Some(Mistake::new(
            format!("`{claim}` is {kind} and not text."),
            format!("Sign with `{claim}` as a string, or leave it out where the user has none."),
        )),
        (Field::Name | Field::ProfilePicture | Field::Locale, Value::Null) | (Field::CreatedAt, Value::Null) => None,
        (Field::Name | Field::ProfilePicture | Field::Locale, Value::String(text)) => {
            text.contains('\0').then(|| Mistake::new(format!("`{claim}` has NUL (U+0000) in it."), "Remove it."))
        }
        (Field::Name | Field::ProfilePicture | Field::Locale, _) => {
            Some(Mistake::new(format!("`{claim}` is {kind} and not text."), format!("Write `{claim}` as a string.")))
        }
        (Field::CreatedAt, value) => time_fault(format.time, &claim, value),
        (Field::Companies, _) => None,
    }
}

/// A time in another form than the profile's.
pub(super) fn time_fault(form: TimeFormat, claim: &str, value: &Value) -> Option<Mistake> {
    if form.read(value).is_some() {
        return None;
    }
    let wanted = match form {
        TimeFormat::Iso8601 => "as ISO 8601 text, such as `2025-05-19T15:35:49.915Z`",
        TimeFormat::Unix => "in whole seconds since 1970, as a number",
        TimeFormat::UnixMillis => "in whole milliseconds since 1970, as a number",
    };
    let what = match value {
        Value::String(text) if form == TimeFormat::Iso8601 && text.len() == 10 => "is a date without a time",
        Value::String(_) if form == TimeFormat::Iso8601 => "is text, and no time in ISO 8601 with its time zone",
        Value::String(_) => "is text",
        Value::Number(_) if form == TimeFormat::Iso8601 => "is a number",
        Value::Number(_) => "is a number that is no such time",
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => "is no time",
    };
    Some(Mistake::new(format!("`{claim}` {what}."), format!("Write `{claim}` {wanted}.")))
}

/// Declared attributes of the wrong type.
fn attributes(case: &Case<'_>, format: &JwtFormat, claims: &Claims) -> Vec<Mistake> {
    let path = |name: &String| match (format.attribute_claims.get(name), &format.attributes) {
        (Some(path), _) => Some(path.0.clone()),
        (None, Some(here)) => Some([here.0.as_slice(), std::slice::from_ref(name)].concat()),
        (None, None) => None,
    };
    let wrong = |(name, attribute): (&String, &crate::attributes::Attribute)| {
        let value = find(claims, &path(name)?).filter(|value| !value.is_null())?;
        attribute_fault(name, attribute.kind, value)
    };
    case.application.users.custom.iter().filter_map(wrong).collect()
}

/// An attribute of the wrong type.
pub(super) fn attribute_fault(name: &str, kind: Kind, value: &Value) -> Option<Mistake> {
    if kind.fits(value) && !json::holds_nul(value) {
        return None;
    }
    let what = if kind.fits(value) {
        format!("The attribute `{name}` has NUL (U+0000) in it.")
    } else if !json::is_exact(value) {
        format!("The attribute `{name}` has a number in it that is too large to be exact.")
    } else {
        format!("The attribute `{name}` is {} and declared as {}.", kind_of(Some(value)), kind.name())
    };
    let remedy = match kind {
        Kind::Date => format!("Write `{name}` as text: an ISO 8601 date or an RFC 3339 time."),
        Kind::String | Kind::Number | Kind::Boolean | Kind::List | Kind::Object => {
            format!("Write `{name}` as {}, or have its declaration changed.", kind.name())
        }
    };
    Some(Mistake::new(what, remedy))
}

/// Claims that are needed and not there.
fn missing(case: &Case<'_>, format: &JwtFormat, claims: &Claims) -> Vec<Mistake> {
    let has = |field: &Field| at(format, claims, *field).is_some_and(|value| value.as_str() != Some(""));
    let mut found = Vec::new();
    for group in format.require.iter().chain(&format.exactly_one) {
        if !group.iter().any(has) {
            found.push(absent(case, format, claims, group));
        }
    }
    for group in format.exactly_one.iter().filter(|group| group.iter().filter(|field| has(field)).count() > 1) {
        let both =
            group.iter().map(|field| format!("`{}`", format.claim_name(*field))).collect::<Vec<_>>().join(" and ");
        found.push(Mistake::new(
            format!("{both} are there, and this profile takes exactly one of them."),
            "Sign with one of them.",
        ));
    }
    for (field, _) in case.application.users.fields.iter().filter(|(field, rule)| rule.required && !has(field)) {
        if *field != Field::Companies {
            found.push(absent(case, format, claims, &[*field]));
        }
    }
    let names =
        case.application.users.custom.iter().filter(|(_, attribute)| attribute.rule.required).map(|(name, _)| name);
    let here = format.attributes.as_ref().map_or(&[][..], |path| &path.0);
    for name in names {
        let path = format
            .attribute_claims
            .get(name)
            .map_or_else(|| [here, std::slice::from_ref(name)].concat(), |path| path.0.clone());
        if find(claims, &path).is_none_or(Value::is_null) {
            found.push(Mistake::new(
                format!("The attribute `{name}` is missing, and the application requires it."),
                format!("Sign with `{name}`."),
            ));
        }
    }
    found
}

fn absent(case: &Case<'_>, format: &JwtFormat, claims: &Claims, group: &[Field]) -> Mistake {
    let name = group.iter().map(|field| format!("`{}`", format.claim_name(*field))).collect::<Vec<_>>().join(" or ");
    let empty = group.iter().any(|field| at(format, claims, *field).and_then(Value::as_str) == Some(""));
    let instead = group.iter().find_map(|field| spelling::instead(case, format, claims, *field));
    let what = match instead {
        _ if empty => format!("The claim {name} is there and empty."),
        Some(name_of_other) => format!("The claim {name} is missing. {}", spelling::said(name_of_other)),
        None => format!("The claim {name} is missing."),
    };
    Mistake::new(what, format!("Sign with {name}, named exactly so."))
}

/// The JSON type in a sentence.
pub(super) fn kind_of(value: Option<&Value>) -> &'static str {
    match value {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "text",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    }
}
