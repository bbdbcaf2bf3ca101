//! The address: a URL with placeholders in its path and its query. Whatever a value is, it stays one segment of the path
//! or one value of the query, and the host that is asked is always the one that was written.

use std::sync::Arc;
use std::time::Duration;

use countersign_claim_source::{Answer, Ask, Check, Template, Text, segment};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url};

/// A checked address.
pub(crate) struct Address {
    /// Scheme, host and path.
    path: Template,
    /// What stands behind the question mark.
    query: Option<Template>,
}

/// All but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Address {
    /// Reads `url`.
    pub(crate) fn check(text: &Text, check: &Check<'_>) -> Option<Self> {
        let written = check.url("url", text, &["http", "https"])?;
        let written = written.expose();
        let (authority, _) = split(written);
        let mistake = if authority.is_empty() {
            Some(("has no host", "http://HOST/PATH"))
        } else if authority.contains(['{', '}']) {
            Some(("has a placeholder in its host or port", "placeholders in the path and in the query only"))
        } else if authority.contains('@') {
            Some(("holds a user name or a password", "headers.authorization = { env = \"NAME\" }"))
        } else {
            None
        };
        if let Some((wrong, right)) = mistake {
            check.problem("url", wrong, right);
            return None;
        }
        let (path, query) = match written.split_once('?') {
            Some((path, query)) => (path, Some(check.template("url", query)?)),
            None => (written, None),
        };
        let address = Self { path: check.template("url", path)?, query };
        if address.fill(&sample(check)).is_ok_and(|url| is_sent_as_written(&url)) {
            return Some(address);
        }
        let right = "percent-encode what a URL cannot hold; no segment that is . or .., and no #";
        check.problem("url", "would be sent otherwise than it is written", right);
        None
    }

    /// Whether it is asked over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        Url::parse(self.path.prefix()).is_ok_and(|url| url.scheme() == "https")
    }

    /// The URL of an ask.
    pub(crate) fn fill(&self, ask: &Ask) -> Result<String, Answer> {
        let path = self.path.render(ask, segment)?;
        match &self.query {
            Some(query) => Ok(format!("{path}?{}", query.render(ask, query_value)?)),
            None => Ok(path),
        }
    }
}

/// Writes a value as one value of a query. An empty one is refused: a search for nothing finds anybody.
fn query_value(value: &str, into: &mut String) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("is empty, and a URL query needs it");
    }
    if value.chars().any(char::is_control) {
        return Err("has a control character, and stands in a URL query");
    }
    into.extend(utf8_percent_encode(value, RESERVED));
    Ok(())
}

/// What stands behind the scheme: user, host and port, and what is asked of them.
fn split(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// Whether a reader of URLs takes path and query for what they are. One that moves a step up, or makes `/` of `\`, would
/// take values along. A percent sign alone could make another character of a value's first letters.
fn is_sent_as_written(url: &str) -> bool {
    let (_, target) = split(url);
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let hex = |code: &str| code.len() > 1 && code.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    let whole = target.split('%').skip(1).all(hex);
    whole && Url::parse(url).is_ok_and(|parsed| parsed[Position::BeforePath..Position::AfterQuery] == target)
}

/// An ask in which everything is an `x`, which is no hexadecimal digit.
fn sample(check: &Check<'_>) -> Ask {
    Ask {
        application: "x".into(),
        user_id: Some("x".to_owned()),
        email: Some("x".to_owned()),
        known: check.needs().iter().map(|name| (name.clone(), "x".into())).collect(),
        wanted: Arc::default(),
        time: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_stays_one_value() {
        let one = |value: &str| {
            let mut text = String::new();
            query_value(value, &mut text).map(|()| text)
        };
        for (value, written) in [
            ("u1", "u1"),
            ("..", ".."),
            ("a&b=c", "a%26b%3Dc"),
            ("a+b c", "a%2Bb%20c"),
            ("a#b%26;", "a%23b%2526%3B"),
            ("zoë", "zo%C3%AB"),
        ] {
            assert_eq!(one(value).as_deref(), Ok(written), "{value}");
        }
        for value in ["", "a\nb", "a\0", "\u{85}"] {
            assert!(one(value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn what_a_reader_of_urls_would_change_is_not_as_written() {
        for good in
            ["http://h", "http://h:1/", "https://h/a%2Fb/x?c=x&d=%20", "http://h?x", "http://h/a//b", "http://h/..."]
        {
            assert!(is_sent_as_written(good), "{good}");
        }
        for bad in [
            "http://h/x/..",
            "http://h/x/%2e%2E/y",
            "http://h/x/./y",
            "http://h/a\\x",
            "http://h/x#y",
            "http://h/a b",
            "http://h/é",
            "http://h/%2x",
            "http://h/%x",
            "http://h/%",
            "http://h/?a=%2",
            "http://h/x\n",
            "http://h/x ",
        ] {
            assert!(!is_sent_as_written(bad), "{bad}");
        }
    }
}
