//! The audit log over the wire: what leaves a line, what refuses where it cannot, and that the chain holds over rotation,
//! restart and `kill -9`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use countersign::grpc::proto::admin::InvalidateRequest;
use countersign::grpc::proto::admin::sources_client::SourcesClient;
use countersign::grpc::proto::revoke_request::Target;
use countersign::grpc::proto::token_authority_client::TokenAuthorityClient;
use countersign::grpc::proto::{self, Reason, subject::Kind};
use countersign_test_services::Redis;
use futures::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::cli::process::{Ended, alone, command, configure};
use crate::harness::*;
use crate::policies;
use crate::revoking::{revoke, user_id};

/// A server with a log in the folder.
pub fn audited(folder: &TempDir, more: &str) -> Setup {
    let path = folder.path().join("logs/audit.log");
    Setup::default()
        .and(&format!("[audit]\n{more}\n[[audit.sinks]]\nkind = \"file\"\npath = {:?}\n", path.display().to_string()))
}

/// The lines in the folder, in the order of the chain.
fn lines(folder: &TempDir) -> Vec<Value> {
    let mut lines: Vec<Value> = files(&folder.path().join("logs"))
        .iter()
        .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    lines.sort_by_key(|line| line["seq"].as_u64());
    lines
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Those that are about requests.
fn records(folder: &TempDir) -> Vec<Value> {
    lines(folder).into_iter().filter(|line| line["event"] == "decided").collect()
}

/// What was decided: RPC, outcome, reason, key.
fn decided(folder: &TempDir) -> Vec<String> {
    let decided = records(folder).into_iter();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    decided.map(|line| ["rpc", "outcome", "reason", "key_id"].map(|key| text(&line, key)).join(" ")).collect()
}

fn verify(folder: &TempDir, more: &[&str]) -> Ended {
    let files = files(&folder.path().join("logs"));
    let files: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
    alone(&[&["audit", "verify"], files.as_slice(), more].concat())
}

#[track_caller]
fn is_intact(folder: &TempDir) {
    let ended = verify(folder, &[]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.output.starts_with("intact: "), "{ended:?}");
}

#[track_caller]
fn is_unavailable(status: &Status) {
    assert_eq!(error(status), (Code::Unavailable, "AUDIT_UNAVAILABLE".to_owned(), vec![]));
    assert!(status.get_error_details().retry_info().is_some());
}

fn exchange(request: proto::VerifyRequest) -> proto::ExchangeRequest {
    let proto::VerifyRequest { jwt, legacy, asserted, .. } = request;
    proto::ExchangeRequest { application: APP.to_owned(), jwt, legacy, asserted, ..Default::default() }
}

#[tokio::test]
async fn each_request_leaves_a_line_and_verify_by_setting_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = audited(&folder, "required = true").start().await;
    let token = server.sign(sign_for(user("1"))).await.unwrap().token;
    server.sign(sign_for(user("root"))).await.unwrap_err();
    server.accepted(verify_jwt(&token)).await;
    let hash = server.hash(hash_of("1")).await.unwrap().user_hash;
    server.exchange(exchange(verify_hash("1", &hash))).await.unwrap();
    server.exchange(exchange(verify_hash("2", &hash))).await.unwrap();
    server.client.diagnose(from_billing(diagnose(&hash))).await.unwrap();
    let (application, jwt) = (APP.to_owned(), Some(token));
    let alone = proto::DiagnoseRequest { application, jwt, ..Default::default() };
    server.client.diagnose(from_billing(alone)).await.unwrap();
    revoke(&mut server, user_id("1")).await.unwrap();
    revoke(&mut server, Target::KeyId("iv".to_owned())).await.unwrap();
    revoke(&mut server, Target::TokenId("some-id".to_owned())).await.unwrap();
    let subject = Some(proto::Subject { kind: Some(Kind::UserId("1".to_owned())) });
    let restore = proto::RestoreRequest { application: APP.to_owned(), subject: subject.clone() };
    server.client.restore(from_billing(restore)).await.unwrap();
    let forget = InvalidateRequest { application: APP.to_owned(), subject };
    SourcesClient::new(server.channel.clone()).invalidate(from_billing(forget)).await.unwrap();
    let requests = vec![sign_for(user("3")), sign_for(user("root"))];
    server.client.batch_sign(from_billing(proto::BatchSignRequest { requests })).await.unwrap();
    let other = proto::SignRequest { application: "other/app".to_owned(), ..sign_for(user("1")) };
    server.sign(other).await.unwrap_err();
    server.stop().await;

    assert_eq!(
        decided(&folder),
        [
            "Sign accepted  jwt-2026",
            "Sign refused SUBJECT_PRIVILEGED ",
            "LegacyHash accepted  iv",
            "Exchange accepted  jwt-2026",
            "Exchange refused HASH_MISMATCH ",
            "Diagnose accepted  ",
            "Diagnose accepted  ",
            "Revoke accepted  ",
            "Revoke accepted  iv",
            "Revoke accepted  ",
            "Restore accepted  ",
            "Invalidate accepted  ",
            "Sign accepted  jwt-2026",
            "Sign refused SUBJECT_PRIVILEGED ",
            "Sign refused APPLICATION_UNKNOWN ",
        ]
    );
    let lines = lines(&folder);
    assert_eq!((&lines[0]["event"], &lines[0]["begins"]), (&json!("opened"), &json!("chain")));
    assert_eq!(lines.last().unwrap()["event"], "closed");
    let records = records(&folder);
    let (first, last) = (&records[0], &records[records.len() - 1]);
    assert_eq!((&first["caller"], &first["application"]), (&json!("billing"), &json!(APP)));
    assert_eq!(first["time"], "2026-06-01T00:00:00Z");
    assert_eq!(first["versions"]["configuration"].as_str().unwrap().len(), 32);
    assert_eq!((&last["application"], &last["subject"]), (&json!(""), &json!({})), "it is not this caller's");
    let pseudonym = |line: &Value| line["subject"]["user_id"].as_str().unwrap().to_owned();
    let signed_for_one: BTreeSet<_> = [0, 2, 3, 5, 6, 7, 10].map(|index| pseudonym(&records[index])).into();
    assert_eq!(signed_for_one.len(), 1, "the same user has the same pseudonym");
    assert_ne!(pseudonym(&records[0]), pseudonym(&records[1]));
    assert_eq!(records[9]["subject"]["token_id"].as_str().unwrap().len(), 22);
    is_intact(&folder);
}

