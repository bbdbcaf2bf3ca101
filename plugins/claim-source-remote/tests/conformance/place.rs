//! A source over a Unix socket, where processes come and go.

use std::path::PathBuf;
use std::sync::Arc;

use countersign_claim_source::conformance::{ask, open};
use countersign_claim_source::{Answer, ClaimSource};
use countersign_claim_source_remote::Remote;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::server::{Process, Script};

/// A source over a socket of its own, where processes come and go.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) source: Arc<dyn ClaimSource>,
}

impl Place {
    /// A source with these keys of `config` beside the address. It sets `plan` and `seats`.
    pub(crate) async fn new(keys: Value, needs: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = keys;
        config["address"] = format!("unix:{}", folder.path().join("socket").display()).into();
        let source = open::<Remote>(config, &["plan", "seats"], needs).await;
        Self { folder, source }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub(crate) async fn ask(&self) -> Answer {
        self.source.claims(&ask(Some("ada"), &["plan", "seats"])).await
    }
}

/// The answer of a source to a process with this script.
pub(crate) async fn answer(script: Script) -> Answer {
    let place = Place::new(json!({}), &[]).await;
    let _process = Process::on(&place.socket(), script);
    place.ask().await
}

pub(crate) fn gold() -> Answer {
    Answer::found(Map::from_iter([("plan".to_owned(), json!("Gold"))]))
}

pub(crate) fn finds_gold() -> Script {
    Script::finds(r#"{"plan": "Gold"}"#)
}
