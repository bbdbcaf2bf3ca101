//! What replicas share in Redis: the second level of the claims cache, and the word of what is invalidated. Nothing that
//! is read here is believed (`pipeline/shared.rs`), and nothing waits long for it.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands as _, Client, RedisError};

use crate::pipeline::{SharedEntries, Unreachable};
use crate::secret::Secret;

/// How long a command, or a connection, may take.
const COMMAND: Duration = Duration::from_secs(1);
/// How long a reader of the stream waits for news before it asks again, in milliseconds.
const BLOCK_MS: u64 = 500;
/// How long it pauses when the store is away.
const PAUSE: Duration = Duration::from_millis(250);
/// The position before every word of a stream.
const EMPTY: &str = "0-0";
/// Invalidations that the stream holds, about. A replica that missed more drops everything.
const STREAM: usize = 10_000;

/// Redis, as replicas share it.
#[derive(Clone)]
pub struct SharedRedis {
    client: Client,
    connection: ConnectionManager,
    prefix: String,
    /// The last word of the stream when this was opened; none where it could not be reached.
    heard: Option<String>,
}

impl fmt::Debug for SharedRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRedis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// What is heard from other replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The store is reached, and everything that was said while it was not has been or will be heard.
    Again,
    /// The store is away.
    Nothing,
    /// Something was said that cannot be heard any more.
    Gap,
    /// What is kept about this subject is to be dropped.
    Forget([u8; 32]),
}

/// A word of the stream: its id, its fields and their values in turn.
type Word = (String, Vec<Vec<u8>>);

/// The last word of the stream that was heard.
#[derive(Clone, Debug, Default)]
struct Position(Option<String>);

