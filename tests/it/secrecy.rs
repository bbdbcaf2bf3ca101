//! No secret, token or identifier reaches a log line, an error or a formatted configuration.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use countersign::grpc::proto;
use countersign::grpc::proto::token_authority_client::TokenAuthorityClient;
use serde_json::json;
use tonic::transport::Channel;

use crate::harness::*;

/// The real server at its finest log level, and all that it has said when it ends.
struct Talkative {
    child: std::process::Child,
    reader: std::thread::JoinHandle<String>,
    address: String,
}

impl Talkative {
    fn start(setup: &Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("countersign.toml");
        let store = folder.path().join("countersign.redb");
        let config = setup.config.replace("\"unused\"", &format!("{:?}", store.display().to_string()));
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .envs(&setup.env)
            .env("COUNTERSIGN_LOG", "trace")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, address) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut log = String::new();
            for line in lines.map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("listening on ") {
                    tell.send(address.to_owned()).unwrap();
                }
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        Self { child, reader, address: address.recv().expect("it listens") }
    }

    fn end(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.join().unwrap()
    }
}

#[tokio::test]
async fn a_full_run_at_the_finest_level_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.log");
    let sink = format!("[[audit.sinks]]\nkind = \"file\"\npath = {:?}\n", audit.display().to_string());
    let setup = Setup::default()
        .policy("shadow = { hash_until = \"2026-01-01T00:00:00Z\" }")
        .and(&format!("[audit]\nrequired = true\nverify = true\n{sink}"));
    let debugged = format!("{:?}", setup.check().unwrap());
    let server = Talkative::start(&setup);
    let channel = Channel::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
    let mut client = TokenAuthorityClient::new(channel);
    let subject = "SUBJECT-123456";

    let signed = client.sign(from_billing(sign_for(user(subject)))).await.unwrap().into_inner();
    client.verify(from_billing(verify_jwt(&signed.token))).await.unwrap();
    let hash = client.legacy_hash(from_billing(hash_of(subject))).await.unwrap().into_inner().user_hash;
    client.verify(from_billing(verify_hash(subject, &hash))).await.unwrap();
    let legacy = Some(proto::LegacyProof { user_hash: hash.clone(), ..Default::default() });
    let (application, asserted) = (APP.to_owned(), Some(user(subject)));
    let exchange = proto::ExchangeRequest { application, legacy, asserted, ..Default::default() };
    client.exchange(from_billing(exchange)).await.unwrap();
    client.verify(from_billing(verify_jwt(token(json!({"userId": 1, "email": subject}))))).await.unwrap();
    client.verify(from_billing(verify_hash(subject, user_hash("x", JWT_SECRET)))).await.unwrap();
    let diagnose = proto::DiagnoseRequest {
        application: APP.to_owned(),
        user_hash: user_hash(subject, JWT_SECRET),
        asserted: Some(user(subject)),
        suspected_secret: b"SUSPECTED-SECRET".to_vec(),
        ..Default::default()
    };
    let diagnosed = client.diagnose(from_billing(diagnose)).await.unwrap().into_inner();
    let target = Some(proto::revoke_request::Target::TokenId(signed.token_id.clone()));
    let revoke = proto::RevokeRequest { application: APP.to_owned(), target, expires_at: None };
    client.revoke(from_billing(revoke)).await.unwrap();
    let unknown = proto::SignRequest { application: "SUBJECT-123456/app".to_owned(), ..sign_for(user(subject)) };
    let refused = client.sign(from_billing(unknown)).await.unwrap_err();

    let log = server.end();
    assert!(log.contains("Decided") && log.contains("billing") && log.contains("jwt-2026"), "{log}");
    assert!(log.contains("\"level\":\"TRACE\"") && log.contains("The shadow policy would have refused"));
    let audited = std::fs::read_to_string(audit).unwrap();
    for rpc in ["Sign", "Verify", "LegacyHash", "Exchange", "Diagnose", "Revoke"] {
        assert!(audited.contains(&format!("\"rpc\":\"{rpc}\"")), "{audited}");
    }
    let told = format!("{debugged}\n{log}\n{audited}\n{diagnosed:?}\n{refused:?}");
    let signature = signed.token.rsplit('.').next().unwrap();
    for hidden in [JWT_SECRET, IV_SECRET, TOKEN, subject, "SUSPECTED-SECRET", &hash, signature, &signed.token_id] {
        let line = told.lines().find(|line| line.contains(hidden));
        assert_eq!(line, None, "{hidden} is told");
        let bytes = hidden.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        assert!(!told.contains(&bytes), "the bytes of {hidden} are told");
    }
}
