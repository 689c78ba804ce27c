//! The program `bailiwick-agent`: takes plans, measures, reports. It dials out and never listens.
//!
//! ```text
//!                    ┌──────────── link ───────────┐
//!  coordinator ◀───▶ │ session, certificate, pauses │
//!                    └─ plan deltas ─┐        ▲─────┘
//!                                    ▼        │ delivery: batches within credit
//!                    worker: plan, timetable, │ checks
//!                                    │        │
//!                                    ▼        │
//!                    keeper: a thread with the spool and the files
//! ```
//!
//! - A report is sent only after it is spooled, and forgotten only after it is acknowledged.
//! - The worker does not know whether a coordinator is there.
//! - What the owner of the machine did not allow in `agent.toml`, no coordinator can allow.
//!
//! Start with [`run`], then [`Settings`] and [`join`].

mod args;
mod backoff;
mod clock;
mod delivery;
mod folder;
mod identity;
mod keeper;
mod link;
mod measure;
mod plan;
mod same;
mod settings;
mod worker;

use std::future::Future;

use bailiwick_host::Usage;
use bailiwick_rpc::FileError;
use bailiwick_spool::{Directory, Opened};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

pub use args::start;
pub use backoff::{Backoff, Retry};
pub use clock::Clock;
pub use identity::{MemberError, join};
pub use settings::{Said, Settings};

use identity::Member;
use keeper::Keeper;
use link::Link;
use plan::Plan;
use worker::Worker;

/// The name of the program.
pub const PROGRAM: &str = "bailiwick-agent";

/// Plan deltas that wait for the worker, and progress that waits for the link.
const DELTAS: usize = 16;
const PROGRESS: usize = 8;
/// The largest plan file that is read, in octets.
const LARGEST_PLAN: u64 = 64 << 20;

/// Works until told to stop. Then everything that was measured is spooled.
///
/// Needs a tokio runtime with I/O and time; one thread is enough. Several agents can run in one
/// process, each with a folder of its own.
///
/// # Errors
///
/// Returns a [`Usage`] if nobody joined in this folder, or what is wrong with it.
pub async fn run(settings: Settings, stop: impl Future<Output = ()>) -> Result<(), anyhow::Error> {
    let Some(member) = Member::load(&settings.folder)? else {
        return Err(Usage(format!(
            "{} has no identity: run `{PROGRAM} join STRING` with a string that `bailiwick agents \
             invite` printed",
            settings.folder.display()
        ))
        .into());
    };
    folder::check(&settings.folder)?;
    let directory = Directory::open(&settings.folder.join(folder::SPOOL))?;
    let (keeper, opened) = Keeper::start(directory, settings.spool, rand::random())?;
    tell(&opened);
    let plan = load_plan(&settings)?;
    let (deltas, changes) = mpsc::channel(DELTAS);
    let (progress, told) = mpsc::channel(PROGRESS);
    let (revision, known) = watch::channel(plan.revision());
    let worker = Worker::new(settings.clone(), keeper.clone(), plan, revision, progress);
    let link = Link {
        renew_at: Instant::now() + member.renew_in(&settings.clock, rand::random()),
        settings,
        member,
        keeper: keeper.clone(),
        deltas,
        revision: known,
        progress: told,
        boot: rand::random(),
        stale: false,
        unknown: None,
        durable: true,
    };
    tokio::select! {
        () = worker.run(changes) => {}
        never = link.run() => match never {},
        () = stop => {}
    }
    keeper.stop().await;
    Ok(())
}

fn tell(opened: &Opened) {
    let waiting = opened.change + opened.routine;
    if waiting > 0 {
        tracing::info!("{waiting} reports are still to be delivered");
    }
    for damage in &opened.damage {
        tracing::warn!(
            "{} cannot be read from octet {} to {}; after a crash this is normal",
            damage.file,
            damage.octets.start,
            damage.octets.end
        );
    }
}

fn load_plan(settings: &Settings) -> Result<Plan, FileError> {
    let path = settings.folder.join(folder::PLAN);
    let Some(octets) = folder::read(&path, LARGEST_PLAN)? else {
        return Ok(Plan::default());
    };
    let plan = Plan::of_octets(&octets, settings.clock.now(), Instant::now());
    Ok(plan.unwrap_or_else(|| {
        tracing::warn!("{} holds no plan; waiting for a new one", path.display());
        Plan::default()
    }))
}
