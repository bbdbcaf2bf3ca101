//! A policy, for people: one row for each thing that it says, and what changes from one to another.

use std::fmt::Write as _;

use crate::cli::text::{Table, instant, line, plain};
use crate::grpc::proto::admin::{Acceptance, OnStoreError, Ratchet, RatchetScope};

/// What a policy says, row by row: the key of the configuration, and its value.
pub(super) fn rows(policy: &Acceptance) -> Vec<(String, String)> {
    let mut rows = own_rows(policy);
    if let Some(shadow) = &policy.shadow {
        // The server says the whole of what is tried out; what is the same as in the policy is not worth a row.
        let tried = own_rows(shadow).into_iter().filter(|row| !rows.contains(row));
        rows.extend(tried.map(|(name, value)| (format!("shadow {name}"), value)).collect::<Vec<_>>());
    }
    rows
}

/// The policy as a table.
pub(super) fn write(policy: &Acceptance, indent: &str, to: &mut String) {
    let mut table = Table::default();
    for (name, value) in rows(policy) {
        table.row(name, value);
    }
    if table.is_empty() {
        line(to, format_args!("{indent}hashes and JWTs count, with no end"));
    }
    table.write(indent, to);
}

/// What goes and what comes; empty where nothing changes.
pub(super) fn changes(before: &Acceptance, after: &Acceptance) -> String {
    let (before, after) = (rows(before), rows(after));
    let mut text = String::new();
    for (sign, of, other) in [('-', &before, &after), ('+', &after, &before)] {
        for (name, value) in of.iter().filter(|row| !other.contains(row)) {
            line(&mut text, format_args!("{sign} {}  {}", plain(name), plain(value)));
        }
    }
    text
}

fn own_rows(policy: &Acceptance) -> Vec<(String, String)> {
    let dates = [
        ("hash_from", policy.hash_from),
        ("jwt_from", policy.jwt_from),
        ("hash_until", policy.hash_until),
        ("issue_jwt_from", policy.issue_jwt_from),
        ("issue_hash_until", policy.issue_hash_until),
    ];
    let mut rows: Vec<(String, String)> =
        dates.into_iter().filter_map(|(name, at)| Some((name.to_owned(), instant(&at?)))).collect();
    let at = |at: &Option<prost_types::Timestamp>| at.as_ref().map(instant).unwrap_or_default();
    for exception in &policy.exceptions {
        let mut who = String::new();
        for (name, value) in [("client", &exception.client), ("caller", &exception.caller)] {
            if !value.is_empty() {
                // Writing to a String cannot fail.
                write!(who, "{name}={value},").unwrap_or_default();
            }
        }
        rows.push(("exception".to_owned(), format!("{who}until={}", at(&exception.hash_until))));
    }
    for window in &policy.brownouts {
        rows.push(("brownout".to_owned(), format!("{}/{}", at(&window.from), at(&window.until))));
    }
    for step in &policy.rollout {
        rows.push(("rollout".to_owned(), format!("{}={}", at(&step.at), step.percent)));
    }
    rows.extend(policy.ratchet.as_ref().map(|ratchet| ("ratchet".to_owned(), ratchet_text(ratchet))));
    rows
}

fn ratchet_text(ratchet: &Ratchet) -> String {
    let scope = match ratchet.scope() {
        RatchetScope::Subject => "subject",
        RatchetScope::SubjectAndClient => "subject_and_client",
        RatchetScope::Unspecified => "?",
    };
    let on_store_error = match ratchet.on_store_error() {
        OnStoreError::Accept => "accept",
        OnStoreError::Refuse => "refuse",
        OnStoreError::Unspecified => "?",
    };
    let grace = ratchet.grace.map_or(0, |grace| grace.seconds);
    format!("scope={scope},grace_secs={grace},on_store_error={on_store_error}")
}
