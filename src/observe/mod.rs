//! What operators see.

pub mod events;
mod metrics;

pub use self::metrics::{AuditCounts, Metrics, SourceCounts};
