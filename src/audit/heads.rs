//! The ends of chains, as the store knows them: what was cut off a log is missing there. They are in one small document
//! that all servers change, and the oldest make room.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use super::chain::Head;
use crate::store::{Away, Documents};

/// Where they are in the store: kind and name of the document.
const DOCUMENT: (&str, &str) = ("audit", "heads");
/// Chains that are remembered. Standard output and a stream begin one with each start of a server.
const CHAINS: usize = 256;
/// How often a change that met another one is tried again. Each server changes it every few seconds.
const TRIES: usize = 16;

/// The end of a chain, and when it was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The last line that is signed.
    #[serde(flatten)]
    pub head: Head,
    /// Seconds since 1970.
    pub at: i64,
}

/// Remembers the ends of chains outside the logs.
pub struct Heads(Arc<dyn Documents>);

impl fmt::Debug for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heads")
    }
}

impl Heads {
    /// Those in a store.
    #[must_use]
    pub fn new(store: Arc<dyn Documents>) -> Self {
        Self(store)
    }

    /// All that are remembered.
    ///
    /// # Errors
    ///
    /// Where the store is away.
    pub async fn read(&self) -> Result<Vec<Kept>, Away> {
        Ok(self.document().await?.1)
    }

    /// Remembers the end of a chain, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// Where the store is away.
    pub async fn keep(&self, head: &Head, now: UtcDateTime) -> Result<(), Away> {
        for _ in 0..TRIES {
            let (version, mut heads) = self.document().await?;
            heads.retain(|kept| kept.head.writer != head.writer);
            heads.push(Kept { head: head.clone(), at: now.unix_timestamp() });
            heads.sort_by_key(|kept| std::cmp::Reverse(kept.at));
            heads.truncate(CHAINS);
            let bytes = serde_json::to_vec(&heads).map_err(|_never| Away)?;
            if self.0.keep(DOCUMENT.0, DOCUMENT.1, version, bytes).await? {
                return Ok(());
            }
        }
        Err(Away)
    }

    /// The version of the document, and what is in it.
    async fn document(&self) -> Result<(u64, Vec<Kept>), Away> {
        let Some(document) = self.0.document(DOCUMENT.0, DOCUMENT.1).await? else { return Ok((0, Vec::new())) };
        // What is damaged there is replaced: a head is a witness, not the log.
        Ok((document.version, serde_json::from_slice(&document.bytes).unwrap_or_default()))
    }
}
