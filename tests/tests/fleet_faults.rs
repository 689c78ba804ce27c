//! A fleet in which rules panic, reports are old, late, doubled or in pieces: verdicts are those of
//! what was reported, and what is left out is named.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use bailiwick_coordinator::{Habits, Rules};
use bailiwick_core::{
    check::{Check, CheckId},
    report::{Lane, Report, ReportId},
    time::Timestamp,
    vantage::VantageId,
};
use bailiwick_rpc::operator;
use bailiwick_store::{Audit, Incoming, NewCheck, NewReport, Store};
use bailiwick_tests::fleet::{
    Fleet, Setup, answer, envelope,
    oracle::verdict,
    players::{acknowledged, all_is_judged, check, kept, players, record, scenario},
};
use bailiwick_verdict::{Evidence, Policy, judge};

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(u64::try_from(since.unwrap().as_micros()).unwrap())
}

fn not_covered(shown: &[u8]) -> Result<String> {
    let shown: serde_json::Value = serde_json::from_slice(shown)?;
    Ok(shown["not_covered"].to_string())
}

/// Rules that panic on what is poisonous, and count how often they did.
fn rules(poisonous: fn(&Report) -> bool) -> (Rules, Arc<AtomicUsize>) {
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&panics);
    let rules = move |evidence: &Evidence| {
        if evidence.reports().any(poisonous) {
            counted.fetch_add(1, Ordering::SeqCst);
            panic!("a rule fails, as the test wants it");
        }
        judge(evidence, &Policy::default())
    };
    (Rules::new(rules), panics)
}

fn judging_by(rules: Rules) -> Setup {
    Setup {
        habits: Habits {
            rules,
            ..Habits::default()
        },
        ..Setup::default()
    }
}

/// F34: one report makes a rule panic. After two panics it is left out for good, and the verdict
/// of the others says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_makes_a_rule_fail_is_left_out() -> Result<()> {
    let (rules, panics) = rules(|report| report.vantage.id.0 == "player-1");
    let fleet = Fleet::with(judging_by(rules), |_| {}).await?;
    let late = Duration::from_millis(4000);
    let mut players = players(&fleet, &[Duration::ZERO, Duration::ZERO, late]).await?;
    let first = check(Duration::from_millis(100));
    let ended = fleet.check(&first, "json").await?.ended;
    let said = not_covered(ended.shown.as_bytes())?;
    let named = "reports of player-1 are left out: a rule failed on them, a bug of Bailiwick";
    ensure!(said.contains(named), "{said}");
    ensure!(
        ended.state != "ERROR",
        "the others are judged: {}",
        ended.state
    );
    assert_eq!(panics.load(Ordering::SeqCst), 2);
    let notes = fleet.status().await?.notes.join("; ");
    ensure!(notes.contains("one report is left out"), "{notes}");

    // A report that comes late is judged without another panic.
    acknowledged(&players, Duration::from_secs(20)).await?;
    while players[2].account().made.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    acknowledged(&players, Duration::from_secs(20)).await?;
    fleet.settled().await?;
    let again = record(&fleet, first.id).await?;
    assert_eq!(again.revisions, 1);
    let said = not_covered(&again.judgement.context("no verdict")?.verdict)?;
    ensure!(said.contains(named), "{said}");
    ensure!(!said.contains("no report came"), "{said}");
    assert_eq!(panics.load(Ordering::SeqCst), 2, "it is known by then");
    players.clear();
    Ok(())
}

