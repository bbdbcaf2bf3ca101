//! Opens the audit log: who signs, where its ends are remembered, and the stream that servers share.

use std::sync::Arc;

use anyhow::Context as _;

use crate::audit::checkpoint::Signer;
use crate::audit::heads::Heads;
use crate::audit::record::Versions;
use crate::audit::sinks::Stream;
use crate::audit::{Audit, Means};
use crate::clock::Clock;
use crate::config::Settings;
use crate::observe::Metrics;
use crate::pseudonym::Pseudonyms;
use crate::store::State;

/// The audit log, where the configuration has one. Without a key of its own, checkpoints are signed with one that is made
/// of the secret of the pseudonyms, and so stays the same for as long as that.
pub fn audit(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    state: &Arc<dyn State>,
    pseudonyms: &Pseudonyms,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Audit> {
    let Some(plan) = &settings.audit else { return Ok(Audit::default()) };
    let made = || pseudonyms.seed("audit checkpoints").ok().and_then(|seed| Signer::from_seed(&seed));
    let signer = plan.signer.clone().or_else(made).context("the key of the audit log")?;
    let (metrics, heads) = (Arc::clone(metrics), Heads::new(Arc::<dyn State>::clone(state)));
    let versions = Versions { configuration: settings.digest.clone(), acceptance: None };
    // On connections of its own: long lines hold up nobody else.
    let stream = super::shared_redis(settings).map(|redis| Arc::new(redis) as Arc<dyn Stream>);
    Ok(Audit::open(plan, Means { clock, heads, stream, signer, versions, metrics })?)
}
