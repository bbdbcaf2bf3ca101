//! The wire format of a product family, as data: how an identity is written as JWT claims and as a hash. A format that
//! cannot be said here needs a better language here, never code of its own.
//!
//! `docs/profiles.md` describes the language; `profiles/*.toml` are the formats that come with the binary. This file
//! holds the language, `check.rs` what it may not say, `places.rs` where claims lie, `write.rs` and
//! `read.rs` the two directions.

mod check;
#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod laws;
mod places;
mod read;
#[cfg(test)]
mod tests;
mod undeclared;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::read::Read;
use crate::identity::{CompanyField, Field, SubjectKind};
use crate::secret::KeyEncoding;
use crate::token::algorithm::Algorithm;

/// The formats that come with the binary, by name.
const BUILT_IN: &[(&str, &str)] = &[
    ("braze", include_str!("../../profiles/braze.toml")),
    ("canny", include_str!("../../profiles/canny.toml")),
    ("chatwoot", include_str!("../../profiles/chatwoot.toml")),
    ("featurebase", include_str!("../../profiles/featurebase.toml")),
    ("frill", include_str!("../../profiles/frill.toml")),
    ("front", include_str!("../../profiles/front.toml")),
    ("generic", include_str!("../../profiles/generic.toml")),
    ("help-scout", include_str!("../../profiles/help-scout.toml")),
    ("intercom", include_str!("../../profiles/intercom.toml")),
    ("iterable", include_str!("../../profiles/iterable.toml")),
    ("knock", include_str!("../../profiles/knock.toml")),
    ("novu", include_str!("../../profiles/novu.toml")),
    ("onesignal", include_str!("../../profiles/onesignal.toml")),
    ("pendo", include_str!("../../profiles/pendo.toml")),
    ("plain", include_str!("../../profiles/plain.toml")),
    ("pylon", include_str!("../../profiles/pylon.toml")),
    ("stream", include_str!("../../profiles/stream.toml")),
    ("userjot", include_str!("../../profiles/userjot.toml")),
    ("uservoice", include_str!("../../profiles/uservoice.toml")),
    ("zendesk-messaging", include_str!("../../profiles/zendesk-messaging.toml")),
];

/// The claims that RFC 7519 section 4.1 registers. No attribute may have one of these names.
pub const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// A wire format.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name in the configuration: the file's.
    #[serde(skip)]
    pub name: String,
    /// The vendor hands out one secret that serves both hash and JWT.
    #[serde(default)]
    pub one_secret: bool,
    /// The legacy hash; absent where the product never had one.
    pub hash: Option<HashFormat>,
    /// The JWT; absent where the product takes none.
    pub jwt: Option<JwtFormat>,
}

/// How a legacy hash is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashFormat {
    /// Which identifier is hashed: the first that is there.
    pub order: Vec<SubjectKind>,
    /// Whether companies have hashes too, over their id.
    #[serde(default)]
    pub companies: bool,
    /// How the digest is written.
    #[serde(default)]
    pub digest: DigestEncoding,
    /// How the secret that the vendor hands out is written.
    #[serde(default)]
    pub key_encoding: KeyEncoding,
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DigestEncoding {
    /// Lower-case hexadecimal digits; either case is read.
    #[default]
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// How an identity is written as a JWT.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtFormat {
    /// What `alg` may be. The first is the default of a key.
    pub algorithms: Vec<Algorithm>,
    /// How the secret that the vendor hands out is written.
    #[serde(default)]
    pub key_encoding: KeyEncoding,
    /// The header's `typ`.
    pub typ: Option<String>,
    /// Whether the header names its key.
    #[serde(default)]
    pub kid: Kid,
    /// `iss`.
    #[serde(default)]
    pub issuer: Presence,
    /// `aud`.
    #[serde(default)]
    pub audience: Presence,
    /// The audiences that the format fixes; empty where the application names its own.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// `exp`.
    #[serde(default)]
    pub expiry: Presence,
    /// The longest lifetime that the vendor takes.
    pub max_ttl_secs: Option<u64>,
    /// A claim that may carry the end as text, `YYYY-MM-DD HH:MM:SS` in UTC. Read, never written.
    pub expiry_text: Option<String>,
    /// `iat`.
    #[serde(default)]
    pub issued_at: Presence,
    /// The claim that carries a fresh token id in every token. Absent: none unless tokens are one-time.
    pub token_id: Option<String>,
    /// Whether `exp`, `nbf` and `iat` may have fractions.
    #[serde(default)]
    pub fractional_dates: bool,
    /// How `created_at` is written.
    #[serde(default)]
    pub time: TimeFormat,
    /// The private claim that says where an exchanged token comes from.
    #[serde(default = "provenance")]
    pub provenance: String,
    /// The claims of the neutral fields.
    pub claims: BTreeMap<Field, Path>,
    /// Where custom attributes live: `[]` is the payload itself. Absent: the product has none.
    pub attributes: Option<Path>,
    /// Custom attributes that live elsewhere.
    #[serde(default)]
    pub attribute_claims: BTreeMap<String, Path>,
    /// Groups of fields of which at least one must be there.
    #[serde(default)]
    pub require: Vec<Vec<Field>>,
    /// Groups of fields of which exactly one must be there.
    #[serde(default)]
    pub exactly_one: Vec<Vec<Field>>,
    /// The most characters of a field.
    #[serde(default)]
    pub max_chars: BTreeMap<Field, usize>,
    /// Claims that are the same in every token.
    #[serde(default)]
    pub constants: Map<String, Value>,
    /// How a company is written, where `claims` has `companies`.
    pub company: Option<CompanyFormat>,
}

