//! Claims written into the configuration: the same for everybody, or by user id or e-mail address.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Answer, Ask, ClaimSource, ConfigProblem, OpenError, SourceKind};
use serde::Deserialize;
use serde_json::{Map, Value};

/// `kind = "static"`
#[derive(Clone, Copy, Debug)]
pub struct Static;

/// `[sources.<name>.config]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What everybody has.
    claims: Map<String, Value>,
    /// What this user id has, in place of what everybody has.
    by_user_id: BTreeMap<String, Map<String, Value>>,
    /// What this e-mail address has, where the user id says nothing.
    by_email: BTreeMap<String, Map<String, Value>>,
}

#[async_trait]
impl SourceKind for Static {
    const NAME: &'static str = "static";
    type Config = Config;

    fn validate(config: &Config, sets: &[String]) -> Vec<ConfigProblem> {
        let undeclared = |table: &str, claims: &Map<String, Value>| {
            let unknown = claims.keys().any(|name| !sets.contains(name));
            unknown.then(|| ConfigProblem {
                key: table.to_owned(),
                wrong: "has a claim that the source does not say it sets".to_owned(),
                right: "add the claim to `sets`, or remove it".to_owned(),
            })
        };
        let tables = [("by_user_id", &config.by_user_id), ("by_email", &config.by_email)];
        let mut problems: Vec<_> = undeclared("claims", &config.claims).into_iter().collect();
        problems.extend(
            tables.into_iter().filter_map(|(name, table)| table.values().find_map(|claims| undeclared(name, claims))),
        );
        if config.claims.is_empty() && tables.iter().all(|(_, table)| table.is_empty()) {
            problems.push(ConfigProblem {
                key: "claims".to_owned(),
                wrong: "is empty, and so are by_user_id and by_email".to_owned(),
                right: "claims = { plan = \"Free\" }".to_owned(),
            });
        }
        problems
    }

    async fn open(config: Config) -> Result<Arc<dyn ClaimSource>, OpenError> {
        Ok(Arc::new(Open(config)))
    }
}

#[derive(Debug)]
struct Open(Config);

#[async_trait]
impl ClaimSource for Open {
    async fn claims(&self, ask: &Ask) -> Answer {
        let own = |table: &'_ BTreeMap<String, Map<String, Value>>, key: &Option<String>| {
            key.as_ref().and_then(|key| table.get(key)).cloned().unwrap_or_default()
        };
        let mut claims = self.0.claims.clone();
        claims.extend(own(&self.0.by_email, &ask.email));
        claims.extend(own(&self.0.by_user_id, &ask.user_id));
        claims.retain(|name, _| ask.wanted.contains(name));
        if claims.is_empty() { Answer::NotFound } else { Answer::Found { claims, fresh_for: None } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn the_user_id_goes_before_the_email_before_everybody() {
        let config: Config = serde_json::from_value(json!({
            "claims": {"plan": "Free", "title": "Member"},
            "by_user_id": {"u1": {"plan": "Gold"}},
            "by_email": {"a@b.example": {"plan": "Silver", "title": "Friend"}},
        }))
        .expect("a configuration");
        let source = Static::open(config).await.expect("no IO");
        let ask = |user_id: Option<&str>, email: Option<&str>, wanted: &[&str]| Ask {
            application: "demo".to_owned(),
            user_id: user_id.map(str::to_owned),
            email: email.map(str::to_owned),
            wanted: wanted.iter().map(|name| (*name).to_owned()).collect(),
        };
        let found =
            |claims: Value| Answer::Found { claims: claims.as_object().cloned().unwrap_or_default(), fresh_for: None };
        let both = ask(Some("u1"), Some("a@b.example"), &["plan", "title"]);
        assert_eq!(source.claims(&both).await, found(json!({"plan": "Gold", "title": "Friend"})));
        assert_eq!(source.claims(&ask(None, None, &["plan"])).await, found(json!({"plan": "Free"})));
        assert_eq!(source.claims(&ask(None, None, &["other"])).await, Answer::NotFound);
    }

    #[test]
    fn what_it_sets_is_declared() {
        let config = Config {
            by_email: [("a@b.example".to_owned(), Map::from_iter([("plan".to_owned(), json!(1))]))].into(),
            ..Config::default()
        };
        let keys = |problems: Vec<ConfigProblem>| problems.into_iter().map(|p| p.key).collect::<Vec<_>>();
        assert_eq!(keys(Static::validate(&config, &[])), ["by_email"]);
        assert!(Static::validate(&config, &["plan".to_owned()]).is_empty());
        assert_eq!(keys(Static::validate(&Config::default(), &[])), ["claims"]);
    }
}
