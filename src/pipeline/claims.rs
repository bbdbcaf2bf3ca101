//! Claims by their neutral names, into an identity.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use crate::application::Application;
use crate::attributes::{Attributes, Origin};
use crate::identity::{Company, Field, Identity};
use crate::profile::TimeFormat;
use crate::{json, limits};

/// What one source says of one user, as an application takes it: neutral names, declared types, within the limits.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    identity: Identity,
    /// The claims that the source gave and the application cannot take.
    malformed: BTreeSet<String>,
    bytes: usize,
}

impl Fragment {
    /// What the application takes of a source's answer.
    pub(super) fn of(application: &Application, source: &str, claims: &Map<String, Value>) -> Self {
        let mut fragment = Self::default();
        let origin = Origin::Source(source.to_owned());
        for (claim, _) in application.users.rules().filter(|(_, rule)| rule.from.contains(&origin)) {
            let shape = application.users.shape(claim);
            let Some(value) = shape.take(claim, claims) else { continue };
            fragment.bytes += claim.len() + json::weight(&value);
            if place(application, (claim, &origin), &value, &mut fragment.identity).is_none() {
                fragment.malformed.insert(claim.to_owned());
            }
        }
        fragment
    }

    /// Takes a claim over. Whether it was there; none where the source gave one that cannot be taken.
    pub(super) fn give(&self, claim: &str, into: &mut Identity) -> Option<bool> {
        (!self.malformed.contains(claim)).then(|| copy(&self.identity, claim, into))
    }

    /// The first claim that cannot be taken.
    pub(super) fn malformed(&self) -> Option<&str> {
        self.malformed.first().map(String::as_str)
    }

    /// About how many bytes it takes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The value of a claim as JSON, in neutral form; none where it is not there.
pub(super) fn value(identity: &Identity, claim: &str) -> Option<Value> {
    let Some(field) = Field::named(claim) else { return identity.attributes.get(claim).cloned() };
    match field {
        Field::CreatedAt => written(identity.created_at?),
        Field::Companies => Some(identity.companies.iter().map(written_company).collect::<Vec<_>>().into())
            .filter(|_| !identity.companies.is_empty()),
        Field::UserId | Field::Email | Field::Name | Field::ProfilePicture | Field::Locale => {
            identity.text(field).map(Value::from)
        }
    }
}

fn written(at: UtcDateTime) -> Option<Value> {
    at.format(&Rfc3339).ok().map(Value::from)
}

fn written_company(company: &Company) -> Value {
    let neutral = [
        ("id", Some(json!(company.id))),
        ("name", company.name.as_ref().map(|name| json!(name))),
        ("monthly_spend", company.monthly_spend.clone().map(Value::Number)),
        ("created_at", company.created_at.and_then(written)),
    ];
    let neutral = neutral.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(neutral.chain(company.attributes.clone()).collect())
}

/// Copies a claim from one identity to another. Whether it was there.
pub(super) fn copy(from: &Identity, claim: &str, into: &mut Identity) -> bool {
    let Some(field) = Field::named(claim) else {
        let found = from.attributes.get(claim).filter(|value| !value.is_null());
        return found.is_some_and(|value| {
            into.attributes.insert(claim.to_owned(), value.clone());
            true
        });
    };
    match field {
        Field::CreatedAt => into.created_at = from.created_at,
        Field::Companies => into.companies.clone_from(&from.companies),
        Field::UserId | Field::Email | Field::Name | Field::ProfilePicture | Field::Locale => {
            if let Some(place) = into.text_mut(field) {
                *place = from.text(field).map(str::to_owned);
            }
        }
    }
    from.has(field)
}

/// Places what the operator wrote, or an expression came to.
pub(super) fn put(application: &Application, claim: &str, value: &Value, into: &mut Identity) -> Option<()> {
    place(application, (claim, &Origin::Caller), value, into)
}

/// Places a source's claim, if it has the declared type and is within the limits.
pub(super) fn place(
    application: &Application,
    (claim, origin): (&str, &Origin),
    value: &Value,
    into: &mut Identity,
) -> Option<()> {
    let Some(field) = Field::named(claim) else {
        let attribute = application.users.custom.get(claim)?;
        if !attribute.kind.fits(value) || Attributes::breach(claim, value).is_some() {
            return None;
        }
        into.attributes.insert(claim.to_owned(), json::canonical(value)?);
        return Some(());
    };
    match field {
        Field::CreatedAt => into.created_at = Some(instant(value)?),
        Field::Companies => {
            let list = value.as_array().filter(|list| list.len() <= limits::COMPANIES)?;
            let companies: Vec<Company> =
                list.iter().map(|item| company(application, origin, item)).collect::<Option<_>>()?;
            let ids: BTreeSet<&str> = companies.iter().map(|company| company.id.as_str()).collect();
            let format = application.profile.jwt.as_ref();
            let single = format.and_then(|format| format.company.as_ref()).is_some_and(|company| company.single);
            if ids.len() < companies.len() || (single && companies.len() > 1) {
                return None;
            }
            into.companies = companies;
        }
        Field::UserId | Field::Email | Field::Name | Field::ProfilePicture | Field::Locale => {
            let limit = if field == Field::Email { limits::IDENTIFIER_BYTES } else { limits::ATTRIBUTE_BYTES };
            let text = text(value, limit)?;
            if application.profile.jwt.as_ref().is_some_and(|format| !format.takes(field, &text)) {
                return None;
            }
            *into.text_mut(field)? = Some(text);
        }
    }
    Some(())
}

/// A company as a source gives it: neutral names, attributes beside them. What is not declared is not taken.
fn company(application: &Application, origin: &Origin, value: &Value) -> Option<Company> {
    let claims = value.as_object()?;
    let declared = &application.companies;
    let mut company = Company { id: text(claims.get("id")?, limits::IDENTIFIER_BYTES)?, ..Company::default() };
    for (name, value) in claims.iter().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "id" => {}
            "name" => company.name = Some(text(value, limits::ATTRIBUTE_BYTES)?),
            "monthly_spend" => company.monthly_spend = Some(value.as_f64().and_then(json::exact)?),
            "created_at" => company.created_at = Some(instant(value)?),
            custom => match declared.custom.get(custom) {
                None => {}
                Some(attribute) if !attribute.rule.from.contains(origin) => {}
                Some(attribute) if attribute.kind.fits(value) && Attributes::breach(name, value).is_none() => {
                    company.attributes.insert(name.clone(), json::canonical(value)?);
                }
                Some(_) => return None,
            },
        }
    }
    let required = application.profile.jwt.as_ref().and_then(|format| format.company.as_ref());
    let complete = required.is_none_or(|format| format.require.iter().all(|field| company.has(*field)));
    let custom = declared.custom.iter().all(|(name, a)| !a.rule.required || company.attributes.contains_key(name));
    (complete && custom).then_some(company)
}

fn text(value: &Value, limit: usize) -> Option<String> {
    let text = value.as_str()?;
    (!text.is_empty() && text.len() <= limit && !text.contains('\0')).then(|| text.to_owned())
}

fn instant(value: &Value) -> Option<UtcDateTime> {
    TimeFormat::Iso8601.read(value)
}
