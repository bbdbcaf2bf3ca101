//! The law of the ledger: whatever fails on the way, what the store has and what is told to be lost is what was seen.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;
use time::{Date, UtcDateTime};

use super::outbox::Say;
use super::*;
use crate::observe::Metrics;
use crate::store::{Away, Counting};

const APPLICATION: &str = "demo";

fn at(seconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(seconds).unwrap()
}

/// What becomes of the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    IsLost,
    AnswerIsLost,
}

/// What a store has.
#[derive(Clone, Debug, Default)]
struct Had {
    mark: Option<Mark>,
    cells: BTreeMap<Cell, Tally>,
    subjects: BTreeMap<String, UtcDateTime>,
    gaps: BTreeMap<String, Gap>,
}

/// A store that fails as it is told, and forgets what it had last.
#[derive(Debug)]
struct Flaky {
    /// As it was after each batch.
    states: Mutex<Vec<Had>>,
    fate: Mutex<Fate>,
    /// When the server said that it lives, and whether it said that it ends.
    beats: Mutex<Vec<(UtcDateTime, bool)>>,
}

impl Default for Flaky {
    fn default() -> Self {
        Self { states: Mutex::new(vec![Had::default()]), fate: Mutex::new(Fate::Arrives), beats: Mutex::default() }
    }
}

impl Flaky {
    fn now(&self) -> Had {
        self.states.lock().unwrap().last().unwrap().clone()
    }

    /// As after a failover to a replica that is so many batches behind.
    fn forget(&self, batches: usize) {
        let mut states = self.states.lock().unwrap();
        let left = states.len().saturating_sub(batches).max(1);
        states.truncate(left);
    }

    fn counted(&self) -> u64 {
        self.now().cells.values().map(|tally| tally.count).sum()
    }

    fn lost(&self) -> u64 {
        self.now().gaps.values().map(|gap| gap.lost.unwrap()).sum()
    }
}

#[async_trait]
impl Counting for Flaky {
    async fn add(&self, batch: &Arc<Batch>) -> Result<Added, Away> {
        let fate = *self.fate.lock().unwrap();
        let mut had = self.now();
        let number = had.mark.map_or(0, |mark| mark.number);
        if fate == Fate::IsLost {
            return Err(Away);
        }
        if batch.application == EVERY_APPLICATION {
            self.beats.lock().unwrap().push((batch.at, batch.ended));
            return if fate == Fate::AnswerIsLost { Err(Away) } else { Ok(Added::Kept) };
        }
        if number < batch.number {
            if number != batch.after {
                return Ok(Added::Behind(had.mark));
            }
            had.mark = Some(Mark { number: batch.number, at: batch.at, total: batch.total });
            had.gaps.extend(batch.gaps.clone());
            for (series, counts) in &batch.series {
                for ((outcome, shadow), tally) in &counts.tallies {
                    let Series { day, credential, caller, client, key } = series.clone();
                    let cell = Cell { day, credential, outcome: *outcome, caller, client, key, shadow: *shadow };
                    had.cells.entry(cell).and_modify(|known| *known = known.and(*tally)).or_insert(*tally);
                }
                had.subjects.extend(counts.subjects.iter().map(|(name, presence)| (name.clone(), presence.last)));
            }
            self.states.lock().unwrap().push(had);
        }
        if fate == Fate::AnswerIsLost { Err(Away) } else { Ok(Added::Kept) }
    }

    async fn evidence(&self, _: &str, _: RangeInclusive<Date>, _: UtcDateTime) -> Result<Evidence, Away> {
        Err(Away)
    }

    async fn stragglers(&self, _: &str, _: UtcDateTime, _: usize) -> Result<Vec<Sighting>, Away> {
        Err(Away)
    }

    async fn sightings(&self, _: &str, _: &[String]) -> Result<Vec<Sighting>, Away> {
        Err(Away)
    }
}

fn ledger(store: &Arc<Flaky>, now: UtcDateTime) -> Ledger {
    Ledger::new([APPLICATION], Arc::<Flaky>::clone(store), Arc::new(Metrics::default()), now)
}

fn saw(ledger: &Ledger, client: &str, subject: &str, now: UtcDateTime) {
    let (credential, outcome) = (Credential::Hash, Outcome::Accepted);
    let subjects = &[subject.to_owned()];
    let seen = Seen { credential, outcome, caller: "billing", client, key: "iv", subjects, shadow: None };
    ledger.saw(APPLICATION, &seen, now);
}

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    Seen(u8),
    Told(Fate),
    Forgot(usize),
    Passed(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![Just(Fate::Arrives), Just(Fate::IsLost), Just(Fate::AnswerIsLost)];
    prop_oneof![
        4 => any::<u8>().prop_map(Step::Seen),
        4 => fate.prop_map(Step::Told),
        1 => (1_usize..60).prop_map(Step::Forgot),
        2 => (0_i64..8).prop_map(Step::Passed),
    ]
}

