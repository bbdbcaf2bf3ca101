//! Processes that come, go, hang, or are something else.

use std::time::Duration;

use countersign_claim_source::conformance::ask;
use countersign_claim_source::{Answer, Ask};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use crate::place::{Place, finds_gold, gold};
use crate::server::{Process, Script};

#[tokio::test]
async fn whether_it_fits_is_asked_once_and_again_when_the_connection_broke() {
    let place = Place::new(json!({}), &[]).await;
    let first = finds_gold();
    let process = Process::on(&place.socket(), first.clone());
    assert_eq!((place.ask().await, place.ask().await), (gold(), gold()));
    assert_eq!(first.calls(), ["describe", "validate", "fetch", "fetch"]);
    drop(process);
    std::fs::remove_file(place.socket()).unwrap();
    until_unavailable(&place).await;
    let second = finds_gold();
    let _process = Process::on(&place.socket(), second.clone());
    assert_eq!(place.ask().await, gold(), "another socket at the same path");
    assert_eq!(second.calls(), ["describe", "validate", "fetch"]);
}

/// Asks until a process that was ended is gone.
async fn until_unavailable(place: &Place) {
    for _ in 0..500 {
        if matches!(place.ask().await, Answer::Unavailable(_)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it still answers");
}

#[tokio::test]
async fn a_process_that_hangs_is_unavailable_when_the_time_is_over() {
    let place = Place::new(json!({}), &[]).await;
    let script = Script::new(|_| None);
    let _process = Process::on(&place.socket(), script.clone());
    let time = Duration::from_millis(100);
    let answer = place.source.claims(&Ask { time, ..ask(Some("ada"), &["plan"]) }).await;
    assert_eq!(answer, Answer::unavailable("the process did not answer in time"));
    for _ in 0..500 {
        if script.calls().contains(&"cancelled") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the process is not told that nobody waits any more");
}

#[tokio::test]
async fn a_process_that_is_killed_under_a_question_is_unavailable() {
    let place = Place::new(json!({}), &[]).await;
    let script = Script::new(|_| None);
    let process = Process::on(&place.socket(), script.clone());
    let killed = async {
        while !script.calls().contains(&"fetch") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(process);
    };
    let (answer, ()) = tokio::join!(place.ask(), killed);
    assert_eq!(answer, Answer::unavailable("the connection to the process broke"));
}

#[tokio::test]
async fn why_nobody_answers_is_told_as_the_system_tells_it() {
    let place = Place::new(json!({}), &[]).await;
    let unavailable = |why| Answer::unavailable(why);
    assert_eq!(place.ask().await, unavailable("the process cannot be reached: its socket is not there"));
    drop(std::os::unix::net::UnixListener::bind(place.socket()).unwrap());
    assert_eq!(place.ask().await, unavailable("the process cannot be reached: nobody listens at its address"));
}

#[tokio::test]
async fn what_does_not_speak_grpc_is_unavailable() {
    for words in [b"".as_slice(), b"HTTP/1.1 200 OK\r\n\r\n<html>", b"\0\0\0\0\0\0\0", &[0xff; 4096]] {
        let answer = answer_to(words).await;
        assert!(matches!(answer, Answer::Unavailable(_)), "{words:?}: {answer:?}");
    }
}

/// The answer where the other end of the socket says only this, and goes.
async fn answer_to(words: &'static [u8]) -> Answer {
    let place = Place::new(json!({}), &[]).await;
    let listener = UnixListener::bind(place.socket()).unwrap();
    let says = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            drop(stream.write_all(words).await);
        }
    };
    tokio::select! {
        answer = place.ask() => answer,
        () = says => unreachable!("it says the same for ever"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fell_silent_is_given_up() {
    let place = Place::new(json!({}), &[]).await;
    let listener = UnixListener::bind(place.socket()).unwrap();
    let silent = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await
    };
    let hour = Duration::from_secs(3600);
    let asked = Ask { time: hour, ..ask(Some("ada"), &["plan"]) };
    let began = tokio::time::Instant::now();
    let (answer, closed) = tokio::join!(place.source.claims(&asked), silent);
    assert!(matches!(answer, Answer::Unavailable(_)), "{answer:?}");
    assert!(closed.is_ok() && began.elapsed() <= Duration::from_secs(30), "after {:?}", began.elapsed());
}
