//! Watches: checks that agents do again and again, whether or not this program is there.
//!
//! ```text
//!  CreateWatch ─▶ store, plans of those that are asked
//!       each slot of the interval:  open ─▶ (its time is over) ─▶ revisions ─▶ verdict
//!       each report, also late:     which slot? ─▶ open, if it is not ─▶ store
//! ```
//!
//! A slot is a check of its own (`bailiwick_store::Slot`), so what is done with checks is done with
//! it: lists, evidence, a verdict and another after late reports. It is open from its begin until
//! everybody has had time, which is before the next one begins; so of each watch at most one is
//! open. What there is in memory is who is asked and which slot it is: reports wait in the store.
//!
//! Slots that went by without this program are there as soon as one report of theirs is.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bailiwick_core::{
    check::{Check, CheckId},
    report::RoundId,
    time::Timestamp,
    vantage::VantageId,
};
use bailiwick_rpc::agent::{PlanItem, Standing, plan_item};
use bailiwick_store::{Audit, Error, NewWatch, Slot, Watch, WatchId};
use bailiwick_wire::{proto::report::v1 as pb, report, slot};
use prost::Message as _;
use tokio::time::MissedTickBehavior;
use tonic::Status;

use crate::{
    Shared,
    choosing::Chosen,
    clock,
    rounds::{GRACE, LATENESS, REMEMBERED},
};

/// How long agents go on without hearing of a watch again, if nothing else is said.
pub const PLAN_AHEAD: Duration = Duration::from_hours(24);
/// Watches at once.
pub(crate) const MOST: usize = 1_000;
/// The longest interval. A slot has to be over long before its reports are forgotten.
pub(crate) const LONGEST: Duration = Duration::from_hours(24);
/// The shortest interval, and of how much each vantage point makes it longer: a round costs a few
/// hundred packets from each, and a parent's servers get those of all (limit B13).
const SHORTEST: Duration = Duration::from_mins(1);
const FOR_EACH: Duration = Duration::from_millis(7_500);
/// The shortest in a laboratory, and where [`Known::deadline`] still is within the slot.
const SHORTEST_IN_LAB: Duration = Duration::from_secs(10);
/// The longest that a round may take (limit B8).
const ROUND: Duration = Duration::from_secs(15);
/// The checks of a slot begin within this part of it, and take at most that part.
const SPREAD: u32 = 5;
const WORK: u32 = 2;
/// How often is looked for what is due, and for rounds that were left open.
const LOOK: Duration = Duration::from_millis(500);
const SWEEP: Duration = Duration::from_mins(1);
/// An agent that has much to do begins a check so many slots late.
const BEHIND: u64 = 64;
/// Slots that are written at once.
const AT_ONCE: usize = 64;
/// Rounds that may wait for a verdict before agents have to wait with late reports.
const CROWD: usize = 65_536;

/// A watch with what is needed again and again.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) watch: Watch,
    /// From the begin of a slot until everybody has had time.
    open: Duration,
}

/// Which slot of a watch is to be opened or closed next.
#[derive(Debug)]
struct Progress {
    known: Arc<Known>,
    /// The slot that was opened last.
    opened: u64,
    /// Whether that has had its time.
    closed: bool,
}

/// The watches that were not removed.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    live: Mutex<BTreeMap<WatchId, Progress>>,
    /// Slots that are in the store.
    there: Mutex<(HashSet<CheckId>, VecDeque<CheckId>)>,
    /// So that two who make one at once count each other.
    making: tokio::sync::Mutex<()>,
}

/// What is due.
#[derive(Debug, Default)]
struct Due {
    open: Vec<(Slot, u64)>,
    close: Vec<CheckId>,
    renew: Vec<Arc<Known>>,
}

/// What a report is about that was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum About {
    /// A check that somebody follows, or followed.
    Check(CheckId),
    /// A round of a watch.
    Slot(Slot),
}

impl About {
    pub(crate) fn check(self) -> CheckId {
        match self {
            Self::Check(check) => check,
            Self::Slot(slot) => slot.id,
        }
    }
}

impl Known {
    fn of(watch: Watch) -> Option<Self> {
        let check = pb::Check::decode(watch.check.clone()).ok()?;
        let timeout = report::check(&check).ok()?.timeout;
        Some(Self {
            open: watch.interval / SPREAD + timeout + GRACE,
            watch,
        })
    }

