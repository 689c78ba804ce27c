//! Watches: what agents do again and again comes to its rounds, also hours later (fault F6).
//!
//! ```text
//!  bailiwick-agent ── wire, which is cut ──▶ coordinator ─▶ slots ─▶ verdicts
//! ```
//!
//! The outage of the real programs is short. A whole one, with its bounds on time, and the programs
//! built before:
//! `BAILIWICK_PARTITION_SECONDS=600 cargo test -p bailiwick-tests --test watches -- --nocapture`

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use bailiwick_coordinator::Habits;
use bailiwick_core::{
    check::{Check, CheckId},
    report::{Lane, Report, ReportId, RoundId},
    time::Timestamp,
    vantage::VantageId,
};
use bailiwick_rpc::{
    Link,
    agent::{PlanDelta, PlanItem, Standing, plan_item, to_agent},
    operator,
};
use bailiwick_store::{Audit, NewWatch, Store, WatchId};
use bailiwick_tests::{
    fleet::{
        Fleet, Player, Session, Setup, answer, envelope, folder,
        players::{scenario, short_check},
        programs::{AgentProgram, CoordinatorProgram},
    },
    programs::built,
};
use bailiwick_wire::{report, slot};
use prost::Message as _;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// The shortest interval of a laboratory.
const INTERVAL: Duration = Duration::from_secs(10);
/// Nobody listens there, so checks of real agents end soon.
const PORT: u16 = 9;
/// How long something may take that is to come.
const PATIENCE: Duration = Duration::from_secs(90);

fn unix() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap()
}

fn stamp(unix: Duration) -> Timestamp {
    Timestamp(u64::try_from(unix.as_micros()).unwrap())
}

/// Looks again and again until it is there.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(began.elapsed() < PATIENCE, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn request(check: &Check, interval: Duration) -> operator::CreateWatchRequest {
    operator::CreateWatchRequest {
        check: Some(report::to_check(check)),
        interval_ns: i64::try_from(interval.as_nanos()).unwrap(),
        ..operator::CreateWatchRequest::default()
    }
}

async fn watched(link: &Link, check: &Check, interval: Duration) -> Result<operator::Watch> {
    let mut operator = link.operator();
    let made = operator.create_watch(request(check, interval)).await?;
    made.into_inner().watch.context("no watch")
}

async fn listed(link: &Link) -> Result<Vec<operator::Watch>> {
    let mut operator = link.operator();
    let listed = operator.list_watches(operator::ListWatchesRequest {});
    Ok(listed.await?.into_inner().watches)
}

async fn past(link: &Link) -> Result<Vec<operator::CheckSummary>> {
    let mut operator = link.operator();
    let past = operator.list_checks(operator::ListChecksRequest::default());
    Ok(past.await?.into_inner().checks)
}

async fn removed(link: &Link, watch: &operator::Watch) -> Result<operator::Watch> {
    let request = operator::RemoveWatchRequest {
        watch: watch.watch.clone(),
    };
    Ok(link.operator().remove_watch(request).await?.into_inner())
}

/// What an agent is told next that is in its plan, or no more.
async fn plan(session: &mut Session) -> Result<PlanDelta> {
    loop {
        if let to_agent::Kind::Plan(plan) = session.next().await?
            && plan.items.len() + plan.removed.len() > 0
        {
            return Ok(plan);
        }
    }
}

fn standing(item: &PlanItem) -> Result<Standing> {
    match item.when {
        Some(plan_item::When::Standing(standing)) => Ok(standing),
        _ => bail!("no standing item"),
    }
}

fn identity(octets: &[u8]) -> [u8; 16] {
    octets.try_into().unwrap()
}

async fn joined(fleet: &Fleet, players: usize) -> Result<Vec<Player>> {
    let mut joined = Vec::new();
    for number in 0..players {
        let labels = [format!("asn={}", 64_501 + number), format!("n={number}")];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        joined.push(fleet.join(&format!("player-{number}"), &labels).await?);
    }
    Ok(joined)
}

/// What is seen in a slot of a watch.
fn seen(seen: &Report, check: &Check, number: u64, interval: Duration, who: &str) -> Report {
    let item = check.id.0.to_be_bytes();
    let round = slot::round(item, number);
    let mut report = answer(seen.clone(), check, round, who);
    let nonce = check.nonce ^ round.0;
    report.check.nonce = nonce;
    report.started = stamp(interval * u32::try_from(number).unwrap() + SECOND);
    report
}

