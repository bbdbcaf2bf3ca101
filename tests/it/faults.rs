//! What Sign answers when the place of a claim is slow, down, flapping, or tells nonsense: each kind on its real place,
//! each row of the table in docs/operating.md. How long it took is printed, and judged by nobody:
//! `cargo test --test it faults -- --nocapture`.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use countersign_test_services::{Certificates, Example, Nginx, Postgres, Redis, Remote, Reply, Site, Upstream};
use serde_json::json;

use crate::harness::*;

/// What the sources have for everything, in milliseconds.
const BUDGET_MS: u64 = 1_000;
const HUGE: usize = 20 * 1024 * 1024;

/// A row: kind, fault, what Sign answers under `refuse`.
type Row = (String, String, String);

/// Signs with one source of a kind, once for each state that `faults` brings about.
async fn sign(kind: &str, config: &str) -> Running {
    Setup::default()
        .replace("attributes.plan]\ntype = \"string\"", "attributes.plan]\ntype = \"string\"\nfrom = [\"s\"]")
        .and(&format!("[sources.s]\nkind = \"{kind}\"\nsets = [\"plan\"]\non_error = \"refuse\"\n"))
        .and("timeout_ms = 25000\nbreaker_failures = 1000000\n")
        .and(&format!("[sources.s.config]\n{config}\n"))
        .and(&format!("[applications.\"acme/feedback\".claims]\nbudget_ms = {BUDGET_MS}\n"))
        .start()
        .await
}

async fn answer(server: &mut Running, id: &str) -> (String, Duration) {
    let began = Instant::now();
    let answer = match server.sign(sign_for(user(id))).await {
        Ok(signed) if claims(&signed.token)["plan"] == "Gold" => "a token with the claim".to_owned(),
        Ok(_) => "a token without the claim".to_owned(),
        Err(status) => {
            let (code, reason, _) = error(&status);
            format!("{} / {reason}", format!("{code:?}").to_uppercase())
        }
    };
    (answer, began.elapsed())
}

/// The table under way.
#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    async fn row(&mut self, kind: &str, fault: &str, server: &mut Running) {
        let (answer, took) = answer(server, "ada").await;
        self.note(kind, fault, answer, took);
    }

    fn note(&mut self, kind: &str, fault: &str, answer: String, took: Duration) {
        let share = took.as_secs_f64() * 1_000.0 / BUDGET_MS as f64;
        let mut told = std::io::stderr().lock();
        writeln!(told, "| `{kind}` | {fault} | {answer} | {share:.2} |").unwrap();
        self.0.push((kind.to_owned(), fault.to_owned(), answer));
    }

    /// Every state in which a place may be: it comes back from `down`, so `flapping` is what follows.
    async fn recovered(&mut self, kind: &str, server: &mut Running) {
        for _ in 0..200 {
            if answer(server, "ada").await.0 == "a token with the claim" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.row(kind, "flapping", server).await;
    }
}

async fn of_static(table: &mut Table) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("claims.json");
    let write = |text: &str| {
        let next = folder.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, &file).unwrap();
    };
    let good = json!({"by_user_id": {"ada": {"plan": "Gold"}}}).to_string();
    let config = format!("file = {:?}", file.display().to_string());
    for (fault, text) in [
        ("garbage", "{".to_owned()),
        ("huge", format!("{{\"claims\": {{\"plan\": \"{}\"}}}}", "x".repeat(HUGE))),
        ("wrong type", json!({"by_user_id": {"ada": {"plan": 1}}}).to_string()),
    ] {
        write(&good);
        let mut server = sign("static", &config).await;
        answer(&mut server, "ada").await;
        write(&text);
        settle(&mut server).await;
        table.row("static", fault, &mut server).await;
    }
    write(&good);
    let mut server = sign("static", &config).await;
    std::fs::remove_file(&file).unwrap();
    settle(&mut server).await;
    table.row("static", "down", &mut server).await;
    write(&good);
    table.recovered("static", &mut server).await;
    // Nothing but a pipe makes reading a local file wait.
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    settle(&mut server).await;
    table.row("static", "slow", &mut server).await;
}

