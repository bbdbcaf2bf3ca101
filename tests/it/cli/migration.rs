//! `countersign migration`, as operators use it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use countersign::store::Memory;
use serde_json::{Value, json};
use time::{Duration, UtcDateTime};

use super::process::{Ended, Server, alone, command, ended};
use crate::harness::{
    APP, IV_SECRET, NOW, Running, Setup, TOKEN, from_billing, token, user_hash, verify_hash, verify_jwt,
};

/// HMAC-SHA256 of `user@example.com` with the secret of the server, made with Python's `hmac`.
const HASH_OF_EMAIL: &str = "511cedb624eee2ffd46aea1fde741371a0a66843531d89af569ee53864db075e";
const HASHED: [&str; 7] =
    ["verify", "--email", "user@example.com", "--user-hash", HASH_OF_EMAIL, "--client", "ios/2.9"];

/// A command against a server in this process, as the caller that may do everything.
fn run(server: &Running, arguments: &[&str]) -> Ended {
    let address = format!("http://{}", server.address);
    let mut command = command();
    command.env("COUNTERSIGN_SERVER", address).env("COUNTERSIGN_APPLICATION", APP).env("COUNTERSIGN_TOKEN", TOKEN);
    tokio::task::block_in_place(|| ended(command.arg("migration").args(arguments), ""))
}

/// A server that judges one complete day.
async fn of_one_day() -> Running {
    let window = "[applications.\"acme/feedback\".migration]\nwindow_days = 1\n";
    Setup::default().and(window).start().await
}

/// The status, once the server has said on its new day that it lives: it does so twice a second.
fn settled(server: &Running) -> Ended {
    let told = |_| run(server, &["status"]);
    (0..200).map(told).find(|ended| !ended.output.contains("not counted")).expect("the server lives")
}

