//! The chain holds: whatever is done to one line of a log is found, and what a crash does is told from it. The file that
//! is written keeps it, over rotation, restart and torn ends.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use time::UtcDateTime;

use super::Rotation;
use super::chain::{Chain, Hash, Line, parse};
use super::checkpoint::{PublicKey, Signer};
use super::file::Logfile;
use super::record::{Begins, Decided, Event, Opened, Record, Versions};
use super::sinks::{Failed, Sink as _};
use super::verify::{Known, KnownHead, Place, Report, Verification};

/// 2026-06-01T00:00:00Z
const NOW: i64 = 1_780_272_000;

pub(super) fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).unwrap()
}

pub(super) fn signer() -> Signer {
    Signer::from_seed(&[7; 32]).unwrap()
}

fn record(event: Event) -> Record {
    Record { time: now(), event }
}

pub(super) fn decided(index: usize) -> Decided {
    Decided { request_id: format!("r{index}"), rpc: "Sign", caller: "billing".to_owned(), ..Decided::default() }
}

fn opened(begins: Begins) -> Record {
    let public_key = signer().public_key().to_string();
    let versions = Versions::default();
    record(Event::Opened(Opened {
        begins,
        server: "0",
        versions,
        public_key,
        known: None,
        unknown: false,
        torn_bytes: 0,
    }))
}

/// A log of that many records, with a checkpoint after each as many.
fn log(records: usize, every: usize) -> (Chain, Vec<String>) {
    let mut chain = Chain::new("writer".to_owned());
    let mut lines = vec![chain.add(&opened(Begins::Chain)).text];
    for index in 0..records {
        lines.push(chain.add(&record(Event::Decided(decided(index)))).text);
        if (index + 1) % every == 0 {
            lines.push(chain.add_signed(&record(Event::Checkpoint), &signer()).text);
        }
    }
    (chain, lines)
}

pub(super) fn verified<L: AsRef<str>>(lines: &[L], known: Known) -> Report {
    let mut verification = Verification::new(known);
    for (index, line) in lines.iter().enumerate() {
        verification.line(&Place { file: "f".to_owned(), line: index as u64 + 1 }, line.as_ref());
    }
    verification.finish()
}

pub(super) fn findings<L: AsRef<str>>(lines: &[L]) -> Vec<String> {
    verified(lines, Known::default()).findings.into_iter().map(|finding| finding.what).collect()
}

fn head_of(chain: &Chain) -> Known {
    let head = chain.head();
    Known { heads: vec![KnownHead { writer: None, seq: head.seq, hash: head.hash }], ..Known::default() }
}

/// One thing that somebody who can write the file may do to one line.
#[derive(Clone, Debug)]
enum Tampering {
    Change { at: usize, byte: usize, to: u8 },
    Remove { at: usize },
    Swap { one: usize, other: usize },
    Duplicate { at: usize, to: usize },
    Insert { at: usize, text: String },
    Append { at: usize, name: String },
}

fn tampering() -> impl Strategy<Value = Tampering> {
    prop_oneof![
        (0..1_000_usize, 0..1_000_usize, 32..127_u8).prop_map(|(at, byte, to)| Tampering::Change { at, byte, to }),
        (0..1_000_usize).prop_map(|at| Tampering::Remove { at }),
        (0..1_000_usize, 0..1_000_usize).prop_map(|(one, other)| Tampering::Swap { one, other }),
        (0..1_000_usize, 0..1_000_usize).prop_map(|(at, to)| Tampering::Duplicate { at, to }),
        (0..1_000_usize, ".{0,40}").prop_map(|(at, text)| Tampering::Insert { at, text }),
        (0..1_000_usize, "[a-z]{1,9}").prop_map(|(at, name)| Tampering::Append { at, name }),
    ]
}

