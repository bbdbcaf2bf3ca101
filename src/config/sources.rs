//! `[sources.S]`: what the host must know of a claim source; its own table is the kind's business.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use countersign_claim_source::{Check, Reference, Secret, Secrets};
use sha2::{Digest as _, Sha256};

use super::World;
use super::reader::{Place, Table, plainly, resolve};
use crate::identity::Field;
use crate::observe::Metrics;
use crate::pipeline::registry::Prepared;
use crate::pipeline::{Asked, DEFAULT, OnError, Rules, Source, VALUE};
use crate::profile::REGISTERED;

/// How long one source may take where the operator says nothing, in milliseconds.
const TIMEOUT_MS: u64 = 500;
/// The longest that anybody can wait, in milliseconds: a request ends after 30 s, and has to say so first.
pub(super) const LONGEST_MS: i64 = 25_000;
/// How often a source that is unavailable is asked again.
const RETRIES: u32 = 1;
/// How many calls of one source may be under way at once.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
/// After how many failures in a row a source is left alone, and for how long, in milliseconds.
const BREAKER: (NonZeroU32, u64) = (NonZeroU32::MIN.saturating_add(9), 1_000);
/// The longest time that anything is kept: ten years, as nobody means more.
const LONGEST_SECS: i64 = 315_360_000;

/// A claim source in which nothing is wrong, not open yet.
pub struct Checked {
    name: String,
    rules: Option<Rules>,
    asks_with: BTreeSet<String>,
    version: [u8; 32],
    prepared: Option<Box<dyn Prepared>>,
    /// What it sets, also where something is wrong.
    pub(super) sets: Vec<String>,
    /// What it needs, also where something is wrong.
    pub(super) needs: Vec<String>,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("name", &self.name).field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Checked {
    /// Whether its claims may be left out.
    pub(super) fn omits(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.on_error == OnError::Omit)
    }

    /// What a plan has to know of it.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked { needs: &self.needs, asks_with: &self.asks_with, version: self.version }
    }

    /// Opens it.
    pub async fn open(self, metrics: &Metrics) -> anyhow::Result<Source> {
        let (prepared, rules) = self.prepared.zip(self.rules).context("an unchecked source")?;
        let plugin = prepared.open().await.with_context(|| format!("sources.{} cannot be opened", self.name))?;
        let name: Arc<str> = self.name.into();
        let counts = metrics.of_source(&name);
        Ok(Source::new((name, counts), rules, self.asks_with, self.version, plugin))
    }
}

/// Reads the sources. `shares`: whether there is a store that replicas share.
pub(super) fn read(root: &Table<'_>, world: World<'_>, shares: bool) -> BTreeMap<String, Checked> {
    let mut sources = BTreeMap::new();
    for (name, table) in root.tables("sources") {
        if ["caller", DEFAULT, VALUE].contains(&name.as_str()) {
            table.problem("kind", "is of a source whose name means another origin", "rename it");
        }
        let (sets, needs) = (sets(&table), table.texts("needs"));
        let rules = rules(&table, &sets, &needs, shares);
        let secrets = Resolved { env: world.env, digest: RefCell::default() };
        let checked = prepare(&table, world, (&sets, &needs), &secrets);
        let (prepared, asks_with) = checked.unzip();
        let version = version(&table, &secrets);
        table.done();
        let asks_with = asks_with.unwrap_or_default();
        sources.insert(name.clone(), Checked { name, rules, asks_with, version, prepared, sets, needs });
    }
    sources
}

fn sets(table: &Table<'_>) -> Vec<String> {
    let sets = table.texts("sets");
    if sets.is_empty() {
        table.problem("sets", "is missing or empty", "name the claims that it sets, as in [\"plan\"]");
    }
    let reserved = |claim: &String| {
        REGISTERED.contains(&claim.as_str()) || claim == "countersign" || claim == Field::UserId.name()
    };
    if sets.iter().any(reserved) {
        table.problem(
            "sets",
            "has a claim that no source may set",
            "remove iss, sub, aud, exp, nbf, iat, jti, countersign, user_id",
        );
    }
    sets
}

