//! What every store promises, held against each of them.

use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::identity::SubjectKind;

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

fn until(state: &dyn State, text: &str, now: i64) -> Option<i64> {
    state.revoked().mark(|| name(&[text]), at(now)).map(|mark| mark.until)
}

fn open(folder: &TempDir, room: usize, now: i64, longest: i64) -> Embedded {
    let path = folder.path().join("made/state.redb");
    Embedded::with_room(&path, at(now), |_, at| at + longest, room).unwrap()
}

/// Each kind of store, with room for that many entries, and what it lives in.
fn stores(room: usize) -> Vec<(Arc<dyn State>, Option<TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Arc::new(open(&folder, room, 0, 0));
    vec![(Arc::new(Memory::with_room(room)), None), (embedded, Some(folder))]
}

#[tokio::test]
async fn the_first_jwt_of_a_subject_stands() {
    for (store, _folder) in stores(100) {
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
    for (store, _folder) in stores(100) {
        let token = name(&["token"]);
        let tries = (0..1_000).map(|_| store.use_up(token, at(100), at(0)));
        let used = futures::future::join_all(tries).await;
        assert_eq!(used.iter().filter(|used| **used == Ok(true)).count(), 1);
        assert_eq!(used.iter().filter(|used| **used == Ok(false)).count(), 999);
        assert_eq!(store.is_used(token, at(99)).await, Ok(true));
        assert_eq!(store.use_up(token, at(100), at(99)).await, Ok(false));
        assert_eq!(store.is_used(name(&["another"]), at(0)).await, Ok(false));
        assert_eq!(store.is_used(token, at(100)).await, Ok(false));
    }
}

#[tokio::test]
async fn a_revocation_holds_when_it_is_answered_and_until_its_end() {
    for (store, _folder) in stores(100) {
        store.revoke(vec![revoked("a", 10, 100), revoked("b", 10, FOREVER)], at(10)).await.unwrap();
        assert_eq!(until(&*store, "a", 99), Some(100));
        assert_eq!(until(&*store, "a", 100), None);
        assert_eq!(until(&*store, "b", 1_000_000), Some(FOREVER));
        store.revoke(vec![revoked("a", 20, 50)], at(20)).await.unwrap();
        assert_eq!(until(&*store, "a", 99), Some(100), "never shorter");
        assert_eq!(store.restore(name(&["b"])).await, Ok(true));
        assert_eq!(store.restore(name(&["b"])).await, Ok(false));
        assert_eq!(until(&*store, "b", 20), None);
    }
}

#[tokio::test]
async fn what_has_no_room_is_refused_and_what_has_ended_makes_room() {
    for (store, _folder) in stores(1) {
        let (ada, bob) = (subject("ada"), subject("bob"));
        store.saw_jwt(fact(&ada, ""), at(0)).await.unwrap();
        assert_eq!(store.saw_jwt(fact(&ada, ""), at(0)).await, Ok(()), "it is there already");
        assert_eq!(store.saw_jwt(fact(&bob, ""), at(0)).await, Err(Away));
        assert_eq!(store.use_up(name(&["a"]), at(10), at(0)).await, Ok(true));
        assert_eq!(store.use_up(name(&["b"]), at(10), at(9)).await, Err(Away));
        store.revoke(vec![revoked("a", 0, 10)], at(0)).await.unwrap();
        assert_eq!(store.revoke(vec![revoked("b", 0, 20)], at(9)).await, Err(Away));
        store.revoke(vec![revoked("b", 0, 20)], at(10)).await.unwrap();
        assert_eq!(store.use_up(name(&["b"]), at(20), at(10)).await, Ok(true));
        assert_eq!((until(&*store, "a", 10), until(&*store, "b", 10)), (None, Some(20)));
    }
}

#[tokio::test]
async fn a_file_that_is_opened_again_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let ada = subject("ada");
    let store = open(&folder, 100, 0, 0);
    store.saw_jwt(fact(&ada, ""), at(1)).await.unwrap();
    assert_eq!(store.use_up(name(&["token"]), at(100), at(2)).await, Ok(true));
    let three = vec![revoked("a", 3, 100), revoked("b", 3, FOREVER), revoked("c", 3, FOREVER)];
    store.revoke(three, at(3)).await.unwrap();
    store.restore(name(&["c"])).await.unwrap();
    drop(store);

    let store = open(&folder, 100, 99, 0);
    assert_eq!(store.first_jwt(fact(&ada, "")).await, Ok(Some(at(1))));
    assert_eq!(store.use_up(name(&["token"]), at(100), at(99)).await, Ok(false));
    let marks = ["a", "b", "c"].map(|text| until(&store, text, 99));
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
    assert_eq!(until(&store, "a", 509), Some(510));
    // Another write sweeps what has ended, and not this one at its first end.
    store.revoke(vec![revoked("b", 200, 600)], at(200)).await.unwrap();
    drop(store);
    assert_eq!(until(&open(&folder, 100, 200, 0), "a", 509), Some(510));
}

#[tokio::test]
async fn what_has_ended_leaves_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 2, 0, 0);
    for second in 0..50 {
        let text = second.to_string();
        assert_eq!(store.use_up(name(&[&text]), at(second + 1), at(second)).await, Ok(true), "{second}");
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
