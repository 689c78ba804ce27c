//! The way to the coordinator is gone for long, or comes and goes.
//!
//! Ordinary runs are short. The whole ones, with their bounds on time:
//!
//! ```text
//! BAILIWICK_OUTAGE_SECONDS=600 cargo test -p bailiwick-agent --test agent outage -- --nocapture
//! BAILIWICK_FLAPPING_SECONDS=600 cargo test -p bailiwick-agent --test agent outage -- --nocapture
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};

use bailiwick_agent::Retry;
use bailiwick_core::{
    query::{Control, Purpose},
    report::{Lane, Report, RoundId},
    vantage::VantageId,
};
use bailiwick_wire::{report, slot};

use crate::{
    Agent,
    coordinator::{Arrived, Coordinator, Heard},
    item_id, kill, once, seconds, standing,
    wire::Wire,
};

/// Reports a second that a coordinator takes of one agent in the long run.
const PACE: f64 = 20.0;
const AGENTS: u8 = 20;
const SECOND: Duration = Duration::from_secs(1);

fn read(arrived: &Arrived) -> Report {
    let vantage = VantageId(String::new());
    report::decode(&arrived.envelope.body, &arrived.envelope.answers, vantage).unwrap()
}

fn unix() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap()
}

/// The rounds of a standing item in a span of time, with their slots.
fn rounds(item: u8, from: Duration, to: Duration) -> BTreeMap<RoundId, u64> {
    let slots = slot::slot(from, SECOND)..=slot::slot(to, SECOND);
    slots
        .map(|slot| (slot::round(item_id(item), slot), slot))
        .collect()
}

/// What arrived of each lane of each agent, once for each number.
fn arrived(heard: &Heard) -> BTreeMap<(Lane, u64), BTreeMap<u64, Arrived>> {
    let mut all: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for arrived in &heard.reports {
        let id = arrived.id;
        let lane = all.entry((id.lane, id.epoch)).or_default();
        lane.insert(id.seq, arrived.clone());
    }
    all
}

/// Nothing is missing in any lane. Returns how many reports there are.
fn nothing_is_missing(heard: &Heard) -> usize {
    assert!(heard.gaps.is_empty(), "{:?}", heard.gaps);
    let all = arrived(heard);
    for (lane, reports) in &all {
        let last = *reports.keys().next_back().unwrap();
        assert_eq!(reports.len() as u64, last, "{lane:?} is whole");
    }
    all.values().map(BTreeMap::len).sum()
}

/// Stops an agent that has nothing to measure any more as soon as it has delivered everything.
async fn nothing_is_left(agent: &mut Agent) {
    for _ in 0..20 {
        agent.stop().await;
        if kill::spooled(agent.path()).is_empty() {
            return;
        }
        agent.start();
        tokio::time::sleep(3 * SECOND).await;
    }
    panic!("something is left");
}