impl Tampering {
    /// The log after it; none where it comes to nothing.
    fn applied(&self, lines: &[String]) -> Option<Vec<String>> {
        let (mut tampered, length) = (lines.to_vec(), lines.len());
        match self {
            Self::Change { at, byte, to } => {
                let mut bytes = tampered[at % length].clone().into_bytes();
                let place = byte % bytes.len();
                bytes[place] = *to;
                tampered[at % length] = String::from_utf8(bytes).unwrap();
            }
            Self::Remove { at } => drop(tampered.remove(at % length)),
            Self::Swap { one, other } => tampered.swap(one % length, other % length),
            Self::Duplicate { at, to } => tampered.insert(to % (length + 1), lines[at % length].clone()),
            Self::Insert { at, text } => tampered.insert(at % (length + 1), text.clone()),
            Self::Append { at, name } => {
                let line = &mut tampered[at % length];
                assert_eq!(line.pop(), Some('}'));
                line.push_str(&format!(",\"{name}\":\"x\"}}"));
            }
        }
        (tampered != lines).then_some(tampered)
    }
}

proptest! {
    #[test]
    fn whatever_is_done_to_one_line_is_found(records in 1..20_usize, every in 1..8_usize, what in tampering()) {
        let (chain, lines) = log(records, every);
        prop_assert_eq!(findings(&lines), Vec::<String>::new());
        if let Some(tampered) = what.applied(&lines) {
            let cut = lines.starts_with(&tampered);
            prop_assert_eq!(findings(&tampered).is_empty(), cut, "only a cut end does not show by itself");
            prop_assert!(verified(&tampered, head_of(&chain)).wrong > 0, "and with the head, that too");
        }
    }

    #[test]
    fn a_cut_at_either_end_is_found_with_the_head_and_without(records in 2..20_usize, cut in 1..20_usize) {
        let (chain, lines) = log(records, 5);
        let cut = cut.min(lines.len() - 1);
        prop_assert!(!findings(&lines[cut..]).is_empty(), "the beginning");
        let left = &lines[..lines.len() - cut];
        prop_assert_eq!(verified(left, Known::default()).wrong, 0);
        prop_assert_eq!(verified(left, head_of(&chain)).wrong, 1);
    }
}

#[test]
fn a_line_is_what_the_page_says() {
    let mut chain = Chain::new("w".to_owned());
    let line = chain.add(&record(Event::Decided(decided(1))));
    let body = "{\"writer\":\"w\",\"seq\":1,\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\",\
        \"time\":\"2026-06-01T00:00:00Z\",\"event\":\"decided\",\"request_id\":\"r1\",\"rpc\":\"Sign\",\
        \"caller\":\"billing\",\"application\":\"\",\"subject\":{},\"outcome\":\"accepted\",\"reason\":\"\",\"key_id\":\"\",\
        \"versions\":{\"configuration\":\"\"}";
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(body));
    assert_eq!(line.text, format!("{body},\"hash\":\"{digest}\"}}"));
    assert_eq!(chain.head().hash.to_string(), digest);
    assert!(parse(&line.text).unwrap().is_whole);
}

#[test]
fn who_rewrites_the_chain_is_found_by_the_signatures() {
    let (_, lines) = log(10, 4);
    // The same log with one decision more and every digest made anew, by somebody without the key.
    let mut chain = Chain::new("writer".to_owned());
    let forger = Signer::from_seed(&[8; 32]).unwrap();
    let mut forged = vec![chain.add(&opened(Begins::Chain)).text];
    for index in 0..5 {
        forged.push(chain.add(&record(Event::Decided(decided(index + 100)))).text);
    }
    forged.push(chain.add_signed(&record(Event::Checkpoint), &forger).text);
    assert_eq!(findings(&forged), ["the checkpoint in record 7 is not signed by the key"]);
    // With another key in the opening line it is whole in itself, and not with the server's key.
    let named: Vec<_> = {
        let mut chain = Chain::new("writer".to_owned());
        let mut opening = opened(Begins::Chain);
        if let Event::Opened(opened) = &mut opening.event {
            opened.public_key = forger.public_key().to_string();
        }
        vec![chain.add(&opening).text, chain.add_signed(&record(Event::Checkpoint), &forger).text]
    };
    let known = |key: PublicKey| Known { keys: vec![key], ..Known::default() };
    assert_eq!(findings(&named), Vec::<String>::new());
    assert_eq!(verified(&named, known(signer().public_key())).wrong, 1);
    assert_eq!(verified(&named, known(forger.public_key())).wrong, 0);
    assert_eq!(verified(&lines, known(signer().public_key())).wrong, 0);
}

