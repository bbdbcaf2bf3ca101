//! Who signed a token, found by trying. The whole signature has to fit, or a long beginning of it: with a shorter one,
//! somebody could find out a signature byte by byte.

use subtle::ConstantTimeEq as _;

use super::form::Opened;
use super::secrets::{self, Candidate, Purpose};
use super::{Case, wrapping};
use crate::application::Application;
use crate::secret::Secret;
use crate::token::algorithm::{Algorithm, Family};
use crate::token::asymmetric::KeyPair;
use crate::token::keys::{HmacKey, JwtKey, Material};

/// A beginning of a digest that is shorter proves nothing and is not compared.
pub(super) const SHORTEST: usize = 16;

/// Who signed, and how.
pub(super) struct Signer<'a> {
    pub(super) by: By<'a>,
    /// The algorithm that fits, whatever the header says.
    pub(super) algorithm: Algorithm,
    /// How the signature is written.
    pub(super) written: Written,
    /// Whether it is over what it should be over.
    pub(super) exact_input: bool,
}

/// Whose key it is.
pub(super) enum By<'a> {
    Key(&'a JwtKey),
    OtherKey(&'a Application),
    Secret(Candidate<'a>),
    SuspectedPair,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    AsItShould,
    Hexadecimal,
    Base64Twice,
    Der,
    Cut,
}

/// The signer, as far as anybody here can know.
pub(super) fn find<'a>(case: &'a Case<'a>, opened: &Opened) -> Option<Signer<'a>> {
    let input = opened.inputs.first()?;
    if opened.signature.is_empty() {
        return None;
    }
    let own = case.application.keys.jwt.iter();
    if let Some(key) = own.clone().find(|key| key.verifies(input, &opened.signature)) {
        return Some(Signer {
            by: By::Key(key),
            algorithm: key.algorithm,
            written: Written::AsItShould,
            exact_input: true,
        });
    }
    if let Some(raw) = from_der(&opened.signature)
        && let Some(key) = own.clone().find(|key| key.algorithm.family() == Family::Ec && key.verifies(input, &raw))
    {
        return Some(Signer { by: By::Key(key), algorithm: key.algorithm, written: Written::Der, exact_input: true });
    }
    by_pair(case, input, &opened.signature).or_else(|| by_secret(case, opened))
}

fn by_pair<'a>(case: &'a Case<'a>, input: &[u8], signature: &[u8]) -> Option<Signer<'a>> {
    let found = |by, algorithm| Signer { by, algorithm, written: Written::AsItShould, exact_input: true };
    for other in case.neighbours() {
        let pairs =
            other.keys.jwt.iter().filter(|key| matches!(key.material, Material::Pair(_))).take(secrets::OTHER_KEYS);
        for key in pairs {
            if key.verifies(input, signature) {
                return Some(found(By::OtherKey(other), key.algorithm));
            }
        }
    }
    suspected_pair(case, input, signature).map(|algorithm| found(By::SuspectedPair, algorithm))
}

/// The algorithm by which the suspected secret, read as a private or public key, fits.
pub(super) fn suspected_pair(case: &Case<'_>, input: &[u8], signature: &[u8]) -> Option<Algorithm> {
    let text = case.suspected_secret;
    if text.is_empty() {
        return None;
    }
    Algorithm::ALL.into_iter().filter(|algorithm| algorithm.family() != Family::Hmac).find(|algorithm| {
        let pair = KeyPair::private(*algorithm, text).or_else(|_| KeyPair::public(*algorithm, text));
        pair.is_ok_and(|pair| pair.verifies(input, signature))
    })
}

fn by_secret<'a>(case: &'a Case<'a>, opened: &Opened) -> Option<Signer<'a>> {
    let forms = forms(opened);
    let fitting = |candidate: Candidate<'a>| {
        let (algorithm, written) = fits(&candidate.secret, opened.inputs.first()?, &forms)?;
        Some(Signer { by: By::Secret(candidate), algorithm, written, exact_input: true })
    };
    let over_something_else = |candidate: Candidate<'a>| {
        let mut others = opened.inputs.iter().skip(1);
        let (algorithm, written) = others.find_map(|input| fits(&candidate.secret, input, &forms))?;
        Some(Signer { by: By::Secret(candidate), algorithm, written, exact_input: false })
    };
    secrets::candidates(case, Purpose::Jwt).find_map(fitting).or_else(|| {
        let plain = secrets::candidates(case, Purpose::Jwt).take_while(|candidate| candidate.change.is_none());
        plain.into_iter().find_map(over_something_else)
    })
}

