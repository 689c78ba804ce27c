//! Whatever happens to the files, the rest is delivered and what is missing is counted.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use bailiwick_core::report::{Lane, ReportId};
use bailiwick_spool::{Disk, Entry, Opened, Settings, Spool, State, Value};

use crate::{
    disk::{Honest, ModelDisk},
    random::Random,
    rounds,
};

const NOW: Duration = Duration::ZERO;
const EPOCH: u64 = 0x5be0_cd19_137e_2179;
const MARKS: [&str; 2] = ["marks.0", "marks.1"];

fn settings() -> Settings {
    Settings {
        segment: 2000,
        reserve: 1024,
        keep_free: 0,
        ..Settings::default()
    }
}

/// A spool with reports in both lanes, some of them acknowledged.
struct Original {
    disk: ModelDisk,
    payloads: BTreeMap<ReportId, Vec<u8>>,
    /// Where each report that is not acknowledged stands.
    places: BTreeMap<ReportId, (String, Range<usize>)>,
    acknowledged: BTreeMap<Lane, u64>,
    given: BTreeMap<Lane, u64>,
}

impl Original {
    /// With `reopened`, the marks know how many reports were given out.
    fn new(random: &mut Random, reopened: bool) -> Self {
        let disk = ModelDisk::new(Honest::ALL, u64::MAX);
        let (mut spool, _) = Spool::open(disk.clone(), settings(), EPOCH);
        let mut payloads = BTreeMap::new();
        let mut given = BTreeMap::new();
        for _ in 0..60 {
            let lane = Lane::ALL[random.index(2)];
            let value = [Value::Unchanged, Value::New][random.index(2)];
            let length = 8 + random.index(300);
            let payload = random.octets(length);
            let id = spool.append(NOW, lane, value, &payload).unwrap();
            payloads.insert(id, payload);
            *given.entry(lane).or_default() += 1;
            spool.sync(NOW);
        }
        let acknowledged = BTreeMap::from([(Lane::Change, 3), (Lane::Routine, 5)]);
        for (lane, through) in &acknowledged {
            spool.acknowledge(*lane, EPOCH, *through);
        }
        drop(spool);
        if reopened {
            drop(Spool::open(disk.clone(), settings(), 1));
        }
        let mut places = BTreeMap::new();
        for name in disk.segments() {
            let content = disk.content(&name);
            for (id, payload) in &payloads {
                // A payload of eight random octets is found nowhere else.
                let at = content
                    .windows(payload.len())
                    .position(|octets| octets == payload);
                if let Some(at) = at.filter(|_| id.seq > acknowledged[&id.lane]) {
                    places.insert(*id, (name.clone(), at - 25..at + payload.len()));
                }
            }
        }
        Self {
            disk,
            payloads,
            places,
            acknowledged,
            given,
        }
    }

    /// Opens a disk and checks that it holds all that is undamaged and counts all that is not.
    fn check(&self, disk: &ModelDisk, marks_known: bool) -> Result<Opened, String> {
        let (mut spool, opened) = Spool::open(disk.clone(), settings(), 2);
        if spool.state() != &State::Durable {
            return Err(format!("{:?}", spool.state()));
        }
        for lane in Lane::ALL {
            let mut next = None;
            let mut delivered = Vec::new();
            for entry in spool.next(lane, None, usize::MAX) {
                let (id, first) = match &entry {
                    Entry::Report(stored) => {
                        if self.payloads.get(&stored.id) != Some(&stored.payload) {
                            return Err(format!("{:?} was invented", stored.id));
                        }
                        delivered.push(stored.id);
                        (stored.id, stored.id.seq)
                    }
                    Entry::Gap(gap) => (entry.last(), gap.first),
                };
                if next.is_some_and(|next| next != first) {
                    return Err(format!("{entry:?} instead of number {next:?}"));
                }
                if id.seq > self.given[&lane] {
                    return Err(format!("{entry:?} was never given out"));
                }
                if next.is_none() && marks_known && first != self.acknowledged[&lane] + 1 {
                    return Err(format!("{entry:?} was acknowledged"));
                }
                next = Some(id.seq + 1);
            }
            for (id, (name, place)) in self.places.iter().filter(|(id, _)| id.lane == lane) {
                let before = self.disk.content(name);
                let now = disk.segments().contains(name).then(|| disk.content(name));
                let sound =
                    now.is_some_and(|now| now.get(place.clone()) == before.get(place.clone()));
                if sound != delivered.contains(id) {
                    return Err(format!("{id:?}: sound {sound}, delivered {}", !sound));
                }
            }
            let counted = next.unwrap_or(self.acknowledged[&lane] + 1) - 1;
            if marks_known && counted != self.given[&lane] {
                return Err(format!("{lane}: {counted} of {}", self.given[&lane]));
            }
        }
        Ok(opened)
    }
}

