//! `countersign audit verify`: reads files, hands their lines to the verification, and says what came of it. It needs no
//! server and no configuration, so that it works where the files were taken to.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::Context as _;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer::{Answer, Exit};
use super::args;
use super::input::Input;
use super::trouble::Trouble;
use crate::audit::chain::{Hash, parse};
use crate::audit::checkpoint::PublicKey;
use crate::audit::heads::Kept;
use crate::audit::verify::{Finding, Known, KnownHead, Place, Report, Seen, Verification};

/// Bytes of a line at most: what is longer is no line of ours.
const LINE_BYTES: u64 = 1024 * 1024;

/// Verifies the files as one log.
pub(super) fn verify(args: &args::AuditVerify) -> Result<Answer, Trouble> {
    let work = || -> anyhow::Result<Answer> {
        let known = Known {
            keys: args.public_key.iter().map(|key| public_key(key)).collect::<anyhow::Result<_>>()?,
            heads: args.head.iter().map(|head| heads(head)).collect::<anyhow::Result<Vec<_>>>()?.concat(),
            stream: args.stream,
        };
        let (keys, heads) = (!known.keys.is_empty(), !known.heads.is_empty());
        let mut files = args.files.iter().map(|path| Log::open(path)).collect::<anyhow::Result<Vec<_>>>()?;
        in_order(&mut files);
        let mut verification = Verification::new(known);
        let last = files.len();
        for (index, file) in files.into_iter().enumerate() {
            file.hand_to(&mut verification, index + 1 == last)?;
        }
        Ok(answer(&verification.finish(), args.files.len(), keys, heads))
    };
    work().map_err(|error| Trouble::usage(format!("{error:#}")))
}

/// The key itself in base64, or a file that holds it.
fn public_key(given: &str) -> anyhow::Result<PublicKey> {
    if let Some(key) = PublicKey::parse(given) {
        return Ok(key);
    }
    let text = Input::default().text("--public-key", Path::new(given))?;
    PublicKey::parse(&text).context("--public-key: neither an Ed25519 public key in base64 nor a file with one")
}

/// A head as `SEQ:HASH`, or a file with what the server's page `/audit/heads` shows.
fn heads(given: &str) -> anyhow::Result<Vec<KnownHead>> {
    let written = given.split_once(':').and_then(|(seq, hash)| Some((seq.parse().ok()?, Hash::parse(hash)?)));
    if let Some((seq, hash)) = written {
        return Ok(vec![KnownHead { writer: None, seq, hash }]);
    }
    let text = Input::default().text("--head", Path::new(given))?;
    let kept: Vec<Kept> = serde_json::from_str(&text)
        .map_err(|_no_heads| anyhow::anyhow!("--head: neither SEQ:HASH nor a file of the page /audit/heads"))?;
    let known = |Kept { head, .. }| KnownHead { writer: Some(head.writer), seq: head.seq, hash: head.hash };
    Ok(kept.into_iter().map(known).collect())
}

/// A file with its first line.
struct Log {
    name: String,
    reader: Box<dyn BufRead>,
    first: Vec<u8>,
}

impl Log {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let reader: Box<dyn BufRead> = if name == "-" {
            Box::new(BufReader::new(io::stdin()))
        } else {
            let file = File::open(path).with_context(|| format!("{name} cannot be read"))?;
            Box::new(BufReader::new(file))
        };
        let mut log = Self { name, reader, first: Vec::new() };
        log.first = log.next()?;
        Ok(log)
    }

    /// The next line with its end; empty at the end of the file.
    fn next(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line);
        read.with_context(|| format!("{} cannot be read", self.name))?;
        Ok(line)
    }

    fn hand_to(mut self, verification: &mut Verification, is_last: bool) -> anyhow::Result<()> {
        let mut place = Place { file: self.name.clone(), line: 0 };
        let mut line = std::mem::take(&mut self.first);
        while !line.is_empty() {
            place.line += 1;
            let after = self.next()?;
            match line.strip_suffix(b"\n") {
                None if is_last && after.is_empty() => verification.torn(place.clone()),
                whole => {
                    let text = std::str::from_utf8(whole.unwrap_or(&line)).unwrap_or_default();
                    verification.line(&place, text);
                }
            }
            line = after;
        }
        Ok(())
    }
}

