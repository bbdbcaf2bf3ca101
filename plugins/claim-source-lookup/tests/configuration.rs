//! What is wrong with a configuration is found when it is loaded, all of it, and without a value in it.

#![allow(clippy::indexing_slicing, reason = "it is a test: what cannot go on should stop")]

use countersign_claim_source::conformance::check;
use countersign_claim_source_lookup::Lookup;
use countersign_test_services::Certificates;
use serde_json::{Value, json};

/// The keys of the problems, in order.
fn problems(config: Value) -> Vec<String> {
    match check::<Lookup>(config, &["plan"], &["level"]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.key).collect(),
    }
}

/// A configuration with one key set.
fn with(key: &str, value: Value) -> Value {
    let mut config = json!({"url": "http://127.0.0.1:9000/users/{user_id}"});
    config[key] = value;
    config
}

#[test]
fn what_is_right_has_no_problems() {
    for url in [
        "http://127.0.0.1:9000/users/{user_id}",
        "https://billing.example/users/{user_id}/plan?level={level}&email={email}",
        "https://billing.example?user={user_id}",
        "https://[::1]:9000/users/u-{user_id}.json",
        "https://billing.example/a%2Fb/{application}",
    ] {
        assert_eq!(problems(with("url", json!(url))), [""; 0], "{url}");
    }
    let config = json!({
        "url": "https://billing.example/graphql",
        "method": "POST",
        "headers": {"x-user": "{user_id}", "x-fixed": "a b"},
        "body": "{\"query\": \"{ user { email } }\", \"variables\": {\"id\": \"{user_id}\", \"n\": [1, true, null]}}",
        "claims": {"plan": "$.data.user.plan"},
        "same": {"user_id": "$.data.user.id", "level": "$.level"},
        "max_bytes": 16 << 20,
    });
    assert_eq!(problems(config), [""; 0]);
}

#[test]
fn an_address_that_would_be_another_is_a_problem() {
    for url in [
        "",
        "billing.example/users",
        "ftp://billing.example/{user_id}",
        "http:billing.example/{user_id}",
        "http:///{user_id}",
        "http://{user_id}/",
        "http://{user_id}.example/",
        "http://billing.example{user_id}/",
        "http://billing.example:{level}/",
        "http://{user_id}@billing.example/",
        "http://user@billing.example/",
        "http://user:password@billing.example/",
        "http://billing.example\\{user_id}",
        "http://billing.example/{user_id}/..",
        "http://billing.example/{user_id}/%2e%2E/x",
        "http://billing.example/./{user_id}",
        "http://billing.example/%2{user_id}",
        "http://billing.example/?x=%{user_id}",
        "http://billing.example/{user_id}#top",
        "http://billing.example/{user_id} ",
        "http://billing.example/{user}",
        "http://billing.example/{user_id",
        "http://billing.example/?id={user}",
    ] {
        assert_eq!(problems(with("url", json!(url))), ["url"], "{url}");
    }
}

