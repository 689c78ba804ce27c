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
const RUNS: usize = 7;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let given = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let home = match given {
        Some(path) => tempfile::tempdir_in(path)?,
        None => tempfile::tempdir()?,
    };
    let payload = payload();
    println!("payloads of {PAYLOAD} octets, medians of {RUNS} runs\n");
    println!("{:44} {:>12} {:>12} {:>7}", "", "spool", "floor", "ratio");
    for (what, lane, group, syncs) in [
        ("change lane: append and sync, each", Lane::Change, 1, 300),
        (
            "routine lane: append 65 and sync, each sync",
            Lane::Routine,
            65,
            300,
        ),
    ] {
        let (mut spooled, mut floors) = (Vec::new(), Vec::new());
        for run in 0..RUNS {
            let path = home.path().join(format!("{lane}-{run}"));
            spooled.push(append(&path, &payload, lane, group, syncs)?);
            floors.push(floor_append(
                &home.path().join("floor"),
                &payload,
                group,
                syncs,
            )?);
        }
        print(what, median(spooled), median(floors));
    }
    acknowledge(&home.path().join("acknowledge"), &payload)?;
    open(&home.path().join("full"), &payload)
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

fn append(path: &Path, payload: &[u8], lane: Lane, group: u32, syncs: u32) -> Outcome<Duration> {
    let (mut spool, _) = Spool::open(Directory::open(path)?, Settings::default(), 1);
    let begin = Instant::now();
    for _ in 0..syncs {
        for _ in 0..group {
            spool.append(START, lane, Value::New, payload)?;
        }
        if spool.sync(START) != &State::Durable {
            return Err("the disk failed".into());
        }
    }
    Ok(begin.elapsed() / syncs)
}

fn floor_append(path: &Path, payload: &[u8], group: u32, syncs: u32) -> Outcome<Duration> {
    let file = create(path)?;
    let octets = payload.repeat(usize::try_from(group)?);
    let begin = Instant::now();
    let mut at = 0;
    for _ in 0..syncs {
        file.write_all_at(&octets, at)?;
        file.sync_data()?;
        at += octets.len() as u64;
    }
    Ok(begin.elapsed() / syncs)
}

fn create(path: &Path) -> Outcome<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    Ok(options.open(path)?)
}

/// Reading batches of 64 KiB and acknowledging each, beside writing and syncing the marks alone.
fn acknowledge(path: &Path, payload: &[u8]) -> Outcome<()> {
    let (mut spools, mut floors) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let directory = Directory::open(&path.join(run.to_string()))?;
        let (mut spool, _) = Spool::open(directory, Settings::default(), 1);
        fill(&mut spool, payload, 20 << 20)?;
        let mut batches = 0;
        let begin = Instant::now();
        while let Some(last) = spool
            .next(Lane::Routine, None, 64 << 10)
            .last()
            .map(Entry::last)
        {
            spool.acknowledge(last.lane, last.epoch, last.seq);
            batches += 1;
        }
        spools.push(begin.elapsed() / batches);
        floors.push(floor_overwrite(&path.join("floor"), payload, batches)?);
    }
    print(
        "read 64 KiB and acknowledge, each",
        median(spools),
        median(floors),
    );
    Ok(())
}

/// What the marks are at least: a few octets over others.
fn floor_overwrite(path: &Path, payload: &[u8], syncs: u32) -> Outcome<Duration> {
    let file = create(path)?;
    let begin = Instant::now();
    for _ in 0..syncs {
        file.write_all_at(&payload[..72], 0)?;
        file.sync_data()?;
    }
    Ok(begin.elapsed() / syncs)
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