fn diagnose(hash: &str) -> proto::DiagnoseRequest {
    let asserted = Some(user("1"));
    proto::DiagnoseRequest { application: APP.to_owned(), user_hash: hash.to_owned(), asserted, ..Default::default() }
}

#[tokio::test]
async fn verify_leaves_a_line_where_it_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = audited(&folder, "verify = true").start().await;
    server.accepted(verify_jwt(token(json!({"userId": "1"})))).await;
    server.why(verify_jwt("x")).await;
    server.why(verify_hash("1", user_hash("2", IV_SECRET))).await;
    server.stop().await;
    let wanted = ["Verify accepted  jwt-2026", "Verify refused TOKEN_MALFORMED ", "Verify refused HASH_MISMATCH "];
    assert_eq!(decided(&folder), wanted);
    is_intact(&folder);
}

#[tokio::test]
async fn a_caller_that_may_not_is_written_down_too() {
    let folder = tempfile::tempdir().unwrap();
    let setup = audited(&folder, "required = true\nverify = true");
    let mut server = setup.replace("[\"sign\", \"verify\",", "[").start().await;
    server.sign(sign_for(user("1"))).await.unwrap_err();
    server.client.batch_sign(from_billing(proto::BatchSignRequest { requests: vec![] })).await.unwrap_err();
    server.client.batch_verify(from_billing(proto::BatchVerifyRequest { requests: vec![] })).await.unwrap_err();
    server.stop().await;
    let refused = ["Sign", "BatchSign", "BatchVerify"].map(|rpc| format!("{rpc} refused CALLER_NOT_ALLOWED "));
    assert_eq!(decided(&folder), refused);
}

