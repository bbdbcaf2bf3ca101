//! The command line: `serve`, and a gRPC client of the same contract as anybody else's.
//!
//! Exit status: 0 accepted or done, 1 refused or problems found, 2 could not judge. A command makes its whole answer
//! first (`answer`) and writes it last, so that what is on standard output is a complete answer or nothing.

mod answer;
mod args;
mod audit;
mod client;
mod commands;
mod help;
mod identity;
mod input;
mod json;
mod migration;
mod proof;
mod report;
mod show;
mod text;
mod trouble;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::serve;
use answer::Answer;
use args::{AuditCommand, Cli, Command};
use trouble::Trouble;

/// Reads the arguments of this process and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => dispatch(&cli.command),
        Err(error) => misuse(&error, &arguments),
    }
}

fn dispatch(command: &Command) -> ExitCode {
    match command {
        Command::Serve(serve) => {
            serve::run(&serve::Options { dev: serve.dev, config: serve.config.clone(), listen: serve.listen })
        }
        Command::CheckConfig(check) => serve::check_config(&check.config),
        Command::Sign(sign) => conclude(sign.client.json, commands::sign(sign)),
        Command::Verify(verify) => conclude(verify.client.json, commands::verify(verify)),
        Command::Hash(hash) => conclude(hash.client.json, commands::hash(hash)),
        Command::Exchange(exchange) => conclude(exchange.client.json, commands::exchange(exchange)),
        Command::Diagnose(diagnose) => conclude(diagnose.client.json, commands::diagnose(diagnose)),
        Command::Revoke(revoke) => conclude(revoke.client.json, commands::revoke(revoke)),
        Command::Restore(restore) => conclude(restore.client.json, commands::restore(restore)),
        Command::Invalidate(invalidate) => conclude(invalidate.client.json, commands::invalidate(invalidate)),
        Command::Audit(audit) => match &audit.command {
            AuditCommand::Verify(files) => conclude(false, audit::verify(files)),
        },
        Command::Migration(command) => migration::run(&command.act),
        Command::Completions(completions) => {
            // Into memory first: the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(completions.shell, &mut Cli::command(), "countersign", &mut script);
            Answer::done(String::from_utf8_lossy(&script).into_owned(), String::new()).tell()
        }
    }
}

fn conclude(json: bool, result: Result<Answer, Trouble>) -> ExitCode {
    result.unwrap_or_else(|trouble| trouble.answer(json)).tell()
}

/// Help and version, asked for, are answers; anything else is wrong usage. A program that asked for JSON gets it, though
/// its arguments could not be read.
fn misuse(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let text = error.render();
    if !error.use_stderr() {
        return Answer::done(text.to_string(), String::new()).tell();
    }
    if arguments.iter().any(|argument| argument == "--json") {
        let line = text.to_string();
        return Trouble::usage(line.trim_end().trim_start_matches("error: ")).answer(true).tell();
    }
    Answer::unjudged(String::new(), text.to_string()).tell()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_has_an_example_in_its_help() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("  countersign {} ", command.get_name())), "{}", command.get_name());
        }
    }
}
