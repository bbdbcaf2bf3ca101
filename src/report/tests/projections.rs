//! When it will be ready. The simulation (`tests/it/ninety_days.rs`) shows how near that comes; here are the edges.

use super::*;
use crate::acceptance::Window;

/// Adds a series whose share of hashes is `share` of the day, in 1,000 visits each day.
fn moving(evidence: &mut Evidence, who: (&str, &str), share: impl Fn(i64) -> f64) {
    for day in 0..28 {
        let hashes = rounded(share(day) * 1_000.0);
        see(evidence, cell(day, Credential::Hash, Outcome::Accepted, who), hashes);
        see(evidence, cell(day, Credential::Jwt, Outcome::Accepted, who), 1_000 - hashes);
    }
    evidence.cells.retain(|_, tally| tally.count > 0);
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of visits")]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

fn logistic(middle: f64) -> impl Fn(i64) -> f64 {
    move |day| 1.0 / (1.0 + ((day as f64 - middle) / 1.5).exp())
}

fn projected(evidence: &Evidence) -> Result<i64, String> {
    let verdict = report(evidence).verdict;
    let day = |at: UtcDateTime| (at - at_zero()).whole_days();
    verdict.projected_ready_at.map(day).ok_or(verdict.why_not_projected)
}

fn at_zero() -> UtcDateTime {
    at(0, 0)
}

#[test]
fn a_curve_is_followed_to_its_end() {
    let mut evidence = clean();
    moving(&mut evidence, IOS, logistic(22.0));
    // From day 33 on less than one of 1,000 visits in all is expected with a hash; then 28 clean days.
    let ready = projected(&evidence).unwrap();
    assert!((61..=63).contains(&ready), "{ready}");
}

#[test]
fn a_curve_that_is_not_half_done_says_nothing() {
    let mut evidence = clean();
    moving(&mut evidence, IOS, logistic(29.0));
    assert_eq!(projected(&evidence), Err("Not down by half: ios/3.2 of gateway.".to_owned()));
}

#[test]
fn a_curve_that_stopped_says_nothing() {
    let mut evidence = clean();
    moving(&mut evidence, IOS, |day| logistic(12.0)(day).max(0.02));
    assert_eq!(projected(&evidence), Err("Not falling along a curve: ios/3.2 of gateway.".to_owned()));
}

#[test]
fn a_curve_that_begins_after_a_trial_is_followed_from_its_beginning() {
    let mut evidence = clean();
    moving(&mut evidence, IOS, |day| if day < 12 { 0.95 } else { 0.95 * logistic(20.0)(day) });
    let ready = projected(&evidence).unwrap();
    assert!((59..=62).contains(&ready), "{ready}");
}

#[test]
fn one_client_that_does_not_move_keeps_all_from_a_date() {
    let mut evidence = clean();
    moving(&mut evidence, ("storefront", "web"), logistic(20.0));
    for day in 0..28 {
        see(&mut evidence, cell(day, Credential::Hash, Outcome::Accepted, ("gateway", "ios/2.9")), 40);
    }
    assert_eq!(projected(&evidence), Err("Not down by half: ios/2.9 of gateway.".to_owned()));
    // It is withdrawn. For three days that may be a pause.
    evidence.cells.retain(|cell, _| cell.client != "ios/2.9" || cell.day < date(25));
    assert!(projected(&evidence).is_ok());
    evidence.cells.retain(|cell, _| cell.client != "ios/2.9" || cell.day < date(20));
    assert!(projected(&evidence).is_ok());
}

#[test]
fn a_client_that_pauses_for_long_is_not_gone() {
    let mut evidence = clean();
    for day in [1, 7, 13, 19] {
        see(&mut evidence, cell(day, Credential::Hash, Outcome::Accepted, IOS), 3);
    }
    assert!(projected(&evidence).is_err());
    evidence.cells.retain(|cell, _| cell.credential == Credential::Jwt || cell.day < date(15));
    assert_eq!(projected(&evidence), Ok(13 + 29));
}

#[test]
fn an_old_release_that_dies_out_without_a_jwt_is_followed_by_its_numbers() {
    let mut evidence = clean();
    for day in 0..28 {
        let hashes = rounded(2_000.0 * (-day as f64 / 3.0).exp());
        see(&mut evidence, cell(day, Credential::Hash, Outcome::Accepted, IOS), hashes);
    }
    evidence.cells.retain(|_, tally| tally.count > 0);
    let ready = projected(&evidence).unwrap();
    assert!((53..=57).contains(&ready), "{ready}");
}

#[test]
fn brownouts_are_no_part_of_a_curve() {
    let mut evidence = clean();
    moving(&mut evidence, IOS, logistic(20.0));
    let before = projected(&evidence).unwrap();
    see(&mut evidence, cell(21, Credential::Hash, Outcome::Refused, IOS), 5_000);
    let brownouts = vec![Window { from: at(21, 10), until: at(21, 11) }];
    let policy = Acceptance { brownouts, ..Acceptance::default() };
    let verdict = Report::of(&evidence, &inquiry(&policy)).verdict;
    let after = (verdict.projected_ready_at.expect("the rest is the same") - at_zero()).whole_days();
    assert!((after - before).abs() <= 1, "{before} and {after}");
}

#[test]
fn the_end_of_making_hashes_is_known_from_the_policy() {
    let mut evidence = clean();
    for day in 0..28 {
        see(&mut evidence, cell(day, Credential::Hash, Outcome::Issued, WEB), 300);
    }
    let over = |issue_hash_until| {
        let policy = Acceptance { issue_hash_until, ..Acceptance::default() };
        Report::of(&evidence, &inquiry(&policy)).verdict
    };
    assert_eq!(over(None).why_not_projected, "Not down by half: web of billing.");
    assert_eq!(over(Some(at(40, 12))).projected_ready_at, Some(at(41 + 28, 0)));
    assert_eq!(over(Some(at(40, 0))).projected_ready_at, Some(at(40 + 28, 0)));
    assert_eq!(over(Some(at(28, 0))).projected_ready_at, Some(at(28 + 28, 0)));
}

#[test]
fn gaps_thin_days_and_a_late_start_have_to_leave_the_window() {
    let mut evidence = clean();
    evidence.gaps = vec![Gap { from: at(3, 1), until: at(4, 2), lost: None }];
    assert_eq!(projected(&evidence), Ok(5 + 28));
    evidence.since = Some(at(6, 5));
    assert_eq!(projected(&evidence), Ok(7 + 28));
    evidence.cells.remove(&cell(11, Credential::Jwt, Outcome::Accepted, WEB));
    assert_eq!(projected(&evidence), Ok(12 + 28));
    evidence.since = Some(at(27, 1));
    assert_eq!(projected(&evidence), Err("No complete day is counted yet.".to_owned()));
    evidence.since = Some(at(6, 5));
    evidence.cells.remove(&cell(27, Credential::Jwt, Outcome::Accepted, WEB));
    assert_eq!(projected(&evidence), Err("Too few JWTs come.".to_owned()));
}
