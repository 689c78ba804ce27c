//! `child-ns-host-missing`: a name server inside the zone has no address record in the zone.
//!
//! The delegation names an in-domain name server and gives glue for it, but the zone itself has
//! neither an A nor an AAAA record for the name. Glue is a hint on the way to the zone, the
//! zone's own records are the truth. Many resolvers look them up once they have reached the zone
//! and trust them more (RFC 2181, section 5.4.1); for those the name server ceases to exist.
//!
//! Add the address records to the zone. The finding gives ready lines.

use bailiwick_core::{
    delegation::Relation,
    finding::{Actor, Finding, Severity},
    server::Family,
};

use crate::{
    picture::{Host, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "child-ns-host-missing",
    severity: Severity::Error,
    actor: Actor::Zone,
    title: "an in-domain name server has no address in the zone",
    text: include_str!("child_ns_host_missing.rs"),
    source: "RFC 1034, section 4.2.2; RFC 2181, section 5.4.1",
    related: &["servfail", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .delegated_hosts()
        .filter(|host| host.relation == Relation::InDomain && host.alias().is_none())
        .filter(|host| !host.glue.is_empty() && has_no_address(host))
        .map(|host| {
            let lines: Vec<String> = host
                .glue
                .iter()
                .map(|address| {
                    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
                    format!("`{} IN {kind} {address}`", host.name)
                })
                .collect();
            let finding = RULE
                .about(&host.name)
                .detail(format!(
                    "{} has no address in the zone: at the registry (glue) {}; in the zone none",
                    host.name,
                    wording::list(&host.glue)
                ))
                .remedy(format!("Add to the zone {}", wording::list(lines)))
                .evidence(host.answers.iter().map(|answer| answer.seen.source()));
            finding.done()
        })
        .collect()
}

/// Whether the zone says of both families that there is nothing.
fn has_no_address(host: &Host) -> bool {
    Family::ALL
        .iter()
        .all(|&family| host.authoritative_in(family).is_some_and(|a| a.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, findings, lines};

    #[test]
    fn the_zone_needs_the_addresses_of_its_own_name_servers() {
        let both = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let world = || Fixture::healthy(both);
        let finding = "error: ns2.example.com. has no address in the zone: at the registry (glue) \
                       192.0.2.2; in the zone none";
        let cases: [(Fixture, &[&str], &str); 5] = [
            (world(), &[], "both are there"),
            (
                world().zone("ns1.example.com. 192.0.2.1; ns2.example.com."),
                &[finding],
                "NODATA",
            ),
            (
                world().zone("ns1.example.com. 192.0.2.1"),
                &[finding],
                "NXDOMAIN; that the apex lacks it, too, is another finding",
            ),
            (
                world().zone("ns1.example.com. 192.0.2.1; ns2.example.com. 2001:db8::2"),
                &[],
                "one family is there",
            ),
            (
                world().alias("ns2.example.com.", "www.example.com."),
                &[],
                "an alias: another finding",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
        let world = world().zone("ns1.example.com. 192.0.2.1; ns2.example.com.");
        assert_eq!(
            findings(&RULE, &world)[0].remedy,
            "Add to the zone `ns2.example.com. IN A 192.0.2.2`"
        );
    }
}
