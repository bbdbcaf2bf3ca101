//! Whether the token is a JWS in compact form, and what it can still be read as where it is not.

use serde_json::{Map, Value};

use super::Case;
use super::judged::{Judged, Mistake, is_unset};
use super::wrapping::{self, COMMON, TOKEN};
use crate::profile::Kid;
use crate::refusal::Reason;
use crate::token::jwt::Parts;
use crate::token::legacy;
use crate::{json, limits};

/// A token as far as it can be read. Nothing of it is believed.
#[derive(Debug)]
pub(super) struct Opened {
    /// What is left without its wrapping.
    pub(super) text: String,
    pub(super) algorithm: Option<String>,
    pub(super) kid: Option<String>,
    /// What may have been signed; first what should have been.
    pub(super) inputs: Vec<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) signature: Vec<u8>,
}

impl Opened {
    /// The token as Verify takes it apart, where it can be.
    pub(super) fn strict(&self) -> Option<Parts<'_>> {
        Parts::of(&self.text).ok()
    }
}

pub(super) fn judge(case: &Case<'_>, text: &str) -> (Judged, Option<Opened>) {
    let reason = match Parts::of(text) {
        Ok(parts) if unread_kid(case, &parts) => {
            let mistake = Mistake::new("`kid` in the header is not text.", "Write `kid` as a string.");
            return (Judged::failed(mistake), read(text, &mut Vec::new()));
        }
        Ok(_) => return (Judged::passed("It is a compact JWS."), read(text, &mut Vec::new())),
        Err(Reason::TokenTooLarge) => {
            let what = "The token is over 16 KiB. Nothing else of it was looked at.";
            return (Judged::failed(Mistake::new(what, Reason::TokenTooLarge.remedy())), None);
        }
        Err(reason) => reason,
    };
    let (bare, mut mistakes) = wrapping::peel(text, &[COMMON, TOKEN], |text| Parts::of(text).is_ok());
    let opened = match bare.split('.').count() {
        _ if Parts::of(&bare).is_ok() => read(&bare, &mut mistakes),
        2 | 3 if !(bare.starts_with('{') && bare.ends_with('}')) => read(&bare, &mut mistakes),
        _ => None,
    };
    if opened.is_none() {
        mistakes.extend(no_token(case, &bare));
    }
    (Judged::failed_by(mistakes, &reason.into()), opened)
}

/// Whether the format names its keys and the token does it with something else than text.
fn unread_kid(case: &Case<'_>, parts: &Parts<'_>) -> bool {
    let names = case.application.profile.jwt.as_ref().is_some_and(|format| format.kid != Kid::None);
    names && parts.kid.is_none() && parts.header.contains_key("kid")
}

/// What it is if it is no token.
fn no_token(case: &Case<'_>, text: &str) -> Option<Mistake> {
    let again =
        "Check that the variable that should hold the token is set and awaited, then send the token as it was signed.";
    if text.is_empty() {
        return Some(Mistake::new("The token is empty. An empty token never falls back to the hash.", again));
    }
    if is_unset(text) {
        return Some(Mistake::new(
            "It is the text of a variable that was not set, or of an object, such as `undefined` or `[object \
             Promise]`.",
            again,
        ));
    }
    if text.contains("-----BEGIN") {
        let what = "It is a key in PEM form, not a token. If the key is private, it has left its place.";
        return Some(Mistake::new(
            what,
            "Sign with the key on your server and send what comes out. Replace a key that was sent.",
        ));
    }
    if text.starts_with('{') {
        let what = "It is the claims themselves as JSON, not signed.";
        return Some(Mistake::new(what, "Sign the claims on your server with a JWT library and send the token."));
    }
    if text.contains('…') || text.contains("...") {
        let what = "It was shortened for display: there are dots where the middle was left out.";
        return Some(Mistake::new(what, "Copy the whole token, not what a log or a console shows of it."));
    }
    if let Some(mistake) = hash(case, text) {
        return Some(mistake);
    }
    let (what, remedy) = match text.split('.').count() {
        1 => (
            "It is no JWT: it has one part, and a JWT has three with dots between them.",
            "Send a signed JWT. Session ids, opaque access tokens and API keys are something else.",
        ),
        2 => (
            "It has two parts instead of three, and the first is no header: it is cut short, or no JWT.",
            "Send all of the token: header, payload and signature.",
        ),
        3 => return None,
        5 => (
            "It is encrypted (a JWE has five parts), and a signed token is expected.",
            "Sign the claims (JWS) and do not encrypt them.",
        ),
        _ => (
            "It has too many parts: a JWT has three, with two dots between them.",
            "Send one token, exactly as the library returned it.",
        ),
    };
    Some(Mistake::new(what, remedy))
}

/// A hash in the place of a token.
fn hash(case: &Case<'_>, text: &str) -> Option<Mistake> {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit()) && matches!(text.len(), 32 | 40 | 56 | 64 | 96 | 128);
    let base64 = text.len() == 44 && text.ends_with('=');
    if !hex && !base64 {
        return None;
    }
    let application = case.application;
    let fits = application.profile.hash.as_ref().is_some_and(|format| {
        let Ok(digest) = legacy::read(text, format.digest) else { return false };
        let values = format.order.iter().filter_map(|kind| case.asserted.identifier(*kind));
        values.into_iter().any(|value| legacy::verify(&application.keys.legacy, value, &digest, case.now).is_ok())
    });
    let fitting = if fits { " It is a good one of an identifier that was sent." } else { "" };
    let what = format!("It is a hash in the place of the JWT.{fitting}");
    Some(Mistake::new(what, "Send the hash in `user_hash` and no JWT; or, better, sign a JWT."))
}

