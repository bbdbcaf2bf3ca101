//! Whether a log is whole: each line its own, none missing, none twice, none out of order. Pure: lines come in, a report
//! comes out. It says as plainly what it could not rule out.

use std::collections::{BTreeMap, BTreeSet};

use time::{Duration, UtcDateTime};

use super::chain::{Hash, Head, Parsed, parse};
use super::checkpoint::PublicKey;
use super::record::Begins;

/// Findings that are told one by one; more are counted.
const TOLD: usize = 100;
/// How long the end of a chain can be without a signature: twice the longest time that can be configured.
const UNSIGNED: Duration = Duration::hours(2);

/// What is known besides the log itself.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Who may have signed; empty: whoever the log names.
    pub keys: Vec<PublicKey>,
    /// Lines that must be there.
    pub heads: Vec<KnownHead>,
    /// That it is what servers wrote into a stream: chains come between each other, and their beginnings may be gone.
    pub stream: bool,
}

/// A line that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHead {
    /// Of which chain; none: of the one that there is.
    pub writer: Option<String>,
    /// Its number.
    pub seq: u64,
    /// Its digest.
    pub hash: Hash,
}

impl KnownHead {
    /// Whether it can be a head of this chain.
    fn is_of(&self, writer: &str) -> bool {
        self.writer.as_ref().is_none_or(|its| its == writer)
    }
}

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
}

/// Something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it shows; none where it shows in what is not there.
    pub place: Option<Place>,
    /// What it is.
    pub what: String,
}

/// What was found out about a log.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong, the first hundred of it.
    pub findings: Vec<Finding>,
    /// How much is wrong.
    pub wrong: usize,
    /// Each chain, by its writer.
    pub chains: BTreeMap<String, Seen>,
    /// Where a last line has no end.
    pub torn: Option<Place>,
    /// Chains of which a head is known, and no line is there.
    pub elsewhere: usize,
}

/// A chain as far as it was seen.
#[derive(Debug)]
pub struct Seen {
    /// Its first line.
    pub first: u64,
    /// Its last line so far.
    pub last: Head,
    /// How many lines of it are there.
    pub lines: u64,
    /// When its first and its last line were written.
    pub times: (UtcDateTime, UtcDateTime),
    /// The lines with a signature that holds.
    pub signatures: BTreeMap<u64, Hash>,
    /// When the first line after the last of them was written.
    unsigned_since: Option<UtcDateTime>,
    /// Whether a head of it is known.
    pub has_head: bool,
    /// The last line before one that says that the server's store did not know of it.
    pub unknown_to: Option<u64>,
    /// Whose they are.
    pub key: Option<PublicKey>,
    /// Records that the server says it could not write.
    pub lost: u64,
    /// Bytes of torn lines that the server says it dropped.
    pub torn_bytes: u64,
}

/// Verifies a log, line by line.
#[derive(Debug)]
pub struct Verification {
    known: Known,
    /// Which of the known heads were passed.
    passed: Vec<bool>,
    /// The file that is read, and the chain in it.
    file: (String, String),
    report: Report,
}

impl Verification {
    /// Begins with nothing read.
    #[must_use]
    pub fn new(known: Known) -> Self {
        let passed = vec![false; known.heads.len()];
        Self { passed, known, file: Default::default(), report: Report::default() }
    }

    /// The next line, without its line end.
    pub fn line(&mut self, place: &Place, text: &str) {
        let Some(line) = parse(text) else { return self.wrong(place, "is no line of an audit log") };
        self.check_chain(place, &line.head.writer);
        if !line.is_whole {
            self.wrong(place, &format!("record {} was changed: its digest is not that of its content", line.head.seq));
        }
        self.check_known_end(place, &line);
        let seen = self.report.chains.remove(&line.head.writer);
        let mut seen = match seen {
            None => self.begin(place, &line),
            Some(seen) if line.head.seq <= seen.last.seq => {
                let what = format!("record {} comes again, or too late: it was repeated or moved", line.head.seq);
                self.wrong(place, &what);
                drop(self.report.chains.insert(line.head.writer, seen));
                return;
            }
            Some(mut seen) => {
                self.follow(place, &line, &seen);
                seen.last.clone_from(&line.head);
                seen.times.1 = line.content.time;
                seen
            }
        };
        self.read(place, &line, &mut seen);
        self.pass(place, &line.head);
        drop(self.report.chains.insert(line.head.writer, seen));
    }

