//! What is counted, for Prometheus. The registry is a value that is handed around: nothing here is global. Labels are
//! names of the configuration and words of ours, never anything of a request.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// All counters of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    unheard: Gauge<f64, AtomicU64>,
    decisions: Family<Decision, Counter>,
    calls: Family<SourceOutcome, Counter>,
    seconds: Family<SourceName, Histogram, fn() -> Histogram>,
    cache: Family<SourceCache, Counter>,
    pauses: Family<SourceName, Counter>,
    audit_records: Family<SinkName, Counter>,
    audit_lost: Family<SinkName, Counter>,
    audit_failures: Family<SinkName, Counter>,
    ledger: LedgerCounts,
}

/// What is counted of the ledger.
#[derive(Debug, Default)]
struct LedgerCounts {
    pending: Gauge,
    failed: Counter,
    lost: Counter,
    subjects_lost: Counter,
}

impl LedgerCounts {
    fn registered(registry: &mut Registry) -> Self {
        let counts = Self::default();
        registry.register(
            "ledger_pending_entries",
            "Entries of the ledger that wait for the store",
            counts.pending.clone(),
        );
        registry.register("ledger_flushes_failed", "How often the store did not take counts", counts.failed.clone());
        registry.register("ledger_counts_lost", "Credentials that the ledger could not count", counts.lost.clone());
        let help = "Credentials that were counted, but not by subject";
        registry.register("ledger_subjects_lost", help, counts.subjects_lost.clone());
        counts
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decision {
    rpc: &'static str,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceName {
    source: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkName {
    sink: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceOutcome {
    source: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceCache {
    source: Arc<str>,
    result: &'static str,
}

/// Upper bounds of the histogram of calls, in seconds: around the default timeout, and well below it.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("countersign");
        let decisions = Family::default();
        registry.register("decisions", "Calls and items of batches that were decided", decisions.clone());
        let calls = Family::default();
        registry.register("source_calls", "Calls of claim sources, by what came of them", calls.clone());
        let seconds: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(|| Histogram::new(SECONDS));
        registry.register("source_call_seconds", "How long calls of claim sources took", seconds.clone());
        let cache = Family::default();
        registry.register(
            "source_cache",
            "Answers that were looked for in the cache, by what was found",
            cache.clone(),
        );
        let pauses = Family::default();
        registry.register("source_pauses", "How often a source was left alone because it kept failing", pauses.clone());
        let unheard = Gauge::default();
        let help = "For how long nothing was heard of what other servers revoke, in a Redis that they share";
        registry.register("revocations_unheard_seconds", help, unheard.clone());
        let ledger = LedgerCounts::registered(&mut registry);
        let (audit_records, audit_lost, audit_failures) = (Family::default(), Family::default(), Family::default());
        registry.register("audit_records", "Records that a sink of the audit log has", audit_records.clone());
        registry.register("audit_lost_records", "Records that a sink never got", audit_lost.clone());
        registry.register("audit_failures", "Writes that a sink did not take", audit_failures.clone());
        Self {
            registry,
            unheard,
            decisions,
            calls,
            seconds,
            cache,
            pauses,
            audit_records,
            audit_lost,
            audit_failures,
            ledger,
        }
    }
}

impl Metrics {
    /// All of them, in the text format of OpenMetrics 1.0.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        text::encode(&mut text, &self.registry).unwrap_or_default();
        text
    }

    /// For how long nothing was heard of what other servers revoke.
    pub fn revocations_unheard(&self, unheard: Duration) {
        self.unheard.set(unheard.as_secs_f64());
    }

    /// How many entries of the ledger wait for the store.
    pub fn ledger_pending(&self, entries: usize) {
        self.ledger.pending.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// The store did not take counts.
    pub fn ledger_failed(&self) {
        self.ledger.failed.inc();
    }

    pub(super) fn ledger_lost(&self, counts: u64, subjects: u64) {
        self.ledger.lost.inc_by(counts);
        self.ledger.subjects_lost.inc_by(subjects);
    }

    pub(super) fn decided(&self, rpc: &'static str, outcome: &'static str, reason: &'static str) {
        self.decisions.get_or_create(&Decision { rpc, outcome, reason }).inc();
    }

    /// The counters of one sink of the audit log.
    #[must_use]
    pub fn of_audit(&self, sink: &Arc<str>) -> AuditCounts {
        let name = SinkName { sink: Arc::clone(sink) };
        AuditCounts {
            sink: Arc::clone(sink),
            records: self.audit_records.get_or_create_owned(&name),
            lost: self.audit_lost.get_or_create_owned(&name),
            failures: self.audit_failures.get_or_create_owned(&name),
        }
    }

    /// The counters of one source, looked up once: hits in the cache are counted on the way of every request.
    #[must_use]
    pub fn of_source(&self, source: &Arc<str>) -> SourceCounts {
        let cache = |result| self.cache.get_or_create_owned(&SourceCache { source: Arc::clone(source), result });
        let name = SourceName { source: Arc::clone(source) };
        SourceCounts {
            source: Arc::clone(source),
            calls: self.calls.clone(),
            seconds: self.seconds.get_or_create_owned(&name),
            pauses: self.pauses.get_or_create_owned(&name),
            fresh: cache("fresh"),
            stale: cache("stale"),
            shared: cache("shared"),
            miss: cache("miss"),
        }
    }
}

/// The counters of one sink of the audit log.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AuditCounts {
    pub sink: Arc<str>,
    pub records: Counter,
    pub lost: Counter,
    pub failures: Counter,
}

/// The counters of one source.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SourceCounts {
    source: Arc<str>,
    calls: Family<SourceOutcome, Counter>,
    seconds: Histogram,
    pub(super) pauses: Counter,
    pub fresh: Counter,
    pub stale: Counter,
    pub shared: Counter,
    pub miss: Counter,
}

impl SourceCounts {
    pub(super) fn called(&self, outcome: &'static str, took: Duration) {
        self.calls.get_or_create(&SourceOutcome { source: Arc::clone(&self.source), outcome }).inc();
        self.seconds.observe(took.as_secs_f64());
    }
}
