//! What is written down about a request: one account, opened when it is known who calls, filled on the way, and closed
//! with the outcome. The log and the books all read the same account, so that they never disagree.

use std::sync::Arc;

use time::UtcDateTime;

use crate::application::Application;
use crate::audit::Audit;
use crate::audit::record::{self, Decided};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::identity::Subject;
use crate::ledger::{self, Credential, Ledger, Seen};
use crate::observe::{Metrics, events};
use crate::order::Outcome;
use crate::pseudonym::{Pseudonyms, Use};
use crate::refusal::{Reason, Refusal};
use crate::revocation::Target;

/// What accounts are written into.
#[derive(Debug)]
pub struct Books {
    /// What is counted of the process.
    pub metrics: Arc<Metrics>,
    /// What subjects are called in them.
    pub pseudonyms: Pseudonyms,
    /// What is counted of credentials.
    pub ledger: Ledger,
    /// The audit log.
    pub audit: Audit,
}

impl Books {
    /// Counts the credential that was judged, and the one that was made.
    fn count(&self, application: &str, account: &Account<'_>, ending: Ending, now: UtcDateTime) {
        let (caller, client) = (account.caller.name.as_str(), account.client.as_str());
        if let Some(presented) = &account.presented
            && let Some(outcome) = presented.outcome(ending)
        {
            // Garbage costs no HMAC: it has no subject.
            let genuine = presented.subjects.iter().filter(|_| presented.genuine);
            let pseudonym = |subject| self.pseudonyms.of(application, Use::Ledger, subject);
            let subjects: Vec<String> = genuine.map(pseudonym).collect();
            let shadow = presented.shadow.filter(|_| outcome == ledger::Outcome::Accepted);
            let (credential, key, subjects) = (presented.credential, presented.key.as_str(), subjects.as_slice());
            self.ledger.saw(application, &Seen { credential, outcome, caller, client, key, subjects, shadow }, now);
        }
        if let (Some((credential, key)), Ending::Done) = (&account.issued, ending) {
            let (credential, outcome) = (*credential, ledger::Outcome::Issued);
            let seen = Seen { credential, outcome, caller, client, key, subjects: &[], shadow: None };
            self.ledger.saw(application, &seen, now);
        }
    }
}

/// What is known of a request so far.
#[derive(Debug)]
pub struct Account<'a> {
    /// Names the request, in its answer too.
    pub request_id: String,
    /// The RPC's name.
    pub rpc: &'static str,
    /// Who asks.
    pub caller: &'a Caller,
    /// The application's name, as the request has it. It is told only where it is one of the caller's own.
    pub application: String,
    /// The client label, where this caller may steer with it; empty otherwise.
    pub client: String,
    /// Whom it is about, as far as that is known.
    pub subjects: Vec<Subject>,
    /// The credential that was judged.
    pub presented: Option<Presented>,
    /// What was made, and with which key.
    pub issued: Option<(Credential, String)>,
    /// What is refused from now on.
    pub revoked: Option<Target>,
    /// The version of the policy that is set.
    pub sets: Option<u64>,
    /// What stands in the audit log already.
    pub written: Option<Ending>,
}

/// A credential that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// What it is.
    pub credential: Credential,
    /// Whether a key of the application made it, whatever was found wrong with it then.
    pub genuine: bool,
    /// Which key; empty where it is not genuine, and where that key does not count now.
    pub key: String,
    /// Whom it proves, as far as it was read.
    pub subjects: Vec<Subject>,
    /// Why the shadow policy would refuse what the policy accepts.
    pub shadow: Option<Reason>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was done; a credential was accepted.
    Done,
    /// A verdict: the credential was refused.
    Refused(Reason),
    /// It could not be judged or done.
    Failed(Reason),
}

impl<'a> Account<'a> {
    /// An account of which only that is known.
    #[must_use]
    pub fn open(rpc: &'static str, caller: &'a Caller, application: &str) -> Self {
        Self {
            request_id: String::new(),
            rpc,
            caller,
            application: application.to_owned(),
            client: String::new(),
            subjects: vec![],
            presented: None,
            issued: None,
            revoked: None,
            sets: None,
            written: None,
        }
    }

    /// Notes which client it came from, and whom it says that it is about.
    pub fn about(&mut self, client: &str, subjects: impl Iterator<Item = Subject>) {
        self.client = self.caller.steering(client).unwrap_or_default().to_owned();
        self.subjects = subjects.collect();
    }

    /// Notes what was made.
    pub fn issued(&mut self, credential: Credential, key: &str) {
        self.issued = Some((credential, key.to_owned()));
    }

    /// Which key was used: the one that made something, else the one that made the credential, else the one that is
    /// revoked.
    #[must_use]
    pub fn key(&self) -> &str {
        let presented = self.presented.as_ref().map(|presented| presented.key.as_str());
        let revoked = self.revoked.as_ref().and_then(Target::key);
        self.issued.as_ref().map(|(_, key)| key.as_str()).or(presented).or(revoked).unwrap_or_default()
    }

