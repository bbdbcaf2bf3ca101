//! What every store promises, held against each of them.

use std::sync::Arc;

use countersign_test_services::{Redis, until};
use tempfile::TempDir;

use super::*;
use crate::identity::SubjectKind;
use crate::secret::Secret;

fn at(seconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(seconds).unwrap()
}

fn subject(value: &str) -> Subject {
    Subject { kind: SubjectKind::UserId, value: value.to_owned() }
}

fn fact<'a>(subject: &'a Subject, client: &'a str) -> FactKey<'a> {
    FactKey { application: "demo", subject, client }
}

fn revoked(text: &str, at: i64, until: i64) -> Revoked {
    Revoked { name: name(&[text]), application: "demo".to_owned(), mark: Mark { at, until } }
}

fn end(state: &dyn State, text: &str, now: i64) -> Option<i64> {
    state.revoked().mark(|| name(&[text]), at(now)).map(|mark| mark.until)
}

fn open(folder: &TempDir, room: usize, now: i64, longest: i64) -> Embedded {
    let path = folder.path().join("made/state.redb");
    Embedded::with_room(&path, at(now), |_, at| at + longest, room).unwrap()
}

fn used(text: &str, until: i64) -> Use {
    Use { token: name(&[text]), issued_at: Some(at(1)), until: at(until) }
}

/// What a store lives in, as long as it is held.
type House = Box<dyn std::any::Any>;

/// Each kind of store that keeps everything, and a real Redis.
async fn all() -> Vec<(Arc<dyn State>, House)> {
    let redis = Redis::start();
    let replicated: Arc<dyn State> = Arc::new(replicated(&redis, 0, 0).await);
    let own = stores(100).into_iter().map(|(store, folder)| (store, Box::new(folder) as House));
    own.chain([(replicated, Box::new(redis) as House)]).collect()
}

async fn replicated(redis: &Redis, wait_replicas: u32, now: i64) -> Replicated {
    Replicated::open(&Secret::new(redis.url().into_bytes()), "test", wait_replicas, at(now)).await.unwrap()
}

/// Each kind of store that bounds itself, with room for that many entries, and what it lives in.
fn stores(room: usize) -> Vec<(Arc<dyn State>, Option<TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Arc::new(open(&folder, room, 0, 0));
    vec![(Arc::new(Memory::with_room(room)), None), (embedded, Some(folder))]
}

#[tokio::test]
async fn the_first_jwt_of_a_subject_stands() {
    for (store, _house) in all().await {
        let (ada, bob) = (subject("ada"), subject("bob"));
        assert_eq!(store.first_jwt(fact(&ada, "")).await, Ok(None));
        store.saw_jwt(fact(&ada, ""), at(10)).await.unwrap();
        store.saw_jwt(fact(&ada, ""), at(20)).await.unwrap();
        assert_eq!(store.first_jwt(fact(&ada, "")).await, Ok(Some(at(10))));
        assert_eq!(store.first_jwt(fact(&ada, "ios")).await, Ok(None));
        assert_eq!(store.first_jwt(fact(&bob, "")).await, Ok(None));
    }
}

#[tokio::test]
async fn a_token_is_used_by_one_of_many_and_remembered_until_its_end() {
    for (store, _house) in all().await {
        let token = used("token", 100);
        let tries = (0..1_000).map(|_| store.use_up(token, at(2)));
        let tries = futures::future::join_all(tries).await;
        assert_eq!(tries.iter().filter(|used| **used == Ok(true)).count(), 1);
        assert_eq!(tries.iter().filter(|used| **used == Ok(false)).count(), 999);
        assert_eq!(store.is_used(token.token, at(99)).await, Ok(true));
        assert_eq!(store.use_up(token, at(99)).await, Ok(false));
        assert_eq!(store.is_used(used("another", 100).token, at(2)).await, Ok(false));
    }
    // Redis forgets by its own clock.
    for (store, _folder) in stores(100) {
        let token = used("token", 100);
        assert_eq!(store.use_up(token, at(2)).await, Ok(true));
        assert_eq!(store.is_used(token.token, at(100)).await, Ok(false));
    }
}

