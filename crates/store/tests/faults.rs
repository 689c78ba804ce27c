//! What the store does when the disk does not: full (F12), read-only, and slow (F13).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod common;

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, thread, time::Duration};

use bailiwick_core::{
    check::CheckId,
    report::{Lane, ReportId},
    time::Timestamp,
};
use bailiwick_store::{
    Error, Incoming, Judgement, Location, NewCheck, NewReport, OpenError, Options, Reserve, Store,
    open_with,
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use common::{audit, enrol, location, name, options};

const CHECK: CheckId = CheckId(1);

fn report(seq: u64, octets: usize) -> Incoming {
    let text = format!("report {seq} ");
    Incoming::Report(NewReport {
        id: ReportId {
            lane: Lane::Change,
            epoch: 1,
            seq,
        },
        check: Some(CHECK),
        body: text.repeat(octets / text.len()).into(),
        answers: vec![],
        received: Timestamp(seq),
    })
}

fn check(id: CheckId) -> NewCheck {
    NewCheck {
        id,
        zone: vec![0].into(),
        check: vec![].into(),
        operator: "uid 0".to_owned(),
        created: Timestamp(1),
        deadline: Timestamp(2),
        asked: [name(0)].into(),
        item: vec![].into(),
    }
}

fn judgement(octets: usize) -> Judgement {
    Judgement {
        state: "PUBLISHED".to_owned(),
        exit_code: 0,
        headline: String::new(),
        policy: 1,
        judged: Timestamp(2),
        verdict: vec![b'x'; octets].into(),
        places: vec![].into(),
    }
}

/// Sends reports until one is refused; returns how many were acknowledged, and why not more.
async fn fill(store: &dyn Store, from: u64, at_most: u64) -> (u64, Option<Error>) {
    for seq in from..from + at_most {
        match store.ingest(&name(0), vec![report(seq, 8192)]).await {
            Ok(done) => assert_eq!(done.marks[0].through, seq),
            Err(error) => return (seq - 1, Some(error)),
        }
    }
    (from + at_most - 1, None)
}

/// Looks whether exactly these reports are there.
async fn look(store: &dyn Store, through: u64) {
    let all = store.evidence(CHECK, None, usize::MAX).await.unwrap();
    let seqs = all.iter().map(|kept| kept.id.report.seq);
    assert!(seqs.eq(1..=through), "{through} and no more");
    for kept in &all {
        let Incoming::Report(sent) = report(kept.id.report.seq, 8192) else {
            unreachable!()
        };
        assert_eq!(kept.body, sent.body);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}

/// Runs a story in a small file system of its own; not without the right to mount one.
fn on_a_small_disk(mebibytes: u32, story: impl AsyncFnOnce(&Path) + Send + 'static) {
    let thread = thread::spawn(move || {
        if unshare(CloneFlags::CLONE_NEWNS).is_err() {
            eprintln!("skipped: this user must not mount a file system");
            return;
        }
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let size = Some(size.as_str());
        mount(
            Some("tmpfs"),
            folder.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            size,
        )
        .unwrap();
        runtime().block_on(story(folder.path()));
        nix::mount::umount2(folder.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    });
    thread.join().unwrap();
}

fn remount(folder: &Path, flags: MsFlags) {
    let none: Option<&str> = None;
    mount(none, folder, none, MsFlags::MS_REMOUNT | flags, none).unwrap();
}

#[test]
fn reports_are_refused_before_the_disk_is_full() {
    on_a_small_disk(48, async |folder| {
        let reserve = Reserve {
            octets: 8 << 20,
            percent: 5,
        };
        let options = Options {
            reserve,
            ..options()
        };
        let store = open_with(&location(folder), &options).await.unwrap();
        enrol(&*store, 0).await;
        store
            .create_check(&check(CHECK), &audit("check"))
            .await
            .unwrap();
        let (mut through, refused) = fill(&*store, 1, 100).await;
        assert_eq!(refused, None);
        let ballast = folder.join("ballast");
        for _ in 0..3 {
            // Somebody else fills the disk up to the reserve.
            let free = store.usage().await.unwrap().free;
            fs::write(&ballast, vec![0; usize::try_from(free).unwrap()]).unwrap();
            let (kept, refused) = fill(&*store, through + 1, 1).await;
            assert_eq!((kept, refused), (through, Some(Error::Full { free: 0 })));
            assert_eq!(store.usage().await.unwrap().free, 0);
            look(&*store, through).await;
            // Verdicts and operators have the reserve to themselves.
            store.note(&audit(format!("note {through}"))).await.unwrap();
            fs::remove_file(&ballast).unwrap();
            let (kept, refused) = fill(&*store, through + 1, 10).await;
            assert_eq!(
                (kept, refused),
                (through + 10, None),
                "at once, when there is room"
            );
            through = kept;
        }
        store.close_check(CHECK, &judgement(1000)).await.unwrap();
        drop(store);
        let store = open_with(&location(folder), &options).await.unwrap();
        look(&*store, through).await;
    });
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    on_a_small_disk(12, async |folder| {
        // No reserve at all: the disk itself says no, at any place in the work.
        let store = open_with(&location(folder), &options()).await.unwrap();
        enrol(&*store, 0).await;
        let ballast = folder.join("ballast");
        let mut through = 0;
        for round in 0..10 {
            let free = usize::try_from(store.usage().await.unwrap().free).unwrap();
            let leave = (120_000 + round * 4096).min(free);
            fs::write(&ballast, vec![0; free - leave]).unwrap();
            let (kept, refused) = fill(&*store, through + 1, 1000).await;
            assert!(matches!(refused, Some(Error::Full { .. })), "{refused:?}");
            through = kept;
            look(&*store, through).await;
            fs::remove_file(&ballast).unwrap();
            let (kept, refused) = fill(&*store, through + 1, 1).await;
            assert_eq!((kept, refused), (through + 1, None), "round {round}");
            through = kept;
        }
        drop(store);
        let store = open_with(&location(folder), &options()).await.unwrap();
        look(&*store, through).await;
    });
}

#[test]
fn a_read_only_disk_is_no_place_for_a_store() {
    on_a_small_disk(48, async |folder| {
        let store = open_with(&location(folder), &options()).await.unwrap();
        enrol(&*store, 0).await;
        let (through, _) = fill(&*store, 1, 20).await;
        look(&*store, through).await;
        drop(store);
        // A file system with a file open for writing cannot be made read-only.
        let mut tries = 0..100;
        while tries.next().is_some() && fs::exists(folder.join("store.db-wal")).unwrap() {
            thread::sleep(Duration::from_millis(20));
        }
        remount(folder, MsFlags::MS_RDONLY);
        let refused = open_with(&location(folder), &options()).await;
        assert!(matches!(refused, Err(OpenError::File { .. })));
        remount(folder, MsFlags::empty());
        let store = open_with(&location(folder), &options()).await.unwrap();
        look(&*store, through).await;
    });
}

#[tokio::test]
async fn a_store_with_a_bound_keeps_room_for_verdicts() {
    for place in ["memory", "sqlite"] {
        let folder = tempfile::tempdir().unwrap();
        let location = match place {
            "memory" => Location::Memory,
            _ => location(folder.path()),
        };
        let options = Options {
            at_most: Some(4 << 20),
            ..options()
        };
        let store = open_with(&location, &options).await.unwrap();
        enrol(&*store, 0).await;
        store
            .create_check(&check(CHECK), &audit("check"))
            .await
            .unwrap();
        let before = store.usage().await.unwrap().free;
        assert!((3 << 20..4 << 20).contains(&before), "{place}: {before}");
        let (through, refused) = fill(&*store, 1, 10_000).await;
        assert_eq!(refused, Some(Error::Full { free: 0 }), "{place}");
        assert!(through > 200, "{place}: {through}");
        look(&*store, through).await;
        store.close_check(CHECK, &judgement(50_000)).await.unwrap();
        store.note(&audit("look")).await.unwrap();
        let kept = store.check(CHECK).await.unwrap().unwrap();
        assert_eq!(kept.judgement, Some(judgement(50_000)));
        look(&*store, through).await;
    }
}

#[tokio::test]
async fn at_the_hard_bound_each_call_is_whole_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        at_most: Some(2 << 20),
        ..options()
    };
    let store = open_with(&location(folder.path()), &options).await.unwrap();
    enrol(&*store, 0).await;
    let (through, refused) = fill(&*store, 1, 10_000).await;
    assert_eq!(refused, Some(Error::Full { free: 0 }));
    // Large and small calls at once: those that do not fit must not take the others with them.
    let calls: Vec<_> = (10..60)
        .map(|number: u32| {
            let (store, id) = (Arc::clone(&store), CheckId(number.into()));
            tokio::spawn(async move {
                let begun = store.create_check(&check(id), &audit("check")).await;
                let octets = if number.is_multiple_of(2) { 60_000 } else { 10 };
                let closed = store.close_check(id, &judgement(octets)).await;
                (id, begun, closed)
            })
        })
        .collect();
    let (mut fitted, mut refused) = (0, 0);
    for call in calls {
        let (id, begun, closed) = call.await.unwrap();
        let kept = store.check(id).await.unwrap();
        assert_eq!(kept.is_some(), begun.is_ok(), "{begun:?}");
        let judged = kept.is_some_and(|kept| kept.judgement.is_some());
        assert_eq!(judged, closed.is_ok(), "{closed:?}");
        fitted += u32::from(judged);
        refused += u32::from(matches!(closed, Err(Error::Full { .. })));
    }
    assert!(
        fitted > 0 && refused > 0,
        "{fitted} fitted, {refused} did not"
    );
    look(&*store, through).await;
}

#[tokio::test]
async fn a_slow_disk_fills_a_bounded_queue() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        queue: 1 << 20,
        ..options()
    };
    let store = open_with(&location(folder.path()), &options).await.unwrap();
    enrol(&*store, 0).await;
    store.note(&audit("before")).await.unwrap();
    // Somebody holds the database.
    let other = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sends: Vec<_> = (1..=100)
        .map(|seq| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.ingest(&name(0), vec![report(seq, 65_536)]).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let refused = sends.iter().filter(|send| send.is_finished()).count();
    assert!(
        (80..100).contains(&refused),
        "{refused} of 100 were refused at once"
    );
    let read = store.agents().await.unwrap();
    assert_eq!(read.len(), 1, "reading goes on");
    let noted = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.note(&audit("meanwhile")).await })
    };
    other.execute_batch("ROLLBACK").unwrap();
    let mut kept = BTreeSet::new();
    for (seq, send) in (1..).zip(sends) {
        match send.await.unwrap() {
            Ok(_) => assert!(kept.insert(seq)),
            Err(error) => assert_eq!(error, Error::Busy),
        }
    }
    assert_eq!(kept.len(), 100 - refused, "what was accepted is kept");
    let all = store.evidence(CHECK, None, 1000).await.unwrap();
    assert!(all.iter().map(|kept| kept.id.report.seq).eq(kept));
    noted.await.unwrap().unwrap();
    // A batch that is larger than the queue would be in the way for ever.
    let large = (1..=17).map(|seq| report(seq, 65_536)).collect();
    let refused = store.ingest(&name(0), large).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
}

