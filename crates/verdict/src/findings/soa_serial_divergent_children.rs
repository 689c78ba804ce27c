//! `soa-serial-divergent-children`: the zone's servers have different versions of the zone.
//!
//! The serial in the SOA record counts the versions of a zone. Its servers should all have the
//! same one, apart from the moments after a change: a secondary asks again after the refresh
//! interval at the latest. Different serials that last mean that transfers to a secondary fail,
//! and when the expire interval is over, that server stops answering.
//!
//! Where the serials read as Unix time and the newest version is younger than the refresh
//! interval, this is for information only.
//!
//! Look at the log of the servers with the older serial: is the primary reachable from there over
//! TCP, does it allow the transfer, is the TSIG key the same? Then have them transfer the zone
//! again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    record::Soa,
};

use crate::{picture::Picture, rule::Rule, serial, wording};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "soa-serial-divergent-children",
    severity: Severity::Warning,
    actor: Actor::Zone,
    title: "the zone's servers have different versions of it",
    text: include_str!("soa_serial_divergent_children.rs"),
    source: "RFC 1035, section 3.3.13; RFC 1982",
    related: &["zone-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let mut versions: BTreeMap<u32, BTreeSet<IpAddr>> = BTreeMap::new();
    let mut evidence = Vec::new();
    let mut newest: Option<&Soa> = None;
    for child in picture.children.values().filter(|child| !child.foreign) {
        if let Some((soa, seen)) = child.soa() {
            versions
                .entry(soa.serial)
                .or_default()
                .insert(child.address);
            evidence.push(seen.source());
            if newest.is_none_or(|known| serial::is_newer(soa.serial, known.serial)) {
                newest = Some(soa);
            }
        }
    }
    let Some(newest) = newest.filter(|_| versions.len() > 1) else {
        return Vec::new();
    };
    let each: Vec<String> = versions
        .iter()
        .map(|(serial, servers)| format!("{serial} at {}", wording::list(servers)))
        .collect();
    let behind: BTreeSet<&IpAddr> = versions
        .iter()
        .filter(|(serial, _)| **serial != newest.serial)
        .flat_map(|(_, servers)| servers)
        .collect();
    let finding = RULE
        .about(picture.zone)
        .severity(severity(picture, newest))
        .detail(format!(
            "the servers of {} have different versions: serial {}",
            picture.zone,
            each.join(", ")
        ))
        .remedy(format!(
            "Find out why {} {} not have version {}, and transfer the zone there again",
            wording::list(&behind),
            wording::verb(behind.len(), "does", "do"),
            newest.serial
        ))
        .evidence(evidence);
    vec![finding.done()]
}

/// Information only, if the newest version was certainly made within the refresh interval.
fn severity(picture: &Picture, newest: &Soa) -> Severity {
    let now = picture.vantages.iter().map(|v| v.started.seconds()).max();
    let made = u64::from(newest.serial);
    let fresh = now.is_some_and(|now| made <= now && made + u64::from(newest.refresh) >= now);
    if fresh { Severity::Info } else { RULE.severity }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn servers_of_one_zone_have_the_same_version() {
        let both = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let old = |serial| {
            Fixture::healthy(both)
                .zone_at("192.0.2.1", 1_700_000_000, both)
                .zone_at("192.0.2.2", serial, both)
        };
        let cases = [
            (Fixture::healthy(both), vec![], "the same everywhere"),
            (
                Fixture::healthy(both).zone_at("192.0.2.2", 2_025_120_101, both),
                vec![
                    "warning: the servers of example.com. have different versions: serial \
                     2025120101 at 192.0.2.2, 2026010101 at 192.0.2.1",
                ],
                "one is behind",
            ),
            (
                old(1_699_999_000),
                vec![
                    "info: the servers of example.com. have different versions: serial \
                     1699999000 at 192.0.2.2, 1700000000 at 192.0.2.1",
                ],
                "the newest is 100 seconds old: the refresh interval is not over",
            ),
            (
                Fixture::healthy(both).zone_at("192.0.2.2", 1, "ns1.parking.test. 203.0.113.1"),
                vec![],
                "somebody else's zone",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
