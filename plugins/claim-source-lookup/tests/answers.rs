//! What comes back: every answer, and every way of not answering, has one bounded outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign_claim_source::conformance::{self, ask};
use countersign_claim_source::{Answer, ClaimSource};
use countersign_claim_source_lookup::Lookup;
use countersign_test_services::{Certificates, Nginx, Reply, Site, Upstream, until};
use serde_json::{Value, json};

async fn open(config: Value) -> Arc<dyn ClaimSource> {
    conformance::open::<Lookup>(config, &["plan"], &[]).await
}

async fn asked(config: Value) -> Answer {
    open(config).await.claims(&ask(Some("ada"), &["plan"])).await
}

/// What comes of this reply.
async fn replied(reply: Reply) -> Answer {
    let upstream = Upstream::start(move |_| reply.clone());
    asked(json!({"url": upstream.url("/{user_id}")})).await
}

fn found(plan: &str) -> Answer {
    Answer::found([("plan".to_owned(), json!(plan))].into_iter().collect())
}

/// The kind of an answer, without its reason.
fn kind(answer: &Answer) -> &'static str {
    match answer {
        Answer::Found { .. } => "found",
        Answer::NotFound => "absent",
        Answer::Unavailable(_) => "unavailable",
        Answer::Denied(_) => "denied",
        Answer::Malformed(_) => "malformed",
        Answer::Missing(_) | Answer::Unfit(..) => "not asked",
    }
}

#[tokio::test]
async fn a_status_says_what_the_answer_is() {
    for (status, expected) in [
        (200, "found"),
        (201, "found"),
        (203, "found"),
        (202, "malformed"),
        (206, "malformed"),
        (204, "absent"),
        (404, "absent"),
        (410, "absent"),
        (401, "denied"),
        (403, "denied"),
        (400, "malformed"),
        (405, "malformed"),
        (422, "malformed"),
        (304, "malformed"),
        (408, "unavailable"),
        (425, "unavailable"),
        (429, "unavailable"),
        (500, "unavailable"),
        (503, "unavailable"),
        (599, "unavailable"),
    ] {
        let body = if [204, 304].contains(&status) { "" } else { "{\"plan\":\"Gold\"}" };
        let answer = replied(Reply::Whole(status, Vec::new(), body.to_owned())).await;
        assert_eq!(kind(&answer), expected, "{status}");
        if let Answer::Unavailable(why) | Answer::Denied(why) | Answer::Malformed(why) = &answer {
            assert!(why.to_string().ends_with(&format!("HTTP {status}")), "{why}");
        }
    }
}

