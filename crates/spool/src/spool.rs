//! The spool itself: taking reports in, and saying how it is.

use std::{collections::BTreeMap, time::Duration};

use bailiwick_core::report::{Lane, ReportId};

use crate::{
    disk::Disk,
    epoch::{Epoch, Gap, Place, Sequence},
    memory::Memory,
    record,
    segment::Segment,
    sync::Trouble,
    worth::{Each, Value, Worth},
};

/// How much a spool may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Octets on disk, those of damaged records and of file headers with them.
    pub cap: u64,
    /// Octets of one segment at most. Dropping gives back about so much at a time, so it is never
    /// more than a sixteenth of the cap.
    pub segment: u32,
    /// Octets that are set aside for the marks at the first opening, so that a full disk can tell
    /// what it had to drop. Comes on top of the cap.
    pub reserve: u32,
    /// Octets that are left to others: with less than this free, the spool does not grow.
    pub keep_free: u64,
    /// Octets in memory when the disk is broken, those of what is known of each report with them.
    pub memory: usize,
    /// Openings of which something may wait. At one more, the oldest is forgotten.
    pub epochs: usize,
    /// When routine reports are brought to the disk.
    pub group: Group,
}

/// How many routine reports share one write to stable storage. Those of the change lane do not
/// wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Group {
    /// The longest that one waits.
    pub wait: Duration,
    /// So many octets do not wait any longer.
    pub octets: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cap: 256 << 20,
            segment: 4 << 20,
            reserve: 64 << 10,
            keep_free: 16 << 20,
            memory: 8 << 20,
            epochs: 4096,
            group: Group {
                wait: Duration::from_millis(50),
                octets: 64 << 10,
            },
        }
    }
}

impl Settings {
    /// The segment size that is used.
    pub(crate) fn segment(&self) -> usize {
        let most = usize::try_from(self.cap / 16).unwrap_or(usize::MAX);
        usize::try_from(self.segment)
            .unwrap_or(usize::MAX)
            .min(most)
    }

    /// The largest payload: a segment holds at least one.
    pub(crate) fn payload(&self) -> usize {
        self.segment()
            .saturating_sub(record::MAGIC.len() + record::HEADER)
    }
}

/// Whether what is synced outlives a loss of power.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// It does.
    Durable,
    /// The disk failed, so reports are kept in memory, a bounded number of them. What was spooled
    /// before is still delivered. Only a new opening tries the disk again: after a failed sync
    /// nobody knows what is on it, and a sync that succeeds then proves nothing.
    MemoryOnly {
        /// When that began, as the caller counts time.
        since: Duration,
        /// What failed.
        why: Trouble,
    },
}

/// A report that no segment can hold. It got no sequence number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a report of {octets} octets, of which a segment holds {most}")]
pub struct TooLarge {
    /// Its length.
    pub octets: usize,
    /// The longest that is taken.
    pub most: usize,
}

/// An agent's reports, on disk until they are acknowledged.
///
/// Moments are durations since any fixed one, and never go back.
///
/// ```
/// use std::time::Duration;
///
/// use bailiwick_core::report::Lane;
/// use bailiwick_spool::{Directory, Entry, Settings, Spool, State, Value};
///
/// # let home = tempfile::tempdir()?;
/// # let (path, random, now) = (home.path(), 7, Duration::ZERO);
/// let (mut spool, opened) = Spool::open(Directory::open(path)?, Settings::default(), random);
/// assert_eq!(opened.damaged, 0);
///
/// let id = spool.append(now, Lane::Change, Value::New, b"what was seen")?;
/// // Somebody waits for reports of this lane, so the sync is due at once.
/// assert!(spool.sync_due().is_some_and(|due| due <= now));
/// assert_eq!(spool.sync(now), &State::Durable);
///
/// let batch = spool.next(Lane::Change, None, 64 << 10);
/// assert!(matches!(&batch[..], [Entry::Report(stored)] if stored.id == id));
///
/// // When the coordinator has it:
/// spool.acknowledge(id.lane, id.epoch, id.seq);
/// assert_eq!(spool.waiting(Lane::Change), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Spool<D> {
    pub(crate) disk: D,
    pub(crate) settings: Settings,
    pub(crate) state: State,
    /// The latest moment that was told.
    pub(crate) now: Duration,
    /// In the order of their opening, this one last. Never empty.
    pub(crate) epochs: Vec<Epoch>,
    /// Whether what the opening found was brought to stable storage. It can have been read from
    /// the system's memory alone.
    pub(crate) found_is_durable: bool,
    /// Of the marks that were written last.
    pub(crate) generation: u64,
    pub(crate) segments: BTreeMap<u32, Segment>,
    /// The number of the next segment.
    pub(crate) next_segment: u32,
    /// Octets of all segments.
    pub(crate) octets: u64,
    /// Segments that are written to.
    pub(crate) active: Each<Option<u32>>,
    /// Whether names were made or removed since they were last synced.
    pub(crate) names_changed: bool,
    pub(crate) pending: Each<Pending>,
    /// When the oldest pending report came.
    pub(crate) pending_since: Option<Duration>,
    pub(crate) memory: Memory,
}

