//! The operator's JSON Schema for the claims of an application's tokens: the last look before a token is signed. It is
//! read from one file and refers to nothing outside of it.

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::limits;

/// A claim schema.
pub struct Schema(Validator);

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

/// What a schema refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A claim that it requires is not there.
    Missing(String),
    /// A claim is not as it wants it; the keyword that says so. The claim is empty where all of them are meant.
    Wrong(String, String),
}

impl Schema {
    /// Reads a schema; what is wrong, without quoting it, where it is none.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > limits::SCHEMA_BYTES {
            return Err("is over 256 KiB");
        }
        let schema: Value = serde_json::from_str(text).map_err(|_quotes_text| "is not JSON")?;
        // Patterns in time that is linear in the text; nothing is fetched.
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex()).offline();
        options.build(&schema).map(Self).map_err(|_quotes_text| "is not a JSON Schema that stands alone")
    }

    /// What it refuses of the claims, each claim once.
    #[must_use]
    pub fn breaches(&self, claims: &Map<String, Value>) -> Vec<Breach> {
        let claims = Value::Object(claims.clone());
        let mut breaches = Vec::new();
        for error in self.0.iter_errors(&claims) {
            let path = error.instance_path().as_str().trim_start_matches('/');
            let claim = path.split('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
            let missing = if let ValidationErrorKind::Required { property } = error.kind() {
                property.as_str().filter(|_| claim.is_empty())
            } else {
                None
            };
            let breach = missing.map_or_else(
                || Breach::Wrong(claim, error.kind().keyword().to_owned()),
                |name| Breach::Missing(name.to_owned()),
            );
            if !breaches.contains(&breach) {
                breaches.push(breach);
            }
        }
        breaches
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_stands_alone_and_names_the_claim() {
        let schema = json!({
            "required": ["plan", "userId"],
            "properties": {"plan": {"enum": ["Free", "Gold"]}, "companies": {"items": {"required": ["id"]}}},
        });
        let schema = Schema::parse(&schema.to_string()).expect("a schema");
        let breaches = |claims: Value| schema.breaches(claims.as_object().expect("an object"));
        assert_eq!(breaches(json!({"plan": "Gold", "userId": "1"})), []);
        assert_eq!(breaches(json!({"plan": "Gold"})), [Breach::Missing("userId".to_owned())]);
        let wrong = |claim: &str, keyword: &str| Breach::Wrong(claim.to_owned(), keyword.to_owned());
        assert_eq!(breaches(json!({"plan": "x", "userId": "1"})), [wrong("plan", "enum")]);
        let companies = json!({"plan": "Free", "userId": "1", "companies": [{}, {}]});
        assert_eq!(breaches(companies), [wrong("companies", "required")]);
        let long = format!("{{\"description\": \"{}\"}}", "x".repeat(limits::SCHEMA_BYTES));
        let remote = r#"{"$ref": "http://127.0.0.1:1/schema.json"}"#;
        for bad in ["", "{", "[]", r#"{"type": "nothing"}"#, remote, r#"{"$ref": "file:///etc/passwd"}"#, &long] {
            assert!(Schema::parse(bad).is_err(), "{bad:.40}");
        }
    }
}
