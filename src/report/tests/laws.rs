//! The laws of reports, over arbitrary evidence.

use proptest::prelude::*;

use super::*;

/// What came: mostly in the window, and of few callers, so that things meet.
fn cells() -> impl Strategy<Value = Vec<(Cell, u64)>> {
    let credential = prop_oneof![Just(Credential::Hash), Just(Credential::Jwt)];
    let outcome =
        prop_oneof![Just(Outcome::Accepted), Just(Outcome::Refused), Just(Outcome::Invalid), Just(Outcome::Issued)];
    let who = prop_oneof![Just(WEB), Just(IOS), Just(("backend", ""))];
    let one = (-3_i64..29, credential, outcome, who, 1_u64..500)
        .prop_map(|(day, credential, outcome, who, count)| (cell(day, credential, outcome, who), count));
    proptest::collection::vec(one, 0..60)
}

fn gaps() -> impl Strategy<Value = Vec<Gap>> {
    let gap = (-5_i64..28, 0_i64..3, proptest::option::of(0_u64..9));
    let gap = gap.prop_map(|(day, length, lost)| Gap { from: at(day, 3), until: at(day + length, 4), lost });
    proptest::collection::vec(gap, 0..2)
}

fn evidence() -> impl Strategy<Value = Evidence> {
    // Half of them are nearly clean: else hardly one would be ready.
    (any::<bool>(), cells(), gaps(), -40_i64..20).prop_map(|(nearly, mut cells, gaps, since)| {
        let mut evidence = clean();
        if nearly {
            cells.truncate(2);
        } else {
            evidence.since = Some(at(since, 0));
            evidence.gaps = gaps;
        }
        for (cell, count) in cells {
            see(&mut evidence, cell, count);
        }
        evidence
    })
}

fn is_hash(cell: &Cell) -> bool {
    cell.credential == Credential::Hash && cell.outcome != Outcome::Invalid
}

proptest! {
    #[test]
    fn taking_a_hash_away_never_makes_ready_into_not_ready(evidence in evidence(), which in any::<prop::sample::Index>()) {
        let hashes: Vec<&Cell> = evidence.cells.keys().filter(|cell| is_hash(cell)).collect();
        prop_assume!(!hashes.is_empty());
        let mut fewer = evidence.clone();
        fewer.cells.remove(hashes[which.index(hashes.len())]);
        prop_assert!(report(&fewer).verdict.ready >= report(&evidence).verdict.ready);
    }

    #[test]
    fn ready_means_no_hash_in_the_complete_days_enough_jwts_and_nothing_lost(evidence in evidence()) {
        let judged = |cell: &Cell| date(0) <= cell.day && cell.day < date(28);
        let hashes = evidence.cells.keys().any(|cell| judged(cell) && is_hash(cell));
        let lost = evidence.gaps.iter().any(|gap| gap.from.date() < date(28) && date(0) <= gap.until.date());
        // `clean` has JWTs on each day.
        let wanted = !hashes && !lost && evidence.since.unwrap() <= at(0, 0);
        let verdict = report(&evidence).verdict;
        prop_assert_eq!(verdict.ready, wanted, "{:?}", verdict);
        prop_assert_eq!(verdict.ready, verdict.blockers.is_empty());
    }

    #[test]
    fn garbage_changes_nothing_but_its_own_count(evidence in evidence(), day in -3_i64..29, count in 1_u64..1_000_000) {
        let mut flooded = evidence.clone();
        for credential in [Credential::Hash, Credential::Jwt] {
            see(&mut flooded, cell(day, credential, Outcome::Invalid, ("backend", "")), count);
        }
        let (mut with, mut without) = (report(&flooded), report(&evidence));
        for day in with.days.iter_mut().chain(&mut without.days) {
            (day.hash.invalid, day.jwt.invalid) = (0, 0);
        }
        prop_assert_eq!(with, without);
    }

    #[test]
    fn a_longer_window_has_the_days_of_a_shorter_one_and_is_ready_no_sooner(evidence in evidence(), one in 1_u16..40, more in 0_u16..40) {
        let policy = Acceptance::default();
        let over = |count| Report::of(&evidence, &Inquiry { days: Days::back(count, at(28, 9)), ..inquiry(&policy) });
        let (short, long) = (over(one), over(one + more));
        prop_assert_eq!(&long.days[usize::from(more)..], &short.days[..]);
        if one > 1 {
            prop_assert!(long.verdict.ready <= short.verdict.ready);
        }
    }

    #[test]
    fn a_projection_leaves_room_for_a_window_without_a_hash(evidence in evidence()) {
        let verdict = report(&evidence).verdict;
        let hashes = evidence.cells.keys().filter(|cell| date(0) <= cell.day && is_hash(cell));
        if let Some(ready_at) = verdict.projected_ready_at {
            prop_assert!(at(29, 0) <= ready_at, "not before tomorrow");
            if let Some(last) = hashes.map(|cell| cell.day).max() {
                prop_assert!(days::start(last) + Duration::days(29) <= ready_at);
            }
        }
        let told = [verdict.ready, verdict.projected_ready_at.is_some(), !verdict.why_not_projected.is_empty()];
        prop_assert_eq!(told.iter().filter(|told| **told).count(), 1, "ready, a date, or why there is none");
    }

    #[test]
    fn a_rehearsed_end_refuses_more_the_fewer_exceptions_there_are(evidence in evidence(), until in 28_i64..100) {
        let exception = Exception { client: Some("ios".to_owned()), caller: None, hash_until: at(60, 0) };
        let spared = Acceptance { exceptions: vec![exception], ..Acceptance::default() };
        let days = Days::back(WINDOW, at(28, 9));
        let all = Rehearsal::of(&evidence, &Acceptance::default(), days, at(until, 0));
        let some = Rehearsal::of(&evidence, &spared, days, at(until, 0));
        let came: u64 = report(&evidence).callers.iter().map(|caller| caller.hashes).sum();
        prop_assert_eq!(all.refused, came);
        prop_assert!(some.refused <= all.refused);
        prop_assert!(some.rehearsed.iter().all(|pair| at(until, 0) <= pair.hash_until));
    }
}
