//! The suite that every kind passes, over a real Redis: claims in hashes, and in JSON.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use countersign_claim_source::ClaimSource;
use countersign_claim_source::conformance::{Fault, Place, SETS, User, ada, run};
use countersign_test_services::{Redis, free_port};
use serde_json::{Value, json};

use super::hostile::{always, speaking};
use super::{Secret, plan, source};

/// How claims stand in the server.
#[derive(Clone, Copy, PartialEq)]
enum Layout {
    Hash,
    Json,
}

/// A place of servers that live as long as it.
struct Servers {
    layout: Layout,
    started: Mutex<Vec<Redis>>,
}

impl Servers {
    fn config(&self) -> Value {
        match self.layout {
            Layout::Hash => json!({"json_claims": ["seats", "active", "companies"]}),
            Layout::Json => json!({"format": "json", "claims": {"plan": "$.subscription.plan"}}),
        }
    }

    async fn over(&self, url: &str) -> Arc<dyn ClaimSource> {
        source(url, &SETS, self.config()).await
    }

    async fn keep(&self, server: Redis) -> Arc<dyn ClaimSource> {
        let source = self.over(&server.url()).await;
        self.started.lock().expect("no panic").push(server);
        source
    }

    fn write(&self, server: &Redis, user: &User) {
        let key = format!("user:{}", user.user_id);
        let mut claims = user.claims.clone();
        if self.layout == Layout::Json {
            let named = claims.remove("plan");
            claims.insert("subscription".to_owned(), json!({ "plan": named }));
            server.run(&["SET", &key, &Value::Object(claims).to_string()]);
            return;
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs: Vec<String> = claims.iter().flat_map(|(claim, value)| [claim.clone(), text(value)]).collect();
        let command = ["HSET", &key].into_iter().chain(pairs.iter().map(String::as_str)).collect::<Vec<_>>();
        server.run(&command);
    }

    /// A server in which this is what stands for the companies of the suite's user, or for all of it.
    async fn holding(&self, lua: &str) -> Arc<dyn ClaimSource> {
        let server = Redis::start();
        let write = match self.layout {
            Layout::Hash => format!("redis.call('HSET', 'user:ada', 'companies', {lua})"),
            Layout::Json => format!("redis.call('SET', 'user:ada', {lua})"),
        };
        server.run(&["EVAL", &write, "0"]);
        self.keep(server).await
    }
}

#[async_trait]
impl Place for Servers {
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource> {
        let server = Redis::start();
        users.iter().for_each(|user| self.write(&server, user));
        self.keep(server).await
    }

    async fn with(&self, fault: Fault) -> Option<Arc<dyn ClaimSource>> {
        Some(match fault {
            Fault::Down => self.over(&format!("redis://127.0.0.1:{}", free_port())).await,
            Fault::Hanging => {
                let server = Redis::start();
                server.pause();
                self.keep(server).await
            }
            Fault::Flapping => {
                let mut server = Redis::start();
                let source = self.over(&server.url()).await;
                plan(&*source, "ada").await;
                server.restart();
                self.write(&server, &ada(true));
                self.started.lock().expect("no panic").push(server);
                source
            }
            Fault::Garbage => self.over(&speaking(always("HTTP/1.1 400 Bad Request\r\n\r\n"), b"")).await,
            Fault::Huge => self.holding("string.rep('x', 100000000)").await,
            Fault::Deep => self.holding("string.rep('[', 100000) .. string.rep(']', 100000)").await,
            Fault::Denying => {
                let server = Redis::start();
                server.run(&["ACL", "SETUSER", "reader", "on", ">s3cret", "~*", "+ping"]);
                let password = Secret::new("s3cret");
                let mut config = self.config();
                config["username"] = json!("reader");
                config["password"] = password.reference();
                let source = source(server.url(), &SETS, config).await;
                self.started.lock().expect("no panic").push(server);
                source
            }
        })
    }
}

#[tokio::test]
async fn claims_in_hashes_conform() {
    run(&Servers { layout: Layout::Hash, started: Mutex::default() }).await;
}

#[tokio::test]
async fn claims_in_json_conform() {
    run(&Servers { layout: Layout::Json, started: Mutex::default() }).await;
}
