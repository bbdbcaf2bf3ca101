//! Who counts: the ledger in a real store, or plain tallies where only the report is looked at.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use countersign::ledger::{Cell, Evidence, Ledger, Seen, Tally};
use countersign::observe::Metrics;
use countersign::store::{Embedded, State};
use time::UtcDateTime;

use super::simulation::{APP, Event, WINDOW};

/// The key of each credential.
const KEY: &str = "key";
/// Events between two flushes: a server on which that many come in half a second would be a busy one.
const BETWEEN: u32 = 10_000;

/// Who counts.
pub enum Counted {
    ByLedger(Box<Ledger>, u32),
    ByItself(Box<Evidence>),
}

impl Counted {
    pub fn by_ledger(file: &Path, now: UtcDateTime) -> anyhow::Result<Self> {
        let store =
            Embedded::open(file, now, |_, until| until).map_err(|_away| anyhow!("the file cannot be opened"))?;
        Ok(Self::in_store(Arc::new(store), now))
    }

    pub fn in_store(store: Arc<dyn State>, now: UtcDateTime) -> Self {
        let ledger = Ledger::new([APP], store, Arc::new(Metrics::default()), now);
        Self::ByLedger(Box::new(ledger), 0)
    }

    pub fn by_itself(now: UtcDateTime) -> Self {
        Self::ByItself(Box::new(Evidence { since: Some(now), ..Evidence::default() }))
    }

    pub async fn saw(&mut self, event: &Event) -> anyhow::Result<()> {
        match self {
            Self::ByItself(evidence) => add(evidence, event),
            Self::ByLedger(ledger, waiting) => {
                let subject = event.subject.map(pseudonym);
                let seen = Seen {
                    credential: event.credential,
                    outcome: event.outcome,
                    caller: event.caller,
                    client: event.client,
                    key: if event.client.is_empty() { "" } else { KEY },
                    subjects: subject.as_slice(),
                    shadow: None,
                };
                ledger.saw(APP, &seen, event.at);
                *waiting += 1;
                if *waiting >= BETWEEN {
                    *waiting = 0;
                    ledger.flush(event.at).await.map_err(|_away| anyhow!("the store is away"))?;
                }
            }
        }
        Ok(())
    }

    pub async fn evidence(&mut self, now: UtcDateTime) -> anyhow::Result<Evidence> {
        match self {
            Self::ByItself(evidence) => Ok(evidence.as_ref().clone()),
            Self::ByLedger(ledger, _) => {
                // A server says twice a second that it lives.
                ledger.flush(now).await.map_err(|_away| anyhow!("the store is away"))?;
                let days = countersign::report::Days::back(WINDOW, now);
                let read = ledger.evidence(APP, days.first()..=days.last(), now).await;
                read.map_err(|_away| anyhow!("the store is away"))
            }
        }
    }
}

fn add(evidence: &mut Evidence, event: &Event) {
    let cell = Cell {
        day: event.at.date(),
        credential: event.credential,
        outcome: event.outcome,
        caller: event.caller.to_owned(),
        client: event.client.to_owned(),
        key: KEY.to_owned(),
        shadow: None,
    };
    evidence.cells.entry(cell).or_insert(Tally { count: 0, last: event.at }).count += 1;
}

/// As long and as even as a real one, and made in less time.
fn pseudonym(subject: u32) -> String {
    let mut rng = fastrand::Rng::with_seed(subject.into());
    format!("{:016x}{:016x}", rng.u64(..), rng.u64(..))
}
