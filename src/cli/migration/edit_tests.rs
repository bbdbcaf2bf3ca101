//! What flags make of a policy.

use clap::Parser as _;

use super::*;
use crate::cli::args::{Cli, Command};
use crate::cli::migration::args::Act;
use crate::cli::migration::policy::{changes, rows};

fn flags(flags: &[&str]) -> Set {
    let fixed = ["countersign", "migration", "set", "--application", "demo", "--reason", "why"];
    let cli = Cli::try_parse_from(fixed.iter().chain(flags)).unwrap_or_else(|error| panic!("{error}"));
    let Command::Migration(migration) = cli.command else { panic!("migration") };
    let Act::Set(set) = migration.act else { panic!("set") };
    *set
}

fn edited(under: &Acceptance, arguments: &[&str]) -> Acceptance {
    apply(&flags(arguments), under).unwrap()
}

fn policy() -> Acceptance {
    edited(
        &Acceptance::default(),
        &[
            "--jwt-from=2026-01-01",
            "--hash-until=2027-03-31",
            "--brownout=2027-02-01T10:00:00Z/2027-02-01T10:15:00Z",
            "--rollout=2027-01-15=5",
            "--exception=client=ios,until=2027-06-30",
            "--ratchet=scope=subject,grace_secs=60,on_store_error=refuse",
        ],
    )
}

#[test]
fn flags_say_what_the_file_could() {
    let wanted = [
        ("jwt_from", "2026-01-01T00:00:00Z"),
        ("hash_until", "2027-03-31T00:00:00Z"),
        ("exception", "client=ios,until=2027-06-30T00:00:00Z"),
        ("brownout", "2027-02-01T10:00:00Z/2027-02-01T10:15:00Z"),
        ("rollout", "2027-01-15T00:00:00Z=5"),
        ("ratchet", "scope=subject,grace_secs=60,on_store_error=refuse"),
    ];
    let said = rows(&policy());
    assert_eq!(said.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), wanted);
}

#[test]
fn what_is_not_named_stays_and_the_change_is_told() {
    let after = edited(&policy(), &["--hash-until", "2027-04-30", "--rollout", "2027-01-15=50%"]);
    let wanted = "\
- hash_until  2027-03-31T00:00:00Z
- rollout  2027-01-15T00:00:00Z=5
+ hash_until  2027-04-30T00:00:00Z
+ rollout  2027-01-15T00:00:00Z=50
";
    assert_eq!(changes(&policy(), &after), wanted);
    assert_eq!(changes(&policy(), &edited(&policy(), &["--hash-until", "2027-03-31"])), "");
}

#[test]
fn what_is_there_can_be_dropped_or_replaced() {
    let none =
        ["--jwt-from=none", "--hash-until=none", "--no-brownouts", "--no-rollout", "--no-exceptions", "--ratchet=none"];
    assert_eq!(edited(&policy(), &none), Acceptance::default());
    let other =
        edited(&policy(), &["--exception", "client=ios,until=2027-07-31", "--exception", "caller=a,until=2027-08-01"]);
    assert_eq!(other.exceptions.len(), 2);
    let moved = edited(&policy(), &["--no-brownouts", "--brownout", "2027-02-02/2027-02-03"]);
    assert_eq!(moved.brownouts.len(), 1);
}

#[test]
fn a_shadow_is_kept_as_what_it_says_alone() {
    let tried = edited(&policy(), &["--shadow-hash-until", "2027-01-01"]);
    // The server answers with the whole policy that is tried out.
    let whole = Acceptance { hash_until: date("", "2027-01-01").ok(), shadow: None, ..policy() };
    let read = Acceptance { shadow: Some(Box::new(whole)), ..policy() };
    assert_eq!(rows(&read).last(), Some(&("shadow hash_until".to_owned(), "2027-01-01T00:00:00Z".to_owned())));
    assert_eq!(rows(&read), rows(&tried));
    let later = edited(&read, &["--no-brownouts"]);
    let shadow = later.shadow.clone().unwrap();
    assert_eq!((shadow.hash_until, shadow.jwt_from, shadow.brownouts.len()), (date("", "2027-01-01").ok(), None, 0));
    assert_eq!(edited(&later, &["--shadow-hash-until", "none"]).shadow, None);
}

#[test]
fn what_cannot_be_read_is_a_mistake() {
    for wrong in [
        "--hash-until=soon",
        "--brownout=2027-02-01",
        "--rollout=2027-01-15",
        "--rollout=2027-01-15=half",
        "--exception=ios",
        "--exception=client=ios",
        "--exception=label=ios,until=2027-06-30",
        "--ratchet=scope=everybody",
        "--ratchet=on_store_error=ignore",
        "--ratchet=grace_secs=soon",
        "--ratchet=grace=1",
    ] {
        assert!(apply(&flags(&[wrong]), &policy()).is_err(), "{wrong}");
    }
    let nothing = ["countersign", "migration", "set", "--application", "demo", "--reason", "why"];
    assert!(Cli::try_parse_from(nothing).is_err(), "a change is needed");
    let silent = ["countersign", "migration", "set", "--application", "demo", "--hash-until", "none"];
    assert!(Cli::try_parse_from(silent).is_err(), "a reason is needed");
}