/// Reads the parts of a token, adding what is wrong with each. None where not even the header can be read.
fn read(text: &str, mistakes: &mut Vec<Mistake>) -> Option<Opened> {
    let mut parts = text.split('.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next());
    let (header_bytes, header_fault) = part(header);
    let object = header_bytes.as_deref().and_then(json::object);
    let Some(header_object) = object else {
        mistakes.extend(header_fault.map(Fault::mistake));
        mistakes.extend(no_header(header, header_bytes.as_deref()));
        return None;
    };
    let (payload_bytes, payload_fault) = part(payload);
    let (signature_bytes, signature_fault) = signature.map_or((None, None), part);
    for fault in [header_fault, payload_fault, signature_fault].into_iter().flatten() {
        mistakes.push(fault.mistake());
    }
    if signature.is_none() {
        mistakes.push(Mistake::new(
            "It has two parts instead of three: the signature is missing, because the token is cut short or was \
             never signed.",
            "Send all of the token: header, payload and signature.",
        ));
    }
    header_mistakes(&header_object, mistakes);
    let text_of = |name: &str| header_object.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut inputs = vec![format!("{header}.{payload}").into_bytes()];
    inputs.extend(other_inputs((header, payload), header_bytes.as_deref(), payload_bytes.as_deref()));
    Some(Opened {
        text: text.to_owned(),
        algorithm: text_of("alg"),
        kid: text_of("kid"),
        inputs,
        payload: payload_bytes,
        signature: signature_bytes.unwrap_or_default(),
    })
}

/// What home-made signing takes for the signing input.
fn other_inputs(
    (header, payload): (&str, &str),
    header_bytes: Option<&[u8]>,
    payload_bytes: Option<&[u8]>,
) -> Vec<Vec<u8>> {
    let bare = |part: &str| part.trim_end_matches('=').replace('+', "-").replace('/', "_");
    let mut inputs = vec![format!("{}.{}", bare(header), bare(payload)).into_bytes(), payload.as_bytes().to_vec()];
    if let (Some(header), Some(payload)) = (header_bytes, payload_bytes) {
        inputs.push([header, b".", payload].concat());
        inputs.push(payload.to_vec());
    }
    inputs
}

fn no_header(text: &str, decoded: Option<&[u8]>) -> Option<Mistake> {
    let (what, remedy) = match decoded {
        _ if text.starts_with('{') => (
            "The header is JSON as it stands, not base64url-encoded.",
            "Encode header and payload with base64url before signing; better, let a JWT library do it.",
        ),
        None => return None,
        Some(bytes) if serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value.is_object()) => (
            "The header has a member twice, so that two readers could read two things.",
            "Write each member of the header once.",
        ),
        Some(_) => (
            "The first part is not a header: it is no JSON object. The beginning is missing, or it is no JWT.",
            "Send the token from its first character on; it usually begins with `eyJ`.",
        ),
    };
    Some(Mistake::new(what, remedy))
}

fn header_mistakes(header: &Map<String, Value>, mistakes: &mut Vec<Mistake>) {
    if header.contains_key("crit") {
        mistakes.push(Mistake::new(
            "The header has `crit`: it demands an extension that is not understood here (RFC 7515 section 4.1.11).",
            "Sign without `crit`.",
        ));
    }
    if header.contains_key("b64") {
        mistakes.push(Mistake::new(
            "The header has `b64` (RFC 7797), which is not understood here.",
            "Sign with an encoded payload, without `b64`.",
        ));
    }
    if !header.contains_key("alg") {
        mistakes.push(Mistake::new("The header has no `alg`.", "Write `alg` into the header, as JWT libraries do."));
    }
    for name in ["alg", "kid", "typ"] {
        if header.get(name).is_some_and(|value| !value.is_string()) {
            mistakes.push(Mistake::new(
                format!("`{name}` in the header is not text."),
                format!("Write `{name}` as a string."),
            ));
        }
    }
}

/// What is wrong with the encoding of a part.
#[derive(Clone, Copy)]
enum Fault {
    Padding,
    Alphabet,
    Cut,
    Foreign,
}

impl Fault {
    fn mistake(self) -> Mistake {
        let (what, remedy) = match self {
            Self::Padding => (
                "A part of it is padded with `=`.",
                "Encode the parts with base64url without padding (RFC 7515 section 2).",
            ),
            Self::Alphabet => (
                "A part of it is in standard base64, with `+` or `/`, instead of base64url.",
                "Encode the parts with base64url without padding (RFC 7515 section 2): `-` for `+`, `_` for `/`.",
            ),
            Self::Cut => (
                "A part of it does not end where base64url can end: the token is cut short, or a character was \
                 changed.",
                "Send all of the token. A database column, a cookie or a log may have cut it.",
            ),
            Self::Foreign => (
                "A part of it has characters that base64url does not have.",
                "Send the token exactly as the library returned it.",
            ),
        };
        Mistake::new(what, remedy)
    }
}

/// The bytes of a part, as far as they can be read, and what is wrong with its encoding.
fn part(text: &str) -> (Option<Vec<u8>>, Option<Fault>) {
    use base64::Engine as _;
    if let Ok(bytes) = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text) {
        return (Some(bytes), None);
    }
    let bare = text.trim_end_matches('=');
    let is = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/');
    let fault = if !bare.bytes().all(is) {
        return (None, Some(Fault::Foreign));
    } else if bare.contains(['+', '/']) {
        Fault::Alphabet
    } else if bare.len() < text.len() {
        Fault::Padding
    } else {
        Fault::Cut
    };
    let whole = if bare.len() % 4 == 1 { bare.get(..bare.len() - 1) } else { Some(bare) };
    (whole.and_then(wrapping::base64), Some(fault))
}

const _: () = assert!(limits::TOKEN_BYTES == 16 * 1024, "the message names the limit");
