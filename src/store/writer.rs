//! The one thread that writes the file. What waits is written together: each transaction ends with a flush to the disk,
//! and a thousand tokens that are used at once do not wait for a thousand of them. It answers after the flush, never
//! before, and keeps the copy of the revocations in the order of the file.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use redb::{Database, ReadableTable as _, ReadableTableMetadata as _, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::embedded::{DOCUMENTS, ENDS, FACTS, REVOKED, USED};
use super::{Away, DOCUMENT_BYTES, FOREVER, Mark, Name, Revocations, Revoked, kept_ledger};
use crate::ledger::Batch;
use crate::observe::events;

/// Tasks that may wait; more wait to be let in.
const QUEUE: usize = 4_096;
/// Tasks of one transaction at most.
const BATCH: usize = 512;
/// Entries that one transaction removes because they have ended. More than it adds, so that none is left behind.
const SWEEP: usize = 4 * BATCH;

/// What is to be written. Seconds are since 1970.
#[derive(Debug)]
pub(super) enum Task {
    /// The first JWT of a subject.
    Fact { name: Name, at: i64 },
    /// The use of a token.
    Use { token: Name, until: i64, now: i64 },
    /// Revocations, all or none.
    Revoke { revoked: Vec<Revoked>, now: i64 },
    /// The end of a revocation.
    Restore { name: Name },
    /// A document, in place of the version that is known.
    Keep { kind: String, name: String, known: u64, bytes: Vec<u8> },
    /// What was counted.
    Count(Arc<Batch>),
}

/// A task, and who waits for it.
type Job = (Task, oneshot::Sender<Result<bool, Away>>);

