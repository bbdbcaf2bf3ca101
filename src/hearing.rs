//! One credential before one application: what is judged step by step, and what is learned on the way. The order of the
//! steps is the contract's; who is told first, and what is remembered, is `authority.rs`.

use time::UtcDateTime;

use crate::acceptance::{Credential, Fact, Question, Scope, Verdict, first_segment};
use crate::account::Presented;
use crate::application::{Application, key_notices};
use crate::caller::Caller;
use crate::identity::{Company, Identity, Subject, SubjectKind};
use crate::ledger;
use crate::mint::Provenance;
use crate::notice::{Notice, NoticeCode};
use crate::order::{LegacyProof, Proof, Proven, VerifyOrder, notable};
use crate::profile::HashFormat;
use crate::refusal::{Reason, Refusal, Refused};
use crate::revocation;
use crate::store::{FactKey, Revocations, Use, name};
use crate::token::keys::{JwtKey, LegacyKey, Validity};
use crate::token::{jwt, legacy};

/// What a credential is judged in: one application, one caller, one instant. Collects what is worth knowing on the way.
#[derive(Debug)]
pub struct Hearing<'a> {
    /// The application.
    pub application: &'a Application,
    /// Who asks.
    pub caller: &'a Caller,
    /// The present instant.
    pub now: UtcDateTime,
    /// What is revoked.
    pub revoked: &'a Revocations,
    /// Worth knowing besides the verdict.
    pub notices: Vec<Notice>,
    /// The credential that is judged, once it is known which one.
    pub presented: Option<Presented>,
}

impl<'a> Hearing<'a> {
    /// A hearing at which nothing was said yet.
    #[must_use]
    pub const fn new(
        application: &'a Application,
        caller: &'a Caller,
        now: UtcDateTime,
        revoked: &'a Revocations,
    ) -> Self {
        Self { application, caller, now, revoked, notices: Vec::new(), presented: None }
    }

    /// A JWT: by everything that is in it, then by what was sent beside it, then by the policy.
    pub(crate) fn judge_jwt(&mut self, order: &VerifyOrder, token: &str) -> Result<Proof, Refusal> {
        let Application { profile, keys, expected, users, companies, .. } = self.application;
        let presented = self.presented.insert(Presented::new(ledger::Credential::Jwt));
        let format = profile.jwt.as_ref().ok_or(Reason::AlgorithmNotAllowed)?;
        let parts = jwt::Parts::of(token)?;
        let key = parts.authenticate(&keys.jwt, format, self.now).inspect_err(|reason| {
            presented.not_authenticated(*reason);
            let tried = *reason == Reason::SignatureInvalid && parts.candidates(&keys.jwt).any(JwtKey::is_weak);
            notable(&mut self.notices, tried.then(|| NoticeCode::WeakKey.into()));
        })?;
        presented.authenticated(&key.id);
        notable(&mut self.notices, key_notices(key.is_weak(), key.validity, self.now));
        let narrowed = expected.narrowed_to(&order.audience);
        let token = jwt::judge(parts, key, format, &narrowed, (users, companies), self.now)?;
        let provenance = Provenance::read(&token.claims, format)?;
        let verified = token.read.identity;
        presented.subjects = verified.subjects().collect();
        for kind in SubjectKind::ALL {
            let (proven, said) = (verified.identifier(kind), order.asserted.identifier(kind));
            if proven.zip(said).is_some_and(|(proven, said)| proven != said) {
                return Err(Reason::IdentityMismatch.into());
            }
        }
        self.application.refuse_privileged(&verified)?;
        self.application.refuse_privileged(&order.asserted)?;
        let credential = Proven::Jwt {
            provenance,
            token_id: token.token_id,
            claims_json: token.claims_json,
            times: token.times,
            undeclared: token.read.undeclared,
        };
        let proof = Proof { verified, key_id: token.key.id.clone(), credential };
        self.refuse_revoked(&proof, &proof.verified)?;
        self.accept(Credential::Jwt, &order.client)?;
        if token.times.expires_at.is_none() {
            self.notices.push(NoticeCode::NoExpiry.into());
        }
        Ok(proof)
    }

    /// Refuses a credential that is revoked, or leads to identifiers that are.
    pub(crate) fn refuse_revoked(&self, proof: &Proof, identity: &Identity) -> Result<(), Refusal> {
        let credential = (&proof.credential, proof.key_id.as_str());
        let reason = revocation::refuses(self.revoked, &self.application.name, credential, identity, self.now);
        reason.map_or(Ok(()), |reason| Err(reason.into()))
    }

    /// The use of a one-time token; none where tokens may be used again, and for a hash.
    pub(crate) fn use_of(&self, proof: &Proof) -> Option<Use> {
        let Application { name: application, expected, .. } = self.application;
        let Proven::Jwt { token_id, times, .. } = &proof.credential else { return None };
        let until = times.expires_at.filter(|_| expected.one_time)?.saturating_add(expected.times.leeway);
        Some(Use { token: name(&["used", application, token_id]), issued_at: times.issued_at, until })
    }

