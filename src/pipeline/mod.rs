//! Assembles a user's claims from what the caller asserts and from claim sources. The host owns time, failure, caching
//! and types; a source only finds claims. Only *absent* moves on to the next origin of `from`: a failure applies that
//! source's `on_error` and stops.
//!
//! This file is the order of things: what can be settled is settled, what is needed for the rest is asked, each source
//! at most once, as soon as what it needs is known. How one source is asked is `ask.rs`.

mod ask;
mod breaker;
mod claims;
mod flights;
mod kept;
mod plan;
pub mod registry;
mod shared;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use serde_json::Map;
use time::UtcDateTime;
use tokio::time::Instant;

pub use self::ask::{Pipeline, Sources};
use self::ask::{Question, Told};
pub use self::plan::{Asked, Circle, Plan};
pub use self::shared::{Seal, SharedEntries, Unreachable};
use self::source::Failure;
pub use self::source::{OnError, Rules, Source};
use crate::application::Application;
use crate::attributes::{Origin, Shape};
use crate::expression::Expression;
use crate::identity::{Field, Identity, SubjectKind};
use crate::limits;
use crate::mint;
use crate::notice::{Notice, NoticeCode};
use crate::observe::events;
use crate::order::notable;
use crate::refusal::{Reason, Refusal};

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
    /// `caller`, the source's name, or [`DEFAULT`] or [`VALUE`].
    pub source: String,
    /// How long ago the source said so.
    pub age: Duration,
    /// Whether that is past its freshness.
    pub stale: bool,
}

/// The origin of a claim that no origin had.
pub const DEFAULT: &str = "default";
/// The origin of a computed claim.
pub const VALUE: &str = "value";

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

    /// The field of the request that holds an identifier.
    fn field(self, name: &str) -> String {
        match self {
            Self::Asserted(_) if Field::named(name).is_some() => format!("identity.{name}"),
            Self::Asserted(_) => format!("identity.attributes.{name}"),
            Self::Proven(_) => name.to_owned(),
        }
    }
}

impl Pipeline {
    /// Assembles the claims of one user. `hurry` is the caller's own deadline.
    pub async fn assemble(
        &self,
        application: &Arc<Application>,
        sources: &Sources,
        base: Base<'_>,
        now: UtcDateTime,
        hurry: Option<Instant>,
    ) -> Result<Assembled, Refusal> {
        let budget = Instant::now() + application.budget;
        let until = hurry.map_or(budget, |hurry| hurry.min(budget));
        let mut work = Work::begin(application, base);
        let mut asking = FuturesUnordered::new();
        loop {
            work.settle_what_can_be()?;
            let mut remembered = false;
            for name in work.ready() {
                // Every source that `from` names was checked to exist; a broken promise is a bug, not a wait.
                let (Some(source), Some(part)) = (sources.get(name), application.plan.parts.get(name)) else {
                    return Err(Refusal::Internal);
                };
                let question = Question { application, source, part, now, until };
                if let Some(told) = self.remembers(&question, &work.assembled.identity) {
                    work.outcomes.insert(name, (source.rules.on_error, Ok(told)));
                    remembered = true;
                    continue;
                }
                let identity = work.assembled.identity.clone();
                asking.push(async move { (name, source.rules.on_error, self.ask(question, &identity).await) });
            }
            if remembered {
                continue;
            }
            let Some((name, on_error, outcome)) = asking.next().await else { break };
            work.outcomes.insert(name, (on_error, outcome));
        }
        // That nothing waits for itself was checked, too.
        if work.wants.is_empty() { Ok(work.assembled) } else { Err(Refusal::Internal) }
    }
}

/// A claim that is not settled, with the origins that are left for it.
#[derive(Clone, Copy, Debug)]
struct Want<'a> {
    claim: &'a str,
    from: &'a [Origin],
    shape: &'a Shape,
    /// The claims that have to be settled first.
    waits: &'a [String],
}

/// One user's claims, half-way.
#[derive(Debug)]
struct Work<'a> {
    application: &'a Application,
    base: Base<'a>,
    wants: Vec<Want<'a>>,
    asked: BTreeSet<&'a str>,
    /// The claims that are left out because a source failed.
    left_out: BTreeSet<&'a str>,
    outcomes: BTreeMap<&'a str, (OnError, Result<Told, Failure>)>,
    assembled: Assembled,
}