#[tokio::test]
async fn only_json_that_can_hold_claims_is_read() {
    let (deepest, deeper) = ("[".repeat(127) + &"]".repeat(127), "[".repeat(128) + &"]".repeat(128));
    for (body, expected) in [
        ("{\"plan\":\"Gold\",\"x\":1}", "found"),
        ("{\"plan\":[1]}", "found"),
        ("{\"plan\":null}", "absent"),
        ("{}", "absent"),
        ("[]", "absent"),
        ("null", "absent"),
        ("{\"data\":null,\"errors\":[]}", "absent"),
        ("{\"data\":null,\"errors\":[{\"message\":\"x\"}]}", "unavailable"),
        ("{\"plan\":\"Gold\",\"errors\":[{\"message\":\"x\"}]}", "unavailable"),
        ("", "malformed"),
        ("\"Gold\"", "malformed"),
        ("7", "malformed"),
        ("<!doctype html>", "malformed"),
        ("{\"plan\":\"Gold\"} x", "malformed"),
        ("{\"plan\":\"Gold\"", "malformed"),
        ("{\"plan\":1e999}", "malformed"),
        (&deepest, "absent"),
        (&deeper, "malformed"),
    ] {
        assert_eq!(kind(&replied(Reply::json(body)).await), expected, "{body}");
    }
    let latin = b"HTTP/1.1 200 x\r\ncontent-length: 12\r\n\r\n{\"plan\":\"\xe9\"}".to_vec();
    assert_eq!(kind(&replied(Reply::Bytes(latin)).await), "malformed");
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_unavailable() {
    let cut = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
    for reply in [
        Reply::Reset,
        cut(""),
        cut("HTTP/1.1 200 x\r\n"),
        cut("HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n{\"plan\":\"Gold\"}"),
        cut("HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\nf\r\n{\"plan\":\"Gold\"}\r\n"),
        cut(&format!("HTTP/1.1 200 x\r\n{}\r\n{{}}", "x: y\r\n".repeat(101))),
        cut(&format!("HTTP/1.1 200 x\r\nx: {}\r\n\r\n{{}}", "y".repeat(1 << 20))),
        cut("SSH-2.0-OpenSSH_9.2\r\n"),
        cut("\0\u{1}\u{2}\u{3}\r\n\r\n"),
    ] {
        assert_eq!(kind(&replied(reply.clone()).await), "unavailable", "{reply:?}");
    }
}

#[tokio::test]
async fn an_answer_has_at_most_so_many_bytes() {
    let body = |bytes: usize| format!("{{\"plan\":\"{}\"}}", "x".repeat(bytes - 11));
    for (bytes, expected) in [(1000, "found"), (1001, "malformed")] {
        // Once with its length at the head, and once with the end of the connection as its end.
        let whole = Reply::json(&body(bytes));
        let streamed = Reply::Bytes(format!("HTTP/1.1 200 x\r\n\r\n{}", body(bytes)).into_bytes());
        for reply in [whole, streamed] {
            let upstream = Upstream::start(move |_| reply.clone());
            let answer = asked(json!({"url": upstream.url("/"), "max_bytes": 1000})).await;
            assert_eq!(kind(&answer), expected, "{bytes}");
        }
    }
    assert_eq!(kind(&replied(Reply::json(&body(1 << 20))).await), "found");
    assert_eq!(kind(&replied(Reply::json(&body((1 << 20) + 1))).await), "malformed");
    let announced = Reply::Bytes(b"HTTP/1.1 200 x\r\ncontent-length: 104857600\r\n\r\n{".to_vec());
    assert_eq!(kind(&replied(announced).await), "malformed", "it is not waited for");
}

#[tokio::test]
async fn another_users_answer_is_not_taken() {
    for (same, body, expected) in [
        (json!({"user_id": "$.id"}), json!({"plan": "Gold", "id": "ada"}), "found"),
        (json!({"user_id": "$.id"}), json!({"plan": "Gold", "id": "bob"}), "malformed"),
        (json!({"user_id": "$.id"}), json!({"plan": "Gold", "id": 7}), "malformed"),
        (json!({"user_id": "$.id"}), json!({"plan": "Gold"}), "malformed"),
        (json!({"user_id": "$.id"}), json!({"id": null}), "absent"),
        (json!({"user_id": "$.id"}), json!({"id": "bob"}), "malformed"),
        (
            json!({"user_id": "$.rows[*].id"}),
            json!({"plan": "Gold", "rows": [{"id": "ada"}, {"id": "bob"}]}),
            "malformed",
        ),
        (
            json!({"user_id": "$.id", "email": "$.mail"}),
            json!({"plan": "Gold", "id": "ada", "mail": "A@B.example"}),
            "found",
        ),
        (
            json!({"user_id": "$.id", "email": "$.mail"}),
            json!({"plan": "Gold", "id": "ada", "mail": "b@b.example"}),
            "malformed",
        ),
    ] {
        let reply = Reply::json(&body);
        let upstream = Upstream::start(move |_| reply.clone());
        let source = open(json!({"url": upstream.url("/{user_id}"), "same": same})).await;
        let mut ask = ask(Some("ada"), &["plan"]);
        ask.email = Some("a@b.example".to_owned());
        assert_eq!(kind(&source.claims(&ask).await), expected, "{same} {body}");
    }
}

#[tokio::test]
async fn the_upstream_says_how_long_its_answer_is_fresh() {
    for (control, fresh_for) in [("max-age=60", Some(60)), ("private, no-store", Some(0)), ("public", None)] {
        let answer = replied(Reply::json("{\"plan\":\"Gold\"}").with("Cache-Control", control)).await;
        let Answer::Found { fresh_for: said, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(said, fresh_for.map(Duration::from_secs), "{control}");
    }
}

#[tokio::test]
async fn redirects_are_followed_on_their_own_origin_only() {
    let other = Upstream::start(|_| Reply::json("{\"plan\":\"Stolen\"}"));
    let elsewhere = other.url("/");
    let upstream = Upstream::start(move |request| match request.target.strip_prefix("/to/") {
        Some("here") => Reply::status(302).with("Location", "/here"),
        Some("other") => Reply::status(307).with("Location", &elsewhere),
        Some("metadata") => Reply::status(302).with("Location", "http://169.254.169.254/latest/meta-data/"),
        Some("file") => Reply::status(302).with("Location", "file:///etc/passwd"),
        Some("tls") => Reply::status(301).with("Location", &format!("https://{}/", request.header("host").unwrap())),
        Some("name") => {
            Reply::status(301).with("Location", &request.header("host").unwrap().replace("127.0.0.1", "//localhost"))
        }
        Some(times) if times != "0" => {
            Reply::status(302).with("Location", &format!("/to/{}", times.parse::<u8>().unwrap() - 1))
        }
        _ => Reply::json("{\"plan\":\"Gold\"}"),
    });
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut secret, b"Bearer s3cret").unwrap();
    let source = open(json!({
        "url": upstream.url("/to/{user_id}"),
        "headers": {"authorization": {"file": secret.path()}, "x-user": "{user_id}"},
    }))
    .await;
    for (to, expected) in [
        ("here", "found"),
        ("3", "found"),
        ("4", "malformed"),
        ("other", "malformed"),
        ("metadata", "malformed"),
        ("file", "malformed"),
        ("tls", "malformed"),
        ("name", "malformed"),
    ] {
        let before = upstream.requests().len();
        assert_eq!(kind(&source.claims(&ask(Some(to), &["plan"])).await), expected, "{to}");
        let sent = upstream.requests().split_off(before);
        assert!(sent.iter().all(|request| request.header("authorization") == Some("Bearer s3cret")));
        assert!(sent.iter().all(|request| request.header("x-user") == Some(to) && request.header("referer").is_none()));
        assert!(sent.len() <= 4, "{to}");
    }
    assert_eq!(other.connections(), 0);

    let before = upstream.requests().len();
    let post = asked(json!({"url": upstream.url("/to/here"), "method": "POST", "body": "{}"})).await;
    assert_eq!((kind(&post), upstream.requests().len()), ("malformed", before + 1));
}

#[tokio::test]
async fn certificates_are_checked_on_both_sides() {
    let certificates = Certificates::make();
    let pages = vec![("/ada".to_owned(), "{\"plan\":\"Gold\"}".to_owned())];
    let nginx = Nginx::start(&Site { pages, certificates: Some(&certificates), ..Site::default() });
    let ca = certificates.text("ca.pem");
    let own = json!({"ca": ca, "cert": certificates.text("client.pem"), "key": certificates.text("client.key")});
    let with = |url: String, tls: &Value| asked(json!({"url": url, "tls": tls}));

    let trusting = json!({ "ca": ca });
    assert_eq!(with(nginx.https("/{user_id}"), &trusting).await, found("Gold"));
    assert_eq!(with(nginx.mutual("/{user_id}"), &own).await, found("Gold"));
    let stranger = with(nginx.mutual("/{user_id}"), &trusting).await;
    assert_eq!(stranger, Answer::malformed(countersign_claim_source::Why::code("answered HTTP", 400)));

    let refused = Answer::unavailable("does not agree on TLS, or has a certificate that is not right");
    assert_eq!(with(nginx.misnamed("/{user_id}"), &trusting).await, refused, "another name");
    assert_eq!(
        with(nginx.https("/{user_id}"), &json!({"ca": certificates.text("other.pem")})).await,
        refused,
        "another authority"
    );
    assert_eq!(with(nginx.https("/{user_id}"), &json!({})).await, refused, "the machine does not know the authority");
    let plain = nginx.http("/{user_id}").replace("http:", "https:");
    assert_eq!(with(plain, &trusting).await, refused, "no TLS at all");
}

#[tokio::test]
async fn the_machines_own_authorities_are_trusted_where_no_others_are_named() {
    // The machine's authorities are what a variable says, so the question is asked in another process.
    if let Ok(url) = std::env::var("LOOKUP_URL") {
        assert_eq!(asked(json!({ "url": url })).await, found("Gold"));
        let others = Certificates::make();
        let named = json!({"url": url, "tls": {"ca": others.text("ca.pem")}});
        assert_eq!(kind(&asked(named).await), "unavailable");
        return;
    }
    let certificates = Certificates::make();
    let pages = vec![("/ada".to_owned(), "{\"plan\":\"Gold\"}".to_owned())];
    let nginx = Nginx::start(&Site { pages, certificates: Some(&certificates), ..Site::default() });
    let with = |authorities: &str| {
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", "the_machines_own_authorities_are_trusted_where_no_others_are_named"]);
        test.env("LOOKUP_URL", nginx.https("/{user_id}")).env("SSL_CERT_FILE", authorities).env_remove("SSL_CERT_DIR");
        let output = test.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (passed, said) = with(&certificates.text("ca.pem"));
    assert!(passed, "{said}");
    let (passed, said) = with("/dev/null");
    assert!(!passed && said.contains("are there certificate authorities on this machine"), "{said}");
}

#[tokio::test]
async fn a_place_that_cannot_be_reached_says_why() {
    let port = countersign_test_services::free_port();
    for (url, why) in [
        (format!("http://127.0.0.1:{port}/"), "refuses connections"),
        ("http://no-such-host.invalid/".to_owned(), "has a host whose address cannot be found"),
    ] {
        assert_eq!(asked(json!({ "url": url })).await, Answer::unavailable(why));
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_ends_by_itself() {
    // It takes connections and never answers the handshake.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let certificates = Certificates::make();
    let answer = asked(json!({"url": url, "tls": {"ca": certificates.text("ca.pem")}})).await;
    assert_eq!(answer, Answer::unavailable("could not be connected to in time"));
}

#[tokio::test]
async fn a_question_that_is_given_up_closes_its_connection() {
    let closed = Arc::new(AtomicBool::new(false));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn({
        let closed = Arc::clone(&closed);
        move || {
            let (mut stream, _) = listener.accept().unwrap();
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
            closed.store(true, Ordering::SeqCst);
        }
    });
    let source = open(json!({ "url": url })).await;
    let given_up = tokio::time::timeout(Duration::from_millis(100), source.claims(&ask(Some("ada"), &["plan"]))).await;
    assert!(given_up.is_err());
    tokio::task::spawn_blocking(move || until("the end of the connection", || closed.load(Ordering::SeqCst)))
        .await
        .unwrap();
    server.join().unwrap();
}
