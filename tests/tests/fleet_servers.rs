//! A fleet of real programs among real name servers.
//!
//! ```text
//!  coordinator   vantage-eu   vantage-us   vantage-asia      bailiwick-coordinator, -agent
//!       │             │            │             │
//!       └─────────────┴── switch ──┴─────────────┘
//!                     │            │             │
//!                   nl-eu        nl-us        nl-asia        one anycast parent, three instances
//! ```
//!
//! The delegation of `moving.nl` changes at one instance after the other. What each
//! vantage point can see is one instance; what the coordinator says is about all of
//! them. On the way an agent is killed, and at the end one of them has no IPv6 and one no DNS.
//!
//! The programs are those that were built beside this test.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bailiwick_core::check::{Check, CheckId};
use bailiwick_rpc::{Link, operator};
use bailiwick_tests::fleet::{folder, follow};
use bailiwick_tests::internet::server::{ServerPlan, Service};
use bailiwick_tests::internet::standard::{self, Size};
use bailiwick_tests::internet::switch::{Family, Rule};
use bailiwick_tests::internet::zone::Zone;
use bailiwick_tests::internet::{Blueprint, Internet, Options, RulePlan, can_run};
use bailiwick_tests::programs::{FLEET, built};
use bailiwick_wire::evidence;
use serde_json::Value;
use tempfile::TempDir;

const COORDINATOR: &str = "185.49.140.10:8443";
const ZONE: &str = "moving.nl.";

/// What the coordinator may add to the slowest vantage point. Programs without
/// optimisation on processors that others use, too, are given more than the 50 ms
/// that are promised; what it was is printed.
const MOST_ADDED: Duration = Duration::from_millis(500);

/// Vantage points: host, region, and labels for its place.
const VANTAGES: [(&str, &str, [&str; 2]); 3] = [
    ("vantage-eu", "eu", ["asn=64501", "rir=ripe"]),
    ("vantage-us", "us", ["asn=64502", "rir=arin"]),
    ("vantage-asia", "asia", ["asn=64503", "rir=apnic"]),
];

/// The instances of the parent, in the order in which they publish.
const INSTANCES: [&str; 3] = ["nl-eu", "nl-asia", "nl-us"];

#[test]
fn a_fleet_follows_a_change_from_instance_to_instance() -> Result<()> {
    let test = "a_fleet_follows_a_change_from_instance_to_instance";
    if !can_run(test) {
        return Ok(());
    }
    let Some(programs) = built(test, &FLEET)? else {
        return Ok(());
    };
    let [cli, coordinator, agent] = FLEET.map(|name| programs.join(name));
    let world = World::start()?;
    let fleet = Fleet::start(&world.internet, cli, &coordinator, agent)?;

    // A zone without fault.
    let healthy = fleet.check("healthy.nl", &[])?;
    healthy.is("CONSISTENT")?;
    healthy.has("scope", "fleet")?;
    ensure!(healthy.voters() == 3, "{}", healthy.said["vantages"]);

    // The same again, by the clock of the coordinator.
    let added = fleet.added_by_the_coordinator()?;
    ensure!(added < MOST_ADDED, "the coordinator adds {added:?}");

    // Nobody publishes the change, then one instance, then two.
    let expected = world.expected();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    fleet.check(ZONE, &expected)?.is("NOT_PUBLISHED")?;
    world.publish(INSTANCES[0])?;
    let one = fleet.check(ZONE, &expected)?;
    one.is("PUBLISHING")?;
    one.published(1)?;

    // An agent dies without a word while it looks, and comes back with what it kept.
    // That check is about who is left or who is back; the next one is about all.
    world.publish(INSTANCES[1])?;
    let disturbed = thread::scope(|scope| {
        let check = scope.spawn(|| fleet.check(ZONE, &expected));
        thread::sleep(Duration::from_millis(100));
        fleet.kill_and_restart("vantage-asia")?;
        check.join().unwrap_or_else(|_| bail!("a check panicked"))
    })?;
    disturbed.is("PUBLISHING")?;
    ensure!(disturbed.voters() >= 2, "{}", disturbed.said["vantages"]);
    let two = fleet.check(ZONE, &expected)?;
    two.is("PUBLISHING")?;
    two.published(2)?;
    ensure!(two.voters() == 3, "{}", two.said["vantages"]);
    // Who is behind: address, NSID and the vantage point that saw it.
    two.names_who_is_behind("nl-us", "vantage-us")?;

    // One who sees an instance that is not behind cannot know of the others, and says so.
    let alone = fleet.check_alone("vantage-eu", ZONE, &expected)?;
    alone.is("CONSISTENT")?;
    alone.has("scope", "local")?;
    ensure!(alone.finds("quorum-not-met"), "{}", alone.said["findings"]);
    let not_covered = alone.said["not_covered"].to_string();
    ensure!(
        not_covered.contains("other networks, other anycast instances and caches are not proved"),
        "{not_covered}"
    );

    world.publish(INSTANCES[2])?;
    let all = fleet.check(ZONE, &expected)?;
    all.is("CONSISTENT")?;
    all.published(3)?;

    // Vantage points without IPv6, and then without DNS, say nothing about the domain.
    let without = |host: &str, rule: Rule| {
        let from = Some(host.to_owned());
        world.internet.add_rule(RulePlan { from, rule })
    };
    without(
        "vantage-us",
        Rule {
            family: Some(Family::V6),
            ..Rule::default()
        },
    )?;
    let half = fleet.check("healthy.nl", &[])?;
    half.is("CONSISTENT")?;
    half.finds_only_about_vantages()?;
    without(
        "vantage-asia",
        Rule {
            port: Some(53),
            ..Rule::default()
        },
    )?;
    let sick = fleet.check("healthy.nl", &[])?;
    sick.is("CONSISTENT")?;
    sick.finds_only_about_vantages()?;
    ensure!(sick.voters() == 2, "{}", sick.said["vantages"]);
    Ok(())
}

