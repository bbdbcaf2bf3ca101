//! Where claims lie: their names in messages, the places of custom attributes, and which names these cannot have.

use std::collections::BTreeMap;

use super::{CompanyFormat, JwtFormat, Path, REGISTERED};
use crate::identity::Field;

impl JwtFormat {
    /// Whether an attribute cannot have the name: RFC 7519, the format or Countersign needs it, or it is taken in the
    /// place where the attribute would live.
    #[must_use]
    pub fn reserves(&self, name: &str) -> bool {
        self.reserves_anywhere(name)
            || !self.attribute_claims.contains_key(name)
                && is_taken(name, self.attributes.as_ref(), self.claims.values().chain(self.attribute_claims.values()))
    }

    /// Whether the name is reserved wherever the attribute lives.
    pub(super) fn reserves_anywhere(&self, name: &str) -> bool {
        REGISTERED.contains(&name)
            || name == self.provenance
            // Whatever a format calls it.
            || name == "countersign"
            || self.constants.contains_key(name)
            || self.token_id.as_deref() == Some(name)
            || self.expiry_text.as_deref() == Some(name)
            || self.claims.get(&Field::UserId).is_some_and(|path| path.0.as_slice() == [name.to_owned()])
    }

    /// Whether there is a place for an attribute of that name.
    #[must_use]
    pub fn has_place_for(&self, name: &str) -> bool {
        self.attributes.is_some() || self.attribute_claims.contains_key(name)
    }

    /// Whether the text is short enough for the field.
    #[must_use]
    pub fn takes(&self, field: Field, text: &str) -> bool {
        self.max_chars.get(&field).is_none_or(|max| text.chars().count() <= *max)
    }

    /// The claim that is fresh in every token: the format's own, else `jti`.
    #[must_use]
    pub fn token_id_claim(&self) -> &str {
        self.token_id.as_deref().unwrap_or("jti")
    }

    /// The claim of a neutral field, for messages.
    #[must_use]
    pub fn claim_name(&self, field: Field) -> String {
        self.claims.get(&field).map_or_else(|| field.name().to_owned(), Path::name)
    }

    /// The claim of a custom attribute, for messages.
    #[must_use]
    pub fn attribute_name(&self, name: &str) -> String {
        self.attribute_path(name).map_or_else(|| name.to_owned(), |path| path.join("."))
    }

    /// Where the custom attribute of that name lives.
    pub(super) fn attribute_path<'p>(&'p self, name: &'p str) -> Option<Vec<&'p str>> {
        attribute_path(name, self.attributes.as_ref(), &self.attribute_claims)
    }

    /// The claims of a group of fields, for messages.
    #[must_use]
    pub fn group_name(&self, group: &[Field]) -> String {
        group.iter().map(|field| self.claim_name(*field)).collect::<Vec<_>>().join(" or ")
    }
}

impl CompanyFormat {
    /// Whether the name is taken in the place where a company's attribute of that name would live.
    #[must_use]
    pub fn reserves(&self, name: &str) -> bool {
        let here = self.attributes.as_ref();
        !self.attribute_claims.contains_key(name)
            && (is_taken(name, here, self.attribute_claims.values())
                || here.is_some_and(|path| path.0.is_empty()) && self.claims.values().any(|member| member == name))
    }

    /// Whether there is a place for an attribute of that name.
    #[must_use]
    pub fn has_place_for(&self, name: &str) -> bool {
        self.attributes.is_some() || self.attribute_claims.contains_key(name)
    }

    /// Where the custom attribute of that name lives.
    pub(super) fn attribute_path<'p>(&'p self, name: &'p str) -> Option<Vec<&'p str>> {
        attribute_path(name, self.attributes.as_ref(), &self.attribute_claims)
    }
}

/// Whether one of the claims is, or lies in, the member of that name in the place where attributes live.
fn is_taken<'p>(name: &str, here: Option<&Path>, mut claims: impl Iterator<Item = &'p Path>) -> bool {
    let here = here.map_or(&[][..], |path| &path.0);
    claims.any(|path| path.0.strip_prefix(here).and_then(<[String]>::first).is_some_and(|member| member == name))
}

fn attribute_path<'p>(
    name: &'p str,
    here: Option<&'p Path>,
    elsewhere: &'p BTreeMap<String, Path>,
) -> Option<Vec<&'p str>> {
    if let Some(path) = elsewhere.get(name) {
        return Some(path.members().collect());
    }
    Some(here?.members().chain([name]).collect())
}