/// A file is looked at again after a moment.
async fn settle(server: &mut Running) {
    for _ in 0..60 {
        if answer(server, "ada").await.0 != "a token with the claim" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn of_redis(table: &mut Table) {
    let mut redis = Redis::start();
    let config = |url: &str| format!("url = \"{url}\"\nkey = \"user:{{user_id}}\"\nformat = \"json\"");
    let set = |redis: &Redis, value: &str| drop(redis.run(&["SET", "user:ada", value]));
    let good = json!({"plan": "Gold"}).to_string();
    set(&redis, &good);
    let mut server = sign("redis", &config(&redis.url())).await;
    answer(&mut server, "ada").await;
    redis.pause();
    table.row("redis", "slow", &mut server).await;
    redis.resume();
    redis.kill();
    table.row("redis", "down", &mut server).await;
    redis.restart();
    set(&redis, &good);
    table.recovered("redis", &mut server).await;
    set(&redis, "{");
    table.row("redis", "garbage", &mut server).await;
    set(&redis, &json!({"plan": 1}).to_string());
    table.row("redis", "wrong type", &mut server).await;
    redis.run(&["SETRANGE", "user:ada", &HUGE.to_string(), "x"]);
    table.row("redis", "huge", &mut server).await;
}

async fn of_lookup(table: &mut Table) {
    let good = json!({"plan": "Gold", "id": "ada"}).to_string();
    let (wrong, other) = (json!({"plan": 1}).to_string(), json!({"plan": "Gold", "id": "eve"}).to_string());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let more = "location = /500 { return 500; }\nlocation = /html { default_type text/html; return 200 '<html>'; }\n\
                 location = /metadata { return 302 http://169.254.169.254/latest/meta-data; }\n";
    let certificates = Certificates::make();
    let pages = [("/users/ada", &good), ("/wrong/ada", &wrong), ("/other/ada", &other), ("/deep/ada", &deep)];
    let pages = pages.map(|(target, page)| (target.to_owned(), page.clone())).to_vec();
    let site = Site { pages, more, certificates: Some(&certificates) };
    let nginx = Nginx::start(&site);
    let port = nginx.daemon().port();
    let url = |url: String| format!("url = \"{url}\"");
    for (fault, target) in [("HTTP 500", "/500"), ("HTML", "/html"), ("a redirect to a metadata address", "/metadata")]
    {
        table.row("lookup", fault, &mut sign("lookup", &url(nginx.http(target))).await).await;
    }
    for (fault, target) in [("wrong type", "/wrong/{user_id}"), ("deeply nested", "/deep/{user_id}")] {
        table.row("lookup", fault, &mut sign("lookup", &url(nginx.http(target))).await).await;
    }
    let same = format!("{}\nsame = {{ user_id = \"$.id\" }}", url(nginx.http("/other/{user_id}")));
    table.row("lookup", "another user's id", &mut sign("lookup", &same).await).await;
    let misnamed =
        format!("{}\ntls = {{ ca = {:?} }}", url(nginx.misnamed("/users/{user_id}")), certificates.text("ca.pem"));
    table.row("lookup", "a certificate for another name", &mut sign("lookup", &misnamed).await).await;

    let mut server = sign("lookup", &url(nginx.http("/users/{user_id}"))).await;
    answer(&mut server, "ada").await;
    nginx.daemon().signal("STOP");
    table.row("lookup", "slow", &mut server).await;
    drop(nginx);
    table.row("lookup", "down", &mut server).await;
    let _nginx = Nginx::start_at(port, &site);
    table.recovered("lookup", &mut server).await;
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/garbage" => Reply::json("not json"),
        "/reset" => Reply::Reset,
        _ => Reply::Endless,
    });
    for (fault, target) in [("garbage", "/garbage"), ("reset", "/reset"), ("huge", "/huge")] {
        table.row("lookup", fault, &mut sign("lookup", &url(upstream.url(target))).await).await;
    }
}

