//! What is to be measured, as the coordinator said last.
//!
//! A plan is a value: it takes what changed, forgets what is over, and has a form in octets so that
//! a program that starts without its coordinator goes on. Moments are told.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use bailiwick_core::{check::Check, report::RoundId, time::Timestamp};
use bailiwick_rpc::agent::{PlanDelta, PlanItem, plan_item::When as PbWhen};
use bailiwick_wire::{report, slot};
use bytes::Bytes;
use prost::Message as _;
use tokio::time::Instant;

use crate::clock;

/// The most items of a plan, and the most octets of all together.
const ITEMS: usize = 16 * 1024;
const OCTETS: usize = 32 << 20;
/// The most ended items that are remembered.
const ENDED: usize = 16 * 1024;
/// How long an item is good for if nobody says.
const GOOD_FOR: Duration = Duration::from_secs(86_400);
/// And how long at most.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// How often the program may begin anew while something is done that somebody waits for. Whatever
/// ends it so often would end it for ever.
const TRIES: u32 = 10;
/// Version of the form in octets.
const VERSION: u32 = 1;

/// The identity of an item.
pub(crate) type ItemId = [u8; 16];

/// When an item is to be worked on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum When {
    /// Now, for somebody who waits.
    Once(RoundId),
    /// Again and again.
    Standing {
        interval: Duration,
        /// Where in the interval.
        offset: Duration,
    },
}

/// One thing to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) when: When,
    /// Nothing is begun after this.
    pub(crate) until: Instant,
    /// A `PlanItem`: a few hundred octets, of which the check is most.
    octets: Bytes,
    /// When it came, by this machine's clock, and how long it was good for then.
    arrived: Timestamp,
    good_for: Duration,
    /// How often the program began anew with it.
    tries: u32,
}

/// Why an item cannot be worked on. The rest of the plan can.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ItemError {
    #[error("an item has an identity of {0} octets instead of 16")]
    Identity(usize),
    #[error("an item does not say when; a later version of this program may understand it")]
    When,
    #[error("an item has an interval of {0} ns; the shortest is {min:?}", min = slot::SHORTEST)]
    Interval(i64),
    #[error("an item has no check")]
    NoCheck,
    #[error("an item has a check that is not understood ({0}); use a newer program")]
    Check(#[from] report::DecodeError),
    #[error("the plan is full: {ITEMS} items, {OCTETS} octets")]
    Full,
}

/// What is to be measured.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    revision: u64,
    items: BTreeMap<ItemId, Item>,
    /// Items that were done once and for all, until they are no more to be expected.
    ended: BTreeMap<ItemId, (Timestamp, Duration)>,
    octets: usize,
}

impl Item {
    fn read(
        item: &PlanItem,
        arrived: Timestamp,
        left: Duration,
        now: Instant,
    ) -> Result<Self, ItemError> {
        let when = match &item.when {
            None => return Err(ItemError::When),
            Some(PbWhen::Once(once)) => When::Once(RoundId(once.round)),
            Some(PbWhen::Standing(standing)) => When::Standing {
                interval: u64::try_from(standing.interval_ns)
                    .ok()
                    .map(Duration::from_nanos)
                    .filter(|interval| *interval >= slot::SHORTEST)
                    .ok_or(ItemError::Interval(standing.interval_ns))?,
                offset: Duration::from_nanos(standing.offset_ns.try_into().unwrap_or(0)),
            },
        };
        report::check(item.check.as_ref().ok_or(ItemError::NoCheck)?)?;
        Ok(Self {
            when,
            until: now + left,
            octets: item.encode_to_vec().into(),
            arrived,
            good_for: good_for(item),
            tries: 0,
        })
    }

    /// Returns what is to be found out. It could be read when the item came.
    pub(crate) fn check(&self) -> Option<Check> {
        let item = PlanItem::decode(self.octets.clone()).ok()?;
        report::check(item.check.as_ref()?).ok()
    }
}

fn good_for(item: &PlanItem) -> Duration {
    match u64::try_from(item.valid_for_ns) {
        Ok(0) | Err(_) => GOOD_FOR,
        Ok(nanoseconds) => Duration::from_nanos(nanoseconds).min(LONGEST),
    }
}

fn identity(octets: &[u8]) -> Result<ItemId, ItemError> {
    octets
        .try_into()
        .map_err(|_| ItemError::Identity(octets.len()))
}

impl Plan {
    /// Returns the revision that the coordinator gave it; 0 for none.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the items, in the order of their identities.
    pub(crate) fn items(&self) -> impl Iterator<Item = (&ItemId, &Item)> {
        self.items.iter()
    }

