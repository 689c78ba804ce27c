//! `bailiwick glue`: what each parent server publishes right now.

use std::{collections::BTreeMap, net::IpAddr};

use bailiwick_core::{
    name::Name,
    report::{Found, Report},
    verdict::{Class, ParentRow},
};
use bailiwick_host::Usage;
use bailiwick_probe::{Only, Plan, Session};
use bailiwick_render::{
    glue::{self, Published, same_delegation},
    json,
};
use bailiwick_verdict::{Evidence, Policy, judge};

use crate::{
    args::{Arguments, Glue},
    emit, input,
    live::Live,
    setup::{self, Setup},
};

/// Parent servers publish different things.
const DIFFERENT: u8 = 11;
/// No parent server delegates the zone.
const NONE: u8 = 12;
/// A parent server name answered at none of its addresses.
const INCONCLUSIVE: u8 = 40;

pub(crate) fn run(arguments: &Arguments, wanted: &Glue) -> Result<u8, anyhow::Error> {
    let only = wanted.at.as_deref().map(only).transpose()?;
    let setup = Setup::new(wanted.zone.clone(), &wanted.common)?;
    let plan = Plan::glue(only.clone());
    let mut session = Session::with_plan(setup.check.clone(), plan, setup.limits);
    let mut live = Live::new(arguments.verbose);
    let driven = bailiwick_host::block_on(async {
        let network = setup.network()?;
        setup::run(&mut session, &network, &mut live).await
    })??;
    let report = session.finish(setup.ended(driven));
    is_zone(&report)?;
    if let Some(only) = &only {
        is_parent_server(&report, only)?;
    }
    let verdict = judge(&Evidence::of(report), &Policy::default());
    let parents: Vec<ParentRow> = verdict
        .parents
        .into_iter()
        .filter(|row| only.as_ref().is_none_or(|only| is(only, row)))
        .collect();
    let published = Published {
        zone: &setup.check.zone,
        parent: verdict.parent.as_ref(),
        parents: &parents,
        agree: agree(&parents),
        exit_code: exit_code(&parents),
        elapsed: verdict.elapsed,
        packets: verdict.packets,
        port: setup.port(),
        style: arguments.style(),
    };
    emit(&if arguments.json() {
        json::glue(&published)
    } else {
        glue::glue(&published)
    })?;
    Ok(published.exit_code)
}

fn only(text: &str) -> Result<Only, Usage> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Only::Address(address));
    }
    match input::name(text) {
        Ok(name) => Ok(Only::Name(name)),
        Err(error) => Err(Usage(format!("--at {text}: {error}"))),
    }
}

fn is(only: &Only, row: &ParentRow) -> bool {
    match only {
        Only::Name(name) => row.server.name == *name,
        Only::Address(address) => row.server.address == *address,
    }
}

/// A name inside a zone has no delegation of its own; says which zone has.
fn is_zone(report: &Report) -> Result<(), Usage> {
    let (Found::Inside(_), Some(enclosing)) = (&report.found, report.parent()) else {
        return Ok(());
    };
    let (zone, enclosing) = (&report.check.zone, &enclosing.zone);
    Err(Usage(if enclosing.is_root() {
        format!("{zone} is no zone: the root zone answers for it itself")
    } else {
        format!("{zone} is no zone: it lies inside {enclosing}; try: bailiwick glue {enclosing}")
    }))
}

fn is_parent_server(report: &Report, only: &Only) -> Result<(), Usage> {
    let Some(parent) = report.parent() else {
        return Ok(());
    };
    let known = match only {
        Only::Name(name) => parent.names.contains(name),
        Only::Address(address) => parent.servers.iter().any(|s| s.address == *address),
    };
    if known {
        return Ok(());
    }
    let names: Vec<String> = parent.names.iter().map(Name::to_string).collect();
    Err(Usage(format!(
        "--at: no such server of {}; its servers are {}",
        parent.zone,
        names.join(", ")
    )))
}

/// Whether all servers that gave a usable answer publish the same.
fn agree(parents: &[ParentRow]) -> bool {
    let mut answered = parents.iter().filter(|row| row.class != Class::Silent);
    let Some(first) = answered.next() else {
        return false;
    };
    answered.all(|row| same_delegation(first, row))
}

fn exit_code(parents: &[ParentRow]) -> u8 {
    let mut heard: BTreeMap<&Name, bool> = BTreeMap::new();
    for row in parents {
        *heard.entry(&row.server.name).or_default() |= row.class != Class::Silent;
    }
    let anybody = heard.values().any(|heard| *heard);
    if anybody && !agree(parents) {
        DIFFERENT
    } else if !anybody || heard.values().any(|heard| !heard) {
        INCONCLUSIVE
    } else if parents
        .iter()
        .filter(|row| row.class != Class::Silent)
        .all(|row| row.name_servers.is_empty())
    {
        NONE
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use bailiwick_core::{server::Server, vantage::VantageId};

    fn row(host: &str, class: Class, glue: &[&str]) -> ParentRow {
        let addresses = glue.iter().map(|a| (a.parse().unwrap(), 3_600)).collect();
        ParentRow {
            server: Server {
                name: host.parse().unwrap(),
                address: "192.0.2.1".parse().unwrap(),
            },
            nsid: None,
            vantage: VantageId("local".to_owned()),
            class,
            serial: None,
            // A delegation without glue is of class NONE, too: nothing of it can be used.
            name_servers: Arc::new(if !glue.is_empty() || host == "bare" {
                [("ns1.example.com".parse().unwrap(), addresses)].into()
            } else {
                BTreeMap::new()
            }),
            ns_ttl: None,
            rtt: None,
            note: String::new(),
        }
    }

    #[test]
    fn the_exit_code_says_whether_parents_agree() {
        use Class::{New, None, Old, Silent};
        let (one, two) = ("192.0.2.10", "192.0.2.20");
        let cases = [
            (
                vec![row("a", New, &[one]), row("b", New, &[one])],
                0,
                "all agree",
            ),
            (
                vec![row("a", New, &[one]), row("b", Old, &[two])],
                11,
                "other glue",
            ),
            (
                vec![row("a", New, &[one]), row("b", None, &[])],
                11,
                "one has no delegation",
            ),
            (
                vec![row("a", None, &[]), row("b", None, &[])],
                12,
                "none delegates",
            ),
            (
                vec![row("a", New, &[one]), row("b", Silent, &[])],
                40,
                "b. never answered",
            ),
            (
                vec![row("a", New, &[one]), row("a", Silent, &[])],
                0,
                "a. answers at one address",
            ),
            (
                vec![
                    row("a", New, &[one]),
                    row("b", Old, &[two]),
                    row("c", Silent, &[]),
                ],
                11,
                "a difference is proved, whoever is silent",
            ),
            (
                vec![row("bare", None, &[])],
                0,
                "NS names without glue are a delegation",
            ),
            (vec![], 40, "nobody was asked"),
        ];
        for (rows, code, why) in cases {
            assert_eq!(exit_code(&rows), code, "{why}");
        }
    }
}
