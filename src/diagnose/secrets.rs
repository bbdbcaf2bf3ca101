//! Everything that is tried as a key: the application's own secrets, those of the caller's other applications, examples
//! out of documentation and the suspected one, each as it is and changed as people change them without meaning to.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::judged::{Mistake, named};
use super::{Case, wrapping};
use crate::application::Application;
use crate::secret::Secret;
use crate::token::keys::{LegacyKey, Material};

/// Keys of one purpose that are tried at most, of the application itself and of each other one.
const OWN_KEYS: usize = 8;
pub(super) const OTHER_KEYS: usize = 4;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Jwt,
    Legacy,
}

/// Whose secret it is.
#[derive(Clone, Copy)]
pub(super) enum Holder<'a> {
    Own(Purpose, &'a str),
    Other(&'a Application, Purpose),
    Example,
    Suspected,
}

/// A way in which people change a secret without meaning to.
pub(super) struct Change {
    /// Follows the secret in a sentence.
    pub(super) how: &'static str,
    pub(super) remedy: &'static str,
    make: fn(&[u8]) -> Option<Vec<u8>>,
}

/// A secret that is tried.
pub(super) struct Candidate<'a> {
    pub(super) holder: Holder<'a>,
    pub(super) change: Option<&'static Change>,
    pub(super) secret: Secret,
}

/// Everything that is tried, the likelier first. `purpose` is what the credential should have been made with.
pub(super) fn candidates<'a>(case: &'a Case<'a>, purpose: Purpose) -> impl Iterator<Item = Candidate<'a>> {
    let own = move || own(case, purpose);
    let others = move || others(case, purpose);
    let given = || std::iter::once((Holder::Suspected, Secret::new(case.suspected_secret.to_vec())));
    let suspected = move || given().filter(|(_, secret)| !secret.is_empty());
    let examples = || EXAMPLES.iter().map(|text| (Holder::Example, Secret::new(text.as_bytes().to_vec())));
    let plain = own().chain(others()).chain(suspected()).chain(examples());
    let changed = own().chain(suspected()).chain(others()).flat_map(|(holder, secret)| changes(holder, secret));
    plain.map(|(holder, secret)| Candidate { holder, change: None, secret }).chain(changed)
}

/// The suspected secret alone, as it is and changed.
pub(super) fn suspected<'a>(case: &Case<'_>) -> impl Iterator<Item = Candidate<'a>> {
    let secret = Secret::new(case.suspected_secret.to_vec());
    let plain = Candidate { holder: Holder::Suspected, change: None, secret: secret.clone() };
    std::iter::once(plain).chain(changes(Holder::Suspected, secret))
}

fn changes<'a>(holder: Holder<'a>, secret: Secret) -> impl Iterator<Item = Candidate<'a>> {
    CHANGES.iter().filter_map(move |change| {
        let changed = (change.make)(secret.expose()).filter(|changed| changed != secret.expose())?;
        Some(Candidate { holder, change: Some(change), secret: Secret::new(changed) })
    })
}

fn own<'a>(case: &Case<'a>, purpose: Purpose) -> impl Iterator<Item = (Holder<'a>, Secret)> {
    let keys = &case.application.keys;
    let jwt = keys.jwt.iter().filter_map(|key| match &key.material {
        Material::Hmac(hmac) => Some((Holder::Own(Purpose::Jwt, key.id.as_str()), hmac.secret().clone())),
        Material::Pair(_) => None,
    });
    let legacy =
        keys.legacy.iter().map(|key| (Holder::Own(Purpose::Legacy, key.id.as_str()), key.hmac.secret().clone()));
    in_order(purpose, jwt.take(OWN_KEYS).collect(), legacy.take(OWN_KEYS).collect())
}

fn others<'a>(case: &'a Case<'a>, purpose: Purpose) -> impl Iterator<Item = (Holder<'a>, Secret)> {
    case.neighbours().flat_map(move |other| {
        let jwt = other.keys.jwt.iter().filter_map(|key| match &key.material {
            Material::Hmac(hmac) => Some((Holder::Other(other, Purpose::Jwt), hmac.secret().clone())),
            Material::Pair(_) => None,
        });
        let legacy =
            other.keys.legacy.iter().map(|key| (Holder::Other(other, Purpose::Legacy), key.hmac.secret().clone()));
        in_order(purpose, jwt.take(OTHER_KEYS).collect(), legacy.take(OTHER_KEYS).collect())
    })
}

fn in_order<T>(purpose: Purpose, jwt: Vec<T>, legacy: Vec<T>) -> impl Iterator<Item = T> {
    let (first, second) = match purpose {
        Purpose::Jwt => (jwt, legacy),
        Purpose::Legacy => (legacy, jwt),
    };
    first.into_iter().chain(second)
}

