//! The binary: a start-up checklist and subcommands.
fn main() {}
