//! A primary is lost under load: three servers on one Redis, of which a replica takes over. What was answered for has to
//! be true afterwards, on each of them and for one that starts then: no token counts twice, no revocation is lost, and the
//! ledger has every verdict, or says that it has not. The servers wait for one replica, so nothing is the excuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use countersign::grpc::proto::admin as wire;
use countersign::grpc::proto::admin::migration_client::MigrationClient;
use countersign::grpc::proto::{self, Reason, verify_response};
use countersign_test_services::{RedisCluster, RedisSentinel};
use futures::future::join_all;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::*;
use crate::revoking::{to_revoke, user_id};
use crate::store_down::sentinel;

/// Servers that share the Redis.
const SERVERS: usize = 3;
/// Tasks that use tokens and revoke subjects as fast as they can.
const WORKERS: usize = 6;
/// Of each, how many have to be answered for before the primary is lost, and again when there is a replica again.
const ENOUGH: usize = 60;
/// Looks in which a second passes for the servers.
const A_SECOND: usize = 10;
/// How often something is looked at that comes about by itself, and the pause in between.
const TRIES: (usize, Duration) = (1_200, Duration::from_millis(50));

/// What was answered for.
#[derive(Default)]
struct Answered {
    /// Tokens, and how many servers accepted each.
    tokens: Vec<(String, usize)>,
    /// Subjects whose revocation was acknowledged.
    revoked: Vec<String>,
    /// Verdicts, each of which the ledger has to have.
    verdicts: u64,
}

/// What must not happen, counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Violations {
    /// Uses of a token that were accepted after its first.
    replays: usize,
    /// Acknowledged revocations that a server does not know.
    revocations_lost: usize,
    /// Verdicts that are missing in the ledger of a server, which does not say so.
    counts_lost: u64,
}

/// How far the load is.
#[derive(Default)]
struct Progress {
    ended: AtomicBool,
    used: AtomicUsize,
    revoked: AtomicUsize,
    /// What the clocks of the servers say. It moves: a primary that came back empty would otherwise be new for ever.
    now: AtomicI64,
}

impl Progress {
    /// Returns when enough more of each are answered for.
    async fn enough_more(&self, servers: &[Running]) {
        let now = || [&self.used, &self.revoked].map(|count| count.load(Ordering::Relaxed));
        let before = now();
        for turn in 1..=TRIES.0 {
            if turn % A_SECOND == 0 {
                let second = self.now.fetch_add(1, Ordering::Relaxed) + 1;
                servers.iter().for_each(|server| server.set_now(second));
            }
            if now().iter().zip(before).all(|(now, before)| *now >= before + ENOUGH) {
                return;
            }
            tokio::time::sleep(TRIES.1).await;
        }
        panic!("the load does not get on: {before:?} before, {:?} now", now());
    }
}

fn setup(url: &str, more: &str) -> Setup {
    Setup::default().on_any(url, more).and("[applications.\"acme/feedback\".tokens]\none_time = true\n")
}

/// Keeps three servers busy while `fail` loses a primary and `mend` gives the new one a replica, and counts.
async fn violations_over<H: Send + 'static>(
    setup: impl Fn() -> Setup,
    house: H,
    fail: impl FnOnce(&mut H) + Send + 'static,
) -> Violations {
    let servers = join_all((0..SERVERS).map(|_| setup().start())).await;
    join_all(servers.iter().map(Running::until_serving)).await;
    let clients: Vec<_> = servers.iter().map(|server| server.client.clone()).collect();
    let progress = Arc::new(Progress { now: AtomicI64::new(NOW), ..Progress::default() });
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn(work(worker, clients.clone(), Arc::clone(&progress)));
    }
    progress.enough_more(&servers).await;
    let failed = tokio::task::spawn_blocking(move || {
        let mut house = house;
        fail(&mut house);
        house
    });
    let _house = failed.await.unwrap();
    progress.enough_more(&servers).await;
    progress.ended.store(true, Ordering::Relaxed);
    let answered = workers.join_all().await;
    let late = setup().at(progress.now.load(Ordering::Relaxed)).start().await;
    late.until_serving().await;
    let seen = answered.iter().map(|answered| answered.verdicts).sum();
    let servers: Vec<_> = servers.into_iter().chain([late]).collect();
    let lost = join_all(servers.iter().map(|server| missing(server, seen))).await;
    let late = servers.last().unwrap();
    let clients: Vec<_> = clients.into_iter().chain([late.client.clone()]).collect();
    let counts_lost = lost.into_iter().max().unwrap();
    Violations { counts_lost, ..count(&clients, &answered).await }
}

/// How many of so many verdicts the report of a server has neither counted nor told to be lost.
async fn missing(server: &Running, seen: u64) -> u64 {
    let request = wire::GetReportRequest { application: APP.to_owned(), window: None };
    let mut client = MigrationClient::new(server.channel.clone());
    let mut missing = seen;
    for _ in 0..TRIES.0 {
        if let Ok(answer) = client.get_report(from_billing(request.clone())).await {
            let report = answer.into_inner().report.unwrap();
            let counted: u64 = report.days.iter().map(|day| day.jwt_accepted + day.jwt_refused).sum();
            let told: u64 = report.gaps.iter().filter_map(|gap| gap.lost).sum();
            assert!(counted <= seen, "{counted} were counted of {seen}");
            missing = seen.saturating_sub(counted + told);
            // A server that was cut off for a while takes the gap back that others saw.
            if missing == 0 && report.gaps.iter().all(|gap| gap.lost.is_some()) {
                break;
            }
        }
        tokio::time::sleep(TRIES.1).await;
    }
    missing
}

