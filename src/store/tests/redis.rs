//! Each way to reach a Redis, with real servers, held against what every store promises; and a failover of each that has
//! one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign_claim_source::{Secret, TlsFiles};
use countersign_redis_link::{Sentinel, Settings};
use countersign_test_services::{Certificates, Redis, RedisCluster, RedisSentinel};
use tokio::time::sleep;

use super::*;
use crate::clock::Fixed;

/// How often something is tried that a failover brings about, and the pause before the next try.
const TRIES: (u32, Duration) = (600, Duration::from_millis(50));

/// The prefix of the keys that several servers share.
const SHARED: &str = "test-shared";

/// Servers that can be reached.
struct Servers {
    settings: Settings,
    wait_replicas: u32,
}

fn secret(text: impl Into<String>) -> Option<Secret> {
    Some(Secret::new(text.into()))
}

impl Servers {
    fn place(&self, prefix: &str) -> Place {
        let connector = self.settings.clone().check(&|key, wrong, _| panic!("{key} {wrong}")).unwrap();
        Place { connector, prefix: prefix.to_owned(), wait_replicas: self.wait_replicas, max_staleness: None }
    }

    /// A new replica may take its time, and until then nothing is answered for.
    async fn until_replicas_acknowledge(&self) {
        let (store, tries) = (loaded(self.place("test-new")).await, AtomicU32::new(0));
        for _ in 0..SPREAD {
            eventually("a replica that acknowledges", async || {
                let token = used(&tries.fetch_add(1, Ordering::Relaxed).to_string(), 100);
                store.use_up(token, at(2)).await == Ok(true)
            })
            .await;
        }
    }

    async fn keep_their_promises(&self) {
        self.until_replicas_acknowledge().await;
        let stores = AtomicU32::new(0);
        keeps_its_promises(async || {
            let prefix = format!("test-{}", stores.fetch_add(1, Ordering::Relaxed));
            loaded(self.place(&prefix)).await
        })
        .await;
        share_what_they_keep(&*loaded(self.place(SHARED)).await, &*loaded(self.place(SHARED)).await).await;
    }
}

/// How many tokens it takes until each server of a Cluster has some, as good as always.
const SPREAD: usize = 64;

/// A server's view of the Redis, which does not listen. Its tokens live as long as that.
async fn deaf(place: Place, now: i64, longest: i64) -> Arc<Replicated> {
    let least = Box::new(move |_: &str, at: i64| at + longest);
    Arc::new(Replicated::open(SharedRedis::new(place), at(now), least).await.unwrap())
}

/// One that listens.
async fn opened(place: Place, now: i64, longest: i64) -> Arc<Replicated> {
    let store = deaf(place, now, longest).await;
    let following = Arc::clone(&store);
    let clock = Fixed::at(at(now));
    #[expect(clippy::disallowed_methods, reason = "it ends with the runtime of the test")]
    tokio::spawn(async move { following.follow(&clock, drop).await });
    store
}

async fn loaded(place: Place) -> Arc<Replicated> {
    let store = opened(place, 0, 0).await;
    eventually("what is revoked", async || store.revoked().is_loaded()).await;
    store
}

fn one(redis: &Redis, wait_replicas: u32) -> Place {
    let settings = Settings { url: secret(redis.url()), ..Settings::default() };
    Servers { settings, wait_replicas }.place("test")
}

pub(super) async fn with_tokens_of(redis: &Redis, wait_replicas: u32, now: i64, longest: i64) -> Arc<Replicated> {
    opened(one(redis, wait_replicas), now, longest).await
}

pub(super) async fn replicated(redis: &Redis, wait_replicas: u32, now: i64) -> Arc<Replicated> {
    with_tokens_of(redis, wait_replicas, now, 0).await
}

pub(super) fn shared(redis: &Redis) -> SharedRedis {
    SharedRedis::new(one(redis, 0))
}

pub(super) async fn with_room(redis: &Redis, room: usize) -> Replicated {
    Replicated::with_room(shared(redis), at(0), Box::new(|_, at| at), room).await.unwrap()
}

pub(super) async fn try_open(redis: &Redis) -> Result<Replicated, Unusable> {
    Replicated::open(SharedRedis::new(one(redis, 0)), at(0), Box::new(|_, at| at)).await
}

