//! State of several servers, in Redis: used one-time tokens and the facts of the ratchet. Revocations are in
//! `shared_revocations.rs`.
//!
//! Redis loses what it was told last when its primary fails: what must not be lost waits for replicas. A Redis that comes
//! back empty cannot say which tokens were used before. It is known by a record of when it was first seen, and tokens
//! that were issued until then are not judged. A Cluster loses its servers one by one, so there are several such records,
//! each beside the tokens that it speaks for.

use std::fmt;

use async_trait::async_trait;
use futures::future::join_all;
use time::UtcDateTime;

use super::redis::nonce;
use super::shared_revocations::Ear;
use super::{
    Away, FactKey, Facts, Least, Memory, Name, OneTime, Revocations, Revoked, Revoking, SharedRedis, Unusable, Use,
};

/// The Redis, as this server sees it.
pub struct Replicated {
    pub(super) redis: SharedRedis,
    pub(super) ear: Ear,
    /// Facts that were seen here: they do not change, and need not be asked for again.
    seen: Memory,
    /// Facts that each of their tags has room for.
    room: usize,
}

impl fmt::Debug for Replicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicated").field("redis", &self.redis).finish_non_exhaustive()
    }
}

/// The tags of used tokens: a token belongs to the one with its first digit.
const USED: [&str; 16] = [
    "used-0", "used-1", "used-2", "used-3", "used-4", "used-5", "used-6", "used-7", "used-8", "used-9", "used-a",
    "used-b", "used-c", "used-d", "used-e", "used-f",
];
/// Facts that are kept at most. They have no end: whose hash was superseded has not become its holder again because of
/// time that passed.
const ROOM: usize = 20_000_000;
/// The tags of facts: one for each first byte of their names.
const FACT_TAGS: usize = 256;
/// What the record is called that says since when a Redis is known, in seconds since 1970.
const FIRST_SEEN: &str = "first-seen";

/// Keeps a fact where there is none and room for one. The fact that holds, or none.
/// KEYS: facts of the tag. ARGV: name, since when, for how many there is room.
const SAW_JWT: &str = "
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then return known end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return false end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return ARGV[2]
";

/// Uses a token where it is not used, in a store that was there before the token: 1, else 0; -1 where it was not. The
/// same use, sent twice, is one use.
/// KEYS: when the store was first seen, the token. ARGV: now, when it was issued, milliseconds to live, the use.
const USE_UP: &str = "
local seen = redis.call('GET', KEYS[1])
if not seen then
  seen = ARGV[1]
  redis.call('SET', KEYS[1], seen)
end
if tonumber(ARGV[2]) <= tonumber(seen) then return -1 end
if redis.call('SET', KEYS[2], ARGV[4], 'NX', 'PX', ARGV[3]) then return 1 end
return redis.call('GET', KEYS[2]) == ARGV[4] and 1 or 0
";

impl Replicated {
    /// State in this Redis. That it is away is no reason to fail: a store that was never reached is new at the first use.
    ///
    /// # Errors
    ///
    /// Where a newer version of this program wrote it.
    pub async fn open(redis: SharedRedis, now: UtcDateTime, least: Least) -> Result<Self, Unusable> {
        Self::with_room(redis, now, least, ROOM).await
    }

    pub(super) async fn with_room(
        redis: SharedRedis,
        now: UtcDateTime,
        least: Least,
        room: usize,
    ) -> Result<Self, Unusable> {
        let ear = Ear::new(least, redis.place().max_staleness);
        let opened = Self { redis, seen: Memory::default(), ear, room: room.div_ceil(FACT_TAGS) };
        if !opened.understands().await {
            return Err(Unusable::Newer);
        }
        opened.note_new(now.unix_timestamp()).await;
        Ok(opened)
    }

    /// Notes what is new of the Redis. It is done again all the time, and not only when a token is used: tokens of the
    /// time between would be refused for nothing.
    pub(super) async fn note_new(&self, now: i64) {
        let noted = USED.map(|tag| async move {
            let mut commands = redis::pipe();
            commands.cmd("SET").arg(self.redis.tagged(tag, FIRST_SEEN)).arg(now).arg("NX").ignore();
            self.redis.run::<()>(&commands).await
        });
        // What cannot be reached is noted when it can. A version that is newer is told when it is read.
        drop(futures::join!(join_all(noted), self.understands()));
    }

    /// The key of the facts among which this one is.
    fn facts_of(&self, name: &Name) -> String {
        let [first, ..] = name;
        self.redis.tagged(&format!("facts-{first:02x}"), "all")
    }

    /// The tag of a token, and its key.
    fn place_of(&self, token: &Name) -> (&'static str, String) {
        let [first, ..] = *token;
        #[expect(clippy::indexing_slicing, reason = "half a byte is below 16")]
        let tag = USED[usize::from(first >> 4)];
        (tag, self.redis.tagged(tag, &hex::encode(token)))
    }
}

#[async_trait]
impl OneTime for Replicated {
    async fn is_used(&self, token: Name, _now: UtcDateTime) -> Result<bool, Away> {
        let mut commands = redis::pipe();
        commands.cmd("EXISTS").arg(self.place_of(&token).1);
        let (used,): (bool,) = self.redis.run(&commands).await?;
        Ok(used)
    }

    async fn use_up(&self, used: Use, now: UtcDateTime) -> Result<bool, Away> {
        let life = u64::try_from((used.until - now).whole_milliseconds()).unwrap_or(0).saturating_add(1);
        let issued_at = used.issued_at.map_or(-1, UtcDateTime::unix_timestamp);
        let (tag, key) = self.place_of(&used.token);
        let mut command = redis::cmd("EVAL");
        command.arg(USE_UP).arg(2).arg(self.redis.tagged(tag, FIRST_SEEN)).arg(key);
        command.arg(now.unix_timestamp()).arg(issued_at).arg(life).arg(nonce()?);
        // Where replicas do not have it, it may be used and forgotten: nobody is told that it counts, or that it does not.
        match self.redis.durably::<i64>(tag, command).await? {
            1 => Ok(true),
            0 => Ok(false),
            _newer_than_the_token => Err(Away),
        }
    }
}

#[async_trait]
impl Facts for Replicated {
    async fn first_jwt(&self, key: FactKey<'_>) -> Result<Option<UtcDateTime>, Away> {
        if let Some(first) = self.seen.first_jwt(key).await? {
            return Ok(Some(first));
        }
        let (name, mut commands) = (key.name(), redis::pipe());
        commands.cmd("HGET").arg(self.facts_of(&name)).arg(&name[..]);
        let (first,): (Option<i64>,) = self.redis.run(&commands).await?;
        Ok(first.and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok()))
    }

    async fn saw_jwt(&self, key: FactKey<'_>, at: UtcDateTime) -> Result<(), Away> {
        if self.seen.first_jwt(key).await?.is_some() {
            return Ok(());
        }
        let (name, mut commands) = (key.name(), redis::pipe());
        commands.cmd("EVAL").arg(SAW_JWT).arg(1).arg(self.facts_of(&name));
        commands.arg(&name[..]).arg(at.unix_timestamp()).arg(self.room);
        let (first,): (Option<i64>,) = self.redis.run(&commands).await?;
        let first = first.ok_or(Away)?;
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
