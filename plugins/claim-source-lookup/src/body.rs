//! The body of a POST: JSON in which a placeholder is the whole of a string, as a GraphQL variable is. Inside a longer
//! string, such as a GraphQL query, nobody could say how a value has to be escaped.

use countersign_claim_source::{Check, Template};
use serde_json::Value;

/// Reads `body`.
pub(crate) fn check(text: &str, check: &Check<'_>) -> Option<Template> {
    // With its placeholders in it, it is JSON only if each of them stands inside a string.
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        check.problem("body", "is not JSON", "JSON with placeholders in strings: '{\"id\": \"{user_id}\"}'");
        return None;
    };
    if !placeholders_stand_alone(&document, check) {
        let right =
            "a string that is one placeholder, such as a GraphQL variable; else spaces in the braces: { email }";
        check.problem("body", "has a placeholder inside a longer string", right);
        return None;
    }
    check.body("body", text)
}

/// Writes a value as the inside of a JSON string (RFC 8259 section 7).
pub(crate) fn string(value: &str, into: &mut String) -> Result<(), &'static str> {
    let quoted = Value::from(value).to_string();
    into.push_str(quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default());
    Ok(())
}

fn placeholders_stand_alone(value: &Value, check: &Check<'_>) -> bool {
    let template = |text: &str| check.body("body", text);
    let has_none = |text: &str| template(text).is_some_and(|template| template.names().next().is_none());
    match value {
        Value::String(text) => has_none(text) || template(text).is_some_and(|template| template.single().is_some()),
        Value::Array(items) => items.iter().all(|item| placeholders_stand_alone(item, check)),
        Value::Object(members) => {
            members.iter().all(|(name, value)| has_none(name) && placeholders_stand_alone(value, check))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_inside_its_string() {
        for value in ["u1", "\" or 1=1", "\\", "\\\"", "a\nb\0\u{7f}", "zoë\u{2028}", "{user_id}", ""] {
            let mut text = "\"".to_owned();
            assert_eq!(string(value, &mut text), Ok(()));
            assert_eq!(serde_json::from_str::<String>(&(text + "\"")).ok().as_deref(), Some(value));
        }
    }
}
