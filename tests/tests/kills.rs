//! F1 and F3 through the real programs: they are killed at any moment while a fleet works, and
//! nothing that was acknowledged or spooled is lost or counts twice.
//!
//! ```text
//!  operators ── checks ──▶ bailiwick-coordinator ◀── TLS ── players, bailiwick-agent
//!                              │  kill -9                        │  kill -9
//!                          store.db                            spool
//! ```
//!
//! The oracle is what players and operators were told, and what was seen in the spools of agents
//! that do not run. It is compared with the store in the end, and every verdict with what comes of
//! the reports that were made.
//!
//! 30 kills of each by default. All of it, with the programs built before:
//! `BAILIWICK_KILLS=1000 cargo test -p bailiwick-tests --test kills -- --nocapture`

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bailiwick_core::{
    check::{Check, CheckId},
    report::{Lane, Report, ReportId},
    vantage::VantageId,
};
use bailiwick_rpc::{
    Link,
    operator::{self, check_event},
};
use bailiwick_spool::{Directory, Entry, Settings, Spool};
use bailiwick_store::{Kept, Location, Store};
use bailiwick_tests::fleet::{
    Player, folder,
    oracle::verdict,
    players::{scenario, short_check},
    programs::{AgentProgram, CoordinatorProgram},
    spooling::Spooling,
};
use bailiwick_tests::programs::{FLEET, built};
use bailiwick_wire::{proto::report::v1 as pb, report};
use prost::Message as _;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Kills that one store lives through.
const LIFE: usize = 50;
/// Groups of players; each check is asked of one group, which has a player for each report of the
/// scenario.
const GROUPS: usize = 5;
/// Nobody listens there, so checks of real agents end soon.
const PORT: u16 = 9;
/// How long everything may take that is to come once nothing is killed any more.
const DRAINED: Duration = Duration::from_secs(90);

fn kills() -> usize {
    std::env::var("BAILIWICK_KILLS").map_or(30, |text| text.parse().unwrap())
}

/// On the disk, if it has room: a store refuses reports where there is little.
fn real_folder() -> Result<TempDir> {
    let disk = tempfile::tempdir()?;
    let room = nix::sys::statvfs::statvfs(disk.path())?;
    match room.blocks_available() > room.blocks() / 10 {
        true => Ok(disk),
        false => folder(),
    }
}

/// What operators were told.
#[derive(Debug, Default)]
struct Told {
    started: BTreeSet<CheckId>,
    /// The first verdict, as it was shown.
    shown: BTreeMap<CheckId, String>,
}

/// A coordinator with its fleet.
struct World {
    coordinator: CoordinatorProgram,
    players: Vec<Spooling>,
    agents: Vec<AgentProgram>,
    told: Arc<Mutex<Told>>,
    asking: JoinSet<()>,
    folder: TempDir,
}

impl World {
    /// Starts a coordinator and lets so many groups of players and so many agents join.
    async fn start(programs: &Path, groups: usize, agents: usize) -> Result<Self> {
        let [_, coordinator, agent] = FLEET.map(|name| programs.join(name));
        let folder = real_folder()?;
        let mut world = Self {
            coordinator: CoordinatorProgram::init(
                &coordinator,
                &folder.path().join("coordinator"),
            )?,
            players: Vec::new(),
            agents: Vec::new(),
            told: Arc::default(),
            asking: JoinSet::new(),
            folder,
        };
        world.coordinator.start().await?;
        let reports = scenario().run(1);
        for group in 0..groups {
            for (place, report) in reports.iter().enumerate() {
                let name = format!("player-{group}-{place}");
                let rir = ["ripe", "arin", "apnic"][place % 3];
                let labels = [
                    format!("group={group}"),
                    format!("asn={}", 64_501 + place),
                    format!("rir={rir}"),
                ];
                let player = Player::join(&world.invite(&name, &labels).await?).await?;
                let playing = Spooling::start(player, report.clone(), Duration::ZERO);
                world.players.push(playing);
            }
        }
        for number in 0..agents {
            let name = format!("agent-{number}");
            let labels = [
                format!("group=real-{number}"),
                format!("asn={}", 64_601 + number),
            ];
            let invitation = world.invite(&name, &labels).await?;
            let own = world.folder.path().join(&name);
            world
                .agents
                .push(AgentProgram::join(&agent, &own, &invitation, PORT).await?);
        }
        Ok(world)
    }

