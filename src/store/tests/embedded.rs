//! The file: what it keeps over a restart, and what cannot be one.

use redb::{ReadableDatabase as _, TableDefinition};

use super::*;

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
    let meta = TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("schema", schema::SCHEMA + 1).unwrap();
    transaction.commit().unwrap();
    drop(newer);
    assert!(matches!(why(&path), Unusable::Newer));

    std::fs::write(&path, "something else").unwrap();
    assert!(matches!(why(&path), Unusable::Broken(_)));
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
    assert!(matches!(why(folder.path()), Unusable::Io(_)));
    let told = format!("{:#}", anyhow::Error::from(why(folder.path())));
    assert_eq!(told.matches("os error").count(), 1, "{told}");
}

/// A file as version 1 wrote it, with one of everything.
fn write_version_1(path: &std::path::Path, documents: bool) {
    let file = redb::Database::create(path).unwrap();
    let transaction = file.begin_write().unwrap();
    {
        let (token, revoked) = (&used("token", 100).token, &name(&["revoked"]));
        let ada = &fact(&subject("ada"), "").name();
        let mut meta = transaction.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap();
        meta.insert("schema", 1).unwrap();
        let mut facts = transaction.open_table(TableDefinition::<&Name, i128>::new("facts")).unwrap();
        facts.insert(ada, 10_999_999_999).unwrap();
        let mut used = transaction.open_table(TableDefinition::<&Name, i64>::new("used")).unwrap();
        used.insert(token, 100).unwrap();
        let mut marks = transaction.open_table(TableDefinition::<&Name, (&str, i64, i64)>::new("revoked")).unwrap();
        marks.insert(revoked, ("demo", 3, 200)).unwrap();
        let mut ends = transaction.open_table(TableDefinition::<(i64, &Name), ()>::new("ends")).unwrap();
        ends.insert((100, token), ()).unwrap();
        ends.insert((200, revoked), ()).unwrap();
        if documents {
            let table = TableDefinition::<(&str, &str), (u64, &[u8])>::new("documents");
            transaction.open_table(table).unwrap().insert(("kind", "a"), (7, b"kept".as_slice())).unwrap();
        }
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_file_of_version_1_is_brought_up_to_date_and_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    // Documents came without a step.
    for documents in [false, true] {
        let path = folder.path().join(format!("{documents}.redb"));
        write_version_1(&path, documents);
        for opened in ["for the first time", "again"] {
            let store = Embedded::open(&path, at(50), |_, at| at).unwrap();
            assert_eq!(store.first_jwt(fact(&subject("ada"), "")).await, Ok(Some(at(10))), "{opened}");
            assert_eq!(store.use_up(used("token", 100), at(50)).await, Ok(false), "{opened}");
            assert_eq!(end(&store, "revoked", 50), Some(200), "{opened}");
            let kept = documents.then(|| Document { version: 7, bytes: b"kept".to_vec() });
            assert_eq!(store.document("kind", "a").await, Ok(kept), "{opened}");
        }
        let file = redb::Database::open(&path).unwrap();
        let read = file.begin_read().unwrap();
        let meta = read.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap();
        assert_eq!(meta.get("schema").unwrap().unwrap().value(), schema::SCHEMA);
        assert!(read.open_table(TableDefinition::<&Name, i128>::new("facts")).is_err(), "the old table is gone");
    }
}

#[tokio::test]
async fn what_version_1_left_behind_ends_as_it_would_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    write_version_1(&path, false);
    let store = Embedded::with_room(&path, at(150), |_, at| at, 2).unwrap();
    for token in ["one", "two"] {
        assert_eq!(store.use_up(used(token, 300), at(150)).await, Ok(true), "{token}");
    }
    assert_eq!(store.use_up(used("three", 300), at(150)).await, Err(Away), "there is room for two");
}

#[tokio::test]
async fn a_file_that_is_full_of_what_has_ended_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 1, 0, 0);
    assert_eq!(store.use_up(used("ends", 10), at(2)).await, Ok(true));
    assert_eq!(store.use_up(used("another", 20), at(9)).await, Err(Away));
    assert_eq!(store.use_up(used("another", 20), at(10)).await, Err(Away), "it is swept with this");
    assert_eq!(store.use_up(used("another", 20), at(10)).await, Ok(true));
}
