//! `[audit]`: what is written down, and where. It is set here alone, never by a request.

use std::time::Duration;

use super::World;
use super::reader::Table;
use super::store::Store;
use crate::audit::checkpoint::Signer;
use crate::audit::{Place, Plan, Rotation};

/// Lines after which they are signed, where the operator says nothing.
const CHECKPOINT_RECORDS: i64 = 1_000;
/// Seconds after which a line is signed, where the operator says nothing.
const CHECKPOINT_SECS: i64 = 10;
/// Bytes after which a file is full, where the operator says nothing: about 200,000 lines.
const ROTATE_BYTES: i64 = 128 * 1024 * 1024;
/// Lines that a stream keeps, where the operator says nothing: about 1 GB.
const MAX_RECORDS: i64 = 1_000_000;

#[derive(Clone, Copy)]
enum Kind {
    File,
    Stdout,
    Redis,
}

/// Reads the section; none where there is no log.
pub(super) fn read(root: &Table<'_>, world: World<'_>, store: Option<&Store>) -> Option<Plan> {
    let table = root.table("audit")?;
    let plan = Plan {
        required: table.flag("required"),
        verify: table.flag("verify"),
        signer: signer(&table, world),
        checkpoint_records: number(&table, "checkpoint_records", 1..=1_000_000, CHECKPOINT_RECORDS),
        checkpoint_every: Duration::from_secs(number(&table, "checkpoint_secs", 1..=3_600, CHECKPOINT_SECS)),
        sinks: sinks(root, &table, store),
    };
    table.done();
    Some(plan)
}

fn signer(table: &Table<'_>, world: World<'_>) -> Option<Signer> {
    let pem = table.secret("signing_key", world.env)?;
    let signer = Signer::from_pem(&pem);
    if signer.is_none() {
        let right = "make one with: openssl genpkey -algorithm ed25519";
        table.problem("signing_key", "is not an Ed25519 private key in PEM (PKCS#8, not encrypted)", right);
    }
    signer
}

fn sinks(root: &Table<'_>, table: &Table<'_>, store: Option<&Store>) -> Vec<Place> {
    let mut sinks: Vec<Place> = Vec::new();
    // One that was written and is broken has been reported already, and counts.
    if !table.has("sinks") || table.is_empty_list("sinks") {
        let right = "[[audit.sinks]] kind = \"file\" with a path, or kind = \"stdout\" or \"redis\"";
        table.problem("sinks", "is missing: nothing would be written", right);
    }
    for sink in table.list("sinks") {
        let Some(place) = self::sink(root, &sink, store) else { continue };
        let same = |other: &&Place| match (*other, &place) {
            (Place::File(one, _), Place::File(other, _)) => one == other,
            (one, other) => one.kind() == other.kind(),
        };
        if sinks.iter().any(|other| same(&other)) {
            let key = if matches!(place, Place::File(..)) { "path" } else { "kind" };
            sink.problem(key, "is that of another sink too", "remove one of them");
            continue;
        }
        if let (Place::File(path, _), Some(Store::Embedded { path: taken })) = (&place, store)
            && path == taken
        {
            sink.problem("path", "is the file of the store", "name another file");
        }
        sinks.push(place);
    }
    sinks
}

fn sink(root: &Table<'_>, table: &Table<'_>, store: Option<&Store>) -> Option<Place> {
    if !table.has("kind") {
        table.problem("kind", "is missing", "must be one of file, stdout, redis");
    }
    let kinds = [("file", Kind::File), ("stdout", Kind::Stdout), ("redis", Kind::Redis)];
    let place = match table.word("kind", &kinds) {
        None => {
            // What belongs to one kind is not blamed for the kind's fault.
            table.file("path");
            rotation(table);
            max_records(table);
            None
        }
        Some(Kind::File) => {
            let rotation = rotation(table);
            table.required_text("path", "as in \"var/audit.log\"").map(|path| Place::File(path.into(), rotation))
        }
        Some(Kind::Stdout) => Some(Place::Stdout),
        Some(Kind::Redis) => {
            // A store that is broken has been reported already.
            if matches!(store, Some(Store::Embedded { .. })) || !root.has("store") {
                table.problem("kind", "needs a store in Redis", "[store] kind = \"redis\", or another kind here");
            }
            Some(Place::Redis(max_records(table)))
        }
    };
    table.done();
    place
}

fn rotation(table: &Table<'_>) -> Rotation {
    let bytes = number(table, "rotate_bytes", 4_096..=1_099_511_627_776, ROTATE_BYTES);
    Rotation { bytes, daily: table.flag("rotate_daily") }
}

fn max_records(table: &Table<'_>) -> usize {
    let records = number(table, "max_records", 1_000..=1_000_000_000, MAX_RECORDS);
    usize::try_from(records).unwrap_or(usize::MAX)
}

/// A whole number within bounds that has no sign.
fn number(table: &Table<'_>, key: &str, bounds: std::ops::RangeInclusive<i64>, default: i64) -> u64 {
    table.integer(key, bounds).unwrap_or(default).unsigned_abs()
}