    pub(crate) fn get(&self, id: &ItemId) -> Option<&Item> {
        self.items.get(id)
    }

    /// Takes what changed. Returns what is wrong with items that were left out.
    pub(crate) fn apply(
        &mut self,
        delta: &PlanDelta,
        arrived: Timestamp,
        now: Instant,
    ) -> Vec<ItemError> {
        let mut wrong = Vec::new();
        if delta.whole {
            let named: BTreeSet<&[u8]> = delta.items.iter().map(|item| &item.id[..]).collect();
            let gone = self.items.keys().filter(|id| !named.contains(&id[..]));
            for id in gone.copied().collect::<Vec<_>>() {
                self.remove(&id);
            }
        }
        for id in &delta.removed {
            match identity(id) {
                Ok(id) => self.remove(&id),
                Err(error) => wrong.push(error),
            }
        }
        for item in &delta.items {
            if let Err(error) = self.add(item, arrived, good_for(item), now) {
                wrong.push(error);
            }
        }
        self.revision = delta.revision;
        wrong
    }

    fn add(
        &mut self,
        item: &PlanItem,
        arrived: Timestamp,
        left: Duration,
        now: Instant,
    ) -> Result<(), ItemError> {
        let id = identity(&item.id)?;
        if self.ended.contains_key(&id) {
            return Ok(());
        }
        let mut item = Item::read(item, arrived, left, now)?;
        item.tries = self.items.get(&id).map_or(0, |known| known.tries);
        self.remove(&id);
        if self.items.len() >= ITEMS || self.octets + item.octets.len() > OCTETS {
            return Err(ItemError::Full);
        }
        self.octets += item.octets.len();
        self.items.insert(id, item);
        Ok(())
    }

    fn remove(&mut self, id: &ItemId) {
        if let Some(item) = self.items.remove(id) {
            self.octets -= item.octets.len();
        }
    }

    /// Remembers that an item is done once and for all.
    pub(crate) fn end(&mut self, id: &ItemId) {
        if let Entry::Occupied(entry) = self.items.entry(*id) {
            let item = entry.remove();
            self.octets -= item.octets.len();
            self.ended.insert(*id, (item.arrived, item.good_for));
        }
        while self.ended.len() > ENDED {
            let first = self.ended.iter().min_by_key(|(_, (arrived, _))| *arrived);
            let Some(first) = first.map(|(id, _)| *id) else {
                break;
            };
            self.ended.remove(&first);
        }
    }

    /// Counts a start of the program with an item that was not done. After too many it is ended.
    fn try_again(&mut self, id: &[u8], tries: u32) {
        let Some((id, item)) = identity(id)
            .ok()
            .and_then(|id| Some((id, self.items.get_mut(&id)?)))
        else {
            return;
        };
        if matches!(item.when, When::Once(_)) {
            item.tries = tries;
            if tries > TRIES {
                tracing::error!("a check was begun {TRIES} times and never ended; it is given up");
                self.end(&id);
            }
        }
    }

    /// Forgets what is over. Returns whether that was anything.
    pub(crate) fn expire(&mut self, clock: Timestamp, now: Instant) -> bool {
        let before = self.items.len() + self.ended.len();
        let octets = &mut self.octets;
        self.items.retain(|_, item| {
            let stays = item.until > now;
            if !stays {
                *octets -= item.octets.len();
            }
            stays
        });
        self.ended
            .retain(|_, (arrived, good_for)| clock::since(*arrived, clock) < *good_for);
        before != self.items.len() + self.ended.len()
    }

