//! Opening: what is found on the disk, however it looks.

use std::{collections::BTreeMap, io, ops::Range, time::Duration};

use bailiwick_core::report::Lane;

use crate::{
    disk::Disk,
    epoch::{Epoch, Gap, Place, Slot},
    marks::{self, Marks},
    memory::Memory,
    record,
    segment::{Segment, SegmentName},
    spool::{Settings, Spool, State},
    sync::{Step, Trouble, write_all},
    worth::{Each, Worth},
};

/// Damaged places that are told one by one.
const TOLD: usize = 64;

/// What an opening found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Opened {
    /// Reports of the change lane that are not acknowledged.
    pub change: usize,
    /// Reports of the routine lane that are not acknowledged.
    pub routine: usize,
    /// Reports of both lanes that are known to be missing and not acknowledged.
    pub missing: u64,
    /// Openings that were forgotten, with all that waited of them, because there were too many.
    pub forgotten: usize,
    /// Places that cannot be read, the first 64 of them.
    pub damage: Vec<Damage>,
    /// How many such places there are.
    pub damaged: usize,
}

/// A part of a file that cannot be read. After a crash the end of a segment looks so, too: what was
/// being written then was not spooled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where it begins and ends, in octets.
    pub octets: Range<u64>,
}

impl Opened {
    fn damage(&mut self, file: &str, octets: Range<u64>) {
        self.damaged += 1;
        if self.damage.len() < TOLD {
            self.damage.push(Damage {
                file: file.to_owned(),
                octets,
            });
        }
    }
}

/// Slots by epoch and lane.
type Found = BTreeMap<(u64, Lane), Vec<Slot>>;

impl<D: Disk> Spool<D> {
    /// Opens what is on the disk, and begins a new epoch.
    ///
    /// The epoch is a random number, drawn for this opening. Reports that are taken from here on
    /// carry it; those that are found keep theirs.
    ///
    /// Opening does not fail. With a disk that cannot be used the state is
    /// [`State::MemoryOnly`] from the beginning, and what can be read is still delivered.
    pub fn open(disk: D, settings: Settings, epoch: u64) -> (Self, Opened) {
        let mut spool = Self {
            disk,
            settings,
            state: State::Durable,
            now: Duration::ZERO,
            epochs: Vec::new(),
            found_is_durable: false,
            generation: 0,
            segments: BTreeMap::new(),
            next_segment: 0,
            octets: 0,
            active: Each::default(),
            names_changed: false,
            pending: Each::default(),
            pending_since: None,
            memory: Memory::default(),
        };
        let mut opened = Opened::default();
        let listed = spool.disk.list().map_err(Step::List.failed(""));
        let names = listed.as_deref().unwrap_or_default();
        spool.load(names, &mut opened);
        spool.begin_epoch(epoch);
        let ready = match &listed {
            Ok(names) => spool.make_ready(names, &mut opened),
            Err(trouble) => Err(trouble.clone()),
        };
        if let Err(trouble) = ready {
            spool.fall_back(trouble);
        }
        opened.change = spool.waiting(Lane::Change);
        opened.routine = spool.waiting(Lane::Routine);
        opened.missing = Lane::ALL
            .into_iter()
            .flat_map(|lane| spool.gaps(lane))
            .fold(0, |sum, gap: Gap| sum.saturating_add(gap.reports()));
        (spool, opened)
    }

    /// Reads marks and segments.
    fn load(&mut self, names: &[String], opened: &mut Opened) {
        let marks = self.load_marks(names, opened);
        self.generation = marks.generation;
        for epoch in marks.epochs {
            if !self.epochs.iter().any(|known| known.epoch == epoch.epoch) {
                self.epochs.push(epoch);
            }
        }
        // Later than all that is known, or else the order of epochs would be lost with a segment.
        let since = self.epochs.iter().map(|epoch| epoch.since).max();
        self.next_segment = since.map_or(0, |since| since.saturating_add(1));
        let mut segments: Vec<SegmentName> = names
            .iter()
            .filter_map(|name| SegmentName::parse(name))
            .collect();
        segments.sort_unstable();
        let mut found = Found::new();
        let mut octets = Vec::new();
        for name in segments {
            self.next_segment = self.next_segment.max(name.number.saturating_add(1));
            if !self.epochs.iter().any(|known| known.epoch == name.epoch) {
                self.epochs.push(Epoch::new(name.epoch, name.number));
            }
            self.load_segment(name, &mut octets, &mut found, opened);
        }
        self.epochs.sort_by_key(|epoch| epoch.since);
        for epoch in &mut self.epochs {
            for lane in Lane::ALL {
                let slots = found.remove(&(epoch.epoch, lane)).unwrap_or_default();
                epoch.lane_mut(lane).found(slots);
                for slot in epoch.lane(lane).slots() {
                    if let Place::Disk { segment, .. } = slot.place
                        && let Some(segment) = self.segments.get_mut(&segment)
                    {
                        segment.waiting += 1;
                    }
                }
            }
        }
    }

    /// Returns the newer of the marks that are whole.
    fn load_marks(&mut self, names: &[String], opened: &mut Opened) -> Marks {
        let mut newest = Marks::default();
        for file in marks::FILES {
            if !names.iter().any(|name| name == file) {
                continue;
            }
            let mut octets = Vec::new();
            self.read_file(file, &mut octets);
            match marks::read(&octets) {
                Some(marks) if marks.generation >= newest.generation => newest = marks,
                Some(_) => {}
                // Reserved, and not written yet.
                None if octets.iter().all(|octet| *octet == 0) => {}
                None => opened.damage(file, 0..octets.len() as u64),
            }
        }
        newest
    }

