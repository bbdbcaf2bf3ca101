//! `[applications.X.keys.K]`: one purpose, one algorithm, one encoding each.

use std::collections::BTreeMap;

use time::UtcDateTime;

use super::World;
use super::reader::Table;
use crate::profile::Profile;
use crate::secret::{KeyEncoding, Secret};
use crate::token::algorithm::{Algorithm, Family};
use crate::token::asymmetric::{KeyPair, Unusable};
use crate::token::keys::{HmacKey, JwtKey, Keys, LegacyKey, Material, Validity, WEAK_BELOW_BYTES};

/// The bytes of a key, to find the same ones elsewhere.
pub(super) struct Fingerprint {
    pub(super) application: String,
    pub(super) path: String,
    pub(super) one_secret: bool,
    pub(super) shared: bool,
    pub(super) bytes: Secret,
}

/// How the text of a key becomes a pair, or half of one.
type ReadPair = fn(Algorithm, &[u8]) -> Result<KeyPair, Unusable>;

#[derive(Clone, Copy)]
enum Purpose {
    Jwt,
    Legacy,
}

pub(super) fn read(
    application: (&str, &Table<'_>),
    world: World<'_>,
    profile: &Profile,
    fingerprints: &mut Vec<Fingerprint>,
) -> Keys {
    let mut keys = Keys::default();
    let (name, table) = application;
    let tables = table.tables("keys");
    let mut kids: BTreeMap<String, usize> = BTreeMap::new();
    for (id, key) in &tables {
        if !key.has("purpose") {
            key.problem("purpose", "is missing", "must be one of jwt, legacy");
        }
        let purpose = key.word("purpose", &[("jwt", Purpose::Jwt), ("legacy", Purpose::Legacy)]);
        let reading = Reading { id, table: key, world, profile, validity: validity(key) };
        let shared = key.flag("shared_secret");
        let bytes = match purpose {
            None => {
                reading.skip();
                None
            }
            Some(Purpose::Jwt) => reading.jwt().and_then(|(jwt, bytes)| {
                *kids.entry(jwt.kid.clone()).or_default() += 1;
                keys.jwt.push(jwt);
                bytes
            }),
            Some(Purpose::Legacy) => reading.legacy().map(|legacy| {
                let bytes = legacy.hmac.secret().clone();
                keys.legacy.push(legacy);
                bytes
            }),
        };
        fingerprints.extend(bytes.map(|bytes| Fingerprint {
            application: name.to_owned(),
            path: key.path("secret"),
            one_secret: profile.one_secret,
            shared,
            bytes,
        }));
        key.done();
    }
    if kids.values().any(|times| *times > 1) {
        table.problem("keys", "has two jwt keys with one kid", "give each key its own kid");
    }
    ties(table, &keys, world.now);
    keys
}

struct Reading<'r> {
    id: &'r str,
    table: &'r Table<'r>,
    world: World<'r>,
    profile: &'r Profile,
    validity: Validity,
}