/// Records that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) records: Vec<u8>,
    /// Number, place in the records, and octets of payload of each.
    pub(crate) reports: Vec<(u64, u32, u32)>,
}

impl<D: Disk> Spool<D> {
    /// Takes a report and gives it its identity.
    ///
    /// It is not spooled before [`Self::sync`]; [`Self::sync_due`] says when to call that. A value
    /// other than [`Value::New`] means nothing in the change lane.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if no segment can hold it.
    pub fn append(
        &mut self,
        now: Duration,
        lane: Lane,
        value: Value,
        payload: &[u8],
    ) -> Result<ReportId, TooLarge> {
        let most = self.settings.payload();
        let whole = record::HEADER + payload.len();
        if payload.len() > most {
            return Err(TooLarge {
                octets: payload.len(),
                most,
            });
        }
        self.now = now;
        let worth = Worth::of(lane, value);
        if self.pending[worth].records.len() + whole > record::HEADER + most {
            self.sync(now);
        }
        let epoch = self.epoch();
        let seq = if matches!(self.state, State::Durable) {
            self.append_pending(worth, payload)
        } else {
            let seq = self.sequence(lane).give_out(Place::Memory);
            self.keep_in_memory(worth, seq, payload.to_vec());
            seq
        };
        Ok(ReportId { lane, epoch, seq })
    }

    fn append_pending(&mut self, worth: Worth, payload: &[u8]) -> u64 {
        let epoch = self.epoch();
        let seq = self.sequence(worth.lane()).give_out(Place::Pending);
        let pending = &mut self.pending[worth];
        pending.reports.push((
            seq,
            u32::try_from(pending.records.len()).unwrap_or(u32::MAX),
            u32::try_from(payload.len()).unwrap_or(u32::MAX),
        ));
        record::write(&mut pending.records, worth, epoch, seq, payload);
        self.pending_since.get_or_insert(self.now);
        seq
    }

    pub(crate) fn keep_in_memory(&mut self, worth: Worth, seq: u64, payload: Vec<u8>) {
        let Self { memory, epochs, .. } = self;
        let epoch = epochs.last_mut().expect("an open spool has an epoch");
        memory.keep(worth, seq, payload, self.settings.memory, |worth, seq| {
            epoch.lane_mut(worth.lane()).lose(seq);
        });
    }

    /// Returns when [`Self::sync`] is due, if anything waits for it. A moment that has passed means
    /// at once.
    #[must_use]
    pub fn sync_due(&self) -> Option<Duration> {
        let since = self.pending_since?;
        let routine = [Worth::Routine, Worth::Unchanged]
            .map(|worth| self.pending[worth].records.len())
            .iter()
            .sum::<usize>();
        let at_once =
            !self.pending[Worth::Change].is_empty() || routine >= self.settings.group.octets;
        Some(if at_once {
            since
        } else {
            since.saturating_add(self.settings.group.wait)
        })
    }

    /// Says whether reports outlive a loss of power.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns the epoch of the reports that are taken now.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.epoch)
    }

    /// Returns the epochs of which something is still to be delivered, and the present one, in the
    /// order of their opening. Others can be forgotten.
    pub fn epochs(&self) -> impl Iterator<Item = u64> + '_ {
        self.epochs.iter().map(|epoch| epoch.epoch)
    }

    /// Says whether a report is on stable storage and not acknowledged.
    #[must_use]
    pub fn is_spooled(&self, id: ReportId) -> bool {
        let mut epochs = self.epochs.iter().rev();
        epochs
            .find(|epoch| epoch.epoch == id.epoch)
            .and_then(|epoch| epoch.lane(id.lane).get(id.seq))
            .is_some_and(|slot| matches!(slot.place, Place::Disk { .. }))
            && (self.found_is_durable || id.epoch == self.epoch())
    }

    /// Returns how many reports of a lane are not acknowledged, gaps not counted.
    #[must_use]
    pub fn waiting(&self, lane: Lane) -> usize {
        self.epochs.iter().map(|epoch| epoch.lane(lane).len()).sum()
    }

    /// Returns the octets of all segments on disk.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Returns what is missing of a lane and not acknowledged, in order.
    pub fn gaps(&self, lane: Lane) -> impl Iterator<Item = Gap> + '_ {
        self.epochs.iter().flat_map(move |epoch| {
            epoch.lane(lane).gaps().map(move |(first, last)| Gap {
                lane,
                epoch: epoch.epoch,
                first,
                last,
            })
        })
    }

    /// The lane of the epoch that is open.
    pub(crate) fn sequence(&mut self, lane: Lane) -> &mut Sequence {
        let epoch = self.epochs.last_mut().expect("an open spool has an epoch");
        epoch.lane_mut(lane)
    }
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.reports.clear();
    }
}
