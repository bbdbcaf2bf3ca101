//! Countersign as its users see it: over the wire, from the command line, against what other implementations made.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on should stop, and a table may be long"
)]

mod architecture;
mod assembling;
mod audit_verify;
mod auditing;
mod caching;
mod callers;
mod cli;
mod config;
mod counted;
mod counting;
mod diagnose;
mod differential;
mod documents;
mod exchange;
mod failover;
mod faults;
mod harness;
mod hostile;
mod keys;
mod killed;
mod ninety_days;
mod observing;
mod one_time;
mod outage;
mod policies;
mod profiles;
mod reasons;
mod reporting;
mod revoking;
mod scripted;
mod secrecy;
mod shaping;
mod sign;
mod store_down;
mod sunset;
mod tls;
mod vectors;
mod verify_hash;
mod verify_jwt;
