//! The audit log: who asked for what, about whom, and what came of it, in lines that nobody can change, remove or move
//! without its showing. `record.rs` is what a line says, `chain.rs` what holds the lines together, `desk.rs` who writes
//! them, `verify.rs` how they are checked.
//!
//! Where it goes is configuration alone: whoever could set it by a request could write files anywhere.

pub mod chain;
pub mod checkpoint;
mod desk;
#[cfg(test)]
mod desk_tests;
mod file;
pub mod heads;
pub mod record;
pub mod sinks;
#[cfg(test)]
mod tests;
pub mod verify;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, Thread};
use std::time::Duration;

use time::UtcDateTime;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::chain::Chain;
use self::checkpoint::Signer;
use self::desk::{Desk, Job, Message, Office, new_writer};
pub use self::file::Rotation;
use self::heads::Heads;
use self::record::{Decided, Event, Record, Versions};
pub use self::sinks::Failed;
use self::sinks::{Sink, Stdout, Stream, Streaming};
use crate::clock::Clock;
use crate::observe::{AuditCounts, Metrics, events};

/// Records that wait for a sink at most, each about 600 bytes; more are lost, or refuse their requests.
const QUEUE: usize = 16_384;
/// How long an answer waits for its record at most.
const WRITE: Duration = Duration::from_secs(5);
/// How long the end of the log may take when the server stops, and how long until it is asked again for room.
const CLOSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(10));

/// What is written down, and where.
#[derive(Debug)]
pub struct Plan {
    /// Whether nothing is answered that is not written down.
    pub required: bool,
    /// Whether Verify is written down too.
    pub verify: bool,
    /// Who signs; none: a key that is made of the server's own secret.
    pub signer: Option<Signer>,
    /// Lines after which they are signed.
    pub checkpoint_records: u64,
    /// How long a line is without a signature at most.
    pub checkpoint_every: Duration,
    /// Where lines go.
    pub sinks: Vec<Place>,
}

/// Where lines go.
#[derive(Debug)]
pub enum Place {
    /// A file.
    File(PathBuf, Rotation),
    /// Standard output.
    Stdout,
    /// A stream in the store's Redis, which keeps about so many lines.
    Redis(usize),
}

impl Place {
    /// The word for it in the configuration.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(..) => "file",
            Self::Stdout => "stdout",
            Self::Redis(_) => "redis",
        }
    }
}

/// What a log is opened with.
#[expect(missing_debug_implementations, reason = "it holds the store")]
pub struct Means {
    /// Tells the time of lines that no request asks for.
    pub clock: Arc<dyn Clock>,
    /// Where the ends of chains are remembered.
    pub heads: Heads,
    /// The stream that servers share, where the store is one.
    pub stream: Option<Arc<dyn Stream>>,
    /// Who signs.
    pub signer: Signer,
    /// Under which configuration.
    pub versions: Versions,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

/// The open log.
#[derive(Debug, Default)]
pub struct Audit {
    writers: Vec<Writer>,
    required: bool,
    verify: bool,
    versions: Versions,
}

/// One sink, seen from the requests.
struct Writer {
    inbox: SyncSender<Message>,
    counts: AuditCounts,
    lost: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Thread,
    ended: tokio::sync::Mutex<oneshot::Receiver<()>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("sink", &self.counts.sink).finish_non_exhaustive()
    }
}

/// A record is not written, and has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritten;

/// A sink that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("audit.sinks, {place}: {why}")]
pub struct Unopened {
    place: String,
    why: Failed,
}

impl Audit {
    /// Opens the log, with a thread for each sink.
    ///
    /// # Errors
    ///
    /// Where a file cannot be opened, or is not ours. A stream that cannot be reached is none: it is tried again.
    pub fn open(plan: &Plan, means: Means) -> Result<Self, Unopened> {
        let Means { clock, heads, stream, signer, versions, metrics } = means;
        let office = Arc::new(Office {
            clock,
            runtime: Handle::current(),
            heads,
            signer,
            versions: versions.clone(),
            required: plan.required,
            checkpoint_records: plan.checkpoint_records,
            checkpoint_every: plan.checkpoint_every,
        });
        let mut writers: Vec<Writer> = Vec::with_capacity(plan.sinks.len());
        for place in &plan.sinks {
            let same = plan.sinks.iter().take(writers.len()).filter(|other| other.kind() == place.kind()).count();
            let name = if same == 0 { place.kind().to_owned() } else { format!("{}-{}", place.kind(), same + 1) };
            let counts = metrics.of_audit(&Arc::from(name));
            writers.push(Writer::start(place, &office, stream.as_ref(), counts)?);
        }
        Ok(Self { writers, required: plan.required, verify: plan.verify, versions })
    }

