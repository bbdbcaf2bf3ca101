//! What an application asks of which source, and in which order: worked out once, when the configuration is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::kept::Key;
use crate::attributes::{Attributes, Origin};
use crate::identity::{Field, Identity, SubjectKind};

/// What an application asks of which source, and what has to be known first.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// By the source's name.
    pub(super) parts: BTreeMap<String, Part>,
    /// Claims that wait for others.
    pub(super) waits: BTreeMap<String, Vec<String>>,
}

/// What an application asks of one source.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The claims, by the source's own names.
    pub(super) wanted: Arc<[String]>,
    /// The claims that have to be settled before it is asked.
    pub(super) waits: Vec<String>,
    /// The claims that it is told.
    pub(super) known: Vec<String>,
    /// The claims that an answer depends on, besides the user.
    depends: Vec<String>,
    /// What every key of the cache begins with: the application, the source, its configuration, what is wanted.
    prefix: Key,
}

/// What the plan has to know of a source.
#[derive(Clone, Debug)]
pub struct Asked<'s> {
    /// What the operator says it needs.
    pub needs: &'s [String],
    /// What its templates name.
    pub asks_with: &'s BTreeSet<String>,
    /// A digest of its configuration.
    pub version: [u8; 32],
}

/// Claims that wait for each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle(pub Vec<String>);

impl Plan {
    /// The plan of an application; the circle, where claims wait for each other.
    pub fn of(application: &str, users: &Attributes, sources: &BTreeMap<String, Asked<'_>>) -> Result<Self, Circle> {
        let mut plan = Self::default();
        for (claim, _) in users.rules() {
            let shape = users.shape(claim);
            let computed = shape.value.iter().flat_map(|value| value.names().map(str::to_owned));
            let waits: Vec<String> = shape.needs.iter().cloned().chain(computed).filter(|n| !is_given(n)).collect();
            if !waits.is_empty() {
                plan.waits.insert(claim.to_owned(), waits);
            }
        }
        for (name, asked) in sources {
            let origin = Origin::Source(name.clone());
            let served = users.rules().filter(|(_, rule)| rule.from.contains(&origin)).map(|(claim, _)| claim);
            let served: Vec<&str> = served.collect();
            if !served.is_empty() {
                plan.parts.insert(name.clone(), Part::of(application, name, users, asked, &served));
            }
        }
        plan.circle(users).map_or(Ok(plan), Err)
    }

    /// What a claim waits for: what it needs itself, and what the sources need that may be asked for it.
    fn before<'p>(&'p self, claim: &str, users: &'p Attributes) -> BTreeSet<&'p str> {
        let own = self.waits.get(claim).into_iter().flatten();
        let rule = users.rules().find(|(name, _)| *name == claim).map(|(_, rule)| rule);
        let from = rule.into_iter().flat_map(|rule| &rule.from);
        let parts = from.filter_map(|origin| match origin {
            Origin::Caller => None,
            Origin::Source(name) => self.parts.get(name),
        });
        own.chain(parts.flat_map(|part| &part.waits)).map(String::as_str).collect()
    }

    fn circle(&self, users: &Attributes) -> Option<Circle> {
        // Depth first, with the way that led here; what was seen through is not looked at again.
        fn walk<'p>(
            (plan, users): (&'p Plan, &'p Attributes),
            claim: &'p str,
            way: &mut Vec<&'p str>,
            done: &mut BTreeSet<&'p str>,
        ) -> Option<Circle> {
            if let Some(at) = way.iter().position(|passed| *passed == claim) {
                return Some(Circle(way.iter().skip(at).map(|claim| (*claim).to_owned()).collect()));
            }
            if done.contains(claim) {
                return None;
            }
            way.push(claim);
            let found = plan.before(claim, users).into_iter().find_map(|next| walk((plan, users), next, way, done));
            way.pop();
            done.insert(claim);
            found
        }
        let mut done = BTreeSet::new();
        users.rules().find_map(|(claim, _)| walk((self, users), claim, &mut Vec::new(), &mut done))
    }
}

impl Part {
    fn of(application: &str, name: &str, users: &Attributes, asked: &Asked<'_>, served: &[&str]) -> Self {
        let wanted: BTreeSet<&str> = served.iter().map(|claim| users.shape(claim).sources_name(claim)).collect();
        let wanted: Arc<[String]> = wanted.into_iter().map(str::to_owned).collect();
        // A source that can find the e-mail address asks with it where it is there, and does not wait for itself.
        let email = Field::Email.name();
        let email = Some(email).filter(|email| asked.asks_with.contains(*email) && !served.contains(email));
        let depends: BTreeSet<String> = asked.asks_with.iter().chain(asked.needs).cloned().collect();
        let waits: BTreeSet<&str> = asked.needs.iter().map(String::as_str).chain(email).collect();
        let mut digest = Sha256::new_with_prefix(asked.version);
        for claim in wanted.iter() {
            digest.update(claim.len().to_be_bytes());
            digest.update(claim);
        }
        let mut prefix = Key::new();
        for part in [application.as_bytes(), name.as_bytes(), digest.finalize().as_slice()] {
            write(&mut prefix, Some(part));
        }
        Self {
            wanted,
            waits: waits.into_iter().filter(|name| !is_given(name)).map(str::to_owned).collect(),
            known: asked.needs.iter().filter(|name| !is_identifier(name)).cloned().collect(),
            depends: depends.into_iter().filter(|name| name != "application" && !is_identifier(name)).collect(),
            prefix,
        }
    }

    /// The key of the answer to what is known of a user. All of the user's identifiers are in it, also where the source
    /// asks with none of them: whoever invalidates one means every answer that was given to that user.
    pub(super) fn key(&self, identity: &Identity) -> Key {
        let mut key = self.prefix.clone();
        for kind in SubjectKind::ALL {
            write(&mut key, identity.identifier(kind).map(str::as_bytes));
        }
        for name in &self.depends {
            let value = super::claims::value(identity, name).map(|value| value.to_string());
            write(&mut key, value.as_ref().map(String::as_bytes));
        }
        key
    }
}

fn is_identifier(name: &str) -> bool {
    SubjectKind::named(name).is_some()
}

/// Whether the name is of what nothing has to be asked for.
fn is_given(name: &str) -> bool {
    name == Field::UserId.name() || name == "application"
}

/// Length-prefixed; what is not there is told apart from what is empty.
fn write(key: &mut Key, part: Option<&[u8]>) {
    match part {
        None => key.push(0),
        Some(part) => {
            key.push(1);
            key.extend((part.len() as u64).to_be_bytes());
            key.extend(part);
        }
    }
}
