//! A disk that fails at any point: nothing counts as spooled that is not, and nothing stops.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bailiwick_core::report::{Lane, ReportId};
use bailiwick_spool::{Entry, Settings, Spool, State, Step, Value};

use crate::{
    disk::{FaultKind, Honest, ModelDisk},
    random::Random,
};

const NOW: Duration = Duration::ZERO;

fn settings() -> Settings {
    Settings {
        segment: 700,
        reserve: 1024,
        keep_free: 0,
        ..Settings::default()
    }
}

/// What a life of the program came to.
struct Life {
    spool: Spool<ModelDisk>,
    payloads: BTreeMap<ReportId, Vec<u8>>,
    /// Ever claimed to be spooled, and never acknowledged or told to be missing.
    spooled: BTreeSet<ReportId>,
}

/// Two openings with reports, syncs, rotations and acknowledgements.
fn live(disk: &ModelDisk) -> Life {
    let (spool, _) = Spool::open(disk.clone(), settings(), 1);
    let mut life = Life {
        spool,
        payloads: BTreeMap::new(),
        spooled: BTreeSet::new(),
    };
    life.work(0..20);
    let (spool, _) = Spool::open(disk.clone(), settings(), 2);
    life.spool = spool;
    life.work(20..45);
    life
}

impl Life {
    fn work(&mut self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let lane = Lane::ALL[usize::from(number % 3 > 0)];
            let value = [Value::New, Value::Unchanged][number % 2];
            let payload = format!("{number:0100}").into_bytes();
            let id = self.spool.append(NOW, lane, value, &payload).unwrap();
            assert!(self.payloads.insert(id, payload).is_none(), "{id:?} twice");
            if number % 3 == 2 {
                self.spool.sync(NOW);
            }
            let spool = &self.spool;
            let claimed = self.payloads.keys().filter(|id| spool.is_spooled(**id));
            self.spooled.extend(claimed);
            if number % 8 == 7 {
                let told = self.spool.next(lane, None, 350);
                if let Some(last) = told.last().map(Entry::last) {
                    self.spool.acknowledge(lane, last.epoch, last.seq);
                    self.spooled.retain(|id| {
                        (id.lane, id.epoch) != (lane, last.epoch) || id.seq > last.seq
                    });
                }
            }
            for lane in Lane::ALL {
                for gap in self.spool.gaps(lane) {
                    self.spooled.retain(|id| {
                        (id.lane, id.epoch) != (lane, gap.epoch)
                            || !(gap.first..=gap.last).contains(&id.seq)
                    });
                }
            }
        }
        self.spool.sync(NOW);
    }

    /// Of this opening, all that is not acknowledged is handed out or counted.
    fn check_sum(&mut self) {
        let epoch = self.spool.epoch();
        for lane in Lane::ALL {
            let of_this = |id: &&ReportId| (id.lane, id.epoch) == (lane, epoch);
            let given = self.payloads.keys().filter(of_this).count() as u64;
            let mut next = None;
            for entry in self.spool.next(lane, None, usize::MAX) {
                let (first, last) = match &entry {
                    Entry::Report(stored) => {
                        assert_eq!(stored.payload, self.payloads[&stored.id]);
                        (stored.id, stored.id)
                    }
                    Entry::Gap(gap) => (
                        ReportId {
                            seq: gap.first,
                            ..entry.last()
                        },
                        entry.last(),
                    ),
                };
                if first.epoch == epoch {
                    assert_eq!(next.unwrap_or(first.seq), first.seq, "{entry:?}");
                    next = Some(last.seq + 1);
                }
            }
            if let Some(next) = next {
                assert_eq!(next, given + 1, "{lane}");
            }
        }
    }
}

