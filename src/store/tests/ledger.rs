//! What every store promises of what is counted.

use std::collections::BTreeMap;

use countersign_test_services::Redis;

use super::redis::replicated;
use super::*;
use crate::ledger::{
    Credential, EVERY_APPLICATION, Gap, KEEP_DAYS, LABELS, Mark, OVERFLOW, Outcome, Presence, SIGHTINGS, Series, Tally,
};
use crate::refusal::Reason;
/// 2026-06-01T00:00:00Z
const DAY: i64 = 1_780_272_000;

fn series(credential: Credential, client: &str, at: UtcDateTime) -> Series {
    let [caller, key] = ["billing", "k"].map(str::to_owned);
    Series { day: at.date(), credential, caller, client: client.to_owned(), key }
}

fn batch(writer: &str, number: u64, at: UtcDateTime) -> Batch {
    Batch {
        application: "acme/feedback".to_owned(),
        writer: writer.to_owned(),
        number,
        after: number - 1,
        from: at,
        at,
        total: 0,
        ended: false,
        series: BTreeMap::new(),
        gaps: BTreeMap::new(),
    }
}

/// A word of a server that it lives.
fn beat(writer: &str, number: u64, at: UtcDateTime) -> Batch {
    Batch { application: EVERY_APPLICATION.to_owned(), ..batch(writer, number, at) }
}

impl Batch {
    /// Counts so many of a client that were accepted, from these subjects.
    fn with(mut self, credential: Credential, client: &str, count: u64, subjects: &[String]) -> Self {
        let at = self.at;
        let counts = self.series.entry(series(credential, client, at)).or_default();
        counts.tallies.insert((Outcome::Accepted, None), Tally { count, last: at });
        counts.subjects.extend(subjects.iter().map(|name| (name.clone(), Presence { last: at, distinct: true })));
        self.total += count;
        self
    }

    async fn to(self, store: &dyn State) -> Added {
        store.add(&Arc::new(self)).await.unwrap()
    }
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("{number:06}")).collect()
}

async fn seen(store: &dyn State, from: UtcDateTime, now: UtcDateTime) -> Evidence {
    store.evidence("acme/feedback", from.date()..=now.date(), now).await.unwrap()
}

/// How often each client was seen.
fn clients(evidence: &Evidence) -> BTreeMap<&str, u64> {
    let mut clients = BTreeMap::new();
    for (cell, tally) in &evidence.cells {
        *clients.entry(cell.client.as_str()).or_default() += tally.count;
    }
    clients
}

/// What every store promises of what is counted.
pub(super) async fn keeps_its_promises<S: State>(empty: &impl AsyncFn() -> Arc<S>) {
    a_batch_counts_once_however_often_it_comes_and_batches_add_up(&*empty().await).await;
    every_word_of_a_cell_comes_back(&*empty().await).await;
    distinct_subjects_are_within_two_percent(&*empty().await).await;
    labels_beyond_those_that_are_kept_apart_are_one(&*empty().await).await;
    the_last_sightings_are_found_by_pseudonym_and_those_with_a_hash_by_when(&*empty().await).await;
    gaps_of_one_name_are_one_and_those_without_number_too(&*empty().await).await;
    a_server_that_is_not_heard_of_leaves_a_gap_until_it_is(&*empty().await).await;
}

