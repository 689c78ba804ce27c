//! Works on the plan, whether or not a coordinator is there.
//!
//! ```text
//!  PlanDelta ─▶ plan ─▶ timetable ─▶ check ─▶ report ─▶ keeper (spooled) ─▶ plan: ended
//! ```

use std::{collections::BTreeMap, time::Duration};

use bailiwick_core::report::{Lane, RoundId};
use bailiwick_rpc::agent::{PlanDelta, Progress};
use bailiwick_spool::Value;
use bailiwick_transport::Uplink;
use bailiwick_wire::{
    proto::report::v1::ReportEnvelope,
    report::{self, MAX_REPORT},
    slot,
};
use prost::Message as _;
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use crate::{
    folder,
    keeper::Keeper,
    measure::{allowed, measure},
    plan::{ItemId, Plan, When},
    same::Digest,
    settings::Settings,
};

/// Checks at once (limit B11).
const AT_ONCE: usize = 32;
/// Of these, places that standing checks leave to those that somebody waits for.
const FOR_LIVE: usize = 8;
/// The most that whoever watches is told.
const TOLD_EVERY: Duration = Duration::from_millis(200);
/// How often is looked for what is over.
const SWEEP: Duration = Duration::from_secs(60);

/// When a standing item is due next.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    /// The same by the clock of this machine, since 1970.
    unix: Duration,
    slot: u64,
    /// Of which interval and offset.
    of: When,
}

/// A check that has ended.
struct Done {
    id: ItemId,
    /// Whether it must not be done again.
    for_good: bool,
    /// What its report said.
    digest: Option<Digest>,
}

pub(crate) struct Worker {
    settings: Settings,
    keeper: Keeper,
    uplink: Uplink,
    plan: Plan,
    revision: watch::Sender<u64>,
    progress: mpsc::Sender<Progress>,
    timetable: BTreeMap<ItemId, Due>,
    running: BTreeMap<ItemId, AbortHandle>,
    checks: JoinSet<Done>,
    /// What standing items said last.
    said: BTreeMap<ItemId, Digest>,
}

impl Worker {
    pub(crate) fn new(
        settings: Settings,
        keeper: Keeper,
        plan: Plan,
        revision: watch::Sender<u64>,
        progress: mpsc::Sender<Progress>,
    ) -> Self {
        revision.send_replace(plan.revision());
        Self {
            settings,
            keeper,
            uplink: Uplink::default(),
            plan,
            revision,
            progress,
            timetable: BTreeMap::new(),
            running: BTreeMap::new(),
            checks: JoinSet::new(),
            said: BTreeMap::new(),
        }
    }

    /// Works until nobody can send a plan any more.
    pub(crate) async fn run(mut self, mut deltas: mpsc::Receiver<PlanDelta>) {
        let mut sweep = Instant::now() + SWEEP;
        // How often the program began is a part of the plan.
        self.save().await;
        loop {
            let wake = self.start_due(Instant::now()).unwrap_or(sweep).min(sweep);
            tokio::select! {
                delta = deltas.recv() => match delta {
                    Some(delta) => self.change(&delta).await,
                    None => return,
                },
                Some(ended) = self.checks.join_next_with_id() => self.end(ended).await,
                () = sleep_until(wake) => {}
            }
            if Instant::now() >= sweep {
                sweep = Instant::now() + SWEEP;
                self.sweep().await;
            }
        }
    }

    async fn change(&mut self, delta: &PlanDelta) {
        let now = Instant::now();
        let wrong = self.plan.apply(delta, self.settings.clock.now(), now);
        if let Some(first) = wrong.first() {
            let (revision, count) = (delta.revision, wrong.len());
            tracing::warn!("revision {revision} of the plan: {count} items left out: {first}");
        }
        self.forget_gone();
        self.revision.send_replace(self.plan.revision());
        // The checks that somebody waits for do not wait for the disk.
        self.start_due(now);
        self.save().await;
    }

    async fn sweep(&mut self) {
        if self.plan.expire(self.settings.clock.now(), Instant::now()) {
            self.forget_gone();
            self.save().await;
        }
    }

    /// Forgets what is not in the plan any more, and ends its checks.
    fn forget_gone(&mut self) {
        let plan = &self.plan;
        self.timetable.retain(|id, _| plan.get(id).is_some());
        self.said.retain(|id, _| plan.get(id).is_some());
        for (id, check) in &self.running {
            if plan.get(id).is_none() {
                check.abort();
            }
        }
    }

    async fn save(&self) {
        let path = self.settings.folder.join(folder::PLAN);
        self.keeper.write(path, self.plan.to_octets()).await;
    }

    async fn end(&mut self, ended: Result<(tokio::task::Id, Done), JoinError>) {
        let (task, done) = match ended {
            Ok((task, done)) => (task, Some(done)),
            Err(error) => {
                if error.is_panic() {
                    tracing::error!("a check failed, which is a bug: {error}");
                }
                // An item that cannot be worked on is not tried for ever.
                (error.id(), None)
            }
        };
        let id = self.running.iter().find(|(_, check)| check.id() == task);
        let Some(id) = done.as_ref().map(|done| done.id).or(id.map(|(id, _)| *id)) else {
            return;
        };
        self.running.remove(&id);
        match done.as_ref().and_then(|done| done.digest) {
            Some(digest) if !self.is_live(&id) => drop(self.said.insert(id, digest)),
            _ => {}
        }
        if done.is_none_or(|done| done.for_good) && self.is_live(&id) {
            self.plan.end(&id);
            self.save().await;
        }
    }

    fn is_live(&self, id: &ItemId) -> bool {
        self.plan
            .get(id)
            .is_some_and(|item| matches!(item.when, When::Once(_)))
    }

