//! A policy as JSON, in the shape that `[applications.X.acceptance]` has: what is kept of one that is set at run time, and
//! what a file's policy is known again by. It is read by `config/acceptance.rs`, like the file.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use crate::acceptance::{Acceptance, Exception, OnStoreError, Ratchet, Scope, Step, Window};

/// The policy as JSON; what is absent in it is not there.
#[must_use]
pub fn write(policy: &Acceptance) -> Value {
    let mut table = Map::new();
    let dates = [
        ("hash_from", policy.hash_from),
        ("jwt_from", policy.jwt_from),
        ("hash_until", policy.hash_until),
        ("issue_jwt_from", policy.issue_jwt_from),
        ("issue_hash_until", policy.issue_hash_until),
    ];
    for (key, date) in dates {
        table.extend(date.map(|date| (key.to_owned(), instant(date))));
    }
    let lists = [
        ("exceptions", policy.exceptions.iter().map(exception).collect::<Vec<_>>()),
        ("brownouts", policy.brownouts.iter().map(window).collect()),
        ("rollout", policy.rollout.iter().map(step).collect()),
    ];
    for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        table.insert(key.to_owned(), list.into());
    }
    table.extend(policy.ratchet.as_ref().map(|written| ("ratchet".to_owned(), ratchet(written))));
    table.extend(policy.shadow.as_ref().map(|shadow| ("shadow".to_owned(), write(shadow))));
    table.into()
}

/// What the policy is known again by.
#[must_use]
pub fn digest(policy: &Acceptance) -> String {
    hex::encode(Sha256::digest(write(policy).to_string()))
}

fn exception(exception: &Exception) -> Value {
    let mut table = Map::new();
    let names = [("client", &exception.client), ("caller", &exception.caller)];
    table.extend(names.into_iter().filter_map(|(key, name)| Some((key.to_owned(), name.clone()?.into()))));
    table.insert("hash_until".to_owned(), instant(exception.hash_until));
    table.into()
}

fn window(window: &Window) -> Value {
    json!({"from": instant(window.from), "until": instant(window.until)})
}

fn step(step: &Step) -> Value {
    json!({"at": instant(step.at), "percent": step.percent})
}

fn ratchet(ratchet: &Ratchet) -> Value {
    json!({
        "scope": match ratchet.scope {
            Scope::Subject => "subject",
            Scope::SubjectAndClient => "subject_and_client",
        },
        "grace_secs": ratchet.grace.whole_seconds(),
        "on_store_error": match ratchet.on_store_error {
            OnStoreError::Accept => "accept",
            OnStoreError::Refuse => "refuse",
        },
    })
}

fn instant(at: UtcDateTime) -> Value {
    // It fails for years beyond 9999 alone, which nothing that is read can have.
    at.format(&Rfc3339).unwrap_or_default().into()
}
