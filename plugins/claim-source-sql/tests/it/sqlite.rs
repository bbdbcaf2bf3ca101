//! What only a file of SQLite shows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_claim_source::{Answer, ClaimSource};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use tempfile::TempDir;

use crate::support::{about, found, open, outcome, query, sqlite, within};

const PLAN: [&str; 1] = ["plan"];
const USERS: &str = "create table users (id text, plan text); insert into users values ('ada', 'Gold');";

struct File(TempDir);

impl File {
    async fn with(statements: &str) -> Self {
        let file = Self::none();
        sqlite(&file.path(), statements).await;
        file
    }

    fn none() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("users.db")
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }

    async fn query(&self, select: &str) -> Arc<dyn ClaimSource> {
        query(&self.url(), select, &PLAN).await
    }
}

#[tokio::test]
async fn every_type_has_its_json() {
    let columns = [
        ("text", "'text'", json!("text")),
        ("varchar(20)", "''", json!("")),
        ("integer", "9223372036854775807", json!(i64::MAX)),
        ("real", "0.1", json!(0.1)),
        ("numeric", "500.00", json!(500)),
        ("boolean", "true", json!(true)),
        ("boolean", "'perhaps'", json!("perhaps")),
        ("date", "'2025-05-19'", json!("2025-05-19")),
        ("datetime", "'2025-05-19 10:20:30'", json!("2025-05-19T10:20:30Z")),
        ("timestamp", "'2025-05-19T10:20:30.25Z'", json!("2025-05-19T10:20:30.25Z")),
        ("datetime", "1747650030", json!("2025-05-19T10:20:30Z")),
        ("", "'anything'", json!("anything")),
        ("text", "null", Value::Null),
    ];
    let names: Vec<String> = (0..columns.len()).map(|index| format!("c{index}")).collect();
    let sets: Vec<&str> = names.iter().map(String::as_str).collect();
    let table = columns.iter().zip(&names).map(|((r#type, ..), name)| format!("{name} {type}"));
    let values = columns.iter().map(|(_, value, _)| *value).collect::<Vec<_>>().join(", ");
    let table = table.collect::<Vec<_>>().join(", ");
    let file = File::with(&format!("create table types ({table}); insert into types values ({values})")).await;
    let Answer::Found { claims, .. } = about(&query(&file.url(), "select * from types", &sets).await, "", &sets).await
    else {
        panic!("every one of them has JSON")
    };
    for ((r#type, value, expected), name) in columns.iter().zip(&names) {
        assert_eq!(claims.get(name), Some(expected).filter(|value| !value.is_null()), "{type} {value}");
    }
    for (column, why) in [("x'00'", "BLOB"), ("9e999", "JSON cannot carry")] {
        let source = file.query(&format!("select {column} as plan")).await;
        let Answer::Malformed(found) = about(&source, "", &PLAN).await else { panic!("{column} has no JSON") };
        assert!(found.to_string().contains(why), "{column}: {found}");
    }
    let source = File::with("create table t (plan datetime); insert into t values ('soon')").await;
    assert_eq!(outcome(&about(&source.query("select plan from t").await, "", &PLAN).await), "malformed");
}

#[tokio::test]
async fn every_row_is_an_element_of_the_list() {
    let file = File::with(
        "create table companies (member integer, id text, tags text); \
         insert into companies values (7, 'c1', '[\"a\"]'), (7, 'c2', null)",
    )
    .await;
    let select = "select id, tags from companies where member = ? order by id";
    let config = json!({"query": select, "bind": ["{user_id}"], "many": "companies", "json_columns": ["tags"]});
    let source = open(&file.url(), config, &["companies"]).await;
    let list = json!({"companies": [{"id": "c1", "tags": ["a"]}, {"id": "c2"}]});
    assert_eq!(about(&source, "7", &["companies"]).await, found(&list));
    assert_eq!(about(&source, "7up", &["companies"]).await, Answer::NotFound, "a text that is not 7");
}

#[tokio::test]
async fn a_query_that_writes_is_denied() {
    let file = File::with(USERS).await;
    let before = std::fs::read(file.path()).expect("a file");
    for (select, expected) in [
        ("insert into users values ('bob', 'Gold') returning plan", "denied"),
        ("delete from users returning plan", "denied"),
        ("create table other (id text)", "denied"),
        ("pragma user_version = 7", "denied"),
        ("select plan from users; delete from users", "denied"),
        ("commit; pragma query_only = 0; delete from users", "denied"),
    ] {
        let answer = about(&file.query(select).await, "ada", &PLAN).await;
        assert_eq!(outcome(&answer), expected, "{select}: {answer:?}");
        assert_eq!(std::fs::read(file.path()).expect("a file"), before, "{select}");
    }
}

#[tokio::test]
async fn a_statement_ends_with_the_time_of_its_question() {
    let file = File::with(USERS).await;
    let endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) as plan from n, users";
    let source = file.query(endless).await;
    let answer = source.claims(&within(Duration::from_millis(200), &PLAN)).await;
    assert_eq!(answer, Answer::unavailable("SQLite result code 9"));

    let ask = within(Duration::from_secs(1), &PLAN);
    let dropped = tokio::time::timeout(Duration::from_millis(200), source.claims(&ask)).await;
    assert!(dropped.is_err());
    // This waits until nobody reads any more, for 5 seconds.
    sqlite(&file.path(), "update users set plan = 'Free'").await;
    let simple = file.query("select plan from users where id = $1").await;
    assert_eq!(about(&simple, "ada", &PLAN).await, found(&json!({"plan": "Free"})));
}

#[tokio::test]
async fn a_file_that_somebody_writes_is_waited_for_and_then_unavailable() {
    let file = File::with(USERS).await;
    let source = file.query("select plan from users where id = $1").await;
    let gold = found(&json!({"plan": "Gold"}));
    assert_eq!(about(&source, "ada", &PLAN).await, gold);
    let mut writer = SqliteConnectOptions::new().filename(file.path()).connect().await.expect("a file");
    writer.execute("begin exclusive").await.expect("begun");
    let answer = source.claims(&within(Duration::from_millis(200), &PLAN)).await;
    assert_eq!(answer, Answer::unavailable("SQLite result code 5"));
    writer.execute("commit").await.expect("written");
    assert_eq!(about(&source, "ada", &PLAN).await, gold);

    writer.execute("pragma journal_mode = wal").await.expect("changed");
    writer.execute("begin immediate; update users set plan = 'Free'").await.expect("begun");
    assert_eq!(about(&source, "ada", &PLAN).await, gold, "a write-ahead log lets readers read");
    writer.execute("commit").await.expect("written");
    assert_eq!(about(&source, "ada", &PLAN).await, found(&json!({"plan": "Free"})));
}

#[tokio::test]
async fn a_file_may_come_later() {
    let file = File::none();
    let source = file.query("select plan from users where id = $1").await;
    assert_eq!(about(&source, "ada", &PLAN).await, Answer::unavailable("SQLite result code 14"));
    assert!(!file.path().exists(), "it is not made");
    sqlite(&file.path(), USERS).await;
    assert_eq!(about(&source, "ada", &PLAN).await, found(&json!({"plan": "Gold"})));
}

#[tokio::test]
async fn a_failure_is_told_by_its_result_code() {
    let file = File::with(USERS).await;
    for (select, code) in [("select plam from users", 1), ("select plan from nothing", 1), ("selct", 1)] {
        let answer = about(&file.query(select).await, "ada", &PLAN).await;
        assert_eq!(format!("{answer:?}"), format!("Malformed(Why(\"SQLite result code {code}\"))"), "{select}");
    }
}
