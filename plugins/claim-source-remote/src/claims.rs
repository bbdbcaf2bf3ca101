//! The claims that a process found, read from JSON: an object with each member once.
//!
//! serde_json itself ends at 128 levels, and bytes are bounded by the message. Types are the host's to judge.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The members of a JSON object; none where it is anything else, or a member of it stands there twice: which of the two
/// is meant is for nobody to guess.
pub(crate) fn read(json: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let members = reader.deserialize_map(Members).ok()?;
    reader.end().ok()?;
    Some(members)
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with each member once")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = map.next_entry()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands there twice"));
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_read_with_its_types() {
        let json =
            r#" {"seats": 12, "rate": 0.1, "big": 9007199254740993, "companies": [{"id": "c1"}], "none": null} "#;
        let claims = json!({"seats": 12, "rate": 0.1, "big": 9_007_199_254_740_993_u64, "companies": [{"id": "c1"}], "none": null});
        assert_eq!(read(json.as_bytes()).map(Value::Object), Some(claims));
        assert_eq!(read(b"{}"), Some(Map::new()));
    }

    #[test]
    fn anything_else_is_not() {
        let texts: [&[u8]; 9] = [
            b"",
            b"null",
            b"[]",
            b"\"plan\"",
            b"{\"plan\":",
            b"{} {}",
            b"{plan: 1}",
            b"{\"plan\":\"\xff\"}",
            b"{\"plan\":NaN}",
        ];
        for text in texts {
            assert_eq!(read(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_claim_that_stands_twice_is_neither() {
        assert_eq!(read(br#"{"plan": "Gold", "plan": "Free"}"#), None);
        assert_eq!(read(br#"{"plan": "Gold", "pl\u0061n": "Gold"}"#), None, "escaped or not");
    }

    #[test]
    fn one_level_too_many_is_refused() {
        let nested = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(read(nested(127).as_bytes()).is_some());
        assert_eq!(read(nested(128).as_bytes()), None);
    }
}