impl<'a> Work<'a> {
    /// Everything that the application knows of users is wanted; identifiers that are given stand as they are.
    fn begin(application: &'a Application, base: Base<'a>) -> Self {
        let mut assembled = Assembled { identity: base.identity().identifiers(), ..Assembled::default() };
        for subject in base.identity().subjects() {
            assembled.came(subject.kind.name(), Origin::Caller.name(), None);
        }
        let users = &application.users;
        let given =
            |claim: &str| SubjectKind::named(claim).is_some_and(|kind| base.identity().identifier(kind).is_some());
        let wants = users.rules().filter(|(claim, _)| !given(claim)).map(|(claim, rule)| Want {
            claim,
            from: &rule.from,
            shape: users.shape(claim),
            waits: application.plan.waits.get(claim).map_or(&[], Vec::as_slice),
        });
        let wants = wants.collect();
        let (asked, left_out, outcomes) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Self { application, base, wants, asked, left_out, outcomes, assembled }
    }

    fn waits(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.wants.iter().any(|want| want.claim == name))
    }

    /// Settles claims until none can be; one may be what another waits for.
    fn settle_what_can_be(&mut self) -> Result<(), Refusal> {
        loop {
            let (before, mut index) = (self.wants.len(), 0);
            while let Some(mut want) = self.wants.get(index).copied() {
                if !self.waits(want.waits) && self.settle(&mut want)? {
                    self.wants.remove(index);
                } else {
                    self.wants.get_mut(index).into_iter().for_each(|place| *place = want);
                    index += 1;
                }
            }
            if self.wants.is_empty() || self.wants.len() == before {
                return Ok(());
            }
        }
    }

    /// The sources that a claim now waits for and that have what they need.
    fn ready(&mut self) -> Vec<&'a str> {
        let ready = self.wants.iter().filter(|want| !self.waits(want.waits)).filter_map(|want| {
            let Origin::Source(name) = want.from.first()? else { return None };
            let part = self.application.plan.parts.get(name);
            (!part.is_some_and(|part| self.waits(&part.waits))).then_some(name.as_str())
        });
        let mut ready: Vec<&str> = ready.collect();
        ready.retain(|name| self.asked.insert(name));
        ready
    }

    /// Goes through the origins that can be decided now. Whether the claim is settled: taken, absent everywhere, or
    /// left out.
    fn settle(&mut self, want: &mut Want<'a>) -> Result<bool, Refusal> {
        if let Some(value) = &want.shape.value {
            return self.compute(want, value);
        }
        while let [origin, rest @ ..] = want.from {
            match origin {
                Origin::Caller => {
                    let asserted = self.base.asserted();
                    if asserted.is_some_and(|given| claims::copy(given, want.claim, &mut self.assembled.identity)) {
                        self.assembled.came(want.claim, origin.name(), None);
                        return Ok(true);
                    }
                }
                Origin::Source(name) => match self.outcomes.get(name.as_str()) {
                    None => return Ok(false),
                    Some((on_error, outcome)) => {
                        let (on_error, outcome) = (*on_error, outcome.clone());
                        match self.take(want.claim, name, outcome) {
                            Ok(true) => return Ok(true),
                            Ok(false) => {}
                            Err(failure) => return self.fail(want.claim, &failure, on_error).map(|()| true),
                        }
                    }
                },
            }
            want.from = rest;
        }
        if let Some(default) = &want.shape.default
            && claims::put(self.application, want.claim, default, &mut self.assembled.identity).is_some()
        {
            self.assembled.came(want.claim, DEFAULT, None);
        }
        Ok(true)
    }

    /// Takes the claim from what the source said. Whether it was there.
    fn take(&mut self, claim: &str, source: &str, outcome: Result<Told, Failure>) -> Result<bool, Failure> {
        let told = outcome?;
        let Some(fragment) = &told.fragment else { return Ok(false) };
        let wrong = || Failure::Malformed("it is not what the application declares".into());
        if !fragment.give(claim, &mut self.assembled.identity).ok_or_else(wrong)? {
            return Ok(false);
        }
        self.assembled.came(claim, source, Some(&told));
        if told.stale {
            let failed = told.failed.then_some(NoticeCode::SourceUnavailable);
            self.assembled.note(failed.into_iter().chain([NoticeCode::StaleClaims]));
        }
        Ok(true)
    }

    /// What the failure of a source means for a claim: it is left out, or there is no token.
    fn fail(&mut self, claim: &'a str, failure: &Failure, on_error: OnError) -> Result<(), Refusal> {
        match failure {
            Failure::Bug => Err(Refusal::Internal),
            // The request's own value cannot be asked with: that is no failure of the source.
            Failure::Unfit(name, why) if self.is_the_callers(name) => {
                Err(Refusal::field(self.base.field(name), why.to_string()))
            }
            Failure::Unavailable(_)
            | Failure::LeftAlone
            | Failure::TimedOut
            | Failure::Crowded
            | Failure::Malformed(_)
            | Failure::Denied(_)
            | Failure::Missing(_)
            | Failure::Unfit(..) => match on_error {
                OnError::Refuse | OnError::Stale => Err(Refusal::SourceFailed(failure.reason())),
                OnError::Omit => {
                    self.left_out.insert(claim);
                    self.assembled.note([NoticeCode::SourceUnavailable, NoticeCode::ClaimOmitted]);
                    Ok(())
                }
            },
        }
    }

    fn is_the_callers(&self, claim: &str) -> bool {
        let origin = self.assembled.origins.iter().find(|origin| origin.claim == claim);
        origin.is_some_and(|origin| origin.source == Origin::Caller.name())
    }

    /// Computes a claim of what is known. An expression that fails although all that it reads is there is wrong for this
    /// user: no token is better than a wrong one.
    fn compute(&mut self, want: &Want<'a>, value: &Expression) -> Result<bool, Refusal> {
        // Nobody knows what it would come to: what is left out is not absent.
        if value.names().any(|name| self.left_out.contains(name)) {
            self.left_out.insert(want.claim);
            return Ok(true);
        }
        let wrong = || {
            let why = "its expression has no value of its type";
            events::ClaimFailed { application: &self.application.name, claim: want.claim, why }.emit();
            Refusal::SourceFailed(Reason::SourceMalformed)
        };
        let known =
            value.names().filter_map(|name| Some((name.to_owned(), claims::value(&self.assembled.identity, name)?)));
        let known: Map<_, _> = known.collect();
        let computed = value.evaluate(&known).map_err(|_failed| wrong())?;
        let (value, origin) = match (&computed, &want.shape.default) {
            (Some(value), _) => (value, VALUE),
            (None, Some(default)) => (default, DEFAULT),
            (None, None) => return Ok(true),
        };
        if claims::put(self.application, want.claim, value, &mut self.assembled.identity).is_none() {
            return Err(wrong());
        }
        self.assembled.came(want.claim, origin, None);
        Ok(true)
    }
}

