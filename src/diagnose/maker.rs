//! Who made a hash, over what and how, found by trying. As with signatures, a beginning of a digest has to be long to be
//! compared.

use aws_lc_rs::{digest as plain, hmac};
use sha2::{Digest as _, Sha256};

use super::judged::Mistake;
use super::messages::{self, Message};
use super::secrets::{self, Candidate, Purpose};
use super::signer::{SHORTEST, begins};
use super::{Case, judged};
use crate::identity::SubjectKind;
use crate::secret::Secret;
use crate::token::algorithm::Algorithm;
use crate::token::keys::HmacKey;

/// Who made a hash, over what and how.
pub(super) struct Maker<'a> {
    /// None: no secret was needed.
    pub(super) candidate: Option<Candidate<'a>>,
    pub(super) message: Message,
    pub(super) how: How,
    /// The digest fits as far as it goes.
    pub(super) cut: bool,
}

/// How the digest was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Hmac(&'static str),
    Swapped,
    SecretFirst,
    SecretLast,
    Plain(&'static str),
}

impl How {
    /// As it should be.
    pub(super) const RIGHT: Self = Self::Hmac("SHA-256");

    pub(super) fn mistake(self) -> Option<Mistake> {
        let right = "Use HMAC-SHA256: the secret is the key, the identifier the message.";
        let what = match self {
            Self::Hmac(_) if self == Self::RIGHT => return None,
            Self::Hmac(name) => format!("The hash is HMAC with {name}, and HMAC with SHA-256 is wanted."),
            Self::Swapped => "Key and message are swapped: the identifier was used as the key.".to_owned(),
            Self::SecretFirst | Self::SecretLast => {
                "The hash is plain SHA-256 over secret and identifier together, not HMAC.".to_owned()
            }
            Self::Plain(name) => format!("The hash is plain {name} without any key, so that anybody can make it."),
        };
        Some(Mistake::new(what, right))
    }
}

/// Hashes with a key, with the bytes that each gives.
const KEYED: [(How, usize); 8] = [
    (How::RIGHT, 32),
    (How::Hmac("SHA-1"), 20),
    (How::Hmac("SHA-224"), 28),
    (How::Hmac("SHA-384"), 48),
    (How::Hmac("SHA-512"), 64),
    (How::Swapped, 32),
    (How::SecretFirst, 32),
    (How::SecretLast, 32),
];

/// Hashes without a key.
const KEYLESS: [(&str, usize, &plain::Algorithm); 5] = [
    ("SHA-256", 32, &plain::SHA256),
    ("SHA-1", 20, &plain::SHA1_FOR_LEGACY_USE_ONLY),
    ("SHA-224", 28, &plain::SHA224),
    ("SHA-384", 48, &plain::SHA384),
    ("SHA-512", 64, &plain::SHA512),
];

/// Messages that are tried with every secret.
const LIKELY: usize = 4;

/// Who made the digest, as far as anybody here can know: first the right secret over anything, then any secret over what
/// was sent.
pub(super) fn find<'a>(case: &'a Case<'a>, digest: &[u8], expected: Option<SubjectKind>) -> Option<Maker<'a>> {
    if digest.len() < SHORTEST {
        return None;
    }
    let everything = messages::all(case, expected);
    let mut sent = messages::plain(case, expected);
    sent.truncate(LIKELY);
    let own = secrets::candidates(case, Purpose::Legacy).take_while(|candidate| {
        candidate.change.is_none() && matches!(candidate.holder, secrets::Holder::Own(Purpose::Legacy, _))
    });
    own.into_iter()
        .find_map(|candidate| by(candidate, &everything, digest, &KEYED))
        .or_else(|| keyless(&everything, digest))
        .or_else(|| {
            secrets::candidates(case, Purpose::Legacy)
                .find_map(|candidate| by(candidate, &sent, digest, KEYED.get(..5)?))
        })
        .or_else(|| suspected(case, digest, expected))
}

/// Whether the suspected secret made the digest, over anything and in any way.
pub(super) fn suspected<'a>(case: &Case<'_>, digest: &[u8], expected: Option<SubjectKind>) -> Option<Maker<'a>> {
    if case.suspected_secret.is_empty() || digest.len() < SHORTEST {
        return None;
    }
    let everything = messages::all(case, expected);
    secrets::suspected(case).find_map(|candidate| by(candidate, &everything, digest, &KEYED))
}