impl Purpose {
    const fn secret(self) -> &'static str {
        match self {
            Self::Jwt => "JWT secret",
            Self::Legacy => "secret for legacy hashes",
        }
    }
}

impl Holder<'_> {
    /// The secret in a sentence.
    pub(super) fn name(self) -> String {
        match self {
            Self::Own(purpose, id) => format!("this application's {} (key `{id}`)", purpose.secret()),
            Self::Other(other, purpose) => format!("the {} of {}", purpose.secret(), named(other)),
            Self::Example => {
                "an example secret out of documentation, or the text of a variable that is not set".to_owned()
            }
            Self::Suspected => "the suspected secret that was given".to_owned(),
        }
    }

    /// What to do, where it is not the secret that should have been used.
    fn remedy(self, case: &Case<'_>, wanted: Purpose) -> Option<String> {
        let right = format!("the {} of {}", wanted.secret(), named(case.application));
        match self {
            Self::Own(purpose, _) if purpose == wanted => None,
            Self::Own(..) => Some(format!("Use {right}; the application has one secret for JWTs and one for hashes.")),
            Self::Other(..) => {
                Some(format!("Use {right}, or send the credential to the application whose secret made it."))
            }
            Self::Example => Some(format!("Use {right}, and check that the variable that should hold it is set.")),
            Self::Suspected => Some(format!(
                "It is none of the secrets of this application as they are configured here: use {right}, or have the \
                 operator configure the one that you hold."
            )),
        }
    }
}

impl Candidate<'_> {
    /// The application's own key for hashes that it is, as it is.
    pub(super) fn legacy_key<'k>(&self, case: &Case<'k>) -> Option<&'k LegacyKey> {
        match (self.holder, self.change) {
            (Holder::Own(Purpose::Legacy, id), None) => case.application.keys.legacy.iter().find(|key| key.id == id),
            (Holder::Own(..) | Holder::Other(..) | Holder::Example | Holder::Suspected, _) => None,
        }
    }

    /// `made with this secret`, and what to do about it. None where it is the right secret as it should be.
    pub(super) fn mistake(&self, case: &Case<'_>, wanted: Purpose, made: &str) -> Option<Mistake> {
        let remedy = self.holder.remedy(case, wanted);
        let name = self.holder.name();
        match (remedy, self.change) {
            (None, None) => None,
            (Some(remedy), None) => Some(Mistake::new(format!("{made} {name}."), remedy)),
            (remedy, Some(change)) => {
                let remedies = [Some(change.remedy.to_owned()), remedy].into_iter().flatten().collect::<Vec<_>>();
                Some(Mistake::new(format!("{made} {name}, {}.", change.how), remedies.join(" ")))
            }
        }
    }
}

/// What was tried, for a message that has nothing better to say.
pub(super) fn tried(case: &Case<'_>) -> String {
    let others = case.neighbours().count();
    let others = match others {
        0 => String::new(),
        1 => ", those of 1 other application that you may use".to_owned(),
        many => format!(", those of {many} other applications that you may use"),
    };
    let suspected = if case.suspected_secret.is_empty() { "" } else { ", the suspected secret" };
    format!(
        "Ruled out: all secrets of this application for either purpose{others}{suspected}, each also with white \
         space, quotes or a byte order mark, without them, and decoded from or encoded as hexadecimal or base64; and \
         usual example secrets."
    )
}

/// Secrets out of documentation, and what is there when a variable is not set.
const EXAMPLES: [&str; 22] = [
    "",
    "undefined",
    "null",
    "None",
    "nil",
    "[object Object]",
    "secret",
    "your-256-bit-secret",
    "a-string-secret-at-least-256-bits-long",
    "iv_your-secret-key",
    "your-secret-key",
    "your_secret_key",
    "your-secret",
    "your-jwt-secret",
    "shhhhh",
    "changeme",
    "password",
    "test",
    "FEATUREBASE_JWT_SECRET",
    "JWT_SECRET",
    "<YOUR_SECRET>",
    "YOUR_SECRET_KEY",
];

const NEWLINE: &str = "Read the secret without the newline at its end: trim it, or write the file with `printf %s`.";
const SPACE: &str = "Remove the white space around the secret where it is stored or read.";
const QUOTES: &str = "Remove the quotes around the secret: env files, YAML and container settings may keep them.";
const AS_IT_IS: &str = "Use the text of the secret itself as the key; do not decode it first.";
const DECODE: &str = "Decode the secret before it is used: the bytes that it stands for are the key.";
const CASE: &str = "Use the secret with the letters exactly as they were handed out.";
const FILE: &str = "Save the secret as UTF-8 without byte order mark.";

