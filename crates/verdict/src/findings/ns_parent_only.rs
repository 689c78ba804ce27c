//! `ns-parent-only`: the delegation names a server that the zone does not name.
//!
//! The NS set at the parent and the NS set at the apex of the zone should be the same
//! (RFC 1034, section 4.2.2). This name is in the first and not in the second. Resolvers start
//! with the parent's set and many go on with the zone's, so this server is used by some, some of
//! the time. If it has the zone, it does its work unmentioned; if it was given up, it is the
//! part of the delegation that was forgotten.
//!
//! If the two sets share no name at all it is `ns-sets-disjoint`; the other way round it is
//! `ns-child-only`. Name servers that disagree about the apex NS set are
//! `ns-sets-differ-between-children`.
//!
//! Take the name out of the delegation at the registrar, or add an NS record for it to the zone.

use std::collections::BTreeSet;

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
};

use crate::{
    picture::{Host, Instance, Picture, Place},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "ns-parent-only",
    severity: Severity::Warning,
    actor: Actor::Registrar,
    title: "a name server is in the delegation and not in the zone",
    text: include_str!("ns_parent_only.rs"),
    source: "RFC 1034, section 4.2.2",
    related: &["domain-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let Some(apex) = &picture.wanted.names else {
        return Vec::new();
    };
    picture
        .delegated_hosts()
        .filter(|host| !host.in_apex)
        .filter_map(|host| finding(picture, host, apex))
        .collect()
}

fn finding(picture: &Picture, host: &Host, apex: &BTreeSet<Name>) -> Option<Finding> {
    let names_it = |i: &&Instance| {
        let glue = i.delegation().and_then(|d| d.glue_of(&host.name));
        glue.is_some() && !picture.is_disjoint(i)
    };
    let instances: Vec<&Instance> = picture.delegating().filter(names_it).collect();
    if instances.is_empty() {
        return None;
    }
    let all = picture.delegating().count();
    let place = Place::of(&instances, all);
    let one = place.server.as_ref().filter(|_| instances.len() < all);
    let serves = host.published().into_iter().any(|address| {
        let child = picture.child(address);
        child.is_some_and(|child| child.is_authoritative())
    });
    let remedy = if serves {
        format!(
            "Add to the zone: {} IN NS {}; or remove the name from the delegation at the \
             registrar",
            picture.zone, host.name
        )
    } else {
        format!(
            "{}, remove {} from the name servers of {}",
            wording::at_the_registrar(picture),
            wording::host_object(&host.name),
            picture.zone
        )
    };
    let told = picture.children.values().filter_map(|c| Some(c.ns()?.2));
    let finding = RULE
        .about(&host.name)
        .server_if(one)
        .detail(format!(
            "the delegation names {}, the zone does not; it names {} only",
            host.name,
            wording::list(apex)
        ))
        .remedy(remedy)
        .evidence(place.evidence)
        .evidence(told.map(|seen| seen.source()));
    Some(finding.done())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, findings, lines};

    const THREE: &str =
        "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2; ns3.example.com. 192.0.2.3";
    const TWO: [&str; 2] = ["ns1.example.com.", "ns2.example.com."];

    #[test]
    fn a_name_of_the_delegation_should_be_in_the_zone() {
        let line = "the delegation names ns3.example.com., the zone does not; it names \
                    ns1.example.com. and ns2.example.com. only";
        let cases: [(Fixture, &[String], &str); 4] = [
            (Fixture::healthy(THREE), &[], "the same names"),
            (
                Fixture::healthy(THREE).apex(&TWO),
                &[format!("warning: {line}")],
                "one name more at the parent",
            ),
            (
                Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2")
                    .parent_at("198.51.100.1", THREE),
                &[format!("warning a.gtld.test. 198.51.100.1: {line}")],
                "at one instance",
            ),
            (
                Fixture::healthy(THREE).apex(&["ns.provider.net."]),
                &[],
                "nothing in common: ns-sets-disjoint",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }

    #[test]
    fn the_remedy_depends_on_whether_the_server_has_the_zone() {
        let world = Fixture::healthy(THREE).apex(&TWO);
        let serving = findings(&RULE, &world).remove(0).remedy;
        assert!(
            serving.starts_with("Add to the zone: example.com. IN NS ns3.example.com.;"),
            "{serving}"
        );
        let dead = findings(&RULE, &world.acts("192.0.2.3", Acts::Silent)).remove(0);
        assert_eq!(
            dead.remedy,
            "At the registrar, remove ns3.example.com from the name servers of example.com."
        );
    }
}
