//! The Redis: what servers share there, and what becomes of it when the Redis fails.

use countersign_test_services::{Redis, until};

use super::redis::{replicated, shared, try_open, with_room, with_tokens_of, without_news};
use super::*;
use crate::audit::chain::Line;
use crate::audit::sinks::Stream as _;

/// The milliseconds that the one key of this form still lives.
fn life(redis: &Redis, form: &str) -> i64 {
    redis.run(&["PTTL", &redis.run(&["KEYS", form])]).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_share_a_redis_which_forgets_a_use_when_the_token_has_ended() {
    let redis = Redis::start();
    let (one, two) = (replicated(&redis, 0, 0).await, replicated(&redis, 0, 50).await);
    let token = used("token", 100);
    assert_eq!(one.use_up(token, at(2)).await, Ok(true));
    assert_eq!(two.use_up(token, at(2)).await, Ok(false));
    assert!((90_000..=98_001).contains(&life(&redis, "{test:used-?}:????????????*")), "98 s are left of it");
    let ada = subject("ada");
    one.saw_jwt(fact(&ada, ""), at(10)).await.unwrap();
    assert_eq!(two.first_jwt(fact(&ada, "")).await, Ok(Some(at(10))));
    two.saw_jwt(fact(&ada, ""), at(20)).await.unwrap();
    assert_eq!(two.first_jwt(fact(&ada, "")).await, Ok(Some(at(10))));
    assert_eq!(life(&redis, "{test:facts-??}:all"), -1, "a fact has no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_newer_than_a_token_does_not_say_that_it_is_the_first() {
    let mut redis = Redis::start();
    let store = without_news(&redis).await;
    assert_eq!(store.use_up(used("token", 100), at(2)).await, Ok(true));
    redis.restart();
    for _ in 0..100 {
        assert_eq!(store.use_up(used("token", 100), at(5)).await, Err(Away));
    }
    let same_second = Use { issued_at: Some(at(5)), ..used("token", 100) };
    assert_eq!(store.use_up(same_second, at(5)).await, Err(Away), "it may have been used before, in that second");
    let later = Use { issued_at: Some(at(6)), ..used("token", 100) };
    assert_eq!(store.use_up(later, at(7)).await, Ok(true));
    let undated = Use { issued_at: None, ..used("undated", 100) };
    assert_eq!(store.use_up(undated, at(7)).await, Err(Away));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_empty_is_known_to_be_new_before_it_is_asked_for_a_token() {
    let mut redis = Redis::start();
    let _store = replicated(&redis, 0, 3).await;
    redis.restart();
    let records = || redis.run(&["KEYS", "{test:used-?}:first-seen"]).lines().map(str::to_owned).collect::<Vec<_>>();
    until("a record of each group", || records().len() == 16);
    assert_eq!(redis.run(&["GET", &records()[0]]), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_too_few_replicas_have_is_not_answered_for() {
    let primary = Redis::start();
    let store = replicated(&primary, 1, 0).await;
    assert_eq!(store.use_up(used("before", 100), at(2)).await, Err(Away));
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    until("a replica", || primary.run(&["INFO", "replication"]).contains("state=online"));
    // The first acknowledgement of a new replica may take its time.
    let mut tries = 0..100;
    let token = loop {
        let token = used(&tries.next().expect("a replica acknowledges").to_string(), 100);
        if store.use_up(token, at(2)).await == Ok(true) {
            break token;
        }
    };
    assert!(replica.run(&["KEYS", "{test:used-?}:*"]).contains(&hex::encode(token.token)));
    assert_eq!(store.use_up(token, at(2)).await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_away_and_comes_back_by_itself() {
    let mut redis = Redis::start();
    redis.kill();
    let store = replicated(&redis, 0, 0).await;
    let ada = subject("ada");
    assert_eq!(store.use_up(used("token", 100), at(2)).await, Err(Away));
    assert_eq!(store.is_used(used("token", 100).token, at(2)).await, Err(Away));
    assert_eq!(store.first_jwt(fact(&ada, "")).await, Err(Away));
    assert_eq!(store.saw_jwt(fact(&ada, ""), at(2)).await, Err(Away));
    redis.restart();
    let mut answers = Vec::new();
    while answers.last() != Some(&Ok(())) {
        assert!(answers.len() < 1_000, "{:?}", answers.last());
        answers.push(store.saw_jwt(fact(&ada, ""), at(3)).await);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(store.first_jwt(fact(&ada, "")).await, Ok(Some(at(3))));
    // What was seen here holds here, whatever becomes of the store.
    redis.kill();
    assert_eq!(store.first_jwt(fact(&ada, "")).await, Ok(Some(at(3))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_changed_is_told_what_it_lost_and_not_what_was_restored() {
    let redis = Redis::with(&["--enable-debug-command", "yes"]);
    let (one, two) = (replicated(&redis, 0, 0).await, replicated(&redis, 0, 0).await);
    two.revoked().loaded().await;
    one.revoked().loaded().await;
    one.revoke(vec![revoked("kept", 1, 1_000), revoked("restored", 1, FOREVER)], at(1)).await.unwrap();
    until("the news", || end(&*two, "restored", 1).is_some());
    assert_eq!(one.restore(name(&["restored"]), at(1)).await, Ok(true));
    // As after a failover to a replica that had not heard of it, while the other server was cut off.
    two.revoked().add(name(&["restored"]), Mark { at: 1, until: FOREVER }, 1);
    two.revoked().add(name(&["lost"]), Mark { at: 1, until: 2_000 }, 1);
    redis.run(&["DEBUG", "CHANGE-REPL-ID"]);
    until("the lost one", || end(&*one, "lost", 1).is_some());
    until("the restored one", || end(&*two, "restored", 1).is_none());
    assert_eq!(end(&*one, "restored", 1), None);
    assert_eq!((end(&*one, "kept", 1), end(&*one, "lost", 1)), (Some(1_000), Some(2_000)));
    // Emptied, with its name: the same.
    redis.run(&["FLUSHALL"]);
    until("everything that is in force", || redis.run(&["HLEN", "{test:revoked}:all"]) == "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_leaves_the_redis_and_what_lives_longer_by_now_stays() {
    let redis = Redis::start();
    let store = replicated(&redis, 0, 0).await;
    let many = (0..150).map(|index| revoked(&index.to_string(), 1, 10)).collect();
    store.revoke(many, at(1)).await.unwrap();
    assert_eq!(redis.run(&["HLEN", "{test:revoked}:all"]), "150");
    // In its configuration tokens live longer, and it tells the others.
    let longer = with_tokens_of(&redis, 0, 5, 500).await;
    longer.revoked().loaded().await;
    assert_eq!(end(&*longer, "149", 500), Some(501));
    until("the longer end", || end(&*store, "149", 500) == Some(501));
    store.revoke(vec![revoked("later", 20, 2_000)], at(20)).await.unwrap();
    assert_eq!(redis.run(&["HLEN", "{test:revoked}:all"]), "151");
    store.revoke(vec![revoked("later", 600, 2_000)], at(600)).await.unwrap();
    for key in ["HLEN {test:revoked}:all", "ZCARD {test:revoked}:changes", "ZCARD {test:revoked}:ends"] {
        let words: Vec<&str> = key.split(' ').collect();
        assert_eq!(redis.run(&words), "1", "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_too_few_replicas_have_is_not_answered_for() {
    let primary = Redis::start();
    let store = replicated(&primary, 1, 0).await;
    store.revoked().loaded().await;
    assert_eq!(store.revoke(vec![revoked("a", 1, 100)], at(1)).await, Err(Away));
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    until("a replica", || primary.run(&["INFO", "replication"]).contains("state=online"));
    let mut tries = 0;
    while store.revoke(vec![revoked("a", 1, 100)], at(1)).await.is_err() {
        tries += 1;
        assert!(tries < 100, "nobody acknowledges");
    }
    assert_eq!(replica.run(&["HLEN", "{test:revoked}:all"]), "1");
    assert_eq!(end(&*store, "a", 1), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_the_redis_revokes_nothing() {
    let redis = Redis::start();
    redis.run(&["HSET", "{test:revoked}:all", "short", "1 2 demo", &"x".repeat(32), "nonsense"]);
    redis.run(&["ZADD", "{test:revoked}:changes", "1", "short", "2", &"x".repeat(32), "3", "nothing"]);
    redis.run(&["SET", "{test:revoked}:number", "3"]);
    let store = replicated(&redis, 0, 0).await;
    store.revoked().loaded().await;
    assert!(store.revoked().is_empty());
    store.revoke(vec![revoked("a", 1, 100)], at(1)).await.unwrap();
    assert_eq!(store.revoked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_has_no_room_in_the_redis_is_refused_and_those_that_are_there_stand() {
    let redis = Redis::start();
    let store = with_room(&redis, 1).await;
    // There is room for one in each of the 256 tags, so that some of these find none.
    let subjects: Vec<_> = (0..300).map(|index| subject(&index.to_string())).collect();
    let mut kept = Vec::new();
    for ada in &subjects {
        match store.saw_jwt(fact(ada, ""), at(10)).await {
            Ok(()) => kept.push(ada),
            Err(Away) => assert_eq!(store.first_jwt(fact(ada, "")).await, Ok(None)),
        }
    }
    assert!(!kept.is_empty() && kept.len() <= 256, "{} are kept", kept.len());
    let other = with_room(&redis, 1).await;
    for ada in kept {
        assert_eq!(other.saw_jwt(fact(ada, ""), at(20)).await, Ok(()));
        assert_eq!(other.first_jwt(fact(ada, "")).await, Ok(Some(at(10))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_a_newer_version_wrote_is_refused_at_the_start_and_not_listened_to_later() {
    let redis = Redis::start();
    let store = replicated(&redis, 0, 0).await;
    store.revoked().loaded().await;
    assert_eq!(redis.run(&["GET", "{test:revoked}:schema"]), "1");
    redis.run(&["SET", "{test:revoked}:schema", "2"]);
    assert_eq!(store.revoke(vec![revoked("a", 1, 100)], at(1)).await, Err(Away), "it would not hear of it");
    assert!(matches!(try_open(&redis).await, Err(Unusable::Newer)));
    redis.run(&["SET", "{test:revoked}:schema", "1"]);
    until("news", || end(&*store, "a", 1).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_sent_twice_are_in_the_stream_once() {
    let redis = Redis::start();
    let stream = shared(&redis);
    let line = |seq: u64| Line { seq, text: seq.to_string() };
    for lines in [vec![line(1), line(2)], vec![line(1), line(2)], vec![line(3)]] {
        stream.add(&lines, "writer", 1_000).await.unwrap();
    }
    stream.add(&[line(1)], "another", 1_000).await.unwrap();
    assert_eq!(redis.run(&["XLEN", "{test:audit}:records"]), "4");
}
