//! `[applications.X.acceptance]`, and the same where it is set at run time.

use serde_json::{Value, json};
use time::Duration;

use super::reader::{Found, Table};
use super::{Problem, file};
use crate::acceptance::{Acceptance, Exception, OnStoreError, Ratchet, Scope, Step, Window};

/// Ten years: nobody means more.
const GRACE_SECS: i64 = 315_360_000;

/// Entries of a list at most: a policy that is longer is nobody's policy.
const ENTRIES: usize = 100;

/// Reads a policy that is in no file (`acceptance_json.rs` writes such), with what is odd in it and yet works.
///
/// # Errors
///
/// Everything that is wrong with it. Keys begin with `acceptance`.
pub fn parse(policy: &Value) -> Result<(Acceptance, Vec<Problem>), Vec<Problem>> {
    let (found, name) = (Found::default(), "run time");
    let tree = file::of(name, json!({ "acceptance": policy })).ok_or_else(Vec::new)?;
    let policy = read(&tree.root(&found));
    match found.into_parts() {
        (problems, warnings) if problems.is_empty() => Ok((policy, warnings)),
        (problems, _) => Err(problems),
    }
}

pub(super) fn read(application: &Table<'_>) -> Acceptance {
    let Some(table) = application.table("acceptance") else { return Acceptance::default() };
    let mut policy = overlay(&table, Acceptance::default());
    if let Some(shadow) = table.table("shadow") {
        policy.shadow = Some(Box::new(overlay(&shadow, policy.clone())));
        shadow.done();
    }
    table.done();
    policy
}

/// The policy that the table makes of another: what it does not say stays.
fn overlay(table: &Table<'_>, under: Acceptance) -> Acceptance {
    let policy = Acceptance {
        hash_from: table.instant("hash_from").or(under.hash_from),
        jwt_from: table.instant("jwt_from").or(under.jwt_from),
        hash_until: table.instant("hash_until").or(under.hash_until),
        issue_jwt_from: table.instant("issue_jwt_from").or(under.issue_jwt_from),
        issue_hash_until: table.instant("issue_hash_until").or(under.issue_hash_until),
        exceptions: if table.has("exceptions") { exceptions(table) } else { under.exceptions },
        brownouts: if table.has("brownouts") { brownouts(table) } else { under.brownouts },
        rollout: if table.has("rollout") { rollout(table) } else { under.rollout },
        ratchet: if table.has("ratchet") { ratchet(table) } else { under.ratchet },
        shadow: None,
    };
    check(table, &policy);
    policy
}

fn check(table: &Table<'_>, policy: &Acceptance) {
    let lists = [policy.exceptions.len(), policy.brownouts.len(), policy.rollout.len()];
    for (key, _) in ["exceptions", "brownouts", "rollout"].iter().zip(lists).filter(|(_, many)| *many > ENTRIES) {
        table.problem(key, "has too many entries", &format!("at most {ENTRIES}"));
    }
    let gap = policy.hash_until.zip(policy.jwt_from).is_some_and(|(end, start)| end < start);
    if gap {
        table.warning("hash_until", "is before jwt_from: in between nobody can be identified", "move one of them");
    }
    if policy.hash_from.zip(policy.hash_until).is_some_and(|(start, end)| end <= start) {
        table.warning("hash_until", "is not after hash_from: hashes are never accepted", "move one of them");
    }
    if policy.issue_hash_until.zip(policy.last_hash_until()).is_some_and(|(issue, accept)| accept < issue) {
        table.warning("issue_hash_until", "is after the last hash is accepted", "stop issuing before");
    }
}

fn exceptions(table: &Table<'_>) -> Vec<Exception> {
    let main = table.instant("hash_until");
    let read = table.list("exceptions").into_iter().filter_map(|item| {
        let (client, caller) = (item.text("client"), item.text("caller"));
        if client.is_none() && caller.is_none() {
            item.problem("client", "is missing, and so is caller", "name the client, the caller, or both");
        }
        if !item.has("hash_until") {
            item.problem("hash_until", "is missing", "as in \"2027-06-30T00:00:00Z\"");
        }
        let hash_until = item.instant("hash_until");
        if main.zip(hash_until).is_some_and(|(main, until)| until <= main) {
            item.warning("hash_until", "is not later than the policy's own and changes nothing", "remove it");
        }
        item.done();
        Some(Exception { client, caller, hash_until: hash_until? })
    });
    read.collect()
}

fn brownouts(table: &Table<'_>) -> Vec<Window> {
    let read = table.list("brownouts").into_iter().filter_map(|item| {
        for key in ["from", "until"] {
            if !item.has(key) {
                item.problem(key, "is missing", "as in \"2027-02-01T10:00:00Z\"");
            }
        }
        let window = Window { from: item.instant("from")?, until: item.instant("until")? };
        if window.until <= window.from {
            item.problem("until", "is not after from", "a later time");
        }
        item.done();
        Some(window)
    });
    read.collect()
}

fn rollout(table: &Table<'_>) -> Vec<Step> {
    let read = table.list("rollout").into_iter().filter_map(|item| {
        for (key, right) in [("at", "as in \"2027-01-15T00:00:00Z\""), ("percent", "0 to 100")] {
            if !item.has(key) {
                item.problem(key, "is missing", right);
            }
        }
        let (at, percent) = (item.instant("at"), item.integer("percent", 0..=100));
        item.done();
        Some(Step { at: at?, percent: u8::try_from(percent?).ok()? })
    });
    let mut steps: Vec<Step> = read.collect();
    steps.sort_by_key(|step| step.at);
    if steps.iter().zip(steps.iter().skip(1)).any(|(step, next)| step.at == next.at) {
        table.problem("rollout", "has two steps at the same time", "remove one of them");
    }
    steps
}

fn ratchet(table: &Table<'_>) -> Option<Ratchet> {
    let ratchet = table.table("ratchet")?;
    for (key, right) in [
        ("scope", "must be one of subject, subject_and_client"),
        ("on_store_error", "must be one of accept, refuse: there is no default"),
    ] {
        if !ratchet.has(key) {
            ratchet.problem(key, "is missing", right);
        }
    }
    let scope = ratchet.word("scope", &[("subject", Scope::Subject), ("subject_and_client", Scope::SubjectAndClient)]);
    let words = [("accept", OnStoreError::Accept), ("refuse", OnStoreError::Refuse)];
    let on_store_error = ratchet.word("on_store_error", &words);
    let grace = Duration::seconds(ratchet.integer("grace_secs", 0..=GRACE_SECS).unwrap_or(0));
    ratchet.done();
    Some(Ratchet { scope: scope?, grace, on_store_error: on_store_error? })
}
