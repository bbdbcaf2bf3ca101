//! Servers that break the protocol, and what is left of it: an answer, in time, and a source that still works.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign_claim_source::Answer;
use countersign_claim_source::conformance::ask;
use serde_json::json;
use tokio::time::timeout;

use super::{found, listener, plan, source};

/// The address of a server that answers every question with this, and goes on with `endless` until it is hung up on.
pub(crate) fn broken(answer: impl Into<Vec<u8>>, endless: &'static [u8]) -> String {
    let (answer, (listener, address)) = (answer.into(), listener());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut question = [0; 4096];
            while stream.read(&mut question).is_ok_and(|read| read > 0) && stream.write_all(&answer).is_ok() {
                while !endless.is_empty() && stream.write_all(endless).is_ok() {}
            }
        }
    });
    address
}

#[tokio::test]
async fn what_is_no_reply_or_an_endless_one_is_malformed_at_once() {
    let list = format!("*1024\r\n{}", "$-1\r\n".repeat(1024));
    let cases: [(&str, &[u8]); 8] = [
        ("", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("", &[0; 65536]),
        ("+", &[b'x'; 65536]),
        ("$100000000\r\n", &[b'x'; 65536]),
        ("*1000000000\r\n", b"$-1\r\n"),
        ("", b"*1\r\n"),
        ("%1\r\n", b"+plan\r\n"),
        (&list, b"$-1\r\n"),
    ];
    for (answer, endless) in cases {
        let source = source(broken(answer, endless), &["plan"], json!({})).await;
        for _ in 0..3 {
            let began = Instant::now();
            let answered = plan(&*source, "ada").await;
            assert!(matches!(answered, Answer::Malformed(_)), "{answer:?}: {answered:?}");
            assert!(began.elapsed() < Duration::from_secs(2), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_reply_that_nobody_asked_for_is_nobodys() {
    let forged = "*1\r\n$4\r\nGold\r\n*1\r\n$6\r\nForged\r\n";
    let source = source(broken(forged, b""), &["plan"], json!({})).await;
    for _ in 0..20 {
        let answered = plan(&*source, "ada").await;
        assert!(matches!(&answered, Answer::Unavailable(_)) || answered == found("Gold"), "{answered:?}");
    }
}

#[tokio::test]
async fn a_connection_that_no_longer_answers_is_replaced_though_nobody_waits_for_it() {
    let (listener, address) = listener();
    std::thread::spawn(move || {
        let silent = listener.accept().expect("a connection");
        let (mut stream, _) = listener.accept().expect("another");
        let mut question = [0; 4096];
        while stream.read(&mut question).is_ok_and(|read| read > 0) {
            stream.write_all(b"*1\r\n$4\r\nGold\r\n").expect("sent");
        }
        drop(silent);
    });
    let source = source(address, &["plan"], json!({})).await;
    let mut question = ask(Some("ada"), &["plan"]);
    question.time = Duration::from_millis(100);
    let began = Instant::now();
    while timeout(question.time, source.claims(&question)).await != Ok(found("Gold")) {
        assert!(began.elapsed() < Duration::from_secs(5), "the silent connection is still in use");
    }
}

#[tokio::test]
async fn a_reply_that_does_not_come_is_unavailable() {
    let (listener, address) = listener();
    let source = source(address, &["plan"], json!({})).await;
    let mut question = ask(Some("ada"), &["plan"]);
    question.time = Duration::from_millis(100);
    assert_eq!(source.claims(&question).await, Answer::unavailable("there was no reply in time"));
    drop(listener);
}

#[tokio::test]
async fn nodes_that_send_a_question_in_a_circle_are_unavailable() {
    let hops = Arc::new(AtomicUsize::new(0));
    let ((listener, address), counted) = (listener(), Arc::clone(&hops));
    std::thread::spawn(move || {
        let port = listener.local_addr().expect("an address").port();
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut question = [0; 4096];
        while stream.read(&mut question).is_ok_and(|read| read > 0) {
            counted.fetch_add(1, Ordering::SeqCst);
            stream.write_all(format!("-MOVED 1 127.0.0.1:{port}\r\n").as_bytes()).expect("sent");
        }
    });
    let source = source(address, &["plan"], json!({"cluster": true})).await;
    assert_eq!(plan(&*source, "ada").await, Answer::unavailable("the nodes send it from one to another"));
    assert_eq!(hops.load(Ordering::SeqCst), 6);
}
