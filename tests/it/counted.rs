//! What becomes of counts when a process ends: in order, and killed.

use countersign::clock::{Clock as _, System};
use countersign::grpc::proto;
use countersign::grpc::proto::token_authority_client::TokenAuthorityClient;
use countersign::ledger::Gap;
use countersign::store::{Counting as _, Embedded};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::cli::process::{self, Server};
use crate::harness::{user_hash, verify_hash};

const CONFIGURATION: &str = r#"
[server]
insecure = true
[store]
kind = "embedded"
path = "FOLDER/countersign.redb"
"#;

/// A process with its store in a file.
struct House {
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        process::configure(folder.path(), CONFIGURATION);
        Self { folder }
    }

    fn start(&self) -> Server {
        let path = self.folder.path().join("countersign.toml");
        Server::start(&["--config", path.to_str().unwrap()])
    }

    /// What is in the file, which no process has open: how much was counted, and the gaps.
    async fn counted(&self) -> (u64, Vec<Gap>) {
        let path = self.folder.path().join("countersign.redb");
        let now = System.now();
        let store = Embedded::open(&path, now, |_, at| at).unwrap();
        let days = now.date().saturating_sub(time::Duration::DAY)..=now.date();
        let evidence = store.evidence("demo", days, now).await.unwrap();
        (evidence.cells.values().map(|tally| tally.count).sum(), evidence.gaps)
    }
}

/// Sends genuine hashes from eight tasks until the server ends, or all are answered. How many were.
async fn send(server: &Server, hashes: usize) -> JoinSet<usize> {
    let channel = Channel::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let mut client = TokenAuthorityClient::new(channel.clone());
        senders.spawn(async move {
            for index in 0..hashes / 8 {
                let id = format!("{sender}-{index}");
                let request = verify_hash(&id, user_hash(&id, process::IV_SECRET));
                let request = proto::VerifyRequest { application: "demo".to_owned(), ..request };
                if client.verify(request).await.is_err() {
                    return index;
                }
            }
            hashes / 8
        });
    }
    senders
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_keeps_every_count_and_leaves_no_gap() {
    let house = House::new();
    for round in 1..=2 {
        let server = house.start();
        let answered: usize = send(&server, 400).await.join_all().await.into_iter().sum();
        assert_eq!((answered, server.terminate()), (400, Some(0)));
        assert_eq!(house.counted().await, (400 * round, vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_no_count_that_is_not_told() {
    let house = House::new();
    let (mut answered, mut counted) = (0, 0);
    for round in 1..=5 {
        let server = house.start();
        let senders = send(&server, 100_000).await;
        // At any point of a flush.
        tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(300..1_500))).await;
        // Dropping it kills it (SIGKILL).
        drop(server);
        answered += senders.join_all().await.into_iter().sum::<usize>();
        let (now_counted, gaps) = house.counted().await;
        assert_eq!(gaps.len(), round, "{gaps:?}");
        assert!(gaps.iter().all(|gap| gap.lost.is_none() && gap.from < gap.until), "{gaps:?}");
        assert!(counted <= now_counted, "{counted} {now_counted}");
        counted = now_counted;
    }
    // What was counted and not answered is under way at most: one of each sender in each round.
    assert!(counted <= u64::try_from(answered).unwrap() + 5 * 8, "{counted} of {answered}");
}