/// The database waits five seconds for whoever holds it.
#[tokio::test]
async fn all_who_wait_for_a_held_database_are_told_together() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(&location(folder.path()), &options())
        .await
        .unwrap();
    enrol(&*store, 0).await;
    let other = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = std::time::Instant::now();
    let sends: Vec<_> = (1..=20)
        .map(|seq| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.ingest(&name(0), vec![report(seq, 100)]).await })
        })
        .collect();
    for send in sends {
        assert_eq!(send.await.unwrap(), Err(Error::Busy));
    }
    // One after the other they would have waited for 100 seconds.
    assert!(began.elapsed() < Duration::from_secs(50));
    other.execute_batch("ROLLBACK").unwrap();
    let (_, refused) = fill(&*store, 1, 20).await;
    assert_eq!(refused, None, "it goes on");
}

#[tokio::test]
async fn verdicts_wait_in_a_bounded_queue_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(&location(folder.path()), &options())
        .await
        .unwrap();
    enrol(&*store, 0).await;
    for number in 0..20 {
        let begun = check(CheckId(number));
        store.create_check(&begun, &audit("check")).await.unwrap();
    }
    let other = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let closes: Vec<_> = (0..20)
        .map(|number| {
            let (store, id) = (Arc::clone(&store), CheckId(number));
            tokio::spawn(async move { store.close_check(id, &judgement(1 << 20)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let refused = closes.iter().filter(|close| close.is_finished()).count();
    assert!(
        (4..=6).contains(&refused),
        "{refused} of 20 MiB do not fit into 16"
    );
    other.execute_batch("ROLLBACK").unwrap();
    for (number, close) in (0..).zip(closes) {
        let closed = close.await.unwrap();
        assert!(matches!(closed, Ok(()) | Err(Error::Busy)), "{closed:?}");
        let kept = store.check(CheckId(number)).await.unwrap().unwrap();
        assert_eq!(kept.judgement.is_some(), closed.is_ok());
    }
}

#[tokio::test]
async fn answers_that_nothing_refers_to_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(&location(folder.path()), &options())
        .await
        .unwrap();
    enrol(&*store, 0).await;
    let day = |day: u64| Timestamp(day * 86_400_000_000);
    for seq in 1..=30 {
        let Incoming::Report(new) = report(seq, 100) else {
            unreachable!()
        };
        let new = NewReport {
            answers: vec![vec![0].into(), seq.to_be_bytes().to_vec().into()],
            received: day(seq),
            ..new
        };
        store
            .ingest(&name(0), vec![Incoming::Report(new)])
            .await
            .unwrap();
    }
    let db = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    let answers = || -> i64 {
        db.query_row("SELECT COUNT(*) FROM answer", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(answers(), 31);
    assert_eq!(store.forget_reports(day(21), 100).await.unwrap(), 20);
    assert_eq!(answers(), 11, "ten, and one that is in all reports");
    assert_eq!(store.forget_reports(day(99), 100).await.unwrap(), 10);
    assert_eq!(answers(), 0);
}

#[tokio::test]
async fn what_is_no_store_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(
        &path,
        "this is a text, and longer than the head of a database".repeat(9),
    )
    .unwrap();
    let before = fs::read(&path).unwrap();
    let refused = open_with(&location(folder.path()), &options()).await;
    assert!(
        matches!(refused, Err(OpenError::File { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);

    let other = folder.path().join("other.db");
    let db = rusqlite::Connection::open(&other).unwrap();
    db.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let refused = open_with(&Location::Sqlite(other.clone()), &options()).await;
    let path = other.display().to_string();
    assert_eq!(refused.unwrap_err(), OpenError::Foreign { path });
    db.execute_batch("SELECT x FROM theirs").unwrap();

    let refused = open_with(&location(&folder.path().join("absent")), &options()).await;
    assert!(matches!(refused, Err(OpenError::File { .. })));
}

#[tokio::test]
async fn a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(
        open_with(&location(folder.path()), &options())
            .await
            .unwrap(),
    );
    let path = folder.path().join("store.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    let refused = open_with(&location(folder.path()), &options())
        .await
        .unwrap_err();
    let path = path.display().to_string();
    let expected = OpenError::TooNew {
        path,
        version: 99,
        known: 2,
    };
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn two_may_open_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let one = open_with(&location(folder.path()), &options())
        .await
        .unwrap();
    let other = open_with(&location(folder.path()), &options())
        .await
        .unwrap();
    enrol(&*one, 0).await;
    let (through, refused) = fill(&*one, 1, 5).await;
    assert_eq!(refused, None);
    let (through, refused) = fill(&*other, through + 1, 5).await;
    assert_eq!(refused, None);
    look(&*one, through).await;
    look(&*other, through).await;
}
