//! `vantage-lossy`: this place loses packets, so its silence proves nothing.
//!
//! At least two questions, and at least one in twenty, got no answer from servers that answered
//! others. Answers count all the same; but that a server did *not* answer is not held against it.
//! So a server of yours may be dead, and this check would not say so.
//!
//! Check again, or from a place with a better connection.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    vantage::Fitness,
};

use crate::{picture::Picture, rule::Rule};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "vantage-lossy",
    severity: Severity::Warning,
    actor: Actor::Vantage,
    title: "the vantage point loses packets",
    text: include_str!("vantage_lossy.rs"),
    source: "RFC 7594, section 5.1; control C8",
    related: &["nameserver-not-responding"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .vantages
        .iter()
        .filter(|vantage| vantage.fitness == Fitness::Lossy)
        .map(|vantage| {
            let finding = RULE
                .about(picture.zone)
                .detail(format!(
                    "{} lost {} of {} questions to servers that are alive, so silence is not \
                     counted",
                    vantage.called(),
                    vantage.loss.lost,
                    vantage.loss.asked
                ))
                .remedy("Check again, or from a place with a better connection");
            finding.done()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn one_in_twenty_is_too_much() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let cases = [(0, 0), (1, 0), (2, 1), (9, 1)];
        for (lost, expected) in cases {
            assert_eq!(lines(&RULE, &world().lose(lost)).len(), expected, "{lost}");
        }
        assert_eq!(
            lines(&RULE, &world().lose(9)),
            [
                "warning: this machine lost 9 of 35 questions to servers that are alive, so silence \
              is not counted"
            ]
        );
    }
}
