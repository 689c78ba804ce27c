//! `glue-dead-address`: nobody answers at an address of a name server.
//!
//! The delegation (or the zone, or an expectation) gives this address, and no DNS response came
//! from it over UDP, in two tries, nor over TCP. Resolvers that pick it wait and then try
//! another one; if all are dead, resolution fails. Refusals by ICMP or by a closed port count
//! as no answer, too.
//!
//! Silence is counted only from a vantage point whose own controls are in order and that other
//! servers answer in the same address family and transport. It is still a view from so many
//! networks only, as the finding says: a filter on the way can hide a server from some and not
//! from others. Where every published address of one family is dead and the other family works,
//! `child-family-unreachable` says so instead; where one transport works,
//! `child-udp-blocked` or `child-tcp-blocked`.
//!
//! Look whether the server runs, and whether UDP and TCP port 53 are open to everybody on the
//! way. If the address is out of use, take it out of the zone and of the host object at the
//! registrar. An old address that is still in the glue, or in caches, should go on answering
//! with the new zone until their time is over.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    server::{Family, Server},
};

use crate::{
    picture::{Child, ChildView, Given, HostAddresses, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-dead-address",
    severity: Severity::Error,
    actor: Actor::Server,
    title: "no answer from an address of a name server",
    text: include_str!("glue_dead_address.rs"),
    source: "RFC 2182, section 4",
    related: &[
        "nameserver-not-responding",
        "servfail",
        "resolution-failure",
    ],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let dead_families: Vec<Family> = Family::ALL
        .into_iter()
        .filter(|family| is_dead_family(picture, *family))
        .collect();
    let dead = |child: &Child| {
        child.is_dead() && !(child.published && dead_families.contains(&child.family()))
    };
    let groups = picture.addresses_that(dead);
    groups.iter().map(|group| finding(picture, group)).collect()
}

/// Whether every published address of the family is dead, and one of the other family works.
fn is_dead_family(picture: &Picture, family: Family) -> bool {
    let published = picture.published_servers();
    let children = || published.keys().filter_map(|a| picture.child(*a));
    let mut own = children().filter(|c| c.family() == family).peekable();
    own.peek().is_some()
        && own.all(Child::is_dead)
        && children().any(|c| c.family() != family && c.is_authoritative())
}

fn finding(picture: &Picture, group: &HostAddresses) -> Finding {
    let addresses = group.addresses();
    let severity = match group.given {
        Given::Published | Given::Expected => Severity::Error,
        Given::InZone => Severity::Warning,
    };
    let draft = RULE
        .about(group.host)
        .severity(severity)
        .detail(format!(
            "{} does not answer at {}{}, neither over UDP nor over TCP, seen from {}",
            group.host,
            wording::list(&addresses),
            group.whence(),
            picture.networks_that(&group.children, ChildView::is_dead)
        ))
        .remedy(remedy(picture, group))
        .evidence(group.sources());
    match group.children.as_slice() {
        [only] => draft
            .server(&Server {
                name: group.host.clone(),
                address: only.address,
            })
            .done(),
        _ => draft.server_name(group.host).done(),
    }
}

fn remedy(picture: &Picture, group: &HostAddresses) -> String {
    let addresses = wording::list(group.addresses());
    let known = picture.hosts.get(group.host).map(|h| h.authoritative());
    let left = group.given == Given::Published
        && known.is_some_and(|known| !known.is_empty() && known.is_disjoint(&group.addresses()));
    if left {
        return format!(
            "Let {addresses} answer with the new zone until the delegation no longer has it and \
             its time in caches is over"
        );
    }
    format!(
        "See that the server runs, and that UDP and TCP port 53 of {addresses} are open to \
         everybody; if the address is out of use, change it at the registrar and in the zone"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, findings, lines};

    const ZONE: &str = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2";

    fn dead(host: &str, addresses: &str) -> String {
        format!(
            "{host} does not answer at {addresses}, neither over UDP nor over TCP, seen from 1 \
             network"
        )
    }

    #[test]
    fn silence_that_counts_is_death() {
        let world = || Fixture::healthy(ZONE);
        let error = |at: &str| {
            format!(
                "error ns2.example.com. {at}: {}",
                dead("ns2.example.com.", at)
            )
        };
        let cases: [(Fixture, &[String], &str); 9] = [
            (world(), &[], "all answer"),
            (
                world().acts("192.0.2.2", Acts::Silent),
                &[error("192.0.2.2")],
                "no answer at all",
            ),
            (
                world().acts("192.0.2.2", Acts::Rejecting),
                &[error("192.0.2.2")],
                "turned away",
            ),
            (world().acts("192.0.2.2", Acts::TcpOnly), &[], "TCP answers"),
            (world().acts("192.0.2.2", Acts::UdpOnly), &[], "UDP answers"),
            (
                world().acts("192.0.2.2", Acts::Upward),
                &[],
                "an answer, if a bad one: glue-lame-address",
            ),
            (
                world().acts("192.0.2.2", Acts::Silent).lose(3),
                &[],
                "the vantage point loses packets",
            ),
            (
                world()
                    .acts("2001:db8::1", Acts::Silent)
                    .without(Family::V6),
                &[],
                "nothing answers this vantage point over IPv6",
            ),
            (
                world().acts("2001:db8::1", Acts::Silent),
                &[],
                "all of IPv6 is dead: child-family-unreachable",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }

    #[test]
    fn addresses_of_one_name_are_one_finding() {
        let both = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2 2001:db8::2";
        let world = Fixture::healthy(both)
            .acts("192.0.2.2", Acts::Silent)
            .acts("2001:db8::2", Acts::Silent);
        assert_eq!(
            lines(&RULE, &world),
            [format!(
                "error ns2.example.com.: {}",
                dead("ns2.example.com.", "192.0.2.2 and 2001:db8::2")
            )]
        );
    }

    #[test]
    fn who_gives_the_address_decides_how_bad_it_is_and_what_to_do() {
        let cases = [
            (
                Fixture::healthy(ZONE).parents(&ZONE.replace("192.0.2.2", "192.0.2.9")),
                Severity::Error,
                "Let 192.0.2.9 answer with the new zone",
                "glue that the server has left",
            ),
            (
                Fixture::healthy(ZONE).zone(&ZONE.replace("192.0.2.2", "192.0.2.2 192.0.2.9")),
                Severity::Warning,
                "See that the server runs",
                "in the zone only",
            ),
            (
                Fixture::healthy(ZONE).expect("ns2.example.com. 192.0.2.9"),
                Severity::Error,
                "See that the server runs",
                "expected",
            ),
        ];
        for (world, severity, remedy, why) in cases {
            let found = findings(&RULE, &world.acts("192.0.2.9", Acts::Silent)).remove(0);
            assert_eq!(found.severity, severity, "{why}");
            assert!(found.remedy.starts_with(remedy), "{why}: {}", found.remedy);
            assert!(!found.evidence.is_empty(), "{why}");
        }
    }
}
