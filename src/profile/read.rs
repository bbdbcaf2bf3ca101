//! From the claims of a genuine token back to an identity. A wrong type is a refusal, never an absence: a reader that
//! took one for the other would skip the check that depends on it.

use serde_json::{Map, Value};
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, Duration, OffsetDateTime, PrimitiveDateTime, UtcDateTime};

use super::{CompanyFormat, JwtFormat, Path, TimeFormat};
use crate::attributes::Attributes;
use crate::identity::{Company, CompanyField, Field, Identity};
use crate::refusal::{Reason, Refused};
use crate::{json, limits};

/// What a token says.
#[derive(Debug, Default)]
pub struct Read {
    /// Who it is about.
    pub identity: Identity,
    /// The paths of claims that nobody declared; they are not in the identity.
    pub undeclared: Vec<String>,
}

type Claims = Map<String, Value>;

impl JwtFormat {
    /// Reads what the claims say of the user, by the types that the format and the application declare.
    pub fn read(&self, claims: &Claims, users: &Attributes, companies: &Attributes) -> Result<Read, Refused> {
        let mut read = Read::default();
        for (name, value) in &self.constants {
            match claims.get(name) {
                None => return Err(Refused::claim(Reason::ClaimMissing, name.as_str())),
                Some(found) if found != value => return Err(Refused::claim(Reason::ClaimTypeInvalid, name.as_str())),
                Some(_) => {}
            }
        }
        for field in Field::ALL {
            let Some(path) = self.claims.get(&field) else { continue };
            let Some(value) = get(claims, &path.0, "")? else { continue };
            self.read_field(field, value, companies, &mut read)?;
        }
        self.read_attributes(claims, users, &mut read.identity)?;
        read.undeclared.extend(self.undeclared(claims, users));
        self.check_required(&read.identity, users)?;
        Ok(read)
    }

    fn read_field(&self, field: Field, value: &Value, companies: &Attributes, read: &mut Read) -> Result<(), Refused> {
        let wrong = || Refused::claim(Reason::ClaimTypeInvalid, self.claim_name(field));
        match field {
            Field::UserId | Field::Email => {
                let text = value.as_str().filter(|text| is_identifier(text) && self.takes(field, text));
                let text = text.ok_or_else(wrong)?;
                set(&mut read.identity, field, text);
            }
            Field::Name | Field::ProfilePicture | Field::Locale => {
                if !value.is_null() {
                    let text = value.as_str().filter(|text| !text.contains('\0') && self.takes(field, text));
                    let text = text.ok_or_else(wrong)?;
                    set(&mut read.identity, field, text);
                }
            }
            Field::CreatedAt => {
                if !value.is_null() {
                    read.identity.created_at = Some(self.time.read(value).ok_or_else(wrong)?);
                }
            }
            Field::Companies => {
                if let (false, Some(format)) = (value.is_null(), &self.company) {
                    self.read_companies(format, value, companies, read)?;
                }
            }
        }
        Ok(())
    }

    fn read_companies(
        &self,
        format: &CompanyFormat,
        value: &Value,
        declared: &Attributes,
        read: &mut Read,
    ) -> Result<(), Refused> {
        let name = self.claim_name(Field::Companies);
        let wrong = || Refused::claim(Reason::ClaimTypeInvalid, name.as_str());
        let list = match value {
            Value::Array(list) if !format.single => list.as_slice(),
            Value::Object(_) if format.single => std::slice::from_ref(value),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                return Err(wrong());
            }
        };
        if list.len() > limits::COMPANIES {
            return Err(wrong());
        }
        for company in list {
            let members = company.as_object().ok_or_else(wrong)?;
            let company = format.read(members, self, declared)?;
            if read.identity.companies.iter().any(|known| known.id == company.id) {
                // Two companies of one id may contradict each other, and nothing says which one is true.
                return Err(wrong());
            }
            format.undeclared(members, declared, &format!("companies[{}].", company.id), &mut read.undeclared);
            read.identity.companies.push(company);
        }
        Ok(())
    }

    fn read_attributes(&self, claims: &Claims, declared: &Attributes, identity: &mut Identity) -> Result<(), Refused> {
        check_place(claims, self.attributes.as_ref(), "")?;
        let path = |name| self.attribute_path(name);
        read_attributes(claims, declared, path, "", &mut identity.attributes)
    }

    fn check_required(&self, identity: &Identity, declared: &Attributes) -> Result<(), Refused> {
        let missing = |claim: String| Refused::claim(Reason::ClaimMissing, claim);
        for group in &self.require {
            if !group.iter().any(|field| identity.has(*field)) {
                return Err(missing(self.group_name(group)));
            }
        }
        for group in &self.exactly_one {
            match group.iter().filter(|field| identity.has(**field)).count() {
                0 => return Err(missing(self.group_name(group))),
                1 => {}
                _ => return Err(Refused::claim(Reason::ClaimTypeInvalid, self.group_name(group))),
            }
        }
        for (field, rule) in &declared.fields {
            if rule.required && !identity.has(*field) {
                return Err(missing(self.claim_name(*field)));
            }
        }
        for (name, attribute) in &declared.custom {
            if attribute.rule.required && !identity.attributes.contains_key(name) {
                return Err(missing(self.attribute_name(name)));
            }
        }
        Ok(())
    }
}