    /// Whether what this RPC does is written down.
    #[must_use]
    pub fn covers(&self, rpc: &str) -> bool {
        !self.writers.is_empty() && (self.verify || !["Verify", "BatchVerify"].contains(&rpc))
    }

    /// Writes down what was decided. Where it is required, returns when every sink has it; else at once.
    pub async fn record(&self, mut decided: Decided, now: UtcDateTime) -> Result<(), Unwritten> {
        decided.versions.configuration.clone_from(&self.versions.configuration);
        let record = Arc::new(Record { time: now, event: Event::Decided(decided) });
        if !self.required {
            self.writers.iter().for_each(|writer| writer.leave(&record));
            return Ok(());
        }
        // All of them at once, and then all are waited for.
        let written: Vec<_> = self.writers.iter().map(|writer| writer.hand(&record)).collect();
        let all = async {
            for written in written {
                written?.await.map_err(|_dropped| Unwritten)?;
            }
            Ok(())
        };
        timeout(WRITE, all).await.unwrap_or(Err(Unwritten))
    }

    /// Writes what waits, and the last checkpoint. Nothing is taken after it.
    pub async fn close(&self) {
        for writer in &self.writers {
            drop(timeout(CLOSE.0, writer.close()).await);
        }
    }
}

impl Writer {
    fn start(
        place: &Place,
        office: &Arc<Office>,
        stream: Option<&Arc<dyn Stream>>,
        counts: AuditCounts,
    ) -> Result<Self, Unopened> {
        let unopened = |why| Unopened { place: counts.sink.to_string(), why };
        let (mut chain, mut torn) = (Chain::new(new_writer()), 0);
        let sink: Box<dyn Sink> = match place {
            Place::File(path, rotation) => {
                let opened = file::Logfile::open(path.clone(), *rotation);
                let (file, found) = opened.map_err(|why| Unopened { place: path.display().to_string(), why })?;
                chain = found.last.map_or(chain, Chain::after);
                torn = found.torn;
                Box::new(file)
            }
            Place::Stdout => Box::new(Stdout),
            Place::Redis(keep) => {
                let stream = Arc::clone(stream.ok_or_else(|| unopened(Failed::Away))?);
                let (runtime, writer) = (office.runtime.clone(), String::new());
                Box::new(Streaming { stream, runtime, keep: *keep, writer })
            }
        };
        let (lost, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (inbox, waiting) = sync_channel(QUEUE);
        let (ends, ended) = oneshot::channel();
        let desk = Desk {
            office: Arc::clone(office),
            sink,
            counts: counts.clone(),
            found: chain.head().seq,
            chain,
            torn,
            lost: Arc::clone(&lost),
            stop: Arc::clone(&stop),
            state: desk::State::default(),
        };
        let work = move || {
            desk.work(&waiting);
            drop(ends);
        };
        let spawned = thread::Builder::new().name("audit".to_owned()).spawn(work);
        let thread = spawned.map_err(|error| unopened(Failed::Io(error)))?.thread().clone();
        Ok(Self { inbox, counts, lost, stop, thread, ended: tokio::sync::Mutex::new(ended) })
    }

    /// Hands a record over, for nobody who waits.
    fn leave(&self, record: &Arc<Record>) {
        let job = Job { record: Arc::clone(record), waiter: None };
        if self.inbox.try_send(Message::Record(job)).is_err() {
            self.counts.lost.inc();
            if self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                events::AuditLost { sink: &self.counts.sink }.emit();
            }
        }
    }

    /// Hands a record over; what comes back resolves when it is written.
    fn hand(&self, record: &Arc<Record>) -> Result<oneshot::Receiver<()>, Unwritten> {
        let (waiter, written) = oneshot::channel();
        let job = Job { record: Arc::clone(record), waiter: Some(waiter) };
        self.inbox.try_send(Message::Record(job)).map_err(|_full_or_ended| Unwritten)?;
        Ok(written)
    }

    async fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
        while let Err(TrySendError::Full(_)) = self.inbox.try_send(Message::Stop) {
            tokio::time::sleep(CLOSE.1).await;
        }
        // It ends without a word.
        (&mut *self.ended.lock().await).await.unwrap_or(());
    }
}
