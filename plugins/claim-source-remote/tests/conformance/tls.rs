//! A process on another machine: both sides show who they are.

use std::path::PathBuf;

use countersign_claim_source::Answer;
use countersign_claim_source::conformance::{ask, open};
use countersign_claim_source_remote::Remote;
use countersign_test_services::Certificates;
use serde_json::json;

use crate::server::{Process, Script};

/// The answer of a process behind TLS to a client with this authority and identity.
async fn answer(process: &Process, ca: PathBuf, (certificates, client): (&Certificates, &str)) -> Answer {
    let config = json!({
        "address": format!("https://localhost:{}", process.port),
        "tls": {
            "ca": ca,
            "cert": certificates.path(&format!("{client}.pem")),
            "key": certificates.path(&format!("{client}.key")),
        },
    });
    open::<Remote>(config, &["plan"], &[]).await.claims(&ask(Some("ada"), &["plan"])).await
}

fn finds() -> Script {
    Script::finds(r#"{"plan": "Gold"}"#)
}

#[tokio::test]
async fn a_process_with_tls_is_asked() {
    let ours = Certificates::make();
    let process = Process::secure((&ours, "server"), &ours, finds());
    let answer = answer(&process, ours.path("ca.pem"), (&ours, "client")).await;
    assert!(matches!(answer, Answer::Found { .. }), "{answer:?}");
}

#[tokio::test]
async fn nobody_else_is_believed_or_answered() {
    let (ours, others) = (Certificates::make(), Certificates::make());
    let script = finds();
    let ca = ours.path("ca.pem");
    for (case, certificate, clients, client) in [
        ("a certificate for another name", (&ours, "other"), &ours, &ours),
        ("a certificate of another authority", (&others, "server"), &ours, &ours),
        ("a client that the process does not know", (&ours, "server"), &ours, &others),
    ] {
        let process = Process::secure(certificate, clients, script.clone());
        let answer = answer(&process, ca.clone(), (client, "client")).await;
        assert!(matches!(answer, Answer::Unavailable(_)), "{case}: {answer:?}");
    }
    assert_eq!(script.calls(), [""; 0], "no question reached anybody");
}
