//! Assembles a user's claims from what the caller asserts and from claim sources. The host owns time, failure and
//! types; a source only finds claims. Only *absent* moves on to the next origin of `from`: a failure applies that
//! source's `on_error` and stops.

mod claims;
pub mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use countersign_claim_source::{Answer, Ask, ClaimSource};
use futures::future::join_all;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use crate::application::Application;
use crate::attributes::Origin;
use crate::identity::{Field, Identity};
use crate::notice::{Notice, NoticeCode};
use crate::observe::events;
use crate::refusal::{Reason, Refusal};

/// How long one source may take where the operator says nothing.
pub const TIMEOUT: Duration = Duration::from_millis(500);
/// How long all sources of a request may take together where the operator says nothing.
pub const BUDGET: Duration = Duration::from_millis(1_000);

/// An open claim source with the operator's rules for it.
#[derive(Clone)]
pub struct Source {
    /// What it sets.
    pub sets: BTreeSet<String>,
    /// What its failure means.
    pub on_error: OnError,
    /// How long it may take.
    pub timeout: Duration,
    /// The plugin.
    pub plugin: Arc<dyn ClaimSource>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("sets", &self.sets).field("on_error", &self.on_error).finish_non_exhaustive()
    }
}

/// What a source's failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Nothing is signed.
    Refuse,
    /// The claim is left out, with a notice.
    Omit,
}

/// A complete set of claims.
#[derive(Debug, Default)]
pub struct Assembled {
    /// Who it is.
    pub identity: Identity,
    /// Where each claim came from.
    pub origins: Vec<ClaimOrigin>,
    /// Worth knowing besides.
    pub notices: Vec<Notice>,
}

/// Where one claim came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimOrigin {
    /// Its neutral name.
    pub claim: String,
    /// `caller`, or the source's name.
    pub source: String,
}

/// What the claims start from.
#[derive(Clone, Copy, Debug)]
pub enum Base<'a> {
    /// What a caller asserts: it may give what `from` lets it.
    Asserted(&'a Identity),
    /// What a credential proves: its identifiers, and nothing in the place of `caller`.
    Proven(&'a Identity),
}

impl<'a> Base<'a> {
    /// The identity.
    #[must_use]
    pub const fn identity(self) -> &'a Identity {
        match self {
            Self::Asserted(identity) | Self::Proven(identity) => identity,
        }
    }

    const fn asserted(self) -> Option<&'a Identity> {
        match self {
            Self::Asserted(identity) => Some(identity),
            Self::Proven(_) => None,
        }
    }
}

/// What became of a source that was asked.
type Outcome = Result<Map<String, Value>, Reason>;

/// Assembles the claims of one user.
pub async fn assemble(
    application: &Application,
    sources: &BTreeMap<String, Source>,
    base: Base<'_>,
) -> Result<Assembled, Refusal> {
    let mut assembled = Assembled { identity: base.identity().identifiers(), ..Assembled::default() };
    for subject in base.identity().subjects() {
        assembled.came(subject.kind.name(), Origin::Caller.name());
    }
    let mut wanted = wanted(application, &assembled.identity);
    let deadline = Instant::now() + application.budget;
    let mut outcomes = BTreeMap::new();
    loop {
        for mut want in std::mem::take(&mut wanted) {
            if !settle(&mut want, application, sources, base, &outcomes, &mut assembled)? {
                wanted.push(want);
            }
        }
        // What is left waits for a source that was not asked yet.
        let heads: BTreeSet<&str> = wanted.iter().filter_map(Want::source).collect();
        if heads.is_empty() {
            return Ok(assembled);
        }
        let asks = heads.into_iter().map(|name| {
            let ask = Ask {
                application: application.name.clone(),
                user_id: assembled.identity.user_id.clone(),
                email: assembled.identity.email.clone(),
                wanted: wanted
                    .iter()
                    .filter(|want| want.may_come_from(name))
                    .map(|want| want.claim.to_owned())
                    .collect(),
            };
            async move { (name, ask_in_time(sources.get(name), ask, deadline).await) }
        });
        for (name, outcome) in join_all(asks).await {
            if let Err(reason) = outcome {
                events::SourceFailed { application: &application.name, source: name, reason }.emit();
            }
            outcomes.insert(name, outcome);
        }
    }
}

