//! A policy, between the wire and the shape that the file has. What is wrong with it is found by whoever reads that shape
//! (`config/acceptance.rs`), so that file and wire have the same rules.

use serde_json::{Map, Value, json};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use crate::acceptance::{Acceptance, OnStoreError, Ratchet, Scope};
use crate::grpc::answer::timestamp;
use crate::grpc::convert::instant;
use crate::grpc::proto::admin as wire;

/// The policy in the shape of the file. What cannot be said in it becomes `null`, which is a problem wherever it stands.
#[must_use]
pub(super) fn read(policy: &wire::Acceptance) -> Value {
    let mut table = Map::new();
    let dates = [
        ("hash_from", &policy.hash_from),
        ("jwt_from", &policy.jwt_from),
        ("hash_until", &policy.hash_until),
        ("issue_jwt_from", &policy.issue_jwt_from),
        ("issue_hash_until", &policy.issue_hash_until),
    ];
    for (key, at) in dates {
        put_date(&mut table, key, at.as_ref());
    }
    let exceptions = policy.exceptions.iter().map(|exception| {
        let mut table = Map::new();
        for (key, name) in [("client", &exception.client), ("caller", &exception.caller)] {
            table.extend((!name.is_empty()).then(|| (key.to_owned(), json!(name))));
        }
        put_date(&mut table, "hash_until", exception.hash_until.as_ref());
        Value::Object(table)
    });
    let brownouts = policy.brownouts.iter().map(|brownout| {
        let mut table = Map::new();
        put_date(&mut table, "from", brownout.from.as_ref());
        put_date(&mut table, "until", brownout.until.as_ref());
        Value::Object(table)
    });
    let rollout = policy.rollout.iter().map(|step| {
        let mut table = Map::from_iter([("percent".to_owned(), json!(step.percent))]);
        put_date(&mut table, "at", step.at.as_ref());
        Value::Object(table)
    });
    let lists: [(&str, Vec<Value>); 3] =
        [("exceptions", exceptions.collect()), ("brownouts", brownouts.collect()), ("rollout", rollout.collect())];
    table.extend(
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(key, list)| (key.to_owned(), list.into())),
    );
    table.extend(policy.ratchet.as_ref().map(|ratchet| ("ratchet".to_owned(), read_ratchet(ratchet))));
    table.extend(policy.shadow.as_ref().map(|shadow| ("shadow".to_owned(), read(shadow))));
    table.into()
}

/// The policy on the wire.
#[must_use]
pub(super) fn write(policy: &Acceptance) -> wire::Acceptance {
    let exception = |exception: &crate::acceptance::Exception| wire::AcceptanceException {
        client: exception.client.clone().unwrap_or_default(),
        caller: exception.caller.clone().unwrap_or_default(),
        hash_until: Some(timestamp(exception.hash_until)),
    };
    let brownout = |window: &crate::acceptance::Window| wire::Brownout {
        from: Some(timestamp(window.from)),
        until: Some(timestamp(window.until)),
    };
    let step = |step: &crate::acceptance::Step| wire::RolloutStep {
        at: Some(timestamp(step.at)),
        percent: step.percent.into(),
    };
    wire::Acceptance {
        hash_from: policy.hash_from.map(timestamp),
        jwt_from: policy.jwt_from.map(timestamp),
        hash_until: policy.hash_until.map(timestamp),
        issue_jwt_from: policy.issue_jwt_from.map(timestamp),
        issue_hash_until: policy.issue_hash_until.map(timestamp),
        exceptions: policy.exceptions.iter().map(exception).collect(),
        brownouts: policy.brownouts.iter().map(brownout).collect(),
        rollout: policy.rollout.iter().map(step).collect(),
        ratchet: policy.ratchet.map(write_ratchet),
        shadow: policy.shadow.as_ref().map(|shadow| Box::new(write(shadow))),
    }
}

fn read_ratchet(ratchet: &wire::Ratchet) -> Value {
    let mut table = Map::new();
    let scope = match ratchet.scope() {
        wire::RatchetScope::Subject => Some("subject"),
        wire::RatchetScope::SubjectAndClient => Some("subject_and_client"),
        wire::RatchetScope::Unspecified => None,
    };
    let on_store_error = match ratchet.on_store_error() {
        wire::OnStoreError::Accept => Some("accept"),
        wire::OnStoreError::Refuse => Some("refuse"),
        wire::OnStoreError::Unspecified => None,
    };
    for (key, word) in [("scope", scope), ("on_store_error", on_store_error)] {
        table.extend(word.map(|word| (key.to_owned(), word.into())));
    }
    if let Some(grace) = ratchet.grace {
        table.insert("grace_secs".to_owned(), if grace.nanos == 0 { json!(grace.seconds) } else { Value::Null });
    }
    table.into()
}

fn write_ratchet(ratchet: Ratchet) -> wire::Ratchet {
    let scope = match ratchet.scope {
        Scope::Subject => wire::RatchetScope::Subject,
        Scope::SubjectAndClient => wire::RatchetScope::SubjectAndClient,
    };
    let on_store_error = match ratchet.on_store_error {
        OnStoreError::Accept => wire::OnStoreError::Accept,
        OnStoreError::Refuse => wire::OnStoreError::Refuse,
    };
    let grace = prost_types::Duration { seconds: ratchet.grace.whole_seconds(), nanos: 0 };
    wire::Ratchet { scope: scope.into(), grace: Some(grace), on_store_error: on_store_error.into() }
}

fn put_date(table: &mut Map<String, Value>, key: &str, at: Option<&prost_types::Timestamp>) {
    let Some(at) = at else { return };
    let text = instant(*at).and_then(|at: UtcDateTime| at.format(&Rfc3339).ok());
    table.insert(key.to_owned(), text.map_or(Value::Null, Value::String));
}
