//! `baseline-missing`: what was published before the change is not known.
//!
//! You said what to expect, and it is not published everywhere. How long caches may keep the
//! former delegation depends on the TTLs that *it* had. Nobody wrote them down before the change,
//! so the TTLs of what is published now are taken instead, and every time that is derived from
//! them is assumed, not known.
//!
//! Before the next change, run a check and keep its output.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    verdict::Publication,
};

use crate::{picture::Picture, publication::Published, rule::Rule};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "baseline-missing",
    severity: Severity::Info,
    actor: Actor::Vantage,
    title: "what was published before the change is not known",
    text: include_str!("baseline_missing.rs"),
    source: "RFC 2181, section 8",
    related: &[],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let under_way = matches!(
        Published::of(picture).publication,
        Publication::Publishing | Publication::Divergent | Publication::NotPublished
    );
    if picture.check.expectation.is_empty() || picture.delegating().next().is_none() || !under_way {
        return Vec::new();
    }
    let finding = RULE
        .about(picture.zone)
        .detail("the TTLs of the former delegation are not known; those of now are assumed")
        .evidence(picture.delegating().flat_map(|i| i.sources()));
    vec![finding.done()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn a_change_under_way_needs_a_baseline() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let cases = [
            (world(), 0, "no change"),
            (
                world().expect("ns1.example.com. 192.0.2.21"),
                1,
                "a change under way",
            ),
            (
                world().expect("ns1.example.com. 192.0.2.1"),
                0,
                "a change that is done",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world).len(), expected, "{why}");
        }
    }
}