/// Uses a new token at every server at once, and revokes a new subject at one of them, until the load has ended.
async fn work(worker: usize, mut clients: Vec<Client>, progress: Arc<Progress>) -> Answered {
    let mut answered = Answered::default();
    for turn in 0.. {
        if progress.ended.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{worker}-{turn}");
        let token = token(json!({"userId": format!("uses-{id}"), "iat": progress.now.load(Ordering::Relaxed)}));
        let tries = clients.iter().map(|client| judge(client.clone(), verify_jwt(&token)));
        let verdicts: Vec<_> = join_all(tries).await.into_iter().flatten().collect();
        answered.verdicts += u64::try_from(verdicts.len()).unwrap();
        let accepted = verdicts.into_iter().filter(Option::is_none).count();
        progress.used.fetch_add(accepted, Ordering::Relaxed);
        answered.tokens.push((token, accepted));
        let at = turn % SERVERS;
        if clients[at].revoke(from_billing(to_revoke(user_id(&id)))).await.is_ok() {
            progress.revoked.fetch_add(1, Ordering::Relaxed);
            answered.revoked.push(id);
        }
    }
    answered
}

/// Why Verify refuses, or none where it accepts; none at all where it could not judge.
async fn judge(mut client: Client, request: proto::VerifyRequest) -> Option<Option<Reason>> {
    let answer = client.verify(from_billing(request)).await.ok()?.into_inner();
    match answer.outcome? {
        verify_response::Outcome::Accepted(_) => Some(None),
        verify_response::Outcome::Refused(refused) => Some(Some(refused.reason())),
    }
}

/// Asks every server for everything again.
async fn count(clients: &[Client], answered: &[Answered]) -> Violations {
    let mut violations = Violations::default();
    for (token, accepted) in answered.iter().flat_map(|answered| &answered.tokens) {
        let mut accepted = *accepted;
        for client in clients {
            accepted += usize::from(judge(client.clone(), verify_jwt(token)).await == Some(None));
        }
        violations.replays += accepted.saturating_sub(1);
    }
    for id in answered.iter().flat_map(|answered| &answered.revoked) {
        for client in clients {
            let hash = verify_hash(id, user_hash(id, IV_SECRET));
            let verdict = judge(client.clone(), hash).await;
            violations.revocations_lost += usize::from(verdict != Some(Some(Reason::HashRevoked)));
        }
    }
    violations
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_killed_and_watched_by_a_sentinel_costs_nothing_that_was_answered_for() {
    let redis = RedisSentinel::start();
    let servers = sentinel_setup(&redis);
    let violations = violations_over(servers, redis, |redis| {
        redis.primary.kill();
        redis.wait_for_failover();
        // It comes back as the replica of the new one.
        redis.primary.restart();
    });
    assert_eq!(violations.await, Violations::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_hangs_until_it_is_replaced_costs_nothing_that_was_answered_for() {
    let redis = RedisSentinel::start();
    let servers = sentinel_setup(&redis);
    let violations = violations_over(servers, redis, |redis| {
        redis.primary.pause();
        redis.wait_for_failover();
        // It takes itself for the primary until the Sentinel tells it otherwise, and does what was sent to it.
        redis.primary.resume();
    });
    assert_eq!(violations.await, Violations::default());
}

fn sentinel_setup(redis: &RedisSentinel) -> impl Fn() -> Setup + use<> {
    let prepared = sentinel(redis, setup);
    let (config, env) = (prepared.config, prepared.env);
    move || Setup { config: config.clone(), env: env.clone(), as_configured: true, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_that_is_killed_costs_nothing_that_was_answered_for() {
    let redis = RedisCluster::with_replicas();
    let servers = cluster_setup(&redis);
    let violations = violations_over(servers, redis, |redis| {
        let home = redis.home("{test:revoked}:all");
        redis.primaries[home].kill();
        redis.wait_for_failover(home);
        redis.replace(home);
    });
    assert_eq!(violations.await, Violations::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_that_hangs_until_it_is_replaced_costs_nothing_that_was_answered_for() {
    let redis = RedisCluster::with_replicas();
    let servers = cluster_setup(&redis);
    let violations = violations_over(servers, redis, |redis| {
        let home = redis.home("{test:revoked}:all");
        redis.primaries[home].pause();
        redis.wait_for_failover(home);
        redis.primaries[home].resume();
    });
    assert_eq!(violations.await, Violations::default());
}

fn cluster_setup(redis: &RedisCluster) -> impl Fn() -> Setup + use<> {
    let all = redis.primaries.iter().chain(&redis.replicas);
    let nodes: Vec<_> = all.map(|node| format!("\"127.0.0.1:{}\"", node.port())).collect();
    let more = format!("cluster = true\nwait_replicas = 1\nnodes = [{}]", nodes.join(", "));
    let url = redis.url();
    move || setup(&url, &more)
}
