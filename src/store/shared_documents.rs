//! Documents of several servers, in Redis: a hash for each kind, name to version and bytes, and a number that grows with
//! every change, which is what servers ask for a few times a second.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Away, DOCUMENT_BYTES, Document, Documents, Replicated};

/// Keeps a document where the version that is there is the one that is known.
/// KEYS: documents of the kind, their number. ARGV: name, known version, bytes.
const KEEP: &str = "
local there = redis.call('HGET', KEYS[1], ARGV[1])
local version = there and string.match(there, '^%d+') or '0'
if version ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', tonumber(version) + 1) .. ' ' .. ARGV[3])
redis.call('INCR', KEYS[2])
return 1
";

/// Keeps a document as it was, where an older one or none is there. ARGV: name, version, bytes.
const PUT_BACK: &str = "
local there = redis.call('HGET', KEYS[1], ARGV[1])
local version = there and string.match(there, '^%d+') or '0'
if tonumber(version) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
  redis.call('INCR', KEYS[2])
end
return 1
";

#[async_trait]
impl Documents for Replicated {
    async fn documents(&self, kind: &str) -> Result<BTreeMap<String, Document>, Away> {
        let mut commands = redis::pipe();
        commands.cmd("HGETALL").arg(self.redis.named(&format!("documents:{kind}")));
        let (all,): (BTreeMap<String, Vec<u8>>,) = self.run(&commands).await?;
        Ok(all.into_iter().filter_map(|(name, value)| Some((name, read(&value)?))).collect())
    }

    async fn document(&self, kind: &str, name: &str) -> Result<Option<Document>, Away> {
        let mut commands = redis::pipe();
        commands.cmd("HGET").arg(self.redis.named(&format!("documents:{kind}"))).arg(name);
        let (value,): (Option<Vec<u8>>,) = self.run(&commands).await?;
        Ok(value.and_then(|value| read(&value)))
    }

    async fn keep(&self, kind: &str, name: &str, known: u64, bytes: Vec<u8>) -> Result<bool, Away> {
        if bytes.len() > DOCUMENT_BYTES {
            return Err(Away);
        }
        self.durably(self.document_script(KEEP, kind, name, known, &bytes)).await
    }

    async fn put_back(&self, kind: &str, name: &str, document: &Document) -> Result<(), Away> {
        let kept: bool =
            self.durably(self.document_script(PUT_BACK, kind, name, document.version, &document.bytes)).await?;
        if kept { Ok(()) } else { Err(Away) }
    }

    async fn number(&self, kind: &str) -> Result<u64, Away> {
        let mut commands = redis::pipe();
        commands.cmd("GET").arg(self.redis.named(&format!("documents:{kind}:number")));
        let (number,): (Option<u64>,) = self.run(&commands).await?;
        Ok(number.unwrap_or(0))
    }
}

impl Replicated {
    fn document_script(&self, script: &str, kind: &str, name: &str, version: u64, bytes: &[u8]) -> redis::Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(2);
        command.arg(self.redis.named(&format!("documents:{kind}")));
        command.arg(self.redis.named(&format!("documents:{kind}:number")));
        command.arg(name).arg(version).arg(bytes);
        command
    }
}

/// `version bytes`
fn read(value: &[u8]) -> Option<Document> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (version, bytes) = (value.get(..space)?, value.get(space + 1..)?);
    Some(Document { version: std::str::from_utf8(version).ok()?.parse().ok()?, bytes: bytes.to_vec() })
}