    async fn invite(&self, name: &str, labels: &[String]) -> Result<String> {
        let link = Link::local(&self.coordinator.socket()).await?;
        let request = operator::InviteAgentRequest {
            name: name.to_owned(),
            labels: labels.to_vec(),
            ..operator::InviteAgentRequest::default()
        };
        let invited = link.operator().invite_agent(request).await?;
        Ok(invited.into_inner().join)
    }

    /// Lets an operator ask one group again and again, whatever happens.
    fn ask(&mut self, group: &str, check: &Check, pause: Duration) {
        let socket = self.coordinator.socket();
        let (group, check, told) = (group.to_owned(), check.clone(), Arc::clone(&self.told));
        self.asking.spawn(async move {
            loop {
                // That nobody answers is what is to be expected here.
                let _ = ask_once(&socket, &group, &check, &told).await;
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// Waits until all that is to come has come: every report acknowledged, every round closed,
    /// and every verdict judged again that has to be.
    async fn drain(&mut self) -> Result<()> {
        let until = Instant::now() + DRAINED;
        for player in &self.players {
            while player.account().unacknowledged() > 0 {
                ensure!(Instant::now() < until, "{:?}", player.account());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        loop {
            // Whoever begins anew does not wait for its turn to call the coordinator.
            for agent in &mut self.agents {
                agent.start()?;
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
            let mut left = 0;
            for agent in &mut self.agents {
                agent.stop().await?;
                left += spooled(&agent.spool()).len();
            }
            if left == 0 {
                break;
            }
            ensure!(Instant::now() < until, "{left} reports stay in the spools");
        }
        loop {
            let link = Link::local(&self.coordinator.socket()).await?;
            let asked = operator::GetStatusRequest::default();
            let status = link.operator().get_status(asked).await?.into_inner();
            let judging = status.notes.iter().any(|n| n.contains("judged again"));
            if status.open_checks == 0 && !judging {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{status:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Lets everything come to rest and compares what there is with what there must be.
    async fn end(mut self) -> Result<Ended> {
        self.asking.shutdown().await;
        self.drain().await?;
        self.coordinator.stop().await?;
        let log = self.coordinator.log();
        ensure!(!log.contains("panicked"), "{log}");
        for agent in &self.agents {
            ensure!(!agent.log().contains("panicked"), "{}", agent.log());
        }
        let location = Location::Sqlite(self.coordinator.store());
        let store = bailiwick_store::open(&location).await?;
        let mut kept = Everything::read(&*store).await?;
        let acknowledged = self.compare_reports(&kept)?;
        self.compare_verdicts(&*store, &mut kept).await?;
        Ok(Ended {
            acknowledged,
            sent: self.players.iter().map(|p| p.account().sent).sum(),
            checks: kept.checks.len(),
            kept,
        })
    }

    /// Every report of a player is there once, as it was made, and none that was not.
    fn compare_reports(&self, kept: &Everything) -> Result<u64> {
        let mut made = 0;
        for player in &self.players {
            let account = player.account();
            let name = VantageId(player.name.clone());
            let there = kept.reports.get(&name).cloned().unwrap_or_default();
            let lost = (1..=account.acknowledged).filter(|seq| {
                let id = id(account.epoch, *seq);
                !there.contains_key(&id)
            });
            let lost = lost.count();
            ensure!(lost == 0, "{}: {lost} acknowledged are lost", player.name);
            ensure!(
                there.len() == account.made.len(),
                "{}: {} are kept, {} were made",
                player.name,
                there.len(),
                account.made.len()
            );
            for (seq, (check, round)) in &account.made {
                let report = report::encode(&player.report(check, *round));
                let kept = there.get(&id(account.epoch, *seq)).context("lost")?;
                ensure!(kept.body == report.body && kept.answers == report.answers);
            }
            made += account.acknowledged;
        }
        let rows: usize = kept.reports.values().map(BTreeMap::len).sum();
        ensure!(rows as u64 == kept.counted, "each is counted once");
        Ok(made)
    }

    /// Every check that was told is there, its first verdict is the one that was shown, and its
    /// last one comes of all that was reported.
    async fn compare_verdicts(&self, store: &dyn Store, kept: &mut Everything) -> Result<()> {
        let mut made: BTreeMap<CheckId, Vec<Report>> = BTreeMap::new();
        for player in &self.players {
            for (check, round) in player.account().made.values() {
                let report = player.report(check, *round);
                made.entry(check.id).or_default().push(report);
            }
        }
        for (id, reports) in std::mem::take(&mut kept.of_agents) {
            made.entry(id).or_default().extend(reports);
        }
        let shown = {
            let told = self.told.lock().unwrap();
            for id in told.started.iter().chain(told.shown.keys()) {
                ensure!(kept.checks.contains(id), "{id:?} was begun and is lost");
            }
            told.shown.clone()
        };
        for (id, shown) in shown {
            let first = store.first_judgement(id).await?.context("no verdict")?;
            let same = shown.as_bytes() == first.verdict || first.verdict.is_empty();
            ensure!(same, "another verdict was shown");
        }
        for id in &kept.checks {
            let reports = made.remove(id).unwrap_or_default();
            let record = store.check(*id).await?.context("no check")?;
            let judgement = record.judgement.context("no verdict")?;
            let expected = verdict(&judgement.places, reports)?;
            if judgement.verdict != expected {
                bail!(
                    "{id:?}, revised {} times, is {}\nand not {}",
                    record.revisions,
                    String::from_utf8_lossy(&judgement.verdict),
                    String::from_utf8_lossy(&expected)
                );
            }
        }
        ensure!(made.is_empty(), "reports about checks that are not there");
        Ok(())
    }
}

async fn ask_once(socket: &Path, group: &str, check: &Check, told: &Mutex<Told>) -> Result<()> {
    let id = CheckId(rand::random());
    let check = Check {
        id,
        nonce: rand::random(),
        ..check.clone()
    };
    let request = operator::CreateCheckRequest {
        check: Some(report::to_check(&check)),
        labels: vec![format!("group={group}")],
        view: Some(operator::View {
            format: "json".to_owned(),
            ..operator::View::default()
        }),
        ..operator::CreateCheckRequest::default()
    };
    let link = Link::local(socket).await?;
    let mut events = link.operator().create_check(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        match event.kind {
            Some(check_event::Kind::Started(_)) => drop(told.lock().unwrap().started.insert(id)),
            Some(check_event::Kind::Ended(ended)) => {
                told.lock().unwrap().shown.insert(id, ended.shown);
            }
            _ => {}
        }
    }
    Ok(())
}

fn id(epoch: u64, seq: u64) -> ReportId {
    ReportId {
        lane: Lane::Change,
        epoch,
        seq,
    }
}

/// What is in a store.
struct Everything {
    checks: BTreeSet<CheckId>,
    reports: BTreeMap<VantageId, BTreeMap<ReportId, Kept>>,
    /// Reports of agents, which nobody else knows.
    of_agents: BTreeMap<CheckId, Vec<Report>>,
    /// How many there are, as the store says.
    counted: u64,
}

impl Everything {
    async fn read(store: &dyn Store) -> Result<Self> {
        let mut all = Self {
            checks: BTreeSet::new(),
            reports: BTreeMap::new(),
            of_agents: BTreeMap::new(),
            counted: store.usage().await?.reports,
        };
        for check in store.checks(None, usize::MAX >> 1).await? {
            all.checks.insert(check.id);
            let mut after = None;
            loop {
                let page = store.evidence(check.id, after.as_ref(), 1000).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id.clone());
                for kept in page {
                    let (agent, id) = (kept.id.agent.clone(), kept.id.report);
                    if agent.0.starts_with("agent-") {
                        let read = report::decode(&kept.body, &kept.answers, agent.clone())?;
                        all.of_agents.entry(check.id).or_default().push(read);
                    }
                    let twice = all.reports.entry(agent).or_default().insert(id, kept);
                    ensure!(twice.is_none(), "{id:?} is there twice");
                }
            }
        }
        Ok(all)
    }
}

/// What came of a life.
struct Ended {
    acknowledged: u64,
    sent: u64,
    checks: usize,
    kept: Everything,
}

/// What is spooled and not acknowledged. The program does not run.
fn spooled(folder: &Path) -> BTreeMap<ReportId, pb::ReportEnvelope> {
    let directory = Directory::open(folder).unwrap();
    let (mut spool, _) = Spool::open(directory, Settings::default(), rand::random());
    let mut all = BTreeMap::new();
    for lane in Lane::ALL {
        let mut after = None;
        loop {
            let entries = spool.next(lane, after, 1 << 20);
            let Some(last) = entries.last() else { break };
            after = Some(last.last());
            for entry in entries {
                if let Entry::Report(stored) = entry {
                    let envelope = pb::ReportEnvelope::decode(&stored.payload[..]).unwrap();
                    all.insert(stored.id, envelope);
                }
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills_of_the_coordinator() -> Result<()> {
    let test = "what_was_acknowledged_survives_kills_of_the_coordinator";
    let Some(programs) = built(test, &FLEET)? else {
        return Ok(());
    };
    let mut check = scenario().check;
    check.timeout = Duration::from_secs(2);
    let mut ready = Vec::new();
    let (mut acknowledged, mut again, mut checks) = (0, 0, 0);
    for life in (0..kills()).step_by(LIFE) {
        let mut world = World::start(&programs, GROUPS, 2).await?;
        for agent in &mut world.agents {
            agent.start()?;
        }
        for group in 0..GROUPS {
            world.ask(&group.to_string(), &check, Duration::from_millis(5));
        }
        for agent in 0..world.agents.len() {
            let group = format!("real-{agent}");
            world.ask(&group, &short_check(), Duration::from_millis(100));
        }
        for _ in life..kills().min(life + LIFE) {
            let after = rand::random_range(50..800);
            tokio::time::sleep(Duration::from_millis(after)).await;
            world.coordinator.kill()?;
            ready.push(world.coordinator.start().await?);
        }
        for agent in &mut world.agents {
            agent.stop().await?;
        }
        let ended = world.end().await?;
        acknowledged += ended.acknowledged;
        again += ended.sent - ended.acknowledged;
        checks += ended.checks;
    }
    ready.sort();
    println!(
        "{} kills of the coordinator: {checks} checks, {acknowledged} reports acknowledged, \
         {again} sent again, 0 lost, 0 twice; ready within {:?} (99 of 100)",
        ready.len(),
        ready[(ready.len() - 1) * 99 / 100]
    );
    ensure!(again > 0, "nothing was on its way when it was killed");
    ensure!(acknowledged > ready.len() as u64, "enough was done");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_spooled_survives_kills_of_agents() -> Result<()> {
    let test = "what_was_spooled_survives_kills_of_agents";
    let Some(programs) = built(test, &FLEET)? else {
        return Ok(());
    };
    const AGENTS: usize = 4;
    let mut world = World::start(&programs, 0, AGENTS).await?;
    for asking in 0..AGENTS * 10 {
        let group = format!("real-{}", asking % AGENTS);
        world.ask(&group, &short_check(), Duration::from_millis(20));
    }
    let each = kills().div_ceil(AGENTS);
    let mut killed = JoinSet::new();
    for (number, mut agent) in std::mem::take(&mut world.agents).into_iter().enumerate() {
        killed.spawn(async move {
            let mut wanted = BTreeMap::new();
            for _ in 0..each {
                agent.start()?;
                let after = rand::random_range(20..1500);
                tokio::time::sleep(Duration::from_millis(after)).await;
                agent.kill()?;
                wanted.extend(spooled(&agent.spool()));
            }
            anyhow::Ok((VantageId(format!("agent-{number}")), wanted, agent))
        });
    }
    let mut wanted = BTreeMap::new();
    let mut paused = false;
    loop {
        // Now and then the coordinator takes nothing, so that spools are not empty.
        let turn = Duration::from_millis(rand::random_range(100..700));
        tokio::select! {
            ended = killed.join_next() => {
                let Some(ended) = ended else { break };
                let (name, of_agent, agent) = ended??;
                wanted.insert(name, of_agent);
                world.agents.push(agent);
            }
            () = tokio::time::sleep(turn) => {
                paused = !paused;
                world.coordinator.pause(paused)?;
            }
        }
    }
    world.coordinator.pause(false)?;
    let ended = world.end().await?;
    let (mut seen, mut lost) = (0, 0);
    for (name, of_agent) in &wanted {
        let there = ended.kept.reports.get(name).cloned().unwrap_or_default();
        seen += of_agent.len();
        for (id, envelope) in of_agent {
            match there.get(id) {
                None => lost += 1,
                Some(kept) => {
                    ensure!(kept.body == envelope.body && kept.answers == envelope.answers);
                }
            }
        }
    }
    let rows: usize = ended.kept.reports.values().map(BTreeMap::len).sum();
    println!(
        "{} kills of agents: {seen} reports seen in spools, {lost} lost; {rows} reports kept about \
         {} checks, 0 twice",
        each * AGENTS,
        ended.checks
    );
    ensure!(lost == 0, "{lost} reports that were spooled are lost");
    ensure!(seen > 0 && rows >= each, "enough was measured");
    Ok(())
}
