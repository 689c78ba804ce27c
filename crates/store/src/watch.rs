//! Watches: checks that are asked again and again, and the rounds of theirs.
//!
//! A watch is one item in the plans of the agents that were chosen when it was made. Time since
//! 1970 is cut into slots as long as its interval, and each slot is a check of its own: it has
//! reports, a verdict and a place in the lists like one that somebody asked for, but no item in a
//! plan, because that of the watch stands for all.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bailiwick_core::{check::CheckId, time::Timestamp, vantage::VantageId};
use bytes::Bytes;

use crate::ItemId;

/// Which watch: 128 random bits. It is the identity of its item in the plans, too.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct WatchId(pub u128);

impl From<WatchId> for ItemId {
    fn from(watch: WatchId) -> Self {
        Self(watch.0)
    }
}

/// A watch that begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewWatch {
    /// Identity.
    pub id: WatchId,
    /// The zone: uncompressed wire octets in lower case.
    pub zone: Bytes,
    /// The check in octets.
    pub check: Bytes,
    /// Who wants to know.
    pub operator: String,
    /// Now.
    pub created: Timestamp,
    /// From one round to the next.
    pub interval: Duration,
    /// Until when agents go on without hearing of it again.
    pub not_after: Timestamp,
    /// Who is asked, each with the item for its plan in octets; its identity is the watch's.
    pub items: BTreeMap<VantageId, Bytes>,
}

/// A watch, as it is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Watch {
    /// Identity.
    pub id: WatchId,
    /// The zone: uncompressed wire octets in lower case.
    pub zone: Bytes,
    /// The check in octets.
    pub check: Bytes,
    /// Who wants to know.
    pub operator: String,
    /// When it began.
    pub created: Timestamp,
    /// From one round to the next.
    pub interval: Duration,
    /// Until when agents go on without hearing of it again.
    pub not_after: Timestamp,
    /// When it was removed. Its reports may still be on their way.
    pub removed: Option<Timestamp>,
    /// Who is asked.
    pub asked: BTreeSet<VantageId>,
}

/// A round of a watch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot {
    /// Its identity as a check.
    pub id: CheckId,
    /// Of which watch.
    pub watch: WatchId,
    /// When it begins.
    pub begins: Timestamp,
    /// When it closes.
    pub deadline: Timestamp,
}