#[tokio::test]
async fn a_request_has_an_id_in_its_answer_and_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = audited(&folder, "required = true").start().await;
    let mut answered = Vec::new();
    let longest = "a.B-9_".repeat(11).split_off(2);
    assert_eq!(longest.len(), 64);
    for id in ["mine-1", &longest, &format!("{longest}x"), "not plain", ""] {
        let mut request = from_billing(sign_for(user("1")));
        request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        let answer = server.client.sign(request).await.unwrap();
        answered.push(answer.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned());
    }
    let refused = server.sign(sign_for(user("root"))).await.unwrap_err();
    answered.push(refused.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned());
    let unknown = server.client.sign(Request::new(sign_for(user("1")))).await.unwrap_err();
    assert_eq!(unknown.metadata().get("x-request-id").unwrap().as_bytes().len(), 22, "nobody's request has one too");
    server.stop().await;

    assert_eq!(&answered[..2], ["mine-1", &longest]);
    assert!(answered[2..].iter().all(|id| id.len() == 22), "{answered:?}");
    assert_eq!(answered.iter().collect::<BTreeSet<_>>().len(), answered.len());
    let lines = lines(&folder);
    let written: Vec<_> = lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
    assert_eq!(written, answered);
}

#[tokio::test]
async fn a_policy_that_is_set_leaves_its_version_and_a_second_line_where_another_was_faster() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = audited(&folder, "required = true").start().await;
    server.hash(hash_of("1")).await.unwrap();
    policies::set(&server, policies::ended_policy(), 0).await;
    server.hash(hash_of("1")).await.unwrap_err();
    let again = policies::set_to(policies::ended_policy(), 0);
    policies::migration(&server).set_acceptance(from_billing(again)).await.unwrap_err();
    take_away(&folder);
    let unwritten = policies::set_to(policies::ended_policy(), 1);
    is_unavailable(&policies::migration(&server).set_acceptance(from_billing(unwritten)).await.unwrap_err());
    give_back(&folder);
    policies::reset(&server, 1).await;
    server.stop().await;
    assert_eq!(
        decided(&folder),
        [
            "LegacyHash accepted  iv",
            "SetAcceptance accepted  ",
            "LegacyHash refused HASH_NO_LONGER_ISSUED ",
            "SetAcceptance accepted  ",
            "SetAcceptance refused VERSION_CONFLICT ",
            "ResetAcceptance accepted  ",
        ]
    );
    let records = records(&folder);
    let versions: Vec<_> = records.iter().map(|line| line["versions"]["acceptance"].as_u64()).collect();
    assert_eq!(versions, [None, Some(1), Some(1), Some(1), Some(1), Some(2)]);
    assert_eq!(records[3]["request_id"], records[4]["request_id"]);
}

/// Takes the folder of the log away, and gives it back.
fn take_away(folder: &TempDir) {
    fs::rename(folder.path().join("logs"), folder.path().join("away")).unwrap();
}

fn give_back(folder: &TempDir) {
    fs::rename(folder.path().join("away"), folder.path().join("logs")).unwrap();
}

#[tokio::test]
async fn what_has_to_be_written_down_and_cannot_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let one_time = "[applications.\"acme/feedback\".tokens]\none_time = true\n\
        [applications.\"acme/feedback\".exchange]\njwt = true\n";
    let mut server = audited(&folder, "required = true\nverify = true").and(one_time).start().await;
    let token = server.sign(sign_for(user("1"))).await.unwrap().token;
    take_away(&folder);
    is_unavailable(&server.sign(sign_for(user("1"))).await.unwrap_err());
    is_unavailable(&server.hash(hash_of("1")).await.unwrap_err());
    is_unavailable(&server.verify(verify_jwt(&token)).await.unwrap_err());
    is_unavailable(&server.verify(verify_jwt("x")).await.unwrap_err());
    is_unavailable(&server.exchange(exchange(verify_jwt(&token))).await.unwrap_err());
    is_unavailable(&revoke(&mut server, user_id("1")).await.unwrap_err());
    is_unavailable(&server.client.diagnose(from_billing(diagnose("x"))).await.unwrap_err());
    let requests = vec![sign_for(user("1"))];
    let batch = server.client.batch_sign(from_billing(proto::BatchSignRequest { requests })).await.unwrap();
    match batch.into_inner().results.remove(0).outcome.unwrap() {
        proto::sign_result::Outcome::Failure(failure) => assert_eq!(failure.reason(), Reason::AuditUnavailable),
        proto::sign_result::Outcome::Response(response) => panic!("{response:?}"),
    }
    give_back(&folder);
    // Nothing was revoked, and the token is as good as new, once.
    server.accepted(verify_jwt(&token)).await;
    assert_eq!(server.why(verify_jwt(&token)).await, Reason::TokenReplayed);
    server.stop().await;
    let written = decided(&folder);
    assert_eq!(written[1..], ["Verify accepted  jwt-2026", "Verify refused TOKEN_REPLAYED jwt-2026"]);
    is_intact(&folder);
}

