//! An Internet with hostile zones in it, and programs that are run against them.
//!
//! ```text
//!  root, com, net     NSD, as in the standard world
//!  hostile            one host, many addresses, all hostile zones
//!  checker-0 …        vantage points, one run at a time on each
//! ```
//!
//! Everything about a run is seen from outside: packets and questions over UDP
//! by the switch, questions over TCP by the hostile host, packets within the
//! vantage point by its kernel, memory and time by the parent process.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bailiwick_core::message::{Flags, Message};
use bailiwick_core::record::{Record, RecordData, Soa};
use serde_json::Value;
use tokio::sync::oneshot;

use super::log::{Connection, Log, Seen};
use super::names;
use super::script::{Asked, Script};
use super::server::{self, Play, Stage};
use super::{Task, Zone};
use crate::internet::standard::{self, Size};
use crate::internet::switch::{Action, Counts, Forged, Forger, Rule};
use crate::internet::{Internet, Options, RulePlan};

const HOSTILE: &str = "hostile";
/// Where a program would find services of its own machine.
const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];
/// How long the network may take to carry what a program that has ended still sent.
const SETTLE: Duration = Duration::from_millis(20);

/// The programs of a run.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The program under test.
    pub bailiwick: PathBuf,
    /// The one that measures it.
    pub measured: PathBuf,
}

/// Where programs run.
#[derive(Debug)]
struct Vantage {
    host: String,
    addresses: [IpAddr; 2],
    /// What its loopback was asked.
    sinks: Arc<Log>,
}

/// A running world.
#[derive(Debug)]
pub struct World {
    // The servers end before the world that they live in.
    servers: Vec<Server>,
    vantages: Vec<Vantage>,
    log: Arc<Log>,
    tap: Arc<Log>,
    internet: Internet,
}

/// A thread with a server; it ends when dropped.
#[derive(Debug)]
struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<std::io::Result<()>>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // Its errors were told at the start; a panic was printed.
            let _ = thread.join();
        }
    }
}

/// What was seen of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i64>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
    /// From start to end.
    pub wall: Duration,
    /// The most memory that was resident, in KiB.
    pub peak_kib: u64,
    /// Packets by the switch.
    pub counts: Counts,
    /// Questions over UDP by the switch, over TCP by the hostile host.
    pub questions: Vec<Seen>,
    /// Connections to the hostile host.
    pub connections: Vec<Connection>,
    /// Packets that did not leave the vantage point.
    pub loopback: u64,
    /// Questions to the vantage point's loopback.
    pub to_itself: Vec<Seen>,
}

impl World {
    /// Brings up a world with these zones and so many vantage points, within reason.
    ///
    /// # Errors
    ///
    /// As [`Internet::start`].
    pub fn start(zones: &[Zone], vantages: u8) -> Result<Self> {
        let keys = tempfile::tempdir()?;
        let delegations: Vec<_> = zones
            .iter()
            .flat_map(|zone| zone.delegations.clone())
            .collect();
        let mut blueprint = standard::blueprint_with(keys.path(), Size::Minimal, &delegations)?;
        blueprint.host(HOSTILE, "us", &names::addresses());
        let vantages: Vec<Vantage> = (0..vantages.min(names::CHECKERS))
            .map(Vantage::new)
            .collect();
        for vantage in &vantages {
            blueprint.host(&vantage.host, "eu", &vantage.addresses);
        }
        let internet = Internet::start(blueprint, Options::default())?;
        let askers = || vantages.iter().flat_map(|vantage| vantage.addresses);
        let mut world = Self {
            servers: Vec::new(),
            log: Arc::new(Log::new(askers())),
            tap: Arc::new(Log::new(askers())),
            internet,
            vantages,
        };
        world.serve_zones(zones)?;
        for vantage in 0..world.vantages.len() {
            world.prepare(vantage)?;
        }
        Ok(world)
    }

    fn serve_zones(&mut self, zones: &[Zone]) -> Result<()> {
        let last = zones.iter().map(|zone| zone.number).max().unwrap_or(0);
        let mut plays: Vec<Option<Play>> = vec![None; last + 1];
        for zone in zones {
            plays[zone.number] = Some(Arc::clone(&zone.play));
        }
        let play = move |asked: &Asked| -> Script {
            let play = names::number_of(&asked.question.name)
                .and_then(|number| plays.get(number)?.as_ref());
            play.map_or_else(Vec::new, |play| play(asked))
        };
        self.serve(
            HOSTILE,
            names::addresses(),
            Arc::new(play),
            self.log.clone(),
        )
    }

    fn serve(
        &mut self,
        host: &str,
        addresses: Vec<IpAddr>,
        play: Play,
        log: Arc<Log>,
    ) -> Result<()> {
        let stage = Stage {
            addresses,
            port: 53,
            play,
            log,
        };
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = self
            .internet
            .spawn_in(host, move || server::serve(stage, &ready, stopped))?;
        if is_ready.recv_timeout(Duration::from_secs(20)).is_err() {
            bail!("the server on {host} does not come up");
        }
        self.servers.push(Server {
            stop: Some(stop),
            thread: Some(thread),
        });
        Ok(())
    }

