//! Very many agents against one coordinator: `tests/bench/load`.

mod added;
mod idle;
mod ingest;
mod sessions;
mod stalled;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use bailiwick_rpc::Authority;
use bailiwick_tests::load::{floor, process};
use clap::{Parser, Subcommand};

/// Measures a coordinator under load, beside its floors.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Where programs were built for release.
    #[arg(long, global = true, default_value = "target/release")]
    programs: PathBuf,
    /// Where stores are made: a disk, not memory.
    #[arg(long, global = true, default_value = "/tmp")]
    below: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Reports a second that are kept and acknowledged, and how long that takes.
    Ingest(ingest::Options),
    /// Many sessions at once: memory, and how soon all are back after a restart.
    Sessions(sessions::Options),
    /// Agents that do not read what they are told.
    Stalled(stalled::Options),
    /// What a coordinator adds to its slowest vantage point.
    Added(added::Options),
    /// What an agent takes that has nothing to do.
    Idle(idle::Options),
    /// The floor of gRPC, as a process of its own.
    #[command(hide = true)]
    Echo {
        folder: PathBuf,
        address: SocketAddr,
    },
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    process::open_files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let programs = arguments.programs.canonicalize();
    let programs = programs.with_context(|| arguments.programs.display().to_string())?;
    let below = &arguments.below;
    let missed = runtime.block_on(async {
        match arguments.what {
            What::Ingest(options) => ingest::run(&programs, below, &options).await,
            What::Sessions(options) => sessions::run(&programs, below, &options).await,
            What::Stalled(options) => stalled::run(&programs, below, &options).await,
            What::Added(options) => added::run(&programs, below, &options).await,
            What::Idle(options) => idle::run(&programs, below, &options).await,
            What::Echo { folder, address } => {
                let authority = Authority::load(&folder.join("authority"))?;
                floor::echo(&authority, address).await?;
                Ok(Vec::new())
            }
        }
    })?;
    for miss in &missed {
        println!("MISSED: {miss}");
    }
    Ok(ExitCode::from(u8::from(!missed.is_empty())))
}

/// The coordinator among the programs.
fn coordinator(programs: &Path) -> PathBuf {
    programs.join("bailiwick-coordinator")
}
