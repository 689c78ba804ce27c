//! Reports, gaps and marks (reliability: F15, F16, T23).

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_core::{check::CheckId, report::Lane, time::Timestamp};
use bailiwick_store::{
    AgentState, Equivocation, Error, Fate, Fate::*, Gap, Incoming, Ingested, Kept, KeptId, Mark,
    NewReport, Store,
};
use bailiwick_wire::report::hash;
use bytes::Bytes;

use crate::world::*;

/// A report of another body under the same identity.
fn other_body(seq: u64, body: Bytes) -> Incoming {
    Incoming::Report(NewReport {
        body,
        received: later(2 * MINUTE),
        ..report(id(Lane::Change, 1, seq))
    })
}

fn kept(name: &str, new: NewReport) -> Kept {
    Kept {
        id: KeptId {
            agent: named(name),
            report: new.id,
        },
        hash: hash(&new.body),
        body: new.body,
        answers: new.answers,
        received: new.received,
    }
}

pub(crate) async fn a_report_comes_back_as_it_was(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let sent = report(id(Lane::Routine, u64::MAX, 1));
    let done = ingest(&*store, &name, vec![Incoming::Report(sent.clone())]).await;
    let mark = Mark {
        lane: Lane::Routine,
        epoch: u64::MAX,
        through: 1,
    };
    let (fates, marks) = (vec![Stored], vec![mark]);
    assert_eq!(done, Ingested { fates, marks });
    assert_eq!(evidence(&*store, CHECK).await, [kept("fra-1", sent)]);
}

pub(crate) async fn the_first_report_moves_the_mark(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    assert_eq!(store.marks(&name).await.unwrap(), []);
    for seq in 1..=3 {
        let done = ingest(&*store, &name, vec![change(seq)]).await;
        assert_eq!(done, ingested(&[Stored], seq));
        assert_eq!(store.marks(&name).await.unwrap(), done.marks);
    }
}

pub(crate) async fn a_hole_holds_the_mark(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let cases = [(2, 0), (1, 2), (5, 2), (4, 2), (7, 2), (3, 5), (6, 7)];
    for (seq, through) in cases {
        let done = ingest(&*store, &name, vec![change(seq)]).await;
        assert_eq!(done, ingested(&[Stored], through), "after {seq}");
    }
}

pub(crate) async fn the_hole_is_filled_late(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let all_but_one = (2..=300).map(change).collect();
    assert_eq!(
        ingest(&*store, &name, all_but_one).await.marks[0].through,
        0
    );
    let done = ingest(&*store, &name, vec![change(1)]).await;
    assert_eq!(done, ingested(&[Stored], 300));
}

pub(crate) async fn gaps_fill_holes(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let sent = vec![change(1), change(5), gap(2, 4), change(6)];
    let done = ingest(&*store, &name, sent).await;
    assert_eq!(done, ingested(&[Stored; 4], 6));
    let done = ingest(&*store, &name, vec![gap(7, 7), gap(9, 9)]).await;
    assert_eq!(done, ingested(&[Stored; 2], 7));
    let done = ingest(&*store, &name, vec![change(8)]).await;
    assert_eq!(done, ingested(&[Stored], 9));
    let done = ingest(&*store, &name, vec![gap(2, 4)]).await;
    assert_eq!(done, ingested(&[Known], 9), "the same gap again");
}

pub(crate) async fn a_gap_before_anything(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let done = ingest(&*store, &name, vec![gap(1, 1_000_000)]).await;
    assert_eq!(done, ingested(&[Stored], 1_000_000));
    let done = ingest(&*store, &name, vec![change(1_000_001)]).await;
    assert_eq!(done, ingested(&[Stored], 1_000_001));
}

pub(crate) async fn overlapping_gaps_are_no_trouble(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let gaps = vec![gap(5, 9), gap(2, 6), gap(3, 3), gap(1, 2), gap(8, 12)];
    let done = ingest(&*store, &name, gaps).await;
    let fates = [Stored, Stored, Known, Stored, Stored];
    assert_eq!(done, ingested(&fates, 12), "one of them says nothing new");
}

