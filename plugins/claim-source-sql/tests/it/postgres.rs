//! What only a real PostgreSQL shows of queries and their rows.

use countersign_claim_source::Answer;
use countersign_claim_source::conformance::ask;
use countersign_test_services::{Postgres, until};
use serde_json::{Value, json};

use crate::support::{about, found, open, outcome, query};

const PLAN: [&str; 1] = ["plan"];

#[tokio::test]
async fn every_type_has_its_json() {
    let server = Postgres::start();
    server.sql("create extension citext; create type size as enum ('small', 'large'); create domain seats as int");
    let columns = [
        ("'text'", json!("text")),
        ("'varchar'::varchar(20)", json!("varchar")),
        ("'char'::char(5)", json!("char ")),
        ("'name'::name", json!("name")),
        ("'Citext'::citext", json!("Citext")),
        ("'large'::size", json!("large")),
        ("''", json!("")),
        ("true", json!(true)),
        ("(-32768)::int2", json!(-32768)),
        ("2147483647", json!(2_147_483_647)),
        ("9223372036854775807", json!(i64::MAX)),
        ("7::seats", json!(7)),
        ("500.00::numeric", json!(500)),
        ("-0.05::numeric(10, 4)", json!(-0.05)),
        ("12345678.9::numeric", json!(12_345_678.9)),
        ("18446744073709551615::numeric", json!(u64::MAX)),
        ("0.1::float4", json!(0.1)),
        ("1.5::float8", json!(1.5)),
        ("'2025-05-19'::date", json!("2025-05-19")),
        ("'2025-05-19 10:20:30'::timestamp", json!("2025-05-19T10:20:30Z")),
        ("'2025-05-19 10:20:30.25+02'::timestamptz", json!("2025-05-19T08:20:30.25Z")),
        ("'1969-07-20 20:17Z'::timestamptz", json!("1969-07-20T20:17:00Z")),
        ("'{\"a\": [1, null]}'::json", json!({"a": [1, null]})),
        ("'[{\"id\": \"c1\"}]'::jsonb", json!([{"id": "c1"}])),
        ("'0F8FAD5B-D9CB-469F-A165-70867728950E'::uuid", json!("0f8fad5b-d9cb-469f-a165-70867728950e")),
        ("array['a', null, 'b']", json!(["a", null, "b"])),
        ("array['a']::varchar[]", json!(["a"])),
        ("to_jsonb(array[1, 2])", json!([1, 2])),
        ("null::text", Value::Null),
        ("'null'::jsonb", Value::Null),
    ];
    let names: Vec<String> = (0..columns.len()).map(|index| format!("c{index}")).collect();
    let sets: Vec<&str> = names.iter().map(String::as_str).collect();
    let selected = columns.iter().zip(&names).map(|((column, _), name)| format!("{column} as {name}"));
    let sql = format!("select {}", selected.collect::<Vec<_>>().join(", "));
    let Answer::Found { claims, .. } = about(&query(&server.url(), &sql, &sets).await, "ada", &sets).await else {
        panic!("every one of them has JSON")
    };
    for ((column, expected), name) in columns.iter().zip(&names) {
        assert_eq!(claims.get(name), Some(expected).filter(|value| !value.is_null()), "{column}");
    }
}

#[tokio::test]
async fn what_json_cannot_carry_is_malformed() {
    let server = Postgres::start();
    for (column, why) in [
        ("'\\x00'::bytea", "BYTEA"),
        ("'1 day'::interval", "INTERVAL"),
        ("array[1, 2]", "INT4"),
        ("'infinity'::timestamptz", "cannot carry"),
        ("'-infinity'::date", "cannot carry"),
        ("'NaN'::numeric", "cannot carry"),
        ("'NaN'::float8", "cannot carry"),
        ("'infinity'::float4", "cannot carry"),
        ("0.12345678901234567890", "cannot carry"),
    ] {
        let source = query(&server.url(), &format!("select {column} as plan"), &PLAN).await;
        let answer = about(&source, "ada", &PLAN).await;
        assert!(matches!(&answer, Answer::Malformed(found) if found.to_string().contains(why)), "{column}: {answer:?}");
        let wanted = query(&server.url(), &format!("select {column} as other, 'Gold' as plan"), &PLAN).await;
        assert_eq!(
            about(&wanted, "ada", &PLAN).await,
            found(&json!({"plan": "Gold"})),
            "what is not wanted is not read"
        );
    }
}

