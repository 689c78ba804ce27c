//! Random histories with losses of power, beside an account of what was promised.
//!
//! Each history takes, syncs, reads and acknowledges reports, with segments and a cap so small that
//! rotation and dropping are common. The power goes between two calls or in the middle of one.
//! After each return the spool must hand out what it promised, and nothing else.
//!
//! `BAILIWICK_SEQUENCES=100000 cargo test -p bailiwick-spool crashes` runs them all. A failure
//! names its seed; `BAILIWICK_SEED` runs one alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bailiwick_core::report::{Lane, ReportId};
use bailiwick_spool::{Entry, Gap, Settings, Spool, State, Value};

use crate::{
    disk::{FaultKind, Honest, ModelDisk},
    random::Random,
    rounds,
};

const NOW: Duration = Duration::ZERO;

/// What all histories together came across, so that a test cannot pass by doing nothing.
#[derive(Debug, Default)]
struct Figures {
    appended: u64,
    spooled: u64,
    acknowledged: u64,
    dropped: u64,
    crashes: u64,
    crashes_inside: u64,
    /// Crashes that met more segments than are written to.
    rotated: u64,
}

/// An account of what the spool was given and has promised.
struct Account {
    /// In the order of their opening.
    epochs: Vec<u64>,
    payloads: BTreeMap<ReportId, Vec<u8>>,
    /// The last number given out.
    given: BTreeMap<(Lane, u64), u64>,
    /// The mark.
    acknowledged: BTreeMap<(Lane, u64), u64>,
    /// Spooled and not acknowledged.
    spooled: BTreeSet<ReportId>,
    /// Told to be missing and not acknowledged.
    missing: BTreeSet<ReportId>,
}

/// What was going on when the power went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Doing {
    Nothing,
    /// Something that may drop reports.
    Taking,
    Acknowledging(Lane, u64, u64),
}

struct History {
    random: Random,
    disk: ModelDisk,
    settings: Settings,
    spool: Spool<ModelDisk>,
    account: Account,
    figures: Figures,
}

/// What the spool hands out, entry by entry, in batches of random size.
fn told(
    spool: &mut Spool<ModelDisk>,
    random: &mut Random,
    lane: Lane,
) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map(Entry::last);
        let batch = spool.next(lane, after, random.index(600));
        if batch.is_empty() {
            return Ok(entries);
        }
        entries.extend(batch);
        if entries.len() > 10_000 {
            return Err("reading never ends".to_owned());
        }
    }
}

fn first(entry: &Entry) -> u64 {
    match entry {
        Entry::Report(stored) => stored.id.seq,
        Entry::Gap(gap) => gap.first,
    }
}

impl Account {
    fn mark(&self, lane: Lane, epoch: u64) -> u64 {
        self.acknowledged.get(&(lane, epoch)).copied().unwrap_or(0)
    }

    /// Compares all that the spool hands out with what it promised.
    fn check(
        &mut self,
        spool: &mut Spool<ModelDisk>,
        random: &mut Random,
        doing: Doing,
        may_drop: bool,
    ) -> Result<(), String> {
        for lane in Lane::ALL {
            let entries = told(spool, random, lane)?;
            let gaps: Vec<Gap> = entries
                .iter()
                .filter_map(|entry| match entry {
                    Entry::Gap(gap) => Some(*gap),
                    Entry::Report(_) => None,
                })
                .collect();
            self.check_order(&entries, lane, doing)?;
            self.check_accounted(spool, &entries, lane, may_drop)?;
            if doing != Doing::Taking && spool.gaps(lane).collect::<Vec<_>>() != gaps {
                return Err(format!("gaps are {:?}, read were {gaps:?}", {
                    spool.gaps(lane).collect::<Vec<_>>()
                }));
            }
        }
        Ok(())
    }

