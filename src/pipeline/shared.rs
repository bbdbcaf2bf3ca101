//! The second level of the cache, which replicas share. The place it lies in is not trusted: entries are sealed with a
//! key that only the replicas have, for their own key and no other, and hold their own age. Whoever writes there can
//! make an entry disappear, or lay one there again that was genuine and is still in its time; nothing else.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::UtcDateTime;
use tokio::time::{Instant, timeout};

use super::breaker::Breaker;
use super::kept::Tag;
use crate::json;

/// Bytes of a nonce of AES-GCM, before the ciphertext.
const NONCE_BYTES: usize = 12;

/// Where replicas keep what they share. Nothing that it holds is believed.
#[async_trait]
pub trait SharedEntries: Send + Sync {
    /// What lies under the name.
    async fn get(&self, name: &[u8; 32]) -> Result<Option<Vec<u8>>, Unreachable>;

    /// Lays something under the name, about these subjects, for as long.
    async fn put(&self, name: &[u8; 32], sealed: Vec<u8>, life: Duration, tags: &[[u8; 32]])
    -> Result<(), Unreachable>;

    /// Removes what lies under the name.
    async fn remove(&self, name: &[u8; 32]) -> Result<(), Unreachable>;

    /// Removes what lies there about a subject.
    async fn forget(&self, tag: &[u8; 32]) -> Result<(), Unreachable>;

    /// Tells every replica that what is kept about a subject is to be dropped.
    async fn announce(&self, tag: &[u8; 32]) -> Result<(), Unreachable>;
}

/// The place cannot be reached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be reached")]
pub struct Unreachable;

/// The keys of one deployment: how subjects are named, and how entries are sealed.
pub struct Seal {
    names: hmac::Key,
    entries: RandomizedNonceKey,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(redacted)")
    }
}

/// The second level with its keys.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) entries: Arc<dyn SharedEntries>,
    seal: Arc<Seal>,
    /// A place that hangs must not cost every source its time.
    breaker: Arc<Breaker>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// What an entry says, between replicas.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Written {
    /// Seconds since 1970-01-01T00:00:00Z, and nanoseconds.
    pub(super) asked_at: (i64, u32),
    /// The claims as the source gave them; none where it did not know the subject.
    pub(super) claims: Option<Map<String, Value>>,
    /// How long they stay fresh, if the source said so, in milliseconds.
    pub(super) fresh_for: Option<u64>,
}

impl Written {
    pub(super) fn asked_at(&self) -> Option<UtcDateTime> {
        let (seconds, nanoseconds) = self.asked_at;
        let at = UtcDateTime::from_unix_timestamp(seconds).ok()?;
        Some(at + Duration::from_nanos(nanoseconds.into()))
    }
}

impl Seal {
    /// Keys derived from a secret that all replicas have; none where this machine refuses.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Option<Self> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"countersign claims cache").extract(secret);
        let (mut names, mut entries) = ([0; 32], [0; 32]);
        root.expand(&[b"subjects"], hkdf::HKDF_SHA256).and_then(|key| key.fill(&mut names)).ok()?;
        root.expand(&[b"entries"], hkdf::HKDF_SHA256).and_then(|key| key.fill(&mut entries)).ok()?;
        let entries = RandomizedNonceKey::new(&AES_256_GCM, &entries).ok()?;
        Some(Self { names: hmac::Key::new(hmac::HMAC_SHA256, &names), entries })
    }

    /// Keys of this process alone.
    #[must_use]
    pub fn random() -> Option<Self> {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).ok()?;
        Self::from_secret(&secret)
    }

    /// The keyed digest of some parts, each length-prefixed, so that no two lists of parts are taken for each other.
    pub(super) fn name(&self, parts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.names);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut tag = [0; 32];
        tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }

    fn seal(&self, name: &Tag, written: &Written) -> Option<Vec<u8>> {
        let mut bytes = serde_json::to_vec(written).ok()?;
        let nonce = self.entries.seal_in_place_append_tag(Aad::from(name), &mut bytes).ok()?;
        Some([nonce.as_ref().as_slice(), &bytes].concat())
    }

    fn open(&self, name: &Tag, sealed: &[u8]) -> Option<Written> {
        let (nonce, bytes) = sealed.split_at_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = bytes.to_vec();
        let plain = self.entries.open_in_place(nonce, Aad::from(name), &mut bytes).ok()?;
        serde_json::from_value(Value::Object(json::object(plain)?)).ok()
    }
}

/// After how many failures in a row the place is left alone, and for how long.
const BREAKER: (NonZeroU32, Duration) = (NonZeroU32::MIN.saturating_add(2), Duration::from_secs(1));

impl Shared {
    pub(super) fn new(entries: Arc<dyn SharedEntries>, seal: Arc<Seal>) -> Self {
        Self { entries, seal, breaker: Arc::new(Breaker::new(BREAKER.0, BREAKER.1)) }
    }

    /// What lies under a key, if one of us wrote it there and it is found in time.
    pub(super) async fn find(&self, key: &[u8], time: Duration) -> Option<Written> {
        if !self.breaker.admits(Instant::now()) {
            return None;
        }
        let name = self.seal.name(&[b"entry", key]);
        let found = timeout(time, self.entries.get(&name)).await.map_err(|_elapsed| Unreachable).flatten();
        self.breaker.note(found.is_err(), Instant::now());
        self.seal.open(&name, &found.ok()??)
    }

    /// Removes what lies under a key.
    pub(super) async fn remove(&self, key: &[u8]) {
        self.entries.remove(&self.seal.name(&[b"entry", key])).await.unwrap_or_default();
    }

    /// Lays an entry there. That it cannot be reached loses nothing but the saving.
    pub(super) async fn keep(&self, key: &[u8], written: &Written, life: Duration, tags: &[Tag]) {
        let name = self.seal.name(&[b"entry", key]);
        if let Some(sealed) = self.seal.seal(&name, written) {
            self.entries.put(&name, sealed, life, tags).await.unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_read_by_those_who_have_the_key_and_only_under_its_own_name() {
        let (seal, other) =
            (Seal::from_secret(b"of all replicas").expect("keys"), Seal::from_secret(b"of others").expect("keys"));
        let name = seal.name(&[b"entry", b"ada"]);
        let claims = json!({"plan": "Gold"}).as_object().cloned();
        let written = Written { asked_at: (1_780_272_000, 5), claims, fresh_for: None };
        let sealed = seal.seal(&name, &written).expect("sealed");
        assert!(!sealed.windows(4).any(|window| window == b"Gold"), "nobody reads it there");
        assert_eq!(seal.open(&name, &sealed), Some(written));
        assert_eq!(seal.open(&seal.name(&[b"entry", b"bob"]), &sealed), None, "moved to another's place");
        assert_eq!(other.open(&name, &sealed), None);
        for index in 0..sealed.len() {
            let mut forged = sealed.clone();
            if let Some(byte) = forged.get_mut(index) {
                *byte ^= 1;
            }
            assert_eq!(seal.open(&name, &forged), None, "byte {index}");
        }
        assert_eq!(seal.open(&name, b"short"), None);
        assert_ne!(seal.name(&[b"ab", b"c"]), seal.name(&[b"a", b"bc"]));
    }
}