/// Files come as a shell lists them: the one that is being written before those that it was.
fn in_order(files: &mut [Log]) {
    files.sort_by_key(|file| {
        let line = std::str::from_utf8(&file.first).ok().and_then(|line| parse(line.trim_end_matches('\n')));
        line.map(|line| (line.content.time, line.head.seq))
    });
}

fn answer(report: &Report, files: usize, keys: bool, heads: bool) -> Answer {
    let lines: u64 = report.chains.values().map(|chain| chain.lines).sum();
    let chains = report.chains.len();
    let count =
        format!("{} of {} in {}", many(lines, "line"), many(chains as u64, "chain"), many(files as u64, "file"));
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&format!("{}\n", told(finding)));
    }
    if report.wrong > report.findings.len() {
        text.push_str(&format!("and {} more\n", report.wrong - report.findings.len()));
    }
    let verdict = if report.wrong == 0 { "intact".to_owned() } else { many(report.wrong as u64, "finding") };
    text.push_str(&format!("{verdict}: {count}\n"));
    for (writer, chain) in &report.chains {
        text.push_str(&summary(writer, chain, keys));
    }
    let open = not_ruled_out(report, keys, heads);
    if !open.is_empty() {
        text.push_str("not ruled out:\n");
        open.iter().for_each(|line| text.push_str(&format!("  - {line}\n")));
    }
    let exit = if report.wrong == 0 { Exit::Done } else { Exit::Refused };
    Answer::new(text, String::new(), exit)
}

fn told(finding: &Finding) -> String {
    match &finding.place {
        Some(Place { file, line }) => format!("{file}:{line}: {}", finding.what),
        None => finding.what.clone(),
    }
}

fn summary(writer: &str, chain: &Seen, keys: bool) -> String {
    let Seen { first, last, times, signatures, lost, torn_bytes, .. } = chain;
    let second = |at: UtcDateTime| at.truncate_to_second().format(&Rfc3339).unwrap_or_default();
    let (begun, ended) = (second(times.0), second(times.1));
    let mut text = format!("chain {writer}: lines {first} to {}, {begun} to {ended}\n", last.seq);
    text.push_str(&format!("  head: {}:{}\n", last.seq, last.hash));
    // Before the first signature, the key is only what somebody wrote into the log.
    if let Some(key) = chain.key.filter(|_| !signatures.is_empty()) {
        let whose = if keys { "the key that was given" } else { "a key that the log names itself" };
        text.push_str(&format!("  {} by {key}, {whose}\n", many(signatures.len() as u64, "signature")));
    }
    if *lost > 0 {
        text.push_str(&format!("  the server says that it could not write {}\n", many(*lost, "record")));
    }
    if *torn_bytes > 0 {
        text.push_str("  the server says that it dropped a line that a crash tore\n");
    }
    text
}

/// What may have happened to the log all the same.
fn not_ruled_out(report: &Report, keys: bool, heads: bool) -> Vec<String> {
    let mut open = Vec::new();
    if let Some(Place { file, line }) = &report.torn {
        open.push(format!("{file}:{line} has no end: a crash tore it, or someone cut it. The next start drops it"));
    }
    if !heads {
        open.push("that lines were cut off at the end: hold the head against the store's, with --head".to_owned());
    }
    if report.elsewhere > 0 {
        let chains = many(report.elsewhere as u64, "chain");
        open.push(format!("what became of {chains} more that the heads name: no line of them is in a file here"));
    }
    if !keys && report.chains.values().any(|chain| !chain.signatures.is_empty()) {
        let what = "that all was written anew and signed with another key: give the server's key with --public-key";
        open.push(what.to_owned());
    }
    for (writer, chain) in &report.chains {
        if heads && !chain.has_head {
            open.push(format!("that lines of chain {writer} were cut off at the end: no head that was given is of it"));
        }
        if let Some(to) = chain.unknown_to {
            let what =
                "were written by somebody else, and signed when the server went on behind them: its store did not";
            open.push(format!("that lines up to {to} of chain {writer} {what} know of them"));
        }
        if let Some((from, to)) = chain.unsigned() {
            let lines = if from == to { format!("line {from}") } else { format!("lines {from} to {to}") };
            open.push(format!("that {lines} of chain {writer}, not signed yet, were written by somebody else"));
        }
        if chain.first > 1 {
            open.push(format!(
                "what the lines of chain {writer} before {} said: they are in no file here",
                chain.first
            ));
        }
    }
    open
}

fn many(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