/// The standard world with `nl` at three places, of which none publishes the change.
struct World {
    internet: Internet,
    /// The parent zone with the change.
    changed: Zone,
    /// The zone itself, as it is served.
    child: Zone,
    _keys: TempDir,
}

impl World {
    fn start() -> Result<Self> {
        let keys = tempfile::tempdir()?;
        let mut blueprint = standard::blueprint(keys.path(), Size::Full)?;
        let changed = zone_at(plan(&mut blueprint, "nl-eu")?, "nl.")?;
        let child = zone_at(plan(&mut blueprint, "child-knot")?, ZONE)?;
        // Every instance has all addresses, so that each vantage point sees one instance.
        let behind = plan(&mut blueprint, "nl-us")?.clone();
        *plan(&mut blueprint, "nl-eu")? = ServerPlan {
            host: "nl-eu".to_owned(),
            name: "nl-eu".to_owned(),
            ..behind.clone()
        };
        for host in &mut blueprint.hosts {
            if host.name == "nl-eu" {
                host.addresses.clone_from(&behind.addresses);
            }
        }
        blueprint.host("nl-asia", "asia", &behind.addresses);
        blueprint.servers.push(ServerPlan {
            host: "nl-asia".to_owned(),
            name: "nl-asia".to_owned(),
            ..behind
        });
        let own = |v4: &str, v6: &str| -> Result<[IpAddr; 2]> { Ok([v4.parse()?, v6.parse()?]) };
        blueprint.host("vantage-asia", "asia", &own("103.6.84.2", "2400:6180::2")?);
        blueprint.host("coordinator", "eu", &own("185.49.140.10", "2a04:b900::10")?);
        let options = Options {
            delay: Duration::from_millis(2),
            ..Options::default()
        };
        Ok(Self {
            internet: Internet::start(blueprint, options)?,
            changed,
            child,
            _keys: keys,
        })
    }