#[tokio::test]
async fn a_revocation_holds_when_it_is_answered_and_until_its_end() {
    for (store, _folder) in stores(100) {
        store.revoke(vec![revoked("a", 10, 100), revoked("b", 10, FOREVER)], at(10)).await.unwrap();
        assert_eq!(end(&*store, "a", 99), Some(100));
        assert_eq!(end(&*store, "a", 100), None);
        assert_eq!(end(&*store, "b", 1_000_000), Some(FOREVER));
        store.revoke(vec![revoked("a", 20, 50)], at(20)).await.unwrap();
        assert_eq!(end(&*store, "a", 99), Some(100), "never shorter");
        assert_eq!(store.restore(name(&["b"])).await, Ok(true));
        assert_eq!(store.restore(name(&["b"])).await, Ok(false));
        assert_eq!(end(&*store, "b", 20), None);
    }
}

#[tokio::test]
async fn what_has_no_room_is_refused_and_what_has_ended_makes_room() {
    for (store, _folder) in stores(1) {
        let (ada, bob) = (subject("ada"), subject("bob"));
        store.saw_jwt(fact(&ada, ""), at(0)).await.unwrap();
        assert_eq!(store.saw_jwt(fact(&ada, ""), at(0)).await, Ok(()), "it is there already");
        assert_eq!(store.saw_jwt(fact(&bob, ""), at(0)).await, Err(Away));
        assert_eq!(store.use_up(used("a", 10), at(0)).await, Ok(true));
        assert_eq!(store.use_up(used("b", 10), at(9)).await, Err(Away));
        store.revoke(vec![revoked("a", 0, 10)], at(0)).await.unwrap();
        assert_eq!(store.revoke(vec![revoked("b", 0, 20)], at(9)).await, Err(Away));
        store.revoke(vec![revoked("b", 0, 20)], at(10)).await.unwrap();
        assert_eq!(store.use_up(used("b", 20), at(10)).await, Ok(true));
        assert_eq!((end(&*store, "a", 10), end(&*store, "b", 10)), (None, Some(20)));
    }
}

#[tokio::test]
async fn a_file_that_is_opened_again_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let ada = subject("ada");
    let store = open(&folder, 100, 0, 0);
    store.saw_jwt(fact(&ada, ""), at(1)).await.unwrap();
    assert_eq!(store.use_up(used("token", 100), at(2)).await, Ok(true));
    let three = vec![revoked("a", 3, 100), revoked("b", 3, FOREVER), revoked("c", 3, FOREVER)];
    store.revoke(three, at(3)).await.unwrap();
    store.restore(name(&["c"])).await.unwrap();
    drop(store);

    let store = open(&folder, 100, 99, 0);
    assert_eq!(store.first_jwt(fact(&ada, "")).await, Ok(Some(at(1))));
    assert_eq!(store.use_up(used("token", 100), at(99)).await, Ok(false));
    let marks = ["a", "b", "c"].map(|text| end(&store, text, 99));
    assert_eq!(marks, [Some(100), Some(FOREVER), None]);
}

#[tokio::test]
async fn a_revocation_lives_as_long_as_tokens_do_since() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 100, 0, 0);
    store.revoke(vec![revoked("a", 10, 100)], at(10)).await.unwrap();
    drop(store);
    drop(open(&folder, 100, 50, 500));
    // Configured shorter again: tokens of the time between are still about.
    let store = open(&folder, 100, 50, 0);
    assert_eq!(end(&store, "a", 509), Some(510));
    // Another write sweeps what has ended, and not this one at its first end.
    store.revoke(vec![revoked("b", 200, 600)], at(200)).await.unwrap();
    drop(store);
    assert_eq!(end(&open(&folder, 100, 200, 0), "a", 509), Some(510));
}

#[tokio::test]
async fn what_has_ended_leaves_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 2, 0, 0);
    for second in 0..50 {
        let text = second.to_string();
        assert_eq!(store.use_up(used(&text, second + 1), at(second)).await, Ok(true), "{second}");
        store.revoke(vec![revoked(&text, second, second + 1)], at(second)).await.unwrap();
    }
}

#[cfg(unix)]
#[test]
fn nobody_but_its_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder, 1, 0, 0));
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("made"), mode("made/state.redb")), (0o700, 0o600));
}