/// F34: whatever is reported about a zone makes a rule panic. That zone has no verdict, others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_makes_a_rule_fail_harms_no_other() -> Result<()> {
    let (rules, panics) = rules(|report| report.check.zone.to_string() == "poison.example.");
    let fleet = Fleet::with(judging_by(rules), |_| {}).await?;
    let _players = players(&fleet, &[Duration::ZERO; 3]).await?;
    let poisonous = Check {
        zone: "poison.example.".parse()?,
        ..check(Duration::from_secs(5))
    };
    let healthy = check(Duration::from_secs(5));
    let (poisoned, well) = tokio::join!(
        fleet.check(&poisonous, "json"),
        fleet.check(&healthy, "json")
    );
    let (poisoned, well) = (poisoned?.ended, well?.ended);
    assert_eq!((poisoned.state.as_str(), poisoned.exit_code), ("ERROR", 3));
    ensure!(
        poisoned.shown.contains("a bug of Bailiwick"),
        "{}",
        poisoned.shown
    );
    assert_eq!(well.state, "CONSISTENT", "{}", well.shown);
    assert_eq!(panics.load(Ordering::SeqCst), 4, "all, then each of three");
    let again = Check {
        id: CheckId(rand::random()),
        ..healthy
    };
    assert_eq!(fleet.check(&again, "json").await?.ended.state, "CONSISTENT");
    Ok(())
}

/// Reports are kept for a time. What is older is forgotten, and whoever asks for it learns that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_reports_are_forgotten_and_verdicts_stay() -> Result<()> {
    const DAY: u64 = 86_400_000_000;
    let store = bailiwick_store::open(&bailiwick_store::Location::Memory).await?;
    let on = |store: &Arc<dyn Store>| Setup {
        store: Some(Arc::clone(store)),
        ..Setup::default()
    };
    let fleet = Fleet::with(on(&store), |_| {}).await?;
    let player = fleet.join("fra-1", &[]).await?;
    let name = VantageId(player.name.clone());
    fleet.coordinator.stop().await;
    let days = [91, 89];
    for (number, ago) in (1..).zip(days) {
        let at = Timestamp(now().0 - ago * DAY);
        let id = CheckId(number.into());
        let new = NewCheck {
            id,
            zone: b"\x07example\x03com\x00".to_vec().into(),
            check: Vec::new().into(),
            operator: "a test".to_owned(),
            created: at,
            deadline: at,
            asked: [name.clone()].into(),
            item: Vec::new().into(),
        };
        let audit = Audit {
            at,
            who: "a test".to_owned(),
            what: format!("check {number}"),
            request: [0; 32],
            result: "done".to_owned(),
        };
        store.create_check(&new, &audit).await?;
        let report = NewReport {
            id: ReportId {
                lane: Lane::Change,
                epoch: 1,
                seq: number,
            },
            check: Some(id),
            body: b"an old report".to_vec().into(),
            answers: Vec::new(),
            received: at,
        };
        let items = vec![Incoming::Report(report)];
        store.ingest(&name, items).await?;
    }
    let fleet = Fleet::with(on(&store), |_| {}).await?;
    let left = async |id| anyhow::Ok(kept(&*store, CheckId(id)).await?.len());
    for _ in 0..200 {
        if left(1).await? == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((left(1).await?, left(2).await?), (0, 1));
    let mut operator = fleet.operator().await?.operator();
    let old = operator::GetEvidenceRequest {
        check: CheckId(1).0.to_be_bytes().to_vec().into(),
    };
    let refused = operator.get_evidence(old).await.unwrap_err();
    ensure!(refused.message().contains("were forgotten"), "{refused:?}");
    assert_eq!(store.checks(None, 10).await?.len(), 2);
    Ok(())
}

/// Cuts a report into several that each have a part of the observations.
fn in_pieces(report: &Report, pieces: u64) -> Vec<Report> {
    let piece = |number: u64| {
        let observations = (0..).zip(&report.observations);
        let part = observations.filter(|(at, _)| at % pieces == number);
        Report {
            observations: part.map(|(_, (id, seen))| (*id, seen.clone())).collect(),
            ..report.clone()
        }
    };
    (0..pieces).map(piece).collect()
}

