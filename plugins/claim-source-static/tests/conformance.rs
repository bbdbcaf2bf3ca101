//! The suite of the contract, over the configuration itself and over a file of each format.

#![allow(clippy::expect_used, reason = "a test says so by panicking")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use countersign_claim_source::ClaimSource;
use countersign_claim_source::conformance::{self, Fault, Place, SETS, User, ada};
use countersign_claim_source_static::Static;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Longer than a change of a file may stay unseen.
const LOOKED: Duration = Duration::from_secs(1);

fn by_user_id(users: &[User]) -> Value {
    let tables = users.iter().map(|user| (user.user_id.clone(), Value::Object(user.claims.clone())));
    json!({"by_user_id": tables.collect::<Map<_, _>>()})
}

/// The configuration's own tables.
struct Inline;

#[async_trait]
impl Place for Inline {
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource> {
        conformance::open::<Static>(by_user_id(users), &SETS, &[]).await
    }

    /// What is in the configuration cannot be away or broken.
    async fn with(&self, _fault: Fault) -> Option<Arc<dyn ClaimSource>> {
        None
    }
}

/// A file in a folder of its own.
struct Written {
    folder: TempDir,
    name: &'static str,
    /// The columns of CSV that are JSON.
    json_columns: &'static [&'static str],
    write: fn(&[User]) -> String,
    /// Lists in lists in lists, where the format has any.
    deep: Option<fn(&str) -> String>,
}

impl Written {
    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }
}

#[async_trait]
impl Place for Written {
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource> {
        fs::write(self.path(), (self.write)(users)).expect("written");
        let config = json!({"file": self.path(), "json_columns": self.json_columns});
        conformance::open::<Static>(config, &SETS, &[]).await
    }

    fn keeps_types(&self) -> bool {
        !self.name.ends_with(".csv") || !self.json_columns.is_empty()
    }

    async fn with(&self, fault: Fault) -> Option<Arc<dyn ClaimSource>> {
        let (path, users) = (self.path(), [ada(self.keeps_types())]);
        let source = self.open(&users).await;
        match fault {
            Fault::Down => fs::remove_file(&path).expect("removed"),
            Fault::Flapping => {
                fs::remove_file(&path).expect("removed");
                tokio::time::advance(LOOKED).await;
                fs::write(&path, (self.write)(&users)).expect("back");
            }
            Fault::Garbage => fs::write(&path, b"\x00\xff<html>").expect("written"),
            Fault::Huge => {
                fs::File::options().write(true).open(&path).and_then(|file| file.set_len(100_000_000)).expect("huge")
            }
            Fault::Deep => fs::write(&path, (self.deep?)(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))))
                .expect("written"),
            Fault::Denying => fs::set_permissions(&path, Permissions::from_mode(0o000)).expect("forbidden"),
            // A file does not hang; what would, a pipe, is not read.
            Fault::Hanging => return None,
        }
        tokio::time::advance(LOOKED).await;
        Some(source)
    }
}

/// Root may read every file, whatever its mode. There the suite runs in a process of its own that may not.
fn can_be_denied(test: &str) -> bool {
    const CHILD: &str = "COUNTERSIGN_TEST_CAN_BE_DENIED";
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::set_permissions(file.path(), Permissions::from_mode(0o000)).expect("forbidden");
    if fs::read(file.path()).is_err() {
        return true;
    }
    assert!(std::env::var_os(CHILD).is_none(), "setpriv left the right to read every file");
    let own = std::env::current_exe().expect("this test");
    let mut child = Command::new("setpriv");
    child.args(["--bounding-set", "-dac_override,-dac_read_search"]).arg(own).args(["--exact", test]);
    let ended = child.env(CHILD, "1").output().expect("setpriv, of util-linux");
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&ended.stderr));
    false
}

fn run(test: &str, place: &dyn Place) {
    if can_be_denied(test) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // The clock is paused, so that nobody waits for the next look at a file.
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(conformance::run(place));
    }
}

fn written(name: &'static str, write: fn(&[User]) -> String, deep: Option<fn(&str) -> String>) -> Written {
    Written { folder: tempfile::tempdir().expect("a folder"), name, json_columns: &[], write, deep }
}

/// `columns` of every user as CSV.
fn csv(columns: &[&str], users: &[User]) -> String {
    let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let value = |user: &User, column: &str| match user.claims.get(column) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let row = |user: &User| {
        let cells = columns.iter().map(|column| cell(&value(user, column)));
        std::iter::once(cell(&user.user_id)).chain(cells).collect::<Vec<_>>().join(",")
    };
    let header = format!("user_id,{}", columns.join(","));
    std::iter::once(header).chain(users.iter().map(row)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_configuration_keeps_the_contract() {
    run("the_configuration_keeps_the_contract", &Inline);
}

#[test]
fn a_json_file_keeps_the_contract() {
    let deep = |lists: &str| format!(r#"{{"by_user_id": {{"ada": {{"plan": {lists}}}}}}}"#);
    let place = written("claims.json", |users| by_user_id(users).to_string(), Some(deep));
    run("a_json_file_keeps_the_contract", &place);
}

#[test]
fn a_toml_file_keeps_the_contract() {
    let deep = |lists: &str| format!("by_user_id.ada.plan = {lists}");
    let write = |users: &[User]| toml::to_string(&by_user_id(users)).expect("TOML");
    run("a_toml_file_keeps_the_contract", &written("claims.toml", write, Some(deep)));
}

#[test]
fn a_csv_file_of_texts_keeps_the_contract() {
    let place = written("claims.csv", |users| csv(&["plan", "title"], users), None);
    run("a_csv_file_of_texts_keeps_the_contract", &place);
}

#[test]
fn a_csv_file_with_json_in_it_keeps_the_contract() {
    let deep = |lists: &str| format!("user_id,companies\nada,{lists}\n");
    let place = Written {
        json_columns: &["seats", "active", "companies"],
        ..written("claims.csv", |users| csv(&SETS, users), Some(deep))
    };
    run("a_csv_file_with_json_in_it_keeps_the_contract", &place);
}
