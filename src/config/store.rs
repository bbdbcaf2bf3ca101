//! `[store]`: a file, or a Redis. How a Redis is reached is said in the words of the claim source `redis`.

use std::path::PathBuf;
use std::time::Duration;

use countersign_claim_source::{Secret as Text, TlsFiles};
use countersign_redis_link::{Connector, Sentinel, Settings};

use super::World;
use super::reader::{Table, plainly};
use crate::secret::Secret;
use crate::store::Place;

/// `[store]`
#[derive(Debug)]
pub enum Store {
    /// One file, one node.
    Embedded {
        /// The file.
        path: PathBuf,
    },
    /// Redis, many nodes.
    Redis(Box<Place>),
}

/// Of how many replicas at most a write waits.
const REPLICAS: i64 = 16;
/// For how long at most nothing may be heard of revocations: a day.
const LONGEST_SECS: i64 = 86_400;

#[derive(Clone, Copy)]
enum Kind {
    Embedded,
    Redis,
}

/// Reads the store; none where it is missing in development, or something is wrong with it.
pub(super) fn read(root: &Table<'_>, world: World<'_>, has_pseudonym_secret: bool) -> Option<Store> {
    let Some(table) = root.table("store") else {
        if !world.dev && !root.has("store") {
            let right = "[store] kind = \"embedded\" with a path, or kind = \"redis\" with a url";
            root.problem("store", "is missing", right);
        }
        return None;
    };
    if !table.has("kind") {
        table.problem("kind", "is missing", "must be one of embedded, redis");
    }
    let kind = table.word("kind", &[("embedded", Kind::Embedded), ("redis", Kind::Redis)]);
    let store = match kind {
        // What belongs to either kind is not blamed for the kind's fault.
        None => {
            table.text("path");
            redis(&table, world);
            None
        }
        Some(Kind::Embedded) => {
            let path = table.required_text("path", "as in \"var/countersign.redb\"");
            path.map(|path| Store::Embedded { path: path.into() })
        }
        Some(Kind::Redis) => {
            if !has_pseudonym_secret {
                root.problem("server.pseudonym_secret", "is missing", "Redis needs it: { env = \"NAME\" }");
            }
            if !table.has("url") {
                table.problem("url", "is missing", "as in { env = \"REDIS_URL\" }");
            }
            redis(&table, world).map(|place| Store::Redis(Box::new(place)))
        }
    };
    table.done();
    store
}

fn redis(table: &Table<'_>, world: World<'_>) -> Option<Place> {
    let prefix = table.text("prefix").unwrap_or_else(|| "countersign".to_owned());
    if prefix.contains(['{', '}']) {
        // They would decide in which slots of a Cluster the keys are.
        table.problem("prefix", "holds a brace", "choose another");
    }
    let wait_replicas = table.integer("wait_replicas", 0..=REPLICAS).and_then(|many| u32::try_from(many).ok());
    let max_staleness = table.integer("max_staleness_secs", 1..=LONGEST_SECS).and_then(|secs| u64::try_from(secs).ok());
    let max_staleness = max_staleness.map(Duration::from_secs);
    let connector = connector(table, world)?;
    Some(Place { connector, prefix, wait_replicas: wait_replicas.unwrap_or(0), max_staleness })
}

fn connector(table: &Table<'_>, world: World<'_>) -> Option<Connector> {
    let sentinel = table.table("sentinel").map(|table| {
        let master_name = table.required_text("master_name", "the name in `sentinel monitor`");
        let sentinel = Sentinel {
            // One that is missing is told already.
            master_name: master_name.unwrap_or_else(|| "missing".to_owned()),
            username: table.text("username"),
            password: secret(&table, "password", world),
        };
        table.done();
        sentinel
    });
    let settings = Settings {
        url: secret(table, "url", world).filter(|url| !url.expose().is_empty()),
        nodes: table.texts("nodes"),
        cluster: table.flag("cluster"),
        sentinel,
        username: table.text("username"),
        password: secret(table, "password", world),
        database: table.integer("database", 0..=i64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok()),
        tls: table.table("tls").map(|table| tls(&table)),
    };
    settings.check(&|key, wrong, right| table.problem(key, wrong, right))
}

/// The text that a reference leads to; an empty one where it leads nowhere, which is told then.
fn secret(table: &Table<'_>, key: &str, world: World<'_>) -> Option<Text> {
    if !table.has(key) {
        return None;
    }
    let bytes = table.secret(key, world.env);
    let text = bytes.map(|bytes| String::from_utf8(bytes.expose().to_vec()));
    let text = text.transpose().unwrap_or_else(|_binary| {
        table.problem(key, "is not text", "put text there");
        None
    });
    Some(Text::new(text.unwrap_or_default()))
}

/// What stands in the files of `tls`.
fn tls(table: &Table<'_>) -> TlsFiles {
    let read = |key: &str| {
        let read = std::fs::read(table.file(key)?);
        read.map_err(|error| table.problem(key, &format!("cannot be read: {}", plainly(&error)), "name a PEM file"))
            .ok()
    };
    let (ca, cert, key) = (read("ca"), read("cert"), read("key").map(Secret::new));
    if table.has("cert") != table.has("key") {
        table.problem("cert", "is there without key, or key without it", "name both, or neither");
    }
    table.done();
    let key = key.map(|key| Text::new(String::from_utf8_lossy(key.expose()).into_owned()));
    TlsFiles { ca, identity: cert.zip(key) }
}
