//! A server that is killed at any point has everything that it answered for: the real binary, with its file.

use std::fs;
use std::time::Duration;

use countersign::grpc::proto::revoke_request::Target;
use countersign::grpc::proto::token_authority_client::TokenAuthorityClient;
use countersign::grpc::proto::{self, Reason, verify_response};
use countersign_test_services::Redis;
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::cli::process::{IV_SECRET, Server, alone, configure};
use crate::harness::{sign_for, until_serving, user, user_hash, verify_hash, verify_jwt};
use crate::revoking::user_id;

/// How often it is killed.
const KILLED: usize = 100;
/// What is under way when it is: revocations, and as many one-time tokens.
const UNDER_WAY: usize = 24;

/// How often another process is asked whether it has come so far, and what lies between: its log is not read, and may not
/// get longer than a pipe.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(50);

const CONFIGURATION: &str = r#"
[server]
insecure = true
[store]
kind = "embedded"
path = "FOLDER/state/countersign.redb"
[applications.demo.tokens]
one_time = true
"#;

fn configured(folder: &TempDir) -> String {
    written(folder, CONFIGURATION)
}

fn written(folder: &TempDir, said: &str) -> String {
    configure(folder.path(), said).to_str().unwrap().to_owned()
}

async fn client(server: &Server) -> TokenAuthorityClient<Channel> {
    let channel = Channel::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
    until_serving(&channel).await;
    TokenAuthorityClient::new(channel)
}

async fn why(client: &mut TokenAuthorityClient<Channel>, request: proto::VerifyRequest) -> Option<Reason> {
    let request = proto::VerifyRequest { application: "demo".to_owned(), ..request };
    match client.verify(request).await.unwrap().into_inner().outcome.unwrap() {
        verify_response::Outcome::Accepted(_) => None,
        verify_response::Outcome::Refused(refused) => Some(refused.reason()),
    }
}

fn demo(target: Target) -> proto::RevokeRequest {
    proto::RevokeRequest { application: "demo".to_owned(), target: Some(target), expires_at: None }
}

/// What one round answered for before it was killed.
#[derive(Default)]
struct Answered {
    revoked: Vec<String>,
    used: Vec<String>,
}

