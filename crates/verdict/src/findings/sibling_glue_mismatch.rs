//! `sibling-glue-mismatch`: the parent's address of a sibling name server is not its own zone's.
//!
//! A name server is a *sibling* if its name lies below another zone that the same parent
//! delegates (RFC 9471, section 2.2). The parent may give its address, and resolvers use what
//! it gives. Here the zone that really holds the name says otherwise. Where the two have no
//! address in common, resolvers that go by the glue ask the wrong machine.
//!
//! The host object belongs to the sibling's domain: it can be changed only at the registrar of
//! that domain, often by somebody else than you. It is also the usual leftover of a provider
//! that moved its name servers.
//!
//! A sibling without glue is `sibling-glue-missing`, which is no fault.
//!
//! Ask the owner of the sibling's domain to correct its host object (host names, child
//! nameservers, personal DNS or glue in the menus of a registrar), or use another name server.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
};

use crate::{
    picture::{GlueFact, GlueFault, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "sibling-glue-mismatch",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "glue of a sibling name server is not what its zone says",
    text: include_str!("sibling_glue_mismatch.rs"),
    source: "RFC 9471, section 2.2; RFC 1034, section 4.2.2",
    related: &["nameserver-not-responding", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let facts = picture.glue_facts(GlueFault::Sibling);
    facts.iter().map(|fact| finding(picture, fact)).collect()
}

fn finding(picture: &Picture, fact: &GlueFact) -> Finding {
    let host = &fact.host.name;
    let draft = RULE
        .about(host)
        .server_if(fact.server())
        .severity(severity(fact))
        .detail(wording::both_sides(fact))
        .evidence(fact.evidence())
        .evidence(picture.lookup_sources(host));
    if fact.already > 0 {
        return draft
            .actor(Actor::Nobody)
            .remedy(wording::wait(picture, "publish what its zone says already"))
            .done();
    }
    draft
        .remedy(format!(
            "Ask the owner of {} to change the host object {} from {} to {} at their registrar, \
             or use another name server",
            domain(picture, host),
            wording::host_object(host),
            wording::list(fact.published()),
            wording::list(fact.wanted())
        ))
        .done()
}

/// An error where the glue leads elsewhere, or where there is nothing else than the glue.
fn severity(fact: &GlueFact) -> Severity {
    let elsewhere = fact
        .sides
        .iter()
        .any(|side| !side.wanted.is_empty() && side.published.is_disjoint(&side.wanted));
    if elsewhere || fact.host.authoritative().is_empty() {
        Severity::Error
    } else {
        Severity::Warning
    }
}

/// The domain below the parent zone that the name lies in.
fn domain(picture: &Picture, host: &Name) -> Name {
    let labels = picture.parent.map_or(0, Name::label_count) + 1;
    host.ancestor(labels).unwrap_or_else(|| host.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, findings, lines};

    #[test]
    fn glue_of_a_sibling_is_compared_with_its_own_zone() {
        let both = "ns1.other.com. 192.0.2.1; ns2.other.com. 192.0.2.2";
        let world = |found: &[&str]| {
            Fixture::healthy(both)
                .lookup_finds("ns1.other.com.", found)
                .lookup_finds("ns2.other.com.", &["192.0.2.2"])
        };
        let cases: [(Fixture, &[&str], &str); 6] = [
            (world(&["192.0.2.1"]), &[], "the same"),
            (
                world(&["192.0.2.9"]),
                &[
                    "error: ns1.other.com.: at the registry (glue) 192.0.2.1; in the zone \
                     192.0.2.9",
                ],
                "nothing in common",
            ),
            (
                world(&["192.0.2.1", "192.0.2.9"]),
                &[
                    "warning: ns1.other.com.: at the registry (glue) 192.0.2.1; in the zone \
                     192.0.2.1 and 192.0.2.9",
                ],
                "something in common",
            ),
            (
                world(&["192.0.2.1", "2001:db8::1"]),
                &[],
                "a family less: sibling glue is optional",
            ),
            (
                world(&["2001:db8::1"]),
                &["warning: ns1.other.com.: at the registry (glue) 192.0.2.1; in the zone none"],
                "a family more",
            ),
            (
                world(&[]),
                &["error: ns1.other.com.: at the registry (glue) 192.0.2.1; in the zone none"],
                "no address in its own zone at all",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
        let found = findings(&RULE, &world(&["192.0.2.9"])).remove(0);
        assert_eq!(
            found.remedy,
            "Ask the owner of other.com. to change the host object ns1.other.com from 192.0.2.1 \
             to 192.0.2.9 at their registrar, or use another name server"
        );
    }
}
