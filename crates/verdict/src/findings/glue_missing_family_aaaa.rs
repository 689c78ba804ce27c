//! `glue-missing-family-aaaa`: the parent has the IPv4 address of a name server, not the IPv6 one.
//!
//! The zone gives an in-domain name server an IPv6 address, and the delegation has glue for it,
//! but no IPv6 glue. A referral must carry all glue that there is (RFC 9471, section 3.1), and
//! whoever published the IPv6 address meant it to be used. Resolvers with both families get in
//! over IPv4. A resolver that speaks only IPv6 never learns the address, because it would have
//! to be in the zone to see it: where no name server of the zone has IPv6 glue that works, such
//! a resolver cannot start at all, and this is an error instead of a warning.
//!
//! It is the usual thing to forget when a server gets IPv6. Some registrars take IPv6 addresses
//! only through support, not in their menus.
//!
//! Add the IPv6 address to the host object at the registrar (host names, child nameservers,
//! personal DNS or glue in its menus). If the server is not meant to be reached over IPv6, take
//! the AAAA record out of the zone instead.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    server::Family,
};

use super::glue_missing_family_a::of_family;
use crate::{
    picture::Picture,
    rule::Rule,
    usable::{self, How, Usable},
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-missing-family-aaaa",
    severity: Severity::Warning,
    actor: Actor::Registrar,
    title: "no IPv6 glue for a name server with an IPv6 address",
    text: include_str!("glue_missing_family_aaaa.rs"),
    source: "RFC 9471, section 3.1; RFC 3901, section 4",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let published = picture.published_servers();
    let over_ipv6 = published
        .keys()
        .filter(|address| address.is_ipv6())
        .map(|address| usable::address(picture, *address, How::Either));
    // Without any, or with none that works, a resolver that speaks only IPv6 cannot start.
    let severity = match Usable::any(over_ipv6) {
        Usable::No => Severity::Error,
        Usable::Yes | Usable::Unknown => RULE.severity,
    };
    of_family(picture, &RULE, Family::V6, severity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, findings, lines};

    #[test]
    fn an_ipv6_address_of_the_zone_should_be_in_the_glue() {
        let zone = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2 2001:db8::2";
        let four = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let one = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2";
        let of_1 = "no IPv6 glue for ns1.example.com.; in the zone it is 2001:db8::1";
        let of_2 = "no IPv6 glue for ns2.example.com.; in the zone it is 2001:db8::2";
        let cases: [(Fixture, &[String], &str); 5] = [
            (Fixture::healthy(zone), &[], "all there"),
            (
                Fixture::healthy(zone).parents(one),
                &[format!("warning: {of_2}")],
                "an IPv6-only resolver starts at ns1",
            ),
            (
                Fixture::healthy(zone).parents(four),
                &[format!("error: {of_1}"), format!("error: {of_2}")],
                "an IPv6-only resolver cannot start",
            ),
            (
                Fixture::healthy(zone)
                    .parents(one)
                    .acts("2001:db8::1", Acts::Silent),
                &[format!("error: {of_2}")],
                "the only IPv6 glue is dead",
            ),
            (Fixture::healthy(four), &[], "a zone without IPv6 is well"),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
        let found = findings(&RULE, &Fixture::healthy(zone).parents(one)).remove(0);
        assert!(
            found.remedy.starts_with(
                "At the registrar, add 2001:db8::2 to the host object ns2.example.com"
            ),
            "{}",
            found.remedy
        );
    }
}