pub(crate) async fn gaps_that_touch_are_one(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let mut singles: Vec<Incoming> = (1..=50).map(|seq| gap(seq, seq)).collect();
    shuffle(&mut singles, 3);
    let done = ingest(&*store, &name, singles).await;
    assert_eq!(done, ingested(&[Stored; 50], 50));
    let cases = [
        (gap(1, 50), Known, 50, "all of it"),
        (gap(20, 30), Known, 50, "a part"),
        (gap(50, 51), Stored, 51, "one more"),
        (gap(60, 70), Stored, 51, "apart"),
        (gap(71, 80), Stored, 51, "after it"),
        (gap(55, 59), Stored, 51, "before it"),
        (gap(55, 80), Known, 51, "these three"),
        (gap(54, 81), Stored, 51, "around them"),
        (gap(53, 53), Stored, 51, "before that"),
        (gap(52, 52), Stored, 81, "the last hole"),
        (gap(1, 81), Known, 81, "all"),
    ];
    for (item, fate, through, why) in cases {
        let done = ingest(&*store, &name, vec![item]).await;
        assert_eq!(done, ingested(&[fate], through), "{why}");
    }
}

pub(crate) async fn a_report_that_was_said_to_be_lost_is_kept(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    ingest(&*store, &name, vec![gap(1, 3)]).await;
    let done = ingest(&*store, &name, vec![change(2)]).await;
    assert_eq!(done, ingested(&[Stored], 3), "as if it had come before");
    let done = ingest(&*store, &name, vec![change(2), gap(2, 2)]).await;
    assert_eq!(done, ingested(&[Known, Known], 3));
    assert_eq!(evidence(&*store, CHECK).await.len(), 1);
}

pub(crate) async fn duplicates_have_no_effect(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    ingest(&*store, &name, vec![change(1), change(2), change(4)]).await;
    let before = evidence(&*store, CHECK).await;
    for _ in 0..3 {
        let again = ingest(&*store, &name, vec![change(4), change(2), change(1)]).await;
        assert_eq!(again, ingested(&[Known; 3], 2));
    }
    assert_eq!(evidence(&*store, CHECK).await, before);
    assert_eq!(store.agent(&name).await.unwrap().unwrap().reports, 3);
}

pub(crate) async fn a_duplicate_keeps_the_first_moment(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let first = report(id(Lane::Change, 1, 1));
    let again = NewReport {
        received: later(HOUR),
        ..first.clone()
    };
    ingest(&*store, &name, vec![Incoming::Report(first.clone())]).await;
    ingest(&*store, &name, vec![Incoming::Report(again)]).await;
    assert_eq!(evidence(&*store, CHECK).await, [kept("fra-1", first)]);
}

pub(crate) async fn duplicates_in_one_batch(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let sent = vec![
        change(1),
        change(1),
        change(2),
        change(1),
        gap(3, 3),
        gap(3, 3),
    ];
    let done = ingest(&*store, &name, sent).await;
    assert_eq!(
        done,
        ingested(&[Stored, Known, Stored, Known, Stored, Known], 3)
    );
}

pub(crate) async fn equivocation_is_refused_and_noted(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    ingest(&*store, &name, vec![change(1)]).await;
    let before = evidence(&*store, CHECK).await;
    let lie = body(now(), "a lie");
    let done = ingest(&*store, &name, vec![other_body(1, lie.clone()), change(2)]).await;
    assert_eq!(
        done,
        ingested(&[Equivocated, Stored], 2),
        "the rest is kept"
    );
    assert_eq!(
        evidence(&*store, CHECK).await[..1],
        before,
        "the first is kept"
    );
    let noted = store.equivocations(&name, 100).await.unwrap();
    let expected = Equivocation {
        report: id(Lane::Change, 1, 1),
        kept: before[0].hash,
        other: hash(&lie),
        at: later(2 * MINUTE),
    };
    assert_eq!(noted, [expected]);
    let agent = store.agent(&name).await.unwrap().unwrap();
    assert_eq!((agent.equivocations, agent.reports), (1, 2));
}

pub(crate) async fn equivocation_on_another_day_is_found(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    ingest(&*store, &name, vec![change(1)]).await;
    let days = [
        body(later(48 * HOUR), "change 1 1"),
        body(Timestamp(0), "change 1 1"),
        body(Timestamp(u64::MAX), "change 1 1"),
        Bytes::from_static(b"\xff\xff no message"),
        Bytes::new(),
    ];
    for other in days {
        let done = ingest(&*store, &name, vec![other_body(1, other)]).await;
        assert_eq!(done, ingested(&[Equivocated], 1));
    }
    assert_eq!(evidence(&*store, CHECK).await.len(), 1);
}

