//! Many sessions of one coordinator: agents that take nothing of what they are told (fault F18), and
//! all agents at once after the coordinator was killed (fault F19).
//!
//! Small, to see that it is so. What each costs and how soon thousands are back is measured by
//! `tests/bench/load stalled` and `tests/bench/load sessions`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bailiwick_agent::Retry;
use bailiwick_core::{check::CheckId, report::ReportId};
use bailiwick_rpc::{
    Link,
    agent::to_agent,
    operator::{self, check_event},
};
use bailiwick_store::Location;
use bailiwick_tests::{
    fleet::{
        Player, folder, follow_of,
        oracle::verdict,
        players::{check, kept, scenario},
        programs::CoordinatorProgram,
        spooling::Spooling,
    },
    load::{agent::Stream, site::Site},
    programs::built,
};
use tokio::task::JoinSet;

const COORDINATOR: &str = "bailiwick-coordinator";

/// Waits for a state that must come. The time is no promise, only an end.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let began = Instant::now();
    while !is_so() {
        ensure!(began.elapsed() < Duration::from_secs(180), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// F18: some keep their window shut and answer pings. While plans change, all others are told of
/// every change, and who takes nothing is sent away, which the log says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_is_sent_away_and_nobody_else() -> Result<()> {
    const GOOD: usize = 15;
    const DEAF: usize = 15;
    let test = "who_takes_nothing_is_sent_away_and_nobody_else";
    let Some(programs) = built(test, &[COORDINATOR])? else {
        return Ok(());
    };
    let folder = folder()?;
    let mut site = Site::create(&programs.join(COORDINATOR), folder.path())?;
    let store = site.store().await?;
    let members = site.enrol(&store, GOOD).await?;
    let deaf = site.enrol_deaf(&store, GOOD..GOOD + DEAF, |_| vec![]);
    let deaf = deaf.await?;
    drop(store);
    site.start()?;

    type Heard = Arc<Mutex<BTreeMap<String, BTreeSet<Vec<u8>>>>>;
    let heard = Heard::default();
    let mut hearing = JoinSet::new();
    for member in &members {
        let stream = member.session(0).await?;
        let (heard, name) = (Arc::clone(&heard), member.name.clone());
        hearing.spawn(async move {
            let Stream {
                say: _say,
                heard: mut told,
                link: _link,
            } = stream;
            while let Ok(Some(message)) = told.message().await {
                if let Some(to_agent::Kind::Plan(plan)) = message.kind {
                    let mut heard = heard.lock().unwrap_or_else(|e| e.into_inner());
                    let items = plan.items.iter().map(|item| item.id.to_vec());
                    heard.entry(name.clone()).or_default().extend(items);
                }
            }
        });
    }
    let ended = Arc::new(AtomicUsize::new(0));
    let mut stuck = JoinSet::new();
    for agent in &deaf {
        let stream = agent.session().await?;
        let ended = Arc::clone(&ended);
        stuck.spawn(async move {
            stream.ended().await;
            ended.fetch_add(1, Ordering::SeqCst);
        });
    }

    let link = site.operator().await?;
    let mut asked = BTreeSet::new();
    let mut following = JoinSet::new();
    let began = Instant::now();
    while ended.load(Ordering::SeqCst) < DEAF {
        ensure!(
            began.elapsed() < Duration::from_secs(180),
            "{} of {DEAF} were sent away after {} checks",
            ended.load(Ordering::SeqCst),
            asked.len()
        );
        let check = check(Duration::from_millis(1));
        asked.insert(check.id.0.to_be_bytes().to_vec());
        let link = link.clone();
        let all = u32::try_from(GOOD + DEAF)?;
        following.spawn(async move { follow_of(&link, &check, "nagios", all).await });
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    while let Some(followed) = following.join_next().await {
        followed??;
    }
    let all_heard = || {
        let heard = heard.lock().unwrap_or_else(|e| e.into_inner());
        members.iter().all(|member| {
            let of_member = heard.get(&member.name);
            of_member.is_some_and(|items| items.is_superset(&asked))
        })
    };
    until("the others are told of every check", all_heard).await?;
    ensure!(hearing.try_join_next().is_none(), "another session ended");
    let log = std::fs::read_to_string(site.log())?;
    for agent in &deaf {
        let named = log.lines().any(|line| {
            line.contains("does not take what it is told") && line.contains(agent.name())
        });
        ensure!(named, "{} is not named: {log}", agent.name());
    }
    Ok(())
}

/// Lets so many players join, with the pauses of real agents.
async fn join(coordinator: &CoordinatorProgram, players: usize) -> Result<Vec<Spooling>> {
    let link = Link::local(&coordinator.socket()).await?;
    let report = scenario().run(1).remove(0);
    let mut joined = Vec::new();
    for number in 0..players {
        let request = operator::InviteAgentRequest {
            name: format!("player-{number}"),
            labels: vec![format!("asn={}", 64_501 + number)],
            ..operator::InviteAgentRequest::default()
        };
        let invited = link.operator().invite_agent(request).await?.into_inner();
        let player = Player::join(&invited.join).await?;
        let (report, at_once) = (report.clone(), Duration::ZERO);
        joined.push(Spooling::start_with(
            player,
            report,
            at_once,
            Retry::default(),
        ));
    }
    Ok(joined)
}

/// Asks all, and returns as soon as that is written down.
async fn ask(socket: &Path, of: usize) -> Result<CheckId> {
    let check = check(Duration::from_secs(20));
    let request = operator::CreateCheckRequest {
        check: Some(bailiwick_wire::report::to_check(&check)),
        agents: u32::try_from(of)?,
        view: Some(operator::View {
            format: "nagios".to_owned(),
            ..operator::View::default()
        }),
        ..operator::CreateCheckRequest::default()
    };
    let link = Link::local(socket).await?;
    let mut events = link.operator().create_check(request).await?.into_inner();
    let begun = events.message().await?.and_then(|event| event.kind);
    let Some(check_event::Kind::Started(started)) = begun else {
        anyhow::bail!("not begun");
    };
    ensure!(
        started.vantages.len() == of,
        "{} are asked",
        started.vantages.len()
    );
    Ok(check.id)
}

/// F19: more agents than may be at their handshake at once, and a coordinator that is killed while
/// their reports are on the way. All come back, and each report is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_come_back_at_once_and_nothing_is_lost() -> Result<()> {
    const PLAYERS: usize = 300;
    const RESTARTS: u64 = 3;
    let test = "all_come_back_at_once_and_nothing_is_lost";
    let Some(programs) = built(test, &[COORDINATOR])? else {
        return Ok(());
    };
    let folder = folder()?;
    let program = programs.join(COORDINATOR);
    let mut coordinator = CoordinatorProgram::init(&program, &folder.path().join("own"))?;
    coordinator.start().await?;
    let players = join(&coordinator, PLAYERS).await?;
    let sessions = |at_least: u64| players.iter().all(|p| p.account().sessions >= at_least);
    let made = |at_least: usize| {
        let all = players.iter().map(|p| p.account().made.len());
        all.sum::<usize>() >= at_least
    };
    until("all are welcome", || sessions(1)).await?;
    let mut checks = Vec::new();
    for restart in 1..=RESTARTS {
        checks.push(ask(&coordinator.socket(), PLAYERS).await?);
        let before = (checks.len() - 1) * PLAYERS;
        until("reports are on their way", || made(before + PLAYERS / 3)).await?;
        coordinator.kill()?;
        let began = Instant::now();
        coordinator.start().await?;
        until("all are back", || sessions(restart + 1)).await?;
        println!("all are back {:.1?} after the kill", began.elapsed());
        let nothing_waits = || {
            let all = made(before + PLAYERS);
            all && players.iter().all(|p| p.account().unacknowledged() == 0)
        };
        until("all is acknowledged", nothing_waits).await?;
    }
    let link = Link::local(&coordinator.socket()).await?;
    let mut asked = link.operator();
    loop {
        let status = asked.get_status(operator::GetStatusRequest::default());
        let status = status.await?.into_inner();
        if status.open_checks == 0 && !status.notes.iter().any(|n| n.contains("judged again")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    coordinator.stop().await?;

    let store = bailiwick_store::open(&Location::Sqlite(coordinator.store())).await?;
    for id in checks {
        let (mut rows, mut reports) = (BTreeSet::new(), Vec::new());
        for player in &players {
            let account = player.account();
            let of_check = account.made.iter().find(|(_, (check, _))| check.id == id);
            let (seq, (check, round)) = of_check.context("it was not asked")?;
            let lane = bailiwick_core::report::Lane::Change;
            let (epoch, seq) = (account.epoch, *seq);
            rows.insert((player.name.clone(), ReportId { lane, epoch, seq }));
            reports.push(player.report(check, *round));
        }
        ensure!(kept(&*store, id).await? == rows, "lost, or there twice");
        let judgement = store.check(id).await?.and_then(|check| check.judgement);
        let judgement = judgement.context("no verdict")?;
        ensure!(
            judgement.verdict == verdict(&judgement.places, reports)?,
            "another verdict"
        );
    }
    Ok(())
}
