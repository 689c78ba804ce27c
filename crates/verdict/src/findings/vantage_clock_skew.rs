//! `vantage-clock-skew`: the clock of a vantage point is off.
//!
//! It differs from the clock of the coordinator by more than two seconds, as far as that can be
//! told over the network. Times that this vantage point gives are not believed, neither is its
//! silence: whoever does not know how long it waited cannot say that nobody answered. What servers
//! told it counts like everybody's.
//!
//! Let the machine keep its clock by NTP (RFC 5905).

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    vantage::Objection,
};

use super::vantage_without_vote::holding;
use crate::{picture::Picture, rule::Rule};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "vantage-clock-skew",
    severity: Severity::Warning,
    actor: Actor::Vantage,
    title: "the clock of a vantage point is off",
    text: include_str!("vantage_clock_skew.rs"),
    source: "RFC 5905; control C1",
    related: &[],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    holding(picture, Objection::Skewed)
        .map(|vantage| {
            let finding = RULE
                .about(picture.zone)
                .detail(format!(
                    "the clock of {} is off, so neither its times nor its silence count",
                    vantage.called()
                ))
                .remedy(format!("Let {} keep its clock by NTP", vantage.called()));
            finding.done()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Policy,
        fixture::{Fixture, fleet, lines},
        judge,
    };

    #[test]
    fn a_wrong_clock_is_noted_and_changes_nothing_else() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        assert!(lines(&RULE, &world()).is_empty());
        assert_eq!(
            lines(&RULE, &world().from("eu").held(Objection::Skewed)),
            ["warning: the clock of eu is off, so neither its times nor its silence count"]
        );
        let hours = |n: u64| n * 3_600_000_000;
        let now = world().report().started.0;
        for started in [
            now + hours(24 * 3650),
            now - hours(24 * 3650),
            now + hours(1),
        ] {
            let early = world().held(Objection::Skewed).started(started);
            let verdict = judge(
                &fleet([world(), world(), world(), early]),
                &Policy::default(),
            );
            assert_eq!(verdict.at.0, now, "the time of those whose clock is right");
        }
    }
}
