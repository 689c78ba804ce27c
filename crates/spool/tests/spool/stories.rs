//! What a spool promises, on a real directory.

use std::{path::Path, time::Duration};

use bailiwick_core::report::{Lane, ReportId};
use bailiwick_spool::{
    Directory, DirectoryError, Entry, Gap, Opened, Settings, Spool, State, TooLarge, Value,
};

const START: Duration = Duration::ZERO;

fn open(path: &Path, epoch: u64) -> (Spool<Directory>, Opened) {
    open_with(path, epoch, Settings::default())
}

fn open_with(path: &Path, epoch: u64, settings: Settings) -> (Spool<Directory>, Opened) {
    Spool::open(Directory::open(path).unwrap(), settings, epoch)
}

fn append(spool: &mut Spool<Directory>, lane: Lane, payload: &str) -> ReportId {
    spool
        .append(START, lane, Value::New, payload.as_bytes())
        .unwrap()
}

/// All that is to be sent of a lane, as `epoch/seq payload`, gaps as `epoch/first-last`.
fn told(spool: &mut Spool<Directory>, lane: Lane) -> Vec<String> {
    spool
        .next(lane, None, usize::MAX)
        .iter()
        .map(|entry| match entry {
            Entry::Report(stored) => format!(
                "{}/{} {}",
                stored.id.epoch,
                stored.id.seq,
                String::from_utf8_lossy(&stored.payload)
            ),
            Entry::Gap(gap) => format!("{}/{}-{}", gap.epoch, gap.first, gap.last),
        })
        .collect()
}

fn segments(path: &Path) -> usize {
    std::fs::read_dir(path)
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().contains('-')
        })
        .count()
}

#[test]
fn what_was_synced_is_there_after_reopening_until_it_is_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let (mut spool, opened) = open(home.path(), 7);
    assert_eq!(opened, Opened::default());
    append(&mut spool, Lane::Routine, "one");
    append(&mut spool, Lane::Change, "urgent");
    append(&mut spool, Lane::Routine, "two");
    assert_eq!(spool.sync(START), &State::Durable);
    drop(spool);

    let (mut spool, opened) = open(home.path(), 8);
    assert_eq!((opened.change, opened.routine), (1, 2));
    assert_eq!((opened.missing, opened.damaged), (0, 0));
    assert_eq!(told(&mut spool, Lane::Change), ["7/1 urgent"]);
    assert_eq!(told(&mut spool, Lane::Routine), ["7/1 one", "7/2 two"]);
    append(&mut spool, Lane::Routine, "three");
    spool.sync(START);
    assert_eq!(
        told(&mut spool, Lane::Routine),
        ["7/1 one", "7/2 two", "8/1 three"],
        "older epochs come first and keep their own numbers"
    );
    spool.acknowledge(Lane::Routine, 7, 1);
    drop(spool);

    let (mut spool, _) = open(home.path(), 9);
    assert_eq!(told(&mut spool, Lane::Routine), ["7/2 two", "8/1 three"]);
    spool.acknowledge(Lane::Routine, 7, 2);
    spool.acknowledge(Lane::Change, 7, 1);
    spool.acknowledge(Lane::Routine, 8, 1);
    assert_eq!(spool.epochs().collect::<Vec<_>>(), [9]);
    assert_eq!(segments(home.path()), 0, "what is done with takes no space");
}

#[test]
fn nothing_is_handed_out_before_it_is_synced() {
    let home = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(home.path(), 1);
    let id = append(&mut spool, Lane::Change, "urgent");
    assert!(!spool.is_spooled(id));
    assert_eq!(told(&mut spool, Lane::Change), [""; 0]);
    spool.acknowledge(Lane::Change, 1, 1);
    spool.sync(START);
    assert!(spool.is_spooled(id));
    assert_eq!(
        told(&mut spool, Lane::Change),
        ["1/1 urgent"],
        "an acknowledgement of what was never sent ends nothing"
    );
}

#[test]
fn the_change_lane_does_not_wait_and_the_routine_lane_not_long() {
    let home = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(home.path(), 1);
    let now = Duration::from_secs(5);
    assert_eq!(spool.sync_due(), None);
    spool
        .append(now, Lane::Routine, Value::New, b"routine")
        .unwrap();
    assert_eq!(spool.sync_due(), Some(now + Duration::from_millis(50)));
    let later = now + Duration::from_millis(20);
    spool
        .append(later, Lane::Routine, Value::Unchanged, b"again")
        .unwrap();
    assert_eq!(
        spool.sync_due(),
        Some(now + Duration::from_millis(50)),
        "the oldest counts"
    );
    spool.append(later, Lane::Change, Value::New, b"!").unwrap();
    assert!(spool.sync_due().unwrap() <= later, "at once");
    spool.sync(later);
    assert_eq!(spool.sync_due(), None);
    let many = vec![0; 64 << 10];
    spool
        .append(later, Lane::Routine, Value::New, &many)
        .unwrap();
    assert!(spool.sync_due().unwrap() <= later, "64 KiB are enough");
}

