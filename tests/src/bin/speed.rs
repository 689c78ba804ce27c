//! How long a check takes, with which cost, beside its floor and beside other
//! tools: `tests/bench/speed`.
//!
//! The *floor* is a client that knows where everything is and has nothing to
//! decide. It makes the round trips that nobody can avoid one after the other:
//! a root server, a server of the TLD, opening a connection to a name server,
//! an answer over it. Servers hold back the second answer on a connection
//! until the first is acknowledged (RFC 896), so the check, which asks more
//! than one question there, has a round trip more; the floor is shown with it,
//! too.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bailiwick_core::message::Question;
use bailiwick_core::query::Options as Header;
use bailiwick_core::record::RecordType;
use bailiwick_tests::internet::server::{ServerPlan, Service, Software};
use bailiwick_tests::internet::standard::{self, Delegation, Size};
use bailiwick_tests::internet::switch::Rule;
use bailiwick_tests::internet::zone::Zone;
use bailiwick_tests::internet::{Internet, Options, RulePlan, available};
use bailiwick_wire::dns;
use clap::Parser;
use serde_json::Value;

const HERE: &str = "vantage-eu";
/// A healthy zone of the standard world.
struct Healthy {
    software: &'static str,
    zone: &'static str,
    /// The zones below the root that lead to it, each with a server that is asked for it. Who
    /// does not know the servers of co.uk has to ask those of uk first.
    path: &'static [(&'static str, &'static str)],
}

const HEALTHY: [Healthy; 3] = [
    Healthy {
        software: "NSD",
        zone: "healthy.com.",
        path: &[("healthy.com.", "192.5.6.30")],
    },
    Healthy {
        software: "Knot",
        zone: "healthy.nl.",
        path: &[("healthy.nl.", "194.0.28.53")],
    },
    Healthy {
        software: "BIND",
        zone: "healthy.co.uk.",
        path: &[
            ("co.uk.", "156.154.100.3"),
            ("healthy.co.uk.", "156.154.100.3"),
        ],
    },
];
/// Numbers of name servers for which packets are counted.
const NAMES: [usize; 7] = [1, 2, 3, 4, 6, 8, 13];
/// Runs of which the median counts.
const RUNS: usize = 5;

/// Measures checks. Needs root.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program, built for release.
    #[arg(long)]
    program: PathBuf,
    /// Delay of each link; a round trip passes four.
    #[arg(long, default_value_t = 20)]
    delay_ms: u64,
    /// Leave the other tools out.
    #[arg(long)]
    alone: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Err(reason) = available() {
        bail!("no Internet of namespaces here: {reason}");
    }
    let options = Options {
        delay: Duration::from_millis(arguments.delay_ms),
        ..Options::default()
    };
    let bench = Bench {
        internet: world(options)?,
        program: arguments.program.canonicalize()?,
        measured: std::env::current_exe()?.with_file_name("measured"),
        folder: tempfile::tempdir()?,
        round_trip: 4 * options.delay,
    };
    let mut missed = Vec::new();
    missed.extend(bench.healthy()?);
    missed.extend(bench.silent()?);
    missed.extend(bench.growth()?);
    if !arguments.alone {
        bench.others()?;
    }
    println!();
    for miss in &missed {
        println!("MISSED: {miss}");
    }
    Ok(ExitCode::from(u8::from(!missed.is_empty())))
}

/// Returns the standard world with zones of 1 to 13 name servers besides.
fn world(options: Options) -> Result<Internet> {
    let keys = tempfile::tempdir()?;
    let delegations: Vec<_> = NAMES
        .map(|names| Delegation {
            zone: format!("n{names}.com."),
            text: name_servers(names),
        })
        .into();
    let mut blueprint = standard::blueprint_with(keys.path(), Size::Full, &delegations)?;
    let addresses = (1..=13)
        .flat_map(|n| [format!("45.85.1.{n}"), format!("2a0e:1c85:1::{n}")])
        .map(|address| address.parse())
        .collect::<Result<Vec<IpAddr>, _>>()?;
    blueprint.host("ns-many", "eu", &addresses);
    let zones = delegations
        .iter()
        .map(|delegation| Zone::new(&delegation.zone, 1, &delegation.text))
        .collect();
    // Before the resolvers, which are started last.
    blueprint.servers.insert(
        0,
        ServerPlan {
            host: "ns-many".to_owned(),
            name: "ns-many".to_owned(),
            software: Software::Nsd,
            addresses,
            service: Service::Zones(zones),
        },
    );
    Internet::start(blueprint, options)
}

fn name_servers(names: usize) -> String {
    (1..=names)
        .map(|n| format!("@ NS ns{n}\nns{n} A 45.85.1.{n}\nns{n} AAAA 2a0e:1c85:1::{n}\n"))
        .collect()
}

struct Bench {
    internet: Internet,
    program: PathBuf,
    measured: PathBuf,
    folder: tempfile::TempDir,
    round_trip: Duration,
}

/// What one run of a check cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    evidence_ms: u64,
    verdict_ms: u64,
    cpu_us: u64,
    peak_kib: u64,
    packets: u64,
}

