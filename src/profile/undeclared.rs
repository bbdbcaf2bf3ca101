//! The members of a payload that nobody declared.

use serde_json::{Map, Value};

use super::{CompanyFormat, JwtFormat, REGISTERED};
use crate::attributes::Attributes;

/// What is known of an object's members, as paths from it.
struct Known<'k> {
    claims: Vec<Vec<&'k str>>,
    /// Where custom attributes live: known itself, while what is in it has to be among `claims`.
    attributes: Option<Vec<&'k str>>,
}

impl JwtFormat {
    /// The paths of the members that neither the format nor the application knows.
    pub(super) fn undeclared(&self, claims: &Map<String, Value>, declared: &Attributes) -> Vec<String> {
        let own = [&self.provenance].into_iter().chain(&self.token_id).chain(&self.expiry_text);
        let members = own.chain(self.constants.keys()).map(String::as_str).chain(REGISTERED);
        let known = Known {
            claims: members
                .map(|member| vec![member])
                .chain(self.claims.values().map(|path| path.members().collect()))
                .chain(declared.custom.keys().filter_map(|name| self.attribute_path(name)))
                .collect(),
            attributes: self.attributes.as_ref().map(|path| path.members().collect()),
        };
        let mut found = Vec::new();
        known.walk(claims, "", &mut found);
        found
    }
}

impl CompanyFormat {
    /// The same for a company, whose name in messages is the prefix.
    pub(super) fn undeclared(
        &self,
        company: &Map<String, Value>,
        declared: &Attributes,
        prefix: &str,
        found: &mut Vec<String>,
    ) {
        let known = Known {
            claims: self
                .claims
                .values()
                .map(|member| vec![member.as_str()])
                .chain(declared.custom.keys().filter_map(|name| self.attribute_path(name)))
                .collect(),
            attributes: self.attributes.as_ref().map(|path| path.members().collect()),
        };
        known.walk(company, prefix, found);
    }
}

impl<'k> Known<'k> {
    /// Looks into the objects on the way to what is known, and into no others: they are reported, or known, whole.
    fn walk(&self, members: &Map<String, Value>, prefix: &str, found: &mut Vec<String>) {
        for (name, value) in members {
            let below = self.below(name);
            if below.claims.iter().any(Vec::is_empty) {
                continue;
            }
            let path = format!("{prefix}{name}");
            if below.claims.is_empty() && below.attributes.is_none() {
                found.push(path);
            } else if let Value::Object(members) = value {
                below.walk(members, &format!("{path}."), found);
            }
        }
    }

    /// What is known of the member of that name.
    fn below(&self, name: &str) -> Self {
        let rest = |path: &Vec<&'k str>| match path.split_first() {
            Some((first, rest)) if *first == name => Some(rest.to_vec()),
            Some(_) | None => None,
        };
        Self {
            claims: self.claims.iter().filter_map(rest).collect(),
            attributes: self.attributes.as_ref().and_then(rest),
        }
    }
}
