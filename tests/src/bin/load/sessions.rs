//! Many sessions at once: what they take, and how soon all are back after the coordinator was
//! killed (fault F19).
//!
//! The agents are in one process and open streams as the real one does, with its pauses. For half of
//! the restarts nothing is reported, so that memory is that of sessions alone. In the other half
//! each agent sends a report when it is welcome, and again what was not acknowledged; the round that
//! they are about is open and kept in memory. At the end every report that was acknowledged must be
//! in the store, and no other must be.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bailiwick_agent::{Backoff, Retry};
use bailiwick_core::vantage::VantageId;
use bailiwick_rpc::agent::to_agent;
use bailiwick_tests::load::{
    agent::{Member, Stream, batch},
    bodies, percentile, process,
    site::Site,
};
use bailiwick_wire::report::{self, Encoded};
use bytes::Bytes;
use clap::Args;
use tokio::{sync::watch, task::JoinSet, time::sleep};

/// What is promised, for ten thousand.
const MEMORY: f64 = 0.6 * 1024.0;
const BACK: Duration = Duration::from_secs(90);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many agents.
    #[arg(long, default_value_t = 10_000)]
    agents: usize,
    /// How often the coordinator is killed and started again.
    #[arg(long, default_value_t = 6)]
    restarts: usize,
    /// Seconds in which nothing happens, to see what that costs.
    #[arg(long, default_value_t = 20)]
    quiet: u64,
}

/// What all agents share.
struct Shared {
    /// A report of each agent is due when this grows.
    beat: watch::Sender<u64>,
    welcomes: Mutex<Vec<(usize, Instant)>>,
    tries: AtomicU64,
    reporting: AtomicBool,
    acknowledged: Mutex<Vec<u64>>,
    said: Mutex<Vec<u64>>,
}

pub(crate) async fn run(programs: &Path, below: &Path, options: &Options) -> Result<Vec<String>> {
    let files = process::open_files()?;
    let agents = options.agents;
    ensure!(
        files > agents as u64 + 200,
        "only {files} files may be open at once"
    );
    let mut site = Site::create(&super::coordinator(programs), below)?;
    let store = site.store().await?;
    let began = Instant::now();
    let members = site.enrol(&store, agents).await?;
    let seen = bodies::seen()?;
    let checks = site.ask(&store, &members, &seen, 1).await?;
    drop(store);
    println!("{agents} agents enrolled in {:.1?}", began.elapsed());
    let encoded = bodies::answer(&seen, checks[0]);
    let hash = Bytes::from(report::hash(&encoded.body).to_vec());
    let shared = Arc::new(Shared {
        beat: watch::channel(0).0,
        welcomes: Mutex::default(),
        tries: AtomicU64::new(0),
        reporting: AtomicBool::new(false),
        acknowledged: Mutex::new(vec![0; agents]),
        said: Mutex::new(vec![0; agents]),
    });
    let mut missed = Vec::new();
    site.start()?;
    let (empty, _) = process::memory(site.pid()?)?;
    let began = Instant::now();
    let mut living = JoinSet::new();
    for (number, member) in members.iter().cloned().enumerate() {
        let agent = Agent {
            number,
            member,
            shared: Arc::clone(&shared),
            epoch: rand::random(),
            encoded: encoded.clone(),
            hash: hash.clone(),
            began,
        };
        living.spawn(agent.live());
    }
    shared.all_back("first", agents, began).await?;
    sleep(Duration::from_secs(5)).await;
    let before = process::busy(site.pid()?)?;
    sleep(Duration::from_secs(options.quiet)).await;
    let busy = process::busy(site.pid()?)? - before;
    let (now, most) = process::memory(site.pid()?)?;
    let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
    println!(
        "memory: {:.0} MiB without a session, {:.0} MiB with {agents} (at most {:.0} MiB), {:.1} KiB each",
        mib(empty),
        mib(now),
        mib(most),
        now.saturating_sub(empty) as f64 / 1024.0 / agents as f64
    );
    println!(
        "processor while nothing happens: {:.1} % of one",
        busy.as_secs_f64() / options.quiet as f64 * 100.0
    );
    let mut highest = mib(most);
    for restart in 1..=options.restarts {
        let reporting = restart > options.restarts / 2;
        shared.reporting.store(reporting, Ordering::Relaxed);
        if reporting {
            // Reports are on their way when it ends.
            shared.beat.send_modify(|beat| *beat += 1);
            sleep(Duration::from_millis(20)).await;
        }
        let began = Instant::now();
        site.kill()?;
        site.start()?;
        let ready = began.elapsed();
        let slowest = shared
            .all_back(
                &format!("restart {restart}, ready in {ready:.1?}"),
                agents,
                began,
            )
            .await?;
        if slowest > BACK {
            missed.push(format!("all back after {slowest:.1?}"));
        }
        shared.all_acknowledged().await?;
        let (now, most) = process::memory(site.pid()?)?;
        let with = if reporting { "with" } else { "without" };
        println!(
            "  {with} reports: memory {:.0} MiB, at most {:.0} MiB",
            mib(now),
            mib(most)
        );
        if !reporting {
            highest = highest.max(mib(most));
        }
    }
    println!("sessions alone: at most {highest:.0} MiB (wanted {MEMORY:.0} MiB for 10000)");
    if highest > MEMORY {
        missed.push(format!("memory: {highest:.0} MiB"));
    }
    living.shutdown().await;
    site.kill()?;
    let store = site.store().await?;
    let said: u64 = lock(&shared.said).iter().sum();
    let kept = store.usage().await?.reports;
    let mut lost = 0;
    let acknowledged = lock(&shared.acknowledged).clone();
    for (member, acknowledged) in members.iter().zip(acknowledged) {
        let marks = store.marks(&VantageId(member.name.clone())).await?;
        let kept = marks.iter().map(|mark| mark.through).max().unwrap_or(0);
        lost += acknowledged.saturating_sub(kept);
    }
    println!("reports: {said} said, {kept} kept, {lost} acknowledged and lost");
    if lost > 0 || kept != said {
        missed.push(format!("{kept} of {said} reports, {lost} lost"));
    }
    Ok(missed)
}

