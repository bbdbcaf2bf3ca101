//! A process on another machine: both sides show who they are.

use countersign_claim_source::Answer;
use countersign_claim_source::conformance::{ask, open};
use countersign_claim_source_remote::Remote;
use countersign_test_services::Certificates;
use serde_json::json;

use crate::server::{Process, Script};

/// The answer of a process behind TLS to a client that believes this authority and has a certificate of that one.
async fn answer(process: &Process, believed: Option<&Certificates>, own: &Certificates) -> Answer {
    let ca = believed.map(|certificates| certificates.path("ca.pem"));
    let tls = json!({"ca": ca, "cert": own.path("client.pem"), "key": own.path("client.key")});
    let config = json!({"address": format!("https://localhost:{}", process.port), "tls": tls});
    open::<Remote>(config, &["plan"], &[]).await.claims(&ask(Some("ada"), &["plan"])).await
}

fn finds() -> Script {
    Script::finds(r#"{"plan": "Gold"}"#)
}

#[tokio::test]
async fn a_process_with_tls_is_asked() {
    let ours = Certificates::make();
    let process = Process::secure((&ours, "server"), &ours, finds());
    let answer = answer(&process, Some(&ours), &ours).await;
    assert!(matches!(answer, Answer::Found { .. }), "{answer:?}");
}

#[tokio::test]
async fn nobody_else_is_believed_or_answered() {
    let (ours, others) = (Certificates::make(), Certificates::make());
    let script = finds();
    for (case, certificate, clients, believed, client) in [
        ("a certificate for another name", (&ours, "other"), &ours, Some(&ours), &ours),
        ("a certificate of another authority", (&others, "server"), &ours, Some(&ours), &ours),
        ("an authority that the machine does not trust", (&ours, "server"), &ours, None, &ours),
        ("a client that the process does not know", (&ours, "server"), &ours, Some(&ours), &others),
    ] {
        let process = Process::secure(certificate, clients, script.clone());
        let answer = answer(&process, believed, client).await;
        assert!(matches!(answer, Answer::Unavailable(_)), "{case}: {answer:?}");
    }
    assert_eq!(script.calls(), [""; 0], "no question reached anybody");
}