pub(crate) async fn equivocation_in_one_batch(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let lie = other_body(1, body(now(), "a lie"));
    let done = ingest(&*store, &name, vec![change(1), lie.clone(), change(1)]).await;
    assert_eq!(done, ingested(&[Stored, Equivocated, Known], 1));
    let other = enrol(&*store, 2, "ams-1").await;
    let done = ingest(&*store, &other, vec![lie, change(1)]).await;
    assert_eq!(
        done,
        ingested(&[Stored, Equivocated], 1),
        "whatever is first"
    );
}

pub(crate) async fn one_equivocation_is_counted_once(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    ingest(&*store, &name, vec![change(1)]).await;
    for lie in ["one", "one", "two"] {
        let lie = other_body(1, body(now(), lie));
        assert_eq!(ingest(&*store, &name, vec![lie]).await.fates, [Equivocated]);
    }
    let noted = store.equivocations(&name, 100).await.unwrap();
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].other, hash(&body(now(), "one")), "the first other");
    assert_eq!(store.agent(&name).await.unwrap().unwrap().equivocations, 1);
}

pub(crate) async fn a_thousand_equivocations(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    for first in (1..=1000).step_by(50) {
        ingest(&*store, &name, (first..first + 50).map(change).collect()).await;
    }
    let before = evidence(&*store, CHECK).await;
    for first in (1..=1000).step_by(50) {
        let lies = (first..first + 50).map(|seq| other_body(seq, body(now(), "a lie")));
        let done = ingest(&*store, &name, lies.collect()).await;
        assert_eq!(done.fates, [Equivocated; 50]);
    }
    assert_eq!(evidence(&*store, CHECK).await, before);
    assert_eq!(
        store.agent(&name).await.unwrap().unwrap().equivocations,
        1000
    );
    assert_eq!(store.equivocations(&name, 10).await.unwrap().len(), 10);
    let noted = store.equivocations(&name, 2000).await.unwrap();
    let seqs: Vec<u64> = noted.iter().map(|pair| pair.report.seq).collect();
    assert_eq!(seqs, (1..=1000).collect::<Vec<_>>());
}

pub(crate) async fn lanes_and_epochs_are_apart(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let spools = [
        (Lane::Change, 1),
        (Lane::Change, 2),
        (Lane::Routine, 1),
        (Lane::Routine, 2),
    ];
    let sent = spools.map(|(lane, epoch)| Incoming::Report(report(id(lane, epoch, 1))));
    let done = ingest(&*store, &name, sent.to_vec()).await;
    let marks = spools.map(|(lane, epoch)| Mark {
        lane,
        epoch,
        through: 1,
    });
    assert_eq!((done.fates, done.marks), (vec![Stored; 4], marks.to_vec()));
    assert_eq!(store.marks(&name).await.unwrap(), marks);
    assert_eq!(evidence(&*store, CHECK).await.len(), 4);
    let routine = Gap {
        lane: Lane::Routine,
        epoch: 2,
        first: 2,
        last: 9,
    };
    let done = ingest(&*store, &name, vec![Incoming::Gap(routine)]).await;
    assert_eq!(
        done.marks,
        [Mark {
            through: 9,
            ..marks[3]
        }]
    );
    assert_eq!(store.marks(&name).await.unwrap()[..3], marks[..3]);
}

pub(crate) async fn great_epochs_are_told_apart(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let epochs = [0, 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];
    for (number, epoch) in (1..).zip(epochs) {
        let sent = Incoming::Report(report(id(Lane::Change, epoch, 1)));
        assert_eq!(ingest(&*store, &name, vec![sent]).await.fates, [Stored]);
        let marks = store.marks(&name).await.unwrap();
        let seen: Vec<u64> = marks.iter().map(|mark| mark.epoch).collect();
        assert_eq!(seen, epochs[..number]);
    }
}

pub(crate) async fn agents_are_apart(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    let other = enrol(&*store, 2, "ams-1").await;
    ingest(&*store, &one, vec![change(1), change(2)]).await;
    let lie = other_body(1, body(now(), "another report"));
    let done = ingest(&*store, &other, vec![lie]).await;
    assert_eq!(done, ingested(&[Stored], 1), "no equivocation");
    let all = evidence(&*store, CHECK).await;
    let of = |name: &str| {
        all.iter()
            .filter(|kept| kept.id.agent == named(name))
            .count()
    };
    assert_eq!((of("fra-1"), of("ams-1")), (2, 1));
}

/// The first report of an epoch.
fn begin(epoch: u64) -> Incoming {
    Incoming::Report(report(id(Lane::Change, epoch, 1)))
}

