//! Connections, on PostgreSQL: how many there are, how long they last, what they leave behind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use countersign_claim_source::Answer;
use countersign_test_services::{Certificates, Postgres, until};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::support::{about, found, open, outcome, query, within};

const PLAN: [&str; 1] = ["plan"];

#[tokio::test]
async fn a_statement_ends_with_the_time_of_its_question() {
    let server = Postgres::start();
    let source = query(&server.url(), "select 'Gold' as plan from pg_sleep(300)", &PLAN).await;
    let began = Instant::now();
    let answer = source.claims(&within(Duration::from_millis(200), &PLAN)).await;
    assert_eq!(answer, Answer::unavailable("SQLSTATE 57014"));

    // The host drops what it does not wait for any longer.
    let ask = within(Duration::from_secs(2), &PLAN);
    let sleeping = || server.sql("select count(*) from pg_stat_activity where query like '%pg_sleep(300)'");
    let dropped = tokio::time::timeout(Duration::from_millis(500), source.claims(&ask)).await;
    assert!(dropped.is_err());
    assert_eq!(sleeping(), "1", "it has begun");
    until("the end of what sleeps", || sleeping() == "0");
    assert!(began.elapsed() < Duration::from_secs(60), "it did not sleep to its end");
}

#[tokio::test]
async fn there_are_never_more_connections_than_the_pool_has() {
    let server = Postgres::start();
    let ours = "select count(*) from pg_stat_activity where application_name = 'countersign'";
    let config = json!({"query": format!("select ({ours}) as plan, pg_sleep(0.01)::text as nap"), "pool": 3});
    let source = open(&server.url(), config, &PLAN).await;
    assert_eq!(server.sql(ours), "0", "the first question connects");
    let answers = join_all((0..60).map(|_| about(&source, "ada", &PLAN))).await;
    let count = |answer| {
        let Answer::Found { claims, .. } = answer else { return None };
        claims.get("plan").and_then(Value::as_i64)
    };
    let counts: BTreeSet<Option<i64>> = answers.into_iter().map(count).collect();
    assert!(!counts.contains(&None), "every one of them was answered");
    assert_eq!(counts.last(), Some(&Some(3)), "{counts:?}");
    assert_eq!(server.sql(&format!("{ours} and state <> 'idle'")), "0", "no transaction stays open");
    assert_eq!(server.sql(ours), "3", "they are used again");
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_its_question_was_dropped() {
    let server = Postgres::start();
    let pid = "select pg_backend_pid() as plan, pg_sleep(0.05)::text as nap";
    let source = open(&server.url(), json!({"query": pid, "pool": 1}), &PLAN).await;
    let first = about(&source, "ada", &PLAN).await;
    assert_eq!(about(&source, "ada", &PLAN).await, first, "the same connection");
    let dropped = tokio::time::timeout(Duration::from_millis(10), about(&source, "ada", &PLAN)).await;
    assert!(dropped.is_err());
    let next = about(&source, "ada", &PLAN).await;
    assert_eq!(outcome(&next), "found");
    assert_ne!(next, first);
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_value_that_did_not_fit() {
    let server = Postgres::start();
    let config = json!({"query": "select pg_backend_pid() as plan where $1 > 0", "bind": ["{user_id}"], "pool": 1});
    let source = open(&server.url(), config, &PLAN).await;
    let first = about(&source, "7", &PLAN).await;
    assert_eq!(outcome(&about(&source, "seven", &PLAN).await), "unfit");
    assert_eq!(about(&source, "7", &PLAN).await, first);
}

#[tokio::test]
async fn no_question_fails_because_the_server_was_restarted_before_it() {
    let mut server = Postgres::start();
    let source = query(&server.url(), "select 'Gold' as plan", &PLAN).await;
    for _ in 0..3 {
        let answers = join_all((0..8).map(|_| about(&source, "ada", &PLAN))).await;
        assert!(answers.iter().all(|answer| outcome(answer) == "found"), "{answers:?}");
        server.restart();
    }
    server.kill();
    assert_eq!(outcome(&about(&source, "ada", &PLAN).await), "unavailable");
    server.restart();
    assert_eq!(outcome(&about(&source, "ada", &PLAN).await), "found");
}

#[tokio::test]
async fn the_address_may_name_a_socket_and_a_schema() {
    let server = Postgres::start();
    server.sql(
        "create schema crm; create table crm.users (id text, plan text); insert into crm.users values ('ada', 'Gold')",
    );
    let select = "select plan from users where id = $1";
    let socket = server.socket().display();
    for url in [
        format!("{}?options=-csearch_path%3Dcrm", server.url()),
        format!("postgres://postgres@localhost:{}/postgres?host={socket}&options=-csearch_path%3Dcrm", server.port()),
    ] {
        let source = query(&url, select, &PLAN).await;
        assert_eq!(about(&source, "ada", &PLAN).await, found(&json!({"plan": "Gold"})), "{url}");
    }
    assert_eq!(outcome(&about(&query(&server.url(), select, &PLAN).await, "ada", &PLAN).await), "malformed");
}

#[tokio::test]
async fn tls_is_as_the_address_says() {
    let certificates = Certificates::make();
    let (right, other) = (Postgres::with_tls(&certificates, "server"), Postgres::with_tls(&certificates, "other"));
    let plain = Postgres::start();
    let ca = certificates.text("ca.pem");
    let stranger = Certificates::make();
    let strange = stranger.text("ca.pem");
    for (server, mode, expected) in [
        (&right, format!("?sslmode=verify-full&sslrootcert={ca}"), "found"),
        (&other, format!("?sslmode=verify-full&sslrootcert={ca}"), "unavailable"),
        (&other, format!("?sslmode=verify-ca&sslrootcert={ca}"), "found"),
        (&right, format!("?sslmode=verify-full&sslrootcert={strange}"), "unavailable"),
        (&right, "?sslmode=verify-full".to_owned(), "unavailable"),
        (&plain, "?sslmode=require".to_owned(), "unavailable"),
        (&plain, "?sslmode=disable".to_owned(), "found"),
    ] {
        let encrypted = "select ssl::text as plan from pg_stat_ssl where pid = pg_backend_pid()";
        let source = query(&format!("{}{mode}", server.url()), encrypted, &PLAN).await;
        let answer = about(&source, "ada", &PLAN).await;
        assert_eq!(outcome(&answer), expected, "{mode}: {answer:?}");
        if expected == "found" {
            let tls = if mode.contains("verify") { "true" } else { "false" };
            assert_eq!(answer, found(&json!({"plan": tls})), "{mode}");
        }
    }
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_no_database() {
    for scheme in ["postgres", "mysql"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("{scheme}://127.0.0.1:{}/users", listener.local_addr().expect("a port").port());
        let source = query(&url, "select 'Gold' as plan", &PLAN).await;
        let speaks = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.expect("written");
        };
        let (answer, ()) = tokio::join!(about(&source, "ada", &PLAN), speaks);
        assert!(matches!(outcome(&answer), "malformed" | "unavailable"), "{scheme}: {answer:?}");
    }
}
