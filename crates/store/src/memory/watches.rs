//! Watches, and their rounds.

use bailiwick_core::{check::CheckId, time::Timestamp, vantage::VantageId};
use bytes::Bytes;

use super::{World, checks::CheckRow};
use crate::{Audit, Error, NewCheck, NewWatch, PlanItem, Slot, Watch, WatchId};

/// A watch.
pub(super) struct WatchRow {
    watch: NewWatch,
    removed: Option<Timestamp>,
}

impl World {
    pub(super) fn create_watch(&mut self, watch: &NewWatch, audit: &Audit) -> Result<(), Error> {
        if self.watches.contains_key(&watch.id) {
            return Err(Error::Exists { what: "watch" });
        }
        for name in watch.items.keys() {
            self.row(name)?;
        }
        self.plan_watch(watch, watch.created)?;
        let row = WatchRow {
            watch: watch.clone(),
            removed: None,
        };
        self.watches.insert(watch.id, row);
        self.note(audit);
        Ok(())
    }

    fn plan_watch(&mut self, watch: &NewWatch, at: Timestamp) -> Result<(), Error> {
        for (name, spec) in &watch.items {
            let item = PlanItem {
                id: watch.id.into(),
                spec: spec.clone(),
                not_after: watch.not_after,
            };
            self.row(name)?.plan.put(&item, at);
        }
        Ok(())
    }

    /// The watch, if it was not removed.
    fn live(&mut self, id: WatchId) -> Result<&mut WatchRow, Error> {
        let row = self.watches.get_mut(&id);
        let row = row.filter(|row| row.removed.is_none());
        row.ok_or(Error::NoSuchWatch { id })
    }

    pub(super) fn renew_watch(
        &mut self,
        id: WatchId,
        not_after: Timestamp,
        at: Timestamp,
    ) -> Result<(), Error> {
        let row = self.live(id)?;
        row.watch.not_after = not_after;
        let watch = row.watch.clone();
        self.plan_watch(&watch, at)
    }

    pub(super) fn remove_watch(&mut self, id: WatchId, audit: &Audit) -> Result<(), Error> {
        let row = self.live(id)?;
        row.removed = Some(audit.at);
        let asked: Vec<VantageId> = row.watch.items.keys().cloned().collect();
        for name in asked {
            self.row(&name)?.plan.remove(id.into(), audit.at);
        }
        self.note(audit);
        Ok(())
    }

    pub(super) fn watch(&self, id: WatchId) -> Option<Watch> {
        self.watches.get(&id).map(record)
    }

    pub(super) fn list_watches(&self) -> Vec<Watch> {
        let live = |row: &&WatchRow| row.removed.is_none();
        let mut watches: Vec<Watch> = self.watches.values().filter(live).map(record).collect();
        watches.sort_by_key(|watch| (watch.created, watch.id));
        watches
    }

    pub(super) fn open_slots(&mut self, slots: &[Slot]) -> Result<(), Error> {
        let unknown = |slot: &&Slot| !self.watches.contains_key(&slot.watch);
        if let Some(slot) = slots.iter().find(unknown) {
            return Err(Error::NoSuchWatch { id: slot.watch });
        }
        for slot in slots {
            let Some(row) = self.watches.get(&slot.watch) else {
                continue;
            };
            let watch = &row.watch;
            let check = NewCheck {
                id: slot.id,
                zone: watch.zone.clone(),
                check: watch.check.clone(),
                operator: watch.operator.clone(),
                created: slot.begins,
                deadline: slot.deadline,
                asked: watch.items.keys().cloned().collect(),
                item: Bytes::new(),
            };
            let opened = CheckRow::open(check, Some(slot.watch));
            self.checks.entry(slot.id).or_insert(opened);
        }
        Ok(())
    }

    pub(super) fn forget_slots(&mut self, before: Timestamp, limit: usize) -> usize {
        let begun = |(id, row): (&CheckId, &CheckRow)| Some((row.slot_began()?, *id));
        let mut old: Vec<(Timestamp, CheckId)> = self
            .checks
            .iter()
            .filter_map(begun)
            .filter(|(began, _)| *began < before)
            .collect();
        old.sort();
        old.truncate(limit);
        for (_, id) in &old {
            if let Some(row) = self.checks.remove(id) {
                self.octets -= row.octets();
            }
        }
        if old.len() < limit {
            self.watches
                .retain(|_, row| row.removed.is_none_or(|removed| removed >= before));
        }
        old.len()
    }
}

fn record(row: &WatchRow) -> Watch {
    let watch = row.watch.clone();
    Watch {
        id: watch.id,
        zone: watch.zone,
        check: watch.check,
        operator: watch.operator,
        created: watch.created,
        interval: watch.interval,
        not_after: watch.not_after,
        removed: row.removed,
        asked: watch.items.into_keys().collect(),
    }
}
