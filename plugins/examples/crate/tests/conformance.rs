//! The conformance suite over a file.

#![allow(clippy::unwrap_used, reason = "it is a test: what cannot go on should stop")]

use std::fs::{read_to_string, remove_file, write};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::ClaimSource;
use countersign_claim_source::conformance::{self, Fault, Place, SETS, User, ada, ask};
use countersign_claim_source_json_lines::JsonLines;
use serde_json::json;
use tempfile::TempDir;

/// A folder with the file of the source that was opened last.
struct Folder(TempDir);

impl Folder {
    fn file(&self) -> PathBuf {
        self.0.path().join("users.jsonl")
    }

    /// A source over a file with this text.
    async fn source(&self, text: &str) -> Arc<dyn ClaimSource> {
        write(self.file(), text).unwrap();
        conformance::open::<JsonLines>(json!({"path": self.file()}), &SETS, &[]).await
    }
}

fn lines(users: &[User]) -> String {
    users.iter().map(|user| json!({"user_id": user.user_id, "claims": user.claims}).to_string() + "\n").collect()
}

#[async_trait]
impl Place for Folder {
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource> {
        self.source(&lines(users)).await
    }

    async fn with(&self, fault: Fault) -> Option<Arc<dyn ClaimSource>> {
        let source = self.source(&lines(&[ada(true)])).await;
        match fault {
            Fault::Down => remove_file(self.file()).unwrap(),
            Fault::Flapping => {
                let text = read_to_string(self.file()).unwrap();
                remove_file(self.file()).unwrap();
                source.claims(&ask(Some("ada"), &SETS)).await;
                write(self.file(), text).unwrap();
            }
            Fault::Garbage => write(self.file(), "<html>").unwrap(),
            Fault::Huge => write(self.file(), vec![b' '; 100_000_000]).unwrap(),
            Fault::Deep => write(self.file(), "[".repeat(100_000)).unwrap(),
            // A file does not hang, and a test that runs as root may read every file.
            Fault::Hanging | Fault::Denying => return None,
        }
        Some(source)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_passes_the_suite() {
    conformance::run(&Folder(tempfile::tempdir().unwrap())).await;
}