pub(crate) async fn made_up_epochs_are_forgotten(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let other = enrol(&*store, 2, "ams-1").await;
    ingest(&*store, &other, vec![change(1)]).await;
    for epoch in 1..=200 {
        let done = ingest(&*store, &name, vec![begin(epoch), begin(epoch)]).await;
        assert_eq!(done.fates, [Stored, Known]);
        let marks = store.marks(&name).await.unwrap();
        let epochs: Vec<u64> = marks.iter().map(|mark| mark.epoch).collect();
        let kept: Vec<u64> = (epoch.saturating_sub(63).max(1)..=epoch).collect();
        assert_eq!(epochs, kept, "the last 64");
    }
    assert_eq!(store.marks(&other).await.unwrap().len(), 1);
    let agent = store.agent(&name).await.unwrap().unwrap();
    assert_eq!(agent.reports, 200, "all are counted");
    assert_eq!(store.usage().await.unwrap().reports, 201);
    assert_eq!(evidence(&*store, CHECK).await.len(), 201, "and kept");
    // One that is forgotten is known all the same by its reports.
    let done = ingest(&*store, &name, vec![begin(1)]).await;
    assert_eq!((done.fates, done.marks[0].through), (vec![Known], 1));
    let agent = store.agent(&name).await.unwrap().unwrap();
    assert_eq!(agent.reports, 200);
}

pub(crate) async fn a_batch_of_made_up_epochs(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    ingest(&*store, &name, vec![begin(1000)]).await;
    let mut sent: Vec<Incoming> = (1..=100).map(begin).collect();
    sent.push(begin(1000));
    let done = ingest(&*store, &name, sent.clone()).await;
    assert_eq!(done.fates[..100], [Stored; 100]);
    assert_eq!((done.fates[100], done.marks.len()), (Known, 101));
    let marks = store.marks(&name).await.unwrap();
    let epochs: Vec<u64> = marks.iter().map(|mark| mark.epoch).collect();
    assert_eq!(epochs, (37..=100).collect::<Vec<_>>());
    let done = ingest(&*store, &name, sent).await;
    assert_eq!(done.fates, [Known; 101]);
    assert_eq!(store.agent(&name).await.unwrap().unwrap().reports, 101);
    assert_eq!(store.marks(&name).await.unwrap().len(), 64);
}

pub(crate) async fn impossible_numbers_are_refused_whole(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let impossible = [
        change(0),
        change(1 << 63),
        change(u64::MAX),
        gap(0, 1),
        gap(2, 1),
        gap(1, 1 << 63),
        gap(u64::MAX, u64::MAX),
    ];
    for item in impossible {
        let done = store.ingest(&name, vec![change(1), item.clone()]).await;
        assert!(matches!(done, Err(Error::Invalid { .. })), "{item:?}");
    }
    assert_eq!(evidence(&*store, CHECK).await, []);
    assert_eq!(store.marks(&name).await.unwrap(), []);
}

pub(crate) async fn the_greatest_number_is_possible(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let last = i64::MAX as u64;
    let done = ingest(&*store, &name, vec![change(last)]).await;
    assert_eq!(done, ingested(&[Stored], 0));
    let done = ingest(&*store, &name, vec![gap(1, last - 1)]).await;
    assert_eq!(done, ingested(&[Stored], last));
    let done = ingest(&*store, &name, vec![change(last), gap(last, last)]).await;
    assert_eq!(done, ingested(&[Known, Stored], last));
    assert_eq!(evidence(&*store, CHECK).await.len(), 1);
}

pub(crate) async fn unknown_agents_are_refused(store: Arc<dyn Store>) {
    let name = named("fra-1");
    let done = store.ingest(&name, vec![change(1)]).await;
    assert_eq!(done, Err(Error::NoSuchAgent { name: name.clone() }));
    assert_eq!(evidence(&*store, CHECK).await, []);
    assert_eq!(store.marks(&name).await.unwrap(), []);
    assert_eq!(store.equivocations(&name, 9).await.unwrap(), []);
}

pub(crate) async fn banned_agents_are_refused_and_their_evidence_stays(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    ingest(&*store, &name, vec![change(1)]).await;
    let banned = AgentState::Banned {
        since: now(),
        reason: "it lies".to_owned(),
    };
    let noted = audit("ban");
    store.set_agent_state(&name, &banned, &noted).await.unwrap();
    let done = store.ingest(&name, vec![change(2)]).await;
    assert_eq!(done, Err(Error::Banned { name: name.clone() }));
    assert_eq!(evidence(&*store, CHECK).await.len(), 1);
    for state in [AgentState::Active, AgentState::Pending] {
        store.set_agent_state(&name, &state, &noted).await.unwrap();
        assert!(store.ingest(&name, vec![change(2)]).await.is_ok());
    }
}

