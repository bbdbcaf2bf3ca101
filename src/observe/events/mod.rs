//! Log lines as types: whoever emits one cannot forget a field or add one that was not thought about. Nothing that came
//! in a request is in any of them; a caller's and an application's name are ours.

mod audit;

use std::time::Duration;

pub use self::audit::{
    AuditBack, AuditCheckpoint, AuditCut, AuditFailed, AuditHeadLost, AuditLost, AuditOpened, AuditUnknown,
};
use super::{Metrics, SourceCounts};
use crate::refusal::Reason;

/// A request was decided.
#[derive(Debug)]
pub struct Decided<'a> {
    /// Names the request: random, or what the caller named it, of few characters.
    pub request_id: &'a str,
    /// The RPC's name.
    pub rpc: &'static str,
    /// Who asked.
    pub caller: &'a str,
    /// About which application; empty where it is not known to exist.
    pub application: &'a str,
    /// Which key was used; empty where none was.
    pub key: &'a str,
    /// Why not, where it was refused.
    pub reason: Option<Reason>,
}

impl Decided<'_> {
    /// Writes and counts it.
    pub fn emit(&self, metrics: &Metrics) {
        let Self { request_id, rpc, caller, application, key, reason } = *self;
        let reason = reason.map_or("", Reason::name);
        let outcome = if reason.is_empty() { "done" } else { "refused" };
        metrics.decided(rpc, outcome, reason);
        tracing::info!(request_id, rpc, caller, application, key, outcome, reason, "Decided");
    }
}

/// A claim source failed.
#[derive(Debug)]
pub struct SourceFailed<'a> {
    /// For which application.
    pub application: &'a str,
    /// The source's name.
    pub source: &'a str,
    /// How, in a word of the metrics.
    pub outcome: &'static str,
    /// How, in a word of the contract.
    pub reason: Reason,
    /// What happened: never a value.
    pub why: &'a str,
}

impl SourceFailed<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { application, source, outcome, reason, why } = self;
        tracing::warn!(application, source, outcome, reason = reason.name(), why, "A claim source failed");
    }
}

/// A claim cannot be what the configuration says that it is.
#[derive(Debug)]
pub struct ClaimFailed<'a> {
    /// For which application.
    pub application: &'a str,
    /// Its neutral name.
    pub claim: &'a str,
    /// What is wrong: never a value.
    pub why: &'a str,
}

impl ClaimFailed<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { application, claim, why } = self;
        tracing::warn!(application, claim, why, "A claim failed");
    }
}

/// A claim source was called.
#[derive(Debug)]
pub struct SourceCalled<'a> {
    /// Its counters.
    pub counts: &'a SourceCounts,
    /// What came of it.
    pub outcome: &'static str,
    /// How long it took.
    pub took: Duration,
}

impl SourceCalled<'_> {
    /// Counts it, and writes it at the level `debug`.
    pub fn emit(&self) {
        let Self { counts, outcome, took } = *self;
        counts.called(outcome, took);
        tracing::debug!(outcome, took_ms = took.as_secs_f64() * 1_000.0, "A claim source was called");
    }
}

/// A claim source keeps failing and is left alone for a while.
#[derive(Debug)]
pub struct SourceLeftAlone<'a> {
    /// Its counters.
    pub counts: &'a SourceCounts,
    /// The source's name.
    pub source: &'a str,
    /// For how long.
    pub pause: Duration,
}

impl SourceLeftAlone<'_> {
    /// Writes and counts it.
    pub fn emit(&self) {
        let Self { counts, source, pause } = *self;
        counts.pauses.inc();
        let seconds = pause.as_secs_f64();
        tracing::warn!(source, seconds, "A claim source keeps failing and is left alone");
    }
}

/// Cached claims of a subject were dropped because an operator said so.
#[derive(Debug)]
pub struct Invalidated<'a> {
    /// Who said so.
    pub caller: &'a str,
    /// For which application.
    pub application: &'a str,
    /// Whether the other replicas were told.
    pub told: bool,
}

impl Invalidated<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { caller, application, told } = self;
        if *told {
            tracing::info!(caller, application, "Cached claims of a subject were dropped");
        } else {
            tracing::warn!(
                caller,
                application,
                "Cached claims of a subject were dropped here; replicas could not be told"
            );
        }
    }
}

/// What other replicas say cannot be heard.
#[derive(Debug)]
pub struct ReplicasUnheard;

impl ReplicasUnheard {
    /// Writes it.
    pub fn emit(&self) {
        tracing::warn!("The store cannot be reached: what other replicas invalidate is not heard until it is back");
    }
}

/// What other replicas say is heard again.
#[derive(Debug)]
pub struct ReplicasHeard;

impl ReplicasHeard {
    /// Writes it.
    pub fn emit(&self) {
        tracing::info!("The store is reached: what other replicas invalidate is heard");
    }
}

/// The shadow policy would have refused what the policy accepted.
#[derive(Debug)]
pub struct ShadowRefuses<'a> {
    /// For which application.
    pub application: &'a str,
    /// Who asked.
    pub caller: &'a str,
    /// Why.
    pub reason: Reason,
}

