//! `ns-below-minimum`: the zone hangs on one server.
//!
//! A zone must have two name servers at least, so that it survives the loss of one (RFC 1034,
//! section 4.1; RFC 2182, section 5). The delegation has fewer than two names, or all of its
//! names lead to one and the same address. Many registries refuse such a delegation.
//!
//! A second name that cannot be used is told by its own finding, for example
//! `glue-missing-in-domain`, `ns-unresolvable` or `glue-dead-address`, and is counted here.
//!
//! Add a second server at another place, to the zone and to the delegation at the registrar.

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{
    picture::{Host, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "ns-below-minimum",
    severity: Severity::Warning,
    actor: Actor::Zone,
    title: "fewer than two name servers",
    text: include_str!("ns_below_minimum.rs"),
    source: "RFC 1034, section 4.1; RFC 2182, section 5",
    related: &["nameserver-not-responding"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let hosts: Vec<&Host> = picture.delegated_hosts().collect();
    let detail = match hosts.as_slice() {
        [] => return Vec::new(),
        [only] => format!("the delegation has one name server only ({})", only.name),
        several => {
            let first = several[0].published();
            let single = first.len() == 1 && several.iter().all(|h| h.published() == first);
            if !single {
                return Vec::new();
            }
            format!(
                "the delegation has one address only, {}, for {}",
                wording::list(first),
                wording::count(several.len(), "name")
            )
        }
    };
    let sources = picture.answering().flat_map(|i| i.sources());
    let looked_up = hosts.iter().flat_map(|h| picture.lookup_sources(&h.name));
    let finding = RULE
        .about(picture.zone)
        .detail(detail)
        .remedy(format!(
            "Add a second name server, at another place, to the zone and to the delegation of \
             {} at the registrar",
            picture.zone
        ))
        .evidence(sources.chain(looked_up));
    vec![finding.done()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn a_zone_needs_two_servers() {
        let cases: [(&str, &[&str], &str); 5] = [
            (
                "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2",
                &[],
                "two names, two addresses",
            ),
            (
                "ns1.example.com. 192.0.2.1 2001:db8::1",
                &["warning: the delegation has one name server only (ns1.example.com.)"],
                "one name, though with two addresses",
            ),
            (
                "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.1",
                &["warning: the delegation has one address only, 192.0.2.1, for 2 names"],
                "two names, one address",
            ),
            (
                "ns1.example.com. 192.0.2.1; ns2.example.com.",
                &[],
                "two names, one of them without an address: another finding",
            ),
            (
                "ns1.example.com.; ns2.example.com.",
                &[],
                "no address at all: glue-missing-all",
            ),
        ];
        for (zone, expected, why) in cases {
            assert_eq!(lines(&RULE, &Fixture::healthy(zone)), expected, "{why}");
        }
    }
}
