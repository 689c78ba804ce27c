//! `glue-missing-family-a`: the parent has the IPv6 address of a name server, not the IPv4 one.
//!
//! The zone gives an in-domain name server an IPv4 address, and the delegation has glue for it,
//! but no IPv4 glue. A referral must carry all glue that there is (RFC 9471, section 3.1), and
//! a name server that speaks IPv4 should be found over it, since most resolvers that have no
//! working IPv6 can use nothing else (RFC 3901, section 4). Such resolvers never ask this name
//! server, and cannot start at all where no other one has IPv4 glue.
//!
//! This is about one family only; a name server without any glue is `glue-missing-in-domain`.
//! The opposite case, an IPv4 address that the parent has and the zone does not, is
//! `glue-extra-family`.
//!
//! Add the IPv4 address to the host object at the registrar (host names, child nameservers,
//! personal DNS or glue in its menus), without removing the IPv6 address.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    server::Family,
};

use crate::{
    picture::{GlueFact, GlueFault, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-missing-family-a",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "no IPv4 glue for a name server with an IPv4 address",
    text: include_str!("glue_missing_family_a.rs"),
    source: "RFC 9471, section 3.1; RFC 3901, section 4",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    of_family(picture, &RULE, Family::V4, RULE.severity)
}

/// Finds hosts without glue of one family.
pub(super) fn of_family(
    picture: &Picture,
    rule: &Rule,
    family: Family,
    severity: Severity,
) -> Vec<Finding> {
    let facts = picture.glue_facts(GlueFault::MissingFamily);
    facts
        .iter()
        .filter(|fact| fact.sides.iter().all(|side| side.family == family))
        .map(|fact| finding(picture, rule, severity, fact))
        .collect()
}

fn finding(picture: &Picture, rule: &Rule, severity: Severity, fact: &GlueFact) -> Finding {
    let host = &fact.host.name;
    let family = fact.sides[0].family;
    let draft = rule
        .about(host)
        .server_if(fact.server())
        .severity(severity)
        .detail(format!(
            "no {family} glue for {host}; in the zone it is {}{}",
            wording::list(fact.wanted()),
            fact.seen_at()
        ))
        .evidence(fact.evidence());
    if fact.already > 0 {
        return draft
            .actor(Actor::Nobody)
            .remedy(wording::wait(picture, "have it already"))
            .done();
    }
    let add = wording::add(picture, host, &fact.wanted());
    draft.remedy(format!("{add}, and keep those it has")).done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn an_ipv4_address_of_the_zone_must_be_in_the_glue() {
        let zone = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2";
        let six = "ns1.example.com. 2001:db8::1; ns2.example.com. 192.0.2.2";
        let missing = "no IPv4 glue for ns1.example.com.; in the zone it is 192.0.2.1";
        let cases: [(Fixture, &[String], &str); 6] = [
            (Fixture::healthy(zone), &[], "all there"),
            (
                Fixture::healthy(zone).parents(six),
                &[format!("error: {missing}")],
                "IPv6 glue only",
            ),
            (
                Fixture::healthy(zone).parent_at("198.51.100.2", six),
                &[format!("error b.gtld.test. 198.51.100.2: {missing}")],
                "at one instance",
            ),
            (
                Fixture::healthy(six),
                &[],
                "the zone has no IPv4 address either",
            ),
            (
                Fixture::healthy(zone).parents("ns1.example.com.; ns2.example.com. 192.0.2.2"),
                &[],
                "no glue at all is glue-missing-in-domain",
            ),
            (
                Fixture::healthy(zone)
                    .parents(six)
                    .expect("ns1.example.com. 192.0.2.1"),
                &[],
                "expected, and not there: glue-differs-from-expected",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