    /// What the audit log says of it. `application`: where it is one of the caller's own.
    fn decided(&self, application: Option<&Application>, pseudonyms: &Pseudonyms, ending: Ending) -> Decided {
        let mut decided = Decided {
            request_id: self.request_id.clone(),
            rpc: self.rpc,
            caller: self.caller.name.clone(),
            outcome: record::Outcome::of(ending.reason()),
            reason: ending.reason().map_or("", Reason::name),
            key_id: self.key().to_owned(),
            ..Decided::default()
        };
        let Some(Application { name: application, set, .. }) = application else { return decided };
        decided.application.clone_from(application);
        decided.versions.acceptance = self.sets.or_else(|| Some(set.as_ref()?.version));
        // What a credential proves counts more than what was said beside it.
        let proven = self.presented.iter().flat_map(|presented| &presented.subjects);
        for subject in self.subjects.iter().chain(proven) {
            let pseudonym = pseudonyms.of(application, Use::Audit, subject);
            decided.subject.insert(subject.kind.name(), pseudonym);
        }
        if let Some(Target::Token(id)) = &self.revoked {
            decided.subject.insert("token_id", pseudonyms.named(application, Use::Audit, "token_id", id));
        }
        decided
    }
}

impl Presented {
    /// Something of which nothing is known yet.
    #[must_use]
    pub const fn new(credential: Credential) -> Self {
        Self { credential, genuine: false, key: String::new(), subjects: Vec::new(), shadow: None }
    }

    /// Notes why no key of the application counts for it. That a key made it which does not count now is known of these
    /// reasons alone.
    pub fn not_authenticated(&mut self, reason: Reason) {
        self.genuine = reason == Reason::KeyRetired || reason == Reason::KeyNotYetValid;
    }

    /// What came of it; none where it could not be judged. That a genuine hash came is evidence also then: whoever sent it
    /// uses hashes still.
    fn outcome(&self, ending: Ending) -> Option<ledger::Outcome> {
        match ending {
            Ending::Done => Some(ledger::Outcome::Accepted),
            Ending::Refused(_) if self.genuine => Some(ledger::Outcome::Refused),
            Ending::Refused(_) => Some(ledger::Outcome::Invalid),
            Ending::Failed(_) => {
                (self.genuine && self.credential == Credential::Hash).then_some(ledger::Outcome::Refused)
            }
        }
    }

    /// Notes which key made it.
    pub fn authenticated(&mut self, key: &str) {
        self.genuine = true;
        key.clone_into(&mut self.key);
    }
}

impl Ending {
    /// What came of something that has no verdict.
    #[must_use]
    pub fn of<T>(result: &Result<T, Refusal>) -> Self {
        result.as_ref().map_or_else(|refusal| Self::Failed(refusal.reason()), |_done| Self::Done)
    }

    /// What came of a credential.
    #[must_use]
    pub fn of_verdict<T>(result: &Result<Outcome<T>, Refusal>) -> Self {
        match result {
            Ok(Outcome::Refused(refused, _)) => Self::Refused(refused.reason),
            Ok(Outcome::Accepted(_)) | Err(_) => Self::of(result),
        }
    }

    /// Why not.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Done => None,
            Self::Refused(reason) | Self::Failed(reason) => Some(reason),
        }
    }
}

impl Authority {
    /// What is counted of credentials.
    pub const fn ledger(&self) -> &Ledger {
        &self.books.ledger
    }

    /// Writes down what came of a request, before it is answered.
    pub async fn close(&self, mut account: Account<'_>, ending: Ending) -> Result<(), Refusal> {
        let written = self.write_down(&mut account, ending).await;
        let ending = if written.is_ok() { ending } else { Ending::Failed(Reason::AuditUnavailable) };
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &account.application).ok();
        let application = application.map_or("", |application| application.name.as_str());
        self.books.count(application, &account, ending, now);
        let (rpc, caller, key) = (account.rpc, account.caller.name.as_str(), account.key());
        let (request_id, reason) = (account.request_id.as_str(), ending.reason());
        events::Decided { request_id, rpc, caller, application, key, reason }.emit(&self.books.metrics);
        written
    }

    /// Writes into the audit log what comes of a request, unless it stands there. What cannot be undone is written down
    /// before it is done: where that then fails, a second line says so.
    pub(crate) async fn write_down(&self, account: &mut Account<'_>, ending: Ending) -> Result<(), Refusal> {
        let Books { audit, pseudonyms, .. } = &self.books;
        let unwritable = ending == Ending::Failed(Reason::AuditUnavailable);
        if !audit.covers(account.rpc) || account.written == Some(ending) || unwritable {
            return Ok(());
        }
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &account.application).ok();
        let decided = account.decided(application.map(AsRef::as_ref), pseudonyms, ending);
        audit.record(decided, now).await.map_err(|_unwritten| Refusal::AuditUnavailable)?;
        account.written = Some(ending);
        Ok(())
    }
}
