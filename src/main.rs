//! The binary: a start-up checklist, then the command line.
//!
//! SIGPIPE stays ignored, as Rust leaves it: a server must not die because a client of its log went away. The command
//! line treats a closed pipe as the end of its reader's interest (`cli::answer`).

use std::process::ExitCode;

fn main() -> ExitCode {
    // 1. One implementation of cryptography for JWTs, the same as for TLS. That it is installed already is no problem:
    //    it is this one, for there is no other in the binary.
    jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().unwrap_or_default();
    rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap_or_default();
    // 2. What was asked for.
    countersign::cli::main()
}
