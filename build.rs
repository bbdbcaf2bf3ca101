//! Compiles the protos without protoc.

use std::path::PathBuf;

use prost::Message as _;

const PROTOS: [&str; 3] =
    ["countersign/v1/authority.proto", "countersign/admin/v1/sources.proto", "countersign/admin/v1/migration.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(PROTOS)?
        .file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Reflection needs no comments: clients read them in the .proto files.
    let mut bare = descriptors.clone();
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    std::fs::write(out.join("countersign.bin"), bare.encode_to_vec())?;
    // Ordered maps: what is written twice is the same bytes twice.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .btree_map(".")
        .codec_path("crate::grpc::codec::Bounded")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
