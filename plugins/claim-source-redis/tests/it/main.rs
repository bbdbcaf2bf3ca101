//! The kind over real servers, and over some that break the protocol, which no real one does on demand.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test that cannot go on should stop"
)]

mod conformance;
mod hostile;
mod servers;
mod topologies;

use std::net::TcpListener;
use std::sync::Arc;

use countersign_claim_source::conformance::ask;
use countersign_claim_source::{Answer, ClaimSource};
use countersign_claim_source_redis::Redis as Kind;
use serde_json::{Value, json};

/// A file that holds a secret, and the reference to it. The file ends with the value.
#[derive(Debug)]
struct Secret(tempfile::NamedTempFile);

impl Secret {
    fn new(text: &str) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        Self(file)
    }

    fn reference(&self) -> Value {
        json!({ "file": self.0.path() })
    }
}

/// A source of `sets` over what is under `user:{user_id}`, with more configuration beside.
async fn source(url: impl Into<Value>, sets: &[&str], more: Value) -> Arc<dyn ClaimSource> {
    let mut config = json!({"url": url.into(), "key": "user:{user_id}"});
    config.as_object_mut().expect("a table").extend(more.as_object().cloned().expect("a table"));
    countersign_claim_source::conformance::open::<Kind>(config, sets, &[]).await
}

/// The plan of a user.
async fn plan(source: &dyn ClaimSource, user_id: &str) -> Answer {
    source.claims(&ask(Some(user_id), &["plan"])).await
}

/// The answer that is this plan.
fn found(plan: &str) -> Answer {
    Answer::found(json!({"plan": plan}).as_object().cloned().unwrap_or_default())
}

/// A listener of loopback, and its address.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, format!("redis://{address}"))
}
