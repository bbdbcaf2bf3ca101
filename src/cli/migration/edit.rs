//! The flags of `set`, applied to the policy in force. What the policy then is worth, the server says.

use anyhow::{Context as _, bail, ensure};
use prost_types::{Duration, Timestamp};

use super::args::Set;
use super::date;
use crate::grpc::proto::admin::{
    Acceptance, AcceptanceException, Brownout, OnStoreError, Ratchet, RatchetScope, RolloutStep,
};

/// The policy that the flags make of another: what they do not name stays.
pub(super) fn apply(set: &Set, under: &Acceptance) -> anyhow::Result<Acceptance> {
    let mut policy = Acceptance { shadow: under.shadow.as_ref().map(|shadow| thin(shadow, under)), ..under.clone() };
    for (flag, text, at) in [
        ("--hash-from", &set.hash_from, &mut policy.hash_from),
        ("--jwt-from", &set.jwt_from, &mut policy.jwt_from),
        ("--hash-until", &set.hash_until, &mut policy.hash_until),
        ("--issue-jwt-from", &set.issue_jwt_from, &mut policy.issue_jwt_from),
        ("--issue-hash-until", &set.issue_hash_until, &mut policy.issue_hash_until),
    ] {
        if let Some(text) = text {
            *at = date_or_none(flag, text)?;
        }
    }
    lists(set, &mut policy)?;
    if let Some(text) = &set.ratchet {
        policy.ratchet = if text == "none" { None } else { Some(ratchet(text)?) };
    }
    if let Some(text) = &set.shadow_hash_until {
        let mut shadow = policy.shadow.take().unwrap_or_default();
        shadow.hash_until = date_or_none("--shadow-hash-until", text)?;
        policy.shadow = (*shadow != Acceptance::default()).then_some(shadow);
    }
    Ok(policy)
}

fn lists(set: &Set, policy: &mut Acceptance) -> anyhow::Result<()> {
    if set.no_brownouts {
        policy.brownouts.clear();
    }
    if set.no_rollout {
        policy.rollout.clear();
    }
    if set.no_exceptions {
        policy.exceptions.clear();
    }
    for text in &set.brownout {
        policy.brownouts.push(brownout(text)?);
    }
    policy.brownouts.sort_by_key(|window| seconds(window.from.as_ref()));
    for text in &set.rollout {
        let step = step(text)?;
        policy.rollout.retain(|other| other.at != step.at);
        policy.rollout.push(step);
    }
    policy.rollout.sort_by_key(|step| seconds(step.at.as_ref()));
    for text in &set.exception {
        let new = exception(text)?;
        policy.exceptions.retain(|other| (&other.client, &other.caller) != (&new.client, &new.caller));
        policy.exceptions.push(new);
    }
    Ok(())
}

/// What a shadow says that the policy does not. The server answers with the whole of what is tried out; sent back like
/// that, it would keep what the flags change.
fn thin(shadow: &Acceptance, policy: &Acceptance) -> Box<Acceptance> {
    fn other<T: PartialEq + Clone + Default>(tried: &T, held: &T) -> T {
        if tried == held { T::default() } else { tried.clone() }
    }
    Box::new(Acceptance {
        hash_from: other(&shadow.hash_from, &policy.hash_from),
        jwt_from: other(&shadow.jwt_from, &policy.jwt_from),
        hash_until: other(&shadow.hash_until, &policy.hash_until),
        issue_jwt_from: other(&shadow.issue_jwt_from, &policy.issue_jwt_from),
        issue_hash_until: other(&shadow.issue_hash_until, &policy.issue_hash_until),
        exceptions: other(&shadow.exceptions, &policy.exceptions),
        brownouts: other(&shadow.brownouts, &policy.brownouts),
        rollout: other(&shadow.rollout, &policy.rollout),
        ratchet: other(&shadow.ratchet, &policy.ratchet),
        shadow: None,
    })
}

fn date_or_none(flag: &str, text: &str) -> anyhow::Result<Option<Timestamp>> {
    if text == "none" { Ok(None) } else { date(flag, text).map(Some) }
}

fn seconds(at: Option<&Timestamp>) -> i64 {
    at.map_or(0, |at| at.seconds)
}

fn brownout(text: &str) -> anyhow::Result<Brownout> {
    let (from, until) = text.split_once('/').context("--brownout: give FROM/UNTIL")?;
    Ok(Brownout { from: Some(date("--brownout", from)?), until: Some(date("--brownout", until)?) })
}

fn step(text: &str) -> anyhow::Result<RolloutStep> {
    let (at, percent) = text.split_once('=').context("--rollout: give DATE=PERCENT")?;
    let percent = percent.trim_end_matches('%').parse().ok().context("--rollout: PERCENT is a number from 0 to 100")?;
    Ok(RolloutStep { at: Some(date("--rollout", at)?), percent })
}

fn exception(text: &str) -> anyhow::Result<AcceptanceException> {
    let mut exception = AcceptanceException::default();
    for (key, value) in pairs("--exception", text)? {
        match key {
            "client" => value.clone_into(&mut exception.client),
            "caller" => value.clone_into(&mut exception.caller),
            "until" => exception.hash_until = Some(date("--exception", value)?),
            _ => bail!("--exception: the keys are client, caller and until"),
        }
    }
    ensure!(exception.hash_until.is_some(), "--exception: until is missing");
    Ok(exception)
}

fn ratchet(text: &str) -> anyhow::Result<Ratchet> {
    let mut ratchet = Ratchet::default();
    for (key, value) in pairs("--ratchet", text)? {
        match (key, value) {
            ("scope", "subject") => ratchet.set_scope(RatchetScope::Subject),
            ("scope", "subject_and_client") => ratchet.set_scope(RatchetScope::SubjectAndClient),
            ("scope", _) => bail!("--ratchet: scope is subject or subject_and_client"),
            ("on_store_error", "accept") => ratchet.set_on_store_error(OnStoreError::Accept),
            ("on_store_error", "refuse") => ratchet.set_on_store_error(OnStoreError::Refuse),
            ("on_store_error", _) => bail!("--ratchet: on_store_error is accept or refuse"),
            ("grace_secs", secs) => {
                let seconds = secs.parse().ok().context("--ratchet: grace_secs is a number of seconds")?;
                ratchet.grace = Some(Duration { seconds, nanos: 0 });
            }
            _ => bail!("--ratchet: the keys are scope, grace_secs and on_store_error"),
        }
    }
    Ok(ratchet)
}

/// `KEY=VALUE,KEY=VALUE`
fn pairs<'t>(flag: &str, text: &'t str) -> anyhow::Result<Vec<(&'t str, &'t str)>> {
    let pairs = text.split(',').map(|pair| pair.split_once('='));
    pairs.collect::<Option<_>>().with_context(|| format!("{flag}: give KEY=VALUE, with commas between"))
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