    /// Puts sinks on a vantage point's loopback, and a listener on its way out.
    fn prepare(&mut self, vantage: usize) -> Result<()> {
        let tap = Arc::clone(&self.tap);
        let Vantage { host, sinks, .. } = &self.vantages[vantage];
        let (host, sinks) = (host.clone(), Arc::clone(sinks));
        self.internet.add_rule(RulePlan {
            from: Some(host.clone()),
            rule: Rule {
                action: Action::Forge(Forger::new(move |datagram| {
                    tap.passing(datagram);
                    Forged {
                        sent: vec![],
                        passes: true,
                    }
                })),
                ..Rule::default()
            },
        })?;
        self.serve(&host, LOOPBACK.into(), Arc::new(welcome), sinks)
    }

    /// Returns how many programs can run at once.
    #[must_use]
    pub fn vantages(&self) -> usize {
        self.vantages.len()
    }

    /// Runs the program against a zone, on a vantage point where nothing else runs now.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot be run or measured.
    pub fn run(
        &self,
        vantage: usize,
        programs: &Programs,
        zone: &Zone,
        arguments: &[String],
    ) -> Result<Outcome> {
        let Vantage {
            host,
            addresses,
            sinks,
        } = &self.vantages[vantage];
        self.internet.reset_counts_of(host)?;
        let askers = [&addresses[..], &LOOPBACK].concat();
        for log in [&self.log, &self.tap, sinks] {
            log.take(&askers);
        }
        let before = self.internet.enter(host, loopback_packets)??;
        let measures = self.internet.folder().join(format!("measures-{host}"));
        let mut command = Command::new(&programs.measured);
        command
            .arg(&measures)
            .arg(&programs.bailiwick)
            .args(arguments)
            .env("RUST_BACKTRACE", "1");
        let output = self
            .internet
            .run(host, &mut command)
            .with_context(|| format!("{zone:?}"))?;
        std::thread::sleep(SETTLE);
        let after = self.internet.enter(host, loopback_packets)??;
        let measures = read_measures(&measures)
            .with_context(|| format!("{zone:?}: {}", String::from_utf8_lossy(&output.stderr)))?;
        let served = self.log.take(&askers);
        let passed = self.tap.take(&askers);
        let over_tcp = served
            .questions
            .into_iter()
            .filter(|seen| seen.via == crate::internet::switch::Transport::Tcp);
        Ok(Outcome {
            code: measures["code"].as_i64(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            wall: Duration::from_millis(measures["wall_ms"].as_u64().unwrap_or(u64::MAX)),
            peak_kib: measures["peak_kib"].as_u64().unwrap_or(u64::MAX),
            counts: self.internet.counts(host)?,
            questions: passed.questions.into_iter().chain(over_tcp).collect(),
            connections: served.connections,
            loopback: after - before,
            to_itself: sinks.take(&askers).questions,
        })
    }
}

impl Vantage {
    fn new(number: u8) -> Self {
        let addresses = names::checker(number);
        Self {
            host: format!("checker-{number}"),
            sinks: Arc::new(Log::new(LOOPBACK)),
            addresses,
        }
    }
}

/// What a sink says, so that being asked would look like success: it has authority.
fn welcome(asked: &Asked) -> Script {
    let name = &asked.question.name;
    asked.reply(&Message {
        flags: Flags {
            authoritative: true,
            ..Flags::default()
        },
        answer: vec![Record {
            name: name.clone(),
            ttl: 60,
            data: RecordData::Soa(Soa {
                mname: name.clone(),
                rname: name.clone(),
                serial: 1,
                refresh: 1,
                retry: 1,
                expire: 1,
                minimum: 1,
            }),
        }],
        ..Message::default()
    })
}

/// Returns the packets that the calling thread's loopback device has carried.
fn loopback_packets() -> Result<u64> {
    let devices = fs::read_to_string("/proc/thread-self/net/dev")?;
    let line = devices
        .lines()
        .find_map(|line| line.trim().strip_prefix("lo:"))
        .context("no loopback device")?;
    let received = line.split_whitespace().nth(1).context("no count")?;
    Ok(received.parse()?)
}

fn read_measures(file: &Path) -> Result<Value> {
    let measures = serde_json::from_str(&fs::read_to_string(file)?)?;
    fs::remove_file(file)?;
    Ok(measures)
}

/// Returns the arguments of the program for a zone; `resolvers` decides whether they are asked
/// where the zone does not.
#[must_use]
pub fn arguments(zone: &Zone, resolvers: bool) -> Vec<String> {
    let mut arguments = match &zone.task {
        Task::Check(name) => vec!["check".to_owned(), name.to_string()],
        Task::Trace(question) => vec![
            "trace".to_owned(),
            question.name.to_string(),
            question.record_type.to_string(),
        ],
    };
    let timeout = format!("{}s", zone.given.as_secs());
    arguments.extend(["--output", "json", "--timeout", &timeout].map(ToOwned::to_owned));
    let is_check = matches!(zone.task, Task::Check(_));
    if is_check && !zone.expected.resolvers.unwrap_or(resolvers) {
        arguments.push("--no-resolvers".to_owned());
    }
    arguments
}
