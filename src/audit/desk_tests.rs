//! The log as requests see it: it goes on after a stop, tells what somebody did to it meanwhile, and counts what it lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::chain::{Chain, Line, parse};
use super::heads::Heads;
use super::record::{Event, Record, Versions};
use super::sinks::Stream;
use super::tests::{decided, findings, lines_in, now, rotation, signer, verified};
use super::verify::Known;
use super::{Audit, Means, Place, Plan, Unwritten};
use crate::clock::Fixed;
use crate::observe::Metrics;
use crate::store::{Away, Document, Documents, Memory};

fn plan(path: &Path, required: bool) -> Plan {
    let place = Place::File(path.to_owned(), rotation(u64::MAX));
    let (checkpoint_records, checkpoint_every) = (5, Duration::from_secs(3_600));
    Plan { required, verify: false, signer: None, checkpoint_records, checkpoint_every, sinks: vec![place] }
}

fn means<D: Documents + 'static>(store: &Arc<D>) -> Means {
    let (clock, metrics) = (Arc::new(Fixed::at(now())), Arc::new(Metrics::default()));
    let heads = Heads::new(Arc::<D>::clone(store));
    Means { clock, heads, stream: None, signer: signer(), versions: Versions::default(), metrics }
}

#[tokio::test]
async fn a_run_goes_on_where_the_last_one_stopped_and_the_store_knows_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let store = Arc::new(Memory::default());
    for run in 0..3 {
        let audit = Audit::open(&plan(&path, true), means(&store)).unwrap();
        for index in 0..4 {
            audit.record(decided(run * 4 + index), now()).await.unwrap();
        }
        audit.close().await;
    }
    let lines = lines_in(folder.path());
    let report = verified(&lines, Known::default());
    assert_eq!(report.findings, []);
    let chain = report.chains.values().next().unwrap();
    assert_eq!((report.chains.len(), chain.first, chain.unsigned()), (1, 1, None));
    let kept = Heads::new(store).read().await.unwrap();
    assert_eq!(kept.iter().map(|kept| &kept.head).collect::<Vec<_>>(), [&chain.last]);
    let decided = lines.iter().filter(|line| line.contains("\"event\":\"decided\"")).count();
    assert_eq!(decided, 12);
}

#[tokio::test]
async fn an_end_that_is_cut_off_while_the_server_is_down_is_told_when_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let store = Arc::new(Memory::default());
    let run = async || {
        let audit = Audit::open(&plan(&path, true), means(&store)).unwrap();
        audit.record(decided(0), now()).await.unwrap();
        audit.close().await;
    };
    run().await;
    let lines = lines_in(folder.path());
    fs::write(&path, format!("{}\n", lines[..lines.len() - 2].join("\n"))).unwrap();
    run().await;
    let known = lines.len();
    assert_eq!(
        findings(&lines_in(folder.path())),
        [format!("the log had been cut before this line: the server knew record {known} of it")]
    );
}

#[tokio::test]
async fn who_cuts_a_signed_end_and_goes_on_behind_it_is_told_when_the_server_starts() {
    for rotates in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let store = Arc::new(Memory::default());
        let run = async || {
            let audit = Audit::open(&plan(&path, true), means(&store)).unwrap();
            audit.record(decided(0), now()).await.unwrap();
            audit.close().await;
        };
        run().await;
        let lines = lines_in(folder.path());
        let known = lines.len();
        let mut chain = Chain::after(parse(&lines[known - 3]).unwrap().head);
        let mut forged = lines[..known - 2].to_vec();
        let more = |index| Record { time: now(), event: Event::Decided(decided(index)) };
        forged.extend((0..9).map(|index| chain.add(&more(index)).text));
        fs::write(&path, format!("{}\n", forged.join("\n"))).unwrap();
        if rotates {
            fs::rename(&path, folder.path().join(format!("audit.log.20260601-{:012}", chain.head().seq))).unwrap();
        }
        run().await;
        run().await;
        let found = findings(&lines_in(folder.path()));
        let told = format!("the log had been cut before this line: the server knew record {known} of it");
        assert_eq!(found, [told], "rotates: {rotates}");
    }
}

/// A store that can be away.
#[derive(Default)]
struct Reached {
    store: Memory,
    away: AtomicBool,
}

impl Reached {
    fn there(&self) -> Result<&Memory, Away> {
        if self.away.load(Ordering::Relaxed) { Err(Away) } else { Ok(&self.store) }
    }
}

#[async_trait]
impl Documents for Reached {
    async fn documents(&self, kind: &str) -> Result<BTreeMap<String, Document>, Away> {
        self.there()?.documents(kind).await
    }

    async fn document(&self, kind: &str, name: &str) -> Result<Option<Document>, Away> {
        self.there()?.document(kind, name).await
    }

    async fn keep(&self, kind: &str, name: &str, known: u64, bytes: Vec<u8>) -> Result<bool, Away> {
        self.there()?.keep(kind, name, known, bytes).await
    }

    async fn number(&self, kind: &str) -> Result<u64, Away> {
        self.there()?.number(kind).await
    }
}