#[tokio::test]
async fn every_sink_has_a_record_that_is_required() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = other.path().join("logs/audit.log").display().to_string();
    let second = format!("[[audit.sinks]]\nkind = \"file\"\npath = {path:?}\n");
    let mut server = audited(&folder, "required = true").and(&second).start().await;
    server.sign(sign_for(user("1"))).await.unwrap();
    take_away(&other);
    is_unavailable(&server.sign(sign_for(user("1"))).await.unwrap_err());
    give_back(&other);
    server.sign(sign_for(user("1"))).await.unwrap();
    server.stop().await;
    assert_eq!((decided(&folder).len(), decided(&other).len()), (3, 2), "the first had it, and nobody got an answer");
    assert_ne!(lines(&folder)[0]["writer"], lines(&other)[0]["writer"], "each has a chain");
    is_intact(&folder);
    is_intact(&other);
}

#[tokio::test]
async fn where_no_record_is_required_work_goes_on_and_the_records_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = audited(&folder, "").start().await;
    take_away(&folder);
    for _ in 0..10 {
        server.sign(sign_for(user("1"))).await.unwrap();
    }
    give_back(&folder);
    server.stop().await;
    assert_eq!(decided(&folder).len(), 10);
    is_intact(&folder);
}

#[tokio::test]
async fn a_log_that_is_cut_shows_with_the_head_that_the_server_tells() {
    let folder = tempfile::tempdir().unwrap();
    let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = audited(&folder, "required = true\ncheckpoint_records = 3");
    let mut server = setup.and(&format!("[server]\nadmin_listen = \"{admin}\"\n")).start().await;
    for _ in 0..5 {
        server.sign(sign_for(user("1"))).await.unwrap();
    }
    let (status, heads) =
        tokio::task::spawn_blocking(move || crate::observing::get(admin, "/audit/heads")).await.unwrap();
    assert_eq!(status, 200);
    let file = folder.path().join("heads.json");
    fs::write(&file, &heads).unwrap();
    let head = file.to_str().unwrap();
    server.stop().await;

    assert_eq!(verify(&folder, &["--head", head]).status, 0);
    let log = folder.path().join("logs/audit.log");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.split_inclusive('\n').take(2).collect::<String>()).unwrap();
    let ended = verify(&folder, &[]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.output.contains("that lines were cut off at the end"), "{ended:?}");
    let ended = verify(&folder, &["--head", head]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.output.contains("the end was cut off: the head is record"), "{ended:?}");
}

/// Servers of a Redis.
fn with_redis(redis: &Redis, audit: &str) -> Setup {
    Setup::default()
        .replace("kind = \"embedded\"\npath = \"unused\"", "kind = \"redis\"\nurl = { env = \"REDIS_URL\" }")
        .env("REDIS_URL", &redis.url())
        .env("PSEUDONYMS", &"p".repeat(32))
        .and("[server]\npseudonym_secret = { env = \"PSEUDONYMS\" }\n")
        .and(&format!("[audit]\n{audit}\n[[audit.sinks]]\nkind = \"redis\"\n"))
}