#[tokio::test]
async fn every_row_is_an_element_of_the_list() {
    let server = Postgres::start();
    server.sql(
        "create table companies (member text, id text, name text, monthly_spend numeric(10, 2), created_at timestamptz); \
         insert into companies values ('ada', 'c1', 'One', 500, '2025-05-19Z'), ('ada', 'c2', null, 0.5, null)",
    );
    let companies = ["companies"];
    let select = "select id, name, monthly_spend, created_at from companies where member = $1 order by id";
    let config = json!({"query": select, "bind": ["{user_id}"], "many": "companies"});
    let source = open(&server.url(), config, &companies).await;
    let list = json!([
        {"id": "c1", "name": "One", "monthly_spend": 500, "created_at": "2025-05-19T00:00:00Z"},
        {"id": "c2", "monthly_spend": 0.5},
    ]);
    assert_eq!(about(&source, "ada", &companies).await, found(&json!({"companies": list})));
    assert_eq!(about(&source, "bob", &companies).await, Answer::NotFound);

    for (rows, expected) in [("200", "found"), ("201", "malformed"), ("1000000000000", "malformed")] {
        let select = format!("select generate_series(1, {rows}) as n");
        let source = open(&server.url(), json!({"query": select, "many": "companies"}), &companies).await;
        let answer = about(&source, "ada", &companies).await;
        assert_eq!(outcome(&answer), expected, "{rows} rows: {answer:?}");
    }
    until("the end of the longest of them", || {
        server.sql("select count(*) from pg_stat_activity where state = 'active' and query like '%series%'") == "1"
    });
}

