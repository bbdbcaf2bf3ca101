//! Secret bytes: never serialised, never shown, wiped when dropped, compared in constant time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretBox};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

/// Secret bytes.
#[derive(Clone)]
pub struct Secret(SecretBox<[u8]>);

impl Secret {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(SecretBox::new(bytes.into_boxed_slice()))
    }

    /// The bytes, for the one use that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.expose().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// The key bytes that the secret stands for.
    #[must_use]
    pub fn decode(&self, encoding: KeyEncoding) -> Option<Self> {
        encoding.decode(self.expose()).map(Self::new)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        // Over digests, so that neither content nor length shows in the time it takes.
        Sha256::digest(self.expose()).ct_eq(&Sha256::digest(other.expose())).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// How the bytes of a key are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// The text's own bytes are the key.
    #[default]
    Text,
    /// Hexadecimal digits, in either case.
    Hex,
    /// Base64, standard or URL-safe, padded or not.
    Base64,
}

impl KeyEncoding {
    /// Every encoding with its name in profiles and configuration.
    pub const ALL: [(&'static str, Self); 3] = [("text", Self::Text), ("hex", Self::Hex), ("base64", Self::Base64)];

    /// The name in profiles and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Hex => "hex",
            Self::Base64 => "base64",
        }
    }

    /// The key bytes that the text stands for.
    #[must_use]
    pub fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Text => Some(text.to_vec()),
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => base64(text),
        }
    }
}

/// Either alphabet, padded or not: vendors hand out all of them, and none is ambiguous.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.trim_end_matches('=');
    if bare.contains(['-', '_']) {
        URL_SAFE_NO_PAD.decode(bare).ok()
    } else {
        STANDARD.decode(text).ok().or_else(|| base64::engine::general_purpose::STANDARD_NO_PAD.decode(bare).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert_eq!(secret, Secret::new(b"hunter2".to_vec()));
        assert_ne!(secret, Secret::new(b"hunter3".to_vec()));
    }

    #[test]
    fn key_bytes_are_read_in_their_encoding() {
        assert_eq!(KeyEncoding::Text.decode(b"6162"), Some(b"6162".to_vec()));
        assert_eq!(KeyEncoding::Hex.decode(b"6162"), Some(b"ab".to_vec()));
        assert_eq!(KeyEncoding::Hex.decode(b"616"), None);
        for text in ["+/8=", "+/8", "-_8", "-_8="] {
            assert_eq!(KeyEncoding::Base64.decode(text.as_bytes()), Some(vec![0xfb, 0xff]), "{text}");
        }
        assert_eq!(KeyEncoding::Base64.decode(b"+_8"), None);
    }
}
