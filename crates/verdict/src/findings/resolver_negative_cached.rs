//! `resolver-negative-cached`: a public resolver remembers that the zone did not exist.
//!
//! The parent delegates the zone, and the resolver says NXDOMAIN for it. It asked before the
//! delegation was there, and may keep the denial for as long as the SOA of the parent zone
//! allows (the smaller of its TTL and its last field; RFC 2308, section 5). It says the same of
//! every name below (RFC 8020).
//!
//! Nothing is to be done: it ends by itself, at the latest when that time is over. Some public
//! resolvers have a page to flush one name.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    query::Survey,
};

use super::resolver_servfail_glue::{count, services};
use crate::{
    caches,
    picture::{Picture, Resolver},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "resolver-negative-cached",
    severity: Severity::Info,
    actor: Actor::Nobody,
    title: "a public resolver remembers that the zone did not exist",
    text: include_str!("resolver_negative_cached.rs"),
    source: "RFC 2308, section 5; RFC 8020",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    if picture.delegating().next().is_none() {
        return Vec::new();
    }
    let denying: Vec<&Resolver> = caches::usable(picture)
        .filter(|r| caches::is_denied(r))
        .collect();
    if denying.is_empty() {
        return Vec::new();
    }
    let ends = match caches::bounds(picture).negative_ttl {
        Some(ttl) => format!(
            "Wait; it is over {} from now at the latest",
            wording::span(ttl)
        ),
        None => "Wait, and check again".to_owned(),
    };
    let finding = RULE
        .about(picture.zone)
        .detail(format!(
            "{} still {} that {} exists",
            services(&denying),
            wording::verb(count(&denying), "denies", "deny"),
            picture.zone
        ))
        .remedy(ends)
        .evidence(
            denying
                .iter()
                .flat_map(|r| r.sources(&[Survey::Stub, Survey::Warm])),
        );
    vec![finding.done()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, findings, lines};

    #[test]
    fn a_denial_outlives_the_absence() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1").denied_by("quad9");
        let finding = "info: quad9 still denies that example.com. exists";
        let cases: [(Fixture, &[&str], &str); 3] = [
            (
                Fixture::healthy("ns1.example.com. 192.0.2.1"),
                &[],
                "all know it",
            ),
            (world(), &[finding], "delegated, and denied"),
            (
                world().parent_at("*", ""),
                &[],
                "not delegated: the denial is right",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
        assert_eq!(
            findings(&RULE, &world())[0].remedy,
            "Wait; it is over 15 minutes from now at the latest"
        );
    }
}