#[test]
fn a_batch_ends_at_the_octets_asked_for_and_the_next_goes_on_behind_it() {
    let home = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(home.path(), 1);
    for number in 0..10 {
        append(&mut spool, Lane::Routine, &format!("{number:075}"));
    }
    spool.sync(START);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let batch = spool.next(Lane::Routine, after, 350);
        let Some(last) = batch.last() else { break };
        assert!(batch.len() <= 3, "100 octets each");
        after = Some(last.last());
        seen.extend(batch.iter().map(|entry| entry.last().seq));
    }
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
    assert_eq!(
        spool.next(Lane::Routine, None, 0).len(),
        1,
        "one goes always, or a small bound would stop everything"
    );
}

#[test]
fn both_worths_of_the_routine_lane_come_in_one_order() {
    let home = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(home.path(), 1);
    for (number, value) in [Value::New, Value::Unchanged, Value::Unchanged, Value::New]
        .into_iter()
        .enumerate()
    {
        let payload = [b'0' + u8::try_from(number).unwrap()];
        spool.append(START, Lane::Routine, value, &payload).unwrap();
    }
    spool.sync(START);
    drop(spool);
    let (mut spool, _) = open(home.path(), 2);
    assert_eq!(
        told(&mut spool, Lane::Routine),
        ["1/1 0", "1/2 1", "1/3 2", "1/4 3"]
    );
}

#[test]
fn at_the_cap_the_least_and_oldest_goes_and_is_counted() {
    let home = tempfile::tempdir().unwrap();
    let settings = Settings {
        cap: 64 << 10,
        keep_free: 0,
        ..Settings::default()
    };
    let (mut spool, _) = open_with(home.path(), 1, settings);
    let payload = vec![b'x'; 1000];
    for number in 0..300 {
        let (lane, value) = match number % 10 {
            0 => (Lane::Change, Value::New),
            1..4 => (Lane::Routine, Value::New),
            _ => (Lane::Routine, Value::Unchanged),
        };
        spool.append(START, lane, value, &payload).unwrap();
        spool.sync(START);
        assert!(spool.octets() <= settings.cap);
    }
    assert_eq!(spool.state(), &State::Durable, "a full spool is not broken");
    assert_eq!(spool.waiting(Lane::Change), 30);
    assert_eq!(spool.gaps(Lane::Change).count(), 0, "routine goes first");
    let missing: u64 = spool.gaps(Lane::Routine).map(|gap| gap.reports()).sum();
    assert_eq!(spool.waiting(Lane::Routine) as u64 + missing, 270);
    let routine_news = spool
        .next(Lane::Routine, None, usize::MAX)
        .iter()
        .filter(|entry| matches!(entry, Entry::Report(stored) if (stored.id.seq - 1) % 9 < 3))
        .count();
    assert!(routine_news > 0, "unchanged goes before what is new");
    let before: Vec<Gap> = spool.gaps(Lane::Routine).collect();
    drop(spool);

    let (spool, opened) = open_with(home.path(), 2, settings);
    assert_eq!(spool.gaps(Lane::Routine).collect::<Vec<_>>(), before);
    assert_eq!(opened.missing, missing);
}

#[test]
fn gaps_are_acknowledged_as_reports_are() {
    let home = tempfile::tempdir().unwrap();
    let settings = Settings {
        cap: 16 << 10,
        keep_free: 0,
        ..Settings::default()
    };
    let (mut spool, _) = open_with(home.path(), 1, settings);
    for _ in 0..100 {
        append(&mut spool, Lane::Routine, &"x".repeat(500));
        spool.sync(START);
    }
    let gap = spool.gaps(Lane::Routine).next().unwrap();
    assert_eq!(gap.first, 1);
    let first = spool.next(Lane::Routine, None, 0);
    assert_eq!(first, [Entry::Gap(gap)]);
    spool.acknowledge(Lane::Routine, 1, gap.last);
    assert_eq!(spool.gaps(Lane::Routine).count(), 0);
    drop(spool);
    let (_, opened) = open_with(home.path(), 2, settings);
    assert_eq!(opened.missing, 0);
}

#[test]
fn a_report_that_no_segment_can_hold_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let settings = Settings {
        cap: 16 << 10,
        ..Settings::default()
    };
    let (mut spool, _) = open_with(home.path(), 1, settings);
    let most = 1024 - 16 - 25;
    assert_eq!(
        spool.append(START, Lane::Change, Value::New, &vec![0; most + 1]),
        Err(TooLarge {
            octets: most + 1,
            most
        })
    );
    let id = spool.append(START, Lane::Change, Value::New, &vec![0; most]);
    spool.sync(START);
    assert!(spool.is_spooled(id.unwrap()));
}

#[test]
fn a_directory_belongs_to_one_program_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("deep/er");
    let held = Directory::open(&path).unwrap();
    assert!(matches!(
        Directory::open(&path),
        Err(DirectoryError::InUse { .. })
    ));
    drop(held);
    assert!(Directory::open(&path).is_ok());
}

#[test]
fn an_epoch_that_is_drawn_twice_is_not_used_twice() {
    let home = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(home.path(), 3);
    append(&mut spool, Lane::Change, "a");
    spool.sync(START);
    drop(spool);
    let (spool, _) = open(home.path(), 3);
    assert_eq!(spool.epoch(), 4);
}
