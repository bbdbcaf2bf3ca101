//! State that ends with the process.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase as _};
use time::{Date, UtcDateTime};

use super::ending::{Ending, Ends};
use super::writer::failed;
use super::{
    Away, Counting, DOCUMENT_BYTES, Document, Documents, FactKey, Facts, Name, OneTime, Revocations, Revoked, Revoking,
    Use, kept_ledger, second_after,
};
use crate::ledger::{Added, Batch, Evidence, Sighting};

/// Entries of each kind that are kept at most; about 100 bytes each.
const ROOM: usize = 1_000_000;
/// Bytes that are kept twice of what is counted.
const CACHE_BYTES: usize = 1024 * 1024;

/// Keeps state in memory, a bounded number of entries.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "looked up by key, never iterated")]
pub struct Memory {
    first_jwt: Mutex<std::collections::HashMap<Name, UtcDateTime>>,
    used: Mutex<Ending<Used>>,
    revoked: Revocations,
    documents: Mutex<BTreeMap<(String, String), Document>>,
    /// What was counted: made when it is first needed.
    counted: OnceLock<Database>,
    room: usize,
}

/// Until when a used token is remembered, in seconds since 1970.
#[derive(Debug)]
struct Used(i64);

impl Ends for Used {
    fn end(&self) -> i64 {
        self.0
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl Memory {
    /// Keeps at most that many entries of each kind.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        Self {
            first_jwt: Mutex::default(),
            used: Mutex::default(),
            revoked: Revocations::default(),
            documents: Mutex::default(),
            counted: OnceLock::new(),
            room,
        }
    }

    fn counted(&self, now: UtcDateTime) -> Result<&Database, redb::Error> {
        if let Some(made) = self.counted.get() {
            return Ok(made);
        }
        let made = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(InMemoryBackend::new())?;
        let transaction = made.begin_write()?;
        kept_ledger::prepare(&transaction, now)?;
        transaction.commit()?;
        Ok(self.counted.get_or_init(|| made))
    }

    fn read<T>(&self, read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T, Away> {
        let read = || read(&self.counted(UtcDateTime::UNIX_EPOCH)?.begin_read()?);
        read().map_err(|error| failed(&error))
    }
}

#[async_trait]
impl Facts for Memory {
    async fn first_jwt(&self, key: FactKey<'_>) -> Result<Option<UtcDateTime>, Away> {
        Ok(locked(&self.first_jwt).get(&key.name()).copied())
    }

    /// With no room left, a new fact cannot be kept, which is what a store that is away means.
    async fn saw_jwt(&self, key: FactKey<'_>, at: UtcDateTime) -> Result<(), Away> {
        let mut facts = locked(&self.first_jwt);
        let name = key.name();
        if facts.contains_key(&name) {
            return Ok(());
        }
        if facts.len() >= self.room {
            return Err(Away);
        }
        facts.insert(name, at);
        Ok(())
    }
}

#[async_trait]
impl OneTime for Memory {
    async fn is_used(&self, token: Name, now: UtcDateTime) -> Result<bool, Away> {
        Ok(locked(&self.used).get(&token).is_some_and(|used| now.unix_timestamp() < used.0))
    }

    async fn use_up(&self, Use { token, until, .. }: Use, now: UtcDateTime) -> Result<bool, Away> {
        let mut used = locked(&self.used);
        let now = now.unix_timestamp();
        if used.get(&token).is_some_and(|used| now < used.0) {
            return Ok(false);
        }
        if used.len() >= self.room {
            used.sweep(now);
        }
        if used.len() >= self.room {
            return Err(Away);
        }
        used.put(token, Used(second_after(until)), now);
        Ok(true)
    }
}

#[async_trait]
impl Revoking for Memory {
    fn revoked(&self) -> &Revocations {
        &self.revoked
    }

    async fn revoke(&self, revoked: Vec<Revoked>, now: UtcDateTime) -> Result<(), Away> {
        let now = now.unix_timestamp();
        self.revoked.has_room(revoked.len(), self.room, now)?;
        for Revoked { name, mark, .. } in revoked {
            self.revoked.add(name, mark, now);
        }
        Ok(())
    }

    async fn restore(&self, name: Name, _now: UtcDateTime) -> Result<bool, Away> {
        Ok(self.revoked.remove(&name))
    }
}

#[async_trait]
impl Documents for Memory {
    async fn documents(&self, kind: &str) -> Result<BTreeMap<String, Document>, Away> {
        let documents = locked(&self.documents);
        let of_kind = documents.iter().filter(|((of, _), _)| of == kind);
        Ok(of_kind.map(|((_, name), document)| (name.clone(), document.clone())).collect())
    }

    async fn document(&self, kind: &str, name: &str) -> Result<Option<Document>, Away> {
        Ok(locked(&self.documents).get(&(kind.to_owned(), name.to_owned())).cloned())
    }

    async fn keep(&self, kind: &str, name: &str, known: u64, bytes: Vec<u8>) -> Result<bool, Away> {
        let mut documents = locked(&self.documents);
        let key = (kind.to_owned(), name.to_owned());
        let there = documents.get(&key);
        let full = there.is_none() && documents.len() >= self.room;
        if full || bytes.len() > DOCUMENT_BYTES {
            return Err(Away);
        }
        if there.map_or(0, |there| there.version) != known {
            return Ok(false);
        }
        documents.insert(key, Document { version: known + 1, bytes });
        Ok(true)
    }

    async fn number(&self, kind: &str) -> Result<u64, Away> {
        Ok(self.documents(kind).await?.values().map(|document| document.version).sum())
    }
}

#[async_trait]
impl Counting for Memory {
    async fn add(&self, batch: &Arc<Batch>) -> Result<Added, Away> {
        let add = || {
            let transaction = self.counted(batch.at)?.begin_write()?;
            kept_ledger::add(&transaction, batch)?;
            Ok(transaction.commit()?)
        };
        add().map(|()| Added::Kept).map_err(|error: redb::Error| failed(&error))
    }

    async fn evidence(
        &self,
        application: &str,
        days: RangeInclusive<Date>,
        now: UtcDateTime,
    ) -> Result<Evidence, Away> {
        self.read(|transaction| kept_ledger::evidence(transaction, application, &days, now))
    }

    async fn stragglers(&self, application: &str, since: UtcDateTime, limit: usize) -> Result<Vec<Sighting>, Away> {
        self.read(|transaction| kept_ledger::stragglers(transaction, application, since, limit))
    }

    async fn sightings(&self, application: &str, pseudonyms: &[String]) -> Result<Vec<Sighting>, Away> {
        self.read(|transaction| kept_ledger::sightings(transaction, application, pseudonyms))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
