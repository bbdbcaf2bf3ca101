//! One real server: users, TLS, what stands in it, and what becomes of its connections.

use std::time::Duration;

use countersign_claim_source::Answer;
use countersign_claim_source::conformance::{ask, open};
use countersign_claim_source_redis::Redis as Kind;
use countersign_test_services::{Certificates, Redis};
use futures::future::join_all;
use serde_json::{Map, json};
use tokio::time::timeout;

use super::{Secret, found, plan, source};

/// A server in which Ada has the Gold plan.
fn server() -> Redis {
    filled(Redis::start())
}

fn filled(server: Redis) -> Redis {
    server.run(&["HSET", "user:ada", "plan", "Gold", "title", "Countess"]);
    server
}

/// A value of `INFO stats`.
fn stat(server: &Redis, name: &str) -> u64 {
    let stats = server.run(&["INFO", "stats"]);
    let value = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.expect("a number").trim().parse().expect("a number")
}

#[tokio::test]
async fn a_user_of_the_server_reads_what_it_may_read() {
    let server = server();
    server.run(&["HSET", "private:ada", "plan", "Secret"]);
    server.run(&["ACL", "SETUSER", "reader", "on", ">s3cret", "~user:*", "+hstrlen", "+hmget"]);
    let (right, wrong) = (Secret::new("s3cret"), Secret::new("wrong"));

    let login = json!({"username": "reader", "password": right.reference()});
    assert_eq!(plan(&*source(server.url(), &["plan"], login.clone()).await, "ada").await, found("Gold"));
    let url = Secret::new(&server.url().replace("redis://", "redis://reader:s3cret@"));
    assert_eq!(plan(&*source(url.reference(), &["plan"], json!({})).await, "ada").await, found("Gold"));

    let private =
        json!({"url": server.url(), "key": "private:{user_id}", "username": "reader", "password": right.reference()});
    let private = open::<Kind>(private, &["plan"], &[]).await;
    assert_eq!(plan(&*private, "ada").await, Answer::denied("Redis answered NOPERM"));
    let login = json!({"username": "reader", "password": wrong.reference()});
    let denied = Answer::denied("Redis takes no such user or password");
    assert_eq!(plan(&*source(server.url(), &["plan"], login).await, "ada").await, denied);
}

#[tokio::test]
async fn a_server_that_lets_us_in_later_is_connected_to_then() {
    let server = server();
    let password = Secret::new("s3cret");
    let login = json!({"password": password.reference()});
    let source = source(server.url(), &["plan"], login).await;
    let denied = Answer::denied("Redis takes no such user or password");
    assert_eq!(plan(&*source, "ada").await, denied, "the default user has no password yet");
    server.run(&["CONFIG", "SET", "requirepass", "s3cret"]);
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
}

#[tokio::test]
async fn a_server_with_a_password_denies_who_shows_none() {
    let server = server();
    let source = source(server.url(), &["plan"], json!({})).await;
    server.run(&["CONFIG", "SET", "requirepass", "s3cret"]);
    assert_eq!(plan(&*source, "ada").await, Answer::denied("Redis answered NOAUTH"));
}

#[tokio::test]
async fn a_database_is_selected() {
    let server = server();
    server.run(&["-n", "3", "HSET", "user:ada", "plan", "Third"]);
    let third = source(format!("{}/3", server.url()), &["plan"], json!({})).await;
    assert_eq!(plan(&*third, "ada").await, found("Third"));
    let none = source(server.url(), &["plan"], json!({"database": 99})).await;
    assert_eq!(plan(&*none, "ada").await, Answer::unavailable("Redis answered ERR"));
}

#[tokio::test]
async fn tls_needs_the_authority_the_name_and_the_client_certificate() {
    let (certificates, strangers) = (Certificates::make(), Certificates::make());
    let server = filled(Redis::with_tls(&certificates, "server"));
    let ours = json!({"ca": certificates.path("ca.pem"), "cert": certificates.path("client.pem"), "key": certificates.path("client.key")});
    let with = |url: String, tls: serde_json::Value| async move {
        plan(&*source(url, &["plan"], json!({ "tls": tls })).await, "ada").await
    };
    assert_eq!(with(server.url(), ours.clone()).await, found("Gold"));
    let by_name = server.url().replace("127.0.0.1", "localhost");
    assert_eq!(with(by_name, ours.clone()).await, found("Gold"));

    let anonymous = json!({"ca": certificates.path("ca.pem")});
    assert_eq!(with(server.url(), anonymous).await, Answer::unavailable("the connection ended before the reply"));
    let untrusted = Answer::unavailable("TLS does not come about, or its certificate is not for it");
    let stranger = json!({"ca": strangers.path("ca.pem")});
    assert_eq!(with(server.url(), stranger).await, untrusted);
    let other = filled(Redis::with_tls(&certificates, "other"));
    assert_eq!(with(other.url(), ours).await, untrusted, "its certificate is for another name");
}

#[tokio::test]
async fn a_key_of_another_type_is_malformed() {
    let server = Redis::start();
    server.run(&["SET", "user:text", "{}"]);
    server.run(&["SET", "user:empty", ""]);
    server.run(&["RPUSH", "user:list", "Gold"]);
    server.run(&["HSET", "user:hash", "plan", "Gold"]);
    let hashes = source(server.url(), &["plan"], json!({})).await;
    let documents = source(server.url(), &["plan"], json!({"format": "json"})).await;
    let malformed = Answer::malformed("the key holds something of another type");
    assert_eq!(plan(&*hashes, "text").await, malformed);
    assert_eq!(plan(&*hashes, "list").await, malformed);
    assert_eq!(plan(&*documents, "hash").await, malformed);
    assert_eq!(plan(&*documents, "text").await, Answer::NotFound);
    assert_eq!(plan(&*documents, "empty").await, Answer::NotFound, "as where there is no key");
}

