//! `resolver-servfail-glue`: public resolvers fail for the zone, and the delegation is why.
//!
//! The resolver answers SERVFAIL for a name of the zone that no cache can know, with validation
//! and without (CD=1), while it resolves the parent zone. At the same time the delegation or the
//! zone's servers are found faulty from here. So this is what users see of that fault. EDE 22
//! ("no reachable authority") or 23 ("network error") in the answer say the same in the
//! resolver's own words (RFC 8914).
//!
//! Follow the finding that names the cause. A failure may be cached for up to five minutes after
//! the repair (RFC 9520).

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    query::Survey,
    verdict::Reachability,
};

use super::resolver_servfail_dnssec::refuses;
use crate::{
    blame, caches,
    picture::{Picture, Resolver, ResolverResult},
    rule::Rule,
    state::Axes,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "resolver-servfail-glue",
    severity: Severity::Critical,
    actor: Actor::Registrar,
    title: "public resolvers fail because of the delegation",
    text: include_str!("resolver_servfail_glue.rs"),
    source: "RFC 8914, sections 4.23 and 4.24; RFC 9520, section 3",
    related: &["servfail", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let axes = Axes::of(picture);
    let faulty = matches!(
        axes.reachability,
        Reachability::Broken | Reachability::Degraded
    );
    let failing: Vec<&Resolver> = caches::usable(picture).filter(|r| fails(r)).collect();
    if !faulty || failing.is_empty() {
        return Vec::new();
    }
    let severity = match axes.outage {
        Some(_) => RULE.severity,
        None => Severity::Error,
    };
    let asked = [Survey::Fresh, Survey::FreshUnchecked, Survey::Control];
    let finding = RULE
        .about(picture.zone)
        .severity(severity)
        .actor(blame::actor(picture, axes))
        .detail(format!(
            "{} {} for {} with validation and without{}",
            services(&failing),
            wording::verb(count(&failing), "answers SERVFAIL", "answer SERVFAIL"),
            picture.zone,
            errors(&failing)
        ))
        .evidence(failing.iter().flat_map(|r| r.sources(&asked)));
    vec![finding.done()]
}

fn fails(resolver: &Resolver) -> bool {
    let failed = |survey| matches!(resolver.result(survey), ResolverResult::Failed(_));
    failed(Survey::Fresh) && failed(Survey::FreshUnchecked) && !refuses(resolver)
}

/// Returns the services of some resolvers, for a sentence.
pub(super) fn services(resolvers: &[&Resolver]) -> String {
    wording::list(distinct(resolvers))
}

/// Returns how many services these resolvers belong to.
pub(super) fn count(resolvers: &[&Resolver]) -> usize {
    distinct(resolvers).len()
}

/// The services in the order in which they were asked.
fn distinct<'e>(resolvers: &[&Resolver<'e>]) -> Vec<&'e str> {
    let mut names = Vec::new();
    for resolver in resolvers {
        if !names.contains(&resolver.service) {
            names.push(resolver.service);
        }
    }
    names
}

/// Returns the extended errors that the resolvers gave, for a sentence.
pub(super) fn errors(resolvers: &[&Resolver]) -> String {
    let codes: std::collections::BTreeSet<u16> =
        resolvers.iter().flat_map(|r| r.extended_errors()).collect();
    if codes.is_empty() {
        String::new()
    } else {
        format!(" (extended error {})", wording::list(codes))
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_core::message::Rcode;

    use super::*;
    use crate::fixture::{Acts, Fixture, lines};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";

    #[test]
    fn servfail_is_told_together_with_the_fault() {
        let fail = Some(Rcode::SERVFAIL);
        let failing = || Fixture::healthy(BOTH).all_resolvers(fail, &[22]);
        let no_glue = "ns1.example.com.; ns2.example.com.";
        let text = |severity: &str, who: &str| {
            vec![format!(
                "{severity}: {who} SERVFAIL for example.com. with validation and without \
                 (extended error 22)"
            )]
        };
        let all = "cloudflare, google and quad9 answer";
        let cases = [
            (
                failing().parents(no_glue),
                text("critical", all),
                "nobody gets in",
            ),
            (
                failing().acts("192.0.2.1", Acts::Silent),
                text("error", all),
                "there is a way in, and something is wrong",
            ),
            (
                failing(),
                vec![],
                "nothing is wrong with the delegation from here",
            ),
            (
                Fixture::healthy(BOTH)
                    .parents(no_glue)
                    .resolver("google", fail, fail, &[22]),
                text("critical", "google answers"),
                "the others have it in their caches",
            ),
            (
                Fixture::healthy(BOTH).parents(no_glue).resolver(
                    "google",
                    fail,
                    Some(Rcode::NXDOMAIN),
                    &[],
                ),
                vec![],
                "resolves without validation: another finding",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