/// The same for a company's hash: over these messages alone.
pub(super) fn of_company<'a>(case: &'a Case<'a>, messages: &[Message], digest: &[u8]) -> Option<Maker<'a>> {
    if digest.len() < SHORTEST {
        return None;
    }
    let first = messages.get(..1).unwrap_or_default();
    let own = secrets::candidates(case, Purpose::Legacy).take_while(|candidate| {
        candidate.change.is_none() && matches!(candidate.holder, secrets::Holder::Own(Purpose::Legacy, _))
    });
    own.into_iter()
        .find_map(|candidate| by(candidate, messages, digest, &KEYED))
        .or_else(|| keyless(messages, digest))
        .or_else(|| {
            secrets::candidates(case, Purpose::Legacy)
                .find_map(|candidate| by(candidate, first, digest, KEYED.get(..1)?))
        })
}

fn by<'a>(candidate: Candidate<'a>, messages: &[Message], digest: &[u8], hows: &[(How, usize)]) -> Option<Maker<'a>> {
    let possible: Vec<(How, bool)> =
        hows.iter().filter_map(|(how, length)| Some((*how, is_cut(digest, *length)?))).collect();
    let right = HmacKey::new(Algorithm::HS256, candidate.secret.clone())?;
    let (message, how, cut) = messages.iter().find_map(|message| {
        let (how, cut) = possible.iter().find(|(how, _)| {
            let made = if *how == How::RIGHT {
                Some(right.mac(&message.bytes))
            } else {
                keyed(*how, &candidate.secret, &message.bytes)
            };
            made.is_some_and(|made| begins(&made, digest))
        })?;
        Some((message.clone(), *how, *cut))
    })?;
    Some(Maker { candidate: Some(candidate), message, how, cut })
}

fn keyless<'a>(messages: &[Message], digest: &[u8]) -> Option<Maker<'a>> {
    KEYLESS.iter().find_map(|(name, length, algorithm)| {
        let cut = is_cut(digest, *length)?;
        let message =
            messages.iter().find(|message| begins(plain::digest(algorithm, &message.bytes).as_ref(), digest))?;
        Some(Maker { candidate: None, message: message.clone(), how: How::Plain(name), cut })
    })
}

/// Whether the digest is shorter than it should be; none where it is longer.
const fn is_cut(digest: &[u8], length: usize) -> Option<bool> {
    if digest.len() <= length { Some(digest.len() < length) } else { None }
}

fn keyed(how: How, secret: &Secret, message: &[u8]) -> Option<Vec<u8>> {
    let of = |algorithm: Algorithm, key: &[u8], message: &[u8]| {
        Some(HmacKey::new(algorithm, Secret::new(key.to_vec()))?.mac(message))
    };
    let old = |algorithm| {
        let key = hmac::Key::new(algorithm, secret.expose());
        Some(hmac::sign(&key, message).as_ref().to_vec())
    };
    match how {
        How::Hmac("SHA-1") => old(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        How::Hmac("SHA-224") => old(hmac::HMAC_SHA224),
        How::Hmac("SHA-384") => of(Algorithm::HS384, secret.expose(), message),
        How::Hmac("SHA-512") => of(Algorithm::HS512, secret.expose(), message),
        How::Hmac(_) => of(Algorithm::HS256, secret.expose(), message),
        How::Swapped => of(Algorithm::HS256, message, secret.expose()),
        How::SecretFirst => Some(Sha256::new().chain_update(secret.expose()).chain_update(message).finalize().to_vec()),
        How::SecretLast => Some(Sha256::new().chain_update(message).chain_update(secret.expose()).finalize().to_vec()),
        How::Plain(_) => None,
    }
}

impl Maker<'_> {
    /// What is wrong with the secret, and with how it was used.
    pub(super) fn of_secret(&self, case: &Case<'_>) -> Option<Mistake> {
        let whose = self
            .candidate
            .as_ref()
            .and_then(|candidate| candidate.mistake(case, Purpose::Legacy, "The hash was made with"));
        judged::joined([whose, self.how.mistake()].into_iter().flatten().collect())
    }
}
