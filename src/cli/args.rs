//! What can be typed: every subcommand and flag. What they do is elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::help;
use super::migration::args::Migration;

/// Below the flags that every client command has.
const LAST: usize = 100;
const CREDENTIAL: &str = "Credential";

/// Moves products from HMAC user hashes to short-lived JWTs: the server, and a client for it.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, after_help = help::TOP)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Serve(Serve),
    CheckConfig(CheckConfig),
    Sign(Box<Sign>),
    Verify(Box<Verify>),
    Hash(Box<Hash>),
    Exchange(Box<Exchange>),
    Diagnose(Box<Diagnose>),
    Revoke(Box<Revoke>),
    Restore(Box<Restore>),
    Invalidate(Box<Invalidate>),
    Audit(Audit),
    Migration(Box<Migration>),
    Completions(Completions),
}

/// Runs the server
#[derive(Debug, Args)]
#[command(after_help = help::SERVE)]
pub(super) struct Serve {
    /// Offers the application `demo` with secrets of its own, keeps state in memory, knows no callers: to try things
    #[arg(long)]
    pub(super) dev: bool,
    /// The configuration
    #[arg(long, value_name = "FILE", required_unless_present = "dev")]
    pub(super) config: Option<PathBuf>,
    /// Listens here instead of `server.listen`; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
}

/// Reads a configuration and says everything that is wrong with it
#[derive(Debug, Args)]
#[command(after_help = help::CHECK_CONFIG)]
pub(super) struct CheckConfig {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

/// Signs a JWT for a user
#[derive(Debug, Args)]
#[command(after_help = help::SIGN)]
pub(super) struct Sign {
    /// Says where each claim came from
    #[arg(long, display_order = LAST)]
    pub(super) explain: bool,
    #[command(flatten)]
    pub(super) client: Client,
    #[command(flatten)]
    pub(super) who: Who,
    #[command(flatten)]
    pub(super) token: NewToken,
}

/// Judges a JWT or a hash and says what it proves
#[derive(Debug, Args)]
#[command(after_help = help::VERIFY)]
pub(super) struct Verify {
    /// The audience that the JWT must be for
    #[arg(long, display_order = LAST)]
    pub(super) audience: Option<String>,
    #[command(flatten)]
    pub(super) client: Client,
    #[command(flatten)]
    pub(super) proof: Proof,
    #[command(flatten)]
    pub(super) who: Who,
}

/// Makes legacy hashes of a user and of companies
#[derive(Debug, Args)]
#[command(after_help = help::HASH, group = ArgGroup::new("hashed").required(true).multiple(true))]
pub(super) struct Hash {
    /// The user id to hash
    #[arg(long, group = "hashed")]
    pub(super) user_id: Option<String>,
    /// The e-mail address to hash, where the profile's order comes to it
    #[arg(long, group = "hashed")]
    pub(super) email: Option<String>,
    /// A company id to hash; repeatable
    #[arg(long, value_name = "ID", group = "hashed")]
    pub(super) company_id: Vec<String>,
    #[command(flatten)]
    pub(super) client: Client,
}

/// Turns a valid hash or JWT into a fresh JWT
#[derive(Debug, Args)]
#[command(after_help = help::EXCHANGE)]
pub(super) struct Exchange {
    #[command(flatten)]
    pub(super) client: Client,
    #[command(flatten)]
    pub(super) proof: Proof,
    #[command(flatten)]
    pub(super) who: Who,
    #[command(flatten)]
    pub(super) token: NewToken,
}

/// Says what is wrong with a credential and how to mend it
#[derive(Debug, Args)]
#[command(after_help = help::DIAGNOSE)]
pub(super) struct Diagnose {
    /// Shows the checks that do not concern this credential, too
    #[arg(long, display_order = LAST)]
    pub(super) all: bool,
    /// The audience that the JWT should be for
    #[arg(long, display_order = LAST)]
    pub(super) audience: Option<String>,
    /// A secret that you believe is the right one, to try; - is standard input. One line end at its end is dropped
    #[arg(long, value_name = "FILE|-", help_heading = CREDENTIAL, display_order = LAST)]
    pub(super) suspected_secret_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) client: Client,
    #[command(flatten)]
    pub(super) proof: Proof,
    #[command(flatten)]
    pub(super) who: Who,
}

/// Refuses a token, a user's tokens and hashes, or a key, from now on
#[derive(Debug, Args)]
#[command(after_help = help::REVOKE, group(ArgGroup::new("target").required(true)))]
pub(super) struct Revoke {
    /// The token id, as Sign and Verify say it
    #[arg(long, value_name = "ID", group = "target", allow_hyphen_values = true)]
    pub(super) token_id: Option<String>,
    /// The user id: the user's tokens until now, and the hashes until they are restored
    #[arg(long, group = "target")]
    pub(super) user_id: Option<String>,
    /// The e-mail address, exactly as it is in tokens; likewise
    #[arg(long, group = "target")]
    pub(super) email: Option<String>,
    /// The name of a key in the configuration, with everything it made; needs the permission `admin`
    #[arg(long, value_name = "KEY", group = "target")]
    pub(super) key_id: Option<String>,
    /// Until when tokens may be around that live longer than the application allows (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(super) expires_at: Option<String>,
    #[command(flatten)]
    pub(super) client: Client,
}

/// Accepts the hashes of a revoked user again
#[derive(Debug, Args)]
#[command(after_help = help::RESTORE)]
pub(super) struct Restore {
    #[command(flatten)]
    pub(super) subject: Subject,
    #[command(flatten)]
    pub(super) client: Client,
}

