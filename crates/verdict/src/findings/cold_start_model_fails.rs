//! `cold-start-model-fails`: some kind of resolver cannot start with an empty cache.
//!
//! Resolvers differ in what they use. From the answers at hand it is computed, for eight kinds
//! of resolver, whether it gets in with nothing but the referral of a parent server:
//!
//! - `parent-strict-v4`, `parent-strict-v6`, `parent-strict-dual`: follows the parent's NS set
//!   and glue, over IPv4, IPv6 or both
//! - `child-centric`: goes on with the NS set and the addresses that the zone itself gives
//! - `no-sibling-glue`: ignores glue of name servers outside of the zone
//! - `udp512-no-edns`: the resolver of 1987: 512 octets, TCP only after truncation
//! - `tcp-only`: speaks TCP only
//! - `single-try`: picks one address, tries it once over UDP; the share of good picks is shown
//!
//! Public resolvers retry, race several servers and fill in from large caches, so they hide such
//! faults for long. It is an error if one of the `parent-strict` kinds fails: over IPv4 always,
//! over IPv6 if delegation or zone give a name server an IPv6 address. Otherwise it is a warning.
//!
//! Follow the finding that names the cause; this one tells only who is hurt.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    verdict::{Model, ModelResult},
};

use crate::{blame, picture::Picture, rule::Rule, state::Axes};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "cold-start-model-fails",
    severity: Severity::Error,
    actor: Actor::Server,
    title: "some kind of resolver cannot start with an empty cache",
    text: include_str!("cold_start_model_fails.rs"),
    source: "RFC 1034, section 5.3.3; RFC 9471, section 3",
    related: &["servfail", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let axes = Axes::of(picture);
    let failing: Vec<&ModelResult> = axes.models.iter().filter(|model| counts(model)).collect();
    if failing.is_empty() {
        return Vec::new();
    }
    let severity = if failing.iter().any(|model| model.baseline) {
        RULE.severity
    } else {
        Severity::Warning
    };
    let parents = picture.delegating().flat_map(|i| i.sources());
    let children = picture
        .children
        .values()
        .filter(|child| child.published && !child.is_authoritative())
        .flat_map(|child| child.sources());
    let finding = RULE
        .about(picture.zone)
        .severity(severity)
        .actor(blame::actor(picture, axes))
        .detail(detail(&failing))
        .evidence(parents.chain(children));
    vec![finding.done()]
}

/// A model that fails. That an IPv4-only zone does not serve IPv6 is no fault.
fn counts(model: &ModelResult) -> bool {
    let family = matches!(
        model.model,
        Model::ParentStrictV4 | Model::ParentStrictV6 | Model::ParentStrictDual
    );
    model.success_percent < 100 && (model.baseline || !family)
}

fn detail(failing: &[&ModelResult]) -> String {
    let name = |model: &ModelResult| match model.model {
        Model::SingleTry => format!("{} ({} %)", model.model, model.success_percent),
        other => other.to_string(),
    };
    let names: Vec<String> = failing.iter().map(|model| name(model)).collect();
    let step = failing.iter().find_map(|model| model.fails_at.as_deref());
    match step {
        Some(step) => format!(
            "with an empty cache these fail: {}; {step}",
            names.join(", ")
        ),
        None => format!("with an empty cache these fail: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, lines};

    #[test]
    fn it_is_an_error_if_a_baseline_model_fails() {
        let six = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2";
        let four = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let cases: [(Fixture, &[&str], &str); 5] = [
            (Fixture::healthy(six), &[], "all get in"),
            (Fixture::healthy(four), &[], "IPv4 only is no fault"),
            (
                Fixture::healthy(four).acts("192.0.2.1", Acts::Silent),
                &[
                    "warning: with an empty cache these fail: single-try (50 %); if it picks \
                   ns1.example.com. 192.0.2.1",
                ],
                "who retries gets in",
            ),
            (
                Fixture::healthy(six).acts("2001:db8::1", Acts::Silent),
                &[
                    "error: with an empty cache these fail: parent-strict-v6, single-try (67 %); no \
                   IPv6 address answers with authority (2001:db8::1: no answer)",
                ],
                "IPv6 is promised",
            ),
            (
                Fixture::healthy(four)
                    .acts("192.0.2.1", Acts::Silent)
                    .acts("192.0.2.2", Acts::Silent),
                &[],
                "silence that others contradict",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
