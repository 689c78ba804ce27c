//! Handing reports out, in the order in which they are to be sent.

use bailiwick_core::report::{Lane, ReportId};

use crate::{
    disk::Disk,
    epoch::{Behind, Gap, Place, Slot},
    record,
    spool::Spool,
    worth::Worth,
};

/// What is to be told the coordinator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A report.
    Report(Stored),
    /// Reports that are no more.
    Gap(Gap),
}

/// A report as it was appended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// Its identity.
    pub id: ReportId,
    /// Its octets.
    pub payload: Vec<u8>,
}

impl Entry {
    /// Returns the identity of the report, or of the last one that is missing: what comes next is
    /// behind it.
    #[must_use]
    pub fn last(&self) -> ReportId {
        match self {
            Self::Report(stored) => stored.id,
            Self::Gap(gap) => ReportId {
                lane: gap.lane,
                epoch: gap.epoch,
                seq: gap.last,
            },
        }
    }

    /// Octets that it takes on the way, about.
    fn octets(&self) -> usize {
        match self {
            Self::Report(stored) => record::HEADER + stored.payload.len(),
            Self::Gap(_) => record::HEADER,
        }
    }
}

impl<D: Disk> Spool<D> {
    /// Returns what is behind `after` in a lane, or from its beginning, in order: older epochs
    /// first, and gaps where they are. At most `octets` are returned, but one entry at least. What
    /// is returned may be of several epochs; each is acknowledged by itself.
    ///
    /// Only what is spooled is returned, and, once the disk is broken, what is in memory. A report
    /// that turns out to be damaged is a gap from then on.
    pub fn next(&mut self, lane: Lane, after: Option<ReportId>, octets: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut left = octets;
        let begin = after
            .and_then(|id| self.epochs.iter().position(|epoch| epoch.epoch == id.epoch))
            .unwrap_or(0);
        for at in begin..self.epochs.len() {
            let epoch = self.epochs[at].epoch;
            let mut seq = after.filter(|id| id.epoch == epoch).map_or(0, |id| id.seq);
            loop {
                let entry = match self.epochs[at].lane(lane).behind(seq) {
                    Behind::Nothing => break,
                    Behind::Report(slot) if slot.place == Place::Pending => return entries,
                    Behind::Gap(first, last) => Entry::Gap(Gap {
                        lane,
                        epoch,
                        first,
                        last,
                    }),
                    Behind::Report(slot) => {
                        if !entries.is_empty() && promised(slot) > left {
                            return entries;
                        }
                        let id = ReportId {
                            lane,
                            epoch,
                            seq: slot.seq,
                        };
                        match self.read(id, slot.place) {
                            Some(payload) => Entry::Report(Stored { id, payload }),
                            None => {
                                self.lose(at, lane, slot);
                                continue;
                            }
                        }
                    }
                };
                if !entries.is_empty() && entry.octets() > left {
                    return entries;
                }
                left = left.saturating_sub(entry.octets());
                seq = entry.last().seq;
                entries.push(entry);
            }
        }
        entries
    }

    fn read(&mut self, id: ReportId, place: Place) -> Option<Vec<u8>> {
        match place {
            Place::Pending => None,
            Place::Memory => Worth::DESCENDING
                .into_iter()
                .filter(|worth| worth.lane() == id.lane)
                .find_map(|worth| self.memory.read(worth, id.seq))
                .map(<[u8]>::to_vec),
            Place::Disk {
                segment,
                at,
                length,
            } => {
                let name = self.segments.get(&segment)?.name;
                let mut octets = vec![0; record::HEADER + length as usize];
                let read = self
                    .disk
                    .read_at(&name.to_string(), at.into(), &mut octets)
                    .ok()?;
                let found = record::read(&octets[..read], name.worth, name.epoch)?;
                let whole = found.seq == id.seq && found.payload.len() == length as usize;
                whole.then(|| octets.split_off(record::HEADER))
            }
        }
    }

    fn lose(&mut self, epoch: usize, lane: Lane, slot: Slot) {
        self.epochs[epoch].lane_mut(lane).lose(slot.seq);
        if let Place::Disk { segment, .. } = slot.place
            && let Some(segment) = self.segments.get_mut(&segment)
        {
            segment.waiting -= 1;
        }
    }
}

/// Octets that a report will take, before it is read.
fn promised(slot: Slot) -> usize {
    match slot.place {
        Place::Disk { length, .. } => record::HEADER + length as usize,
        Place::Pending | Place::Memory => 0,
    }
}
