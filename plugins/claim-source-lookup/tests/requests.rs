//! What goes over the wire: every value stays one value where it stands, or nothing is sent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "it is a test: what cannot go on should stop")]

use std::io::Write as _;
use std::process::Command;

use countersign_claim_source::conformance::{self, HOSTILE, ask};
use countersign_claim_source::{Answer, Ask};
use countersign_claim_source_lookup::Lookup;
use countersign_test_services::{Received, Reply, Upstream};
use serde_json::{Value, json};

/// An upstream that knows everybody.
fn upstream() -> Upstream {
    Upstream::start(|_| Reply::json(&json!({"plan": "Gold"})))
}

/// Asks one question with this configuration; `url` is a target of the upstream.
async fn asked(upstream: &Upstream, mut config: Value, needs: &[&str], ask: &Ask) -> Answer {
    config["url"] = json!(upstream.url(config["url"].as_str().unwrap()));
    conformance::open::<Lookup>(config, &["plan"], needs).await.claims(ask).await
}

fn found() -> Answer {
    Answer::found([("plan".to_owned(), json!("Gold"))].into_iter().collect())
}

fn of(user_id: &str) -> Ask {
    ask(Some(user_id), &["plan"])
}

fn last(upstream: &Upstream) -> Received {
    upstream.requests().pop().unwrap()
}

#[tokio::test]
async fn a_request_is_sent_byte_for_byte_as_it_is_meant() {
    let upstream = upstream();
    let config = json!({
        "url": "/v1/{application}/u-{user_id}?by={email}&of={user_id}&level={level}",
        "headers": {"X-User": "{user_id}", "x-fixed": "two words {{}}"},
    });
    let mut ask = of("%2e%2e/a?b&c=d#e+f");
    ask.email = Some("zoë+x@b.example".to_owned());
    ask.known.insert("level".to_owned(), json!(3));
    assert_eq!(asked(&upstream, config, &["level"], &ask).await, found());
    let sent = last(&upstream);
    let target = "/v1/acme%2Ffeedback/u-%252e%252e%2Fa%3Fb%26c%3Dd%23e%2Bf\
                  ?by=zo%C3%AB%2Bx%40b.example&of=%252e%252e%2Fa%3Fb%26c%3Dd%23e%2Bf&level=3";
    assert_eq!((sent.method.as_str(), sent.target.as_str()), ("GET", target));
    let mut headers = sent.headers.clone();
    headers.sort();
    let host = upstream.url("").replace("http://", "");
    let expected = [
        ("accept", "application/json"),
        ("host", &host),
        ("user-agent", "countersign"),
        ("x-fixed", "two words {}"),
        ("x-user", "%2e%2e/a?b&c=d#e+f"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn hostile_values_stay_one_value_everywhere() {
    let upstream = upstream();
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    for value in HOSTILE {
        let config = json!({
            "url": "/users/{user_id}/plan?id={user_id}&x=1",
            "method": "POST",
            "body": "{\"variables\": {\"id\": \"{user_id}\", \"x\": 1}}",
        });
        assert_eq!(asked(&upstream, config, &[], &of(value)).await, found(), "{value}");
        let sent = last(&upstream);
        let (path, query) = sent.target.split_once('?').unwrap();
        assert_eq!(path.split('/').map(decoded).collect::<Vec<_>>(), ["", "users", value, "plan"]);
        assert_eq!(query.split('&').map(decoded).collect::<Vec<_>>(), [&format!("id={value}"), "x=1"]);
        let body: Value = serde_json::from_str(&sent.body).unwrap();
        assert_eq!(body, json!({"variables": {"id": value, "x": 1}}));
        assert_eq!(sent.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn what_cannot_stand_in_its_place_is_named_and_nothing_is_sent() {
    let upstream = upstream();
    for (place, value) in [
        ("path", ""),
        ("path", "."),
        ("path", ".."),
        ("path", "a\nb"),
        ("path", "a\0b"),
        ("query", ""),
        ("query", "a\r\nb"),
        ("header", ""),
        ("header", "a\r\nx-admin: 1"),
        ("header", " a"),
        ("header", "zoë"),
    ] {
        let config = match place {
            "path" => json!({"url": "/users/{email}"}),
            "query" => json!({"url": "/users?email={email}"}),
            _ => json!({"url": "/users", "headers": {"x-user": "{email}"}}),
        };
        let mut ask = of("ada");
        ask.email = Some(value.to_owned());
        let answer = asked(&upstream, config, &[], &ask).await;
        assert!(matches!(&answer, Answer::Unfit(name, _) if name == "email"), "{place} {value:?}: {answer:?}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn what_is_not_there_is_missing_and_nothing_is_sent() {
    let upstream = upstream();
    for config in [
        json!({"url": "/users/{email}"}),
        json!({"url": "/users?email={email}"}),
        json!({"url": "/users", "headers": {"x-user": "{email}"}}),
        json!({"url": "/users", "method": "POST", "body": "[\"{email}\"]"}),
        json!({"url": "/users", "same": {"email": "$.email"}}),
    ] {
        let answer = asked(&upstream, config, &[], &of("ada")).await;
        assert_eq!(answer, Answer::Missing("email".to_owned()));
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_graphql_variable_is_never_a_part_of_the_query() {
    let upstream = Upstream::start(|request| {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let name = body["variables"]["id"].as_str().unwrap().to_owned();
        Reply::json(&json!({"data": {"user": {"id": name, "plan": {"name": "Gold"}}}}))
    });
    let query = "query($id: ID!) { user(id: $id) { id plan { name } } }";
    let config = json!({
        "url": "/graphql",
        "method": "POST",
        "body": format!("{{\"query\": \"{query}\", \"variables\": {{\"id\": \"{{user_id}}\"}}}}"),
        "claims": {"plan": "$.data.user.plan.name"},
        "same": {"user_id": "$.data.user.id"},
    });
    let hostile = "x\") { plan } } #";
    assert_eq!(asked(&upstream, config, &[], &of(hostile)).await, found());
    let body: Value = serde_json::from_str(&last(&upstream).body).unwrap();
    assert_eq!(body, json!({"query": query, "variables": {"id": hostile}}));
}

#[tokio::test]
async fn a_secret_header_is_sent_as_its_reference_says() {
    let upstream = upstream();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "Bearer s3cret").unwrap();
    let config = json!({"url": "/", "headers": {"Authorization": {"file": file.path()}, "accept": "text/json"}});
    assert_eq!(asked(&upstream, config, &[], &of("ada")).await, found());
    let sent = last(&upstream);
    assert_eq!(sent.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(sent.header("accept"), Some("text/json"));
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = upstream();
    let source = conformance::open::<Lookup>(json!({"url": upstream.url("/{user_id}")}), &["plan"], &[]).await;
    for user in ["ada", "bob", "eve"] {
        assert_eq!(source.claims(&of(user)).await, found());
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (3, 1));
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_asked() {
    // Variables cannot be set in a process that runs, so another test runs in one that has them.
    let proxy = Upstream::start(|_| Reply::status(502));
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "connections_are_used_again"]).env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        test.env(name, proxy.url(""));
    }
    let output = test.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    assert_eq!(proxy.connections(), 0);
}