async fn a_batch_counts_once_however_often_it_comes_and_batches_add_up(store: &dyn State) {
    let now = at(DAY);
    let ios = |number| batch("one", number, now).with(Credential::Hash, "ios/3.2", 5, &names(0..3));
    assert_eq!(ios(1).to(store).await, Added::Kept);
    assert_eq!(ios(1).to(store).await, Added::Kept);
    let later = batch("one", 2, at(DAY + 1)).with(Credential::Hash, "ios/3.2", 2, &names(2..4));
    assert_eq!(later.to(store).await, Added::Kept);
    let tomorrow = batch("two", 1, at(DAY + 86_400)).with(Credential::Jwt, "", 1, &names(3..5));
    assert_eq!(tomorrow.to(store).await, Added::Kept);
    let evidence = seen(store, now, at(DAY + 86_401)).await;
    let cells: Vec<_> =
        evidence.cells.iter().map(|(cell, tally)| (cell.client.as_str(), tally.count, tally.last)).collect();
    assert_eq!(cells, [("ios/3.2", 7, at(DAY + 1)), ("", 1, at(DAY + 86_400))]);
    let distinct = &evidence.distinct;
    assert_eq!((distinct.hash, distinct.jwt), (4, 2));
    assert_eq!(distinct.days.values().collect::<Vec<_>>(), [&(4, 0), &(0, 2)]);
    assert_eq!(distinct.pairs, [(("billing".to_owned(), "ios/3.2".to_owned()), 4)].into());
    for of_hash in [&distinct.callers, &distinct.clients, &distinct.keys] {
        assert_eq!(of_hash.values().collect::<Vec<_>>(), [&4]);
    }
    assert_eq!(evidence.since, Some(now));
    // The first day alone, and another application.
    assert_eq!(seen(store, now, now).await.cells.len(), 1);
    let other = store.evidence("acme", now.date()..=now.date(), now).await.unwrap();
    assert_eq!(other, Evidence::default());
}

async fn every_word_of_a_cell_comes_back(store: &dyn State) {
    let mut told = batch("one", 1, at(DAY));
    let mut cells = Vec::new();
    for credential in Credential::ALL {
        let counts = told.series.entry(series(credential, "a \"quoted\"\u{0} läbel\n", at(DAY))).or_default();
        for outcome in Outcome::ALL {
            for shadow in std::iter::once(None).chain(Reason::ALL.iter().copied().map(Some)) {
                counts.tallies.insert((outcome, shadow), Tally { count: 1, last: at(DAY) });
                cells.push((credential, outcome, shadow));
            }
        }
    }
    told.to(store).await;
    let evidence = seen(store, at(DAY), at(DAY)).await;
    let known: Vec<_> = evidence.cells.keys().map(|cell| (cell.credential, cell.outcome, cell.shadow)).collect();
    cells.sort_unstable();
    let mut sorted = known.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, cells);
    assert_eq!(clients(&evidence).into_keys().collect::<Vec<_>>(), ["a \"quoted\"\u{0} läbel\n"]);
}

async fn distinct_subjects_are_within_two_percent(store: &dyn State) {
    // Each part shares half of its subjects with the next.
    for (number, start) in (0..20_000).step_by(2_000).enumerate() {
        let client = if number % 2 == 0 { "ios" } else { "web" };
        let number = u64::try_from(number).unwrap() + 1;
        batch("one", number, at(DAY)).with(Credential::Hash, client, 1, &names(start..start + 4_000)).to(store).await;
    }
    let distinct = seen(store, at(DAY), at(DAY)).await.distinct;
    assert!((21_560..=22_440).contains(&distinct.hash), "{}", distinct.hash);
    assert!((19_600..=20_400).contains(&distinct.clients["ios"]), "{}", distinct.clients["ios"]);
}

async fn labels_beyond_those_that_are_kept_apart_are_one(store: &dyn State) {
    let mut many = batch("one", 1, at(DAY)).with(Credential::Hash, "", 1, &[]);
    for label in 0..LABELS {
        many = many.with(Credential::Hash, &format!("{label:04}"), 1, &[]);
    }
    many.to(store).await;
    let more = batch("two", 1, at(DAY)).with(Credential::Hash, "one more", 2, &names(0..1));
    more.with(Credential::Hash, "0007", 3, &[]).to(store).await;
    let evidence = seen(store, at(DAY), at(DAY)).await;
    let clients = clients(&evidence);
    assert_eq!((clients.len(), clients[""], clients["0007"], clients[OVERFLOW]), (LABELS + 2, 1, 4, 2));
    assert_eq!(evidence.distinct.clients[OVERFLOW], 1);
    let [sighting] = store.stragglers("acme/feedback", at(0), 9).await.unwrap().try_into().unwrap();
    assert_eq!(sighting.client, OVERFLOW);
    // The next day has room again.
    batch("two", 2, at(DAY + 86_400)).with(Credential::Hash, "one more", 2, &[]).to(store).await;
    let evidence = seen(store, at(DAY + 86_400), at(DAY + 86_400)).await;
    assert_eq!(evidence.cells.keys().next().unwrap().client, "one more");
}

