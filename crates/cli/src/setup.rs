//! From the command line to a check and the network that it may use.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, anyhow};
use bailiwick_core::{
    check::{Check, CheckId, Expectation, Resolver},
    limit::Limits,
    name::Name,
    query::Stub,
    report::RoundId,
    server::{Family, Server},
    vantage::VantagePoint,
};
use bailiwick_host::Usage;
use bailiwick_probe::{Ended, Machine, hints};
use bailiwick_transport::{BLACKHOLES, Driven, Network, PORT, Settings, drive};

use crate::{
    args::{Common, StubWay},
    input,
    live::Live,
};

/// The public resolver services that are asked where none is named (both families).
const RESOLVERS: [(&str, [&str; 2]); 3] = [
    ("google", ["8.8.8.8", "2001:4860:4860::8888"]),
    ("cloudflare", ["1.1.1.1", "2606:4700:4700::1111"]),
    ("quad9", ["9.9.9.9", "2620:fe::fe"]),
];

/// A check, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) check: Check,
    pub(crate) limits: Limits,
    settings: Settings,
}

impl Setup {
    /// Reads arguments and files.
    pub(crate) fn new(zone: Name, common: &Common) -> Result<Self, anyhow::Error> {
        let limits = Limits {
            wall_time: common.timeout,
            ..Limits::FULL_ROUND
        };
        let families = families(common);
        let blackholes: Vec<_> = BLACKHOLES
            .into_iter()
            .filter(|address| families.contains(&Family::of(*address)))
            .filter(|_| !common.allow_special_use)
            .collect();
        let check = Check {
            id: CheckId(rand::random()),
            expectation: expectation(&zone, common)?,
            zone,
            roots: roots(common)?,
            resolvers: resolvers(common, &families),
            stub: match common.stub {
                StubWay::Plain => Stub::Plain,
                StubWay::Tls => Stub::Tls,
                StubWay::Https => Stub::Https,
            },
            families,
            minimise: !common.no_minimise,
            timeout: common.timeout,
            nonce: rand::random(),
            blackholes: blackholes.clone(),
            lab: common.allow_special_use,
        };
        let settings = Settings {
            limits,
            allow_special_use: common.allow_special_use,
            port: common.port.unwrap_or(PORT),
            bind: common.bind.clone(),
            blackholes,
        };
        Ok(Self {
            check,
            limits,
            settings,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.settings.port
    }

    /// Opens the network for one check.
    pub(crate) fn network(&self) -> Result<Network, anyhow::Error> {
        Network::new(self.settings.clone()).context("cannot use the network")
    }

    /// Returns what only the driver of a machine knows when it has ended.
    pub(crate) fn ended(&self, driven: Driven) -> Ended {
        Ended {
            vantage: VantagePoint::local(self.check.families.clone()),
            round: RoundId(rand::random()),
            started: driven.started,
            elapsed: driven.elapsed,
            packets: driven.packets,
        }
    }
}

/// Lets a machine run to its end, watched by whoever sits before the terminal.
pub(crate) async fn run<M: Machine>(
    machine: &mut M,
    network: &Network,
    live: &mut Live,
) -> Result<Driven, anyhow::Error> {
    let ended = tokio::select! {
        driven = drive(machine, network, |progress| live.show(progress)) => Ok(driven),
        () = bailiwick_host::stopped() => Err(anyhow!("interrupted")),
    };
    live.clear();
    ended
}

fn families(common: &Common) -> BTreeSet<Family> {
    match (common.four, common.six) {
        (true, _) => [Family::V4].into(),
        (_, true) => [Family::V6].into(),
        _ => Family::ALL.into(),
    }
}

fn resolvers(common: &Common, families: &BTreeSet<Family>) -> Vec<Resolver> {
    if common.no_resolvers {
        return Vec::new();
    }
    let mut resolvers: Vec<Resolver> = Vec::new();
    for given in &common.resolver {
        match resolvers.iter_mut().find(|known| known.name == given.name) {
            Some(known) => known.addresses.extend(&given.addresses),
            None => resolvers.push(Resolver {
                name: given.name.clone(),
                addresses: given.addresses.iter().copied().collect(),
                well_known: false,
            }),
        }
    }
    // At another port than 53 the public services are not to be found.
    if resolvers.is_empty() && common.port.is_none_or(|port| port == PORT) {
        resolvers = well_known();
    }
    for resolver in &mut resolvers {
        resolver
            .addresses
            .retain(|address| families.contains(&Family::of(*address)));
    }
    resolvers.retain(|resolver| !resolver.addresses.is_empty());
    resolvers
}

fn well_known() -> Vec<Resolver> {
    RESOLVERS
        .into_iter()
        .map(|(name, addresses)| Resolver {
            name: name.to_owned(),
            // The texts are constants; a test reads them.
            addresses: addresses.iter().filter_map(|a| a.parse().ok()).collect(),
            well_known: true,
        })
        .collect()
}

fn expectation(zone: &Name, common: &Common) -> Result<Expectation, anyhow::Error> {
    let mut expectation = match &common.expect_file {
        Some(path) => {
            let read = input::expectation(&file(path)?, zone);
            read.map_err(|error| wrong("--expect-file", path, &error))?
        }
        None => Expectation::default(),
    };
    for (host, addresses) in input::by_host(common.expect.clone()) {
        expectation.hosts.entry(host).or_default().extend(addresses);
    }
    Ok(expectation)
}

fn roots(common: &Common) -> Result<Vec<Server>, anyhow::Error> {
    match &common.root_hints {
        None => Ok(hints::iana()),
        Some(path) => {
            let read = input::root_hints(&file(path)?);
            read.map_err(|error| wrong("--root-hints", path, &error))
        }
    }
}

/// The largest file that is read whole, in octets.
const LARGEST: u64 = 16 * 1024 * 1024;

fn file(path: &Path) -> Result<String, anyhow::Error> {
    let about = |error: std::io::Error| Usage(format!("cannot read {}: {error}", path.display()));
    let length = fs::metadata(path).map_err(about)?.len();
    if length > LARGEST {
        return Err(Usage(format!("{} is larger than 16 MiB", path.display())).into());
    }
    Ok(fs::read_to_string(path).map_err(about)?)
}

fn wrong(option: &str, path: &Path, error: &str) -> anyhow::Error {
    Usage(format!("{option} {}: {error}", path.display())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    use crate::args::{Arguments, Command};

    fn setup(words: &[&str]) -> Setup {
        let line = ["bailiwick", "check", "example.com"];
        let arguments = Arguments::try_parse_from(line.iter().chain(words)).unwrap();
        let Command::Check(check) = arguments.command else {
            panic!("another command");
        };
        Setup::new(check.zone, &check.common).unwrap()
    }

    #[test]
    fn three_services_in_both_families_are_asked_by_default() {
        let check = setup(&[]).check;
        let addresses: usize = check.resolvers.iter().map(|r| r.addresses.len()).sum();
        assert_eq!((check.resolvers.len(), addresses), (3, 6));
        assert!(check.resolvers.iter().all(|r| r.well_known));
        assert_eq!(check.blackholes.len(), 2);
        assert_eq!(check.roots.len(), 26);
        assert!(!check.lab);
    }

    #[test]
    fn a_family_is_left_out_everywhere() {
        let check = setup(&["-4"]).check;
        assert_eq!(check.families, [Family::V4].into());
        let six = |r: &Resolver| r.addresses.iter().any(|a| a.is_ipv6());
        assert!(!check.resolvers.iter().any(six));
        assert_eq!(check.blackholes.len(), 1);
    }

    #[test]
    fn resolvers_of_ones_own_replace_the_default_ones() {
        let check = setup(&[
            "--resolver",
            "office=192.0.2.53",
            "--resolver=office=2001:db8::53",
        ])
        .check;
        assert_eq!(check.resolvers.len(), 1);
        assert_eq!(check.resolvers[0].addresses.len(), 2);
        assert!(!check.resolvers[0].well_known);
        assert!(setup(&["--no-resolvers"]).check.resolvers.is_empty());
    }

    #[test]
    fn a_laboratory_has_its_own_port_and_no_blackholes() {
        let setup = setup(&["--allow-special-use", "--port", "5300"]);
        assert!(setup.check.lab && setup.check.blackholes.is_empty());
        assert_eq!(setup.port(), 5300);
        assert!(setup.check.resolvers.is_empty(), "they are at port 53 only");
    }

    #[test]
    fn expectations_of_one_host_are_joined() {
        let check = setup(&[
            "--expect",
            "ns1.example.com=192.0.2.1",
            "--expect",
            "ns1.example.com=2001:db8::1",
        ])
        .check;
        assert_eq!(check.expectation.hosts.len(), 1);
        assert!(check.expectation.hosts.values().all(|a| a.len() == 2));
    }
}