const CHANGES: [Change; 27] = [
    Change { how: "with a newline after it", remedy: NEWLINE, make: |s| Some([s, b"\n"].concat()) },
    Change { how: "with a newline (CR LF) after it", remedy: NEWLINE, make: |s| Some([s, b"\r\n"].concat()) },
    Change { how: "with a carriage return after it", remedy: NEWLINE, make: |s| Some([s, b"\r"].concat()) },
    Change { how: "with the two characters `\\n` after it", remedy: NEWLINE, make: |s| Some([s, b"\\n"].concat()) },
    Change { how: "with white space after it", remedy: SPACE, make: |s| Some([s, b" "].concat()) },
    Change { how: "with white space before it", remedy: SPACE, make: |s| Some([b" ", s].concat()) },
    Change { how: "without the white space around it", remedy: SPACE, make: |s| Some(s.trim_ascii().to_vec()) },
    Change { how: "in double quotes", remedy: QUOTES, make: |s| Some([b"\"", s, b"\""].concat()) },
    Change { how: "in single quotes", remedy: QUOTES, make: |s| Some([b"'", s, b"'"].concat()) },
    Change { how: "without the quotes around it", remedy: QUOTES, make: unquoted },
    Change { how: "decoded from hexadecimal digits", remedy: AS_IT_IS, make: |s| hex::decode(s.trim_ascii()).ok() },
    Change {
        how: "decoded from base64",
        remedy: AS_IT_IS,
        make: |s| wrapping::base64(std::str::from_utf8(s.trim_ascii()).ok()?),
    },
    Change {
        how: "as the text of its hexadecimal digits",
        remedy: DECODE,
        make: |s| Some(hex::encode(s).into_bytes()),
    },
    Change {
        how: "as the text of its hexadecimal digits in upper case",
        remedy: DECODE,
        make: |s| Some(hex::encode_upper(s).into_bytes()),
    },
    Change { how: "as the text of its base64", remedy: DECODE, make: |s| Some(STANDARD.encode(s).into_bytes()) },
    Change {
        how: "as the text of its base64 without padding",
        remedy: DECODE,
        make: |s| Some(STANDARD_NO_PAD.encode(s).into_bytes()),
    },
    Change {
        how: "as the text of its base64url",
        remedy: DECODE,
        make: |s| Some(URL_SAFE_NO_PAD.encode(s).into_bytes()),
    },
    Change {
        how: "as the text of its base64url with padding",
        remedy: DECODE,
        make: |s| Some(URL_SAFE.encode(s).into_bytes()),
    },
    Change {
        how: "without the prefix `iv_`",
        remedy: "Keep `iv_`: the prefix is part of the secret.",
        make: |s| s.strip_prefix(b"iv_").map(<[u8]>::to_vec),
    },
    Change { how: "in lower case", remedy: CASE, make: |s| Some(s.to_ascii_lowercase()) },
    Change { how: "in upper case", remedy: CASE, make: |s| Some(s.to_ascii_uppercase()) },
    Change { how: "with a byte order mark before it", remedy: FILE, make: |s| Some([b"\xef\xbb\xbf", s].concat()) },
    Change {
        how: "without the byte order mark before it",
        remedy: FILE,
        make: |s| s.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec),
    },
    Change { how: "as UTF-16", remedy: "Encode the secret as UTF-8 before it is used as a key.", make: utf_16 },
    Change {
        how: "without the name and the `=` before it",
        remedy: "Take the value of the variable alone, without its name.",
        make: |s| Some(s.splitn(2, |byte| *byte == b'=').nth(1)?.to_vec()).filter(|value| !value.is_empty()),
    },
    Change {
        how: "with only its first 32 bytes",
        remedy: "Use the whole secret as the key.",
        make: |s| s.get(..32).map(<[u8]>::to_vec),
    },
    Change {
        how: "URL-encoded",
        remedy: "Use the secret as it was handed out, not URL-encoded.",
        make: |s| Some(percent_encoded(s)),
    },
];

fn unquoted(secret: &[u8]) -> Option<Vec<u8>> {
    let trimmed = secret.trim_ascii();
    let inner =
        [b'"', b'\'', b'`'].into_iter().find_map(|quote| trimmed.strip_prefix(&[quote])?.strip_suffix(&[quote]))?;
    Some(inner.to_vec()).filter(|inner| !inner.is_empty())
}

fn utf_16(secret: &[u8]) -> Option<Vec<u8>> {
    Some(std::str::from_utf8(secret).ok()?.encode_utf16().flat_map(u16::to_le_bytes).collect())
}

/// As `encodeURIComponent` writes it, all but a few marks.
pub(super) fn percent_encoded(text: &[u8]) -> Vec<u8> {
    let keep = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'!' | b'*' | b'\'' | b'(' | b')')
    };
    text.iter().flat_map(|byte| if keep(*byte) { vec![*byte] } else { format!("%{byte:02X}").into_bytes() }).collect()
}