async fn the_last_sightings_are_found_by_pseudonym_and_those_with_a_hash_by_when(store: &dyn State) {
    batch("one", 1, at(DAY + 5)).with(Credential::Hash, "ios", 1, &names(1..4)).to(store).await;
    batch("one", 2, at(DAY + 9)).with(Credential::Hash, "web", 1, &names(2..3)).to(store).await;
    // What comes late is not the last.
    batch("two", 1, at(DAY)).with(Credential::Hash, "old", 1, &names(0..4)).to(store).await;
    batch("two", 2, at(DAY)).with(Credential::Jwt, "", 1, &names(2..3)).to(store).await;
    let found = |sightings: Vec<Sighting>| -> Vec<_> {
        let found = sightings.into_iter();
        found.map(|one| (one.pseudonym, one.credential, one.client, one.last.unix_timestamp() - DAY)).collect()
    };
    let hash = |name: &str, client: &str, when| (name.to_owned(), Credential::Hash, client.to_owned(), when);
    let stragglers = |since, limit| store.stragglers("acme/feedback", at(since), limit);
    let last = hash("000002", "web", 9);
    assert_eq!(found(stragglers(DAY, 1).await.unwrap()), std::slice::from_ref(&last));
    let some = found(stragglers(DAY + 1, 9).await.unwrap());
    assert_eq!(some, [last.clone(), hash("000003", "ios", 5), hash("000001", "ios", 5)]);
    assert_eq!(stragglers(DAY, 9).await.unwrap().len(), 4);
    let asked = ["000002", "nobody", "000000"].map(str::to_owned);
    let jwt = ("000002".to_owned(), Credential::Jwt, String::new(), 0);
    let known = found(store.sightings("acme/feedback", &asked).await.unwrap());
    assert_eq!(known, [last, jwt, hash("000000", "old", 0)]);
    assert_eq!(store.sightings("acme/feedback", &[]).await, Ok(vec![]));
    assert_eq!(store.sightings("acme", &asked).await, Ok(vec![]));
}

async fn sightings_beyond_what_is_kept_go_the_oldest_first(store: &dyn State) {
    batch("one", 1, at(DAY)).with(Credential::Hash, "ios", 1, &names(0..1)).to(store).await;
    let part = 20_000;
    for number in 0..SIGHTINGS / part {
        let start = 1 + number * part;
        let now = at(DAY + 1 + i64::try_from(number).unwrap());
        let number = u64::try_from(number).unwrap() + 2;
        batch("one", number, now).with(Credential::Hash, "ios", 1, &names(start..start + part)).to(store).await;
    }
    let known = store.sightings("acme/feedback", &names(0..2)).await.unwrap();
    let known: Vec<_> = known.into_iter().map(|sighting| sighting.pseudonym).collect();
    assert_eq!(known, ["000001"], "the first has gone, and no other");
}

async fn gaps_of_one_name_are_one_and_those_without_number_too(store: &dyn State) {
    let gap = |from, until, lost| Gap { from: at(DAY + from), until: at(DAY + until), lost };
    let mut told = batch("one", 1, at(DAY));
    told.gaps = [("a".to_owned(), gap(1, 2, Some(3))), ("b".to_owned(), gap(5, 6, None))].into();
    told.to(store).await;
    let mut told = batch("one", 2, at(DAY));
    told.gaps = [("a".to_owned(), gap(2, 4, Some(1))), ("b".to_owned(), gap(6, 7, Some(1)))].into();
    told.to(store).await;
    assert_eq!(seen(store, at(DAY), at(DAY)).await.gaps, [gap(1, 4, Some(4)), gap(5, 7, None)]);
    let mut told = batch("one", 3, at(DAY));
    told.gaps = (0..1_000).map(|index| (index.to_string(), gap(10 + index, 11 + index, Some(1)))).collect();
    told.to(store).await;
    let gaps = seen(store, at(DAY), at(DAY)).await.gaps;
    assert_eq!(gaps.len(), 1_001);
    assert_eq!(gaps.iter().filter_map(|gap| gap.lost).sum::<u64>(), 1_004);
    // Of another day, and before anything was counted at all.
    assert_eq!(seen(store, at(DAY + 86_400), at(DAY + 86_400)).await.gaps, []);
    let mut told = batch("one", 4, at(DAY));
    told.gaps = [("*".to_owned(), gap(-50, -40, None))].into();
    told.to(store).await;
    assert!(seen(store, at(DAY - 86_400), at(DAY)).await.gaps.iter().all(|gap| at(DAY) <= gap.from));
}

