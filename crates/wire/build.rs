//! Generates the protobuf messages. The services are generated in `rpc`.

use std::{env, error::Error, path::Path};

const FILES: [&str; 3] = [
    "bailiwick/report/v1/report.proto",
    "bailiwick/agent/v1/agent.proto",
    "bailiwick/operator/v1/operator.proto",
];

/// Messages with a secret in them: how they are shown is written by hand in `src/proto.rs`.
const SECRET: [&str; 2] = [
    ".bailiwick.agent.v1.EnrollRequest",
    ".bailiwick.operator.v1.Invitation",
];

fn main() -> Result<(), Box<dyn Error>> {
    let proto = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", proto.display());
    let messages = protox::compile(FILES, [proto])?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .bytes(".")
        .skip_debug(SECRET)
        .compile_fds(messages)?;
    Ok(())
}
