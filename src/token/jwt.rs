//! JWTs in compact form (RFC 7515, RFC 7519), read strictly and in one order: cheap and structural checks first, then
//! the signature, and nothing of the payload before it.
//!
//! `jsonwebtoken::decode` is not used: it ignores `crit`, takes the last of duplicate members and reads the system
//! clock. `tests/it/differential.rs` holds the two against each other.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::UtcDateTime;

use super::algorithm::Algorithm;
use super::keys::{JwtKey, Stage};
use super::times::{Rules, Times};
use crate::attributes::Attributes;
use crate::profile::{JwtFormat, Kid, Presence, Read};
use crate::refusal::{Reason, Refused};
use crate::{json, limits};

/// A token taken apart; nothing of it is believed yet.
#[derive(Debug)]
pub struct Parts<'t> {
    /// The header, a JSON object.
    pub header: Map<String, Value>,
    /// The value of `alg`.
    pub algorithm: String,
    /// The value of `kid`.
    pub kid: Option<String>,
    /// What was signed: header and payload, still encoded.
    pub signing_input: &'t str,
    /// The payload's bytes.
    pub payload: Vec<u8>,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

/// What an application expects of its tokens besides a good signature.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The times.
    pub times: Rules,
    /// `iss`, where one is configured.
    pub issuer: Option<String>,
    /// The audiences that may be meant; empty: `aud` is not looked at.
    pub audiences: Vec<String>,
    /// Whether a token counts once.
    pub one_time: bool,
    /// Whether it is better not to judge than to judge by what was known of revocations a while ago.
    pub strict_revocation: bool,
}

/// A token that is genuine, in time and complete.
#[derive(Debug)]
pub struct Verified<'k> {
    /// Which key signed it.
    pub key: &'k JwtKey,
    /// Names it for revocation.
    pub token_id: String,
    /// Its payload, exactly as signed.
    pub claims_json: String,
    /// Its payload.
    pub claims: Map<String, Value>,
    /// Its times.
    pub times: Times,
    /// Who it is about.
    pub read: Read,
}

/// The encoded header of a key's tokens.
#[must_use]
pub fn header(algorithm: Algorithm, kid: Option<&String>, typ: Option<&str>) -> String {
    let mut header = Map::new();
    header.insert("alg".to_owned(), json!(algorithm.name()));
    if let Some(typ) = typ {
        header.insert("typ".to_owned(), json!(typ));
    }
    if let Some(kid) = kid {
        header.insert("kid".to_owned(), json!(kid));
    }
    URL_SAFE_NO_PAD.encode(Value::Object(header).to_string())
}

/// Signs the claims. An asymmetric signature is verified before it is given away: a faulty one can betray the private
/// key. None where the key cannot sign.
#[must_use]
pub fn sign(key: &JwtKey, claims: &str) -> Option<String> {
    let mut token = String::with_capacity(key.header().len() + claims.len() * 4 / 3 + 96);
    token.push_str(key.header());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes())?;
    let symmetric = matches!(key.material, super::keys::Material::Hmac(_));
    if !symmetric && !key.verifies(token.as_bytes(), &signature) {
        return None;
    }
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Some(token)
}

/// What names a token without an id claim: never the whole token, because signatures can be malleable.
#[must_use]
pub fn signing_input_id(signing_input: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(signing_input.as_bytes()))
}

impl<'t> Parts<'t> {
    /// Takes a token apart: size, three parts in base64url, a header that is a JSON object and says nothing that we
    /// would have to understand and do not (RFC 7515 section 4.1.11, RFC 7797).
    pub fn of(token: &'t str) -> Result<Self, Reason> {
        if token.len() > limits::TOKEN_BYTES {
            return Err(Reason::TokenTooLarge);
        }
        let malformed = Reason::TokenMalformed;
        let (signing_input, signature) = token.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_ignored| malformed);
        let header = json::object(&decode(header)?).ok_or(malformed)?;
        let (payload, signature) = (decode(payload)?, decode(signature)?);
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(malformed);
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(malformed),
        };
        let algorithm = text("alg")?.ok_or(malformed)?;
        // Only formats that name keys care whether this is text.
        let kid = text("kid").unwrap_or_default();
        Ok(Self { header, algorithm, kid, signing_input, payload, signature })
    }

    /// The keys that its `alg` is for.
    pub fn candidates<'k>(&self, keys: &'k [JwtKey]) -> impl Iterator<Item = &'k JwtKey> {
        keys.iter().filter(|key| key.algorithm.name() == self.algorithm)
    }

    /// The key that signed it. The token's `alg` is only ever compared; `kid` is a map key and nothing else; `jku`,
    /// `jwk`, `x5u` and `x5c` are not looked at.
    pub fn authenticate<'k>(
        &self,
        keys: &'k [JwtKey],
        format: &JwtFormat,
        now: UtcDateTime,
    ) -> Result<&'k JwtKey, Reason> {
        let algorithm = Algorithm::named(&self.algorithm)
            .filter(|algorithm| format.algorithms.contains(algorithm))
            .ok_or(Reason::AlgorithmNotAllowed)?;
        let verifies = |key: &JwtKey| key.verifies(self.signing_input.as_bytes(), &self.signature);
        if format.kid != Kid::None && self.kid.is_none() && self.header.contains_key("kid") {
            return Err(Reason::TokenMalformed);
        }
        let named = match (format.kid, &self.kid) {
            (Kid::None, _) | (Kid::Optional, None) => None,
            (Kid::Required, None) => return Err(Reason::KeyUnknown),
            (Kid::Optional | Kid::Required, Some(kid)) => Some(kid),
        };
        if let Some(kid) = named {
            let key = keys.iter().find(|key| key.kid == *kid).ok_or(Reason::KeyUnknown)?;
            return match key.algorithm == algorithm {
                false => Err(Reason::AlgorithmNotAllowed),
                true if verifies(key) => staged(key, now),
                true => Err(Reason::SignatureInvalid),
            };
        }
        let mut candidates = self.candidates(keys).peekable();
        candidates.peek().ok_or(Reason::KeyUnknown)?;
        let mut found = Err(Reason::SignatureInvalid);
        for key in candidates.filter(|key| verifies(key)) {
            found = staged(key, now);
            if found.is_ok() {
                break;
            }
        }
        found
    }
}

