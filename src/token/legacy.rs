//! Legacy hashes: HMAC-SHA256 over an identifier's exact bytes. Static, unbound, and all that many clients have.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::UtcDateTime;

use super::keys::{LegacyKey, Stage};
use crate::profile::DigestEncoding;
use crate::refusal::Reason;

/// Bytes of an HMAC-SHA256 digest.
const DIGEST_BYTES: usize = 32;

/// The hash of an identifier.
#[must_use]
pub fn hash(key: &LegacyKey, identifier: &str, encoding: DigestEncoding) -> String {
    let digest = key.hmac.mac(identifier.as_bytes());
    match encoding {
        DigestEncoding::Hex => hex::encode(digest),
        DigestEncoding::Base64 => STANDARD.encode(digest),
    }
}

/// The digest that the text stands for: of the exact length, in the encoding, hexadecimal digits in either case.
pub fn read(text: &str, encoding: DigestEncoding) -> Result<[u8; DIGEST_BYTES], Reason> {
    let mut digest = [0; DIGEST_BYTES];
    let read = match encoding {
        DigestEncoding::Hex => hex::decode_to_slice(text, &mut digest).is_ok(),
        DigestEncoding::Base64 => STANDARD.decode_slice(text, &mut digest).is_ok_and(|bytes| bytes == DIGEST_BYTES),
    };
    if read { Ok(digest) } else { Err(Reason::HashMalformed) }
}

/// The key that makes this digest of the identifier. Every key is tried, whatever comes out, so that the time it takes
/// tells nothing; a valid key goes before a retired one with the same bytes.
pub fn verify<'k>(
    keys: &'k [LegacyKey],
    identifier: &str,
    digest: &[u8],
    now: UtcDateTime,
) -> Result<&'k LegacyKey, Reason> {
    let mut found: Result<&LegacyKey, Reason> = Err(Reason::HashMismatch);
    for key in keys {
        if key.hmac.verifies(identifier.as_bytes(), digest) {
            found = match (key.validity.stage_at(now), found) {
                (_, Ok(valid)) => Ok(valid),
                (Stage::Valid, Err(_)) => Ok(key),
                (Stage::Retired, Err(_)) => Err(Reason::KeyRetired),
                (Stage::NotYetValid, Err(_)) => Err(Reason::KeyNotYetValid),
            };
        }
    }
    found
}
