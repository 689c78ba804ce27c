//! `child-udp-blocked`: a name server of the zone answers over TCP and not over UDP.
//!
//! Resolvers ask over UDP first. Most of them turn to TCP only when an answer over UDP says that
//! it was cut off, so a server without UDP is as good as dead for them.
//!
//! It is said from one healthy vantage point, after two tries over UDP and an answer over TCP,
//! and only where nothing else was lost.
//!
//! Let UDP port 53 through to the server, in both directions. A firewall that limits the rate of
//! datagrams or drops fragments is a usual cause.

use bailiwick_core::finding::{Actor, Finding, Severity};

use super::child_tcp_blocked::{server, who};
use crate::{
    picture::{ChildView, Picture},
    rule::Rule,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "child-udp-blocked",
    severity: Severity::Error,
    actor: Actor::Server,
    title: "a name server does not answer over UDP",
    text: include_str!("child_udp_blocked.rs"),
    source: "RFC 1035, section 4.2; RFC 1123, section 6.1.3.2",
    related: &["nameserver-not-responding", "servfail"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .children
        .values()
        .filter(|child| !child.udp().answers())
        .filter(|child| child.views.iter().any(|view| view.is_udp_blocked()))
        .map(|child| {
            let finding = RULE
                .about(picture.zone)
                .server(&server(child))
                .detail(format!(
                    "{} answers over TCP and not over UDP ({}), seen from {}",
                    who(child),
                    child.udp(),
                    picture.networks_that(&[child], ChildView::is_udp_blocked)
                ))
                .remedy(format!(
                    "Let UDP port 53 through to {}, and have the server listen on it",
                    child.address
                ))
                .evidence(child.sources());
            finding.done()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, lines};

    #[test]
    fn udp_is_needed_beside_tcp() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let finding = "error ns1.example.com. 192.0.2.1: 192.0.2.1 (ns1.example.com.) answers \
                       over TCP and not over UDP (no answer), seen from 1 network";
        let cases: [(Fixture, &[&str], &str); 5] = [
            (world(), &[], "both"),
            (
                world().acts("192.0.2.1", Acts::TcpOnly),
                &[finding],
                "TCP only",
            ),
            (
                world().acts("192.0.2.1", Acts::UdpOnly),
                &[],
                "UDP only: another finding",
            ),
            (
                world().acts("192.0.2.1", Acts::Silent),
                &[],
                "dead: another finding",
            ),
            (
                world().acts("192.0.2.1", Acts::TcpOnly).lose(1),
                &[],
                "two datagrams may be lost where packets are lost",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
