//! Policies that are set at run time: they win over the file, on every server within seconds, until they are reset. Each is
//! a document of the store, changed by compare-and-set. A reset leaves its document, so that versions never go back.
//!
//! Before they are loaded nothing is judged: a policy that has ended must not hold again because a server was started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::UtcDateTime;

use crate::acceptance::Acceptance;
use crate::acceptance_json;
use crate::account::{Account, Ending};
use crate::application::{Application, SetAtRunTime, Snapshot};
use crate::authority::Authority;
use crate::config::acceptance::parse;
use crate::observe::events;
use crate::order::{ResetOrder, SetOrder};
use crate::refusal::{Refusal, Violation};
use crate::store::{Away, Document};

/// The kind of these documents; each has the application's name.
pub const KIND: &str = "acceptance";

/// Policies as they are kept, by application.
pub(crate) type Documents = BTreeMap<String, Document>;

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The policy; none: it was reset, and the file's holds.
    acceptance: Option<Value>,
    caller: String,
    /// Seconds since 1970.
    at: i64,
    reason: String,
    /// What the file's policy was known by then.
    file: String,
}

/// How far changes were followed: those in the store, and those that were made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    there: u64,
    here: u64,
}

/// A document that is not what this version writes: a later one wrote it, or somebody else.
#[derive(Debug, thiserror::Error)]
#[error("a policy that was set at run time cannot be read")]
struct Unreadable;

impl Authority {
    /// An application with the policy in force, and the version that whoever changes that has to know.
    pub async fn acceptance(&self, account: &Account<'_>) -> Result<(Arc<Application>, u64), Refusal> {
        let (snapshot, _) = self.present();
        let application = Arc::clone(snapshot.application_for(account.caller, &account.application)?);
        let document = self.store.document(KIND, &application.name).await.map_err(|_away| Refusal::StoreUnavailable)?;
        Ok((application, document.map_or(0, |document| document.version)))
    }

    /// Sets the whole policy. Gives its version, and what is odd in it and yet works.
    pub async fn set_acceptance(
        &self,
        account: &mut Account<'_>,
        order: &SetOrder,
    ) -> Result<(u64, Vec<String>), Refusal> {
        let (policy, warnings) = parse(&order.policy).map_err(|problems| {
            let violation = |problem: crate::config::Problem| {
                Violation::new(problem.key, format!("{}; {}", problem.wrong, problem.right))
            };
            Refusal::Invalid(crate::refusal::Reason::RequestInvalid, problems.into_iter().map(violation).collect())
        })?;
        let version = self.change(account, Some(order.policy.clone()), order.version, &order.reason).await?;
        let odd = warnings.into_iter().map(|odd| format!("{}: {}; {}", odd.key, odd.wrong, odd.right));
        let ended = policy.hash_until.is_some_and(|until| until <= self.present().1);
        let ended = ended.then(|| "acceptance.hash_until: has passed; hashes have ended for everybody".to_owned());
        Ok((version, odd.chain(ended).collect()))
    }

    /// Goes back to the file's policy. Gives the version.
    pub async fn reset_acceptance(&self, account: &mut Account<'_>, order: &ResetOrder) -> Result<u64, Refusal> {
        self.change(account, None, order.version, &order.reason).await
    }

    async fn change(
        &self,
        account: &mut Account<'_>,
        acceptance: Option<Value>,
        known: u64,
        reason: &str,
    ) -> Result<u64, Refusal> {
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &account.application)?;
        let (caller, was_reset) = (account.caller.name.clone(), acceptance.is_none());
        let file = acceptance_json::digest(application.file_acceptance());
        let kept = Kept { acceptance, caller, at: now.unix_timestamp(), reason: reason.to_owned(), file };
        let bytes = serde_json::to_vec(&kept).map_err(|_never| Refusal::Internal)?;
        // There is no version after the last, and so nobody has read it.
        let version = known.checked_add(1).ok_or(Refusal::VersionConflict)?;
        account.sets = Some(version);
        self.write_down(account, Ending::Done).await?;
        let away = |_away: Away| Refusal::StoreUnavailable;
        if !self.store.keep(KIND, &application.name, known, bytes.clone()).await.map_err(away)? {
            return Err(Refusal::VersionConflict);
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
        events::AcceptanceSet { caller: &kept.caller, application: &application.name, version, was_reset }.emit();
        self.apply(&[(application.name.clone(), Document { version, bytes })].into());
        Ok(version)
    }

