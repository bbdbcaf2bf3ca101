//! The configuration file and the environment, merged by figment into one tree. Nothing is understood here.

use std::collections::BTreeMap;
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Tag, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};
use sha2::{Digest as _, Sha256};

use super::Problem;
use super::reader::{Found, Table, plainly};
use crate::profile::position;

/// Only these sections can be set by the environment: a Kubernetes Service named `countersign` injects variables of
/// its own (`COUNTERSIGN_PORT`), and secrets have references.
const SECTIONS: [&str; 3] = ["server", "store", "audit"];
const PREFIX: &str = "COUNTERSIGN__";

/// A merged configuration.
pub(super) struct Tree {
    name: String,
    dict: Dict,
    figment: Figment,
    /// The first half of the file's SHA-256, in hexadecimal. Secrets are not in the file.
    pub(super) digest: String,
    /// What was wrong before anything was read.
    pub(super) problems: Vec<Problem>,
}

/// Reads the file and merges the environment over it.
pub(super) fn read(path: &Path, env: &BTreeMap<String, String>) -> Result<Tree, Vec<Problem>> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&name, &text, env),
        Err(error) => Err(vec![Problem {
            file: name,
            key: String::new(),
            wrong: format!("cannot be read: {}", plainly(&error)),
            right: "name a readable file with --config".to_owned(),
        }]),
    }
}

/// Merges the environment over the text of a file.
pub(super) fn parse(name: &str, text: &str, env: &BTreeMap<String, String>) -> Result<Tree, Vec<Problem>> {
    let problem = |file: &str, key: &str, wrong: String, right: &str| Problem {
        file: file.to_owned(),
        key: key.to_owned(),
        wrong,
        right: right.to_owned(),
    };
    // The parser's own text quotes the line, which may hold a secret: only the place is told.
    if let Err(error) = toml::from_str::<toml::Table>(text) {
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        let wrong = format!("is not valid TOML at line {line}, column {column}");
        return Err(vec![problem(name, "", wrong, "look for a missing quote or bracket, or a key that comes twice")]);
    }
    let (environment, foreign) = Environment::of(env);
    let figment = Figment::from(Toml::string(text)).merge(environment);
    let mut problems: Vec<_> = foreign
        .into_iter()
        .map(|key| {
            problem(
                "environment",
                &key,
                "cannot be set by the environment".to_owned(),
                "only server, store and audit can",
            )
        })
        .collect();
    match figment.extract::<Dict>() {
        Ok(dict) => Ok(Tree { name: name.to_owned(), dict, figment, digest: digest(text), problems }),
        Err(_quotes_values) => {
            problems.push(problem(
                name,
                "",
                "cannot be merged with the environment".to_owned(),
                "unset COUNTERSIGN__*",
            ));
            Err(problems)
        }
    }
}

/// A tree that did not come from a file; none where the value is no table.
pub(super) fn of(name: &str, value: serde_json::Value) -> Option<Tree> {
    let Value::Dict(_, dict) = of_json(value) else { return None };
    let digest = String::new();
    Some(Tree { name: name.to_owned(), dict, figment: Figment::new(), digest, problems: Vec::new() })
}

/// figment's own way of a JSON number is a table, where any crate of the build asks serde_json for numbers of any size.
fn of_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Empty(Tag::Default, figment::value::Empty::None),
        serde_json::Value::Bool(value) => value.into(),
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        serde_json::Value::Array(items) => items.into_iter().map(of_json).collect::<Vec<_>>().into(),
        serde_json::Value::Object(members) => {
            members.into_iter().map(|(key, value)| (key, of_json(value))).collect::<Dict>().into()
        }
    }
}

impl Tree {
    /// The whole tree, for reading.
    pub(super) fn root<'t>(&'t self, found: &'t Found) -> Table<'t> {
        Table::root(self, &self.dict, found)
    }

    /// Where a value stands: the file's name, or `environment`.
    pub(super) fn place(&self, tag: Tag) -> &str {
        match self.figment.get_metadata(tag) {
            Some(metadata) if metadata.name == Environment::NAME => Environment::NAME,
            Some(_) | None => &self.name,
        }
    }
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text);
    hex::encode(digest.split_at(digest.len() / 2).0)
}

struct Environment(Dict);

impl Environment {
    const NAME: &'static str = "environment";

    /// The variables that are configuration, and the names of those that would like to be and cannot.
    fn of(env: &BTreeMap<String, String>) -> (Self, Vec<String>) {
        let (mut dict, mut foreign) = (Dict::new(), Vec::new());
        for (name, text) in env {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let path = rest.to_ascii_lowercase().replace("__", ".");
            if !path.split('.').next().is_some_and(|section| SECTIONS.contains(&section)) {
                foreign.push(name.clone());
                continue;
            }
            join(&mut dict, figment::util::nest(&path, value(text)));
        }
        (Self(dict), foreign)
    }
}

/// A TOML value where the text is one (`true`, `{ env = "NAME" }`), else the text itself.
fn value(text: &str) -> Value {
    let read = toml::from_str::<toml::Table>(&format!("value = {text}"));
    let one = read.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    one.and_then(|value| Value::serialize(value).ok()).unwrap_or_else(|| Value::from(text))
}

fn join(into: &mut Dict, value: Value) {
    let Value::Dict(_, dict) = value else { return };
    for (key, value) in dict {
        match (into.get_mut(&key), value) {
            (Some(Value::Dict(_, inner)), value @ Value::Dict(..)) => join(inner, value),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(Self::NAME)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}
