//! What one server has to tell of one application, in numbered batches: those that wait, and those of the last seconds,
//! which a store may have lost that had them. A batch waits until it is kept, and others behind it wait in the counter, so
//! that nothing is told twice and nothing forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use time::{Duration, UtcDateTime};

use super::counter::Pending;
use super::{Batch, Counts, EVERY_APPLICATION, Gap, Mark, Series};

/// Entries of one batch, about: a store is not held up for long by one.
const ENTRIES: usize = 4_096;
/// How long a batch is remembered after the store has it: longer than a failover takes to lose what it was told last.
const REMEMBERED: Duration = Duration::seconds(10);
/// Entries that are remembered at most.
const REMEMBERED_ENTRIES: usize = 65_536;
/// How long nothing may be said where there is nothing to say.
const BEAT: Duration = Duration::seconds(2);
/// What the name of a gap begins with that the store made.
const STORE: &str = "store:";

/// When something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// Where there is anything to say, and now and then that the server lives.
    IfAnything,
    /// In any case: the answer says what the store has.
    Anyway,
    /// For the last time.
    Last,
}

/// What one server has to tell of one application.
#[derive(Debug)]
pub(super) struct Outbox {
    application: String,
    writer: String,
    started: UtcDateTime,
    number: u64,
    total: u64,
    at: UtcDateTime,
    /// When something was counted last.
    counted_at: UtcDateTime,
    waiting: VecDeque<Arc<Batch>>,
    remembered: VecDeque<Arc<Batch>>,
}

impl Outbox {
    pub(super) fn new(application: &str, writer: &str, now: UtcDateTime) -> Self {
        Self {
            application: application.to_owned(),
            writer: writer.to_owned(),
            started: now,
            number: 0,
            total: 0,
            at: now,
            counted_at: now,
            waiting: VecDeque::new(),
            remembered: VecDeque::new(),
        }
    }

    /// Puts in what was counted until now.
    pub(super) fn put(&mut self, pending: Pending, now: UtcDateTime, say: Say) {
        let counted = !pending.series.is_empty();
        if !counted && pending.lost.is_none() && !self.speaks(now, say) {
            return;
        }
        if counted {
            self.counted_at = now;
        }
        let gap = pending.lost.map(|gap| (format!("lost:{}:{}", self.writer, gap.from.date()), gap));
        let mut parts = split(pending.series);
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            // What is not the last one does not claim that everything until now is in it.
            self.push(part, self.at, BTreeMap::new(), false);
        }
        self.push(last, now.max(self.at), gap.into_iter().collect(), say == Say::Last);
    }

    fn push(&mut self, series: BTreeMap<Series, Counts>, at: UtcDateTime, gaps: BTreeMap<String, Gap>, ended: bool) {
        self.total += series.values().map(Counts::total).sum::<u64>();
        let batch = Batch {
            application: self.application.clone(),
            writer: self.writer.clone(),
            number: self.number + 1,
            after: self.number,
            from: self.at,
            at,
            total: self.total,
            ended,
            series,
            gaps,
        };
        (self.number, self.at) = (batch.number, at);
        self.waiting.push_back(Arc::new(batch));
    }

    /// Whether something has to be sent, also where nothing was counted.
    pub(super) fn waits(&self, now: UtcDateTime, say: Say) -> bool {
        !self.waiting.is_empty() || self.speaks(now, say)
    }

    /// Whether something is said though nothing was counted. The first word says since when the application is counted. Who
    /// counted something a moment ago says that it lives, and hears whether the store has forgotten it.
    fn speaks(&self, now: UtcDateTime, say: Say) -> bool {
        let every = self.application == EVERY_APPLICATION;
        let said = match say {
            Say::IfAnything => BEAT <= now - self.at && (every || now - self.counted_at <= REMEMBERED),
            Say::Anyway | Say::Last => every || self.total > 0,
        };
        said || self.number == 0
    }

    /// The batch that is to be sent.
    pub(super) fn first(&self) -> Option<Arc<Batch>> {
        self.waiting.front().cloned()
    }

    /// The first one is kept.
    pub(super) fn kept(&mut self) {
        let Some(batch) = self.waiting.pop_front() else { return };
        let until = batch.at;
        self.remembered.push_back(batch);
        let mut entries: usize = self.remembered.iter().map(|batch| batch.entries()).sum();
        while let Some(first) = self.remembered.front() {
            if until - first.at <= REMEMBERED && entries <= REMEMBERED_ENTRIES {
                break;
            }
            entries -= first.entries();
            self.remembered.pop_front();
        }
    }

    /// The store has nothing after this. What is remembered is sent again; what is not is lost, and that is told. How many.
    pub(super) fn behind(&mut self, known: Option<Mark>) -> u64 {
        let known = known.unwrap_or(Mark { number: 0, at: self.started, total: 0 });
        while let Some(batch) = self.remembered.pop_back_if(|batch| batch.number > known.number) {
            self.waiting.push_front(batch);
        }
        let writer = &self.writer;
        let Some(first) = self.waiting.front_mut().map(Arc::make_mut) else { return 0 };
        first.after = known.number;
        first.gaps.retain(|name, _| !name.starts_with(STORE));
        if first.number == known.number + 1 {
            return 0;
        }
        let lost = (first.total - first.counted()).saturating_sub(known.total);
        if lost == 0 {
            return 0;
        }
        let gap = Gap { from: known.at, until: first.from, lost: Some(lost) };
        first.gaps.insert(format!("{STORE}{writer}:{}", known.number), gap);
        lost
    }
}

/// In parts of bounded size, at series and within.
fn split(series: BTreeMap<Series, Counts>) -> Vec<BTreeMap<Series, Counts>> {
    let mut parts = Vec::new();
    let mut part: BTreeMap<Series, Counts> = BTreeMap::new();
    let mut room = ENTRIES;
    for (series, Counts { tallies, subjects }) in series {
        room = room.saturating_sub(tallies.len());
        part.insert(series.clone(), Counts { tallies, ..Counts::default() });
        for (pseudonym, presence) in subjects {
            if room == 0 {
                parts.push(std::mem::take(&mut part));
                room = ENTRIES;
            }
            room -= 1;
            part.entry(series.clone()).or_default().subjects.insert(pseudonym, presence);
        }
        if room == 0 {
            parts.push(std::mem::take(&mut part));
            room = ENTRIES;
        }
    }
    parts.push(part);
    parts
}