/// A watch is in the plan of sessions that are open and of those that come, and until it is removed
/// it is renewed in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_is_in_the_plans_and_is_renewed() -> Result<()> {
    let habits = Habits {
        plan_ahead: 8 * SECOND,
        ..Habits::default()
    };
    let setup = Setup {
        habits,
        ..Setup::default()
    };
    let fleet = Fleet::with(setup, |_| {}).await?;
    let players = joined(&fleet, 2).await?;
    let mut open = players[0].session().await?;
    let _other = players[1].session().await?;
    let link = fleet.operator().await?;
    let check = scenario().check;
    let made = watched(&link, &check, INTERVAL).await?;
    assert_eq!(made.vantages, ["player-0", "player-1"]);
    assert_eq!(listed(&link).await?, std::slice::from_ref(&made));

    let delta = plan(&mut open).await?;
    let [item] = &delta.items[..] else {
        bail!("{} items", delta.items.len());
    };
    assert_eq!(
        (&item.id, &item.id),
        (&made.watch, &item.check.as_ref().unwrap().id)
    );
    assert_eq!(standing(item)?.interval_ns, made.interval_ns);
    let longest = i64::try_from((8 * SECOND).as_nanos())?;
    assert!(
        (1..=longest).contains(&item.valid_for_ns),
        "{}",
        item.valid_for_ns
    );

    // Agents hear of it again before they would forget it.
    let again = plan(&mut open).await?;
    assert!(again.revision > delta.revision, "a change");
    assert_eq!(again.items[0].id, made.watch);
    let later = listed(&link).await?[0].until_us;
    assert!(later > made.until_us, "{later}");

    drop(open);
    let mut back = players[0].session().await?;
    let whole = plan(&mut back).await?;
    assert_eq!((whole.whole, whole.items.len()), (true, 1));

    assert_eq!(removed(&link, &made).await?.watch, made.watch);
    until("the end of it", async || {
        let delta = plan(&mut back).await?;
        Ok(delta.removed.contains(&made.watch).then_some(()))
    })
    .await?;
    assert_eq!(listed(&link).await?, []);
    let again = removed(&link, &made).await.unwrap_err().to_string();
    assert!(again.contains("no watch"), "{again}");
    let noted = fleet.store.audit(10).await?;
    let what: Vec<&str> = noted.iter().map(|note| note.what.as_str()).collect();
    assert!(what.contains(&"CreateWatch"), "{what:?}");
    assert!(
        what.iter().any(|what| what.starts_with("RemoveWatch ")),
        "{what:?}"
    );
    fleet.coordinator.stop().await;
    Ok(())
}

/// The rounds that are now are opened and closed by the clock, with whoever reported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_ends_with_its_slot() -> Result<()> {
    let fleet = Fleet::start().await?;
    let players = joined(&fleet, 2).await?;
    let mut session = players[0].session().await?;
    let _silent = players[1].session().await?;
    let link = fleet.operator().await?;
    let mut wanted = scenario().check;
    wanted.timeout = SECOND;
    let made = watched(&link, &wanted, INTERVAL).await?;
    let item = plan(&mut session).await?.items.remove(0);
    let check = report::check(&item.check.context("no check")?)?;
    let report = scenario().run(1).remove(0);
    let id = until("a round", async || {
        let open = fleet.store.open_checks(9).await?;
        let of_watch = open.iter().find(|check| check.watch.is_some());
        Ok(of_watch.map(|check| check.id))
    })
    .await?;
    let number = slot::slot(unix(), INTERVAL);
    let item = identity(&made.watch);
    assert!(
        [number, number - 1]
            .map(|n| slot::check(item, n))
            .contains(&id),
        "the round that is now"
    );
    let number = match slot::check(item, number) == id {
        true => number,
        false => number - 1,
    };
    let sent = seen(&report, &check, number, INTERVAL, "player-0");
    let sent = session.report(sent).await?;
    session.acknowledged(sent).await?;
    let closed = until("a verdict", async || {
        let record = fleet.store.check(id).await?.context("no record")?;
        Ok(record.judgement)
    })
    .await?;
    let verdict: serde_json::Value = serde_json::from_slice(&closed.verdict)?;
    let about = verdict["not_covered"].to_string();
    assert!(about.contains("no report came from player-1"), "{about}");
    let open = fleet.store.open_checks(9).await?;
    assert!(open.len() <= 1, "at most one is open");
    removed(&link, &made).await?;
    fleet.settled().await?;
    let past = past(&link).await?;
    let row = past
        .iter()
        .find(|row| row.check == id.0.to_be_bytes().as_slice());
    let row = row.context("it is in the history")?;
    assert_eq!((row.asked, row.reported), (2, 1));
    fleet.coordinator.stop().await;
    Ok(())
}

