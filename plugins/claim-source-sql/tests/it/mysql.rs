//! What only a real MariaDB shows.

use std::time::{Duration, Instant};

use countersign_claim_source::Answer;
use countersign_test_services::{Certificates, MariaDb, until};
use serde_json::{Value, json};

use crate::support::{about, found, open, outcome, query, within};

const PLAN: [&str; 1] = ["plan"];

#[tokio::test]
async fn every_type_has_its_json() {
    let server = MariaDb::start();
    let columns = [
        ("varchar(20) collate utf8mb4_bin", "'Büro'", json!("Büro")),
        ("varchar(20)", "'||'", json!("||")),
        ("char(5)", "'char'", json!("char")),
        ("mediumtext", "'text'", json!("text")),
        ("enum('small', 'large')", "'large'", json!("large")),
        ("set('a', 'b')", "'a,b'", json!("a,b")),
        ("boolean", "true", json!(true)),
        ("tinyint", "-128", json!(-128)),
        ("smallint unsigned", "65535", json!(65535)),
        ("mediumint", "-8388608", json!(-8_388_608)),
        ("int unsigned", "4294967295", json!(u32::MAX)),
        ("bigint", "-9223372036854775808", json!(i64::MIN)),
        ("bigint unsigned", "18446744073709551615", json!(u64::MAX)),
        ("year", "2025", json!(2025)),
        ("decimal(10, 2)", "500", json!(500)),
        ("decimal(10, 2)", "-0.5", json!(-0.5)),
        ("float", "0.1", json!(0.1)),
        ("double", "1.5", json!(1.5)),
        ("date", "'2025-05-19'", json!("2025-05-19")),
        ("datetime(3)", "'2025-05-19 10:20:30.25'", json!("2025-05-19T10:20:30.25Z")),
        ("datetime", "'2025-05-19 00:00'", json!("2025-05-19T00:00:00Z")),
        ("timestamp", "'2025-05-19 10:20:30'", json!("2025-05-19T10:20:30Z")),
        ("varchar(20)", "null", Value::Null),
        ("date", "'0000-00-00'", Value::Null),
        ("datetime", "'0000-00-00 00:00'", Value::Null),
    ];
    let names: Vec<String> = (0..columns.len()).map(|index| format!("c{index}")).collect();
    let sets: Vec<&str> = names.iter().map(String::as_str).collect();
    let table = columns.iter().zip(&names).map(|((r#type, ..), name)| format!("{name} {type}"));
    let values = columns.iter().map(|(_, value, _)| *value).collect::<Vec<_>>();
    let (table, values) = (table.collect::<Vec<_>>().join(", "), values.join(", "));
    server.sql(&format!(
        "set time_zone = '+00:00'; create table test.types ({table}) default character set utf8mb4; \
         insert into test.types values ({values})"
    ));
    let Answer::Found { claims, .. } =
        about(&query(&server.url(), "select * from types", &sets).await, "", &sets).await
    else {
        panic!("every one of them has JSON")
    };
    for ((r#type, value, expected), name) in columns.iter().zip(&names) {
        assert_eq!(claims.get(name), Some(expected).filter(|value| !value.is_null()), "{type} {value}");
    }
    for (column, why) in [("x'00'", "BINARY"), ("cast('10:20' as time)", "TIME")] {
        let source = query(&server.url(), &format!("select {column} as plan"), &PLAN).await;
        let Answer::Malformed(found) = about(&source, "", &PLAN).await else { panic!("{column} has no JSON") };
        assert!(found.to_string().contains(why), "{column}: {found}");
    }
}

#[tokio::test]
async fn a_column_of_integers_is_asked_with_an_integer() {
    let server = MariaDb::start();
    server.sql(
        "use test; create table companies (member int, id int, tags json); \
         insert into companies values (7, 1, '[\"a\"]'), (7, 2, null)",
    );
    let select = "select id, tags from companies where member = ? order by id";
    let list = found(&json!({"companies": [{"id": 1, "tags": ["a"]}, {"id": 2}]}));
    let source = |bind: Value| {
        let config = json!({"query": select, "bind": [bind], "many": "companies", "json_columns": ["tags"]});
        async { open(&server.url(), config, &["companies"]).await }
    };
    let integer = source(json!({"value": "{user_id}", "type": "integer"})).await;
    assert_eq!(about(&integer, "7", &["companies"]).await, list);
    assert_eq!(about(&integer, "8", &["companies"]).await, Answer::NotFound);
    for id in ["7up", "07", "7.0", ""] {
        assert_eq!(outcome(&about(&integer, id, &["companies"]).await), "unfit", "{id}");
    }
    let text = source(json!("{user_id}")).await;
    assert_eq!(about(&text, "7up", &["companies"]).await, list, "this is why: another user's companies");
}

#[tokio::test]
async fn a_space_at_the_end_is_not_ignored() {
    let server = MariaDb::start();
    server.sql(
        "use test; create table users (id varchar(50) collate utf8mb4_bin, plan text); \
         insert into users values ('ada', 'Gold')",
    );
    let source = query(&server.url(), "select plan from users where id = ?", &PLAN).await;
    assert_eq!(about(&source, "ada", &PLAN).await, found(&json!({"plan": "Gold"})));
    let answer = about(&source, "ada ", &PLAN).await;
    assert!(matches!(&answer, Answer::Unfit(name, _) if name == "user_id"), "{answer:?}");
}

#[tokio::test]
async fn a_query_that_writes_is_denied() {
    let server = MariaDb::start();
    server.sql(
        "use test; create table users (id text, plan text); insert into users values ('ada', 'Gold'); \
         create sequence numbers;\ndelimiter //\n\
         create function spoil() returns text begin update users set plan = 'Spoilt'; return 'done'; end//\n\
         create procedure commits() begin commit; update users set plan = 'Spoilt'; select 'done' as plan; end//",
    );
    for select in [
        "insert into users values ('bob', 'Gold') returning plan",
        "delete from users returning plan",
        "select spoil() as plan",
        "select next value for numbers as plan",
        "call commits()",
        "create table other (id int)",
    ] {
        let source = query(&server.url(), select, &PLAN).await;
        for _ in 0..2 {
            let answer = about(&source, "ada", &PLAN).await;
            assert_eq!(outcome(&answer), "denied", "{select}: {answer:?}");
        }
        assert_eq!(server.sql("select plan from test.users"), "Gold", "{select}");
    }
    let two = query(&server.url(), "select 'Gold' as plan; delete from users", &PLAN).await;
    assert_eq!(outcome(&about(&two, "ada", &PLAN).await), "malformed");
    let harmless = query(&server.url(), "select plan from users", &PLAN).await;
    assert_eq!(about(&harmless, "ada", &PLAN).await, found(&json!({"plan": "Gold"})));
}

#[tokio::test]
async fn a_statement_ends_with_the_time_of_its_question() {
    let server = MariaDb::start();
    let source = query(&server.url(), "select sleep(300) as plan", &PLAN).await;
    let began = Instant::now();
    let answer = source.claims(&within(Duration::from_millis(200), &PLAN)).await;
    assert_eq!(answer, Answer::unavailable("MySQL error 1969"));

    let ask = within(Duration::from_secs(2), &PLAN);
    let sleeping = || {
        let list = "information_schema.processlist where info like 'select sleep%'";
        server.sql(&format!("select count(*) from {list}"))
    };
    let dropped = tokio::time::timeout(Duration::from_millis(500), source.claims(&ask)).await;
    assert!(dropped.is_err());
    assert_eq!(sleeping(), "1", "it has begun");
    until("the end of what sleeps", || sleeping() == "0");
    assert!(began.elapsed() < Duration::from_secs(60), "it did not sleep to its end");
}

#[tokio::test]
async fn a_failure_is_told_by_its_number() {
    let server = MariaDb::start();
    server.sql(
        "use test; create table users (id text, plan text); create table other (id text); \
         insert into users values ('ada', 'Gold'), ('Ada', 'Free'); \
         create user reader identified by 'secret'; grant select on test.other to reader",
    );
    let (url, reader) = (server.url(), server.url_of("reader", "secret"));
    for (url, select, expected, why) in [
        (&url, "select plam from users where id = ?", "malformed", "MySQL error 1054"),
        (&url, "select plan from nothing", "malformed", "MySQL error 1146"),
        (&url, "selct plan", "malformed", "MySQL error 1064"),
        // The collation of the column does not tell `ada` from `Ada`.
        (&url, "select plan from users where id = ?", "malformed", "more than one row is the user's"),
        (&url, "select 'Gold' as plan, 'Free' as plan", "malformed", "the query has two columns of one name"),
        (&reader, "select plan from users where id = ?", "denied", "MySQL error 1142"),
        (&server.url_of("reader", "x"), "select 'Gold' as plan", "denied", "MySQL error 1045"),
        (&server.url_of("nobody", "x"), "select 'Gold' as plan", "denied", "MySQL error 1045"),
        (&format!("{url}2"), "select 'Gold' as plan", "malformed", "MySQL error 1049"),
    ] {
        let source = query(url, select, &PLAN).await;
        let answer = about(&source, "ada", &PLAN).await;
        assert_eq!(outcome(&answer), expected, "{select}");
        assert!(format!("{answer:?}").contains(why), "{select}: {answer:?}");
    }
}

#[tokio::test]
async fn tls_is_as_the_address_says() {
    let certificates = Certificates::make();
    let (right, other) = (MariaDb::with_tls(&certificates, "server"), MariaDb::with_tls(&certificates, "other"));
    let ca = certificates.text("ca.pem");
    let encrypted = "select variable_value <> '' as plan from information_schema.session_status \
                     where variable_name = 'Ssl_cipher'";
    for (server, mode, expected) in [
        (&right, format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}"), found(&json!({"plan": 1}))),
        (&right, "?ssl-mode=DISABLED".to_owned(), found(&json!({"plan": 0}))),
        (
            &other,
            format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}"),
            Answer::unavailable("TLS is not agreed on, or the certificate is not the right one"),
        ),
    ] {
        let source = query(&format!("{}{mode}", server.url()), encrypted, &PLAN).await;
        assert_eq!(about(&source, "ada", &PLAN).await, expected, "{mode}");
    }
}
