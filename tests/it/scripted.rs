//! A sixth kind of claim source, for the tests alone: it does what its script says and counts how often it was asked.
//! Nothing but the list of kinds knows it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use countersign::pipeline::registry::{Kind, Of};
use countersign_claim_source::{Answer, Ask, Check, ClaimSource, OpenError, SourceKind, Template};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use crate::harness::Setup;

/// What a source of a test does, by its name in `config.script`.
static SCRIPTS: LazyLock<Mutex<BTreeMap<String, Arc<Script>>>> = LazyLock::new(Mutex::default);

/// The kind, for a list of kinds.
pub const SCRIPTED: &dyn Kind = &Of::<Scripted>::KIND;

type Play = Box<dyn Fn(&Ask) -> Act + Send + Sync>;

/// What a source does when it is asked.
pub enum Act {
    /// Answers.
    Say(Answer),
    /// Never answers.
    Hang,
    /// Answers when the gate has a permit, and takes it.
    Wait(Arc<Semaphore>, Answer),
    Panic,
}

/// A script, and what was asked of it.
pub struct Script {
    play: Mutex<Play>,
    calls: AtomicUsize,
    asked: Mutex<Vec<Ask>>,
    began: Notify,
}

impl Script {
    /// A script under a name that no other test has.
    pub fn new(name: &str, play: impl Fn(&Ask) -> Act + Send + Sync + 'static) -> Arc<Self> {
        let script = Arc::new(Self {
            play: Mutex::new(Box::new(play)),
            calls: AtomicUsize::new(0),
            asked: Mutex::default(),
            began: Notify::new(),
        });
        let before = SCRIPTS.lock().unwrap().insert(name.to_owned(), Arc::clone(&script));
        assert!(before.is_none(), "two tests have a script called {name}");
        script
    }

    /// From now on.
    pub fn play(&self, play: impl Fn(&Ask) -> Act + Send + Sync + 'static) {
        *self.play.lock().unwrap() = Box::new(play);
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// What it was asked last.
    pub fn last(&self) -> Ask {
        self.asked.lock().unwrap().last().cloned().expect("it was asked")
    }

    /// How long the host would have waited for each answer.
    pub fn times(&self) -> Vec<Duration> {
        self.asked.lock().unwrap().iter().map(|ask| ask.time).collect()
    }

    /// Waits until it has been asked that often.
    pub async fn asked(&self, times: usize) {
        let patience = Duration::from_secs(30);
        let waiting = async {
            loop {
                let began = self.began.notified();
                if self.calls() >= times {
                    return;
                }
                began.await;
            }
        };
        tokio::time::timeout(patience, waiting).await.unwrap_or_else(|_| panic!("it was not asked {times} times"));
    }
}

/// It has these claims.
pub fn found(claims: Value) -> Answer {
    Answer::found(claims.as_object().cloned().unwrap())
}

pub fn say(answer: Answer) -> impl Fn(&Ask) -> Act + Send + Sync {
    move |_| Act::Say(answer.clone())
}

/// A server whose `plan` comes from one script, asked with the user id.
pub fn with_plan(script: &str, rules: &str) -> Setup {
    let mut setup = Setup::default()
        .replace("attributes.plan]\ntype = \"string\"", "attributes.plan]\ntype = \"string\"\nfrom = [\"s\"]")
        .and(&format!("[sources.s]\nkind = \"scripted\"\nsets = [\"plan\"]\n{rules}\n"))
        .and(&format!("config = {{ script = \"{script}\", template = \"{{user_id}}\" }}\n"));
    setup.kinds.push(SCRIPTED);
    setup
}

struct Scripted;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    script: String,
    /// What it asks with.
    #[serde(default)]
    template: Option<String>,
}

#[tonic::async_trait]
impl SourceKind for Scripted {
    const NAME: &'static str = "scripted";
    type Config = Config;
    type Checked = (String, Option<Template>);

    fn check(config: Config, check: &Check<'_>) -> Option<Self::Checked> {
        let template = match &config.template {
            None => None,
            Some(text) => Some(check.template("template", text)?),
        };
        Some((config.script, template))
    }

    async fn open((name, template): Self::Checked) -> Result<Arc<dyn ClaimSource>, OpenError> {
        let script = SCRIPTS.lock().unwrap().get(&name).cloned();
        let script = script.ok_or_else(|| OpenError(format!("there is no script {name}")))?;
        Ok(Arc::new(Open { script, template }))
    }
}

struct Open {
    script: Arc<Script>,
    template: Option<Template>,
}

#[tonic::async_trait]
impl ClaimSource for Open {
    async fn claims(&self, ask: &Ask) -> Answer {
        if let Some(template) = &self.template
            && let Err(answer) = template.render(ask, countersign_claim_source::segment)
        {
            return answer;
        }
        let act = (self.script.play.lock().unwrap())(ask);
        self.script.asked.lock().unwrap().push(ask.clone());
        self.script.calls.fetch_add(1, Ordering::SeqCst);
        self.script.began.notify_waiters();
        match act {
            Act::Say(answer) => answer,
            Act::Hang => std::future::pending().await,
            Act::Wait(gate, answer) => {
                gate.acquire().await.unwrap().forget();
                answer
            }
            Act::Panic => panic!("a bug in a claim source"),
        }
    }
}
