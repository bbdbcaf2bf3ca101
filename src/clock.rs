//! The only reader of time. Everything else takes `now` as an argument, so that a test decides what day it is.

use std::sync::Mutex;

use time::UtcDateTime;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> UtcDateTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    fn now(&self) -> UtcDateTime {
        UtcDateTime::now()
    }
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct Fixed(Mutex<UtcDateTime>);

impl Fixed {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn at(now: UtcDateTime) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the hands.
    pub fn set(&self, now: UtcDateTime) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = now;
    }
}

impl Clock for Fixed {
    fn now(&self) -> UtcDateTime {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