    /// Loads the changed zone at one instance and waits until it answers with it.
    fn publish(&self, instance: &str) -> Result<()> {
        self.internet.reload(instance, &self.changed)?;
        let (serial, deadline) = (
            serial(&self.changed)?,
            Instant::now() + Duration::from_secs(5),
        );
        loop {
            let mut dig = Command::new("dig");
            dig.args(["@194.0.28.53", "nl.", "SOA", "+short", "+time=1"]);
            let output = self.internet.run(instance, &mut dig)?;
            let text = String::from_utf8_lossy(&output.stdout);
            if text.split_whitespace().nth(2) == Some(serial.as_str()) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{instance} still has {text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The change, as arguments of `check`.
    fn expected(&self) -> Vec<String> {
        ["ns1", "ns2"]
            .iter()
            .flat_map(|host| {
                let records = self.child.text.lines().map(|line| line.split(' '));
                let addresses: Vec<&str> = records
                    .filter_map(|mut fields| {
                        let owner = fields.next()?;
                        (owner == *host).then(|| fields.nth(1)).flatten()
                    })
                    .collect();
                let expected = format!("{host}.{ZONE}={}", addresses.join(","));
                ["--expect".to_owned(), expected]
            })
            .collect()
    }
}

fn plan<'b>(blueprint: &'b mut Blueprint, name: &str) -> Result<&'b mut ServerPlan> {
    let mut plans = blueprint.servers.iter_mut();
    plans
        .find(|plan| plan.name == name)
        .with_context(|| format!("no server {name}"))
}

fn zone_at(plan: &ServerPlan, name: &str) -> Result<Zone> {
    let Service::Zones(zones) = &plan.service else {
        bail!("{} serves no zones", plan.name);
    };
    let zone = zones.iter().find(|zone| zone.name == name);
    zone.cloned().with_context(|| format!("no zone {name}"))
}

/// The serial of a signed zone, from its text.
fn serial(zone: &Zone) -> Result<String> {
    let soa = zone.text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let soa = fields.iter().position(|field| *field == "SOA")?;
        fields.get(soa + 3).map(|serial| (*serial).to_owned())
    });
    soa.context("a zone without SOA record")
}

/// The programs of a fleet; they end with it.
struct Fleet<'w> {
    internet: &'w Internet,
    cli: PathBuf,
    agent: PathBuf,
    folder: TempDir,
    agents: Mutex<Vec<(&'static str, Running)>>,
    _coordinator: Running,
}