#[tokio::test]
async fn a_huge_value_is_malformed_and_harms_nobody_else() {
    let server = server();
    server.run(&["EVAL", "redis.call('HSET', 'user:huge', 'plan', string.rep('x', 10000000))", "0"]);
    let source = source(server.url(), &["plan"], json!({})).await;
    let asked = (0..200).map(|n| plan(&*source, if n == 100 { "huge" } else { "ada" }));
    for (n, answer) in join_all(asked).await.into_iter().enumerate() {
        let right = if n == 100 { Answer::malformed("what is there is too large") } else { found("Gold") };
        assert_eq!(answer, right, "question {n}");
    }
}

#[tokio::test]
async fn what_is_read_has_at_most_a_mebibyte() {
    let server = server();
    let write = "local text = string.rep('x', 1048576) \
                 redis.call('HSET', 'user:ada', 'plan', text, 'title', 'x') \
                 redis.call('SET', 'user:text', '[\"' .. string.sub(text, 4) .. '\"')";
    server.run(&["EVAL", write, "0"]);
    let too_large = Answer::malformed("what is there is too large");

    let hashes = source(server.url(), &["plan", "title"], json!({})).await;
    assert_eq!(plan(&*hashes, "ada").await, found(&"x".repeat(1_048_576)));
    assert_eq!(hashes.claims(&ask(Some("ada"), &["plan", "title"])).await, too_large, "both, and a byte too many");

    let documents = source(server.url(), &["plan"], json!({"format": "json"})).await;
    let no_json = Answer::malformed("what should be JSON is none, or too deep");
    assert_eq!(plan(&*documents, "text").await, no_json, "it is read, and lacks its end");
    server.run(&["APPEND", "user:text", "]"]);
    assert_eq!(plan(&*documents, "text").await, too_large, "a byte too many");
}

#[tokio::test]
async fn many_questions_share_a_connection() {
    let server = server();
    let source = source(server.url(), &["plan"], json!({})).await;
    let before = stat(&server, "total_connections_received");
    let answers = join_all((0..3000).map(|_| plan(&*source, "ada"))).await;
    assert!(answers.iter().all(|answer| *answer == found("Gold")), "more than may be under way wait their turn");
    assert_eq!(stat(&server, "total_connections_received") - before, 2, "the source's, and that of this very question");
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_no_failure() {
    let server = server();
    let source = source(server.url(), &["plan"], json!({})).await;
    for _ in 0..3 {
        assert_eq!(plan(&*source, "ada").await, found("Gold"));
        server.run(&["CLIENT", "KILL", "TYPE", "normal"]);
    }
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
}

#[tokio::test]
async fn a_server_that_is_down_when_the_source_is_opened_is_found_later() {
    let mut server = Redis::start();
    server.kill();
    let source = source(server.url(), &["plan"], json!({})).await;
    assert_eq!(plan(&*source, "ada").await, Answer::unavailable("it cannot be connected to"));
    server.restart();
    let server = filled(server);
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
    drop(server);
    assert_eq!(plan(&*source, "ada").await, Answer::unavailable("it cannot be connected to"));
}

#[tokio::test]
async fn a_server_that_hung_for_a_moment_keeps_its_connection() {
    let server = server();
    let source = source(server.url(), &["plan"], json!({})).await;
    let mut hurried = ask(Some("ada"), &["plan"]);
    hurried.time = Duration::from_millis(20);
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
    let before = stat(&server, "total_connections_received");
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
    server.pause();
    assert!(timeout(hurried.time, plan(&*source, "ada")).await.is_err());
    assert_eq!(source.claims(&hurried).await, Answer::unavailable("there was no reply in time"));
    server.resume();
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
    assert_eq!(stat(&server, "total_connections_received") - before, 1, "that of this very question");
}

#[tokio::test]
async fn a_value_never_becomes_another_key() {
    let server = Redis::start();
    server.run(&["HSET", "ada:b:eve", "plan", "Gold"]);
    let config = json!({"url": server.url(), "key": "{email}:{user_id}"});
    let source = open::<Kind>(config, &["plan"], &[]).await;
    let asked = |email: &str, user_id: &str| {
        let mut question = ask(Some(user_id), &["plan"]);
        question.email = Some(email.to_owned());
        let source = &source;
        async move { source.claims(&question).await }
    };
    assert_eq!(asked("ada", "b:eve").await, found("Gold"));
    assert_eq!(asked("ada:b", "eve").await, Answer::Unfit("email".into(), "holds what ends it in a key".into()));
    assert_eq!(asked("", "eve").await, Answer::Unfit("email".into(), "is empty, and a key needs it".into()));
}

#[tokio::test]
async fn only_what_is_wanted_is_found() {
    let server = server();
    let source = source(server.url(), &["plan", "title"], json!({})).await;
    let both = source.claims(&ask(Some("ada"), &["title", "plan"])).await;
    let claims: Map<_, _> = json!({"plan": "Gold", "title": "Countess"}).as_object().cloned().expect("claims");
    assert_eq!(both, Answer::found(claims));
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
}
