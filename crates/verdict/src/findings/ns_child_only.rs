//! `ns-child-only`: the zone names a server that the delegation does not name.
//!
//! The NS set at the parent and the NS set at the apex of the zone should be the same
//! (RFC 1034, section 4.2.2). This name is in the second and not in the first. Resolvers that
//! go on with the zone's own NS set use the server, those that keep to the parent's do not. It
//! is no fault in itself: some hide a server from the delegation on purpose.
//!
//! If the two sets share no name at all it is `ns-sets-disjoint`; the other way round it is
//! `ns-parent-only`. A name that was expected in the delegation is `glue-differs-from-expected`.
//!
//! Add the server to the delegation at the registrar, with its addresses if it is in-domain, or
//! take the NS record out of the zone.

use bailiwick_core::{
    delegation::Relation,
    finding::{Actor, Finding, Severity},
};

use crate::{
    picture::{Host, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "ns-child-only",
    severity: Severity::Info,
    actor: Actor::Registrar,
    title: "a name server is in the zone and not in the delegation",
    text: include_str!("ns_child_only.rs"),
    source: "RFC 1034, section 4.2.2",
    related: &["domain-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    // Without a referral nothing is known of the delegation, and disjoint sets are one finding.
    if picture.delegating().all(|i| picture.is_disjoint(i)) {
        return Vec::new();
    }
    picture
        .hosts
        .values()
        .filter(|host| host.in_apex && !host.in_delegation && !host.is_expected)
        .map(|host| finding(picture, host))
        .collect()
}

fn finding(picture: &Picture, host: &Host) -> Finding {
    let naming = picture.children.values().filter_map(|child| {
        let (names, _, seen) = child.ns()?;
        names.contains(&host.name).then(|| seen.source())
    });
    let glue = if host.relation == Relation::InDomain {
        format!(
            " (host object {})",
            wording::object(&host.name, &host.authoritative())
        )
    } else {
        String::new()
    };
    RULE.about(&host.name)
        .detail(format!(
            "the zone names {}, the delegation does not",
            host.name
        ))
        .remedy(format!(
            "{}, add {} to the name servers of {}{glue}; or take it out of the zone",
            wording::at_the_registrar(picture),
            wording::host_object(&host.name),
            picture.zone
        ))
        .evidence(naming)
        .evidence(picture.delegating().flat_map(|i| i.sources()))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, findings, lines};

    #[test]
    fn a_name_of_the_zone_may_be_missing_from_the_delegation() {
        let both = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let three =
            "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2; ns3.example.com. 192.0.2.3";
        let line = "info: the zone names ns3.example.com., the delegation does not";
        let cases: [(Fixture, &[&str], &str); 6] = [
            (Fixture::healthy(both), &[], "the same names"),
            (Fixture::healthy(both).zone(three), &[line], "one name more"),
            (
                Fixture::healthy(both)
                    .zone(three)
                    .parent_at("198.51.100.1", three),
                &[],
                "some parent server has it: another finding",
            ),
            (
                Fixture::healthy(both).apex(&["ns.provider.net."]),
                &[],
                "nothing in common: ns-sets-disjoint",
            ),
            (
                Fixture::healthy(both)
                    .zone(three)
                    .expect("ns3.example.com. 192.0.2.3"),
                &[],
                "expected: glue-differs-from-expected",
            ),
            (
                Fixture::healthy(both).parents_host_zone().zone(three),
                &[],
                "no referral can be seen",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
        let remedy = findings(&RULE, &Fixture::healthy(both).zone(three))
            .remove(0)
            .remedy;
        assert_eq!(
            remedy,
            "At the registrar, add ns3.example.com to the name servers of example.com. (host \
             object ns3.example.com with 192.0.2.3); or take it out of the zone"
        );
    }
}