    /// Shape, identifier, HMAC, companies: whose hash it is, by which key.
    pub(crate) fn authenticate_hash(
        &mut self,
        order: &VerifyOrder,
        proof: &LegacyProof,
    ) -> Result<(Subject, &'a LegacyKey, Vec<Company>), Refusal> {
        let Application { profile, keys, acceptance, .. } = self.application;
        self.presented = Some(Presented::new(ledger::Credential::Hash));
        let Some(format) = profile.hash.as_ref() else { return Err(Reason::HashNoLongerAccepted.into()) };
        if proof.user_hash.is_empty() {
            return Err(Reason::CredentialMissing.into());
        }
        let digest = legacy::read(&proof.user_hash, format.digest)?;
        let subject = hashed_subject(format, proof, &order.asserted)?;
        if keys.legacy.is_empty() {
            // The policy is the better answer where it has one: nobody keeps the keys of a scheme that has ended.
            self.accept(Credential::Hash(&subject, Fact::None), &order.client)?;
            return Err(Reason::KeyUnknown.into());
        }
        let used = legacy::verify(&keys.legacy, &subject.value, &digest, self.now);
        if let Some(presented) = &mut self.presented {
            match used {
                Ok(key) => presented.authenticated(&key.id),
                Err(reason) => presented.not_authenticated(reason),
            }
            presented.subjects = vec![subject.clone()];
        }
        let companies = companies(format, &keys.legacy, proof, self.now);
        let failed = used.is_err() || companies.is_err();
        let company_keys = companies.iter().flatten().map(|(_, key)| *key);
        let judged_by = used.iter().copied().chain(company_keys).chain(keys.legacy.iter().filter(|_| failed));
        for key in judged_by {
            // A failure was judged by all of them; only what fitted is worth an announcement of its end.
            let validity = if failed { Validity::default() } else { key.validity };
            notable(&mut self.notices, key_notices(key.hmac.is_weak(), validity, self.now));
        }
        let key = used?;
        notable(
            &mut self.notices,
            acceptance.hash_notices(&self.caller.name, self.caller.steering(&order.client), self.now),
        );
        Ok((subject, key, companies?.into_iter().map(|(company, _)| company).collect()))
    }

    /// Whether the policy accepts a genuine credential; and, beside it, whether the shadow would.
    pub(crate) fn accept(&mut self, credential: Credential<'_>, client: &str) -> Result<(), Refusal> {
        let question = Question {
            application: &self.application.name,
            credential,
            caller: &self.caller.name,
            client: self.caller.steering(client),
            now: self.now,
        };
        let policy = &self.application.acceptance;
        match policy.judge(&question) {
            Verdict::Accept => {
                let shadow = policy.shadow.as_ref().and_then(|shadow| shadow.judge(&question).refusal());
                if let Some(presented) = &mut self.presented {
                    presented.shadow = shadow;
                }
                Ok(())
            }
            Verdict::Refuse(reason) => Err(reason.into()),
            Verdict::StoreNeeded => Err(Refusal::StoreUnavailable),
        }
    }

    /// Whose facts the ratchet turns on; none where there is no ratchet, not even in the shadow.
    pub(crate) fn fact_key<'k>(&'k self, client: &'k str, subject: &'k Subject) -> Option<FactKey<'k>> {
        let client = match self.application.acceptance.any_ratchet()?.scope {
            Scope::Subject => "",
            Scope::SubjectAndClient => self.caller.steering(client).map_or("", first_segment),
        };
        Some(FactKey { application: &self.application.name, subject, client })
    }
}

/// The identifier that the hash was made over: the one that was named, else the first of the format's order that was
/// sent. There is no fallback to the next one.
fn hashed_subject(format: &HashFormat, proof: &LegacyProof, asserted: &Identity) -> Result<Subject, Refusal> {
    if proof.hashed.is_some_and(|kind| !format.order.contains(&kind)) {
        return Err(Refusal::field("legacy.hashed", "this application's profile does not hash this identifier"));
    }
    let mut order = proof.hashed.as_ref().map_or(format.order.as_slice(), std::slice::from_ref).iter();
    let found = order.find_map(|kind| Some(Subject { kind: *kind, value: asserted.identifier(*kind)?.to_owned() }));
    let names = || proof.hashed.map_or_else(|| "user_id or email".to_owned(), |kind| kind.name().to_owned());
    found.ok_or_else(|| Refused::claim(Reason::ClaimMissing, names()).into())
}

/// The companies whose hashes are all genuine. They hold their id and nothing else: that is all a hash proves.
fn companies<'k>(
    format: &HashFormat,
    keys: &'k [LegacyKey],
    proof: &LegacyProof,
    now: UtcDateTime,
) -> Result<Vec<(Company, &'k LegacyKey)>, Refusal> {
    if !format.companies && !proof.company_hashes.is_empty() {
        return Err(Refusal::field("legacy.company_hashes", "this application's profile has no company hashes"));
    }
    let genuine = |(id, hash): &(String, String)| {
        let digest = legacy::read(hash, format.digest)?;
        let key = legacy::verify(keys, id, &digest, now)?;
        Ok((Company { id: id.clone(), ..Company::default() }, key))
    };
    proof.company_hashes.iter().map(genuine).collect()
}
