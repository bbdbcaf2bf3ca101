//! Connections to one database, each for one question at a time.
//!
//! A connection is used again only after a question that was answered in full. Every other is closed: a question that
//! the host dropped, or that failed, leaves nothing behind, whatever state its connection is in. For the same reason
//! this is not the pool of sqlx, which waits without a limit for such a connection to become ready, tries a refused
//! one again and again, and logs what the server says.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::dialect::{Dialect, Options};

/// Connections to one database.
pub(crate) struct Pool<D: Dialect> {
    options: Options<D>,
    permits: Semaphore,
    idle: Mutex<Vec<Opened<D>>>,
}

/// A connection in a transaction. It is closed when it is dropped.
pub(crate) struct Lease<'p, D: Dialect> {
    pub(crate) opened: Opened<D>,
    _permit: SemaphorePermit<'p>,
}

/// An open connection.
pub(crate) struct Opened<D: Dialect> {
    pub(crate) connection: D::Connection,
    since: Instant,
}

/// How long a connection is used. What lies between here and the server forgets an idle one after minutes, and a name
/// may come to mean another server.
const MAX_AGE: Duration = Duration::from_secs(120);

impl<D: Dialect> Pool<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    /// At most `size` connections, of which none is opened yet.
    pub(crate) fn new(options: Options<D>, size: usize) -> Self {
        Self { options, permits: Semaphore::new(size), idle: Mutex::default() }
    }

    /// Begins a read-only transaction on a connection that is free, or else becomes free. Its statements end after
    /// `time`, counted from now.
    pub(crate) async fn begin(&self, time: Duration) -> Result<Lease<'_, D>, sqlx::Error> {
        let asked = Instant::now();
        let left = || time.saturating_sub(asked.elapsed());
        let Ok(permit) = self.permits.acquire().await else { return Err(sqlx::Error::PoolClosed) };
        // That the server has closed a connection meanwhile is noticed here.
        while let Some(mut opened) = self.idle() {
            if begin::<D>(&mut opened.connection, left()).await.is_ok() {
                return Ok(Lease { opened, _permit: permit });
            }
        }
        let mut opened = Opened { connection: self.options.connect().await?, since: Instant::now() };
        begin::<D>(&mut opened.connection, left()).await?;
        Ok(Lease { opened, _permit: permit })
    }

    /// Ends the transaction, and keeps the connection for the next question.
    pub(crate) async fn end(&self, mut lease: Lease<'_, D>) {
        if lease.opened.connection.execute("ROLLBACK").await.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lease.opened);
        }
    }

    /// The connection that was used last.
    fn idle(&self) -> Option<Opened<D>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|opened| opened.since.elapsed() < MAX_AGE);
        idle.pop()
    }
}

async fn begin<D: Dialect>(connection: &mut D::Connection, time: Duration) -> Result<(), sqlx::Error>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    D::limit(connection, time).await?;
    connection.execute(AssertSqlSafe(D::begin(time))).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::Sqlite;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_used_for_two_minutes() {
        let file = tempfile::NamedTempFile::new().expect("an empty file is an empty database");
        let url = format!("sqlite://{}", file.path().display());
        let pool = Pool::<Sqlite>::new(Sqlite::options(&url).expect("an address"), 1);
        for (age, is_kept) in [(MAX_AGE.saturating_sub(SECOND), true), (MAX_AGE, false)] {
            let lease = pool.begin(SECOND).await.expect("begun");
            pool.end(lease).await;
            tokio::time::advance(age).await;
            assert_eq!(pool.idle().is_some(), is_kept, "after {age:?}");
        }
    }
}
