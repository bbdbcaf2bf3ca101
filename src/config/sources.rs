//! `[sources.S]`: what the host must know of a claim source; its own table is the kind's business.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;

use super::reader::Table;
use crate::identity::Field;
use crate::pipeline::registry::{Kind, Prepared};
use crate::pipeline::{OnError, Source, TIMEOUT};
use crate::profile::REGISTERED;

/// A claim source in which nothing is wrong, not open yet.
pub struct Checked {
    name: String,
    /// What it sets.
    pub(super) sets: Vec<String>,
    on_error: Option<OnError>,
    timeout: Duration,
    prepared: Option<Box<dyn Prepared>>,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("name", &self.name).field("sets", &self.sets).finish_non_exhaustive()
    }
}

impl Checked {
    /// Whether its claims may be left out.
    pub(super) fn omits(&self) -> bool {
        self.on_error == Some(OnError::Omit)
    }

    /// Opens it.
    pub async fn open(self) -> anyhow::Result<Source> {
        let (prepared, on_error) = self.prepared.zip(self.on_error).context("an unchecked source")?;
        let plugin = prepared.open().await.with_context(|| format!("sources.{} cannot be opened", self.name))?;
        Ok(Source { sets: self.sets.into_iter().collect(), on_error, timeout: self.timeout, plugin })
    }
}

pub(super) fn read(root: &Table<'_>, kinds: &[&dyn Kind]) -> BTreeMap<String, Checked> {
    let mut sources = BTreeMap::new();
    for (name, table) in root.tables("sources") {
        if name == "caller" {
            table.problem("kind", "is of a source named caller, which is what the request asserts", "rename it");
        }
        let sets = sets(&table);
        let on_error = on_error(&table);
        let timeout = table.integer("timeout_ms", 1..=60_000).and_then(|millis| u64::try_from(millis).ok());
        let timeout = timeout.map_or(TIMEOUT, Duration::from_millis);
        let prepared = prepare(&table, kinds, &sets);
        table.done();
        sources.insert(name.clone(), Checked { name, sets, on_error, timeout, prepared });
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

fn on_error(table: &Table<'_>) -> Option<OnError> {
    const RIGHT: &str = "must be one of refuse, omit: there is no default";
    if !table.has("on_error") {
        table.problem("on_error", "is missing", RIGHT);
    }
    let words = [("refuse", Some(OnError::Refuse)), ("omit", Some(OnError::Omit)), ("stale", None)];
    let word = table.word("on_error", &words)?;
    if word.is_none() {
        table.problem("on_error", "needs a cache, which this version does not have", RIGHT);
    }
    word
}

fn prepare(table: &Table<'_>, kinds: &[&dyn Kind], sets: &[String]) -> Option<Box<dyn Prepared>> {
    let words: Vec<(&str, &dyn Kind)> = kinds.iter().map(|kind| (kind.name(), *kind)).collect();
    if !table.has("kind") {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        table.problem("kind", "is missing", &format!("must be one of {}", names.join(", ")));
    }
    let kind = table.word("kind", &words);
    let config = table.foreign("config").unwrap_or_else(|| serde_json::json!({}));
    kind?
        .prepare(config, sets)
        .map_err(|problems| {
            for problem in problems {
                table.problem(&format!("config.{}", problem.key), &problem.wrong, &problem.right);
            }
        })
        .ok()
}
