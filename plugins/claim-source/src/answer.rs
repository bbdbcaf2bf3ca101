//! What a source answers: found, absent, or why not.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// What a source answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The claims that it has. A wanted claim that is not among them is absent; so is one that is `null`.
    Found {
        /// By the names in `sets`. `companies` is a list of objects with `id`, `name`, `monthly_spend`, `created_at`
        /// (RFC 3339) and the company's attributes beside them.
        claims: Map<String, Value>,
        /// How long they stay fresh, if the source knows; zero: they are not to be kept at all.
        fresh_for: Option<Duration>,
    },
    /// It does not know the subject: every claim is absent.
    NotFound,
    /// It cannot answer now. The host may ask again.
    Unavailable(Why),
    /// It refuses to answer: this subject's claims, or us.
    Denied(Why),
    /// What it read is not what it should be.
    Malformed(Why),
    /// It needs this identifier or claim (its neutral name) to ask, and it is not there.
    Missing(String),
    /// This identifier or claim (its neutral name) has a value that cannot stand where the source has to write it.
    /// Nothing was sent.
    Unfit(String, Why),
}

/// What went wrong, for the operator's log: what happened and a code, never a value of a user, a secret or a text that
/// the other side wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why(Cow<'static, str>);

impl Why {
    /// What happened, with the code that the other side gave: `HTTP 503`. Of a code only letters and digits are taken,
    /// at most 16.
    #[must_use]
    pub fn code(what: &'static str, code: impl fmt::Display) -> Self {
        let code: String = code.to_string().chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        Self(format!("{what} {code}").into())
    }
}

impl From<&'static str> for Why {
    fn from(what: &'static str) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Answer {
    /// The claims, where there are any; absent otherwise.
    #[must_use]
    pub fn found(claims: Map<String, Value>) -> Self {
        if claims.is_empty() { Self::NotFound } else { Self::Found { claims, fresh_for: None } }
    }

    /// It cannot answer now.
    pub fn unavailable(why: impl Into<Why>) -> Self {
        Self::Unavailable(why.into())
    }

    /// It refuses to answer.
    pub fn denied(why: impl Into<Why>) -> Self {
        Self::Denied(why.into())
    }

    /// What it read is not what it should be.
    pub fn malformed(why: impl Into<Why>) -> Self {
        Self::Malformed(why.into())
    }
}
