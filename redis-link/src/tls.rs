//! The files of a table `tls`. What is wrong with them is found when the configuration is checked, and not when the
//! library first connects with them.

use countersign_claim_source::{Secret, TlsFiles};
use redis::{ClientTlsConfig, TlsCertificates};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::Tell;

/// Reads what stands in the files. Where they say nothing, the machine's own authorities are trusted.
pub(crate) fn read(files: TlsFiles, tell: Tell<'_>) -> Option<TlsCertificates> {
    if let Some(ca) = &files.ca {
        let mut roots = RootCertStore::empty();
        if certificates("tls.ca", ca, tell)?.into_iter().any(|certificate| roots.add(certificate).is_err()) {
            tell("tls.ca", "holds a certificate that cannot be used", "name those of authorities");
            return None;
        }
    }
    if let Some((chain, key)) = &files.identity
        && !fit(certificates("tls.cert", chain, tell)?, key)
    {
        tell("tls.key", "is no private key, or not the one of tls.cert", "name the key of the certificate");
        return None;
    }
    let pem = |(chain, key): (Vec<u8>, Secret)| ClientTlsConfig {
        client_cert: chain,
        client_key: key.expose().as_bytes().to_vec(),
    };
    Some(TlsCertificates { client_tls: files.identity.map(pem), root_cert: files.ca })
}

fn certificates(key: &str, pem: &[u8], tell: Tell<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok();
    let some = certificates.filter(|certificates| !certificates.is_empty());
    if some.is_none() {
        tell(key, "holds no certificate", "name a file of certificates in PEM");
    }
    some
}

/// Whether the private key is the one of the certificate.
fn fit(chain: Vec<CertificateDer<'static>>, key: &Secret) -> bool {
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes());
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    let config = config.with_safe_default_protocol_versions();
    key.is_ok_and(|key| {
        let config = config.map(|config| config.with_root_certificates(RootCertStore::empty()));
        config.and_then(|config| config.with_client_auth_cert(chain, key)).is_ok()
    })
}
