//! Sentinel and Cluster: the primary is found, and found again when it is another one.

use std::time::{Duration, Instant};

use countersign_claim_source::conformance::ask;
use countersign_claim_source::{Answer, ClaimSource};
use countersign_test_services::{RedisCluster, RedisSentinel};
use serde_json::json;
use tokio::time::timeout;

use super::hostile::speaking;
use super::{Secret, found, plan, source};

/// Asks again, as the host does, until the plan is this one.
async fn until(source: &dyn ClaimSource, user_id: &str, right: &str) {
    let (began, mut last) = (Instant::now(), None);
    let mut question = ask(Some(user_id), &["plan"]);
    question.time = Duration::from_millis(500);
    while last.as_ref() != Some(&found(right)) {
        assert!(began.elapsed() < Duration::from_secs(10), "{user_id}: {last:?}");
        last = timeout(question.time, source.claims(&question)).await.ok();
    }
}

#[tokio::test]
async fn the_primary_is_found_by_sentinels_and_again_after_a_failover() {
    let servers = RedisSentinel::start();
    servers.primary.run(&["HSET", "user:ada", "plan", "Gold"]);
    let (password, own) = (Secret::new(RedisSentinel::PASSWORD), Secret::new(RedisSentinel::SENTINEL_PASSWORD));
    let over = |url: String, sentinel: serde_json::Value| {
        // The address stands first, so the one that nobody listens at goes there.
        let nodes = json!([url.trim_start_matches("redis://")]);
        let config = json!({"password": password.reference(), "sentinel": sentinel, "nodes": nodes});
        source("redis://127.0.0.1:1", &["plan"], config)
    };
    let name = RedisSentinel::MASTER_NAME;

    let source = over(servers.url(), json!({"master_name": name, "password": own.reference()})).await;
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
    let nobody = Answer::unavailable("no Sentinel names a primary by the master_name");
    let unknown = over(servers.url(), json!({"master_name": "other", "password": own.reference()})).await;
    assert_eq!(plan(&*unknown, "ada").await, nobody);
    let late = over(naming(name, servers.replica.port()), json!({"master_name": name})).await;
    assert_eq!(plan(&*late, "ada").await, nobody, "what it names is a replica");
    let denied = over(servers.url(), json!({"master_name": name, "password": password.reference()})).await;
    assert_eq!(plan(&*denied, "ada").await, Answer::denied("Redis takes no such user or password"));

    servers.primary.pause();
    servers.wait_for_failover();
    servers.replica.run(&["HSET", "user:ada", "plan", "Platinum"]);
    until(&*source, "ada", "Platinum").await;
}

/// The address of a Sentinel that takes the server at that port of loopback for the primary.
fn naming(master_name: &'static str, port: u16) -> String {
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let answer = move |line: &str| match line {
        "SETINFO" => "+OK\r\n".to_owned(),
        "ROLE" => format!("*2\r\n{}*1\r\n{}", bulk("sentinel"), bulk(master_name)),
        "MASTERS" => {
            let port = port.to_string();
            let info = ["name", master_name, "ip", "127.0.0.1", "port", &port, "flags", "master"];
            format!("*1\r\n*8\r\n{}", info.map(bulk).concat())
        }
        _ => String::new(),
    };
    speaking(answer, b"")
}

#[tokio::test]
async fn a_cluster_is_followed_wherever_its_slots_go() {
    let cluster = RedisCluster::with_replicas();
    let third = format!("127.0.0.1:{}", cluster.primaries[2].port());
    let config = json!({"cluster": true, "nodes": ["127.0.0.1:1", third]});
    let password = Secret::new("s3cret");
    let stranger = json!({"cluster": true, "password": password.reference()});
    let stranger = source(cluster.url(), &["plan"], stranger).await;
    assert_eq!(plan(&*stranger, "ada").await, Answer::denied("Redis takes no such user or password"));
    let source = source(cluster.url(), &["plan"], config).await;
    let users: Vec<String> = (0..32).map(|n| format!("u{n}")).collect();
    for user in &users {
        let key = format!("user:{user}");
        cluster.run(&key, &["HSET", &key, "plan", user]);
    }
    for user in users.iter().chain(&users) {
        assert_eq!(plan(&*source, user).await, found(user));
    }
    assert_eq!(plan(&*source, "nobody").await, Answer::NotFound);

    // A slot on its way: the key has arrived and its old home answers ASK. Then the slot has moved, and it is MOVED.
    let key = "user:u0";
    let slot = cluster.primaries[0].run(&["CLUSTER", "KEYSLOT", key]);
    let (from, to) = (&cluster.primaries[cluster.home(key)], &cluster.primaries[(cluster.home(key) + 1) % 3]);
    let (old, new) = (from.run(&["CLUSTER", "MYID"]), to.run(&["CLUSTER", "MYID"]));
    to.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &old]);
    from.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &new]);
    from.run(&["MIGRATE", "127.0.0.1", &to.port().to_string(), key, "0", "5000"]);
    assert_eq!(plan(&*source, "u0").await, found("u0"), "ASK");
    to.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &new]);
    from.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &new]);
    for _ in 0..2 {
        assert_eq!(plan(&*source, "u0").await, found("u0"), "MOVED");
    }

    // A primary that hangs is the hardest to leave: it still takes connections.
    let of = |home| users.iter().skip(1).find(|user| cluster.home(&format!("user:{user}")) == home).expect("one of 31");
    let (user, second) = (of(0), of(1));
    cluster.primaries[0].pause();
    assert!(timeout(Duration::from_millis(300), plan(&*source, user)).await.is_err());
    until(&*source, second, second).await;
    cluster.wait_for_failover(0);
    cluster.replicas[0].run(&["HSET", &format!("user:{user}"), "plan", "Platinum"]);
    until(&*source, user, "Platinum").await;
    cluster.primaries[1].kill();
    cluster.wait_for_failover(1);
    until(&*source, second, second).await;
}
