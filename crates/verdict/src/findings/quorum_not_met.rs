//! `quorum-not-met`: what was seen was seen from too few networks to speak for others.
//!
//! A single network sees one instance of every anycast server and one path to every address.
//! Other networks may see others. To say that a change has reached everybody takes at least three
//! vantage points in different networks, in at least two regions.
//!
//! A contradiction needs no quorum, and neither does a fault that servers admit themselves: those
//! findings stand as they are.

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{picture::Picture, rule::Rule};

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
    // Networks and regions of vantage points are not known yet, so there never is a quorum.
    let finding = RULE.about(picture.zone).detail(format!(
        "seen from {}; other networks, other anycast instances and caches are not proved",
        picture.seen_from()
    ));
    vec![finding.done()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, line, lines};

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
        assert!(line(&found[0]).starts_with("info: seen from 2 networks"));
    }
}
