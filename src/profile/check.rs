//! What the language can say and no format can mean. It is refused when the profile is read: later it would be a token
//! that lacks a claim, or one that its own application refuses.

use serde_json::Value;

use super::{CompanyFormat, HashFormat, Invalid, JwtFormat, Path, Profile, REGISTERED};
use crate::identity::{CompanyField, Field, SubjectKind};
use crate::json;

type Outcome = Result<(), Invalid>;

/// What a claim belongs to, as a key of the profile, and where it lies.
type Claim = (String, Path);

impl Profile {
    pub(super) fn check(&self) -> Outcome {
        require(self.hash.is_some() || self.jwt.is_some(), || "needs [hash], [jwt] or both".to_owned())?;
        self.hash.as_ref().map_or(Ok(()), HashFormat::check)?;
        self.jwt.as_ref().map_or(Ok(()), JwtFormat::check)
    }
}

impl HashFormat {
    fn check(&self) -> Outcome {
        require(!self.order.is_empty(), || "hash.order needs at least one of user_id, email".to_owned())?;
        distinct("hash.order", &self.order)
    }
}

impl JwtFormat {
    fn check(&self) -> Outcome {
        require(!self.algorithms.is_empty(), || "jwt.algorithms needs at least one".to_owned())?;
        distinct("jwt.algorithms", &self.algorithms)?;
        let empty = self.audiences.iter().find(|audience| audience.is_empty());
        refuse(empty, |_| "jwt.audiences has an empty one".to_owned())?;
        distinct("jwt.audiences", &self.audiences)?;
        require(self.max_ttl_secs != Some(0), || "jwt.max_ttl_secs must be at least 1".to_owned())?;
        self.check_fields()?;
        self.check_constants()?;
        self.check_attribute_names()?;
        self.check_places()?;
        require(self.claims.contains_key(&Field::Companies) == self.company.is_some(), || {
            "jwt.claims.companies and [jwt.company] need each other".to_owned()
        })?;
        self.company.as_ref().map_or(Ok(()), CompanyFormat::check)
    }

    fn check_fields(&self) -> Outcome {
        require(SubjectKind::ALL.into_iter().any(|kind| self.claims.contains_key(&kind.field())), || {
            "jwt.claims needs an identifier: user_id, email or both".to_owned()
        })?;
        for (key, groups) in [("jwt.require", &self.require), ("jwt.exactly_one", &self.exactly_one)] {
            for group in groups {
                require(!group.is_empty(), || format!("{key} has an empty group"))?;
                distinct(key, group)?;
                let unknown = group.iter().find(|field| !self.claims.contains_key(field));
                refuse(unknown, |field| format!("{key} names {}, which jwt.claims does not have", field.name()))?;
            }
        }
        for (field, max) in &self.max_chars {
            let key = format!("jwt.max_chars.{}", field.name());
            let text = match field {
                Field::CreatedAt | Field::Companies => false,
                Field::UserId | Field::Email | Field::Name | Field::ProfilePicture | Field::Locale => true,
            };
            require(text, || format!("{key} is about a field that is not text"))?;
            require(self.claims.contains_key(field), || {
                format!("{key} is about a field that jwt.claims does not have")
            })?;
            require(*max > 0, || format!("{key} must be at least 1"))?;
        }
        Ok(())
    }

    fn check_constants(&self) -> Outcome {
        for (name, value) in &self.constants {
            let key = format!("jwt.constants.{name}");
            require(!holds_datetime(value), || format!("{key} has a date of TOML; write it as text or as a number"))?;
            require(is_stable(value), || {
                format!("{key} has a number that JSON readers differ on: finite, within ±(2^53−1), 2 and not 2.0")
            })?;
        }
        Ok(())
    }

    fn check_attribute_names(&self) -> Outcome {
        for name in self.attribute_claims.keys() {
            let key = format!("jwt.attribute_claims.{name}");
            require(!name.is_empty(), || "jwt.attribute_claims has an empty name".to_owned())?;
            require(Field::named(name).is_none(), || format!("{key} is a field; it belongs into jwt.claims"))?;
            require(!self.reserves_anywhere(name), || format!("{key} is of a name that no attribute can have"))?;
        }
        Ok(())
    }

