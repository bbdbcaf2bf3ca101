//! What reports say, by example; the laws that they keep are in `laws.rs`, projections in `projections.rs`.

mod laws;
mod projections;

use time::{Date, Duration, Month, UtcDateTime};

use super::*;
use crate::acceptance::Exception;
use crate::ledger::{Cell, Tally};

pub(super) const WINDOW: u16 = 29;

/// Day 0 is the first of the window, day 28 the present one.
pub(super) fn date(day: i64) -> Date {
    Date::from_calendar_date(2026, Month::May, 4).unwrap() + Duration::days(day)
}

pub(super) fn at(day: i64, hour: i64) -> UtcDateTime {
    days::start(date(day)) + Duration::hours(hour)
}

pub(super) fn cell(day: i64, credential: Credential, outcome: Outcome, who: (&str, &str)) -> Cell {
    let key = if outcome == Outcome::Invalid { "" } else { "iv" };
    let (caller, client, key) = (who.0.to_owned(), who.1.to_owned(), key.to_owned());
    Cell { day: date(day), credential, outcome, caller, client, key, shadow: None }
}

pub(super) const IOS: (&str, &str) = ("gateway", "ios/3.2");
pub(super) const WEB: (&str, &str) = ("billing", "web");

/// Counted for long, with JWTs on each day and no hash at all.
pub(super) fn clean() -> Evidence {
    let mut evidence = Evidence { since: Some(at(-100, 0)), ..Evidence::default() };
    for day in -5..29 {
        see(&mut evidence, cell(day, Credential::Jwt, Outcome::Accepted, WEB), 50);
    }
    evidence
}

pub(super) fn see(evidence: &mut Evidence, cell: Cell, count: u64) {
    let last = days::start(cell.day) + Duration::hours(12);
    evidence.cells.entry(cell).or_insert(Tally { count: 0, last }).count += count;
}

pub(super) fn inquiry(policy: &Acceptance) -> Inquiry<'_> {
    let now = at(28, 9);
    let days = Days::back(WINDOW, now);
    Inquiry { application: "acme/feedback", policy, days, min_daily: 1, file_changed: false, now }
}

pub(super) fn report(evidence: &Evidence) -> Report {
    Report::of(evidence, &inquiry(&Acceptance::default()))
}

fn blockers(report: &Report) -> Vec<BlockerCode> {
    report.verdict.blockers.iter().map(|blocker| blocker.code).collect()
}

#[test]
fn a_clean_window_is_ready() {
    let report = report(&clean());
    assert!(report.verdict.ready, "{:?}", report.verdict);
    assert_eq!(report.verdict.projected_ready_at, None);
    assert_eq!(report.days.len(), 29);
    assert_eq!((report.days[0].date, report.days[28].date), (date(0), date(28)));
    assert_eq!(report.days[3].jwt, Counts { accepted: 50, ..Counts::default() });
}

#[test]
fn a_window_has_as_many_days_as_are_asked_for_within_bounds() {
    for (asked, count) in [(0, 1), (1, 1), (28, 28), (366, 366), (367, 366)] {
        assert_eq!(Days::back(asked, at(0, 0)).iter().count(), count, "{asked}");
    }
}

#[test]
fn a_hash_blocks_and_is_named_with_its_numbers() {
    let mut evidence = clean();
    see(&mut evidence, cell(2, Credential::Hash, Outcome::Accepted, WEB), 14);
    see(&mut evidence, cell(5, Credential::Hash, Outcome::Accepted, IOS), 1_000);
    see(&mut evidence, cell(9, Credential::Hash, Outcome::Refused, IOS), 190);
    see(&mut evidence, cell(4, Credential::Hash, Outcome::Accepted, ("backend", "")), 1);
    let report = report(&evidence);
    let wanted = "1,205 genuine hashes came, the last on 2026-05-13: \
        ios/3.2 of gateway (1,190), web of billing (14), backend without a label (1).";
    assert_eq!(report.verdict.blockers[0].message, wanted);
    assert_eq!(blockers(&report), [BlockerCode::HashesSeen]);
    assert_eq!(report.clients[0].name, "ios/3.2");
    assert_eq!((report.clients[0].hashes, report.clients[0].last_hash), (1_190, Some(at(9, 12))));
    assert!(report.clients.iter().find(|client| client.name == "web").unwrap().is_straggling());
}