pub(super) async fn without_news(redis: &Redis) -> Arc<Replicated> {
    deaf(one(redis, 0), 0, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_keeps_its_promises() {
    let redis = Redis::start();
    let settings = Settings { url: secret(redis.url()), ..Settings::default() };
    Servers { settings, wait_replicas: 0 }.keep_their_promises().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_keeps_its_promises_to_a_user_who_may_do_no_more_than_is_documented() {
    rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap_or_default();
    let certificates = Certificates::make();
    let redis = Redis::with_tls(&certificates, "server");
    let documented = std::fs::read_to_string("docs/operating.md").unwrap();
    let rules = documented.split("ACL SETUSER countersign on >PASSWORD ").nth(1).unwrap().split("```").next().unwrap();
    let rules = rules.replace("\\\n", " ").replace("countersign:", "test*:");
    let rules: Vec<&str> =
        ["ACL", "SETUSER", "svc", "on", ">s3cret"].into_iter().chain(rules.split_whitespace()).collect();
    redis.run(&rules);
    let file = |name: &str| std::fs::read(certificates.path(name)).unwrap();
    let key = Secret::new(String::from_utf8(file("client.key")).unwrap());
    let tls = TlsFiles { ca: Some(file("ca.pem")), identity: Some((file("client.pem"), key)) };
    let settings = Settings {
        url: secret(redis.url()),
        username: Some("svc".to_owned()),
        password: secret("s3cret"),
        tls: Some(tls),
        ..Settings::default()
    };
    Servers { settings, wait_replicas: 0 }.keep_their_promises().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_a_sentinel_watches_keep_their_promises_over_a_failover() {
    let redis = RedisSentinel::start();
    let sentinel = Sentinel {
        master_name: RedisSentinel::MASTER_NAME.to_owned(),
        password: secret(RedisSentinel::SENTINEL_PASSWORD),
        ..Sentinel::default()
    };
    let settings = Settings {
        url: secret(redis.url()),
        sentinel: Some(sentinel),
        password: secret(RedisSentinel::PASSWORD),
        ..Settings::default()
    };
    let servers = Servers { settings, wait_replicas: 1 };
    servers.keep_their_promises().await;
    // There is no other replica then.
    let after = Servers { settings: servers.settings.clone(), wait_replicas: 0 };
    over_a_failover(&servers, &after, || {
        redis.primary.kill();
        redis.wait_for_failover();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_its_promises_over_a_failover() {
    let redis = RedisCluster::with_replicas();
    let settings = Settings { url: secret(redis.url()), cluster: true, ..Settings::default() };
    let nodes = redis.primaries.iter().chain(&redis.replicas).skip(1).map(|node| format!("127.0.0.1:{}", node.port()));
    let settings = Settings { nodes: nodes.collect(), ..settings };
    let servers = Servers { settings, wait_replicas: 1 };
    servers.keep_their_promises().await;
    let after = Servers { settings: servers.settings.clone(), wait_replicas: 0 };
    let home = redis.home(&format!("{{{SHARED}:revoked}}:all"));
    over_a_failover(&servers, &after, || {
        redis.primaries[home].kill();
        redis.wait_for_failover(home);
    })
    .await;
}

/// What one server keeps, the other one knows: a revocation within a second, the rest at once.
async fn share_what_they_keep(one: &dyn State, two: &dyn State) {
    assert_eq!(one.use_up(used("shared", 100), at(2)).await, Ok(true));
    assert_eq!(two.use_up(used("shared", 100), at(2)).await, Ok(false));
    let ada = subject("ada");
    one.saw_jwt(fact(&ada, ""), at(10)).await.unwrap();
    assert_eq!(two.first_jwt(fact(&ada, "")).await, Ok(Some(at(10))));
    one.revoke(vec![revoked("shared", 10, 100)], at(10)).await.unwrap();
    eventually("a revocation that the other one hears of", async || end(two, "shared", 10) == Some(100)).await;
    assert_eq!(two.restore(name(&["shared"]), at(20)).await, Ok(true));
    eventually("the end of it, likewise", async || end(one, "shared", 20).is_none()).await;
}

/// What was answered for before a primary was lost is known after it, and new things are kept again.
async fn over_a_failover(before: &Servers, after: &Servers, fail: impl FnOnce()) {
    let store = loaded(before.place(SHARED)).await;
    let (tokens, bob) = ((0..64).map(|index| used(&format!("token-{index}"), 10_000)), subject("bob"));
    for token in tokens.clone() {
        assert_eq!(store.use_up(token, at(2)).await, Ok(true));
    }
    store.saw_jwt(fact(&bob, ""), at(10)).await.unwrap();
    store.revoke(vec![revoked("before", 10, FOREVER)], at(10)).await.unwrap();
    fail();
    assert_eq!(end(&*store, "before", 11), Some(FOREVER), "the copy holds meanwhile");
    let fresh = loaded(after.place(SHARED)).await;
    assert_eq!(end(&*fresh, "before", 11), Some(FOREVER));
    for token in tokens {
        eventually("a used token", async || match fresh.use_up(token, at(2)).await {
            Ok(first) => first.then(|| panic!("used twice")).is_none(),
            Err(Away) => false,
        })
        .await;
    }
    assert_eq!(fresh.first_jwt(fact(&bob, "")).await, Ok(Some(at(10))));
    // The one that was there before comes back by itself.
    fresh.revoke(vec![revoked("after", 10, FOREVER)], at(10)).await.unwrap();
    eventually("what is revoked now", async || end(&*store, "after", 11) == Some(FOREVER)).await;
    eventually("an answer", async || store.is_used(used("token-0", 1).token, at(3)).await == Ok(true)).await;
}

async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..TRIES.0 {
        if holds().await {
            return;
        }
        sleep(TRIES.1).await;
    }
    panic!("{what} did not come about");
}
