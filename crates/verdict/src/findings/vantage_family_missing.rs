//! `vantage-family-missing`: this place does not reach anything over one address family.
//!
//! No root server and no parent server answers over IPv6 (or IPv4) from here, or none over TCP.
//! So nothing is said about your zone in that family or over that transport: addresses that do
//! not answer may be perfectly well.
//!
//! Many networks have no IPv6; then nothing is to be done. Otherwise look at routing and firewall
//! of the machine, or check from a place that has both families.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    query::Via,
};

use crate::{
    picture::{Picture, Vantage},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "vantage-family-missing",
    severity: Severity::Warning,
    actor: Actor::Vantage,
    title: "the vantage point lacks an address family or a transport",
    text: include_str!("vantage_family_missing.rs"),
    source: "RFC 3901, section 4; control C2",
    related: &["nameserver-not-responding"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .vantages
        .iter()
        .filter_map(|vantage| {
            let missing = missing(vantage);
            let finding = RULE
                .about(picture.zone)
                .detail(format!(
                    "nothing answers {} over {}, so nothing is said about that",
                    vantage.called(),
                    wording::list(&missing)
                ))
                .remedy(format!(
                    "Check from a place with {}, if the zone uses it",
                    wording::list(&missing)
                ))
                .evidence(vantage.unanswered.clone());
            (!missing.is_empty()).then(|| finding.done())
        })
        .collect()
}

fn missing(vantage: &Vantage) -> Vec<String> {
    let mut missing = Vec::new();
    for &family in &vantage.tried {
        if !vantage.alive(family) {
            missing.push(family.to_string());
            continue;
        }
        for (via, text) in [(Via::Udp, "UDP"), (Via::Tcp, "TCP")] {
            if vantage.lacks(family, via) {
                missing.push(format!("{family} {text}"));
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use bailiwick_core::server::Family;

    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn what_is_missing_here_is_named() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let finding = |what: &str| {
            vec![format!(
                "warning: nothing answers this machine over {what}, so nothing is said about that"
            )]
        };
        let cases = [
            (world(), vec![], "both families"),
            (world().without(Family::V6), finding("IPv6"), "no IPv6"),
            (
                world().without_tcp(),
                finding("IPv4 TCP and IPv6 TCP"),
                "no TCP",
            ),
            (world().offline(), finding("IPv4 and IPv6"), "no network"),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
