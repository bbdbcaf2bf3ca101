//! Documents of several servers, in Redis: a hash for each kind, name to version and bytes, and a number that grows with
//! every change, which is what servers ask for a few times a second.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::redis::nonce;
use super::{Away, DOCUMENT_BYTES, Document, Documents, Replicated, SharedRedis};

/// What is called what below the tag of a kind: its documents by name, and how often one was kept.
const ALL: &str = "all";
const NUMBER: &str = "number";

/// Keeps a document where the version that is there is the one that is known. The same change, sent twice, is one.
/// KEYS: documents of the kind, their number. ARGV: name, known version, what to keep, the change.
const KEEP: &str = "
local there = redis.call('HGET', KEYS[1], ARGV[1])
local version, change = '0', ''
if there then version, change = string.match(there, '^(%d+) (%x+) ') end
if change == ARGV[4] then return 1 end
if version ~= ARGV[2] then return 0 end
version = string.format('%.0f', tonumber(version) + 1)
redis.call('HSET', KEYS[1], ARGV[1], version .. ' ' .. ARGV[4] .. ' ' .. ARGV[3])
redis.call('INCR', KEYS[2])
return 1
";
/// Keeps a document as it was, where an older one or none is there. ARGV: name, version, what was kept, the change.
const PUT_BACK: &str = "
local there = redis.call('HGET', KEYS[1], ARGV[1])
local version = there and string.match(there, '^%d+') or '0'
if tonumber(version) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[4] .. ' ' .. ARGV[3])
  redis.call('INCR', KEYS[2])
end
return 1
";

#[async_trait]
impl Documents for SharedRedis {
    async fn documents(&self, kind: &str) -> Result<BTreeMap<String, Document>, Away> {
        let mut commands = redis::pipe();
        commands.cmd("HGETALL").arg(self.tagged(&tag(kind), ALL));
        let (all,): (BTreeMap<String, Vec<u8>>,) = self.run(&commands).await?;
        Ok(all.into_iter().filter_map(|(name, value)| Some((name, read(&value)?))).collect())
    }

    async fn document(&self, kind: &str, name: &str) -> Result<Option<Document>, Away> {
        let mut commands = redis::pipe();
        commands.cmd("HGET").arg(self.tagged(&tag(kind), ALL)).arg(name);
        let (value,): (Option<Vec<u8>>,) = self.run(&commands).await?;
        Ok(value.and_then(|value| read(&value)))
    }

    async fn keep(&self, kind: &str, name: &str, known: u64, bytes: Vec<u8>) -> Result<bool, Away> {
        if bytes.len() > DOCUMENT_BYTES {
            return Err(Away);
        }
        let kept: i64 = self.durably(&tag(kind), self.script(KEEP, kind, name, known, &bytes)?).await?;
        Ok(kept == 1)
    }

    async fn put_back(&self, kind: &str, name: &str, document: &Document) -> Result<(), Away> {
        let command = self.script(PUT_BACK, kind, name, document.version, &document.bytes)?;
        self.durably::<i64>(&tag(kind), command).await.map(drop)
    }

    async fn number(&self, kind: &str) -> Result<u64, Away> {
        let mut commands = redis::pipe();
        commands.cmd("GET").arg(self.tagged(&tag(kind), NUMBER));
        let (number,): (Option<u64>,) = self.run(&commands).await?;
        Ok(number.unwrap_or(0))
    }
}

impl SharedRedis {
    fn script(&self, script: &str, kind: &str, name: &str, version: u64, bytes: &[u8]) -> Result<redis::Cmd, Away> {
        let (tag, mut command) = (tag(kind), redis::cmd("EVAL"));
        command.arg(script).arg(2).arg(self.tagged(&tag, ALL)).arg(self.tagged(&tag, NUMBER));
        command.arg(name).arg(version).arg(bytes).arg(nonce()?);
        Ok(command)
    }
}

#[async_trait]
impl Documents for Replicated {
    async fn documents(&self, kind: &str) -> Result<BTreeMap<String, Document>, Away> {
        self.redis.documents(kind).await
    }

    async fn document(&self, kind: &str, name: &str) -> Result<Option<Document>, Away> {
        self.redis.document(kind, name).await
    }

    async fn keep(&self, kind: &str, name: &str, known: u64, bytes: Vec<u8>) -> Result<bool, Away> {
        self.redis.keep(kind, name, known, bytes).await
    }

    async fn put_back(&self, kind: &str, name: &str, document: &Document) -> Result<(), Away> {
        self.redis.put_back(kind, name, document).await
    }

    async fn number(&self, kind: &str) -> Result<u64, Away> {
        self.redis.number(kind).await
    }
}

fn tag(kind: &str) -> String {
    format!("documents-{kind}")
}

/// `version change bytes`
fn read(value: &[u8]) -> Option<Document> {
    let mut parts = value.splitn(3, |byte| *byte == b' ');
    let (version, _change, bytes) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Document { version: std::str::from_utf8(version).ok()?.parse().ok()?, bytes: bytes.to_vec() })
}
