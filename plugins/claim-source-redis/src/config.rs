//! `[sources.<name>.config]`: what an operator writes, and all that can be wrong with it.

use std::collections::BTreeMap;

use countersign_claim_source::{Check, Reference, Secret, Template, Text, Tls};
use countersign_redis_link::{Connector, SCHEMES, Settings};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::format::Layout;

/// `[sources.<name>.config]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server; a node of the Cluster; a Sentinel. `redis://user:password@host:6379/database`, or `rediss://` for
    /// TLS. User, password and database are those of the servers that hold the claims, in every case.
    pub(crate) url: Text,
    /// More nodes of the Cluster, or more Sentinels: `host:port`. One that answers is enough.
    #[serde(default)]
    pub(crate) nodes: Vec<String>,
    /// Whether it is a Redis Cluster.
    #[serde(default)]
    pub(crate) cluster: bool,
    /// Where Sentinels say which server is the primary.
    pub(crate) sentinel: Option<Sentinel>,
    /// The ACL user, in place of the one in `url`. Needs `password`.
    pub(crate) username: Option<String>,
    /// The password, in place of the one in `url`.
    pub(crate) password: Option<Reference>,
    /// The number of the database, in place of the one in `url`. A Cluster has only 0.
    pub(crate) database: Option<u32>,
    /// Certificates, where `url` says TLS. They hold for Sentinels too.
    pub(crate) tls: Option<Tls>,
    /// The key of a user: text with `{user_id}`, `{email}`, `{application}` or a claim of `needs`.
    pub(crate) key: String,
    /// What is under the key.
    #[serde(default)]
    pub(crate) format: Format,
    /// Claim by claim, the field of the hash, or the JSONPath (RFC 9535) into the document. A claim that is not here
    /// stands under its own name.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, String>,
    /// The claims whose field of the hash holds JSON: a number, `true`, a list. Every other field is a text.
    #[serde(default)]
    pub(crate) json_claims: Vec<String>,
}

/// What is under a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A hash.
    #[default]
    Hash,
    /// A string that is a JSON document.
    Json,
}

/// Redis Sentinel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sentinel {
    /// What the Sentinels call the primary: the name in their `sentinel monitor`.
    master_name: String,
    /// The ACL user of the Sentinels. Needs `password`.
    username: Option<String>,
    /// The password of the Sentinels.
    password: Option<Reference>,
}

/// A configuration in which nothing is wrong.
#[derive(Debug)]
pub struct Checked {
    pub(crate) connector: Connector,
    pub(crate) key: Template,
    pub(crate) layout: Layout,
}

impl Config {
    /// Finds all that is wrong.
    pub(crate) fn check(self, check: &Check<'_>) -> Option<Checked> {
        let key = self.key(check);
        let layout = Layout::read(&self, check);
        let connector = self.settings(check).check(&|key, wrong, right| check.problem(key, wrong, right));
        Some(Checked { connector: connector?, key: key?, layout: layout? })
    }

    /// How its Redis is reached, with what the references lead to.
    fn settings(self, check: &Check<'_>) -> Settings {
        // One that is written and leads nowhere is told by then, and nothing else is to be blamed for it.
        let secret = |key: &str, reference: &Reference| {
            check.secret(key, reference).unwrap_or_else(|| Secret::new(String::new()))
        };
        let sentinel = self.sentinel.map(|sentinel| countersign_redis_link::Sentinel {
            master_name: sentinel.master_name,
            username: sentinel.username,
            password: sentinel.password.map(|reference| secret("sentinel.password", &reference)),
        });
        Settings {
            url: check.url("url", &self.url, &SCHEMES),
            nodes: self.nodes,
            cluster: self.cluster,
            sentinel,
            username: self.username,
            password: self.password.map(|reference| secret("password", &reference)),
            database: self.database,
            tls: self.tls.map(|tls| check.tls("tls", &tls).unwrap_or_default()),
        }
    }