    fn load_segment(
        &mut self,
        name: SegmentName,
        octets: &mut Vec<u8>,
        found: &mut Found,
        opened: &mut Opened,
    ) {
        let file = name.to_string();
        let readable = self.read_file(&file, octets);
        let slots = found.entry((name.epoch, name.worth.lane())).or_default();
        let before = slots.len();
        record::scan(
            octets,
            name.worth,
            name.epoch,
            |at, record| {
                // Places are 32 bits wide: a file of 4 GiB is none that we wrote.
                if let (Ok(at), Ok(length)) =
                    (u32::try_from(at), u32::try_from(record.payload.len()))
                {
                    slots.push(Slot {
                        seq: record.seq,
                        place: Place::Disk {
                            segment: name.number,
                            at,
                            length,
                        },
                    });
                }
            },
            |range| opened.damage(&file, range.start as u64..range.end as u64),
        );
        // A damaged version has good records behind it.
        let foreign = slots.len() == before && record::is_of_another_version(octets);
        self.octets += octets.len() as u64;
        self.segments.insert(
            name.number,
            Segment {
                name,
                octets: octets.len() as u64,
                waiting: 0,
                readable: readable && !foreign,
            },
        );
    }

    /// Reads a file as far as it can be read, and says whether all of it could.
    fn read_file(&mut self, file: &str, octets: &mut Vec<u8>) -> bool {
        octets.clear();
        let Ok(length) = self.disk.length(file) else {
            return false;
        };
        let bound = u64::from(self.settings.segment.max(self.settings.reserve)).max(64 << 20);
        octets.resize(usize::try_from(length.min(bound)).unwrap_or_default(), 0);
        match self.disk.read_at(file, 0, octets) {
            Ok(read) => {
                octets.truncate(read);
                true
            }
            Err(_) => {
                self.read_piecemeal(file, octets);
                false
            }
        }
    }

    /// Reads around bad places; these are zeros.
    fn read_piecemeal(&mut self, file: &str, octets: &mut [u8]) {
        const PIECE: usize = 4096;
        for (number, piece) in octets.chunks_mut(PIECE).enumerate() {
            let at = (number * PIECE) as u64;
            if self.disk.read_at(file, at, piece).is_err() {
                piece.fill(0);
            }
        }
    }

    fn begin_epoch(&mut self, epoch: u64) {
        let mut epoch = epoch;
        while self.epochs.iter().any(|known| known.epoch == epoch) {
            epoch = epoch.wrapping_add(1);
        }
        self.epochs.push(Epoch::new(epoch, self.next_segment));
    }

    /// Makes sure that what was found is on stable storage, that marks can be written, and that
    /// nothing is kept that is done with.
    fn make_ready(&mut self, names: &[String], opened: &mut Opened) -> Result<(), Trouble> {
        self.secure_ends()?;
        self.reserve_marks(names)?;
        self.names_changed = true;
        self.sync_names()?;
        self.found_is_durable = true;
        self.forget_oldest(opened)?;
        self.write_marks()?;
        self.remove_done()
    }

    /// A program that starts and fails for ever, with nobody to deliver to, must not fill memory.
    fn forget_oldest(&mut self, opened: &mut Opened) -> Result<(), Trouble> {
        while self.epochs.len() > self.settings.epochs.max(1) {
            let oldest = self.epochs.remove(0).epoch;
            let of_it = |(number, segment): (&u32, &Segment)| {
                (segment.name.epoch == oldest).then_some(*number)
            };
            let numbers: Vec<u32> = self.segments.iter().filter_map(of_it).collect();
            for number in numbers {
                self.remove_segment(number)?;
            }
            opened.forgotten += 1;
        }
        Ok(())
    }

    /// Writes the last segments again, and syncs them: only they can have been written to when an
    /// opening ended. A sync alone would not do. If it failed then, the system has forgotten that
    /// it did not write, and what was read here came from its memory. The octets are the same, so
    /// a crash on the way harms nothing.
    fn secure_ends(&mut self) -> Result<(), Trouble> {
        let mut last: Each<Option<SegmentName>> = Each::default();
        for segment in self.segments.values().filter(|segment| segment.readable) {
            last[segment.name.worth] = Some(segment.name);
        }
        let mut octets = Vec::new();
        for name in Worth::DESCENDING
            .into_iter()
            .filter_map(|worth| last[worth])
        {
            let file = name.to_string();
            if self.read_file(&file, &mut octets) {
                write_all(&mut self.disk, &file, 0, &octets).map_err(Step::Write.failed(&file))?;
            }
            self.disk.sync(&file).map_err(Step::Sync.failed(&file))?;
        }
        Ok(())
    }

    fn reserve_marks(&mut self, names: &[String]) -> Result<(), Trouble> {
        let zeros = vec![0; self.settings.reserve as usize / marks::FILES.len()];
        for file in marks::FILES {
            if names.iter().any(|name| name == file) {
                continue;
            }
            match self.disk.create(file) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Step::Create.failed(file)(error));
                }
                _ => {}
            }
            write_all(&mut self.disk, file, 0, &zeros).map_err(Step::Write.failed(file))?;
            self.disk.sync(file).map_err(Step::Sync.failed(file))?;
        }
        Ok(())
    }
}
