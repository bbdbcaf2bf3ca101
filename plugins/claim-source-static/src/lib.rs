//! Claims that are written down: in the configuration, or in a JSON, TOML or CSV file that is read again when it changes.
//! The same for everybody, or by user id or e-mail address.
//!
//! It asks nobody, so it is as good as what was written. It keeps no old version of a file: what a fault of the file
//! leads to is the operator's choice (`on_error`).

mod file;
mod format;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Answer, Ask, Check, ClaimSource, OpenError, SourceKind};
use schemars::JsonSchema;
use serde::Deserialize;

use self::file::File;
use self::format::Format;
use self::tables::{Claims, Table, Tables};

/// `kind = "static"`
#[derive(Clone, Copy, Debug)]
pub struct Static;

/// `[sources.<name>.config]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What everybody has.
    claims: Claims,
    /// What this user id has. It goes before `by_email`.
    by_user_id: Table,
    /// What this email address has, exactly as written. It goes before `claims`.
    by_email: Table,
    /// A file with more of them: `.json` and `.toml` have the same three tables, `.csv` has one row for each user. It is
    /// read again when it changes, and must be there when the server starts.
    file: Option<PathBuf>,
    /// The columns of a CSV file whose cells are JSON, as numbers and lists are. Every other cell is text.
    json_columns: Vec<String>,
}

/// A configuration in which nothing is wrong.
#[derive(Debug)]
pub struct Checked {
    own: Tables,
    file: Option<(PathBuf, Format)>,
}

#[async_trait]
impl SourceKind for Static {
    const NAME: &'static str = "static";
    type Config = Config;
    type Checked = Checked;

    fn check(config: Config, check: &Check<'_>) -> Option<Checked> {
        let has_file = config.file.is_some();
        let own = Tables { claims: config.claims, by_user_id: config.by_user_id, by_email: config.by_email };
        for (key, claims) in own.named() {
            check.undeclared(key, claims);
        }
        check.undeclared("json_columns", config.json_columns.iter());
        if own == Tables::default() && !has_file {
            check.problem(
                "claims",
                "is empty, and so are by_user_id, by_email and file",
                "claims = { plan = \"Free\" }",
            );
        }
        // A file may come to hold either table later.
        if has_file || !own.by_user_id.is_empty() {
            check.asks_with("user_id");
        }
        if has_file || !own.by_email.is_empty() {
            check.asks_with("email");
        }
        let file = file(config.file, config.json_columns, check);
        Some(Checked { own, file })
    }

    async fn open(checked: Checked) -> Result<Arc<dyn ClaimSource>, OpenError> {
        let file = match checked.file {
            Some((path, format)) => Some(File::open(path, format).await?),
            None => None,
        };
        Ok(Arc::new(Open { own: checked.own, file }))
    }
}

/// The file and how to read it. It is read here once, so that what is wrong with it is found with the rest.
fn file(path: Option<PathBuf>, json_columns: Vec<String>, check: &Check<'_>) -> Option<(PathBuf, Format)> {
    let extension = path.as_ref().and_then(|path| path.extension()?.to_str());
    if !json_columns.is_empty() && extension != Some("csv") {
        check.problem("json_columns", "is there without a CSV file", "remove it, or name a .csv file");
    }
    let Some(format) = Format::new(extension, check.sets(), json_columns) else {
        if path.is_some() {
            check.problem("file", "has a name that does not say what it is", "end it in .json, .toml or .csv");
        }
        return None;
    };
    let path = path?;
    if let Err(why) = format.read(&check.file("file", &path)?) {
        check.problem("file", why.to_string(), "mend the file, or name another");
    }
    Some((path, format))
}

struct Open {
    own: Tables,
    file: Option<Arc<File>>,
}

