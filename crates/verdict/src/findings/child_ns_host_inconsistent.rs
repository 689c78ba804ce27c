//! `child-ns-host-inconsistent`: the zone's servers give different addresses for a name server.
//!
//! All servers of a zone should have the same version of it. Here they say different things about
//! the address of one of the name servers, so at least one of them has an old or a wrong version.
//! A resolver goes on with whichever it heard first, and keeps it for the TTL.
//!
//! Compare the zone on the servers named here. Most often a transfer to one of them fails, or a
//! former server still runs with the zone as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bailiwick_core::{
    delegation::Relation,
    finding::{Actor, Finding, Severity},
    server::Family,
};

use crate::{
    picture::{Host, Picture, Says},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "child-ns-host-inconsistent",
    severity: Severity::Warning,
    actor: Actor::Zone,
    title: "the zone's servers give different addresses for a name server",
    text: include_str!("child_ns_host_inconsistent.rs"),
    source: "RFC 1034, section 4.3.5; RFC 2182, section 3",
    related: &["zone-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .hosts
        .values()
        .filter(|host| host.relation == Relation::InDomain)
        .flat_map(|host| Family::ALL.map(|family| finding(host, family)))
        .flatten()
        .collect()
}

fn finding(host: &Host, family: Family) -> Option<Finding> {
    let mut versions: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for (says, servers) in host.statements(family) {
        let text = match says {
            Says::Addresses(addresses) => wording::list(addresses),
            Says::Absent => wording::list::<IpAddr>([]),
            Says::Alias(target) => format!("an alias of {target}"),
        };
        versions.entry(text).or_default().extend(servers);
    }
    if versions.len() < 2 {
        return None;
    }
    let each: Vec<String> = versions
        .iter()
        .map(|(says, servers)| format!("{says} by {}", wording::list(servers)))
        .collect();
    let answers = host.answers.iter().filter(|a| a.family == family);
    let finding = RULE
        .about(&host.name)
        .detail(format!(
            "the {family} address of {} is {}",
            host.name,
            each.join(", ")
        ))
        .remedy(format!(
            "Bring the zone to the same version at {}",
            wording::list(versions.values().flatten().collect::<BTreeSet<_>>())
        ))
        .evidence(answers.map(|answer| answer.seen.source()));
    Some(finding.done())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn servers_of_one_zone_say_the_same_about_its_hosts() {
        let both = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let old = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";
        let absent = "ns1.example.com.; ns2.example.com. 192.0.2.2";
        let world = || Fixture::healthy(both);
        let finding = |says: &str| {
            vec![format!(
                "warning: the IPv4 address of ns1.example.com. is 192.0.2.1 by 192.0.2.1, {says} \
                 by 192.0.2.2"
            )]
        };
        let cases = [
            (world(), vec![], "the same everywhere"),
            (
                world()
                    .zone_at("192.0.2.2", 1, old)
                    .zone_at("192.0.2.10", 1, both),
                vec![
                    "warning: the IPv4 address of ns1.example.com. is 192.0.2.1 by 192.0.2.1 and \
                     192.0.2.10, 192.0.2.10 by 192.0.2.2"
                        .to_owned(),
                ],
                "an old address at one server",
            ),
            (
                world().zone_at("192.0.2.2", 1, absent),
                finding("none"),
                "none at one server",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