/// A program that ends when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl<'w> Fleet<'w> {
    fn start(
        internet: &'w Internet,
        cli: PathBuf,
        coordinator: &Path,
        agent: PathBuf,
    ) -> Result<Self> {
        let folder = folder()?;
        let own = folder.path().join("coordinator");
        let mut init = Command::new(coordinator);
        init.args(["init", "--public", COORDINATOR, "--dir"])
            .arg(&own)
            .args(["--socket", "operators.sock"]);
        let output = internet.run("coordinator", &mut init)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "init: {errors}");
        let mut serve = Command::new(coordinator);
        serve.arg("serve").arg("--dir").arg(&own);
        let log = folder.path().join("coordinator.log");
        let running = background(internet, "coordinator", &mut serve, &log)?;
        let fleet = Self {
            internet,
            cli,
            agent,
            folder,
            agents: Mutex::default(),
            _coordinator: running,
        };
        fleet.wait("No agent yet")?;
        for (host, _, labels) in VANTAGES {
            let labels = labels.map(|label| ["--label", label]).concat();
            let invited = fleet.operator(&[&["agents", "invite", host], &labels[..]].concat())?;
            let text = invited.lines().find(|line| line.trim().starts_with("bw1."));
            let text = text.context("no invitation")?.trim();
            fleet.start_agent(host, &["join", text])?;
        }
        fleet.wait("3 agents, 3 connected")?;
        Ok(fleet)
    }

    fn start_agent(&self, host: &'static str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.agent);
        command
            .arg("--state-dir")
            .arg(self.folder.path().join(host));
        command.args(arguments);
        let log = self.folder.path().join(format!("{host}.log"));
        let running = background(self.internet, host, &mut command, &log)?;
        self.agents().push((host, running));
        Ok(())
    }

    fn agents(&self) -> MutexGuard<'_, Vec<(&'static str, Running)>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends an agent with SIGKILL and starts it with what it kept.
    fn kill_and_restart(&self, host: &'static str) -> Result<()> {
        self.agents().retain(|(name, _)| *name != host);
        self.wait("3 agents, 2 connected")?;
        self.start_agent(host, &[])?;
        self.wait("3 agents, 3 connected")
    }

    /// Waits until the list of agents begins so.
    fn wait(&self, wanted: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let listed = self.operator(&["agents", "list"]);
            match &listed {
                Ok(text) if text.contains(wanted) => return Ok(()),
                _ if Instant::now() < deadline => thread::sleep(Duration::from_millis(100)),
                _ => bail!("not {wanted:?}: {listed:?}\n{}", self.logs()),
            }
        }
    }

    fn logs(&self) -> String {
        let hosts = VANTAGES.map(|(host, ..)| host);
        let logs = hosts.iter().chain(&["coordinator"]).map(|host| {
            let log = fs::read_to_string(self.folder.path().join(format!("{host}.log")));
            format!("--- {host}\n{}", log.unwrap_or_default())
        });
        logs.collect()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("coordinator/operators.sock")
    }

    /// Asks the coordinator, as an operator of its machine.
    fn operator(&self, arguments: &[&str]) -> Result<String> {
        let output = self.ask(arguments)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn ask(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let mut command = Command::new(&self.cli);
        command.args(arguments);
        command.arg("--coordinator").arg(self.socket());
        self.internet.run("coordinator", &mut command)
    }

    /// Lets the fleet check a zone.
    fn check(&self, zone: &str, expected: &[&str]) -> Result<Verdict> {
        let arguments = [&["check", zone, "--output", "json"], expected].concat();
        let started = Instant::now();
        let output = self.ask(&arguments)?;
        Verdict::read("fleet", zone, &output, started.elapsed()).with_context(|| self.logs())
    }

    /// Repeats the last check. Returns how long it took from the request to the
    /// verdict, less the time that the slowest vantage point took for itself. The
    /// network's share is in it: one round trip, 8 ms.
    fn added_by_the_coordinator(&self) -> Result<Duration> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let ended = runtime.block_on(async {
            let link = Link::local(&self.socket()).await?;
            let mut operator = link.operator();
            let listed = operator.list_checks(operator::ListChecksRequest::default());
            let listed = listed.await?.into_inner().checks;
            let check = listed.first().context("no check")?.check.clone();
            let saved = operator.get_evidence(operator::GetEvidenceRequest { check });
            let mut saved = saved.await?.into_inner();
            let mut parts = Vec::new();
            while let Some(part) = saved.message().await? {
                parts.push(part);
            }
            let check = Check {
                id: CheckId(rand::random()),
                nonce: rand::random(),
                ..evidence::read(&parts)?.check
            };
            anyhow::Ok(follow(&link, &check, "json").await?.ended)
        })?;
        let said: Value = serde_json::from_str(&ended.shown)?;
        ensure!(said["state"] == "CONSISTENT", "{}", said["headline"]);
        let slowest = Duration::from_millis(said["elapsed_ms"].as_u64().context("elapsed_ms")?);
        let [whole, judged] = [ended.elapsed_ns, ended.judged_ns]
            .map(|ns| Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)));
        let added = whole.saturating_sub(slowest);
        eprintln!(
            "request to verdict {whole:.1?}, slowest vantage point {slowest:.1?}, added {added:.1?}, \
             of that from the last report to the verdict {judged:.1?}"
        );
        Ok(added)
    }

    /// Checks a zone from one host, without a coordinator.
    fn check_alone(&self, host: &str, zone: &str, expected: &[&str]) -> Result<Verdict> {
        let mut command = Command::new(&self.cli);
        command
            .args(["check", zone, "--output", "json"])
            .args(expected);
        let started = Instant::now();
        let output = self.internet.run(host, &mut command)?;
        Verdict::read(host, zone, &output, started.elapsed())
    }
}

/// Starts a program that writes to a log.
fn background(
    internet: &Internet,
    host: &str,
    command: &mut Command,
    log: &Path,
) -> Result<Running> {
    let log = File::options().create(true).append(true).open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(Running(internet.start_program(host, command)?))
}

/// What a check said.
struct Verdict {
    said: Value,
}

