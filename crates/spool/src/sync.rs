//! Bringing reports to stable storage, making room for them, and what happens when that fails.

use std::{io, mem, time::Duration};

use bailiwick_core::report::Lane;

use crate::{
    disk::{Disk, is_full},
    epoch::Place,
    marks, record,
    segment::{Segment, SegmentName},
    spool::{Spool, State},
    worth::Worth,
};

/// What a disk would not do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cannot {step} {file}: {kind}")]
pub struct Trouble {
    /// What was tried.
    pub step: Step,
    /// With which file; empty for the directory.
    pub file: String,
    /// What the system said.
    pub kind: io::ErrorKind,
}

/// One thing that is asked of a disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Reading the names of the files.
    List,
    /// Making a file.
    Create,
    /// Writing to a file.
    Write,
    /// Bringing a file, or names, to stable storage.
    Sync,
    /// Removing a file.
    Remove,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Remove => "remove",
        })
    }
}

impl Step {
    pub(crate) fn failed(self, file: impl ToString) -> impl FnOnce(io::Error) -> Trouble {
        move |error| Trouble {
            step: self,
            file: file.to_string(),
            kind: error.kind(),
        }
    }
}

/// Why pending records are not on the disk yet.
enum Refused {
    /// The cap is reached, or the disk is full.
    NoRoom,
    /// A new segment would leave too little to others.
    NoMore,
    Broken(Trouble),
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self::Broken(trouble)
    }
}

impl<D: Disk> Spool<D> {
    /// Brings all pending reports to stable storage.
    ///
    /// They are spooled if the state that is returned is [`State::Durable`], but for those that a
    /// full disk has no room for: they are gaps.
    pub fn sync(&mut self, now: Duration) -> &State {
        self.now = now;
        if matches!(self.state, State::Durable)
            && let Err(trouble) = self.write_pending()
        {
            self.fall_back(trouble);
        }
        self.pending_since = None;
        &self.state
    }

