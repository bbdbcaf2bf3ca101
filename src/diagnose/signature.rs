//! Which key the token names, and whose key signed it.

use super::Case;
use super::algorithm;
use super::form::Opened;
use super::judged::{Judged, Mistake, joined, named, span};
use super::secrets::{self, Purpose};
use super::signer::{By, Signer, Written};
use crate::profile::{JwtFormat, Kid};
use crate::refusal::Reason;
use crate::token::algorithm::{Algorithm, Family};
use crate::token::keys::{JwtKey, Stage, Validity};

/// `token.key` and `token.signature`.
pub(super) fn judge(
    case: &Case<'_>,
    format: &JwtFormat,
    opened: &Opened,
    signer: Option<&Signer<'_>>,
) -> (Judged, Judged) {
    let outcome = opened.strict().map(|parts| parts.authenticate(&case.application.keys.jwt, format, case.now));
    if let Some(Ok(key)) = outcome {
        let kid = if format.kid != Kid::None && opened.kid.is_some() { "`kid` names" } else { "The token fits" };
        let fits = Judged::passed(format!("{kid} a key of this application that is valid now: `{}`.", key.id));
        return (fits, Judged::passed(format!("The signature is genuine.{}", weakness(key.is_weak()))));
    }
    let by = match signer {
        Some(Signer { by: By::Key(key), written: Written::AsItShould, exact_input: true, .. }) => Some(*key),
        Some(_) | None => None,
    };
    let reason = outcome.and_then(Result::err);
    (key(case, format, opened, by, reason), signature(case, format, opened, signer))
}

/// What is said of a key that the operator should replace: it is nothing that an integrator did.
pub(super) fn weakness(weak: bool) -> &'static str {
    if weak { " The application's key is shorter than 32 bytes, which is the operator's to change." } else { "" }
}

fn key(case: &Case<'_>, format: &JwtFormat, opened: &Opened, by: Option<&JwtKey>, reason: Option<Reason>) -> Judged {
    let keys = &case.application.keys.jwt;
    if keys.is_empty() {
        return Judged::operators(
            "This application has no key for JWTs, so that no token can be judged.",
            "Ask the operator to configure a key with purpose = \"jwt\"; check the application's name.",
        );
    }
    if let Some(mistake) = kid(case, format, opened, by) {
        return Judged::failed(mistake);
    }
    if let Some(mistake) = by.and_then(|key| outside(case, key.validity, "token")) {
        return Judged::failed(mistake);
    }
    let said = opened.algorithm.as_deref().and_then(Algorithm::named);
    let Some(said) = said.filter(|algorithm| format.algorithms.contains(algorithm)) else {
        return Judged::inconclusive("No key is looked up for such an algorithm: see token.algorithm.");
    };
    if !keys.iter().any(|key| key.algorithm == said) {
        let what = format!("This application has no key for {}.", said.name());
        let remedy = format!("Sign with {}.", algorithm::expected(case, format));
        return Judged::failed(Mistake::new(what, remedy));
    }
    match reason {
        Some(reason @ (Reason::KeyUnknown | Reason::KeyRetired | Reason::KeyNotYetValid)) => {
            Judged::failed(Mistake::of(&reason.into()))
        }
        Some(_) | None => Judged::passed("There is a key that the token may be signed with."),
    }
}

/// What is wrong with `kid`.
fn kid(case: &Case<'_>, format: &JwtFormat, opened: &Opened, by: Option<&JwtKey>) -> Option<Mistake> {
    let keys = &case.application.keys.jwt;
    let right = || {
        by.map_or_else(
            || "Write the `kid` of the application's key into the header.".to_owned(),
            |key| {
                format!("The signature fits the key `{0}`: write its `kid`, `{1}`, into the header.", key.id, key.kid)
            },
        )
    };
    let said = match (format.kid, &opened.kid) {
        (Kid::None, _) | (Kid::Optional, None) => return None,
        (Kid::Required, None) => {
            return Some(Mistake::new("The header has no `kid`, and this profile needs one to find the key.", right()));
        }
        (Kid::Optional | Kid::Required, Some(kid)) => kid,
    };
    if let Some(named) = keys.iter().find(|key| key.kid == *said) {
        let other = by.filter(|by| by.kid != named.kid)?;
        let what = format!("`kid` names the key `{}`, and `{}` signed.", named.id, other.id);
        return Some(Mistake::new(what, right()));
    }
    let near = |key: &&JwtKey| key.kid.trim().eq_ignore_ascii_case(said.trim());
    let what = if keys.iter().any(|key| key.id == *said) {
        "`kid` is the name that a key has in the configuration, and the key has another `kid`.".to_owned()
    } else if keys.iter().any(|key| near(&key)) {
        "`kid` differs from that of a key of this application only in capital letters or white space.".to_owned()
    } else if let Some(other) = case.neighbours().find(|other| other.keys.jwt.iter().any(|key| key.kid == *said)) {
        format!("`kid` names a key of {}.", named(other))
    } else {
        "`kid` names no key of this application.".to_owned()
    };
    Some(Mistake::new(what, right()))
}

/// A key that does not count now.
pub(super) fn outside(case: &Case<'_>, validity: Validity, made: &str) -> Option<Mistake> {
    match (validity.stage_at(case.now), validity) {
        (Stage::Retired, Validity { retire_at: Some(end), .. }) => Some(Mistake::new(
            format!(
                "The {made} was made with a key of this application that was retired {} ago.",
                span(case.now - end)
            ),
            "Use the application's current key, and make what you keep in caches anew.",
        )),
        (Stage::NotYetValid, Validity { not_before: Some(start), .. }) => Some(Mistake::new(
            format!(
                "The {made} was made with a key of this application that is valid in {} only.",
                span(start - case.now)
            ),
            "Use the application's current key until then.",
        )),
        (Stage::Retired | Stage::NotYetValid | Stage::Valid, _) => None,
    }
}

