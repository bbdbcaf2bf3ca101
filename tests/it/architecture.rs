//! The house has a direction. This reads the `use` lines and holds it.

use std::path::{Path, PathBuf};

/// A file or folder of `src`, and the modules that it must not use.
const FORBIDDEN: &[(&[&str], &[&str], &str)] = &[
    (
        &[
            "identity.rs",
            "profile",
            "token",
            "acceptance.rs",
            "refusal.rs",
            "notice.rs",
            "diagnose",
            "split.rs",
            "admission.rs",
            "json.rs",
            "limits.rs",
            "attributes.rs",
            "caller.rs",
            "expression",
            "schema.rs",
            "report",
            "words.rs",
            "ledger/mod.rs",
            "ledger/batch.rs",
            "ledger/counter.rs",
            "ledger/outbox.rs",
            "ledger/sketch.rs",
            "audit/chain.rs",
            "audit/checkpoint.rs",
            "audit/record.rs",
            "audit/verify.rs",
        ],
        &[
            "tokio",
            "tracing",
            "tonic",
            "prost",
            "std::fs",
            "std::net",
            "std::io",
            "std::env",
            "crate::grpc",
            "crate::serve",
            "crate::cli",
            "crate::config",
            "crate::store",
            "crate::authority",
            "crate::clock",
            "crate::observe",
        ],
        "the core is pure: no runtime, no IO, no log, no clock, no wire",
    ),
    (
        &[
            "authority.rs",
            "application.rs",
            "mint.rs",
            "hearing.rs",
            "order.rs",
            "revocation.rs",
            "pipeline",
            "ledger",
            "store",
            "config",
            "observe",
            "clock.rs",
            "secret.rs",
            "account.rs",
            "operations.rs",
            "one_time.rs",
            "audit",
        ],
        &["tonic", "prost", "prost_types", "crate::grpc", "crate::serve", "crate::cli"],
        "protobuf is for grpc and cli alone",
    ),
    (
        &[
            "authority.rs",
            "application.rs",
            "hearing.rs",
            "revocation.rs",
            "pipeline",
            "grpc",
            "serve",
            "cli",
            "observe",
        ],
        &["redis", "redb", "countersign_redis_link"],
        "where state lies is the store's business",
    ),
    (&["grpc"], &["crate::serve", "crate::cli"], "the wire does not know who serves it"),
    (
        &["cli"],
        &["crate::authority", "crate::token", "crate::pipeline", "crate::store", "crate::acceptance", "crate::report"],
        "the command line is a client",
    ),
    (
        &[
            "authority.rs",
            "application.rs",
            "grpc",
            "serve",
            "cli",
            "diagnose",
            "profile",
            "token",
            "pipeline/mod.rs",
            "pipeline/claims.rs",
            "store",
            "observe",
        ],
        &["figment"],
        "figment only merges, in config/file.rs and what reads its tree",
    ),
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(path).unwrap().flat_map(|entry| rust_files(&entry.unwrap().path())).collect();
    found.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    found.sort();
    found
}

/// The lines of code: no comments, nothing of the tests at the bottom.
fn code(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).map(str::to_owned).collect()
}

fn is_test(file: &Path) -> bool {
    let name = file.to_string_lossy();
    name.contains("/tests") || name.ends_with("_laws.rs") || name.ends_with("_tests.rs")
}

#[test]
fn dependencies_go_one_way() {
    let mut wrong = Vec::new();
    for (places, forbidden, why) in FORBIDDEN {
        for place in *places {
            let files = rust_files(&src().join(place));
            assert!(!files.is_empty(), "{place} is not there: correct the table");
            for file in files.iter().filter(|file| !is_test(file)) {
                for line in code(file).iter().filter(|line| line.contains("::")) {
                    let hit = forbidden.iter().find(|module| {
                        line.match_indices(**module).any(|(at, _)| {
                            let before = line[..at].chars().next_back();
                            let after = &line[at + module.len()..];
                            let starts = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
                            starts && (after.starts_with("::") || after.starts_with(';'))
                        })
                    });
                    if let Some(module) = hit {
                        wrong.push(format!("{}: {module}: {why}: {line}", file.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn plugins_are_named_in_the_registry_alone_and_know_nothing_of_us() {
    for file in rust_files(&src()).iter().filter(|file| !file.ends_with("pipeline/registry.rs")) {
        assert!(!code(file).iter().any(|line| line.contains("countersign_claim_source_")), "{}", file.display());
    }
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    for entry in std::fs::read_dir(plugins).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        // The examples are no crates.
        let Ok(manifest) = std::fs::read_to_string(manifest) else { continue };
        let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
        let own = dependencies.lines().filter(|line| line.starts_with("countersign"));
        // The contract; and how a Redis is reached, which the store wants to know too.
        let known = ["countersign-claim-source", "countersign-redis-link"];
        let may = |line: &&str| line.split([' ', '.']).next().is_some_and(|name| known.contains(&name));
        let others: Vec<_> = own.filter(|line| !may(line)).collect();
        assert!(others.is_empty(), "{others:?}");
    }
}

#[test]
fn only_the_clock_reads_the_time() {
    for file in rust_files(&src()).iter().filter(|file| !file.ends_with("clock.rs") && !is_test(file)) {
        for line in code(file) {
            assert!(
                !line.contains("UtcDateTime::now") && !line.contains("SystemTime::now"),
                "{}: {line}",
                file.display()
            );
        }
    }
}

#[test]
fn files_are_short_enough_to_read() {
    for file in rust_files(&src()).iter().filter(|file| !is_test(file)) {
        let limit = if file.ends_with("authority.rs") { 320 } else { 600 };
        let lines = code(file).len();
        assert!(lines <= limit, "{} has {lines} lines of code, at most {limit}", file.display());
    }
}
