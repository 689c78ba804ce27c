//! A fleet in which rules panic, reports are old, late, doubled or in pieces: verdicts are those of
//! what was reported, and what is left out is named.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
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
use bailiwick_store::{Audit, Incoming, Judgement, NewCheck, NewReport, Store};
use bailiwick_tests::fleet::{
    Fleet, Session, Setup, answer, envelope, follow_of,
    oracle::verdict,
    players::{acknowledged, all_is_judged, check, kept, players, record, scenario},
    spooling::Spooling,
};
use bailiwick_verdict::{Evidence, Policy, judge};
use bailiwick_wire::proto::report::v1::ReportEnvelope as Envelope;
use bytes::Bytes;

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

/// A coordinator with players in networks of their own, so many for each report of the scenario.
struct Played {
    fleet: Fleet,
    sessions: Vec<(String, Session, Report)>,
}

/// What is left of a check: all rows, and the verdict with the places that it was judged by.
struct Left {
    rows: BTreeSet<(String, ReportId, Bytes, Vec<Bytes>)>,
    judgement: Judgement,
}

impl Played {
    async fn start(copies: usize) -> Result<Self> {
        let fleet = Fleet::start().await?;
        let mut sessions = Vec::new();
        let scenario = scenario().run(1);
        for copy in 0..copies {
            for report in &scenario {
                let name = format!("{}-{copy}", report.vantage.id.0);
                let asn = format!("asn={}", 64_501 + sessions.len());
                let player = fleet.join(&name, &[&asn, "rir=ripe"]).await?;
                sessions.push((name, player.session().await?, report.clone()));
            }
        }
        Ok(Self { fleet, sessions })
    }

    /// Lets every player answer one check in pieces, which are sent in batches as `order` has it.
    /// Returns the reports as they are whole, and how many envelopes they were.
    async fn answer(
        &mut self,
        first: u64,
        order: fn(Vec<Envelope>) -> Vec<Vec<Envelope>>,
    ) -> Result<(Vec<Report>, usize)> {
        let (mut reports, mut sent) = (Vec::new(), 0);
        for (name, session, report) in &mut self.sessions {
            let (check, number) = session.asked().await?;
            let report = answer(report.clone(), &check, number, name);
            let pieces = (first..).zip(in_pieces(&report, PIECES));
            let epoch = session.epoch;
            let all = pieces.map(|(seq, piece)| envelope(of(epoch, seq), &piece));
            for batch in order(all.collect()) {
                sent += batch.len();
                session.send(batch).await?;
            }
            reports.push(report);
        }
        for (_, session, _) in &mut self.sessions {
            let last = of(session.epoch, first + PIECES - 1);
            session.acknowledged(last).await?;
        }
        Ok((reports, sent))
    }

    async fn left(&self, check: CheckId) -> Result<Left> {
        self.fleet.settled().await?;
        let judgement = record(&self.fleet, check).await?.judgement;
        let kept = self.fleet.store.evidence(check, None, 100_000).await?;
        let count = kept.len();
        let rows = kept.into_iter();
        let rows: BTreeSet<_> = rows
            .map(|row| (row.id.agent.0, row.id.report, row.body, row.answers))
            .collect();
        ensure!(rows.len() == count, "a report is there twice");
        Ok(Left {
            rows,
            judgement: judgement.context("no verdict")?,
        })
    }
}

/// In how many pieces a report is sent.
const PIECES: u64 = 10;

fn of(epoch: u64, seq: u64) -> ReportId {
    ReportId {
        lane: Lane::Change,
        epoch,
        seq,
    }
}

/// Each piece once, in order.
fn once(pieces: Vec<Envelope>) -> Vec<Vec<Envelope>> {
    vec![pieces]
}

/// Batches of up to four pieces, each of them sent one to five times, in any order.
fn doubled_and_shuffled(mut pieces: Vec<Envelope>) -> Vec<Vec<Envelope>> {
    let mut batches = Vec::new();
    while !pieces.is_empty() {
        let rest = pieces.split_off(rand::random_range(1..=4).min(pieces.len()));
        let times = rand::random_range(1..=5);
        batches.extend(vec![pieces; times]);
        pieces = rest;
    }
    for at in (1..batches.len()).rev() {
        batches.swap(at, rand::random_range(0..=at));
    }
    batches
}

