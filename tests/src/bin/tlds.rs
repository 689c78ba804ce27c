//! Holds `bailiwick glue` against a whole root zone file, delegation by delegation.
//!
//! NSD serves the file at the true addresses of the root servers, in a namespace.
//! For each top-level domain the name servers and the glue that `bailiwick glue`
//! prints, at every one of the 26 addresses, must be those of the file, which is
//! read here without any code of the program. Glue is every address that the file
//! has for a name server of the domain.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bailiwick_tests::internet::server::{ServerPlan, Service, Software};
use bailiwick_tests::internet::standard::{ROOT_SERVERS, VANTAGES};
use bailiwick_tests::internet::zone::Zone;
use bailiwick_tests::internet::{Blueprint, Internet, Options, available};
use clap::Parser;
use serde_json::Value;

/// Compares `bailiwick glue` with a root zone file for every top-level domain. Needs root.
#[derive(Debug, Parser)]
#[command(after_help = "Example: tlds --zone root.zone --program target/release/bailiwick")]
struct Arguments {
    /// The root zone, as a master file (not compressed).
    #[arg(long)]
    zone: PathBuf,
    /// The program to run.
    #[arg(long, default_value = "target/release/bailiwick")]
    program: PathBuf,
    /// Only so many domains.
    #[arg(long)]
    first: Option<usize>,
}

/// Name servers with their addresses.
type Servers = BTreeMap<String, BTreeSet<IpAddr>>;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Err(reason) = available() {
        bail!("no Internet of namespaces here: {reason}");
    }
    let text = std::fs::read_to_string(&arguments.zone)
        .with_context(|| arguments.zone.display().to_string())?;
    let wanted: Vec<(String, Servers)> = delegations(&text)
        .into_iter()
        .take(arguments.first.unwrap_or(usize::MAX))
        .collect();
    let net = start(text)?;
    let next = AtomicUsize::new(0);
    let differences = Mutex::new(Vec::new());
    let began = Instant::now();
    thread::scope(|scope| {
        for (vantage, ..) in VANTAGES {
            let (net, wanted, next, differences) = (&net, &wanted, &next, &differences);
            let program = &arguments.program;
            scope.spawn(move || {
                while let Some((domain, servers)) = wanted.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let difference = match published(net, vantage, program, domain) {
                        Ok(parents) => compare(&parents, servers),
                        Err(error) => Some(format!("{error:#}")),
                    };
                    let mut differences = differences
                        .lock()
                        .unwrap_or_else(|poison| poison.into_inner());
                    differences.extend(difference.map(|what| format!("{domain} {what}")));
                }
            });
        }
    });
    let elapsed = began.elapsed();
    let differences = differences
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    for difference in &differences {
        println!("{difference}");
    }
    let packets: u64 = VANTAGES
        .iter()
        .map(|(vantage, ..)| net.counts(vantage).map(|counts| counts.packets()))
        .sum::<Result<u64>>()?;
    println!(
        "{} of {} domains as in the file; {:.1} s, {packets} packets",
        wanted.len() - differences.len(),
        wanted.len(),
        elapsed.as_secs_f64(),
    );
    Ok(ExitCode::from(u8::from(!differences.is_empty())))
}

/// Returns every delegation of the file with the addresses that the file has for its servers.
fn delegations(text: &str) -> BTreeMap<String, Servers> {
    let mut name_servers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut addresses: Servers = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [owner, _ttl, "IN", kind, data] = words[..] else {
            continue;
        };
        let owner = owner.to_ascii_lowercase();
        match kind {
            "NS" if owner != "." => {
                name_servers
                    .entry(owner)
                    .or_default()
                    .insert(data.to_ascii_lowercase());
            }
            "A" | "AAAA" => {
                if let Ok(address) = data.parse() {
                    addresses.entry(owner).or_default().insert(address);
                }
            }
            _ => {}
        }
    }
    let with_addresses = |names: BTreeSet<String>| {
        names
            .into_iter()
            .map(|name| {
                (
                    name.clone(),
                    addresses.get(&name).cloned().unwrap_or_default(),
                )
            })
            .collect()
    };
    name_servers
        .into_iter()
        .map(|(zone, names)| (zone, with_addresses(names)))
        .collect()
}

fn start(text: String) -> Result<Internet> {
    let addresses: Vec<IpAddr> = ROOT_SERVERS
        .iter()
        .flatten()
        .map(|address| address.parse())
        .collect::<Result<_, _>>()?;
    let mut blueprint = Blueprint::default();
    blueprint.host("root", "eu", &addresses);
    for (name, region, own) in VANTAGES {
        let own: Vec<IpAddr> = own.iter().map(|a| a.parse()).collect::<Result<_, _>>()?;
        blueprint.host(name, region, &own);
    }
    blueprint.servers.push(ServerPlan {
        host: "root".to_owned(),
        name: "root".to_owned(),
        software: Software::Nsd,
        addresses,
        service: Service::Zones(vec![Zone {
            name: ".".to_owned(),
            text,
        }]),
    });
    Internet::start(blueprint, Options::default())
}

/// Runs the program for one domain; returns what each parent address publishes.
fn published(
    net: &Internet,
    vantage: &str,
    program: &PathBuf,
    domain: &str,
) -> Result<BTreeMap<IpAddr, Servers>> {
    let output = net.run(
        vantage,
        Command::new(program).args(["glue", domain, "--output", "json", "--color", "never"]),
    )?;
    let glue: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "no JSON: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        )
    })?;
    let mut parents = BTreeMap::new();
    for parent in list(&glue, "parents") {
        let address = text_of(parent, "address")
            .parse()
            .context("address of a parent")?;
        let mut servers = Servers::new();
        for server in list(parent, "name_servers") {
            let glue = list(server, "glue").map(|glue| text_of(glue, "address").parse());
            let glue = glue.collect::<Result<_, _>>().context("address of glue")?;
            servers.insert(text_of(server, "name").to_owned(), glue);
        }
        parents.insert(address, servers);
    }
    Ok(parents)
}

fn compare(parents: &BTreeMap<IpAddr, Servers>, wanted: &Servers) -> Option<String> {
    if parents.len() != 2 * ROOT_SERVERS.len() {
        return Some(format!("seen at {} addresses only", parents.len()));
    }
    let (address, other) = parents.iter().find(|(_, servers)| *servers != wanted)?;
    Some(format!("at {address}: {other:?}, in the file: {wanted:?}"))
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
