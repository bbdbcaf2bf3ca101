//! The laws of acceptance, over arbitrary policies, and every case of a small state space.

use proptest::prelude::*;
use time::{Duration, UtcDateTime};

use super::*;
use crate::identity::SubjectKind;

/// Instants of a small world: dense enough that bounds are hit, with room on either side.
fn instant() -> impl Strategy<Value = UtcDateTime> {
    (0_i64..40).prop_map(at)
}

fn at(seconds: i64) -> UtcDateTime {
    UtcDateTime::UNIX_EPOCH + Duration::seconds(seconds)
}

fn window() -> impl Strategy<Value = Window> {
    (instant(), 1_i64..10).prop_map(|(from, length)| Window { from, until: from + Duration::seconds(length) })
}

fn exception() -> impl Strategy<Value = Exception> {
    let client = proptest::option::of(prop_oneof![Just("ios".to_owned()), Just("web".to_owned())]);
    let caller = proptest::option::of(Just("billing".to_owned()));
    (client, caller, instant()).prop_map(|(client, caller, hash_until)| Exception { client, caller, hash_until })
}

fn ratchet() -> impl Strategy<Value = Ratchet> {
    let on_error = prop_oneof![Just(OnStoreError::Accept), Just(OnStoreError::Refuse)];
    (0_i64..10, on_error).prop_map(|(grace, on_store_error)| Ratchet {
        scope: Scope::Subject,
        grace: Duration::seconds(grace),
        on_store_error,
    })
}

fn policy() -> impl Strategy<Value = Acceptance> {
    let dates = proptest::array::uniform5(proptest::option::of(instant()));
    let step = (instant(), 0_u8..=100).prop_map(|(at, percent)| Step { at, percent });
    (
        dates,
        proptest::collection::vec(exception(), 0..3),
        proptest::collection::vec(window(), 0..2),
        proptest::collection::vec(step, 0..3),
        proptest::option::of(ratchet()),
    )
        .prop_map(
            |(
                [hash_from, jwt_from, hash_until, issue_jwt_from, issue_hash_until],
                exceptions,
                brownouts,
                mut rollout,
                ratchet,
            )| {
                rollout.sort_by_key(|step| step.at);
                Acceptance {
                    hash_from,
                    jwt_from,
                    hash_until,
                    issue_jwt_from,
                    issue_hash_until,
                    exceptions,
                    brownouts,
                    rollout,
                    ratchet,
                    shadow: None,
                }
            },
        )
}

fn subject() -> impl Strategy<Value = Subject> {
    let kind = prop_oneof![Just(SubjectKind::UserId), Just(SubjectKind::Email)];
    (kind, "[a-z]{1,6}").prop_map(|(kind, value)| Subject { kind, value })
}

fn client() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some("ios/3.2")), Just(Some("ios")), Just(Some("web"))]
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![Just(Fact::None), instant().prop_map(Fact::JwtSince), Just(Fact::Unknown)]
}

fn question<'a>(credential: Credential<'a>, client: Option<&'a str>, now: UtcDateTime) -> Question<'a> {
    Question { application: "acme/feedback", credential, caller: "billing", client, now }
}