/// F15 and F16 all the way: reports in pieces, each sent one to five times, in any order. Rows and
/// verdict are those of reports that came once, whole and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubled_and_shuffled_reports_change_nothing() -> Result<()> {
    const PIECES: u64 = 5;
    const ROUNDS: u64 = 5;
    let fleet = Fleet::start().await?;
    let mut sessions = Vec::new();
    let whole = scenario().run(1);
    for (number, report) in whole.iter().enumerate() {
        let name = report.vantage.id.0.clone();
        let asn = format!("asn={}", 64_501 + number);
        let player = fleet.join(&name, &[&asn, "rir=ripe"]).await?;
        sessions.push((name, player.session().await?, report.clone()));
    }
    let mut sent = 0;
    for round in 0..ROUNDS {
        let asked = check(Duration::from_secs(5));
        let playing = async {
            let (mut ids, mut reports, mut last) = (BTreeSet::new(), Vec::new(), Vec::new());
            for (name, session, report) in &mut sessions {
                let (check, number) = session.asked().await?;
                let report = answer(report.clone(), &check, number, name);
                let mut batch = Vec::new();
                for (seq, piece) in (round * PIECES + 1..).zip(in_pieces(&report, PIECES)) {
                    let id = ReportId {
                        lane: Lane::Change,
                        epoch: session.epoch,
                        seq,
                    };
                    ids.insert((name.clone(), id));
                    let times = rand::random_range(1..=5);
                    batch.extend(vec![envelope(id, &piece); times]);
                }
                reports.push(report);
                for at in (1..batch.len()).rev() {
                    batch.swap(at, rand::random_range(0..=at));
                }
                sent += batch.len();
                let end = ReportId {
                    lane: Lane::Change,
                    epoch: session.epoch,
                    seq: (round + 1) * PIECES,
                };
                last.push(end);
                for one in batch {
                    session.send(vec![one]).await?;
                }
            }
            for ((_, session, _), end) in sessions.iter_mut().zip(last) {
                session.acknowledged(end).await?;
            }
            anyhow::Ok((ids, reports))
        };
        let (followed, played) = tokio::join!(fleet.check(&asked, "json"), playing);
        followed?;
        let (ids, reports) = played?;
        fleet.settled().await?;
        ensure!(kept(&*fleet.store, asked.id).await? == ids, "other rows");
        let judgement = record(&fleet, asked.id).await?.judgement;
        let judgement = judgement.context("no verdict")?;
        ensure!(
            judgement.verdict == verdict(&judgement.places, reports)?,
            "another verdict than that of whole reports"
        );
    }
    println!(
        "{sent} envelopes for {} reports",
        ROUNDS * PIECES * whole.len() as u64
    );
    Ok(())
}

/// F17: agents answer after half of the deadline, just before it, just after it and long after it.
/// The round is closed in time, and in the end the verdict is that of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_reports_hold_no_round_open_and_count_in_the_end() -> Result<()> {
    let fleet = Fleet::start().await?;
    let asked = check(Duration::from_millis(200));
    // What is still on its way when the time of the check is over has 3 seconds more.
    let deadline = asked.timeout + Duration::from_secs(3);
    let players = players(
        &fleet,
        &[0.5, 0.9, 1.1, 2.0].map(|times| deadline.mul_f64(times)),
    )
    .await?;
    let began = Instant::now();
    let followed = fleet.check(&asked, "json").await?;
    let took = began.elapsed();
    ensure!(took < deadline + Duration::from_secs(5), "{took:?}");
    let missing = i32::from(operator::VantageState::Missing);
    let missing = |name: &str| followed.rows[name].state == missing;
    ensure!(
        !missing("player-0") && missing("player-3"),
        "{:?}",
        followed.rows
    );
    while players.iter().any(|p| p.account().made.is_empty()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    acknowledged(&players, Duration::from_secs(10)).await?;
    all_is_judged(&fleet, &players).await?;
    ensure!(record(&fleet, asked.id).await?.revisions > 0, "marked");
    Ok(())
}
