//! What a line of the audit log says. This is the whole list of members: what has no field here is in no line. Nothing of
//! a request is, but for the names that the configuration has too, and a subject only as its pseudonym.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::chain::Head;
use crate::refusal::Reason;

/// One line, but for its place in the chain.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub time: UtcDateTime,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A request, or an item of a batch, was decided.
    Decided(Decided),
    /// A chain, a file, or a run of the server begins.
    Opened(Opened),
    /// Records could not be written and were dropped.
    Lost {
        /// How many.
        records: u64,
    },
    /// Everything before it is signed.
    Checkpoint,
    /// Everything before it is signed, and the server stopped in order.
    Closed,
}

/// A request was decided.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Decided {
    /// Names the request, in the answer and in the log too.
    pub request_id: String,
    /// The RPC; for an item of a batch, what it would be alone.
    pub rpc: &'static str,
    /// Who asked, by the name in the configuration.
    pub caller: String,
    /// About which application; empty where it is none of the caller's.
    pub application: String,
    /// Who it was about, where that came out: the kind of each identifier, and its pseudonym.
    pub subject: BTreeMap<&'static str, String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why not, in a word of the contract; empty where it was accepted.
    pub reason: &'static str,
    /// Which key was used or named; empty where none was.
    pub key_id: String,
    /// Under which rules.
    pub versions: Versions,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    #[default]
    Accepted,
    /// It was judged, and the answer is no.
    Refused,
    /// It could not be judged, or not be done.
    Failed,
}

impl Outcome {
    /// The outcome that a reason stands for.
    #[must_use]
    pub fn of(reason: Option<Reason>) -> Self {
        match reason {
            None => Self::Accepted,
            Some(reason) if FAILURES.contains(&reason) => Self::Failed,
            Some(_) => Self::Refused,
        }
    }
}

/// Reasons that are no judgement: something was not there, or broke.
const FAILURES: [Reason; 10] = [
    Reason::AuditUnavailable,
    Reason::SourceUnavailable,
    Reason::SourceTimedOut,
    Reason::SourceMalformed,
    Reason::StoreUnavailable,
    Reason::RateLimited,
    Reason::Overloaded,
    Reason::Draining,
    Reason::NotImplemented,
    Reason::Internal,
];

/// Under which rules something was decided.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Versions {
    /// The first half of the SHA-256 of the configuration file, in hexadecimal.
    pub configuration: String,
    /// The version of the acceptance that was set at run time; absent where the file's own holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<u64>,
}

/// A chain, a file or a run begins.
#[derive(Clone, Debug, Serialize)]
pub struct Opened {
    /// The largest of them.
    pub begins: Begins,
    /// The version of the server.
    pub server: &'static str,
    /// Under which rules.
    pub versions: Versions,
    /// Whose signatures follow: an Ed25519 public key, base64url.
    pub public_key: String,
    /// What was known of this chain's end, or of the chain that it follows, where that is more than was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<Head>,
    /// Whether the store knew nothing of the lines before: it is new, or somebody else wrote them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// Bytes of a line that a crash tore, which were dropped: nobody was answered for them.
    #[serde(skip_serializing_if = "is_zero")]
    pub torn_bytes: u64,
}

/// What begins with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Begins {
    /// A chain: the line is its first.
    Chain,
    /// A file, in which the chain goes on.
    File,
    /// A run of the server, in the middle of a file.
    Run,
}

impl Begins {
    /// Whether nothing of its chain is before the line in the same file.
    #[must_use]
    pub fn starts_a_file(text: &str) -> bool {
        text == "chain" || text == "file"
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn rfc3339<S: Serializer>(time: &UtcDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.format(&Rfc3339).unwrap_or_default())
}
