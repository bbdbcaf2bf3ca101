//! Where a database is, and how the way there is protected. Does not connect.
//!
//! The drivers take what an address says, and let pass what they do not know. Here an address is either understood in
//! full or wrong: a mistyped `sslmode` must not end in plain text.

use std::net::IpAddr;
use std::path::Path;

use countersign_claim_source::{Check, Secret, Text};
use sqlx::mysql::MySqlSslMode;
use sqlx::postgres::PgSslMode;
use url::Url;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Postgres,
    /// MariaDB too.
    MySql,
    Sqlite,
}

/// A checked address.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) database: Database,
    pub(crate) url: Secret,
}

/// The schemes, and the database of each.
const SCHEMES: [(&str, Database); 5] = [
    ("postgres", Database::Postgres),
    ("postgresql", Database::Postgres),
    ("mysql", Database::MySql),
    ("mariadb", Database::MySql),
    ("sqlite", Database::Sqlite),
];

/// The parameters that name files: of an authority, of the client certificate and of its key.
const FILES: [&str; 6] = ["sslrootcert", "sslcert", "sslkey", "ssl-ca", "ssl-cert", "ssl-key"];

impl Database {
    /// How its placeholders are written.
    pub(crate) const fn placeholders(self) -> &'static str {
        match self {
            Self::Postgres => "$1, $2",
            Self::MySql => "?",
            Self::Sqlite => "$1, $2, or ?",
        }
    }

    /// The parameters of an address that may be there. Names of the vendors:
    /// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>,
    /// <https://dev.mysql.com/doc/refman/8.4/en/connecting-using-uri-or-key-value-pairs.html>,
    /// <https://www.sqlite.org/uri.html>.
    const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "application_name", "options"],
            Self::MySql => &["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket"],
            Self::Sqlite => &["immutable"],
        }
    }

    /// How its addresses say how TLS is used. A file needs none.
    const fn tls(self) -> Option<Tls> {
        match self {
            Self::Postgres => Some(Tls {
                parameter: "sslmode",
                is_known: |mode| mode.parse::<PgSslMode>().is_ok(),
                best: "verify-full",
                off: "disable",
            }),
            Self::MySql => Some(Tls {
                parameter: "ssl-mode",
                is_known: |mode| mode.parse::<MySqlSslMode>().is_ok(),
                best: "VERIFY_IDENTITY",
                off: "DISABLED",
            }),
            Self::Sqlite => None,
        }
    }
}

/// How addresses of a database say how TLS is used.
struct Tls {
    parameter: &'static str,
    is_known: fn(&str) -> bool,
    best: &'static str,
    off: &'static str,
}

impl Address {
    /// Tells what is wrong with an address.
    pub(crate) fn check(text: &Text, check: &Check<'_>) -> Option<Self> {
        let secret = check.url("url", text, &SCHEMES.map(|(scheme, _)| scheme))?;
        let url = Url::parse(secret.expose()).ok()?;
        let (_, database) = SCHEMES.into_iter().find(|(scheme, _)| *scheme == url.scheme())?;
        let known = database.parameters();
        if url.query_pairs().any(|(name, _)| !known.contains(&name.as_ref())) {
            check.problem("url", "has a parameter that is not known", format!("known: {}", known.join(", ")));
            return None;
        }
        for (_, path) in url.query_pairs().filter(|(name, _)| FILES.contains(&name.as_ref())) {
            check.file("url", Path::new(path.as_ref()))?;
        }
        let wrong = match database.tls() {
            Some(tls) => wrong_files(&url).or_else(|| wrong_way(&url, &tls)),
            None if secret.expose().contains(":memory:") => {
                Some(("is a database in memory, which is always empty", "sqlite:///PATH".to_owned()))
            }
            None => None,
        };
        if let Some((wrong, right)) = wrong {
            check.problem("url", wrong, right);
            return None;
        }
        Some(Self { database, url: secret })
    }
}

/// What is wrong with the files that an address names, which can all be read.
fn wrong_files(url: &Url) -> Option<(&'static str, String)> {
    let named = |of: [&str; 2]| url.query_pairs().find(|(name, _)| of.contains(&name.as_ref()));
    let [ca, cert, key] = [["sslrootcert", "ssl-ca"], ["sslcert", "ssl-cert"], ["sslkey", "ssl-key"]].map(named);
    if cert.is_some() != key.is_some() {
        return Some(("has only one of client certificate and key", "name both, or neither".to_owned()));
    }
    let mut files = [ca, cert, key].into_iter().flatten();
    // The driver would look for another below the folder in which the server was started.
    let relative = files.any(|(_, path)| Path::new(path.as_ref()).is_relative());
    relative.then(|| ("names a file without its whole path", "begin it with /".to_owned()))
}