/// The lines of the stream, as an operator takes them out.
fn stream(redis: &Redis) -> Vec<String> {
    let stream = redis.run(&["--raw", "XRANGE", "{countersign:audit}:records", "-", "+"]);
    stream.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_write_into_one_stream_and_refuse_while_it_is_away() {
    let redis = Redis::start();
    let mut servers = Vec::new();
    for _ in 0..2 {
        servers.push(with_redis(&redis, "required = true").start().await);
    }
    for server in &mut servers {
        server.sign(sign_for(user("1"))).await.unwrap();
    }
    redis.pause();
    is_unavailable(&servers[0].sign(sign_for(user("2"))).await.unwrap_err());
    redis.resume();
    for server in &mut servers {
        server.sign(sign_for(user("3"))).await.unwrap();
    }
    for server in servers {
        server.stop().await;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    let lines = stream(&redis);
    fs::write(folder.path().join("logs/stream"), format!("{}\n", lines.join("\n"))).unwrap();
    let ended = verify(&folder, &["--stream"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    let writers: BTreeMap<String, usize> = lines.iter().fold(BTreeMap::new(), |mut writers, line| {
        let line: Value = serde_json::from_str(line).unwrap();
        *writers.entry(line["writer"].as_str().unwrap().to_owned()).or_default() += 1;
        writers
    });
    assert_eq!(writers.len(), 3, "one for each server, and another after the answer that got lost: {writers:?}");
}

const CONFIGURATION: &str = "
[audit]
required = true
checkpoint_records = 20
[[audit.sinks]]
kind = \"file\"
path = \"FOLDER/logs/audit.log\"
";

/// The real server, which is killed when it is dropped.
struct Process {
    child: Child,
    address: String,
    _log: Box<dyn std::io::Read>,
}

impl Process {
    /// Starts it on the folder; `limit`: 512-byte blocks that a file may have.
    #[expect(clippy::zombie_processes, reason = "it is killed and waited for when dropped")]
    fn start(folder: &TempDir, more: &str, limit: Option<u32>) -> Self {
        let path = configure(folder.path(), &format!("{CONFIGURATION}{more}"));
        let limit = limit.map_or_else(String::new, |blocks| format!("trap '' XFSZ; ulimit -f {blocks}; "));
        let serve = command();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("{limit}exec \"$0\" serve --dev --listen 127.0.0.1:0 --config \"$1\"")]);
        shell.arg(serve.get_program()).arg(&path);
        for (name, value) in serve.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let mut child =
            shell.env("COUNTERSIGN_LOG", "error").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended: {seen}");
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                return Self { child, address: address.to_owned(), _log: Box::new(log) };
            }
            seen.push_str(&line);
        }
    }

    async fn client(&self) -> TokenAuthorityClient<Channel> {
        let channel = Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap();
        TokenAuthorityClient::new(channel)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Signs, under that request id. Whether it was answered.
async fn sign(client: &mut TokenAuthorityClient<Channel>, id: &str) -> Result<(), Status> {
    let mut request = Request::new(proto::SignRequest { application: "demo".to_owned(), ..sign_for(user("1")) });
    request.metadata_mut().insert("x-request-id", id.parse().unwrap());
    client.sign(request).await.map(drop)
}

fn ids(folder: &TempDir) -> BTreeSet<String> {
    lines(folder).iter().filter_map(|line| line["request_id"].as_str().map(str::to_owned)).collect()
}

/// How often the server is killed, and what is under way then.
const KILLED: usize = 8;
const UNDER_WAY: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_every_record_that_it_answered_for_and_goes_on_in_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let mut answered = BTreeSet::new();
    for round in 0..KILLED {
        // Small files, so that some are killed in a rotation.
        let server = Process::start(&folder, "rotate_bytes = 8192\n", None);
        let client = server.client().await;
        let mut under_way: FuturesUnordered<_> = (0..UNDER_WAY)
            .map(|index| {
                let (mut client, id) = (client.clone(), format!("{round}-{index}"));
                async move { sign(&mut client, &id).await.ok().map(|()| id) }
            })
            .collect();
        for _ in 0..fastrand::usize(1..UNDER_WAY) {
            answered.extend(under_way.next().await.unwrap());
        }
        drop(server);
        while let Some(late) = under_way.next().await {
            answered.extend(late);
        }
    }
    drop(Process::start(&folder, "", None));
    is_intact(&folder);
    let written = ids(&folder);
    assert!(answered.len() >= KILLED);
    assert_eq!(answered.difference(&written).next(), None, "it was answered and is not in the log");
    assert!(files(&folder.path().join("logs")).len() > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_leaves_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    // 16 KiB
    let server = Process::start(&folder, "", Some(32));
    let mut client = server.client().await;
    let (mut answered, mut refused) = (BTreeSet::new(), 0);
    for index in 0..100 {
        match sign(&mut client, &format!("full-{index}")).await {
            Ok(()) => drop(answered.insert(format!("full-{index}"))),
            Err(status) => {
                is_unavailable(&status);
                refused += 1;
            }
        }
    }
    assert!(answered.len() > 5 && refused > 5, "{} and {refused}", answered.len());
    drop(server);
    let server = Process::start(&folder, "", None);
    sign(&mut server.client().await, "after").await.unwrap();
    answered.insert("after".to_owned());
    drop(server);
    is_intact(&folder);
    assert_eq!(ids(&folder), answered, "who was refused is not in the log");
}