#[test]
fn nothing_counts_as_spooled_that_a_loss_of_power_takes_away() {
    let calm = ModelDisk::new(Honest::ALL, u64::MAX);
    live(&calm);
    let operations = calm.operations();
    let kinds = [
        FaultKind::Broken,
        FaultKind::ReadOnly,
        FaultKind::Short,
        FaultKind::Full,
    ];
    let (mut points, mut memory_only) = (0, 0);
    for kind in kinds {
        for at in 0..operations {
            let disk = ModelDisk::new(Honest::ALL, u64::MAX);
            disk.fail(at, kind);
            let mut life = live(&disk);
            points += 1;
            memory_only += u64::from(life.spool.state() != &State::Durable);
            life.check_sum();
            // Another program's life after the power came back.
            disk.crash(&mut Random(at));
            let (mut spool, _) = Spool::open(disk.clone(), settings(), 3);
            assert_eq!(spool.state(), &State::Durable, "{kind:?} at {at}");
            let mut told = BTreeSet::new();
            for lane in Lane::ALL {
                for entry in spool.next(lane, None, usize::MAX) {
                    if let Entry::Report(stored) = entry {
                        assert_eq!(stored.payload, life.payloads[&stored.id]);
                        told.insert(stored.id);
                    }
                }
            }
            let lost: Vec<_> = life.spooled.difference(&told).collect();
            assert!(lost.is_empty(), "{kind:?} at {at}: {lost:?} are lost");
        }
    }
    println!("{points} fault points, {memory_only} ended in memory only");
    assert!(
        points >= 200 && memory_only >= 100,
        "{points} {memory_only}"
    );
}

#[test]
fn a_failed_sync_is_not_tried_again() {
    let disk = ModelDisk::new(Honest::ALL, u64::MAX);
    let (mut spool, _) = Spool::open(disk.clone(), settings(), 1);
    let append = |spool: &mut Spool<ModelDisk>, seconds| {
        let now = Duration::from_secs(seconds);
        let id = spool.append(now, Lane::Change, Value::New, b"x").unwrap();
        spool.sync(now);
        id
    };
    let before = append(&mut spool, 1);
    // The file is there, so a write comes first and then a sync.
    disk.fail(1, FaultKind::Broken);
    let failed = append(&mut spool, 2);
    let State::MemoryOnly { since, why } = spool.state() else {
        panic!("still durable");
    };
    assert_eq!(*since, Duration::from_secs(2));
    assert_eq!(why.step, Step::Sync);
    assert_eq!(
        why.to_string(),
        "cannot sync 00000000-0000000000000001.change: other error"
    );
    let operations = disk.operations();
    let after = append(&mut spool, 3);
    assert_eq!(disk.operations(), operations, "the disk is left alone");
    assert_eq!(spool.sync_due(), None);
    let claimed = [before, failed, after].map(|id| spool.is_spooled(id));
    assert_eq!(claimed, [true, false, false]);
    assert_eq!(
        spool.next(Lane::Change, None, usize::MAX).len(),
        3,
        "what is in memory is delivered, too"
    );
    spool.acknowledge(Lane::Change, 1, 3);
    assert_eq!(spool.waiting(Lane::Change), 0);
    disk.heal();

    let (mut spool, _) = Spool::open(disk, settings(), 2);
    assert_eq!(spool.state(), &State::Durable, "a new opening tries again");
    let told = spool.next(Lane::Change, None, usize::MAX);
    assert_eq!(
        told.first().map(Entry::last),
        Some(before),
        "the mark could not be written, so it comes again"
    );
    let again = append(&mut spool, 1);
    assert!(
        ![before, failed, after].contains(&again),
        "a number of its own"
    );
}