    /// Whether the policies that were set at run time are known, and so anything can be judged.
    pub fn knows_policies(&self) -> bool {
        self.policies.borrow().is_some()
    }

    /// Returns when they are.
    pub async fn policies_known(&self) {
        // It cannot fail: the sender is here.
        self.policies.subscribe().wait_for(Option::is_some).await.map(drop).unwrap_or_default();
    }

    /// Takes over what was set anywhere since `known`, and gives back to the store what it has lost. Gives what to ask with
    /// next time.
    pub async fn follow_policies(&self, known: Option<Followed>) -> Result<Followed, Away> {
        // A store that was emptied right after a change here looks like before it.
        let here = self.changes.load(Ordering::Acquire);
        let newest = Followed { there: self.store.number(KIND).await?, here };
        if known == Some(newest) {
            return Ok(newest);
        }
        let documents = self.store.documents(KIND).await?;
        let known = self.policies.borrow().clone().unwrap_or_default();
        for (name, document) in &known {
            if documents.get(name).is_none_or(|there| there.version < document.version) {
                self.store.put_back(KIND, name, document).await?;
            }
        }
        // What cannot be read when nothing is known yet could be the end of hashes.
        if self.apply(&documents) || self.knows_policies() { Ok(newest) } else { Err(Away) }
    }

    /// Puts the policies in force. Whether all could be read; one that cannot be leaves its application as it is.
    fn apply(&self, documents: &Documents) -> bool {
        let mut readable = true;
        self.snapshot.rcu(|snapshot| {
            let mut applications = snapshot.applications.clone();
            for (name, document) in documents {
                let Some(application) = applications.get_mut(name) else { continue };
                match with(application, document) {
                    Ok(changed) => *application = Arc::new(changed),
                    Err(Unreadable) => {
                        events::AcceptanceUnreadable { application: name }.emit();
                        readable = false;
                    }
                }
            }
            Snapshot { applications, sources: snapshot.sources.clone() }
        });
        if readable {
            self.policies.send_modify(|known| {
                let known = known.get_or_insert_default();
                known.extend(documents.iter().map(|(name, document)| (name.clone(), document.clone())));
            });
        }
        readable
    }
}

/// The application with what the document says.
fn with(application: &Application, document: &Document) -> Result<Application, Unreadable> {
    let file = application.file_acceptance().clone();
    let kept: Kept = serde_json::from_slice(&document.bytes).map_err(|_other_shape| Unreadable)?;
    let Some(policy) = kept.acceptance else {
        return Ok(Application { acceptance: file, set: None, ..application.clone() });
    };
    let (acceptance, _): (Acceptance, _) = parse(&policy).map_err(|_problems| Unreadable)?;
    let file_changed = kept.file != acceptance_json::digest(&file);
    let at = UtcDateTime::from_unix_timestamp(kept.at).map_err(|_year| Unreadable)?;
    let version = document.version;
    let set = SetAtRunTime { file, version, caller: kept.caller, at, reason: kept.reason, file_changed };
    Ok(Application { acceptance, set: Some(set), ..application.clone() })
}

/// The applications with what was set at run time, for who looks without serving; none in place of one whose policy cannot
/// be read.
#[must_use]
pub fn set_at_run_time(applications: &[Application], documents: &Documents) -> BTreeMap<String, Option<Application>> {
    let named = applications.iter().filter_map(|one| Some((one, documents.get(&one.name)?)));
    let read = named.map(|(one, document)| (one.name.clone(), with(one, document).ok()));
    // One that was reset is as the file has it.
    read.filter(|(_, one)| one.as_ref().is_none_or(|one| one.set.is_some())).collect()
}
