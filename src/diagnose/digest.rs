//! Whether a hash is a digest in the encoding of the profile, and what it can still be read as where it is not.

use super::Case;
use super::judged::{Judged, Mistake, is_unset};
use super::wrapping::{self, COMMON, Layer};
use crate::identity::SubjectKind;
use crate::profile::DigestEncoding;
use crate::token::{jwt, legacy};
use crate::{json, limits};

/// A hash as far as it can be read.
#[derive(Debug)]
pub(super) struct Digest {
    pub(super) judged: Judged,
    /// Its bytes, of whatever length.
    pub(super) bytes: Option<Vec<u8>>,
}

/// Layers around hashes.
const HASH: &[Layer] = &[
    (
        prefix,
        "It begins with a prefix, such as `sha256=`, `0x` or what a command prints before a digest.",
        "Send the digest alone.",
    ),
    (suffix, "It ends with the name of a file, as `sha256sum` prints it.", "Send the digest alone."),
    (
        separators,
        "There are separators between its bytes, as .NET's `BitConverter.ToString` and certificate tools write them.",
        "Write the hexadecimal digits without separators, in lower case: `Convert.ToHexString` in .NET.",
    ),
];

/// `hash.form`.
pub(super) fn judge(case: &Case<'_>, text: &str, encoding: DigestEncoding) -> Digest {
    if let Ok(bytes) = legacy::read(text, encoding) {
        let upper = encoding == DigestEncoding::Hex && text.bytes().any(|byte| byte.is_ascii_uppercase());
        let judged = if upper {
            Judged::warning(Mistake::new(
                "The digest is in upper-case digits. They count here, and the products that compare text want lower \
                 case.",
                "Write the hexadecimal digits in lower case.",
            ))
        } else {
            Judged::passed("It is a digest of the right length in the right encoding.")
        };
        return Digest { judged, bytes: Some(bytes.to_vec()) };
    }
    let (bytes, mistakes) = read(case, text, encoding);
    Digest { judged: Judged::failed_by(mistakes, &crate::refusal::Reason::HashMalformed.into()), bytes }
}

fn read(case: &Case<'_>, text: &str, encoding: DigestEncoding) -> (Option<Vec<u8>>, Vec<Mistake>) {
    if text.len() > limits::TOKEN_BYTES {
        return (None, vec![Mistake::new("It is far too long for a hash. Nothing else of it was looked at.", AS_MADE)]);
    }
    if text.trim().starts_with("<Buffer") {
        return (None, vec![Mistake::new(PRINTED.0, PRINTED.1)]);
    }
    let readable = |text: &str| legacy::read(text, encoding).is_ok();
    let (bare, mut mistakes) = wrapping::peel(text, &[COMMON, HASH], readable);
    if let Ok(bytes) = legacy::read(&bare, encoding) {
        return (Some(bytes.to_vec()), mistakes);
    }
    if let Some(mistake) = no_digest(case, &bare) {
        mistakes.push(mistake);
        return (None, mistakes);
    }
    let (bytes, more) = decoded(&bare, encoding);
    let complete = bytes.as_ref().is_none_or(|bytes| bytes.len() == 32);
    if let Some(bytes) = bytes.as_ref().filter(|_| !complete) {
        mistakes.push(length(bytes.len()));
    }
    mistakes.extend(more);
    (bytes, mistakes)
}

const PRINTED: (&str, &str) = (
    "It is how a program prints bytes or an object, not a digest.",
    "Encode the digest as text: `.digest('hex')`, `.hexdigest()`.",
);
const AS_MADE: &str = "Send the HMAC-SHA256 of the identifier, as it was made.";

/// What it is if it is no digest at all.
fn no_digest(case: &Case<'_>, text: &str) -> Option<Mistake> {
    let set = "Check that the variable that should hold the hash is set and awaited.";
    if is_unset(text) {
        let what = "It is the text of a variable that was not set, or of an object, such as `undefined`.";
        return Some(Mistake::new(what, set));
    }
    if let Some(token) = token(text) {
        let application = case.application;
        let fits = application.profile.jwt.as_ref().is_some_and(|format| {
            let expected = application.expected.narrowed_to(case.audience);
            let declared = (&application.users, &application.companies);
            jwt::verify(&token, &application.keys.jwt, format, &expected, declared, case.now).is_ok()
        });
        let more = if fits { " It is a good one." } else { "" };
        let what = format!("It is a JWT in the place of the hash.{more}");
        return Some(Mistake::new(what, "Send it in `jwt`, and no hash."));
    }
    if text.starts_with('[') || text.starts_with('{') {
        return Some(Mistake::new(PRINTED.0, PRINTED.1));
    }
    let sent = SubjectKind::ALL.into_iter().filter_map(|kind| case.asserted.identifier(kind));
    if sent.into_iter().any(|identifier| identifier == text) {
        return Some(Mistake::new("It is the identifier itself, not its hash.", AS_MADE));
    }
    None
}