async fn a_server_that_is_not_heard_of_leaves_a_gap_until_it_is(store: &dyn State) {
    batch("one", 1, at(DAY)).with(Credential::Hash, "", 1, &[]).to(store).await;
    beat("one", 1, at(DAY)).to(store).await;
    assert_eq!(seen(store, at(DAY), at(DAY + 5)).await.gaps, []);
    let open = Gap { from: at(DAY), until: at(DAY + 6), lost: None };
    assert_eq!(seen(store, at(DAY), at(DAY + 6)).await.gaps, [open]);
    batch("one", 2, at(DAY + 6)).with(Credential::Hash, "", 1, &[]).to(store).await;
    assert_eq!(seen(store, at(DAY), at(DAY + 6)).await.gaps, [open], "of the others nothing is known");
    beat("one", 2, at(DAY + 6)).to(store).await;
    assert_eq!(seen(store, at(DAY), at(DAY + 6)).await.gaps, []);
    let last = Batch { ended: true, ..beat("one", 3, at(DAY + 7)) };
    last.to(store).await;
    assert_eq!(seen(store, at(DAY), at(DAY + 100)).await.gaps, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn sightings_are_bounded_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    sightings_beyond_what_is_kept_go_the_oldest_first(&Memory::default()).await;
    sightings_beyond_what_is_kept_go_the_oldest_first(&open(&folder, 100, DAY, 0)).await;
    let redis = Redis::start();
    sightings_beyond_what_is_kept_go_the_oldest_first(&*replicated(&redis, 0, DAY).await).await;
}

#[tokio::test]
async fn a_file_that_was_not_closed_in_order_tells_of_a_gap_and_one_that_was_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 100, DAY, 0);
    beat("one", 1, at(DAY + 10)).to(&store).await;
    drop(store);
    let store = open(&folder, 100, DAY + 20, 0);
    let gap = Gap { from: at(DAY + 10), until: at(DAY + 20), lost: None };
    assert_eq!(seen(&store, at(DAY), at(DAY + 20)).await.gaps, [gap]);
    let last = Batch { ended: true, ..beat("two", 1, at(DAY + 30)) };
    last.to(&store).await;
    drop(store);
    let store = open(&folder, 100, DAY + 40, 0);
    assert_eq!(seen(&store, at(DAY), at(DAY + 40)).await.gaps, [gap]);
}

#[tokio::test]
async fn a_crash_is_told_of_the_present_day_too_where_the_clock_was_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 100, DAY, 0);
    batch("one", 1, at(DAY)).to(&store).await;
    beat("one", 1, at(DAY + 2 * 86_400)).to(&store).await;
    drop(store);
    let store = open(&folder, 100, DAY + 10, 0);
    let gap = Gap { from: at(DAY + 10), until: at(DAY + 2 * 86_400), lost: None };
    assert_eq!(seen(&store, at(DAY), at(DAY + 10)).await.gaps, [gap]);
}

