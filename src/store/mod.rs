//! State, behind traits. This version keeps it in memory; what replicas share of claims is in Redis.

mod memory;
mod redis;

use async_trait::async_trait;
use time::UtcDateTime;

pub use self::memory::Memory;
pub use self::redis::{Heard, SharedRedis};
use crate::identity::Subject;

/// The store cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be reached")]
pub struct Away;

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

/// When subjects were first accepted by JWT. The ratchet turns on this.
#[async_trait]
pub trait Facts: Send + Sync {
    /// When the subject was first accepted by JWT.
    async fn first_jwt(&self, key: FactKey<'_>) -> Result<Option<UtcDateTime>, Away>;

    /// Notes that the subject was accepted by JWT. The first time stands.
    async fn saw_jwt(&self, key: FactKey<'_>, at: UtcDateTime) -> Result<(), Away>;
}
