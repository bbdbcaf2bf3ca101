//! From an identity to claims.

use serde_json::{Map, Value};
use time::UtcDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use super::{CompanyFormat, JwtFormat, TimeFormat};
use crate::identity::{Company, CompanyField, Field, Identity};

/// ISO 8601 with three fractional digits, as JavaScript's `Date` writes it.
const ISO_8601: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

impl JwtFormat {
    /// The claims of the identity, constants included, registered claims not.
    #[must_use]
    pub fn write(&self, identity: &Identity) -> Map<String, Value> {
        let mut claims = Map::new();
        for (name, value) in &self.constants {
            claims.insert(name.clone(), value.clone());
        }
        for (field, path) in &self.claims {
            if let Some(value) = self.field(*field, identity) {
                put(&mut claims, &path.0, value);
            }
        }
        for (name, value) in &identity.attributes {
            if let Some(path) = self.attribute_path(name) {
                put(&mut claims, &path, value.clone());
            }
        }
        claims
    }

    fn field(&self, field: Field, identity: &Identity) -> Option<Value> {
        match field {
            Field::CreatedAt => identity.created_at.map(|at| self.time.write(at)),
            Field::Companies => self.companies(&identity.companies),
            Field::UserId | Field::Email | Field::Name | Field::ProfilePicture | Field::Locale => {
                identity.text(field).map(Value::from)
            }
        }
    }

    fn companies(&self, companies: &[Company]) -> Option<Value> {
        let format = self.company.as_ref()?;
        let mut written = companies.iter().map(|company| Value::Object(format.write(company, self.time)));
        if format.single { written.next() } else { (written.len() > 0).then(|| written.collect()) }
    }
}

impl CompanyFormat {
    fn write(&self, company: &Company, time: TimeFormat) -> Map<String, Value> {
        let mut claims = Map::new();
        for (field, claim) in &self.claims {
            let value = match field {
                CompanyField::Id => Some(Value::from(company.id.as_str())),
                CompanyField::Name => company.name.as_deref().map(Value::from),
                CompanyField::MonthlySpend => company.monthly_spend.clone().map(Value::Number),
                CompanyField::CreatedAt => company.created_at.map(|at| time.write(at)),
            };
            if let Some(value) = value {
                claims.insert(claim.clone(), value);
            }
        }
        for (name, value) in &company.attributes {
            if let Some(path) = self.attribute_path(name) {
                put(&mut claims, &path, value.clone());
            }
        }
        claims
    }
}

impl TimeFormat {
    /// The instant as a claim.
    #[must_use]
    pub fn write(self, at: UtcDateTime) -> Value {
        match self {
            // Only an instant out of the format's range cannot be written, and ours are all within it.
            Self::Iso8601 => at.format(&ISO_8601).map_or(Value::Null, Value::String),
            Self::Unix => Value::from(at.unix_timestamp()),
            Self::UnixMillis => Value::from(at.unix_timestamp() * 1_000 + i64::from(at.millisecond())),
        }
    }
}

/// Sets the member at the path, making objects on the way.
fn put<M: AsRef<str>>(claims: &mut Map<String, Value>, path: &[M], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        claims.insert(first.as_ref().to_owned(), value);
        return;
    }
    let next = claims.entry(first.as_ref()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(next) = next {
        put(next, rest, value);
    }
}
