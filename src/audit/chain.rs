//! The chain of an audit log: every line holds its number and the digest of the line before it. Pure: it makes lines and
//! takes them apart, and writes and reads nothing.
//!
//! A line is a JSON object. Its canonical bytes are the line itself up to its last member, `hash`, which is their SHA-256.
//! So nobody has to agree on a canonical form of JSON: what was written is what is checked, byte for byte.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::checkpoint::Signer;
use super::record::Record;

/// What stands between the canonical bytes and their digest.
const HASH: &str = ",\"hash\":\"";
/// What stands between the bytes that are signed and the signature.
const SIGNATURE: &str = ",\"signature\":\"";
/// What ends a text and the object.
const END: &str = "\"}";
/// Bytes of a writer's id at most.
const WRITER_BYTES: usize = 64;
/// How every line begins.
pub(super) const BEGIN: &str = "{\"writer\":\"";

/// A SHA-256 digest, in lower-case hexadecimal where it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What stands for the line before the first one.
    pub const NONE: Self = Self([0; 32]);

    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads 64 digits; upper case is another text, and so another line.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes)).filter(|hash| hash.to_string() == text)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a SHA-256 digest"))
    }
}

/// One line of a chain, named: which, and what is in it and in everything before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The chain.
    pub writer: String,
    /// The line's number; the first is 1.
    pub seq: u64,
    /// The line's digest.
    pub hash: Hash,
}

/// A chain at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    head: Head,
}

/// A line that is made, without its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub seq: u64,
    /// Its text.
    pub text: String,
}

impl Chain {
    /// A chain without a line.
    #[must_use]
    pub const fn new(writer: String) -> Self {
        Self { head: Head { writer, seq: 0, hash: Hash::NONE } }
    }

    /// A chain that ends with this line.
    #[must_use]
    pub const fn after(head: Head) -> Self {
        Self { head }
    }

    /// Its last line.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The next line.
    pub fn add(&mut self, record: &Record) -> Line {
        let begun = self.begin(record);
        self.close(begun)
    }

    /// The next line, signed: over everything in it, the digest of the line before it among that.
    pub fn add_signed(&mut self, record: &Record, signer: &Signer) -> Line {
        let mut begun = self.begin(record);
        let signature = signer.sign(begun.as_bytes());
        begun.push_str(SIGNATURE);
        begun.push_str(&signature);
        begun.push('"');
        self.close(begun)
    }

    fn begin(&self, record: &Record) -> String {
        let Head { writer, seq, hash } = &self.head;
        // Every type in a record is text, a number or a list of them: this cannot fail.
        let content = serde_json::to_string(record).unwrap_or_default();
        let members = content.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        format!("{BEGIN}{writer}\",\"seq\":{},\"prev\":\"{hash}\",{members}", seq.saturating_add(1))
    }

    fn close(&mut self, mut text: String) -> Line {
        let hash = Hash::of(text.as_bytes());
        text.push_str(HASH);
        text.push_str(&hash.to_string());
        text.push_str(END);
        self.head.seq = self.head.seq.saturating_add(1);
        self.head.hash = hash;
        Line { seq: self.head.seq, text }
    }
}

/// A line that was read.
#[derive(Debug)]
pub struct Parsed<'l> {
    /// What it says of itself.
    pub head: Head,
    /// What it says of the line before it.
    pub prev: Hash,
    /// Whether its digest is that of its canonical bytes.
    pub is_whole: bool,
    /// What it is.
    pub content: Content,
    /// The bytes that are signed, and the signature; in a checkpoint alone.
    pub signed: Option<(&'l str, &'l str)>,
}

/// What verification needs to know of a line; everything else in it is bound by its digest all the same.
#[derive(Debug, Deserialize)]
pub struct Content {
    writer: String,
    seq: u64,
    prev: Hash,
    hash: Hash,
    /// When.
    #[serde(deserialize_with = "rfc3339")]
    pub time: UtcDateTime,
    /// What it is.
    pub event: String,
    /// Of an opening: what begins with it.
    #[serde(default)]
    pub begins: Option<String>,
    /// Of an opening: whose signatures follow.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Of an opening: what was known of this chain, or of the one that it follows, and is more than was found.
    #[serde(default)]
    pub known: Option<Head>,
    /// Of an opening: whether nobody knew of the lines before.
    #[serde(default)]
    pub unknown: bool,
    /// Of an opening: bytes of a torn line that were dropped.
    #[serde(default)]
    pub torn_bytes: Option<u64>,
    /// Of a loss: how many records.
    #[serde(default)]
    pub records: Option<u64>,
}

/// Whether a text can be the id of a writer.
#[must_use]
pub fn is_writer(text: &str) -> bool {
    (1..=WRITER_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

fn rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UtcDateTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    UtcDateTime::parse(&text, &Rfc3339).map_err(|_not_a_time| D::Error::custom("not a time"))
}

/// Takes a line apart. None where it is no line of any chain.
#[must_use]
pub fn parse(line: &str) -> Option<Parsed<'_>> {
    let content: Content = serde_json::from_str(line).ok().filter(|content: &Content| is_writer(&content.writer))?;
    let (canonical, rest) = line.rsplit_once(HASH)?;
    // Nothing follows the digest: it would be bound by none.
    Hash::parse(rest.strip_suffix(END)?)?;
    let signed = canonical.rsplit_once(SIGNATURE);
    let signed = signed.and_then(|(bytes, rest)| Some((bytes, rest.strip_suffix('"')?)));
    let head = Head { writer: content.writer.clone(), seq: content.seq, hash: content.hash };
    let (prev, is_whole) = (content.prev, Hash::of(canonical.as_bytes()) == content.hash);
    Some(Parsed { head, prev, is_whole, content, signed })
}