impl SharedRedis {
    /// Connects now, so that the first request finds it connected, and again whenever it has to. That it is away is no
    /// reason to fail.
    pub async fn open(url: &Secret, prefix: &str) -> Result<Self, String> {
        let plain = |_quotes_the_url: RedisError| "store.url is not an address of Redis".to_owned();
        let url = std::str::from_utf8(url.expose()).map_err(|_binary| "store.url is not text".to_owned())?;
        let client = Client::open(url).map_err(plain)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(COMMAND))
            .set_response_timeout(Some(COMMAND));
        let connection = client.get_connection_manager_lazy(config).map_err(plain)?;
        let mut opened = Self { client, connection, prefix: prefix.to_owned(), heard: None };
        // Whatever is said from here on is heard; before that, nothing is kept that it could be about.
        let (mut connection, stream) = (opened.connection.clone(), opened.stream());
        let newest = newest(&mut connection, &stream);
        let newest = tokio::time::timeout(COMMAND, newest).await;
        opened.heard = newest.ok().and_then(Result::ok);
        Ok(opened)
    }

    /// Whether it is an address of Redis.
    #[must_use]
    pub fn is_address(url: &Secret) -> bool {
        std::str::from_utf8(url.expose()).is_ok_and(|url| Client::open(url).is_ok())
    }

    pub(super) fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }

    /// The key of what there is one of.
    pub(super) fn named(&self, what: &str) -> String {
        format!("{}:{what}", self.prefix)
    }

    pub(super) fn key(&self, what: &str, name: &[u8; 32]) -> String {
        format!("{}:{what}:{}", self.prefix, hex::encode(name))
    }

    fn stream(&self) -> String {
        format!("{}:invalidated", self.prefix)
    }

    /// Listens to what other replicas say, for ever.
    pub async fn listen<F: Future<Output = ()>>(&self, mut hear: impl FnMut(Heard) -> F) -> Infallible {
        let (mut position, mut reached) = (Position(self.heard.clone()), true);
        loop {
            let Err(_lost) = self.follow(&mut position, &mut reached, &mut hear).await;
            // Said once for each time that it goes away, the start among them.
            if std::mem::replace(&mut reached, false) {
                hear(Heard::Nothing).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows the stream on a connection of its own until that breaks.
    async fn follow<F: Future<Output = ()>>(
        &self,
        position: &mut Position,
        reached: &mut bool,
        hear: &mut impl FnMut(Heard) -> F,
    ) -> Result<Infallible, RedisError> {
        let connecting = self.client.get_multiplexed_async_connection();
        let timed_out = |_elapsed| RedisError::from((redis::ErrorKind::Io, "no connection in time"));
        let mut connection = tokio::time::timeout(COMMAND, connecting).await.map_err(timed_out)??;
        connection.set_response_timeout(Duration::from_millis(BLOCK_MS) + COMMAND);
        let key = self.stream();
        let still_there = match position.0.take() {
            None => None,
            Some(last) => {
                let (from, to) = if last == EMPTY { ("-", "+") } else { (last.as_str(), last.as_str()) };
                let mut range = redis::cmd("XRANGE");
                range.arg(&key).arg(from).arg(to).arg("COUNT").arg(STREAM);
                let found: Vec<Word> = range.query_async(&mut connection).await?;
                // After an empty stream nothing is missing while it still has all that it can hold.
                let whole = if last == EMPTY { found.len() < STREAM } else { !found.is_empty() };
                Some(last).filter(|_| whole)
            }
        };
        let mut last = match still_there {
            // The last word that was heard is still there, so that nothing after it is missing.
            Some(last) => last,
            None => {
                let newest = newest(&mut connection, &key).await?;
                hear(Heard::Gap).await;
                newest
            }
        };
        *reached = true;
        hear(Heard::Again).await;
        loop {
            position.0 = Some(last.clone());
            let read: Option<Vec<(String, Vec<Word>)>> = redis::cmd("XREAD")
                .arg("BLOCK")
                .arg(BLOCK_MS)
                .arg("STREAMS")
                .arg(&key)
                .arg(&last)
                .query_async(&mut connection)
                .await?;
            for (id, fields) in read.into_iter().flatten().flat_map(|(_, words)| words) {
                // Whoever writes nonsense there makes nobody believe anything; at most something is dropped.
                let tag = fields.get(1).and_then(|tag| <[u8; 32]>::try_from(tag.as_slice()).ok());
                hear(tag.map_or(Heard::Gap, Heard::Forget)).await;
                last = id;
            }
        }
    }
}

#[async_trait]
impl SharedEntries for SharedRedis {
    async fn get(&self, name: &[u8; 32]) -> Result<Option<Vec<u8>>, Unreachable> {
        self.connection.clone().get(self.key("claims", name)).await.map_err(unreachable)
    }

    async fn put(
        &self,
        name: &[u8; 32],
        sealed: Vec<u8>,
        life: Duration,
        tags: &[[u8; 32]],
    ) -> Result<(), Unreachable> {
        let millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1);
        let key = self.key("claims", name);
        let mut commands = redis::pipe();
        // The subject's list first: what is in no list could not be found again to be removed.
        for tag in tags {
            let list = self.key("claims-of", tag);
            commands.cmd("SADD").arg(&list).arg(&key).ignore();
            // A list lives as long as the longest-lived entry in it.
            commands.cmd("PEXPIRE").arg(&list).arg(millis).arg("NX").ignore();
            commands.cmd("PEXPIRE").arg(&list).arg(millis).arg("GT").ignore();
        }
        commands.cmd("SET").arg(&key).arg(sealed).arg("PX").arg(millis).ignore();
        commands.query_async(&mut self.connection.clone()).await.map_err(unreachable)
    }

    async fn remove(&self, name: &[u8; 32]) -> Result<(), Unreachable> {
        self.connection.clone().del(self.key("claims", name)).await.map_err(unreachable)
    }

    async fn forget(&self, tag: &[u8; 32]) -> Result<(), Unreachable> {
        let mut connection = self.connection.clone();
        let list = self.key("claims-of", tag);
        let keys: Vec<String> = connection.smembers(&list).await.map_err(unreachable)?;
        let own = format!("{}:claims:", self.prefix);
        let mut commands = redis::pipe();
        // A list that somebody wrote into removes nothing but entries of this cache.
        for key in keys.iter().filter(|key| key.starts_with(&own)) {
            commands.del(key).ignore();
        }
        commands.del(&list).ignore();
        commands.query_async(&mut connection).await.map_err(unreachable)
    }

    async fn announce(&self, tag: &[u8; 32]) -> Result<(), Unreachable> {
        let mut add = redis::cmd("XADD");
        add.arg(self.stream()).arg("MAXLEN").arg("~").arg(STREAM).arg("*").arg("subject").arg(tag.as_slice());
        add.query_async::<String>(&mut self.connection.clone()).await.map(drop).map_err(unreachable)
    }
}

/// The last word of the stream, or [`EMPTY`].
async fn newest(connection: &mut impl ConnectionLike, stream: &str) -> Result<String, RedisError> {
    let mut range = redis::cmd("XREVRANGE");
    range.arg(stream).arg("+").arg("-").arg("COUNT").arg(1);
    let newest: Vec<Word> = range.query_async(connection).await?;
    Ok(newest.into_iter().next().map_or_else(|| EMPTY.to_owned(), |(id, _)| id))
}

/// Redis's own text may quote a key; that it is away is all that anybody does anything about.
fn unreachable(_error: RedisError) -> Unreachable {
    Unreachable
}
