//! `ns-cycle`: finding the name servers leads back to where one began.
//!
//! The delegation names servers in another zone, and finding their addresses needs a server of
//! this zone (or of a further zone that leads back): a circle through zones of different
//! parents. No parent can break it by glue for the names of somebody else's zone, because
//! resolvers do not believe it there. If no other name server leads to the zone, nobody reaches
//! it; if one does, this is a warning, since everything hangs on that one.
//!
//! A circle between zones of one parent is `sibling-cycle-unbroken`, where sibling glue helps. A
//! name server that is not found for another reason is `ns-unresolvable`.
//!
//! Break the circle at one place: use one name server inside the zone, with glue at the
//! registrar, or one whose zone does not depend on yours.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    query::Purpose,
    report::{Found, Lost},
};

use super::sibling_cycle_unbroken::circles;
use crate::{
    picture::{Picture, Seen},
    rule::Rule,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "ns-cycle",
    severity: Severity::Critical,
    actor: Actor::Registrar,
    title: "finding the name servers leads in a circle",
    text: include_str!("ns_cycle.rs"),
    source: "RFC 1034, sections 4.2.1 and 5.3.3",
    related: &["servfail", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let of_zone = circles(picture, &RULE, |path| !picture.are_siblings(path));
    let with_remedy = of_zone.into_iter().map(|finding| Finding {
        remedy: format!(
            "Break the circle at one place: make a name inside {} a name server, with glue at \
             the registrar, or use one whose zone does not depend on {0}",
            picture.zone
        ),
        ..finding
    });
    with_remedy.chain(above(picture)).collect()
}

/// A circle on the way from the root to the parent zone.
fn above(picture: &Picture) -> Option<Finding> {
    let Found::Lost(Lost::Cycle { path }) = picture.found else {
        return None;
    };
    let path: Vec<String> = path.iter().map(ToString::to_string).collect();
    let walked = picture.observations.iter();
    let finding = RULE
        .about(picture.zone)
        .actor(Actor::Registry)
        .detail(format!(
            "on the way to the parent zone, finding the name servers leads in a circle ({})",
            path.join(" -> ")
        ))
        .remedy("Report it to whoever runs the zone above: its delegation has no way in")
        .evidence(
            walked
                .filter(|seen| seen.purpose == Purpose::Lookup)
                .map(Seen::source),
        );
    Some(finding.done())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines, name};
    use bailiwick_core::report::Lookup;

    #[test]
    fn a_circle_through_other_parents_is_found() {
        let round = ["ns1.example.com.", "ns1.loop.net.", "ns1.example.com."].map(name);
        let lost = Lost::Cycle {
            path: round.to_vec(),
        };
        let world = |servers: &str| {
            Fixture::healthy(servers)
                .lookup("ns1.loop.net.", Lookup::Lost(lost.clone()))
                .lookup_finds("ns.provider.org.", &["192.0.2.3"])
        };
        let found = |severity: &str| {
            format!(
                "{severity}: finding the address of ns1.loop.net. leads in a circle \
                 (ns1.example.com. -> ns1.loop.net. -> ns1.example.com.), and no glue breaks it"
            )
        };
        let cases: [(Fixture, &[String], &str); 5] = [
            (world("ns1.loop.net."), &[found("critical")], "no way in"),
            (
                world("ns1.loop.net.; ns1.example.com. 192.0.2.1"),
                &[found("warning")],
                "a name with glue leads in",
            ),
            (
                world("ns1.loop.net.; ns.provider.org."),
                &[found("warning")],
                "another provider leads in",
            ),
            (
                world("ns1.loop.net. 192.0.2.1"),
                &[found("critical")],
                "nobody believes glue for an unrelated name",
            ),
            (
                Fixture::healthy("ns1.example.com. 192.0.2.1").found(Found::Lost(lost.clone())),
                &[
                    "critical: on the way to the parent zone, finding the name servers leads in a \
                   circle (ns1.example.com. -> ns1.loop.net. -> ns1.example.com.)"
                        .to_owned(),
                ],
                "the parent itself cannot be found",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
    #[test]
    fn a_name_that_only_the_zone_leads_to_adds_nothing() {
        let both = "ns1.other.net.; ns2.example.com. 192.0.2.2";
        let line = "warning: the address of ns1.other.net. can be found only by way of \
                    example.com. itself (ns1.other.net. -> ns3.example.com.): it is no help when \
                    the other name servers are down";
        let world = |referral: &str| {
            Fixture::healthy(both)
                .lookup_finds("ns1.other.net.", &["192.0.2.1"])
                .lookup_sees("net.", "other.net.", referral)
        };
        let cases: [(Fixture, &[&str], &str); 6] = [
            (world("ns3.example.com."), &[line], "through the zone only"),
            (
                world("ns3.example.com.; ns1.other.net. 192.0.2.1"),
                &[],
                "glue leads in",
            ),
            (
                world("ns3.example.com. 192.0.2.3"),
                &[line],
                "glue that nobody believes",
            ),
            (
                world("ns3.example.com.; ns.provider.org."),
                &[],
                "another server leads in",
            ),
            (
                world("ns.third.org.").lookup_sees("org.", "third.org.", "ns3.example.com."),
                &[
                    "warning: the address of ns1.other.net. can be found only by way of \
                   example.com. itself (ns1.other.net. -> ns.third.org. -> ns3.example.com.): it \
                   is no help when the other name servers are down",
                ],
                "further round",
            ),
            (
                world("ns.third.org.").lookup_sees("org.", "third.org.", "ns1.other.net."),
                &[],
                "a circle of others, that a look-up got out of",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