#[tokio::test]
async fn a_store_that_is_away_at_the_start_tells_what_was_cut_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let store = Arc::new(Reached::default());
    let run = async |away| {
        store.away.store(away, Ordering::Relaxed);
        let audit = Audit::open(&plan(&path, true), means(&store)).unwrap();
        audit.record(decided(0), now()).await.unwrap();
        store.away.store(false, Ordering::Relaxed);
        audit.close().await;
    };
    run(false).await;
    let lines = lines_in(folder.path());
    fs::write(&path, format!("{}\n", lines[..lines.len() - 2].join("\n"))).unwrap();
    run(true).await;
    let told = format!("the log had been cut before this line: the server knew record {} of it", lines.len());
    assert_eq!(findings(&lines_in(folder.path())), [told]);
}

#[tokio::test]
async fn a_log_that_the_store_does_not_know_is_told_from_one_that_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let run = async |store: &Arc<Memory>| {
        let audit = Audit::open(&plan(&path, true), means(store)).unwrap();
        audit.record(decided(0), now()).await.unwrap();
        audit.close().await;
        let report = verified(&lines_in(folder.path()), Known::default());
        assert_eq!(report.findings, []);
        report.chains.values().next().unwrap().unknown_to
    };
    let (first, second) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
    assert_eq!([run(&first).await, run(&first).await], [None, None]);
    let lines = lines_in(folder.path()).len() as u64;
    assert_eq!(run(&second).await, Some(lines), "another store, or another log");
    assert_eq!(run(&second).await, Some(lines), "it knows it from then on");
}

#[tokio::test]
async fn a_signed_end_is_found_in_the_file_that_was_rotated_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let store = Arc::new(Memory::default());
    let small = || {
        let place = Place::File(path.clone(), rotation(1));
        Plan { sinks: vec![place], ..plan(&path, true) }
    };
    for run in 0..3 {
        let audit = Audit::open(&small(), means(&store)).unwrap();
        for index in 0..3 {
            audit.record(decided(run * 3 + index), now()).await.unwrap();
        }
        audit.close().await;
    }
    let lines = lines_in(folder.path());
    assert_eq!(findings(&lines), Vec::<String>::new());
    assert!(!lines.iter().any(|line| line.contains("\"known\"")), "{lines:?}");
}

/// A stream that is away so many times, after the first lines.
#[derive(Default)]
struct Flapping {
    away: AtomicUsize,
    lines: Mutex<Vec<String>>,
}

#[async_trait]
impl Stream for Flapping {
    async fn add(&self, lines: &[Line], _writer: &str, _keep: usize) -> Result<(), Away> {
        let away = self.away.load(Ordering::Relaxed);
        if away > 0 {
            self.away.store(away - 1, Ordering::Relaxed);
            return Err(Away);
        }
        self.lines.lock().unwrap().extend(lines.iter().map(|line| line.text.clone()));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_begins_after_several_failures_names_the_one_that_ended() {
    let (store, stream) = (Arc::new(Memory::default()), Arc::new(Flapping::default()));
    let in_redis = Plan { sinks: vec![Place::Redis(1_000)], ..plan(Path::new(""), true) };
    let shared = Arc::clone(&stream) as Arc<dyn Stream>;
    let audit = Audit::open(&in_redis, Means { stream: Some(shared), ..means(&store) }).unwrap();
    audit.record(decided(0), now()).await.unwrap();
    let ended = parse(stream.lines.lock().unwrap().last().unwrap()).unwrap().head;
    stream.away.store(3, Ordering::Relaxed);
    for index in 1..4 {
        assert_eq!(audit.record(decided(index), now()).await, Err(Unwritten));
    }
    audit.record(decided(4), now()).await.unwrap();
    let lines = stream.lines.lock().unwrap().clone();
    let begins = lines.iter().rfind(|line| line.contains("\"begins\":\"chain\"")).unwrap();
    let begins = parse(begins).unwrap();
    assert_ne!(begins.head.writer, ended.writer);
    assert_eq!(begins.content.known, Some(ended));
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_the_count_stands_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs/audit.log");
    let store = Arc::new(Memory::default());
    let audit = Audit::open(&plan(&path, false), means(&store)).unwrap();
    fs::rename(folder.path().join("logs"), folder.path().join("away")).unwrap();
    let more = 100;
    for index in 0..super::QUEUE + super::desk::BATCH + more {
        audit.record(decided(index), now()).await.unwrap();
    }
    fs::rename(folder.path().join("away"), folder.path().join("logs")).unwrap();
    audit.close().await;
    let lines = lines_in(&folder.path().join("logs"));
    let report = verified(&lines, Known::default());
    assert_eq!(report.findings, []);
    let decided = lines.iter().filter(|line| line.contains("\"event\":\"decided\"")).count();
    let lost: u64 = report.chains.values().map(|chain| chain.lost).sum();
    assert!(lost > 0, "the queue has an end");
    assert_eq!(decided + usize::try_from(lost).unwrap(), super::QUEUE + super::desk::BATCH + more);
}
