//! What outlives a request, behind a trait for each use: the facts of the ratchet, used one-time tokens, revocations, and
//! what the ledger counts.
//!
//! What must never be believed lost is durable before the answer. Nothing here decides: it says what is known, and the
//! authority judges. Subjects and token ids are kept as digests.

mod documents;
mod embedded;
mod ending;
mod evidence;
mod kept_ledger;
mod lane;
mod memory;
mod redis;
mod replicated;
mod revocations;
mod schema;
mod shared_audit;
mod shared_claims;
mod shared_documents;
mod shared_ledger;
mod shared_revocations;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use time::{Date, UtcDateTime};

pub use self::documents::{DOCUMENT_BYTES, Document, Documents};
pub use self::embedded::{Embedded, Unusable};
pub use self::memory::Memory;
pub use self::redis::{Place, SharedRedis};
pub use self::replicated::Replicated;
pub use self::revocations::{FOREVER, Mark, Revocations, Revoked};
pub use self::shared_claims::{Heard, SharedClaims};
pub use self::shared_revocations::Least;
use crate::identity::Subject;
use crate::ledger::{Added, Batch, Evidence, Sighting};

/// The store cannot be reached, or has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be reached")]
pub struct Away;

/// What names an entry: a digest, so that entries are small and the store holds no identifier.
pub type Name = [u8; 32];

/// The name that these parts make. Each is length-prefixed, so that no two lists can be taken for each other.
#[must_use]
pub fn name(parts: &[&str]) -> Name {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

/// Whose JWTs a fact is about: a subject of an application, everywhere or on one client.
#[derive(Clone, Copy, Debug)]
pub struct FactKey<'a> {
    /// The application's name.
    pub application: &'a str,
    /// The subject.
    pub subject: &'a Subject,
    /// The client label's first segment, where the ratchet's scope has it; empty otherwise.
    pub client: &'a str,
}

impl FactKey<'_> {
    fn name(&self) -> Name {
        name(&["fact", self.application, self.subject.kind.name(), &self.subject.value, self.client])
    }
}

/// When subjects were first accepted by JWT. The ratchet turns on this.
#[async_trait]
pub trait Facts: Send + Sync {
    /// When the subject was first accepted by JWT.
    async fn first_jwt(&self, key: FactKey<'_>) -> Result<Option<UtcDateTime>, Away>;

    /// Notes that the subject was accepted by JWT. The first time stands.
    async fn saw_jwt(&self, key: FactKey<'_>, at: UtcDateTime) -> Result<(), Away>;
}

/// The use of a one-time token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Names the token.
    pub token: Name,
    /// Its `iat`: a store that is newer than the token cannot know of earlier uses.
    pub issued_at: Option<UtcDateTime>,
    /// Until when the use has to be remembered.
    pub until: UtcDateTime,
}

/// Which one-time tokens were used.
#[async_trait]
pub trait OneTime: Send + Sync {
    /// Whether the token was used. Changes nothing.
    async fn is_used(&self, token: Name, now: UtcDateTime) -> Result<bool, Away>;

    /// Uses the token. True for one caller alone, however many try; durable before it returns.
    async fn use_up(&self, used: Use, now: UtcDateTime) -> Result<bool, Away>;
}

/// What is refused from now on.
#[async_trait]
pub trait Revoking: Send + Sync {
    /// The copy in memory that requests are judged by.
    fn revoked(&self) -> &Revocations;

    /// Keeps all of them or none: durable, and in the copy, before it returns. Of two marks of one name the longer holds.
    async fn revoke(&self, revoked: Vec<Revoked>, now: UtcDateTime) -> Result<(), Away>;

    /// Lifts a mark: durable, and in the copy, before it returns. Whether there was one.
    async fn restore(&self, name: Name, now: UtcDateTime) -> Result<bool, Away>;
}

/// What was counted.
#[async_trait]
pub trait Counting: Send + Sync {
    /// Adds what a server counted: once, however often the batch comes.
    async fn add(&self, batch: &Arc<Batch>) -> Result<Added, Away>;

    /// What was seen of an application on these days. A server that has not been heard of lately leaves a gap until `now`.
    async fn evidence(&self, application: &str, days: RangeInclusive<Date>, now: UtcDateTime)
    -> Result<Evidence, Away>;

    /// The subjects that were seen last with a genuine hash, since then, the last first.
    async fn stragglers(&self, application: &str, since: UtcDateTime, limit: usize) -> Result<Vec<Sighting>, Away>;

    /// The last sightings of these pseudonyms with each credential, in the order of the pseudonyms.
    async fn sightings(&self, application: &str, pseudonyms: &[String]) -> Result<Vec<Sighting>, Away>;
}

/// The first whole second, since 1970, at which the instant has come.
fn second_after(at: UtcDateTime) -> i64 {
    at.unix_timestamp() + i64::from(at.nanosecond() > 0)
}

/// All of it, in one place.
pub trait State: Facts + OneTime + Revoking + Documents + Counting {}

impl<S: Facts + OneTime + Revoking + Documents + Counting> State for S {}