pub(crate) async fn an_empty_batch(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let nothing = ingest(&*store, &name, vec![]).await;
    assert_eq!(nothing, Ingested::default());
}

pub(crate) async fn empty_octets_come_back(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let cases = [vec![], vec![Bytes::new()], vec![Bytes::new(), Bytes::new()]];
    for (seq, answers) in (1..).zip(cases.clone()) {
        let sent = NewReport {
            body: Bytes::new(),
            answers,
            ..report(id(Lane::Change, 1, seq))
        };
        ingest(&*store, &name, vec![Incoming::Report(sent)]).await;
    }
    let all = evidence(&*store, CHECK).await;
    let answers: Vec<_> = all.into_iter().map(|kept| kept.answers).collect();
    assert_eq!(answers, cases);
}

pub(crate) async fn large_reports_come_back(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let sent = NewReport {
        body: vec![7; 64 << 10].into(),
        answers: (0..=255_u8).map(|n| vec![n; 1024].into()).collect(),
        ..report(id(Lane::Change, 1, 1))
    };
    let batch = vec![Incoming::Report(sent.clone())];
    ingest(&*store, &name, batch).await;
    assert_eq!(evidence(&*store, CHECK).await, [kept("fra-1", sent)]);
}

pub(crate) async fn equal_answers_are_shared_by_reports(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let answer = |n: u8| Bytes::from(vec![n; 500]);
    let with = |seq: u64, answers: &[u8]| NewReport {
        answers: answers.iter().map(|&n| answer(n)).collect(),
        body: body(later(u32::try_from(seq).unwrap() * 24 * HOUR), "x"),
        ..report(id(Lane::Change, 1, seq))
    };
    // The same on several days, backwards and forwards, twice in one report.
    let sent = [(3, &[1, 2][..]), (1, &[2, 1]), (2, &[2, 2, 3]), (4, &[3])];
    for (seq, answers) in sent {
        ingest(&*store, &name, vec![Incoming::Report(with(seq, answers))]).await;
    }
    let mut expected = sent.map(|(seq, answers)| kept("fra-1", with(seq, answers)));
    expected.sort_by_key(|kept| kept.id.report);
    assert_eq!(evidence(&*store, CHECK).await, expected);
}

pub(crate) async fn evidence_comes_in_pages(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    let other = enrol(&*store, 2, "ams-1").await;
    for name in [&one, &other] {
        let routine = |seq| Incoming::Report(report(id(Lane::Routine, u64::MAX, seq)));
        let sent = (1..=20).flat_map(|seq| [change(seq), routine(seq)]);
        ingest(&*store, name, sent.collect()).await;
    }
    let all = evidence(&*store, CHECK).await;
    assert_eq!(all.len(), 80);
    for size in [1, 7, 79, 80, 81] {
        let mut pages: Vec<Kept> = Vec::new();
        loop {
            let after = pages.last().map(|kept| kept.id.clone());
            let page = store.evidence(CHECK, after.as_ref(), size).await.unwrap();
            assert!(page.len() <= size);
            if page.is_empty() {
                break;
            }
            pages.extend(page);
        }
        assert_eq!(pages, all, "pages of {size}");
    }
    assert_eq!(store.evidence(CHECK, None, 0).await.unwrap(), []);
}

pub(crate) async fn evidence_is_of_one_check(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let checks = [0, 1, CHECK.0, u128::MAX];
    for (seq, check) in (1..).zip(checks) {
        let sent = NewReport {
            check: Some(CheckId(check)),
            ..report(id(Lane::Change, 1, seq))
        };
        ingest(&*store, &name, vec![Incoming::Report(sent)]).await;
    }
    for (seq, check) in (1..).zip(checks) {
        let all = evidence(&*store, CheckId(check)).await;
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].id.report.seq, seq);
    }
    assert_eq!(evidence(&*store, CheckId(2)).await, []);
}

