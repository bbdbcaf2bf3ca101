//! The conformance suite over a process of the test, which has every fault that a process can have.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "it is a test: what cannot go on should stop"
)]

mod answers;
mod connection;
mod place;
mod questions;
mod server;
mod tls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use countersign_claim_source::ClaimSource;
use countersign_claim_source::conformance::{self, Fault, Place, SETS, User, ada};
use countersign_claim_source_remote::Remote;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::server::proto::fetch_response::Outcome;
use self::server::proto::{Denied, NotFound};
use self::server::{Process, Script, found, outcome};

/// Processes of the test, one for each source, which end with the value.
struct Processes {
    folder: TempDir,
    running: Mutex<Vec<Process>>,
}

impl Processes {
    /// The socket of the next process.
    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join(self.running.lock().unwrap().len().to_string())
    }

    async fn source(&self, script: Script) -> Arc<dyn ClaimSource> {
        let socket = self.socket();
        self.running.lock().unwrap().push(Process::on(&socket, script));
        open(&socket).await
    }
}

async fn open(socket: &std::path::Path) -> Arc<dyn ClaimSource> {
    let config = json!({"address": format!("unix:{}", socket.display()), "identifiers": ["user_id"]});
    conformance::open::<Remote>(config, &SETS, &[]).await
}

/// A process that knows these users.
fn knows(users: &[User]) -> Script {
    let json = |user: &User| Value::Object(user.claims.clone()).to_string();
    let users: BTreeMap<_, _> = users.iter().map(|user| (user.user_id.clone(), json(user))).collect();
    Script::new(move |request| {
        Some(Ok(match users.get(request.get_ref().user_id()) {
            Some(claims) => found(claims.as_str()),
            None => outcome(Outcome::NotFound(NotFound {})),
        }))
    })
}

#[async_trait]
impl Place for Processes {
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource> {
        self.source(knows(users)).await
    }

    async fn with(&self, fault: Fault) -> Option<Arc<dyn ClaimSource>> {
        let answer = match fault {
            Fault::Down => return Some(open(&self.folder.path().join("nobody")).await),
            Fault::Hanging => return Some(self.source(Script::new(|_| None)).await),
            Fault::Flapping => return Some(self.flapping().await),
            Fault::Garbage => found("<html><body>It works!</body></html>"),
            Fault::Huge => found(json!({"plan": "x".repeat(100_000_000)}).to_string()),
            Fault::Deep => found(format!("{{\"plan\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000))),
            Fault::Denying => outcome(Outcome::Denied(Denied::default())),
        };
        Some(self.source(Script::always(Ok(answer))).await)
    }
}

impl Processes {
    /// A source whose process is replaced by another one, with another socket at the same path.
    async fn flapping(&self) -> Arc<dyn ClaimSource> {
        let socket = self.socket();
        let first = Process::on(&socket, knows(&[ada(true)]));
        let source = open(&socket).await;
        source.claims(&conformance::ask(Some("ada"), &SETS)).await;
        drop(first);
        self.running.lock().unwrap().push(Process::on(&socket, knows(&[ada(true)])));
        source
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_the_test_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    conformance::run(&Processes { folder, running: Mutex::default() }).await;
}