/// Whether the suspected secret signed it, and how it had to be changed.
pub(super) fn by_suspected<'a>(case: &Case<'_>, opened: &Opened) -> Option<Candidate<'a>> {
    let forms = forms(opened);
    secrets::suspected(case)
        .find(|candidate| opened.inputs.iter().any(|input| fits(&candidate.secret, input, &forms).is_some()))
}

/// What the signature's bytes can be read as, each with the algorithms whose digest it might be.
fn forms(opened: &Opened) -> Vec<(Written, Vec<u8>, Vec<Algorithm>)> {
    let signature = &opened.signature;
    let text = std::str::from_utf8(signature).ok();
    let mut forms = vec![(Written::AsItShould, signature.clone())];
    forms.extend(text.and_then(|text| Some((Written::Hexadecimal, hex::decode(text).ok()?))));
    forms.extend(text.and_then(|text| Some((Written::Base64Twice, wrapping::base64(text)?))));
    let mut read: Vec<_> = forms
        .into_iter()
        .filter_map(|(written, bytes)| {
            let algorithm = DIGESTS.into_iter().find(|(_, length)| *length == bytes.len())?.0;
            Some((written, bytes, vec![algorithm]))
        })
        .collect();
    let longer = DIGESTS.into_iter().filter(|(_, length)| (SHORTEST..*length).contains(&signature.len()));
    let longer: Vec<Algorithm> = longer.map(|(algorithm, _)| algorithm).collect();
    if !longer.is_empty() {
        read.push((Written::Cut, signature.clone(), longer));
    }
    read
}

const DIGESTS: [(Algorithm, usize); 3] = [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)];

fn fits(secret: &Secret, input: &[u8], forms: &[(Written, Vec<u8>, Vec<Algorithm>)]) -> Option<(Algorithm, Written)> {
    forms.iter().find_map(|(written, bytes, algorithms)| {
        let fitting = algorithms.iter().find(|algorithm| {
            let Some(key) = HmacKey::new(**algorithm, secret.clone()) else { return false };
            if *written == Written::Cut { begins(&key.mac(input), bytes) } else { key.verifies(input, bytes) }
        });
        Some((*fitting?, *written))
    })
}

/// Whether the digest begins with these bytes, in constant time.
pub(super) fn begins(digest: &[u8], start: &[u8]) -> bool {
    start.len() >= SHORTEST && digest.get(..start.len()).is_some_and(|same| same.ct_eq(start).into())
}

/// An ECDSA signature as JWS wants it (RFC 7518 section 3.4), from the DER that crypto libraries give.
fn from_der(signature: &[u8]) -> Option<Vec<u8>> {
    let rest = signature.strip_prefix(&[0x30])?;
    let (length, rest) = rest.split_first()?;
    if usize::from(*length) != rest.len() {
        return None;
    }
    let (r, rest) = integer(rest)?;
    let (s, rest) = integer(rest)?;
    let size = if r.len().max(s.len()) > 32 { 48 } else { 32 };
    if !rest.is_empty() || r.len().max(s.len()) > size {
        return None;
    }
    let fixed = |number: &[u8]| [vec![0; size - number.len()], number.to_vec()].concat();
    Some([fixed(r), fixed(s)].concat())
}

/// The next INTEGER without its leading zeros, and what follows it.
fn integer(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = der.strip_prefix(&[0x02])?.split_first()?;
    let (number, rest) = rest.split_at_checked(usize::from(*length))?;
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    Some((number.get(zeros..)?, rest))
}
