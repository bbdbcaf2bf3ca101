//! One product, in one environment: what its tokens look like, who holds which key, what its policy is. Built and
//! checked when the configuration is loaded; read-only after that.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::{Duration, UtcDateTime};

use crate::acceptance::{Acceptance, END_NOTICE};
use crate::attributes::Attributes;
use crate::caller::Caller;
use crate::identity::{Identity, Privileged};
use crate::notice::{Notice, NoticeCode};
use crate::pipeline::{Plan, Sources};
use crate::profile::{HashFormat, JwtFormat, Profile};
use crate::refusal::{Reason, Refusal, Refused};
use crate::revocation::is_revoked_key;
use crate::schema::Schema;
use crate::store::Revocations;
use crate::token::jwt::Expected;
use crate::token::keys::{JwtKey, Keys, LegacyKey, Validity};

/// One product, in one environment.
#[derive(Clone, Debug)]
pub struct Application {
    /// Its name, such as `acme/feedback`.
    pub name: String,
    /// `production`, `staging`, …: whatever the operator calls it.
    pub environment: String,
    /// The wire format.
    pub profile: Profile,
    /// Its keys.
    pub keys: Keys,
    /// What a token must say.
    pub expected: Expected,
    /// What may be exchanged.
    pub exchange: Exchange,
    /// The policy in force.
    pub acceptance: Acceptance,
    /// The policy of the file, where another was set at run time.
    pub set: Option<SetAtRunTime>,
    /// When hashes can end.
    pub readiness: Readiness,
    /// What is declared of users.
    pub users: Attributes,
    /// What is declared of companies.
    pub companies: Attributes,
    /// Whom nothing is made for.
    pub privileged: Privileged,
    /// How long all claim sources together may take.
    pub budget: std::time::Duration,
    /// What is asked of which source, and in which order.
    pub plan: Plan,
    /// What the claims of a token have to conform to.
    pub schema: Option<Arc<Schema>>,
}

/// That a policy was set at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAtRunTime {
    /// The file's policy, which does not hold.
    pub file: Acceptance,
    /// Its version.
    pub version: u64,
    /// Which caller set it.
    pub caller: String,
    /// When.
    pub at: UtcDateTime,
    /// Why, in the words of who set it.
    pub reason: String,
    /// Whether the file's policy has changed since.
    pub file_changed: bool,
}

/// What may be exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Whether a JWT may be exchanged for a fresh one.
    pub jwt: bool,
    /// How long tokens may follow one another, from the first.
    pub max_session: Duration,
}

/// What has to be seen before hashes can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// For how many complete days.
    pub window_days: u16,
    /// How many accepted JWTs on each of them.
    pub min_daily: u64,
}

impl Application {
    /// The policy of the file, in force or not.
    #[must_use]
    pub fn file_acceptance(&self) -> &Acceptance {
        self.set.as_ref().map_or(&self.acceptance, |set| &set.file)
    }

    /// The JWT format and the key that signs now, where this application may issue JWTs now.
    /// A revoked key never signs.
    pub fn signing_at(&self, now: UtcDateTime, revoked: &Revocations) -> Result<(&JwtFormat, &JwtKey), Refusal> {
        let precondition = |reason: Reason| Refusal::Precondition(Refused::from(reason));
        if !self.acceptance.issues_jwt_at(now) {
            return Err(precondition(Reason::JwtNotYetIssued));
        }
        let format = self.profile.jwt.as_ref();
        let may = |id: &str| !is_revoked_key(revoked, &self.name, id, now);
        format.zip(self.keys.signing_at(now, may)).ok_or_else(|| precondition(Reason::NoSigningKey))
    }

    /// Refuses an identity with a privileged identifier.
    pub fn refuse_privileged(&self, identity: &Identity) -> Result<(), Refusal> {
        if self.privileged.covers_any(identity) { Err(Reason::SubjectPrivileged.into()) } else { Ok(()) }
    }

    /// The hash format and the key that hashes now, where this application may issue hashes now.
    /// A revoked key never hashes.
    pub fn hashing_at(&self, now: UtcDateTime, revoked: &Revocations) -> Result<(&HashFormat, &LegacyKey), Refusal> {
        let precondition = |reason: Reason| Refusal::Precondition(Refused::from(reason));
        if self.acceptance.issues_hash_until().is_some_and(|until| until <= now) {
            return Err(precondition(Reason::HashNoLongerIssued));
        }
        let format = self.profile.hash.as_ref();
        let may = |id: &str| !is_revoked_key(revoked, &self.name, id, now);
        format.zip(self.keys.hashing_at(now, may)).ok_or_else(|| precondition(Reason::NoSigningKey))
    }
}

/// What should be known of a key that was used.
#[must_use]
pub fn key_notices(weak: bool, validity: Validity, now: UtcDateTime) -> Vec<Notice> {
    let soon = now.saturating_add(END_NOTICE);
    let retires = validity.retire_at.filter(|end| now < *end && *end <= soon);
    let weak = weak.then(|| NoticeCode::WeakKey.into());
    weak.into_iter().chain(retires.map(|end| Notice::until(NoticeCode::KeyRetiresSoon, Some(end)))).collect()
}

/// Everything that a request is judged by, as one unchanging whole.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// By name.
    pub applications: BTreeMap<String, Arc<Application>>,
    /// Opened claim sources by name.
    pub sources: Sources,
}

impl Snapshot {
    /// The application of that name, if it is this caller's. The answer and the work are the same for one that does not
    /// exist and one that is not theirs.
    pub fn application_for(&self, caller: &Caller, name: &str) -> Result<&Arc<Application>, Refusal> {
        let found = self.applications.get(name);
        let theirs = caller.may_use(name);
        found.filter(|_| theirs).ok_or(Refusal::ApplicationUnknown)
    }

    /// The applications that this caller may use.
    pub fn applications_of<'s>(&'s self, caller: &'s Caller) -> impl Iterator<Item = &'s Arc<Application>> {
        self.applications.values().filter(|application| caller.may_use(&application.name))
    }
}
