//! State of several servers, in Redis: used one-time tokens and the facts of the ratchet. Revocations are in
//! `shared_revocations.rs`.
//!
//! Redis loses what it was told last when its primary fails: what must not be lost waits for `wait_replicas` of them. A Redis that comes
//! back empty cannot say which tokens were used before. It is known by a record of when it was first seen, and tokens
//! that were issued until then are not judged.

use std::fmt;

use async_trait::async_trait;
use redis::{Cmd, Pipeline};
use time::UtcDateTime;

use super::shared_revocations::Ear;
use super::{Away, FactKey, Facts, Least, Memory, Name, OneTime, Revocations, Revoked, Revoking, SharedRedis, Use};
use crate::secret::Secret;

/// How long replicas may take to acknowledge, in milliseconds: less than a command may take.
const ACKNOWLEDGE_MS: u64 = 500;

/// The Redis, as this server sees it.
pub struct Replicated {
    pub(super) redis: SharedRedis,
    pub(super) ear: Ear,
    wait_replicas: u32,
    /// Facts that were seen here: they do not change, and need not be asked for again.
    seen: Memory,
}

impl fmt::Debug for Replicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicated").field("redis", &self.redis).finish_non_exhaustive()
    }
}

/// Uses a token where it is not used, in a store that was there before the token: 1, else 0; -1 where it was not.
const USE_UP: &str = "
local seen = redis.call('GET', KEYS[1])
if not seen then
  seen = ARGV[1]
  redis.call('SET', KEYS[1], seen)
end
if tonumber(ARGV[2]) <= tonumber(seen) then return -1 end
return redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[3]) and 1 or 0
";

impl Replicated {
    /// Connects now, and again whenever it has to. That it is away is no reason to fail: a store that was never reached
    /// is new at the first use.
    ///
    /// # Errors
    ///
    /// Where the address is none.
    pub async fn open(
        (url, prefix): (&Secret, &str),
        wait_replicas: u32,
        now: UtcDateTime,
        least: Least,
    ) -> Result<Self, String> {
        let redis = SharedRedis::open(url, prefix).await?;
        let opened = Self { redis, wait_replicas, seen: Memory::default(), ear: Ear::new(least) };
        let mut commands = redis::pipe();
        commands.cmd("SET").arg(opened.first_seen()).arg(now.unix_timestamp()).arg("NX").ignore();
        opened.run::<()>(&commands).await.unwrap_or_default();
        Ok(opened)
    }

    /// What a command answers, once as many replicas have it as have to.
    pub(super) async fn durably<T: redis::FromRedisValue>(&self, command: Cmd) -> Result<T, Away> {
        let mut commands = redis::pipe();
        commands.add_command(command).cmd("WAIT").arg(self.wait_replicas).arg(ACKNOWLEDGE_MS);
        let (answer, replicas): (T, u32) = self.run(&commands).await?;
        if self.wait_replicas <= replicas { Ok(answer) } else { Err(Away) }
    }

    pub(super) async fn run<T: redis::FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Away> {
        commands.query_async(&mut self.redis.connection()).await.map_err(|_may_quote_a_key| Away)
    }

    /// The key of the record that says since when this store is known, in seconds since 1970.
    fn first_seen(&self) -> String {
        self.redis.named("first-seen")
    }
}

#[async_trait]
impl OneTime for Replicated {
    async fn is_used(&self, token: Name, _now: UtcDateTime) -> Result<bool, Away> {
        let mut commands = redis::pipe();
        commands.cmd("EXISTS").arg(self.redis.key("used", &token));
        let (used,): (bool,) = self.run(&commands).await?;
        Ok(used)
    }

    async fn use_up(&self, used: Use, now: UtcDateTime) -> Result<bool, Away> {
        let life = u64::try_from((used.until - now).whole_milliseconds()).unwrap_or(0).saturating_add(1);
        let issued_at = used.issued_at.map_or(-1, UtcDateTime::unix_timestamp);
        let mut commands = redis::pipe();
        commands.cmd("EVAL").arg(USE_UP).arg(2).arg(self.first_seen()).arg(self.redis.key("used", &used.token));
        commands.arg(now.unix_timestamp()).arg(issued_at).arg(life);
        commands.cmd("WAIT").arg(self.wait_replicas).arg(ACKNOWLEDGE_MS);
        match self.run::<(i64, u32)>(&commands).await? {
            (0, _) => Ok(false),
            (1, replicas) if self.wait_replicas <= replicas => Ok(true),
            // It may be used here, and may be forgotten where the primary fails: nobody was told that it counts.
            (_, _) => Err(Away),
        }
    }
}

#[async_trait]
impl Facts for Replicated {
    async fn first_jwt(&self, key: FactKey<'_>) -> Result<Option<UtcDateTime>, Away> {
        if let Some(first) = self.seen.first_jwt(key).await? {
            return Ok(Some(first));
        }
        let mut commands = redis::pipe();
        commands.cmd("GET").arg(self.redis.key("fact", &key.name()));
        let (first,): (Option<i64>,) = self.run(&commands).await?;
        Ok(first.and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok()))
    }

    async fn saw_jwt(&self, key: FactKey<'_>, at: UtcDateTime) -> Result<(), Away> {
        if self.seen.first_jwt(key).await?.is_some() {
            return Ok(());
        }
        let mut commands = redis::pipe();
        commands.cmd("SET").arg(self.redis.key("fact", &key.name())).arg(at.unix_timestamp()).arg("NX").ignore();
        commands.cmd("GET").arg(self.redis.key("fact", &key.name()));
        let (first,): (i64,) = self.run(&commands).await?;
        let first = UtcDateTime::from_unix_timestamp(first).map_err(|_nonsense| Away)?;
        // Without room it is asked for again.
        self.seen.saw_jwt(key, first).await.unwrap_or_default();
        Ok(())
    }
}

#[async_trait]
impl Revoking for Replicated {
    fn revoked(&self) -> &Revocations {
        &self.ear.revoked
    }

    async fn revoke(&self, revoked: Vec<Revoked>, now: UtcDateTime) -> Result<(), Away> {
        self.tell_revoked(&revoked, now.unix_timestamp()).await
    }

    async fn restore(&self, name: Name, now: UtcDateTime) -> Result<bool, Away> {
        self.tell_restored(name, now.unix_timestamp()).await
    }
}