#[async_trait]
impl ClaimSource for Open {
    async fn claims(&self, ask: &Ask) -> Answer {
        match &self.file {
            None => tables::answer(&[&self.own], ask),
            Some(file) => match file.tables().await {
                Ok(tables) => tables::answer(&[&self.own, &tables], ask),
                Err(fault) => fault.answer(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use countersign_claim_source::conformance::{self, TestSecrets};
    use serde_json::{Value, json};

    use super::*;

    fn wrong_keys(config: Value, sets: &[&str]) -> Vec<String> {
        let problems = conformance::check::<Static>(config, sets, &[]).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.key).collect()
    }

    /// A file of this name and content in a folder of its own.
    fn written(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        (folder, path)
    }

    #[test]
    fn every_claim_is_one_that_the_source_says_it_sets() {
        let by = json!({"x": {"plan": "Gold"}});
        for (config, key) in [
            (json!({"claims": {"plan": 1}}), "claims"),
            (json!({"by_user_id": by}), "by_user_id"),
            (json!({"by_email": by}), "by_email"),
        ] {
            assert_eq!(wrong_keys(config.clone(), &["title"]), [key]);
            assert!(wrong_keys(config, &["plan"]).is_empty());
        }
        let all = json!({"claims": {"plan": 1}, "by_user_id": by, "by_email": by});
        assert_eq!(wrong_keys(all, &[]), ["claims", "by_user_id", "by_email"]);
        let (_folder, path) = written("claims.json", br#"{"claims": {"plan": 1}}"#);
        assert_eq!(wrong_keys(json!({"file": path}), &["title"]), ["file"]);
        assert!(wrong_keys(json!({"file": path}), &["plan"]).is_empty());
    }

    #[test]
    fn what_is_wrong_is_found_when_the_configuration_is_loaded() {
        let (_folder, text) = written("claims.txt", b"{}");
        let (_folder, broken) = written("claims.json", b"{");
        let (_folder, whole) = written("claims.json", b"{}");
        for (config, keys) in [
            (json!({}), vec!["claims"]),
            (json!({"file": text}), vec!["file"]),
            (json!({"file": broken}), vec!["file"]),
            (json!({"file": "/no/such/claims.json"}), vec!["file"]),
            (json!({"file": whole, "json_columns": ["plan"]}), vec!["json_columns"]),
            (json!({"claims": {"plan": 1}, "json_columns": ["plan"]}), vec!["json_columns"]),
            (json!({"claims": {"other": 1}, "file": broken}), vec!["claims", "file"]),
        ] {
            assert_eq!(wrong_keys(config.clone(), &["plan"]), keys, "{config}");
        }
        let (_folder, csv) = written("claims.csv", b"user_id,plan\n");
        assert_eq!(wrong_keys(json!({"file": csv, "json_columns": ["seats"]}), &["plan"]), ["json_columns"]);
        assert!(conformance::check::<Static>(json!({"clams": {}}), &[], &[]).is_err(), "a key that is not known");
    }

    #[test]
    fn the_host_is_told_what_the_source_asks_with() {
        let by = json!({"x": {"plan": "Gold"}});
        let (_folder, path) = written("claims.json", b"{}");
        for (config, names) in [
            (json!({"claims": {"plan": 1}}), vec![]),
            (json!({"by_user_id": by}), vec!["user_id"]),
            (json!({"by_email": by}), vec!["email"]),
            (json!({"file": path}), vec!["email", "user_id"]),
        ] {
            let (sets, secrets) = (["plan".to_owned()], TestSecrets::default());
            let check = Check::new(&sets, &[], &secrets);
            assert!(Static::check(serde_json::from_value(config).expect("a configuration"), &check).is_some());
            let (_, used) = check.into_parts();
            assert_eq!(used, names.into_iter().map(str::to_owned).collect::<BTreeSet<_>>());
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_when_the_source_is_opened_is_an_error() {
        let (folder, path) = written("claims.json", b"{}");
        let checked = conformance::check::<Static>(json!({"file": path}), &["plan"], &[]).expect("no problem");
        drop(folder);
        let error = Static::open(checked).await.err();
        assert_eq!(error, Some(OpenError("the file is not there".to_owned())));
    }
}
