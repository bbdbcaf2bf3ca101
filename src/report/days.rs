//! A window of whole days of UTC, of which the last is today so far.

use time::{Date, Duration, Time, UtcDateTime};

use crate::ledger::Gap;

/// A window of days. Today belongs to it, and is never judged: it is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    first: Date,
    last: Date,
}

impl Days {
    /// The most days that a window has.
    pub const MOST: u16 = 366;

    /// That many days, the present one among them; at least that one, at most [`Self::MOST`].
    #[must_use]
    pub fn back(count: u16, now: UtcDateTime) -> Self {
        let last = now.date();
        let before = Duration::days(i64::from(count.clamp(1, Self::MOST)) - 1);
        Self { first: last.saturating_sub(before), last }
    }

    /// The first day.
    #[must_use]
    pub const fn first(self) -> Date {
        self.first
    }

    /// The present day.
    #[must_use]
    pub const fn last(self) -> Date {
        self.last
    }

    /// Whether the day is one of them.
    #[must_use]
    pub fn has(self, day: Date) -> bool {
        self.first <= day && day <= self.last
    }

    /// All of them, oldest first.
    pub fn iter(self) -> impl Iterator<Item = Date> {
        std::iter::successors(Some(self.first), |day| day.next_day()).take_while(move |day| *day <= self.last)
    }

    /// Those that are over, oldest first.
    pub fn complete(self) -> impl Iterator<Item = Date> {
        self.iter().filter(move |day| self.judges(*day))
    }

    /// Whether the day is one of them and over.
    #[must_use]
    pub fn judges(self, day: Date) -> bool {
        self.first <= day && day < self.last
    }

    /// Whether the gap is of one of these days.
    #[must_use]
    pub fn meets(self, gap: &Gap) -> bool {
        gap.from.date() <= self.last && self.first <= gap.until.date()
    }
}

/// The first instant of a day.
pub(super) const fn start(day: Date) -> UtcDateTime {
    UtcDateTime::new(day, Time::MIDNIGHT)
}

/// The day so many days later.
pub(super) fn later(day: Date, days: usize) -> Date {
    day.saturating_add(Duration::days(i64::try_from(days).unwrap_or(i64::MAX / 100_000)))
}