async fn of_sql(table: &mut Table) {
    let mut postgres = Postgres::start();
    postgres.sql("create table users (id text primary key, plan text); insert into users values ('ada', 'Gold')");
    let query =
        |select: &str| format!("url = {{ env = \"DIRECTORY_URL\" }}\nquery = \"{select}\"\nbind = [\"{{user_id}}\"]");
    let start = |url: String, config: String| async move {
        Setup::default()
            .replace("attributes.plan]\ntype = \"string\"", "attributes.plan]\ntype = \"string\"\nfrom = [\"s\"]")
            .and("[sources.s]\nkind = \"sql\"\nsets = [\"plan\"]\non_error = \"refuse\"\n")
            .and("timeout_ms = 25000\nbreaker_failures = 1000000\n")
            .and(&format!("[sources.s.config]\n{config}\n"))
            .and(&format!("[applications.\"acme/feedback\".claims]\nbudget_ms = {BUDGET_MS}\n"))
            .env("DIRECTORY_URL", &url)
            .start()
            .await
    };
    let good = "select plan from users where id = $1";
    let mut server = start(postgres.url(), query(good)).await;
    answer(&mut server, "ada").await;
    postgres.pause();
    table.row("sql", "slow", &mut server).await;
    postgres.resume();
    postgres.kill();
    table.row("sql", "down", &mut server).await;
    postgres.restart();
    table.recovered("sql", &mut server).await;
    for (fault, select) in [
        ("garbage", "select p from users where id = $1"),
        ("wrong type", "select 1 as plan from users where id = $1"),
        ("huge", "select repeat('x', 5000000) as plan from users where id = $1"),
    ] {
        let mut server = start(postgres.url(), query(select)).await;
        table.row("sql", fault, &mut server).await;
    }
}

async fn of_remote(table: &mut Table) {
    let users = json!({
        "ada": {"plan": "Gold"}, "wrong": {"plan": 1}, "huge": {"plan": "x".repeat(HUGE)},
    });
    let mut remote = Remote::start(Example::Python, &users.to_string());
    let mut server = sign("remote", &format!("address = \"{}\"", remote.address())).await;
    // The process answers for the user that is asked for; the rows differ in the user alone.
    for (fault, id) in [("wrong type", "wrong"), ("huge", "huge")] {
        let (answer, took) = answer(&mut server, id).await;
        table.note("remote", fault, answer, took);
    }
    answer(&mut server, "ada").await;
    remote.signal("STOP");
    table.row("remote", "slow", &mut server).await;
    remote.signal("CONT");
    remote.signal("KILL");
    remote.ended();
    table.row("remote", "down", &mut server).await;
    remote.start_again();
    table.recovered("remote", &mut server).await;

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("garbage.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut bytes = [0; 64];
            drop(stream.read(&mut bytes));
            drop(stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nthis is no gRPC"));
        }
    });
    let mut server = sign("remote", &format!("address = \"unix:{}\"", socket.display())).await;
    table.row("remote", "garbage", &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_faults_is_what_happens() {
    let mut table = Table::default();
    of_static(&mut table).await;
    of_redis(&mut table).await;
    of_lookup(&mut table).await;
    of_sql(&mut table).await;
    of_remote(&mut table).await;
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating.md")).unwrap();
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let told: BTreeSet<Row> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(cells)
        .filter(|cells| cells.len() == 4 && cells[3].parse::<f64>().is_ok())
        .map(|cells| (cells[0].trim_matches('`').to_owned(), cells[1].clone(), cells[2].clone()))
        .collect();
    let happened: BTreeSet<Row> = table.0.into_iter().collect();
    let (untold, untrue): (Vec<_>, Vec<_>) =
        (happened.difference(&told).collect(), told.difference(&happened).collect());
    assert!(untold.is_empty() && untrue.is_empty(), "docs/operating.md: not told {untold:#?}, not true {untrue:#?}");
}