    /// Begins what is due and has a place. Returns when to look again, if no check ends before.
    fn start_due(&mut self, now: Instant) -> Option<Instant> {
        let mut live = Vec::new();
        let mut standing = Vec::new();
        let mut wake: Option<Instant> = None;
        let unix = self.settings.clock.unix();
        for (id, item) in self.plan.items() {
            if self.running.contains_key(id) || item.until <= now {
                continue;
            }
            match item.when {
                When::Once(round) => live.push((*id, round)),
                When::Standing { .. } => {
                    let due = self
                        .timetable
                        .entry(*id)
                        .and_modify(|due| {
                            if due.of != item.when {
                                *due = next(unix, unix, item.when, now);
                            }
                        })
                        .or_insert_with(|| next(unix, unix, item.when, now));
                    if due.at <= now {
                        standing.push((due.at, *id, due.slot));
                    } else {
                        wake = Some(wake.map_or(due.at, |wake| wake.min(due.at)));
                    }
                }
            }
        }
        for (id, round) in live {
            if self.running.len() < AT_ONCE {
                self.start(id, round, Lane::Change, now);
            }
        }
        standing.sort_unstable();
        for (_, id, slot) in standing {
            if self.running.len() < AT_ONCE - FOR_LIVE {
                self.start(id, slot::round(id, slot), Lane::Routine, now);
            }
        }
        wake
    }

    fn start(&mut self, id: ItemId, round: RoundId, lane: Lane, now: Instant) {
        let Some((mut check, when)) = self
            .plan
            .get(&id)
            .and_then(|item| Some((item.check()?, item.when)))
        else {
            return;
        };
        if let When::Standing { interval, .. } = when {
            // Names that no cache can know are others each time.
            check.nonce ^= round.0;
            let done = self.timetable.get(&id).map(|due| due.unix);
            let unix = self.settings.clock.unix();
            // A timer that is a little early must not do a slot twice.
            let from = done
                .filter(|done| *done > unix && *done - unix < interval / 2)
                .unwrap_or(unix);
            let mut due = next(unix, from, when, now);
            // Whatever the clock does, not again at once.
            due.at = due.at.max(now + interval / 2);
            self.timetable.insert(id, due);
        }
        let task = Task {
            id,
            round,
            lane,
            settings: self.settings.clone(),
            uplink: self.uplink.clone(),
            keeper: self.keeper.clone(),
            progress: self.progress.clone(),
            last: self.said.get(&id).copied(),
        };
        let check = allowed(check, &self.settings);
        self.running.insert(id, self.checks.spawn(task.run(check)));
    }
}

/// Returns when a standing item is due next after `from`, if it is `unix` and `now`.
fn next(unix: Duration, from: Duration, of: When, now: Instant) -> Due {
    let (interval, offset) = match of {
        When::Standing { interval, offset } => (interval, offset),
        When::Once(_) => (slot::SHORTEST, Duration::ZERO),
    };
    let (slot, due) = slot::next(from, interval, offset);
    Due {
        at: now + due.saturating_sub(unix),
        unix: due,
        slot,
        of,
    }
}

/// One check on its way to the spool.
struct Task {
    id: ItemId,
    round: RoundId,
    lane: Lane,
    settings: Settings,
    uplink: Uplink,
    keeper: Keeper,
    progress: mpsc::Sender<Progress>,
    /// What the item said last.
    last: Option<Digest>,
}

impl Task {
    async fn run(self, check: bailiwick_core::check::Check) -> Done {
        let zone = check.zone.clone();
        let mut told: Option<Instant> = None;
        let tell = |progress: &bailiwick_probe::Progress| {
            let now = Instant::now();
            let live = self.lane == Lane::Change;
            if live && told.is_none_or(|told| now >= told + TOLD_EVERY) {
                told = Some(now);
                // Whoever is behind does not need this one.
                let _ = self.progress.try_send(Progress {
                    round: self.round.0,
                    asked: u32::try_from(progress.asked).unwrap_or(u32::MAX),
                    answered: u32::try_from(progress.answered).unwrap_or(u32::MAX),
                    line: progress.line.clone(),
                });
            }
        };
        // Somebody waits for a live check; a round has time to tell late from dead.
        let plan = match self.lane {
            Lane::Change => bailiwick_probe::Plan::check(),
            Lane::Routine => bailiwick_probe::Plan::round(),
        };
        let measured = measure(check, plan, self.round, &self.settings, &self.uplink, tell).await;
        let report = match measured {
            Ok(report) => report,
            Err(error) => {
                tracing::error!("{zone} cannot be checked: {error}");
                return self.done(None);
            }
        };
        let digest = Some(Digest::of(&report));
        let value = match digest == self.last {
            true => Value::Unchanged,
            false => Value::New,
        };
        let encoded = report::encode(&report);
        drop(report);
        if encoded.octets() > MAX_REPORT {
            let octets = encoded.octets();
            tracing::error!("a report of {octets} octets about {zone} is too large to be sent");
            return self.done(None);
        }
        let payload = ReportEnvelope {
            id: None,
            body_hash: report::hash(&encoded.body).to_vec().into(),
            body: encoded.body,
            answers: encoded.answers,
        }
        .encode_to_vec();
        match self.keeper.keep(self.lane, value, payload).await {
            Some(Ok(_)) => self.done(digest),
            Some(Err(error)) => {
                tracing::error!("a report about {zone} cannot be kept: {error}");
                self.done(None)
            }
            // The program ends.
            None => Done {
                for_good: false,
                ..self.done(None)
            },
        }
    }

    fn done(&self, digest: Option<Digest>) -> Done {
        Done {
            id: self.id,
            for_good: true,
            digest,
        }
    }
}
