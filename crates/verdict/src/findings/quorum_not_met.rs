//! `quorum-not-met`: what was seen was seen from too few networks to speak for others.
//!
//! A single network sees one instance of every anycast server and one path to every address.
//! Other networks may see others. To say that a change has reached everybody takes at least three
//! vantage points in different networks, in at least two regions. Vantage points of one autonomous
//! system, of one network prefix, of one operator or of one city count as one, and those that
//! are not well do not count. If half of the networks have no vote, the others are not believed
//! to be the sound half.
//!
//! A contradiction needs no quorum, and neither does a fault that servers admit themselves: those
//! findings stand as they are.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    verdict::QuorumCount,
};

use crate::{picture::Picture, rule::Rule, wording};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "quorum-not-met",
    severity: Severity::Info,
    actor: Actor::Vantage,
    title: "seen from too few networks to speak for others",
    text: include_str!("quorum_not_met.rs"),
    source: "CA/Browser Forum Baseline Requirements, section 3.2.2.9",
    related: &[],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    if picture.quorum.is_met() {
        return Vec::new();
    }
    let finding = RULE.about(picture.zone).detail(wording::proved(picture));
    let finding = if picture.is_fleet() {
        finding.remedy(format!(
            "Add vantage points: it takes {} networks in {} regions, and more than half of those \
             that report",
            QuorumCount::NETWORKS,
            QuorumCount::REGIONS
        ))
    } else {
        finding
    };
    vec![finding.done()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, fleet, line, lines};

    #[test]
    fn one_network_does_not_speak_for_others() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1");
        assert_eq!(
            lines(&RULE, &world()),
            [
                "info: seen from 1 network; other networks, other anycast instances and caches are \
              not proved"
            ]
        );
        let two = world().evidence().join(world().from("eu").evidence());
        let found = find(&Picture::of(&two));
        assert!(
            line(&found[0]).starts_with("info: seen from 1 network in 0 regions"),
            "nobody knows where the two stand"
        );
    }

    #[test]
    fn a_fleet_speaks_for_others() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1");
        let sick = || world().offline();
        let cases: [(Vec<Fixture>, &[&str], &str); 4] = [
            (vec![world(), world(), world()], &[], "three"),
            (
                vec![world(), world()],
                &[
                    "info: seen from 2 networks in 2 regions; other networks, other anycast \
                   instances and caches are not proved",
                ],
                "two",
            ),
            (
                vec![world(), world(), world(), sick(), sick(), sick()],
                &[
                    "info: seen from 3 networks in 3 regions, while 3 of 6 vote; other networks, \
                   other anycast instances and caches are not proved",
                ],
                "half of the fleet is sick",
            ),
            (
                vec![world(), world(), world(), world(), sick(), sick()],
                &[],
                "a third of it is",
            ),
        ];
        for (worlds, expected, why) in cases {
            let evidence = fleet(worlds);
            let found = find(&Picture::of(&evidence));
            assert_eq!(
                found.iter().map(line).collect::<Vec<_>>(),
                expected,
                "{why}"
            );
        }
    }
}
