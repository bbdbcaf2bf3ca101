//! Acceptance: which credential is accepted, from whom, when. One pure function, [`Acceptance::judge`].
//!
//! Laws, each with a property test below: a sunset is monotone; buckets are stable; exceptions only ever extend; a JWT
//! never loses to a hash; a shadow never changes an outcome. Nothing happens by itself for lack of data.

use sha2::{Digest, Sha256};
use time::{Duration, UtcDateTime};

use crate::identity::Subject;
use crate::notice::{Notice, NoticeCode};
use crate::refusal::Reason;

/// How long ahead a brownout is announced.
pub const BROWNOUT_NOTICE: Duration = Duration::days(7);
/// How long ahead the end of issuing, and the end of a key, are announced.
pub const END_NOTICE: Duration = Duration::days(30);

/// The policy of one application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// Hashes count from then on.
    pub hash_from: Option<UtcDateTime>,
    /// JWTs count from then on.
    pub jwt_from: Option<UtcDateTime>,
    /// The sunset: hashes count until then.
    pub hash_until: Option<UtcDateTime>,
    /// Sign makes JWTs from then on; absent: from `jwt_from`.
    pub issue_jwt_from: Option<UtcDateTime>,
    /// LegacyHash makes hashes until then; absent: until `hash_until`.
    pub issue_hash_until: Option<UtcDateTime>,
    /// Later sunsets for some.
    pub exceptions: Vec<Exception>,
    /// Windows in which hashes are refused on purpose.
    pub brownouts: Vec<Window>,
    /// How many subjects have lost their hash, from when on; in the order of `at`.
    pub rollout: Vec<Step>,
    /// Whether a JWT ends the hash of its subject.
    pub ratchet: Option<Ratchet>,
    /// The policy that is tried out beside this one.
    pub shadow: Option<Box<Self>>,
}

/// A later sunset for a client, a caller, or a client of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// This label and everything below it: `ios` covers `ios/3.2`.
    pub client: Option<String>,
    /// This caller.
    pub caller: Option<String>,
    /// The later sunset.
    pub hash_until: UtcDateTime,
}

/// From inclusive, until exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Inclusive.
    pub from: UtcDateTime,
    /// Exclusive.
    pub until: UtcDateTime,
}

/// From `at` on, subjects whose bucket is below `percent` need a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Inclusive.
    pub at: UtcDateTime,
    /// 0 to 100.
    pub percent: u8,
}

/// Once a subject was accepted by JWT, its hash ends after a grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratchet {
    /// Whose hash ends.
    pub scope: Scope,
    /// How long after the first JWT.
    pub grace: Duration,
    /// What to do while the facts cannot be read.
    pub on_store_error: OnStoreError,
}

/// Whose hash a JWT ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The subject's, everywhere.
    Subject,
    /// The subject's on this client (the label's first segment).
    SubjectAndClient,
}

/// What to do while facts cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreError {
    /// Judge as if there were none.
    Accept,
    /// Judge nothing.
    Refuse,
}

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The application's name.
    pub application: &'a str,
    /// The credential.
    pub credential: Credential<'a>,
    /// Who calls.
    pub caller: &'a str,
    /// The label, where this caller may steer with it.
    pub client: Option<&'a str>,
    /// The present instant.
    pub now: UtcDateTime,
}

/// The credential that is judged.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    /// A genuine JWT.
    Jwt,
    /// A genuine hash of the subject, and what is known of its JWTs.
    Hash(&'a Subject, Fact),
}

/// What is known of a subject's JWTs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// None was accepted.
    None,
    /// The first was accepted then.
    JwtSince(UtcDateTime),
    /// The store is away.
    Unknown,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Accept,
    /// It does not.
    Refuse(Reason),
    /// The store is needed for a verdict, and away.
    StoreNeeded,
}

/// Where an application is in its move, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Neither counts.
    Closed,
    /// Hashes only.
    HashOnly,
    /// Both.
    Dual,
    /// JWTs only.
    JwtOnly,
}

impl Acceptance {
    /// Whether the credential counts.
    #[must_use]
    pub fn judge(&self, question: &Question<'_>) -> Verdict {
        let now = question.now;
        let (subject, fact) = match question.credential {
            Credential::Jwt if self.accepts_jwt_at(now) => return Verdict::Accept,
            Credential::Jwt => return Verdict::Refuse(Reason::JwtNotYetAccepted),
            Credential::Hash(subject, fact) => (subject, fact),
        };
        if self.hash_from.is_some_and(|from| now < from) {
            return Verdict::Refuse(Reason::HashNotYetAccepted);
        }
        if self.hash_until_for(question.caller, question.client).is_some_and(|until| until <= now) {
            return Verdict::Refuse(Reason::HashNoLongerAccepted);
        }
        if self.brownouts.iter().any(|window| window.from <= now && now < window.until) {
            return Verdict::Refuse(Reason::HashBrownout);
        }
        if bucket(question.application, subject) < self.percent_at(now) {
            return Verdict::Refuse(Reason::HashRolledOut);
        }
        match (self.ratchet, fact) {
            (Some(ratchet), Fact::JwtSince(first)) if first.saturating_add(ratchet.grace) <= now => {
                Verdict::Refuse(Reason::HashSuperseded)
            }
            (Some(Ratchet { on_store_error: OnStoreError::Refuse, .. }), Fact::Unknown) => Verdict::StoreNeeded,
            (Some(_), Fact::None | Fact::JwtSince(_) | Fact::Unknown) | (None, _) => Verdict::Accept,
        }
    }