#[test]
fn memory_is_bounded_and_what_falls_out_is_counted() {
    let disk = ModelDisk::new(Honest::ALL, u64::MAX);
    disk.fail(0, FaultKind::PowerOff);
    let settings = Settings {
        // 64 octets are what is known of each.
        memory: 100 * (100 + 64),
        ..settings()
    };
    let (mut spool, _) = Spool::open(disk, settings, 1);
    assert!(matches!(spool.state(), State::MemoryOnly { .. }));
    for number in 0..1000 {
        let (lane, value) = match number % 20 {
            0 => (Lane::Change, Value::New),
            1..4 => (Lane::Routine, Value::New),
            _ => (Lane::Routine, Value::Unchanged),
        };
        spool.append(NOW, lane, value, &[0; 100]).unwrap();
    }
    let held = [Lane::Change, Lane::Routine].map(|lane| spool.waiting(lane));
    assert_eq!(held, [50, 50], "100 fit, and changes are worth more");
    let missing: u64 = spool.gaps(Lane::Routine).map(|gap| gap.reports()).sum();
    assert_eq!(missing, 900);
    let told = spool.next(Lane::Routine, None, usize::MAX);
    let news = |entry: &&Entry| matches!(entry, Entry::Report(s) if (s.id.seq - 1) % 19 < 3);
    assert_eq!(told.iter().filter(news).count(), 50, "nothing unchanged");
    spool.acknowledge(Lane::Routine, 1, 950);
    for _ in 0..50 {
        spool
            .append(NOW, Lane::Routine, Value::Unchanged, &[0; 100])
            .unwrap();
    }
    assert_eq!(spool.waiting(Lane::Routine), 50, "room again");
    assert_eq!(spool.gaps(Lane::Routine).count(), 0);
}

#[test]
fn a_disk_that_cannot_be_written_still_delivers() {
    let disk = ModelDisk::new(Honest::ALL, u64::MAX);
    let (mut spool, _) = Spool::open(disk.clone(), settings(), 1);
    for _ in 0..3 {
        spool.append(NOW, Lane::Change, Value::New, b"x").unwrap();
    }
    spool.sync(NOW);
    drop(spool);
    disk.fail(0, FaultKind::ReadOnly);
    let (mut spool, opened) = Spool::open(disk, settings(), 2);
    assert!(matches!(spool.state(), State::MemoryOnly { .. }));
    assert_eq!(opened.change, 3);
    spool.append(NOW, Lane::Change, Value::New, b"y").unwrap();
    assert_eq!(spool.next(Lane::Change, None, usize::MAX).len(), 4);
}

#[test]
fn a_file_that_cannot_be_read_is_kept_for_another_opening() {
    let disk = ModelDisk::new(Honest::ALL, u64::MAX);
    let (mut spool, _) = Spool::open(disk.clone(), settings(), 1);
    for _ in 0..3 {
        spool.append(NOW, Lane::Change, Value::New, b"x").unwrap();
    }
    spool.sync(NOW);
    drop(spool);
    // The names, two marks with two operations each, the length of the segment, its octets.
    for at in [5, 6] {
        let before = disk.copy();
        before.fail(at, FaultKind::Broken);
        let (spool, opened) = Spool::open(before.clone(), settings(), 2);
        assert_eq!(before.segments().len(), 1, "operation {at}");
        drop(spool);
        let (spool, _) = Spool::open(before, settings(), 3);
        assert_eq!(spool.waiting(Lane::Change), 3, "operation {at}: {opened:?}");
    }
}

#[test]
fn a_bad_place_on_the_disk_costs_what_is_there() {
    let settings = Settings {
        segment: 64 << 10,
        ..settings()
    };
    let disk = ModelDisk::new(Honest::ALL, u64::MAX);
    let (mut spool, _) = Spool::open(disk.clone(), settings, 1);
    for _ in 0..50 {
        // 16 records have the 16 KiB that four pieces of a disk have.
        let payload = [7; 1024 - 25];
        spool
            .append(NOW, Lane::Change, Value::New, &payload)
            .unwrap();
    }
    spool.sync(NOW);
    drop(spool);
    disk.spoil(&disk.segments()[0], 20_000);
    let (spool, opened) = Spool::open(disk.clone(), settings, 2);
    let gaps: Vec<_> = spool
        .gaps(Lane::Change)
        .map(|g| (g.first, g.last))
        .collect();
    assert_eq!(
        gaps,
        [(16, 20)],
        "4096 octets, and the records that they touch"
    );
    assert_eq!((opened.change, opened.damaged), (45, 1));
    assert_eq!(disk.segments().len(), 1);
}
