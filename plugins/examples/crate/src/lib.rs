//! Claims from a file with a line of JSON for each user: `{"user_id": "123456", "claims": {"number": 42}}`.
//!
//! The file is read for every question. It keeps nothing: the cache is the host's.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Answer, Ask, Check, ClaimSource, OpenError, SourceKind};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// Bytes of the file.
const FILE_BYTES: u64 = 1024 * 1024;

/// `kind = "json_lines"`
#[derive(Clone, Copy, Debug)]
pub struct JsonLines;

/// `[sources.<name>.config]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file, by its absolute path.
    path: PathBuf,
}

#[async_trait]
impl SourceKind for JsonLines {
    const NAME: &'static str = "json_lines";
    type Config = Config;
    type Checked = Lines;

    fn check(config: Config, check: &Check<'_>) -> Option<Lines> {
        check.asks_with("user_id");
        if !config.path.is_absolute() {
            check.problem("path", "is not absolute", "path = \"/srv/users.jsonl\"");
            return None;
        }
        Some(Lines { path: config.path, sets: check.sets().to_vec() })
    }

    async fn open(checked: Lines) -> Result<Arc<dyn ClaimSource>, OpenError> {
        Ok(Arc::new(checked))
    }
}

/// An open source.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    sets: Vec<String>,
}

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    user_id: String,
    claims: Map<String, Value>,
}

#[async_trait]
impl ClaimSource for Lines {
    async fn claims(&self, ask: &Ask) -> Answer {
        let Some(user_id) = &ask.user_id else {
            return Answer::Missing("user_id".to_owned());
        };
        let text = match self.read().await {
            Ok(text) => text,
            Err(failure) => return failure,
        };
        for line in text.lines() {
            let Ok(mut line) = serde_json::from_str::<Line>(line) else {
                return Answer::malformed("a line of the file is not a user with claims");
            };
            if line.user_id == *user_id {
                line.claims.retain(|claim, value| self.sets.contains(claim) && ask.wants(claim) && !value.is_null());
                return Answer::found(line.claims);
            }
        }
        Answer::NotFound
    }
}

impl Lines {
    /// The text of the file; else the answer to give.
    async fn read(&self) -> Result<String, Answer> {
        let file = File::open(&self.path).await.map_err(|error| {
            if error.kind() == ErrorKind::PermissionDenied {
                Answer::denied("the file may not be read")
            } else {
                Answer::unavailable("the file cannot be opened")
            }
        })?;
        let mut text = Vec::new();
        let read = file.take(FILE_BYTES + 1).read_to_end(&mut text).await;
        read.map_err(|_lost| Answer::unavailable("the file cannot be read"))?;
        if text.len() as u64 > FILE_BYTES {
            return Err(Answer::malformed("the file is too long"));
        }
        String::from_utf8(text).map_err(|_binary| Answer::malformed("the file is not UTF-8"))
    }
}
