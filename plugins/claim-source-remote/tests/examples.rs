//! The examples of `plugins/examples`, as an operator runs them: the conformance suite, and what an orderly process does.
//!
//! The suite's faults that need a process that lies are in `conformance`; these do not lie.

#![allow(clippy::unwrap_used, reason = "it is a test: what cannot go on should stop")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use countersign_claim_source::conformance::{self, Fault, Place, SETS, User, ada, ask};
use countersign_claim_source::{Answer, ClaimSource};
use countersign_claim_source_remote::Remote as Kind;
use countersign_test_services::{Example, Remote, until};
use serde_json::{Map, Value, json};

/// Processes of one example, one for each source, which end with the value.
struct Processes {
    example: Example,
    running: Mutex<Vec<Remote>>,
}

fn start(example: Example, users: &[User]) -> Remote {
    let users: Map<String, Value> =
        users.iter().map(|user| (user.user_id.clone(), Value::Object(user.claims.clone()))).collect();
    Remote::start(example, &Value::Object(users).to_string())
}

async fn open(process: &Remote, settings: Value) -> Arc<dyn ClaimSource> {
    let config = json!({"address": process.address(), "identifiers": ["user_id"], "settings": settings});
    conformance::open::<Kind>(config, &SETS, &[]).await
}

#[async_trait]
impl Place for Processes {
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource> {
        let process = start(self.example, users);
        let source = open(&process, json!({})).await;
        self.running.lock().unwrap().push(process);
        source
    }

    async fn with(&self, fault: Fault) -> Option<Arc<dyn ClaimSource>> {
        let mut process = start(self.example, &[ada(true)]);
        let source = open(&process, json!({})).await;
        match fault {
            Fault::Down => process.signal("KILL"),
            Fault::Hanging => process.signal("STOP"),
            Fault::Flapping => {
                source.claims(&ask(Some("ada"), &SETS)).await;
                process.signal("KILL");
                process.ended();
                process.start_again();
            }
            Fault::Garbage | Fault::Huge | Fault::Deep | Fault::Denying => return None,
        }
        self.running.lock().unwrap().push(process);
        Some(source)
    }
}

async fn passes_the_suite(example: Example) {
    conformance::run(&Processes { example, running: Mutex::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_passes_the_suite() {
    passes_the_suite(Example::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_example_passes_the_suite() {
    passes_the_suite(Example::Go).await;
}

#[tokio::test]
async fn the_examples_own_setting_is_judged_and_heeded() {
    for example in [Example::Python, Example::Go] {
        let process = start(example, &[ada(true)]);
        let answer = |settings: Value| async {
            let answer = open(&process, settings).await.claims(&ask(Some("ada"), &["plan"])).await;
            if let Answer::Found { fresh_for, .. } = answer { format!("{fresh_for:?}") } else { format!("{answer:?}") }
        };
        assert_eq!(answer(json!({})).await, "None", "{example:?}");
        assert_eq!(answer(json!({"fresh_secs": 30})).await, "Some(30s)", "{example:?}");
        assert_eq!(answer(json!({"fresh_secs": 0})).await, "Some(0ns)", "{example:?}");
        let refused = |key: &str| format!("Malformed(Why(\"the process refuses the setting {key}\"))");
        for fresh in [json!(-1), json!(86401), json!(1.5), json!("30"), json!(true), Value::Null] {
            assert_eq!(answer(json!({"fresh_secs": fresh})).await, refused("freshsecs"), "{example:?}, {fresh}");
        }
        assert_eq!(answer(json!({"table": "scores"})).await, refused("table"), "{example:?}");
    }
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group() {
    for example in [Example::Python, Example::Go] {
        let process = start(example, &[]);
        let mode = std::fs::metadata(process.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660, "{example:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_restart_under_load_is_never_taken_for_a_wrong_answer() {
    for example in [Example::Python, Example::Go] {
        let mut process = start(example, &[ada(true)]);
        let source = open(&process, json!({})).await;
        let right = Arc::new(AtomicUsize::new(0));
        let asks = (0..8).map(|_| async {
            loop {
                let answer = source.claims(&ask(Some("ada"), &SETS)).await;
                if matches!(&answer, Answer::Found { claims, .. } if *claims == ada(true).claims) {
                    right.fetch_add(1, Relaxed);
                } else if !matches!(answer, Answer::Unavailable(_)) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        });
        let answers = right.clone();
        let restart = tokio::task::spawn_blocking(move || {
            until("many answers", || answers.load(Relaxed) >= 100);
            process.signal("TERM");
            assert!(process.ended().success(), "{example:?} ends in an orderly way");
            process.start_again();
            let before = answers.load(Relaxed);
            until("many answers of the next process", || answers.load(Relaxed) >= before + 100);
        });
        tokio::select! {
            restarted = restart => restarted.unwrap(),
            (wrong, ..) = futures::future::select_all(asks.map(Box::pin)) => panic!("{example:?}: {wrong:?}"),
        }
    }
}

#[test]
fn the_go_example_is_formatted_vetted_and_of_this_protocol() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/build");
    let output = Command::new(script).arg("check").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`buf generate` in plugins/examples/go makes gen/ again:\n{told}");
}