/// Six hours of slots come at once, some twice, and from the last to the first: each is in its round,
/// and each round has a verdict. What nobody was asked for is refused as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_of_slots_come_late_and_nothing_else_does() -> Result<()> {
    let fleet = Fleet::start().await?;
    let players = joined(&fleet, 3).await?;
    let now = slot::slot(unix(), MINUTE);
    let began = unix() - 6 * HOUR;
    let mut check = scenario().check;
    check.timeout = SECOND;
    check.id = CheckId(rand::random());
    // As it would be if the coordinator had been away since.
    let asked = [&players[0].name, &players[1].name];
    let new = NewWatch {
        id: WatchId(check.id.0),
        zone: check.zone.to_wire().into(),
        check: report::to_check(&check).encode_to_vec().into(),
        operator: "alice".to_owned(),
        created: stamp(began),
        interval: MINUTE,
        not_after: stamp(began + 24 * HOUR),
        items: asked
            .iter()
            .map(|name| (VantageId((*name).clone()), Vec::new().into()))
            .collect(),
    };
    let audit = Audit {
        at: stamp(began),
        who: "alice".to_owned(),
        what: "CreateWatch".to_owned(),
        request: [0; 32],
        result: "done".to_owned(),
    };
    fleet.store.create_watch(&new, &audit).await?;
    let reports = scenario().run(1);
    let first = slot::slot(began, MINUTE) + 1;
    let slots: Vec<u64> = (first..now).rev().collect();
    assert!(slots.len() >= 358, "{}", slots.len());
    for (player, report) in players.iter().zip(&reports).take(2) {
        let mut session = player.session().await?;
        let envelopes: Vec<_> = (1_u64..)
            .zip(&slots)
            .map(|(seq, number)| {
                let id = ReportId {
                    lane: Lane::Routine,
                    epoch: session.epoch,
                    seq,
                };
                envelope(id, &seen(report, &check, *number, MINUTE, &player.name))
            })
            .collect();
        let last = envelopes.len() as u64;
        for (number, some) in envelopes.chunks(8).enumerate() {
            session.send(some.to_vec()).await?;
            if number % 8 == 0 {
                session.send(some.to_vec()).await?;
            }
            let through = some.last().and_then(|e| e.id).unwrap();
            session.acknowledged(through_id(through)).await?;
        }
        let marks = fleet.store.marks(&VantageId(player.name.clone())).await?;
        assert_eq!(marks[0].through, last);
    }
    let slots: BTreeSet<u64> = slots.into_iter().collect();
    let item = check.id.0.to_be_bytes();
    for number in &slots {
        let id = slot::check(item, *number);
        let record = until("a verdict of each", async || {
            let record = fleet.store.check(id).await?.context("no record")?;
            let judged = record.judgement.as_ref().is_some_and(|judgement| {
                let shown = String::from_utf8_lossy(&judgement.verdict);
                asked.iter().all(|name| shown.contains(name.as_str()))
                    && !shown.contains("no report came")
            });
            Ok(judged.then_some(record))
        })
        .await?;
        assert_eq!(record.created, stamp(MINUTE * u32::try_from(*number)?));
        let kept = fleet.store.evidence(id, None, 9).await?;
        let who: BTreeSet<&str> = kept.iter().map(|kept| kept.id.agent.0.as_str()).collect();
        assert_eq!(kept.len(), 2, "each once");
        assert_eq!(who.len(), 2, "of each");
    }
    let kept = fleet.store.usage().await?.reports;
    assert_eq!(kept, 2 * slots.len() as u64);

    // Refused: acknowledged, so that nobody sends it again, and not kept.
    let (report, name) = (&reports[0], &players[0].name);
    let other = Check {
        id: CheckId(rand::random()),
        ..check.clone()
    };
    let slot = Check {
        id: slot::check(item, now - 5),
        ..check.clone()
    };
    let mut of_another_round = seen(report, &check, now - 5, MINUTE, name);
    of_another_round.round = RoundId(7);
    let refused = [
        (
            0,
            seen(report, &other, now - 5, MINUTE, name),
            "another item",
        ),
        (
            0,
            seen(report, &check, first - 2, MINUTE, name),
            "before it began",
        ),
        (0, seen(report, &check, now + 3, MINUTE, name), "to come"),
        (
            0,
            seen(report, &slot, now - 5, MINUTE, name),
            "a slot by its own name",
        ),
        (0, of_another_round, "no slot has this round"),
        (
            2,
            seen(report, &check, now - 5, MINUTE, "player-2"),
            "not asked",
        ),
    ];
    for (who, report, why) in refused {
        let mut session = players[who].session().await?;
        let id = session.report(report).await?;
        session.acknowledged(id).await?;
        assert_eq!(fleet.store.usage().await?.reports, kept, "{why}");
    }

    // The evidence of a slot gives its verdict again, as that of every check.
    let id = slot::check(item, first);
    let wanted = operator::GetEvidenceRequest {
        check: id.0.to_be_bytes().to_vec().into(),
    };
    let link = fleet.operator().await?;
    let mut parts = link.operator().get_evidence(wanted).await?.into_inner();
    let mut evidence = Vec::new();
    while let Some(part) = parts.message().await? {
        evidence.push(part);
    }
    let saved = bailiwick_wire::evidence::read(&evidence)?;
    assert_eq!(saved.check.id, id);
    assert_eq!((saved.reports.len(), saved.places.len()), (2, 2));
    let again = bailiwick_tests::fleet::oracle::verdict(
        &fleet
            .store
            .check(id)
            .await?
            .unwrap()
            .judgement
            .unwrap()
            .places,
        saved
            .reports
            .into_iter()
            .map(|(_, report)| report)
            .collect(),
    )?;
    assert_eq!(saved.verdict, again);
    fleet.coordinator.stop().await;
    Ok(())
}