/// Does something to one file, and says what.
fn mutate(disk: &mut ModelDisk, name: &str, random: &mut Random) -> String {
    let length = disk.content(name).len();
    let at = random.index(length.max(1));
    let kind = random.index(6);
    disk.tamper(name, |content| match kind {
        0 | 1 => {
            for _ in 0..=random.index(4) {
                let at = random.index(content.len());
                content[at] ^= 1 << random.index(8);
            }
        }
        2 => content[at..].fill(0),
        3 => content.truncate(at),
        4 => {
            let end = content.len().min(at + 512);
            let junk = random.octets(end - at);
            content[at..end].copy_from_slice(&junk);
        }
        _ => {
            let junk = random.index(700);
            let junk = random.octets(junk);
            content.extend(junk);
        }
    });
    format!("{name}: kind {kind} at {at}")
}

#[test]
fn every_undamaged_report_is_delivered_and_the_rest_is_counted() {
    let (mut files, mut damaged) = (0, 0);
    for seed in 0..rounds("BAILIWICK_MUTATIONS", 5000) / 50 {
        let mut random = Random(seed);
        let reopened = seed % 2 == 0;
        let original = Original::new(&mut random, reopened);
        for number in 0..50 {
            let mut disk = original.disk.copy();
            let names = disk.segments();
            let mut what = Vec::new();
            for _ in 0..=random.index(3) {
                let name = &names[random.index(names.len())];
                what.push(mutate(&mut disk, name, &mut random));
            }
            let before = disk.copy();
            let opened = original
                .check(&disk, reopened)
                .unwrap_or_else(|why| panic!("seed {seed}, mutation {number}, {what:?}: {why}"));
            drop(before);
            files += what.len();
            damaged += opened.damaged;
        }
    }
    assert!(
        damaged > files / 2,
        "{damaged} damaged places, {files} files"
    );
}

#[test]
fn damaged_marks_deliver_twice_rather_than_not_at_all() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let original = Original::new(&mut random, false);
        let mut disk = original.disk.copy();
        for name in MARKS {
            if random.percent(70) {
                mutate(&mut disk, name, &mut random);
            }
        }
        original
            .check(&disk, false)
            .unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

#[test]
fn a_lost_file_is_a_gap() {
    let original = Original::new(&mut Random(1), true);
    for name in original.disk.segments() {
        let mut disk = original.disk.copy();
        disk.remove(&name).unwrap();
        original.check(&disk, true).unwrap();
    }
    let mut disk = original.disk.copy();
    for name in MARKS {
        disk.remove(name).unwrap();
    }
    original.check(&disk, false).unwrap();
}

#[test]
fn files_of_others_are_left_alone() {
    let original = Original::new(&mut Random(2), true);
    let mut disk = original.disk.copy();
    let names = [
        "lost+found",
        "00000001-0000000000000002.weekly",
        "1-2.change",
        "FFFFFFFF-0000000000000002.change",
        "ffffffff-0000000000000002.change",
        "marks.2",
        "é-.change",
    ];
    for name in names {
        disk.create(name).unwrap();
    }
    original.check(&disk, true).unwrap();
    let left = disk.list().unwrap();
    assert!(names.iter().all(|name| left.contains(&(*name).to_owned())));
    let (mut spool, _) = Spool::open(disk, settings(), 3);
    let id = spool.append(NOW, Lane::Change, Value::New, b"x").unwrap();
    spool.sync(NOW);
    assert!(spool.is_spooled(id), "nor do they stand in the way");
}

