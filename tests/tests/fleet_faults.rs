//! A fleet with something wrong: a full or locked store, rules that panic, agents that are late,
//! doubled or lying. Nothing that was acknowledged is lost, and what is wrong is named.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{
    collections::{BTreeMap, BTreeSet},
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
use bailiwick_lab::scenario::Scenario;
use bailiwick_rpc::{
    Link,
    operator::{self, check_event},
};
use bailiwick_store::{Audit, CheckRecord, Error, Incoming, NewCheck, NewReport, Options, Store};
use bailiwick_tests::{
    fleet::{
        Fleet, Followed, Player, Setup, answer, envelope, folder, oracle::verdict,
        programs::CoordinatorProgram, spooling::Spooling,
    },
    programs::built,
};
use bailiwick_verdict::{Evidence, Policy, judge};
use tokio::task::JoinSet;

fn scenario() -> Scenario {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/scenarios/w03-one-instance-lags.txt"
    );
    Scenario::parse(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The check of the scenario as another one.
fn check(timeout: Duration) -> Check {
    Check {
        id: CheckId(rand::random()),
        nonce: rand::random(),
        timeout,
        ..scenario().check
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(u64::try_from(since.unwrap().as_micros()).unwrap())
}

/// Players in networks of their own that answer each check by themselves, so long after they are
/// asked.
async fn players(fleet: &Fleet, after: &[Duration]) -> Result<Vec<Spooling>> {
    let mut players = Vec::new();
    for (number, (after, report)) in after.iter().zip(scenario().run(1)).enumerate() {
        let asn = format!("asn={}", 64_501 + number);
        let rir = ["rir=ripe", "rir=arin", "rir=apnic"][number % 3];
        let player = fleet
            .join(&format!("player-{number}"), &[&asn, rir])
            .await?;
        players.push(Spooling::start(player, report, *after));
    }
    for _ in 0..200 {
        if fleet.status().await?.connected == players.len() as u64 {
            return Ok(players);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("not all are connected")
}

async fn acknowledged(players: &[Spooling], within: Duration) -> Result<Duration> {
    let began = Instant::now();
    while players.iter().any(|p| p.account().unacknowledged() > 0) {
        let troubles: Vec<_> = players
            .iter()
            .map(|p| p.account().trouble.clone())
            .collect();
        ensure!(began.elapsed() < within, "{troubles:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(began.elapsed())
}

async fn record(fleet: &Fleet, id: CheckId) -> Result<CheckRecord> {
    let record = fleet.store.check(id).await?;
    record.context("the check is not in the store")
}

/// All that is kept about a check, each report once.
async fn kept(store: &dyn Store, check: CheckId) -> Result<BTreeSet<(String, ReportId)>> {
    let rows = store.evidence(check, None, 100_000).await?;
    let count = rows.len();
    let rows: BTreeSet<_> = rows
        .into_iter()
        .map(|row| (row.id.agent.0, row.id.report))
        .collect();
    ensure!(rows.len() == count, "a report is there twice");
    Ok(rows)
}

/// Every check that players were asked has the verdict that comes of all that they made, and the
/// store has each of their reports once.
async fn all_is_judged(fleet: &Fleet, players: &[Spooling]) -> Result<usize> {
    fleet.settled().await?;
    let mut made: BTreeMap<CheckId, (BTreeSet<_>, Vec<Report>)> = BTreeMap::new();
    for player in players {
        let account = player.account();
        for (seq, (check, round)) in &account.made {
            let id = ReportId {
                lane: Lane::Change,
                epoch: account.epoch,
                seq: *seq,
            };
            let (ids, reports) = made.entry(check.id).or_default();
            ids.insert((player.name.clone(), id));
            reports.push(player.report(check, *round));
        }
    }
    let checks = made.len();
    for (id, (ids, reports)) in made {
        ensure!(
            kept(&*fleet.store, id).await? == ids,
            "another set of reports"
        );
        let judgement = record(fleet, id).await?.judgement.context("no verdict")?;
        let expected = verdict(&judgement.places, reports)?;
        ensure!(judgement.verdict == expected, "another verdict");
    }
    Ok(checks)
}

fn not_covered(shown: &[u8]) -> Result<String> {
    let shown: serde_json::Value = serde_json::from_slice(shown)?;
    Ok(shown["not_covered"].to_string())
}

/// Fills a store up to where it refuses reports.
async fn fill(store: &dyn Store, agent: &str) -> Result<()> {
    for seq in 1.. {
        let report = NewReport {
            id: ReportId {
                lane: Lane::Routine,
                epoch: 1,
                seq,
            },
            check: None,
            body: vec![7; 16 << 10].into(),
            answers: Vec::new(),
            received: Timestamp(1),
        };
        let items = vec![Incoming::Report(report)];
        match store.ingest(&VantageId(agent.to_owned()), items).await {
            Ok(_) => {}
            Err(Error::Full { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// F12: reports are refused before the disk is full. Operators learn it from the verdict and from
/// the status, and nothing is lost: with room come the reports, and the verdict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_is_named_and_nothing_is_lost() -> Result<()> {
    let options = Options {
        at_most: Some(2 << 20),
        ..Options::default()
    };
    let setup = Setup {
        options,
        ..Setup::default()
    };
    let fleet = Fleet::with(setup, |_| {}).await?;
    let late = Duration::from_millis(1500);
    let players = players(&fleet, &[Duration::ZERO, Duration::ZERO, late]).await?;

    // It becomes full while a round is open.
    let some = check(Duration::from_millis(100));
    let filling = async {
        while kept(&*fleet.store, some.id).await?.len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        fill(&*fleet.store, "player-0").await
    };
    let (followed, filled) = tokio::join!(fleet.check(&some, "json"), filling);
    filled?;
    let said = not_covered(followed?.ended.shown.as_bytes())?;
    let named = "reports of player-2 were refused: the coordinator's disk is nearly full";
    ensure!(said.contains(named), "{said}");

    // And then from the beginning.
    let none = check(Duration::from_millis(100));
    let Followed { ended, .. } = fleet.check(&none, "text").await?;
    let named = "because its disk is nearly full";
    ensure!(ended.shown.contains(named), "{}", ended.shown);
    assert_eq!(ended.exit_code, 40);
    let notes = fleet.status().await?.notes.join("; ");
    ensure!(
        notes.contains("nearly full: reports are refused"),
        "{notes}"
    );
    ensure!(players.iter().all(|p| p.account().unacknowledged() > 0));

    // There is room again.
    while fleet.store.forget_reports(Timestamp(2), 1000).await? > 0 {}
    acknowledged(&players, Duration::from_secs(10)).await?;
    assert_eq!(all_is_judged(&fleet, &players).await?, 2);
    for id in [some.id, none.id] {
        let record = record(&fleet, id).await?;
        ensure!(record.revisions > 0, "it was not judged again");
        let said = not_covered(&record.judgement.context("no verdict")?.verdict)?;
        ensure!(!said.contains("refused"), "{said}");
    }
    let notes = fleet.status().await?.notes.join("; ");
    ensure!(!notes.contains("full"), "{notes}");
    Ok(())
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

/// F13: somebody holds the database for longer than the store waits. Nothing is acknowledged,
/// reading goes on, and everything comes as soon as it can: once, and in the verdicts.
///
/// 8 seconds by default; `BAILIWICK_LOCKED=60` for all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_store_loses_nothing() -> Result<()> {
    let locked = std::env::var("BAILIWICK_LOCKED").map_or(8, |text| text.parse().unwrap());
    let fleet = Fleet::start().await?;
    let players = players(&fleet, &[Duration::from_millis(700); 6]).await?;
    let checks: Vec<_> = (0..10).map(|_| check(Duration::from_millis(500))).collect();
    let asking: Vec<_> = checks
        .iter()
        .map(|check| fleet.check(check, "json"))
        .collect();
    let other = rusqlite::Connection::open(fleet.database())?;
    let holding = async {
        // The checks are begun, and their reports are not there yet.
        while fleet.status().await?.open_checks < 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        other.execute_batch("BEGIN IMMEDIATE")?;
        let before: u64 = players.iter().map(|p| p.account().acknowledged).sum();
        tokio::time::sleep(Duration::from_secs(locked)).await;
        let after: u64 = players.iter().map(|p| p.account().acknowledged).sum();
        ensure!(before == after, "acknowledged, and not stored");
        let waiting: usize = players.iter().map(|p| p.account().unacknowledged()).sum();
        ensure!(waiting > 0, "nothing was on its way");
        ensure!(fleet.status().await?.open_checks > 0, "reading goes on");
        // Who asks now is told soon: the store does not answer, or its agents were sent away.
        let asked = Instant::now();
        let refused = fleet.check(&check(Duration::from_secs(1)), "json").await;
        let refused = refused.err().context("it cannot be begun")?;
        let code = refused.downcast::<tonic::Status>()?.code();
        let told = [tonic::Code::Unavailable, tonic::Code::FailedPrecondition];
        ensure!(told.contains(&code), "{code:?}");
        ensure!(asked.elapsed() < Duration::from_secs(30), "kept waiting");
        other.execute_batch("ROLLBACK")?;
        acknowledged(&players, Duration::from_secs(20)).await
    };
    let (followed, drained) = tokio::join!(futures(asking), holding);
    println!(
        "locked for {locked} s, drained within {:?} after it",
        drained?
    );
    for followed in followed {
        followed?;
    }
    assert_eq!(all_is_judged(&fleet, &players).await?, 10);
    Ok(())
}

/// F13, once more with the real program: a hundred agents send as much as they may while the
/// database is held. What waits is bounded, the rest stays with the agents, and all of it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_against_a_locked_store_is_bounded() -> Result<()> {
    const AGENTS: usize = 100;
    /// Three of these are nearly all that an agent may have on its way.
    const OCTETS: usize = 300 << 10;
    let test = "a_flood_against_a_locked_store_is_bounded";
    let Some(programs) = built(test, &["bailiwick-coordinator"])? else {
        return Ok(());
    };
    let folder = folder()?;
    let program = programs.join("bailiwick-coordinator");
    let mut coordinator = CoordinatorProgram::init(&program, &folder.path().join("own"))?;
    coordinator.start().await?;
    let link = Link::local(&coordinator.socket()).await?;
    let mut flood = JoinSet::new();
    let (go, _) = tokio::sync::watch::channel(false);
    for number in 0..AGENTS {
        let request = operator::InviteAgentRequest {
            name: format!("agent-{number}"),
            ..operator::InviteAgentRequest::default()
        };
        let invited = link.operator().invite_agent(request).await?.into_inner();
        let player = Player::join(&invited.join).await?;
        let mut first = player.session().await?;
        let mut go = go.subscribe();
        let report = scenario().run(1).remove(0);
        flood.spawn(async move {
            let (check, round) = first.asked().await?;
            let of = |seq| ReportId {
                lane: Lane::Change,
                epoch: 1,
                seq,
            };
            let report = answer(report, &check, round, &player.name);
            let reports: Vec<_> = (1..=3)
                .map(|seq| {
                    let mut sent = envelope(of(seq), &report);
                    // Unlike that of all others, so that it takes room.
                    let junk = (0..OCTETS - 50_000).map(|_| rand::random());
                    sent.answers.push(junk.collect::<Vec<u8>>().into());
                    sent
                })
                .collect();
            go.wait_for(|go| *go).await?;
            let mut session = Some(first);
            let mut sessions = 0;
            loop {
                sessions += 1;
                let tried = async {
                    let mut session = match session.take() {
                        Some(session) => session,
                        None => player.session().await?,
                    };
                    session.send(reports.clone()).await?;
                    session.acknowledged(of(3)).await
                };
                if tried.await.is_ok() {
                    return anyhow::Ok(sessions);
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
    let asked = check(Duration::from_secs(45));
    let request = operator::CreateCheckRequest {
        check: Some(bailiwick_wire::report::to_check(&asked)),
        agents: u32::try_from(AGENTS)?,
        view: Some(operator::View {
            format: "json".to_owned(),
            ..operator::View::default()
        }),
        ..operator::CreateCheckRequest::default()
    };
    let mut events = link.operator().create_check(request).await?.into_inner();
    let started = events.message().await?.and_then(|event| event.kind);
    ensure!(matches!(started, Some(check_event::Kind::Started(s)) if s.vantages.len() == AGENTS));
    let other = rusqlite::Connection::open(coordinator.store())?;
    other.execute_batch("BEGIN IMMEDIATE")?;
    go.send_replace(true);
    // Longer than the store waits, so that agents are sent away.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let kept = "SELECT COUNT(*) FROM report";
    let rows: u64 = other.query_row(kept, [], |row| row.get(0))?;
    assert_eq!(rows, 0, "the database is held");
    ensure!(
        flood.try_join_next().is_none(),
        "acknowledged, and not stored"
    );
    other.execute_batch("ROLLBACK")?;
    let mut sessions = 0;
    while let Some(done) = flood.join_next().await {
        sessions += done??;
    }
    let rows: u64 = other.query_row(kept, [], |row| row.get(0))?;
    assert_eq!(rows, 3 * AGENTS as u64, "all of it, once");
    let most = coordinator.most_memory()? >> 20;
    println!("{AGENTS} agents, {sessions} sessions, at most {most} MiB in use");
    ensure!(sessions > AGENTS, "none was sent away");
    ensure!(most < 512, "{most} MiB");
    coordinator.stop().await
}

/// Waits for all.
async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pinned: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in pinned.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
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