fn through_id(id: bailiwick_wire::proto::report::v1::ReportId) -> ReportId {
    ReportId {
        lane: report::lane(id.lane).unwrap(),
        epoch: id.epoch,
        seq: id.seq,
    }
}

/// What may not be watched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_has_bounds() -> Result<()> {
    for (lab, shortest) in [(true, 10), (false, 60)] {
        let fleet = Fleet::start_as(|config| config.lab = lab).await?;
        let players = joined(&fleet, 1).await?;
        let link = fleet.operator().await?;
        let check = scenario().check;
        let refused = async |interval, change: fn(&mut operator::CreateWatchRequest)| {
            let mut request = request(&check, interval);
            change(&mut request);
            let answered = link.operator().create_watch(request).await;
            anyhow::Ok(answered.err().context("it was made")?.message().to_owned())
        };
        let nobody = refused(HOUR, |_| {}).await?;
        assert!(nobody.contains("not connected"), "{nobody}");
        let _session = players[0].session().await?;
        for interval in [Duration::ZERO, shortest * SECOND - SECOND, 25 * HOUR] {
            let said = refused(interval, |_| {}).await?;
            assert!(
                said.contains(&format!("{shortest} to 86400 seconds")),
                "{said}"
            );
        }
        let many = refused(HOUR, |request| request.agents = 51).await?;
        assert!(many.contains("at most 50"), "{many}");
        let label = refused(HOUR, |request| {
            request.labels = vec!["rir=lacnic".to_owned()]
        });
        assert!(label.await?.contains("labels"));
        watched(&link, &check, shortest * SECOND).await?;
        fleet.coordinator.stop().await;
    }
    Ok(())
}

/// The way to a coordinator, which can be cut.
struct Wire {
    address: SocketAddr,
    to: watch::Sender<Option<SocketAddr>>,
}

impl Wire {
    async fn new() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (to, open) = watch::channel(None);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, open.clone()));
            }
        });
        Ok(Self { address, to })
    }

    fn lead(&self, to: Option<SocketAddr>) {
        self.to.send_replace(to);
    }
}

async fn carry(mut near: TcpStream, mut open: watch::Receiver<Option<SocketAddr>>) {
    let Some(to) = *open.borrow() else { return };
    let Ok(mut far) = TcpStream::connect(to).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = open.wait_for(Option::is_none) => {}
    }
}

async fn invite(link: &Link, name: &str) -> Result<String> {
    let request = operator::InviteAgentRequest {
        name: name.to_owned(),
        ..operator::InviteAgentRequest::default()
    };
    let invited = link.operator().invite_agent(request).await?;
    Ok(invited.into_inner().join)
}

async fn connected(link: &Link, number: u64) -> Result<()> {
    until("a session of each", async || {
        let mut operator = link.operator();
        let status = operator.get_status(operator::GetStatusRequest {});
        Ok((status.await?.into_inner().connected >= number).then_some(()))
    })
    .await
}

