//! Revocation: what can be revoked, how long that has to be remembered, and which credentials it refuses. That it is
//! kept is the business of `store/`.
//!
//! A subject has two marks. The cut-off refuses its tokens that were issued until then, and is forgotten when the last of
//! them has ended. The refusal of its hashes never ends by itself, as hashes do not.

use time::UtcDateTime;

use crate::application::Application;
use crate::identity::{Identity, Subject, SubjectKind};
use crate::order::Proven;
use crate::refusal::Reason;
use crate::store::{FOREVER, Mark, Name, Revocations, Revoked, name};
use crate::token::jwt::Expected;

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One token, by its id.
    Token(String),
    /// A subject: its tokens until now, and its hashes.
    Subject(Subject),
    /// A key, with everything that it signs or hashes.
    Key(String),
}

impl Target {
    /// The key, where it is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Key(id) => Some(id),
            Self::Token(_) | Self::Subject(_) => None,
        }
    }

    /// What has to be kept of it. `expires_at`: until when tokens may be around that this server would not make.
    #[must_use]
    pub fn revoked(
        &self,
        application: &Application,
        expires_at: Option<UtcDateTime>,
        now: UtcDateTime,
    ) -> Vec<Revoked> {
        let (at, name) = (now.unix_timestamp(), application.name.as_str());
        let leeway = application.expected.times.leeway;
        let asked = expires_at.map_or(0, |end| end.saturating_add(leeway).unix_timestamp() + 1);
        let until = least_end(&application.expected, at).max(asked);
        let revoked = |name, until| Revoked { name, application: application.name.clone(), mark: Mark { at, until } };
        match self {
            Self::Token(id) => vec![revoked(token(name, id), until)],
            Self::Key(id) => vec![revoked(key(name, id), FOREVER)],
            Self::Subject(subject) => vec![
                revoked(cut_off(name, subject), until),
                revoked(hashes(name, subject.kind, &subject.value), FOREVER),
            ],
        }
    }
}

/// From when on no token that was issued until `at` can be accepted any more, in seconds since 1970: a leeway after the
/// end of the longest lifetime that is let through, which itself is a leeway longer than `max_ttl`.
#[must_use]
pub fn least_end(expected: &Expected, at: i64) -> i64 {
    let rules = &expected.times;
    if !rules.require_exp {
        return FOREVER;
    }
    let longest = rules.max_ttl.saturating_add(rules.leeway).saturating_add(rules.leeway);
    at.saturating_add(longest.whole_seconds()).saturating_add(1)
}

/// Why what is revoked refuses a genuine credential that proves or leads to these identifiers; none where it does not.
/// The companies of a hash count too: they were hashed like a user.
#[must_use]
pub fn refuses(
    revoked: &Revocations,
    application: &str,
    (credential, key_id): (&Proven, &str),
    identity: &Identity,
    now: UtcDateTime,
) -> Option<Reason> {
    let key = is_revoked_key(revoked, application, key_id, now);
    match credential {
        Proven::Hash => {
            let users = SubjectKind::ALL.into_iter().filter_map(|kind| identity.identifier(kind));
            let mut values = users.chain(identity.companies.iter().map(|company| company.id.as_str()));
            let hashed = values.any(|value| refuses_hash(revoked, application, value, now));
            (key || hashed).then_some(Reason::HashRevoked)
        }
        Proven::Jwt { token_id, times, .. } => {
            let itself = revoked.mark(|| token(application, token_id), now).is_some();
            let subject = is_cut_off(revoked, application, identity, times.issued_at, now);
            (key || itself || subject).then_some(Reason::TokenRevoked)
        }
    }
}

/// Whether a token about this identity, issued then, is before the cut-off of one of its subjects.
#[must_use]
pub fn is_cut_off(
    revoked: &Revocations,
    application: &str,
    identity: &Identity,
    issued_at: Option<UtcDateTime>,
    now: UtcDateTime,
) -> bool {
    let before = |mark: Mark| issued_at.is_none_or(|issued_at| issued_at.unix_timestamp() <= mark.at);
    identity.subjects().any(|subject| revoked.mark(|| cut_off(application, &subject), now).is_some_and(before))
}

/// Whether the key is revoked.
#[must_use]
pub fn is_revoked_key(revoked: &Revocations, application: &str, key_id: &str, now: UtcDateTime) -> bool {
    revoked.mark(|| key(application, key_id), now).is_some()
}

/// The name of the refusal of a subject's hashes.
#[must_use]
pub fn hashes(application: &str, kind: SubjectKind, value: &str) -> Name {
    name(&["hashes", application, kind.name(), value])
}

/// An HMAC does not bind what kind of value was hashed, so a subject of either kind is meant.
fn refuses_hash(revoked: &Revocations, application: &str, value: &str, now: UtcDateTime) -> bool {
    SubjectKind::ALL.into_iter().any(|kind| revoked.mark(|| hashes(application, kind, value), now).is_some())
}

fn token(application: &str, id: &str) -> Name {
    name(&["token", application, id])
}

fn key(application: &str, id: &str) -> Name {
    name(&["key", application, id])
}

fn cut_off(application: &str, subject: &Subject) -> Name {
    name(&["subject", application, subject.kind.name(), &subject.value])
}