/// Revokes and uses as fast as it can, and kills the server after that many answers.
async fn until_killed(server: Server, round: usize, answers: usize) -> Answered {
    let client = client(&server).await;
    let tokens = join_all((0..UNDER_WAY).map(|_| {
        let request = proto::SignRequest { application: "demo".to_owned(), ..sign_for(user("signs-in")) };
        let mut client = client.clone();
        async move { client.sign(request).await.unwrap().into_inner().token }
    }))
    .await;
    let mut under_way = FuturesUnordered::new();
    for (index, token) in tokens.into_iter().enumerate() {
        let (mut client, id) = (client.clone(), format!("{round}-{index}"));
        under_way.push(Box::pin(async move {
            if index % 2 == 0 {
                client.revoke(demo(user_id(&id))).await.ok().map(|_| (Some(id), None))
            } else {
                let request = proto::VerifyRequest { application: "demo".to_owned(), ..verify_jwt(&token) };
                client.verify(request).await.ok().map(|_| (None, Some(token)))
            }
        }));
    }
    let mut answered = Answered::default();
    while answered.revoked.len() + answered.used.len() < answers {
        let (revoked, used) = under_way.next().await.unwrap().expect("it lives");
        answered.revoked.extend(revoked);
        answered.used.extend(used);
    }
    // Dropping it kills it (SIGKILL), with the rest under way.
    drop(server);
    while let Some(late) = under_way.next().await {
        let (revoked, used) = late.unwrap_or_default();
        answered.revoked.extend(revoked);
        answered.used.extend(used);
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_a_hundred_times_loses_nothing_that_it_answered_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = configured(&folder);
    let (mut server, mut seen) = (Server::start(&["--config", &path]), 0);
    for round in 0..KILLED {
        let answers = fastrand::usize(1..UNDER_WAY);
        let answered = until_killed(server, round, answers).await;
        // The one that finds it all is the next to be killed.
        server = Server::start(&["--config", &path]);
        let client = client(&server).await;
        seen += answered.revoked.len() + answered.used.len();
        let revoked = answered.revoked.iter().map(|id| verify_hash(id, user_hash(id, IV_SECRET)));
        let all = revoked.map(|hash| (hash, Reason::HashRevoked));
        let used = answered.used.iter().map(|token| (verify_jwt(token), Reason::TokenReplayed));
        join_all(all.chain(used).map(|(request, reason)| {
            let mut client = client.clone();
            async move { assert_eq!(why(&mut client, request).await, Some(reason), "round {round}") }
        }))
        .await;
    }
    assert!(seen >= KILLED);
}

/// The same with state in a Redis.
fn configured_on(redis: &Redis, folder: &TempDir) -> String {
    for (name, content) in [("url", redis.url()), ("pseudonym", "p".repeat(32))] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let at = folder.path().display();
    let store = format!("kind = \"redis\"\nurl = {{ file = \"{at}/url\" }}\nwait_replicas = 0\n");
    let file = CONFIGURATION.split("[store]\n").nth(1).unwrap().split("[applications").next().unwrap();
    let server = format!("insecure = true\npseudonym_secret = {{ file = \"{at}/pseudonym\" }}\n");
    written(folder, &CONFIGURATION.replace(file, &store).replace("insecure = true\n", &server))
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_a_redis_share_what_is_revoked_and_used_and_one_that_is_killed_loses_nothing() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let path = configured_on(&redis, &folder);

    let one = Server::start(&["--config", &path]);
    let two = Server::start(&["--config", &path]);
    let (mut first, mut second) = (client(&one).await, client(&two).await);
    let request = proto::SignRequest { application: "demo".to_owned(), ..sign_for(user("1")) };
    // It is SERVING a moment after it listens; and a new Redis takes tokens from the next second on.
    let mut tries = 0..TRIES;
    let token = loop {
        tries.next().expect("it takes tokens");
        if let Ok(signed) = first.sign(request.clone()).await {
            let token = signed.into_inner().token;
            let judged = proto::VerifyRequest { application: "demo".to_owned(), ..verify_jwt(&token) };
            if first.verify(judged).await.is_ok() {
                break token;
            }
        }
        tokio::time::sleep(PAUSE).await;
    };
    first.revoke(demo(user_id("2"))).await.unwrap();
    let hash = || verify_hash("2", user_hash("2", IV_SECRET));
    assert_eq!(why(&mut first, hash()).await, Some(Reason::HashRevoked));
    drop(one);
    until_heard(&mut second, hash()).await;
    assert_eq!(why(&mut second, verify_jwt(&token)).await, Some(Reason::TokenReplayed));
    drop(two);
    let three = Server::start(&["--config", &path]);
    let mut third = client(&three).await;
    until_heard(&mut third, hash()).await;
    assert_eq!(why(&mut third, verify_jwt(&token)).await, Some(Reason::TokenReplayed));
}

/// Until it is refused as revoked: a server that has not heard of it yet answers with an error, or accepts.
async fn until_heard(client: &mut TokenAuthorityClient<Channel>, request: proto::VerifyRequest) {
    let request = proto::VerifyRequest { application: "demo".to_owned(), ..request };
    for _ in 0..TRIES {
        let answer = client.verify(request.clone()).await.map(tonic::Response::into_inner);
        if let Ok(Some(verify_response::Outcome::Refused(refused))) = answer.map(|answer| answer.outcome) {
            return assert_eq!(refused.reason(), Reason::HashRevoked);
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("not heard");
}

#[test]
fn a_redis_that_a_newer_version_wrote_is_told_at_the_start() {
    let redis = Redis::start();
    redis.run(&["SET", "{countersign:revoked}:schema", "2"]);
    let folder = tempfile::tempdir().unwrap();
    let path = configured_on(&redis, &folder);
    let ended = alone(&["serve", "--listen", "127.0.0.1:0", "--config", &path]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.remarks.contains("store.url: a newer version of countersign wrote it"), "{ended:?}");
}

#[test]
fn one_file_is_one_servers() {
    let folder = tempfile::tempdir().unwrap();
    let path = configured(&folder);
    let first = Server::start(&["--config", &path]);
    let second = alone(&["serve", "--listen", "127.0.0.1:0", "--config", &path]);
    assert_eq!(second.status, 2, "{second:?}");
    assert!(second.remarks.contains("another server has it open"), "{second:?}");
    assert!(second.remarks.contains("store.path"), "{second:?}");
    drop(first);
    drop(Server::start(&["--config", &path]));
}

#[test]
fn a_file_that_cannot_be_used_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = configured(&folder);
    fs::create_dir(folder.path().join("state")).unwrap();
    fs::write(folder.path().join("state/countersign.redb"), "not a store").unwrap();
    let ended = alone(&["serve", "--listen", "127.0.0.1:0", "--config", &path]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.remarks.contains("store.path") && ended.remarks.contains("not a store, or is damaged"), "{ended:?}");
}
