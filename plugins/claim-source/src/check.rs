//! What a kind checks its configuration against, and where it tells what is wrong.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use url::Url;

use crate::{Reference, Secret, Template, Text};

/// What is wrong with a source's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key below `config`, such as `by_user_id`. Never a value: a mistyped key may hold a secret.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

/// Where references to secrets lead, and files are read. The host's; tests have their own.
pub trait Secrets {
    /// The text that the reference leads to; else what is wrong and what would be right, without quoting a value.
    fn resolve(&self, reference: &Reference) -> Result<Secret, (String, String)>;

    /// The content of a file of the configuration; else what is wrong.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String>;
}

/// What a kind checks its configuration against, and where it tells what is wrong.
pub struct Check<'c> {
    sets: &'c [String],
    needs: &'c [String],
    secrets: &'c dyn Secrets,
    used: RefCell<BTreeSet<String>>,
    problems: RefCell<Vec<ConfigProblem>>,
}

/// What every template may name besides the claims that the source `needs`.
const IDENTIFIERS: [&str; 3] = ["user_id", "email", "application"];

impl<'c> Check<'c> {
    /// A check of a source that `sets` and `needs` these claims.
    pub fn new(sets: &'c [String], needs: &'c [String], secrets: &'c dyn Secrets) -> Self {
        Self { sets, needs, secrets, used: RefCell::default(), problems: RefCell::default() }
    }

    /// The claims that the operator says this source sets.
    #[must_use]
    pub const fn sets(&self) -> &'c [String] {
        self.sets
    }

    /// The claims that have to be known before this source is asked.
    #[must_use]
    pub const fn needs(&self) -> &'c [String] {
        self.needs
    }

    /// Whether the source says that it sets this claim.
    #[must_use]
    pub fn may_set(&self, claim: &str) -> bool {
        self.sets.iter().any(|set| set == claim)
    }

    /// Tells a problem with a key.
    pub fn problem(&self, key: &str, wrong: impl Into<String>, right: impl Into<String>) {
        let problem = ConfigProblem { key: key.to_owned(), wrong: wrong.into(), right: right.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// Tells a problem for the first claim that the source does not say it sets.
    pub fn undeclared<'n>(&self, key: &str, mut claims: impl Iterator<Item = &'n String>) {
        if claims.any(|claim| !self.may_set(claim)) {
            let wrong = "has a claim that the source does not say it sets";
            self.problem(key, wrong, "add the claim to `sets`, or remove it");
        }
    }

    /// The text itself, or where its reference leads.
    pub fn text(&self, key: &str, text: &Text) -> Option<Secret> {
        match text {
            Text::Plain(text) if text.is_empty() => {
                self.problem(key, "is empty", "write it, or remove the key");
                None
            }
            Text::Plain(text) => Some(Secret::new(text.clone())),
            Text::Reference(reference) => self.secret(key, reference),
        }
    }

    /// Where the reference leads.
    pub fn secret(&self, key: &str, reference: &Reference) -> Option<Secret> {
        let resolved = self.secrets.resolve(reference);
        resolved.map_err(|(wrong, right)| self.problem(key, wrong, right)).ok()
    }

    /// An address with one of these schemes. One that is written as it is may hold no password.
    pub fn url(&self, key: &str, text: &Text, schemes: &[&str]) -> Option<Secret> {
        let secret = self.text(key, text)?;
        let right = || format!("an address that begins with {}", schemes.join(":// or ") + "://");
        let Ok(url) = Url::parse(secret.expose()) else {
            self.problem(key, "is not an address", right());
            return None;
        };
        if !schemes.contains(&url.scheme()) {
            self.problem(key, "has a scheme that is not known here", right());
            return None;
        }
        if matches!(text, Text::Plain(_)) && url.password().is_some() {
            self.problem(
                key,
                "holds a password",
                "{ env = \"NAME\" } or { file = \"PATH\" }: a secret is not written here",
            );
            return None;
        }
        Some(secret)
    }

    /// A template in which every brace belongs to a placeholder that is known: `{user_id}`, `{email}`, `{application}`
    /// or a claim that the source `needs`. `{{` and `}}` are braces.
    pub fn template(&self, key: &str, text: &str) -> Option<Template> {
        let parsed = Template::strict(text, &self.names());
        self.keep(key, parsed)
    }

    /// A template in which only known placeholders are replaced and every other brace stands for itself, as in JSON.
    pub fn body(&self, key: &str, text: &str) -> Option<Template> {
        self.keep(key, Ok(Template::lenient(text, &self.names())))
    }

    fn keep(&self, key: &str, parsed: Result<Template, &'static str>) -> Option<Template> {
        match parsed {
            Ok(template) => {
                self.used.borrow_mut().extend(template.names().map(str::to_owned));
                Some(template)
            }
            Err(wrong) => {
                let known: Vec<String> = self.names().iter().map(|name| format!("{{{name}}}")).collect();
                self.problem(key, wrong, format!("known: {}; {{{{ for a brace", known.join(", ")));
                None
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        IDENTIFIERS.into_iter().chain(self.needs.iter().map(String::as_str)).collect()
    }

    /// Says that the source asks with this identifier or claim, where no template says so.
    pub fn asks_with(&self, name: &str) {
        self.used.borrow_mut().insert(name.to_owned());
    }

    /// The content of a file.
    pub fn file(&self, key: &str, path: &Path) -> Option<Vec<u8>> {
        let read = self.secrets.read(path);
        read.map_err(|wrong| self.problem(key, format!("cannot be read: {wrong}"), "name a readable file")).ok()
    }

    /// What was found, for the host: the problems, and the identifiers and claims that the source asks with.
    #[must_use]
    pub fn into_parts(self) -> (Vec<ConfigProblem>, BTreeSet<String>) {
        (self.problems.into_inner(), self.used.into_inner())
    }
}

impl std::fmt::Debug for Check<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("sets", &self.sets).field("needs", &self.needs).finish_non_exhaustive()
    }
}