/// Drops what claim sources are remembered to have said about a user, on every replica
#[derive(Debug, Args)]
#[command(after_help = help::INVALIDATE)]
pub(super) struct Invalidate {
    #[command(flatten)]
    pub(super) subject: Subject,
    #[command(flatten)]
    pub(super) client: Client,
}

/// Checks audit logs
#[derive(Debug, Args)]
#[command(after_help = help::AUDIT)]
pub(super) struct Audit {
    #[command(subcommand)]
    pub(super) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    Verify(AuditVerify),
}

/// Finds every line of a log that was changed, removed or moved, and says what it could not rule out
#[derive(Debug, Args)]
#[command(after_help = help::AUDIT)]
pub(super) struct AuditVerify {
    /// The files, with those that were rotated, in any order; - is standard input
    #[arg(required = true, value_name = "FILE|-")]
    pub(super) files: Vec<PathBuf>,
    /// Whose signatures count: Ed25519 in base64, or a file with that or with PEM; repeatable [default: whom the log names]
    #[arg(long, value_name = "FILE|BASE64")]
    pub(super) public_key: Vec<String>,
    /// A line that must be there: its number and digest, or a file with the server's page /audit/heads; repeatable
    #[arg(long, value_name = "SEQ:HASH|FILE")]
    pub(super) head: Vec<String>,
    /// The lines are of a stream or of standard output: of several chains, whose beginnings may be gone
    #[arg(long)]
    pub(super) stream: bool,
}

/// One user, by one identifier.
#[derive(Debug, Args)]
#[group(id = "one_subject", required = true, multiple = false)]
pub(super) struct Subject {
    /// The user id
    #[arg(long)]
    pub(super) user_id: Option<String>,
    /// The e-mail address, exactly as it is sent
    #[arg(long)]
    pub(super) email: Option<String>,
}

/// Prints the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = help::COMPLETIONS)]
pub(super) struct Completions {
    /// The shell
    pub(super) shell: Shell,
}

/// Which application, at which server, and how to answer.
#[derive(Debug, Args)]
pub(super) struct Client {
    /// The application, such as `acme/feedback`
    #[arg(long, env = "COUNTERSIGN_APPLICATION")]
    pub(super) application: String,
    /// Where the credential is or will be used: `web`, `ios/3.2`
    #[arg(long, value_name = "LABEL")]
    pub(super) client: Option<String>,
    /// Answers with the response as JSON (protobuf's mapping, names as in the .proto files), errors too
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// How to reach the server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(super) struct Connection {
    /// The server's address
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_SERVER", default_value = "http://127.0.0.1:7400")]
    pub(super) server: String,
    /// Holds the token that makes you known to the server; else COUNTERSIGN_TOKEN does
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Trusts the certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Your certificate, where the server wants one (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) cert: Option<PathBuf>,
    /// The private key of your certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,
    /// Gives up after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(super) timeout: u32,
}

/// An identity.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "User")]
pub(super) struct Who {
    /// The user id
    #[arg(long)]
    pub(super) user_id: Option<String>,
    /// The e-mail address
    #[arg(long)]
    pub(super) email: Option<String>,
    /// The display name
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The preferred language: `en`, `pt-BR`
    #[arg(long)]
    pub(super) locale: Option<String>,
    /// The address of a picture
    #[arg(long, value_name = "URL")]
    pub(super) profile_picture: Option<String>,
    /// When the account was created (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(super) created_at: Option<String>,
    /// A company that is known by its id only; repeatable
    #[arg(long, value_name = "ID")]
    pub(super) company_id: Vec<String>,
    /// A company with all it has, as JSON: '{"id": "c1", "name": "Acme", "attributes": {"industry": "Fintech"}}'; repeatable
    #[arg(long, value_name = "JSON")]
    pub(super) company: Vec<String>,
    /// An attribute: text as NAME=VALUE, anything else as NAME:=JSON; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) attribute: Vec<String>,
    /// A whole identity as JSON; - is standard input. The flags above replace or add to it
    #[arg(long, value_name = "FILE|-")]
    pub(super) identity: Option<PathBuf>,
}

/// What proves an identity.
#[derive(Debug, Args)]
#[command(next_help_heading = CREDENTIAL)]
pub(super) struct Proof {
    /// The JWT; - is standard input
    #[arg(long, value_name = "TOKEN|-")]
    pub(super) jwt: Option<String>,
    /// A file that holds the JWT
    #[arg(long, value_name = "FILE", conflicts_with = "jwt")]
    pub(super) jwt_file: Option<PathBuf>,
    /// The user hash
    #[arg(long, value_name = "HASH")]
    pub(super) user_hash: Option<String>,
    /// What the user hash was made over [default: the first that is given, in the profile's order]
    #[arg(long, value_enum)]
    pub(super) hashed: Option<Hashed>,
    /// A company's id and hash; repeatable
    #[arg(long, value_name = "ID=HASH")]
    pub(super) company_hash: Vec<String>,
}

/// What a hash was made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Hashed {
    /// The user id
    #[value(name = "user_id", alias = "user-id")]
    UserId,
    /// The e-mail address
    Email,
}

/// What the new token is like.
#[derive(Debug, Args)]
#[command(next_help_heading = "New token")]
pub(super) struct NewToken {
    /// How long the token lives [default: the application's `default_ttl_secs`]
    #[arg(long, value_name = "SECONDS")]
    pub(super) ttl: Option<u32>,
    /// The one of the application's audiences that the token is for [default: all]
    #[arg(long)]
    pub(super) audience: Option<String>,
}
