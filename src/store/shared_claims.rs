//! What replicas share of claims, in Redis: the second level of the cache, and the word of what is invalidated. Nothing
//! that is read here is believed (`pipeline/shared.rs`), and nothing waits long for it.
//!
//! On a Cluster, an entry and the list of a subject's entries are on different servers: they are never sent together.

use std::convert::Infallible;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use redis::FromRedisValue;

use super::{Away, SharedRedis};
use crate::pipeline::{SharedEntries, Unreachable};

/// How long a listener that hears nothing waits until it asks again.
const PAUSE: Duration = Duration::from_millis(200);
/// The position before every word of the stream.
const EMPTY: &str = "0-0";
/// Invalidations that the stream holds, about. A replica that missed more drops everything.
const STREAM: usize = 10_000;

/// The cache, as replicas share it.
#[derive(Clone, Debug)]
pub struct SharedClaims {
    redis: SharedRedis,
    /// The last word of the stream when this was opened; none where it could not be reached.
    heard: Option<String>,
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

impl SharedClaims {
    /// What is said from here on will be heard; before that, nothing is kept that it could be about. That the store is
    /// away is no reason to fail.
    pub async fn open(redis: SharedRedis) -> Self {
        let mut opened = Self { redis, heard: None };
        opened.heard = opened.newest().await.ok();
        opened
    }

    /// Listens to what other replicas say, for ever.
    pub async fn listen<F: Future<Output = ()>>(&self, mut hear: impl FnMut(Heard) -> F) -> Infallible {
        let (mut position, mut reached) = (self.heard.clone(), None);
        loop {
            let heard = self.round(&mut position, &mut hear).await.is_ok();
            // Said once for each time that it goes away or comes back, the start among them.
            if reached.replace(heard) != Some(heard) {
                hear(if heard { Heard::Again } else { Heard::Nothing }).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Hears what was said since.
    async fn round<F: Future<Output = ()>>(
        &self,
        position: &mut Option<String>,
        hear: &mut impl FnMut(Heard) -> F,
    ) -> Result<(), Away> {
        let since = match position {
            Some(last) => self.since(last).await?,
            None => None,
        };
        let Some(words) = since else {
            let newest = self.newest().await?;
            hear(Heard::Gap).await;
            *position = Some(newest);
            return Ok(());
        };
        for (id, fields) in words {
            // Whoever writes nonsense there makes nobody believe anything; at most something is dropped.
            let tag = fields.get(1).and_then(|tag| <[u8; 32]>::try_from(tag.as_slice()).ok());
            hear(tag.map_or(Heard::Gap, Heard::Forget)).await;
            *position = Some(id);
        }
        Ok(())
    }

    /// What was said after this word; none where some of it may be lost.
    async fn since(&self, last: &str) -> Result<Option<Vec<Word>>, Away> {
        let mut range = redis::cmd("XRANGE");
        let from = if last == EMPTY { "-" } else { last };
        range.arg(self.stream()).arg(from).arg("+").arg("COUNT").arg(STREAM);
        let mut words: Vec<Word> = self.ask(range).await?;
        if last == EMPTY {
            // After an empty stream nothing is missing while it still has all that it can hold.
            return Ok(Some(words).filter(|words| words.len() < STREAM));
        }
        // Where the last word that was heard is still there, nothing after it is missing.
        let is_there = words.first().is_some_and(|(id, _)| id == last);
        Ok(is_there.then(|| words.split_off(1)))
    }

    /// The last word of the stream, or [`EMPTY`].
    async fn newest(&self) -> Result<String, Away> {
        let mut range = redis::cmd("XREVRANGE");
        range.arg(self.stream()).arg("+").arg("-").arg("COUNT").arg(1);
        let newest: Vec<Word> = self.ask(range).await?;
        Ok(newest.into_iter().next().map_or_else(|| EMPTY.to_owned(), |(id, _)| id))
    }

    /// What one command answers.
    async fn ask<T: FromRedisValue>(&self, command: redis::Cmd) -> Result<T, Away> {
        let mut commands = redis::pipe();
        commands.add_command(command);
        self.redis.run(&commands).await.map(|(answer,)| answer)
    }

    async fn delete(&self, key: &str) -> Result<(), Away> {
        let mut delete = redis::cmd("DEL");
        delete.arg(key);
        self.ask(delete).await
    }

    fn stream(&self) -> String {
        self.redis.named("invalidated")
    }
}

#[async_trait]
impl SharedEntries for SharedClaims {
    async fn get(&self, name: &[u8; 32]) -> Result<Option<Vec<u8>>, Unreachable> {
        let mut get = redis::cmd("GET");
        get.arg(self.redis.key("claims", name));
        Ok(self.ask(get).await?)
    }

    async fn put(
        &self,
        name: &[u8; 32],
        sealed: Vec<u8>,
        life: Duration,
        tags: &[[u8; 32]],
    ) -> Result<(), Unreachable> {
        let millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1);
        let key = self.redis.key("claims", name);
        let lists = tags.iter().map(|tag| async {
            let (mut commands, list) = (redis::pipe(), self.redis.key("claims-of", tag));
            commands.cmd("SADD").arg(&list).arg(&key).ignore();
            // A list lives as long as the longest-lived entry in it.
            commands.cmd("PEXPIRE").arg(&list).arg(millis).arg("NX").ignore();
            commands.cmd("PEXPIRE").arg(&list).arg(millis).arg("GT").ignore();
            self.redis.run::<()>(&commands).await
        });
        // The subject's lists first: what is in no list could not be found again to be removed.
        try_join_all(lists).await?;
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(sealed).arg("PX").arg(millis);
        Ok(self.ask(set).await?)
    }

    async fn remove(&self, name: &[u8; 32]) -> Result<(), Unreachable> {
        Ok(self.delete(&self.redis.key("claims", name)).await?)
    }

    async fn forget(&self, tag: &[u8; 32]) -> Result<(), Unreachable> {
        let list = self.redis.key("claims-of", tag);
        let mut members = redis::cmd("SMEMBERS");
        members.arg(&list);
        let keys: Vec<String> = self.ask(members).await?;
        let own = self.redis.named("claims:");
        // A list that somebody wrote into removes nothing but entries of this cache.
        let removed = keys.iter().filter(|key| key.starts_with(&own)).map(|key| self.delete(key));
        // All are tried, and what could not be removed stays in its list.
        join_all(removed).await.into_iter().collect::<Result<Vec<()>, Away>>()?;
        Ok(self.delete(&list).await?)
    }

    async fn announce(&self, tag: &[u8; 32]) -> Result<(), Unreachable> {
        let mut add = redis::cmd("XADD");
        add.arg(self.stream()).arg("MAXLEN").arg("~").arg(STREAM).arg("*").arg("subject").arg(tag.as_slice());
        Ok(self.redis.durably("invalidated", add).await?)
    }
}

impl From<Away> for Unreachable {
    fn from(_away: Away) -> Self {
        Self
    }
}
