//! `parent-servers-divergent`: the parent's servers give different delegations.
//!
//! All name servers of the parent zone should publish the same delegation of your zone. While a
//! change is on its way they differ for some minutes, with some registries for hours: the
//! servers load a new version of the zone one after the other. Until then it depends on the
//! server that a resolver happens to ask whether it gets the old or the new delegation.
//!
//! Compared are the NS names and the glue of in-domain name servers; other glue is optional.
//! One address that gives different answers by itself is `parent-instances-divergent`.
//!
//! Wait, and check again. If the same servers are still behind when the usual delay of the
//! registry is over, only the registry can help; the finding names the servers.

use std::collections::BTreeMap;

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{
    picture::{Content, Instance, Picture, Place},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "parent-servers-divergent",
    severity: Severity::Warning,
    actor: Actor::Registry,
    title: "the parent's servers give different delegations",
    text: include_str!("parent_servers_divergent.rs"),
    source: "RFC 1034, section 4.3.5; RFC 2182, section 3",
    related: &["resolution-failure", "zone-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let versions = versions(picture);
    if versions.len() < 2 {
        return Vec::new();
    }
    let all = versions.values().map(Vec::len).sum();
    let each: Vec<String> = versions
        .iter()
        .map(|(content, instances)| {
            let place = Place::of(instances, all);
            format!("{} at {}", publishes(content), place.words)
        })
        .collect();
    let finding = RULE
        .about(picture.zone)
        .detail(format!(
            "the parent's servers give {} different delegations: {}",
            versions.len(),
            each.join("; ")
        ))
        .remedy(report(picture))
        .evidence(versions.values().flatten().flat_map(|i| i.sources()));
    vec![finding.done()]
}

/// Tells whom to turn to if waiting does not help.
pub(super) fn report(picture: &Picture) -> String {
    let parent = picture.parent.map(ToString::to_string).unwrap_or_default();
    format!(
        "Check again when the registry of {parent} should be done; if it lasts, report the servers \
         named here to the registry"
    )
}

/// Says what an instance publishes.
pub(super) fn publishes(content: &Content) -> String {
    match content {
        Content::Nothing => "no delegation".to_owned(),
        Content::Delegation(servers) => {
            let hosts: Vec<String> = servers
                .iter()
                .take(4)
                .map(|(host, glue)| match glue.is_empty() {
                    true => host.to_string(),
                    false => format!("{host} {}", wording::list(glue)),
                })
                .collect();
            let more = servers.len() - hosts.len();
            let more = match more {
                0 => String::new(),
                more => format!(" and {more} more names"),
            };
            format!("{}{more}", hosts.join(", "))
        }
    }
}

/// The versions by address, without addresses that contradict themselves.
fn versions<'p, 'e>(picture: &'p Picture<'e>) -> BTreeMap<Content, Vec<&'p Instance<'e>>> {
    let mut versions = picture.versions();
    let mut count = BTreeMap::new();
    for instances in versions.values() {
        let addresses: std::collections::BTreeSet<_> =
            instances.iter().map(|i| i.server.address).collect();
        for address in addresses {
            *count.entry(address).or_insert(0) += 1;
        }
    }
    for instances in versions.values_mut() {
        instances.retain(|instance| count.get(&instance.server.address) == Some(&1));
    }
    versions.retain(|_, instances| !instances.is_empty());
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, lines};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const OLD: &str = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";
    const B: &str = "b.gtld.test.";

    #[test]
    fn all_servers_of_the_parent_publish_the_same() {
        let world = || Fixture::healthy(BOTH);
        let sibling = "ns1.example.com. 192.0.2.1; ns1.other.com. 192.0.2.3";
        let without = "ns1.example.com. 192.0.2.1; ns1.other.com.";
        let cases: [(Fixture, usize, &str); 9] = [
            (world(), 0, "all agree"),
            (world().parents(OLD), 0, "all agree on something old"),
            (world().parent_at(B, OLD), 1, "b is behind"),
            (world().parent_at(B, ""), 1, "b has no delegation"),
            (
                world().parent_at(B, "ns2.example.com. 192.0.2.2"),
                1,
                "a name less",
            ),
            (
                world().parent_acts(B, &Acts::Silent),
                0,
                "what b publishes is not known",
            ),
            (
                world().parents(sibling).parent_at(B, without),
                0,
                "sibling glue is optional",
            ),
            (
                world().parent_udp_at(B, "ns1.example.com.; ns2.example.com.", true),
                0,
                "truncated over UDP, whole over TCP",
            ),
            (
                world().parent_udp_at("198.51.100.1", OLD, false).nsid_at(
                    "198.51.100.1",
                    "one",
                    "two",
                ),
                0,
                "one address contradicts itself: another finding",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world).len(), expected, "{why}");
        }
        assert_eq!(
            lines(&RULE, &world().parent_at("2001:db8:100::2", OLD)),
            [
                "warning: the parent's servers give 2 different delegations: ns1.example.com. \
                 192.0.2.1, ns2.example.com. 192.0.2.2 at 3 parent addresses (a.gtld.test. \
                 198.51.100.1, a.gtld.test. 2001:db8:100::1, b.gtld.test. 198.51.100.2); \
                 ns1.example.com. 192.0.2.10, ns2.example.com. 192.0.2.2 at b.gtld.test. \
                 2001:db8:100::2"
            ]
        );
    }
}
