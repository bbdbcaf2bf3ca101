//! State in one file, for one server: redb, which survives a crash at any point. Everything is written by one thread
//! (`writer.rs`) and read from here.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, ReadableTable as _, TableDefinition, TableError,
};
use time::{Date, UtcDateTime};

use super::schema;
use super::writer::{Task, Writer};
use super::{
    Away, Counting, Document, Documents, FactKey, Facts, Mark, Name, OneTime, Revocations, Revoked, Revoking, Use,
    kept_ledger, second_after,
};
use crate::ledger::{Added, Batch, Evidence, Sighting};

/// Bytes of the file that are kept in memory at most.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Facts, used tokens and revocations that are kept at most, of each; about 150 bytes each in the file, and revocations
/// about 100 bytes in memory besides.
const ROOM: usize = 20_000_000;

/// The second, since 1970, in which a subject was first accepted by JWT.
pub(super) const FACTS: TableDefinition<'_, &Name, i64> = TableDefinition::new("first_jwt");
/// Used one-time tokens, and the second until which each is remembered.
pub(super) const USED: TableDefinition<'_, &Name, i64> = TableDefinition::new("used");
/// Revocations: whose, since when, until when.
pub(super) const REVOKED: TableDefinition<'_, &Name, (&str, i64, i64)> = TableDefinition::new("revoked");
/// Documents, by kind and name: version and bytes.
pub(super) const DOCUMENTS: TableDefinition<'_, (&str, &str), (u64, &[u8])> = TableDefinition::new("documents");
/// What ends, by its end.
pub(super) const ENDS: TableDefinition<'_, (i64, &Name), ()> = TableDefinition::new("ends");

/// The file.
#[derive(Debug)]
pub struct Embedded {
    file: Arc<Database>,
    revoked: Arc<Revocations>,
    writer: Writer,
}

/// Why a file cannot be the store.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Another process holds it.
    #[error("another server has it open: one file, one server; several share a Redis")]
    Open,
    /// A later version of this program wrote it.
    #[error("a newer version of countersign wrote it: use that one, or another store")]
    Newer,
    /// It cannot be made, read or written.
    #[error("it cannot be opened")]
    Io(#[from] io::Error),
    /// What is in it is not ours, or broken.
    #[error("it is not a store, or is damaged")]
    Broken(#[source] redb::Error),
}

impl Embedded {
    /// Opens the file, or makes it, for its owner alone, with the folder it lies in. `least` says until when a revocation
    /// of an application that was made at that second has to be remembered at least, as it is configured now.
    ///
    /// # Errors
    ///
    /// Where the file cannot be used. It is unchanged then.
    pub fn open(path: &Path, now: UtcDateTime, least: impl Fn(&str, i64) -> i64) -> Result<Self, Unusable> {
        Self::with_room(path, now, least, ROOM)
    }

    pub(super) fn with_room(
        path: &Path,
        now: UtcDateTime,
        least: impl Fn(&str, i64) -> i64,
        room: usize,
    ) -> Result<Self, Unusable> {
        make(path)?;
        let opened = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        if matches!(opened, Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch)) {
            return Err(Unusable::Open);
        }
        let file = opened.map_err(|error| Unusable::Broken(error.into()))?;
        if !schema::migrate(&file).map_err(Unusable::Broken)? {
            return Err(Unusable::Newer);
        }
        prepare(&file, now).map_err(Unusable::Broken)?;
        let revoked = Arc::new(Revocations::default());
        load(&file, &revoked, now.unix_timestamp(), least).map_err(Unusable::Broken)?;
        let file = Arc::new(file);
        let writer = Writer::start(Arc::clone(&file), Arc::clone(&revoked), room)?;
        Ok(Self { file, revoked, writer })
    }

    /// The documents of a kind in a file that no server has open. Changes nothing, and makes no file.
    ///
    /// # Errors
    ///
    /// Why they cannot be seen.
    pub fn look(path: &Path, kind: &str) -> Result<BTreeMap<String, Document>, &'static str> {
        if !path.exists() {
            return Ok(BTreeMap::new());
        }
        match ReadOnlyDatabase::open(path) {
            Ok(file) => of_kind(&file, kind).map_err(|_damaged| "the store cannot be read"),
            Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) => {
                Err("a server has the store open; ask it: countersign migration status")
            }
            Err(_damaged) => Err("the store cannot be read, or wants to be repaired by a server"),
        }
    }

    /// Reads off the runtime's workers: what is not in the cache is read from the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Away> {
        let file = Arc::clone(&self.file);
        let read = tokio::task::spawn_blocking(move || read(&file)).await;
        read.map_err(|_panic| Away)?.map_err(|error| super::writer::failed(&error))
    }
}

#[async_trait]
impl Facts for Embedded {
    async fn first_jwt(&self, key: FactKey<'_>) -> Result<Option<UtcDateTime>, Away> {
        let name = key.name();
        let first = self
            .read(move |file| Ok(file.begin_read()?.open_table(FACTS)?.get(&name)?.map(|first| first.value())))
            .await?;
        Ok(first.and_then(|second| UtcDateTime::from_unix_timestamp(second).ok()))
    }

    /// Nearly always it is known already, and nothing has to be written.
    async fn saw_jwt(&self, key: FactKey<'_>, at: UtcDateTime) -> Result<(), Away> {
        if self.first_jwt(key).await?.is_some() {
            return Ok(());
        }
        self.writer.write(Task::Fact { name: key.name(), at: at.unix_timestamp() }).await.map(drop)
    }
}