fn rules(table: &Table<'_>, sets: &[String], needs: &[String], shares: bool) -> Option<Rules> {
    let millis = |key: &str, range| table.integer(key, range).and_then(|n| u64::try_from(n).ok());
    let seconds = |key: &str, longest| table.integer(key, 0..=longest).and_then(|secs| u64::try_from(secs).ok());
    let small = |key: &str, range| table.integer(key, range).and_then(|n| u32::try_from(n).ok());
    let on_error = on_error(table);
    let rules = Rules {
        sets: sets.iter().cloned().collect(),
        needs: needs.to_vec(),
        on_error: on_error.unwrap_or(OnError::Refuse),
        timeout: Duration::from_millis(millis("timeout_ms", 1..=LONGEST_MS).unwrap_or(TIMEOUT_MS)),
        fresh: Duration::from_secs(seconds("fresh_secs", LONGEST_SECS).unwrap_or(0)),
        stale: Duration::from_secs(seconds("stale_secs", LONGEST_SECS).unwrap_or(0)),
        absent: Duration::from_secs(seconds("absent_secs", LONGEST_SECS).unwrap_or(0)),
        shared: table.flag("shared"),
        retries: small("retries", 0..=10).unwrap_or(RETRIES),
        concurrency: small("concurrency", 1..=100_000)
            .and_then(|n| NonZeroUsize::new(usize::try_from(n).ok()?))
            .unwrap_or(CONCURRENCY),
        breaker_failures: small("breaker_failures", 1..=1_000_000).and_then(NonZeroU32::new).unwrap_or(BREAKER.0),
        breaker_pause: Duration::from_millis(millis("breaker_pause_ms", 1..=600_000).unwrap_or(BREAKER.1)),
    };
    if on_error == Some(OnError::Stale) && rules.stale.is_zero() {
        let wrong = if table.has("stale_secs") { "is 0" } else { "is missing" };
        let right = "on_error = \"stale\" needs it: how long, after fresh_secs, the old may stand in";
        table.problem("stale_secs", wrong, right);
    }
    if on_error.is_some_and(|on_error| on_error != OnError::Stale) && table.has("stale_secs") {
        table.problem("stale_secs", "is for on_error = \"stale\" alone", "remove it, or write on_error = \"stale\"");
    }
    let keeps = !(rules.fresh.is_zero() && rules.stale.is_zero() && rules.absent.is_zero());
    if rules.shared && !shares {
        table.problem("shared", "needs a store that replicas share", "[store] kind = \"redis\", or remove it");
    } else if rules.shared && !keeps {
        table.problem("shared", "shares what is not kept", "write fresh_secs, stale_secs or absent_secs, or remove it");
    }
    on_error.map(|_| rules)
}

fn on_error(table: &Table<'_>) -> Option<OnError> {
    if !table.has("on_error") {
        table.problem("on_error", "is missing", "must be one of refuse, omit, stale: there is no default");
    }
    table.word("on_error", &[("refuse", OnError::Refuse), ("omit", OnError::Omit), ("stale", OnError::Stale)])
}

fn prepare(
    table: &Table<'_>,
    world: World<'_>,
    (sets, needs): (&[String], &[String]),
    secrets: &dyn Secrets,
) -> Option<(Box<dyn Prepared>, BTreeSet<String>)> {
    let words: Vec<_> = world.kinds.iter().map(|kind| (kind.name(), *kind)).collect();
    if !table.has("kind") {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        table.problem("kind", "is missing", &format!("must be one of {}", names.join(", ")));
    }
    let kind = table.word("kind", &words);
    let config = table.foreign("config").unwrap_or_else(|| serde_json::json!({}));
    let check = Check::new(sets, needs, secrets);
    let prepared = kind?.prepare(config, &check);
    let (problems, asks_with) = check.into_parts();
    for problem in &problems {
        let key = if problem.key.is_empty() { "config".to_owned() } else { format!("config.{}", problem.key) };
        table.problem(&key, &problem.wrong, &problem.right);
    }
    prepared.filter(|_| problems.is_empty()).map(|prepared| (prepared, asks_with))
}

/// What the kind's table says and what its references lead to, as a digest: it is part of every key of the cache, so
/// that what a source said under another configuration is not taken for its answer.
fn version(table: &Table<'_>, secrets: &Resolved<'_>) -> [u8; 32] {
    let config = table.foreign("config").unwrap_or_default().to_string();
    let mut digest = secrets.digest.borrow().clone();
    for part in [table.text("kind").unwrap_or_default(), config] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// References and files of a kind's table, as the configuration resolves its own.
struct Resolved<'w> {
    env: &'w BTreeMap<String, String>,
    /// Over all that was read.
    digest: RefCell<Sha256>,
}

impl Resolved<'_> {
    fn note(&self, bytes: &[u8]) {
        let mut digest = self.digest.borrow_mut();
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    }
}

impl Secrets for Resolved<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Secret, (String, String)> {
        let place = match reference {
            Reference::Env(name) => Place::Env(name),
            Reference::File(path) => Place::File(Path::new(path)),
        };
        let own = |(wrong, right): (String, &str)| (wrong, right.to_owned());
        let bytes = resolve(place, self.env).map_err(own)?;
        self.note(&bytes);
        let text = String::from_utf8(bytes).map_err(|_binary| own(("is not text".to_owned(), "put text there")))?;
        if text.is_empty() {
            return Err(own(("is empty".to_owned(), "put the secret there")));
        }
        Ok(Secret::new(text))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        std::fs::read(path).inspect(|bytes| self.note(bytes)).map_err(|error| plainly(&error))
    }
}
