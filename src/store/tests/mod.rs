//! What every store promises, held against each of them.

use std::sync::Arc;

use countersign_test_services::{Redis, until};
use tempfile::TempDir;

use super::*;
use crate::clock::Fixed;
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
    let replicated: Arc<dyn State> = replicated(&redis, 0, 0).await;
    replicated.revoked().loaded().await;
    let own = stores(100).into_iter().map(|(store, folder)| (store, Box::new(folder) as House));
    own.chain([(replicated, Box::new(redis) as House)]).collect()
}

/// A server's view of the Redis, which begins to listen at once. Its tokens live as long as that.
async fn with_tokens_of(redis: &Redis, wait_replicas: u32, now: i64, longest: i64) -> Arc<Replicated> {
    let url = Secret::new(redis.url().into_bytes());
    let least = Box::new(move |_: &str, at: i64| at + longest);
    let store = Arc::new(Replicated::open((&url, "test"), wait_replicas, at(now), least).await.unwrap());
    let following = Arc::clone(&store);
    let clock = Fixed::at(at(now));
    #[expect(clippy::disallowed_methods, reason = "it ends with the runtime of the test")]
    tokio::spawn(async move { following.follow(&clock, drop).await });
    store
}

async fn replicated(redis: &Redis, wait_replicas: u32, now: i64) -> Arc<Replicated> {
    with_tokens_of(redis, wait_replicas, now, 0).await
}

/// Each kind of store that bounds itself, with room for that many entries, and what it lives in.
fn stores(room: usize) -> Vec<(Arc<dyn State>, Option<TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Arc::new(open(&folder, room, 0, 0));
    vec![(Arc::new(Memory::with_room(room)), None), (embedded, Some(folder))]
}

#[tokio::test(flavor = "multi_thread")]
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

