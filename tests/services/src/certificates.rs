//! A certificate authority, and what it signs for `localhost`, `127.0.0.1` and a client; made by OpenSSL.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Certificates and keys as PEM files, in a folder that ends with the value.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes them: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`; `other.pem` and `other.key` are of
    /// the same authority for another name.
    pub fn make() -> Self {
        let certificates = Self(tempfile::tempdir().unwrap());
        certificates.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=test-ca \
             -keyout ca.key -out ca.pem",
        );
        for (name, alternative) in [
            ("server", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            ("other", "subjectAltName=DNS:other.example"),
            ("client", "subjectAltName=DNS:client.example"),
        ] {
            certificates.openssl(&format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ));
            std::fs::write(certificates.path("extensions"), alternative).unwrap();
            certificates.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extensions -out {name}.pem"
            ));
        }
        certificates
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as text, for configurations.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(self.0.path()).output();
        let output = output.expect("openssl is not installed: run tests/run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