/// The thread. Dropping it lets it finish first, and so the file is free again.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(file: Arc<Database>, revoked: Arc<Revocations>, room: usize) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let work = move || Desk { file, revoked, room }.work(waiting);
        let thread = thread::Builder::new().name("store".to_owned()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Whether it changed anything. What is under way is written even where nobody waits any more.
    pub(super) async fn write(&self, task: Task) -> Result<bool, Away> {
        let (done, answer) = oneshot::channel();
        self.jobs.as_ref().ok_or(Away)?.send((task, done)).await.map_err(|_ended| Away)?;
        answer.await.map_err(|_ended| Away)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What the thread has before it.
struct Desk {
    file: Arc<Database>,
    revoked: Arc<Revocations>,
    room: usize,
}

impl Desk {
    fn work(&self, mut waiting: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH);
        while waiting.blocking_recv_many(&mut jobs, BATCH) > 0 {
            let (tasks, waiters): (Vec<_>, Vec<_>) = jobs.drain(..).unzip();
            let done = self.write(&tasks).unwrap_or_else(|error| vec![Err(failed(&error)); waiters.len()]);
            for (task, done) in tasks.iter().zip(&done) {
                if done.is_ok() {
                    self.copy(task);
                }
            }
            for (waiter, done) in waiters.into_iter().zip(done) {
                // Who does not wait any more is not told.
                waiter.send(done).unwrap_or(());
            }
        }
    }

    /// All tasks in one transaction, which is durable when this returns.
    fn write(&self, tasks: &[Task]) -> Result<Vec<Result<bool, Away>>, redb::Error> {
        let transaction = self.file.begin_write()?;
        let mut done = Vec::with_capacity(tasks.len());
        for task in tasks {
            done.push(self.apply(&transaction, task)?);
        }
        // What found no room makes some for those who try again.
        if done.iter().any(|done| *done != Ok(false)) {
            let now = tasks.iter().filter_map(Task::now).max();
            now.map_or(Ok(()), |now| sweep(&transaction, now))?;
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        Ok(done)
    }

    fn apply(&self, transaction: &WriteTransaction, task: &Task) -> Result<Result<bool, Away>, redb::Error> {
        match task {
            Task::Fact { name, at } => {
                let mut facts = transaction.open_table(FACTS)?;
                if facts.get(name)?.is_some() {
                    return Ok(Ok(false));
                }
                if self.is_full(facts.len()?) {
                    return Ok(Err(Away));
                }
                facts.insert(name, at)?;
            }
            Task::Use { token, until, now } => {
                let mut used = transaction.open_table(USED)?;
                if used.get(token)?.is_some_and(|known| *now < known.value()) {
                    return Ok(Ok(false));
                }
                if self.is_full(used.len()?) {
                    return Ok(Err(Away));
                }
                used.insert(token, until)?;
                transaction.open_table(ENDS)?.insert((*until, token), ())?;
            }
            Task::Revoke { revoked, now } => {
                if self.revoked.has_room(revoked.len(), self.room, *now).is_err() {
                    return Ok(Err(Away));
                }
                revoked.iter().try_for_each(|revoked| mark(transaction, revoked))?;
            }
            Task::Restore { name } => {
                return Ok(Ok(transaction.open_table(REVOKED)?.remove(name)?.is_some()));
            }
            Task::Keep { kind, name, known, bytes } => {
                if bytes.len() > DOCUMENT_BYTES {
                    return Ok(Err(Away));
                }
                let (key, mut documents) = ((kind.as_str(), name.as_str()), transaction.open_table(DOCUMENTS)?);
                let version = documents.get(key)?.map_or(0, |there| there.value().0);
                if version != *known {
                    return Ok(Ok(false));
                }
                documents.insert(key, (version + 1, bytes.as_slice()))?;
            }
            Task::Count(batch) => return kept_ledger::add(transaction, batch).map(Ok),
        }
        Ok(Ok(true))
    }

    /// The same in memory.
    fn copy(&self, task: &Task) {
        match task {
            Task::Fact { .. } | Task::Use { .. } | Task::Keep { .. } | Task::Count(_) => {}
            Task::Revoke { revoked, now } => {
                for Revoked { name, mark, .. } in revoked {
                    self.revoked.add(*name, *mark, *now);
                }
            }
            Task::Restore { name } => drop(self.revoked.remove(name)),
        }
    }

    fn is_full(&self, entries: u64) -> bool {
        usize::try_from(entries).is_ok_and(|entries| entries >= self.room)
    }
}

impl Task {
    const fn now(&self) -> Option<i64> {
        match self {
            Self::Fact { .. } | Self::Restore { .. } | Self::Keep { .. } | Self::Count(_) => None,
            Self::Use { now, .. } | Self::Revoke { now, .. } => Some(*now),
        }
    }
}

/// Writes a revocation, together with what is known of its name.
pub(super) fn mark(transaction: &WriteTransaction, revoked: &Revoked) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(REVOKED)?;
    let known = table.get(&revoked.name)?.map(|known| {
        let (_, at, until) = known.value();
        Mark { at, until }
    });
    let Mark { at, until } = known.map_or(revoked.mark, |known| known.and(revoked.mark));
    table.insert(&revoked.name, (revoked.application.as_str(), at, until))?;
    if until < FOREVER {
        transaction.open_table(ENDS)?.insert((until, &revoked.name), ())?;
    }
    Ok(())
}

/// Removes what has ended, a bounded number of entries. A revocation that was made longer ends at its later end.
fn sweep(transaction: &WriteTransaction, now: i64) -> Result<(), redb::Error> {
    let (mut ends, mut used) = (transaction.open_table(ENDS)?, transaction.open_table(USED)?);
    let mut revoked = transaction.open_table(REVOKED)?;
    for _ in 0..SWEEP {
        let first = ends.first()?.map(|(key, _)| {
            let (end, name) = key.value();
            (end, *name)
        });
        let Some((end, name)) = first.filter(|(end, _)| *end <= now) else { break };
        ends.remove((end, &name))?;
        if used.get(&name)?.is_some_and(|until| until.value() <= now) {
            used.remove(&name)?;
        }
        if revoked.get(&name)?.is_some_and(|known| known.value().2 <= now) {
            revoked.remove(&name)?;
        }
    }
    Ok(())
}

/// Says why, in the log; nobody else needs to know.
pub(super) fn failed(error: &redb::Error) -> Away {
    events::StoreFailed { error: &error.to_string() }.emit();
    Away
}
