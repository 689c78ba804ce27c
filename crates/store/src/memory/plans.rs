//! Plans, and their revisions.

use std::collections::BTreeMap;

use bailiwick_core::{time::Timestamp, vantage::VantageId};

use super::World;
use crate::{Error, ItemId, PlanDelta, PlanItem};

/// The plan of one agent.
#[derive(Default)]
pub(super) struct Plan {
    revision: u64,
    items: BTreeMap<ItemId, Row>,
}

/// An item, or what is left of one that was taken out: others may not have heard of it yet.
struct Row {
    revision: u64,
    removed: bool,
    item: PlanItem,
}

impl Plan {
    pub(super) fn put(&mut self, item: &PlanItem, at: Timestamp) -> u64 {
        self.forget(at);
        self.revision += 1;
        let row = Row {
            revision: self.revision,
            removed: false,
            item: item.clone(),
        };
        self.items.insert(item.id, row);
        self.revision
    }

    pub(super) fn remove(&mut self, item: ItemId, at: Timestamp) -> u64 {
        self.forget(at);
        if let Some(row) = self.items.get_mut(&item).filter(|row| !row.removed) {
            self.revision += 1;
            row.revision = self.revision;
            row.removed = true;
        }
        self.revision
    }

    /// Agents forget items by themselves when their time is over, so nobody has to be told.
    fn forget(&mut self, at: Timestamp) {
        self.items.retain(|_, row| row.item.not_after > at);
    }

    fn since(&self, revision: u64, at: Timestamp) -> PlanDelta {
        let whole = revision == 0 || revision > self.revision;
        let since = if whole { 0 } else { revision };
        let valid = |row: &&Row| row.revision > since && row.item.not_after > at;
        let mut rows: Vec<&Row> = self.items.values().filter(valid).collect();
        rows.sort_by_key(|row| row.revision);
        let (removed, live): (Vec<&Row>, Vec<&Row>) = rows.into_iter().partition(|r| r.removed);
        let removed = if whole { Vec::new() } else { removed };
        PlanDelta {
            revision: self.revision,
            whole,
            items: live.into_iter().map(|row| row.item.clone()).collect(),
            removed: removed.into_iter().map(|row| row.item.id).collect(),
        }
    }
}

impl World {
    pub(super) fn put_plan_item(
        &mut self,
        name: &VantageId,
        item: &PlanItem,
        at: Timestamp,
    ) -> Result<u64, Error> {
        Ok(self.row(name)?.plan.put(item, at))
    }

    pub(super) fn remove_plan_item(
        &mut self,
        name: &VantageId,
        item: ItemId,
        at: Timestamp,
    ) -> Result<u64, Error> {
        Ok(self.row(name)?.plan.remove(item, at))
    }

    pub(super) fn plan_since(
        &mut self,
        name: &VantageId,
        revision: u64,
        at: Timestamp,
    ) -> Result<PlanDelta, Error> {
        Ok(self.row(name)?.plan.since(revision, at))
    }
}