#[test]
fn a_log_without_its_checkpoints_is_found_by_the_time_that_it_took() {
    let mut chain = Chain::new("writer".to_owned());
    let mut lines = vec![chain.add(&opened(Begins::Chain)).text];
    let after = |hours| Record { time: now().saturating_add(time::Duration::hours(hours)), event: Event::Checkpoint };
    let later = |hours| Record { event: Event::Decided(decided(1)), ..after(hours) };
    lines.extend([2, 3].map(|hours| chain.add(&later(hours)).text));
    assert_eq!(findings(&lines[..2]), Vec::<String>::new());
    assert_eq!(findings(&lines), ["records 1 to 3 have no checkpoint, and took longer than any can be apart"]);
    lines.push(chain.add_signed(&after(3), &signer()).text);
    assert_eq!(findings(&lines), Vec::<String>::new());
}

#[test]
fn a_signature_that_is_taken_out_is_found() {
    let (_, lines) = log(4, 4);
    let (before, last) = lines.split_at(lines.len() - 1);
    let bare = last[0].split(",\"signature\"").next().unwrap();
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bare));
    let tampered = [before, &[format!("{bare},\"hash\":\"{digest}\"}}")]].concat();
    assert_eq!(findings(&tampered), ["the checkpoint in record 6 is not signed by the key"]);
}

#[test]
fn chains_come_between_each_other_in_a_stream_and_not_in_a_file() {
    let mut other = Chain::new("other".to_owned());
    let (_, lines) = log(3, 2);
    let mut mixed = Vec::new();
    for line in lines {
        let begins = if other.head().seq == 0 { opened(Begins::Chain) } else { record(Event::Lost { records: 2 }) };
        mixed.extend([line, other.add(&begins).text]);
    }
    let stream = || Known { stream: true, ..Known::default() };
    let report = verified(&mixed, stream());
    assert_eq!(report.findings, []);
    assert_eq!((report.chains.len(), report.chains["other"].lost), (2, 8));
    mixed.remove(5);
    assert_eq!(verified(&mixed, stream()).findings[0].what, "record 3 is missing before record 4");
    // In a file they were put there by somebody: it has one chain.
    assert_eq!(findings(&mixed[..2]), ["is a line of another chain"]);
}

#[test]
fn a_stream_may_lack_its_beginning_and_nothing_else() {
    let (_, lines) = log(6, 2);
    let stream = || Known { stream: true, ..Known::default() };
    assert_eq!(verified(&lines[3..], stream()).wrong, 0);
    assert_eq!(verified(&[&lines[3..5], &lines[6..]].concat(), stream()).wrong, 1);
}

pub(super) fn rotation(bytes: u64) -> Rotation {
    Rotation { bytes, daily: true }
}

fn put(file: &mut Logfile, chain: &mut Chain, event: Event) {
    let mut next = chain.clone();
    let starts = file.ready(now(), next.head()).unwrap();
    let mut lines: Vec<Line> = starts.then(|| next.add(&opened(Begins::File))).into_iter().collect();
    lines.push(next.add(&record(event)));
    file.take(&lines, true).unwrap();
    *chain = next;
}

#[test]
fn a_torn_line_is_cut_off_and_whole_lines_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let (chain, lines) = log(3, 2);
    let whole = format!("{}\n", lines.join("\n"));
    for torn in ["", "{\"wri", "{\"writer\":\"writer\",\"seq\":7", "\0\0\0\0"] {
        fs::write(&path, format!("{whole}{torn}")).unwrap();
        let (file, found) = Logfile::open(path.clone(), rotation(u64::MAX)).unwrap();
        assert_eq!((found.last.as_ref(), found.torn), (Some(chain.head()), torn.len() as u64), "{torn:?}");
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), whole, "{torn:?}");
    }
    fs::write(&path, "{\"writer\":\"wr").unwrap();
    let (_, found) = Logfile::open(path.clone(), rotation(u64::MAX)).unwrap();
    assert_eq!((found.last, found.torn), (None, 13), "the very first line may be torn");
}

