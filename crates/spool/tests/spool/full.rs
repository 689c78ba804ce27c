//! A full disk: reports are dropped by worth and age, and each is counted.

use std::time::Duration;

use bailiwick_core::report::{Lane, ReportId};
use bailiwick_spool::{Disk, Entry, Gap, Settings, Spool, State, Value};

use crate::{
    disk::{FaultKind, Honest, ModelDisk},
    random::Random,
};

const NOW: Duration = Duration::ZERO;

fn settings() -> Settings {
    Settings {
        segment: 2000,
        reserve: 4096,
        keep_free: 0,
        ..Settings::default()
    }
}

fn last(spool: &mut Spool<ModelDisk>, lane: Lane) -> Option<ReportId> {
    spool.next(lane, None, usize::MAX).last().map(Entry::last)
}

/// Delivered and missing, as the coordinator hears of them.
#[derive(Default)]
struct Heard {
    delivered: u64,
    missing: u64,
}

impl Heard {
    /// Takes some of what a lane has, and acknowledges it.
    fn take(&mut self, spool: &mut Spool<ModelDisk>, lane: Lane, octets: usize) {
        let told = spool.next(lane, None, octets);
        for entry in &told {
            match entry {
                Entry::Report(_) => self.delivered += 1,
                Entry::Gap(gap) => self.missing += gap.reports(),
            }
        }
        if let Some(last) = told.last().map(Entry::last) {
            spool.acknowledge(lane, last.epoch, last.seq);
        }
    }
}

#[test]
fn delivered_and_missing_make_up_what_was_given_out() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut disk = ModelDisk::new(Honest::ALL, 64 << 10);
        let (mut spool, _) = Spool::open(disk.clone(), settings(), seed + 1);
        let mut heard = Heard::default();
        let mut given = 0;
        disk.create("of others").unwrap();
        for step in 0..1500 {
            let lane = Lane::ALL[usize::from(random.percent(80))];
            let value = [Value::Unchanged, Value::New][random.index(2)];
            let payload = vec![7; random.index(900)];
            spool.append(NOW, lane, value, &payload).unwrap();
            given += 1;
            if random.percent(40) {
                spool.sync(NOW);
            }
            if random.percent(3) {
                heard.take(&mut spool, lane, 4000);
            }
            if step % 100 == 50 {
                // Others fill the disk to the brim, and clear up later.
                let _ = disk.write_at("of others", 0, &vec![0; 1 << 20]);
            } else if step % 100 == 80 {
                disk.truncate("of others", 0).unwrap();
            }
            assert_eq!(spool.state(), &State::Durable, "seed {seed}, step {step}");
        }
        spool.sync(NOW);
        if seed % 2 == 0 {
            drop(spool);
            (spool, _) = Spool::open(disk.clone(), settings(), 1000);
        }
        for lane in Lane::ALL {
            heard.take(&mut spool, lane, usize::MAX);
        }
        assert!(heard.missing > 100, "seed {seed}: nothing was dropped");
        assert!(heard.delivered > 100, "seed {seed}: all was dropped");
        assert_eq!(heard.delivered + heard.missing, given, "seed {seed}");
    }
}