#[test]
fn damage_after_opening_is_a_gap_as_well() {
    let original = Original::new(&mut Random(3), true);
    let disk = original.disk.copy();
    let (mut spool, opened) = Spool::open(disk.clone(), settings(), 2);
    assert_eq!((opened.damaged, opened.missing), (0, 0));
    let (id, (name, place)) = original.places.iter().next().unwrap();
    disk.tamper(name, |content| content[place.end - 1] ^= 1);
    let first = spool.next(id.lane, None, 0);
    assert!(
        matches!(&first[..], [Entry::Gap(gap)] if (gap.first, gap.last) == (id.seq, id.seq)),
        "{first:?}"
    );
    assert!(!spool.is_spooled(*id));
}

#[test]
fn segments_of_a_later_version_are_left_to_it() {
    let name = "00000005-0000000000000009.change";
    let rows: [(&[u8], bool); 3] = [
        (b"bailiwick-spool\x02 and what we cannot know", true),
        (b"bailiwick-spool\x01 and nothing that we know", false),
        (b"", false),
    ];
    for (content, stays) in rows {
        let mut disk = ModelDisk::new(Honest::ALL, u64::MAX);
        disk.create(name).unwrap();
        disk.tamper(name, |file| *file = content.to_vec());
        drop(Spool::open(disk.clone(), settings(), 2));
        assert_eq!(
            disk.segments().contains(&name.to_owned()),
            stays,
            "{content:?}"
        );
    }
}

