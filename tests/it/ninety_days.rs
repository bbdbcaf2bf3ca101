//! Ninety days of a move, counted by the ledger in a real store: the report against the simulation's own counts. The whole
//! of it is `cargo run --release --example migration`; here a tenth of the subjects have to do.

#[path = "../../examples/migration/counted.rs"]
mod counted;
#[path = "../../examples/migration/simulation.rs"]
mod simulation;
#[path = "../../examples/migration/world.rs"]
#[expect(dead_code, reason = "the example has more shapes")]
mod world;

use std::collections::BTreeMap;

use countersign::ledger::{Credential, Outcome};
use countersign::report::{BlockerCode, Report};

use self::counted::Counted;
use self::simulation::{Morning, Truth, morning, run};
use self::world::{FORGOTTEN, Shape, World};

/// How far estimates of distinct subjects may be off.
const ESTIMATED: f64 = 0.02;
/// How many days the projection may be off.
const NEAR: i64 = 3;

fn small(seed: u64, shape: Shape) -> World {
    World { subjects: 100_000, ..World::of(seed, shape) }
}

/// The counts of the report, day by day, are those that were made.
fn is_exact(report: &Report, truth: &Truth) {
    for day in &report.days {
        for (credential, counts) in [(Credential::Hash, day.hash), (Credential::Jwt, day.jwt)] {
            let told = [counts.accepted, counts.refused, counts.invalid, counts.issued];
            let outcomes = [Outcome::Accepted, Outcome::Refused, Outcome::Invalid, Outcome::Issued];
            let made = outcomes.map(|outcome| *truth.counts.get(&(day.date, credential, outcome)).unwrap_or(&0));
            assert_eq!(told, made, "{} {credential:?}", day.date);
        }
    }
    let mut clients: BTreeMap<&str, u64> = BTreeMap::new();
    let in_window = |day: &time::Date| report.days.iter().any(|counted| counted.date == *day);
    for ((_, _, client), [hashes, _]) in truth.parts.iter().filter(|((day, ..), _)| in_window(day)) {
        *clients.entry(client).or_default() += hashes;
    }
    for usage in &report.clients {
        assert_eq!(usage.hashes, clients.get(usage.name.as_str()).copied().unwrap_or(0), "{}", usage.name);
    }
}

/// Estimates are near: of two hundred or more; of fewer by a few.
fn is_near(told: u64, exactly: u64) {
    let allowed = (ESTIMATED * exactly as f64).max(4.0);
    assert!(told.abs_diff(exactly) as f64 <= allowed, "{told} for {exactly}");
}

fn check(known: &Morning, report: &Report, truth: &Truth) {
    is_exact(report, truth);
    is_near(report.hash_subjects, known.distinct[0]);
    is_near(report.jwt_subjects, known.distinct[1]);
    if (10..18).contains(&known.day) {
        let named = report.clients.iter().find(|client| client.name == FORGOTTEN.1).expect("it is named");
        assert!(named.is_straggling() && named.jwts == 0, "{named:?}");
        assert!(!report.verdict.why_not_projected.is_empty(), "until it is withdrawn there is no date");
    }
    let blocked = report.verdict.blockers.iter().any(|blocker| blocker.code == BlockerCode::CountsLost);
    assert!(!blocked, "nothing was lost");
    let ready = truth.ready().is_some_and(|ready| ready <= morning(known.day));
    assert_eq!(report.verdict.ready, ready, "day {}: {:?}", known.day, report.verdict.blockers);
}

/// Every date that was told since half of the curve was seen is near the day on which it was ready; hardly a morning went
/// without one.
fn is_projected(mornings: &[Morning]) {
    let ready = mornings.iter().find(|morning| morning.ready).expect("it gets ready").day;
    let half = mornings.iter().find(|morning| morning.half).expect("half of it is seen").day;
    let mut silent = 0;
    for known in mornings.iter().filter(|known| half <= known.day && !known.ready) {
        match known.projected {
            Some(at) => {
                let off = (at - morning(ready)).whole_days();
                assert!(off.abs() <= NEAR, "day {}: off by {off}", known.day);
            }
            None => silent += 1,
        }
    }
    assert!(silent <= NEAR, "{silent} mornings without a date");
    assert!(mornings.iter().filter(|known| known.day < 18).all(|known| known.projected.is_none()));
}

#[tokio::test]
async fn the_report_on_a_move_of_ninety_days_is_exact_and_foresees_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let counted = Counted::by_ledger(&folder.path().join("migration.redb"), morning(0)).unwrap();
    let mornings = run(small(2, Shape::Normal(3.0)), counted, check).await.unwrap();
    is_projected(&mornings);
}

#[tokio::test]
async fn the_end_is_foreseen_in_other_worlds_too() {
    for (seed, shape) in [(3, Shape::Normal(4.0)), (4, Shape::Logistic(1.0))] {
        let counted = Counted::by_itself(morning(0));
        let mornings = run(small(seed, shape), counted, |_, report, truth| is_exact(report, truth)).await.unwrap();
        is_projected(&mornings);
    }
}

#[tokio::test]
async fn a_release_that_stays_keeps_everybody_from_a_date() {
    let world = World { withdrawn: world::DAYS, ..small(1, Shape::Normal(4.0)) };
    let mornings = run(world, Counted::by_itself(morning(0)), |known, report, _| {
        if known.day > 50 {
            assert_eq!(report.verdict.why_not_projected, "Not down by half: ios/2.9 of gateway.");
            let blocker = &report.verdict.blockers[0];
            assert!(blocker.code == BlockerCode::HashesSeen && blocker.message.contains(FORGOTTEN.1), "{blocker:?}");
        }
    });
    let mornings = mornings.await.unwrap();
    assert_eq!(mornings.len(), usize::from(world::DAYS));
    assert!(mornings.iter().all(|known| !known.ready && known.projected.is_none()));
}