    /// Returns the plan in octets.
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        Written {
            version: VERSION,
            revision: self.revision,
            items: self
                .items
                .values()
                .map(|item| WrittenItem {
                    item: item.octets.clone(),
                    arrived_us: item.arrived.0,
                    tries: item.tries,
                })
                .collect(),
            ended: self
                .ended
                .iter()
                .map(|(id, (arrived, good_for))| WrittenEnd {
                    id: Bytes::copy_from_slice(id),
                    arrived_us: arrived.0,
                    good_for_ns: u64::try_from(good_for.as_nanos()).unwrap_or(u64::MAX),
                })
                .collect(),
        }
        .encode_to_vec()
    }

    /// Reads a plan. `None` if these octets are none; items that are not understood or over are
    /// left out.
    ///
    /// How long an item is still good for is counted by the clock of this machine, and if that was
    /// set back, it is never longer than when it came.
    pub(crate) fn of_octets(octets: &[u8], clock: Timestamp, now: Instant) -> Option<Self> {
        let written = Written::decode(octets).ok()?;
        if written.version != VERSION {
            return None;
        }
        let mut plan = Self {
            revision: written.revision,
            ..Self::default()
        };
        for end in written.ended.into_iter().take(ENDED) {
            let good_for = Duration::from_nanos(end.good_for_ns).min(LONGEST);
            if let Ok(id) = identity(&end.id) {
                plan.ended.insert(id, (Timestamp(end.arrived_us), good_for));
            }
        }
        for written in written.items {
            let arrived = Timestamp(written.arrived_us);
            let Ok(item) = PlanItem::decode(written.item) else {
                continue;
            };
            let left = good_for(&item).saturating_sub(clock::since(arrived, clock));
            if !left.is_zero() {
                // What could be read once can be read again, or another version wrote it.
                let _ = plan.add(&item, arrived, left, now);
                plan.try_again(&item.id, written.tries + 1);
            }
        }
        plan.expire(clock, now);
        Some(plan)
    }
}

/// The plan file.
#[derive(prost::Message)]
struct Written {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(message, repeated, tag = "3")]
    items: Vec<WrittenItem>,
    #[prost(message, repeated, tag = "4")]
    ended: Vec<WrittenEnd>,
}

#[derive(prost::Message)]
struct WrittenItem {
    /// A `bailiwick.agent.v1.PlanItem`.
    #[prost(bytes = "bytes", tag = "1")]
    item: Bytes,
    #[prost(uint64, tag = "2")]
    arrived_us: u64,
    #[prost(uint32, tag = "3")]
    tries: u32,
}

#[derive(prost::Message)]
struct WrittenEnd {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(uint64, tag = "2")]
    arrived_us: u64,
    #[prost(uint64, tag = "3")]
    good_for_ns: u64,
}

#[cfg(test)]
mod tests {
    use bailiwick_rpc::agent::{Once, Standing};
    use bailiwick_wire::proto::report::v1 as pb;

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn item(number: u8) -> PlanItem {
        PlanItem {
            id: vec![number; 16].into(),
            check: Some(pb::Check {
                id: vec![number; 16].into(),
                zone: vec![4, b't', b'e', b's', b't', 0].into(),
                stub: 1,
                ..pb::Check::default()
            }),
            when: Some(PbWhen::Once(Once { round: 7 })),
            valid_for_ns: HOUR,
        }
    }

    fn standing(number: u8, interval_ns: i64) -> PlanItem {
        PlanItem {
            when: Some(PbWhen::Standing(Standing {
                interval_ns,
                offset_ns: 5,
            })),
            ..item(number)
        }
    }

    fn delta(revision: u64, whole: bool, items: Vec<PlanItem>, removed: &[u8]) -> PlanDelta {
        PlanDelta {
            revision,
            whole,
            items,
            removed: removed.iter().map(|n| vec![*n; 16].into()).collect(),
        }
    }

    fn at(hours: u64) -> Timestamp {
        Timestamp(1_000_000_000_000 + hours * 3_600_000_000)
    }

    fn numbers(plan: &Plan) -> Vec<u8> {
        plan.items().map(|(id, _)| id[0]).collect()
    }

    #[test]
    fn changes_are_taken_one_after_the_other() {
        let now = Instant::now();
        let mut plan = Plan::default();
        let steps: [(PlanDelta, &[u8], &str); 6] = [
            (delta(1, true, vec![item(1), item(2)], &[]), &[1, 2], "all"),
            (delta(2, false, vec![item(3)], &[]), &[1, 2, 3], "one more"),
            (
                delta(3, false, vec![], &[2, 9]),
                &[1, 3],
                "one less, one unknown",
            ),
            (
                delta(4, false, vec![standing(1, HOUR)], &[]),
                &[1, 3],
                "another instead",
            ),
            (delta(5, true, vec![item(4)], &[]), &[4], "these alone"),
            (delta(6, true, vec![], &[]), &[], "nothing"),
        ];
        for (delta, wanted, why) in steps {
            assert_eq!(plan.apply(&delta, at(0), now), [], "{why}");
            assert_eq!(numbers(&plan), wanted, "{why}");
            assert_eq!(plan.revision(), delta.revision);
        }
        assert_eq!(plan.octets, 0, "nothing is counted twice");
    }