    fn item(&self) -> [u8; 16] {
        self.watch.id.0.to_be_bytes()
    }

    /// The number of the slot in which a moment is.
    fn number(&self, at: Timestamp) -> u64 {
        slot::slot(Duration::from_micros(at.0), self.watch.interval)
    }

    fn slot(&self, number: u64) -> Slot {
        let interval = u64::try_from(self.watch.interval.as_micros()).unwrap_or(u64::MAX);
        let begins = Timestamp(number.saturating_mul(interval));
        Slot {
            id: slot::check(self.item(), number),
            watch: self.watch.id,
            begins,
            deadline: begins.after(self.open),
        }
    }

    /// Returns the slot whose round this is; `None` if the agents were never asked for it, or it
    /// was too long ago. It is looked for around the moment at which the agent began by its own
    /// clock, which has numbered the slots, too.
    fn slot_of(&self, round: RoundId, started: Timestamp, now: Timestamp) -> Option<Slot> {
        let around = self.number(started);
        let candidates = around.saturating_sub(BEHIND)..=around.saturating_add(1);
        let mut latest_first = candidates.rev();
        let number = latest_first.find(|n| slot::round(self.item(), *n) == round)?;
        let slot = self.slot(number);
        let asked_for =
            number >= self.number(self.watch.created) && slot.begins <= self.watch.not_after;
        let in_time = slot.begins.after(LATENESS) >= now && number <= self.number(now) + 1;
        (asked_for && in_time).then_some(slot)
    }
}

impl Watches {
    fn live(&self) -> MutexGuard<'_, BTreeMap<WatchId, Progress>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.live().len()
    }

    fn find(&self, id: WatchId) -> Option<Arc<Known>> {
        self.live().get(&id).map(|one| Arc::clone(&one.known))
    }

    /// Takes a watch. Agents may be in the middle of the slot that is now.
    fn take(&self, known: Known, opened: u64) {
        let progress = Progress {
            opened,
            closed: true,
            known: Arc::new(known),
        };
        self.live().insert(progress.known.watch.id, progress);
    }

    fn due(&self, now: Timestamp, plan_ahead: Duration) -> Due {
        let mut due = Due::default();
        for one in self.live().values_mut() {
            let number = one.known.number(now);
            if number + 1 < one.opened {
                // The clock was ahead and is right again.
                (one.opened, one.closed) = (number, true);
            }
            let open = one.known.slot(one.opened);
            if !one.closed && (now >= open.deadline || number > one.opened) {
                one.closed = true;
                due.close.push(open.id);
            }
            if number > one.opened {
                due.open.push((one.known.slot(number), number));
            }
            // Four times before it is too late, or else the clock was ahead.
            let soon = now.after(plan_ahead - plan_ahead / 4)..now.after(plan_ahead * 2);
            if !soon.contains(&one.known.watch.not_after) {
                due.renew.push(Arc::clone(&one.known));
            }
        }
        due
    }

    fn opened(&self, slots: &[(Slot, u64)]) {
        let mut live = self.live();
        for (slot, number) in slots {
            if let Some(one) = live.get_mut(&slot.watch) {
                (one.opened, one.closed) = (*number, false);
            }
        }
        drop(live);
        slots.iter().for_each(|(slot, _)| self.note(slot.id));
    }

    /// Takes note that a report opened a slot. That in which a watch was made is opened so, and it
    /// is closed as all others.
    fn opened_by_report(&self, slot: &Slot) {
        if let Some(one) = self.live().get_mut(&slot.watch)
            && one.known.slot(one.opened).id == slot.id
        {
            one.closed = false;
        }
    }

    fn renewed(&self, id: WatchId, not_after: Timestamp) {
        if let Some(one) = self.live().get_mut(&id) {
            let known = &one.known;
            let watch = Watch {
                not_after,
                ..known.watch.clone()
            };
            let open = known.open;
            one.known = Arc::new(Known { watch, open });
        }
    }

    /// Remembers that a slot is in the store.
    fn note(&self, id: CheckId) {
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, order) = &mut *there;
        if known.insert(id) {
            order.push_back(id);
        }
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }

    fn is_there(&self, id: CheckId) -> bool {
        let there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        there.0.contains(&id)
    }
}