/// How a company is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompanyFormat {
    /// The claim is one object, not a list.
    #[serde(default)]
    pub single: bool,
    /// The members of the neutral fields.
    pub claims: BTreeMap<CompanyField, String>,
    /// Where custom attributes live: `[]` is the company itself. Absent: a company has none.
    pub attributes: Option<Path>,
    /// Custom attributes that live elsewhere in the company.
    #[serde(default)]
    pub attribute_claims: BTreeMap<String, Path>,
    /// The fields that must be there.
    #[serde(default)]
    pub require: BTreeSet<CompanyField>,
}

/// Whether the header names its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kid {
    /// Not written, and ignored where it is read.
    #[default]
    None,
    /// Written; where it is absent, the few acceptable keys are tried.
    Optional,
    /// Written and needed.
    Required,
}

/// Whether the format needs a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It may be absent.
    #[default]
    Optional,
    /// It must be there.
    Required,
}

/// How a time is written as a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// `2023-05-19T15:35:49.915Z`: ISO 8601 in UTC with three fractional digits.
    #[default]
    Iso8601,
    /// Whole seconds since 1970.
    Unix,
    /// Whole milliseconds since 1970.
    UnixMillis,
}

/// Where a claim lies: `"email"`, or `["identity", "external_id"]` for a member of a member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Path(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Path {
    fn from(path: OneOrMany) -> Self {
        match path {
            OneOrMany::One(member) => Self(vec![member]),
            OneOrMany::Many(members) => Self(members),
        }
    }
}

impl Path {
    /// The name in messages: `identity.external_id`.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.join(".")
    }

    fn members(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn provenance() -> String {
    "countersign".to_owned()
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    /// Not what the language has. Says where, never what: no text of a file is quoted.
    #[error("is not a profile at line {line}, column {column}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Says something that makes no sense.
    #[error("{0}")]
    Meaning(String),
}

impl Profile {
    /// The formats that come with the binary.
    pub fn built_in() -> Result<BTreeMap<String, Self>, Invalid> {
        Self::parse_all(BUILT_IN)
    }

    fn parse_all(texts: &[(&str, &str)]) -> Result<BTreeMap<String, Self>, Invalid> {
        let parse = |(name, text): &(&str, &str)| {
            let named = |invalid: Invalid| Invalid::Meaning(format!("profile {name}: {invalid}"));
            Ok(((*name).to_owned(), Self::parse(name, text).map_err(named)?))
        };
        texts.iter().map(parse).collect()
    }

    /// Reads a profile.
    pub fn parse(name: &str, text: &str) -> Result<Self, Invalid> {
        let mut profile: Self = toml::from_str(text).map_err(|error| {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            Invalid::Syntax { line, column }
        })?;
        name.clone_into(&mut profile.name);
        profile.check()?;
        Ok(profile)
    }
}

/// Line and column of a byte offset, both from 1.
#[must_use]
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}