    fn write_pending(&mut self) -> Result<(), Trouble> {
        for worth in Worth::DESCENDING {
            let mut insist = false;
            while !self.pending[worth].is_empty() {
                match self.write_worth(worth, insist) {
                    Ok(()) => {}
                    Err(Refused::Broken(trouble)) => return Err(trouble),
                    Err(Refused::NoMore) => {
                        self.drop_segment(worth)?;
                        insist = true;
                    }
                    Err(Refused::NoRoom) => {
                        if !self.drop_segment(worth)? {
                            self.drop_pending(worth)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the pending records of one worth, all or nothing.
    fn write_worth(&mut self, worth: Worth, insist: bool) -> Result<(), Refused> {
        let more = self.pending[worth].records.len();
        if self.octets + (record::MAGIC.len() + more) as u64 > self.settings.cap {
            return Err(Refused::NoRoom);
        }
        let number = match self.active_with_room(worth, more) {
            Some(number) => number,
            None => self.begin_segment(worth, insist)?,
        };
        let (name, begin) = {
            let segment = &self.segments[&number];
            (segment.name.to_string(), segment.octets)
        };
        let records = &self.pending[worth].records;
        if let Err(error) = write_all(&mut self.disk, &name, begin, records) {
            // What came of it would be found at the next opening, although it is not counted.
            let _ = self.disk.truncate(&name, begin);
            return Err(refused(Step::Write, name, error));
        }
        self.disk.sync(&name).map_err(Step::Sync.failed(&name))?;
        self.sync_names()?;
        self.settle(worth, number);
        Ok(())
    }

    fn active_with_room(&self, worth: Worth, more: usize) -> Option<u32> {
        let number = self.active[worth]?;
        let used = usize::try_from(self.segments.get(&number)?.octets).ok()?;
        (used + more <= self.settings.segment()).then_some(number)
    }

    fn begin_segment(&mut self, worth: Worth, insist: bool) -> Result<u32, Refused> {
        let scarce = |free| free < self.settings.keep_free;
        if !insist && self.disk.free().is_ok_and(scarce) {
            return Err(Refused::NoMore);
        }
        let number = self.next_segment;
        let name = SegmentName {
            number,
            epoch: self.epoch(),
            worth,
        };
        let file = name.to_string();
        let made = match number.checked_add(1) {
            Some(next) => self.disk.create(&file).map(|()| next),
            None => Err(io::ErrorKind::AlreadyExists.into()),
        };
        let next = match made {
            Ok(next) => next,
            Err(error) => return Err(refused(Step::Create, file, error)),
        };
        self.names_changed = true;
        if let Err(error) = write_all(&mut self.disk, &file, 0, record::MAGIC) {
            self.disk
                .remove(&file)
                .map_err(Step::Remove.failed(&file))?;
            return Err(refused(Step::Write, file, error));
        }
        self.next_segment = next;
        let octets = record::MAGIC.len() as u64;
        self.octets += octets;
        self.active[worth] = Some(number);
        self.segments.insert(
            number,
            Segment {
                name,
                octets,
                waiting: 0,
                readable: true,
            },
        );
        Ok(number)
    }

    /// Counts as spooled what is.
    fn settle(&mut self, worth: Worth, number: u32) {
        let mut pending = mem::take(&mut self.pending[worth]);
        let Some(segment) = self.segments.get_mut(&number) else {
            return;
        };
        let begin = u32::try_from(segment.octets).unwrap_or(u32::MAX);
        segment.octets += pending.records.len() as u64;
        segment.waiting += pending.reports.len() as u64;
        self.octets += pending.records.len() as u64;
        let sequence = self.sequence(worth.lane());
        for &(seq, at, length) in &pending.reports {
            sequence.put(
                seq,
                Place::Disk {
                    segment: number,
                    at: begin + at,
                    length,
                },
            );
        }
        pending.clear();
        self.pending[worth] = pending;
    }

    /// Drops the least and oldest segment that is worth no more than what it makes room for, and
    /// says whether there was one.
    fn drop_segment(&mut self, worth: Worth) -> Result<bool, Trouble> {
        let victim = self
            .segments
            .iter()
            // One without a record would give nothing back, and be made again at once.
            .filter(|(_, segment)| segment.octets > record::MAGIC.len() as u64)
            .filter(|(_, segment)| segment.waiting == 0 || segment.name.worth <= worth)
            .min_by_key(|(number, segment)| (segment.waiting > 0, segment.name.worth, **number))
            .map(|(number, segment)| (*number, segment.name));
        let Some((number, name)) = victim else {
            return Ok(false);
        };
        self.write_marks()?;
        self.remove_segment(number)?;
        self.sync_names()?;
        if let Some(epoch) = self.epochs.iter_mut().find(|e| e.epoch == name.epoch) {
            epoch.lane_mut(name.worth.lane()).lose_all(
                |slot| matches!(slot.place, Place::Disk { segment, .. } if segment == number),
            );
        }
        Ok(true)
    }

    /// Drops what waits to be written, because all that is spooled is worth more.
    fn drop_pending(&mut self, worth: Worth) -> Result<(), Trouble> {
        let mut pending = mem::take(&mut self.pending[worth]);
        let sequence = self.sequence(worth.lane());
        for &(seq, ..) in &pending.reports {
            sequence.lose(seq);
        }
        pending.clear();
        self.pending[worth] = pending;
        self.write_marks()
    }

    pub(crate) fn remove_segment(&mut self, number: u32) -> Result<(), Trouble> {
        let Some(segment) = self.segments.remove(&number) else {
            return Ok(());
        };
        self.octets -= segment.octets;
        let worth = segment.name.worth;
        if self.active[worth] == Some(number) {
            self.active[worth] = None;
        }
        self.names_changed = true;
        let name = segment.name.to_string();
        match self.disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Step::Remove.failed(name)(error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn sync_names(&mut self) -> Result<(), Trouble> {
        if mem::take(&mut self.names_changed) {
            self.disk.sync_names().map_err(Step::Sync.failed(""))?;
        }
        Ok(())
    }

    /// Brings the marks to stable storage, over those before the last ones.
    pub(crate) fn write_marks(&mut self) -> Result<(), Trouble> {
        let generation = self.generation + 1;
        let file = marks::FILES[usize::from(generation % 2 == 1)];
        let used = self
            .epochs
            .iter()
            .filter(|epoch| Lane::ALL.into_iter().any(|lane| epoch.lane(lane).last > 0));
        let octets = marks::write(generation, used);
        write_all(&mut self.disk, file, 0, &octets).map_err(Step::Write.failed(file))?;
        self.disk.sync(file).map_err(Step::Sync.failed(file))?;
        self.generation = generation;
        Ok(())
    }

    /// Gives the disk up. What is pending is kept in memory from here on.
    pub(crate) fn fall_back(&mut self, why: Trouble) {
        self.state = State::MemoryOnly {
            since: self.now,
            why,
        };
        self.pending_since = None;
        for worth in Worth::DESCENDING {
            let pending = mem::take(&mut self.pending[worth]);
            for &(seq, at, length) in &pending.reports {
                let begin = at as usize + record::HEADER;
                let payload = pending.records[begin..begin + length as usize].to_vec();
                self.sequence(worth.lane()).put(seq, Place::Memory);
                self.keep_in_memory(worth, seq, payload);
            }
        }
    }
}

fn refused(step: Step, file: String, error: io::Error) -> Refused {
    if is_full(&error) {
        Refused::NoRoom
    } else {
        Refused::Broken(step.failed(file)(error))
    }
}

pub(crate) fn write_all(
    disk: &mut impl Disk,
    name: &str,
    at: u64,
    octets: &[u8],
) -> io::Result<()> {
    let (mut done, mut idle) = (0, 0);
    while done < octets.len() {
        match disk.write_at(name, at + done as u64, &octets[done..])? {
            // An interrupted write takes nothing; a disk that never takes anything is broken.
            0 if idle > 16 => return Err(io::ErrorKind::WriteZero.into()),
            0 => idle += 1,
            taken => (done, idle) = (done + taken, 0),
        }
    }
    Ok(())
}
