//! Joins a machine that decides with a network that asks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bailiwick_core::{
    observation::{Observation, Outcome},
    time::Timestamp,
};
use bailiwick_probe::{Machine, Progress};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::Network;

/// Observations that may wait to be learned from.
const QUEUE: usize = 64;
/// How often somebody who watches is told, at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);
/// A machine that wants to be woken again and again gets at least this pause.
const PAUSE: Duration = Duration::from_millis(1);
/// How long after the time of the check a machine may still end by itself.
const AFTER: Duration = Duration::from_millis(250);

/// What only the driver knows when a machine has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Driven {
    /// When it began, by this machine's clock.
    pub started: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// Packets sent.
    pub packets: u32,
}

/// Lets a machine ask until it is finished, or the time of the check (limit B8) is over.
///
/// Needs a tokio runtime with I/O and time; one thread is enough. `progress`
/// is called at most every 50 ms.
///
/// # Panics
///
/// Panics if an exchange panics, which is a bug.
pub async fn drive<M: Machine>(
    machine: &mut M,
    network: &Network,
    progress: impl FnMut(&Progress),
) -> Driven {
    let started = Timestamp(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
            }),
    );
    Driver::new(machine, network, progress).run().await;
    network.stop();
    Driven {
        started,
        elapsed: network.elapsed(),
        packets: network.packets(),
    }
}

struct Driver<'a, M, P> {
    machine: &'a mut M,
    network: &'a Network,
    began: Instant,
    exchanges: JoinSet<()>,
    /// Questions asked whose outcome in time has not come.
    open: usize,
    to: mpsc::Sender<Observation>,
    from: mpsc::Receiver<Observation>,
    progress: P,
    told: Option<Instant>,
}

impl<'a, M: Machine, P: FnMut(&Progress)> Driver<'a, M, P> {
    fn new(machine: &'a mut M, network: &'a Network, progress: P) -> Self {
        let (to, from) = mpsc::channel(QUEUE);
        Self {
            machine,
            network,
            began: Instant::now() - network.elapsed(),
            exchanges: JoinSet::new(),
            open: 0,
            to,
            from,
            progress,
            told: None,
        }
    }

    async fn run(mut self) {
        let end = self.began + self.network.shared.limits.wall_time + AFTER;
        loop {
            self.ask();
            self.tell(false);
            let now = Instant::now();
            if self.machine.is_finished(now - self.began) || now >= end {
                break;
            }
            let wake = self
                .machine
                .next_wake()
                .map(|wake| (self.began + wake).max(now + PAUSE));
            if self.open == 0 && wake.is_none() && self.from.is_empty() {
                // Nothing to ask and nothing to wait for: only a late answer could
                // come, and the machine did not say that it waits for one.
                break;
            }
            self.learn(wake.map_or(end, |wake| wake.min(end))).await;
        }
        self.tell(true);
    }

    /// Begins everything that the machine wants to ask now.
    fn ask(&mut self) {
        while let Some(query) = self.machine.poll_query(self.began.elapsed()) {
            self.open += query.questions.len();
            let exchange = self.network.exchange(query, self.to.clone());
            self.exchanges.spawn(exchange);
        }
    }

    /// Waits for an observation until then, and lets the machine learn from all that are there.
    async fn learn(&mut self, until: Instant) {
        let mut next = tokio::select! {
            biased;
            observation = self.from.recv() => observation,
            () = sleep_until(until) => None,
        };
        while let Some(observation) = next {
            if !matches!(observation.outcome, Outcome::Late(_)) {
                self.open = self.open.saturating_sub(1);
            }
            self.machine.handle(self.began.elapsed(), observation);
            next = self.from.try_recv().ok();
        }
        while let Some(ended) = self.exchanges.try_join_next() {
            ended.expect("an exchange neither panics nor is cancelled while it is driven");
        }
    }

    fn tell(&mut self, last: bool) {
        let now = Instant::now();
        if last || self.told.is_none_or(|told| now >= told + PROGRESS_EVERY) {
            self.told = Some(now);
            (self.progress)(&self.machine.progress());
        }
    }
}
