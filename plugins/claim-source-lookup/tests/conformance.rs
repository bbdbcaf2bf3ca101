//! The suite that every kind passes, over nginx; the faults that nginx does not have come from a scripted server.

#![allow(clippy::unwrap_used, reason = "it is a test: what cannot go on should stop")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use countersign_claim_source::ClaimSource;
use countersign_claim_source::conformance::{self, Fault, Place, SETS, User};
use countersign_claim_source_lookup::Lookup;
use countersign_test_services::{Nginx, Reply, Site, Upstream, free_port};
use serde_json::{Value, json};

#[tokio::test]
async fn it_conforms() {
    conformance::run(&Http::default()).await;
}

/// The servers that the suite's sources ask, for as long as it runs.
#[derive(Default)]
struct Http {
    nginx: Mutex<Vec<Nginx>>,
    upstreams: Mutex<Vec<Upstream>>,
}

#[async_trait]
impl Place for Http {
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource> {
        self.nginx(Nginx::start(&site(users))).await
    }

    async fn with(&self, fault: Fault) -> Option<Arc<dyn ClaimSource>> {
        let site = site(&[conformance::ada(true)]);
        let page = |page: &str| Site { pages: vec![(target("ada"), page.to_owned())], ..Site::default() };
        Some(match fault {
            Fault::Down => open(&format!("http://127.0.0.1:{}", free_port())).await,
            Fault::Hanging => {
                let nginx = Nginx::start(&site);
                nginx.daemon().signal("STOP");
                self.nginx(nginx).await
            }
            Fault::Flapping => {
                let nginx = Nginx::start(&site);
                let (source, port) = (open(&nginx.http("")).await, nginx.daemon().port());
                // So that the pool holds a connection to the one that goes away.
                source.claims(&conformance::ask(Some("ada"), &SETS)).await;
                drop(nginx);
                self.nginx.lock().unwrap().push(Nginx::start_at(port, &site));
                source
            }
            Fault::Garbage => self.nginx(Nginx::start(&page("<!doctype html><title>Welcome</title>"))).await,
            Fault::Deep => self.nginx(Nginx::start(&page(&"[".repeat(100_000)))).await,
            Fault::Denying => {
                self.nginx(Nginx::start(&Site { more: "location /users { return 403; }", ..Site::default() })).await
            }
            Fault::Huge => {
                let upstream = Upstream::start(|_| Reply::Endless);
                let source = open(&upstream.url("")).await;
                self.upstreams.lock().unwrap().push(upstream);
                source
            }
        })
    }
}

impl Http {
    async fn nginx(&self, nginx: Nginx) -> Arc<dyn ClaimSource> {
        let source = open(&nginx.http("")).await;
        self.nginx.lock().unwrap().push(nginx);
        source
    }
}

async fn open(origin: &str) -> Arc<dyn ClaimSource> {
    let config = json!({
        "url": format!("{origin}/users/{{user_id}}"),
        "claims": {"title": "$.profile.title", "companies": "$.accounts"},
        "same": {"user_id": "$.id"},
    });
    conformance::open::<Lookup>(config, &SETS, &[]).await
}

fn site(users: &[User]) -> Site<'static> {
    Site { pages: users.iter().map(|user| (target(&user.user_id), page(user))).collect(), ..Site::default() }
}

fn page(user: &User) -> String {
    let claim = |name: &str| user.claims.get(name).cloned().unwrap_or(Value::Null);
    json!({
        "id": user.user_id,
        "plan": claim("plan"),
        "profile": {"title": claim("title")},
        "seats": claim("seats"),
        "active": claim("active"),
        "accounts": claim("companies"),
    })
    .to_string()
}

/// The request target of a user, written by another encoder than the crate's.
fn target(user_id: &str) -> String {
    let encoded = user_id.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    format!("/users/{}", encoded.collect::<String>())
}
