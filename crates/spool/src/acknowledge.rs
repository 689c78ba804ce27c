//! Ending what the coordinator has: marks first, then files.

use std::collections::BTreeMap;

use bailiwick_core::report::Lane;

use crate::{
    disk::Disk,
    epoch::Place,
    spool::{Spool, State},
    sync::Trouble,
    worth::Worth,
};

impl<D: Disk> Spool<D> {
    /// Ends all reports and gaps of a lane and epoch through a sequence number. They are not
    /// delivered again, unless the disk is broken and the spool opened anew.
    ///
    /// An epoch that is not known, and a number that was not given out or not synced yet, end
    /// nothing: a coordinator cannot have them.
    pub fn acknowledge(&mut self, lane: Lane, epoch: u64, through: u64) {
        let Some(at) = self.epochs.iter().position(|known| known.epoch == epoch) else {
            return;
        };
        let sequence = self.epochs[at].lane_mut(lane);
        let before = sequence.acknowledged;
        let mut done: BTreeMap<u32, u64> = BTreeMap::new();
        sequence.acknowledge(through, |slot| {
            if let Place::Disk { segment, .. } = slot.place {
                *done.entry(segment).or_default() += 1;
            }
        });
        let acknowledged = sequence.acknowledged;
        if acknowledged == before {
            return;
        }
        for (number, reports) in done {
            if let Some(segment) = self.segments.get_mut(&number) {
                segment.waiting -= reports;
            }
        }
        if matches!(self.state, State::Durable)
            && let Err(trouble) = self.write_marks().and_then(|()| self.remove_done())
        {
            self.fall_back(trouble);
        }
        if at + 1 == self.epochs.len() {
            for worth in Worth::DESCENDING {
                if worth.lane() == lane {
                    self.memory.forget(worth, acknowledged);
                }
            }
        }
    }

    /// Removes segments of which nothing is waiting, then forgets epochs of which nothing is left.
    /// The marks that say so are on stable storage.
    pub(crate) fn remove_done(&mut self) -> Result<(), Trouble> {
        let done: Vec<u32> = self
            .segments
            .iter()
            .filter(|(number, segment)| {
                segment.waiting == 0
                    && segment.readable
                    && self.active[segment.name.worth] != Some(**number)
            })
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            self.remove_segment(number)?;
        }
        self.sync_names()?;
        let open = self.epoch();
        self.epochs
            .retain(|epoch| epoch.epoch == open || !epoch.is_done());
        Ok(())
    }
}
