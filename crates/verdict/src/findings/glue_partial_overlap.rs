//! `glue-partial-overlap`: glue and zone share an address of a name server, but not all.
//!
//! The parent and the zone agree on at least one address of an in-domain name server, and one
//! of them has more. Resolvers find the server by the address that both have, so nothing is
//! down; but an address that is only in the glue is not used by those that go by the zone, one
//! that is only in the zone not by those that go by the glue. Usually somebody added or removed
//! an address at one of the two places only.
//!
//! Sets without any common address are `glue-mismatch` or `glue-stale-address`; a family that
//! one side has and the other does not is `glue-extra-family` or `glue-missing-family-aaaa`.
//!
//! Make both say the same: the host object at the registrar (host names, child nameservers,
//! personal DNS or glue in its menus), or the A and AAAA records in the zone. Some registrars
//! take one address of each family only.

use std::{collections::BTreeSet, net::IpAddr};

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{
    picture::{GlueFact, GlueFault, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-partial-overlap",
    severity: Severity::Warning,
    actor: Actor::Registrar,
    title: "glue and zone share only some addresses",
    text: include_str!("glue_partial_overlap.rs"),
    source: "RFC 1034, section 4.2.2",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let facts = picture.glue_facts(GlueFault::PartialOverlap);
    facts.iter().map(|fact| finding(picture, fact)).collect()
}

fn finding(picture: &Picture, fact: &GlueFact) -> Finding {
    let draft = RULE
        .about(&fact.host.name)
        .server_if(fact.server())
        .detail(wording::both_sides(fact))
        .evidence(fact.evidence());
    if fact.already > 0 {
        return draft
            .actor(Actor::Nobody)
            .remedy(wording::wait(picture, "publish what the zone says already"))
            .done();
    }
    draft.remedy(remedy(picture, fact)).done()
}

fn remedy(picture: &Picture, fact: &GlueFact) -> String {
    let (published, wanted) = (fact.published(), fact.wanted());
    let only_in = |a: &BTreeSet<IpAddr>, b: &BTreeSet<IpAddr>| wording::list(a.difference(b));
    let mut steps = Vec::new();
    if !wanted.is_subset(&published) {
        steps.push(format!("add {}", only_in(&wanted, &published)));
    }
    if !published.is_subset(&wanted) {
        steps.push(format!("remove {}", only_in(&published, &wanted)));
    }
    format!(
        "{}, {} at the host object {} {}; or change the zone, if the glue is right",
        wording::at_the_registrar(picture),
        steps.join(" and "),
        wording::host_object(&fact.host.name),
        wording::CALLED
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, findings, lines};

    #[test]
    fn sets_that_share_some_addresses_overlap() {
        let one = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let two = "ns1.example.com. 192.0.2.1 192.0.2.3; ns2.example.com. 192.0.2.2";
        let other = "ns1.example.com. 192.0.2.4; ns2.example.com. 192.0.2.2";
        let more_in_glue = "warning: ns1.example.com.: at the registry (glue) 192.0.2.1 and \
                            192.0.2.3; in the zone 192.0.2.1";
        let more_in_zone = "warning: ns1.example.com.: at the registry (glue) 192.0.2.1; in the \
                            zone 192.0.2.1 and 192.0.2.3";
        let cases: [(Fixture, &[&str], &str, &str); 4] = [
            (Fixture::healthy(two), &[], "", "the same two"),
            (
                Fixture::healthy(one).parents(two),
                &[more_in_glue],
                "At the registrar, remove 192.0.2.3 at the host object ns1.example.com",
                "one more in the glue",
            ),
            (
                Fixture::healthy(two).parents(one),
                &[more_in_zone],
                "At the registrar, add 192.0.2.3 at the host object ns1.example.com",
                "one more in the zone",
            ),
            (
                Fixture::healthy(one).parents(other),
                &[],
                "",
                "nothing in common: glue-mismatch",
            ),
        ];
        for (world, expected, remedy, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
            for found in findings(&RULE, &world) {
                assert!(found.remedy.starts_with(remedy), "{why}: {}", found.remedy);
            }
        }
    }
}
