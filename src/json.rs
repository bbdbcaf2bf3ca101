//! JSON as a token may hold it: one reading only. Members that come twice are refused, because two readers of the same
//! token could take different ones; serde_json takes the last.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::limits;

/// Reads a JSON object without duplicate members, at any level.
pub fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Strict>(bytes) {
        Ok(Strict(Value::Object(map))) => Some(map),
        Ok(_) | Err(_) => None,
    }
}

/// The number, if JSON readers in every language read the same one: finite, within ±(2^53−1), and an integer wherever
/// it is integral (`500`, never `500.0`).
#[must_use]
pub fn exact(number: f64) -> Option<Number> {
    #[expect(clippy::cast_precision_loss, reason = "2^53 − 1 is exact as f64")]
    let within = number.is_finite() && number.abs() <= limits::INTEGER as f64;
    if !within {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "integral and within ±2^53")]
    if number.fract() == 0.0 { Some(Number::from(number as i64)) } else { Number::from_f64(number) }
}

/// Whether every number in the value is one that [`exact`] would give.
#[must_use]
pub fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().and_then(exact).is_some(),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// The value with every integral number an integer; none where a number is not one that [`exact`] would give.
#[must_use]
pub fn canonical(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) => number.as_f64().and_then(exact).map(Value::Number),
        Value::Array(items) => items.iter().map(canonical).collect::<Option<_>>().map(Value::Array),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| Some((name.clone(), canonical(value)?)));
            members.collect::<Option<_>>().map(Value::Object)
        }
        Value::Null | Value::Bool(_) | Value::String(_) => Some(value.clone()),
    }
}

/// About how many bytes of memory the value takes: a list of zeros takes far more than it has characters.
#[must_use]
pub fn weight(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        // A member is a name, its value and its place in an index.
        Value::Object(members) => {
            members.iter().map(|(name, value)| 2 * size_of::<Value>() + name.len() + weight(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}

/// How many levels of lists and objects the value has.
#[must_use]
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Whether NUL (U+0000) is in any text of the value, names of members too.
#[must_use]
pub fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_read_one_way_or_not_at_all() {
        assert_eq!(
            object(br#" {"a":[1,2.5,null,"x"],"b":{}} "#),
            json!({"a":[1,2.5,null,"x"],"b":{}}).as_object().cloned()
        );
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"[{"a":1,"a":2}]"#,
            "[]",
            "1",
            "{} x",
            "{",
            "",
            r#"{"a":NaN}"#,
            r#"{"a":1e400}"#,
        ] {
            assert_eq!(object(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(object(deep.as_bytes()), None);
    }

    #[test]
    fn integral_numbers_are_integers_and_the_rest_is_bounded() {
        assert_eq!(exact(500.0).map(|n| n.to_string()).as_deref(), Some("500"));
        assert_eq!(exact(-0.5).map(|n| n.to_string()).as_deref(), Some("-0.5"));
        assert_eq!(exact(9_007_199_254_740_991.0).map(|n| n.to_string()).as_deref(), Some("9007199254740991"));
        for bad in [f64::NAN, f64::INFINITY, 9_007_199_254_740_992.0, -1e300] {
            assert_eq!(exact(bad), None, "{bad}");
        }
    }
}
