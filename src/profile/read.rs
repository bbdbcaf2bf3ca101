//! From the claims of a genuine token back to an identity. A wrong type is a refusal, never an absence: a reader that
//! took one for the other would skip the check that depends on it.

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::{Duration, UtcDateTime};

use super::{CompanyField, CompanyFormat, JwtFormat, Path, REGISTERED, TimeFormat};
use crate::attributes::Attributes;
use crate::identity::{Company, Field, Identity};
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
            let Some(value) = get(claims, &path.0)? else { continue };
            self.read_field(field, value, companies, &mut read)?;
        }
        self.read_attributes(claims, users, &mut read)?;
        for name in claims.keys() {
            if !self.is_known(name, users) {
                read.undeclared.push(name.clone());
            }
        }
        self.check_required(&read.identity, users)?;
        Ok(read)
    }

    fn read_field(&self, field: Field, value: &Value, companies: &Attributes, read: &mut Read) -> Result<(), Refused> {
        let wrong = || Refused::claim(Reason::ClaimTypeInvalid, self.claim_name(field));
        match field {
            Field::UserId | Field::Email => {
                let text = value.as_str().filter(|text| is_identifier(text)).ok_or_else(wrong)?;
                set(&mut read.identity, field, text);
            }
            Field::Name | Field::ProfilePicture | Field::Locale => {
                if !value.is_null() {
                    let text = value.as_str().filter(|text| !text.contains('\0')).ok_or_else(wrong)?;
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
                    let list = match value {
                        Value::Array(list) if !format.single => list.as_slice(),
                        Value::Object(_) if format.single => std::slice::from_ref(value),
                        Value::Null
                        | Value::Bool(_)
                        | Value::Number(_)
                        | Value::String(_)
                        | Value::Array(_)
                        | Value::Object(_) => return Err(wrong()),
                    };
                    if list.len() > limits::COMPANIES {
                        return Err(wrong());
                    }
                    for company in list {
                        let company = company.as_object().ok_or_else(wrong)?;
                        let company = format.read(company, self, companies, &mut read.undeclared)?;
                        read.identity.companies.push(company);
                    }
                }
            }
        }
        Ok(())
    }

    fn read_attributes(&self, claims: &Claims, declared: &Attributes, read: &mut Read) -> Result<(), Refused> {
        for (name, attribute) in &declared.custom {
            let Some(path) = self.attribute_path(name) else { continue };
            let Some(value) = get(claims, &path)?.filter(|value| !value.is_null()) else { continue };
            if !attribute.kind.fits(value) || json::holds_nul(value) {
                return Err(Refused::claim(Reason::ClaimTypeInvalid, name.as_str()));
            }
            read.identity.attributes.insert(name.clone(), value.clone());
        }
        // What lies among nested attributes undeclared; in the payload itself `read` reports it.
        let Some(Path(here)) = self.attributes.as_ref().filter(|path| !path.0.is_empty()) else { return Ok(()) };
        let Some(found) = get(claims, here)? else { return Ok(()) };
        let Value::Object(found) = found else {
            return if found.is_null() {
                Ok(())
            } else {
                Err(Refused::claim(Reason::ClaimTypeInvalid, here.join(".")))
            };
        };
        for name in found.keys() {
            if !declared.custom.contains_key(name) && !self.reserves(name) {
                read.undeclared.push(format!("{}.{name}", here.join(".")));
            }
        }
        Ok(())
    }

    /// Whether a member of the payload is one that the format or the application knows.
    fn is_known(&self, name: &str, declared: &Attributes) -> bool {
        let starts = |path: &Path| path.0.first().is_some_and(|first| first == name);
        REGISTERED.contains(&name)
            || name == self.provenance
            || name == self.token_id_claim()
            || self.expiry_text.as_deref() == Some(name)
            || self.constants.contains_key(name)
            || self.claims.values().any(starts)
            || self.attributes.as_ref().is_some_and(starts)
            || declared
                .custom
                .keys()
                .any(|custom| self.attribute_path(custom).is_some_and(|path| path.first().is_some_and(|f| f == name)))
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
                return Err(missing(name.clone()));
            }
        }
        Ok(())
    }
}

impl CompanyFormat {
    fn read(
        &self,
        claims: &Claims,
        jwt: &JwtFormat,
        declared: &Attributes,
        undeclared: &mut Vec<String>,
    ) -> Result<Company, Refused> {
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
            let there = match field {
                CompanyField::Id => true,
                CompanyField::Name => company.name.is_some(),
                CompanyField::MonthlySpend => company.monthly_spend.is_some(),
                CompanyField::CreatedAt => company.created_at.is_some(),
            };
            if !there {
                return Err(missing(name_of(*field)));
            }
        }
        self.read_attributes(claims, &list, declared, &mut company, undeclared)?;
        Ok(company)
    }

    fn read_attributes(
        &self,
        claims: &Claims,
        list: &str,
        declared: &Attributes,
        company: &mut Company,
        undeclared: &mut Vec<String>,
    ) -> Result<(), Refused> {
        let wrong = |what: &str| Refused::claim(Reason::ClaimTypeInvalid, format!("{list}.{what}"));
        let members = match &self.attributes {
            None => None,
            Some(Path(here)) if here.is_empty() => Some(claims),
            Some(Path(here)) => match get(claims, here)? {
                None | Some(Value::Null) => None,
                Some(value) => Some(value.as_object().ok_or_else(|| wrong(&here.join(".")))?),
            },
        };
        for (name, value) in members.into_iter().flatten() {
            match declared.custom.get(name) {
                _ if self.reserves(name) => {}
                None => undeclared.push(format!("companies[{}].{name}", company.id)),
                Some(_) if value.is_null() => {}
                Some(attribute) if attribute.kind.fits(value) && !json::holds_nul(value) => {
                    company.attributes.insert(name.clone(), value.clone());
                }
                Some(_) => return Err(wrong(name)),
            }
        }
        for (name, attribute) in &declared.custom {
            if attribute.rule.required && !company.attributes.contains_key(name) {
                return Err(Refused::claim(Reason::ClaimMissing, format!("{list}.{name}")));
            }
        }
        Ok(())
    }
}

impl TimeFormat {
    /// The instant that a claim stands for.
    #[must_use]
    pub fn read(self, value: &Value) -> Option<UtcDateTime> {
        match self {
            Self::Iso8601 => UtcDateTime::parse(value.as_str()?, &Rfc3339).ok(),
            Self::Unix => UtcDateTime::from_unix_timestamp(integral(value)?).ok(),
            Self::UnixMillis => {
                UtcDateTime::UNIX_EPOCH.checked_add(Duration::milliseconds(integral(value)?))
            }
        }
    }
}

fn integral(value: &Value) -> Option<i64> {
    value.as_f64().and_then(json::exact)?.as_i64()
}

/// The member at the path; an error where something on the way is no object.
fn get<'c>(claims: &'c Claims, path: &[String]) -> Result<Option<&'c Value>, Refused> {
    let Some((first, rest)) = path.split_first() else { return Ok(None) };
    match (claims.get(first), rest) {
        (found, []) => Ok(found),
        (None | Some(Value::Null), _) => Ok(None),
        (Some(Value::Object(next)), rest) => get(next, rest),
        (Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)), _) => {
            Err(Refused::claim(Reason::ClaimTypeInvalid, first.as_str()))
        }
    }
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
