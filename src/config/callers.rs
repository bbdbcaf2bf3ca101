//! `[callers]`: who may call what. A caller is found by the SHA-256 of its token, in constant time.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::World;
use super::reader::Table;
use crate::application::Application;
use crate::caller::{Caller, Clients, Pattern, Permission};

/// The callers of a configuration.
#[derive(Debug, Default)]
pub struct Callers {
    known: Vec<([u8; 32], Arc<Caller>)>,
}

impl Callers {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The caller with this token. Every caller is compared, whatever comes out.
    #[must_use]
    pub fn with_token(&self, token: &[u8]) -> Option<&Arc<Caller>> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = u32::MAX;
        for (index, (known, _)) in (0_u32..).zip(&self.known) {
            let same: Choice = known.ct_eq(&digest);
            found.conditional_assign(&index, same);
        }
        self.known.get(usize::try_from(found).ok()?).map(|(_, caller)| caller)
    }

    /// Says which patterns match no application: most likely a typing error.
    pub(super) fn warn_of_idle_patterns(&self, root: &Table<'_>, applications: &[Application]) {
        for (_, caller) in &self.known {
            let idle = |pattern: &&Pattern| !applications.iter().any(|a| pattern.matches(&a.name));
            if caller.applications.iter().any(|pattern| idle(&pattern)) {
                let key = format!("callers.{}.applications", caller.name);
                root.warning(&key, "has a pattern that matches no application", "check it, or remove it");
            }
        }
    }
}

pub(super) fn read(root: &Table<'_>, _world: World<'_>) -> Callers {
    let mut callers = Callers::default();
    for (name, table) in root.tables("callers") {
        let digest = token(&table);
        let may = may(&table);
        let applications = applications(&table);
        let clients = table.texts("clients").into_iter().collect::<BTreeSet<_>>();
        if clients.iter().any(|label| label.contains('/')) {
            table.problem(
                "clients",
                "has a label with a slash",
                "name first segments only: \"ios\" covers \"ios/3.2\"",
            );
        }
        table.done();
        let Some(digest) = digest else { continue };
        if callers.known.iter().any(|(known, _)| *known == digest) {
            table.problem("token_sha256", "is another caller's too", "give every caller a token of its own");
        }
        callers.known.push((digest, Arc::new(Caller { name, may, applications, clients: Clients::Only(clients) })));
    }
    callers
}

fn token(table: &Table<'_>) -> Option<[u8; 32]> {
    const RIGHT: &str = "must be 64 hexadecimal digits: printf %s \"$TOKEN\" | sha256sum";
    let text = table.required_text("token_sha256", RIGHT)?;
    let mut digest = [0; 32];
    if hex::decode_to_slice(&text, &mut digest).is_err() {
        table.problem("token_sha256", "is not a SHA-256 digest", RIGHT);
        return None;
    }
    if digest == <[u8; 32]>::from(Sha256::digest(b"")) {
        table.problem("token_sha256", "is the digest of an empty token", RIGHT);
        return None;
    }
    Some(digest)
}

fn may(table: &Table<'_>) -> BTreeSet<Permission> {
    let names = Permission::ALL.map(|(name, _)| name).join(", ");
    let words = table.texts("may");
    let known = words.iter().map(|word| Permission::ALL.iter().find(|(name, _)| name == word).map(|(_, p)| *p));
    match known.collect::<Option<BTreeSet<_>>>() {
        Some(may) if !may.is_empty() => may,
        Some(_) => {
            table.problem("may", "is missing or empty", &format!("must be a list of {names}"));
            BTreeSet::new()
        }
        None => {
            table.problem("may", "has an unknown permission", &format!("must be a list of {names}"));
            BTreeSet::new()
        }
    }
}

fn applications(table: &Table<'_>) -> Vec<Pattern> {
    const RIGHT: &str = "must be a list of names as in \"acme/feedback\" or \"acme/*\", where * is one whole segment";
    let texts = table.texts("applications");
    if texts.is_empty() {
        table.problem("applications", "is missing or empty", RIGHT);
    }
    let patterns: Option<Vec<_>> = texts.iter().map(|text| Pattern::parse(text)).collect();
    patterns.unwrap_or_else(|| {
        table.problem("applications", "has something that is not a pattern", RIGHT);
        Vec::new()
    })
}
