//! Sentinel and Cluster: the primary is found, and found again when it is another one.

use std::time::{Duration, Instant};

use countersign_claim_source::conformance::ask;
use countersign_claim_source::{Answer, ClaimSource};
use countersign_test_services::{RedisCluster, RedisSentinel};
use serde_json::json;
use tokio::time::timeout;

use super::hostile::broken;
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
        let dead = json!(["127.0.0.1:1"]);
        source(url, &["plan"], json!({"password": password.reference(), "sentinel": sentinel, "nodes": dead}))
    };
    let name = RedisSentinel::MASTER_NAME;

    let source = over(servers.url(), json!({"master_name": name, "password": own.reference()})).await;
    assert_eq!(plan(&*source, "ada").await, found("Gold"));
    let unknown = over(servers.url(), json!({"master_name": "other", "password": own.reference()})).await;
    assert_eq!(plan(&*unknown, "ada").await, Answer::unavailable("no Sentinel knows the master_name"));
    let denied = over(servers.url(), json!({"master_name": name, "password": password.reference()})).await;
    assert_eq!(plan(&*denied, "ada").await, Answer::denied("Redis answered WRONGPASS"));

    let names_the_replica = format!("*2\r\n$9\r\n127.0.0.1\r\n$5\r\n{}\r\n", servers.replica.port());
    let late = over(broken(names_the_replica, b""), json!({"master_name": name})).await;
    assert_eq!(plan(&*late, "ada").await, Answer::unavailable("what the Sentinels name is no primary"));

    servers.primary.pause();
    servers.wait_for_failover();
    servers.replica.run(&["HSET", "user:ada", "plan", "Platinum"]);
    until(&*source, "ada", "Platinum").await;
}

#[tokio::test]
async fn a_cluster_is_followed_wherever_its_slots_go() {
    let cluster = RedisCluster::with_replicas();
    let source = source(cluster.url(), &["plan"], json!({"cluster": true, "nodes": ["127.0.0.1:1"]})).await;
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
    cluster.wait_for_failover(0);
    cluster.replicas[0].run(&["HSET", &format!("user:{user}"), "plan", "Platinum"]);
    until(&*source, user, "Platinum").await;
    cluster.primaries[1].kill();
    cluster.wait_for_failover(1);
    until(&*source, second, second).await;
}
