//! Claims from a process in any language, over `countersign.plugin.v1` (`proto/countersign/plugin/v1/plugin.proto`).
//!
//! The operator runs the process; this kind connects to it, over a Unix socket or with TLS in which both sides show a
//! certificate. It starts no process, keeps no answer, and reads nothing of what the process writes for people.

mod address;
mod claims;
mod failure;
mod question;
mod source;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Check, ClaimSource, OpenError, SourceKind, Text, Tls};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::address::Address;
use self::question::Question;
use self::source::Source;

#[allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in proto/"
)]
mod proto {
    //! What `build.rs` makes of the protocol: the side that asks.

    include!(concat!(env!("OUT_DIR"), "/client/countersign.plugin.v1.rs"));
}

/// `kind = "remote"`
#[derive(Clone, Copy, Debug)]
pub struct Remote;

/// `[sources.<name>.config]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the process listens: `unix:` and the absolute path of its socket, or `https://host:port` with `tls`.
    address: Text,
    /// The certificates of `https://`. `cert` and `key` are needed: the process must know who asks.
    tls: Option<Tls>,
    /// What the process is told of the user: these identifiers and no others, and it is not asked without one of them.
    /// Absent: both, as far as they are known.
    identifiers: Option<Vec<Identifier>>,
    /// The process's own settings, which only it understands. No secrets: the process has an environment of its own.
    #[serde(default)]
    settings: Map<String, Value>,
}

/// What a user is known by.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Identifier {
    /// The user id.
    UserId,
    /// The e-mail address.
    Email,
}

impl Identifier {
    const ALL: [Self; 2] = [Self::UserId, Self::Email];

    const fn name(self) -> &'static str {
        match self {
            Self::UserId => "user_id",
            Self::Email => "email",
        }
    }
}

/// A configuration in which nothing is wrong.
pub struct Checked {
    address: Address,
    question: Question,
}

#[async_trait]
impl SourceKind for Remote {
    const NAME: &'static str = "remote";
    type Config = Config;
    type Checked = Checked;

    fn check(config: Config, check: &Check<'_>) -> Option<Checked> {
        let address = Address::check(&config.address, config.tls.as_ref(), check);
        let question = Question::check(config.identifiers.as_deref(), config.settings, check);
        Some(Checked { address: address?, question: question? })
    }

    async fn open(checked: Checked) -> Result<Arc<dyn ClaimSource>, OpenError> {
        Ok(Arc::new(Source::new(checked.address.connect()?, checked.question)))
    }
}

impl fmt::Debug for Checked {
    /// Shows nothing: there is a private key in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").finish_non_exhaustive()
    }
}
