//! How claims stand in Redis: as the fields of a hash, or as one JSON document in a string.

use countersign_claim_source::{Answer, Ask, Check, Paths};
use serde_json::{Map, Value};

use crate::config::{Config, Format};
use crate::question::{Question, Values};

/// How claims stand in Redis, and where.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    /// Claim by claim, the field of a hash.
    Hash(Vec<Field>),
    /// Claim by claim, where it stands in a JSON document.
    Json(Paths),
}

/// A claim in a hash.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    claim: String,
    name: String,
    /// Whether the field holds JSON; else it holds the text that the claim is.
    json: bool,
}

impl Layout {
    /// Reads which claims stand where. A claim of `sets` that is not mapped stands under its own name.
    pub(crate) fn read(config: &Config, check: &Check<'_>) -> Option<Self> {
        if config.format == Format::Json {
            if !config.json_claims.is_empty() {
                check.problem("json_claims", "is for hashes", "remove it: what a JSON document holds has its types");
            }
            return check.paths("claims", &config.claims).map(Self::Json);
        }
        check.undeclared("claims", config.claims.keys());
        check.undeclared("json_claims", config.json_claims.iter());
        let field = |claim: &String| Field {
            claim: claim.clone(),
            name: config.claims.get(claim).unwrap_or(claim).clone(),
            json: config.json_claims.contains(claim),
        };
        Some(Self::Hash(check.sets().iter().map(field).collect()))
    }

    /// What to ask for the wanted claims; none where no claim is wanted.
    pub(crate) fn question(&self, key: String, ask: &Ask) -> Option<Question> {
        match self {
            Self::Hash(fields) => {
                let names: Vec<_> = wanted(fields, ask).map(|field| field.name.clone()).collect();
                (!names.is_empty()).then_some(Question::Fields { key, names })
            }
            Self::Json(_) => Some(Question::Text { key }),
        }
    }

    /// The wanted claims in what stands there.
    pub(crate) fn answer(&self, values: Values, ask: &Ask) -> Answer {
        let claims = match self {
            Self::Hash(fields) => fields_of(values, wanted(fields, ask)),
            Self::Json(paths) => claims_in(values, |document| paths.pick(document, ask)),
        };
        claims.map_or_else(|no_claims| no_claims, Answer::found)
    }
}

fn wanted<'f>(fields: &'f [Field], ask: &Ask) -> impl Iterator<Item = &'f Field> {
    fields.iter().filter(|field| ask.wants(&field.claim))
}

fn fields_of<'f>(values: Values, fields: impl Iterator<Item = &'f Field>) -> Result<Map<String, Value>, Answer> {
    let fields: Vec<_> = fields.collect();
    if values.len() != fields.len() {
        return Err(Answer::malformed("the reply has another number of fields"));
    }
    let mut claims = Map::new();
    for (field, value) in fields.into_iter().zip(values) {
        let value = match value {
            None => continue,
            Some(text) if field.json => document(&text)?,
            Some(text) => {
                Value::String(String::from_utf8(text).map_err(|_not_quoted| Answer::malformed("a field is not UTF-8"))?)
            }
        };
        if !value.is_null() {
            claims.insert(field.claim.clone(), value);
        }
    }
    Ok(claims)
}

fn claims_in(values: Values, pick: impl FnOnce(&Value) -> Map<String, Value>) -> Result<Map<String, Value>, Answer> {
    let Some(text) = values.into_iter().flatten().next() else { return Ok(Map::new()) };
    match document(&text)? {
        Value::Null => Ok(Map::new()),
        document @ (Value::Object(_) | Value::Array(_)) => Ok(pick(&document)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(Answer::malformed("the JSON is neither an object nor a list"))
        }
    }
}

/// Reads JSON (RFC 8259), nested at most 127 deep: the library's own limit.
fn document(text: &[u8]) -> Result<Value, Answer> {
    serde_json::from_slice(text).map_err(|_not_quoted| Answer::malformed("what should be JSON is none, or too deep"))
}

#[cfg(test)]
mod tests {
    use countersign_claim_source::conformance::{ask, check};
    use serde_json::json;

    use super::*;
    use crate::Redis;

    fn layout(config: &Value) -> Layout {
        let mut whole = json!({"url": "redis://cache.example", "key": "user:{user_id}"});
        whole.as_object_mut().expect("a table").extend(config.as_object().cloned().expect("a table"));
        check::<Redis>(whole, &["name", "seats"], &[]).expect("no problem").layout
    }

    fn text(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    fn found(claims: &Value) -> Answer {
        Answer::found(claims.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn only_the_fields_of_wanted_claims_are_asked_for() {
        let layout = layout(&json!({"claims": {"name": "full_name"}}));
        let fields = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            Some(Question::Fields { key: "k".to_owned(), names })
        };
        let asked = |wanted: &[&str]| layout.question("k".to_owned(), &ask(None, wanted));
        assert_eq!(asked(&["seats", "name"]), fields(&["full_name", "seats"]));
        assert_eq!(asked(&["name", "other"]), fields(&["full_name"]));
        assert_eq!(asked(&["other"]), None);
    }

    #[test]
    fn the_values_of_a_hash_are_texts_or_json() {
        let layout = layout(&json!({"json_claims": ["seats"]}));
        let answer = |name: Option<Vec<u8>>, seats: Option<Vec<u8>>| {
            layout.answer(vec![name, seats], &ask(None, &["name", "seats"]))
        };
        assert_eq!(answer(text("12"), text("12")), found(&json!({"name": "12", "seats": 12})));
        assert_eq!(answer(text(""), text("[true]")), found(&json!({"name": "", "seats": [true]})));
        assert_eq!(answer(text("null"), text("null")), found(&json!({"name": "null"})));
        assert_eq!(answer(None, None), Answer::NotFound);
        let json = Answer::malformed("what should be JSON is none, or too deep");
        for bad in ["", "twelve", "1 2", "{\"a\":", &"[".repeat(128)] {
            assert_eq!(answer(text("Ada"), text(bad)), json, "{bad}");
        }
        assert!(matches!(
            answer(text("Ada"), text(&format!("{}{}", "[".repeat(127), "]".repeat(127)))),
            Answer::Found { .. }
        ));
        assert_eq!(answer(Some(vec![0xff]), None), Answer::malformed("a field is not UTF-8"));
    }

    #[test]
    fn a_reply_of_another_number_of_fields_is_malformed() {
        let hash = layout(&json!({}));
        for values in [vec![], vec![text("Ada")], vec![None; 3]] {
            let answer = hash.answer(values.clone(), &ask(None, &["name", "seats"]));
            assert_eq!(answer, Answer::malformed("the reply has another number of fields"), "{values:?}");
        }
    }

    #[test]
    fn a_document_is_an_object_or_a_list() {
        let layout = layout(&json!({"format": "json"}));
        let answer = |document: Option<Vec<u8>>| layout.answer(vec![document], &ask(None, &["name", "seats"]));
        assert_eq!(answer(text(r#"{"name":"Ada","seats":null}"#)), found(&json!({"name": "Ada"})));
        assert_eq!(answer(None), Answer::NotFound);
        for absent in ["[]", "{}", "null"] {
            assert_eq!(answer(text(absent)), Answer::NotFound, "{absent}");
        }
        for bad in ["\"Gold\"", "12", "true", "Gold"] {
            assert!(matches!(answer(text(bad)), Answer::Malformed(_)), "{bad}");
        }
    }
}
