//! What one server tells the store of one application, some of it at a time. A batch is numbered and never changes once it
//! was sent: the store adds it once, however often it comes.

use std::collections::BTreeMap;

use time::{Date, UtcDateTime};

use super::{Credential, Gap, Outcome, Tally};
use crate::refusal::Reason;

/// What is counted of one credential on one day, from one caller with one client label, and by one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The day, of UTC.
    pub day: Date,
    /// Which credential.
    pub credential: Credential,
    /// The caller's name.
    pub caller: String,
    /// The client label where it counts, else empty.
    pub client: String,
    /// The key's id.
    pub key: String,
}

/// What came of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By outcome, and by why the shadow policy would have refused what was accepted.
    pub tallies: BTreeMap<(Outcome, Option<Reason>), Tally>,
    /// Subjects of genuine credentials, by pseudonym.
    pub subjects: BTreeMap<String, Presence>,
}

/// A subject's presence in a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// When last.
    pub last: UtcDateTime,
    /// Whether it stands for its credential. Of several identifiers in a token one does, so that who has two is one user.
    pub distinct: bool,
}

/// Some of what a server saw of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The application's name.
    pub application: String,
    /// Which server, from its start to its end.
    pub writer: String,
    /// Which batch of this writer: 1, 2, …
    pub number: u64,
    /// The batch that the store must have had last.
    pub after: u64,
    /// From when on it was counted.
    pub from: UtcDateTime,
    /// Until when. Everything that this writer saw before is in this batch or an earlier one.
    pub at: UtcDateTime,
    /// How much the writer has counted with this batch.
    pub total: u64,
    /// Whether it is the last: the server came to an orderly end.
    pub ended: bool,
    /// What was counted.
    pub series: BTreeMap<Series, Counts>,
    /// What could not be counted. Names tell gaps apart: those of one name are one.
    pub gaps: BTreeMap<String, Gap>,
}

/// How far a store has what a writer counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The last batch.
    pub number: u64,
    /// Its `at`.
    pub at: UtcDateTime,
    /// Its `total`.
    pub total: u64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is kept, now or since it came first.
    Kept,
    /// Batches before it are missing: the store has lost some. None: it does not know the writer at all.
    Behind(Option<Mark>),
}

impl Counts {
    /// How much was counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.tallies.values().map(|tally| tally.count).sum()
    }
}

impl Batch {
    /// How much was counted.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.series.values().map(Counts::total).sum()
    }

    /// Entries that it takes in memory, about.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.series.values().map(|counts| counts.tallies.len() + counts.subjects.len()).sum()
    }

    /// The name of the gap that a crash of this writer leaves.
    #[must_use]
    pub fn crash(writer: &str) -> String {
        format!("crash:{writer}")
    }
}
