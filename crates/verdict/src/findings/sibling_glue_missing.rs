//! `sibling-glue-missing`: no glue for a sibling name server, and none is needed.
//!
//! A name server is a *sibling* if its name lies below another zone that the same parent
//! delegates (RFC 9471, section 2.2). The parent may leave its address out of the referral
//! (section 3.2): a resolver finds it by way of the sibling's own delegation. It found it here,
//! so this is only worth knowing. Some tools call it an error; it is none.
//!
//! It would be one if the two zones needed each other: that is `sibling-cycle-unbroken`. A
//! sibling name whose look-up fails is `ns-unresolvable`.
//!
//! Nothing is to be done.

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{
    picture::{GlueFact, GlueFault, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "sibling-glue-missing",
    severity: Severity::Info,
    actor: Actor::Nobody,
    title: "no glue for a sibling name server; none is needed",
    text: include_str!("sibling_glue_missing.rs"),
    source: "RFC 9471, section 3.2",
    related: &[],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let facts = picture.glue_facts(GlueFault::SiblingWithout);
    facts
        .iter()
        .filter_map(|fact| finding(picture, fact))
        .collect()
}

fn finding(picture: &Picture, fact: &GlueFact) -> Option<Finding> {
    let found = fact.host.lookup?.addresses();
    (!found.is_empty()).then(|| {
        let host = &fact.host.name;
        RULE.about(host)
            .server_if(fact.server())
            .detail(format!(
                "no glue for the sibling name server {host}, and none is needed: by its own \
                 zone it is {}{}",
                wording::list(found),
                fact.seen_at()
            ))
            .evidence(fact.evidence())
            .evidence(picture.lookup_sources(host))
            .done()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};
    use bailiwick_core::{message::Rcode, report::Lookup};

    #[test]
    fn a_sibling_that_is_found_otherwise_needs_no_glue() {
        let world = |glue: &str| Fixture::healthy(glue);
        let absent = Lookup::Absent {
            rcode: Rcode::NXDOMAIN,
            zone: crate::fixture::name("com."),
        };
        let cases: [(Fixture, &[&str], &str); 4] = [
            (
                world("ns1.other.com.").lookup_finds("ns1.other.com.", &["192.0.2.1"]),
                &[
                    "info: no glue for the sibling name server ns1.other.com., and none is \
                     needed: by its own zone it is 192.0.2.1",
                ],
                "its zone says where it is",
            ),
            (
                world("ns1.other.com. 192.0.2.1").lookup_finds("ns1.other.com.", &["192.0.2.1"]),
                &[],
                "there is glue",
            ),
            (
                world("ns1.other.com.").lookup("ns1.other.com.", absent),
                &[],
                "not to be found: ns-unresolvable",
            ),
            (
                world("ns1.other.net.").lookup_finds("ns1.other.net.", &["192.0.2.1"]),
                &[],
                "an unrelated name is nobody's business here",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