#[test]
fn a_file_that_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let (_, lines) = log(1, 9);
    let changed = format!("{}\n", lines.join("\n").replace("billing", "billinG"));
    for content in ["a line\n", "a word", "{\"writer\":\"w\"}\n", &changed] {
        fs::write(&path, content).unwrap();
        let opened = Logfile::open(path.clone(), rotation(u64::MAX));
        assert!(matches!(opened, Err(Failed::Foreign)), "{content}: {opened:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::write(&path, "").unwrap();
    let first = Logfile::open(path.clone(), rotation(u64::MAX)).unwrap();
    assert!(matches!(Logfile::open(path.clone(), rotation(u64::MAX)), Err(Failed::Locked)));
    drop(first);
    assert!(Logfile::open(path, rotation(u64::MAX)).is_ok());
}

/// The lines of a folder's files, the one that is being written last.
pub(super) fn lines_in(folder: &Path) -> Vec<String> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_by_key(|path| (path.ends_with("audit.log"), path.clone()));
    paths
        .iter()
        .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn the_chain_goes_on_over_full_files_and_those_that_were_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs/audit.log");
    let mut chain = Chain::new("writer".to_owned());
    let (mut file, _) = Logfile::open(path.clone(), rotation(1_000)).unwrap();
    let first = chain.add(&opened(Begins::Chain));
    assert!(file.ready(now(), chain.head()).unwrap());
    file.take(&[first], true).unwrap();
    for index in 0..20 {
        put(&mut file, &mut chain, Event::Decided(decided(index)));
    }
    let names = || fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert!(names() > 5, "{}", names());
    fs::rename(&path, folder.path().join("logs/audit.log.0-elsewhere")).unwrap();
    put(&mut file, &mut chain, Event::Lost { records: 1 });
    assert!(fs::read_to_string(&path).unwrap().contains("\"begins\":\"file\""));
    drop(file);
    // A crash between the rename and the new file.
    fs::rename(&path, folder.path().join(format!("logs/audit.log.20260601-{:012}", chain.head().seq))).unwrap();
    fs::remove_file(folder.path().join("logs/audit.log.0-elsewhere")).unwrap();
    let (_, found) = Logfile::open(path.clone(), rotation(1_000)).unwrap();
    assert_eq!(found.last.as_ref(), Some(chain.head()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn each_day_has_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let (mut file, _) = Logfile::open(path, rotation(u64::MAX)).unwrap();
    let mut chain = Chain::new("writer".to_owned());
    put(&mut file, &mut chain, Event::Lost { records: 1 });
    assert!(!file.ready(now().saturating_add(time::Duration::hours(23)), chain.head()).unwrap());
    assert!(file.ready(now().saturating_add(time::Duration::days(1)), chain.head()).unwrap());
    assert!(folder.path().join("audit.log.20260602-000000000002").exists());
}

#[test]
fn what_a_failed_write_left_is_cut_off_before_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let (mut file, _) = Logfile::open(path.clone(), rotation(u64::MAX)).unwrap();
    let mut chain = Chain::new("writer".to_owned());
    put(&mut file, &mut chain, Event::Lost { records: 1 });
    let before = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{before}half a li")).unwrap();
    file.recover().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn digests_are_in_lower_case() {
    let (_, lines) = log(1, 9);
    let upper = |line: &String| {
        let (body, hash) = line.rsplit_once(",\"hash\":\"").unwrap();
        format!("{body},\"hash\":\"{}\"}}", hash.trim_end_matches("\"}").to_uppercase())
    };
    assert_eq!(findings(&lines.iter().map(upper).collect::<Vec<_>>()).len(), lines.len());
    assert_eq!(Hash::parse("00"), None);
}
