//! The test suite that every kind passes: what the host relies on, shown on a real place with real data.
//!
//! A kind's test implements [`Place`] over the thing that it reads (a database, a server) and calls [`run`]. The suite
//! panics with the name of the rule that is broken, as a test does.

#![allow(clippy::panic, clippy::missing_panics_doc, reason = "it is a test, and says so by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::join_all;
use serde_json::{Map, Value, json};

use crate::{Answer, Ask, Check, ClaimSource, ConfigProblem, Reference, Secret, Secrets, SourceKind};

/// The claims that the suite's sources set. `seats`, `active` and `companies` are there only where the place keeps
/// their types ([`Place::keeps_types`]).
pub const SETS: [&str; 5] = ["plan", "title", "seats", "active", "companies"];

/// A user of the suite.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The user id, which may be hostile.
    pub user_id: String,
    /// The claims of [`SETS`] that the place holds for the user. A place that does not keep types holds the texts.
    pub claims: Map<String, Value>,
}

/// What is wrong with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens: connections are refused, or the thing is not there.
    Down,
    /// It takes the question and never answers.
    Hanging,
    /// It was there when the source was opened, went away while nobody asked, and is back.
    Flapping,
    /// It answers something that is not what it should be.
    Garbage,
    /// It answers 100 MB, or for ever.
    Huge,
    /// It answers JSON that is nested 100,000 levels deep.
    Deep,
    /// It does not let us read.
    Denying,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] =
        [Self::Down, Self::Hanging, Self::Flapping, Self::Garbage, Self::Huge, Self::Deep, Self::Denying];
}

/// A place that a source reads.
#[async_trait]
pub trait Place: Send + Sync {
    /// A source over a place that holds exactly these users and finds them by their user id. It sets [`SETS`].
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource>;

    /// Whether numbers, booleans and lists come back as what they are; else every value is text.
    fn keeps_types(&self) -> bool {
        true
    }

    /// A source over a place with this fault, in which [`ada`] is; none where the kind cannot have the fault.
    async fn with(&self, fault: Fault) -> Option<Arc<dyn ClaimSource>>;
}

/// A user that is in every place.
#[must_use]
pub fn ada(keeps_types: bool) -> User {
    user("ada", "Gold", keeps_types)
}

/// User ids that try to be more than one value, or another one.
pub const HOSTILE: [&str; 13] = [
    "../admin",
    "a/b",
    "%2e%2e",
    "a:b",
    "a?b=c&d#e",
    "o'brien",
    "'; DROP TABLE users; --",
    "\" or 1=1",
    "{email}",
    "a b\\c",
    "user:*",
    "zoë@b.example",
    "$(id)`id`",
];

/// Runs the whole suite.
pub async fn run(place: &dyn Place) {
    let keeps = place.keeps_types();
    let mut users = vec![ada(keeps), user("admin", "NOT-YOURS", keeps), user(&"x".repeat(512), "Long", keeps)];
    users.extend(HOSTILE.iter().enumerate().map(|(index, id)| user(id, &format!("plan {index}"), keeps)));
    let source = place.open(&users).await;

    for user in &users {
        rule("a user's own claims are found, whatever the id", found(&*source, &user.user_id).await == user.claims);
    }
    rule("an unknown user is absent", source.claims(&ask(Some("nobody"), &SETS)).await == Answer::NotFound);
    rule(
        "what everybody's pattern fits is nobody's id",
        source.claims(&ask(Some("ad*"), &SETS)).await == Answer::NotFound,
    );
    let only = claims_of(source.claims(&ask(Some("ada"), &["plan"])).await);
    rule("a wanted claim is found alone", only.get("plan") == Some(&json!("Gold")));
    rule("nothing is found that was not set", only.keys().all(|claim| SETS.contains(&claim.as_str())));
    let unasked = source.claims(&ask(None, &SETS)).await;
    rule("an identifier that is needed and not there is missing", unasked == Answer::Missing("user_id".to_owned()));

    let many = (0..200).map(|n| {
        let user = users.get(n % users.len()).cloned();
        let source = &source;
        async move {
            let Some(user) = user else { return false };
            found(&**source, &user.user_id).await == user.claims
        }
    });
    rule("two hundred at once are not mixed up", join_all(many).await.into_iter().all(|own| own));

    for polls in 0..40 {
        dropped_after(polls, source.claims(&ask(Some("ada"), &SETS))).await;
    }
    rule("a call that was dropped leaves nothing behind", found(&*source, "ada").await == ada(keeps).claims);

    let sparse = User { claims: Map::from_iter([("plan".to_owned(), json!("Gold"))]), ..ada(keeps) };
    let source = place.open(std::slice::from_ref(&sparse)).await;
    rule("a claim that a user does not have is absent", found(&*source, "ada").await == sparse.claims);

    for fault in Fault::ALL {
        if let Some(source) = place.with(fault).await {
            judge(fault, &*source, &ada(keeps)).await;
        }
    }
}

