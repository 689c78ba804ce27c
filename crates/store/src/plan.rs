//! Plans: what each agent is to do.
//!
//! An agent holds its plan and follows it by itself; it is told only what changed since the
//! revision that it holds. Revisions of one agent's plan have no gaps and become visible in
//! their order, so a delta never misses a change that was written meanwhile.

use bailiwick_core::{check::CheckId, time::Timestamp};
use bytes::Bytes;

/// Which item: 128 random bits, or the identity of the check that it is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct ItemId(pub u128);

impl From<CheckId> for ItemId {
    fn from(check: CheckId) -> Self {
        Self(check.0)
    }
}

/// One thing to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanItem {
    /// Identity.
    pub id: ItemId,
    /// What to do, in octets.
    pub spec: Bytes,
    /// Until when. The agent forgets it then by itself, and so does the store.
    pub not_after: Timestamp,
}

/// What changed in a plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanDelta {
    /// The revision that the agent holds after it.
    pub revision: u64,
    /// Whether items that are not named here are to be forgotten.
    pub whole: bool,
    /// New and changed items, in the order of their changes.
    pub items: Vec<PlanItem>,
    /// Items that are to be forgotten, in the order in which they were taken out.
    pub removed: Vec<ItemId>,
}
