//! The program is killed at any moment, with a real directory.
//!
//! This proves nothing about syncing, because the system keeps what a killed program wrote; the
//! model disk does that. It shows that the real directory and the order of calls hold together.
//!
//! `BAILIWICK_KILLS=1000 cargo test -p bailiwick-spool kill` kills as often.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use bailiwick_core::report::{Lane, ReportId};
use bailiwick_spool::{Directory, Entry, Settings, Spool, State, Value};

use crate::{random::Random, rounds};

const HOME: &str = "BAILIWICK_SPOOL_HOME";
const SEED: &str = "BAILIWICK_SPOOL_SEED";
const NOW: Duration = Duration::ZERO;

/// Rotation is common, and nothing is dropped.
fn settings() -> Settings {
    Settings {
        segment: 16 << 10,
        ..Settings::default()
    }
}

/// What a report of this identity holds: both processes can tell.
fn payload(id: ReportId) -> Vec<u8> {
    let mut random = Random(id.epoch ^ id.seq.rotate_left(32) ^ u64::from(id.lane == Lane::Change));
    random.next().to_le_bytes().repeat(random.index(200))
}

fn word(lane: Lane, epoch: u64, seq: u64) -> String {
    format!("{lane} {epoch} {seq}")
}

/// The program that is killed. It tells what is spooled after it is, and what is acknowledged
/// before and after.
#[test]
#[ignore = "started by the test below"]
fn child() {
    let (Ok(home), Ok(seed)) = (env::var(HOME), env::var(SEED)) else {
        return;
    };
    let mut random = Random(seed.parse().unwrap());
    let mut out = std::io::stdout();
    let directory = Directory::open(Path::new(&home)).unwrap();
    let (mut spool, _) = Spool::open(directory, settings(), random.next());
    assert_eq!(spool.state(), &State::Durable);
    let mut given = BTreeMap::new();
    loop {
        let mut batch = Vec::new();
        for _ in 0..random.below(40) {
            let lane = Lane::ALL[usize::from(random.percent(70))];
            let value = [Value::Unchanged, Value::New][random.index(2)];
            let seq = given.entry(lane).or_insert(0);
            *seq += 1;
            let id = ReportId {
                lane,
                epoch: spool.epoch(),
                seq: *seq,
            };
            assert_eq!(spool.append(NOW, lane, value, &payload(id)), Ok(id));
            batch.push(id);
        }
        assert_eq!(spool.sync(NOW), &State::Durable);
        let mut lines = String::new();
        for id in batch.into_iter().filter(|id| spool.is_spooled(*id)) {
            lines += &format!("spooled {}\n", word(id.lane, id.epoch, id.seq));
        }
        out.write_all(lines.as_bytes()).unwrap();
        if random.percent(40) {
            let lane = Lane::ALL[random.index(2)];
            let octets = random.index(200_000);
            if let Some(last) = spool.next(lane, None, octets).last().map(Entry::last) {
                let what = word(last.lane, last.epoch, last.seq);
                out.write_all(format!("ending {what}\n").as_bytes())
                    .unwrap();
                spool.acknowledge(last.lane, last.epoch, last.seq);
                out.write_all(format!("ended {what}\n").as_bytes()).unwrap();
            }
        }
    }
}

/// Lets a child work for some time, kills it and returns what it said.
fn live_and_die(home: &Path, seed: u64, time: Duration) -> String {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        pipe.read_to_end(&mut said).unwrap();
        String::from_utf8(said).unwrap()
    });
    thread::sleep(time);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[derive(Default)]
struct Heard {
    spooled: BTreeSet<ReportId>,
    /// Certainly, and perhaps, acknowledged through.
    ended: BTreeMap<(Lane, u64), u64>,
    ending: BTreeMap<(Lane, u64), u64>,
}

impl Heard {
    fn hear(&mut self, said: &str) {
        // A line that was cut short by the kill says nothing.
        for line in said
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [what, lane, epoch, seq] = words[..] else {
                continue;
            };
            let lane = match lane {
                "change" => Lane::Change,
                "routine" => Lane::Routine,
                _ => continue,
            };
            let (epoch, seq) = (epoch.parse().unwrap(), seq.parse().unwrap());
            match what {
                "spooled" => {
                    self.spooled.insert(ReportId { lane, epoch, seq });
                }
                "ending" => {
                    self.ending.insert((lane, epoch), seq);
                }
                "ended" => {
                    self.ended.insert((lane, epoch), seq);
                }
                _ => {}
            }
        }
    }

    /// Returns how many reports are delivered, and how many are gaps.
    fn check(&mut self, home: &Path, epoch: u64) -> (usize, u64) {
        let directory = Directory::open(home).unwrap();
        let (mut spool, _) = Spool::open(directory, settings(), epoch);
        assert_eq!(spool.state(), &State::Durable);
        let (mut told, mut missing) = (BTreeSet::new(), 0);
        for lane in Lane::ALL {
            let mut next: BTreeMap<u64, u64> = BTreeMap::new();
            for entry in spool.next(lane, None, usize::MAX) {
                let last = entry.last();
                let first = match &entry {
                    Entry::Report(stored) => {
                        assert_eq!(stored.payload, payload(stored.id), "{:?}", stored.id);
                        told.insert(stored.id);
                        last.seq
                    }
                    Entry::Gap(gap) => {
                        missing += gap.reports();
                        gap.first
                    }
                };
                let ended = self.ended.get(&(lane, last.epoch)).copied().unwrap_or(0);
                assert!(first > ended, "{entry:?} was acknowledged");
                if let Some(next) = next.insert(last.epoch, last.seq + 1) {
                    assert_eq!(first, next, "{entry:?}");
                }
            }
        }
        // What was being written when the program was killed may be a gap; what was spooled may not.
        self.spooled.retain(|id| {
            let ending = self.ending.get(&(id.lane, id.epoch)).copied();
            let over = ending.is_some_and(|through| id.seq <= through);
            assert!(over || told.contains(id), "{id:?} is lost");
            told.contains(id)
        });
        // Else a thousand lives would be read again a thousand times.
        for lane in Lane::ALL {
            while spool.waiting(lane) > 500 {
                let Some(last) = spool.next(lane, None, 50_000).last().map(Entry::last) else {
                    break;
                };
                spool.acknowledge(lane, last.epoch, last.seq);
                self.ended.insert((lane, last.epoch), last.seq);
                self.spooled
                    .retain(|id| (id.lane, id.epoch) != (lane, last.epoch) || id.seq > last.seq);
            }
        }
        (told.len(), missing)
    }
}

#[test]
fn what_a_killed_program_called_spooled_is_there() {
    let kills = rounds("BAILIWICK_KILLS", 20);
    let home = tempfile::tempdir().unwrap();
    let seed = env::var(SEED).map_or(1, |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let mut heard = Heard::default();
    let (mut spooled, mut ended, mut left, mut missing) = (0, 0, 0, 0);
    for _ in 0..kills {
        let time = Duration::from_micros(5000 + random.below(80_000));
        let said = live_and_die(home.path(), random.next(), time);
        spooled += said.matches("spooled ").count();
        ended += said.matches("ended ").count();
        heard.hear(&said);
        (left, missing) = heard.check(home.path(), random.next());
    }
    println!("seed {seed}: {kills} kills, {spooled} spooled, {ended} acknowledgements");
    println!("at the end {left} are left and {missing} missing");
    assert!(spooled > 0 && ended > 0, "the program did nothing");
}