#[test]
fn what_was_made_blocks_too() {
    let mut evidence = clean();
    see(&mut evidence, cell(3, Credential::Hash, Outcome::Issued, WEB), 1);
    let report = report(&evidence);
    assert_eq!(blockers(&report), [BlockerCode::HashesIssued]);
    assert_eq!(report.verdict.blockers[0].message, "1 hash was made, the last on 2026-05-07: web of billing (1).");
    assert_eq!(report.keys[0].hashes_issued, 1);
}

#[test]
fn today_is_shown_and_not_judged() {
    let mut evidence = clean();
    see(&mut evidence, cell(28, Credential::Hash, Outcome::Accepted, IOS), 7);
    let report = report(&evidence);
    assert!(report.verdict.ready);
    assert_eq!(report.days[28].hash.accepted, 7);
    assert_eq!(report.callers[0].hashes, 7);
}

#[test]
fn too_few_jwts_block_and_none_is_judged_before_counting_began() {
    let mut evidence = clean();
    evidence.cells.retain(|cell, _| cell.day != date(6) && cell.day != date(8));
    let lacking = report(&evidence);
    assert_eq!(blockers(&lacking), [BlockerCode::TooFewJwts]);
    let message = "On 2 of 28 days fewer than 1 JWTs were accepted, the last time on 2026-05-12.";
    assert_eq!(lacking.verdict.blockers[0].message, message);

    evidence.since = Some(at(8, 1));
    let young = report(&evidence);
    assert_eq!(blockers(&young), [BlockerCode::WindowIncomplete]);
    let message = "19 of 28 complete days are counted: counting began on 2026-05-12.";
    assert_eq!(young.verdict.blockers[0].message, message);
}

#[test]
fn nothing_known_is_never_ready() {
    let never = report(&Evidence::default());
    assert_eq!(blockers(&never), [BlockerCode::WindowIncomplete]);
    assert_eq!(never.verdict.blockers[0].message, "Counting has not begun.");
    let policy = Acceptance::default();
    let today = Inquiry { days: Days::back(1, at(28, 9)), ..inquiry(&policy) };
    let today = Report::of(&clean(), &today);
    assert_eq!(blockers(&today), [BlockerCode::WindowIncomplete]);
    assert_eq!(today.days.len(), 1);
}

#[test]
fn what_is_lost_blocks_for_as_long_as_it_is_in_the_window() {
    let mut evidence = clean();
    evidence.gaps = vec![
        Gap { from: at(-3, 0), until: at(-1, 5), lost: None },
        Gap { from: at(3, 23), until: at(4, 1), lost: Some(12) },
    ];
    let lossy = report(&evidence);
    assert_eq!(blockers(&lossy), [BlockerCode::CountsLost]);
    let message = "On 2 of 28 days not everything was counted, the last time on 2026-05-08: 12 counts are lost.";
    assert_eq!(lossy.verdict.blockers[0].message, message);
    assert_eq!(lossy.gaps.len(), 1);

    evidence.gaps.push(Gap { from: at(10, 0), until: at(10, 1), lost: None });
    assert!(report(&evidence).verdict.blockers[0].message.ends_with("how many counts are lost, nobody can say."));
    evidence.gaps = vec![Gap { from: at(28, 1), until: at(28, 2), lost: None }];
    assert!(report(&evidence).verdict.ready, "today is not judged");
}

