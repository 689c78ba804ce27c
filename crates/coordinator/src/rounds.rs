//! Rounds: a check that was asked of several vantage points, open until all have reported or its
//! time is over.
//!
//! ```text
//!  CreateCheck ─▶ plans of those that are asked
//!                     └─▶ Arrival ─▶ Round ─▶ (all there, or too late) ─▶ judge ─▶ store ─▶ watchers
//!                            └─ after the verdict: it is judged again (`revisions`)
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bailiwick_core::{
    check::{Check, CheckId},
    report::{Report, RoundId},
    time::Timestamp,
    vantage::VantageId,
};
use bailiwick_rpc::agent::Progress;
use bailiwick_store::{CheckRecord, Store};
use bailiwick_wire::{proto::report::v1 as pb, report};
use prost::{Message as _, bytes::Bytes};
use tokio::sync::{Notify, broadcast};

use crate::{
    Shared, clock,
    judging::{Judged, NoVerdict},
};

/// How long after the time of a check its reports may still be on their way.
pub(crate) const GRACE: Duration = Duration::from_secs(3);
/// Events that a watcher may be behind.
const EVENTS: usize = 1024;
/// Checks whose vantage points are remembered.
pub(crate) const REMEMBERED: usize = 4096;
/// How late a report may be.
pub(crate) const LATENESS: Duration = Duration::from_hours(7 * 24);

/// A report that is on the disk now.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) check: CheckId,
    pub(crate) vantage: VantageId,
    pub(crate) body: Bytes,
    pub(crate) answers: Vec<Bytes>,
    pub(crate) at: Instant,
    /// Until when nothing is done with it, if it is of a watch.
    pub(crate) open_until: Option<Timestamp>,
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// How far a vantage point has come.
    Progress(VantageId, Progress),
    /// It has reported.
    Reported(Arc<Report>),
    /// The round is closed.
    Ended(Arc<Ended>),
}

/// The end of a round.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The verdict, or why there is none.
    pub(crate) judged: Result<Judged, NoVerdict>,
    /// Who was asked and did not report.
    pub(crate) missing: BTreeSet<VantageId>,
    /// From the last report to the verdict.
    pub(crate) judging: Duration,
    /// From the request to the verdict.
    pub(crate) elapsed: Duration,
}

/// A round that is open.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) check: Check,
    pub(crate) asked: BTreeSet<VantageId>,
    began: Instant,
    reports: Mutex<BTreeMap<VantageId, Received>>,
    complete: Notify,
    events: broadcast::Sender<Event>,
}

/// What a vantage point reported on a round.
#[derive(Debug)]
struct Received {
    report: Report,
    /// When the first part of it came.
    at: Instant,
    /// In how many parts.
    parts: u32,
}

impl Round {
    /// Everything that happens from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn reports(&self) -> MutexGuard<'_, BTreeMap<VantageId, Received>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, report: Report, at: Instant) {
        let vantage = report.vantage.id.clone();
        let watched = self.events.receiver_count() > 0;
        let told = watched.then(|| Arc::new(report.clone()));
        let mut reports = self.reports();
        let joined = match reports.remove(&vantage) {
            Some(known) => Received {
                report: known.report.join(report),
                parts: known.parts + 1,
                ..known
            },
            None => Received {
                report,
                at,
                parts: 1,
            },
        };
        reports.insert(vantage, joined);
        let all = reports.len() == self.asked.len();
        drop(reports);
        if let Some(told) = told {
            // Nobody watches any more: nothing is missed.
            let _ = self.events.send(Event::Reported(told));
        }
        if all {
            self.complete.notify_one();
        }
    }
}

/// All rounds that are open, and who was asked in those that were.
#[derive(Debug)]
pub(crate) struct Rounds {
    store: Arc<dyn Store>,
    open: Mutex<BTreeMap<CheckId, Arc<Round>>>,
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    of: HashMap<CheckId, Arc<BTreeSet<VantageId>>>,
    order: VecDeque<CheckId>,
}

/// Returns the round of a check.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the upper half of random bits"
)]
pub(crate) fn round_of(check: CheckId) -> RoundId {
    RoundId((check.0 >> 64) as u64)
}

impl Rounds {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            open: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<CheckId, Arc<Round>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a round; `None` if the check has one that is open.
    pub(crate) fn begin(&self, check: Check, asked: BTreeSet<VantageId>) -> Option<Arc<Round>> {
        let mut open = self.open();
        if open.contains_key(&check.id) {
            return None;
        }
        self.remember(check.id, Arc::new(asked.clone()));
        let round = Arc::new(Round {
            asked,
            began: Instant::now(),
            reports: Mutex::default(),
            complete: Notify::new(),
            events: broadcast::channel(EVENTS).0,
            check,
        });
        open.insert(round.check.id, Arc::clone(&round));
        Some(round)
    }

    /// Returns whether a vantage point was asked in a check, not too long ago.
    pub(crate) async fn asked(
        &self,
        check: CheckId,
        vantage: &VantageId,
    ) -> Result<bool, bailiwick_store::Error> {
        if let Some(asked) = self.remembered(check) {
            return Ok(asked.contains(vantage));
        }
        let Some(record) = self.store.check(check).await? else {
            return Ok(false);
        };
        // A round of a watch is named by the watch and its number.
        if record.watch.is_some() || record.deadline.after(LATENESS) < clock::now() {
            return Ok(false);
        }
        let asked = Arc::new(record.asked);
        self.remember(check, Arc::clone(&asked));
        Ok(asked.contains(vantage))
    }

