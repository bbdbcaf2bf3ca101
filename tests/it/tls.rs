//! The listener with TLS, and with client certificates.

use std::process::Command;

use countersign::grpc::proto::token_authority_client::TokenAuthorityClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::harness::*;

/// A CA, a server's and a client's certificate, made by OpenSSL, and another CA that nobody trusts.
struct Pki(tempfile::TempDir);

impl Pki {
    fn new() -> Self {
        let pki = Self(tempfile::tempdir().unwrap());
        for ca in ["ca", "other-ca"] {
            pki.openssl(&[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "3650",
                "-subj",
                &format!("/CN={ca}"),
                "-keyout",
                &format!("{ca}.key"),
                "-out",
                &format!("{ca}.pem"),
            ]);
        }
        pki.certificate("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth");
        pki.certificate("client", "ca", "extendedKeyUsage=clientAuth");
        pki.certificate("stranger", "other-ca", "extendedKeyUsage=clientAuth");
        pki
    }

    fn certificate(&self, name: &str, ca: &str, extensions: &str) {
        std::fs::write(self.0.path().join("extensions"), extensions).unwrap();
        let (key, request, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &format!("{ca}.pem"),
            "-CAkey",
            &format!("{ca}.key"),
            "-CAcreateserial",
            "-days",
            "3650",
            "-extfile",
            "extensions",
            "-out",
            &pem,
        ]);
    }

    fn openssl(&self, arguments: &[&str]) {
        let done =
            Command::new("openssl").args(arguments).current_dir(self.0.path()).output().expect("openssl is installed");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.read("ca.pem")))
    }

    fn setup(&self, client_ca: &str) -> Setup {
        let (cert, key) = (self.path("server.pem"), self.path("server.key"));
        Setup::default().and(&format!("[server.tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n{client_ca}\n"))
    }
}

async fn connect(address: std::net::SocketAddr, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("https://localhost:{}", address.port())).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await
}

/// Whether a call goes through: a refused client certificate shows at the first call, not at the handshake (TLS 1.3).
async fn works(address: std::net::SocketAddr, tls: ClientTlsConfig) -> bool {
    match connect(address, tls).await {
        Err(_) => false,
        Ok(channel) => TokenAuthorityClient::new(channel).sign(from_billing(sign_for(user("1")))).await.is_ok(),
    }
}

#[tokio::test]
async fn tls_and_client_certificates() {
    let pki = Pki::new();
    let identity = |name: &str| Identity::from_pem(pki.read(&format!("{name}.pem")), pki.read(&format!("{name}.key")));

    let address = pki.setup("").listen().await;
    assert!(works(address, pki.client()).await);
    let strangers = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pki.read("other-ca.pem")));
    assert!(!works(address, strangers).await, "a server of another CA");
    let plain = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    assert!(TokenAuthorityClient::new(plain).sign(from_billing(sign_for(user("1")))).await.is_err(), "without TLS");

    let address = pki.setup(&format!("client_ca = \"{}\"", pki.path("ca.pem"))).listen().await;
    assert!(works(address, pki.client().identity(identity("client"))).await);
    assert!(!works(address, pki.client()).await, "no client certificate");
    assert!(!works(address, pki.client().identity(identity("stranger"))).await, "another CA's certificate");
}

#[test]
fn what_is_not_there_or_not_pem_is_a_problem() {
    let here = env!("CARGO_MANIFEST_DIR");
    let setup =
        Setup::default().and(&format!("[server.tls]\ncert = \"{here}/Cargo.toml\"\nkey = \"{here}/nowhere\"\n"));
    let problems: Vec<_> = setup.check().unwrap_err().into_iter().map(|problem| (problem.key, problem.wrong)).collect();
    assert_eq!(
        problems,
        [
            ("server.tls.cert".to_owned(), "is not PEM".to_owned()),
            ("server.tls.key".to_owned(), "cannot be read: there is no such file".to_owned()),
        ]
    );
}
