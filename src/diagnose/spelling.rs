//! Names under which claims are written by mistake. Only names of this list, and those of the profile, are ever said: a
//! token's own names are its holder's.

use serde_json::{Map, Value};

use super::Case;
use crate::identity::{CompanyField, Field};
use crate::profile::JwtFormat;

/// Other names of a field, the likelier first.
const FIELDS: [(Field, &[&str]); 7] = [
    (
        Field::UserId,
        &[
            "userId",
            "user_id",
            "userID",
            "userid",
            "UserId",
            "user-id",
            "external_id",
            "externalId",
            "guid",
            "uid",
            "id",
            "_id",
            "uuid",
            "sub",
            "subject",
            "identifier",
            "customerId",
            "customer_id",
            "accountId",
            "user",
        ],
    ),
    (
        Field::Email,
        &[
            "email",
            "Email",
            "e_mail",
            "e-mail",
            "mail",
            "emailAddress",
            "email_address",
            "userEmail",
            "user_email",
            "EMAIL",
            "upn",
            "preferred_username",
        ],
    ),
    (
        Field::Name,
        &["name", "Name", "fullName", "full_name", "displayName", "display_name", "userName", "user_name", "username"],
    ),
    (
        Field::ProfilePicture,
        &[
            "profilePicture",
            "profile_picture",
            "profilePic",
            "avatar",
            "avatarURL",
            "avatarUrl",
            "avatar_url",
            "picture",
            "photo",
            "photoURL",
            "image",
            "imageUrl",
        ],
    ),
    (Field::Locale, &["locale", "language", "lang", "localeCode"]),
    (
        Field::CreatedAt,
        &["createdAt", "created_at", "created", "signedUpAt", "signed_up_at", "signupDate", "registeredAt"],
    ),
    (
        Field::Companies,
        &[
            "companies",
            "company",
            "Companies",
            "organizations",
            "organisations",
            "organization",
            "orgs",
            "accounts",
            "account",
            "teams",
        ],
    ),
];

/// Other names of a company's field.
const COMPANY_FIELDS: [(CompanyField, &[&str]); 4] = [
    (
        CompanyField::Id,
        &[
            "id",
            "companyId",
            "company_id",
            "companyID",
            "externalId",
            "external_id",
            "uuid",
            "_id",
            "orgId",
            "organizationId",
        ],
    ),
    (CompanyField::Name, &["name", "companyName", "company_name", "displayName", "title", "Name"]),
    (CompanyField::MonthlySpend, &["monthlySpend", "monthly_spend", "mrr", "MRR", "spend", "monthlyspend"]),
    (CompanyField::CreatedAt, &["createdAt", "created_at", "created", "remote_created_at", "createdat"]),
];

/// The names of identifiers, in any product.
pub(super) fn identifiers() -> impl Iterator<Item = &'static str> {
    let identifying = |field: &Field| matches!(field, Field::UserId | Field::Email);
    FIELDS.into_iter().filter(move |(field, _)| identifying(field)).flat_map(|(_, names)| names.iter().copied())
}

/// A claim of another name that is likely to be this field, and that nothing here reads. The name may be said where it
/// is of the list; else only that it differs in its letters' case or in separators.
pub(super) fn instead(
    case: &Case<'_>,
    format: &JwtFormat,
    claims: &Map<String, Value>,
    field: Field,
) -> Option<Option<&'static str>> {
    let own = &format.claims.get(&field)?.0;
    let unread = |name: &str| !is_read(case, format, name);
    let there = |name: &&&str| claims.contains_key(**name) && unread(name) && own.as_slice() != [(**name).to_owned()];
    let (_, names) = FIELDS.into_iter().find(|(known, _)| *known == field)?;
    if let Some(name) = names.iter().find(there) {
        return Some(Some(name));
    }
    let last = plain(own.last()?);
    claims.keys().any(|name| unread(name) && own.last() != Some(name) && plain(name) == last).then_some(None)
}

/// Whether a claim that nothing reads differs from this field's only in capital letters or separators: hardly a chance.
pub(super) fn misspelt(case: &Case<'_>, format: &JwtFormat, claims: &Map<String, Value>, field: Field) -> bool {
    let Some([own]) = format.claims.get(&field).map(|path| path.0.as_slice()) else { return false };
    claims.keys().any(|name| name != own && plain(name) == plain(own) && !is_read(case, format, name))
}

/// The same as [`instead`] for a field of a company.
pub(super) fn in_company(
    case: &Case<'_>,
    own: Option<&str>,
    company: &Map<String, Value>,
    field: CompanyField,
    is_own: impl Fn(&str) -> bool,
) -> Option<Option<&'static str>> {
    let own = own?;
    let unread = |name: &str| !is_own(name) && !case.application.companies.custom.contains_key(name);
    let (_, names) = COMPANY_FIELDS.into_iter().find(|(known, _)| *known == field)?;
    if let Some(name) = names.iter().find(|name| company.contains_key(**name) && unread(name)) {
        return Some(Some(name));
    }
    company.keys().any(|name| unread(name) && plain(name) == plain(own)).then_some(None)
}

/// The same as [`misspelt`] for a field of a company.
pub(super) fn company_misspelt(
    case: &Case<'_>,
    own: &str,
    company: &Map<String, Value>,
    is_own: impl Fn(&str) -> bool,
) -> bool {
    let unread = |name: &str| !is_own(name) && !case.application.companies.custom.contains_key(name);
    company.keys().any(|name| unread(name) && plain(name) == plain(own))
}

/// How to say such a name.
pub(super) fn said(name: Option<&'static str>) -> String {
    name.map_or_else(
        || "There is a claim that differs from it only in capital letters or separators.".to_owned(),
        |name| format!("There is a claim `{name}`, which is not the one that is meant."),
    )
}

/// Whether the payload's member of that name is read as something else.
fn is_read(case: &Case<'_>, format: &JwtFormat, name: &str) -> bool {
    let first = |path: &crate::profile::Path| path.0.first().is_some_and(|first| first == name);
    format.claims.values().any(first)
        || format.constants.contains_key(name)
        || format.token_id_claim() == name
        || format.provenance == name
        || format.attributes.as_ref().is_some_and(first)
        || format.attribute_claims.values().any(first)
        || case.application.users.custom.contains_key(name)
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
