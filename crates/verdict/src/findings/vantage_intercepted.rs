//! `vantage-intercepted`: something on the path answers in the place of the servers asked.
//!
//! An address where nothing may answer did answer; or root and parent servers, which never offer
//! recursion, seem to offer it; or their TTLs count down as in a cache. Some networks redirect
//! all DNS questions to a resolver of their own: hotels, mobile carriers, company firewalls.
//! Nothing that was heard from such a place says anything about your zone.
//!
//! Check from another network, or turn off the redirection, also that of a VPN or a filter.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    vantage::Fitness,
};

use crate::{picture::Picture, rule::Rule};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "vantage-intercepted",
    severity: Severity::Warning,
    actor: Actor::Vantage,
    title: "something on the path answers in the place of others",
    text: include_str!("vantage_intercepted.rs"),
    source: "RFC 9199, section 3; controls C3 and C4",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .vantages
        .iter()
        .filter(|vantage| vantage.fitness == Fitness::Intercepted)
        .map(|vantage| {
            let finding = RULE
                .about(picture.zone)
                .detail(format!(
                    "DNS questions of {} are answered by somebody else: {}",
                    vantage.called(),
                    vantage.notes.join("; ")
                ))
                .remedy(format!(
                    "Check from another network than that of {}, or turn off the redirection",
                    vantage.called()
                ))
                .evidence(vantage.suspicious.clone());
            finding.done()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, findings, lines};

    #[test]
    fn an_answer_from_nowhere_gives_it_away() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        assert!(lines(&RULE, &world()).is_empty());
        assert_eq!(
            lines(&RULE, &world().blackhole_answers()),
            [
                "warning: DNS questions of this machine are answered by somebody else: 192.0.2.254 \
              answers, though nothing may answer there"
            ]
        );
        assert_eq!(
            findings(&RULE, &world().blackhole_answers())[0]
                .evidence
                .len(),
            1
        );
    }
}
