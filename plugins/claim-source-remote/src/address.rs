//! Where the process listens, and the connection to it, which is made when it is first needed and again when it broke.

use std::time::Duration;

use countersign_claim_source::{Check, OpenError, Text, Tls, TlsFiles};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};

/// Bytes of a socket's path: what the shortest `sun_path` of the systems that we run on holds, without the zero at its
/// end (unix(7): 108 on Linux; 104 on the BSDs and macOS).
const PATH_BYTES: usize = 103;
/// How long connecting may take, and the TLS handshake after it. The host gives up earlier; this ends the attempt.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may be silent under a question before it is pinged, so that a machine that went away without a
/// word is noticed. The servers of gRPC end a connection at the third ping without an answer between: that would be after
/// 75 seconds, and no question takes so long.
const SILENCE: Duration = Duration::from_secs(25);
/// How long the answer to a ping is waited for.
const PING: Duration = Duration::from_secs(5);
/// Bytes of the headers of an answer.
const HEADER_BYTES: u32 = 16 * 1024;

/// Where the process listens.
pub(crate) struct Address {
    endpoint: Endpoint,
    tls: Option<(ClientTlsConfig, Authorities)>,
}

/// Who signs the certificate of the process.
#[derive(Clone, Copy)]
enum Authorities {
    /// Those of `tls.ca`.
    Own,
    /// Those that the machine trusts, which are read when the source is opened.
    Machine,
}

impl Address {
    /// Reads the keys `address` and `tls`.
    pub(crate) fn check(text: &Text, tls: Option<&Tls>, check: &Check<'_>) -> Option<Self> {
        let text = check.text("address", text)?;
        let text = text.expose();
        if text.starts_with("unix:") {
            if tls.is_some() {
                check.problem("tls", "stands beside a Unix socket", "remove it, or address = \"https://host:port\"");
            }
            let endpoint = unix(text, check)?;
            return tls.is_none().then_some(Self { endpoint, tls: None });
        }
        let endpoint = https(text, check);
        let tls = certificates(tls, check);
        let (endpoint, tls) = (endpoint?, tls?);
        if endpoint.clone().tls_config(tls.0.clone()).is_err() {
            check.problem("tls", "has files that cannot be used", "certificates, and the private key of `cert`");
            return None;
        }
        Some(Self { endpoint, tls: Some(tls) })
    }

    /// A connection that is not made yet.
    pub(crate) fn connect(self) -> Result<Channel, OpenError> {
        let tls = self.tls.map(|(tls, authorities)| match authorities {
            Authorities::Own => tls,
            Authorities::Machine => tls.with_enabled_roots(),
        });
        let endpoint = match tls {
            Some(tls) => self.endpoint.tls_config(tls),
            None => Ok(self.endpoint),
        };
        Ok(endpoint
            .map_err(|_unreadable| OpenError("the certificates that the machine trusts cannot be read".to_owned()))?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(PING)
            .http2_max_header_list_size(HEADER_BYTES)
            .connect_lazy())
    }
}

fn unix(text: &str, check: &Check<'_>) -> Option<Endpoint> {
    let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or_default();
    if !path.starts_with('/') || path.contains('\0') || path.len() > PATH_BYTES {
        let right = format!(
            "unix: and an absolute path of at most {PATH_BYTES} bytes, as in unix:/run/countersign/scores.sock"
        );
        check.problem("address", "has no path that a Unix socket can have", right);
        return None;
    }
    Endpoint::from_shared(text.to_owned()).ok()
}

fn https(text: &str, check: &Check<'_>) -> Option<Endpoint> {
    let right = "unix:/path/of/a/socket, or https://host:port with tls";
    // No http://, not even to loopback: any user of the machine may listen there, and any may ask.
    let wrong = if text.starts_with("http://") {
        "has a scheme with which neither side shows who it is"
    } else {
        "is not the address of a process"
    };
    let whole = |uri: &Uri| {
        let alone = uri.path_and_query().is_none_or(|path| path == "/");
        uri.scheme_str() == Some("https") && alone && !text.contains(['@', '#'])
    };
    let Some(uri) = text.parse().ok().filter(whole) else {
        check.problem("address", wrong, right);
        return None;
    };
    Some(Endpoint::from(uri))
}