impl Assembled {
    /// Whose fault it is that no token can hold all of these claims: a source's, where what the caller gave is no half of
    /// what fits.
    #[must_use]
    pub fn blame(&self, application: &Application, refusal: Refusal) -> Refusal {
        let too_large = matches!(&refusal, Refusal::Invalid(Reason::RequestInvalid, violations)
            if violations.iter().all(|violation| violation.field == mint::ALL_CLAIMS));
        let bytes = |of_caller: bool| -> usize {
            let origins = self.origins.iter().filter(|origin| (origin.source == Origin::Caller.name()) == of_caller);
            origins.filter_map(|origin| claims::value(&self.identity, &origin.claim)).map(|v| v.to_string().len()).sum()
        };
        if too_large && bytes(false) > 0 && bytes(true) < limits::CLAIMS_BYTES / 2 {
            let why = "with what sources gave, all claims together are over the limit";
            events::ClaimFailed { application: &application.name, claim: "", why }.emit();
            return Refusal::SourceFailed(Reason::SourceMalformed);
        }
        refusal
    }

    fn came(&mut self, claim: &str, source: &str, told: Option<&Told>) {
        self.origins.push(ClaimOrigin {
            claim: claim.to_owned(),
            source: source.to_owned(),
            age: told.map_or(Duration::ZERO, |told| told.age),
            stale: told.is_some_and(|told| told.stale),
        });
    }

    fn note(&mut self, codes: impl IntoIterator<Item = NoticeCode>) {
        notable(&mut self.notices, codes.into_iter().map(Notice::from));
    }
}
