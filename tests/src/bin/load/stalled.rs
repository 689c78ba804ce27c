//! Agents that do not take what they are told (fault F18): what each costs, and what the others
//! notice.
//!
//! The same run twice: once with all in order, once with some whose window is shut. The difference
//! in the coordinator's memory is theirs. Meanwhile check after check is put into the plans of all.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bailiwick_core::check::CheckId;
use bailiwick_rpc::{agent::to_agent, operator};
use bailiwick_tests::load::{agent::Stream, bodies, ms, percentile, process, site::Site};
use bailiwick_wire::report;
use clap::Args;
use tokio::{task::JoinSet, time::sleep};

/// What is promised: octets of memory for each that is stalled.
const EACH: f64 = 64.0 * 1024.0;
/// Who may be asked at once.
const ASKED: usize = 500;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many agents.
    #[arg(long, default_value_t = 2_000)]
    agents: usize,
    /// How many of them take nothing.
    #[arg(long, default_value_t = 1_000)]
    stalled: usize,
    /// For how many seconds plans change.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// What a run took.
struct Taken {
    before: u64,
    most: u64,
    after: u64,
    delays: Vec<Duration>,
    ended: usize,
}

pub(crate) async fn run(programs: &Path, below: &Path, options: &Options) -> Result<Vec<String>> {
    let mut taken = Vec::new();
    for stalled in [0, options.stalled] {
        let mut of = once(programs, below, options, stalled).await?;
        let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
        println!(
            "{} agents, {stalled} of them stalled: memory {:.0} MiB, then at most {:.0}, then {:.0}; \
             {} were ended; plans of the others arrive after {} (p50), {} (p99), load {:.1}",
            options.agents,
            mib(of.before),
            mib(of.most),
            mib(of.after),
            of.ended,
            ms(percentile(&mut of.delays, 50)),
            ms(percentile(&mut of.delays, 99)),
            process::load()
        );
        taken.push(of);
    }
    let [floor, with] = &taken[..] else {
        return Ok(Vec::new());
    };
    let each = (with.most as f64 - floor.most as f64) / options.stalled as f64;
    println!(
        "each that is stalled costs {:.1} KiB (at most {:.0})",
        each / 1024.0,
        EACH / 1024.0
    );
    let mut missed = Vec::new();
    if each > EACH {
        missed.push(format!("{each:.0} octets for each that is stalled"));
    }
    if with.ended != options.stalled {
        missed.push(format!("{} of {} were ended", with.ended, options.stalled));
    }
    Ok(missed)
}

async fn once(programs: &Path, below: &Path, options: &Options, stalled: usize) -> Result<Taken> {
    let mut site = Site::create(&super::coordinator(programs), below)?;
    let store = site.store().await?;
    let label = |number: usize| vec![format!("set={}", number % options.agents.div_ceil(ASKED))];
    let good = options.agents - stalled;
    let members = site.enrol_labelled(&store, 0..good, label).await?;
    let deaf = site.enrol_deaf(&store, good..options.agents, label).await?;
    drop(store);
    site.start()?;
    // When each check was asked for, and how long after that agents heard of it.
    let asked = Arc::new(Mutex::new(
        std::collections::BTreeMap::<Vec<u8>, Instant>::new(),
    ));
    let delays = Arc::new(Mutex::new(Vec::new()));
    let mut hearing = JoinSet::new();
    for member in &members {
        let Stream {
            say,
            mut heard,
            link,
        } = member.session(0).await?;
        let (asked, delays) = (Arc::clone(&asked), Arc::clone(&delays));
        hearing.spawn(async move {
            let _open = (say, link);
            while let Ok(Some(message)) = heard.message().await {
                let Some(to_agent::Kind::Plan(plan)) = message.kind else {
                    continue;
                };
                for item in plan.items {
                    let asked = asked.lock().unwrap_or_else(|e| e.into_inner());
                    if let Some(at) = asked.get(&item.id[..]) {
                        let mut delays = delays.lock().unwrap_or_else(|e| e.into_inner());
                        delays.push(at.elapsed());
                    }
                }
            }
        });
    }
    let mut stuck = JoinSet::new();
    for agent in &deaf {
        stuck.spawn(agent.session().await?.ended());
    }
    sleep(Duration::from_secs(3)).await;
    let (before, _) = process::memory(site.pid()?)?;
    let mut most = before;
    let began = Instant::now();
    let mut check = bodies::seen()?.check;
    check.timeout = Duration::from_secs(15);
    let mut operator = site.operator().await?.operator();
    let mut number = 0;
    while began.elapsed() < Duration::from_secs(options.seconds) {
        check.id = CheckId(rand::random());
        let id = check.id.0.to_be_bytes().to_vec();
        let now = Instant::now();
        asked
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .insert(id, now);
        let request = operator::CreateCheckRequest {
            check: Some(report::to_check(&check)),
            view: Some(operator::View {
                format: "json".to_owned(),
                ..operator::View::default()
            }),
            agents: u32::try_from(ASKED)?,
            labels: label(number),
        };
        number += 1;
        let mut events = operator.create_check(request).await?.into_inner();
        events.message().await?.context("not begun")?;
        for _ in 0..5 {
            sleep(Duration::from_millis(50)).await;
            most = most.max(process::memory(site.pid()?)?.0);
        }
    }
    // All checks are over, and who takes nothing has had its time.
    let mut ended = 0;
    let patience = Instant::now();
    while ended < stalled && patience.elapsed() < Duration::from_secs(30) {
        while stuck.try_join_next().is_some() {
            ended += 1;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let (after, _) = process::memory(site.pid()?)?;
    let delays = std::mem::take(&mut *delays.lock().unwrap_or_else(|e| e.into_inner()));
    Ok(Taken {
        before,
        most,
        after,
        delays,
        ended,
    })
}
