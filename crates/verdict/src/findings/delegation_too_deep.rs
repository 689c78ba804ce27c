//! `delegation-too-deep`: referral follows referral without end.
//!
//! The walk from the root was referred from zone to zone more often than any sensible tree of
//! names needs, and was ended (limit B6: 16 referrals on one walk). Some zone on the way
//! delegates every name to a zone of its own, by mistake or to wear resolvers out. Resolvers
//! have a limit of the same kind, and answer SERVFAIL when they reach it.
//!
//! The finding names the zone at which the walk ended, and says whether the way to the zone
//! itself or to a name server's name is meant. Whoever runs the zones just above it has to
//! correct the delegations; nothing in the zone checked can.

use bailiwick_core::{
    finding::{Actor, Finding, Severity, Source},
    name::Name,
    query::Purpose,
    report::{Found, Lookup, Lost},
};

use crate::{picture::Picture, rule::Rule};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "delegation-too-deep",
    severity: Severity::Error,
    actor: Actor::Registry,
    title: "referral follows referral without end",
    text: include_str!("delegation_too_deep.rs"),
    source: "RFC 1034, section 5.3.3",
    related: &["servfail", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Found::Lost(Lost::TooDeep { zone }) = picture.found {
        let detail = format!(
            "the walk to {} ended at {zone} after too many referrals",
            picture.zone
        );
        found.push(finding(picture, picture.zone, zone, Purpose::Walk, detail));
    }
    for (host, lookup) in &picture.lookups {
        if let Lookup::Lost(Lost::TooDeep { zone }) = lookup {
            let detail = format!(
                "the walk to the name server {host} ended at {zone} after too many referrals"
            );
            found.push(finding(picture, host, zone, Purpose::Lookup, detail));
        }
    }
    found
}

fn finding(
    picture: &Picture,
    about: &Name,
    zone: &Name,
    purpose: Purpose,
    detail: String,
) -> Finding {
    let above = zone.parent().unwrap_or_else(Name::root);
    RULE.about(about)
        .detail(detail)
        .remedy(format!(
            "Ask whoever runs {above} and the zones above it to correct their delegations: they \
             have no end"
        ))
        .evidence(referrals(picture, about, purpose))
        .done()
}

/// The referrals on the way to a name, the last three of them.
fn referrals(picture: &Picture, about: &Name, purpose: Purpose) -> Vec<Source> {
    let mut steps: Vec<_> = picture
        .observations
        .iter()
        .filter(|seen| {
            seen.purpose == purpose && seen.reply().is_some() && about.is_at_or_below(&seen.zone)
        })
        .collect();
    steps.sort_by_key(|seen| seen.zone.label_count());
    let last = steps.iter().rev().take(3);
    last.map(|seen| seen.source()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines, name};

    #[test]
    fn an_endless_delegation_is_named() {
        let too_deep = || Lost::TooDeep {
            zone: name("c.b.a.test."),
        };
        let world = || {
            Fixture::healthy("ns1.example.com. 192.0.2.1; ns.d.c.b.a.test.")
                .lookup_finds("ns.d.c.b.a.test.", &["192.0.2.2"])
        };
        let cases: [(Fixture, &[&str], &str); 4] = [
            (world(), &[], "the walk arrives"),
            (
                world().found(Found::Lost(too_deep())),
                &["error: the walk to example.com. ended at c.b.a.test. after too many referrals"],
                "the way to the zone",
            ),
            (
                world().lookup("ns.d.c.b.a.test.", Lookup::Lost(too_deep())),
                &[
                    "error: the walk to the name server ns.d.c.b.a.test. ended at c.b.a.test. \
                     after too many referrals",
                ],
                "the way to a name server",
            ),
            (
                world().found(Found::Lost(Lost::Exhausted)),
                &[],
                "lost for another reason",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
