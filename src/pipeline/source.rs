//! One open claim source with the operator's rules for it, and how its place is asked: within a deadline, not too many
//! at once, again after a passing failure, and not at all while it keeps failing.

use std::collections::BTreeSet;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use countersign_claim_source::{Answer, Ask, ClaimSource, Why};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::breaker::Breaker;
use crate::observe::{SourceCounts, events};
use crate::refusal::Reason;

/// The operator's rules for a source.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What it sets.
    pub sets: BTreeSet<String>,
    /// The claims that have to be known before it is asked.
    pub needs: Vec<String>,
    /// What its failure means.
    pub on_error: OnError,
    /// How long it may take, retries and waiting for a free place included.
    pub timeout: Duration,
    /// How long an answer is taken from the cache without asking; zero: never.
    pub fresh: Duration,
    /// How long after that it still stands in for an answer.
    pub stale: Duration,
    /// How long it is remembered that the source does not know the subject.
    pub absent: Duration,
    /// Whether replicas share what is kept.
    pub shared: bool,
    /// How often it is asked again after it was unavailable.
    pub retries: u32,
    /// How many calls may be under way at once.
    pub concurrency: NonZeroUsize,
    /// After how many failures in a row it is left alone.
    pub breaker_failures: NonZeroU32,
    /// And for how long.
    pub breaker_pause: Duration,
}

/// What a source's failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Nothing is signed.
    Refuse,
    /// The claim is left out, with a notice.
    Omit,
    /// What was found before is taken, with a notice; where there is nothing, nothing is signed.
    Stale,
}

/// An open claim source with the operator's rules for it.
pub struct Source {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The rules.
    pub rules: Rules,
    /// The identifiers and claims that it asks with: what an answer depends on.
    pub asks_with: BTreeSet<String>,
    /// A digest of its configuration: answers of another configuration are another source's.
    pub version: [u8; 32],
    pub(super) counts: SourceCounts,
    plugin: Arc<dyn ClaimSource>,
    breaker: Breaker,
    places: Semaphore,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// What a place answered.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The claims; none where the subject is not known.
    pub(super) claims: Option<Map<String, Value>>,
    /// How long they stay fresh, if the source knows.
    pub(super) fresh_for: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Unavailable(Why),
    /// It kept failing, and is not asked for a while.
    LeftAlone,
    TimedOut,
    /// There was no place for one more call in time. Nothing was sent.
    Crowded,
    Malformed(Why),
    Denied(Why),
    /// It needs this identifier or claim, which is not there.
    Missing(String),
    /// This identifier or claim cannot stand in the question.
    Unfit(String, Why),
    /// A bug of ours or of the kind.
    Bug,
}

impl Failure {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Unavailable(_) | Self::LeftAlone | Self::Denied(_) | Self::Missing(_) => Reason::SourceUnavailable,
            Self::TimedOut | Self::Crowded => Reason::SourceTimedOut,
            Self::Malformed(_) | Self::Unfit(..) => Reason::SourceMalformed,
            Self::Bug => Reason::Internal,
        }
    }

    /// For the log: a word, and what happened.
    pub(super) fn told(&self) -> (&'static str, String) {
        match self {
            Self::Unavailable(why) => ("unavailable", why.to_string()),
            Self::LeftAlone => ("left_alone", "it kept failing".to_owned()),
            Self::TimedOut => ("timed_out", "no answer in time".to_owned()),
            Self::Crowded => ("crowded", "as many calls as it may have were under way".to_owned()),
            Self::Malformed(why) => ("malformed", why.to_string()),
            Self::Denied(why) => ("denied", why.to_string()),
            Self::Missing(name) => ("missing", format!("it asks with {name}, which is not there")),
            Self::Unfit(name, why) => ("unfit", format!("{name} {why}")),
            Self::Bug => ("bug", "a panic".to_owned()),
        }
    }
}

/// Until when an answer is waited for, and whose patience that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// The source's own: `timeout_ms`.
    own: Instant,
    /// The request's: what is left of `budget_ms`, and the caller's own deadline.
    request: Instant,
}

impl Deadline {
    /// Of a source that may take that long from now, for a request that waits until then.
    pub(super) fn of(time: Duration, request: Option<Instant>) -> Self {
        let own = Instant::now() + time;
        Self { own, request: request.unwrap_or(own) }
    }