    /// In order, without holes, nothing that was acknowledged, nothing that was never given.
    fn check_order(&mut self, entries: &[Entry], lane: Lane, doing: Doing) -> Result<(), String> {
        let mut rank = None;
        let mut before: Option<ReportId> = None;
        for entry in entries {
            let last = entry.last();
            let place = self.epochs.iter().position(|epoch| *epoch == last.epoch);
            let place = place.ok_or(format!("epoch {} was never opened", last.epoch))?;
            if rank.is_some_and(|rank| place < rank) {
                return Err(format!("epoch of {entry:?} comes too late"));
            }
            let expected = match before {
                Some(before) if rank == Some(place) => before.seq + 1,
                _ => {
                    let mark = self.mark(lane, last.epoch);
                    let begin = first(entry);
                    match doing {
                        // An acknowledgement in the making counts or does not.
                        Doing::Acknowledging(l, e, through)
                            if (l, e) == (lane, last.epoch) && begin == through + 1 =>
                        {
                            self.acknowledged.insert((lane, last.epoch), through);
                            through + 1
                        }
                        _ => mark + 1,
                    }
                }
            };
            if first(entry) != expected {
                return Err(format!("{entry:?}, expected number {expected}"));
            }
            if last.seq > self.given.get(&(lane, last.epoch)).copied().unwrap_or(0) {
                return Err(format!("{entry:?} was never given out"));
            }
            if let Entry::Report(stored) = entry
                && self.payloads.get(&stored.id) != Some(&stored.payload)
            {
                return Err(format!("{:?} has another payload", stored.id));
            }
            (rank, before) = (Some(place), Some(last));
        }
        if let Doing::Acknowledging(l, epoch, through) = doing
            && l == lane
            && entries.iter().all(|entry| entry.last().epoch != epoch)
        {
            // Nothing of the epoch is left, so all of it was acknowledged.
            let mark = self.mark(lane, epoch).max(through);
            self.acknowledged.insert((lane, epoch), mark);
        }
        Ok(())
    }

    /// What was spooled is there, what was missing is still counted. Then takes over what is.
    fn check_accounted(
        &mut self,
        spool: &Spool<ModelDisk>,
        entries: &[Entry],
        lane: Lane,
        may_drop: bool,
    ) -> Result<(), String> {
        let mut reports = BTreeSet::new();
        let mut missing = BTreeSet::new();
        for entry in entries {
            match entry {
                Entry::Report(stored) => {
                    reports.insert(stored.id);
                }
                Entry::Gap(gap) => missing.extend((gap.first..=gap.last).map(|seq| ReportId {
                    lane,
                    epoch: gap.epoch,
                    seq,
                })),
            }
        }
        let open = |id: &&ReportId| {
            id.lane == lane && id.seq > self.mark(lane, id.epoch) && !reports.contains(id)
        };
        for id in self.spooled.iter().filter(open) {
            if !(may_drop && missing.contains(id)) {
                return Err(format!("{id:?} was spooled and is lost"));
            }
        }
        for id in self.missing.iter().filter(open) {
            if !missing.contains(id) {
                return Err(format!("{id:?} was missing and is not counted any more"));
            }
        }
        if let Some(id) = reports.iter().find(|id| !spool.is_spooled(**id)) {
            return Err(format!("{id:?} is handed out and not spooled"));
        }
        self.spooled.retain(|id| id.lane != lane);
        self.spooled.extend(reports);
        self.missing.retain(|id| id.lane != lane);
        self.missing.extend(missing);
        Ok(())
    }
}

