//! How the upstream is connected to: TLS, pooling and redirects. Over HTTP/1.1, so that one question has one connection:
//! a question that is given up takes no other with it.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use countersign_claim_source::{Answer, Check, OpenError, Tls};
use reqwest::header::HeaderMap;
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Identity};

use crate::Verb;

/// Checked settings of connections.
pub(crate) struct Connection {
    /// Over TLS, and not over plain TCP.
    secure: bool,
    /// In place of the machine's own authorities.
    authorities: Option<Vec<Certificate>>,
    identity: Option<Identity>,
    method: Verb,
}

/// How long connecting may take, with the TLS handshake. The host mostly gives up earlier.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an unused connection is kept. Most servers and balancers keep theirs for a minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many unused connections are kept.
const IDLE_CONNECTIONS: usize = 64;

/// How many redirects of one question are followed.
const REDIRECTS: usize = 3;

impl Connection {
    /// Reads `tls`.
    pub(crate) fn check(tls: &Tls, secure: bool, method: Verb, check: &Check<'_>) -> Option<Self> {
        if !secure && *tls != Tls::default() {
            check.problem("tls", "is there, and url is not https://", "an https:// url, or no tls");
            return None;
        }
        let files = check.tls("tls", tls)?;
        let authorities = match files.ca.as_deref().map(Certificate::from_pem_bundle) {
            None => None,
            Some(Ok(authorities)) if !authorities.is_empty() => Some(authorities),
            Some(_) => {
                check.problem("tls.ca", "has no certificate", "name a PEM file of certificates");
                return None;
            }
        };
        let pem = files.identity.map(|(cert, key)| [cert.as_slice(), b"\n", key.expose().as_bytes()].concat());
        let identity = pem.as_deref().map(Identity::from_pem).transpose();
        let connection = identity.ok().map(|identity| Self { secure, authorities, identity, method });
        // Only now certificates and key are looked at. The machine's authorities are left out: reading them is IO.
        let usable = connection.filter(|connection| connection.builder().tls_certs_only([]).build().is_ok());
        if usable.is_none() {
            check.problem("tls", "has files that cannot be used", "certificates, and the key of the first in cert");
        }
        usable
    }

    /// A pool of connections. Fails where the machine has no authorities and `tls.ca` names none.
    pub(crate) fn client(&self, headers: HeaderMap) -> Result<Client, OpenError> {
        let builder = self.builder().default_headers(headers);
        let builder = if self.secure { builder } else { builder.tls_certs_only([]) };
        let failed = "TLS cannot be set up: are there certificate authorities on this machine, or in tls.ca?";
        builder.build().ok().ok_or_else(|| OpenError(failed.to_owned()))
    }

    fn builder(&self) -> ClientBuilder {
        let mut builder = Client::builder()
            .http1_only()
            .no_proxy()
            .referer(false)
            .redirect(if self.method == Verb::Get { Policy::custom(on_this_origin) } else { Policy::none() })
            .user_agent("countersign")
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS);
        if let Some(authorities) = &self.authorities {
            builder = builder.tls_certs_only(authorities.clone());
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.clone());
        }
        builder
    }
}

/// Follows a redirect to the same scheme, host and port; any other is the answer.
fn on_this_origin(attempt: Attempt<'_>) -> Action {
    let origin = attempt.url().origin();
    let asked = attempt.previous();
    if asked.len() <= REDIRECTS && asked.iter().all(|url| url.origin() == origin) {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// What it means that nothing, or not all, was answered.
pub(crate) fn failed(error: &reqwest::Error) -> Answer {
    Answer::unavailable(if !error.is_connect() {
        "broke the connection off"
    } else if error.is_dns() {
        "has a host whose address cannot be found"
    } else if error.is_timeout() {
        "could not be connected to in time"
    } else {
        match kind(error) {
            Some(io::ErrorKind::ConnectionRefused) => "refuses connections",
            // tokio-rustls has what rustls refuses as invalid data.
            Some(io::ErrorKind::InvalidData) => "does not agree on TLS, or has a certificate that is not right",
            _ => "could not be connected to",
        }
    })
}

/// The innermost input or output error among the causes: TLS wraps one into another.
fn kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let (mut cause, mut kind) = (error.source(), None);
    while let Some(error) = cause {
        cause = error.source();
        let mut inner = error.downcast_ref::<io::Error>();
        while let Some(error) = inner {
            kind = Some(error.kind());
            inner = error.get_ref().and_then(|error| error.downcast_ref());
        }
    }
    kind
}
