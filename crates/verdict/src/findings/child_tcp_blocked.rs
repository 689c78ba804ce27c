//! `child-tcp-blocked`: a name server of the zone answers over UDP and not over TCP.
//!
//! TCP is not for zone transfers only. Answers that do not fit into a datagram are asked again
//! over TCP, and resolvers fall back to it when they suspect forgery. A name server without TCP
//! works until the day an answer grows: a new key, one more name server, a long TXT record.
//!
//! It is said only if other servers do answer this vantage point over TCP.
//!
//! Let TCP port 53 through to the server, in both directions, and have the server listen on it.

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{
    picture::{Child, ChildView, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "child-tcp-blocked",
    severity: Severity::Warning,
    actor: Actor::Server,
    title: "a name server does not answer over TCP",
    text: include_str!("child_tcp_blocked.rs"),
    source: "RFC 7766, section 5; RFC 9210, section 3.1",
    related: &["nameserver-not-responding", "zone-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .children
        .values()
        .filter(|child| !child.tcp().answers())
        .filter(|child| child.views.iter().any(|view| view.is_tcp_blocked()))
        .map(|child| {
            let finding = RULE
                .about(picture.zone)
                .server(&server(child))
                .detail(format!(
                    "{} answers over UDP and not over TCP ({}), seen from {}",
                    who(child),
                    child.tcp(),
                    picture.networks_that(&[child], ChildView::is_tcp_blocked)
                ))
                .remedy(format!(
                    "Let TCP port 53 through to {}, and have the server listen on it",
                    child.address
                ))
                .evidence(child.sources());
            finding.done()
        })
        .collect()
}

/// Returns the names and the address of a child, for a sentence.
pub(super) fn who(child: &Child) -> String {
    format!("{} ({})", child.address, wording::list(&child.names))
}

/// Returns a child as a server, by the first of its names.
pub(super) fn server(child: &Child) -> bailiwick_core::server::Server {
    let asked_as = || {
        let seen = child.views.first()?.seen.first()?;
        Some(seen.server.name.clone())
    };
    bailiwick_core::server::Server {
        name: child
            .names
            .first()
            .cloned()
            .or_else(asked_as)
            .unwrap_or_else(bailiwick_core::name::Name::root),
        address: child.address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, lines};

    #[test]
    fn tcp_is_needed_beside_udp() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let finding = "warning ns1.example.com. 192.0.2.1: 192.0.2.1 (ns1.example.com.) answers \
                       over UDP and not over TCP (no answer), seen from 1 network";
        let cases: [(Fixture, &[&str], &str); 6] = [
            (world(), &[], "both"),
            (
                world().acts("192.0.2.1", Acts::UdpOnly),
                &[finding],
                "UDP only",
            ),
            (
                world().acts("192.0.2.1", Acts::TcpOnly),
                &[],
                "TCP only: another finding",
            ),
            (
                world().acts("192.0.2.1", Acts::Silent),
                &[],
                "dead: another finding",
            ),
            (
                world().acts("192.0.2.1", Acts::UdpOnly).lose(1),
                &[],
                "one connection may be lost where packets are lost",
            ),
            (
                world()
                    .acts("192.0.2.1", Acts::UdpOnly)
                    .acts("192.0.2.2", Acts::UdpOnly)
                    .without_tcp(),
                &[],
                "no TCP from here at all",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
