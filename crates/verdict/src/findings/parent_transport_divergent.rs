//! `parent-transport-divergent`: a parent server says one thing over UDP and another over TCP.
//!
//! An answer over UDP may be shorter than the one over TCP, with the TC flag set. It must not
//! say anything else. Here it does, and nothing tells two machines apart that might stand behind
//! the address: either there are two, one of them not updated, or something on the way changes
//! answers over one of the transports.
//!
//! Glue that is only missing over UDP without TC is `glue-truncated-without-tc`.
//!
//! Check again from another network. If the difference is gone there, look for a middlebox on
//! the way from here; if it is the same, report it to the registry.

use std::collections::BTreeMap;

use bailiwick_core::{
    finding::{Actor, Finding, Severity, Source},
    server::Server,
};

use crate::{
    picture::{Answer, Instance, Picture},
    rule::Rule,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "parent-transport-divergent",
    severity: Severity::Warning,
    actor: Actor::Registry,
    title: "a parent server differs between UDP and TCP",
    text: include_str!("parent_transport_divergent.rs"),
    source: "RFC 7766, section 5; RFC 2181, section 9",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let mut differing: BTreeMap<(&Server, String), Vec<Source>> = BTreeMap::new();
    for (server, udp, tcp) in pairs(picture) {
        if let Some(what) = udp.difference(tcp) {
            let sources = differing.entry((server, what)).or_default();
            sources.extend([udp.seen.source(), tcp.seen.source()]);
        }
    }
    differing
        .into_iter()
        .map(|((server, what), sources)| {
            let finding = RULE
                .about(picture.zone)
                .server(server)
                .detail(format!(
                    "{server} says other things over UDP than over TCP: over UDP {what}"
                ))
                .remedy(format!(
                    "Check from another network; if it is the same there, report {server} to the \
                     registry of {}",
                    picture.parent.map(ToString::to_string).unwrap_or_default()
                ))
                .evidence(sources);
            finding.done()
        })
        .collect()
}

/// The answers over UDP and over TCP of addresses that do not tell machines apart.
fn pairs<'p, 'e>(
    picture: &'p Picture<'e>,
) -> impl Iterator<Item = (&'p Server, &'p Answer<'e>, &'p Answer<'e>)> {
    let nameless = picture.instances.iter().filter(|i| i.nsid.is_none());
    let mut at: BTreeMap<_, Vec<&Instance>> = BTreeMap::new();
    for instance in nameless {
        let same = at.entry((instance.vantage, &instance.server)).or_default();
        same.push(instance);
    }
    at.into_iter().flat_map(|((_, server), same)| {
        let udp = same.clone().into_iter().filter_map(|i| i.udp.as_ref());
        udp.flat_map(move |udp| {
            let tcp = same.clone().into_iter().filter_map(|i| i.tcp.as_ref());
            tcp.map(move |tcp| (server, udp, tcp))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const A: &str = "198.51.100.1";

    #[test]
    fn udp_may_be_shorter_but_not_other() {
        let udp = |text: &str, truncated| Fixture::healthy(BOTH).parent_udp_at(A, text, truncated);
        let old = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";
        let line = |what: &str| {
            vec![format!(
                "warning a.gtld.test. {A}: a.gtld.test. {A} says other things over UDP than over \
                 TCP: over UDP {what}"
            )]
        };
        let cases = [
            (udp(BOTH, false), vec![], "the same"),
            (
                udp("ns1.example.com. 192.0.2.1; ns2.example.com.", false),
                vec![],
                "glue left out: another finding",
            ),
            (
                udp("ns1.example.com.", true),
                vec![],
                "cut off, and said so",
            ),
            (
                udp(old, false),
                line("ns1.example.com. is 192.0.2.10"),
                "other glue",
            ),
            (
                udp("ns1.example.com. 192.0.2.1", false),
                line("the NS names differ"),
                "fewer names",
            ),
            (
                udp(old, false).nsid_at(A, "one", "two"),
                vec![],
                "two instances: another finding",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
