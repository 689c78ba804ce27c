//! A real file system that is small, full or read-only. Without the right to mount one these
//! stories are skipped; the model disk tells them, too.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use bailiwick_core::report::Lane;
use bailiwick_spool::{Directory, Entry, Opened, Settings, Spool, State, Step, Value};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

use crate::random::Random;

const NOW: Duration = Duration::ZERO;

/// Runs a story in a file system of 64 MiB.
fn on_a_small_disk(story: impl FnOnce(&Path) + Send + 'static) {
    let story = thread::spawn(move || {
        if unshare(CloneFlags::CLONE_NEWNS).is_err() {
            eprintln!("skipped: this user must not mount a file system");
            return;
        }
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let home = tempfile::tempdir().unwrap();
        let tmpfs = Some("tmpfs");
        mount(
            tmpfs,
            home.path(),
            tmpfs,
            MsFlags::empty(),
            Some("size=64m"),
        )
        .unwrap();
        story(home.path());
        umount2(home.path(), MntFlags::MNT_DETACH).unwrap();
    });
    story.join().unwrap();
}

/// Another test of this process may be starting a program: until that program is executed it
/// holds copies of our open files, and the kernel calls the file system busy.
fn make_read_only(home: &Path) {
    let none: Option<&str> = None;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match mount(none, home, none, flags, none) {
            Err(Errno::EBUSY) if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            result => return result.unwrap(),
        }
    }
}

fn open(home: &Path, settings: Settings, epoch: u64) -> (Spool<Directory>, Opened) {
    let directory = Directory::open(&home.join("spool")).unwrap();
    Spool::open(directory, settings, epoch)
}

/// Appends reports of 1 KiB and returns how many.
fn fill(spool: &mut Spool<Directory>, reports: u64) -> u64 {
    let mut random = Random(spool.epoch());
    for number in 0..reports {
        let lane = Lane::ALL[usize::from(random.percent(80))];
        let value = [Value::Unchanged, Value::New][random.index(2)];
        spool.append(NOW, lane, value, &[7; 1024]).unwrap();
        if number % 60 == 0 {
            spool.sync(NOW);
        }
    }
    spool.sync(NOW);
    reports
}

/// Acknowledges all there is and returns how many were delivered and missing.
fn drain(spool: &mut Spool<Directory>) -> (u64, u64) {
    let (mut delivered, mut missing) = (0, 0);
    for lane in Lane::ALL {
        loop {
            let told = spool.next(lane, None, 1 << 20);
            for entry in &told {
                match entry {
                    Entry::Report(_) => delivered += 1,
                    Entry::Gap(gap) => missing += gap.reports(),
                }
            }
            let last = told
                .iter()
                .map(|entry| (entry.last().epoch, entry.last().seq));
            let last: BTreeMap<u64, u64> = last.collect();
            if last.is_empty() {
                break;
            }
            for (epoch, seq) in last {
                spool.acknowledge(lane, epoch, seq);
            }
        }
    }
    (delivered, missing)
}

#[test]
fn a_full_file_system_drops_and_counts() {
    let keep_free = [0, 16 << 20];
    for keep_free in keep_free {
        on_a_small_disk(move |home| {
            let settings = Settings {
                keep_free,
                ..Settings::default()
            };
            let (mut spool, _) = open(home, settings, 1);
            let mut given = fill(&mut spool, 100_000);
            assert_eq!(spool.state(), &State::Durable);
            // Somebody else takes what is left, and more comes.
            let _ = fs::write(home.join("ballast"), vec![0; 64 << 20]);
            given += fill(&mut spool, 10_000);
            assert_eq!(spool.state(), &State::Durable);
            drop(spool);
            let (mut spool, opened) = open(home, settings, 2);
            assert_eq!((spool.state(), opened.damaged), (&State::Durable, 0));
            assert!(opened.change + opened.routine > 10_000, "{opened:?}");
            let (delivered, missing) = drain(&mut spool);
            assert_eq!(delivered + missing, given);
            assert_eq!(spool.octets(), 0);
            assert_eq!(fill(&mut spool, 1000), 1000);
            assert_eq!(drain(&mut spool), (1000, 0), "there is room again");
        });
    }
}

#[test]
fn a_read_only_file_system_delivers() {
    on_a_small_disk(|home| {
        let settings = Settings::default();
        let (mut spool, _) = open(home, settings, 1);
        fill(&mut spool, 1000);
        drop(spool);
        let none: Option<&str> = None;
        make_read_only(home);
        for epoch in [2, 3] {
            let (mut spool, opened) = open(home, settings, epoch);
            let State::MemoryOnly { why, .. } = spool.state() else {
                panic!("a file system that cannot be written is none to rely on");
            };
            assert_eq!(why.step, Step::Write);
            assert_eq!(opened.change + opened.routine, 1000);
            fill(&mut spool, 10);
            assert_eq!(drain(&mut spool), (1010, 0));
        }
        mount(none, home, none, MsFlags::MS_REMOUNT, none).unwrap();
        let (mut spool, _) = open(home, settings, 4);
        assert_eq!(spool.state(), &State::Durable);
        assert_eq!(
            drain(&mut spool),
            (1000, 0),
            "what was ended could not be noted"
        );
    });
}
