//! The keys of checkpoints: Ed25519 (RFC 8032), over the bytes of a line. Pure.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::{KeyEncoding, Secret};

/// Bytes of a public key, and of the seed that a private one is made of.
const KEY_BYTES: usize = 32;
/// What a public key has before it where it is written as SubjectPublicKeyInfo (RFC 8410 section 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Signs checkpoints.
#[derive(Clone)]
pub struct Signer(Arc<Ed25519KeyPair>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public_key())
    }
}

impl Signer {
    /// The key in a PEM file (PKCS#8), with or without its public half.
    #[must_use]
    pub fn from_pem(pem: &Secret) -> Option<Self> {
        let block = pem::parse(pem.expose()).ok().filter(|block| block.tag() == "PRIVATE KEY")?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(block.contents()).ok().map(Arc::new).map(Self)
    }

    /// The key that a seed makes.
    #[must_use]
    pub fn from_seed(seed: &[u8; KEY_BYTES]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Arc::new).map(Self)
    }

    /// Who can tell its signatures from others.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.public_key().as_ref()).unwrap_or(PublicKey([0; KEY_BYTES]))
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.0.sign(bytes))
    }
}

/// Tells whose checkpoint it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// Reads base64 of the 32 bytes, or PEM of the public key as `openssl pkey -pubout` writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match pem::parse(text) {
            Ok(block) => Self::from_bytes(block.contents().strip_prefix(SPKI.as_slice())?),
            Err(_no_pem) => Self::from_bytes(&KeyEncoding::Base64.decode(text.trim().as_bytes())?),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Whether the signature, in base64url, is this key's over the bytes.
    #[must_use]
    pub fn signed(&self, bytes: &[u8], signature: &str) -> bool {
        let verifies = |signature: Vec<u8>| UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, &signature).is_ok();
        URL_SAFE_NO_PAD.decode(signature).is_ok_and(verifies)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 8410, sections 10.3 and 10.1.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn a_key_in_pem_signs_and_its_public_half_verifies() {
        let signer = Signer::from_pem(&Secret::new(PEM.as_bytes().to_vec())).unwrap();
        let key = PublicKey::parse(PUBLIC).unwrap();
        assert_eq!(key, signer.public_key());
        assert_eq!(PublicKey::parse(&format!("{key}\n")), Some(key), "as it is written in a log");
        let signature = signer.sign(b"bytes");
        assert!(key.signed(b"bytes", &signature));
        assert!(!key.signed(b"other", &signature) && !key.signed(b"bytes", "") && !key.signed(b"bytes", "A"));
    }

    #[test]
    fn what_is_no_ed25519_key_is_none() {
        for pem in ["", "secret", &PEM.replace("MC4C", "MC4D"), &PEM.replace("PRIVATE", "PUBLIC")] {
            assert!(Signer::from_pem(&Secret::new(pem.as_bytes().to_vec())).is_none(), "{pem}");
        }
        for key in ["", "AAAA", &"A".repeat(44), &PUBLIC.replace("MCowBQ", "MCowBR")] {
            assert_eq!(PublicKey::parse(key), None, "{key}");
        }
    }
}
