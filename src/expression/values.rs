//! Values between JSON and CEL, and samples of each type.

use std::collections::BTreeMap;

use cel::Value as Cel;
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString};
use cel::common::value::Val;
use cel::objects::Key;
use serde_json::{Map, Number, Value, json};

use crate::attributes::Kind;
use crate::identity::Field;

/// A JSON value for CEL, which borrows its texts. A number is an `int` where it is integral and a `double` otherwise.
pub(super) fn to_cel(value: &Value) -> Box<dyn Val + '_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Box::new(CelInt::from(integer)),
            (None, Some(number)) => Box::new(CelDouble::from(number)),
            (None, None) => Box::new(CelNull),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(to_cel).collect::<Vec<_>>())),
        Value::Object(members) => {
            let key = |name| CelMapKey::String(CelString::from(name));
            #[expect(clippy::disallowed_types, reason = "it is CEL's own, and nothing takes its order")]
            let members: std::collections::HashMap<_, _> =
                members.iter().map(|(name, value)| (key(name.as_str()), to_cel(value))).collect();
            Box::new(CelMap::from(members))
        }
    }
}

/// What JSON has of CEL's values, the members of objects by name; none where it has no word for one.
pub(super) fn from_cel(value: Cel) -> Option<Value> {
    Some(match value {
        Cel::Null => Value::Null,
        Cel::Bool(value) => Value::Bool(value),
        Cel::Int(integer) => Value::from(integer),
        Cel::UInt(integer) => Value::from(integer),
        Cel::Float(number) => Value::Number(Number::from_f64(number)?),
        Cel::String(text) => Value::from(text.as_str()),
        Cel::List(items) => Value::Array(items.iter().cloned().map(from_cel).collect::<Option<_>>()?),
        Cel::Map(members) => {
            let member = |(key, value): (&Key, &Cel)| match key {
                Key::String(name) => Some((name.as_str().to_owned(), from_cel(value.clone())?)),
                Key::Int(_) | Key::Uint(_) | Key::Bool(_) => None,
            };
            let members: BTreeMap<_, _> = members.map.iter().map(member).collect::<Option<_>>()?;
            Value::Object(Map::from_iter(members))
        }
        Cel::Function(..) | Cel::Bytes(_) | Cel::Opaque(_) | Cel::Struct(_) => return None,
    })
}

/// A value of the type. What is in lists and objects is not known, except in companies.
pub(super) fn sample(name: &str, kind: Kind) -> Value {
    if name == Field::Companies.name() {
        return json!([{"id": "c1", "name": "sample", "monthly_spend": 1, "created_at": "2026-01-01T00:00:00Z"}]);
    }
    match kind {
        Kind::String => json!("sample"),
        Kind::Number => json!(1),
        Kind::Boolean => json!(true),
        Kind::Date => json!("2026-01-01"),
        Kind::List => json!([]),
        Kind::Object => json!({}),
    }
}