impl Verdict {
    fn read(
        who: &str,
        zone: &str,
        output: &std::process::Output,
        elapsed: Duration,
    ) -> Result<Self> {
        let errors = String::from_utf8_lossy(&output.stderr);
        let said: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("exit {:?}, {}", output.status.code(), errors.trim()))?;
        ensure!(
            said["schema"] == "bailiwick.check/1",
            "{zone}: after {} ms {said:#}",
            elapsed.as_millis()
        );
        let verdict = Self { said };
        let findings = verdict.said["findings"].as_array();
        let findings: Vec<_> = findings
            .into_iter()
            .flatten()
            .filter_map(|finding| finding["id"].as_str())
            .collect();
        let published = &verdict.said["published"];
        eprintln!(
            "{who:<10} {zone:<10} {:<18} {}/{} {:>5} ms, of the slowest vantage point {:>5} ms  {}",
            verdict.state(),
            published["instances"],
            published["of"],
            elapsed.as_millis(),
            verdict.said["elapsed_ms"],
            findings.join(" ")
        );
        Ok(verdict)
    }

    fn state(&self) -> &str {
        self.said["state"].as_str().unwrap_or_default()
    }

    fn is(&self, state: &str) -> Result<()> {
        self.has("state", state)
    }

    fn has(&self, key: &str, value: &str) -> Result<()> {
        let said = &self.said[key];
        ensure!(
            said == value,
            "{said}, not {value}: {:#}",
            self.said["findings"]
        );
        Ok(())
    }

    fn finds(&self, id: &str) -> bool {
        let findings = self.said["findings"].as_array();
        findings.is_some_and(|findings| findings.iter().any(|finding| finding["id"] == id))
    }

    fn finds_only_about_vantages(&self) -> Result<()> {
        for finding in self.said["findings"].as_array().context("findings")? {
            let id = finding["id"].as_str().context("id")?;
            let of_the_fleet = id.starts_with("vantage-") || id == "quorum-not-met";
            ensure!(of_the_fleet, "{finding:#}");
        }
        Ok(())
    }

    /// How many vantage points had a voice.
    fn voters(&self) -> usize {
        let vantages = self.said["vantages"].as_array();
        vantages.map_or(0, |vantages| {
            let healthy = vantages
                .iter()
                .filter(|vantage| vantage["fitness"] == "healthy");
            healthy.count()
        })
    }

    /// Holds the share of instances that publish the change against what was loaded.
    fn published(&self, instances: usize) -> Result<()> {
        let (said, rows) = (&self.said["published"], self.said["parents"].as_array());
        let places = rows
            .context("parents")?
            .iter()
            .filter_map(|row| row["nsid"].as_str());
        let places: std::collections::BTreeSet<&str> = places.collect();
        ensure!(places == INSTANCES.into(), "{places:?}");
        let [some, of] = ["instances", "of"].map(|key| said[key].as_u64().unwrap_or_default());
        // Each instance counts once for each of its addresses.
        ensure!(
            of > 0 && some * 3 == of * u64::try_from(instances)?,
            "{said}, not {instances} of 3"
        );
        Ok(())
    }

    /// Holds that a finding names the parent's address, the instance and who saw it.
    fn names_who_is_behind(&self, nsid: &str, vantage: &str) -> Result<()> {
        let findings = self.said["findings"].as_array().context("findings")?;
        let named = findings.iter().find(|finding| {
            finding["id"] == "parent-instances-divergent" && finding["address"].is_string()
        });
        let named = named.with_context(|| format!("no finding: {findings:#?}"))?;
        let detail = named["detail"].as_str().context("detail")?;
        for word in [named["address"].as_str().unwrap_or_default(), nsid, vantage] {
            ensure!(detail.contains(word), "no {word} in {detail:?}");
        }
        let evidence = named["evidence"].as_array().context("evidence")?;
        let seen = evidence.iter().any(|seen| {
            seen["vantage"] == vantage
                && seen["address"] == named["address"]
                && seen["reply"]["nsid"] == nsid
        });
        ensure!(seen, "no evidence of {vantage} at {nsid}");
        eprintln!("{detail}");
        Ok(())
    }
}