impl CompanyFormat {
    fn read(&self, claims: &Claims, jwt: &JwtFormat, declared: &Attributes) -> Result<Company, Refused> {
        let list = jwt.claim_name(Field::Companies);
        let mut company = Company::default();
        for (field, claim) in &self.claims {
            let Some(value) = claims.get(claim) else { continue };
            let wrong = || Refused::claim(Reason::ClaimTypeInvalid, format!("{list}.{claim}"));
            match field {
                CompanyField::Id => {
                    value.as_str().filter(|text| is_identifier(text)).ok_or_else(wrong)?.clone_into(&mut company.id);
                }
                _ if value.is_null() => {}
                CompanyField::Name => {
                    let text = value.as_str().filter(|text| !text.contains('\0')).ok_or_else(wrong)?;
                    company.name = (!text.is_empty()).then(|| text.to_owned());
                }
                CompanyField::MonthlySpend => {
                    company.monthly_spend = Some(value.as_f64().and_then(json::exact).ok_or_else(wrong)?);
                }
                CompanyField::CreatedAt => company.created_at = Some(jwt.time.read(value).ok_or_else(wrong)?),
            }
        }
        let missing = |what: &str| Refused::claim(Reason::ClaimMissing, format!("{list}.{what}"));
        let name_of = |field: CompanyField| self.claims.get(&field).map_or(field.name(), String::as_str);
        if company.id.is_empty() {
            return Err(missing(name_of(CompanyField::Id)));
        }
        for field in &self.require {
            if !company.has(*field) {
                return Err(missing(name_of(*field)));
            }
        }
        let prefix = format!("{list}.");
        check_place(claims, self.attributes.as_ref(), &prefix)?;
        read_attributes(claims, declared, |name| self.attribute_path(name), &prefix, &mut company.attributes)?;
        for (name, attribute) in &declared.custom {
            if attribute.rule.required && !company.attributes.contains_key(name) {
                let path = self.attribute_path(name).map_or_else(|| name.clone(), |path| path.join("."));
                return Err(missing(&path));
            }
        }
        Ok(company)
    }
}

/// The place of custom attributes is an object, whether or not any of them is looked for.
fn check_place(claims: &Claims, here: Option<&Path>, prefix: &str) -> Result<(), Refused> {
    let Some(here) = here else { return Ok(()) };
    match get(claims, &here.0, prefix)? {
        None | Some(Value::Null | Value::Object(_)) => Ok(()),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(Refused::claim(Reason::ClaimTypeInvalid, format!("{prefix}{}", here.name())))
        }
    }
}

/// Takes the attributes that are declared from where they lie; one of another type is refused by the name of its claim.
fn read_attributes<'p>(
    claims: &Claims,
    declared: &'p Attributes,
    path: impl Fn(&'p str) -> Option<Vec<&'p str>>,
    prefix: &str,
    into: &mut Claims,
) -> Result<(), Refused> {
    for (name, attribute) in &declared.custom {
        let Some(path) = path(name) else { continue };
        let Some(value) = get(claims, &path, prefix)?.filter(|value| !value.is_null()) else { continue };
        if !attribute.kind.fits(value) || json::holds_nul(value) {
            return Err(Refused::claim(Reason::ClaimTypeInvalid, format!("{prefix}{}", path.join("."))));
        }
        into.insert(name.clone(), value.clone());
    }
    Ok(())
}

impl TimeFormat {
    /// The instant that a claim stands for.
    #[must_use]
    pub fn read(self, value: &Value) -> Option<UtcDateTime> {
        match self {
            Self::Iso8601 => iso_8601(value.as_str()?),
            Self::Unix => UtcDateTime::from_unix_timestamp(integral(value)?).ok(),
            Self::UnixMillis => UtcDateTime::UNIX_EPOCH.checked_add(Duration::milliseconds(integral(value)?)),
        }
    }
}

/// An instant in any of ISO 8601's forms; without an offset it is one in UTC, and a date alone is its midnight.
fn iso_8601(text: &str) -> Option<UtcDateTime> {
    let rfc_3339 = UtcDateTime::parse(text, &Rfc3339).ok();
    let with_offset = || OffsetDateTime::parse(text, &Iso8601::PARSING).ok().map(OffsetDateTime::to_utc);
    let without = || PrimitiveDateTime::parse(text, &Iso8601::PARSING).ok().map(PrimitiveDateTime::as_utc);
    let date = || Date::parse(text, &Iso8601::PARSING).ok().map(|date| date.midnight().as_utc());
    rfc_3339.or_else(with_offset).or_else(without).or_else(date)
}

fn integral(value: &Value) -> Option<i64> {
    value.as_f64().and_then(json::exact)?.as_i64()
}

/// The member at the path; an error where something on the way is no object.
fn get<'c, M: AsRef<str>>(claims: &'c Claims, path: &[M], prefix: &str) -> Result<Option<&'c Value>, Refused> {
    let Some((last, way)) = path.split_last() else { return Ok(None) };
    let mut members = claims;
    let mut name = prefix.to_owned();
    for member in way {
        name.push_str(member.as_ref());
        members = match members.get(member.as_ref()) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(next)) => next,
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                return Err(Refused::claim(Reason::ClaimTypeInvalid, name));
            }
        };
        name.push('.');
    }
    Ok(members.get(last.as_ref()))
}

fn is_identifier(text: &str) -> bool {
    text.len() <= limits::IDENTIFIER_BYTES && !text.contains('\0')
}

/// An empty text is the same as none.
fn set(identity: &mut Identity, field: Field, text: &str) {
    if let Some(place) = identity.text_mut(field) {
        *place = (!text.is_empty()).then(|| text.to_owned());
    }
}
