//! TLS of a source's connections.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Check, Secret};

/// The table `tls` of a source: PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Who signs the certificate of the other side, in place of the machine's own authorities.
    pub ca: Option<PathBuf>,
    /// The client certificate, with its chain. Needs `key`.
    pub cert: Option<PathBuf>,
    /// The private key of `cert`, not encrypted.
    pub key: Option<PathBuf>,
}

/// What stands in these files, as PEM.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Certificates of authorities.
    pub ca: Option<Vec<u8>>,
    /// The client certificate with its chain, and its private key.
    pub identity: Option<(Vec<u8>, Secret)>,
}

impl Check<'_> {
    /// Reads the files of a table `tls`.
    pub fn tls(&self, key: &str, tls: &Tls) -> Option<TlsFiles> {
        let pem = |name: &str, path: &Path| {
            let key = format!("{key}.{name}");
            let bytes = self.file(&key, path)?;
            if pem::parse_many(&bytes).is_ok_and(|blocks| !blocks.is_empty()) {
                return Some(bytes);
            }
            self.problem(&key, "is not PEM", "name a PEM file");
            None
        };
        if tls.cert.is_some() != tls.key.is_some() {
            self.problem(key, "has only one of cert and key", "name both, or neither");
            return None;
        }
        let mut files = TlsFiles::default();
        if let Some(path) = &tls.ca {
            files.ca = Some(pem("ca", path)?);
        }
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            let key = String::from_utf8(pem("key", key)?).ok()?;
            files.identity = Some((pem("cert", cert)?, Secret::new(key)));
        }
        Some(files)
    }
}