#[tokio::test]
async fn days_leave_the_file_when_they_are_old() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 100, DAY, 0);
    batch("one", 1, at(DAY)).with(Credential::Hash, "ios", 1, &names(0..1)).to(&store).await;
    let later = DAY + i64::from(KEEP_DAYS) * 86_400;
    batch("one", 2, at(later)).to(&store).await;
    assert_eq!(seen(&store, at(DAY), at(DAY)).await.cells.len(), 1);
    batch("one", 3, at(later + 86_400)).to(&store).await;
    let evidence = seen(&store, at(DAY), at(DAY)).await;
    assert_eq!((evidence.cells.len(), evidence.distinct.hash), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn days_leave_the_redis_when_they_are_old() {
    let redis = Redis::start();
    let store = replicated(&redis, 0, DAY).await;
    let told = batch("one", 1, at(DAY + 43_200)).with(Credential::Hash, "ios", 1, &names(0..1));
    told.to(&*store).await;
    let days = redis.run(&["KEYS", "{test:ledger-*}:acme/feedback:*:2026-06-01*"]);
    assert_eq!(days.lines().count(), 3, "{days}");
    let end = i64::from(KEEP_DAYS) * 86_400 + 43_200;
    for key in days.lines() {
        let left: i64 = redis.run(&["TTL", key]).parse().unwrap();
        assert!((end - 60..=end).contains(&left), "{key}: {left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashed_is_closed_by_the_others_and_opened_when_it_comes_again() {
    let redis = Redis::start();
    let store = replicated(&redis, 0, DAY).await;
    beat("one", 1, at(DAY)).to(&*store).await;
    beat("two", 1, at(DAY + 30)).to(&*store).await;
    beat("two", 2, at(DAY + 31)).to(&*store).await;
    let gap = Gap { from: at(DAY), until: at(DAY + 31), lost: None };
    assert_eq!(seen(&*store, at(DAY), at(DAY + 31)).await.gaps, [gap]);
    beat("two", 3, at(DAY + 90)).to(&*store).await;
    assert_eq!(seen(&*store, at(DAY), at(DAY + 90)).await.gaps, [gap], "it does not grow");
    // It was cut off, and has everything still.
    beat("one", 2, at(DAY + 90)).to(&*store).await;
    assert_eq!(seen(&*store, at(DAY), at(DAY + 90)).await.gaps, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_says_what_it_misses() {
    let redis = Redis::start();
    let store = replicated(&redis, 0, DAY).await;
    let told = |number| batch("one", number, at(DAY + 1)).with(Credential::Hash, "ios", 10 * number, &[]);
    assert_eq!(told(3).to(&*store).await, Added::Behind(None));
    told(1).to(&*store).await;
    let mark = Mark { number: 1, at: at(DAY + 1), total: 10 };
    assert_eq!(told(3).to(&*store).await, Added::Behind(Some(mark)));
    assert_eq!(clients(&seen(&*store, at(DAY), at(DAY + 1)).await)["ios"], 10);
    let jump = Batch { after: 1, ..told(3) };
    assert_eq!(jump.to(&*store).await, Added::Kept);
    assert_eq!(clients(&seen(&*store, at(DAY), at(DAY + 1)).await)["ios"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_the_redis_counts_nothing_and_is_told() {
    let redis = Redis::start();
    let store = replicated(&redis, 0, DAY).await;
    let key = |what: &str| store.ledger_key("acme/feedback", what);
    redis.run(&[
        "HSET",
        &key("cells:2026-06-01"),
        "nonsense",
        "1 1",
        "[]",
        "1 1",
        r#"["hash","accepted","a","b","c",null]"#,
        "x",
    ]);
    redis.run(&["HSET", &key("gaps"), "a", "nonsense"]);
    redis.run(&["ZADD", &key("seen:hash"), "1", "ada"]);
    redis.run(&["HSET", &key("whence:hash"), "ada", "nonsense"]);
    let evidence = seen(&*store, at(DAY), at(DAY + 10)).await;
    let gap = |until| Gap { from: at(DAY), until, lost: None };
    let whole_day = gap(at(DAY + 86_400) - time::Duration::MILLISECOND);
    assert_eq!(evidence, Evidence { gaps: vec![gap(at(DAY + 10)), whole_day], ..Evidence::default() });
    assert_eq!(store.stragglers("acme/feedback", at(0), 9).await, Ok(vec![]));
}
