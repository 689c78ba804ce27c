//! How many reports a second are kept and acknowledged, and how long one waits for that.
//!
//! A coordinator in a process of its own, SQLite on a disk, mutual TLS, a thousand agents in this
//! process, all on the same processors. Beside it, in the same run and with the same octets: a
//! server that acknowledges at once and keeps nothing (gRPC and TLS alone), and the same rows
//! written to the same tables by hand (SQLite alone).
//!
//! One agent may send 256 reports at once and 20 a second after that. So the *ceiling* is measured
//! with what a thousand agents may send at once, and the *steady* rate with 20 a second from each.
//! A report is about an open check, is decoded, and is a part of its round. At the end the
//! coordinator is killed, and every report that was acknowledged must be in its store.

use std::{
    path::Path,
    process::{Child, Command},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bailiwick_core::check::CheckId;
use bailiwick_rpc::agent::to_agent;
use bailiwick_tests::load::{
    agent::{Member, Stream, batch},
    bodies::{self, SIZE},
    floor, ms, percentile, process,
    site::Site,
};
use bailiwick_wire::report::{self, Encoded};
use bytes::Bytes;
use clap::Args;
use tokio::{sync::Barrier, task::JoinSet, time::sleep_until};

/// What is promised.
const WANTED: f64 = 20_000.0;
const WAIT_AT_HALF: Duration = Duration::from_millis(250);
/// How long an acknowledgement may take at all.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many agents.
    #[arg(long, default_value_t = 1_000)]
    agents: usize,
    /// Reports of each agent for the ceiling; at most 256 go at once.
    #[arg(long, default_value_t = 200)]
    burst: usize,
    /// Reports in a message, for the ceiling; may be repeated.
    #[arg(long, default_values_t = [1, 20])]
    batch: Vec<usize>,
    /// How often the ceiling is measured.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds of each steady rate.
    #[arg(long, default_value_t = 20)]
    seconds: usize,
    /// Leave the floors out.
    #[arg(long)]
    alone: bool,
}

/// How agents send.
#[derive(Clone, Copy)]
struct Pattern {
    reports: usize,
    batch: usize,
    /// Between two messages of one agent.
    every: Duration,
}

/// What a run took.
struct Taken {
    rate: f64,
    waits: Vec<Duration>,
    /// Processor time of the server and of all agents, for each report.
    server: f64,
    agents: f64,
}

