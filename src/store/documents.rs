//! Small documents that several servers change: the policies that were set at run time, heads of audit logs, secrets that
//! were made here. Changed by compare-and-set, durable before it is answered for.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Away;

/// Bytes of a document at most.
pub const DOCUMENT_BYTES: usize = 256 * 1024;

/// A document as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// How often it was kept: from 1 on, and never less than before.
    pub version: u64,
    /// What is in it, at most [`DOCUMENT_BYTES`].
    pub bytes: Vec<u8>,
}

/// Keeps documents. Those of one `kind` are read together; a document is never removed.
#[async_trait]
pub trait Documents: Send + Sync {
    /// All documents of a kind, by name.
    async fn documents(&self, kind: &str) -> Result<BTreeMap<String, Document>, Away>;

    /// One of them.
    async fn document(&self, kind: &str, name: &str) -> Result<Option<Document>, Away>;

    /// Keeps a document in place of the version that is known; 0: there is none yet. Its version is one more from then on.
    /// False, and nothing is changed, where another version is there.
    async fn keep(&self, kind: &str, name: &str, known: u64, bytes: Vec<u8>) -> Result<bool, Away>;

    /// Puts back a document that the store has lost, as this server last knew it; the same or a later version stays. A store
    /// that loses nothing has nothing to do.
    async fn put_back(&self, _kind: &str, _name: &str, _document: &Document) -> Result<(), Away> {
        Ok(())
    }

    /// Changes whenever one of the kind is kept.
    async fn number(&self, kind: &str) -> Result<u64, Away>;
}