/// Twenty agents lose their coordinator. They go on with their plan until it is over, keep what
/// they see, and when the coordinator is back all of it arrives: first what somebody waits for,
/// the rest at the pace that the coordinator takes, and what is asked now does not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_loses_nothing_and_delays_nobody() {
    let whole = std::env::var_os("BAILIWICK_OUTAGE_SECONDS").is_some();
    let outage = seconds("BAILIWICK_OUTAGE_SECONDS", 10);
    let coordinator = Coordinator::start().await;
    let wire = Wire::to(coordinator.address).await;
    // One that goes on, one that is over in the middle, and one that somebody waits for.
    let mut short = standing(2);
    short.valid_for_ns = i64::try_from((outage / 2).as_nanos()).unwrap();
    coordinator.behave(|manner| (manner.credit, manner.pace) = (0, Some(PACE)));
    coordinator.plan(vec![standing(1), short, once(3)]);
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        let name = format!("agent-{number}");
        let mut agent = Agent::joined_as(&name, &coordinator, wire.address).await;
        agent.start();
        agents.push(agent);
    }
    coordinator.sessions(AGENTS.into()).await;
    for agent in &agents {
        agent.spooled(".change").await;
        agent.spooled(".routine").await;
    }
    wire.cut();
    let cut = unix();
    tokio::time::sleep(outage).await;
    let back = unix();
    assert!(coordinator.kept.heard.lock().unwrap().reports.is_empty());
    coordinator.behave(|manner| manner.credit = 1 << 20);
    wire.join();
    let joined = Instant::now();
    // Somebody asks while all of that is on its way.
    let before = coordinator.kept.heard.lock().unwrap().sessions.len();
    coordinator.sessions(before + usize::from(AGENTS)).await;
    coordinator.plan(vec![once(4)]);
    let asked = Instant::now();
    let lane = |heard: &Heard, lane: Lane, number: usize| {
        let all = arrived(heard);
        let whole = all
            .iter()
            .filter(|((of, _), reports)| *of == lane && reports.len() >= number);
        (whole.count() == usize::from(AGENTS)).then_some(())
    };
    coordinator
        .until("what is asked now", |heard| lane(heard, Lane::Change, 2))
        .await;
    let live = asked.elapsed();
    // All that was spooled: every agent has nothing left.
    let caught_up = loop {
        let agents = arrived(&coordinator.kept.heard.lock().unwrap());
        let routine = agents
            .iter()
            .filter(|((lane, _), _)| *lane == Lane::Routine);
        let last_slots = rounds(1, back - 2 * SECOND, back + 60 * SECOND);
        let done = routine.filter(|(_, reports)| {
            let last = reports.values().next_back().unwrap();
            last_slots.contains_key(&read(last).round)
        });
        if done.count() == usize::from(AGENTS) {
            break joined.elapsed();
        }
        assert!(joined.elapsed() < outage + 60 * SECOND, "it never arrives");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // Rounds go on as long as they are planned, and one may have just been spooled.
    coordinator.plan(Vec::new());
    for agent in &mut agents {
        nothing_is_left(agent).await;
    }
    let heard = coordinator.kept.heard.lock().unwrap();
    let count = nothing_is_missing(&heard);
    eprintln!(
        "{AGENTS} agents, {outage:?}: {count} reports, all there after {caught_up:.1?}; live {live:.1?}"
    );
    if whole {
        assert!(caught_up <= outage / 10, "{caught_up:?}");
        assert!(live <= 5 * SECOND, "{live:?}");
    }
    let going_on = rounds(1, cut + SECOND, back - SECOND);
    let over = rounds(2, cut + outage / 2 + 2 * SECOND, back + 60 * SECOND);
    for ((lane, _), reports) in arrived(&heard) {
        let reports: Vec<Report> = reports.values().map(read).collect();
        if lane == Lane::Change {
            let rounds: Vec<u64> = reports.iter().map(|report| report.round.0).collect();
            assert_eq!(rounds, [1003, 1004]);
            continue;
        }
        let seen: BTreeSet<_> = reports.iter().map(|report| report.round).collect();
        let missed = going_on
            .keys()
            .filter(|round| !seen.contains(round))
            .count();
        assert!(
            missed * 10 <= going_on.len(),
            "{missed} of {} slots",
            going_on.len()
        );
        assert!(
            over.keys().all(|round| !seen.contains(round)),
            "the plan was over"
        );
        for report in reports {
            // Each round has its own controls of the vantage point.
            let controls = report.observations.values().map(|seen| seen.purpose);
            let root = controls.filter(|purpose| *purpose == Purpose::Control(Control::Root));
            assert!(root.count() > 0, "a round without controls");
        }
    }
    // Each agent began with what somebody waits for.
    let first = heard
        .reports
        .iter()
        .fold(BTreeMap::new(), |mut first, arrived| {
            first.entry(arrived.session).or_insert(arrived.id.lane);
            first
        });
    assert!(first.values().filter(|lane| **lane == Lane::Change).count() >= usize::from(AGENTS));
}