impl History {
    fn new(seed: u64, honest: Honest) -> Self {
        let mut random = Random(seed);
        let tight = random.percent(60);
        let segment = [240, 240, 700, 2000][random.index(4)];
        let settings = Settings {
            cap: if tight {
                u64::from(segment) * 16
            } else {
                1 << 20
            },
            segment,
            // Marks of more epochs than a history has.
            reserve: 4096,
            keep_free: 0,
            ..Settings::default()
        };
        let space = if tight && random.percent(50) {
            u64::from(segment) * (3 + random.below(8)) + 8192
        } else {
            u64::MAX
        };
        let disk = ModelDisk::new(honest, space);
        let epoch = random.next();
        let (spool, _) = Spool::open(disk.clone(), settings, epoch);
        Self {
            random,
            disk,
            settings,
            spool,
            account: Account {
                epochs: vec![epoch],
                payloads: BTreeMap::new(),
                given: BTreeMap::new(),
                acknowledged: BTreeMap::new(),
                spooled: BTreeSet::new(),
                missing: BTreeSet::new(),
            },
            figures: Figures::default(),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        let steps = 20 + self.random.below(60);
        for _ in 0..steps {
            if self.random.percent(8) {
                self.disk.fail(self.random.below(10), FaultKind::PowerOff);
            }
            let doing = match self.random.below(100) {
                0..50 => {
                    for _ in 0..self.random.below(6) {
                        self.append()?;
                    }
                    Doing::Taking
                }
                50..70 => self.sync()?,
                70..90 => self.acknowledge(),
                90..93 => self.look()?,
                93..96 => {
                    self.kill(Doing::Nothing)?;
                    Doing::Nothing
                }
                _ => {
                    self.crash(Doing::Nothing)?;
                    Doing::Nothing
                }
            };
            if self.disk.has_failed() {
                self.figures.crashes_inside += 1;
                if self.random.percent(30) {
                    self.kill(doing)?;
                } else {
                    self.crash(doing)?;
                }
            }
        }
        self.disk.heal();
        self.sync()?;
        self.look()?;
        self.end()
    }

    fn append(&mut self) -> Result<(), String> {
        let lane = Lane::ALL[self.random.index(2)];
        let value = [Value::Unchanged, Value::New][self.random.index(2)];
        let length = self.random.index(180);
        let payload = self.random.octets(length);
        let id = self
            .spool
            .append(NOW, lane, value, &payload)
            .map_err(|error| error.to_string())?;
        self.figures.appended += 1;
        let given = self.account.given.entry((lane, id.epoch)).or_default();
        *given += 1;
        if id.seq != *given {
            return Err(format!("{id:?} instead of number {given}"));
        }
        if self.account.payloads.insert(id, payload).is_some() {
            return Err(format!("{id:?} was given out twice"));
        }
        // What waits too long is synced on the way.
        if self.spool.state() == &State::Durable {
            self.promised(false)?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<Doing, String> {
        let waiting = self.spool.sync_due().is_some();
        let durable = self.spool.sync(NOW) == &State::Durable;
        if durable && waiting {
            self.promised(true)?;
        }
        Ok(Doing::Taking)
    }

    /// Takes down what the spool claims. After a sync all that was given out is spooled, or missing
    /// for want of space.
    fn promised(&mut self, synced: bool) -> Result<(), String> {
        let epoch = self.spool.epoch();
        for lane in Lane::ALL {
            let missing: Vec<Gap> = self.spool.gaps(lane).collect();
            let given = self.account.given.get(&(lane, epoch)).copied();
            for seq in self.account.mark(lane, epoch) + 1..=given.unwrap_or(0) {
                let id = ReportId { lane, epoch, seq };
                let gap = missing
                    .iter()
                    .any(|gap| gap.epoch == epoch && (gap.first..=gap.last).contains(&seq));
                match (self.spool.is_spooled(id), gap) {
                    (true, false) => {
                        self.figures.spooled += u64::from(self.account.spooled.insert(id));
                    }
                    (false, true) => {
                        self.account.spooled.remove(&id);
                        self.figures.dropped += u64::from(self.account.missing.insert(id));
                    }
                    (false, false) if !synced => {}
                    _ => return Err(format!("{id:?} is neither or both")),
                }
            }
            // Earlier epochs lose reports for want of space, too.
            for gap in missing {
                for seq in gap.first..=gap.last {
                    let id = ReportId {
                        lane,
                        epoch: gap.epoch,
                        seq,
                    };
                    if self.account.spooled.remove(&id) {
                        self.figures.dropped += u64::from(self.account.missing.insert(id));
                    }
                }
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self) -> Doing {
        let lane = Lane::ALL[self.random.index(2)];
        let Ok(entries) = told(&mut self.spool, &mut self.random, lane) else {
            return Doing::Nothing;
        };
        if entries.is_empty() {
            return Doing::Nothing;
        }
        let id = entries[self.random.index(entries.len())].last();
        let power = self.disk.has_failed();
        self.spool.acknowledge(lane, id.epoch, id.seq);
        if power || self.disk.has_failed() {
            return Doing::Acknowledging(lane, id.epoch, id.seq);
        }
        self.figures.acknowledged += 1;
        let mark = self.account.mark(lane, id.epoch).max(id.seq);
        self.account.acknowledged.insert((lane, id.epoch), mark);
        let done =
            |other: &ReportId| (other.lane, other.epoch) == (lane, id.epoch) && other.seq <= mark;
        self.account.spooled.retain(|other| !done(other));
        self.account.missing.retain(|other| !done(other));
        Doing::Nothing
    }

    fn look(&mut self) -> Result<Doing, String> {
        if self.disk.has_failed() {
            return Ok(Doing::Nothing);
        }
        let waiting = self.spool.sync_due().is_some();
        let doing = if waiting {
            Doing::Taking
        } else {
            Doing::Nothing
        };
        // An armed loss of power is for calls that change something.
        self.disk.heal();
        let may_drop = self.tight();
        self.account
            .check(&mut self.spool, &mut self.random, doing, may_drop)?;
        Ok(Doing::Nothing)
    }

    fn tight(&self) -> bool {
        self.settings.cap < 1 << 20
    }

    /// The power goes.
    fn crash(&mut self, doing: Doing) -> Result<(), String> {
        self.figures.crashes += 1;
        self.disk.crash(&mut self.random);
        self.figures.rotated += u64::from(self.disk.segments().len() > 3);
        self.reopen(doing)
    }

    /// The program is killed; what it wrote is there, synced or not.
    fn kill(&mut self, doing: Doing) -> Result<(), String> {
        self.disk.heal();
        self.reopen(doing)
    }

    fn reopen(&mut self, doing: Doing) -> Result<(), String> {
        // What a sync inside of this call has promised, or dropped, need not be known here.
        let may_drop = self.tight() && doing == Doing::Taking;
        let epoch = self.random.next();
        let (spool, _) = Spool::open(self.disk.clone(), self.settings, epoch);
        self.spool = spool;
        self.account.epochs.push(epoch);
        self.account
            .check(&mut self.spool, &mut self.random, doing, may_drop)?;
        Ok(())
    }

    /// All is acknowledged, and nothing comes back.
    fn end(&mut self) -> Result<(), String> {
        for lane in Lane::ALL {
            for entry in told(&mut self.spool, &mut self.random, lane)? {
                let id = entry.last();
                self.spool.acknowledge(lane, id.epoch, id.seq);
                self.account.acknowledged.insert((lane, id.epoch), id.seq);
            }
        }
        self.account.spooled.clear();
        self.account.missing.clear();
        self.crash(Doing::Nothing)?;
        let left = Lane::ALL.map(|lane| self.spool.waiting(lane));
        if left != [0, 0] || self.spool.octets() > 0 {
            return Err(format!("{left:?} reports are left at the end"));
        }
        Ok(())
    }
}

/// Runs histories and returns the first seed that fails, with why.
fn run(seeds: impl Iterator<Item = u64>, honest: Honest) -> (Figures, Option<(u64, String)>) {
    let mut sum = Figures::default();
    for seed in seeds {
        let mut history = History::new(seed, honest);
        if let Err(why) = history.run() {
            return (sum, Some((seed, why)));
        }
        let figures = history.figures;
        sum.appended += figures.appended;
        sum.spooled += figures.spooled;
        sum.acknowledged += figures.acknowledged;
        sum.dropped += figures.dropped;
        sum.crashes += figures.crashes;
        sum.crashes_inside += figures.crashes_inside;
        sum.rotated += figures.rotated;
    }
    (sum, None)
}

#[test]
fn no_crash_loses_invents_or_reorders_a_report() {
    let seeds = match rounds("BAILIWICK_SEED", u64::MAX) {
        u64::MAX => 0..rounds("BAILIWICK_SEQUENCES", 2000),
        seed => seed..seed + 1,
    };
    let (figures, failure) = run(seeds, Honest::ALL);
    println!("{figures:?}");
    if let Some((seed, why)) = failure {
        panic!("BAILIWICK_SEED={seed}: {why}");
    }
    if figures.appended > 10_000 {
        assert!(
            figures.spooled > 1000 && figures.dropped > 1000,
            "{figures:?}"
        );
        assert!(figures.crashes_inside > 1000, "{figures:?}");
        assert!(figures.acknowledged > 1000, "{figures:?}");
    }
}

#[test]
fn a_disk_that_leaves_out_a_sync_is_found_out() {
    let cases = [
        (
            "segments",
            Honest {
                segments: false,
                ..Honest::ALL
            },
        ),
        (
            "marks",
            Honest {
                marks: false,
                ..Honest::ALL
            },
        ),
        (
            "names",
            Honest {
                names: false,
                ..Honest::ALL
            },
        ),
    ];
    for (what, honest) in cases {
        let (_, failure) = run(0..2000, honest);
        let (seed, why) = failure.unwrap_or_else(|| panic!("{what}: nobody noticed"));
        println!("{what} not synced: seed {seed}: {why}");
    }
}
