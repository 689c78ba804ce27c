//! `parent-instances-divergent`: one address of a parent server gives different delegations.
//!
//! Behind one address of a large registry stand many machines in many places (anycast). They
//! tell themselves apart by an identifier (NSID, RFC 5001). Here two of them, reached at the
//! same address, publish different delegations of your zone: one has been updated, the other
//! one not. Who sees which depends on the place, and sometimes on the transport, from which
//! one asks.
//!
//! Wait, and check again. If the same instance stays behind, only the registry can help; give it
//! the identifiers, since its operators cannot see from outside which machine was asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    vantage::VantageId,
};

use super::parent_servers_divergent::{publishes, report};
use crate::{
    picture::{Content, Instance, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "parent-instances-divergent",
    severity: Severity::Warning,
    actor: Actor::Registry,
    title: "instances of one parent address give different delegations",
    text: include_str!("parent_instances_divergent.rs"),
    source: "RFC 1034, section 4.3.5; RFC 5001; RFC 4786, section 4.6",
    related: &["resolution-failure", "zone-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let mut at: BTreeMap<IpAddr, BTreeMap<Content, Vec<&Instance>>> = BTreeMap::new();
    for (content, instances) in picture.versions() {
        for instance in instances {
            at.entry(instance.server.address)
                .or_default()
                .entry(content.clone())
                .or_default()
                .push(instance);
        }
    }
    at.into_values()
        .filter(|versions| versions.len() > 1 && !is_a_matter_of_transport(versions))
        .filter_map(|versions| {
            let first = *versions.values().flatten().next()?;
            let each: Vec<String> = versions
                .iter()
                .map(|(content, instances)| {
                    format!(
                        "{} ({})",
                        publishes(content),
                        identities(picture, instances)
                    )
                })
                .collect();
            let finding = RULE
                .about(picture.zone)
                .server(&first.server)
                .detail(format!(
                    "{} gives {} different delegations: {}",
                    first.server,
                    versions.len(),
                    each.join("; ")
                ))
                .remedy(report(picture))
                .evidence(versions.values().flatten().flat_map(|i| i.sources()));
            Some(finding.done())
        })
        .collect()
}

/// Whether only the transport tells the versions apart, which is another finding: nothing has a
/// name, and whoever sees one version sees the others, too.
fn is_a_matter_of_transport(versions: &BTreeMap<Content, Vec<&Instance>>) -> bool {
    let nameless = versions.values().flatten().all(|i| i.nsid.is_none());
    let mut seen_by = versions.values().map(|instances| {
        let by = instances.iter().map(|instance| instance.vantage);
        by.collect::<BTreeSet<_>>()
    });
    let first = seen_by.next();
    nameless && seen_by.all(|by| Some(by) == first)
}

fn identities(picture: &Picture, instances: &[&Instance]) -> String {
    let mut by: BTreeMap<Option<String>, Vec<&VantageId>> = BTreeMap::new();
    for instance in instances {
        let seen_by = by.entry(instance.nsid_text()).or_default();
        seen_by.push(instance.vantage);
    }
    let each: Vec<String> = by
        .into_iter()
        .map(|(nsid, by)| {
            let seen = format!("seen from {}", wording::witnesses(picture, by));
            match nsid {
                Some(nsid) if picture.is_fleet() => format!("instance {nsid} {seen}"),
                Some(nsid) => format!("instance {nsid}"),
                None => seen,
            }
        })
        .collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const OLD: &str = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";
    const A: &str = "198.51.100.1";

    #[test]
    fn instances_of_one_address_are_told_apart_by_their_identifiers() {
        let world = || Fixture::healthy(BOTH).parent_udp_at(A, OLD, false);
        let cases: [(Fixture, &[&str], &str); 4] = [
            (Fixture::healthy(BOTH), &[], "one instance"),
            (
                Fixture::healthy(BOTH).nsid_at(A, "one", "two"),
                &[],
                "two that agree",
            ),
            (
                world().nsid_at(A, "fra2", "fra1"),
                &[
                    "warning a.gtld.test. 198.51.100.1: a.gtld.test. 198.51.100.1 gives 2 different \
                   delegations: ns1.example.com. 192.0.2.1, ns2.example.com. 192.0.2.2 (instance \
                   fra2); ns1.example.com. 192.0.2.10, ns2.example.com. 192.0.2.2 (instance fra1)",
                ],
                "two that do not",
            ),
            (
                world(),
                &[],
                "without identifiers it is a matter of transport: another finding",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }

    #[test]
    fn vantage_points_that_see_different_machines_tell_them_apart_too() {
        let here = Fixture::healthy(BOTH).from("eu");
        let there = Fixture::healthy(BOTH).parent_at(A, OLD).from("ap");
        let evidence = here.evidence().join(there.evidence());
        let found = find(&Picture::of(&evidence));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].detail.contains("seen from ap"),
            "{}",
            found[0].detail
        );
    }
}
