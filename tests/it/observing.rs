//! What operators see: metrics and health on the admin listener, one span for each call of a source.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use countersign_claim_source::Answer;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::harness::*;
use crate::scripted::{Script, found, say, with_plan as with};

/// The status and the body of a page.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_shows_metrics_and_health() {
    let script = Script::new("metrics", say(found(json!({"plan": "Gold"}))));
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rules = "on_error = \"omit\"\nfresh_secs = 60\nretries = 0\nbreaker_failures = 1";
    let setup = with("metrics", rules).and(&format!("[server]\nadmin_listen = \"{admin}\"\n"));
    let mut server = setup.start().await;
    server.sign(sign_for(user("1"))).await.unwrap();
    server.sign(sign_for(user("1"))).await.unwrap();
    script.play(say(Answer::unavailable("no")));
    server.sign(sign_for(user("2"))).await.unwrap();
    server.sign(sign_for(user("root"))).await.unwrap_err();
    // Left alone by now.
    server.sign(sign_for(user("3"))).await.unwrap();

    let (status, text) = get(admin, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "countersign_source_calls_total{source=\"s\",outcome=\"found\"} 1",
        "countersign_source_calls_total{source=\"s\",outcome=\"unavailable\"} 1",
        "countersign_source_cache_total{source=\"s\",result=\"fresh\"} 1",
        "countersign_source_calls_total{source=\"s\",outcome=\"left_alone\"} 1",
        "countersign_source_cache_total{source=\"s\",result=\"miss\"} 3",
        "countersign_source_pauses_total{source=\"s\"} 1",
        "countersign_source_call_seconds_count{source=\"s\"} 3",
        "countersign_decisions_total{rpc=\"Sign\",outcome=\"done\",reason=\"\"} 4",
        "countersign_decisions_total{rpc=\"Sign\",outcome=\"refused\",reason=\"SUBJECT_PRIVILEGED\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert_eq!(get(admin, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(get(admin, "/readyz"), (200, "serving\n".to_owned()));
    assert_eq!(get(admin, "/nothing").0, 404);
}

#[test]
fn the_admin_listener_is_for_loopback_or_said_to_be_plain() {
    let problem = |listen: &str| {
        let setup = Setup::default().and(&format!("[server]\nadmin_listen = \"{listen}\"\n"));
        setup.check().err().map(|problems| problems[0].key.clone())
    };
    assert_eq!(problem("127.0.0.1:7401"), None);
    assert_eq!(problem("0.0.0.0:7401").as_deref(), Some("server.admin_listen"));
    assert_eq!(problem("127.0.0.1:7400").as_deref(), Some("server.admin_listen"), "the same as listen");
    let plain = Setup::default().and("[server]\nadmin_listen = \"0.0.0.0:7401\"\nplaintext = true\n");
    assert!(plain.check().is_ok());
}

/// Notes the spans that begin, with their fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &tracing::span::Attributes<'_>, _: &tracing::span::Id, _: Context<'_, S>) {
        let mut text = attributes.metadata().name().to_owned();
        attributes.record(&mut Writing(&mut text));
        self.0.lock().unwrap().push(text);
    }
}

struct Writing<'t>(&'t mut String);

impl Visit for Writing<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

#[tokio::test]
async fn each_call_of_a_source_is_a_span_and_no_hit_in_the_cache_is() {
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
    Script::new("spans", say(found(json!({"plan": "Gold"}))));
    let mut server = with("spans", "on_error = \"refuse\"\nfresh_secs = 60").start().await;
    for _ in 0..3 {
        server.sign(sign_for(user("1"))).await.unwrap();
    }
    let seen = spans.0.lock().unwrap().clone();
    let calls: Vec<_> = seen.iter().filter(|span| span.starts_with("source_call")).collect();
    assert_eq!(calls, ["source_call source=\"s\" application=\"acme/feedback\""]);
}
