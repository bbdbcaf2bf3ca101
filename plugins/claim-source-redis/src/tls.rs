//! TLS of the connections, with the cryptography named here and not by whoever installed one for the whole process.

use std::sync::Arc;

use countersign_claim_source::{Check, OpenError, Secret, TlsFiles};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// What the files of a table `tls` say. Where they say nothing, the machine's own authorities are trusted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    roots: Option<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, Secret)>,
}

impl Trust {
    /// Reads what stands in the files, and finds what is wrong with it.
    pub(crate) fn read(files: TlsFiles, check: &Check<'_>) -> Option<Self> {
        let certificates = |key: &str, pem: &[u8]| {
            let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok();
            let some = certificates.filter(|certificates| !certificates.is_empty());
            if some.is_none() {
                check.problem(key, "holds no certificate", "name a file of certificates in PEM");
            }
            some
        };
        let mut trust = Self::default();
        if let Some(ca) = files.ca {
            let mut roots = RootCertStore::empty();
            if roots.add_parsable_certificates(certificates("tls.ca", &ca)?).0 == 0 {
                check.problem("tls.ca", "holds no certificate that can be used", "name one of an authority");
                return None;
            }
            trust.roots = Some(roots);
        }
        if let Some((chain, key)) = files.identity {
            trust.identity = Some((certificates("tls.cert", &chain)?, key));
        }
        if trust.clone().config(RootCertStore::empty()).is_err() {
            check.problem(
                "tls.key",
                "is no private key, or not the one of tls.cert",
                "name the key of the certificate",
            );
            return None;
        }
        Some(trust)
    }

    /// A connector that trusts the authority of the files, else those of the machine.
    pub(crate) fn connector(self) -> Result<TlsConnector, OpenError> {
        let roots = self.roots.clone().unwrap_or_else(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        });
        if roots.is_empty() {
            return Err(OpenError("this machine has no certificate authorities: name one in tls.ca".to_owned()));
        }
        let config = self.config(roots).map_err(|error| OpenError(format!("TLS cannot be set up: {error}")))?;
        Ok(Arc::new(config).into())
    }

    fn config(self, roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let Some((chain, key)) = self.identity else { return Ok(config.with_no_client_auth()) };
        let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
            .map_err(|_not_quoted| rustls::Error::General("not a private key".to_owned()))?;
        config.with_client_auth_cert(chain, key)
    }
}
