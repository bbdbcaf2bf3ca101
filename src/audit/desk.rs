//! The desk: one thread for each sink, which makes the chain there. What waits is written together, so that a thousand
//! requests wait for one flush to the disk and not for a thousand.
//!
//! Where an answer waits for its record, a failure is told to it, and the record is dropped. Where none does, the record
//! stays here and is tried again; what does not find room meanwhile is counted, and the count stands in the chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use time::UtcDateTime;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::chain::{Chain, Head, Line};
use super::checkpoint::Signer;
use super::heads::Heads;
use super::record::{Begins, Event, Opened, Record, Versions};
use super::sinks::{Failed, Recovered, Sink};
use crate::clock::Clock;
use crate::observe::{AuditCounts, events};

/// Records that are written together at most.
pub(super) const BATCH: usize = 4_096;
/// How long records wait for others that nobody waits for: who hands one over need not wake the thread then.
const LINGER: Duration = Duration::from_millis(5);
/// The pause before a sink that failed is tried again, where nobody waits.
const AGAIN: Duration = Duration::from_secs(1);

/// What the desks of a server share.
pub(super) struct Office {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) runtime: Handle,
    pub(super) heads: Heads,
    pub(super) signer: Signer,
    pub(super) versions: Versions,
    /// Whether records are flushed to the disk before they are answered for.
    pub(super) required: bool,
    /// Records after which a checkpoint is due.
    pub(super) checkpoint_records: u64,
    /// How long a record is without a signature at most.
    pub(super) checkpoint_every: Duration,
}

/// What comes in.
pub(super) enum Message {
    /// A record, and who waits for it.
    Record(Job),
    /// The server stops.
    Stop,
}

/// A record, and who waits until it is written; dropping that says that it is not.
pub(super) struct Job {
    pub(super) record: Arc<Record>,
    pub(super) waiter: Option<oneshot::Sender<()>>,
}

/// When to sign.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seal {
    /// Where it is due.
    Due,
    /// Now, if anything is unsigned.
    Now,
    /// Now, as the last line.
    Last,
}

/// The thread's own.
pub(super) struct Desk {
    pub(super) office: Arc<Office>,
    pub(super) sink: Box<dyn Sink>,
    pub(super) counts: AuditCounts,
    /// The chain as the sink has it.
    pub(super) chain: Chain,
    /// The last line that was there when the sink was opened, by its number.
    pub(super) found: u64,
    /// Bytes of a torn line that the sink cut off then.
    pub(super) torn: u64,
    /// Records that found no room.
    pub(super) lost: Arc<AtomicU64>,
    /// Whether the server stops.
    pub(super) stop: Arc<AtomicBool>,
    pub(super) state: State,
}

/// What changes while the thread runs.
#[derive(Default)]
pub(super) struct State {
    /// Whether this run has its opening line.
    opened: bool,
    /// Whether the last write failed.
    failing: bool,
    /// Whether the store was asked what it knows of the chain.
    compared: bool,
    /// What was known of a chain, and is more than there is.
    known: Option<Head>,
    /// Whether the store knew nothing of a chain that has lines.
    unknown: bool,
    /// Lines that no checkpoint covers, and since when there are any.
    unsigned: u64,
    unsigned_since: Option<UtcDateTime>,
}

impl Desk {
    /// Writes until the server stops, or nobody is there any more who could hand it anything.
    pub(super) fn work(mut self, inbox: &Receiver<Message>) {
        self.compare_with_store();
        let mut batch = Vec::new();
        // What an earlier run left unsigned is signed with the first line of this one.
        self.deliver(&mut batch, Seal::Now);
        loop {
            if batch.is_empty() {
                let seal = gather(inbox, &mut batch, self.office.checkpoint_every);
                self.deliver(&mut batch, seal);
                if seal == Seal::Last {
                    break;
                }
            } else {
                thread::park_timeout(AGAIN);
                let stops = self.stop.load(Ordering::Relaxed);
                self.deliver(&mut batch, Seal::Due);
                if stops && !batch.is_empty() {
                    break;
                }
            }
        }
        let lost = batch.len().saturating_add(inbox.try_iter().count());
        self.counts.lost.inc_by(lost as u64);
    }

    /// Writes what is there; what failed and nobody waits for stays in the batch.
    fn deliver(&mut self, batch: &mut Vec<Job>, seal: Seal) {
        match self.write(batch, seal) {
            Ok(()) => {
                if std::mem::take(&mut self.state.failing) {
                    events::AuditBack { sink: &self.counts.sink }.emit();
                }
                self.counts.records.inc_by(batch.len() as u64);
                // Who does not wait any more is not told.
                batch.drain(..).filter_map(|job| job.waiter).for_each(|waiter| waiter.send(()).unwrap_or(()));
            }
            Err(error) => {
                self.counts.failures.inc();
                if !std::mem::replace(&mut self.state.failing, true) {
                    events::AuditFailed { sink: &self.counts.sink, error: &error.to_string() }.emit();
                }
                batch.retain(|job| job.waiter.is_none());
            }
        }
    }