impl Shared {
    /// Waits until all are welcome again. Returns how long the last one took.
    async fn all_back(&self, what: &str, agents: usize, began: Instant) -> Result<Duration> {
        let limit = Duration::from_secs(300);
        let mut times = loop {
            let mut back = vec![None; agents];
            for (number, at) in lock(&self.welcomes).iter() {
                if *at >= began {
                    back[*number] = Some(*at - began);
                }
            }
            let back: Vec<Duration> = back.into_iter().flatten().collect();
            if back.len() == agents {
                break back;
            }
            ensure!(
                began.elapsed() < limit,
                "{} of {agents} are back after {limit:?}",
                back.len()
            );
            sleep(Duration::from_millis(100)).await;
        };
        lock(&self.welcomes).clear();
        let tries = self.tries.swap(0, Ordering::Relaxed);
        let slowest = percentile(&mut times, 100);
        println!(
            "{what}: all back after {slowest:.1?} (half after {:.1?}, 99 % after {:.1?}), {tries} tries, load {:.1}",
            percentile(&mut times, 50),
            percentile(&mut times, 99),
            process::load()
        );
        Ok(slowest)
    }

    async fn all_acknowledged(&self) -> Result<()> {
        let began = Instant::now();
        while *lock(&self.said) != *lock(&self.acknowledged) {
            ensure!(
                began.elapsed() < Duration::from_secs(60),
                "not acknowledged"
            );
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

struct Agent {
    number: usize,
    member: Member,
    shared: Arc<Shared>,
    epoch: u64,
    encoded: Encoded,
    hash: Bytes,
    began: Instant,
}

impl Agent {
    async fn live(self) {
        let mut backoff = Backoff::new(Retry::default());
        loop {
            let began = Instant::now();
            self.shared.tries.fetch_add(1, Ordering::Relaxed);
            let ended = self.session().await;
            let pause = backoff.pause(began.elapsed(), rand::random());
            if let Err(error) = ended
                && std::env::var_os("VERBOSE").is_some()
            {
                eprintln!("{:?} {}: {error:#}", self.began.elapsed(), self.member.name);
            }
            sleep(pause).await;
        }
    }

    /// One session, until it ends.
    async fn session(&self) -> Result<()> {
        let mut stream = self.member.session(1).await?;
        let Stream { say, heard, .. } = &mut stream;
        lock(&self.shared.welcomes).push((self.number, Instant::now()));
        let mut beat = self.shared.beat.subscribe();
        if self.shared.reporting.load(Ordering::Relaxed) {
            let last = self.next();
            let first = lock(&self.shared.acknowledged)[self.number] + 1;
            let again = (first..=last).map(|seq| self.report(seq)).collect();
            say.send(batch(again)).await?;
        }
        loop {
            tokio::select! {
                message = heard.message() => {
                    let message = message?.context("the stream has ended")?;
                    if let Some(to_agent::Kind::Acknowledged(acknowledged)) = message.kind {
                        let mut all = lock(&self.shared.acknowledged);
                        let mine = &mut all[self.number];
                        *mine = acknowledged.through.max(*mine);
                    }
                }
                beaten = beat.changed() => {
                    beaten?;
                    say.send(batch(vec![self.report(self.next())])).await?;
                }
            }
        }
    }

    /// The number of one more report.
    fn next(&self) -> u64 {
        let said = &mut lock(&self.shared.said)[self.number];
        *said += 1;
        *said
    }

    fn report(&self, seq: u64) -> bailiwick_wire::proto::report::v1::ReportEnvelope {
        bodies::envelope(bodies::id(self.epoch, seq), &self.encoded, &self.hash)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}
