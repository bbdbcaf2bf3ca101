//! Where a server listens, and what an address in the configuration says besides.

use countersign_claim_source::Secret;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::SCHEMES;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What an address in the configuration says.
#[derive(Debug)]
pub(crate) struct Location {
    pub(crate) address: Address,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: Option<u32>,
    pub(crate) tls: bool,
}

impl Address {
    /// Reads `host:port`; an IPv6 address may have brackets.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

impl Location {
    /// Reads `redis://user:password@host:port/database`, of which only the host must be there, and nothing else may be:
    /// what other clients take there, such as `#insecure`, would go unheard.
    pub(crate) fn read(text: &str, default_port: u16) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|url| url.query().or(url.fragment()).is_none())?;
        if !SCHEMES.contains(&url.scheme()) {
            return None;
        }
        let text = |encoded: &str| percent_decode_str(encoded).decode_utf8().ok().map(|text| text.into_owned());
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let port = url.port().unwrap_or(default_port);
        Some(Self {
            address: Address::read(&format!("{}:{port}", url.host_str()?))
                .filter(|address| !address.host.is_empty())?,
            username: some(text(url.username())?),
            password: some(text(url.password().unwrap_or_default())?).map(Secret::new),
            database: match url.path().trim_matches('/') {
                "" => None,
                number => Some(number.parse().ok()?),
            },
            tls: matches!(url.scheme(), "rediss" | "valkeys"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert_eq!(Address::read("cache.example:6379"), Some(address("cache.example", 6379)));
        assert_eq!(Address::read("[::1]:7000"), Some(address("::1", 7000)));
        assert_eq!(Address::read("::1:7000"), Some(address("::1", 7000)), "as a node of a Cluster writes it");
        assert_eq!(Address::read(":7000"), Some(address("", 7000)), "which is for the reader to understand");
        for bad in ["", "cache.example", "cache.example:", "cache.example:65536", "cache.example:x"] {
            assert_eq!(Address::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_location_says_who_and_where_and_nothing_else() {
        let whole = Location::read("rediss://svc:p%40ss%2F@[::1]:7000/3", 6379).expect("whole");
        assert_eq!((whole.address, whole.database, whole.tls), (address("::1", 7000), Some(3), true));
        assert_eq!(whole.username.as_deref(), Some("svc"));
        assert_eq!(whole.password.as_ref().map(Secret::expose), Some("p@ss/"));

        let short = Location::read("valkey://:s3cret@cache.example", 26379).expect("short");
        assert_eq!((short.address, short.database, short.tls), (address("cache.example", 26379), None, false));
        assert!(short.username.is_none() && short.password.is_some());

        for bad in [
            "cache.example:6379",
            "http://cache.example",
            "redis://",
            "redis:///1",
            "redis://cache.example/profiles",
            "redis://cache.example/-1",
            "redis://cache.example/?protocol=3",
            "rediss://cache.example/#insecure",
            "redis://:%ff@cache.example",
        ] {
            assert!(Location::read(bad, 6379).is_none(), "{bad}");
        }
    }
}
