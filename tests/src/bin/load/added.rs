//! What a coordinator adds to its slowest vantage point in a check that somebody waits for.
//!
//! The simulated internet of `bailiwick demo`, three agents and a coordinator, each a program of
//! its own. The time from the request to the verdict, less what the slowest agent took for itself.
//! Beside it: what the disk takes for the four things that must be on it before the next may
//! happen: the check, the report in its agent's spool, the report at the coordinator, the verdict.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bailiwick_core::check::{Check, CheckId};
use bailiwick_rpc::operator;
use bailiwick_tests::{
    fleet::follow,
    load::{ms, percentile, process, site::Site},
};
use bailiwick_wire::evidence;
use clap::Args;
use rusqlite::Connection;
use serde_json::Value;
use tokio::time::sleep;

use crate::ingest::Ended;

/// What is promised.
const ADDED: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The zone of the simulated internet.
    #[arg(long, default_value = "stale.test")]
    zone: String,
    /// How often it is checked.
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// How many agents.
    #[arg(long, default_value_t = 3)]
    agents: usize,
}

pub(crate) async fn run(programs: &Path, below: &Path, options: &Options) -> Result<Vec<String>> {
    let mut site = Site::create(&super::coordinator(programs), below)?;
    let port = free_port()?;
    let hints = site.folder().join("named.root");
    let internet = Command::new(programs.join("bailiwick"))
        .args(["demo", "--serve", "--port", &port, "--hints"])
        .arg(&hints)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let _internet = Ended(internet);
    site.start()?;
    let mut operator = site.operator().await?.operator();
    let mut agents = Vec::new();
    for number in 1..=options.agents {
        let request = operator::InviteAgentRequest {
            name: format!("v{number}"),
            labels: vec![format!("asn={}", 64_500 + number)],
            ..operator::InviteAgentRequest::default()
        };
        let invitation = operator.invite_agent(request).await?.into_inner().join;
        let agent = Command::new(programs.join("bailiwick-agent"))
            .args(["join", &invitation, "--allow-special-use"])
            .args(["--port", &port, "--bind", &format!("127.53.1.{number}")])
            .arg("--state-dir")
            .arg(site.folder().join(format!("v{number}")))
            .stdin(Stdio::null())
            .spawn()?;
        agents.push(Ended(agent));
    }
    let wanted = options.agents as u64;
    let began = Instant::now();
    loop {
        let status = operator.get_status(operator::GetStatusRequest::default());
        if status.await?.into_inner().connected == wanted && hints.exists() {
            break;
        }
        ensure!(began.elapsed() < Duration::from_secs(20), "not connected");
        sleep(Duration::from_millis(50)).await;
    }
    let check = first(programs, &site, &options.zone, &port).await?;
    let link = site.operator().await?;
    let (mut added, mut judged, mut own, mut floors) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.runs {
        let check = Check {
            id: CheckId(rand::random()),
            nonce: rand::random(),
            ..check.clone()
        };
        let ended = follow(&link, &check, "json").await?.ended;
        let said: Value = serde_json::from_str(&ended.shown)?;
        let slowest = said["elapsed_ms"].as_u64().context("elapsed_ms")?;
        let slowest = Duration::from_millis(slowest);
        let [whole, last] = [ended.elapsed_ns, ended.judged_ns]
            .map(|ns| Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)));
        added.push(whole.saturating_sub(slowest));
        judged.push(last);
        own.push(slowest);
        floors.push(disk(site.folder())?);
    }
    let half = |times: &mut Vec<Duration>| percentile(times, 50);
    let (middle, most) = (half(&mut added), percentile(&mut added, 100));
    let floor = half(&mut floors);
    println!(
        "{} checks of {} by {} agents, load {:.1}",
        options.runs,
        options.zone,
        options.agents,
        process::load()
    );
    println!("slowest vantage point  {:>10} (median)", ms(half(&mut own)));
    println!(
        "added by coordinator   {:>10} (median), {} (most), wanted {}",
        ms(middle),
        ms(most),
        ms(ADDED)
    );
    println!(
        "  of it, from the last report to the verdict {}",
        ms(half(&mut judged))
    );
    println!(
        "floor, four waits for the disk {} (median), ratio {:.1}",
        ms(floor),
        middle.as_secs_f64() / floor.as_secs_f64()
    );
    let missed = middle > ADDED;
    Ok(missed
        .then(|| format!("the coordinator adds {}", ms(middle)))
        .into_iter()
        .collect())
}

fn free_port() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port().to_string())
}

/// Lets the program check the zone once, and returns what it asked for.
async fn first(programs: &Path, site: &Site, zone: &str, port: &str) -> Result<Check> {
    let mut command = Command::new(programs.join("bailiwick"));
    command
        .args(["check", zone, "--output", "json", "--allow-special-use"])
        .args(["--port", port, "--root-hints"])
        .arg(site.folder().join("named.root"))
        .arg("--coordinator")
        .arg(site.folder().join("operators.sock"));
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(said["schema"] == "bailiwick.check/1", "{said:#}");
    let mut operator = site.operator().await?.operator();
    let listed = operator.list_checks(operator::ListChecksRequest::default());
    let listed = listed.await?.into_inner().checks;
    let check = listed.first().context("no check")?.check.clone();
    let saved = operator.get_evidence(operator::GetEvidenceRequest { check });
    let mut saved = saved.await?.into_inner();
    let mut parts = Vec::new();
    while let Some(part) = saved.message().await? {
        parts.push(part);
    }
    Ok(evidence::read(&parts)?.check)
}

/// How long a disk takes for three commits and one append, one after the other.
fn disk(folder: &Path) -> Result<Duration> {
    let db = Connection::open(folder.join("disk.db"))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch("CREATE TABLE IF NOT EXISTS octets (of BLOB NOT NULL)")?;
    let mut file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("disk"))?;
    let octets = vec![0x55_u8; 16 << 10];
    let began = Instant::now();
    for _ in 0..3 {
        db.execute("INSERT INTO octets VALUES (?1)", [&octets])?;
    }
    file.write_all(&octets)?;
    file.sync_data()?;
    Ok(began.elapsed())
}