#[tokio::test]
async fn the_server_says_what_a_placeholder_takes() {
    let server = Postgres::start();
    server.sql("create extension citext; create type size as enum ('small', 'large')");
    const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    for (r#type, own, others, unfit) in [
        ("text", "o'b\"r", "7", vec![]),
        ("varchar(50)", "ü", "7", vec![]),
        ("char(3)", "abc", "7", vec!["abc ", "7  "]),
        ("citext", "Ada", "7", vec![]),
        ("size", "large", "small", vec![]),
        ("int2", "7", "-8", vec!["", "007", "7up", "+7", " 7", "32768", "7.0", "o'brien"]),
        ("int4", "7", "8", vec!["2147483648", "1e3"]),
        ("int8", "9223372036854775807", "8", vec!["9223372036854775808"]),
        ("uuid", UUID, "00000000-0000-0000-0000-000000000000", vec!["7", "{0f8fad5b-d9cb-469f-a165-70867728950e}"]),
    ] {
        server.sql(&format!(
            "drop table if exists users; create table users (id {type}, plan text); \
             insert into users values ('{}', 'Gold')",
            own.replace('\'', "''")
        ));
        let source = query(&server.url(), "select plan from users where id = $1", &PLAN).await;
        assert_eq!(about(&source, own, &PLAN).await, found(&json!({"plan": "Gold"})), "{type}");
        assert_eq!(about(&source, others, &PLAN).await, Answer::NotFound, "{type}");
        for id in unfit.into_iter().chain(["a\0b"]) {
            let answer = about(&source, id, &PLAN).await;
            assert!(matches!(&answer, Answer::Unfit(name, _) if name == "user_id"), "{type} {id:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_value_can_be_bound_as_what_the_configuration_says() {
    let server = Postgres::start();
    server.sql("create table users (id text, plan text); insert into users values ('7', 'Gold')");
    let select = "select plan from users where id = $1 and $2 = 'acme/feedback'";
    let bind = json!([{"value": "{user_id}", "type": "integer"}, {"value": "{application}", "type": "text"}]);
    let source = open(&server.url(), json!({"query": select, "bind": bind}), &PLAN).await;
    assert_eq!(about(&source, "7", &PLAN).await, found(&json!({"plan": "Gold"})));
    assert_eq!(outcome(&about(&source, "seven", &PLAN).await), "unfit");
    assert_eq!(source.claims(&ask(None, &PLAN)).await, Answer::Missing("user_id".to_owned()));
    let source =
        open(&server.url(), json!({"query": "select $1::date::text as plan", "bind": ["{user_id}"]}), &PLAN).await;
    let Answer::Malformed(why) = about(&source, "2025-05-19", &PLAN).await else { panic!("a date is not bound") };
    assert!(why.to_string().ends_with("DATE"), "{why}");
}

#[tokio::test]
async fn a_query_that_writes_is_denied() {
    let server = Postgres::start();
    server.sql(
        "create table users (id text, plan text); insert into users values ('ada', 'Gold'); create sequence numbers; \
         create function spoil() returns text language plpgsql as $$ begin \
           perform set_config('default_transaction_read_only', 'off', false); \
           update users set plan = 'Spoilt'; return 'done'; end $$; \
         create function free() returns text language plpgsql as $$ begin \
           perform set_config('transaction_read_only', 'off', true); \
           update users set plan = 'Spoilt'; return 'done'; end $$",
    );
    for (select, expected) in [
        ("insert into users values ('bob', 'Gold') returning plan", "denied"),
        ("with gone as (delete from users returning plan) select plan from gone", "denied"),
        ("select setval('numbers', 7)::text as plan", "denied"),
        ("select spoil() as plan", "denied"),
        // PostgreSQL has its own word for this one.
        ("select free() as plan", "malformed"),
        ("select plan from users for update", "denied"),
        ("create table other (id int)", "denied"),
        ("select 'Gold' as plan; delete from users", "malformed"),
    ] {
        let source = query(&server.url(), select, &PLAN).await;
        for _ in 0..2 {
            let answer = about(&source, "ada", &PLAN).await;
            assert_eq!(outcome(&answer), expected, "{select}: {answer:?}");
        }
        assert_eq!(server.sql("select plan from users"), "Gold", "{select}");
    }
    let harmless = query(&server.url(), "select plan from users", &PLAN).await;
    assert_eq!(about(&harmless, "ada", &PLAN).await, found(&json!({"plan": "Gold"})));
}

#[tokio::test]
async fn a_failure_is_told_by_its_sqlstate() {
    let server = Postgres::start();
    server.sql(
        "create table users (id text, plan text); insert into users values ('ada', 'Gold'), ('ada', 'Free'); \
         create role reader login password 'secret' connection limit 0",
    );
    let (url, reader) = (server.url(), server.url_of("reader", "secret"));
    for (url, select, expected, why) in [
        (&url, "select plan from user where id = $1", "malformed", "SQLSTATE 42703"),
        (&url, "select plan from nothing", "malformed", "SQLSTATE 42P01"),
        (&url, "selct plan", "malformed", "SQLSTATE 42601"),
        (&url, "select (1 / 0)::text as plan", "malformed", "SQLSTATE 22012"),
        (&url, "select plan from users where id = $1", "malformed", "more than one row is the user's"),
        (&url, "select 'Gold' as plan, 'Free' as plan", "malformed", "the query has two columns of one name"),
        (&url, "select 'Gold' as plam", "malformed", "the query has no column for a claim of `sets`"),
        (&server.url_of("nobody", "x"), "select 'Gold' as plan", "denied", "SQLSTATE 28P01"),
        (&server.url_of("postgres", "x"), "select 'Gold' as plan", "denied", "SQLSTATE 28P01"),
        (&format!("{url}2"), "select 'Gold' as plan", "malformed", "SQLSTATE 3D000"),
        (&reader, "select 'Gold' as plan", "unavailable", "SQLSTATE 53300"),
    ] {
        let source = query(url, select, &PLAN).await;
        let answer = about(&source, "ada", &PLAN).await;
        assert_eq!(outcome(&answer), expected, "{select}");
        assert!(format!("{answer:?}").contains(why), "{select}: {answer:?}");
    }
    server.sql("alter role reader connection limit 1");
    let source = query(&reader, "select plan from users where id = $1", &PLAN).await;
    let answer = about(&source, "ada", &PLAN).await;
    assert!(format!("{answer:?}").starts_with("Denied(Why(\"SQLSTATE 42501"), "{answer:?}");
    server.sql("grant select on users to reader; delete from users where plan = 'Free'");
    assert_eq!(about(&source, "ada", &PLAN).await, found(&json!({"plan": "Gold"})), "without a new start");
}

#[tokio::test]
async fn a_column_may_change_its_type() {
    let server = Postgres::start();
    server.sql("create table users (id text, plan text); insert into users values ('ada', '7')");
    let source = query(&server.url(), "select plan from users where id = $1", &PLAN).await;
    assert_eq!(about(&source, "ada", &PLAN).await, found(&json!({"plan": "7"})));
    server.sql("alter table users alter plan type int using plan::int");
    // The prepared statement is of no use any more; it goes with its connection.
    assert_eq!(outcome(&about(&source, "ada", &PLAN).await), "malformed");
    assert_eq!(about(&source, "ada", &PLAN).await, found(&json!({"plan": 7})));
}