#[test]
fn a_file_that_cannot_be_the_store_is_told_from_one_that_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let why = |path: &std::path::Path| Embedded::open(path, at(0), |_, at| at).map(drop).unwrap_err();
    let open = Embedded::open(&path, at(0), |_, at| at).unwrap();
    assert!(matches!(why(&path), Unusable::Open));
    drop(open);

    let newer = redb::Database::create(&path).unwrap();
    let transaction = newer.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("schema", 2).unwrap();
    transaction.commit().unwrap();
    drop(newer);
    assert!(matches!(why(&path), Unusable::Newer));

    std::fs::write(&path, "something else").unwrap();
    assert!(matches!(why(&path), Unusable::Broken(_)));
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
    assert!(matches!(why(folder.path()), Unusable::Io(_)));
}

/// The milliseconds that a key still lives.
fn life(redis: &Redis, what: &str) -> i64 {
    let keys = redis.run(&["KEYS", &format!("test:{what}:*")]);
    redis.run(&["PTTL", &keys]).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_share_a_redis_which_forgets_a_use_when_the_token_has_ended() {
    let redis = Redis::start();
    let (one, two) = (replicated(&redis, 0, 0).await, replicated(&redis, 0, 50).await);
    let token = used("token", 100);
    assert_eq!(one.use_up(token, at(2)).await, Ok(true));
    assert_eq!(two.use_up(token, at(2)).await, Ok(false));
    assert!((90_000..=98_001).contains(&life(&redis, "used")), "98 s are left of it");
    let ada = subject("ada");
    one.saw_jwt(fact(&ada, ""), at(10)).await.unwrap();
    assert_eq!(two.first_jwt(fact(&ada, "")).await, Ok(Some(at(10))));
    two.saw_jwt(fact(&ada, ""), at(20)).await.unwrap();
    assert_eq!(two.first_jwt(fact(&ada, "")).await, Ok(Some(at(10))));
    assert_eq!(life(&redis, "fact"), -1, "a fact has no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_newer_than_a_token_does_not_say_that_it_is_the_first() {
    let mut redis = Redis::start();
    let store = replicated(&redis, 0, 0).await;
    assert_eq!(store.use_up(used("token", 100), at(2)).await, Ok(true));
    redis.restart();
    until("a connection", || redis.run(&["PING"]) == "PONG");
    let again = |second| store.use_up(used("token", 100), at(second));
    let mut answer = again(5).await;
    // The first command finds the old connection broken.
    for _ in 0..100 {
        assert_eq!(answer, Err(Away));
        answer = again(5).await;
    }
    let later = Use { issued_at: Some(at(6)), ..used("later", 100) };
    assert_eq!(store.use_up(later, at(7)).await, Ok(true));
    let undated = Use { issued_at: None, ..used("undated", 100) };
    assert_eq!(store.use_up(undated, at(7)).await, Err(Away));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_too_few_replicas_have_is_not_answered_for() {
    let primary = Redis::start();
    let store = replicated(&primary, 1, 0).await;
    assert_eq!(store.use_up(used("before", 100), at(2)).await, Err(Away));
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    until("a replica", || replica.run(&["ROLE"]).contains("connected"));
    assert_eq!(store.use_up(used("token", 100), at(2)).await, Ok(true));
    assert!(replica.run(&["KEYS", "test:used:*"]).contains(&hex::encode(used("token", 100).token)));
    assert_eq!(store.use_up(used("token", 100), at(2)).await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_away_and_comes_back_by_itself() {
    let mut redis = Redis::start();
    redis.kill();
    let store = replicated(&redis, 0, 0).await;
    let ada = subject("ada");
    assert_eq!(store.use_up(used("token", 100), at(2)).await, Err(Away));
    assert_eq!(store.is_used(used("token", 100).token, at(2)).await, Err(Away));
    assert_eq!(store.first_jwt(fact(&ada, "")).await, Err(Away));
    assert_eq!(store.saw_jwt(fact(&ada, ""), at(2)).await, Err(Away));
    redis.restart();
    let mut answers = Vec::new();
    while answers.last() != Some(&Ok(())) {
        assert!(answers.len() < 1_000, "{:?}", answers.last());
        answers.push(store.saw_jwt(fact(&ada, ""), at(3)).await);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(store.first_jwt(fact(&ada, "")).await, Ok(Some(at(3))));
    // What was seen here holds here, whatever becomes of the store.
    redis.kill();
    assert_eq!(store.first_jwt(fact(&ada, "")).await, Ok(Some(at(3))));
}
