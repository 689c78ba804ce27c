//! `glue-special-use-address`: the delegation gives an address that the internet cannot reach.
//!
//! The address is in a block that IANA lists as not globally reachable: private networks
//! (RFC 1918), loopback, link-local, shared address space, documentation, unique local IPv6 and
//! others. It may work inside of one network; everywhere else packets to it go nowhere, or to a
//! stranger's machine with the same inner address. Resolvers lose time on it, and many refuse
//! to ask it. If the delegation gives nothing else, nobody can reach the domain, and this is
//! critical.
//!
//! This program sends no packet to such an address, so nothing is said about what is there. In
//! a laboratory, where special-use addresses were allowed, they are asked like any other.
//!
//! Use the public address of the server: in the host object at the registrar (host names, child
//! nameservers, personal DNS or glue in its menus), and in the zone. Behind address translation
//! the public address is the one outside.

use std::net::IpAddr;

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    observation::Withheld,
    server::Server,
};

use crate::{
    picture::{HostAddresses, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-special-use-address",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "the delegation gives an address that is not globally reachable",
    text: include_str!("glue_special_use_address.rs"),
    source: "RFC 6890; IANA special-purpose address registries",
    related: &["nameserver-not-responding", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let groups = picture
        .addresses_that(|child| child.published && child.withheld() == Some(Withheld::SpecialUse));
    groups.iter().map(|group| finding(picture, group)).collect()
}

fn finding(picture: &Picture, group: &HostAddresses) -> Finding {
    let severity = if picture.has_no_server() {
        Severity::Critical
    } else {
        Severity::Error
    };
    let addresses = wording::list(group.addresses());
    let too = if group.children.iter().any(|child| child.authoritative) {
        ", and in the zone"
    } else {
        ""
    };
    let described = group.addresses().into_iter().map(describe);
    let host = picture.hosts.get(group.host);
    let instances = picture.delegating().filter(|instance| {
        let glue = instance.delegation().and_then(|d| d.glue_of(group.host));
        glue.is_some_and(|glue| group.addresses().iter().any(|a| glue.contains_key(a)))
    });
    let told = host.into_iter().flat_map(|host| &host.answers);
    let draft = RULE
        .about(group.host)
        .severity(severity)
        .detail(format!(
            "{} has {}: the internet cannot reach it there",
            group.host,
            wording::list(described)
        ))
        .remedy(format!(
            "{}, replace {addresses} at the host object {} by a public address of the server \
             {}{too}",
            wording::at_the_registrar(picture),
            wording::host_object(group.host),
            wording::CALLED
        ))
        .evidence(instances.flat_map(|instance| instance.sources()))
        .evidence(told.map(|answer| answer.seen.source()));
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

/// The address with its kind, if it is one of those that people know by name.
fn describe(address: IpAddr) -> String {
    let kind = match address {
        IpAddr::V4(a) if a.is_private() => "private, RFC 1918",
        IpAddr::V4(a) if a.is_link_local() => "link-local",
        IpAddr::V4(a) if a.is_documentation() => "documentation, RFC 5737",
        IpAddr::V4(a) if a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64 => "shared, RFC 6598",
        IpAddr::V6(a) if a.is_unique_local() => "unique local, RFC 4193",
        IpAddr::V6(a) if a.is_unicast_link_local() => "link-local",
        IpAddr::V6(a) if a.segments()[..2] == [0x2001, 0xdb8] => "documentation, RFC 3849",
        address if address.is_loopback() => "loopback",
        _ => "special use",
    };
    format!("{address} ({kind})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, findings, lines};

    #[test]
    fn what_was_not_asked_because_nobody_may_is_wrong_in_glue() {
        let zone = "ns1.example.com. 192.0.2.1; ns2.example.com. 10.0.0.2";
        let withheld = || Acts::Withheld(Withheld::SpecialUse);
        let error = "error ns2.example.com. 10.0.0.2: ns2.example.com. has 10.0.0.2 (private, \
                     RFC 1918): the internet cannot reach it there";
        let critical = "critical ns2.example.com. 10.0.0.2: ns2.example.com. has 10.0.0.2 \
                        (private, RFC 1918): the internet cannot reach it there";
        let cases: [(Fixture, &[&str], &str); 5] = [
            (
                Fixture::healthy(zone),
                &[],
                "in a laboratory such addresses are asked",
            ),
            (
                Fixture::healthy(zone).acts("10.0.0.2", withheld()),
                &[error],
                "one of two",
            ),
            (
                Fixture::healthy("ns2.example.com. 10.0.0.2").acts("10.0.0.2", withheld()),
                &[critical],
                "nothing else",
            ),
            (
                Fixture::healthy(zone).acts("10.0.0.2", Acts::Withheld(Withheld::OwnAddress)),
                &[],
                "not asked for another reason",
            ),
            (
                Fixture::healthy(zone)
                    .parents("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2")
                    .acts("10.0.0.2", withheld()),
                &[],
                "in the zone only: the mismatch says it",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
        let found = findings(&RULE, &Fixture::healthy(zone).acts("10.0.0.2", withheld()));
        assert!(
            found[0].remedy.ends_with(", and in the zone") && !found[0].evidence.is_empty(),
            "{found:?}"
        );
    }

    #[test]
    fn kinds_of_addresses_have_names() {
        let cases = [
            ("172.16.0.1", "172.16.0.1 (private, RFC 1918)"),
            ("100.64.0.1", "100.64.0.1 (shared, RFC 6598)"),
            ("100.128.0.1", "100.128.0.1 (special use)"),
            ("127.0.0.1", "127.0.0.1 (loopback)"),
            ("::1", "::1 (loopback)"),
            ("fd00::1", "fd00::1 (unique local, RFC 4193)"),
            ("2001:db8::1", "2001:db8::1 (documentation, RFC 3849)"),
            ("240.0.0.1", "240.0.0.1 (special use)"),
        ];
        for (address, text) in cases {
            assert_eq!(describe(address.parse().unwrap()), text);
        }
    }
}
