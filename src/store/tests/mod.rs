//! What every store promises, held against each of them.

mod embedded;
mod ledger;
mod redis;
mod replicated;

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

/// Each kind of store that bounds itself, with room for that many entries, and what it lives in.
fn stores(room: usize) -> Vec<(Arc<dyn State>, Option<TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Arc::new(open(&folder, room, 0, 0));
    vec![(Arc::new(Memory::with_room(room)), None), (embedded, Some(folder))]
}

/// What every store promises; each law wants one in which nothing is kept. Those of the Redis are in `redis.rs`.
async fn keeps_its_promises<S: State>(empty: impl AsyncFn() -> Arc<S>) {
    the_first_jwt_of_a_subject_stands(&*empty().await).await;
    a_token_is_used_by_one_of_many_and_remembered(&*empty().await).await;
    a_revocation_holds_when_it_is_answered_and_until_its_end(&*empty().await).await;
    a_document_is_changed_by_whoever_knows_its_version(&*empty().await).await;
    ledger::keeps_its_promises(&empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_file_keep_their_promises() {
    keeps_its_promises(async || Arc::new(Memory::default())).await;
    let folders = tempfile::tempdir().unwrap();
    keeps_its_promises(async || {
        let folder = tempfile::tempdir_in(&folders).unwrap().keep();
        Arc::new(Embedded::open(&folder.join("state.redb"), at(0), |_, at| at).unwrap())
    })
    .await;
}

async fn the_first_jwt_of_a_subject_stands(store: &dyn State) {
    let (ada, bob) = (subject("ada"), subject("bob"));
    assert_eq!(store.first_jwt(fact(&ada, "")).await, Ok(None));
    store.saw_jwt(fact(&ada, ""), at(10)).await.unwrap();
    store.saw_jwt(fact(&ada, ""), at(20)).await.unwrap();
    assert_eq!(store.first_jwt(fact(&ada, "")).await, Ok(Some(at(10))));
    assert_eq!(store.first_jwt(fact(&ada, "ios")).await, Ok(None));
    assert_eq!(store.first_jwt(fact(&bob, "")).await, Ok(None));
}

async fn a_token_is_used_by_one_of_many_and_remembered(store: &dyn State) {
    let token = used("token", 100);
    let tries = (0..1_000).map(|_| store.use_up(token, at(2)));
    let tries = futures::future::join_all(tries).await;
    assert_eq!(tries.iter().filter(|used| **used == Ok(true)).count(), 1);
    assert_eq!(tries.iter().filter(|used| **used == Ok(false)).count(), 999);
    assert_eq!(store.is_used(token.token, at(99)).await, Ok(true));
    assert_eq!(store.use_up(token, at(99)).await, Ok(false));
    assert_eq!(store.is_used(used("another", 100).token, at(2)).await, Ok(false));
}

async fn a_revocation_holds_when_it_is_answered_and_until_its_end(store: &dyn State) {
    store.revoke(vec![revoked("a", 10, 100), revoked("b", 10, FOREVER)], at(10)).await.unwrap();
    assert_eq!(end(store, "a", 99), Some(100));
    assert_eq!(end(store, "a", 100), None);
    assert_eq!(end(store, "b", 1_000_000), Some(FOREVER));
    store.revoke(vec![revoked("a", 20, 50)], at(20)).await.unwrap();
    assert_eq!(end(store, "a", 99), Some(100), "never shorter");
    assert_eq!(store.restore(name(&["b"]), at(30)).await, Ok(true));
    assert_eq!(store.restore(name(&["b"]), at(30)).await, Ok(false));
    assert_eq!(end(store, "b", 20), None);
}

async fn a_document_is_changed_by_whoever_knows_its_version(store: &dyn State) {
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

#[tokio::test]
async fn a_use_is_forgotten_when_the_token_has_ended() {
    // Redis forgets by its own clock.
    for (store, _folder) in stores(100) {
        let token = used("token", 100);
        assert_eq!(store.use_up(token, at(2)).await, Ok(true));
        assert_eq!(store.is_used(token.token, at(99)).await, Ok(true));
        assert_eq!(store.is_used(token.token, at(100)).await, Ok(false));
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
