//! The file: what it keeps over a restart, and what cannot be one.

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
