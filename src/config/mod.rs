//! Configuration: read leniently (`file.rs`), then checked whole (`check`), so that all problems come at once, each
//! with file, key, what is wrong and what would be right. Values are never quoted: a mistyped key may hold a secret.

pub mod acceptance;
mod application;
mod attributes;
mod audit;
mod callers;
pub mod dev;
mod file;
mod keys;
mod reader;
mod server;
mod sources;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use time::UtcDateTime;

pub use self::callers::Callers;
pub use self::server::{Server, Tls};
pub use self::store::Store;
use crate::application::{Application, Snapshot};
use crate::audit::Plan;
use crate::observe::Metrics;
use crate::pipeline::registry::Kind;

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, or `environment`.
    pub file: String,
    /// The path of the key.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, key, wrong, right } = self;
        let key = if key.is_empty() { "" } else { &format!(" {key}:") };
        write!(f, "{file}:{key} {wrong}; {right}")
    }
}

/// A configuration in which nothing is wrong.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen and how.
    pub server: Server,
    /// Who may call.
    pub callers: Callers,
    /// Where state is kept; none only in development.
    pub store: Option<Store>,
    /// What is written down, and where; none where nothing is.
    pub audit: Option<Plan>,
    /// The applications.
    pub applications: Vec<Application>,
    /// The claim sources, not open yet.
    pub sources: BTreeMap<String, sources::Checked>,
    /// The first half of the file's SHA-256, in hexadecimal: which configuration this is.
    pub digest: String,
    /// What is odd and yet works.
    pub warnings: Vec<Problem>,
}

/// What a configuration is checked against.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it holds the environment, and so secrets")]
pub struct World<'w> {
    /// The environment variables, for configuration and for secrets.
    pub env: &'w BTreeMap<String, String>,
    /// The present instant.
    pub now: UtcDateTime,
    /// The kinds of claim sources.
    pub kinds: &'w [&'w dyn Kind],
    /// Whether this is `serve --dev`, where store and callers may be absent.
    pub dev: bool,
}

/// Reads and checks a configuration file. Problems are in the order of the file's keys.
pub fn load(path: &Path, world: World<'_>) -> Result<Settings, Vec<Problem>> {
    let tree = file::read(path, world.env)?;
    check(&tree, world)
}

/// Reads and checks a configuration that is at hand; `name` stands for the file.
pub fn parse(name: &str, text: &str, world: World<'_>) -> Result<Settings, Vec<Problem>> {
    let tree = file::parse(name, text, world.env)?;
    check(&tree, world)
}

fn check(tree: &file::Tree, world: World<'_>) -> Result<Settings, Vec<Problem>> {
    let found = reader::Found::default();
    let root = tree.root(&found);
    let profiles = server::profiles(&root);
    let callers = callers::read(&root, world);
    let server = server::read(&root, world, &callers);
    let store = store::read(&root, world, server.pseudonym_secret.is_some());
    let sources = sources::read(&root, world, matches!(store, Some(Store::Redis(_))));
    let applications = application::read(&root, world, &profiles, &sources);
    callers.warn_of_idle_patterns(&root, &applications);
    let strict = applications.iter().any(|application| application.expected.strict_revocation);
    if strict && matches!(&store, Some(Store::Redis(place)) if place.max_staleness.is_none()) {
        root.problem("store.max_staleness_secs", "is missing", "tokens.strict_revocation needs it: how old is too old");
    }
    let audit = audit::read(&root, world, store.as_ref());
    root.done();
    let (mut problems, warnings) = found.into_parts();
    problems.extend(tree.problems.iter().cloned());
    if problems.is_empty() {
        let digest = tree.digest.clone();
        Ok(Settings { server, callers, store, audit, applications, sources, digest, warnings })
    } else {
        problems.sort();
        problems.dedup();
        Err(problems)
    }
}

impl Settings {
    /// Opens the claim sources. After that, nothing of a request waits for configuration.
    pub async fn open(self, metrics: &Metrics) -> anyhow::Result<(Server, Callers, Snapshot)> {
        let mut opened = BTreeMap::new();
        for (name, source) in self.sources {
            opened.insert(name, Arc::new(source.open(metrics).await?));
        }
        let applications =
            self.applications.into_iter().map(|application| (application.name.clone(), Arc::new(application)));
        Ok((self.server, self.callers, Snapshot { applications: applications.collect(), sources: opened }))
    }
}
