//! Claims by their neutral names, into an identity.

use serde_json::Value;
use time::UtcDateTime;

use crate::application::Application;
use crate::attributes::{Attributes, Origin};
use crate::identity::{Company, Field, Identity};
use crate::profile::TimeFormat;
use crate::{json, limits};

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
            into.companies = list.iter().map(|item| company(application, origin, item)).collect::<Option<_>>()?;
        }
        Field::UserId | Field::Email | Field::Name | Field::ProfilePicture | Field::Locale => {
            let limit = if field == Field::Email { limits::IDENTIFIER_BYTES } else { limits::ATTRIBUTE_BYTES };
            *into.text_mut(field)? = Some(text(value, limit)?);
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
