//! `resolver-pop-outlier`: a public resolver resolves the zone from some places, not from all.
//!
//! Behind one address of a public resolver stand many places, each with caches of its own. Here
//! it resolves a name that no cache can know when it is asked from some vantage points, and fails
//! when it is asked from others, while it resolves other names there. Either the caches of those
//! places hold an old delegation or a failure (RFC 9520: five minutes at most), or the zone's
//! servers are out of reach from there. Where that is so in two networks or more, it is no outlier
//! but a fault, and the verdict counts the resolver among those that fail.
//!
//! Check again in five minutes. If it lasts, flush the zone at the resolver: Google and Cloudflare
//! have pages for that.

use std::collections::BTreeMap;

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    query::Survey,
    vantage::VantageId,
};

use crate::{
    caches::{self, Fresh, Sampled},
    picture::Picture,
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "resolver-pop-outlier",
    severity: Severity::Info,
    actor: Actor::Nobody,
    title: "a public resolver fails at some of its places",
    text: include_str!("resolver_pop_outlier.rs"),
    source: "RFC 9520; RFC 4786",
    related: &["servfail", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let places = caches::places(picture).into_iter();
    places
        .filter_map(|(service, made)| outlier(picture, service, &made))
        .collect()
}

fn outlier(
    picture: &Picture,
    service: &str,
    made: &BTreeMap<&VantageId, Fresh>,
) -> Option<Finding> {
    let that = |wanted| {
        let places = made.iter().filter(|(_, made)| **made == wanted);
        places.map(|(vantage, _)| *vantage).collect::<Vec<_>>()
    };
    let (failing, resolving) = (that(Fresh::Failed), that(Fresh::Resolved));
    if resolving.is_empty() || failing.is_empty() {
        return None;
    }
    let several = Sampled::of(picture).failing.contains(service);
    let asked = picture
        .resolvers
        .iter()
        .filter(|r| r.service == service && failing.contains(&r.vantage));
    let finding = RULE
        .about(picture.zone)
        .severity(if several {
            Severity::Warning
        } else {
            RULE.severity
        })
        .detail(format!(
            "{service} does not resolve a fresh name of {} when asked from {}, and does from {}",
            picture.zone,
            wording::witnesses(picture, failing.iter().copied()),
            wording::witnesses(picture, resolving)
        ))
        .remedy(format!(
            "Check again in five minutes; if it lasts, flush {} at {service}",
            picture.zone
        ))
        .evidence(asked.filter_map(|r| Some(r.seen(Survey::Fresh)?.source())));
    Some(finding.done())
}

#[cfg(test)]
mod tests {
    use bailiwick_core::message::Rcode;

    use super::*;
    use crate::fixture::{Fixture, fleet, line};

    #[test]
    fn places_of_one_resolver_are_compared() {
        let well = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let fail = Some(Rcode::SERVFAIL);
        let failing = || well().resolver("google", fail, fail, &[22]);
        let outlier = "info: google does not resolve a fresh name of example.com. when asked from \
                       nrt (AS64502), and does from fra (AS64500) and nyc (AS64501)";
        let cases: [(Vec<Fixture>, &[&str], &str); 4] = [
            (vec![well(), well(), well()], &[], "all resolve"),
            (
                vec![failing(), failing()],
                &[],
                "none does: another finding",
            ),
            (vec![well(), well(), failing()], &[outlier], "one does not"),
            (
                vec![well(), well(), failing().resolver_is_sick("google")],
                &[],
                "it resolves nothing there",
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
