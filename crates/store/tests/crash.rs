//! F2: the power goes, and what was acknowledged is kept.
//!
//! A commit is acknowledged after a sync, so an honest disk has everything that was in the log
//! then; of what was written later it may have any part. The test takes the log apart at such
//! places: kept up to there, with or without a torn block of what followed, and then opened
//! again. It relies on one thing that it cannot see from outside, that there is a sync at all;
//! `src/sqlite/schema.rs` has the test for that.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod common;

use std::fs;

use bailiwick_core::{
    check::CheckId,
    report::{Lane, ReportId},
    time::Timestamp,
};
use bailiwick_store::{Incoming, NewReport};

use common::{enrol, name, open};

const CHECK: CheckId = CheckId(1);
const COMMITS: u64 = 60;

fn report(seq: u64) -> Incoming {
    Incoming::Report(NewReport {
        id: ReportId {
            lane: Lane::Change,
            epoch: 1,
            seq,
        },
        check: Some(CHECK),
        body: format!("report {seq} ").repeat(100).into(),
        answers: vec![format!("answer {seq}").into()],
        received: Timestamp(seq),
    })
}

/// Opens what a crash left, and returns how many reports are there: always the first ones.
async fn kept(database: &[u8], log: &[u8]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.db"), database).unwrap();
    fs::write(folder.path().join("store.db-wal"), log).unwrap();
    let store = open(folder.path()).await;
    // What was read from the log may be in memory only; before anything is added it is moved.
    let length = fs::metadata(folder.path().join("store.db-wal"))
        .unwrap()
        .len();
    assert_eq!(length, 0, "the log is begun anew");
    let all = store.evidence(CHECK, None, usize::MAX).await.unwrap();
    for (seq, kept) in (1..).zip(&all) {
        let Incoming::Report(sent) = report(seq) else {
            unreachable!()
        };
        assert_eq!(kept.id.report.seq, seq, "no hole");
        assert_eq!((&kept.body, &kept.answers), (&sent.body, &sent.answers));
    }
    let through = store.marks(&name(0)).await.unwrap();
    let through = through.first().map_or(0, |mark| mark.through);
    assert_eq!(through, all.len() as u64, "the mark goes with the reports");
    // And it goes on.
    let done = store
        .ingest(&name(0), vec![report(through + 1)])
        .await
        .unwrap();
    assert_eq!(done.marks[0].through, through + 1);
    through
}

#[test]
fn what_was_acknowledged_survives_a_torn_log() {
    let points: u64 = std::env::var("BAILIWICK_CRASHES").map_or(200, |n| n.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        enrol(&*store, 0).await;
        let log = folder.path().join("store.db-wal");
        let mut acknowledged = vec![fs::metadata(&log).unwrap().len()];
        for seq in 1..=COMMITS {
            store.ingest(&name(0), vec![report(seq)]).await.unwrap();
            acknowledged.push(fs::metadata(&log).unwrap().len());
        }
        let database = fs::read(folder.path().join("store.db")).unwrap();
        let log = fs::read(&log).unwrap();
        assert!(acknowledged.is_sorted(), "the log was not begun anew");
        let first = acknowledged[0];
        let mut state = 88_172_645_463_325_252_u64;
        let mut between = 0;
        for point in 0..points {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let cut = first + state % (log.len() as u64 - first + 1);
            let cut = usize::try_from(cut).unwrap();
            let mut left = log[..cut].to_vec();
            match point % 4 {
                0 => {}
                // What followed is of another time, as far as its block reaches.
                1 => left.resize(cut.next_multiple_of(512), 0),
                2 => left.resize(cut.next_multiple_of(4096), 0xa5),
                // A later block was written, one before it was not.
                _ => {
                    left = log.clone();
                    let end = log.len().min(cut.next_multiple_of(4096));
                    left[cut..end].fill(0);
                }
            }
            let synced = acknowledged.partition_point(|&length| length <= cut as u64) as u64 - 1;
            let kept = kept(&database, &left).await;
            assert!(
                kept >= synced,
                "cut at {cut}: {synced} acknowledged, {kept} kept"
            );
            assert!(kept <= COMMITS);
            between += u64::from(kept < COMMITS);
        }
        assert!(
            between > points / 2,
            "most crashes cost something that was not acknowledged"
        );
    });
}
