//! THE FLOW: what happens to a request, in the reader's order. Everything it calls is either pure or named here.
//!
//! One snapshot of the configuration and one instant serve a whole request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use time::UtcDateTime;
use tokio::sync::watch;

use crate::acceptance::{Credential, END_NOTICE, Fact};
use crate::account::{Account, Books};
use crate::admission;
use crate::application::{Application, Snapshot, key_notices};
use crate::clock::Clock;
use crate::diagnose::{Case, diagnose};
use crate::hearing::Hearing;
use crate::identity::{Identity, Subject};
use crate::ledger;
use crate::mint::{self, Grant};
use crate::notice::{Notice, NoticeCode};
use crate::observe::{Metrics, events};
use crate::order::{
    Accepted, DiagnoseOrder, Diagnosis, ExchangeOrder, HashOrder, Hashed, LegacyProof, Outcome, Proof, Proven,
    SignOrder, Signed, VerifyOrder, notable,
};
use crate::pipeline::{Base, Pipeline};
use crate::refusal::{Reason, Refusal, Refused};
use crate::revocation;
use crate::runtime::Documents;
use crate::split::split;
use crate::store::{Revocations, State};
use crate::token::legacy;

/// The service.
pub struct Authority {
    clock: Arc<dyn Clock>,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) store: Arc<dyn State>,
    pub(crate) pipeline: Pipeline,
    pub(crate) books: Books,
    /// The policies that were set at run time, as they were heard last; none: nothing is known yet.
    pub(crate) policies: watch::Sender<Option<Documents>>,
    /// How often they were changed here.
    pub(crate) changes: AtomicU64,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// An authority over a configuration.
    pub fn new(
        clock: Arc<dyn Clock>,
        snapshot: Snapshot,
        store: Arc<dyn State>,
        pipeline: Pipeline,
        books: Books,
    ) -> Self {
        Self {
            clock,
            snapshot: ArcSwap::from_pointee(snapshot),
            store,
            pipeline,
            books,
            policies: watch::Sender::new(None),
            changes: AtomicU64::new(0),
        }
    }

    /// What is counted.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.books.metrics)
    }

    /// The configuration and the instant of this moment, for those that only look.
    pub fn present(&self) -> (Arc<Snapshot>, UtcDateTime) {
        (self.snapshot.load_full(), self.clock.now())
    }

    /// Assembles a user's claims and signs them.
    pub async fn sign(&self, account: &mut Account<'_>, order: &SignOrder) -> Result<Signed, Refusal> {
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &order.application)?;
        account.about(&order.client, order.identity.subjects());
        self.require_known(application, now)?;
        let (format, key) = application.signing_at(now, self.revoked())?;
        application.refuse_privileged(&order.identity).map_err(|_verdict| Refusal::Privileged)?;
        admission::admit(application, format, &order.identity)?;
        let grant = Grant::of(application, order.ttl, &order.audience, now)?;
        let base = Base::Asserted(&order.identity);
        let pipeline = &self.pipeline;
        let assembled = pipeline.assemble(application, &snapshot.sources, base, now, order.deadline).await?;
        // Again, on the identifiers that will stand in the token: a source may have brought one.
        application.refuse_privileged(&assembled.identity).map_err(|_verdict| Refusal::Privileged)?;
        self.refuse_stillborn(application, &assembled.identity, now)?;
        admission::complete(application, format, &assembled.identity)?;
        let minted = mint::mint(application, format, key, &assembled.identity, &grant, None);
        let token = minted.map_err(|refusal| assembled.blame(application, refusal))?;
        account.issued(ledger::Credential::Jwt, &key.id);
        let mut notices = assembled.notices;
        notable(&mut notices, key_notices(key.is_weak(), key.validity, now));
        notable(&mut notices, mint::notices(format, &assembled.identity));
        Ok(Signed { token, key_id: key.id.clone(), origins: assembled.origins, notices })
    }

    /// Judges a credential and says what it proves.
    pub async fn verify(&self, account: &mut Account<'_>, order: &VerifyOrder) -> Result<Outcome<Accepted>, Refusal> {
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &order.application)?;
        account.about(&order.client, order.asserted.subjects());
        self.require_known(application, now)?;
        let mut hearing = Hearing::new(application, account.caller, now, self.revoked());
        let judged = async {
            let proof = self.judge(&mut hearing, order).await?;
            self.use_up(account, &hearing, &proof).await?;
            Ok::<_, Refusal>(proof)
        };
        let judged = judged.await;
        account.presented.clone_from(&hearing.presented);
        match judged {
            Ok(proof) => {
                self.remember(&hearing, &order.client, &proof).await;
                let split = split(application, &proof.verified, &order.asserted);
                Ok(Outcome::Accepted(Accepted::new(proof, split, hearing.notices)))
            }
            Err(refusal) => refusal.into_outcome(hearing.notices),
        }
    }

    /// Makes the legacy hashes of an identifier and of companies.
    pub fn legacy_hash(&self, account: &mut Account<'_>, order: &HashOrder) -> Result<Hashed, Refusal> {
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &order.application)?;
        account.about(&order.client, order.identity.subjects());
        self.require_known(application, now)?;
        let (format, key) = application.hashing_at(now, self.revoked())?;
        if order.values().any(|value| application.privileged.covers(value)) {
            return Err(Refusal::Privileged);
        }
        let kind = order.kind(format)?;
        let hash = |value: &str| legacy::hash(key, value, format.digest);
        account.issued(ledger::Credential::Hash, &key.id);
        let (policy, caller) = (&application.acceptance, account.caller);
        let client = caller.steering(&order.client);
        let mut notices = policy.hash_notices(&caller.name, client, now);
        let soon = now.saturating_add(END_NOTICE);
        if let Some(end) = policy.issues_hash_until().filter(|end| *end <= soon) {
            notices.push(Notice::until(NoticeCode::HashNotIssuedSoon, Some(end)));
        }
        notable(&mut notices, key_notices(key.hmac.is_weak(), key.validity, now));
        Ok(Hashed {
            user: kind.and_then(|kind| Some((kind, hash(order.identity.identifier(kind)?)))),
            companies: order.company_ids.iter().map(|id| (id.clone(), hash(id))).collect(),
            key_id: key.id.clone(),
            accepted_until: policy.hash_until_for(&caller.name, client),
            notices,
        })
    }

    /// Turns a credential into a fresh token. It never adds trust: only what the credential proves is signed.
    pub async fn exchange(&self, account: &mut Account<'_>, order: &ExchangeOrder) -> Result<Outcome<Signed>, Refusal> {
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &order.credential.application)?;
        account.about(&order.credential.client, order.credential.asserted.subjects());
        self.require_known(application, now)?;
        let (format, key) = application.signing_at(now, self.revoked())?;
        let grant = Grant::of(application, order.ttl, &order.credential.audience, now)?;
        // The audience that was asked for is the new token's; the old one may be for any of the application's.
        let credential = VerifyOrder { audience: String::new(), ..order.credential.clone() };
        let mut hearing = Hearing::new(application, account.caller, now, self.revoked());
        let exchanged = async {
            let proof = self.judge(&mut hearing, &credential).await?;
            let (provenance, grant) = mint::session(application, &proof, grant, now)?;
            let (sources, base) = (&snapshot.sources, Base::Proven(&proof.verified));
            let assembled = self.pipeline.assemble(application, sources, base, now, order.deadline).await?;
            application.refuse_privileged(&assembled.identity)?;
            hearing.refuse_revoked(&proof, &assembled.identity.identifiers())?;
            admission::complete(application, format, &assembled.identity).map_err(Refusal::of_proven)?;
            let minted = mint::mint(application, format, key, &assembled.identity, &grant, Some(provenance));
            let token = minted.map_err(Refusal::of_proven)?;
            account.issued(ledger::Credential::Jwt, &key.id);
            self.use_up(account, &hearing, &proof).await?;
            self.remember(&hearing, &credential.client, &proof).await;
            Ok((token, assembled))
        };
        let exchanged = exchanged.await;
        account.presented.clone_from(&hearing.presented);
        match exchanged {
            Ok((token, assembled)) => {
                let mut notices = hearing.notices;
                notable(&mut notices, assembled.notices);
                notable(&mut notices, key_notices(key.is_weak(), key.validity, now));
                notable(&mut notices, mint::notices(format, &assembled.identity));
                let key_id = key.id.clone();
                Ok(Outcome::Accepted(Signed { token, key_id, origins: assembled.origins, notices }))
            }
            Err(refusal) => {
                // It was made, perhaps, and nobody gets it.
                account.issued = None;
                Refusal::into_outcome(refusal, hearing.notices)
            }
        }
    }

    /// Says what is wrong with a credential and how to mend it.
    pub async fn diagnose(&self, account: &mut Account<'_>, order: &DiagnoseOrder) -> Result<Diagnosis, Refusal> {
        let (snapshot, now) = self.present();
        let credential = &order.credential;
        let application = snapshot.application_for(account.caller, &credential.application)?;
        account.about(&credential.client, credential.asserted.subjects());
        self.require_known(application, now)?;
        let mut hearing = Hearing::new(application, account.caller, now, self.revoked());
        let judged = async {
            let proof = self.judge(&mut hearing, credential).await?;
            self.refuse_used(&hearing, &proof).await
        };
        let judged = judged.await;
        // Whom it proves, and not as a credential that came: nothing is counted of what is diagnosed.
        account.subjects.extend(hearing.presented.into_iter().flat_map(|presented| presented.subjects));
        let verdict = match judged {
            Ok(()) => None,
            Err(Refusal::Verdict(refused)) => Some(refused),
            // Verify would say so with an error; here the finding says which field it is.
            Err(Refusal::Invalid(reason, _)) => Some(Refused::from(reason)),
            Err(error) => return Err(error),
        };
        let proof = credential.legacy.clone().unwrap_or_default();
        let others = snapshot.applications_of(account.caller).filter(|other| other.name != application.name);
        let findings = diagnose(&Case {
            application,
            others: others.map(AsRef::as_ref).collect(),
            caller: account.caller,
            jwt: credential.jwt.as_deref(),
            user_hash: &proof.user_hash,
            hashed: proof.hashed,
            company_hashes: &proof.company_hashes,
            asserted: &credential.asserted,
            audience: &credential.audience,
            client: &credential.client,
            suspected_secret: &order.suspected_secret,
            verdict: verdict.as_ref(),
            now,
        });
        Ok(Diagnosis { findings, verdict })
    }

    /// What Verify says, without a trace: nothing is consumed, counted or remembered.
    pub async fn judge(&self, hearing: &mut Hearing<'_>, order: &VerifyOrder) -> Result<Proof, Refusal> {
        let expected = &hearing.application.expected;
        if !order.audience.is_empty() && !expected.audiences.contains(&order.audience) {
            return Err(Reason::AudienceMismatch.into());
        }
        match (&order.jwt, &order.legacy) {
            (Some(_), Some(proof)) if !hearing.application.acceptance.accepts_jwt_at(hearing.now) => {
                hearing.notices.push(NoticeCode::JwtIgnored.into());
                self.judge_hash(hearing, order, proof).await
            }
            // The JWT decides alone: a bad one never falls back to the hash beside it.
            (Some(token), _) => hearing.judge_jwt(order, token),
            (None, Some(proof)) => self.judge_hash(hearing, order, proof).await,
            (None, None) => Err(Reason::CredentialMissing.into()),
        }
    }

    async fn judge_hash(
        &self,
        hearing: &mut Hearing<'_>,
        order: &VerifyOrder,
        proof: &LegacyProof,
    ) -> Result<Proof, Refusal> {
        let (subject, key, companies) = hearing.authenticate_hash(order, proof)?;
        let application = hearing.application;
        let hashed = std::iter::once(subject.value.as_str()).chain(companies.iter().map(|company| company.id.as_str()));
        if hashed.into_iter().any(|value| application.privileged.covers(value)) {
            return Err(Reason::SubjectPrivileged.into());
        }
        application.refuse_privileged(&order.asserted)?;
        let mut verified = Identity { companies, ..Identity::default() };
        if let Some(place) = verified.text_mut(subject.kind.field()) {
            *place = Some(subject.value.clone());
        }
        let proof = Proof { verified, key_id: key.id.clone(), credential: Proven::Hash };
        hearing.refuse_revoked(&proof, &proof.verified)?;
        let fact = self.fact(hearing, &order.client, &subject).await;
        hearing.accept(Credential::Hash(&subject, fact), &order.client)?;
        if !proof.verified.companies.is_empty() {
            hearing.notices.push(NoticeCode::CompanyNotBound.into());
        }
        Ok(proof)
    }

    /// What is revoked, as it is known here.
    pub fn revoked(&self) -> &Revocations {
        self.store.revoked()
    }

    /// Nothing is judged before it is known what is revoked, and which policies were set at run time, and before the ledger
    /// is known to the store; nor, where the application is strict, when what is revoked may have changed a while ago.
    fn require_known(&self, application: &Application, now: UtcDateTime) -> Result<(), Refusal> {
        let revoked = self.revoked();
        let stale = application.expected.strict_revocation && revoked.is_stale(now);
        let known = revoked.is_loaded() && self.knows_policies() && self.ledger().is_known();
        if known && !stale { Ok(()) } else { Err(Refusal::StoreUnavailable) }
    }

    /// Refuses to make a token that is revoked already: one in the very second of its subject's cut-off.
    fn refuse_stillborn(
        &self,
        application: &Application,
        identity: &Identity,
        now: UtcDateTime,
    ) -> Result<(), Refusal> {
        let cut_off = revocation::is_cut_off(self.revoked(), &application.name, identity, Some(now), now);
        if cut_off { Err(Refusal::Precondition(Reason::TokenRevoked.into())) } else { Ok(()) }
    }

    /// What is known of the subject's JWTs, where the policy asks.
    async fn fact(&self, hearing: &Hearing<'_>, client: &str, subject: &Subject) -> Fact {
        let Some(key) = hearing.fact_key(client, subject) else { return Fact::None };
        match self.store.first_jwt(key).await {
            Ok(first) => first.map_or(Fact::None, Fact::JwtSince),
            Err(_away) => Fact::Unknown,
        }
    }

    /// Notes what an accepted credential leaves behind: what the shadow says of it, and the ratchet, turned for every
    /// identifier that a JWT carries.
    async fn remember(&self, hearing: &Hearing<'_>, client: &str, proof: &Proof) {
        let (application, caller) = (&hearing.application.name, &hearing.caller.name);
        if let Some(reason) = hearing.presented.as_ref().and_then(|presented| presented.shadow) {
            events::ShadowRefuses { application, caller, reason }.emit();
        }
        if !proof.turns_ratchet() {
            return;
        }
        for subject in proof.verified.subjects() {
            let Some(key) = hearing.fact_key(client, &subject) else { return };
            if self.store.saw_jwt(key, hearing.now).await.is_err() {
                events::FactLost { application }.emit();
            }
        }
    }
}