pub(crate) async fn routine_reports_belong_to_no_check(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let sent = NewReport {
        check: None,
        ..report(id(Lane::Routine, 1, 1))
    };
    let done = ingest(&*store, &name, vec![Incoming::Report(sent.clone())]).await;
    assert_eq!(done.fates, [Stored]);
    let done = ingest(&*store, &name, vec![Incoming::Report(sent)]).await;
    assert_eq!(done.fates, [Known]);
    assert_eq!(evidence(&*store, CHECK).await, []);
    assert_eq!(store.agent(&name).await.unwrap().unwrap().reports, 1);
}

/// What matters in the end, of one agent.
async fn outcome(store: &dyn Store, name: &str) -> (Vec<Mark>, Vec<Kept>, u64) {
    let name = named(name);
    let mut all = evidence(store, CHECK).await;
    all.retain(|kept| kept.id.agent == name);
    for kept in &mut all {
        kept.id.agent = named("somebody");
    }
    let marks = store.marks(&name).await.unwrap();
    let agent = store.agent(&name).await.unwrap().unwrap();
    (marks, all, agent.reports)
}

/// All orders of the items, by Heap's algorithm.
fn orders<T: Clone>(items: &mut Vec<T>, fixed: usize, found: &mut Vec<Vec<T>>) {
    if fixed <= 1 {
        found.push(items.clone());
        return;
    }
    for at in 0..fixed {
        orders(items, fixed - 1, found);
        let other = if fixed.is_multiple_of(2) { at } else { 0 };
        items.swap(other, fixed - 1);
    }
}

pub(crate) async fn every_order_gives_the_same(store: Arc<dyn Store>) {
    let mut sent = vec![
        change(1),
        change(2),
        change(4),
        gap(3, 5),
        change(6),
        gap(1, 1),
    ];
    let mut all = Vec::new();
    orders(&mut sent, 6, &mut all);
    assert_eq!(all.len(), 720);
    let mut expected = None;
    for (number, order) in all.into_iter().enumerate() {
        let name = format!("agent-{number}");
        enrol_many(&*store, number, &name).await;
        // Some as one batch, some one by one.
        if number % 3 == 0 {
            ingest(&*store, &named(&name), order).await;
        } else {
            for item in order {
                ingest(&*store, &named(&name), vec![item]).await;
            }
        }
        let outcome = outcome_of_few(&*store, &name).await;
        let expected = expected.get_or_insert_with(|| outcome.clone());
        assert_eq!(&outcome, expected, "order {number}");
    }
}

/// Enrols one of more agents than there are keys of one octet.
async fn enrol_many(store: &dyn Store, number: usize, name: &str) {
    let mut made = token(0, name);
    made.id.0[..8].copy_from_slice(&number.to_be_bytes());
    made.id.0[9] = 1;
    store.create_token(&made, &audit("invite")).await.unwrap();
    let mut theirs = redemption(0, 0);
    theirs.token = made.id;
    theirs.key.0[..8].copy_from_slice(&number.to_be_bytes());
    store.redeem(&theirs).await.unwrap();
}

/// As [`outcome`], without reading the evidence of all agents.
async fn outcome_of_few(store: &dyn Store, name: &str) -> (Vec<Mark>, Vec<Kept>, u64) {
    let before = KeptId {
        agent: named(name),
        report: id(Lane::Change, 0, 1),
    };
    let mut all = store.evidence(CHECK, Some(&before), 4).await.unwrap();
    all.retain(|kept| kept.id.agent == named(name));
    for kept in &mut all {
        kept.id.agent = named("somebody");
    }
    let marks = store.marks(&named(name)).await.unwrap();
    let agent = store.agent(&named(name)).await.unwrap().unwrap();
    (marks, all, agent.reports)
}

pub(crate) async fn ten_thousand_shuffles_give_the_same(store: Arc<dyn Store>) {
    // Every shuffle goes to the same spool number of another epoch, many in one batch, so that
    // the disk is waited for less often.
    let shuffles = std::env::var("BAILIWICK_SHUFFLES");
    let shuffles: u64 = shuffles.map_or(100, |number| number.parse().unwrap());
    let name = enrol(&*store, 1, "fra-1").await;
    for epoch in 0..shuffles {
        let mut sent: Vec<Incoming> = (1..=200)
            .map(|seq| {
                let check = None;
                let new = report(id(Lane::Change, epoch, seq));
                Incoming::Report(NewReport { check, ..new })
            })
            .collect();
        shuffle(&mut sent, epoch);
        let half = sent.split_off(100);
        ingest(&*store, &name, sent).await;
        let done = ingest(&*store, &name, half).await;
        assert_eq!(done.fates, [Stored; 100]);
        let through = 200;
        let lane = Lane::Change;
        assert_eq!(
            done.marks,
            [Mark {
                lane,
                epoch,
                through
            }]
        );
    }
    let agent = store.agent(&name).await.unwrap().unwrap();
    assert_eq!(agent.reports, shuffles * 200);
}