fn staged(key: &JwtKey, now: UtcDateTime) -> Result<&JwtKey, Reason> {
    match key.validity.stage_at(now) {
        Stage::Valid => Ok(key),
        Stage::Retired => Err(Reason::KeyRetired),
        Stage::NotYetValid => Err(Reason::KeyNotYetValid),
    }
}

/// Judges a token by everything that is in it: [`Parts::of`], [`Parts::authenticate`], [`judge`].
pub fn verify<'k>(
    token: &str,
    keys: &'k [JwtKey],
    format: &JwtFormat,
    expected: &Expected,
    declared: (&Attributes, &Attributes),
    now: UtcDateTime,
) -> Result<Verified<'k>, Refused> {
    let parts = Parts::of(token)?;
    let key = parts.authenticate(keys, format, now)?;
    judge(parts, key, format, expected, declared, now)
}

/// Judges what a genuine token says. What depends on the world (identity beside it, privilege, revocation, acceptance,
/// replay) comes after.
pub fn judge<'k>(
    parts: Parts<'_>,
    key: &'k JwtKey,
    format: &JwtFormat,
    expected: &Expected,
    (users, companies): (&Attributes, &Attributes),
    now: UtcDateTime,
) -> Result<Verified<'k>, Refused> {
    let claims = json::object(&parts.payload).ok_or(Reason::TokenMalformed)?;
    let claims_json = String::from_utf8(parts.payload).map_err(|_ignored| Reason::TokenMalformed)?;
    let times = Times::judge(&claims, format, &expected.times, now)?;
    expected.judge_parties(&claims)?;
    let token_id = text_claim(&claims, "jti")?;
    let read = format.read(&claims, users, companies)?;
    let token_id = token_id.map_or_else(|| signing_input_id(parts.signing_input), str::to_owned);
    Ok(Verified { key, token_id, claims_json, claims, times, read })
}

impl Expected {
    /// The same for one audience; an empty one narrows nothing.
    #[must_use]
    pub fn narrowed_to(&self, audience: &str) -> Cow<'_, Self> {
        if audience.is_empty() {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self { audiences: vec![audience.to_owned()], ..self.clone() })
    }

    /// `iss` and `aud`, and the types of the registered claims that are text.
    fn judge_parties(&self, claims: &Map<String, Value>) -> Result<(), Refused> {
        let issuer = text_claim(claims, "iss")?;
        text_claim(claims, "sub")?;
        text_claim(claims, "jti")?;
        let audiences = audience_claim(claims)?;
        if self.issuer.is_some() && issuer != self.issuer.as_deref() {
            return Err(Reason::IssuerMismatch.into());
        }
        let meant = audiences.iter().any(|audience| self.audiences.iter().any(|expected| expected == audience));
        if self.audiences.is_empty() || meant { Ok(()) } else { Err(Reason::AudienceMismatch.into()) }
    }
}

fn text_claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<Option<&'c str>, Refused> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty()).map(String::as_str)),
        Some(_) => Err(Refused::claim(Reason::ClaimTypeInvalid, name)),
    }
}

fn audience_claim(claims: &Map<String, Value>) -> Result<Vec<&str>, Refused> {
    let wrong = || Refused::claim(Reason::ClaimTypeInvalid, "aud");
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(audience)) => Ok(vec![audience]),
        Some(Value::Array(list)) => list.iter().map(|item| item.as_str().ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

impl JwtFormat {
    /// Whether tokens of this format must have an end.
    #[must_use]
    pub fn requires_expiry(&self) -> bool {
        self.expiry == Presence::Required
    }
}
