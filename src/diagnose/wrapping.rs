//! What a credential gets wrapped in on its way: white space, quotes, prefixes, encodings. One layer is taken off at a
//! time, until what is left can be read.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::judged::Mistake;
use crate::json;

/// Layers that are taken off at most.
const ROUNDS: usize = 6;

/// Takes a layer off, where there is one, and says what it was and how to send without it.
pub(super) type Layer = (fn(&str) -> Option<String>, &'static str, &'static str);

/// Layers around tokens and hashes alike.
pub(super) const COMMON: &[Layer] = &[
    (
        blanks,
        "It has white space or a newline around it.",
        "Trim it before it is sent; `printf %s` writes no newline where `echo` does.",
    ),
    (
        invisible,
        "It has invisible characters in it, such as a byte order mark or a zero-width space.",
        "Remove them: copy the value from its source and not from a formatted page, and save files without byte \
         order mark.",
    ),
    (
        scheme,
        "It begins with an authorization scheme, such as `Bearer `.",
        "Send the token alone; the scheme belongs to an HTTP header.",
    ),
    (quotes, "It is in quotes.", "Send it without quotes: take the string itself, not its JSON or shell form."),
    (
        escapes,
        "It holds escape sequences, such as `\\n` or `\\\"`, as text.",
        "Unescape it once: it was written as a string literal twice.",
    ),
    (percent, "It is URL-encoded.", "URL-decode it once before it is sent."),
    (
        parameter,
        "It is a query parameter or a cookie, name and all.",
        "Send the value alone, without the name and the `=`.",
    ),
    (member, "It is a JSON object around the credential.", "Send the text of the member, not the whole object."),
];

/// Layers around tokens.
pub(super) const TOKEN: &[Layer] = &[
    (
        general,
        "It is a JWS in JSON serialization.",
        "Send the compact form: header, payload and signature with dots between them (RFC 7515 section 7.1).",
    ),
    (
        broken_lines,
        "It has white space or newlines inside, as if it had been wrapped.",
        "Send it in one line, without white space.",
    ),
    (punctuation, "It ends with punctuation that is not part of it.", "Send the token alone."),
    (
        encoded_whole,
        "The whole token is base64-encoded once more.",
        "Send the token as the library returned it: its parts are encoded already.",
    ),
];

/// Takes layers off until `readable`, and says which.
pub(super) fn peel(text: &str, layers: &[&[Layer]], readable: impl Fn(&str) -> bool) -> (String, Vec<Mistake>) {
    let mut text = text.to_owned();
    let mut mistakes = Vec::new();
    for _ in 0..ROUNDS {
        if readable(&text) {
            break;
        }
        let mut outer = layers.iter().copied().flatten();
        let Some((rest, what, remedy)) = outer.find_map(|(take, what, remedy)| Some((take(&text)?, what, remedy)))
        else {
            break;
        };
        mistakes.push(Mistake::new(*what, *remedy));
        text = rest;
    }
    (text, mistakes)
}

/// Base64 as leniently as it can be read: either alphabet, padded or not, whatever the last bits are.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let url_safe: String = text
        .chars()
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    GeneralPurpose::new(&alphabet::URL_SAFE, lenient).decode(url_safe.trim_end_matches('=')).ok()
}

fn changed(text: &str, rest: impl Into<String>) -> Option<String> {
    let rest = rest.into();
    (rest != text && !rest.is_empty()).then_some(rest)
}

fn blanks(text: &str) -> Option<String> {
    changed(text, text.trim())
}

fn invisible(text: &str) -> Option<String> {
    let is = |c: char| {
        matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{ad}')
            || (c.is_control() && !c.is_whitespace())
    };
    changed(text, text.replace(is, ""))
}

fn quotes(text: &str) -> Option<String> {
    // The form of Python's bytes, `b'…'`, has a letter before its quotes.
    let bare = text.strip_prefix("b'").map_or(text, |rest| if rest.ends_with('\'') { rest } else { text });
    changed(text, bare.trim_matches(['"', '\'', '`', '“', '”', '‘', '’', '«', '»', '<', '>']))
}

fn escapes(text: &str) -> Option<String> {
    let mut rest = text.to_owned();
    for escape in ["\\n", "\\r", "\\t", "\\\"", "\\/"] {
        rest = rest.replace(escape, if escape == "\\/" { "/" } else { "" });
    }
    changed(text, rest)
}

