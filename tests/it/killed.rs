//! A server that is killed at any point has everything that it answered for: the real binary, with its file.

use std::fs;

use countersign::grpc::proto::revoke_request::Target;
use countersign::grpc::proto::token_authority_client::TokenAuthorityClient;
use countersign::grpc::proto::{self, Reason, verify_response};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::cli::process::{IV_SECRET, Server, alone};
use crate::harness::{sign_for, user, user_hash, verify_hash, verify_jwt};
use crate::revoking::user_id;

/// How often it is killed.
const KILLED: usize = 20;
/// What is under way when it is: revocations, and as many one-time tokens.
const UNDER_WAY: usize = 40;

const CONFIGURATION: &str = r#"
[server]
insecure = true
[store]
kind = "embedded"
path = "FOLDER/state/countersign.redb"
[applications.demo]
profile = "featurebase"
[applications.demo.keys.jwt]
purpose = "jwt"
secret = { env = "COUNTERSIGN_DEMO_JWT_SECRET" }
[applications.demo.keys.iv]
purpose = "legacy"
secret = { env = "COUNTERSIGN_DEMO_IV_SECRET" }
[applications.demo.tokens]
one_time = true
"#;

fn configured(folder: &TempDir) -> String {
    let path = folder.path().join("countersign.toml");
    let configuration = CONFIGURATION.replace("FOLDER", folder.path().to_str().unwrap());
    fs::write(&path, configuration).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn client(server: &Server) -> TokenAuthorityClient<Channel> {
    let channel = Channel::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
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
    let mut client = client(&server).await;
    let mut tokens = Vec::new();
    for _ in 0..UNDER_WAY {
        let request = proto::SignRequest { application: "demo".to_owned(), ..sign_for(user("signs-in")) };
        tokens.push(client.sign(request).await.unwrap().into_inner().token);
    }
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
async fn a_killed_server_loses_nothing_that_it_answered_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = configured(&folder);
    let mut seen = 0;
    for round in 0..KILLED {
        let answers = fastrand::usize(1..UNDER_WAY);
        let answered = until_killed(Server::start(&["--config", &path]), round, answers).await;
        let server = Server::start(&["--config", &path]);
        let mut client = client(&server).await;
        seen += answered.revoked.len() + answered.used.len();
        for id in answered.revoked {
            let hash = user_hash(&id, IV_SECRET);
            assert_eq!(why(&mut client, verify_hash(&id, hash)).await, Some(Reason::HashRevoked), "round {round}");
        }
        for token in answered.used {
            assert_eq!(why(&mut client, verify_jwt(token)).await, Some(Reason::TokenReplayed), "round {round}");
        }
    }
    assert!(seen >= KILLED);
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
