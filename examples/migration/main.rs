//! `cargo run --release --example migration [SEEDS]`: ninety days of a million subjects, counted by the real ledger in a
//! real store, and how far the projection was off. `docs/migrating.md` shows what it prints.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]
#![allow(missing_docs, dead_code, unreachable_pub, reason = "the test of the same simulation uses more of it")]

mod counted;
mod simulation;
mod world;

use countersign::report::Report;
use time::UtcDateTime;

use self::counted::Counted;
use self::simulation::{Morning, morning, run};
use self::world::{Shape, World};

const WORLDS: [(&str, Shape); 6] = [
    ("normal, deviation of 3 days", Shape::Normal(3.0)),
    ("normal, deviation of 4 days", Shape::Normal(4.0)),
    ("normal, deviation of 5 days", Shape::Normal(5.0)),
    ("logistic, scale of 1 day", Shape::Logistic(1.0)),
    ("logistic, scale of 1.5 days", Shape::Logistic(1.5)),
    ("as many each day, for 20 days", Shape::Straight(20.0)),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let seeds = std::env::args().nth(1).map_or(Ok(5), |seeds| seeds.parse())?;
    let folder = tempfile::tempdir()?;
    let counted = Counted::by_ledger(&folder.path().join("migration.redb"), morning(0))?;
    println!("A normal curve with a deviation of 4 days, counted by the ledger in an embedded store\n");
    println!("{:>3}  {:>9}  {:>9}  {:>9}  {:>9}  verdict", "day", "hashes", "JWTs", "subjects", "exactly");
    let mornings = run(World::of(1, Shape::Normal(4.0)), counted, |morning, report, _| {
        if morning.day % 6 == 0 || report.verdict.ready {
            tell(morning, report);
        }
    });
    errors(&mornings.await?);
    println!("\nError of the projection in days, on each morning from that on which half of the curve is seen");
    for (name, shape) in WORLDS {
        let mut all = Vec::new();
        for seed in 1..=seeds {
            all.push(run(World::of(seed, shape), Counted::by_itself(morning(0)), |_, _, _| ()).await?);
        }
        println!("\n{name}");
        all.iter().for_each(|mornings| errors(mornings));
    }
    Ok(())
}

fn tell(morning: &Morning, report: &Report) {
    let yesterday = report.days.iter().rev().nth(1);
    let (hashes, jwts) = yesterday.map_or((0, 0), |day| (day.hash.genuine(), day.jwt.genuine()));
    let verdict = match (&report.verdict.projected_ready_at, report.verdict.ready) {
        (_, true) => "ready".to_owned(),
        (Some(at), _) => format!("ready on day {}", (*at - self::morning(0)).whole_days()),
        (None, _) => report.verdict.why_not_projected.clone(),
    };
    let (day, subjects, exactly) = (morning.day, report.hash_subjects, morning.distinct[0]);
    println!("{day:>3}  {hashes:>9}  {jwts:>9}  {subjects:>9}  {exactly:>9}  {verdict}");
}

/// One line for a world: how far off the projection was.
fn errors(mornings: &[Morning]) {
    let Some(ready) = mornings.iter().find(|morning| morning.ready).map(|morning| self::morning(morning.day)) else {
        println!("  not ready within 90 days");
        return;
    };
    let off = |at: UtcDateTime| (at - ready).whole_days();
    let half = mornings.iter().find(|morning| morning.half).map_or(0, |morning| morning.day);
    let after: Vec<&Morning> = mornings.iter().filter(|morning| half <= morning.day && !morning.ready).collect();
    let errors: Vec<i64> = after.iter().filter_map(|morning| morning.projected.map(off)).collect();
    let (least, most) = (errors.iter().min().unwrap_or(&0), errors.iter().max().unwrap_or(&0));
    let (near, silent) = (errors.iter().filter(|error| error.abs() <= 3).count(), after.len() - errors.len());
    println!(
        "  half seen on day {half}, ready on day {}: off by {least} to {most} days; within 3 days on {near} of {} \
         mornings, none on {silent}",
        (ready - morning(0)).whole_days(),
        errors.len(),
    );
}