impl Bench {
    /// Healthy zones beside the floor.
    fn healthy(&self) -> Result<Vec<String>> {
        let size = std::fs::metadata(&self.program)?.len();
        println!(
            "A round trip takes {} ms. {} octets of program.\n",
            self.round_trip.as_millis(),
            size
        );
        println!(
            "healthy zones, medians of {RUNS}: ms to the floor, with a second answer, to the evidence, to the verdict"
        );
        println!(
            "{:<16} {:>6} {:>7} {:>9} {:>6} {:>8} {:>6} {:>8} {:>9} {:>8}",
            "zone",
            "floor",
            "second",
            "evidence",
            "ratio",
            "verdict",
            "ratio",
            "CPU ms",
            "peak MiB",
            "packets"
        );
        let mut missed = Vec::new();
        for Healthy {
            software,
            zone,
            path,
        } in HEALTHY
        {
            let floors = self.floors(zone, path, self.server_of(zone)?)?;
            let cost = self.median(zone, "CONSISTENT")?;
            let ratio = |ms: u64| ms as f64 / floors.0.as_secs_f64() / 1000.0;
            println!(
                "{:<16} {:>6} {:>7} {:>9} {:>6.2} {:>8} {:>6.2} {:>8.1} {:>9.1} {:>8}   {software}",
                zone,
                floors.0.as_millis(),
                floors.1.as_millis(),
                cost.evidence_ms,
                ratio(cost.evidence_ms),
                cost.verdict_ms,
                ratio(cost.verdict_ms),
                cost.cpu_us as f64 / 1000.0,
                cost.peak_kib as f64 / 1024.0,
                cost.packets,
            );
            let second = floors.1.as_secs_f64() * 1000.0;
            if cost.evidence_ms as f64 > 1.25 * second {
                missed.push(format!(
                    "{zone} evidence within 1.25 x the floor with a second answer"
                ));
            }
            if cost.verdict_ms as f64 > (1.25 * second).max(1500.0) {
                missed.push(format!("{zone} verdict within 1.5 s"));
            }
            if cost.cpu_us > 10_000 {
                missed.push(format!("{zone} within 10 ms of processor time"));
            }
            if cost.peak_kib > 32 * 1024 || cost.packets > 256 {
                missed.push(format!("{zone} within 32 MiB and 256 packets"));
            }
        }
        Ok(missed)
    }

    /// An address of one of the zone's name servers.
    fn server_of(&self, zone: &str) -> Result<IpAddr> {
        let output = self.run(&["glue", zone, "--output", "json"])?;
        let glue = String::from_utf8(output.stdout)?;
        let server = glue
            .split('"')
            .filter(|word| word.starts_with("45.83."))
            .find_map(|word| word.parse().ok());
        server.with_context(|| format!("{zone} has no glue"))
    }

    /// The round trips that cannot be avoided: without and with a second answer.
    fn floors(
        &self,
        zone: &str,
        path: &[(&str, &str)],
        server: IpAddr,
    ) -> Result<(Duration, Duration)> {
        let question = Question::new(zone.parse()?, RecordType::SOA);
        let one = || -> Result<(Duration, Duration)> {
            let began = Instant::now();
            over_udp("198.41.0.4".parse()?, &question)?;
            for (below, server) in path {
                let question = Question::new(below.parse()?, RecordType::NS);
                over_udp(server.parse()?, &question)?;
            }
            let mut stream = TcpStream::connect((server, 53))?;
            stream.set_nodelay(true)?;
            let ns = Question::new(question.name.clone(), RecordType::NS);
            let mut octets = Vec::new();
            for question in [&question, &ns] {
                let message = dns::encode_query(question, &Header::ITERATIVE, 7, 0);
                octets.extend(u16::try_from(message.len())?.to_be_bytes());
                octets.extend(message);
            }
            stream.write_all(&octets)?;
            read_message(&mut stream)?;
            let first = began.elapsed();
            read_message(&mut stream)?;
            Ok((first, began.elapsed()))
        };
        let mut floors = Vec::new();
        for _ in 0..RUNS {
            floors.push(self.internet.enter(HERE, one)??);
        }
        let middle = |mut values: Vec<Duration>| {
            values.sort();
            values[RUNS / 2]
        };
        Ok((
            middle(floors.iter().map(|floor| floor.0).collect()),
            middle(floors.iter().map(|floor| floor.1).collect()),
        ))
    }

    /// One name server address silent, then all of them.
    fn silent(&self) -> Result<Vec<String>> {
        println!("\nsilent name servers of healthy.com: ms to the verdict");
        let mut missed = Vec::new();
        let addresses = [
            "45.83.2.53",
            "2a0e:1c80:2::53",
            "94.140.2.53",
            "2a10:50c0:2::53",
        ];
        for (silent, limit) in [(1, 2500), (4, 5000)] {
            for address in &addresses[..silent] {
                let rule = Rule {
                    to: Some(address.parse()?),
                    ..Rule::default()
                };
                self.internet.add_rule(RulePlan { from: None, rule })?;
            }
            let (cost, state) = self.cost("healthy.com.")?;
            self.internet.clear_rules();
            println!(
                "{silent} of 4 addresses: {} ms, {state}, {} packets",
                cost.verdict_ms, cost.packets
            );
            if cost.verdict_ms > limit {
                missed.push(format!("{silent} silent: verdict within {limit} ms"));
            }
        }
        Ok(missed)
    }

