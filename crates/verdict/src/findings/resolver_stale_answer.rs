//! `resolver-stale-answer`: a public resolver answers with data that has run out.
//!
//! The resolver could not reach the zone's servers in time and gave an expired answer from its
//! cache instead (RFC 8767). It says so itself, with extended error 3 or 19 (RFC 8914). To users
//! the zone looks well; it will not for long: stale data is kept for one to three days at most,
//! and names that nobody asked for before do not resolve even now.
//!
//! Treat it as an outage that has begun: see which of the zone's addresses do not answer.

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

/// "Stale Answer" and "Stale NXDOMAIN Answer" (RFC 8914, sections 4.4 and 4.20).
const STALE: [u16; 2] = [3, 19];

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "resolver-stale-answer",
    severity: Severity::Warning,
    actor: Actor::Server,
    title: "a public resolver answers with expired data",
    text: include_str!("resolver_stale_answer.rs"),
    source: "RFC 8767, section 4; RFC 8914, sections 4.4 and 4.20",
    related: &["nameserver-not-responding", "servfail"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let stale: Vec<&Resolver> = caches::usable(picture)
        .filter(|r| STALE.iter().any(|code| r.extended_errors().contains(code)))
        .collect();
    if stale.is_empty() {
        return Vec::new();
    }
    let finding = RULE
        .about(picture.zone)
        .detail(format!(
            "{} {} for {} with expired data, because {} cannot reach its servers",
            services(&stale),
            wording::verb(count(&stale), "answers", "answer"),
            picture.zone,
            wording::verb(count(&stale), "it", "they"),
        ))
        .remedy(format!(
            "See to it that every server of {} answers; expired data is kept for three days at most",
            picture.zone
        ))
        .evidence(stale.iter().flat_map(|r| r.sources(&[Survey::Stub, Survey::Warm])));
    vec![finding.done()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn a_resolver_says_itself_that_its_answer_is_stale() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let finding = "warning: quad9 answers for example.com. with expired data, because it \
                       cannot reach its servers";
        let cases: [(Fixture, &[&str], &str); 3] = [
            (world(), &[], "no extended error"),
            (world().warm_errors("quad9", &[3]), &[finding], "stale"),
            (world().warm_errors("quad9", &[18]), &[], "another error"),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