    /// Whether JWTs count.
    #[must_use]
    pub fn accepts_jwt_at(&self, now: UtcDateTime) -> bool {
        self.jwt_from.is_none_or(|from| from <= now)
    }

    /// Whether Sign makes JWTs.
    #[must_use]
    pub fn issues_jwt_at(&self, now: UtcDateTime) -> bool {
        self.issue_jwt_from.or(self.jwt_from).is_none_or(|from| from <= now)
    }

    /// Until when LegacyHash makes hashes.
    #[must_use]
    pub fn issues_hash_until(&self) -> Option<UtcDateTime> {
        self.issue_hash_until.or(self.hash_until)
    }

    /// The sunset for that caller and client: an exception moves it, and only ever later.
    #[must_use]
    pub fn hash_until_for(&self, caller: &str, client: Option<&str>) -> Option<UtcDateTime> {
        let covered = |exception: &&Exception| {
            exception.caller.as_deref().is_none_or(|name| name == caller)
                && exception.client.as_deref().is_none_or(|label| client.is_some_and(|client| covers(label, client)))
        };
        let until = self.hash_until?;
        let later = self.exceptions.iter().filter(covered).map(|exception| exception.hash_until).max();
        Some(later.map_or(until, |later| until.max(later)))
    }

    /// The last instant at which anybody's hash may count; none: there is no end.
    #[must_use]
    pub fn last_hash_until(&self) -> Option<UtcDateTime> {
        let until = self.hash_until?;
        Some(self.exceptions.iter().map(|exception| exception.hash_until).fold(until, UtcDateTime::max))
    }

    /// Where the application is in its move.
    #[must_use]
    pub fn phase_at(&self, now: UtcDateTime) -> Phase {
        let hash = self.hash_from.is_none_or(|from| from <= now) && self.hash_until.is_none_or(|until| now < until);
        match (hash, self.accepts_jwt_at(now)) {
            (true, true) => Phase::Dual,
            (true, false) => Phase::HashOnly,
            (false, true) => Phase::JwtOnly,
            (false, false) => Phase::Closed,
        }
    }

    /// What everybody who still uses hashes should know.
    #[must_use]
    pub fn hash_notices(&self, caller: &str, client: Option<&str>, now: UtcDateTime) -> Vec<Notice> {
        let until = self.hash_until_for(caller, client);
        let deprecated = Notice::until(NoticeCode::LegacyHashDeprecated, until);
        let mut notices = vec![Notice { since: self.jwt_from, ..deprecated }];
        let near = |from: &UtcDateTime| now < *from && *from <= now.saturating_add(BROWNOUT_NOTICE);
        if let Some(next) = self.brownouts.iter().map(|window| window.from).filter(near).min() {
            notices.push(Notice::until(NoticeCode::BrownoutAnnounced, Some(next)));
        }
        notices
    }

    /// The ratchet whose facts are kept: the policy's own, or the one that is tried out.
    #[must_use]
    pub fn any_ratchet(&self) -> Option<Ratchet> {
        self.ratchet.or_else(|| self.shadow.as_ref()?.ratchet)
    }

    fn percent_at(&self, now: UtcDateTime) -> u8 {
        self.rollout.iter().take_while(|step| step.at <= now).last().map_or(0, |step| step.percent)
    }
}

impl Verdict {
    /// Why not, where it is a refusal.
    #[must_use]
    pub const fn refusal(self) -> Option<Reason> {
        match self {
            Self::Refuse(reason) => Some(reason),
            Self::Accept | Self::StoreNeeded => None,
        }
    }
}

impl Phase {
    /// The name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HashOnly => "hash_only",
            Self::Dual => "dual",
            Self::JwtOnly => "jwt_only",
        }
    }
}

/// The subject's place in a roll-out, 0 to 99: the same on every node, for ever, and unrelated between applications.
#[must_use]
pub fn bucket(application: &str, subject: &Subject) -> u8 {
    let mut digest = Sha256::new();
    for part in ["countersign rollout", application, subject.kind.name(), &subject.value] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let digest: [u8; 32] = digest.finalize().into();
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    u8::try_from(number % 100).unwrap_or(u8::MAX)
}

/// Whether a label covers another: itself, and everything below it.
#[must_use]
pub fn covers(label: &str, client: &str) -> bool {
    client.strip_prefix(label).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The first segment of a client label, which is what a caller is configured for.
#[must_use]
pub fn first_segment(client: &str) -> &str {
    client.split('/').next().unwrap_or(client)
}

#[cfg(test)]
#[path = "acceptance_laws.rs"]
mod laws;