/// A whole file of marks with these entries: epoch, first segment, and two marks of each lane.
fn marks(generation: u64, entries: &[(u64, u32, [u64; 4])]) -> Vec<u8> {
    let mut octets = b"bwmarks\x01".to_vec();
    octets.extend(generation.to_le_bytes());
    octets.extend(u32::try_from(entries.len()).unwrap().to_le_bytes());
    octets.extend([0; 4]);
    for (epoch, since, numbers) in entries {
        octets.extend(epoch.to_le_bytes());
        octets.extend(since.to_le_bytes());
        octets.extend([0; 4]);
        octets.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
    let sum = crc32c::crc32c_append(crc32c::crc32c(&octets[..20]), &octets[24..]);
    octets[20..24].copy_from_slice(&sum.to_le_bytes());
    octets
}

#[test]
fn whatever_is_in_the_files_a_spool_opens_and_works() {
    for seed in 0..2000 {
        let mut random = Random(seed);
        let mut disk = ModelDisk::new(Honest::ALL, u64::MAX);
        let odd = [0, 1, 2, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        for name in MARKS {
            let entries: Vec<_> = (0..random.below(4))
                .map(|_| {
                    let numbers = [(); 4].map(|()| odd[random.index(odd.len())]);
                    let since = [0, 1, u32::MAX - 1, u32::MAX][random.index(4)];
                    (odd[random.index(odd.len())], since, numbers)
                })
                .collect();
            disk.create(name).unwrap();
            let generation = odd[random.index(odd.len())];
            disk.tamper(name, |file| *file = marks(generation, &entries));
            if random.percent(20) {
                mutate(&mut disk, name, &mut random);
            }
        }
        for _ in 0..random.below(4) {
            let number = [0, 1, u32::MAX][random.index(3)];
            let epoch = odd[random.index(odd.len())];
            let word = ["change", "routine", "unchanged"][random.index(3)];
            let name = format!("{number:08x}-{epoch:016x}.{word}");
            if disk.create(&name).is_ok() {
                let junk = random.index(3000);
                let junk = random.octets(junk);
                disk.tamper(&name, |file| *file = junk);
            }
        }
        let (mut spool, _) = Spool::open(disk.clone(), settings(), odd[random.index(odd.len())]);
        let id = spool.append(NOW, Lane::Change, Value::New, b"x").unwrap();
        spool.sync(NOW);
        for lane in Lane::ALL {
            // As many gaps as there may be, and no report but the one.
            let told = spool.next(lane, None, usize::MAX);
            let reports = told
                .iter()
                .filter(|e| matches!(e, Entry::Report(_)))
                .count();
            assert_eq!(reports, usize::from(lane == Lane::Change), "seed {seed}");
            for entry in told {
                let last = entry.last();
                spool.acknowledge(lane, last.epoch, last.seq);
            }
            assert_eq!(spool.gaps(lane).count(), 0, "seed {seed}");
        }
        assert!(!spool.is_spooled(id));
    }
}

#[test]
fn the_oldest_of_too_many_openings_is_forgotten() {
    let settings = Settings {
        epochs: 5,
        ..settings()
    };
    let disk = ModelDisk::new(Honest::ALL, u64::MAX);
    for epoch in 1..=20 {
        let (mut spool, opened) = Spool::open(disk.clone(), settings, epoch);
        assert_eq!(opened.forgotten, usize::from(epoch > 5));
        for lane in Lane::ALL {
            spool.append(NOW, lane, Value::New, b"x").unwrap();
        }
        spool.sync(NOW);
        let first = epoch.saturating_sub(4).max(1);
        assert!(spool.epochs().eq(first..=epoch), "epoch {epoch}");
        assert!(disk.segments().len() <= 10);
    }
    let (mut spool, opened) = Spool::open(disk, settings, 21);
    assert_eq!((opened.change, opened.routine, opened.missing), (4, 4, 0));
    let told = spool.next(Lane::Change, None, usize::MAX);
    assert!(told.iter().map(|entry| entry.last().epoch).eq(17..=20));
}

/// What the format is: a segment with two reports, and marks by which one of them is acknowledged.
const SEGMENT: &str = "\
    62 61 69 6c 69 77 69 63 6b 2d 73 70 6f 6f 6c 01 \
    03 00 00 00 3e 18 87 77 01 79 21 7e 13 19 cd e0 5b 01 00 00 00 00 00 00 00 6f 6e 65 \
    03 00 00 00 c6 77 b5 b3 01 79 21 7e 13 19 cd e0 5b 02 00 00 00 00 00 00 00 74 77 6f";
const MARK: &str = "\
    62 77 6d 61 72 6b 73 01 02 00 00 00 00 00 00 00 01 00 00 00 c8 a2 96 4b \
    79 21 7e 13 19 cd e0 5b 00 00 00 00 00 00 00 00 \
    01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 \
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";

#[test]
fn other_versions_of_the_program_write_and_read_the_same_files() {
    let octets = |text: &str| -> Vec<u8> {
        let octets = text.split_whitespace();
        octets
            .map(|octet| u8::from_str_radix(octet, 16).unwrap())
            .collect()
    };
    let name = "00000000-5be0cd19137e2179.change";

    let disk = ModelDisk::new(Honest::ALL, u64::MAX);
    let (mut spool, _) = Spool::open(disk.clone(), settings(), EPOCH);
    for payload in ["one", "two"] {
        let payload = payload.as_bytes();
        spool
            .append(NOW, Lane::Change, Value::New, payload)
            .unwrap();
        spool.sync(NOW);
    }
    spool.acknowledge(Lane::Change, EPOCH, 1);
    assert_eq!(disk.segments(), [name]);
    assert_eq!(disk.content(name), octets(SEGMENT));
    assert_eq!(disk.content("marks.0")[..72], octets(MARK));
    assert_eq!(disk.content("marks.0").len(), 512, "space is set aside");

    let mut disk = ModelDisk::new(Honest::ALL, u64::MAX);
    for (name, content) in [(name, SEGMENT), ("marks.0", MARK)] {
        disk.create(name).unwrap();
        disk.tamper(name, |file| *file = octets(content));
    }
    let (mut spool, opened) = Spool::open(disk, settings(), 1);
    assert_eq!((opened.damaged, opened.missing), (0, 0));
    let told = spool.next(Lane::Change, None, usize::MAX);
    assert!(
        matches!(&told[..], [Entry::Report(stored)] if stored.payload == b"two"),
        "{told:?}"
    );
}