proptest! {
    #[test]
    fn what_is_kept_and_what_is_told_to_be_lost_is_what_was_seen(steps in prop::collection::vec(step(), 0..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (store, mut now, mut seen) = (Arc::new(Flaky::default()), 1_000, 0);
        let ledger = ledger(&store, at(now));
        for step in steps {
            match step {
                Step::Seen(what) => {
                    seen += 1;
                    saw(&ledger, &format!("ios/{}", what % 3), &what.to_string(), at(now));
                }
                Step::Told(fate) => {
                    *store.fate.lock().unwrap() = fate;
                    let told = runtime.block_on(ledger.flush(at(now)));
                    prop_assert!(told.is_ok() || fate != Fate::Arrives);
                    if fate == Fate::Arrives {
                        prop_assert_eq!(store.counted() + store.lost(), seen);
                    }
                }
                Step::Forgot(batches) => store.forget(batches),
                Step::Passed(seconds) => now += seconds,
            }
        }
        *store.fate.lock().unwrap() = Fate::Arrives;
        runtime.block_on(ledger.end(at(now + 10))).unwrap();
        prop_assert_eq!(store.counted() + store.lost(), seen);
    }
}

#[tokio::test]
async fn what_the_store_forgot_of_the_last_seconds_is_told_again() {
    let store = Arc::new(Flaky::default());
    let ledger = ledger(&store, at(0));
    for second in 0..10 {
        saw(&ledger, "ios", &second.to_string(), at(second));
        ledger.flush(at(second)).await.unwrap();
    }
    store.forget(8);
    assert_eq!(store.counted(), 2);
    ledger.flush(at(12)).await.unwrap();
    assert_eq!((store.counted(), store.now().subjects.len(), store.lost()), (10, 10, 0));
}

#[tokio::test]
async fn what_it_forgot_of_before_is_a_gap_of_known_size() {
    let store = Arc::new(Flaky::default());
    let ledger = ledger(&store, at(0));
    for second in 0..100 {
        saw(&ledger, "ios", "ada", at(second));
        ledger.flush(at(second)).await.unwrap();
    }
    store.forget(50);
    ledger.flush(at(102)).await.unwrap();
    let gaps: Vec<_> = store.now().gaps.into_values().collect();
    assert_eq!(gaps, [Gap { from: at(49), until: at(88), lost: Some(39) }]);
    assert_eq!(store.counted(), 61);
}

#[tokio::test]
async fn a_silent_ledger_says_now_and_then_that_it_lives_and_at_the_end_that_it_ends() {
    let store = Arc::new(Flaky::default());
    let ledger = ledger(&store, at(0));
    let batches = || store.states.lock().unwrap().len() - 1;
    let beats = || std::mem::take(&mut *store.beats.lock().unwrap());
    for second in [0, 1, 2, 3, 4] {
        ledger.tell(at(second), Say::IfAnything).await.unwrap();
    }
    assert_eq!(beats(), [(at(0), false), (at(2), false), (at(4), false)]);
    assert_eq!(batches(), 3, "an application is spoken of for a while");
    for second in 5..60 {
        ledger.tell(at(second), Say::IfAnything).await.unwrap();
    }
    assert_eq!((beats().len(), batches()), (27, 6), "and then not any more");
    saw(&ledger, "ios", "ada", at(60));
    *store.fate.lock().unwrap() = Fate::IsLost;
    ledger.tell(at(60), Say::IfAnything).await.unwrap_err();
    *store.fate.lock().unwrap() = Fate::Arrives;
    assert_eq!(beats(), [], "who could not tell what it counted does not say that it has");
    ledger.end(at(61)).await.unwrap();
    assert_eq!((beats(), store.counted()), (vec![(at(61), true)], 1));
}

#[tokio::test]
async fn labels_and_subjects_without_number_fill_no_memory_and_lose_no_count() {
    let store = Arc::new(Flaky::default());
    let ledger = ledger(&store, at(0));
    let many = 200_000_u64;
    for number in 0..many {
        // The first character says which shard it is.
        let shard = char::from(b'A' + u8::try_from(number % 16).unwrap());
        saw(&ledger, &format!("ios/{number}"), &format!("{shard}{number}"), at(0));
    }
    let pending = ledger.pending();
    assert!(pending <= 16 * (1_024 + 8_192), "{pending}");
    ledger.flush(at(1)).await.unwrap();
    let had = store.now();
    assert_eq!((store.counted(), store.lost()), (many, 0));
    let overflow: u64 =
        had.cells.iter().filter(|(cell, _)| cell.client == OVERFLOW).map(|(_, tally)| tally.count).sum();
    assert_eq!(overflow, many - 16 * 512);
    // Batches are small, and none of them claims to be complete before the last.
    let states = store.states.lock().unwrap();
    assert!(states.len() > 2);
    assert!(states.iter().rev().skip(1).filter_map(|had| had.mark).all(|mark| mark.at == at(0)));
}

#[tokio::test]
async fn callers_without_number_are_lost_and_that_is_told() {
    let store = Arc::new(Flaky::default());
    let ledger = ledger(&store, at(0));
    for number in 0..100_000_u64 {
        let (credential, outcome) = (Credential::Jwt, Outcome::Invalid);
        let caller = &number.to_string();
        let seen = Seen { credential, outcome, caller, client: "x", key: "x", subjects: &[], shadow: None };
        ledger.saw(APPLICATION, &seen, at(0));
    }
    ledger.flush(at(1)).await.unwrap();
    assert_eq!((store.counted(), store.lost()), (16 * 1_024, 100_000 - 16 * 1_024));
    assert!(store.now().cells.keys().all(|cell| cell.client.is_empty() && cell.key.is_empty()));
}
