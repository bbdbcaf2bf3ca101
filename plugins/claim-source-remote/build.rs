//! Compiles the protocol of remote claim sources without protoc: the client for the crate, and the service for its tests.

use std::path::PathBuf;

/// Where the protocols stand, seen from this crate.
const PROTOS: &str = "../../proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={PROTOS}/countersign/plugin");
    let protocol = protox::compile(["countersign/plugin/v1/plugin.proto"], [PROTOS])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for (folder, client) in [("client", true), ("service", false)] {
        let folder = out.join(folder);
        std::fs::create_dir_all(&folder)?;
        tonic_prost_build::configure()
            .build_client(client)
            .build_server(!client)
            .out_dir(folder)
            .compile_fds(protocol.clone())?;
    }
    Ok(())
}