#[async_trait]
impl OneTime for Embedded {
    async fn is_used(&self, token: Name, now: UtcDateTime) -> Result<bool, Away> {
        let now = now.unix_timestamp();
        self.read(move |file| {
            let until = file.begin_read()?.open_table(USED)?.get(&token)?.map(|until| until.value());
            Ok(until.is_some_and(|until| now < until))
        })
        .await
    }

    async fn use_up(&self, Use { token, until, .. }: Use, now: UtcDateTime) -> Result<bool, Away> {
        let (until, now) = (second_after(until), now.unix_timestamp());
        self.writer.write(Task::Use { token, until, now }).await
    }
}

#[async_trait]
impl Revoking for Embedded {
    fn revoked(&self) -> &Revocations {
        &self.revoked
    }

    async fn revoke(&self, revoked: Vec<Revoked>, now: UtcDateTime) -> Result<(), Away> {
        self.writer.write(Task::Revoke { revoked, now: now.unix_timestamp() }).await.map(drop)
    }

    async fn restore(&self, name: Name, _now: UtcDateTime) -> Result<bool, Away> {
        self.writer.write(Task::Restore { name }).await
    }
}

#[async_trait]
impl Documents for Embedded {
    async fn documents(&self, kind: &str) -> Result<BTreeMap<String, Document>, Away> {
        let kind = kind.to_owned();
        self.read(move |file| of_kind(file, &kind)).await
    }

    async fn document(&self, kind: &str, name: &str) -> Result<Option<Document>, Away> {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        self.read(move |file| {
            let there = file.begin_read()?.open_table(DOCUMENTS)?.get((kind.as_str(), name.as_str()))?;
            Ok(there.map(|there| Document { version: there.value().0, bytes: there.value().1.to_vec() }))
        })
        .await
    }

    async fn keep(&self, kind: &str, name: &str, known: u64, bytes: Vec<u8>) -> Result<bool, Away> {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        self.writer.write(Task::Keep { kind, name, known, bytes }).await
    }

    async fn number(&self, kind: &str) -> Result<u64, Away> {
        Ok(self.documents(kind).await?.values().map(|document| document.version).sum())
    }
}

#[async_trait]
impl Counting for Embedded {
    async fn add(&self, batch: &Arc<Batch>) -> Result<Added, Away> {
        self.writer.write(Task::Count(Arc::clone(batch))).await.map(|_new| Added::Kept)
    }

    async fn evidence(
        &self,
        application: &str,
        days: RangeInclusive<Date>,
        now: UtcDateTime,
    ) -> Result<Evidence, Away> {
        let application = application.to_owned();
        self.read(move |file| kept_ledger::evidence(&file.begin_read()?, &application, &days, now)).await
    }

    async fn stragglers(&self, application: &str, since: UtcDateTime, limit: usize) -> Result<Vec<Sighting>, Away> {
        let application = application.to_owned();
        self.read(move |file| kept_ledger::stragglers(&file.begin_read()?, &application, since, limit)).await
    }

    async fn sightings(&self, application: &str, pseudonyms: &[String]) -> Result<Vec<Sighting>, Away> {
        let (application, pseudonyms) = (application.to_owned(), pseudonyms.to_vec());
        self.read(move |file| kept_ledger::sightings(&file.begin_read()?, &application, &pseudonyms)).await
    }
}

fn of_kind(file: &impl ReadableDatabase, kind: &str) -> Result<BTreeMap<String, Document>, redb::Error> {
    let mut of_kind = BTreeMap::new();
    let documents = match file.begin_read()?.open_table(DOCUMENTS) {
        Ok(documents) => documents,
        // An older file that no server has opened since.
        Err(TableError::TableDoesNotExist(_)) => return Ok(of_kind),
        Err(error) => return Err(error.into()),
    };
    for entry in documents.range((kind, "")..)? {
        let (key, value) = entry?;
        let ((of, name), (version, bytes)) = (key.value(), value.value());
        if of != kind {
            break;
        }
        of_kind.insert(name.to_owned(), Document { version, bytes: bytes.to_vec() });
    }
    Ok(of_kind)
}

/// Makes an empty file where there is none: nobody but its owner reads it, from the first moment on.
fn make(path: &Path) -> io::Result<()> {
    let (mut folder, mut file) = (DirBuilder::new(), OpenOptions::new());
    folder.recursive(true);
    file.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        folder.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        folder.create(parent)?;
    }
    file.open(path).map(drop)
}

/// Makes what is missing, so that nobody who reads finds no table.
fn prepare(file: &Database, now: UtcDateTime) -> Result<(), redb::Error> {
    let transaction = file.begin_write()?;
    drop((transaction.open_table(FACTS)?, transaction.open_table(USED)?));
    drop((transaction.open_table(REVOKED)?, transaction.open_table(ENDS)?, transaction.open_table(DOCUMENTS)?));
    kept_ledger::prepare(&transaction, now)?;
    Ok(transaction.commit()?)
}

/// Fills the copy in memory. Where an application's tokens live longer than when the revocation was made, so does the
/// revocation.
fn load(file: &Database, revoked: &Revocations, now: i64, least: impl Fn(&str, i64) -> i64) -> Result<(), redb::Error> {
    let mut longer = Vec::new();
    for entry in file.begin_read()?.open_table(REVOKED)?.iter()? {
        let (name, value) = entry?;
        let (application, at, until) = value.value();
        let mark = Mark { at, until: until.max(least(application, at)) };
        if mark.until > until {
            longer.push(Revoked { name: *name.value(), application: application.to_owned(), mark });
        }
        if now < mark.until {
            revoked.add(*name.value(), mark, now);
        }
    }
    if longer.is_empty() {
        return Ok(());
    }
    let transaction = file.begin_write()?;
    for revoked in &longer {
        super::writer::mark(&transaction, revoked)?;
    }
    Ok(transaction.commit()?)
}