    fn remembered(&self, check: CheckId) -> Option<Arc<BTreeSet<VantageId>>> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.of.get(&check).cloned()
    }

    fn remember(&self, check: CheckId, who: Arc<BTreeSet<VantageId>>) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.of.insert(check, who).is_none() {
            asked.order.push_back(check);
        }
        if asked.order.len() > REMEMBERED
            && let Some(oldest) = asked.order.pop_front()
        {
            asked.of.remove(&oldest);
        }
    }

    /// Tells the watchers of a round how far a vantage point has come.
    pub(crate) fn progress(&self, vantage: &VantageId, progress: &Progress) {
        let open = self.open();
        let of = |round: &&Arc<Round>| round_of(round.check.id) == RoundId(progress.round);
        if let Some(round) = open.values().find(of)
            && round.asked.contains(vantage)
        {
            let event = Event::Progress(vantage.clone(), progress.clone());
            let _ = round.events.send(event);
        }
    }

    /// Forgets a round that did not come to be.
    pub(crate) fn forget(&self, check: CheckId) {
        self.open().remove(&check);
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.of.remove(&check);
    }

    fn find(&self, check: CheckId) -> Option<Arc<Round>> {
        self.open().get(&check).cloned()
    }
}

impl Shared {
    /// Brings a report to its round, or judges again if that is closed.
    pub(crate) fn arrived(self: &Arc<Self>, arrival: Arrival) {
        let read = report::decode(&arrival.body, &arrival.answers, arrival.vantage.clone());
        let report = match read {
            Ok(report) => report,
            Err(error) => {
                tracing::warn!(agent = arrival.vantage.0, %error, "a report cannot be read");
                return;
            }
        };
        match self.rounds.find(arrival.check) {
            Some(round) => round.accept(report, arrival.at),
            // It is judged with the others when its time is over.
            None if arrival.open_until.is_some_and(|until| clock::now() < until) => {}
            None => self.revisions.add(arrival.check),
        }
    }

    /// Waits for the end of a round, judges, and tells everybody.
    pub(crate) async fn hold(self: Arc<Self>, round: Arc<Round>, until: Instant) {
        let all = round.complete.notified();
        // Too late is as good as complete: what is there is judged.
        let _ = tokio::time::timeout_at(until.into(), all).await;
        let (reports, last, parts) = {
            let reports = round.reports();
            let last = reports.values().map(|received| received.at).max();
            let parts: u32 = reports.values().map(|received| received.parts).sum();
            let reports: Vec<_> = reports.values().map(|r| r.report.clone()).collect();
            (reports, last, parts)
        };
        let reported: BTreeSet<_> = reports.iter().map(|r| r.vantage.id.clone()).collect();
        let missing = round.asked.difference(&reported).cloned().collect();
        let judged = self
            .judge(round.check.id, &round.asked, reports, parts)
            .await;
        let judging = last.map(|last| last.elapsed()).unwrap_or_default();
        let judgement = match &judged {
            Ok(judged) => judged.judgement.clone(),
            Err(why) => why.judgement(),
        };
        let closed = self.store.close_check(round.check.id, &judgement).await;
        self.rounds.open().remove(&round.check.id);
        if let Err(error) = &closed {
            tracing::error!(%error, "a verdict cannot be stored now");
        }
        self.sessions.plan_changed(&round.asked);
        let ended = Ended {
            judged,
            missing,
            judging,
            elapsed: round.began.elapsed(),
        };
        let _ = round.events.send(Event::Ended(Arc::new(ended)));
        // What came while it was judged.
        let now: u32 = round.reports().values().map(|r| r.parts).sum();
        if closed.is_err() || now > parts {
            self.revisions.add(round.check.id);
        }
    }

    /// Reads all reports of a check.
    pub(crate) async fn stored(
        &self,
        record: &CheckRecord,
    ) -> Result<Vec<Report>, bailiwick_store::Error> {
        let mut reports = Vec::new();
        let mut after = None;
        loop {
            let kept = self.store.evidence(record.id, after.as_ref(), 64).await?;
            let Some(last) = kept.last() else {
                return Ok(reports);
            };
            after = Some(last.id.clone());
            for kept in kept {
                match report::decode(&kept.body, &kept.answers, kept.id.agent) {
                    Ok(report) => reports.push(report),
                    Err(error) => tracing::warn!(%error, "a report cannot be read"),
                }
            }
        }
    }

    /// Goes on with the rounds that were open when the program ended.
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), bailiwick_store::Error> {
        for record in self.store.open_checks(REMEMBERED).await? {
            if record.watch.is_some() {
                continue; // Nothing of it is in memory: see `watches`.
            }
            let check = pb::Check::decode(record.check.clone())
                .map_err(|error| error.to_string())
                .and_then(|check| report::check(&check).map_err(|error| error.to_string()));
            let Ok(check) = check else {
                tracing::error!("an open check cannot be read");
                continue;
            };
            let left = record.deadline.0.saturating_sub(clock::now().0);
            let until = Instant::now() + Duration::from_micros(left);
            let Some(round) = self.rounds.begin(check, record.asked.clone()) else {
                continue;
            };
            for report in self.stored(&record).await.unwrap_or_default() {
                round.accept(report, Instant::now());
            }
            tokio::spawn(Arc::clone(self).hold(round, until));
        }
        Ok(())
    }
}