    fn check_places(&self) -> Outcome {
        let member = |key: &str, name: &String| (key.to_owned(), Path(vec![name.clone()]));
        let mut claims: Vec<Claim> =
            self.claims.iter().map(|(field, path)| (format!("jwt.claims.{}", field.name()), path.clone())).collect();
        claims.extend(attributes("jwt", &self.attribute_claims));
        claims.extend(self.constants.keys().map(|name| member(&format!("jwt.constants.{name}"), name)));
        claims.extend(self.token_id.as_ref().map(|name| member("jwt.token_id", name)));
        claims.extend(self.expiry_text.as_ref().map(|name| member("jwt.expiry_text", name)));
        claims.push(member("jwt.provenance", &self.provenance));
        let here = self.attributes.as_ref().map(|path| ("jwt.attributes".to_owned(), path.clone()));
        for (key, path) in claims.iter().chain(&here) {
            let registered = path.0.first().filter(|first| REGISTERED.contains(&first.as_str()));
            // An identifier may be the subject, as RFC 7519 means it.
            let meant = match key.as_str() {
                "jwt.claims.user_id" | "jwt.claims.email" => path.name() == "sub",
                "jwt.token_id" => path.name() == "jti",
                _ => false,
            };
            refuse(registered.filter(|_| !meant), |name| format!("{key} lies on {name}, which RFC 7519 registers"))?;
        }
        check_apart(&claims, here.as_ref())
    }
}

impl CompanyFormat {
    fn check(&self) -> Outcome {
        require(self.claims.contains_key(&CompanyField::Id), || "jwt.company.claims needs id".to_owned())?;
        let unknown = self.require.iter().find(|field| !self.claims.contains_key(field));
        refuse(unknown, |field| {
            format!("jwt.company.require names {}, which jwt.company.claims does not have", field.name())
        })?;
        for name in self.attribute_claims.keys() {
            let key = format!("jwt.company.attribute_claims.{name}");
            require(!name.is_empty(), || "jwt.company.attribute_claims has an empty name".to_owned())?;
            require(CompanyField::ALL.into_iter().all(|field| field.name() != name), || {
                format!("{key} is a field; it belongs into jwt.company.claims")
            })?;
        }
        let member = |(field, name): (&CompanyField, &String)| {
            (format!("jwt.company.claims.{}", field.name()), Path(vec![name.clone()]))
        };
        let mut claims: Vec<Claim> = self.claims.iter().map(member).collect();
        claims.extend(attributes("jwt.company", &self.attribute_claims));
        let here = self.attributes.as_ref().map(|path| ("jwt.company.attributes".to_owned(), path.clone()));
        check_apart(&claims, here.as_ref())
    }
}

fn attributes<'p>(
    table: &str,
    claims: impl IntoIterator<Item = (&'p String, &'p Path)>,
) -> impl Iterator<Item = Claim> {
    claims.into_iter().map(move |(name, path)| (format!("{table}.attribute_claims.{name}"), path.clone()))
}

/// No claim is, or lies in, another; attributes may live around claims (`visitor` around `visitor.id`) but in none.
fn check_apart(claims: &[Claim], here: Option<&Claim>) -> Outcome {
    for (key, path) in claims {
        require(!path.0.is_empty(), || format!("{key} has an empty path"))?;
    }
    for (key, path) in claims.iter().chain(here) {
        require(path.0.iter().all(|member| !member.is_empty()), || format!("{key} has an empty name in its path"))?;
    }
    let mut rest = claims.iter();
    while let Some((key, path)) = rest.next() {
        let met = rest.clone().find(|(_, other)| path.0.starts_with(&other.0) || other.0.starts_with(&path.0));
        refuse(met, |(other, _)| format!("{key} and {other} lie on the same claim, or one in the other"))?;
    }
    let Some((key, here)) = here else { return Ok(()) };
    refuse(claims.iter().find(|(_, path)| here.0.starts_with(&path.0)), |(other, _)| format!("{key} lies in {other}"))
}

fn distinct<T: PartialEq>(key: &str, list: &[T]) -> Outcome {
    let mut rest = list.iter();
    while let Some(item) = rest.next() {
        require(!rest.as_slice().contains(item), || format!("{key} names one twice"))?;
    }
    Ok(())
}

/// How `toml` hands a date to serde.
const TOML_DATE: &str = "$__toml_private_datetime";

fn holds_datetime(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.contains_key(TOML_DATE) || members.values().any(holds_datetime),
        Value::Array(items) => items.iter().any(holds_datetime),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether every number is one that is read as it is written. TOML has no `null`: that is what became of a number that
/// is not finite.
fn is_stable(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Number(number) => number.as_f64().and_then(json::exact).is_some_and(|exact| exact == *number),
        Value::Object(members) => members.values().all(is_stable),
        Value::Array(items) => items.iter().all(is_stable),
        Value::Bool(_) | Value::String(_) => true,
    }
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Invalid::Meaning(what())) }
}

fn refuse<T>(found: Option<T>, what: impl FnOnce(T) -> String) -> Outcome {
    found.map_or(Ok(()), |found| Err(Invalid::Meaning(what(found))))
}