/// Which of these slots each agent reported about, and whether each has its verdict.
async fn reported(
    store: &dyn Store,
    watches: &[operator::Watch],
    numbers: &BTreeSet<u64>,
) -> Result<(BTreeMap<String, usize>, bool)> {
    let mut of_agent: BTreeMap<String, usize> = BTreeMap::new();
    let mut judged = true;
    for watch in watches {
        for number in numbers {
            let id = slot::check(identity(&watch.watch), *number);
            let record = store.check(id).await?;
            judged &= record.is_some_and(|record| record.judgement.is_some());
            for kept in store.evidence(id, None, 100).await? {
                *of_agent.entry(kept.id.agent.0).or_default() += 1;
            }
        }
    }
    Ok((of_agent, judged))
}

/// Everything that an agent numbered is kept: none of it is a gap.
async fn nothing_is_lost(store: &dyn Store, name: &str) -> Result<u64> {
    let name = VantageId(name.to_owned());
    let marks = store.marks(&name).await?;
    let numbered: u64 = marks.iter().map(|mark| mark.through).sum();
    let kept = store.agent(&name).await?.context("no agent")?.reports;
    ensure!(
        kept == numbered,
        "{}: {kept} of {numbered} are kept",
        name.0
    );
    Ok(kept)
}

/// F6 with the real coordinator and real agents: the way between them is cut. They go on with their
/// watches, and when it is there again all of that arrives, while somebody who asks does not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_loses_nothing_and_delays_nobody() -> Result<()> {
    const AGENTS: usize = 4;
    const WATCHES: usize = 3;
    let test = "a_partition_loses_nothing_and_delays_nobody";
    let Some(programs) = built(test, &["bailiwick-agent"])? else {
        return Ok(());
    };
    let whole = std::env::var("BAILIWICK_PARTITION_SECONDS").ok();
    let outage = whole.as_ref().map_or(Ok(35), |text| text.parse())? * SECOND;
    let wire = Wire::new().await?;
    let public = wire.address.to_string().parse()?;
    let fleet = Fleet::start_as(|config| config.public = vec![public]).await?;
    let coordinator = fleet.coordinator.agents();
    wire.lead(Some(coordinator));
    let link = fleet.operator().await?;
    let own = folder()?;
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        let name = format!("agent-{number}");
        let invitation = invite(&link, &name).await?;
        let program = programs.join("bailiwick-agent");
        let folder = own.path().join(&name);
        let mut agent = AgentProgram::join(&program, &folder, &invitation, PORT).await?;
        agent.start()?;
        agents.push((name, agent));
    }
    connected(&link, AGENTS as u64).await?;
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        watches.push(watched(&link, &short_check(), INTERVAL).await?);
    }
    // They have heard of it: a round was reported in time.
    until("a first report of each", async || {
        let agents = fleet.store.agents().await?;
        Ok(agents
            .iter()
            .all(|agent| agent.reports >= WATCHES as u64)
            .then_some(()))
    })
    .await?;

    wire.lead(None);
    let cut = unix();
    until("the end of all sessions", async || {
        Ok((fleet.status().await?.connected == 0).then_some(()))
    })
    .await?;
    tokio::time::sleep(outage).await;
    let before: u64 = fleet.store.agents().await?.iter().map(|a| a.reports).sum();
    wire.lead(Some(coordinator));
    let back = unix();
    let open = Instant::now();
    connected(&link, AGENTS as u64).await?;
    // Until then they do not know that there is a way again.
    let joined = Instant::now();
    let asked = Instant::now();
    let live = fleet.check(&short_check(), "json").await?;
    let live_after = asked.elapsed();
    let reported_now = i32::from(operator::VantageState::Reported);
    assert!(
        live.rows.values().all(|row| row.state == reported_now),
        "{:?}",
        live.rows
    );

    let first = slot::slot(cut, INTERVAL) + 1;
    let numbers: BTreeSet<u64> = (first..slot::slot(back, INTERVAL)).collect();
    assert!(numbers.len() >= 2, "{} whole slots", numbers.len());
    let most = WATCHES * numbers.len();
    let of_agent = until("what was seen meanwhile", async || {
        let (of_agent, judged) = reported(&*fleet.store, &watches, &numbers).await?;
        // A busy machine may be late for a slot.
        let enough = |seen: &usize| seen * 10 >= most * 8;
        let all = of_agent.len() == AGENTS && of_agent.values().all(enough);
        Ok((all && judged).then_some(of_agent))
    })
    .await?;
    let caught_up = joined.elapsed();
    for watch in &watches {
        removed(&link, watch).await?;
    }
    fleet.settled().await?;
    let mut kept = 0;
    for (name, agent) in &mut agents {
        agent.stop().await?;
        kept += nothing_is_lost(&*fleet.store, name).await?;
    }
    eprintln!(
        "{AGENTS} agents, {WATCHES} watches, {outage:?}: {} of {kept} reports came late, {of_agent:?} \
         of {most} in {} slots; sessions after {:.1?}, all there {caught_up:.1?} later; \
         live {live_after:.1?}",
        kept - before,
        numbers.len(),
        joined - open,
    );
    if whole.is_some() {
        assert!(caught_up <= outage / 10, "{caught_up:?}");
        assert!(live_after <= 5 * SECOND, "{live_after:?}");
    }
    // The verdict of every slot knows all that came.
    for watch in &watches {
        for number in &numbers {
            let id = slot::check(identity(&watch.watch), *number);
            let record = fleet
                .store
                .check(id)
                .await?
                .context("a slot is not there")?;
            let verdict = record.judgement.context("no verdict")?.verdict;
            let shown = String::from_utf8(verdict.to_vec())?;
            for kept in fleet.store.evidence(id, None, 100).await? {
                assert!(
                    !shown.contains(&format!("came from {}", kept.id.agent.0)),
                    "{shown}"
                );
            }
        }
    }
    fleet.coordinator.stop().await;
    Ok(())
}

