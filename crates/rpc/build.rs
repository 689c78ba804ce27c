//! Generates the services. Their messages are in `wire`.

use std::{
    env,
    error::Error,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message;

const FILES: [&str; 3] = [
    "bailiwick/report/v1/report.proto",
    "bailiwick/agent/v1/agent.proto",
    "bailiwick/operator/v1/operator.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    // A clock that is before this is wrong: see `connect`.
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let built = env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| now.to_string());
    println!("cargo:rustc-env=BAILIWICK_BUILT={built}");
    let proto = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", proto.display());
    let described = protox::compile(FILES, [proto])?;
    let out = env::var("OUT_DIR")?;
    fs::write(
        Path::new(&out).join("descriptors.binpb"),
        described.encode_to_vec(),
    )?;
    let messages = |version: &str| format!("::bailiwick_wire::proto::{version}::v1");
    tonic_prost_build::configure()
        .codec_path("crate::codec::SmallCodec")
        .extern_path(".bailiwick.report.v1", messages("report"))
        .extern_path(".bailiwick.agent.v1", messages("agent"))
        .extern_path(".bailiwick.operator.v1", messages("operator"))
        .compile_fds(described)?;
    Ok(())
}
