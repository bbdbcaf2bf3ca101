//! Reads a tree key by key and never stops at a problem. Every key that nobody read is a problem too.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use figment::value::{Dict, Value};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::Problem;
use super::file::Tree;
use crate::secret::Secret;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl Found {
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems.into_inner(), self.warnings.into_inner())
    }
}

/// A table of the tree.
pub(super) struct Table<'t> {
    tree: &'t Tree,
    dict: &'t Dict,
    found: &'t Found,
    path: String,
    read: RefCell<BTreeSet<String>>,
}

/// As many words are simply listed.
const SHORT: usize = 10;
/// How `toml` hands a date to serde.
const TOML_DATE: &str = "$__toml_private_datetime";

impl<'t> Table<'t> {
    pub(super) const fn root(tree: &'t Tree, dict: &'t Dict, found: &'t Found) -> Self {
        Self { tree, dict, found, path: String::new(), read: RefCell::new(BTreeSet::new()) }
    }

    /// The path of a key in this table; a dotted one that is not written here is the path of a key below.
    pub(super) fn path(&self, key: &str) -> String {
        let segments: Vec<&str> = if self.has(key) { vec![key] } else { key.split('.').collect() };
        let bare =
            |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-[]".contains(&b));
        let quoted = segments.into_iter().map(|key| if bare(key) { key.to_owned() } else { format!("{key:?}") });
        let path = quoted.collect::<Vec<_>>().join(".");
        if self.path.is_empty() { path } else { format!("{}.{path}", self.path) }
    }

    fn note(&self, key: &str, wrong: &str, right: &str) -> Problem {
        let file = self.dict.get(key).map_or_else(|| self.place(), |value| self.tree.place(value.tag()).to_owned());
        Problem { file, key: self.path(key), wrong: wrong.to_owned(), right: right.to_owned() }
    }

    fn place(&self) -> String {
        self.dict
            .values()
            .next()
            .map_or_else(|| self.tree.place(figment::value::Tag::Default), |v| self.tree.place(v.tag()))
            .to_owned()
    }

    /// Notes a problem with a key of this table.
    pub(super) fn problem(&self, key: &str, wrong: &str, right: &str) {
        self.found.problems.borrow_mut().push(self.note(key, wrong, right));
    }

    /// Notes something odd.
    pub(super) fn warning(&self, key: &str, wrong: &str, right: &str) {
        self.found.warnings.borrow_mut().push(self.note(key, wrong, right));
    }