    pub(super) fn at(self) -> Instant {
        self.own.min(self.request)
    }

    /// A caller in a hurry, or an application with a small budget, is not the source's fault: others would pay for it.
    fn blames_source(self) -> bool {
        self.own <= self.request
    }
}

/// The longest pause before a retry; the pause is random, so that those who failed together do not return together.
const RETRY_PAUSE: Duration = Duration::from_millis(40);

/// Timers that are set for the same instant go off in any order, about as far apart at most.
const TIMER_SLACK: Duration = Duration::from_millis(5);

impl Source {
    /// An open source with its counters.
    #[must_use]
    pub fn new(
        (name, counts): (Arc<str>, SourceCounts),
        rules: Rules,
        asks_with: BTreeSet<String>,
        version: [u8; 32],
        plugin: Arc<dyn ClaimSource>,
    ) -> Self {
        let breaker = Breaker::new(rules.breaker_failures, rules.breaker_pause);
        let places = Semaphore::new(rules.concurrency.get());
        Self { name, rules, asks_with, version, counts, plugin, breaker, places }
    }

    /// Whether anything that it answers is kept.
    #[must_use]
    pub const fn keeps(&self) -> bool {
        !(self.rules.fresh.is_zero() && self.rules.stale.is_zero() && self.rules.absent.is_zero())
    }

    /// Asks the place, unless it is being left alone.
    pub(super) async fn call(&self, ask: Ask, deadline: Deadline) -> Result<Found, Failure> {
        if !self.breaker.admits(Instant::now()) {
            return Err(Failure::LeftAlone);
        }
        let outcome = self.try_call(ask, deadline).await;
        let failed = match &outcome {
            Ok(_) => Some(false),
            Err(Failure::Unavailable(_)) => Some(true),
            Err(Failure::TimedOut) => deadline.blames_source().then_some(true),
            // It answered; that the answer is no good says nothing of the next one.
            Err(Failure::Malformed(_) | Failure::Denied(_)) => Some(false),
            Err(Failure::LeftAlone | Failure::Crowded | Failure::Missing(_) | Failure::Unfit(..) | Failure::Bug) => {
                None
            }
        };
        if failed.is_some_and(|failed| self.breaker.note(failed, Instant::now())) {
            events::SourceLeftAlone { counts: &self.counts, source: &self.name, pause: self.rules.breaker_pause }
                .emit();
        }
        outcome
    }

    async fn try_call(&self, mut ask: Ask, deadline: Deadline) -> Result<Found, Failure> {
        let at = deadline.at();
        let place = timeout_at(at, self.places.acquire()).await;
        let _place = place.map_err(|_elapsed| Failure::Crowded)?.map_err(|_closed| Failure::Bug)?;
        let slack = TIMER_SLACK.min(self.rules.timeout / 10);
        let mut retries = self.rules.retries;
        loop {
            ask.time = at.saturating_duration_since(Instant::now());
            if ask.time <= slack {
                // What is sent now is given up before it can be answered.
                let sent = retries < self.rules.retries;
                return Err(if sent { Failure::TimedOut } else { Failure::Crowded });
            }
            let answer = timeout_at(at, self.plugin.claims(&ask)).await.map_err(|_elapsed| Failure::TimedOut)?;
            let again = Instant::now() + RETRY_PAUSE.mul_f64(fastrand::f64());
            match answer {
                Answer::Unavailable(_) if retries > 0 && again < at => {
                    retries -= 1;
                    sleep_until(again).await;
                }
                // A kind that keeps the deadline itself is as late as one that does not.
                Answer::Unavailable(_) if at <= Instant::now() + slack => return Err(Failure::TimedOut),
                Answer::Unavailable(why) => return Err(Failure::Unavailable(why)),
                Answer::Found { mut claims, fresh_for } => {
                    // What a source does not say it sets, it cannot set.
                    claims.retain(|claim, value| self.rules.sets.contains(claim) && !value.is_null());
                    return Ok(Found { claims: Some(claims), fresh_for });
                }
                Answer::NotFound => return Ok(Found { claims: None, fresh_for: None }),
                Answer::Denied(why) => return Err(Failure::Denied(why)),
                Answer::Malformed(why) => return Err(Failure::Malformed(why)),
                Answer::Missing(name) => return Err(Failure::Missing(name)),
                Answer::Unfit(name, why) => return Err(Failure::Unfit(name, why)),
            }
        }
    }
}
