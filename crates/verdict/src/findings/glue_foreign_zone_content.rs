//! `glue-foreign-zone-content`: an address of the delegation has somebody else's zone.
//!
//! The server at this address answers with authority for the zone's name, but what it has is
//! not your zone: its NS set shares no name with the delegation, while other servers' NS sets
//! do. So the address has gone to somebody else, who happens to serve, or means to serve, a zone
//! of your name: another customer of the provider that had the address, a parking service, or
//! an attacker. Whoever runs it decides what those users see who are sent there, may get
//! certificates for your names, and read your mail.
//!
//! Old data of your own, on a server you forgot, names your own servers and is not this.
//! Where no server of the delegation names any of its name servers, nobody can be told from
//! anybody: that is `ns-sets-disjoint`.
//!
//! Treat it as a takeover until you know better. Take the address out of the glue at once (at
//! the registrar: host names, child nameservers, personal DNS or glue), then out of the zone,
//! and find out who holds the address.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    server::Server,
};

use crate::{
    picture::{Child, HostAddresses, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-foreign-zone-content",
    severity: Severity::Critical,
    actor: Actor::Registrar,
    title: "an address of the delegation serves somebody else's zone",
    text: include_str!("glue_foreign_zone_content.rs"),
    source: "RFC 1034, section 4.2.2",
    related: &["domain-transfer", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let groups = picture.addresses_that(|child| child.foreign && child.published);
    groups.iter().map(|group| finding(picture, group)).collect()
}

fn finding(picture: &Picture, group: &HostAddresses) -> Finding {
    let addresses = wording::list(group.addresses());
    let draft = RULE
        .about(group.host)
        .detail(format!(
            "{} at {addresses} has a zone {} that is not yours: {}",
            group.host,
            picture.zone,
            wording::list(group.children.iter().map(|child| content(child)))
        ))
        .remedy(format!(
            "{}, take {addresses} out of the host object {} at once {}, then out of the zone; \
             treat it as a takeover until you know who holds the address",
            wording::at_the_registrar(picture),
            wording::host_object(group.host),
            wording::CALLED
        ))
        .evidence(group.sources())
        .evidence(
            group
                .children
                .iter()
                .filter_map(|child| Some(child.ns()?.2.source())),
        );
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

fn content(child: &Child) -> String {
    let names = child.ns().map(|(names, ..)| wording::list(names));
    let serial = child.soa().map(|(soa, _)| soa.serial);
    match (names, serial) {
        (Some(names), Some(serial)) => format!("its NS set is {names} (serial {serial})"),
        (Some(names), None) => format!("its NS set is {names} (no SOA)"),
        (None, _) => "its NS set is another".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn a_zone_that_names_none_of_our_servers_is_not_ours() {
        let both = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let parked = "ns1.parking.net.; ns2.parking.net.";
        let cases: [(Fixture, &[&str], &str); 5] = [
            (Fixture::healthy(both), &[], "one zone"),
            (
                Fixture::healthy(both).zone_at("192.0.2.2", 99, parked),
                &[
                    "critical ns2.example.com. 192.0.2.2: ns2.example.com. at 192.0.2.2 has a \
                     zone example.com. that is not yours: its NS set is ns1.parking.net. and \
                     ns2.parking.net. (serial 99)",
                ],
                "somebody else's",
            ),
            (
                Fixture::healthy(both).zone_at("192.0.2.2", 1, "ns1.example.com. 192.0.2.1"),
                &[],
                "an older version of ours",
            ),
            (
                Fixture::healthy(both).zone(parked),
                &[],
                "all say so: the sets are disjoint",
            ),
            (
                Fixture::healthy(both)
                    .zone("ns1.example.com. 192.0.2.1 192.0.2.9; ns2.example.com. 192.0.2.2")
                    .zone_at("192.0.2.9", 99, parked),
                &[],
                "not in the delegation",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