pub(crate) async fn run(programs: &Path, below: &Path, options: &Options) -> Result<Vec<String>> {
    let mut missed = Vec::new();
    let agents = options.agents;
    println!(
        "{agents} agents, reports of {SIZE} octets, store below {}",
        below.display()
    );
    for &batch in &options.batch {
        let pattern = Pattern {
            reports: options.burst / batch * batch,
            batch,
            every: Duration::ZERO,
        };
        let (mut kept, mut echoed, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.runs {
            let taken = coordinator(programs, below, options, pattern).await?;
            println!("  ceiling, {batch:2} a message: {}", shown(&taken));
            kept.push(taken);
            if options.alone {
                continue;
            }
            let taken = echo(programs, below, options, pattern).await?;
            println!("    floor, gRPC alone     : {}", shown(&taken));
            echoed.push(taken);
            let (rate, each) = by_hand(programs, below, options, pattern).await?;
            println!(
                "    floor, SQLite alone   : {rate:7.0}/s, {each:.1} us of processor a report"
            );
            written.push((rate, each));
        }
        let best = kept.iter().map(|taken| taken.rate).fold(0.0, f64::max);
        let rate = median(kept.iter().map(|taken| taken.rate));
        println!(
            "ceiling, {batch} a message: median {rate:.0}/s, best {best:.0}/s (wanted {WANTED:.0}/s)"
        );
        if !options.alone {
            let server = median(kept.iter().map(|taken| taken.server));
            let floor = median(echoed.iter().map(|taken| taken.server))
                + median(written.iter().map(|(_, each)| *each));
            println!(
                "  processor: coordinator {server:.1} us a report, both floors {floor:.1} us, ratio {:.2}",
                server / floor
            );
        }
        if rate < WANTED {
            missed.push(format!("ceiling with {batch} a message: {rate:.0}/s"));
        }
    }
    for (name, each_second, batch) in [("half", 10, 1), ("full", 20, 20)] {
        let pattern = Pattern {
            reports: options.seconds * each_second,
            batch,
            every: Duration::from_secs_f64(batch as f64 / each_second as f64),
        };
        let mut taken = coordinator(programs, below, options, pattern).await?;
        let [half, most] = [50, 99].map(|percent| percentile(&mut taken.waits, percent));
        println!(
            "steady, {name}: {}; acknowledged after {} (p50), {} (p99)",
            shown(&taken),
            ms(half),
            ms(most)
        );
        if name == "half" && most > WAIT_AT_HALF {
            missed.push(format!(
                "p99 of acknowledgement at half the rate: {}",
                ms(most)
            ));
        }
    }
    Ok(missed)
}

fn shown(taken: &Taken) -> String {
    format!(
        "{:7.0}/s, processor {:.1} us a report (and {:.1} us of the agents), load {:.1}",
        taken.rate,
        taken.server,
        taken.agents,
        process::load()
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Reports are about so many checks; of more, some are about the same.
const CHECKS: usize = 200;

async fn coordinator(
    programs: &Path,
    below: &Path,
    options: &Options,
    pattern: Pattern,
) -> Result<Taken> {
    let mut site = Site::create(&super::coordinator(programs), below)?;
    let (members, sent) = prepare(&site, options, pattern).await?;
    site.start()?;
    let taken = send(site.pid()?, &members, sent.into(), pattern).await?;
    // What was acknowledged is on the disk, whatever happens to the process.
    site.kill()?;
    let store = site.store().await?;
    let kept = store.usage().await?.reports;
    let wanted = (members.len() * pattern.reports) as u64;
    ensure!(
        kept == wanted,
        "{kept} of {wanted} reports are in the store"
    );
    Ok(taken)
}

async fn prepare(
    site: &Site,
    options: &Options,
    pattern: Pattern,
) -> Result<(Vec<Member>, Vec<(CheckId, Encoded)>)> {
    let seen = bodies::seen()?;
    let store = site.store().await?;
    let members = site.enrol(&store, options.agents).await?;
    let checks = CHECKS.min(pattern.reports);
    let checks = site.ask(&store, &members, &seen, checks).await?;
    let sent = (0..pattern.reports).map(|at| {
        let check = checks[at % checks.len()];
        (check, bodies::answer(&seen, check))
    });
    Ok((members, sent.collect()))
}

async fn echo(programs: &Path, below: &Path, options: &Options, pattern: Pattern) -> Result<Taken> {
    let site = Site::create(&super::coordinator(programs), below)?;
    let (members, sent) = prepare(&site, options, pattern).await?;
    let server = Command::new(std::env::current_exe()?)
        .arg("--programs")
        .arg(programs)
        .arg("echo")
        .arg(site.folder())
        .arg(site.address().to_string())
        .spawn()?;
    let server = Ended(server);
    while std::net::TcpStream::connect(site.address()).is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    send(server.0.id(), &members, sent.into(), pattern).await
}

/// A program that ends with this.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn by_hand(
    programs: &Path,
    below: &Path,
    options: &Options,
    pattern: Pattern,
) -> Result<(f64, f64)> {
    let site = Site::create(&super::coordinator(programs), below)?;
    let seen = bodies::seen()?;
    let sent = (0..pattern.reports).map(|_| {
        let check = CheckId(rand::random());
        (check, bodies::answer(&seen, check))
    });
    let sent: Vec<_> = sent.collect();
    let before = process::busy(std::process::id())?;
    let took = floor::sqlite(site.folder(), &sent, options.agents).await?;
    let busy = process::busy(std::process::id())? - before;
    let reports = (options.agents * pattern.reports) as f64;
    Ok((
        reports / took.as_secs_f64(),
        busy.as_secs_f64() * 1e6 / reports,
    ))
}

/// Lets all agents send, and waits until everything is acknowledged.
async fn send(
    server: u32,
    members: &[Member],
    sent: Arc<[(CheckId, Encoded)]>,
    pattern: Pattern,
) -> Result<Taken> {
    let hashes: Vec<Bytes> = sent
        .iter()
        .map(|(_, encoded)| report::hash(&encoded.body).to_vec().into())
        .collect();
    let hashes: Arc<[Bytes]> = hashes.into();
    let mut streams = Vec::new();
    // None of them has to be told what they are asked for.
    let revision = CHECKS.min(pattern.reports) as u64;
    for member in members {
        streams.push(member.session(revision).await?);
    }
    let ready = Arc::new(Barrier::new(members.len() + 1));
    let mut talking = JoinSet::new();
    for (number, stream) in streams.into_iter().enumerate() {
        let (sent, hashes, ready) = (Arc::clone(&sent), Arc::clone(&hashes), Arc::clone(&ready));
        // Not all at once.
        let shift = pattern.every.mul_f64(number as f64 / members.len() as f64);
        talking.spawn(async move {
            ready.wait().await;
            talk(stream, &sent, &hashes, pattern, shift).await
        });
    }
    let before = [server, std::process::id()].map(process::busy);
    ready.wait().await;
    let began = Instant::now();
    let mut waits = Vec::new();
    while let Some(talked) = talking.join_next().await {
        waits.extend(talked??);
    }
    let took = began.elapsed();
    let reports = (members.len() * pattern.reports) as f64;
    let after = [server, std::process::id()].map(process::busy);
    let [server, agents] = [0, 1].map(|at| match (&before[at], &after[at]) {
        (Ok(before), Ok(after)) => (*after - *before).as_secs_f64() * 1e6 / reports,
        _ => f64::NAN,
    });
    Ok(Taken {
        rate: reports / took.as_secs_f64(),
        waits,
        server,
        agents,
    })
}

/// Sends all reports of one agent. Returns how long each waited for its acknowledgement.
async fn talk(
    stream: Stream,
    sent: &[(CheckId, Encoded)],
    hashes: &[Bytes],
    pattern: Pattern,
    shift: Duration,
) -> Result<Vec<Duration>> {
    let Stream { say, mut heard, .. } = stream;
    let epoch: u64 = rand::random();
    let times = Mutex::new(Vec::with_capacity(sent.len()));
    let sending = async {
        let mut due = tokio::time::Instant::now() + shift;
        for first in (0..sent.len()).step_by(pattern.batch) {
            if !pattern.every.is_zero() {
                sleep_until(due).await;
                due += pattern.every;
            }
            let range = first..(first + pattern.batch).min(sent.len());
            let reports = range.clone().map(|at| {
                let id = bodies::id(epoch, at as u64 + 1);
                bodies::envelope(id, &sent[at].1, &hashes[at])
            });
            let message = batch(reports.collect());
            {
                let now = Instant::now();
                let mut times = times.lock().unwrap_or_else(|e| e.into_inner());
                times.extend(range.map(|_| now));
            }
            say.send(message).await.context("the stream has ended")?;
        }
        anyhow::Ok(())
    };
    let hearing = async {
        let mut waits = Vec::with_capacity(sent.len());
        while waits.len() < sent.len() {
            let message = heard.message().await?.context("the stream has ended")?;
            match message.kind {
                Some(to_agent::Kind::Acknowledged(acknowledged)) => {
                    let times = times.lock().unwrap_or_else(|e| e.into_inner());
                    let through = usize::try_from(acknowledged.through)?;
                    let acknowledged = times.get(waits.len()..through).unwrap_or_default();
                    waits.extend(acknowledged.iter().map(Instant::elapsed));
                }
                Some(to_agent::Kind::Farewell(farewell)) => bail!("{}", farewell.reason),
                _ => {}
            }
        }
        Ok(waits)
    };
    let both = async { tokio::try_join!(sending, hearing) };
    let ((), waits) = tokio::time::timeout(PATIENCE, both)
        .await
        .context("no acknowledgement")??;
    Ok(waits)
}