    fn write(&mut self, batch: &[Job], seal: Seal) -> Result<(), Failed> {
        if self.state.failing && self.sink.recover()? == Recovered::Unknown {
            let ended = std::mem::replace(&mut self.chain, Chain::new(new_writer()));
            // One that never had a line is followed by nothing: the last that had one is.
            if ended.head().seq > 0 {
                self.state.known = Some(ended.head().clone());
            }
        }
        let now = self.office.clock.now();
        if self.signs(batch.len() as u64, seal, now) {
            self.compare_with_store();
        }
        let starts_a_file = self.sink.ready(now, self.chain.head())?;
        let mut chain = self.chain.clone();
        let mut lines = Vec::with_capacity(batch.len().saturating_add(3));
        self.open(&mut chain, &mut lines, starts_a_file, now);
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            lines.push(chain.add(&Record { time: now, event: Event::Lost { records: lost } }));
        }
        lines.extend(batch.iter().map(|job| chain.add(&job.record)));
        let signs = self.signs(lines.len() as u64, seal, now);
        if signs {
            let event = if seal == Seal::Last { Event::Closed } else { Event::Checkpoint };
            lines.push(chain.add_signed(&Record { time: now, event }, &self.office.signer));
        }
        if lines.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.sink.take(&lines, self.office.required || signs) {
            self.lost.fetch_add(lost, Ordering::Relaxed);
            return Err(error);
        }
        self.chain = chain;
        self.state.unsigned = self.state.unsigned.saturating_add(lines.len() as u64);
        self.state.unsigned_since.get_or_insert(now);
        self.written(signs);
        Ok(())
    }

    /// Adds the line that a chain, a file or a run begins with.
    fn open(&self, chain: &mut Chain, lines: &mut Vec<Line>, starts_a_file: bool, now: UtcDateTime) {
        let begins = match (chain.head().seq, starts_a_file) {
            (0, _) => Begins::Chain,
            (_, true) => Begins::File,
            (_, false) if self.state.opened => return,
            (_, false) => Begins::Run,
        };
        let opened = Opened {
            begins,
            server: env!("CARGO_PKG_VERSION"),
            versions: self.office.versions.clone(),
            public_key: self.office.signer.public_key().to_string(),
            known: self.state.known.clone(),
            unknown: self.state.unknown,
            torn_bytes: self.torn,
        };
        lines.push(chain.add(&Record { time: now, event: Event::Opened(opened) }));
    }

    fn signs(&self, more: u64, seal: Seal, now: UtcDateTime) -> bool {
        let unsigned = self.state.unsigned.saturating_add(more);
        let old = self.state.unsigned_since.is_some_and(|since| now - since >= self.office.checkpoint_every);
        match seal {
            Seal::Last => true,
            Seal::Now => unsigned > 0,
            Seal::Due => unsigned >= self.office.checkpoint_records || (unsigned > 0 && old),
        }
    }

    /// What follows from lines that are written.
    fn written(&mut self, signed: bool) {
        let head = self.chain.head();
        let sink = &self.counts.sink;
        if !std::mem::replace(&mut self.state.opened, true) {
            let public_key = &self.office.signer.public_key().to_string();
            events::AuditOpened { sink, writer: &head.writer, seq: head.seq, public_key }.emit();
        }
        (self.state.known, self.state.unknown, self.torn) = (None, false, 0);
        if signed {
            (self.state.unsigned, self.state.unsigned_since) = (0, None);
            events::AuditCheckpoint { sink, writer: &head.writer, seq: head.seq, hash: &head.hash.to_string() }.emit();
            let kept = self.office.runtime.block_on(self.office.heads.keep(head, self.office.clock.now()));
            if kept.is_err() {
                events::AuditHeadLost { sink }.emit();
            }
        }
    }

    /// Finds out, once, whether the store knows a line of the chain that the sink lacks. A store that is away is asked again
    /// before anything is signed: the next head that it keeps takes the place of what it knows.
    fn compare_with_store(&mut self) {
        if self.state.compared {
            return;
        }
        let Ok(heads) = self.office.runtime.block_on(self.office.heads.read()) else { return };
        self.state.compared = true;
        let ours = self.chain.head();
        let known = heads.into_iter().map(|kept| kept.head).find(|head| head.writer == ours.writer);
        // The store knows a chain from its first line on.
        if known.is_none() && self.found > 0 {
            events::AuditUnknown { sink: &self.counts.sink, found: self.found }.emit();
            (self.state.unknown, self.state.opened) = (true, false);
        }
        // Not only a longer one: behind a cut anybody can have gone on, and the next checkpoint would sign it.
        self.state.known = known.filter(|known| !self.sink.has(known).unwrap_or(false));
        if let Some(known) = &self.state.known {
            events::AuditCut { sink: &self.counts.sink, found: ours.seq, known: known.seq }.emit();
            self.state.opened = false;
        }
    }
}

/// Waits for records, and takes what else is there.
fn gather(inbox: &Receiver<Message>, batch: &mut Vec<Job>, wait: Duration) -> Seal {
    match inbox.recv_timeout(wait) {
        Ok(Message::Record(job)) => {
            if job.waiter.is_none() {
                thread::park_timeout(LINGER);
            }
            batch.push(job);
        }
        Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return Seal::Last,
        Err(RecvTimeoutError::Timeout) => return Seal::Now,
    }
    while batch.len() < BATCH {
        match inbox.try_recv() {
            Ok(Message::Record(job)) => batch.push(job),
            Ok(Message::Stop) => return Seal::Last,
            Err(_nothing_more) => break,
        }
    }
    Seal::Due
}

/// An id that no other chain has: 96 random bits.
pub(super) fn new_writer() -> String {
    use base64::Engine as _;
    let mut bytes = [0; 12];
    // A machine without randomness does not come as far as this: the start needs it.
    aws_lc_rs::rand::fill(&mut bytes).unwrap_or_default();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
