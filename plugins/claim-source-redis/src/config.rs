//! `[sources.<name>.config]`: what an operator writes, and all that can be wrong with it.

use std::collections::BTreeMap;

use countersign_claim_source::{Check, Reference, Template, Text, Tls, TlsFiles};
use redis::TlsCertificates;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::address::{Address, Location, SCHEMES};
use crate::connect::Login;
use crate::format::Layout;
use crate::tls;

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
    pub(crate) servers: Servers,
    pub(crate) login: Option<Login>,
    pub(crate) database: u32,
    /// None: no TLS.
    pub(crate) tls: Option<TlsCertificates>,
    pub(crate) key: Template,
    pub(crate) layout: Layout,
}

/// What is connected to.
#[derive(Clone, Debug)]
pub(crate) enum Servers {
    One(Address),
    /// Nodes of a Cluster.
    Cluster(Vec<Address>),
    /// Sentinels, with a name for the primary and a user of their own.
    Sentinels {
        addresses: Vec<Address>,
        master_name: String,
        login: Option<Login>,
    },
}

/// Where nothing else is written.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl Config {
    /// Finds all that is wrong.
    pub(crate) fn check(self, check: &Check<'_>) -> Option<Checked> {
        let key = self.key(check);
        let layout = Layout::read(&self, check);
        let nodes = self.nodes(check);
        let files = self.tls.as_ref().map_or_else(|| Some(TlsFiles::default()), |tls| check.tls("tls", tls));
        let certificates = files.and_then(|files| tls::read(files, check));
        let sentinel = self.sentinel.as_ref().map(|sentinel| self.sentinels(sentinel, check));
        let password = self.password.as_ref().and_then(|reference| check.secret("password", reference));

        let Location { address, username, password: in_url, database, tls } = self.location(check)?;
        if self.tls.is_some() && !tls {
            check.problem("tls", "is not used: `url` does not say TLS", "rediss:// in `url`, or remove `tls`");
        }
        let database = self.database.or(database).unwrap_or_default();
        if self.cluster && database != 0 {
            check.problem("database", "is not 0, and a Cluster has no other", "remove it, and from `url`");
        }
        let given = self.password.is_some() || in_url.is_some();
        check_user("username", self.username.as_ref().or(username.as_ref()), given, check);
        let login = password.or(in_url).map(|password| Login { username: self.username.or(username), password });
        let servers = match sentinel {
            Some((master_name, login)) => Servers::Sentinels { addresses: join(address, nodes), master_name, login },
            None if self.cluster => Servers::Cluster(join(address, nodes)),
            None => Servers::One(address),
        };
        let tls = Some(certificates?).filter(|_| tls);
        Some(Checked { servers, login, database, tls, key: key?, layout: layout? })
    }

    fn location(&self, check: &Check<'_>) -> Option<Location> {
        let url = check.url("url", &self.url, &SCHEMES)?;
        let port = if self.sentinel.is_some() { SENTINEL_PORT } else { REDIS_PORT };
        let location = Location::read(url.expose(), port);
        if location.is_none() {
            let right = "redis://user:password@host:6379/database, and nothing behind it";
            check.problem("url", "is no address of a Redis", right);
        }
        location
    }

    fn nodes(&self, check: &Check<'_>) -> Vec<Address> {
        if !self.nodes.is_empty() && !self.cluster && self.sentinel.is_none() {
            check.problem(
                "nodes",
                "are of a Cluster or Sentinels, and neither is named",
                "remove it, or cluster = true",
            );
        }
        let read = |node: &String| Address::read(node).filter(|address| !address.host.is_empty());
        let nodes: Vec<_> = self.nodes.iter().filter_map(read).collect();
        if nodes.len() < self.nodes.len() {
            check.problem("nodes", "has one that is not host:port", "as in [\"cache-2.example:6379\"]");
        }
        nodes
    }

    /// The name of the primary, and who asks the Sentinels.
    fn sentinels(&self, sentinel: &Sentinel, check: &Check<'_>) -> (String, Option<Login>) {
        if self.cluster {
            check.problem("sentinel", "watches no Cluster", "remove it, or `cluster`");
        }
        if sentinel.master_name.is_empty() {
            check.problem("sentinel.master_name", "is empty", "the name in `sentinel monitor`");
        }
        check_user("sentinel.username", sentinel.username.as_ref(), sentinel.password.is_some(), check);
        let password = sentinel.password.as_ref().and_then(|reference| check.secret("sentinel.password", reference));
        let login = password.map(|password| Login { username: sentinel.username.clone(), password });
        (sentinel.master_name.clone(), login)
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

fn check_user(key: &str, username: Option<&String>, password: bool, check: &Check<'_>) {
    if username.is_some() && !password {
        check.problem(key, "has no password", "write the password too, or neither");
    }
}

fn join(first: Address, more: Vec<Address>) -> Vec<Address> {
    [first].into_iter().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use countersign_claim_source::conformance;
    use serde_json::{Value, json};

    use super::*;
    use crate::Redis;

    /// A file that holds a secret.
    struct Secret(tempfile::NamedTempFile);

    impl Secret {
        fn new(text: &str) -> Self {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), text).expect("written");
            Self(file)
        }

        fn reference(&self) -> Value {
            json!({ "file": self.0.path() })
        }
    }

    fn check(config: &Value) -> Result<Checked, Vec<String>> {
        let mut whole = json!({"url": "redis://cache.example", "key": "user:{user_id}"});
        whole.as_object_mut().expect("a table").extend(config.as_object().cloned().expect("a table"));
        let checked = conformance::check::<Redis>(whole, &["plan", "seats"], &["tenant"]);
        checked.map_err(|problems| problems.into_iter().map(|p| format!("{} {}", p.key, p.wrong)).collect())
    }

    #[test]
    fn what_has_a_key_of_its_own_goes_before_the_address() {
        let (url, password) = (Secret::new("rediss://svc:p%40ss@cache.example/3"), Secret::new("s3cret"));
        let login = |config: Value| {
            let checked = check(&config).expect("no problem");
            let login = checked.login.map(|login| (login.username, login.password.expose().to_owned()));
            (login, checked.database, checked.tls.is_some())
        };
        let some = |username: &str, password: &str| Some((Some(username.to_owned()), password.to_owned()));
        assert_eq!(login(json!({})), (None, 0, false));
        assert_eq!(login(json!({"url": url.reference()})), (some("svc", "p@ss"), 3, true));
        let password = json!({"url": url.reference(), "password": password.reference()});
        assert_eq!(login(password.clone()), (some("svc", "s3cret"), 3, true));
        let mut all = password;
        all.as_object_mut()
            .expect("a table")
            .extend([("username".into(), json!("own")), ("database".into(), json!(4))]);
        assert_eq!(login(all), (some("own", "s3cret"), 4, true));
    }

    #[test]
    fn what_the_addresses_lead_to_is_written_out() {
        let address = |host: &str, port| Address { host: host.to_owned(), port };
        let nodes = json!(["b.example:6380"]);
        let one = check(&json!({})).expect("no problem").servers;
        assert!(matches!(one, Servers::One(server) if server == address("cache.example", 6379)));
        let cluster = check(&json!({"cluster": true, "nodes": nodes})).expect("no problem").servers;
        let seeds = [address("cache.example", 6379), address("b.example", 6380)];
        assert!(matches!(cluster, Servers::Cluster(addresses) if addresses == seeds));
        let sentinel = json!({"sentinel": {"master_name": "profiles"}, "nodes": nodes});
        let sentinels = [address("cache.example", 26379), address("b.example", 6380)];
        assert!(matches!(check(&sentinel).expect("no problem").servers,
            Servers::Sentinels { addresses, master_name, login: None } if addresses == sentinels && master_name == "profiles"));
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
            check(&json!({"url": "rediss://cache.example", "tls": tls})).map(|checked| checked.tls.is_some())
        };
        assert_eq!(check("ca.pem", "client.pem", "client.key"), Ok(true));
        let wrong = |problem: &str| Err(vec![problem.to_owned()]);
        assert_eq!(check("ca.key", "client.pem", "client.key"), wrong("tls.ca holds no certificate"));
        assert_eq!(check("ca.pem", "client.key", "client.key"), wrong("tls.cert holds no certificate"));
        let key = "tls.key is no private key, or not the one of tls.cert";
        assert_eq!(check("ca.pem", "client.pem", "client.pem"), wrong(key));
        assert_eq!(check("ca.pem", "client.pem", "other.key"), wrong(key));
    }

    #[test]
    fn nothing_that_is_checked_shows_a_secret() {
        let url = Secret::new("redis://svc:s3cret@cache.example");
        let checked = check(&json!({"url": url.reference()})).expect("no problem");
        assert!(!format!("{checked:?}").contains("s3cret"));
    }
}
