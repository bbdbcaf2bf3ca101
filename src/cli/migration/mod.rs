//! `countersign migration`: whether hashes can end, who still uses them, and the policy that is set at run time. A client
//! of `countersign.admin.v1.Migration` like any other: it judges nothing itself.

pub(super) mod args;
mod chart;
mod edit;
mod help;
mod policy;
mod rehearse;
mod set;
mod status;
mod stragglers;
mod users;

use std::process::ExitCode;

use prost_types::{Duration, Timestamp};

use self::args::{Act, Window};
use super::conclude;

/// Does what the arguments say.
pub(super) fn run(act: &Act) -> ExitCode {
    match act {
        Act::Status(status) if status.watch => status::watch(status),
        Act::Status(status) => conclude(status.client.json, status::once(status)),
        Act::Stragglers(stragglers) => conclude(stragglers.client.json, stragglers::run(stragglers)),
        Act::Set(set) => conclude(set.client.json, set::set(set)),
        Act::Reset(reset) => conclude(reset.client.json, set::reset(reset)),
        Act::Rehearse(rehearse) => conclude(rehearse.client.json, rehearse::run(rehearse)),
    }
}

/// The window of a request; none: the application's own.
fn window(window: &Window) -> Option<Duration> {
    window.days.map(|days| Duration { seconds: i64::from(days) * 86_400, nanos: 0 })
}

/// The instant that a flag names: a day is its first instant.
fn date(flag: &str, text: &str) -> anyhow::Result<Timestamp> {
    let whole = if text.len() == "2027-03-31".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    super::identity::timestamp(flag, &whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_without_a_time_is_its_first_instant() -> anyhow::Result<()> {
        assert_eq!(date("--hash-until", "1970-01-02")?.seconds, 86_400);
        assert_eq!(date("--hash-until", "1970-01-02T01:00:00+01:00")?.seconds, 86_400);
        for wrong in ["", "tomorrow", "2027-13-01", "2027-3-31", "2027-03-31 10:00"] {
            assert!(date("--hash-until", wrong).is_err(), "{wrong}");
        }
        Ok(())
    }
}