async fn judge(fault: Fault, source: &dyn ClaimSource, ada: &User) {
    let ask = ask(Some("ada"), &SETS);
    match fault {
        Fault::Flapping => {
            for _ in 0..100 {
                match within(Duration::from_secs(5), source.claims(&ask)).await {
                    Some(Answer::Found { claims, .. }) if own(&claims) == ada.claims => return,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            rule("a place that comes back is connected to again", false);
        }
        Fault::Hanging => {
            let answer = within(Duration::from_millis(500), source.claims(&ask)).await;
            let kept = matches!(answer, None | Some(Answer::Unavailable(_)));
            rule("a place that hangs is waited for, or unavailable", kept);
        }
        Fault::Down | Fault::Garbage | Fault::Huge | Fault::Deep | Fault::Denying => {
            let answer = within(Duration::from_secs(20), source.claims(&ask)).await;
            let right = match (fault, &answer) {
                (Fault::Down, Some(Answer::Unavailable(_)))
                | (Fault::Garbage | Fault::Huge | Fault::Deep, Some(Answer::Malformed(_)))
                | (Fault::Denying, Some(Answer::Denied(_))) => true,
                // Nobody can answer at all is as good as down.
                (Fault::Down, None) => true,
                _ => false,
            };
            assert!(right, "conformance: {fault:?} was answered by {answer:?}");
        }
    }
}

#[track_caller]
fn rule(rule: &str, holds: bool) {
    assert!(holds, "conformance: {rule}");
}

fn user(id: &str, plan: &str, keeps_types: bool) -> User {
    let company = json!([{"id": "c1", "name": "One"}]);
    let typed = json!({"plan": plan, "title": "Count's \"ess\"", "seats": 12, "active": true, "companies": company});
    let text = json!({"plan": plan, "title": "Count's \"ess\""});
    let claims = if keeps_types { typed } else { text };
    User { user_id: id.to_owned(), claims: claims.as_object().cloned().unwrap_or_default() }
}

/// A question of the suite.
#[must_use]
pub fn ask(user_id: Option<&str>, wanted: &[&str]) -> Ask {
    Ask {
        application: "acme/feedback".into(),
        user_id: user_id.map(str::to_owned),
        email: None,
        known: Map::new(),
        wanted: wanted.iter().map(|claim| (*claim).to_owned()).collect(),
        time: Duration::from_secs(5),
    }
}

async fn found(source: &dyn ClaimSource, user_id: &str) -> Map<String, Value> {
    own(&claims_of(source.claims(&ask(Some(user_id), &SETS)).await))
}

/// The claims that are there: `null` is absent.
fn own(claims: &Map<String, Value>) -> Map<String, Value> {
    claims.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn claims_of(answer: Answer) -> Map<String, Value> {
    let Answer::Found { claims, .. } = answer else {
        panic!("conformance: claims were expected, and the answer is {answer:?}");
    };
    claims
}

async fn within<T>(time: Duration, answer: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, answer).await.ok()
}

/// Polls a call that many times and drops it.
async fn dropped_after(polls: usize, call: impl Future<Output = Answer>) {
    let mut call = Box::pin(call);
    for _ in 0..polls {
        if call.as_mut().now_or_never().is_some() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Secrets and files for a test's configuration: variables by name, and every readable file.
#[derive(Clone, Debug, Default)]
pub struct TestSecrets(pub BTreeMap<String, String>);

impl Secrets for TestSecrets {
    fn resolve(&self, reference: &Reference) -> Result<Secret, (String, String)> {
        let found = match reference {
            Reference::Env(name) => self.0.get(name).cloned(),
            Reference::File(path) => std::fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned()),
        };
        found.map(Secret::new).ok_or_else(|| ("leads nowhere".to_owned(), "set it".to_owned()))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| error.kind().to_string())
    }
}

/// Checks a configuration as the host does; the problems where there are any.
pub fn check<K: SourceKind>(config: Value, sets: &[&str], needs: &[&str]) -> Result<K::Checked, Vec<ConfigProblem>> {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (sets, needs, secrets) = (own(sets), own(needs), TestSecrets::default());
    let check = Check::new(&sets, &needs, &secrets);
    let config: K::Config = serde_json::from_value(config)
        .map_err(|error| vec![ConfigProblem { key: String::new(), wrong: error.to_string(), right: String::new() }])?;
    let checked = K::check(config, &check);
    let (problems, _) = check.into_parts();
    checked.filter(|_| problems.is_empty()).ok_or(problems)
}

/// Checks a configuration that must be right, and opens the source.
pub async fn open<K: SourceKind>(config: Value, sets: &[&str], needs: &[&str]) -> Arc<dyn ClaimSource> {
    match check::<K>(config, sets, needs) {
        Ok(checked) => match K::open(checked).await {
            Ok(source) => source,
            Err(error) => panic!("conformance: the source cannot be opened: {error}"),
        },
        Err(problems) => panic!("conformance: the configuration has problems: {problems:#?}"),
    }
}
