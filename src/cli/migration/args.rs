//! What can be typed after `migration`. What it does is elsewhere.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::help;
use crate::cli::args::Connection;

/// Shows whether hashes can end, who still uses them, and sets the policy at run time
#[derive(Debug, Args)]
#[command(after_help = help::MIGRATION)]
pub(in crate::cli) struct Migration {
    #[command(subcommand)]
    pub(in crate::cli) act: Act,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Act {
    Status(Status),
    Stragglers(Stragglers),
    Set(Box<Set>),
    Reset(Reset),
    Rehearse(Rehearse),
}

/// Draws the adoption curve and says whether hashes can end
#[derive(Debug, Args)]
#[command(after_help = help::STATUS)]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    pub(in crate::cli) window: Window,
    /// Shows it again whenever something in it has changed
    #[arg(long)]
    pub(in crate::cli) watch: bool,
    #[command(flatten)]
    pub(in crate::cli) client: Operator,
}

/// Says who still uses hashes
#[derive(Debug, Args)]
#[command(after_help = help::STRAGGLERS)]
pub(in crate::cli) struct Stragglers {
    /// The most users to name
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(in crate::cli) limit: u32,
    #[command(flatten)]
    pub(in crate::cli) window: Window,
    /// Your own list of users: one user id a line, or CSV with a heading that has user_id or email; - is standard input
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["limit", "days"])]
    pub(in crate::cli) from: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) client: Operator,
}

/// Changes the policy at run time, on every replica within seconds
#[derive(Debug, Args)]
#[command(after_help = help::SET, group(ArgGroup::new("change").required(true).multiple(true)))]
pub(in crate::cli) struct Set {
    /// Hashes count from then on
    #[arg(long, value_name = "DATE|none", group = "change")]
    pub(in crate::cli) hash_from: Option<String>,
    /// JWTs count from then on
    #[arg(long, value_name = "DATE|none", group = "change")]
    pub(in crate::cli) jwt_from: Option<String>,
    /// The sunset: hashes count until then
    #[arg(long, value_name = "DATE|none", group = "change")]
    pub(in crate::cli) hash_until: Option<String>,
    /// JWTs are made from then on
    #[arg(long, value_name = "DATE|none", group = "change")]
    pub(in crate::cli) issue_jwt_from: Option<String>,
    /// Hashes are made until then
    #[arg(long, value_name = "DATE|none", group = "change")]
    pub(in crate::cli) issue_hash_until: Option<String>,
    /// One more window in which hashes are refused on purpose; repeatable
    #[arg(long, value_name = "FROM/UNTIL", group = "change")]
    pub(in crate::cli) brownout: Vec<String>,
    /// Drops the brownouts that there are
    #[arg(long, group = "change")]
    pub(in crate::cli) no_brownouts: bool,
    /// From then on so many of a hundred users need a JWT; repeatable
    #[arg(long, value_name = "DATE=PERCENT", group = "change")]
    pub(in crate::cli) rollout: Vec<String>,
    /// Drops the steps that there are
    #[arg(long, group = "change")]
    pub(in crate::cli) no_rollout: bool,
    /// A later sunset for some: client=ios,until=DATE or caller=NAME,until=DATE or both; repeatable
    #[arg(long, value_name = "WHO,until=DATE", group = "change")]
    pub(in crate::cli) exception: Vec<String>,
    /// Drops the exceptions that there are
    #[arg(long, group = "change")]
    pub(in crate::cli) no_exceptions: bool,
    /// Ends the hash of who has a JWT: scope=subject,grace_secs=1209600,on_store_error=refuse
    #[arg(long, value_name = "KEYS|none", group = "change")]
    pub(in crate::cli) ratchet: Option<String>,
    /// Tries a sunset out beside the policy: it is counted, and changes nothing
    #[arg(long, value_name = "DATE|none", group = "change")]
    pub(in crate::cli) shadow_hash_until: Option<String>,
    /// Why, for the audit log and for whoever asks later; at most 512 bytes
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: String,
    /// Shows what would change, and changes nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    #[command(flatten)]
    pub(in crate::cli) client: Operator,
}

/// Goes back to the policy of the configuration file
#[derive(Debug, Args)]
#[command(after_help = help::RESET)]
pub(in crate::cli) struct Reset {
    /// Why, for the audit log and for whoever asks later; at most 512 bytes
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: String,
    /// Shows what would change, and changes nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    #[command(flatten)]
    pub(in crate::cli) client: Operator,
}

/// Says who would be refused if hashes ended at a time
#[derive(Debug, Args)]
#[command(after_help = help::REHEARSE)]
pub(in crate::cli) struct Rehearse {
    /// The end to try out, in place of the policy's
    #[arg(long, value_name = "DATE")]
    pub(in crate::cli) hash_until: String,
    #[command(flatten)]
    pub(in crate::cli) window: Window,
    #[command(flatten)]
    pub(in crate::cli) client: Operator,
}

/// How far back to look.
#[derive(Debug, Args)]
pub(in crate::cli) struct Window {
    /// Looks so many days back, today among them [default: the application's `window_days`, and today]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=366))]
    pub(in crate::cli) days: Option<u16>,
}

/// Which application, at which server, and how to answer.
#[derive(Debug, Args)]
pub(in crate::cli) struct Operator {
    /// The application, such as `acme/feedback`
    #[arg(long, env = "COUNTERSIGN_APPLICATION")]
    pub(in crate::cli) application: String,
    /// Answers with the response as JSON (protobuf's mapping, names as in the .proto files), errors too
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) connection: Connection,
}