pub(crate) async fn batches_again_and_again_give_the_same(store: Arc<dyn Store>) {
    enrol(&*store, 1, "clean").await;
    enrol(&*store, 2, "noisy").await;
    let batches: Vec<Vec<Incoming>> = (0..40)
        .map(|batch| (1..=25).map(|n| change(batch * 25 + n)).collect())
        .collect();
    for batch in &batches {
        ingest(&*store, &named("clean"), batch.clone()).await;
    }
    let mut noisy: Vec<Vec<Incoming>> = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        for seed in 0..=number % 5 {
            let mut batch = batch.clone();
            shuffle(&mut batch, seed as u64);
            noisy.push(batch);
        }
    }
    shuffle(&mut noisy, 4711);
    for batch in noisy {
        ingest(&*store, &named("noisy"), batch).await;
    }
    let clean = outcome(&*store, "clean").await;
    assert_eq!(clean.2, 1000);
    assert_eq!(outcome(&*store, "noisy").await, clean);
}

pub(crate) async fn many_agents_at_once(store: Arc<dyn Store>) {
    for number in 0..50 {
        enrol_many(&*store, number, &format!("agent-{number}")).await;
    }
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let name = named(&format!("agent-{number}"));
                for first in (1..=100).step_by(10) {
                    let batch = (first..first + 10).map(change).collect();
                    let done = ingest(&*store, &name, batch).await;
                    assert_eq!(done, ingested(&[Fate::Stored; 10], first + 9));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = evidence(&*store, CHECK).await;
    let distinct: BTreeSet<_> = all
        .iter()
        .map(|kept| (kept.id.agent.clone(), kept.id.report))
        .collect();
    assert_eq!((all.len(), distinct.len()), (5000, 5000));
    assert_eq!(store.usage().await.unwrap().reports, 5000);
}

pub(crate) async fn lately_reported_checks_are_counted(store: Arc<dyn Store>) {
    let lately = |minutes: u32| {
        let store = Arc::clone(&store);
        async move { store.lately_reported(MINUTE * minutes).await.unwrap() }
    };
    assert_eq!(lately(10).await, [], "nothing was reported");
    let name = enrol(&*store, 1, "fra-1").await;
    let about = |seq: u64, check: Option<u128>, minute: u32| {
        Incoming::Report(NewReport {
            check: check.map(CheckId),
            received: later(MINUTE * minute),
            ..report(id(Lane::Change, 1, seq))
        })
    };
    let items = vec![
        about(1, Some(7), 0),
        about(2, Some(5), 1),
        about(3, Some(7), 20),
        about(4, Some(6), 15),
        about(5, None, 20),
    ];
    ingest(&*store, &name, items).await;
    let expected = [(CheckId(6), 1), (CheckId(7), 2)];
    assert_eq!(lately(10).await, expected, "the older one of 7, too");
    assert_eq!(lately(0).await, [(CheckId(7), 2)], "the last moment counts");
    assert_eq!(lately(60).await.len(), 3, "no more than there are");
}

pub(crate) async fn usage_counts(store: Arc<dyn Store>) {
    let empty = store.usage().await.unwrap();
    assert_eq!((empty.agents, empty.reports), (0, 0));
    assert_eq!((empty.checks, empty.open_checks), (0, 0));
    assert!(empty.free > 0);
    let name = enrol(&*store, 1, "fra-1").await;
    for number in 1..=3 {
        let check = check(number, 0, &[&name]);
        store.create_check(&check, &audit("check")).await.unwrap();
    }
    store
        .close_check(CheckId(1), &judgement("A"))
        .await
        .unwrap();
    ingest(&*store, &name, vec![change(1), change(2), gap(3, 9)]).await;
    let usage = store.usage().await.unwrap();
    assert_eq!((usage.agents, usage.reports), (1, 2));
    assert_eq!((usage.checks, usage.open_checks), (3, 2));
    assert!(usage.octets > empty.octets || usage.octets > 1000);
}

/// A report that came so many days from now.
fn on_day(seq: u64, day: u32, answers: &[u8]) -> Incoming {
    Incoming::Report(NewReport {
        answers: answers.iter().map(|&n| vec![n; 500].into()).collect(),
        received: later(day * 24 * HOUR),
        ..report(id(Lane::Change, 1, seq))
    })
}

async fn left(store: &dyn Store) -> Vec<u64> {
    let all = evidence(store, CHECK).await;
    all.iter().map(|kept| kept.id.report.seq).collect()
}

pub(crate) async fn old_reports_are_forgotten(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    for (seq, day) in [(1, 5), (2, 1), (3, 3), (4, 1), (5, 9)] {
        ingest(&*store, &name, vec![on_day(seq, day, &[])]).await;
    }
    let forget = async |day: u32, limit| {
        let before = later(day * 24 * HOUR);
        store.forget_reports(before, limit).await.unwrap()
    };
    assert_eq!(forget(1, 100).await, 0, "none is older than that");
    assert_eq!(forget(4, 0).await, 0);
    assert_eq!(forget(4, 1).await, 1);
    assert_eq!(
        left(&*store).await,
        [1, 3, 4, 5],
        "the oldest, and of these the first"
    );
    assert_eq!(forget(4, 100).await, 2);
    assert_eq!(left(&*store).await, [1, 5]);
    assert_eq!(forget(5, 100).await, 0, "not the moment itself");
    assert_eq!(forget(1000, 2).await, 2);
    assert_eq!(left(&*store).await, []);
    let agent = store.agent(&name).await.unwrap().unwrap();
    assert_eq!(agent.reports, 5, "counts stay");
}

pub(crate) async fn what_is_forgotten_is_known(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let sent = vec![on_day(1, 1, &[1]), on_day(2, 1, &[2]), on_day(4, 1, &[3])];
    ingest(&*store, &name, sent.clone()).await;
    store.forget_reports(later(48 * HOUR), 100).await.unwrap();
    let lie = other_body(1, body(now(), "a lie"));
    let done = ingest(&*store, &name, vec![sent[0].clone(), lie]).await;
    assert_eq!(done, ingested(&[Known, Known], 2), "below the mark");
    assert_eq!(left(&*store).await, []);
    let done = ingest(&*store, &name, vec![sent[2].clone()]).await;
    assert_eq!(done, ingested(&[Stored], 2), "it was never acknowledged");
    let done = ingest(&*store, &name, vec![change(3)]).await;
    assert_eq!(done, ingested(&[Stored], 4));
}

pub(crate) async fn answers_stay_as_long_as_a_report_needs_them(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let sent = [
        (1, 1, &[1, 2][..]),
        (2, 9, &[2, 3]),
        (3, 5, &[3, 2]),
        (4, 2, &[1]),
    ];
    for (seq, day, answers) in sent {
        ingest(&*store, &name, vec![on_day(seq, day, answers)]).await;
    }
    for day in 1..=10 {
        let before = later(day * 24 * HOUR);
        while store.forget_reports(before, 1).await.unwrap() == 1 {}
        let all = evidence(&*store, CHECK).await;
        for kept in &all {
            let (_, _, answers) = sent[usize::try_from(kept.id.report.seq).unwrap() - 1];
            let expected: Vec<Bytes> = answers.iter().map(|&n| vec![n; 500].into()).collect();
            assert_eq!(kept.answers, expected, "day {day}");
        }
    }
    assert_eq!(left(&*store).await, []);
    // An answer that is forgotten can come again.
    ingest(&*store, &name, vec![on_day(5, 11, &[1, 2, 3])]).await;
    assert_eq!(evidence(&*store, CHECK).await[0].answers.len(), 3);
}

pub(crate) async fn forgetting_makes_room(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let large = |seq: u64| {
        let mut octets = vec![0; 100_000];
        octets[..8].copy_from_slice(&seq.to_be_bytes());
        Incoming::Report(NewReport {
            body: octets.clone().into(),
            answers: vec![octets.into()],
            ..report(id(Lane::Change, 1, seq))
        })
    };
    for seq in 1..=20 {
        ingest(&*store, &name, vec![large(seq)]).await;
    }
    let before = store.usage().await.unwrap();
    store.forget_reports(later(48 * HOUR), 100).await.unwrap();
    for seq in 21..=40 {
        ingest(&*store, &name, vec![large(seq)]).await;
    }
    let after = store.usage().await.unwrap();
    // A log that was not moved yet is counted, too.
    let most = before.octets + (5 << 20);
    assert!(
        after.octets <= most,
        "{} octets, then {}",
        before.octets,
        after.octets
    );
}