/// Runs a test of this program in a network of its own, in which only loopback is.
fn in_its_own_network(test: &str) -> bool {
    let may = nix::unistd::geteuid().is_root();
    if !may {
        let on_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!on_ci, "{test} must run on CI, as root");
        eprintln!("skipped: {test}: only root can make a network");
        return false;
    }
    let script = "ip link set lo up && exec \"$0\" --exact \"$1\" --ignored --nocapture";
    let status = Command::new("unshare")
        .args(["--net", "bash", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .status()
        .unwrap();
    status.success()
}

fn nft(line: &str) {
    let status = Command::new("nft").arg(line).status().unwrap();
    assert!(status.success(), "nft {line}");
}

#[test]
fn a_link_that_comes_and_goes_loses_nothing() {
    if nix::unistd::geteuid().is_root() || std::env::var_os("CI").is_some() {
        assert!(in_its_own_network("outage::flapping"));
    } else {
        in_its_own_network("outage::flapping");
    }
}

/// A second there, a second gone, and of what is on its way 30 of 100 packets are lost. Every other
/// time something on the way says that the connection is over, as a NAT does that has forgotten it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of a_link_that_comes_and_goes_loses_nothing, which gives it a network"]
async fn flapping() {
    let whole = std::env::var_os("BAILIWICK_FLAPPING_SECONDS").is_some();
    let flapping = seconds("BAILIWICK_FLAPPING_SECONDS", 20);
    let coordinator = Coordinator::start().await;
    let wire = Wire::to(coordinator.address).await;
    let mut agent = Agent::joined(&coordinator, wire.address).await;
    agent.settings.retry = Retry::default();
    if !whole {
        // A minute without a try is as right, and nothing to wait for.
        agent.settings.retry.most = 5 * SECOND;
    }
    coordinator.plan(vec![standing(1), standing(2)]);
    // It has its plan before the link gets bad.
    agent.start();
    coordinator.reports(1).await;
    let port = wire.address.port();
    nft("add table inet lossy");
    nft("add chain inet lossy out { type filter hook output priority 0; }");
    for side in ["dport", "sport"] {
        nft(&format!(
            "add rule inet lossy out tcp {side} {port} numgen random mod 100 < 30 drop"
        ));
    }
    let began = Instant::now();
    let mut times = 0;
    while began.elapsed() < flapping {
        tokio::time::sleep(SECOND).await;
        nft("add table inet gone");
        nft("add chain inet gone out { type filter hook output priority 1; }");
        for side in ["dport", "sport"] {
            let what = ["drop", "tcp flags & rst == 0 reject with tcp reset"][times % 2];
            nft(&format!("add rule inet gone out tcp {side} {port} {what}"));
        }
        times += 1;
        tokio::time::sleep(SECOND).await;
        nft("delete table inet gone");
    }
    let handshakes = wire.connections.load(Ordering::Relaxed);
    let ended = unix();
    nft("delete table inet lossy");
    // The last ones were spooled a second before the link was well again.
    let deadline = Instant::now() + Duration::from_secs(180);
    let last = rounds(1, ended - 2 * SECOND, ended + 200 * SECOND);
    loop {
        let there = arrived(&coordinator.kept.heard.lock().unwrap());
        let routine = there.iter().filter(|((lane, _), _)| *lane == Lane::Routine);
        // Of either item; the one or the other is the last.
        let mut newest = routine.flat_map(|(_, reports)| reports.values().rev().take(4));
        if newest.any(|newest| last.contains_key(&read(newest).round)) {
            break;
        }
        assert!(Instant::now() < deadline, "it never arrives");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    coordinator.plan(Vec::new());
    {
        let heard = coordinator.kept.heard.lock().unwrap();
        let boots: BTreeSet<_> = heard.sessions.iter().map(|met| &met.hello.boot).collect();
        assert_eq!(boots.len(), 1, "one identity, whatever the link does");
    }
    // The last acknowledgement may have been lost with its session; it comes with the next.
    nothing_is_left(&mut agent).await;
    let heard = coordinator.kept.heard.lock().unwrap();
    let count = nothing_is_missing(&heard);
    let sessions = heard.sessions.len();
    eprintln!("{flapping:?}: {count} reports, {sessions} sessions, {handshakes} handshakes");
    assert!(
        u64::try_from(count).unwrap() >= flapping.as_secs(),
        "it measured all the time"
    );
    if whole {
        let most = flapping.as_secs() / 20;
        assert!(
            u64::try_from(handshakes).unwrap() <= most,
            "three a minute: {handshakes}"
        );
    }
}
