//! `parent-family-divergent`: one parent server says different things over IPv4 and IPv6.
//!
//! A name server has one copy of a zone, whatever address it is asked at. If its IPv4 and its
//! IPv6 address give different delegations, the two addresses lead to different machines, and
//! one of them has not been updated. Resolvers then see the old or the new delegation by the
//! family they happen to use, and one that speaks a single family sees one side only.
//!
//! Only the registry can change it. If it does not pass within the usual delay of the registry,
//! report both answers to it; the commands shown with the finding repeat them.

use std::collections::BTreeSet;

use bailiwick_core::{
    delegation::Delegation,
    finding::{Actor, Finding, Severity},
    name::Name,
    server::Family,
};

use crate::{
    picture::{Instance, Picture},
    rule::Rule,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "parent-family-divergent",
    severity: Severity::Warning,
    actor: Actor::Registry,
    title: "a parent server differs between IPv4 and IPv6",
    text: include_str!("parent_family_divergent.rs"),
    source: "RFC 1034, section 4.3.5; RFC 2182, section 3",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let names: BTreeSet<&Name> = picture.instances.iter().map(|i| &i.server.name).collect();
    names
        .into_iter()
        .filter_map(|server| {
            let [four, six] = Family::ALL.map(|family| of(picture, server, family));
            // Instances that disagree within a family are another finding.
            let ((a, four), (b, six)) = (agreed(&four)?, agreed(&six)?);
            if same(a, b) {
                return None;
            }
            let finding = RULE
                .about(picture.zone)
                .detail(format!(
                    "{server} publishes another delegation at {} than at {}",
                    four.server.address, six.server.address
                ))
                .remedy(format!(
                    "Wait for the registry; if it lasts, report to the operator of {} that \
                     the addresses of {server} disagree about {}",
                    picture.parent.map(ToString::to_string).unwrap_or_default(),
                    picture.zone
                ))
                .evidence(four.sources())
                .evidence(six.sources());
            let mut finding = finding.done();
            finding.server = Some(server.clone());
            Some(finding)
        })
        .collect()
}

fn of<'p, 'e>(picture: &'p Picture<'e>, server: &Name, family: Family) -> Vec<&'p Instance<'e>> {
    picture
        .answering()
        .filter(|i| i.server.name == *server && Family::of(i.server.address) == family)
        .collect()
}

type Agreed<'p, 'e> = (Option<&'p Delegation>, &'p Instance<'e>);

fn agreed<'p, 'e>(instances: &[&'p Instance<'e>]) -> Option<Agreed<'p, 'e>> {
    let (first, rest) = instances.split_first()?;
    rest.iter()
        .all(|other| same(other.delegation(), first.delegation()))
        .then(|| (first.delegation(), *first))
}

fn same(a: Option<&Delegation>, b: Option<&Delegation>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.publishes_the_same_as(b),
        (a, b) => a.is_none() == b.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const OLD: &str = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";

    #[test]
    fn the_two_families_of_one_server_are_compared() {
        let differs = "warning a.gtld.test.: a.gtld.test. publishes another delegation at \
                       198.51.100.1 than at 2001:db8:100::1";
        let world = || Fixture::healthy(BOTH);
        let cases: [(Fixture, &[&str], &str); 4] = [
            (world(), &[], "all agree"),
            (
                world().parent_at("2001:db8:100::1", OLD),
                &[differs],
                "IPv6 is behind",
            ),
            (
                world().parent_at("a.gtld.test.", OLD),
                &[],
                "the whole server is behind: another finding",
            ),
            (
                world().parent_at("198.51.100.1", ""),
                &[differs],
                "a delegation in one family only",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
