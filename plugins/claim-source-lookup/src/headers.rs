//! Headers: text, one placeholder, or a secret by reference. A header's value has no escape, so nothing stands beside a
//! placeholder that a value could be taken for a part of, and what a header cannot carry as it is, is not sent.

use std::collections::BTreeMap;

use countersign_claim_source::{Answer, Ask, Check, Text};
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};

/// Checked headers.
pub(crate) struct Headers {
    fixed: HeaderMap,
    /// Header by header, the identifier or claim that is its value.
    filled: Vec<(HeaderName, String)>,
}

/// Headers that say how the message is framed, sent or encoded (RFC 9110 sections 6 to 8 and 10.1): the client's.
const OURS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that hold nothing but a secret.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

impl Headers {
    /// Reads `headers`.
    pub(crate) fn check(written: &BTreeMap<String, Text>, check: &Check<'_>) -> Option<Self> {
        let mut headers = Self { fixed: HeaderMap::new(), filled: Vec::new() };
        let mut names = Vec::new();
        let mut whole = true;
        for (written, text) in written {
            let key = format!("headers.{written}");
            match name(written, &names) {
                Ok(name) => {
                    names.push(name.clone());
                    whole &= headers.add(&key, name, text, check).is_some();
                }
                Err((wrong, right)) => {
                    check.problem(&key, wrong, right);
                    whole = false;
                }
            }
        }
        headers.fixed.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        whole.then_some(headers)
    }

    fn add(&mut self, key: &str, name: HeaderName, text: &Text, check: &Check<'_>) -> Option<()> {
        let secret = "{ env = \"NAME\" } or { file = \"PATH\" }: a secret is not written here";
        let value = match text {
            Text::Reference(reference) => check.secret(key, reference)?.expose().to_owned(),
            Text::Plain(_) if SECRET.contains(&name.as_str()) => {
                check.problem(key, "holds a secret", secret);
                return None;
            }
            Text::Plain(text) => {
                let template = check.template(key, text)?;
                if let Some(placeholder) = template.single() {
                    self.filled.push((name, placeholder.to_owned()));
                    return Some(());
                }
                if template.names().next().is_some() {
                    let right = "one placeholder and nothing else, or put it in the url or in the body";
                    check.problem(key, "has a placeholder beside other text", right);
                    return None;
                }
                template.prefix().to_owned()
            }
        };
        let Ok(mut value) = carried(&value) else {
            check.problem(key, "is not what a header can carry", "visible ASCII, with spaces only between");
            return None;
        };
        value.set_sensitive(matches!(text, Text::Reference(_)));
        self.fixed.insert(name, value);
        Some(())
    }

    /// Those that are the same for every ask.
    pub(crate) fn fixed(&self) -> HeaderMap {
        self.fixed.clone()
    }

    /// Those that hold values of an ask.
    pub(crate) fn fill(&self, ask: &Ask) -> Result<HeaderMap, Answer> {
        let mut headers = HeaderMap::new();
        for (name, placeholder) in &self.filled {
            let value = ask.text(placeholder).ok_or_else(|| Answer::Missing(placeholder.clone()))?;
            let value = carried(&value).map_err(|why| Answer::Unfit(placeholder.clone(), why.into()))?;
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

/// The name as HTTP has it; else what is wrong and what would be right.
fn name(written: &str, before: &[HeaderName]) -> Result<HeaderName, (&'static str, &'static str)> {
    let Ok(name) = HeaderName::from_bytes(written.as_bytes()) else {
        return Err(("is not the name of a header", "letters, digits and dashes"));
    };
    if OURS.contains(&name.as_str()) {
        return Err(("is a header that the client writes", "remove it"));
    }
    if before.contains(&name) {
        return Err(("is there twice", "write it once: small and capital letters are the same"));
    }
    Ok(name)
}

/// The value as a header carries it (RFC 9110 section 5.5): a reader takes spaces away from both ends, and reads what is
/// beyond ASCII in more than one way.
fn carried(value: &str) -> Result<HeaderValue, &'static str> {
    if value.is_empty() {
        return Err("is empty, and a header needs it");
    }
    let outer = value.starts_with(' ') || value.ends_with(' ');
    let visible = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let carried = HeaderValue::from_str(value).ok().filter(|_| visible && !outer);
    carried.ok_or("has a character that a header cannot carry")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_carries_visible_text() {
        for good in ["u1", "a b", "../admin", "o'brien", "a:b, c;d=\"e\""] {
            assert!(carried(good).is_ok_and(|value| value == good), "{good}");
        }
        for bad in ["", " a", "a ", "a\r\nx-admin: 1", "a\nb", "a\tb", "a\0b", "\u{7f}", "zoë", "a\u{85}b"] {
            assert!(carried(bad).is_err(), "{bad:?}");
        }
    }
}
