//! Servers that break the protocol, and what is left of it: an answer, in time, and a source that still works.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign_claim_source::Answer;
use countersign_claim_source::conformance::ask;
use futures::FutureExt as _;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Secret, found, listener, plan, source};

/// The address of a server that answers each line it receives, one connection after the other, with what `answer` makes
/// of it, and goes on with `endless` until it is hung up on.
pub(crate) fn speaking(answer: impl Fn(&str) -> String + Send + 'static, endless: &'static [u8]) -> String {
    let (listener, address) = listener();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut received = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut received) {
                let answers: String = String::from_utf8_lossy(&received[..read]).lines().map(&answer).collect();
                let mut sent = stream.write_all(answers.as_bytes());
                while !endless.is_empty() && sent.is_ok() {
                    sent = stream.write_all(endless);
                }
            }
        }
    });
    address
}

/// An answer to every question, whatever it is.
pub(crate) fn always(answer: &'static str) -> impl Fn(&str) -> String {
    move |line| if line.starts_with('*') { answer.to_owned() } else { String::new() }
}

/// The address of a server that hands its first connection over, and answers on the next that everybody's plan is Gold.
fn golden_after<T>(first: impl FnOnce(TcpStream) -> T + Send + 'static) -> String {
    let (listener, address) = listener();
    std::thread::spawn(move || {
        let _kept = first(listener.accept().expect("a connection").0);
        gold(listener.accept().expect("another").0);
    });
    address
}

fn gold(mut stream: TcpStream) {
    let mut received = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut received) {
        let length = String::from_utf8_lossy(&received[..read]).contains("HSTRLEN");
        let answer: &[u8] = if length { b":4\r\n" } else { b"*1\r\n$4\r\nGold\r\n" };
        stream.write_all(answer).expect("sent");
    }
}

#[tokio::test]
async fn what_is_no_reply_is_malformed_at_once() {
    let cases: [(&str, &[u8]); 5] = [
        ("", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("", &[0; 65536]),
        ("", b"*1\r\n"),
        ("%1\r\n+plan\r\n+Gold\r\n", b""),
        ("$4\r\nGold\r\n", b""),
    ];
    for (answer, endless) in cases {
        let source = source(speaking(always(answer), endless), &["plan"], json!({})).await;
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(plan(&*source, "ada").await, Answer::malformed("the reply is not of Redis"), "{answer:?}");
            assert!(began.elapsed() < Duration::from_secs(2), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_reply_that_does_not_end_is_hung_up_on_in_time() {
    for answer in ["+", "$100000000\r\n", "*1000000\r\n$"] {
        let address = golden_after(move |mut stream| {
            stream.write_all(answer.as_bytes()).expect("sent");
            while stream.write_all(b"x").is_ok() {}
        });
        let source = source(address, &["plan"], json!({})).await;
        let mut question = ask(Some("ada"), &["plan"]);
        question.time = Duration::from_millis(300);
        let late = source.claims(&question).await;
        assert!(matches!(late, Answer::Unavailable(_) | Answer::Malformed(_)), "{answer:?}: {late:?}");
        assert_eq!(plan(&*source, "ada").await, found("Gold"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_that_no_longer_answers_is_replaced() {
    let source = source(golden_after(|silent| silent), &["plan"], json!({})).await;
    let mut question = ask(Some("ada"), &["plan"]);
    question.time = Duration::from_millis(100);
    let began = Instant::now();
    // As the host does: nobody waits for the answer any more when the time is up.
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
async fn a_server_that_cannot_help_now_is_connected_to_anew() {
    let address = golden_after(|mut stream| {
        stream.read_exact(&mut [0; 1]).expect("a question");
        stream.write_all(b"-LOADING Redis is loading the dataset in memory\r\n").expect("sent");
        stream
    });
    let source = source(address, &["plan"], json!({})).await;
    assert_eq!(plan(&*source, "ada").await, Answer::unavailable("Redis answered LOADING"));
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
}

#[tokio::test]
async fn connecting_goes_on_when_nobody_waits_for_it() {
    let (listener, address) = listener();
    let (asks, asked) = oneshot::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the only connection");
        let mut login = [0; 4096];
        let read = stream.read(&mut login).expect("AUTH");
        asks.send(String::from_utf8_lossy(&login[..read]).contains("AUTH")).expect("a test");
        stream.write_all(b"+OK\r\n").expect("sent");
        gold(stream);
    });
    let password = Secret::new("s3cret");
    let source = source(address, &["plan"], json!({"password": password.reference()})).await;
    assert_eq!(plan(&*source, "ada").now_or_never(), None, "nobody waits any more");
    assert_eq!(asked.await, Ok(true));
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
}

#[tokio::test]
async fn nodes_that_send_a_question_in_a_circle_are_unavailable() {
    let (hops, port) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, known) = (Arc::clone(&hops), Arc::clone(&port));
    let answer = move |line: &str| {
        let port = known.load(Ordering::SeqCst);
        match line {
            "SETINFO" => "+OK\r\n".to_owned(),
            "PING" => "+PONG\r\n".to_owned(),
            "SLOTS" => format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n"),
            "HSTRLEN" => {
                counted.fetch_add(1, Ordering::SeqCst);
                format!("-MOVED 1 127.0.0.1:{port}\r\n")
            }
            _ => String::new(),
        }
    };
    let address = speaking(answer, b"");
    port.store(address.rsplit(':').next().expect("a port").parse().expect("a number"), Ordering::SeqCst);
    let source = source(address, &["plan"], json!({"cluster": true})).await;
    assert_eq!(plan(&*source, "ada").await, Answer::unavailable("Redis answered MOVED"));
    assert_eq!(hops.load(Ordering::SeqCst), 6);
}
