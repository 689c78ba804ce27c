//! `child-family-unreachable`: the zone has addresses of a family in which no server answers.
//!
//! The delegation gives IPv6 (or IPv4) addresses, and none of them answers, while those of the
//! other family do. Resolvers with both families lose time at the dead ones before they try the
//! others. A resolver with this family only cannot resolve the zone at all.
//!
//! It is said only if other servers answer this vantage point in the same family.
//!
//! Make the servers answer in that family: address, routing, firewall, and what the server
//! listens on. If the family is not meant to be served, take its addresses out of the host
//! objects *and* out of the zone.

use std::{collections::BTreeSet, net::IpAddr};

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    server::Family,
};

use crate::{
    picture::{Child, ChildView, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "child-family-unreachable",
    severity: Severity::Error,
    actor: Actor::Server,
    title: "no server answers in an address family that is published",
    text: include_str!("child_family_unreachable.rs"),
    source: "RFC 3901, section 4; RFC 9199, section 3.4",
    related: &["nameserver-not-responding"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    Family::ALL
        .into_iter()
        .filter_map(|family| {
            let (own, other): (Vec<&Child>, Vec<&Child>) = picture
                .children
                .values()
                .filter(|child| child.published)
                .partition(|child| child.family() == family);
            let dead = !own.is_empty() && own.iter().all(|child| child.is_dead());
            (dead && other.iter().any(|child| child.standing().answers()))
                .then(|| finding(picture, family, &own))
        })
        .collect()
}

fn finding(picture: &Picture, family: Family, dead: &[&Child]) -> Finding {
    let addresses: BTreeSet<IpAddr> = dead.iter().map(|child| child.address).collect();
    RULE.about(picture.zone)
        .detail(format!(
            "no server of {} answers over {family}: {} {} silent, seen from {}",
            picture.zone,
            wording::list(&addresses),
            wording::verb(addresses.len(), "is", "are"),
            picture.networks_that(dead, ChildView::is_dead)
        ))
        .remedy(format!(
            "Make {} answer over {family}; if that is not meant to be, remove {} from the host \
             objects at the registrar and from the zone",
            wording::list(&addresses),
            wording::verb(addresses.len(), "it", "them")
        ))
        .evidence(dead.iter().flat_map(|child| child.sources()))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, lines};

    #[test]
    fn a_family_that_is_published_has_to_answer() {
        let both = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2 2001:db8::2";
        let world = || Fixture::healthy(both);
        let dead = |world: Fixture, all: &[&str]| {
            all.iter()
                .fold(world, |world, at| world.acts(at, Acts::Silent))
        };
        let six = ["2001:db8::1", "2001:db8::2"];
        let finding = "error: no server of example.com. answers over IPv6: 2001:db8::1 and \
                       2001:db8::2 are silent, seen from 1 network";
        let cases: [(Fixture, &[&str], &str); 6] = [
            (world(), &[], "both answer"),
            (dead(world(), &six), &[finding], "IPv6 is dead everywhere"),
            (dead(world(), &six[..1]), &[], "one IPv6 address answers"),
            (
                dead(world(), &six).without(Family::V6),
                &[],
                "no IPv6 from here",
            ),
            (
                dead(world(), &six).lose(5),
                &[],
                "silence of who loses packets",
            ),
            (
                dead(dead(world(), &six), &["192.0.2.1", "192.0.2.2"]),
                &[],
                "nothing answers at all: no matter of family",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