#[test]
fn headers_that_could_be_forged_or_hold_secrets_are_problems() {
    for (name, value) in [
        ("host", "x"),
        ("Content-Length", "1"),
        ("content-type", "text/plain"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("accept-encoding", "gzip"),
        ("authorization", "Bearer s3cret"),
        ("Cookie", "a=b"),
        ("x-api-key", "s3cret"),
        ("not a name", "x"),
        ("", "x"),
        ("x-a", ""),
        ("x-a", " x"),
        ("x-a", "a\r\nx-b: 1"),
        ("x-a", "é"),
        ("x-a", "{user}"),
        ("x-a", "user {user_id}"),
        ("x-a", "{user_id}{email}"),
    ] {
        assert_eq!(problems(with("headers", json!({ name: value }))), [format!("headers.{name}")], "{name}: {value}");
    }
    assert_eq!(problems(with("headers", json!({"X-A": "1", "x-a": "2"}))), ["headers.x-a"]);
    assert_eq!(problems(with("headers", json!({"authorization": {"env": "NOT_SET"}}))), ["headers.authorization"]);
}

#[test]
fn a_body_in_which_a_value_could_break_out_is_a_problem() {
    for body in [
        "",
        "user={user_id}",
        "{\"id\": {user_id}}",
        "{\"id\": \"{user_id}\"",
        "{\"id\": \"user:{user_id}\"}",
        "{\"id\": \"{user_id}{email}\"}",
        "{\"id\": \"\\{user_id}\"}",
        "{\"id\": \"\\u00{user_id}\"}",
        "{\"{user_id}\": 1}",
        "[[{\"query\": \"{ user(id: \\\"{user_id}\\\") { plan } }\"}]]",
        "{\"query\": \"{user{email}}\"}",
    ] {
        let mut config = with("body", json!(body));
        config["method"] = json!("POST");
        assert_eq!(problems(config), ["body"], "{body}");
    }
    assert_eq!(problems(with("body", json!("{}"))), ["body"], "a GET has no body");
    assert_eq!(problems(with("method", json!("POST"))), ["body"], "a POST has a body");
    assert_eq!(problems(with("method", json!("PUT"))), [""], "the host says where");
}

#[test]
fn limits_and_paths_are_checked() {
    for (key, value, problem) in [
        ("max_bytes", json!(0), "max_bytes"),
        ("max_bytes", json!((16 << 20) + 1), "max_bytes"),
        ("claims", json!({"other": "$.x"}), "claims"),
        ("claims", json!({"plan": "plan"}), "claims.plan"),
        ("same", json!({"user": "$.id"}), "same.user"),
        ("same", json!({"user_id": "id"}), "same.user_id"),
        ("unknown", json!(1), ""),
    ] {
        assert_eq!(problems(with(key, value.clone())), [problem], "{key} {value}");
    }
}

#[test]
fn files_of_tls_are_looked_at() {
    let certificates = Certificates::make();
    std::fs::write(certificates.path("bad.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let file = |name: &str| certificates.text(name);
    for (tls, problem) in [
        (json!({"ca": file("ca.pem"), "cert": file("client.pem"), "key": file("client.key")}), None),
        (json!({"ca": file("ca.key")}), Some("tls.ca")),
        (json!({"ca": file("bad.pem")}), Some("tls")),
        (json!({"ca": "/not/there"}), Some("tls.ca")),
        (json!({"cert": file("client.pem")}), Some("tls")),
        (json!({"cert": file("client.pem"), "key": file("other.key")}), Some("tls")),
        (json!({"cert": file("client.pem"), "key": file("client.pem")}), Some("tls")),
    ] {
        let config = json!({"url": "https://billing.example/{user_id}", "tls": tls});
        assert_eq!(problems(config), problem.map_or(vec![], |key| vec![key.to_owned()]), "{tls}");
    }
    let capitals = json!({"url": "HTTPS://Billing.example/{user_id}", "tls": {"ca": file("ca.pem")}});
    assert_eq!(problems(capitals), [""; 0]);
    assert_eq!(problems(with("tls", json!({"ca": file("ca.pem")}))), ["tls"], "the url is not https://");
}

#[test]
fn all_problems_are_told_and_none_quotes_a_value() {
    let config = json!({
        "url": "http://user:s3cret@billing.example/{user_id}",
        "headers": {"authorization": "Bearer s3cret", "x-a": "s3cret {user_id}"},
        "body": "s3cret",
        "claims": {"plan": "s3cret"},
        "same": {"user_id": "s3cret"},
        "max_bytes": 0,
        "tls": {"cert": "s3cret"},
    });
    let problems = check::<Lookup>(config, &["plan"], &[]).expect_err("there are problems");
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    let all = [
        "url",
        "headers.authorization",
        "headers.x-a",
        "body",
        "body",
        "claims.plan",
        "same.user_id",
        "max_bytes",
        "tls",
    ];
    assert_eq!(keys, all);
    assert!(!format!("{problems:?}").contains("s3cret"));
}