fn token(text: &str) -> Option<String> {
    let (bare, _) = wrapping::peel(text, &[COMMON, wrapping::TOKEN], |text| jwt::Parts::of(text).is_ok());
    let header = bare.split('.').next().and_then(wrapping::base64);
    let is = bare.matches('.').count() == 2 && header.is_some_and(|header| json::object(&header).is_some());
    is.then_some(bare)
}

/// Its bytes, by any encoding that they might be in.
fn decoded(text: &str, encoding: DigestEncoding) -> (Option<Vec<u8>>, Option<Mistake>) {
    let right = match encoding {
        DigestEncoding::Hex => "Encode the digest as lower-case hexadecimal digits: `.digest('hex')`, `.hexdigest()`.",
        DigestEncoding::Base64 => "Encode the bytes of the digest as standard base64 with padding.",
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits {
        let whole = text.get(..text.len() / 2 * 2).unwrap_or(text);
        let bytes = hex::decode(whole).ok();
        if let Some(inner) =
            bytes.as_deref().and_then(|bytes| hex::decode(bytes).ok()).filter(|inner| is_length(inner.len()))
        {
            return (Some(inner), Some(Mistake::new("It is hexadecimal twice: its digits were encoded again.", right)));
        }
        let mistake = match encoding {
            _ if whole.len() < text.len() => {
                Some(Mistake::new("It has an odd number of digits.", "Send all of the digest."))
            }
            DigestEncoding::Base64 => {
                Some(Mistake::new("It is in hexadecimal digits, and this profile wants base64.", right))
            }
            DigestEncoding::Hex => None,
        };
        return (bytes, mistake);
    }
    let Some(bytes) = wrapping::base64(text) else {
        return (None, Some(Mistake::new("It has characters that no digest has.", AS_MADE)));
    };
    if let Some(inner) = hex::decode(&bytes).ok().filter(|inner| is_length(inner.len())) {
        return (
            Some(inner),
            Some(Mistake::new("It is base64 of hexadecimal digits: the digest was encoded twice.", right)),
        );
    }
    match encoding {
        DigestEncoding::Hex if is_length(bytes.len()) => {
            (Some(bytes), Some(Mistake::new("It is in base64, and this profile wants hexadecimal digits.", right)))
        }
        DigestEncoding::Base64 if bytes.len() == 32 => {
            (Some(bytes), Some(Mistake::new("It is in another base64 than the standard one with padding.", right)))
        }
        DigestEncoding::Base64 => (Some(bytes), None),
        DigestEncoding::Hex => {
            (None, Some(Mistake::new("It has characters that hexadecimal digits do not have.", right)))
        }
    }
}

const fn is_length(bytes: usize) -> bool {
    matches!(bytes, 16 | 20 | 28 | 32 | 48 | 64)
}

/// A digest that is not as long as one of HMAC-SHA256.
fn length(bytes: usize) -> Mistake {
    let variant = match bytes {
        16 => Some("MD5"),
        20 => Some("SHA-1"),
        28 => Some("SHA-224"),
        48 => Some("SHA-384"),
        64 => Some("SHA-512"),
        _ => None,
    };
    match variant {
        Some(name) => Mistake::new(
            format!("It has {bytes} bytes, as many as {name} gives; HMAC-SHA256 gives 32."),
            "Hash with HMAC-SHA256, and send all of the digest.",
        ),
        None if bytes < 32 => Mistake::new(
            format!("It has {bytes} bytes instead of 32: it is cut short."),
            "Send all of the digest: 64 hexadecimal digits. A database column may have cut it.",
        ),
        None => Mistake::new(
            format!("It has {bytes} bytes instead of 32: something was added to it."),
            "Send the digest alone.",
        ),
    }
}

fn prefix(text: &str) -> Option<String> {
    if let Some((before, digest)) = text.rsplit_once(['=', ' ', ':', '$'])
        && (digest.len() >= 32 && !before.is_empty() && names_algorithm(before))
    {
        return Some(digest.to_owned());
    }
    ["0x", "0X", "\\x"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .filter(|rest| !rest.is_empty())
        .map(str::to_owned)
}

fn names_algorithm(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).flat_map(char::to_lowercase).collect();
    ["sha", "hmac", "stdin", "hash", "hex", "digest", "v1"].iter().any(|known| plain.contains(known))
}

fn suffix(text: &str) -> Option<String> {
    let (digest, rest) = text.split_once("  ").or_else(|| text.split_once(" *"))?;
    (digest.len() >= 32 && !rest.is_empty()).then(|| digest.to_owned())
}

fn separators(text: &str) -> Option<String> {
    let is = |c: char| matches!(c, ':' | '-' | ' ' | '\n');
    let pieces: Vec<&str> = text.split(is).collect();
    let pairs = pieces.len() >= 8
        && pieces
            .iter()
            .all(|piece| !piece.is_empty() && piece.len() % 2 == 0 && piece.bytes().all(|b| b.is_ascii_hexdigit()));
    pairs.then(|| pieces.concat())
}