proptest! {
    #[test]
    fn a_policy_comes_back_from_json_as_it_was(policy in policy(), shadow in proptest::option::of(policy())) {
        let twice = |policy: &Acceptance| {
            policy.rollout.iter().zip(policy.rollout.iter().skip(1)).any(|(step, next)| step.at == next.at)
        };
        // A shadow has everything that its policy has, and what it says in its place.
        let shadow = shadow.map(|shadow| Acceptance {
            hash_from: shadow.hash_from.or(policy.hash_from),
            jwt_from: shadow.jwt_from.or(policy.jwt_from),
            hash_until: shadow.hash_until.or(policy.hash_until),
            issue_jwt_from: shadow.issue_jwt_from.or(policy.issue_jwt_from),
            issue_hash_until: shadow.issue_hash_until.or(policy.issue_hash_until),
            exceptions: if shadow.exceptions.is_empty() { policy.exceptions.clone() } else { shadow.exceptions },
            brownouts: if shadow.brownouts.is_empty() { policy.brownouts.clone() } else { shadow.brownouts },
            rollout: if shadow.rollout.is_empty() { policy.rollout.clone() } else { shadow.rollout },
            ratchet: shadow.ratchet.or(policy.ratchet),
            shadow: None,
        });
        let policy = Acceptance { shadow: shadow.map(Box::new), ..policy };
        let named = |policy: &Acceptance| policy.exceptions.iter().all(|e| e.client.is_some() || e.caller.is_some());
        prop_assume!(!twice(&policy) && named(&policy));
        prop_assume!(policy.shadow.iter().all(|shadow| !twice(shadow) && named(shadow)));
        let read = crate::config::acceptance::parse(&crate::acceptance_json::write(&policy));
        prop_assert_eq!(read.map(|(read, _)| read), Ok(policy));
    }

    #[test]
    fn a_sunset_is_monotone(policy in policy(), subject in subject(), client in client(), now in instant(), later in 0_i64..100) {
        let judge = |now| policy.judge(&question(Credential::Hash(&subject, Fact::None), client, now));
        if judge(now) == Verdict::Refuse(Reason::HashNoLongerAccepted) {
            let after = judge(now + Duration::seconds(later));
            prop_assert_eq!(after, Verdict::Refuse(Reason::HashNoLongerAccepted));
        }
    }

    #[test]
    fn buckets_are_stable_and_a_higher_percent_only_adds(subject in subject(), other in 0_u8..=100, percent in 0_u8..=100) {
        let rolled = |percent| Acceptance { rollout: vec![Step { at: at(0), percent }], ..Acceptance::default() };
        let refused = |percent| {
            let question = question(Credential::Hash(&subject, Fact::None), None, at(1));
            rolled(percent).judge(&question) == Verdict::Refuse(Reason::HashRolledOut)
        };
        prop_assert!(bucket("acme/feedback", &subject) < 100);
        prop_assert_eq!(refused(percent), bucket("acme/feedback", &subject) < percent);
        if refused(percent.min(other)) {
            prop_assert!(refused(percent.max(other)));
        }
    }

    #[test]
    fn exceptions_only_ever_extend(policy in policy(), more in exception(), subject in subject(), client in client(), fact in fact(), now in instant()) {
        let question = question(Credential::Hash(&subject, fact), client, now);
        let mut extended = policy.clone();
        extended.exceptions.push(more);
        let (before, after) = (policy.judge(&question), extended.judge(&question));
        if before != Verdict::Refuse(Reason::HashNoLongerAccepted) {
            prop_assert_eq!(after, before, "an exception moves nothing but the sunset");
        }
        prop_assert!(extended.hash_until_for("billing", client) >= policy.hash_until_for("billing", client));
        prop_assert_eq!(extended.issues_hash_until(), policy.issues_hash_until());
    }

    #[test]
    fn a_jwt_never_loses_to_a_hash(policy in policy(), hashes in policy(), client in client(), now in instant()) {
        // Whatever is said about hashes, the verdict on a JWT depends on `jwt_from` alone.
        let other = Acceptance { jwt_from: policy.jwt_from, ..hashes };
        let judge = |policy: &Acceptance| policy.judge(&question(Credential::Jwt, client, now));
        prop_assert_eq!(judge(&policy), judge(&other));
        prop_assert_eq!(judge(&policy) == Verdict::Accept, policy.accepts_jwt_at(now));
    }

    #[test]
    fn a_shadow_never_changes_an_outcome(policy in policy(), shadow in policy(), subject in subject(), client in client(), fact in fact(), now in instant()) {
        let shadowed = Acceptance { shadow: Some(Box::new(shadow)), ..policy.clone() };
        for credential in [Credential::Jwt, Credential::Hash(&subject, fact)] {
            let question = question(credential, client, now);
            prop_assert_eq!(policy.judge(&question), shadowed.judge(&question));
        }
        prop_assert_eq!(policy.hash_notices("billing", client, now), shadowed.hash_notices("billing", client, now));
    }

    #[test]
    fn nothing_happens_for_lack_of_data(subject in subject(), now in instant()) {
        let question = |credential| question(credential, None, now);
        let nothing = Acceptance::default();
        prop_assert_eq!(nothing.judge(&question(Credential::Jwt)), Verdict::Accept);
        prop_assert_eq!(nothing.judge(&question(Credential::Hash(&subject, Fact::Unknown))), Verdict::Accept);
    }
}

