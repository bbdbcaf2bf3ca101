//! What the upstream answered, and the claims in it. The status says what it is, and the body has to be JSON whatever
//! `Content-Type` says: many servers send it wrong, and nothing but JSON can be read as it.

use std::collections::BTreeMap;

use countersign_claim_source::{Answer, Ask, Check, Path, Paths, Template, Why};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::connection::failed;
use crate::freshness::fresh_for;

/// How answers are read.
pub(crate) struct Reader {
    pub(crate) claims: Paths,
    pub(crate) sames: Sames,
    pub(crate) max_bytes: usize,
}

/// The most that `max_bytes` may be: 16 MiB.
const MOST_BYTES: usize = 16 << 20;

/// 1 MiB: the claims of a user have 16 KiB at most, and what stands beside them should not be many times that.
pub(crate) const fn default_bytes() -> usize {
    1 << 20
}

/// Checks `max_bytes`.
pub(crate) fn check_bytes(bytes: usize, check: &Check<'_>) {
    if !(1..=MOST_BYTES).contains(&bytes) {
        check.problem("max_bytes", "is out of its range", format!("1 to {MOST_BYTES}"));
    }
}

impl Reader {
    /// The answer that stands in the response to an ask.
    pub(crate) async fn read(&self, response: Response, expected: &[String], ask: &Ask) -> Result<Answer, Answer> {
        judge(response.status())?;
        let fresh_for = fresh_for(response.headers());
        let document = document(&self.bytes(response).await?)?;
        let claims = self.claims.pick(&document, ask);
        if !self.sames.hold(&document, expected, claims.is_empty()) {
            return Err(Answer::malformed("answered for somebody else"));
        }
        Ok(if claims.is_empty() { Answer::NotFound } else { Answer::Found { claims, fresh_for } })
    }

    /// The whole body, as far as it is not too large.
    async fn bytes(&self, mut response: Response) -> Result<Vec<u8>, Answer> {
        let too_large = || Answer::malformed("answered with more than max_bytes");
        if response
            .content_length()
            .is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > self.max_bytes))
        {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > self.max_bytes {
                return Err(too_large());
            }
        }
        Ok(bytes)
    }
}

/// What a status means (RFC 9110 section 15). 201 is here because some frameworks answer every POST with it.
fn judge(status: StatusCode) -> Result<(), Answer> {
    let why = |what| Why::code(what, status.as_u16());
    Err(match status.as_u16() {
        200 | 201 | 203 => return Ok(()),
        204 | 404 | 410 => Answer::NotFound,
        401 | 403 => Answer::denied(why("answered HTTP")),
        408 | 425 | 429 | 500..=599 => Answer::unavailable(why("answered HTTP")),
        300..=399 => Answer::malformed(why("redirects to where it is not followed: HTTP")),
        _ => Answer::malformed(why("answered HTTP")),
    })
}

/// The body as JSON, at most 127 levels deep, which is serde_json's limit.
fn document(bytes: &[u8]) -> Result<Value, Answer> {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
        return Err(Answer::malformed("answered what is not JSON"));
    };
    match &document {
        Value::Null => Err(Answer::NotFound),
        // What is missing in a GraphQL answer with errors is not absent (October 2021, section 7.1).
        Value::Object(members)
            if members.get("errors").and_then(Value::as_array).is_some_and(|errors| !errors.is_empty()) =>
        {
            Err(Answer::unavailable("answered with errors, as GraphQL does"))
        }
        Value::Object(_) | Value::Array(_) => Ok(document),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(Answer::malformed("answered JSON that is neither an object nor a list"))
        }
    }
}

/// What an answer repeats of the ask, and where.
pub(crate) struct Sames(Vec<(Template, Path)>);

impl Sames {
    /// Reads `same`.
    pub(crate) fn check(written: &BTreeMap<String, String>, check: &Check<'_>) -> Option<Self> {
        let mut sames = Vec::new();
        for (name, path) in written {
            let key = format!("same.{name}");
            let template = check.template(&key, &format!("{{{name}}}"));
            let path = Path::parse(path);
            if path.is_none() {
                check.problem(&key, "is not a path that can be read", Path::RIGHT);
            }
            sames.extend(template.zip(path));
        }
        (sames.len() == written.len()).then_some(Self(sames))
    }

    /// The texts of an ask that the answer has to repeat.
    pub(crate) fn fill(&self, ask: &Ask) -> Result<Vec<String>, Answer> {
        let as_it_is = |value: &str, into: &mut String| {
            into.push_str(value);
            Ok(())
        };
        self.0.iter().map(|(template, _)| template.render(ask, as_it_is)).collect()
    }

    /// Whether the document repeats these texts. One that is not there is right only where no claim is there either.
    fn hold(&self, document: &Value, expected: &[String], nothing: bool) -> bool {
        let mut pairs = self.0.iter().zip(expected);
        pairs.all(|((template, path), expected)| {
            let any_case = template.single() == Some("email");
            path.find(document).map_or(nothing, |found| is(&found, expected, any_case))
        })
    }
}

/// Whether a value is this text, or a list of nothing else.
fn is(found: &Value, expected: &str, any_case: bool) -> bool {
    match found {
        Value::String(text) if any_case => text.eq_ignore_ascii_case(expected),
        Value::String(text) => text == expected,
        Value::Number(number) => number.to_string() == expected,
        Value::Array(items) => !items.is_empty() && items.iter().all(|item| is(item, expected, any_case)),
        Value::Null | Value::Bool(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_is_the_same_by_text() {
        for (found, expected, any_case, same) in [
            (json!("u1"), "u1", false, true),
            (json!([]), "u1", false, false),
            (json!([[]]), "u1", false, false),
            (json!([["u1"], "u1"]), "u1", false, true),
            (json!("U1"), "u1", false, false),
            (json!("Ada@b.example"), "ada@B.example", true, true),
            (json!(7), "7", false, true),
            (json!(7.0), "7", false, false),
            (json!(["u1", "u1"]), "u1", false, true),
            (json!(["u1", "u2"]), "u1", false, false),
            (json!({"id": "u1"}), "u1", false, false),
            (json!(true), "true", false, false),
        ] {
            assert_eq!(is(&found, expected, any_case), same, "{found}");
        }
    }
}