    fn key(&self, check: &Check<'_>) -> Option<Template> {
        if self.key.is_empty() {
            check.problem("key", "is empty", "as in \"user:{user_id}\"");
            return None;
        }
        let key = check.template("key", &self.key)?;
        if key.touches() {
            check.problem(
                "key",
                "has two placeholders side by side",
                "a sign between them, as in {application}:{user_id}",
            );
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use countersign_claim_source::conformance;
    use serde_json::{Value, json};

    use super::*;
    use crate::Redis;

    fn check(config: &Value) -> Result<Checked, Vec<String>> {
        let mut whole = json!({"url": "redis://cache.example", "key": "user:{user_id}"});
        whole.as_object_mut().expect("a table").extend(config.as_object().cloned().expect("a table"));
        let checked = conformance::check::<Redis>(whole, &["plan", "seats"], &["tenant"]);
        checked.map_err(|problems| problems.into_iter().map(|p| format!("{} {}", p.key, p.wrong)).collect())
    }

    #[test]
    fn every_problem_is_found() {
        for (config, problem) in [
            (json!({"url": ""}), "url is empty"),
            (json!({"url": "http://cache.example"}), "url has a scheme that is not known here"),
            (json!({"url": "redis://:s3cret@cache.example"}), "url holds a password"),
            (json!({"url": "redis://svc@cache.example"}), "username has no password"),
            (json!({"url": "redis://cache.example/profiles"}), "url is no address of a Redis"),
            (json!({"nodes": ["b.example:6379"]}), "nodes are of a Cluster or Sentinels, and neither is named"),
            (json!({"nodes": ["b.example"], "cluster": true}), "nodes has one that is not host:port"),
            (json!({"cluster": true, "sentinel": {"master_name": "m"}}), "sentinel watches no Cluster"),
            (json!({"sentinel": {"master_name": ""}}), "sentinel.master_name is empty"),
            (json!({"sentinel": {"master_name": "m", "username": "u"}}), "sentinel.username has no password"),
            (json!({"username": "svc"}), "username has no password"),
            (json!({"password": {"file": "/nowhere"}}), "password leads nowhere"),
            (json!({"cluster": true, "database": 1}), "database is not 0, and a Cluster has no other"),
            (json!({"tls": {}}), "tls is not used: `url` does not say TLS"),
            (json!({"key": ""}), "key is empty"),
            (json!({"key": "user:{email}{user_id}"}), "key has two placeholders side by side"),
            (json!({"key": "user:{name}"}), "key has a placeholder that is not known"),
            (json!({"claims": {"title": "title"}}), "claims has a claim that the source does not say it sets"),
            (json!({"json_claims": ["title"]}), "json_claims has a claim that the source does not say it sets"),
            (json!({"format": "json", "json_claims": ["seats"]}), "json_claims is for hashes"),
            (json!({"format": "json", "claims": {"plan": "plan"}}), "claims.plan is not a path that can be read"),
        ] {
            let found = check(&config).map(|_| ()).expect_err("a problem");
            assert_eq!(found, [problem], "{config}");
        }
        let all = json!({"key": "", "nodes": ["b"], "cluster": true, "database": 1, "claims": {"title": "t"}});
        assert_eq!(check(&all).expect_err("problems").len(), 4, "not only the first");
        assert!(check(&json!({"key": "{tenant}:{user_id}"})).is_ok(), "a claim of `needs`");
    }

    #[test]
    fn the_files_of_tls_are_read_when_they_are_checked() {
        let certificates = countersign_test_services::Certificates::make();
        let check = |ca: &str, cert: &str, key: &str| {
            let tls =
                json!({"ca": certificates.path(ca), "cert": certificates.path(cert), "key": certificates.path(key)});
            check(&json!({"url": "rediss://cache.example", "tls": tls})).map(drop)
        };
        assert_eq!(check("ca.pem", "client.pem", "client.key"), Ok(()));
        let wrong = |problem: &str| Err(vec![problem.to_owned()]);
        assert_eq!(check("ca.key", "client.pem", "client.key"), wrong("tls.ca holds no certificate"));
        assert_eq!(check("ca.pem", "client.key", "client.key"), wrong("tls.cert holds no certificate"));
        let key = "tls.key is no private key, or not the one of tls.cert";
        assert_eq!(check("ca.pem", "client.pem", "client.pem"), wrong(key));
        assert_eq!(check("ca.pem", "client.pem", "other.key"), wrong(key));
    }
}