    #[test]
    fn an_item_that_is_wrong_is_left_out_and_told() {
        let mut nameless = item(1);
        nameless.id = vec![1; 15].into();
        let mut never = item(2);
        never.when = None;
        let mut unchecked = item(3);
        unchecked.check = None;
        let mut strange = item(4);
        strange.check.as_mut().unwrap().stub = 99;
        let wrong = [
            (nameless, "15 octets"),
            (never, "when"),
            (unchecked, "no check"),
            (strange, "newer program"),
            (standing(5, 999_999_999), "interval"),
            (standing(6, -1), "interval"),
        ];
        for (item_wrong, wanted) in wrong {
            let mut plan = Plan::default();
            let told = plan.apply(
                &delta(1, true, vec![item_wrong, item(9)], &[]),
                at(0),
                Instant::now(),
            );
            assert!(told[0].to_string().contains(wanted), "{told:?}");
            assert_eq!(numbers(&plan), [9], "{wanted}");
        }
    }

    #[test]
    fn what_was_done_once_is_not_done_again() {
        let now = Instant::now();
        let mut plan = Plan::default();
        plan.apply(&delta(1, true, vec![item(1), item(2)], &[]), at(0), now);
        plan.end(&[1; 16]);
        assert_eq!(numbers(&plan), [2]);
        plan.apply(&delta(2, true, vec![item(1), item(2)], &[]), at(0), now);
        assert_eq!(numbers(&plan), [2], "the coordinator did not know yet");
        let mut plan = Plan::of_octets(&plan.to_octets(), at(0), now).unwrap();
        plan.apply(&delta(3, true, vec![item(1), item(2)], &[]), at(0), now);
        assert_eq!(numbers(&plan), [2], "nor after a restart");
        assert!(plan.expire(at(2), now), "but not for ever");
        assert!(plan.ended.is_empty());
    }

    #[test]
    fn a_plan_outlives_the_program() {
        let now = Instant::now();
        let mut plan = Plan::default();
        let items = vec![item(1), standing(2, HOUR), standing(3, 2 * HOUR)];
        plan.apply(&delta(7, true, items, &[]), at(0), now);
        let octets = plan.to_octets();
        let minute = Duration::from_secs(60);
        let cases: [(u64, &[u8], u64, &str); 3] = [
            (0, &[1, 2, 3], 60, "at once"),
            (10, &[], 0, "long after its end"),
            // The clock was set back: not longer than when it came.
            (u64::MAX, &[1, 2, 3], 60, "ten hours before it came"),
        ];
        for (hours, wanted, minutes, why) in cases {
            let clock = match hours {
                u64::MAX => Timestamp(at(0).0 - 36_000_000_000),
                hours => at(hours),
            };
            let read = Plan::of_octets(&octets, clock, now).unwrap();
            assert_eq!(numbers(&read), wanted, "{why}");
            assert_eq!(read.revision(), 7);
            for (_, item) in read.items() {
                assert_eq!(item.until - now, minute * u32::try_from(minutes).unwrap());
                assert!(item.check().is_some());
            }
        }
        for (wrong, why) in [(&b"\xff\xff"[..], "no plan"), (&[], "of no version")] {
            assert!(Plan::of_octets(wrong, at(0), now).is_none(), "{why}");
        }
    }

    #[test]
    fn what_ends_the_program_is_not_tried_for_ever() {
        let now = Instant::now();
        let mut plan = Plan::default();
        plan.apply(
            &delta(1, true, vec![item(1), standing(2, HOUR)], &[]),
            at(0),
            now,
        );
        for _ in 0..TRIES {
            plan = Plan::of_octets(&plan.to_octets(), at(0), now).unwrap();
            // Being told of it again changes nothing.
            plan.apply(
                &delta(1, true, vec![item(1), standing(2, HOUR)], &[]),
                at(0),
                now,
            );
            assert_eq!(numbers(&plan), [1, 2]);
        }
        plan = Plan::of_octets(&plan.to_octets(), at(0), now).unwrap();
        assert_eq!(numbers(&plan), [2]);
    }

    #[test]
    fn a_plan_has_an_end() {
        let now = Instant::now();
        let mut plan = Plan::default();
        let items = (0..ITEMS + 3).map(|number| PlanItem {
            id: (number as u128).to_be_bytes().to_vec().into(),
            ..item(1)
        });
        let told = plan.apply(&delta(1, true, items.collect(), &[]), at(0), now);
        assert_eq!(told.len(), 3);
        assert!(told.iter().all(|error| *error == ItemError::Full));
        let ids: Vec<ItemId> = plan.items().map(|(id, _)| *id).collect();
        for id in &ids {
            plan.end(id);
        }
        assert!(plan.ended.len() <= ENDED);
    }
}