fn signature(case: &Case<'_>, format: &JwtFormat, opened: &Opened, signer: Option<&Signer<'_>>) -> Judged {
    if opened.signature.is_empty() {
        let what = "The token has no signature: it was never signed, or the end of it was cut off.";
        let remedy = format!("Sign it with {}, and send all three parts.", algorithm::expected(case, format));
        return Judged::failed(Mistake::new(what, remedy));
    }
    let Some(signer) = signer else { return Judged::failed(unknown(case, format, opened)) };
    let said = opened.algorithm.as_deref().and_then(Algorithm::named);
    let mut mistakes = Vec::new();
    match &signer.by {
        By::Key(_) => {}
        By::OtherKey(other) => mistakes.push(Mistake::new(
            format!("The token was signed with a key of {}.", named(other)),
            format!("Sign with the key of {}, or send the token to the other one.", named(case.application)),
        )),
        By::Secret(candidate) => mistakes.extend(candidate.mistake(case, Purpose::Jwt, "The token was signed with")),
        By::SuspectedPair => mistakes.push(Mistake::new(
            "The token was signed with the suspected key that was given, which is not this application's.",
            "Sign with the key of this application, or have the operator configure the one that you hold.",
        )),
    }
    mistakes.extend(written(signer));
    let other_algorithm = said.filter(|said| *said != signer.algorithm).map(|_| {
        let what = format!("The signature is one by {}, and `alg` says something else.", signer.algorithm.name());
        Mistake::new(what, format!("Let the library write `alg`, and sign with {}.", algorithm::expected(case, format)))
    });
    mistakes.extend(other_algorithm);
    match joined(mistakes) {
        Some(mistake) => Judged::failed(mistake),
        None if matches!(signer.by, By::Key(_)) => Judged::passed("The signature is one by a key of this application."),
        None => Judged::inconclusive(
            "The signature is one by the application's secret, only not as it should be: see token.form, \
             token.algorithm and token.key.",
        ),
    }
}

/// How the signature is written, and what it is over.
fn written(signer: &Signer<'_>) -> Vec<Mistake> {
    let again = "Encode the bytes of the signature with base64url, once; better, let a JWT library do it.";
    let mut mistakes = Vec::new();
    match signer.written {
        Written::AsItShould => {}
        Written::Hexadecimal => {
            mistakes.push(Mistake::new("The signature's hexadecimal digits were encoded, not its bytes.", again));
        }
        Written::Base64Twice => mistakes.push(Mistake::new("The signature is base64-encoded twice.", again)),
        Written::Der => mistakes.push(Mistake::new(
            "The signature is in DER, as crypto libraries give it, and a JWS has the two numbers one after the other.",
            "Convert it to the fixed form (RFC 7518 section 3.4; `ieee-p1363` in some libraries), or let a JWT \
             library sign.",
        )),
        Written::Cut => mistakes.push(Mistake::new(
            "The signature fits as far as it goes: the token is cut short.",
            "Send all of the token. A database column, a cookie or a log may have cut it.",
        )),
    }
    if !signer.exact_input {
        mistakes.push(Mistake::new(
            "The signature is not over the encoded header and payload with a dot between them, as they were sent.",
            "Sign exactly `base64url(header).base64url(payload)`, without padding; better, let a JWT library do it.",
        ));
    }
    mistakes
}

/// A signature that nobody here made.
fn unknown(case: &Case<'_>, format: &JwtFormat, opened: &Opened) -> Mistake {
    let length = opened.signature.len();
    let said = opened.algorithm.as_deref().and_then(Algorithm::named);
    if let Some((said, whole)) = said.and_then(|said| Some((said, bytes(said)?))).filter(|(_, whole)| length < *whole) {
        return Mistake::new(
            format!(
                "The signature has {length} bytes, and one by {} has {whole}: the token is cut short.",
                said.name()
            ),
            "Send all of the token. A database column, a cookie or a log may have cut it.",
        );
    }
    let pairs = case.application.keys.jwt.iter().all(|key| key.algorithm.family() != Family::Hmac);
    let what = match said.map(Algorithm::family) {
        Some(Family::Hmac) if pairs => {
            "The token is signed with a shared secret, and this application has key pairs. A library that is given a \
             key pair without an algorithm may take its text for a secret."
        }
        Some(Family::Rsa | Family::Ec | Family::Ed) if !pairs => {
            "The token is signed with a key pair that is not known here, and this application has a shared secret."
        }
        Some(_) | None => {
            "The signature fits no key that is known here, or header or payload were changed after signing."
        }
    };
    let remedy = format!(
        "Compare the secret that signs with the one that is configured for {}, character by character, and sign with \
         {}. Give it as the suspected secret, and it is tried.",
        named(case.application),
        algorithm::expected(case, format)
    );
    Mistake::new(format!("{what} {}", secrets::tried(case)), remedy)
}

/// The bytes of a signature, where the algorithm fixes them.
const fn bytes(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::HS256 => Some(32),
        Algorithm::HS384 => Some(48),
        Algorithm::HS512 | Algorithm::ES256 | Algorithm::EdDSA => Some(64),
        Algorithm::ES384 => Some(96),
        Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 | Algorithm::PS256 => Some(256),
    }
}
