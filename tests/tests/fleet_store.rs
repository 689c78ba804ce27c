//! A coordinator whose store is full, or held by another process: what was acknowledged is kept,
//! what was not comes later, and operators are told why they wait.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bailiwick_core::{
    report::{Lane, ReportId},
    time::Timestamp,
    vantage::VantageId,
};
use bailiwick_rpc::{
    Link,
    operator::{self, check_event},
};
use bailiwick_store::{Error, Incoming, NewReport, Options, Store};
use bailiwick_tests::{
    fleet::{
        Fleet, Followed, Player, Setup, answer, envelope, folder,
        players::{acknowledged, all_is_judged, check, kept, players, record, scenario},
        programs::CoordinatorProgram,
    },
    programs::built,
};
use tokio::task::JoinSet;

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
    let test = "a_flood_against_a_locked_store_is_bounded";
    // Longer than the store waits, so that agents are sent away.
    let Some(sessions) = flood(test, Duration::from_secs(7)).await? else {
        return Ok(());
    };
    ensure!(sessions > AGENTS, "none was sent away");
    Ok(())
}

/// The same flood against a store that comes back before its patience ends: what is more than may
/// wait for it stays on the way, and nobody is sent away for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_wait_for_the_store_waits_on_the_way() -> Result<()> {
    let test = "what_may_not_wait_for_the_store_waits_on_the_way";
    let Some(sessions) = flood(test, Duration::from_secs(3)).await? else {
        return Ok(());
    };
    assert_eq!(sessions, AGENTS, "some were sent away");
    Ok(())
}

const AGENTS: usize = 100;

/// Lets a hundred agents send all that they may while the store is held for so long. Returns how
/// many sessions it took until all was acknowledged; nothing if there is no program.
async fn flood(test: &str, held: Duration) -> Result<Option<usize>> {
    /// Three of these are nearly all that an agent may have on its way.
    const OCTETS: usize = 300 << 10;
    let Some(programs) = built(test, &["bailiwick-coordinator"])? else {
        return Ok(None);
    };
    let folder = folder()?;
    let program = programs.join("bailiwick-coordinator");
    let mut coordinator = CoordinatorProgram::init(&program, &folder.path().join("own"))?;
    coordinator.start().await?;
    let link = Link::local(&coordinator.socket()).await?;
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        let request = operator::InviteAgentRequest {
            name: format!("agent-{number}"),
            ..operator::InviteAgentRequest::default()
        };
        let invited = link.operator().invite_agent(request).await?.into_inner();
        let player = Player::join(&invited.join).await?;
        let first = player.session().await?;
        agents.push((player, first));
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
    // All know of the check before the database is taken.
    let mut ready = Vec::new();
    for (player, mut first) in agents {
        let (check, round) = first.asked().await?;
        let report = answer(scenario().run(1).remove(0), &check, round, &player.name);
        ready.push((player, first, report));
    }
    let other = rusqlite::Connection::open(coordinator.store())?;
    other.execute_batch("BEGIN IMMEDIATE")?;
    let mut flood = JoinSet::new();
    for (player, first, report) in ready {
        flood.spawn(async move {
            let of = |seq| ReportId {
                lane: Lane::Change,
                epoch: 1,
                seq,
            };
            let reports: Vec<_> = (1..=3)
                .map(|seq| {
                    let mut sent = envelope(of(seq), &report);
                    // Unlike that of all others, so that it takes room.
                    let mut junk = vec![0; OCTETS - 50_000];
                    rand::fill(&mut junk[..]);
                    sent.answers.push(junk.into());
                    sent
                })
                .collect();
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
                    return sessions;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
    tokio::time::sleep(held).await;
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
        sessions += done?;
    }
    let rows: u64 = other.query_row(kept, [], |row| row.get(0))?;
    assert_eq!(rows, 3 * AGENTS as u64, "all of it, once");
    let most = coordinator.most_memory()? >> 20;
    println!("{AGENTS} agents, {sessions} sessions, at most {most} MiB in use");
    ensure!(most < 512, "{most} MiB");
    coordinator.stop().await?;
    Ok(Some(sessions))
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
