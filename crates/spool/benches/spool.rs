//! What a spool costs beside the least that a disk asks for the same octets.
//!
//! `cargo bench -p bailiwick-spool [directory]`. Without a directory, the system's own for
//! temporary files is used; on a tmpfs the figures mean little.

use std::{
    error::Error,
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bailiwick_core::report::{Lane, ReportId};
use bailiwick_spool::{Directory, Entry, Settings, Spool, State, Value};

const START: Duration = Duration::ZERO;
const PAYLOAD: usize = 1000;
/// Syncs that are timed.
const SYNCS: u64 = 1000;
/// Openings that are timed.
const RUNS: usize = 7;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let given = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let home = match given {
        Some(path) => tempfile::tempdir_in(path)?,
        None => tempfile::tempdir()?,
    };
    let (home, payload) = (home.path(), payload());
    println!("payloads of {PAYLOAD} octets, medians\n");
    println!("{:44} {:>12} {:>12} {:>7}", "", "spool", "floor", "ratio");
    append("change: append and sync", home, &payload, Lane::Change, 1)?;
    append(
        "routine: append 65 and sync",
        home,
        &payload,
        Lane::Routine,
        65,
    )?;
    acknowledge(home, &payload)?;
    open(&home.join("full"), &payload)
}

/// Octets that do not repeat.
fn payload() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..PAYLOAD).map(|_| next()).collect()
}

fn print(what: &str, spool: Duration, floor: Duration) {
    let ratio = spool.as_secs_f64() / floor.as_secs_f64();
    println!("{what:44} {spool:>12.1?} {floor:>12.1?} {ratio:>7.2}");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// One time of each in turn, because a disk that others use is now fast and now slow.
fn append(what: &str, home: &Path, payload: &[u8], lane: Lane, group: usize) -> Outcome<()> {
    let directory = Directory::open(&home.join(lane.to_string()))?;
    let (mut spool, _) = Spool::open(directory, Settings::default(), 1);
    let floor = create(&home.join("floor"))?;
    let octets = payload.repeat(group);
    let (mut spools, mut floors) = (Vec::new(), Vec::new());
    for number in 0..SYNCS {
        let begin = Instant::now();
        for _ in 0..group {
            spool.append(START, lane, Value::New, payload)?;
        }
        if spool.sync(START) != &State::Durable {
            return Err("the disk failed".into());
        }
        spools.push(begin.elapsed());
        let begin = Instant::now();
        floor.write_all_at(&octets, number * octets.len() as u64)?;
        floor.sync_data()?;
        floors.push(begin.elapsed());
    }
    print(what, median(spools), median(floors));
    Ok(())
}

fn create(path: &Path) -> Outcome<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    Ok(options.open(path)?)
}

/// Reading batches of 64 KiB and acknowledging each, beside a few octets that are written over
/// others and synced, as marks are.
fn acknowledge(home: &Path, payload: &[u8]) -> Outcome<()> {
    let directory = Directory::open(&home.join("acknowledge"))?;
    let (mut spool, _) = Spool::open(directory, Settings::default(), 1);
    fill(&mut spool, payload, 60 << 20)?;
    let floor = create(&home.join("floor"))?;
    let (mut spools, mut floors) = (Vec::new(), Vec::new());
    loop {
        let begin = Instant::now();
        let batch = spool.next(Lane::Routine, None, 64 << 10);
        let Some(last) = batch.last().map(Entry::last) else {
            break;
        };
        spool.acknowledge(last.lane, last.epoch, last.seq);
        spools.push(begin.elapsed());
        let begin = Instant::now();
        floor.write_all_at(&payload[..72], 0)?;
        floor.sync_data()?;
        floors.push(begin.elapsed());
    }
    print(
        "read 64 KiB and acknowledge",
        median(spools),
        median(floors),
    );
    Ok(())
}

fn fill(spool: &mut Spool<Directory>, payload: &[u8], octets: u64) -> Outcome<()> {
    let mut number = 0_u32;
    while spool.octets() + (1 << 20) < octets {
        number += 1;
        // Three segments are written to, as in life.
        let lane = if number.is_multiple_of(10) {
            Lane::Change
        } else {
            Lane::Routine
        };
        let value = [Value::New, Value::Unchanged][usize::from(number.is_multiple_of(2))];
        spool.append(START, lane, value, payload)?;
        if number.is_multiple_of(500) {
            spool.sync(START);
        }
    }
    spool.sync(START);
    Ok(())
}

/// Opening a spool that is as full as it gets, beside reading its files.
fn open(path: &Path, payload: &[u8]) -> Outcome<()> {
    let settings = Settings::default();
    let (mut spool, _) = Spool::open(Directory::open(path)?, settings, 1);
    fill(&mut spool, payload, settings.cap)?;
    drop(spool);
    let (mut opens, mut floors) = (Vec::new(), Vec::new());
    let mut found = 0;
    for run in 0..RUNS {
        let directory = Directory::open(path)?;
        let begin = Instant::now();
        let (spool, opened) = Spool::open(directory, settings, 2 + run as u64);
        opens.push(begin.elapsed());
        found = opened.change + opened.routine;
        drop(spool);
        floors.push(floor_read(path)?);
    }
    print(
        &format!("open {} MiB, {found} reports", settings.cap >> 20),
        median(opens),
        median(floors),
    );
    let directory = Directory::open(path)?;
    let (mut spool, _) = Spool::open(directory, settings, 100);
    let begin = Instant::now();
    let (mut after, mut read): (Option<ReportId>, usize) = (None, 0);
    loop {
        let batch = spool.next(Lane::Routine, after, 64 << 10);
        let Some(last) = batch.last() else { break };
        (after, read) = (Some(last.last()), read + batch.len());
    }
    let each = begin.elapsed() / u32::try_from(read)?;
    println!(
        "{:44} {each:>12.1?}",
        "read in batches of 64 KiB, each report"
    );
    Ok(())
}

fn floor_read(path: &Path) -> Outcome<Duration> {
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.push(entry?.path());
    }
    let mut octets = vec![0; 4 << 20];
    let begin = Instant::now();
    for name in names {
        let file = File::open(name)?;
        let mut at = 0;
        loop {
            match file.read_at(&mut octets, at)? {
                0 => break,
                read => at += read as u64,
            }
        }
    }
    Ok(begin.elapsed())
}
