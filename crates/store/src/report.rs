//! Reports on their way into the store and out of it.

use bailiwick_core::{
    check::CheckId,
    report::{Lane, ReportId},
    time::Timestamp,
    vantage::VantageId,
};
use bytes::Bytes;

use crate::Error;

/// The greatest sequence number: databases count with signs.
pub(crate) const MAX_SEQ: u64 = i64::MAX as u64;

/// How many marks of an agent are kept. An agent has one spool at a time, and a new one only
/// when it lost the old; one that makes up epochs shall not fill tables with them.
pub(crate) const MAX_SPOOLS: i64 = 64;

/// What an agent sends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Incoming {
    /// A report.
    Report(NewReport),
    /// Reports that are lost.
    Gap(Gap),
}

/// A report to be kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewReport {
    /// Its identity among those of the agent.
    pub id: ReportId,
    /// The check that it is about, if somebody asked for one.
    pub check: Option<CheckId>,
    /// Its body, as it came.
    pub body: Bytes,
    /// The answers that the body refers to.
    pub answers: Vec<Bytes>,
    /// When it came.
    pub received: Timestamp,
}

/// Reports that an agent had to drop, or lost.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Gap {
    /// Their lane.
    pub lane: Lane,
    /// Their spool.
    pub epoch: u64,
    /// The sequence number of the first.
    pub first: u64,
    /// The sequence number of the last.
    pub last: u64,
}

impl Incoming {
    /// Returns how many octets it is about, for queues and bounds.
    #[must_use]
    pub fn octets(&self) -> usize {
        match self {
            Self::Report(report) => {
                report.body.len() + report.answers.iter().map(Bytes::len).sum::<usize>()
            }
            Self::Gap(_) => 0,
        }
    }

    /// Checks that its sequence numbers can be.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let (what, value) = match self {
            Self::Report(report) => ("a sequence number", report.id.seq),
            Self::Gap(gap) if gap.last < gap.first => ("the end of a gap", gap.last),
            Self::Gap(gap) if gap.first == 0 => ("the begin of a gap", 0),
            Self::Gap(gap) => ("the end of a gap", gap.last),
        };
        let possible = (1..=MAX_SEQ).contains(&value);
        let ordered = !matches!(self, Self::Gap(gap) if gap.last < gap.first);
        if possible && ordered {
            return Ok(());
        }
        Err(Error::Invalid { what, value })
    }
}

/// What became of one item.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is kept now.
    Stored,
    /// It was there already, or was deleted by age.
    Known,
    /// Another report is kept under its identity; this one is not.
    Equivocated,
}

/// How far everything of one lane and spool is kept, or known to be lost.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Mark {
    /// The lane.
    pub lane: Lane,
    /// The spool.
    pub epoch: u64,
    /// The last sequence number before the first hole; 0 if the first is missing.
    pub through: u64,
}

/// What became of what was sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ingested {
    /// The fate of each item, in their order.
    pub fates: Vec<Fate>,
    /// The marks of all lanes and spools that were touched.
    pub marks: Vec<Mark>,
}

/// The identity of a report among all that are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptId {
    /// Who sent it.
    pub agent: VantageId,
    /// Its identity among those of the agent.
    pub report: ReportId,
}

/// A report that is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Its identity.
    pub id: KeptId,
    /// Its body, as it came.
    pub body: Bytes,
    /// SHA-256 of its body.
    pub hash: [u8; 32],
    /// The answers that the body refers to, in the order in which they came.
    pub answers: Vec<Bytes>,
    /// When it came first.
    pub received: Timestamp,
}

/// Two reports that were sent as one. The first is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Equivocation {
    /// Their identity among those of the agent.
    pub report: ReportId,
    /// SHA-256 of the body that is kept.
    pub kept: [u8; 32],
    /// SHA-256 of the first other body that came.
    pub other: [u8; 32],
    /// When that one came.
    pub at: Timestamp,
}

/// The order of reports in a store: by a hash of the agent's name, so that no part of the key
/// space is written more than others.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub(crate) struct Key {
    pub(crate) agent: i64,
    pub(crate) lane: u8,
    pub(crate) epoch: i64,
    pub(crate) seq: u64,
}

impl Key {
    /// Before all others.
    pub(crate) const FIRST: Self = Self {
        agent: i64::MIN,
        lane: 0,
        epoch: i64::MIN,
        seq: 0,
    };

    pub(crate) fn new(agent: &VantageId, report: &ReportId) -> Self {
        Self {
            agent: agent_key(agent),
            lane: lane_code(report.lane),
            epoch: report.epoch.cast_signed(),
            seq: report.seq,
        }
    }
}

impl From<&KeptId> for Key {
    fn from(id: &KeptId) -> Self {
        Self::new(&id.agent, &id.report)
    }
}

/// Returns the key of an agent in all tables: the first 64 bits of its name's SHA-256.
pub(crate) fn agent_key(name: &VantageId) -> i64 {
    let hash = bailiwick_wire::report::hash(name.0.as_bytes());
    i64::from_be_bytes(hash[..8].try_into().expect("a SHA-256 has 32 octets"))
}

/// Returns the number of a lane in tables.
pub(crate) fn lane_code(lane: Lane) -> u8 {
    match lane {
        Lane::Change => 1,
        Lane::Routine => 2,
    }
}

/// Returns the lane of a number in tables.
pub(crate) fn lane_of(code: u8) -> Option<Lane> {
    Lane::ALL.into_iter().find(|&lane| lane_code(lane) == code)
}

/// Returns the partition of a report: the day on which it was made, by the agent's clock. It is
/// the same for every copy of a report, so it can be part of a key; the day of receipt cannot,
/// since a report that is sent again after midnight would be another. 0 if it cannot be told, or
/// is nonsense.
pub(crate) fn bucket(body: &[u8]) -> u16 {
    bailiwick_wire::report::started(body)
        .and_then(|started| u16::try_from(days(started)).ok())
        .unwrap_or(0)
}

/// Returns the day of a moment, counted from 1970-01-01.
pub(crate) fn days(at: Timestamp) -> u32 {
    // A moment has 64 bits and a day more than 32 bits of microseconds.
    u32::try_from(at.seconds() / 86_400).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_have_numbers() {
        for lane in Lane::ALL {
            assert_eq!(lane_of(lane_code(lane)), Some(lane));
        }
        assert_eq!(lane_of(0), None);
    }

    #[test]
    fn sequence_numbers_begin_with_one() {
        let gap = |first, last| {
            Incoming::Gap(Gap {
                lane: Lane::Change,
                epoch: 0,
                first,
                last,
            })
        };
        let cases = [
            (1, 1, true, "one is lost"),
            (1, MAX_SEQ, true, "all are lost"),
            (0, 1, false, "there is no report 0"),
            (2, 1, false, "the end before the begin"),
            (1, MAX_SEQ + 1, false, "databases count with signs"),
        ];
        for (first, last, possible, why) in cases {
            assert_eq!(gap(first, last).validate().is_ok(), possible, "{why}");
        }
    }
}