fn percent(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            decoded.extend(hex::decode(pair).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    changed(text, String::from_utf8(decoded).ok()?)
}

/// Names under which credentials travel.
const NAMES: [&str; 14] = [
    "token",
    "jwt",
    "sso",
    "ssotoken",
    "idtoken",
    "accesstoken",
    "authtoken",
    "usertoken",
    "featurebasejwt",
    "intercomuserjwt",
    "userjwt",
    "userhash",
    "hash",
    "signature",
];

fn is_name(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).collect();
    NAMES.iter().any(|known| plain.eq_ignore_ascii_case(known))
}

fn parameter(text: &str) -> Option<String> {
    let value = |piece: &str| {
        let (name, value) = piece.split_once('=')?;
        is_name(name).then(|| value.to_owned())
    };
    changed(text, text.split(['?', '&', '#', ';']).find_map(value)?)
}

fn member(text: &str) -> Option<String> {
    let object = if text.starts_with('{') { json::object(text.as_bytes())? } else { return None };
    // A JWS in JSON serialization is a layer of its own.
    let mut members = object.iter().filter(|_| !object.contains_key("payload"));
    let (_, value) = members.find(|(name, value)| is_name(name) && value.is_string())?;
    changed(text, value.as_str()?)
}

fn scheme(text: &str) -> Option<String> {
    let prefixes = ["authorization", "bearer", "jwt", "token", "basic"];
    let (_, rest) = prefixes.into_iter().find_map(|prefix| {
        let (head, rest) = text.split_at_checked(prefix.len())?;
        let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ':' || c == '+');
        (head.eq_ignore_ascii_case(prefix) && !rest.starts_with('=')).then_some((head, rest))
    })?;
    changed(text, rest)
}

fn general(text: &str) -> Option<String> {
    let object = if text.starts_with('{') { json::object(text.as_bytes())? } else { return None };
    let part = |holder: &serde_json::Map<String, Value>, name: &str| Some(holder.get(name)?.as_str()?.to_owned());
    let signed = match object.get("signatures") {
        Some(Value::Array(list)) => list.first()?.as_object()?.clone(),
        _ => object.clone(),
    };
    let parts = [part(&signed, "protected")?, part(&object, "payload")?, part(&signed, "signature")?];
    changed(text, parts.join("."))
}

fn broken_lines(text: &str) -> Option<String> {
    if text.matches('.').count() < 2 || text.starts_with('{') || text.contains("-----") {
        return None;
    }
    changed(text, text.split_whitespace().collect::<String>())
}

fn punctuation(text: &str) -> Option<String> {
    let dots = text.matches('.').count();
    if dots < 2 || text.contains("..") {
        return None;
    }
    let rest = text.trim_end_matches([',', ';', ')', ']', '}', '.']);
    if rest.matches('.').count() == 2 { changed(text, rest) } else { None }
}

fn encoded_whole(text: &str) -> Option<String> {
    if text.contains('.') {
        return None;
    }
    let decoded = String::from_utf8(base64(text)?).ok()?;
    let token = decoded.trim();
    if token.starts_with("eyJ") && token.matches('.').count() == 2 { changed(text, token) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_come_off_one_by_one() {
        let peeled = |text: &str| peel(text, &[COMMON, TOKEN], |text| text == "a.b.c").0;
        for wrapped in [
            "a.b.c",
            " a.b.c\n",
            "\"a.b.c\"",
            "Bearer a.b.c",
            "\"Bearer a.b.c\"",
            "bearer:a.b.c",
            "Authorization: Bearer a.b.c",
            "a%2Eb%2ec",
            "jwt=a.b.c",
            "https://x.example/?a=1&sso_token=a.b.c&b=2",
            "{\"token\":\"a.b.c\"}",
            "{\"protected\":\"a\",\"payload\":\"b\",\"signature\":\"c\"}",
            "a.\n b.c",
            "\u{feff}a.b.c",
            "a.b.c,",
            "a.b.c\\n",
        ] {
            assert_eq!(peeled(wrapped), "a.b.c", "{wrapped}");
        }
        for other in ["", "a", "a..b", "%zz", "{}", "Bearer"] {
            assert_ne!(peeled(other), "a.b.c", "{other}");
        }
    }

    #[test]
    fn base64_is_read_in_every_form() {
        for text in ["-_8", "+/8=", "-_8=", "+_9"] {
            assert_eq!(base64(text), Some(vec![0xfb, 0xff]), "{text}");
        }
        assert_eq!(base64("a"), None);
        assert_eq!(base64("a b"), None);
    }
}