#[test]
fn a_file_that_changed_blocks_until_somebody_decides() {
    let policy = Acceptance::default();
    let changed = Report::of(&clean(), &Inquiry { file_changed: true, ..inquiry(&policy) });
    assert_eq!(blockers(&changed), [BlockerCode::FileChanged]);
    assert_eq!(changed.verdict.projected_ready_at, None);
    assert_eq!(changed.verdict.why_not_projected, "Somebody has to decide which policy holds.");
}

#[test]
fn the_shadow_is_counted_by_reason() {
    let mut evidence = clean();
    for (reason, count) in [(Reason::HashNoLongerAccepted, 5), (Reason::HashRolledOut, 2)] {
        let cell = Cell { shadow: Some(reason), ..cell(7, Credential::Hash, Outcome::Accepted, IOS) };
        see(&mut evidence, cell, count);
    }
    let shadow = report(&evidence).shadow;
    assert_eq!(shadow, BTreeMap::from([(Reason::HashNoLongerAccepted, 5), (Reason::HashRolledOut, 2)]));
}

#[test]
fn at_most_a_hundred_usages_are_told_and_the_greatest_are_among_them() {
    let mut evidence = clean();
    for client in 0..=100_u64 {
        see(
            &mut evidence,
            cell(7, Credential::Hash, Outcome::Accepted, ("gateway", &format!("ios/{client}"))),
            client + 1,
        );
    }
    let clients = report(&evidence).clients;
    assert_eq!((clients.len(), clients[0].hashes, clients[99].hashes), (100, 101, 2));
}

#[test]
fn a_rehearsal_says_whom_an_end_would_refuse() {
    let mut evidence = clean();
    see(&mut evidence, cell(2, Credential::Hash, Outcome::Accepted, WEB), 14);
    see(&mut evidence, cell(9, Credential::Hash, Outcome::Refused, IOS), 190);
    evidence.distinct.hash = 100;
    evidence.distinct.pairs =
        BTreeMap::from([((WEB.0.to_owned(), WEB.1.to_owned()), 9), ((IOS.0.to_owned(), IOS.1.to_owned()), 95)]);
    let exception = Exception { client: Some("ios".to_owned()), caller: None, hash_until: at(90, 0) };
    let policy = Acceptance {
        hash_until: Some(at(200, 0)),
        issue_hash_until: Some(at(50, 0)),
        exceptions: vec![exception],
        ..Acceptance::default()
    };
    let days = Days::back(WINDOW, at(28, 9));
    let rehearsal = Rehearsal::of(&evidence, &policy, days, at(40, 0));
    let told: Vec<_> =
        rehearsal.rehearsed.iter().map(|pair| (pair.client.as_str(), pair.hashes, pair.hash_until)).collect();
    assert_eq!(told, [("ios/3.2", 190, at(90, 0)), ("web", 14, at(40, 0))]);
    assert_eq!((rehearsal.refused, rehearsal.refused_subjects), (14, 9));
    assert_eq!(rehearsal.issued_until, Some(at(50, 0)));

    let all = Rehearsal::of(&evidence, &Acceptance::default(), days, at(40, 0));
    assert_eq!((all.refused, all.refused_subjects, all.issued_until), (204, 100, None));
}

#[test]
fn a_rehearsal_says_what_of_the_window_is_not_known() {
    let unknown = |evidence: &Evidence| {
        let days = Days::back(WINDOW, at(28, 9));
        let unknown = Rehearsal::of(evidence, &Acceptance::default(), days, at(40, 0)).unknown;
        unknown.into_iter().map(|blocker| blocker.code).collect::<Vec<_>>()
    };
    assert_eq!(unknown(&clean()), []);
    let gap = Gap { from: at(3, 1), until: at(3, 2), lost: None };
    let young = Evidence { since: Some(at(1, 0)), gaps: vec![gap], ..clean() };
    assert_eq!(unknown(&young), [BlockerCode::CountsLost, BlockerCode::WindowIncomplete]);
}
