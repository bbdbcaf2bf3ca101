//! The Redis that several servers share: one server, Sentinel or Cluster. Here is how it is reached, what its keys are
//! called, and what waits for replicas. What is kept there is in `replicated.rs`, `shared_revocations.rs` and
//! `shared_claims.rs`, which do not know which of the three it is.
//!
//! The one rule for all of them: commands that go out together are about keys of one *tag*. On a Cluster these lie on one
//! server, and what is `{in braces}` in a key decides on which.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use countersign_redis_link::{Connector, Link};
use redis::{Cmd, FromRedisValue, Pipeline};

use super::lane::Lane;
use super::{Away, Name};

/// How long a command may take, with what it waits for before.
pub(super) const COMMAND: Duration = Duration::from_secs(1);
/// Bytes that are not chosen twice.
const NONCE_BYTES: usize = 16;

/// Which Redis, and how it is used: `[store]` of the configuration.
#[derive(Clone, Debug)]
pub struct Place {
    /// How it is reached.
    pub connector: Connector,
    /// What every key begins with. It holds no braces.
    pub prefix: String,
    /// How many replicas have to have what must not be lost, before it is answered for.
    pub wait_replicas: u32,
    /// For how long a server may hear nothing of what others revoke, where an application is strict.
    pub max_staleness: Option<Duration>,
}

/// The Redis. Nothing is connected before the first command, and again whenever it has to be. A clone is the same one.
#[derive(Clone)]
pub struct SharedRedis(Arc<Inner>);

struct Inner {
    place: Place,
    /// For what is answered at once: everybody's commands go out together.
    link: Link,
    /// For what waits for replicas, by tag.
    lanes: Mutex<BTreeMap<String, Lane>>,
}

impl fmt::Debug for SharedRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedRedis").field(&self.0.place).finish()
    }
}

impl SharedRedis {
    /// The Redis at a place.
    #[must_use]
    pub fn new(place: Place) -> Self {
        let link = Link::new(place.connector.clone());
        Self(Arc::new(Inner { place, link, lanes: Mutex::default() }))
    }

    pub(super) fn place(&self) -> &Place {
        &self.0.place
    }

    /// A key of a tag: `{prefix:tag}:what`.
    #[must_use]
    pub fn tagged(&self, tag: &str, what: &str) -> String {
        format!("{{{}:{tag}}}:{what}", self.0.place.prefix)
    }

    /// A key that nothing is sent together with: `prefix:what`.
    #[must_use]
    pub fn named(&self, what: &str) -> String {
        format!("{}:{what}", self.0.place.prefix)
    }

    /// The key of something that is known by a digest, and that nothing is sent together with.
    pub(super) fn key(&self, what: &str, name: &Name) -> String {
        self.named(&format!("{what}:{}", hex::encode(name)))
    }

    /// What these commands answer. They are about keys of one tag, and may be sent twice. Whether replicas have what they
    /// write is not known.
    ///
    /// # Errors
    ///
    /// Where it cannot be reached in time, or says no.
    pub async fn run<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Away> {
        let asked = self.0.link.ask(COMMAND, |connection| async move { connection.run(commands).await });
        asked.await.map_err(|_may_quote_a_key| Away)
    }

    /// What a command answers that writes keys of this tag, once as many replicas have it as have to. It may be sent
    /// twice.
    ///
    /// # Errors
    ///
    /// Where too few have it, or what it answered is not known: it may have been done all the same, and may be forgotten.
    pub async fn durably<T: FromRedisValue>(&self, tag: &str, command: Cmd) -> Result<T, Away> {
        let Place { connector, wait_replicas, .. } = &self.0.place;
        if *wait_replicas == 0 {
            let mut commands = redis::pipe();
            commands.add_command(command);
            return self.run(&commands).await.map(|(answer,)| answer);
        }
        let lane = {
            let mut lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            let lane = lanes.entry(tag.to_owned());
            lane.or_insert_with(|| Lane::open(connector.clone(), *wait_replicas)).clone()
        };
        lane.send(command).await
    }
}

/// What tells one try from another one, of whatever server.
pub(super) fn nonce() -> Result<String, Away> {
    let mut nonce = [0; NONCE_BYTES];
    rand::fill(&mut nonce).map_err(|_unspecified| Away)?;
    Ok(hex::encode(nonce))
}