#[tokio::test(flavor = "multi_thread")]
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

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_holds_when_it_is_answered_and_until_its_end() {
    for (store, _house) in all().await {
        store.revoke(vec![revoked("a", 10, 100), revoked("b", 10, FOREVER)], at(10)).await.unwrap();
        assert_eq!(end(&*store, "a", 99), Some(100));
        assert_eq!(end(&*store, "a", 100), None);
        assert_eq!(end(&*store, "b", 1_000_000), Some(FOREVER));
        store.revoke(vec![revoked("a", 20, 50)], at(20)).await.unwrap();
        assert_eq!(end(&*store, "a", 99), Some(100), "never shorter");
        assert_eq!(store.restore(name(&["b"]), at(30)).await, Ok(true));
        assert_eq!(store.restore(name(&["b"]), at(30)).await, Ok(false));
        assert_eq!(end(&*store, "b", 20), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_changed_by_whoever_knows_its_version() {
    for (store, _house) in all().await {
        assert_eq!(store.document("kind", "a").await, Ok(None));
        let first = store.number("kind").await.unwrap();
        let tries = futures::future::join_all((0..10).map(|_| store.keep("kind", "a", 0, b"one two".to_vec()))).await;
        assert_eq!(tries.iter().filter(|kept| **kept == Ok(true)).count(), 1);
        assert_eq!(store.keep("kind", "a", 2, b"never".to_vec()).await, Ok(false));
        assert_eq!(store.keep("kind", "a", 1, vec![0, 255, b' ']).await, Ok(true));
        assert_eq!(store.keep("kin", "b", 0, b"of another kind".to_vec()).await, Ok(true));
        let document = Document { version: 2, bytes: vec![0, 255, b' '] };
        assert_eq!(store.document("kind", "a").await, Ok(Some(document.clone())));
        assert_eq!(store.documents("kind").await, Ok([("a".to_owned(), document)].into()));
        assert!(first < store.number("kind").await.unwrap());
        assert_eq!(store.keep("kind", "large", 0, vec![0; DOCUMENT_BYTES]).await, Ok(true));
        assert_eq!(store.keep("kind", "larger", 0, vec![0; DOCUMENT_BYTES + 1]).await, Err(Away));
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
    store.restore(name(&["c"]), at(30)).await.unwrap();
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
    until("a replica", || primary.run(&["INFO", "replication"]).contains("state=online"));
    // The first acknowledgement of a new replica may take its time.
    let mut tries = 0..100;
    let token = loop {
        let token = used(&tries.next().expect("a replica acknowledges").to_string(), 100);
        if store.use_up(token, at(2)).await == Ok(true) {
            break token;
        }
    };
    assert!(replica.run(&["KEYS", "test:used:*"]).contains(&hex::encode(token.token)));
    assert_eq!(store.use_up(token, at(2)).await, Ok(false));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_changed_is_told_what_it_lost_and_not_what_was_restored() {
    let redis = Redis::with(&["--enable-debug-command", "yes"]);
    let (one, two) = (replicated(&redis, 0, 0).await, replicated(&redis, 0, 0).await);
    two.revoked().loaded().await;
    one.revoked().loaded().await;
    one.revoke(vec![revoked("kept", 1, 1_000), revoked("restored", 1, FOREVER)], at(1)).await.unwrap();
    until("the news", || end(&*two, "restored", 1).is_some());
    assert_eq!(one.restore(name(&["restored"]), at(1)).await, Ok(true));
    // As after a failover to a replica that had not heard of it, while the other server was cut off.
    two.revoked().add(name(&["restored"]), Mark { at: 1, until: FOREVER }, 1);
    two.revoked().add(name(&["lost"]), Mark { at: 1, until: 2_000 }, 1);
    redis.run(&["DEBUG", "CHANGE-REPL-ID"]);
    until("the lost one", || end(&*one, "lost", 1).is_some());
    until("the restored one", || end(&*two, "restored", 1).is_none());
    assert_eq!(end(&*one, "restored", 1), None);
    assert_eq!((end(&*one, "kept", 1), end(&*one, "lost", 1)), (Some(1_000), Some(2_000)));
    // Emptied, with its name: the same.
    redis.run(&["FLUSHALL"]);
    until("everything that is in force", || redis.run(&["HLEN", "test:revoked"]) == "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_leaves_the_redis_and_what_lives_longer_by_now_stays() {
    let redis = Redis::start();
    let store = replicated(&redis, 0, 0).await;
    let many = (0..150).map(|index| revoked(&index.to_string(), 1, 10)).collect();
    store.revoke(many, at(1)).await.unwrap();
    assert_eq!(redis.run(&["HLEN", "test:revoked"]), "150");
    // In its configuration tokens live longer, and it tells the others.
    let longer = with_tokens_of(&redis, 0, 5, 500).await;
    longer.revoked().loaded().await;
    assert_eq!(end(&*longer, "149", 500), Some(501));
    until("the longer end", || end(&*store, "149", 500) == Some(501));
    store.revoke(vec![revoked("later", 20, 2_000)], at(20)).await.unwrap();
    assert_eq!(redis.run(&["HLEN", "test:revoked"]), "151");
    store.revoke(vec![revoked("later", 600, 2_000)], at(600)).await.unwrap();
    for key in ["HLEN test:revoked", "ZCARD test:revoked-changes", "ZCARD test:revoked-ends"] {
        let words: Vec<&str> = key.split(' ').collect();
        assert_eq!(redis.run(&words), "1", "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_too_few_replicas_have_is_not_answered_for() {
    let primary = Redis::start();
    let store = replicated(&primary, 1, 0).await;
    store.revoked().loaded().await;
    assert_eq!(store.revoke(vec![revoked("a", 1, 100)], at(1)).await, Err(Away));
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    until("a replica", || primary.run(&["INFO", "replication"]).contains("state=online"));
    let mut tries = 0;
    while store.revoke(vec![revoked("a", 1, 100)], at(1)).await.is_err() {
        tries += 1;
        assert!(tries < 100, "nobody acknowledges");
    }
    assert_eq!(replica.run(&["HLEN", "test:revoked"]), "1");
    assert_eq!(end(&*store, "a", 1), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_the_redis_revokes_nothing() {
    let redis = Redis::start();
    redis.run(&["HSET", "test:revoked", "short", "1 2 demo", &"x".repeat(32), "nonsense"]);
    redis.run(&["ZADD", "test:revoked-changes", "1", "short", "2", &"x".repeat(32), "3", "nothing"]);
    redis.run(&["SET", "test:revoked-number", "3"]);
    let store = replicated(&redis, 0, 0).await;
    store.revoked().loaded().await;
    assert!(store.revoked().is_empty());
    store.revoke(vec![revoked("a", 1, 100)], at(1)).await.unwrap();
    assert_eq!(store.revoked().len(), 1);
}
