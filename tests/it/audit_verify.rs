//! `countersign audit verify` as operators use it: on the log of a real server, with what they may have beside it.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::process::{Ended, Server, alone, command, configure, ended};

/// The example of RFC 8410, section 10.3, and its public half.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

const CONFIGURATION: &str = "
[store]
kind = \"embedded\"
path = \"FOLDER/state.redb\"
[audit]
required = true
checkpoint_records = 4
signing_key = { file = \"FOLDER/key.pem\" }
[[audit.sinks]]
kind = \"file\"
path = \"FOLDER/audit.log\"
rotate_bytes = 4096
[[audit.sinks]]
kind = \"stdout\"
";

/// The log of a server that was stopped and started again, over several files.
struct Log {
    folder: TempDir,
}

impl Log {
    fn written() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key.pem"), PRIVATE).unwrap();
        fs::write(folder.path().join("public.pem"), PUBLIC).unwrap();
        let path = configure(folder.path(), CONFIGURATION);
        for _ in 0..2 {
            let server = Server::start(&["--dev", "--config", path.to_str().unwrap()]);
            for user in 0..5 {
                server.value(&["sign", "--user-id", &user.to_string()]);
            }
            assert_eq!(server.terminate(), Some(0));
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// All files, in the order of a shell: the one that is being written comes first.
    fn files(&self) -> Vec<String> {
        let all = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = all.filter(|path| path.to_str().unwrap().contains("audit.log")).collect();
        files.sort();
        assert!(files.len() > 1, "{files:?}");
        files.iter().map(|path| path.display().to_string()).collect()
    }

    /// All lines, in the order of the chain.
    fn lines(&self) -> Vec<String> {
        let texts = self.files().into_iter().map(|path| fs::read_to_string(path).unwrap()).collect::<String>();
        let mut lines: Vec<String> = texts.lines().map(str::to_owned).collect();
        lines.sort_by_key(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64());
        lines
    }

    fn verify(&self, more: &[&str]) -> Ended {
        let files = self.files();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        alone(&[&["audit", "verify"], files.as_slice(), more].concat())
    }

    /// Of these lines alone, in one file.
    fn verify_lines(&self, lines: &[String], more: &[&str]) -> Ended {
        let path = self.path("other");
        fs::write(&path, format!("{}\n", lines.join("\n"))).unwrap();
        alone(&[&["audit", "verify", &path], more].concat())
    }
}

#[test]
fn an_intact_log_needs_neither_key_nor_head_and_says_what_is_open() {
    let log = Log::written();
    let ended = log.verify(&[]);
    assert_eq!((ended.status, ended.remarks.as_str()), (0, ""), "{ended:?}");
    let lines = log.lines();
    for told in [
        &format!("intact: {} lines of 1 chain in {} files\n", lines.len(), log.files().len()),
        "a key that the log names itself",
        "  - that lines were cut off at the end: hold the head against the store's, with --head\n",
        "  - that all was written anew and signed with another key: give the server's key with --public-key\n",
    ] {
        assert!(ended.output.contains(told), "{told}: {ended:?}");
    }
    assert!(!ended.output.contains("not signed yet"), "the last line signs: {ended:?}");

    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let head = format!("{}:{}", last["seq"], last["hash"].as_str().unwrap());
    assert!(ended.output.contains(&format!("  head: {head}\n")), "{ended:?}");
    let all = log.verify(&["--head", &head, "--public-key", &log.path("public.pem")]);
    assert_eq!(all.status, 0, "{all:?}");
    assert!(!all.output.contains("not ruled out"), "{all:?}");
}

#[test]
fn each_line_that_is_changed_removed_or_moved_is_named() {
    let log = Log::written();
    let lines = log.lines();
    let other = log.path("other");
    let told = |lines: &[String], what: &str| {
        let ended = log.verify_lines(lines, &[]);
        assert_eq!(ended.status, 1, "{what}: {ended:?}");
        assert!(ended.output.contains(what), "{what}: {ended:?}");
    };
    let mut changed = lines.clone();
    changed[3] = changed[3].replace("accepted", "refused");
    told(&changed, &format!("{other}:4: record 4 was changed: its digest is not that of its content\n"));
    let removed = [&lines[..3], &lines[4..]].concat();
    told(&removed, &format!("{other}:4: record 4 is missing before record 5\n"));
    told(&removed, &format!("1 finding: {} lines of 1 chain in 1 file\n", lines.len() - 1));
    told(&[&lines[..3], &lines[6..]].concat(), "records 4 to 6 are missing before record 7\n");
    let mut moved = lines.clone();
    moved.swap(3, 4);
    told(&moved, &format!("{other}:5: record 4 comes again, or too late: it was repeated or moved\n"));
    told(&lines[1..], &format!("{other}:1: record 2 begins no file: the lines before it are missing\n"));
    let mut foreign = lines.clone();
    foreign.insert(2, "{}".to_owned());
    told(&foreign, &format!("{other}:3: is no line of an audit log\n"));
    told(&changed, "1 finding: ");
}

#[test]
fn what_is_known_besides_is_held_against_the_log() {
    let log = Log::written();
    let lines = log.lines();
    let cut = &lines[..lines.len() - 3];
    let ended = log.verify_lines(cut, &[]);
    assert_eq!(ended.status, 0, "{ended:?}");
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let head = |hash: &str| format!("{}:{hash}", last["seq"]);
    let hash = last["hash"].as_str().unwrap();
    let ended = log.verify_lines(cut, &["--head", &head(hash)]);
    assert_eq!(ended.status, 1, "{ended:?}");
    let found =
        format!("the end was cut off: the head is record {}, and the log ends with {}\n", lines.len(), cut.len());
    assert!(ended.output.contains(&found), "{ended:?}");
    let ended = log.verify(&["--head", &head(&"0".repeat(64))]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.output.contains("is not the one that the head names"), "{ended:?}");
    let ended = log.verify(&["--public-key", &"A".repeat(43)]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.output.contains("is not signed by the key"), "{ended:?}");
}

#[test]
fn heads_of_a_log_that_is_gone_are_missed() {
    let log = Log::written();
    let lines = log.lines();
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let head = |writer: &str| {
        let head = serde_json::json!({ "writer": writer, "seq": last["seq"], "hash": last["hash"], "at": 0 });
        let path = log.path(&format!("{writer}.json"));
        fs::write(&path, serde_json::json!([head]).to_string()).unwrap();
        path
    };
    let (own, other) = (head(last["writer"].as_str().unwrap()), head("other"));
    let all = log.verify(&["--head", &own, "--public-key", &log.path("public.pem")]);
    assert_eq!(all.status, 0, "{all:?}");
    assert!(!all.output.contains("not ruled out"), "{all:?}");
    let told = "no chain that the heads name is here";
    let empty = log.path("empty");
    fs::write(&empty, "").unwrap();
    let ended = alone(&["audit", "verify", &empty, "--head", &own]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.output.contains(told), "{ended:?}");
    let ended = log.verify(&["--head", &other]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.output.contains(told) && ended.output.contains("no head that was given is of it"), "{ended:?}");
    let ended = log.verify(&["--head", &other, "--head", &own]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.output.contains("what became of 1 chain more that the heads name"), "{ended:?}");
}

#[test]
fn a_torn_line_at_the_end_is_no_finding_and_one_in_between_is() {
    let log = Log::written();
    let (lines, path) = (log.lines(), log.path("other"));
    let whole = lines.join("\n");
    fs::write(&path, format!("{whole}\n{{\"writer\":\"a")).unwrap();
    let ended = alone(&["audit", "verify", &path]);
    assert_eq!(ended.status, 0, "{ended:?}");
    let line = lines.len() + 1;
    assert!(
        ended.output.contains(&format!("{path}:{line} has no end: a crash tore it, or someone cut it")),
        "{ended:?}"
    );
    let ended = log.verify_lines(&[&lines[..2], &["{\"writer\":\"a".to_owned()], &lines[2..]].concat(), &[]);
    assert_eq!(ended.status, 1, "{ended:?}");
}

#[test]
fn what_cannot_be_read_cannot_be_judged() {
    let log = Log::written();
    let missing = log.path("missing");
    let files = log.files();
    for arguments in [
        vec!["audit", "verify", &missing],
        vec!["audit", "verify", &files[0], &missing],
        vec!["audit", "verify", log.folder.path().to_str().unwrap()],
        vec!["audit", "verify"],
        vec!["audit", "verify", &files[0], "--head", "1"],
        vec!["audit", "verify", &files[0], "--head", "1:00"],
        vec!["audit", "verify", &files[0], "--public-key", &missing],
    ] {
        let ended = alone(&arguments);
        assert_eq!((ended.status, ended.output.as_str()), (2, ""), "{arguments:?}: {ended:?}");
        assert!(!ended.remarks.is_empty());
    }
}

#[test]
fn a_stream_comes_from_standard_input() {
    let log = Log::written();
    let lines = log.lines();
    let text = format!("{}\n", lines[2..].join("\n"));
    assert_eq!(ended(command().args(["audit", "verify", "-"]), &text).status, 1);
    let excerpt = ended(command().args(["audit", "verify", "-", "--stream"]), &text);
    assert_eq!(excerpt.status, 0, "{excerpt:?}");
    assert!(excerpt.output.contains("before 3 said: they are in no file here"), "{excerpt:?}");
    let empty = ended(command().args(["audit", "verify", "-"]), "");
    assert_eq!(empty.status, 0, "{empty:?}");
    assert!(empty.output.starts_with("intact: 0 lines"), "{empty:?}");
}