/// Every combination of each rule being before, at or after its instant, and the order in which the rules speak.
#[test]
fn every_case_of_a_small_world_is_judged_in_order() {
    let subject = Subject { kind: SubjectKind::UserId, value: "123456".to_owned() };
    let now = at(20);
    let dates = [None, Some(19), Some(20), Some(21)];
    let mut cases = 0;
    for from in dates {
        for until in dates {
            for excepted in dates {
                for brownout in [None, Some((19, 20)), Some((20, 21)), Some((21, 22))] {
                    for percent in [None, Some((20, 100)), Some((21, 100)), Some((20, 0))] {
                        for (first, unknown) in [(None, false), (Some(10), false), (Some(11), false), (None, true)] {
                            for ratchet in [None, Some(OnStoreError::Accept), Some(OnStoreError::Refuse)] {
                                let policy = Acceptance {
                                    hash_from: from.map(at),
                                    hash_until: until.map(at),
                                    exceptions: excepted
                                        .into_iter()
                                        .map(|secs| Exception {
                                            client: Some("ios".to_owned()),
                                            caller: None,
                                            hash_until: at(secs),
                                        })
                                        .collect(),
                                    brownouts: brownout
                                        .into_iter()
                                        .map(|(a, b)| Window { from: at(a), until: at(b) })
                                        .collect(),
                                    rollout: percent
                                        .into_iter()
                                        .map(|(secs, percent)| Step { at: at(secs), percent })
                                        .collect(),
                                    ratchet: ratchet.map(|on_store_error| Ratchet {
                                        scope: Scope::Subject,
                                        grace: Duration::seconds(10),
                                        on_store_error,
                                    }),
                                    ..Acceptance::default()
                                };
                                let fact = if unknown {
                                    Fact::Unknown
                                } else {
                                    first.map_or(Fact::None, |secs| Fact::JwtSince(at(secs)))
                                };
                                let sunset = until.map(|until| until.max(excepted.unwrap_or(until)));
                                let wanted = if from == Some(21) {
                                    Verdict::Refuse(Reason::HashNotYetAccepted)
                                } else if sunset.is_some_and(|sunset| sunset <= 20) {
                                    Verdict::Refuse(Reason::HashNoLongerAccepted)
                                } else if brownout == Some((20, 21)) {
                                    Verdict::Refuse(Reason::HashBrownout)
                                } else if percent == Some((20, 100)) {
                                    Verdict::Refuse(Reason::HashRolledOut)
                                } else if ratchet.is_some() && first == Some(10) {
                                    Verdict::Refuse(Reason::HashSuperseded)
                                } else if ratchet == Some(OnStoreError::Refuse) && unknown {
                                    Verdict::StoreNeeded
                                } else {
                                    Verdict::Accept
                                };
                                let question = question(Credential::Hash(&subject, fact), Some("ios/3.2"), now);
                                assert_eq!(policy.judge(&question), wanted, "{policy:?} {fact:?}");
                                cases += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cases, 4 * 4 * 4 * 4 * 4 * 4 * 3);
}

#[test]
fn buckets_are_those_of_every_node_and_version() {
    // Values that a change of the function would move: a roll-out must not reshuffle its subjects on an upgrade.
    let bucket_of =
        |application: &str, kind, value: &str| bucket(application, &Subject { kind, value: value.to_owned() });
    let known = [
        bucket_of("acme/feedback", SubjectKind::UserId, "123456"),
        bucket_of("acme/feedback", SubjectKind::Email, "123456"),
        bucket_of("acme/other", SubjectKind::UserId, "123456"),
        bucket_of("acme/feedback", SubjectKind::UserId, ""),
    ];
    assert_eq!(known, [64, 59, 50, 27]);
}

#[test]
fn a_label_covers_itself_and_what_is_below_it() {
    for (label, client, yes) in [
        ("ios", "ios", true),
        ("ios", "ios/3.2", true),
        ("ios/3", "ios/3/beta", true),
        ("ios", "iosx", false),
        ("ios/3", "ios/3.2", false),
        ("ios/3", "ios", false),
    ] {
        assert_eq!(covers(label, client), yes, "{label} {client}");
    }
}

#[test]
fn phases_are_derived() {
    let policy = Acceptance { jwt_from: Some(at(10)), hash_until: Some(at(20)), ..Acceptance::default() };
    let phases = [9, 10, 19, 20].map(|secs| policy.phase_at(at(secs)));
    assert_eq!(phases, [Phase::HashOnly, Phase::Dual, Phase::Dual, Phase::JwtOnly]);
    let closed = Acceptance { hash_until: Some(at(5)), ..policy };
    assert_eq!(closed.phase_at(at(7)), Phase::Closed);
}
