//! Log lines as types: whoever emits one cannot forget a field or add one that was not thought about. Nothing that came
//! in a request is in any of them; a caller's and an application's name are ours.

use crate::refusal::Reason;

/// A request was decided.
#[derive(Debug)]
pub struct Decided<'a> {
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
    /// Writes it.
    pub fn emit(&self) {
        let Self { rpc, caller, application, key, reason } = *self;
        let reason = reason.map_or("", Reason::name);
        let outcome = if reason.is_empty() { "done" } else { "refused" };
        tracing::info!(rpc, caller, application, key, outcome, reason, "Decided");
    }
}

/// A claim source failed.
#[derive(Debug)]
pub struct SourceFailed<'a> {
    /// For which application.
    pub application: &'a str,
    /// The source's name.
    pub source: &'a str,
    /// How.
    pub reason: Reason,
}

impl SourceFailed<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { application, source, reason } = self;
        tracing::warn!(application, source, reason = reason.name(), "A claim source failed");
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