/// F15 and F16 all the way: reports in pieces, in batches that are sent one to five times, in any
/// order. Rows and verdict are those of a coordinator that got each piece once and in order.
///
/// 300 pieces by default; `BAILIWICK_REPORTS=1000000` for all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubled_and_shuffled_reports_change_nothing() -> Result<()> {
    let wanted = std::env::var("BAILIWICK_REPORTS").map_or(300, |text| text.parse().unwrap());
    // As many as may be asked at once, and no more than there is something to do for.
    let copies = (wanted / 5_000).clamp(1, 80);
    let mut clean = Played::start(copies).await?;
    let mut noisy = Played::start(copies).await?;
    for ((_, one, _), (_, other, _)) in clean.sessions.iter().zip(&mut noisy.sessions) {
        other.epoch = one.epoch;
    }
    let agents = u32::try_from(clean.sessions.len())?;
    let (mut rows, mut sent) = (0, 0);
    for round in 0.. {
        let asked = check(Duration::from_secs(30));
        let first = round * PIECES + 1;
        let mut left = Vec::new();
        for (played, order) in [
            (&mut clean, once as fn(_) -> _),
            (&mut noisy, doubled_and_shuffled),
        ] {
            let link = played.fleet.operator().await?;
            let following = follow_of(&link, &asked, "nagios", agents);
            let (followed, answered) = tokio::join!(following, played.answer(first, order));
            followed?;
            let (reports, envelopes) = answered?;
            left.push((played.left(asked.id).await?, reports, envelopes));
        }
        let [(clean, reports, _), (noisy, _, envelopes)] = <[_; 2]>::try_from(left).ok().unwrap();
        ensure!(noisy.rows == clean.rows, "other rows");
        ensure!(
            noisy.rows.len() as u64 == PIECES * reports.len() as u64,
            "all of them"
        );
        ensure!(
            noisy.judgement.verdict == clean.judgement.verdict,
            "another verdict"
        );
        ensure!(
            noisy.judgement.verdict == verdict(&noisy.judgement.places, reports)?,
            "another verdict than that of whole reports"
        );
        rows += noisy.rows.len();
        sent += envelopes;
        if rows >= wanted {
            break;
        }
    }
    println!("{sent} envelopes for {rows} reports of {agents} agents");
    Ok(())
}

/// F17: agents answer after half of the deadline, near it, at twice and at ten times of it. The round
/// is closed while some have not even looked, nothing late is lost, and in the end the verdict is
/// that of all, and marked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_reports_hold_no_round_open_and_count_in_the_end() -> Result<()> {
    let fleet = Fleet::start().await?;
    let asked = check(Duration::from_millis(1));
    // What is still on its way when the time of the check is over has 3 seconds more.
    let deadline = asked.timeout + Duration::from_secs(3);
    let after = [0.5, 0.9, 1.0, 1.1, 2.0, 10.0].map(|times| deadline.mul_f64(times));
    let players = players(&fleet, &after).await?;
    let made = |player: &Spooling| !player.account().made.is_empty();
    let followed = fleet.check(&asked, "json").await?;
    ensure!(!made(&players[5]), "it was waited for");
    ensure!(fleet.status().await?.open_checks == 0, "a round is open");
    let missing = i32::from(operator::VantageState::Missing);
    let missing = |name: &str| followed.rows[name].state == missing;
    ensure!(
        !missing("player-0") && missing("player-4") && missing("player-5"),
        "{:?}",
        followed.rows
    );
    let said = not_covered(followed.ended.shown.as_bytes())?;
    ensure!(said.contains("player-5"), "{said}");
    let first = fleet.store.first_judgement(asked.id).await?;
    let first = first.context("no verdict")?;
    assert_eq!(first.verdict, followed.ended.shown, "the first is kept");
    let created = record(&fleet, asked.id).await?.created;
    let open = Duration::from_micros(first.judged.0 - created.0);
    ensure!(open < deadline + Duration::from_secs(5), "{open:?}");
    for late in [4, 5] {
        while !made(&players[late]) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        acknowledged(&players, Duration::from_secs(20)).await?;
        fleet.settled().await?;
        // One that comes alone is counted alone, and before the one that is later still.
        let marked = record(&fleet, asked.id).await?.revisions;
        ensure!(marked >= late as u64 - 3, "{marked} after player-{late}");
    }
    assert_eq!(all_is_judged(&fleet, &players).await?, 1);
    let mut listing = fleet.operator().await?.operator();
    let listed = listing.list_checks(operator::ListChecksRequest::default());
    let listed = listed.await?.into_inner().checks.remove(0);
    ensure!(listed.revised && listed.reported == 6, "{listed:?}");
    Ok(())
}