    /// Packets grow with the number of name servers, not with its square.
    fn growth(&self) -> Result<Vec<String>> {
        println!("\npackets by number of name servers, each with two addresses");
        let mut packets = BTreeMap::new();
        for names in NAMES {
            let (cost, state) = self.cost(&format!("n{names}.com."))?;
            println!(
                "{names:>3}: {:>4} packets, {:>4} ms, {:.1} ms of processor time, {state}",
                cost.packets,
                cost.verdict_ms,
                cost.cpu_us as f64 / 1000.0
            );
            packets.insert(names, cost.packets);
        }
        let slope =
            |from: usize, to: usize| (packets[&to] - packets[&from]) as f64 / (to - from) as f64;
        println!(
            "packets for each further name: {:.1} from 1 to 4, {:.1} from 4 to 13",
            slope(1, 4),
            slope(4, 13)
        );
        let linear = slope(4, 13) <= 1.25 * slope(1, 4);
        Ok(if linear {
            vec![]
        } else {
            vec!["packets grow linearly".to_owned()]
        })
    }

    /// Other tools on the same zone.
    fn others(&self) -> Result<()> {
        println!(
            "\nother tools on healthy.com (they do not do the same): ms, ms of processor time"
        );
        let tools: [&[&str]; 4] = [
            &["dig", "+trace", "healthy.com", "SOA"],
            &["drill", "-T", "healthy.com", "SOA"],
            &["dnsviz", "probe", "-A", "healthy.com"],
            &["zonemaster-cli", "healthy.com"],
        ];
        for tool in tools {
            let file = self.folder.path().join("measures");
            let mut command = Command::new(&self.measured);
            command.arg(&file).args(tool);
            let found = Command::new(tool[0])
                .arg("-h")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if found.is_err() {
                println!("{:<34} not installed", tool.join(" "));
                continue;
            }
            self.internet.run(HERE, &mut command)?;
            let measures: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
            println!(
                "{:<34} {:>6} {:>7.0}   exit {}",
                tool.join(" "),
                measures["wall_ms"],
                measures["cpu_us"].as_f64().unwrap_or(0.0) / 1000.0,
                measures["code"]
            );
        }
        Ok(())
    }

    fn median(&self, zone: &str, expected: &str) -> Result<Cost> {
        let mut costs = Vec::new();
        for _ in 0..RUNS {
            let (cost, state) = self.cost(zone)?;
            ensure!(state == expected, "{zone} is {state}");
            costs.push(cost);
        }
        let middle = |of: fn(&Cost) -> u64| {
            let mut values: Vec<_> = costs.iter().map(of).collect();
            values.sort_unstable();
            values[RUNS / 2]
        };
        Ok(Cost {
            evidence_ms: middle(|c| c.evidence_ms),
            verdict_ms: middle(|c| c.verdict_ms),
            cpu_us: middle(|c| c.cpu_us),
            peak_kib: middle(|c| c.peak_kib),
            packets: middle(|c| c.packets),
        })
    }

    /// Runs one check; packets are those that the network counted.
    fn cost(&self, zone: &str) -> Result<(Cost, String)> {
        self.internet.reset_counts_of(HERE)?;
        let output = self.run(&["check", zone, "--output", "json"])?;
        let verdict: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let measures: Value = serde_json::from_slice(&std::fs::read(self.measures())?)?;
        let number = |value: &Value| value.as_u64().context("a number");
        let cost = Cost {
            evidence_ms: number(&verdict["times"]["evidence_ms"])?,
            verdict_ms: number(&measures["wall_ms"])?,
            cpu_us: number(&measures["cpu_us"])?,
            peak_kib: number(&measures["peak_kib"])?,
            packets: self.internet.counts(HERE)?.packets(),
        };
        Ok((
            cost,
            verdict["state"].as_str().unwrap_or_default().to_owned(),
        ))
    }

    fn run(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let mut command = Command::new(&self.measured);
        command
            .arg(self.measures())
            .arg(&self.program)
            .args(arguments);
        self.internet.run(HERE, &mut command)
    }

    fn measures(&self) -> PathBuf {
        Path::new(self.folder.path()).join("measures")
    }
}

fn over_udp(server: IpAddr, question: &Question) -> Result<()> {
    let any: IpAddr = if server.is_ipv4() {
        [0, 0, 0, 0].into()
    } else {
        [0_u16; 8].into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(SocketAddr::new(server, 53))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.send(&dns::encode_query(question, &Header::ITERATIVE, 7, 0))?;
    let mut buffer = [0; 4096];
    socket
        .recv(&mut buffer)
        .with_context(|| format!("{server} does not answer"))?;
    Ok(())
}

fn read_message(stream: &mut TcpStream) -> Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(())
}
