//! The contract between Countersign and its claim sources.
//!
//! A claim source knows something about users: their plan, their companies. A *kind* of source is one crate that
//! implements [`SourceKind`]; the operator configures any number of sources of a kind. The kind does one thing: find the
//! claims of one subject. Everything else is the host's: deadlines, the total budget, `on_error`, reserved claims, types.
//!
//! A kind never sees Countersign itself, and no other kind.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A kind of claim source.
#[async_trait]
pub trait SourceKind: Send + Sync + 'static {
    /// The kind's name in the configuration: `kind = "static"`.
    const NAME: &'static str;

    /// The table `[sources.<name>.config]`. Use `deny_unknown_fields`, so that a typing error is found when the
    /// configuration is loaded.
    type Config: DeserializeOwned + Send + Sync + 'static;

    /// Finds what is wrong with a configuration, all of it, without any IO. `sets` are the claims that the operator
    /// says this source sets.
    fn validate(config: &Self::Config, sets: &[String]) -> Vec<ConfigProblem>;

    /// Opens the source: connections, files.
    async fn open(config: Self::Config) -> Result<Arc<dyn ClaimSource>, OpenError>;
}

/// An open claim source.
#[async_trait]
pub trait ClaimSource: Send + Sync {
    /// The claims of one subject. The host ends the call at its deadline; nothing is lost when it is dropped.
    async fn claims(&self, ask: &Ask) -> Answer;
}

/// What a source is asked.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The application's name.
    pub application: String,
    /// The user id, where it is known.
    pub user_id: Option<String>,
    /// The e-mail address, where it is known.
    pub email: Option<String>,
    /// The claims that are wanted, by their neutral names; more are ignored.
    pub wanted: Vec<String>,
}

/// What a source answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The claims that it has. A wanted claim that is not among them is absent; so is one that is `null`.
    Found {
        /// By neutral name. `companies` is a list of objects with `id`, `name`, `monthly_spend`, `created_at`
        /// (RFC 3339) and the company's attributes beside them.
        claims: Map<String, Value>,
        /// How long they stay fresh, if the source knows.
        fresh_for: Option<Duration>,
    },
    /// It does not know the subject: every claim is absent.
    NotFound,
    /// It cannot answer now.
    Unavailable,
    /// It refuses to answer for this subject.
    Denied,
    /// What it read is not what it should be.
    Malformed,
}

/// What is wrong with a source's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key below `config`, such as `by_user_id`. Never a value: a mistyped key may hold a secret.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
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
