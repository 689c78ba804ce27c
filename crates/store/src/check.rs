//! Checks, and what was judged.

use std::collections::BTreeSet;

use bailiwick_core::{check::CheckId, time::Timestamp, vantage::VantageId};
use bytes::Bytes;

use crate::WatchId;

/// A check that begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewCheck {
    /// Identity.
    pub id: CheckId,
    /// The zone: uncompressed wire octets in lower case.
    pub zone: Bytes,
    /// The check in octets.
    pub check: Bytes,
    /// Who wants to know.
    pub operator: String,
    /// Now.
    pub created: Timestamp,
    /// When the round closes at the latest. The item in the plans is valid until then.
    pub deadline: Timestamp,
    /// Who is asked.
    pub asked: BTreeSet<VantageId>,
    /// The item for the plans of those that are asked, in octets; its identity is the check's.
    pub item: Bytes,
}

/// A verdict, and what has to be known of it without reading it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judgement {
    /// The name of the state, such as `PUBLISHING`.
    pub state: String,
    /// The exit code that goes with it.
    pub exit_code: u8,
    /// What it says in one line.
    pub headline: String,
    /// The version of the rules.
    pub policy: u32,
    /// When.
    pub judged: Timestamp,
    /// The verdict: `bailiwick.check/1`.
    pub verdict: Bytes,
    /// The places of all that were asked, in octets, as they were known when it was judged.
    pub places: Bytes,
}

impl Judgement {
    /// Returns whether replacing one by the other would change nothing that matters.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        (&self.state, self.policy, &self.verdict) == (&other.state, other.policy, &other.verdict)
    }

    pub(crate) fn octets(&self) -> usize {
        self.verdict.len() + self.places.len()
    }
}

/// A check, as it is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CheckRecord {
    /// Identity.
    pub id: CheckId,
    /// The zone: uncompressed wire octets in lower case.
    pub zone: Bytes,
    /// The check in octets.
    pub check: Bytes,
    /// Who wanted to know.
    pub operator: String,
    /// When it began.
    pub created: Timestamp,
    /// When the round closes at the latest.
    pub deadline: Timestamp,
    /// Who was asked.
    pub asked: BTreeSet<VantageId>,
    /// The latest verdict; `None` while the round is open.
    pub judgement: Option<Judgement>,
    /// How often the verdict was revised.
    pub revisions: u64,
    /// Of which watch it is a round, if of one.
    pub watch: Option<WatchId>,
}

/// A check in a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CheckSummary {
    /// Identity.
    pub id: CheckId,
    /// The zone: uncompressed wire octets in lower case.
    pub zone: Bytes,
    /// When it began.
    pub created: Timestamp,
    /// Who wanted to know.
    pub operator: String,
    /// What came of it; `None` while the round is open.
    pub outcome: Option<Outcome>,
    /// How many vantage points were asked.
    pub asked: u64,
    /// How many vantage points reported.
    pub reported: u64,
    /// How often the verdict was revised.
    pub revisions: u64,
}

/// A verdict in a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// The name of the state.
    pub state: String,
    /// The exit code that goes with it.
    pub exit_code: u8,
    /// What it says in one line.
    pub headline: String,
}
