//! The ledger: what was seen, by day, and who was seen last. The evidence that the old scheme can end.
//!
//! These are its words. Counting never holds up a request, and what could not be counted is told (`Gap`). What becomes of
//! a count: `counter.rs` adds it up in process, `outbox.rs` numbers what goes to the store, `live.rs` sends it, and the
//! store (`store/`) keeps it once. What follows from the numbers is not decided here.

mod batch;
mod counter;
mod live;
mod outbox;
pub mod sketch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use time::{Date, Duration, UtcDateTime};

pub use self::batch::{Added, Batch, Counts, Mark, Presence, Series};
pub use self::counter::Seen;
pub use self::live::Ledger;
use crate::refusal::Reason;

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Credential {
    /// A legacy hash.
    Hash,
    /// A JWT.
    Jwt,
}

impl Credential {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hash, Self::Jwt];

    /// Its name in a store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Jwt => "jwt",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It counted.
    Accepted,
    /// It was genuine, made with a key of the application, and did not count.
    Refused,
    /// It was not genuine. Anybody can send that: client and key are empty.
    Invalid,
    /// It was made here.
    Issued,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Refused, Self::Invalid, Self::Issued];

    /// Its name in a store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Issued => "issued",
        }
    }
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The day, of UTC.
    pub day: Date,
    /// Which credential.
    pub credential: Credential,
    /// What came of it.
    pub outcome: Outcome,
    /// The caller's name.
    pub caller: String,
    /// The client label where it counts, else empty; [`OVERFLOW`] for labels beyond what is kept apart.
    pub client: String,
    /// The key's id.
    pub key: String,
    /// Why the shadow policy would have refused what was accepted.
    pub shadow: Option<Reason>,
}

/// How often something was seen, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How often.
    pub count: u64,
    /// When last.
    pub last: UtcDateTime,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, last: self.last.max(other.last) }
    }
}

/// Stands for all labels beyond those that are kept apart.
pub const OVERFLOW: &str = "*";
/// What a server says that it lives by: no application can have that name. What is told of it is true of all of them, so
/// that an application of which nothing comes costs nothing.
pub const EVERY_APPLICATION: &str = "*";
/// Client labels of an application that are kept apart on one day, at most.
pub const LABELS: usize = 1_000;
/// Subjects whose last sighting is kept, of each application and credential, at most: the oldest go first.
pub const SIGHTINGS: usize = 100_000;
/// Gaps of an application that are kept apart, at most; more are told as one.
pub const GAPS: usize = 1_000;
/// How long it is kept what was seen on a day.
pub const KEEP_DAYS: i32 = 400;
/// How long a server may not be heard of until it is told that its counts are missing.
pub const UNHEARD: Duration = Duration::seconds(5);
/// How long a server may not be heard of until it counts as crashed.
pub const CRASHED: Duration = Duration::seconds(30);

/// What was seen of an application in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// From when on the application was counted at all; none: never.
    pub since: Option<UtcDateTime>,
    /// Every cell of the window.
    pub cells: BTreeMap<Cell, Tally>,
    /// Distinct subjects.
    pub distinct: Distinct,
    /// Times of which not everything is counted.
    pub gaps: Vec<Gap>,
}

/// Distinct subjects of genuine credentials, estimated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distinct {
    /// Of the window.
    pub hash: u64,
    /// Of the window.
    pub jwt: u64,
    /// Of each day: with a hash, with a JWT.
    pub days: BTreeMap<Date, (u64, u64)>,
    /// With a hash, by caller, of the window.
    pub callers: BTreeMap<String, u64>,
    /// With a hash, by client label, of the window.
    pub clients: BTreeMap<String, u64>,
    /// With a hash, by key, of the window.
    pub keys: BTreeMap<String, u64>,
    /// With a hash, by caller and client label, of the window.
    pub pairs: BTreeMap<(String, String), u64>,
}

/// A time of which not everything is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// From when on.
    pub from: UtcDateTime,
    /// Until when.
    pub until: UtcDateTime,
    /// How many are lost; none: nobody can say.
    pub lost: Option<u64>,
}

impl Gap {
    /// One gap that covers both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            until: self.until.max(other.until),
            lost: self.lost.zip(other.lost).map(|(one, two)| one + two),
        }
    }
}

/// When and how a subject was last seen with a credential of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Who: a keyed pseudonym.
    pub pseudonym: String,
    /// With which credential.
    pub credential: Credential,
    /// When.
    pub last: UtcDateTime,
    /// Which caller sent it.
    pub caller: String,
    /// With which client label.
    pub client: String,
    /// Which key it was made with.
    pub key: String,
}
