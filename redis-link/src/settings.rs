//! What an operator writes of a Redis, and all that can be wrong with it. Where the words stand, and how references are
//! resolved, is the reader's business.

use countersign_claim_source::{Secret, TlsFiles};

use crate::address::{Address, Location};
use crate::connect::{Connector, Login, Servers};
use crate::tls;

/// What is written. A reference that led nowhere, which has been told already, stands as an empty text.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The server; a node of the Cluster; a Sentinel: `redis://user:password@host:port/database`, or `rediss://` for TLS.
    pub url: Option<Secret>,
    /// More nodes of the Cluster, or more Sentinels: `host:port`.
    pub nodes: Vec<String>,
    /// Whether it is a Redis Cluster.
    pub cluster: bool,
    /// Where Sentinels say which server is the primary.
    pub sentinel: Option<Sentinel>,
    /// The ACL user, in place of the one in `url`.
    pub username: Option<String>,
    /// The password, in place of the one in `url`.
    pub password: Option<Secret>,
    /// The number of the database, in place of the one in `url`.
    pub database: Option<u32>,
    /// What stands in the files of `tls`.
    pub tls: Option<TlsFiles>,
}

/// Redis Sentinel.
#[derive(Clone, Debug, Default)]
pub struct Sentinel {
    /// What the Sentinels call the primary.
    pub master_name: String,
    /// The ACL user of the Sentinels.
    pub username: Option<String>,
    /// The password of the Sentinels.
    pub password: Option<Secret>,
}

/// Where a problem is told: the key, what is wrong, what would be right.
pub type Tell<'t> = &'t dyn Fn(&str, &str, &str);

/// Where nothing else is written.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl Settings {
    /// Finds all that is wrong.
    #[must_use]
    pub fn check(self, tell: Tell<'_>) -> Option<Connector> {
        let nodes = self.nodes(tell);
        let certificates = tls::read(self.tls.clone().unwrap_or_default(), tell);
        let sentinel = self.sentinel.as_ref().map(|sentinel| self.sentinels(sentinel, tell));
        let Location { address, username, password: in_url, database, tls } = self.location(tell)?;
        if self.tls.is_some() && !tls {
            tell("tls", "is not used: `url` does not say TLS", "rediss:// in `url`, or remove `tls`");
        }
        let database = self.database.or(database).unwrap_or_default();
        if self.cluster && database != 0 {
            tell("database", "is not 0, and a Cluster has no other", "remove it, and from `url`");
        }
        let (username, password) = (self.username.or(username), self.password.or(in_url));
        check_user("username", username.as_ref(), password.is_some(), tell);
        let login = password.map(|password| Login { username, password });
        let servers = match sentinel {
            Some((master_name, login)) => Servers::Sentinels { addresses: join(address, nodes), master_name, login },
            None if self.cluster => Servers::Cluster(join(address, nodes)),
            None => Servers::One(address),
        };
        let tls = Some(certificates?).filter(|_| tls);
        Some(Connector { servers, login, database, tls })
    }

    fn location(&self, tell: Tell<'_>) -> Option<Location> {
        let port = if self.sentinel.is_some() { SENTINEL_PORT } else { REDIS_PORT };
        let location = Location::read(self.url.as_ref()?.expose(), port);
        if location.is_none() {
            let right = "redis://user:password@host:6379/database, or rediss://, and nothing behind it";
            tell("url", "is no address of a Redis", right);
        }
        location
    }

    fn nodes(&self, tell: Tell<'_>) -> Vec<Address> {
        if !self.nodes.is_empty() && !self.cluster && self.sentinel.is_none() {
            let right = "remove it, or cluster = true";
            tell("nodes", "are of a Cluster or Sentinels, and neither is named", right);
        }
        let read = |node: &String| Address::read(node).filter(|address| !address.host.is_empty());
        let nodes: Vec<_> = self.nodes.iter().filter_map(read).collect();
        if nodes.len() < self.nodes.len() {
            tell("nodes", "has one that is not host:port", "as in [\"cache-2.example:6379\"]");
        }
        nodes
    }

    /// The name of the primary, and who asks the Sentinels.
    fn sentinels(&self, sentinel: &Sentinel, tell: Tell<'_>) -> (String, Option<Login>) {
        let Sentinel { master_name, username, password } = sentinel.clone();
        if self.cluster {
            tell("sentinel", "watches no Cluster", "remove it, or `cluster`");
        }
        if master_name.is_empty() {
            tell("sentinel.master_name", "is empty", "the name in `sentinel monitor`");
        }
        check_user("sentinel.username", username.as_ref(), password.is_some(), tell);
        (master_name, password.map(|password| Login { username, password }))
    }
}

fn check_user(key: &str, username: Option<&String>, password: bool, tell: Tell<'_>) {
    if username.is_some() && !password {
        tell(key, "has no password", "write the password too, or neither");
    }
}

fn join(first: Address, more: Vec<Address>) -> Vec<Address> {
    [first].into_iter().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it comes to, where nothing is wrong with it.
    fn check(settings: Settings) -> Connector {
        settings.check(&|key, wrong, _| panic!("{key} {wrong}")).unwrap()
    }

    fn at(url: &str) -> Settings {
        Settings { url: Some(Secret::new(url.to_owned())), ..Settings::default() }
    }

    #[test]
    fn what_has_a_key_of_its_own_goes_before_the_address() {
        let login = |settings: Settings| {
            let checked = check(settings);
            let login = checked.login.map(|login| (login.username, login.password.expose().to_owned()));
            (login, checked.database, checked.tls.is_some())
        };
        let some = |username: &str, password: &str| Some((Some(username.to_owned()), password.to_owned()));
        let whole = || at("rediss://svc:p%40ss@cache.example/3");
        assert_eq!(login(at("redis://cache.example")), (None, 0, false));
        assert_eq!(login(whole()), (some("svc", "p@ss"), 3, true));
        let password = || Some(Secret::new("s3cret".to_owned()));
        assert_eq!(login(Settings { password: password(), ..whole() }), (some("svc", "s3cret"), 3, true));
        let username = Some("own".to_owned());
        let all = Settings { username, password: password(), database: Some(4), ..whole() };
        assert_eq!(login(all), (some("own", "s3cret"), 4, true));
    }

    #[test]
    fn what_the_addresses_lead_to_is_written_out() {
        let address = |host: &str, port| Address { host: host.to_owned(), port };
        let (cache, nodes) = (|| at("redis://cache.example"), vec!["b.example:6380".to_owned()]);
        let one = check(cache()).servers;
        assert!(matches!(one, Servers::One(server) if server == address("cache.example", 6379)));
        let cluster = check(Settings { cluster: true, nodes: nodes.clone(), ..cache() }).servers;
        let seeds = [address("cache.example", 6379), address("b.example", 6380)];
        assert!(matches!(cluster, Servers::Cluster(addresses) if addresses == seeds));
        let sentinel = Some(Sentinel { master_name: "profiles".to_owned(), ..Sentinel::default() });
        let sentinels = [address("cache.example", 26379), address("b.example", 6380)];
        assert!(matches!(check(Settings { sentinel, nodes, ..cache() }).servers,
            Servers::Sentinels { addresses, master_name, login: None } if addresses == sentinels && master_name == "profiles"));
    }

    #[test]
    fn nothing_that_is_checked_shows_a_secret() {
        let settings = at("redis://svc:s3cret@cache.example");
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert!(!format!("{:?}", check(settings)).contains("s3cret"));
    }
}
