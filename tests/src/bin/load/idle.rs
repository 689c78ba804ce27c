//! What an agent takes that is connected and has nothing to do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use bailiwick_rpc::operator;
use bailiwick_tests::load::{process, site::Site};
use clap::Args;
use tokio::time::sleep;

use crate::ingest::Ended;

/// What is promised.
const SIZE: u64 = 6 << 20;
const MEMORY: u64 = 10 << 20;
const BUSY: f64 = 0.001;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The agent, as it is shipped.
    #[arg(long)]
    agent: Option<PathBuf>,
    /// How long to look.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
}

pub(crate) async fn run(programs: &Path, below: &Path, options: &Options) -> Result<Vec<String>> {
    let mut site = Site::create(&super::coordinator(programs), below)?;
    site.start()?;
    let shipped = options.agent.clone();
    let program = shipped.unwrap_or_else(|| programs.join("bailiwick-agent"));
    let mut operator = site.operator().await?.operator();
    let request = operator::InviteAgentRequest {
        name: "idle".to_owned(),
        ..operator::InviteAgentRequest::default()
    };
    let invitation = operator.invite_agent(request).await?.into_inner().join;
    let agent = Command::new(&program)
        .args(["join", &invitation, "--state-dir"])
        .arg(site.folder().join("idle"))
        .stdin(Stdio::null())
        .spawn()?;
    let agent = Ended(agent);
    let began = Instant::now();
    loop {
        let request = operator::GetStatusRequest::default();
        if operator.get_status(request).await?.into_inner().connected == 1 {
            break;
        }
        ensure!(began.elapsed() < Duration::from_secs(20), "not connected");
        sleep(Duration::from_millis(50)).await;
    }
    // What it costs to begin is not what it costs to wait.
    sleep(Duration::from_secs(5)).await;
    let pid = agent.0.id();
    let (before, began) = (process::busy_exactly(pid)?, Instant::now());
    sleep(Duration::from_secs(options.seconds)).await;
    let busy = process::busy_exactly(pid)? - before;
    let share = busy.as_secs_f64() / began.elapsed().as_secs_f64();
    let (memory, most) = process::memory(pid)?;
    let size = fs::metadata(&program)?.len();
    let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
    println!("size      {:6.2} MiB (at most {:.0})", mib(size), mib(SIZE));
    println!(
        "memory    {:6.2} MiB, never more than {:.2} (at most {:.0})",
        mib(memory),
        mib(most),
        mib(MEMORY)
    );
    println!(
        "processor {:6.4} % over {} s (at most {:.1} %)",
        share * 100.0,
        options.seconds,
        BUSY * 100.0
    );
    let mut missed = Vec::new();
    for (bad, what) in [
        (size > SIZE, "size"),
        (memory > MEMORY, "memory"),
        (share > BUSY, "processor"),
    ] {
        if bad {
            missed.push(what.to_owned());
        }
    }
    Ok(missed)
}
