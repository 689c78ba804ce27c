//! `parent-coverage-incomplete`: not every parent server address gave an answer.
//!
//! What a parent server publishes that does not answer is not known. If one address of a server
//! is silent and another one answers, that is most likely a matter of the network; a server that
//! answers at none of its addresses leaves a gap, and the verdict is INCONCLUSIVE if nothing else
//! is wrong. Addresses in a family that this place does not reach at all are not counted.
//!
//! Check again, or from another network.

use std::collections::BTreeSet;

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    report::{Found, Lost},
};

use crate::{
    picture::{Instance, Picture},
    publication::Published,
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "parent-coverage-incomplete",
    severity: Severity::Warning,
    actor: Actor::Vantage,
    title: "not every parent server address gave an answer",
    text: include_str!("parent_coverage_incomplete.rs"),
    source: "RFC 2182, section 3.1; control of coverage",
    related: &["nameserver-not-responding"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    if let Some(finding) = none_at_all(picture) {
        return vec![finding];
    }
    let published = Published::of(picture);
    let silent: Vec<&Instance> = published
        .classified(picture)
        .filter(|(instance, class)| {
            *class == bailiwick_core::verdict::Class::Silent && instance.family_alive
        })
        .map(|(instance, _)| instance)
        .filter(|instance| !answers_others(picture, &published, instance))
        .collect();
    if silent.is_empty() {
        return Vec::new();
    }
    let servers: BTreeSet<_> = silent.iter().map(|i| &i.server).collect();
    let shown = servers.iter().take(4).map(ToString::to_string);
    let more = servers.len().saturating_sub(4);
    let shown = shown.chain((more > 0).then(|| format!("{more} more")));
    let finding = RULE
        .about(picture.zone)
        .detail(format!(
            "{} gave no usable answer: {}",
            wording::count(servers.len(), "parent address"),
            wording::list(shown)
        ))
        .remedy("Check again, or from another network")
        .evidence(silent.iter().flat_map(|i| i.sources()));
    vec![finding.done()]
}

/// Whether another instance, or another vantage point, gave an answer for the same address.
fn answers_others(picture: &Picture, published: &Published, instance: &Instance) -> bool {
    published.classified(picture).any(|(other, class)| {
        other.server.address == instance.server.address
            && class != bailiwick_core::verdict::Class::Silent
    })
}

/// The walk ended at the servers of a zone above, because none of them answered.
fn none_at_all(picture: &Picture) -> Option<Finding> {
    let Found::Lost(Lost::NoUsableAnswer { zone }) = picture.found else {
        return None;
    };
    if zone.is_root() || !picture.has_witness() {
        return None;
    }
    let asked = picture.observations.iter().filter(|s| s.zone == *zone);
    let finding = RULE
        .about(picture.zone)
        .detail(format!("no server of {zone} gave a usable answer"))
        .remedy("Check again, or from another network")
        .evidence(asked.map(|seen| seen.source()));
    Some(finding.done())
}

#[cfg(test)]
mod tests {
    use bailiwick_core::server::Family;

    use super::*;
    use crate::fixture::{Acts, Fixture, lines, name};

    #[test]
    fn silent_parent_addresses_are_named() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let cases: [(Fixture, &[&str], &str); 6] = [
            (world(), &[], "all answer"),
            (
                world().parent_acts("198.51.100.2", &Acts::Silent),
                &["warning: 1 parent address gave no usable answer: b.gtld.test. 198.51.100.2"],
                "one is silent",
            ),
            (
                world().parent_acts("b.gtld.test.", &Acts::Upward),
                &[
                    "warning: 2 parent addresses gave no usable answer: b.gtld.test. 198.51.100.2 \
                   and b.gtld.test. 2001:db8:100::2",
                ],
                "a referral upwards is no usable answer",
            ),
            (
                world().parent_acts("198.51.100.2", &Acts::TcpOnly),
                &[],
                "TCP is enough",
            ),
            (
                world().without(Family::V6),
                &[],
                "a family that is missing here",
            ),
            (
                world()
                    .parent_acts("*", &Acts::Silent)
                    .found(Found::Lost(Lost::NoUsableAnswer { zone: name("com.") })),
                &["warning: no server of com. gave a usable answer"],
                "none answers",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