impl Reading<'_> {
    fn jwt(&self) -> Option<(JwtKey, Option<Secret>)> {
        let kid = self.table.text("kid").unwrap_or_else(|| self.id.to_owned());
        let Some(format) = &self.profile.jwt else {
            self.skip();
            self.table.problem(
                "purpose",
                "is jwt, and the profile has no JWT",
                "remove the key, or choose another profile",
            );
            return None;
        };
        let names: Vec<(&str, Algorithm)> = format.algorithms.iter().map(|a| (a.name(), *a)).collect();
        let default = format.algorithms.first().copied()?;
        let algorithm = if self.table.has("algorithm") { self.table.word("algorithm", &names) } else { Some(default) };
        let Some(algorithm) = algorithm else {
            self.skip();
            return None;
        };
        let (material, bytes) = if algorithm.family() == Family::Hmac {
            let secret = self.hmac_secret(format.key_encoding)?;
            (Material::Hmac(Box::new(HmacKey::new(algorithm, secret.clone())?)), Some(secret))
        } else {
            self.pair(algorithm)?
        };
        let names = (self.id.to_owned(), kid);
        Some((JwtKey::new(names, algorithm, self.validity, material, format), bytes))
    }

    fn legacy(&self) -> Option<LegacyKey> {
        for key in ["algorithm", "kid", "public"] {
            if self.table.text(key).is_some() {
                self.table.problem(key, "is not for legacy keys", "remove it: a legacy hash is HMAC-SHA256");
            }
        }
        let Some(format) = &self.profile.hash else {
            self.skip();
            self.table.problem(
                "purpose",
                "is legacy, and the profile has no hash",
                "remove the key, or choose another profile",
            );
            return None;
        };
        let secret = self.hmac_secret(format.key_encoding)?;
        let hmac = HmacKey::new(Algorithm::HS256, secret)?;
        Some(LegacyKey { id: self.id.to_owned(), validity: self.validity, hmac })
    }

    fn hmac_secret(&self, default: KeyEncoding) -> Option<Secret> {
        let encoding = self.table.word("encoding", &KeyEncoding::ALL);
        let allow_weak = self.table.flag("allow_weak");
        if !self.table.has("secret") {
            self.table.problem("secret", "is missing", "{ env = \"NAME\" } or { file = \"PATH\" }");
        }
        let raw = self.table.secret("secret", self.world.env)?;
        self.warn_of_wrapping(&raw);
        let encoding = encoding.unwrap_or(default);
        let Some(secret) = raw.decode(encoding).filter(|secret| !secret.is_empty()) else {
            let wrong = format!("is not {}", encoding.name());
            self.table.problem("secret", &wrong, "correct the secret, or say how it is written with `encoding`");
            return None;
        };
        let weak = secret.len() < WEAK_BELOW_BYTES;
        if weak && !allow_weak {
            let wrong = format!("has under {WEAK_BELOW_BYTES} bytes");
            self.table.problem("secret", &wrong, "use a longer one, or allow_weak = true where a vendor chose it");
        }
        if allow_weak && !weak {
            self.table.warning("allow_weak", "is not needed: the secret is long enough", "remove it");
        }
        Some(secret)
    }

    /// The mistakes of copying that break every signature and are hard to see.
    fn warn_of_wrapping(&self, secret: &Secret) {
        let bytes = secret.expose();
        let ends = (bytes.first(), bytes.last());
        if matches!(ends, (Some(b'"'), Some(b'"')) | (Some(b'\''), Some(b'\''))) && bytes.len() > 1 {
            self.table.warning(
                "secret",
                "begins and ends with a quote",
                "remove the quotes if they are not part of it",
            );
        }
        let blank = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
        if blank(ends.0) || blank(ends.1) {
            self.table.warning(
                "secret",
                "begins or ends with white space",
                "remove it if it is not part of the secret",
            );
        }
    }

    fn pair(&self, algorithm: Algorithm) -> Option<(Material, Option<Secret>)> {
        for key in ["encoding", "allow_weak"] {
            if self.table.has(key) {
                self.table.boolean(key);
                self.table.problem(key, "is not for asymmetric keys", "remove it");
            }
        }
        let (key, read): (&str, ReadPair) = match (self.table.has("secret"), self.table.has("public")) {
            (true, false) => ("secret", KeyPair::private),
            (false, true) => ("public", KeyPair::public),
            (true, true) | (false, false) => {
                self.skip();
                self.table.problem("secret", "needs a private key, or public a public one", "one of the two");
                return None;
            }
        };
        let secret = self.table.secret(key, self.world.env)?;
        match read(algorithm, secret.expose()) {
            Ok(pair) => {
                // A public key is no secret, wherever else it stands.
                let bytes = pair.signs().then(|| Secret::new(pair.fingerprint()));
                Some((Material::Pair(pair), bytes))
            }
            Err(why) => {
                let right = format!("a key for {} as PEM (PKCS#8, PKCS#1, SEC1) or JWK", algorithm.name());
                self.table.problem(key, &why.to_string(), &right);
                None
            }
        }
    }

    /// Reads what a broken key still has, so that it is not reported as unknown.
    fn skip(&self) {
        for key in ["algorithm", "kid", "encoding"] {
            self.table.text(key);
        }
        self.table.flag("allow_weak");
        for key in ["secret", "public"] {
            self.table.secret(key, self.world.env);
        }
    }
}

fn validity(table: &Table<'_>) -> Validity {
    let validity = Validity { not_before: table.instant("not_before"), retire_at: table.instant("retire_at") };
    if validity.not_before.zip(validity.retire_at).is_some_and(|(start, end)| end <= start) {
        table.problem("retire_at", "is not after not_before", "a later time, or remove the key");
    }
    validity
}

/// Two keys that would sign from the same instant on: nobody could say which.
fn ties(table: &Table<'_>, keys: &Keys, now: UtcDateTime) {
    let tied = |validities: Vec<Validity>| {
        let alive: Vec<_> =
            validities.into_iter().filter(|v| v.retire_at.is_none_or(|end| now < end)).map(|v| v.not_before).collect();
        alive.iter().enumerate().any(|(index, start)| alive.iter().skip(index + 1).any(|other| other == start))
    };
    let jwt = keys.jwt.iter().filter(|key| key.signs()).map(|key| key.validity).collect();
    let legacy = keys.legacy.iter().map(|key| key.validity).collect();
    for (purpose, validities) in [("jwt", jwt), ("legacy", legacy)] {
        if tied(validities) {
            let wrong = format!("has two {purpose} keys that sign from the same time on");
            table.problem("keys", &wrong, "give the newer one a not_before, or the older one a retire_at in the past");
        }
    }
}

/// The same secret in two keys lets one scheme's credential pass for another's.
pub(super) fn check_shared(root: &Table<'_>, fingerprints: &[Fingerprint]) {
    for (index, first) in fingerprints.iter().enumerate() {
        let same: Vec<_> = fingerprints.iter().filter(|other| other.bytes == first.bytes).collect();
        let is_first = !fingerprints.iter().take(index).any(|other| other.bytes == first.bytes);
        let allowed = same.iter().all(|key| key.shared)
            || same.iter().all(|key| key.one_secret && key.application == first.application);
        if same.len() > 1 && is_first && !allowed {
            let paths: Vec<_> = same.iter().map(|key| key.path.as_str()).collect();
            root.problem(
                "applications",
                &format!("the same secret is in {}", paths.join(" and ")),
                "use a secret for one purpose in one environment, or write shared_secret = true in each of these keys",
            );
        }
    }
}
