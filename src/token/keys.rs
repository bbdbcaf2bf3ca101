//! Keys. A key has one purpose, one algorithm and one encoding; HMAC secrets and key pairs are different types, so that
//! a public key can never be taken for a secret.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};
use time::UtcDateTime;

use super::algorithm::Algorithm;
use super::asymmetric::KeyPair;
use super::jwt;
use crate::profile::{JwtFormat, Kid};
use crate::secret::Secret;

/// A secret under this many bytes is weak (RFC 7518 section 3.2 for HS256).
pub const WEAK_BELOW_BYTES: usize = 32;

/// When a key counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// From then on, inclusive. Absent: always.
    pub not_before: Option<UtcDateTime>,
    /// Until then, exclusive. Absent: no end.
    pub retire_at: Option<UtcDateTime>,
}

/// Where in its life a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before `not_before`.
    NotYetValid,
    /// It signs and verifies.
    Valid,
    /// From `retire_at` on.
    Retired,
}

impl Validity {
    /// Where in its life the key is.
    #[must_use]
    pub fn stage_at(self, now: UtcDateTime) -> Stage {
        if self.retire_at.is_some_and(|end| end <= now) {
            Stage::Retired
        } else if self.not_before.is_some_and(|start| now < start) {
            Stage::NotYetValid
        } else {
            Stage::Valid
        }
    }
}

/// A secret with its HMAC state computed once.
#[derive(Clone)]
pub struct HmacKey {
    secret: Secret,
    state: State,
}

#[derive(Clone)]
enum State {
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

macro_rules! with_state {
    ($self:expr, $state:ident => $body:expr) => {
        match &$self.state {
            State::Sha256($state) => $body,
            State::Sha384($state) => $body,
            State::Sha512($state) => $body,
        }
    };
}

impl HmacKey {
    /// The key for one of HS256, HS384 and HS512; none for another algorithm.
    #[must_use]
    pub fn new(algorithm: Algorithm, secret: Secret) -> Option<Self> {
        let bytes = secret.expose();
        let state = match algorithm {
            Algorithm::HS256 => State::Sha256(Hmac::new_from_slice(bytes).ok()?),
            Algorithm::HS384 => State::Sha384(Hmac::new_from_slice(bytes).ok()?),
            Algorithm::HS512 => State::Sha512(Hmac::new_from_slice(bytes).ok()?),
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::ES256
            | Algorithm::ES384
            | Algorithm::EdDSA => return None,
        };
        Some(Self { secret, state })
    }

    /// The digest of the message.
    #[must_use]
    pub fn mac(&self, message: &[u8]) -> Vec<u8> {
        with_state!(self, state => state.clone().chain_update(message).finalize().into_bytes().to_vec())
    }

    /// Whether the digest is the message's, in constant time.
    #[must_use]
    pub fn verifies(&self, message: &[u8], digest: &[u8]) -> bool {
        with_state!(self, state => state.clone().chain_update(message).verify_slice(digest).is_ok())
    }

    /// The secret's bytes, decoded.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Whether it is shorter than it should be.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.secret.len() < WEAK_BELOW_BYTES
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(redacted)")
    }
}

/// What signs and verifies tokens.
#[derive(Clone, Debug)]
pub enum Material {
    /// A shared secret.
    Hmac(Box<HmacKey>),
    /// A key pair, or a public key alone.
    Pair(KeyPair),
}

/// A key for JWTs.
#[derive(Clone, Debug)]
pub struct JwtKey {
    /// Its name in the configuration.
    pub id: String,
    /// What the header calls it.
    pub kid: String,
    /// The one algorithm it is for.
    pub algorithm: Algorithm,
    /// When it counts.
    pub validity: Validity,
    /// What it is.
    pub material: Material,
    header: String,
}

impl JwtKey {
    /// A key whose header is written once, as the format wants it.
    #[must_use]
    pub fn new(
        (id, kid): (String, String),
        algorithm: Algorithm,
        validity: Validity,
        material: Material,
        format: &JwtFormat,
    ) -> Self {
        let header = jwt::header(algorithm, (format.kid != Kid::None).then_some(&kid), format.typ.as_deref());
        Self { id, kid, algorithm, validity, material, header }
    }

    /// The encoded header of its tokens.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The signature over the signing input; none from a public key alone.
    #[must_use]
    pub fn sign(&self, input: &[u8]) -> Option<Vec<u8>> {
        match &self.material {
            Material::Hmac(key) => Some(key.mac(input)),
            Material::Pair(pair) => pair.sign(input),
        }
    }

    /// Whether the signature is this key's, by its own algorithm.
    #[must_use]
    pub fn verifies(&self, input: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Hmac(key) => key.verifies(input, signature),
            Material::Pair(pair) => pair.verifies(input, signature),
        }
    }

    /// Whether it can sign at all.
    #[must_use]
    pub const fn signs(&self) -> bool {
        match &self.material {
            Material::Hmac(_) => true,
            Material::Pair(pair) => pair.signs(),
        }
    }

    /// Whether it is shorter than it should be.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        match &self.material {
            Material::Hmac(key) => key.is_weak(),
            Material::Pair(_) => false,
        }
    }
}

/// A key for legacy hashes; always HMAC-SHA256.
#[derive(Clone, Debug)]
pub struct LegacyKey {
    /// Its name in the configuration.
    pub id: String,
    /// When it counts.
    pub validity: Validity,
    /// What it is.
    pub hmac: HmacKey,
}

/// The keys of one application.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// For JWTs.
    pub jwt: Vec<JwtKey>,
    /// For legacy hashes.
    pub legacy: Vec<LegacyKey>,
}

impl Keys {
    /// The key that signs JWTs at that time, of those that may.
    #[must_use]
    pub fn signing_at(&self, now: UtcDateTime, may: impl Fn(&str) -> bool) -> Option<&JwtKey> {
        latest(self.jwt.iter().filter(|key| key.signs() && may(&key.id)), now, |key| key.validity)
    }

    /// The key that makes hashes at that time, of those that may.
    #[must_use]
    pub fn hashing_at(&self, now: UtcDateTime, may: impl Fn(&str) -> bool) -> Option<&LegacyKey> {
        latest(self.legacy.iter().filter(|key| may(&key.id)), now, |key| key.validity)
    }

    /// Whether there is a key of that id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.jwt.iter().any(|key| key.id == id) || self.legacy.iter().any(|key| key.id == id)
    }
}

/// The valid key with the latest `not_before`; one without is the oldest. Ties are refused when the configuration is
/// loaded.
fn latest<'k, K: 'k>(
    keys: impl Iterator<Item = &'k K>,
    now: UtcDateTime,
    validity: impl Fn(&K) -> Validity,
) -> Option<&'k K> {
    keys.filter(|key| validity(key).stage_at(now) == Stage::Valid).max_by_key(|key| validity(key).not_before)
}
