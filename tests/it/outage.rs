//! The Redis hangs for ten seconds under load. What does not need it goes on without an error, what does is refused with a
//! hint when to come back, and it all recovers by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::grpc::proto::{self, verify_response};
use countersign_test_services::Redis;
use serde_json::json;
use tokio::task::JoinSet;
use tonic_types::StatusExt as _;

use crate::harness::*;
use crate::revoking::{to_revoke, user_id};
use crate::store_down;

/// For how long it hangs.
const OUTAGE: Duration = Duration::from_secs(10);
/// How many answers of each kind are wanted before it hangs, while it does, and after it.
const ENOUGH: usize = 10;
/// How often it is looked whether there are as many, and the pause in between.
const TRIES: (usize, Duration) = (1_200, Duration::from_millis(50));

/// Before the outage, while it lasts, after it.
const PHASES: usize = 3;

/// What is asked, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Jwt,
    Hash,
    OneTime,
    Ratchet,
    Revoke,
}

const ALL: [Asked; 5] = [Asked::Jwt, Asked::Hash, Asked::OneTime, Asked::Ratchet, Asked::Revoke];

impl Asked {
    fn needs_the_store(self) -> bool {
        !matches!(self, Self::Jwt | Self::Hash)
    }
}

/// How many were answered well and with UNAVAILABLE, by kind and phase. What spans two phases counts in neither.
#[derive(Default)]
struct Counts {
    phase: AtomicUsize,
    answers: Mutex<BTreeMap<(Asked, usize), [usize; 2]>>,
}

impl Counts {
    fn note(&self, asked: Asked, began_in: usize, unavailable: bool) {
        if self.phase.load(Ordering::SeqCst) == began_in {
            self.answers.lock().unwrap().entry((asked, began_in)).or_default()[usize::from(unavailable)] += 1;
        }
    }

    fn of(&self, asked: Asked, phase: usize) -> [usize; 2] {
        self.answers.lock().unwrap().get(&(asked, phase)).copied().unwrap_or_default()
    }

    /// Returns when every kind was answered well often enough in this phase.
    async fn until_all_is_well(&self, phase: usize) {
        for _ in 0..TRIES.0 {
            if ALL.iter().all(|asked| self.of(*asked, phase)[0] >= ENOUGH) {
                return;
            }
            tokio::time::sleep(TRIES.1).await;
        }
        panic!("not everything is answered: {:?}", self.answers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_for_ten_seconds_costs_only_what_needs_it() {
    let redis = Redis::start();
    let server = store_down::setup(&redis.url(), "").start().await;
    server.until_serving().await;
    let counts = Arc::new(Counts::default());
    let mut workers = JoinSet::new();
    for asked in ALL {
        workers.spawn(work(asked, server.client.clone(), Arc::clone(&counts)));
    }
    counts.until_all_is_well(0).await;
    redis.pause();
    counts.phase.store(1, Ordering::SeqCst);
    tokio::time::sleep(OUTAGE).await;
    counts.phase.store(2, Ordering::SeqCst);
    redis.resume();
    counts.until_all_is_well(2).await;
    workers.abort_all();

    for (asked, phase) in ALL.iter().flat_map(|asked| (0..PHASES).map(|phase| (*asked, phase))) {
        let [well, unavailable] = counts.of(asked, phase);
        if phase == 1 && asked.needs_the_store() {
            assert!(well == 0 && unavailable > 0, "{asked:?} while it hangs: {well} and {unavailable}");
        } else {
            assert!(well >= ENOUGH, "{asked:?} in phase {phase}: {well}");
            // It wakes before the first answer comes.
            assert!(unavailable == 0 || phase == 2 && asked.needs_the_store(), "{asked:?} in phase {phase}");
        }
    }
}

/// Asks for one kind again and again. Each answer is a good one, or says when to come back.
async fn work(asked: Asked, mut client: Client, counts: Arc<Counts>) {
    for turn in 0_usize.. {
        let phase = counts.phase.load(Ordering::SeqCst);
        let id = format!("{asked:?}-{turn}");
        let request = match asked {
            Asked::Jwt => verify_jwt(token(json!({"userId": id}))),
            Asked::Hash => verify_hash(&id, user_hash(&id, IV_SECRET)),
            Asked::OneTime => store_down::jwt("once", &id, NOW),
            Asked::Ratchet => store_down::hash("firm", &id),
            Asked::Revoke => {
                let revoked = client.revoke(from_billing(to_revoke(user_id(&id)))).await;
                counts.note(asked, phase, revoked.is_err_and(|status| comes_back(&status)));
                continue;
            }
        };
        let judged = client.verify(from_billing(request)).await;
        let unavailable = judged.map_or_else(|status| comes_back(&status), |answer| is_refused(&answer.into_inner()));
        counts.note(asked, phase, unavailable);
    }
}

/// That nothing good is refused.
fn is_refused(answer: &proto::VerifyResponse) -> bool {
    assert!(matches!(answer.outcome, Some(verify_response::Outcome::Accepted(_))), "{answer:?}");
    false
}

fn comes_back(status: &tonic::Status) -> bool {
    assert_eq!(error(status).1, "STORE_UNAVAILABLE");
    assert!(status.get_error_details().retry_info().is_some());
    true
}