    /// The end of the log is a line without an end: a crash, or a cut, in the middle of it.
    pub fn torn(&mut self, place: Place) {
        self.report.torn = Some(place);
    }

    /// What was found out.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.check_ends();
        self.check_heads();
        self.report
    }

    /// An end that is not signed is short: else the checkpoints were taken out, and all could be made up.
    fn check_ends(&mut self) {
        let long = |chain: &&Seen| chain.unsigned_since.is_some_and(|since| chain.times.1 - since > UNSIGNED);
        let unsigned = self.report.chains.values().filter(long).filter_map(Seen::unsigned);
        for (from, to) in unsigned.collect::<Vec<_>>() {
            let what = format!("records {from} to {to} have no checkpoint, and took longer than any can be apart");
            self.report.add(Finding { place: None, what });
        }
    }

    /// Heads that were not passed are behind the end.
    fn check_heads(&mut self) {
        let named: BTreeSet<&String> = self.known.heads.iter().filter_map(|head| head.writer.as_ref()).collect();
        let elsewhere = named.iter().filter(|writer| !self.report.chains.contains_key(**writer)).count();
        self.report.elsewhere = elsewhere;
        if elsewhere > 0 && elsewhere == named.len() {
            let what = "no chain that the heads name is here: the whole log was replaced or emptied, or is not theirs";
            self.report.add(Finding { place: None, what: what.to_owned() });
        }
        let unseen: Vec<KnownHead> =
            self.known.heads.iter().zip(&self.passed).filter(|(_, passed)| !**passed).map(|(h, _)| h.clone()).collect();
        for head in unseen {
            let chain = match &head.writer {
                Some(writer) => self.report.chains.get(writer),
                None => self.report.chains.values().max_by_key(|chain| chain.last.seq),
            };
            let what = match chain.map(|chain| chain.last.seq) {
                // Another server's chain, in other files.
                None if head.writer.is_some() => continue,
                None => format!("record {} is not there: there is no record at all", head.seq),
                Some(last) if last < head.seq => {
                    format!("the end was cut off: the head is record {}, and the log ends with {last}", head.seq)
                }
                // It is in an earlier file that was not given, or was found missing on the way.
                Some(_) => continue,
            };
            self.report.add(Finding { place: None, what });
        }
    }

    fn wrong(&mut self, place: &Place, what: &str) {
        self.report.add(Finding { place: Some(place.clone()), what: what.to_owned() });
    }

    /// A file has one chain: lines of another were put there, however well they hang together.
    fn check_chain(&mut self, place: &Place, writer: &str) {
        let (file, chain) = &mut self.file;
        if *file != place.file {
            (*file, *chain) = (place.file.clone(), writer.to_owned());
        }
        if *chain != writer && !self.known.stream {
            self.wrong(place, "is a line of another chain");
        }
    }

    /// The first line of a chain that was seen has to begin a file: else what was before it in the file is gone.
    fn begin(&mut self, place: &Place, line: &Parsed<'_>) -> Seen {
        let seq = line.head.seq;
        let begins = line.content.begins.as_deref().unwrap_or_default();
        let is_first = seq == 1 && line.prev == Hash::NONE;
        if (begins == "chain") != is_first {
            self.wrong(place, &format!("record {seq} begins a chain in which it is not the first"));
        } else if !Begins::starts_a_file(begins) && !self.known.stream {
            self.wrong(place, &format!("record {seq} begins no file: the lines before it are missing"));
        }
        let times = (line.content.time, line.content.time);
        let last = line.head.clone();
        let has_head = self.known.heads.iter().any(|head| head.is_of(&last.writer));
        Seen {
            first: seq,
            last,
            lines: 0,
            times,
            signatures: BTreeMap::new(),
            unsigned_since: None,
            has_head,
            unknown_to: None,
            key: None,
            lost: 0,
            torn_bytes: 0,
        }
    }

    fn follow(&mut self, place: &Place, line: &Parsed<'_>, seen: &Seen) {
        let (seq, expected) = (line.head.seq, seen.last.seq.saturating_add(1));
        if seq > expected {
            let missing = if seq - expected == 1 {
                format!("record {expected} is missing before record {seq}")
            } else {
                format!("records {expected} to {} are missing before record {seq}", seq - 1)
            };
            self.wrong(place, &missing);
        } else if line.prev != seen.last.hash {
            self.wrong(place, &format!("record {seq} does not follow the line before it: one of them was replaced"));
        }
    }

    /// What the server itself found missing when it started.
    fn check_known_end(&mut self, place: &Place, line: &Parsed<'_>) {
        let Some(known) = &line.content.known else { return };
        let there = match self.report.chains.get(&known.writer) {
            // The chain that it follows is in files that were not given.
            None => return,
            Some(seen) if seen.last.seq == known.seq => seen.last.hash == known.hash,
            // More of a chain that ended may have come in than the server was told of; of its own it looked for the line.
            Some(seen) if known.writer != line.head.writer => seen.last.seq > known.seq,
            Some(seen) => known.seq < seen.first || seen.signatures.get(&known.seq) == Some(&known.hash),
        };
        if !there {
            let what = format!("the log had been cut before this line: the server knew record {} of it", known.seq);
            self.wrong(place, &what);
        }
    }

    fn read(&mut self, place: &Place, line: &Parsed<'_>, seen: &mut Seen) {
        let content = &line.content;
        seen.lines = seen.lines.saturating_add(1);
        seen.unsigned_since.get_or_insert(content.time);
        match content.event.as_str() {
            "opened" => {
                seen.key = content.public_key.as_deref().and_then(PublicKey::parse);
                seen.torn_bytes = seen.torn_bytes.saturating_add(content.torn_bytes.unwrap_or(0));
                seen.unknown_to = content.unknown.then_some(line.head.seq.saturating_sub(1)).or(seen.unknown_to);
            }
            "lost" => seen.lost = seen.lost.saturating_add(content.records.unwrap_or(0)),
            "checkpoint" | "closed" => self.check_signature(place, line, seen),
            _ => {}
        }
    }

    fn check_signature(&mut self, place: &Place, line: &Parsed<'_>, seen: &mut Seen) {
        let seq = line.head.seq;
        let named: Vec<PublicKey> = seen.key.into_iter().collect();
        let keys = if self.known.keys.is_empty() { &named } else { &self.known.keys };
        // A part of a log may have lost the line that names the key.
        if keys.is_empty() && self.known.stream {
            return;
        }
        let signer =
            line.signed.and_then(|(bytes, signature)| keys.iter().find(|key| key.signed(bytes.as_bytes(), signature)));
        match signer {
            Some(key) => {
                (seen.key, seen.unsigned_since) = (Some(*key), None);
                seen.signatures.insert(seq, line.head.hash);
            }
            None => self.wrong(place, &format!("the checkpoint in record {seq} is not signed by the key")),
        }
    }

    /// Holds a line against the heads that are known.
    fn pass(&mut self, place: &Place, head: &Head) {
        let mut other = false;
        for (known, passed) in self.known.heads.iter().zip(&mut self.passed) {
            if known.is_of(&head.writer) && known.seq == head.seq {
                *passed = true;
                other |= known.hash != head.hash;
            }
        }
        if other {
            self.wrong(place, &format!("record {} is not the one that the head names", head.seq));
        }
    }
}

impl Report {
    fn add(&mut self, finding: Finding) {
        self.wrong = self.wrong.saturating_add(1);
        if self.findings.len() < TOLD {
            self.findings.push(finding);
        }
    }
}

impl Seen {
    /// The lines at the end that no signature covers.
    #[must_use]
    pub fn unsigned(&self) -> Option<(u64, u64)> {
        let from = self.signatures.last_key_value().map_or(self.first, |(signed, _)| signed.saturating_add(1));
        (from <= self.last.seq).then_some((from, self.last.seq))
    }
}
