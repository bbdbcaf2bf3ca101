//! What a source's process is asked, and how much of the user it is told.

use std::collections::BTreeSet;

use countersign_claim_source::{Ask, Check};
use serde_json::{Map, Value};

use crate::Identifier;
use crate::proto::{FetchRequest, ValidateRequest};

/// Bytes of `settings` as JSON: they go with every question.
const SETTINGS_BYTES: usize = 64 * 1024;

/// What every question to a source's process has in common.
pub(crate) struct Question {
    /// The claims that the source sets.
    pub(crate) sets: Vec<String>,
    /// The identifiers without which the process is not asked.
    required: Vec<&'static str>,
    /// The identifiers and claims that the process is told.
    told: BTreeSet<String>,
    /// The process's own settings.
    settings: Map<String, Value>,
    /// The same, as they are sent.
    settings_json: Vec<u8>,
}

impl Question {
    /// Reads the keys `identifiers` and `settings`.
    pub(crate) fn check(
        identifiers: Option<&[Identifier]>,
        settings: Map<String, Value>,
        check: &Check<'_>,
    ) -> Option<Self> {
        let told: BTreeSet<String> = (identifiers.unwrap_or(&Identifier::ALL).iter())
            .map(|identifier| identifier.name().to_owned())
            .chain(check.needs().iter().cloned())
            .collect();
        for name in told.iter().map(String::as_str).chain(["application"]) {
            check.asks_with(name);
        }
        let required = identifiers.unwrap_or_default().iter().map(|identifier| identifier.name()).collect();
        let settings_json = serde_json::to_vec(&settings).ok()?;
        if settings_json.len() > SETTINGS_BYTES {
            let right = format!("at most {SETTINGS_BYTES} bytes as JSON: they go with every question");
            check.problem("settings", "is too long", right);
            return None;
        }
        Some(Self { sets: check.sets().to_vec(), required, told, settings, settings_json })
    }

    /// The first identifier that has to be there and is not.
    pub(crate) fn missing(&self, ask: &Ask) -> Option<&'static str> {
        self.required.iter().copied().find(|name| ask.text(name).is_none())
    }

    /// Whether the process is told this identifier or claim, where it is known.
    pub(crate) fn tells(&self, name: &str) -> bool {
        self.told.contains(name)
    }

    /// Whether this is a setting that the operator wrote.
    pub(crate) fn has_setting(&self, key: &str) -> bool {
        self.settings.contains_key(key)
    }

    pub(crate) fn fetch(&self, ask: &Ask) -> FetchRequest {
        let known = ask.known.iter().filter(|(name, _)| self.tells(name));
        let known: Map<String, Value> = known.map(|(name, value)| (name.clone(), value.clone())).collect();
        FetchRequest {
            application: ask.application.as_ref().to_owned(),
            user_id: ask.user_id.clone().filter(|_| self.tells("user_id")),
            email: ask.email.clone().filter(|_| self.tells("email")),
            known_json: Value::Object(known).to_string().into_bytes(),
            wanted: ask.wanted.to_vec(),
            settings_json: self.settings_json.clone(),
        }
    }

    pub(crate) fn validate(&self) -> ValidateRequest {
        ValidateRequest { settings_json: self.settings_json.clone(), sets: self.sets.clone() }
    }
}

#[cfg(test)]
mod tests {
    use countersign_claim_source::conformance::{self, TestSecrets};
    use countersign_claim_source::{Check, SourceKind as _};
    use serde_json::{Value, json};

    use super::SETTINGS_BYTES;
    use crate::{Config, Remote};

    /// What the host is told that the source asks with.
    fn asks_with(config: Value, needs: &[&str]) -> Vec<String> {
        let needs: Vec<String> = needs.iter().map(|name| (*name).to_owned()).collect();
        let secrets = TestSecrets::default();
        let check = Check::new(&[], &needs, &secrets);
        let config: Config = serde_json::from_value(config).expect("a configuration");
        assert!(Remote::check(config, &check).is_some());
        check.into_parts().1.into_iter().collect()
    }

    #[test]
    fn the_host_knows_what_an_answer_depends_on() {
        let address = "unix:/run/scores.sock";
        assert_eq!(asks_with(json!({"address": address}), &[]), ["application", "email", "user_id"]);
        let one = json!({"address": address, "identifiers": ["user_id"]});
        assert_eq!(asks_with(one.clone(), &[]), ["application", "user_id"]);
        assert_eq!(asks_with(one, &["seats", "email"]), ["application", "email", "seats", "user_id"]);
        assert_eq!(asks_with(json!({"address": address, "identifiers": []}), &[]), ["application"]);
    }

    #[test]
    fn one_byte_of_settings_too_many_is_a_problem() {
        let config = |text: usize| json!({"address": "unix:/run/scores.sock", "settings": {"table": "x".repeat(text)}});
        let around = r#"{"table":""}"#.len();
        assert!(conformance::check::<Remote>(config(SETTINGS_BYTES - around), &["number"], &[]).is_ok());
        let problems = conformance::check::<Remote>(config(SETTINGS_BYTES - around + 1), &["number"], &[]).err();
        let keys: Vec<_> = problems.into_iter().flatten().map(|problem| problem.key).collect();
        assert_eq!(keys, ["settings"]);
    }

    #[test]
    fn what_is_no_key_or_identifier_is_refused() {
        for config in [
            json!({}),
            json!({"address": "unix:/run/scores.sock", "adress": ""}),
            json!({"address": "unix:/run/scores.sock", "identifiers": ["phone"]}),
            json!({"address": "unix:/run/scores.sock", "settings": []}),
        ] {
            assert!(serde_json::from_value::<Config>(config.clone()).is_err(), "{config}");
        }
    }
}
