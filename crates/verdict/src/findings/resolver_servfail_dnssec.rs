//! `resolver-servfail-dnssec`: public resolvers refuse the zone because validation fails.
//!
//! The resolver answers SERVFAIL for a fresh name of the zone, and answers it well with CD=1,
//! that is with validation left out; or it says itself, with one of the extended errors 6 to 12
//! (RFC 8914), that validation fails. So it reaches the zone's servers, and does not believe
//! them: the chain of trust is broken. Missing or wrong glue looks different, it fails both ways.
//!
//! If the DS set matches no key, `ds-broken-after-move` says so. Otherwise look at the
//! signatures: expired, not yet valid, made with a key that is not published, or missing.
//! The extended errors tell which. Sign the zone again, or remove the DS set.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    query::Survey,
};

use super::resolver_servfail_glue::{count, errors, services};
use crate::{
    caches,
    picture::{Picture, Resolver, ResolverResult},
    reachability,
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "resolver-servfail-dnssec",
    severity: Severity::Critical,
    actor: Actor::Zone,
    title: "public resolvers refuse the zone because validation fails",
    text: include_str!("resolver_servfail_dnssec.rs"),
    source: "RFC 4035, section 5.5; RFC 8914, sections 4.7 to 4.13",
    related: &["servfail", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let refusing: Vec<&Resolver> = caches::usable(picture).filter(|r| refuses(r)).collect();
    if refusing.is_empty() {
        return Vec::new();
    }
    let asked = [Survey::Fresh, Survey::FreshUnchecked, Survey::Control];
    let draft = RULE
        .about(picture.zone)
        .detail(format!(
            "{} {} for {}, {}{}",
            services(&refusing),
            wording::verb(count(&refusing), "answers SERVFAIL", "answer SERVFAIL"),
            picture.zone,
            if refusing
                .iter()
                .any(|r| r.result(Survey::FreshUnchecked).resolved())
            {
                "but not with validation left out"
            } else {
                "because validation fails"
            },
            errors(&refusing)
        ))
        .evidence(refusing.iter().flat_map(|r| r.sources(&asked)));
    let finding = if reachability::broken_chain(picture).is_empty() {
        draft.remedy(format!(
            "Sign {} again and check the dates of the signatures; or remove the DS set at the \
             registrar",
            picture.zone
        ))
    } else {
        draft.actor(Actor::Registrar).remedy(format!(
            "{}, remove the DS set of {} or replace it by that of the keys in use",
            wording::at_the_registrar(picture),
            picture.zone
        ))
    };
    vec![finding.done()]
}

/// Whether validation alone makes the difference, or the resolver says that it is the reason.
pub(super) fn refuses(resolver: &Resolver) -> bool {
    let says_so = || resolver.extended_errors().range(6..=12).next().is_some();
    matches!(resolver.result(Survey::Fresh), ResolverResult::Failed(_))
        && (resolver.result(Survey::FreshUnchecked).resolved() || says_so())
}

#[cfg(test)]
mod tests {
    use bailiwick_core::message::Rcode;

    use super::*;
    use crate::{
        chain::tests::pair,
        fixture::{Fixture, findings, lines},
    };

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";

    #[test]
    fn validation_alone_makes_the_difference() {
        let (fail, well) = (Some(Rcode::SERVFAIL), Some(Rcode::NXDOMAIN));
        let world = || Fixture::healthy(BOTH);
        let finding = "critical: google answers SERVFAIL for example.com., but not with \
                       validation left out (extended error 7)";
        let said = "critical: google answers SERVFAIL for example.com., because validation fails \
                    (extended error 7)";
        let cases: [(Fixture, &[&str], &str); 5] = [
            (world(), &[], "all resolve"),
            (
                world().resolver("google", fail, well, &[7]),
                &[finding],
                "CD=1 helps",
            ),
            (
                world().resolver("google", fail, fail, &[22]),
                &[],
                "CD=1 does not help",
            ),
            (
                world().resolver("google", fail, fail, &[7]),
                &[said],
                "CD=1 does not help, but the resolver says why",
            ),
            (
                world()
                    .resolver("google", fail, well, &[7])
                    .resolver_is_sick("google"),
                &[],
                "the resolver fails for the control name, too",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }

    #[test]
    fn a_broken_ds_is_a_matter_for_the_registrar() {
        let (_, ds) = pair("example.com.", 1);
        let world = Fixture::healthy(BOTH).signed(ds, Vec::new()).resolver(
            "google",
            Some(Rcode::SERVFAIL),
            Some(Rcode::NXDOMAIN),
            &[9],
        );
        assert_eq!(findings(&RULE, &world)[0].actor, Actor::Registrar);
    }
}
