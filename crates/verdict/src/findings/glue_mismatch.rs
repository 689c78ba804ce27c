//! `glue-mismatch`: the parent gives other addresses of a name server than the zone does.
//!
//! The glue of an in-domain name server and its A or AAAA records in the zone have no address
//! in common, and nothing tells which side is right: the addresses in the glue answer for the
//! zone, or could not be asked. Glue is a copy that the parent keeps; it should say what the
//! zone says (RFC 1034, section 4.2.2). Where it does not, some resolvers use the one and some
//! the other, so a change at one of the places reaches only some of the users. It is also how a
//! half-done move looks while the old server still runs with the old zone: then nothing seems
//! broken, until that server is switched off.
//!
//! The fact belongs to one finding only. Where the addresses in the glue are dead or lame it is
//! `glue-stale-address`; where the sets have an address in common, `glue-partial-overlap`;
//! where somebody said what to expect, `glue-differs-from-expected`; for a sibling name server,
//! `sibling-glue-mismatch`.
//!
//! Find out which side is right. The glue is changed at the registrar (host names, child
//! nameservers, personal DNS or glue in its menus), the zone by whoever edits it; the one does
//! not follow from the other.

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{
    picture::{GlueFact, GlueFault, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-mismatch",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "glue and zone give different addresses",
    text: include_str!("glue_mismatch.rs"),
    source: "RFC 1034, section 4.2.2; RFC 1912, section 2.3",
    related: &["resolution-failure", "domain-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let facts = picture.glue_facts(GlueFault::Mismatch);
    facts.iter().map(|fact| finding(picture, fact)).collect()
}

fn finding(picture: &Picture, fact: &GlueFact) -> Finding {
    let host = &fact.host.name;
    let draft = RULE
        .about(host)
        .server_if(fact.server())
        .detail(wording::both_sides(fact))
        .evidence(fact.evidence());
    if fact.already > 0 {
        return draft
            .actor(Actor::Nobody)
            .remedy(wording::wait(picture, "publish what the zone says already"))
            .done();
    }
    let change = wording::change(picture, host, &fact.published(), &fact.wanted());
    draft
        .remedy(format!(
            "Find out which is right. If the zone is: {}{}; if the glue is, put {} into the zone",
            change[..1].to_lowercase(),
            &change[1..],
            wording::list(fact.published())
        ))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, findings, lines};

    const ZONE: &str = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2";
    const OTHER: &str = "ns1.example.com. 192.0.2.9 2001:db8::9; ns2.example.com. 192.0.2.2";

    #[test]
    fn addresses_without_anything_in_common_are_a_mismatch() {
        let world = || Fixture::healthy(ZONE).parents(OTHER);
        let both = "error: ns1.example.com.: at the registry (glue) 192.0.2.9 and 2001:db8::9; \
                    in the zone 192.0.2.1 and 2001:db8::1";
        let six = "error: ns1.example.com.: at the registry (glue) 2001:db8::9; in the zone \
                   2001:db8::1";
        let one = "error b.gtld.test. 198.51.100.2: ns1.example.com.: at the registry (glue) \
                   192.0.2.9 and 2001:db8::9; in the zone 192.0.2.1 and 2001:db8::1";
        let cases: [(Fixture, &[&str], &str); 6] = [
            (Fixture::healthy(ZONE), &[], "the same"),
            (world(), &[both], "both families of a host are one finding"),
            (
                world().acts("192.0.2.9", Acts::Silent),
                &[six],
                "the dead one is glue-stale-address",
            ),
            (
                Fixture::healthy(ZONE).parent_at("198.51.100.2", OTHER),
                &[one],
                "at one instance",
            ),
            (
                world().expect("ns1.example.com. 192.0.2.1"),
                &[six],
                "what was expected of the one family is glue-differs-from-expected",
            ),
            (
                Fixture::healthy(ZONE).parents(&ZONE.replace("192.0.2.1 ", "192.0.2.1 192.0.2.9 ")),
                &[],
                "something in common: glue-partial-overlap",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
        let remedy = findings(&RULE, &world()).remove(0).remedy;
        assert!(
            remedy.starts_with(
                "Find out which is right. If the zone is: at the registrar, change the host \
                 object ns1.example.com from 192.0.2.9 and 2001:db8::9 to"
            ),
            "{remedy}"
        );
    }

    #[test]
    fn servers_that_disagree_are_outvoted() {
        // ns1's old server still says what the glue says; the others know better.
        let old = "ns1.example.com. 192.0.2.9; ns2.example.com. 192.0.2.2";
        let new = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let world = Fixture::healthy(new)
            .parents(old)
            .zone_at("192.0.2.9", 1, old);
        assert_eq!(
            lines(&RULE, &world),
            ["error: ns1.example.com.: at the registry (glue) 192.0.2.9; in the zone 192.0.2.1"]
        );
    }
}
