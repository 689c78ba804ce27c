//! `vantage-mislabelled`: a vantage point is not where it was enrolled to be.
//!
//! The coordinator sees it connect from another network or region than it was enrolled for: the
//! machine has moved, its traffic goes through a VPN or a proxy, or somebody says what is not so.
//! A quorum counts networks, so one of which the network is wrong would count for others. Until
//! this is settled nothing of what it sees counts.
//!
//! Enrol the vantage point anew for the place where it is, or put it back where it belongs.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    vantage::Objection,
};

use super::vantage_without_vote::holding;
use crate::{picture::Picture, rule::Rule};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "vantage-mislabelled",
    severity: Severity::Warning,
    actor: Actor::Vantage,
    title: "a vantage point is not where it was enrolled to be",
    text: include_str!("vantage_mislabelled.rs"),
    source: "CA/Browser Forum Baseline Requirements, section 3.2.2.9; control C10",
    related: &[],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    holding(picture, Objection::Mislabelled)
        .map(|vantage| {
            let address = vantage.place.and_then(|place| place.address);
            let from = address.map_or_else(
                || "from elsewhere".to_owned(),
                |address| format!("from {address}"),
            );
            let finding = RULE
                .about(picture.zone)
                .detail(format!(
                    "{} connects {from}, and was enrolled for another network, so it is not heard",
                    vantage.called()
                ))
                .remedy(format!(
                    "Enrol {} anew for the network where it is, or put it back",
                    vantage.called()
                ));
            finding.done()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn who_is_elsewhere_is_not_heard() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        assert!(lines(&RULE, &world()).is_empty());
        assert_eq!(
            lines(&RULE, &world().from("eu").held(Objection::Mislabelled)),
            [
                "warning: eu connects from elsewhere, and was enrolled for another network, so it is \
              not heard"
            ]
        );
    }
}
