//! State that ends with the process.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use time::UtcDateTime;

use super::{Away, FactKey, Facts};

/// Facts that are kept at most; about 100 bytes each.
const FACTS: usize = 1_000_000;

/// Keeps facts in memory, a bounded number of them.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "looked up by key, never iterated")]
pub struct Memory {
    first_jwt: Mutex<std::collections::HashMap<[u8; 32], UtcDateTime>>,
    room: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_room(FACTS)
    }
}

impl Memory {
    /// Keeps at most that many facts.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        Self { first_jwt: Mutex::default(), room }
    }
}

#[async_trait]
impl Facts for Memory {
    async fn first_jwt(&self, key: FactKey<'_>) -> Result<Option<UtcDateTime>, Away> {
        let facts = self.first_jwt.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(facts.get(&digest(key)).copied())
    }

    /// With no room left, a new fact cannot be kept, which is what a store that is away means.
    async fn saw_jwt(&self, key: FactKey<'_>, at: UtcDateTime) -> Result<(), Away> {
        let mut facts = self.first_jwt.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = digest(key);
        if facts.contains_key(&digest) {
            return Ok(());
        }
        if facts.len() >= self.room {
            return Err(Away);
        }
        facts.insert(digest, at);
        Ok(())
    }
}

/// Length-prefixed, so that no two keys can be taken for each other.
fn digest(key: FactKey<'_>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [key.application, key.subject.kind.name(), &key.subject.value, key.client] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Subject, SubjectKind};

    #[tokio::test]
    async fn the_first_time_stands_and_room_is_bounded() {
        let memory = Memory::with_room(1);
        let subject = |value: &str| Subject { kind: SubjectKind::UserId, value: value.to_owned() };
        let (ada, bob) = (subject("ada"), subject("bob"));
        let key = |subject| FactKey { application: "demo", subject, client: "" };
        let (early, late) = (UtcDateTime::UNIX_EPOCH, UtcDateTime::MAX);
        assert_eq!(memory.saw_jwt(key(&ada), early).await, Ok(()));
        assert_eq!(memory.saw_jwt(key(&ada), late).await, Ok(()));
        assert_eq!(memory.saw_jwt(key(&bob), late).await, Err(Away));
        assert_eq!(memory.first_jwt(key(&ada)).await, Ok(Some(early)));
        assert_eq!(memory.first_jwt(key(&bob)).await, Ok(None));
        assert_eq!(memory.first_jwt(FactKey { client: "ios", ..key(&ada) }).await, Ok(None));
    }
}