fn certificates(tls: Option<&Tls>, check: &Check<'_>) -> Option<(ClientTlsConfig, Authorities)> {
    let right = "tls = { ca = \"ca.pem\", cert = \"client.pem\", key = \"client.key\" }";
    let Some(tls) = tls else {
        check.problem("tls", "is not there, and https:// needs it", right);
        return None;
    };
    let TlsFiles { ca, identity } = check.tls("tls", tls)?;
    let Some((cert, key)) = identity else {
        check.problem("tls", "has no cert and key, and the process must know who asks", right);
        return None;
    };
    let config = ClientTlsConfig::new().timeout(CONNECT).identity(Identity::from_pem(cert, key.expose()));
    Some(match ca {
        Some(ca) => (config.ca_certificate(Certificate::from_pem(ca)), Authorities::Own),
        None => (config, Authorities::Machine),
    })
}

#[cfg(test)]
mod tests {
    use countersign_claim_source::conformance;
    use countersign_test_services::Certificates;
    use serde_json::{Value, json};

    use super::PATH_BYTES;
    use crate::Remote;

    /// The keys of the problems.
    fn keys(config: Value) -> Vec<String> {
        let problems = conformance::check::<Remote>(config, &["number"], &[]).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn a_unix_socket_has_an_absolute_path() {
        let longest = format!("unix:/{}", "x".repeat(PATH_BYTES - 1));
        for good in ["unix:/run/countersign/scores.sock", "unix:///run/countersign/scores.sock", &longest] {
            assert_eq!(keys(json!({"address": good})), [""; 0], "{good}");
        }
        for bad in ["unix:", "unix:scores.sock", "unix://run/scores.sock", "unix:/a\0b", &format!("{longest}x"), ""] {
            assert_eq!(keys(json!({"address": bad})), ["address"], "{bad:?}");
        }
    }

    #[test]
    fn every_other_address_is_encrypted() {
        let certificates = Certificates::make();
        let tls = json!({"ca": certificates.path("ca.pem"), "cert": certificates.path("client.pem"),
            "key": certificates.path("client.key")});
        for good in ["https://scores.example:9443", "https://[::1]:9443/", "https://127.0.0.1"] {
            assert_eq!(keys(json!({"address": good, "tls": tls})), [""; 0], "{good}");
        }
        let bad = [
            "http://127.0.0.1:9000",
            "https://",
            "https://scores.example/path",
            "https://scores.example?query",
            "https://scores.example#fragment",
            "https://user:password@scores.example",
            "dns:scores.example",
            "scores.example:9443",
            "/run/scores.sock",
        ];
        for bad in bad {
            assert_eq!(keys(json!({"address": bad, "tls": tls})), ["address"], "{bad}");
        }
    }

    #[test]
    fn both_sides_of_tls_show_a_certificate() {
        let certificates = Certificates::make();
        let file = |name: &str| certificates.text(name);
        let with = |tls: Value| keys(json!({"address": "https://scores.example", "tls": tls}));
        assert_eq!(
            with(json!({"cert": file("client.pem"), "key": file("client.key")})),
            [""; 0],
            "the machine's authorities"
        );
        assert_eq!(keys(json!({"address": "https://scores.example"})), ["tls"]);
        assert_eq!(with(json!({"ca": file("ca.pem")})), ["tls"]);
        assert_eq!(with(json!({"ca": file("ca.pem"), "cert": file("client.pem")})), ["tls"]);
        assert_eq!(with(json!({"cert": file("client.pem"), "key": file("server.key")})), ["tls"], "another's key");
        assert_eq!(with(json!({"cert": file("client.pem"), "key": file("none.key")})), ["tls.key"]);
        let unix = json!({"address": "unix:/run/scores.sock", "tls": {"ca": file("ca.pem")}});
        assert_eq!(keys(unix), ["tls"], "it would do nothing");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        assert_eq!(keys(json!({"address": "http://scores.example"})), ["address", "tls"]);
    }
}
