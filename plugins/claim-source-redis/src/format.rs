//! How claims stand in Redis: as the fields of a hash, or as one JSON document in a string.

use countersign_claim_source::{Answer, Ask, Check, Paths};
use serde_json::{Map, Value};

use crate::config::{Config, Format};
use crate::failure::Failure;
use crate::resp::{Command, Reply};

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
    pub(crate) fn question(&self, key: &str, ask: &Ask) -> Option<Command> {
        match self {
            Self::Hash(fields) => {
                let names: Vec<_> = wanted(fields, ask).map(|field| field.name.as_str()).collect();
                let words: Vec<_> = ["HMGET", key].into_iter().chain(names.iter().copied()).collect();
                (!names.is_empty()).then(|| Command::new(&words))
            }
            Self::Json(_) => Some(Command::new(&["GET", key])),
        }
    }

    /// The wanted claims in the reply.
    pub(crate) fn answer(&self, reply: Reply, ask: &Ask) -> Answer {
        let claims = match (self, reply) {
            (_, Reply::Error(error)) => Err(Failure::answered(&error)),
            (Self::Hash(fields), Reply::List(replies)) => fields_of(replies, wanted(fields, ask)),
            (Self::Json(paths), Reply::Text(text)) => document(&text).map(|document| paths.pick(&document, ask)),
            (Self::Json(_), Reply::Nil) => return Answer::NotFound,
            (Self::Hash(_), _) | (Self::Json(_), Reply::List(_)) => {
                Err(Failure::malformed("the reply is of another kind"))
            }
        };
        claims.map_or_else(Answer::from, Answer::found)
    }
}

fn wanted<'f>(fields: &'f [Field], ask: &Ask) -> impl Iterator<Item = &'f Field> {
    fields.iter().filter(|field| ask.wants(&field.claim))
}

fn fields_of<'f>(replies: Vec<Reply>, fields: impl Iterator<Item = &'f Field>) -> Result<Map<String, Value>, Failure> {
    let fields: Vec<_> = fields.collect();
    if replies.len() != fields.len() {
        return Err(Failure::malformed("the reply has another number of fields"));
    }
    let mut claims = Map::new();
    for (field, reply) in fields.into_iter().zip(replies) {
        let value = match reply {
            Reply::Nil => continue,
            Reply::Text(text) if field.json => document(&text)?,
            Reply::Text(text) => Value::String(
                String::from_utf8(text).map_err(|_not_quoted| Failure::malformed("a field is not UTF-8"))?,
            ),
            Reply::List(_) | Reply::Error(_) => return Err(Failure::malformed("a field is of another kind")),
        };
        if !value.is_null() {
            claims.insert(field.claim.clone(), value);
        }
    }
    Ok(claims)
}

/// Reads JSON (RFC 8259), nested at most 127 deep: the library's own limit.
fn document(text: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(text).map_err(|_not_quoted| Failure::malformed("what should be JSON is none, or too deep"))
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

    fn text(text: &str) -> Reply {
        Reply::Text(text.as_bytes().to_vec())
    }

    fn found(claims: &Value) -> Answer {
        Answer::found(claims.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn only_the_fields_of_wanted_claims_are_asked_for() {
        let layout = layout(&json!({"claims": {"name": "full_name"}}));
        let asked = |wanted: &[&str]| layout.question("k", &ask(None, wanted)).map(|command| command.bytes);
        assert_eq!(asked(&["seats", "name"]), Some(Command::new(&["HMGET", "k", "full_name", "seats"]).bytes));
        assert_eq!(asked(&["name", "other"]), Some(Command::new(&["HMGET", "k", "full_name"]).bytes));
        assert_eq!(asked(&["other"]), None);
    }

    #[test]
    fn the_values_of_a_hash_are_texts_or_json() {
        let layout = layout(&json!({"json_claims": ["seats"]}));
        let answer =
            |name: Reply, seats: Reply| layout.answer(Reply::List(vec![name, seats]), &ask(None, &["name", "seats"]));
        assert_eq!(answer(text("12"), text("12")), found(&json!({"name": "12", "seats": 12})));
        assert_eq!(answer(text(""), text("[true]")), found(&json!({"name": "", "seats": [true]})));
        assert_eq!(answer(text("null"), text("null")), found(&json!({"name": "null"})));
        assert_eq!(answer(Reply::Nil, Reply::Nil), Answer::NotFound);
        let json = Answer::malformed("what should be JSON is none, or too deep");
        for bad in ["", "twelve", "1 2", "{\"a\":", &"[".repeat(128)] {
            assert_eq!(answer(text("Ada"), text(bad)), json, "{bad}");
        }
        assert!(matches!(
            answer(text("Ada"), text(&format!("{}{}", "[".repeat(127), "]".repeat(127)))),
            Answer::Found { .. }
        ));
        assert_eq!(answer(Reply::Text(vec![0xff]), Reply::Nil), Answer::malformed("a field is not UTF-8"));
        assert_eq!(answer(Reply::List(vec![]), Reply::Nil), Answer::malformed("a field is of another kind"));
    }

    #[test]
    fn a_reply_of_another_kind_is_malformed() {
        let wanted = ask(None, &["name", "seats"]);
        let hash = layout(&json!({}));
        for reply in [text("Ada"), Reply::Nil, Reply::List(vec![Reply::Nil]), Reply::List(vec![Reply::Nil; 3])] {
            assert!(matches!(hash.answer(reply.clone(), &wanted), Answer::Malformed(_)), "{reply:?}");
        }
        let document = layout(&json!({"format": "json"}));
        assert!(matches!(document.answer(Reply::List(vec![]), &wanted), Answer::Malformed(_)));
        assert_eq!(document.answer(Reply::Nil, &wanted), Answer::NotFound);
        assert_eq!(document.answer(text(r#"{"name":"Ada","seats":null}"#), &wanted), found(&json!({"name": "Ada"})));
        assert_eq!(document.answer(text("[]"), &wanted), Answer::NotFound);
    }
}