/// What is wrong with the way to a server, and what would be right.
fn wrong_way(url: &Url, tls: &Tls) -> Option<(&'static str, String)> {
    let Tls { parameter, is_known, best, off } = tls;
    let Some(host) = host(url) else {
        return Some(("names no host", format!("{}://HOST/DATABASE", url.scheme())));
    };
    match url.query_pairs().find(|(name, _)| name == parameter) {
        Some((_, mode)) if !is_known(&mode) => {
            Some(("has a word for TLS that is not known", format!("{parameter}={best}")))
        }
        None if !is_local(&host) => {
            let right = format!("{parameter}={best}; {parameter}={off} only where something else encrypts");
            Some(("does not say how TLS is used", right))
        }
        _ => None,
    }
}

/// The host, or the path of a Unix socket.
fn host(url: &Url) -> Option<String> {
    let parameter = url.query_pairs().find(|(name, _)| name == "host" || name == "socket");
    let host = parameter.map(|(_, value)| value.into_owned()).or_else(|| url.host_str().map(str::to_owned));
    host.filter(|host| !host.is_empty())
}

/// Whether what is sent to this host stays on this machine.
fn is_local(host: &str) -> bool {
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || host.starts_with('/') || host.starts_with("%2F") || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use countersign_claim_source::conformance::TestSecrets;

    use super::*;

    fn wrong(url: &str) -> Option<String> {
        let secrets = TestSecrets([("URL".to_owned(), url.to_owned())].into());
        let check = Check::new(&[], &[], &secrets);
        let reference = countersign_claim_source::Reference::Env("URL".to_owned());
        let address = Address::check(&Text::Reference(reference), &check);
        let (problems, _) = check.into_parts();
        assert_eq!(address.is_none(), !problems.is_empty(), "{url}");
        problems.into_iter().next().map(|problem| problem.wrong)
    }

    #[test]
    fn an_address_that_is_understood_is_right() {
        for url in [
            "postgres://app:secret@localhost/users",
            "postgresql://127.0.0.1:5433/users?application_name=sign&options=-csearch_path%3Dcrm",
            "postgres://[::1]/users",
            "postgres://%2Frun%2Fpostgresql/users",
            "postgres:///users?host=/run/postgresql",
            "postgres://db.example/users?sslmode=verify-full",
            "postgres://db.example/users?sslmode=disable",
            "mysql://localhost/users",
            "mariadb://db.example/users?ssl-mode=VERIFY_IDENTITY",
            "mysql://anything/users?socket=/run/mysqld/mysqld.sock",
            "sqlite://users.db",
            "sqlite:///var/lib/users.db?immutable=true",
        ] {
            assert_eq!(wrong(url), None, "{url}");
        }
    }

    #[test]
    fn an_address_that_is_not_understood_is_wrong() {
        for (url, why) in [
            ("redis://localhost", "scheme"),
            ("postgres:///users", "no host"),
            ("mysql:///users", "no host"),
            ("postgres://db.example/users", "TLS"),
            ("mysql://192.0.2.1/users", "TLS"),
            ("postgres://db.example/users?sslmod=verify-full", "not known"),
            ("postgres://localhost/users?sslmode=verify", "not known"),
            ("postgres://localhost/users?password=secret", "not known"),
            ("mysql://localhost/users?sslmode=REQUIRED", "not known"),
            ("mysql://localhost/users?ssl-mode=verify-full", "not known"),
            ("postgres://localhost/users?sslmode=verify-full&sslrootcert=/no/such/ca.pem", "cannot be read"),
            ("postgres://localhost/users?sslcert=/etc/hosts", "only one"),
            ("mysql://localhost/users?ssl-ca=Cargo.toml", "whole path"),
            ("sqlite://users.db?mode=rwc", "not known"),
            ("sqlite::memory:", "memory"),
            ("sqlite://:memory:", "not an address"),
        ] {
            let found = wrong(url).expect(url);
            assert!(found.contains(why), "{url}: {found}");
        }
    }
}
