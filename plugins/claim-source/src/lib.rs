//! The contract between Countersign and its claim sources.
//!
//! A claim source knows something about users: their plan, their companies. A *kind* of source is one crate that
//! implements [`SourceKind`]; the operator configures any number of sources of a kind. The kind does one thing: find the
//! claims of one subject. Everything else is the host's: deadlines, the total budget, retries, the cache, the breaker,
//! `on_error`, reserved claims, types.
//!
//! A kind never sees Countersign itself, and no other kind. `docs/writing-a-source.md` leads from nothing to a working
//! one; the feature `conformance` has the test suite that every kind passes.

mod answer;
mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "jsonpath")]
mod paths;
mod secret;
mod template;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::answer::{Answer, Why};
pub use self::check::{Check, ConfigProblem, Secrets};
#[cfg(feature = "jsonpath")]
pub use self::paths::{Path, Paths};
pub use self::secret::{Reference, Secret, Text};
pub use self::template::{Template, segment};
pub use self::tls::{Tls, TlsFiles};

/// A kind of claim source.
#[async_trait]
pub trait SourceKind: Send + Sync + 'static {
    /// The kind's name in the configuration: `kind = "static"`.
    const NAME: &'static str;

    /// The table `[sources.<name>.config]`. Use `deny_unknown_fields`, so that a typing error is found when the
    /// configuration is loaded. The comments of its fields are the reference.
    type Config: DeserializeOwned + JsonSchema;

    /// A configuration in which nothing is wrong: all that [`open`](Self::open) needs.
    type Checked: Send + 'static;

    /// Finds what is wrong with a configuration, all of it, and tells it to `check`. Does no IO of its own: secrets and
    /// files come from `check`. None where something is wrong.
    fn check(config: Self::Config, check: &Check<'_>) -> Option<Self::Checked>;

    /// Opens the source. A place that cannot be reached now is no reason to fail: it is *unavailable* when it is asked,
    /// and is connected to again by itself.
    async fn open(checked: Self::Checked) -> Result<Arc<dyn ClaimSource>, OpenError>;
}

/// An open claim source.
#[async_trait]
pub trait ClaimSource: Send + Sync {
    /// The claims of one subject. The host drops the call at its deadline, at any point where it waits: the next call
    /// must work as if that one had never been.
    async fn claims(&self, ask: &Ask) -> Answer;
}

/// What a source is asked.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The application's name.
    pub application: Arc<str>,
    /// The user id, where it is known.
    pub user_id: Option<String>,
    /// The e-mail address, where it is known.
    pub email: Option<String>,
    /// Claims that are known already, by their neutral names: those that the source's `needs` name.
    pub known: Map<String, Value>,
    /// The claims that are wanted, by the names in `sets`; more are ignored.
    pub wanted: Arc<[String]>,
    /// How long the host waits for the answer.
    pub time: Duration,
}

impl Ask {
    /// The text of an identifier or of a known claim; none where it is not there, or is a list or an object.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        match name {
            "application" => Some(self.application.as_ref().to_owned()),
            "user_id" => self.user_id.clone(),
            "email" => self.email.clone(),
            claim => match self.known.get(claim)? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(value) => Some(value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            },
        }
    }

    /// Whether the claim is wanted.
    #[must_use]
    pub fn wants(&self, claim: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted == claim)
    }
}

/// Why a source could not be opened. Holds no secret: it is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError(pub String);

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}
