//! `ns-sets-differ-between-children`: the zone's servers give different NS sets.
//!
//! All servers of a zone should have the same version of it. Here they name different name
//! servers at the apex. A resolver that prefers the zone's own NS set to that of the parent goes
//! on with whichever it heard, so some resolvers know a server that others do not.
//!
//! Compare the zone on the servers named here: most often a transfer to one of them fails, or two
//! operators each serve a version of their own. If two operators do so on purpose, both NS sets
//! should name the servers of both.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
};

use crate::{picture::Picture, rule::Rule, wording};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "ns-sets-differ-between-children",
    severity: Severity::Warning,
    actor: Actor::Zone,
    title: "the zone's servers give different NS sets",
    text: include_str!("ns_sets_differ_between_children.rs"),
    source: "RFC 1034, section 4.2.2; RFC 8901, section 9",
    related: &["zone-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let mut sets: BTreeMap<BTreeSet<&Name>, BTreeSet<IpAddr>> = BTreeMap::new();
    let mut evidence = Vec::new();
    for child in picture.children.values().filter(|child| !child.foreign) {
        if let Some((names, _, seen)) = child.ns() {
            sets.entry(names).or_default().insert(child.address);
            evidence.push(seen.source());
        }
    }
    if sets.len() < 2 {
        return Vec::new();
    }
    let each: Vec<String> = sets
        .iter()
        .map(|(names, servers)| format!("{} by {}", wording::list(names), wording::list(servers)))
        .collect();
    let finding = RULE
        .about(picture.zone)
        .detail(format!(
            "the NS set of {} is {}",
            picture.zone,
            each.join("; ")
        ))
        .remedy(format!(
            "Bring the zone to the same version at {}",
            wording::list(sets.values().flatten().collect::<BTreeSet<_>>())
        ))
        .evidence(evidence);
    vec![finding.done()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn servers_of_one_zone_name_the_same_servers() {
        let both = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let one = "ns1.example.com. 192.0.2.1";
        let foreign = "ns1.parking.test. 203.0.113.1";
        let world = || Fixture::healthy(both);
        let finding = "warning: the NS set of example.com. is ns1.example.com. by 192.0.2.2; \
                       ns1.example.com. and ns2.example.com. by 192.0.2.1";
        let cases: [(Fixture, &[&str], &str); 3] = [
            (world(), &[], "the same everywhere"),
            (
                world().zone_at("192.0.2.2", 1, one),
                &[finding],
                "a name less at one server",
            ),
            (
                world().zone_at("192.0.2.2", 1, foreign),
                &[],
                "somebody else's zone: another finding",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