/// A claim that is not settled, with the origins that are left for it.
#[derive(Debug)]
struct Want<'a> {
    claim: &'a str,
    from: &'a [Origin],
}

impl<'a> Want<'a> {
    fn source(&self) -> Option<&'a str> {
        match self.from.first()? {
            Origin::Caller => None,
            Origin::Source(name) => Some(name),
        }
    }

    fn may_come_from(&self, name: &str) -> bool {
        self.from.iter().any(|origin| matches!(origin, Origin::Source(source) if source == name))
    }
}

/// Everything that the application knows of users; identifiers that are given stand as they are.
fn wanted<'a>(application: &'a Application, known: &Identity) -> Vec<Want<'a>> {
    let users = &application.users;
    let fields = Field::ALL.into_iter().filter(|field| *field != Field::UserId && !known.has(*field));
    let fields = fields.map(|field| Want { claim: field.name(), from: &users.rule(field).from });
    let custom = users.custom.iter().map(|(name, attribute)| Want { claim: name, from: &attribute.rule.from });
    fields.chain(custom).collect()
}

/// Goes through the origins that can be decided now. Whether the claim is settled: taken, absent everywhere, or left
/// out.
fn settle(
    want: &mut Want<'_>,
    application: &Application,
    sources: &BTreeMap<String, Source>,
    base: Base<'_>,
    outcomes: &BTreeMap<&str, Outcome>,
    assembled: &mut Assembled,
) -> Result<bool, Refusal> {
    while let [origin, rest @ ..] = want.from {
        let taken = match origin {
            Origin::Caller => {
                base.asserted().is_some_and(|asserted| claims::copy(asserted, want.claim, &mut assembled.identity))
            }
            Origin::Source(name) => match outcomes.get(name.as_str()) {
                None => return Ok(false),
                Some(outcome) => match take((want.claim, origin), outcome, application, &mut assembled.identity) {
                    Ok(taken) => taken,
                    Err(reason) => {
                        let on_error = sources.get(name).map_or(OnError::Refuse, |source| source.on_error);
                        if outcome.is_ok() {
                            events::SourceFailed { application: &application.name, source: name, reason }.emit();
                        }
                        match on_error {
                            OnError::Refuse => return Err(Refusal::SourceFailed(reason)),
                            OnError::Omit => assembled.omitted(),
                        }
                        return Ok(true);
                    }
                },
            },
        };
        if taken {
            assembled.came(want.claim, origin.name());
            return Ok(true);
        }
        want.from = rest;
    }
    Ok(true)
}

/// Takes the claim from what the source answered. Whether it was there.
fn take(
    (claim, origin): (&str, &Origin),
    outcome: &Outcome,
    application: &Application,
    into: &mut Identity,
) -> Result<bool, Reason> {
    let found = outcome.as_ref().map_err(|reason| *reason)?;
    let Some(value) = found.get(claim).filter(|value| !value.is_null()) else { return Ok(false) };
    claims::place(application, (claim, origin), value, into).ok_or(Reason::SourceMalformed)?;
    Ok(true)
}

async fn ask_in_time(source: Option<&Source>, ask: Ask, deadline: Instant) -> Outcome {
    // Every source that `from` names was checked to exist; a broken promise is a failure, not a wait without end.
    let source = source.ok_or(Reason::SourceUnavailable)?;
    let deadline = deadline.min(Instant::now() + source.timeout);
    match timeout_at(deadline, source.plugin.claims(&ask)).await {
        Err(_elapsed) => Err(Reason::SourceTimedOut),
        Ok(Answer::Found { claims, .. }) => {
            // What a source does not say it sets, it cannot set.
            Ok(claims.into_iter().filter(|(claim, _)| source.sets.contains(claim)).collect())
        }
        Ok(Answer::NotFound) => Ok(Map::new()),
        Ok(Answer::Unavailable | Answer::Denied) => Err(Reason::SourceUnavailable),
        Ok(Answer::Malformed) => Err(Reason::SourceMalformed),
    }
}

impl Assembled {
    fn came(&mut self, claim: &str, source: &str) {
        self.origins.push(ClaimOrigin { claim: claim.to_owned(), source: source.to_owned() });
    }

    fn omitted(&mut self) {
        for code in [NoticeCode::SourceUnavailable, NoticeCode::ClaimOmitted] {
            if !self.notices.iter().any(|notice| notice.code == code) {
                self.notices.push(code.into());
            }
        }
    }
}
