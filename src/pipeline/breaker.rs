//! A circuit breaker: after so many failures in a row a source is left alone for a while, then tried with one call.
//! Time is an argument; what counts as a failure is its user's business.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Whether a source is asked at all.
#[derive(Debug)]
pub(super) struct Breaker {
    failures: NonZeroU32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is asked; so many failures in a row.
    Closed(u32),
    /// It is not asked until then; after that, one call tries it and sets the next instant, in case it never returns.
    Open(Instant),
}

impl Breaker {
    /// Opens after that many failures in a row, for that long.
    pub(super) const fn new(failures: NonZeroU32, pause: Duration) -> Self {
        Self { failures, pause, state: Mutex::new(State::Closed(0)) }
    }

    /// Whether a call may go out.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Closed(_) => true,
            State::Open(until) if now < until => false,
            State::Open(_) => {
                *state = State::Open(now + self.pause);
                true
            }
        }
    }

    /// Notes how a call ended. Whether it opened the breaker.
    pub(super) fn note(&self, failed: bool, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match (*state, failed) {
            (_, false) => State::Closed(0),
            (State::Closed(before), true) if before.saturating_add(1) < self.failures.get() => {
                State::Closed(before.saturating_add(1))
            }
            (State::Closed(_) | State::Open(_), true) => State::Open(now + self.pause),
        };
        let opened = matches!((*state, next), (State::Closed(_), State::Open(_)));
        *state = next;
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try_after_the_pause() {
        let pause = Duration::from_secs(5);
        let breaker = Breaker::new(NonZeroU32::MIN.saturating_add(2), pause);
        let now = Instant::now();
        assert!(!breaker.note(true, now) && !breaker.note(true, now));
        breaker.note(false, now);
        assert!(!breaker.note(true, now) && !breaker.note(true, now), "a success begins the count again");
        assert!(breaker.admits(now));
        assert!(breaker.note(true, now), "the third in a row opens");
        assert!(!breaker.admits(now + pause / 2));
        assert!(breaker.admits(now + pause), "one may try");
        assert!(!breaker.admits(now + pause), "and no other, while it has not returned");
        assert!(breaker.admits(now + pause * 2), "one that never returned does not close the door for ever");
        assert!(!breaker.note(true, now + pause * 2), "it was open already");
        assert!(!breaker.admits(now + pause * 2));
        breaker.note(false, now + pause * 3);
        assert!(breaker.admits(now + pause * 3) && breaker.admits(now + pause * 3));
    }
}
