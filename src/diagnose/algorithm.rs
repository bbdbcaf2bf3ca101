//! Whether the token says an algorithm that this application takes.

use super::Case;
use super::form::Opened;
use super::judged::{Judged, Mistake};
use crate::profile::{JwtFormat, Kid};
use crate::token::algorithm::{Algorithm, Family};

/// A token for a product that has none.
pub(super) fn no_jwt(case: &Case<'_>) -> Judged {
    let what = "This application's product takes no JWT.";
    let remedy = if case.application.profile.hash.is_some() {
        "Send the user hash instead, or check the application's name."
    } else {
        "Check the application's name."
    };
    Judged::failed(Mistake::new(what, remedy))
}

pub(super) fn judge(case: &Case<'_>, format: &JwtFormat, opened: &Opened) -> Judged {
    let Some(name) = opened.algorithm.as_deref() else {
        return Judged::inconclusive("The header does not say an algorithm: see token.form.");
    };
    let remedy = || format!("Sign with {}.", expected(case, format));
    let algorithm = Algorithm::named(name);
    let Some(algorithm) = algorithm.filter(|algorithm| format.algorithms.contains(algorithm)) else {
        return Judged::failed(Mistake::new(not_allowed(case, format, name), remedy()));
    };
    let named = opened.kid.as_ref().filter(|_| format.kid != Kid::None);
    let key = named.and_then(|kid| case.application.keys.jwt.iter().find(|key| key.kid == *kid));
    match key {
        Some(key) if key.algorithm != algorithm => {
            let what = format!(
                "The key that `kid` names is for {}, and the token says another algorithm.",
                key.algorithm.name()
            );
            Judged::failed(Mistake::new(
                what,
                format!("Sign with {}, or name the key that signed.", key.algorithm.name()),
            ))
        }
        Some(_) | None => Judged::passed(format!("{} is allowed.", algorithm.name())),
    }
}

/// The algorithms of the application's keys; those of the profile where there is no key.
pub(super) fn expected(case: &Case<'_>, format: &JwtFormat) -> String {
    let mut names: Vec<&str> = case.application.keys.jwt.iter().map(|key| key.algorithm.name()).collect();
    if names.is_empty() {
        names = format.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    }
    names.sort_unstable();
    names.dedup();
    names.join(" or ")
}

fn not_allowed(case: &Case<'_>, format: &JwtFormat, name: &str) -> String {
    if name.eq_ignore_ascii_case("none") {
        return "`alg` is `none`: the token is not signed, and anybody could have written it.".to_owned();
    }
    if let Some(meant) = format.algorithms.iter().find(|allowed| allowed.name().eq_ignore_ascii_case(name)) {
        return format!("`alg` is written in other letters than `{}`; case matters.", meant.name());
    }
    let symmetric = case.application.keys.jwt.iter().all(|key| key.algorithm.family() == Family::Hmac);
    match Algorithm::named(name) {
        Some(algorithm) if algorithm.family() == Family::Hmac && !symmetric => {
            "The token is signed with a shared secret, and this application uses key pairs. A library that is given \
             a key pair without an algorithm may take its text for a secret."
                .to_owned()
        }
        Some(algorithm) if algorithm.family() != Family::Hmac && symmetric => {
            "The token is signed with a key pair, and this application uses a shared secret.".to_owned()
        }
        Some(_) => "The token is signed with another algorithm than this application takes.".to_owned(),
        None if is_encryption(name) => "`alg` is one of encryption (JWE), and a signed token is expected.".to_owned(),
        None if looks_like_hmac(name) => {
            "`alg` has the name of an algorithm as a crypto library writes it, not as JWTs do.".to_owned()
        }
        None => "`alg` is no algorithm that is known here.".to_owned(),
    }
}

fn is_encryption(name: &str) -> bool {
    name == "dir"
        || ["RSA-OAEP", "RSA1_5", "ECDH-ES", "PBES2", "A128", "A192", "A256"]
            .iter()
            .any(|known| name.starts_with(known))
}

fn looks_like_hmac(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    ["sha256", "hmacsha256", "hmac256", "hs", "hmac"].iter().any(|known| plain.eq_ignore_ascii_case(known))
}