impl Shared {
    /// Finds out what an agent was asked for that sends this report; `None` if for nothing.
    pub(crate) async fn about(
        &self,
        body: &[u8],
        agent: &VantageId,
    ) -> Result<Option<About>, Error> {
        let Some((check, round)) = report::about(body) else {
            return Ok(None);
        };
        let id = WatchId(check.0);
        let known = match self.watches.find(id) {
            Some(known) => known,
            None if self.rounds.asked(check, agent).await? => {
                return Ok(Some(About::Check(check)));
            }
            // One that was removed: its reports may have been on their way since.
            None => match self.store.watch(id).await?.and_then(Known::of) {
                Some(known) => Arc::new(known),
                None => return Ok(None),
            },
        };
        if !known.watch.asked.contains(agent) {
            return Ok(None);
        }
        let started = report::started(body).unwrap_or_default();
        let slot = known.slot_of(round, started, clock::now());
        Ok(slot.map(About::Slot))
    }

    /// Makes sure that these are checks, before reports about them are kept.
    pub(crate) async fn open_slots(&self, slots: &[Slot]) -> Result<(), Error> {
        let absent = slots.iter().filter(|slot| !self.watches.is_there(slot.id));
        let absent: Vec<Slot> = absent.copied().collect();
        if absent.is_empty() {
            return Ok(());
        }
        if self.revisions.waiting() > CROWD {
            return Err(Error::Busy);
        }
        self.store.open_slots(&absent).await?;
        for slot in &absent {
            self.watches.note(slot.id);
            self.watches.opened_by_report(slot);
        }
        Ok(())
    }

    /// Takes the watches that there were when the program ended.
    pub(crate) async fn resume_watches(&self) -> Result<(), Error> {
        let now = clock::now();
        for watch in self.store.watches().await? {
            let Some(known) = Known::of(watch) else {
                tracing::error!("a watch cannot be read");
                continue;
            };
            // The slot that is now was asked for, whether or not this program was there.
            let before = known.number(now).saturating_sub(1);
            let first = known.number(known.watch.created);
            self.watches.take(known, before.max(first));
        }
        Ok(())
    }

