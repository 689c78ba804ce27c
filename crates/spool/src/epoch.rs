//! What one opening of a spool gave out, and what has become of it.

use std::collections::VecDeque;

use bailiwick_core::report::Lane;

/// Reports that were dropped or lost.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Gap {
    /// Their lane.
    pub lane: Lane,
    /// The opening of the spool that they come from.
    pub epoch: u64,
    /// The first sequence number.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

impl Gap {
    /// Returns how many reports are missing.
    #[must_use]
    pub fn reports(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

/// One opening of the spool.
#[derive(Clone, Debug)]
pub(crate) struct Epoch {
    pub(crate) epoch: u64,
    /// The number of the first segment that it made: what orders epochs.
    pub(crate) since: u32,
    pub(crate) change: Sequence,
    pub(crate) routine: Sequence,
}

impl Epoch {
    pub(crate) fn new(epoch: u64, since: u32) -> Self {
        Self {
            epoch,
            since,
            change: Sequence::default(),
            routine: Sequence::default(),
        }
    }

    pub(crate) fn lane(&self, lane: Lane) -> &Sequence {
        match lane {
            Lane::Change => &self.change,
            Lane::Routine => &self.routine,
        }
    }

    pub(crate) fn lane_mut(&mut self, lane: Lane) -> &mut Sequence {
        match lane {
            Lane::Change => &mut self.change,
            Lane::Routine => &mut self.routine,
        }
    }

    /// Whether nothing of it has to be delivered any more.
    pub(crate) fn is_done(&self) -> bool {
        Lane::ALL
            .into_iter()
            .all(|lane| self.lane(lane).acknowledged == self.lane(lane).last)
    }
}

/// One lane of an epoch: which reports there are between two marks. What is not there is a gap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequence {
    /// All through here is done with.
    pub(crate) acknowledged: u64,
    /// Given out through here.
    pub(crate) last: u64,
    /// In order, all above `acknowledged`.
    slots: VecDeque<Slot>,
}

/// One report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) seq: u64,
    pub(crate) place: Place,
}

/// Where a report is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// Not written yet, or not known to be on stable storage.
    Pending,
    /// In memory, for good.
    Memory,
    /// On stable storage.
    Disk {
        /// The number of the segment.
        segment: u32,
        /// Where the record begins.
        at: u32,
        /// Octets of payload.
        length: u32,
    },
}

/// What comes behind a sequence number.
pub(crate) enum Behind {
    Report(Slot),
    /// First and last.
    Gap(u64, u64),
    Nothing,
}

impl Sequence {
    /// Adds the next report and returns its number.
    pub(crate) fn give_out(&mut self, place: Place) -> u64 {
        self.last += 1;
        self.slots.push_back(Slot {
            seq: self.last,
            place,
        });
        self.last
    }

    /// Takes what was found on the disk, in any order. Of two with one number the first stays.
    pub(crate) fn found(&mut self, mut slots: Vec<Slot>) {
        slots.sort_by_key(|slot| slot.seq);
        slots.dedup_by_key(|slot| slot.seq);
        self.last = self
            .last
            .max(self.acknowledged)
            .max(slots.last().map_or(0, |slot| slot.seq));
        slots.retain(|slot| slot.seq > self.acknowledged);
        self.slots = slots.into();
    }

    pub(crate) fn behind(&self, seq: u64) -> Behind {
        let seq = seq.max(self.acknowledged);
        let at = self.slots.partition_point(|slot| slot.seq <= seq);
        match self.slots.get(at) {
            Some(slot) if slot.seq == seq + 1 => Behind::Report(*slot),
            Some(slot) => Behind::Gap(seq + 1, slot.seq - 1),
            None if seq < self.last => Behind::Gap(seq + 1, self.last),
            None => Behind::Nothing,
        }
    }

    /// Returns the first and last numbers of all that is missing, in order.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut before = self.acknowledged;
        self.slots
            .iter()
            .map(|slot| slot.seq)
            // The number that is given out next ends the last gap.
            .chain([self.last.saturating_add(1)])
            .filter_map(move |seq| {
                let gap = (seq - before > 1).then(|| (before + 1, seq - 1));
                before = seq;
                gap
            })
    }

    pub(crate) fn get(&self, seq: u64) -> Option<Slot> {
        self.find(seq).map(|at| self.slots[at])
    }

    pub(crate) fn put(&mut self, seq: u64, place: Place) {
        if let Some(at) = self.find(seq) {
            self.slots[at].place = place;
        }
    }

    /// Makes a gap of a report.
    pub(crate) fn lose(&mut self, seq: u64) {
        if let Some(at) = self.find(seq) {
            self.slots.remove(at);
        }
    }

    /// Makes gaps of all reports for which it holds.
    pub(crate) fn lose_all(&mut self, lost: impl Fn(&Slot) -> bool) {
        self.slots.retain(|slot| !lost(slot));
    }

    /// Moves the mark and tells what is done with. What is pending was never sent, so it stays.
    pub(crate) fn acknowledge(&mut self, through: u64, mut done: impl FnMut(Slot)) {
        // What is pending comes last, because a sync leaves nothing of it.
        let at = self
            .slots
            .partition_point(|slot| slot.place != Place::Pending);
        let sent = self.slots.get(at).map_or(self.last, |slot| slot.seq - 1);
        let through = through.min(sent);
        self.acknowledged = self.acknowledged.max(through);
        while let Some(slot) = self.slots.pop_front_if(|slot| slot.seq <= through) {
            done(slot);
        }
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    fn find(&self, seq: u64) -> Option<usize> {
        self.slots.binary_search_by_key(&seq, |slot| slot.seq).ok()
    }
}