/// A coordinator that was killed goes on with its watches, and gets what was seen without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_was_killed_goes_on_with_its_watches() -> Result<()> {
    let test = "a_coordinator_that_was_killed_goes_on_with_its_watches";
    let Some(programs) = built(test, &["bailiwick-agent", "bailiwick-coordinator"])? else {
        return Ok(());
    };
    let own = folder()?;
    let program = programs.join("bailiwick-coordinator");
    let mut coordinator = CoordinatorProgram::init(&program, &own.path().join("coordinator"))?;
    coordinator.start().await?;
    let link = Link::local(&coordinator.socket()).await?;
    let invitation = invite(&link, "agent-0").await?;
    let (program, folder) = (programs.join("bailiwick-agent"), own.path().join("agent-0"));
    let mut agent = AgentProgram::join(&program, &folder, &invitation, PORT).await?;
    agent.start()?;
    let player = Player::join(&invite(&link, "player-0").await?).await?;
    let session = player.session().await?;
    connected(&link, 2).await?;
    let made = watched(&link, &short_check(), INTERVAL).await?;
    assert_eq!(made.vantages, ["agent-0", "player-0"]);
    let reports = async |link: &Link| {
        let asked = operator::GetAgentRequest {
            name: "agent-0".to_owned(),
        };
        anyhow::Ok(link.operator().get_agent(asked).await?.into_inner().reports)
    };
    until("a report", async || {
        Ok((reports(&link).await? > 0).then_some(()))
    })
    .await?;
    drop(session);
    coordinator.kill()?;
    let gone = unix();
    tokio::time::sleep(2 * INTERVAL + INTERVAL / 2).await;
    let back = unix();
    coordinator.start().await?;
    let link = Link::local(&coordinator.socket()).await?;
    assert_eq!(listed(&link).await?, std::slice::from_ref(&made));
    let mut session = player.session().await?;
    let whole = plan(&mut session).await?;
    let items: Vec<_> = whole.items.iter().map(|item| &item.id).collect();
    assert_eq!(items, [&made.watch], "given to who comes back");
    let numbers = (slot::slot(gone, INTERVAL) + 1)..slot::slot(back, INTERVAL);
    let missed: BTreeSet<CheckId> = numbers
        .map(|number| slot::check(identity(&made.watch), number))
        .collect();
    assert!(!missed.is_empty());
    until("the slots that went by without it", async || {
        let past = past(&link).await?;
        let there = past.iter().filter(|row| {
            let id = CheckId(u128::from_be_bytes(identity(&row.check)));
            missed.contains(&id) && row.reported == 1 && !row.state.is_empty()
        });
        Ok((there.count() == missed.len()).then_some(()))
    })
    .await?;
    // And those that are now.
    let kept = reports(&link).await?;
    until("a new report", async || {
        Ok((reports(&link).await? > kept).then_some(()))
    })
    .await?;
    agent.stop().await?;
    coordinator.stop().await
}
