//! What an application declares of its users' attributes. An attribute that is not declared does not exist.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, UtcDateTime};

use countersign_claim_source::Path;

use crate::expression::Expression;
use crate::identity::Field;
use crate::{json, limits};

/// The declared attributes of users or of companies.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// Custom attributes by name.
    pub custom: BTreeMap<String, Attribute>,
    /// What was written about neutral fields other than the user id; those that were not behave as [`Rule::default`].
    pub fields: BTreeMap<Field, Rule>,
    /// How values become what they are, by neutral name; those that nothing was written about come as they are.
    pub shapes: BTreeMap<String, Shape>,
}

/// How the value of an attribute or neutral field is made of what the origins give.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// What sources call it, where that is another name.
    pub rename: Option<String>,
    /// What of the source's value is meant.
    pub pick: Option<Path>,
    /// What it is where no origin has it.
    pub default: Option<Value>,
    /// What it is computed by, in place of origins.
    pub value: Option<Expression>,
    /// What has to be known before any origin is asked.
    pub needs: Vec<String>,
}

impl Shape {
    /// What sources call the claim.
    #[must_use]
    pub fn sources_name<'n>(&'n self, claim: &'n str) -> &'n str {
        self.rename.as_deref().unwrap_or(claim)
    }

    /// The claim's value, of what a source gives.
    #[must_use]
    pub fn take(&self, claim: &str, given: &Map<String, Value>) -> Option<Value> {
        let value = given.get(self.sources_name(claim)).filter(|value| !value.is_null())?;
        self.pick.as_ref().map_or_else(|| Some(value.clone()), |path| path.find(value))
    }
}

/// One custom attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its type.
    pub kind: Kind,
    /// How it is treated.
    pub rule: Rule,
}

/// How an attribute or neutral field is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Outside a JWT it is refused.
    pub secure: bool,
    /// Without it nothing is signed or accepted.
    pub required: bool,
    /// Where its value comes from: the first that has it.
    pub from: Vec<Origin>,
}

impl Default for Rule {
    /// What a neutral field follows that nothing was written about.
    fn default() -> Self {
        Self { secure: false, required: false, from: vec![Origin::Caller] }
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// What the request asserts.
    Caller,
    /// The claim source of that name.
    Source(String),
}

impl Origin {
    /// The name in the configuration and in a token's origins.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Caller => "caller",
            Self::Source(name) => name,
        }
    }
}

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// A number, finite and within ±(2^53−1).
    Number,
    /// True or false.
    Boolean,
    /// Text: an ISO 8601 date (`2025-05-19`) or RFC 3339 time (`2025-05-19T15:35:49Z`).
    Date,
    /// A JSON array.
    List,
    /// A JSON object.
    Object,
}

impl Kind {
    /// Every type with its name in the configuration.
    pub const ALL: [(&'static str, Self); 6] = [
        ("string", Self::String),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("date", Self::Date),
        ("list", Self::List),
        ("object", Self::Object),
    ];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::List => "list",
            Self::Object => "object",
        }
    }

    /// Whether the value is of this type and every number in it exact.
    #[must_use]
    pub fn fits(self, value: &Value) -> bool {
        json::is_exact(value)
            && match self {
                Self::String => value.is_string(),
                Self::Number => value.is_number(),
                Self::Boolean => value.is_boolean(),
                Self::Date => value.as_str().is_some_and(is_date),
                Self::List => value.is_array(),
                Self::Object => value.is_object(),
            }
    }
}

fn is_date(text: &str) -> bool {
    UtcDateTime::parse(text, &Rfc3339).is_ok() || (text.len() == 10 && Date::parse(text, &Iso8601::DATE).is_ok())
}

impl Attributes {
    /// How a neutral field is treated.
    #[must_use]
    pub fn rule(&self, field: Field) -> &Rule {
        static UNWRITTEN: LazyLock<Rule> = LazyLock::new(Rule::default);
        self.fields.get(&field).unwrap_or(&UNWRITTEN)
    }

    /// How a value is made; as it comes, where nothing was written.
    #[must_use]
    pub fn shape(&self, claim: &str) -> &Shape {
        static UNWRITTEN: LazyLock<Shape> = LazyLock::new(Shape::default);
        self.shapes.get(claim).unwrap_or(&UNWRITTEN)
    }

    /// Every neutral field but the user id, then every custom attribute, with its rule.
    pub fn rules(&self) -> impl Iterator<Item = (&str, &Rule)> {
        let fields = Field::ALL.into_iter().filter(|field| *field != Field::UserId);
        let fields = fields.map(|field| (field.name(), self.rule(field)));
        fields.chain(self.custom.iter().map(|(name, attribute)| (name.as_str(), &attribute.rule)))
    }

    /// What is wrong with an attribute's name or value whatever its type: the limit that it breaks.
    #[must_use]
    pub fn breach(name: &str, value: &Value) -> Option<String> {
        if name.is_empty() || name.len() > limits::ATTRIBUTE_NAME_BYTES {
            return Some(format!("a name has 1 to {} bytes", limits::ATTRIBUTE_NAME_BYTES));
        }
        if name.chars().any(char::is_control) {
            return Some("a name has no control characters".to_owned());
        }
        if json::depth(value) > limits::ATTRIBUTE_DEPTH {
            return Some(format!("at most {} levels of lists and objects", limits::ATTRIBUTE_DEPTH));
        }
        if json::holds_nul(value) {
            return Some("no NUL (U+0000)".to_owned());
        }
        if !json::is_exact(value) {
            return Some("numbers are finite and within ±(2^53−1)".to_owned());
        }
        (value.to_string().len() > limits::ATTRIBUTE_BYTES)
            .then(|| format!("at most {} bytes as JSON", limits::ATTRIBUTE_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_type_takes_its_own_values_and_no_null() {
        let good = [
            (Kind::String, json!("x")),
            (Kind::Number, json!(1.5)),
            (Kind::Boolean, json!(false)),
            (Kind::Date, json!("2025-05-19")),
            (Kind::Date, json!("2025-05-19T15:35:49.915Z")),
            (Kind::Date, json!("2025-05-19T15:35:49+02:00")),
            (Kind::List, json!([1, "x"])),
            (Kind::Object, json!({"a": null})),
        ];
        for (kind, value) in &good {
            assert!(kind.fits(value), "{kind:?} {value}");
        }
        let bad = [
            (Kind::String, json!(1)),
            (Kind::Number, json!("1")),
            (Kind::Number, json!(9_007_199_254_740_992_u64)),
            (Kind::Boolean, json!(0)),
            (Kind::Date, json!("yesterday")),
            (Kind::Date, json!("2025-02-30")),
            (Kind::Date, json!(1_747_000_000)),
            (Kind::List, json!({})),
            (Kind::Object, json!([])),
            (Kind::Object, json!({"a": 1e300})),
        ];
        for (kind, value) in &bad {
            assert!(!kind.fits(value), "{kind:?} {value}");
        }
        for (_, kind) in Kind::ALL {
            assert!(!kind.fits(&Value::Null), "{kind:?}");
        }
    }
}