    /// Opens and closes slots and renews plans, for ever.
    pub(crate) async fn attend(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        let mut sweep = tokio::time::interval(SWEEP);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let done = tokio::select! {
                _ = look.tick() => self.attend_once().await,
                _ = sweep.tick() => self.close_left_open().await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "watches cannot be attended to now");
            }
        }
    }

    async fn attend_once(&self) -> Result<(), Error> {
        let now = clock::now();
        let due = self.watches.due(now, self.plan_ahead);
        for check in due.close {
            self.revisions.add_first(check);
        }
        for some in due.open.chunks(AT_ONCE) {
            let slots: Vec<Slot> = some.iter().map(|(slot, _)| *slot).collect();
            self.store.open_slots(&slots).await?;
            self.watches.opened(some);
        }
        for known in due.renew {
            let (id, not_after) = (known.watch.id, now.after(self.plan_ahead));
            match self.store.renew_watch(id, not_after, now).await {
                Ok(()) => {
                    self.watches.renewed(id, not_after);
                    self.sessions.plan_changed(&known.watch.asked);
                }
                // It was removed a moment ago.
                Err(Error::NoSuchWatch { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closes rounds of watches that nobody closed: the program had ended, the watch was removed,
    /// or its report could not be kept.
    async fn close_left_open(&self) -> Result<(), Error> {
        let now = clock::now();
        for record in self.store.open_checks(REMEMBERED).await? {
            if record.watch.is_some() && record.deadline.after(GRACE) < now {
                self.revisions.add(record.id);
            }
        }
        Ok(())
    }

    /// Makes a watch: writes it down, and into the plans of those that are asked.
    pub(crate) async fn watch(
        &self,
        mut check: Check,
        interval: Duration,
        chosen: &Chosen,
        audit: Audit,
    ) -> Result<Watch, Refused> {
        let shortest = match self.lab {
            true => SHORTEST_IN_LAB,
            false => {
                let asked = u32::try_from(chosen.agents.len()).unwrap_or(u32::MAX);
                SHORTEST.max(FOR_EACH.saturating_mul(asked))
            }
        };
        if !(shortest..=LONGEST).contains(&interval) {
            let seconds = (shortest.as_secs_f64().ceil(), LONGEST.as_secs());
            return Err(Refused::Status(Status::invalid_argument(format!(
                "the interval of {} vantage points is {} to {} seconds",
                chosen.agents.len(),
                seconds.0,
                seconds.1
            ))));
        }
        let id = WatchId(rand::random());
        check.id = CheckId(id.0);
        check.timeout = check.timeout.min(ROUND).min(interval / WORK);
        let sent = report::to_check(&check);
        let item = |agent: &VantageId| PlanItem {
            id: id.0.to_be_bytes().to_vec().into(),
            check: Some(sent.clone()),
            when: Some(plan_item::When::Standing(Standing {
                interval_ns: nanoseconds(interval),
                offset_ns: nanoseconds(offset(id, agent, interval / SPREAD)),
            })),
            valid_for_ns: 0,
        };
        let items: BTreeMap<VantageId, _> = chosen
            .agents
            .keys()
            .map(|agent| (agent.clone(), item(agent).encode_to_vec().into()))
            .collect();
        let new = NewWatch {
            id,
            zone: sent.zone.clone(),
            check: sent.encode_to_vec().into(),
            operator: audit.who.clone(),
            created: audit.at,
            interval,
            not_after: audit.at.after(self.plan_ahead),
            items,
        };
        let making = self.watches.making.lock().await;
        if self.watches.count() >= MOST {
            let why = format!("there are {MOST} watches, and that is the most; remove one");
            return Err(Refused::Status(Status::resource_exhausted(why)));
        }
        self.store.create_watch(&new, &audit).await?;
        let watch = Watch {
            id,
            zone: new.zone,
            check: new.check,
            operator: new.operator,
            created: new.created,
            interval,
            not_after: new.not_after,
            removed: None,
            asked: new.items.into_keys().collect(),
        };
        if let Some(known) = Known::of(watch.clone()) {
            let now = known.number(watch.created);
            self.watches.take(known, now);
        }
        drop(making);
        self.sessions.plan_changed(&watch.asked);
        Ok(watch)
    }

    /// Ends a watch.
    pub(crate) async fn unwatch(&self, id: WatchId, audit: &Audit) -> Result<Watch, Error> {
        let found = self.store.watch(id).await?;
        let watch = found.ok_or(Error::NoSuchWatch { id })?;
        self.store.remove_watch(id, audit).await?;
        // What is open ends with it; what is on its way changes the verdict when it is here.
        let ended = self.watches.live().remove(&id);
        if let Some(one) = ended.filter(|one| !one.closed) {
            self.revisions.add_first(one.known.slot(one.opened).id);
        }
        self.sessions.plan_changed(&watch.asked);
        Ok(watch)
    }
}

/// Why a watch is not made.
#[derive(Debug)]
pub(crate) enum Refused {
    Store(Error),
    Status(Status),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Where in a slot an agent begins: spread, so that they do not ask all at once, and always the
/// same.
fn offset(id: WatchId, agent: &VantageId, within: Duration) -> Duration {
    let mut octets = id.0.to_be_bytes().to_vec();
    octets.extend_from_slice(agent.0.as_bytes());
    let hash = report::hash(&octets);
    let number = hash
        .iter()
        .take(4)
        .fold(0_u32, |n, o| n << 8 | u32::from(*o));
    within.mul_f64(f64::from(number) / f64::from(u32::MAX))
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(minutes: u64, seconds: u64) -> Timestamp {
        Timestamp((minutes * 60 + seconds) * 1_000_000)
    }

    /// Made in the middle of slot 100, good until the end of slot 300.
    fn known() -> Known {
        Known {
            watch: Watch {
                id: WatchId(7),
                zone: Vec::new().into(),
                check: Vec::new().into(),
                operator: String::new(),
                created: at(100, 30),
                interval: MINUTE,
                not_after: at(300, 59),
                removed: None,
                asked: Default::default(),
            },
            open: Duration::from_secs(20),
        }
    }

    #[test]
    fn a_report_is_of_the_slot_that_its_round_says() {
        let known = known();
        let day = 24 * 60;
        // slot, when it was measured, now; whether it is taken
        let cases = [
            (200, at(200, 5), at(200, 9), true, "now"),
            (200, at(199, 59), at(200, 9), true, "the timer was early"),
            (
                200,
                at(205, 0),
                at(205, 1),
                true,
                "it had to wait for a place",
            ),
            (
                200,
                at(265, 0),
                at(265, 1),
                false,
                "longer than anybody waits",
            ),
            (200, at(200, 5), at(200 + 7 * day, 0), true, "a week late"),
            (200, at(200, 5), at(201 + 7 * day, 0), false, "later still"),
            (
                100,
                at(100, 40),
                at(100, 50),
                true,
                "the slot in which it was made",
            ),
            (99, at(99, 5), at(100, 40), false, "nobody had asked"),
            (
                201,
                at(201, 0),
                at(200, 9),
                true,
                "a clock that is ahead a little",
            ),
            (202, at(202, 0), at(200, 9), false, "and one that is wrong"),
            (
                300,
                at(300, 5),
                at(310, 0),
                true,
                "the last that was planned",
            ),
            (301, at(301, 5), at(310, 0), false, "one that was not"),
        ];
        for (number, started, now, taken, why) in cases {
            let round = slot::round(known.item(), number);
            let found = known.slot_of(round, started, now);
            assert_eq!(found, taken.then(|| known.slot(number)), "{why}");
        }
        let another = known.slot_of(slot::round([9; 16], 200), at(200, 5), at(200, 9));
        assert_eq!(another, None, "a round of something else");
    }

    #[test]
    fn each_slot_is_opened_and_closed_once_and_one_at_a_time() {
        let watches = Watches::default();
        watches.take(known(), 100);
        let ahead = Duration::from_hours(2);
        let mut happened = Vec::new();
        for second in (100 * 60 + 30)..(104 * 60) {
            let due = watches.due(at(0, second), ahead);
            for check in due.close {
                happened.push((second, "closed", check));
            }
            for (slot, number) in due.open {
                happened.push((second, "opened", slot.id));
                watches.opened(&[(slot, number)]);
            }
        }
        let slot = |number| known().slot(number).id;
        let wanted: Vec<_> = (101..104)
            .flat_map(|n| {
                [
                    (n * 60, "opened", slot(n)),
                    (n * 60 + 20, "closed", slot(n)),
                ]
            })
            .collect();
        assert_eq!(happened, wanted);

        // An hour forth and back: it goes on.
        let ahead_of_time = watches.due(at(160, 0), ahead);
        watches.opened(&ahead_of_time.open);
        assert!(watches.due(at(104, 0), ahead).open.is_empty());
        let next = watches.due(at(105, 0), ahead);
        assert_eq!(next.open[0].0.id, slot(105));
    }

    #[test]
    fn the_slot_in_which_a_watch_was_made_is_closed_if_somebody_reported() {
        for (reported, wanted) in [(99, vec![]), (100, vec![known().slot(100).id])] {
            let watches = Watches::default();
            watches.take(known(), 100);
            watches.opened_by_report(&known().slot(reported));
            let ahead = Duration::from_hours(2);
            assert_eq!(watches.due(at(100, 50), ahead).close, wanted);
            assert_eq!(watches.due(at(100, 51), ahead).close, [], "once");
        }
    }

    #[test]
    fn a_plan_is_renewed_long_before_it_ends() {
        let watches = Watches::default();
        watches.take(known(), 100);
        let ahead = Duration::from_mins(100);
        let renewed = |minute| !watches.due(at(minute, 0), ahead).renew.is_empty();
        assert!(!renewed(225), "for 75 minutes it is good");
        assert!(renewed(227));
        assert!(renewed(400), "also when it has ended");
        watches.renewed(WatchId(7), at(327, 0));
        assert!(!renewed(228));
        assert!(renewed(100), "it was renewed by a clock that was ahead");
    }

    #[test]
    fn agents_do_not_begin_at_once() {
        let within = Duration::from_secs(12);
        let offsets: HashSet<Duration> = (0..50)
            .map(|n| offset(WatchId(7), &VantageId(format!("agent-{n}")), within))
            .collect();
        assert_eq!(offsets.len(), 50);
        assert!(offsets.iter().all(|offset| *offset <= within));
        let early = offsets.iter().filter(|offset| **offset < within / 2);
        assert!((10..40).contains(&early.count()));
    }
}