impl ShadowRefuses<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { application, caller, reason } = self;
        tracing::info!(application, caller, reason = reason.name(), "The shadow policy would have refused");
    }
}

/// A fact for the ratchet could not be kept.
#[derive(Debug)]
pub struct FactLost<'a> {
    /// For which application.
    pub application: &'a str,
}

impl FactLost<'_> {
    /// Writes it, once: a store that is full or away would say so with every request.
    pub fn emit(&self) {
        static TOLD: std::sync::Once = std::sync::Once::new();
        TOLD.call_once(|| {
            tracing::warn!(application = self.application, "The store did not take a ratchet fact; said once");
        });
    }
}

/// The store began or ceased to take the counts of the ledger.
#[derive(Debug)]
pub struct LedgerKept {
    /// Whether it does not take them.
    pub away: bool,
}

impl LedgerKept {
    /// Writes it.
    pub fn emit(&self) {
        if self.away {
            tracing::warn!("The store does not take the ledger's counts: they are added up here until it does");
        } else {
            tracing::info!("The store takes the ledger's counts again");
        }
    }
}

/// There was no room to count everything.
#[derive(Debug)]
pub struct CountsLost<'a> {
    /// For which application.
    pub application: &'a str,
    /// How many credentials were not counted. The report tells of them.
    pub lost: u64,
    /// How many were counted, but not by subject: distinct subjects are too few by at most so many.
    pub subjects: u64,
}

impl CountsLost<'_> {
    /// Writes and counts it.
    pub fn emit(&self, metrics: &Metrics) {
        let Self { application, lost, subjects } = *self;
        metrics.ledger_lost(lost, subjects);
        tracing::warn!(application, lost, subjects, "The ledger had no room to count everything");
    }
}

/// The store lost what the ledger had told it: it was restored, emptied or failed over.
#[derive(Debug)]
pub struct StoreLostCounts<'a> {
    /// For which application.
    pub application: &'a str,
    /// How many could not be told again. The report tells of them.
    pub lost: u64,
}

impl StoreLostCounts<'_> {
    /// Writes and counts it.
    pub fn emit(&self, metrics: &Metrics) {
        let Self { application, lost } = *self;
        metrics.ledger_lost(lost, 0);
        tracing::warn!(application, lost, "The store lost counts that it had; what is remembered is told again");
    }
}

/// Something was revoked.
#[derive(Debug)]
pub struct Revoked<'a> {
    /// Who said so.
    pub caller: &'a str,
    /// For which application.
    pub application: &'a str,
    /// Whether the store has it.
    pub kept: bool,
}

impl Revoked<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { caller, application, kept } = self;
        tracing::info!(caller, application, kept, "Revoked");
    }
}

/// A policy was set at run time, or reset to the file's.
#[derive(Debug)]
pub struct AcceptanceSet<'a> {
    /// Who said so.
    pub caller: &'a str,
    /// For which application.
    pub application: &'a str,
    /// The version from now on.
    pub version: u64,
    /// Whether the file's holds again.
    pub was_reset: bool,
}

impl AcceptanceSet<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { caller, application, version, was_reset } = self;
        tracing::info!(caller, application, version, was_reset, "A policy was set at run time");
    }
}

/// A policy that was set at run time cannot be read: the one that was known stays in force.
#[derive(Debug)]
pub struct AcceptanceUnreadable<'a> {
    /// Of which application.
    pub application: &'a str,
}

impl AcceptanceUnreadable<'_> {
    /// Writes it.
    pub fn emit(&self) {
        tracing::error!(application = self.application, "A policy that was set at run time cannot be read");
    }
}

/// The hashes of a subject were accepted again.
#[derive(Debug)]
pub struct Restored<'a> {
    /// Who said so.
    pub caller: &'a str,
    /// For which application.
    pub application: &'a str,
    /// Whether they were refused before.
    pub was_revoked: bool,
}

impl Restored<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { caller, application, was_revoked } = self;
        tracing::info!(caller, application, was_revoked, "Hashes of a subject were restored");
    }
}

/// The store's file could not be read or written.
#[derive(Debug)]
pub struct StoreFailed<'a> {
    /// What redb says: about the file, never about what is in it.
    pub error: &'a str,
}

impl StoreFailed<'_> {
    /// Writes it.
    pub fn emit(&self) {
        tracing::error!(error = self.error, "The store's file failed; restart the server once the disk is well again");
    }
}

/// What is in the Redis was written by a newer version.
#[derive(Debug)]
pub struct StoreNewer;

impl StoreNewer {
    /// Writes it, once: it is found several times a second.
    pub fn emit(&self) {
        static TOLD: std::sync::Once = std::sync::Once::new();
        TOLD.call_once(|| {
            tracing::error!("A newer version of countersign wrote the store: nothing more is heard of it; said once");
        });
    }
}

/// Something panicked.
#[derive(Debug)]
pub struct Bug<'a> {
    /// What the caller was told.
    pub incident: &'a str,
}

impl Bug<'_> {
    /// Writes it.
    pub fn emit(&self) {
        tracing::error!(incident = self.incident, "A bug was hit; the panic message is above this line");
    }
}
