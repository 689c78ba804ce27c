//! `ns-sets-disjoint`: delegation and zone name entirely different servers.
//!
//! The servers that the delegation leads to have the zone and answer with authority, but the NS
//! set they give shares no name with the delegation. This is how a migration looks that stopped
//! half way: the zone has been told about the new name servers and the registry has not, or the
//! other way round. It works as long as both groups run. Resolvers that keep to the parent's
//! set use the old servers, those that go on with the zone's set use the new ones, and once one
//! group is switched off, its users are cut off.
//!
//! The servers are not lame: they have the zone. Names that are missing on one side only are
//! `ns-parent-only` and `ns-child-only`, which are silent here.
//!
//! Finish the migration: enter the new name servers at the registrar, or put those of the
//! delegation back into the zone. Let the old servers run, with the new zone, until the old
//! delegation has left the caches.

use std::collections::BTreeMap;

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
};

use crate::{
    picture::{Instance, Picture, Place},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "ns-sets-disjoint",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "delegation and zone share no name server",
    text: include_str!("ns_sets_disjoint.rs"),
    source: "RFC 1034, section 4.2.2",
    related: &["domain-transfer", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let mut groups: BTreeMap<Vec<&Name>, Vec<&Instance>> = BTreeMap::new();
    for instance in picture.delegating().filter(|i| picture.is_disjoint(i)) {
        let names = instance.delegation().into_iter();
        let names = names.flat_map(|d| d.name_servers.keys()).collect();
        groups.entry(names).or_default().push(instance);
    }
    groups
        .iter()
        .map(|(names, instances)| finding(picture, names, instances))
        .collect()
}

fn finding(picture: &Picture, names: &[&Name], instances: &[&Instance]) -> Finding {
    let all = picture.delegating().count();
    let place = Place::of(instances, all);
    let everywhere = instances.len() == all;
    let one = place.server.as_ref().filter(|_| !everywhere);
    let seen_at = if everywhere || one.is_some() {
        String::new()
    } else {
        format!("; seen at {}", place.words)
    };
    let apex = wording::list(picture.wanted.names.iter().flatten());
    let told = picture.children.values().filter_map(|c| Some(c.ns()?.2));
    let draft = RULE
        .about(picture.zone)
        .server_if(one)
        .detail(format!(
            "at the registry {}; in the zone {apex}: no name in common{seen_at}",
            wording::list(names)
        ))
        .evidence(place.evidence)
        .evidence(told.map(|seen| seen.source()));
    let others = picture.delegating().any(|i| !picture.is_disjoint(i));
    if others {
        return draft
            .actor(Actor::Nobody)
            .remedy(wording::wait(picture, "name the zone's servers already"))
            .done();
    }
    let bare = picture.wanted.names.iter().flatten();
    draft
        .remedy(format!(
            "Finish the migration: at the registrar, make {} the name servers of {}; or put {} \
             back into the zone",
            wording::list(bare.map(wording::host_object)),
            picture.zone,
            wording::list(names)
        ))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, lines};

    #[test]
    fn sets_without_a_common_name_are_disjoint() {
        let old = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let new = ["ns1.provider.net.", "ns2.provider.net."];
        let line = "at the registry ns1.example.com. and ns2.example.com.; in the zone \
                    ns1.provider.net. and ns2.provider.net.: no name in common";
        let moved = || Fixture::healthy(old).apex(&new);
        let cases: [(Fixture, &[String], &str); 5] = [
            (Fixture::healthy(old), &[], "the same"),
            (
                Fixture::healthy(old).apex(&["ns2.example.com.", "ns1.provider.net."]),
                &[],
                "one name in common",
            ),
            (moved(), &[format!("error: {line}")], "none in common"),
            (
                moved().parent_at("a.gtld.test.", "ns1.provider.net.; ns2.provider.net."),
                &[format!(
                    "error: {line}; seen at 2 parent addresses (b.gtld.test. 198.51.100.2, \
                     b.gtld.test. 2001:db8:100::2)"
                )],
                "one parent server has been told",
            ),
            (
                moved()
                    .acts("192.0.2.1", Acts::Silent)
                    .acts("192.0.2.2", Acts::Silent),
                &[],
                "nobody says what the zone has",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