    /// Whether the key is written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.dict.contains_key(key)
    }

    fn value(&self, key: &str) -> Option<&'t Value> {
        self.read.borrow_mut().insert(key.to_owned());
        self.dict.get(key)
    }

    fn typed<T>(&self, key: &str, right: &str, read: impl FnOnce(&'t Value) -> Option<T>) -> Option<T> {
        let value = self.value(key)?;
        let typed = read(value);
        if typed.is_none() {
            self.problem(key, "has the wrong type or form", right);
        }
        typed
    }

    /// Text that is not empty.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.typed(key, "must be text that is not empty", |value| {
            value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
        })
    }

    /// Text that must be there.
    pub(super) fn required_text(&self, key: &str, right: &str) -> Option<String> {
        if !self.has(key) {
            self.problem(key, "is missing", right);
            return None;
        }
        self.text(key)
    }

    /// A path.
    pub(super) fn file(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let right = format!("must be one of {}", names.join(", "));
        let text = self.typed(key, &right, Value::as_str)?;
        let word = words.iter().find(|(name, _)| *name == text).map(|(_, word)| *word);
        if word.is_none() {
            let near = nearest(names.iter().copied(), text);
            // A short list says more than a guess at what was meant.
            let right = near.filter(|_| words.len() > SHORT).map_or(right, |near| format!("did you mean {near}?"));
            self.problem(key, "is not one of the words that are known here", &right);
        }
        word
    }

    /// True or false; false where it is absent.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.boolean(key).unwrap_or(false)
    }

    /// True or false.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        self.typed(key, "must be true or false", |value| match value {
            Value::Bool(_, value) => Some(*value),
            Value::String(..)
            | Value::Char(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Dict(..)
            | Value::Array(..) => None,
        })
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, key: &str, bounds: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let right = format!("must be a whole number from {} to {}", bounds.start(), bounds.end());
        self.typed(key, &right, |value| {
            let number = value.to_i128()?;
            i64::try_from(number).ok().filter(|number| bounds.contains(number))
        })
    }

    /// A list of texts that are not empty; an empty list where it is absent.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let texts = self.typed(key, "must be a list of texts, none empty", |value| {
            let texts = value.as_array()?.iter().map(|item| item.as_str().filter(|t| !t.is_empty()).map(str::to_owned));
            texts.collect::<Option<Vec<_>>>()
        });
        texts.unwrap_or_default()
    }

    /// An instant.
    pub(super) fn instant(&self, key: &str) -> Option<UtcDateTime> {
        self.typed(key, "must be a time as in \"2027-03-31T00:00:00Z\" (RFC 3339)", |value| {
            let text = value.as_str().or_else(|| value.find_ref(TOML_DATE)?.as_str())?;
            UtcDateTime::parse(text, &Rfc3339).ok()
        })
    }

    /// A table.
    pub(super) fn table(&self, key: &str) -> Option<Self> {
        self.typed(key, "must be a table", Value::as_dict).map(|dict| self.below(self.path(key), dict))
    }

    /// A table of tables.
    pub(super) fn tables(&self, key: &str) -> Vec<(String, Self)> {
        let Some(table) = self.table(key) else { return Vec::new() };
        let names: Vec<String> = table.dict.keys().cloned().collect();
        names.into_iter().filter_map(|name| table.table(&name).map(|inner| (name, inner))).collect()
    }

    /// A list of tables.
    pub(super) fn list(&self, key: &str) -> Vec<Self> {
        let list = self.typed(key, "must be a list of tables", |value| {
            value.as_array()?.iter().map(Value::as_dict).collect::<Option<Vec<_>>>()
        });
        let path = self.path(key);
        let numbered = list.unwrap_or_default().into_iter().enumerate();
        numbered.map(|(index, dict)| self.below(format!("{path}[{index}]"), dict)).collect()
    }

    /// Whether a list is written that has nothing in it.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.dict.get(key).and_then(Value::as_array).is_some_and(<[Value]>::is_empty)
    }

    /// A table whose content is somebody else's business.
    pub(super) fn foreign(&self, key: &str) -> Option<serde_json::Value> {
        self.typed(key, "must be a table", |value| value.as_dict().and_then(|_| value.deserialize().ok()))
    }

    /// A value whose type is somebody else's business.
    pub(super) fn foreign_value(&self, key: &str) -> Option<serde_json::Value> {
        self.typed(key, "must be a value that JSON has", |value| value.deserialize().ok())
    }

    fn below(&self, path: String, dict: &'t Dict) -> Self {
        Self { tree: self.tree, dict, found: self.found, path, read: RefCell::default() }
    }

    /// A secret by reference: `{ env = "NAME" }` or `{ file = "PATH" }`. One line end at the end of a file is the
    /// editor's, not the secret's.
    pub(super) fn secret(&self, key: &str, env: &BTreeMap<String, String>) -> Option<Secret> {
        const RIGHT: &str = "must be { env = \"NAME\" } or { file = \"PATH\" }; a secret is never written here";
        let value = self.value(key)?;
        let Some(dict) = value.as_dict() else {
            self.problem(key, "is not a reference", RIGHT);
            return None;
        };
        let reference = self.below(self.path(key), dict);
        let (place, part) = match (reference.text("env"), reference.file("file")) {
            (Some(name), None) => (resolve(Place::Env(&name), env), "env"),
            (None, Some(path)) => (resolve(Place::File(&path), env), "file"),
            (Some(_), Some(_)) | (None, None) => {
                self.problem(key, "is not a reference", RIGHT);
                return None;
            }
        };
        let found = place.map_err(|(wrong, right)| reference.problem(part, &wrong, right)).ok();
        reference.done();
        let secret = Secret::new(found?);
        if secret.is_empty() {
            self.problem(key, "is empty", "put the secret there");
            return None;
        }
        Some(secret)
    }

    /// Reports the keys that nobody read, with the nearest that somebody did.
    pub(super) fn done(&self) {
        let read = self.read.borrow();
        for key in self.dict.keys().filter(|key| !read.contains(*key)) {
            let known = || format!("known here: {}", read.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
            let near = nearest(read.iter().map(String::as_str), key);
            let right = near.map_or_else(known, |near| format!("did you mean {near}?"));
            self.problem(key, "is not a key here", &right);
        }
    }
}

/// Where a secret stands.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    /// In the environment variable of that name.
    Env(&'p str),
    /// In the file at that path.
    File(&'p Path),
}

/// The bytes of a secret; else what is wrong and what would be right.
pub(super) fn resolve(place: Place<'_>, env: &BTreeMap<String, String>) -> Result<Vec<u8>, (String, &'static str)> {
    match place {
        Place::Env(name) => {
            let found = env.get(name).map(|value| value.clone().into_bytes());
            let wrong = "names a variable that is not set".to_owned();
            found.ok_or((wrong, "export it, or correct the name"))
        }
        Place::File(path) => std::fs::read(path)
            .map(without_line_end)
            .map_err(|error| (format!("cannot be read: {}", plainly(&error)), "name a readable file")),
    }
}

/// Why a file cannot be read, in an operator's words.
pub(super) fn plainly(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let kind = error.kind();
    let words = [
        (ErrorKind::NotFound, "there is no such file"),
        (ErrorKind::PermissionDenied, "this user may not"),
        (ErrorKind::IsADirectory, "it is a directory"),
    ];
    let plain = words.iter().find(|(known, _)| *known == kind);
    plain.map_or_else(|| kind.to_string(), |(_, words)| (*words).to_owned())
}

/// The known word that was most likely meant: at most two slips away.
fn nearest<'w>(words: impl Iterator<Item = &'w str>, written: &str) -> Option<&'w str> {
    let distances = words.map(|word| (strsim::damerau_levenshtein(word, written), word));
    // A word of three letters is two slips away from most others.
    distances.min().filter(|(distance, word)| *distance <= 2 && *distance * 2 < word.len()).map(|(_, word)| word)
}

fn without_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}