#[test]
fn what_is_worth_less_goes_first_even_if_it_is_new() {
    let cases = [
        // What is there, what comes, what is missing then.
        (
            (Lane::Change, Value::New),
            (Lane::Routine, Value::New),
            "new",
        ),
        (
            (Lane::Change, Value::New),
            (Lane::Routine, Value::Unchanged),
            "new",
        ),
        (
            (Lane::Routine, Value::New),
            (Lane::Routine, Value::Unchanged),
            "new",
        ),
        (
            (Lane::Routine, Value::Unchanged),
            (Lane::Routine, Value::New),
            "old",
        ),
        (
            (Lane::Routine, Value::New),
            (Lane::Change, Value::New),
            "old",
        ),
        (
            (Lane::Routine, Value::New),
            (Lane::Routine, Value::New),
            "old",
        ),
        (
            (Lane::Change, Value::New),
            (Lane::Change, Value::New),
            "old",
        ),
    ];
    for (there, comes, goes) in cases {
        let settings = Settings {
            cap: 16 << 10,
            ..settings()
        };
        let disk = ModelDisk::new(Honest::ALL, u64::MAX);
        let (mut spool, _) = Spool::open(disk, settings, 1);
        let payload = [0; 900];
        let mut old = None;
        while spool.gaps(there.0).next().is_none() {
            old = Some(spool.append(NOW, there.0, there.1, &payload).unwrap());
            spool.sync(NOW);
        }
        let before = spool.gaps(there.0).map(|gap| gap.reports()).sum::<u64>();
        // Now the spool is as full as it gets, or one report below.
        let mut new = Vec::new();
        for _ in 0..3 {
            new.push(spool.append(NOW, comes.0, comes.1, &payload).unwrap());
            spool.sync(NOW);
        }
        let lost_new = new.iter().filter(|id| !spool.is_spooled(**id)).count();
        let gaps: u64 = spool.gaps(there.0).map(|gap| gap.reports()).sum();
        let lost_old = gaps
            - before
            - if there.0 == comes.0 {
                lost_new as u64
            } else {
                0
            };
        match goes {
            "new" => assert!(lost_new >= 2 && lost_old == 0, "{there:?} {comes:?}"),
            _ => assert!(lost_new == 0 && lost_old >= 2, "{there:?} {comes:?}"),
        }
        assert!(old.is_some());
    }
}

#[test]
fn others_keep_their_space() {
    let settings = Settings {
        keep_free: 32 << 10,
        ..settings()
    };
    let mut disk = ModelDisk::new(Honest::ALL, 64 << 10);
    let (mut spool, _) = Spool::open(disk.clone(), settings, 1);
    for _ in 0..200 {
        spool
            .append(NOW, Lane::Routine, Value::New, &[0; 900])
            .unwrap();
        spool.sync(NOW);
        // A segment may have been begun with just enough.
        assert!(disk.free().unwrap() >= (32 << 10) - 2000);
    }
    let held = spool.waiting(Lane::Routine);
    assert!(held >= 20, "the space that it may use is used: {held}");
    // With less than that free, what is there stays; it is only not added to.
    disk.create("of others").unwrap();
    let _ = disk.write_at("of others", 0, &vec![0; 30 << 10]);
    for _ in 0..20 {
        spool
            .append(NOW, Lane::Routine, Value::New, &[0; 900])
            .unwrap();
        spool.sync(NOW);
    }
    assert!(spool.waiting(Lane::Routine) >= held - 2);
}

#[test]
fn a_report_that_was_dropped_half_written_stays_dropped() {
    let disk = ModelDisk::new(Honest::ALL, u64::MAX);
    let (mut spool, _) = Spool::open(disk.clone(), settings(), 1);
    spool
        .append(NOW, Lane::Routine, Value::New, &[1; 100])
        .unwrap();
    spool
        .append(NOW, Lane::Change, Value::New, &[1; 100])
        .unwrap();
    spool.sync(NOW);
    for _ in 0..2 {
        spool
            .append(NOW, Lane::Routine, Value::Unchanged, &[2; 100])
            .unwrap();
    }
    // The disk takes a half of the segment's octets: one record of the two. Nothing there is worth
    // less, so the two are dropped.
    disk.fail(3, FaultKind::HalfThenFull);
    spool.sync(NOW);
    let gap = Gap {
        lane: Lane::Routine,
        epoch: 1,
        first: 2,
        last: 3,
    };
    assert_eq!(spool.gaps(Lane::Routine).collect::<Vec<_>>(), [gap]);
    disk.heal();
    drop(spool);
    let (mut spool, opened) = Spool::open(disk, settings(), 2);
    assert_eq!((opened.routine, opened.missing), (1, 2));
    assert_eq!(last(&mut spool, Lane::Routine).unwrap().seq, 3);
}