fn on_day(server: &Running, day: i64) {
    server.clock.set(UtcDateTime::from_unix_timestamp(NOW).unwrap() + Duration::days(day));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_stands_against_the_end_until_nothing_does() {
    let mut server = of_one_day().await;
    let hash = verify_hash("123456", user_hash("123456", IV_SECRET));
    server.client.verify(from_billing(hash)).await.unwrap();
    let first = run(&server, &["status"]);
    assert_eq!(first.status, 1, "{first:?}");

    on_day(&server, 1);
    let still = settled(&server);
    assert_eq!(still.status, 1, "{still:?}");
    for told in [
        "acme/feedback: dual, at 2026-06-02",
        "NOT READY",
        "1 genuine hash came, the last on 2026-06-01",
        "fewer than 1 JWTs",
    ] {
        assert!(still.output.contains(told), "{told}: {still:?}");
    }
    assert!(still.output.lines().all(|line| line.len() <= 120), "{still:?}");
    let fresh = token(json!({"iat": NOW + 86_400, "exp": NOW + 90_000}));
    server.client.verify(from_billing(verify_jwt(&fresh))).await.unwrap();

    on_day(&server, 2);
    let ready = settled(&server);
    assert_eq!(ready.status, 0, "{ready:?}");
    assert!(ready.output.contains("READY: hashes can end."), "{ready:?}");
    assert_eq!(run(&server, &["rehearse", "--hash-until", "2027-01-01"]).status, 0);
    let longer = run(&server, &["status", "--days", "3", "--json"]);
    assert_eq!(longer.status, 1, "{longer:?}");
    let days = longer.json().pointer("/report/days").and_then(Value::as_array).map(Vec::len);
    assert_eq!(days, Some(3));
}

#[test]
fn what_cannot_be_judged_is_told_as_such() {
    for act in [&["status"][..], &["status", "--watch"], &["stragglers"], &["rehearse", "--hash-until", "2027-01-01"]] {
        let fixed =
            ["migration"].iter().chain(act).chain(&["--application", "demo", "--server", "127.0.0.1:1", "--json"]);
        let ended = alone(&fixed.copied().collect::<Vec<_>>());
        assert_eq!(ended.status, 2, "{ended:?}");
        assert_eq!(ended.json().pointer("/error/kind"), Some(&json!("unreachable")), "{ended:?}");
    }
    let nonsense = alone(&["migration", "rehearse", "--application", "demo", "--hash-until", "soon"]);
    assert_eq!(nonsense.status, 2);
    assert!(nonsense.remarks.contains("--hash-until: give a time of RFC 3339"), "{nonsense:?}");
}

#[test]
fn stragglers_are_named_and_a_list_of_users_is_matched() {
    let server = Server::dev();
    let nobody = server.run(&["migration", "stragglers"]);
    assert_eq!((nobody.status, nobody.output.as_str()), (0, "nobody\n"), "{nobody:?}");
    assert_eq!(server.run(&HASHED).status, 0);

    let named = server.run(&["migration", "stragglers"]);
    assert_eq!(named.status, 0, "{named:?}");
    assert!(named.output.contains("ios/2.9"), "{named:?}");
    assert!(!named.output.contains("user@example.com"), "subjects are pseudonyms: {named:?}");

    // One more than a batch.
    let others: String = (0..1_000).map(|user| format!("user-{user}@example.com,\n")).collect();
    let list = format!("email,name\nuser@example.com,Ada\n{others}");
    let matched = server.fed(&list, &["migration", "stragglers", "--from", "-"]);
    assert_eq!(matched.status, 0, "{matched:?}");
    assert_eq!(matched.output.lines().count(), 1, "{matched:?}");
    assert!(matched.output.starts_with("user@example.com  20"), "{matched:?}");
    assert!(matched.output.trim_end().ends_with("no JWT yet"), "{matched:?}");
    assert_eq!(matched.remarks, "1,001 users: 1 were seen with a hash, 1,000 were not seen at all\n");
    let ids = server.fed("123456\nnobody\n", &["migration", "stragglers", "--from", "-", "--json"]);
    assert_eq!(ids.json().pointer("/found").and_then(Value::as_array).map(Vec::len), Some(2), "{ids:?}");
}

#[test]
fn a_policy_is_shown_set_and_reset() {
    let server = Server::dev();
    let end = ["migration", "set", "--hash-until", "2020-01-01", "--reason", "all have moved"];
    let tried = server.run(&[&end[..], &["--dry-run"]].concat());
    assert_eq!((tried.status, tried.output.as_str()), (0, "+ hash_until  2020-01-01T00:00:00Z\n"), "{tried:?}");
    assert_eq!(server.run(&HASHED).status, 0, "nothing is set");

    let set = server.run(&end);
    assert_eq!((set.status, &set.output), (0, &tried.output), "{set:?}");
    assert!(set.remarks.starts_with("set, as version 1"), "{set:?}");
    assert_eq!(server.run(&HASHED).status, 1, "hashes have ended");
    let status = server.run(&["migration", "status"]).output;
    for told in
        ["policy, set at run time by", "because: all have moved", "hash_until  2020-01-01T00:00:00Z", "in the file"]
    {
        assert!(status.contains(told), "{told}: {status}");
    }
    let again = server.run(&end);
    assert_eq!((again.status, again.output.as_str()), (0, "no change\n"), "{again:?}");

    let window = "2020-01-02/2020-01-01";
    let wrong = server.run(&["migration", "set", "--brownout", window, "--reason", "a slip"]);
    assert_eq!(wrong.status, 2, "{wrong:?}");
    assert!(wrong.remarks.contains("brownouts"), "{wrong:?}");

    let reset = server.run(&["migration", "reset", "--reason", "too early"]);
    assert_eq!((reset.status, reset.output.as_str()), (0, "- hash_until  2020-01-01T00:00:00Z\n"), "{reset:?}");
    assert_eq!(server.run(&HASHED).status, 0, "the policy of the file holds");
    assert!(server.run(&["migration", "reset", "--reason", "again"]).remarks.contains("nothing is reset"));
}

#[tokio::test(flavor = "multi_thread")]
async fn to_set_the_same_again_decides_for_it_over_a_file_that_has_changed() {
    let state = Arc::new(Memory::default());
    let on = |policy: &str| Setup { state: Arc::clone(&state) as _, ..Setup::default() }.policy(policy);
    let end = ["set", "--hash-until", "2028-01-01", "--reason", "all have moved"];
    assert_eq!(run(&on("hash_until = \"2027-01-01T00:00:00Z\"").start().await, &end).status, 0);
    let changed = on("hash_until = \"2029-01-01T00:00:00Z\"").start().await;
    let undecided = "The file has changed since";
    assert!(run(&changed, &["status"]).output.contains(undecided));
    let tried = run(&changed, &[&end[..], &["--dry-run"]].concat());
    assert_eq!((tried.output.as_str(), tried.remarks.as_str()), ("no change\n", "nothing is set\n"));
    let again = run(&changed, &end);
    assert_eq!((again.output.as_str(), again.remarks.as_str()), ("no change\n", "set, as version 2\n"));
    assert!(!run(&changed, &["status"]).output.contains(undecided));
}

#[test]
fn a_rehearsal_says_who_would_be_refused() {
    let server = Server::dev();
    let rehearse = ["migration", "rehearse", "--hash-until", "2027-03-31"];
    let nobody = server.run(&rehearse);
    assert_eq!(nobody.status, 2, "that nothing was counted proves nothing: {nobody:?}");
    assert!(nobody.output.contains("nobody who was seen in the window would be refused"), "{nobody:?}");
    assert!(nobody.output.contains("0 of 28 complete days are counted"), "{nobody:?}");

    assert_eq!(server.run(&HASHED).status, 0);
    let somebody = server.run(&rehearse);
    assert_eq!(somebody.status, 1, "{somebody:?}");
    for told in ["ios/2.9", "2027-03-31T00:00:00Z"] {
        assert!(somebody.output.contains(told), "{told}: {somebody:?}");
    }
}

#[test]
fn a_watched_status_is_told_again_when_something_has_changed() {
    let server = Server::dev();
    let mut command = command();
    command.env("COUNTERSIGN_SERVER", &server.address).env("COUNTERSIGN_APPLICATION", "demo");
    let mut watch = command
        .args(["migration", "status", "--watch", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut accepted = || {
        let line = lines.next().expect("a report").unwrap();
        let report: Value = serde_json::from_str(&line).unwrap();
        let today = report.pointer("/report/days").and_then(Value::as_array).unwrap().last().cloned().unwrap();
        today["hash_accepted"].clone()
    };
    assert_eq!(accepted(), json!("0"));
    assert_eq!(server.run(&HASHED).status, 0);
    assert_eq!(accepted(), json!("1"));
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(watch.wait().unwrap().code(), Some(1), "not ready, as last told");
}
