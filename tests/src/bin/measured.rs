//! Runs a program and writes down how long it took, how it ended, how much
//! processor time and how much memory it had at most, as JSON:
//! `measured FILE PROGRAM ARGUMENT…`.
//!
//! The kernel gives the peak of a child with that of whoever started it, so a
//! large test process cannot measure a small child. This program is small.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::json;

/// When a program that does not end is killed.
const LIMIT: Duration = Duration::from_secs(100);

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let file = arguments.next().context("no file")?;
    let program = arguments.next().context("no program")?;
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > LIMIT {
            child.kill()?;
        }
        thread::sleep(Duration::from_millis(1));
    };
    let wall = started.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let measures = json!({
        "code": status.code(),
        "signal": status.signal(),
        "wall_ms": u64::try_from(wall.as_millis())?,
        "cpu_us": (usage.user_time() + usage.system_time()).num_microseconds(),
        "peak_kib": usage.max_rss(),
    });
    fs::write(file, measures.to_string())?;
    Ok(())
}
