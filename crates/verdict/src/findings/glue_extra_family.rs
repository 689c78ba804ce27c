//! `glue-extra-family`: the parent gives an address of a family that the zone does not have.
//!
//! The glue of an in-domain name server has an IPv6 (or IPv4) address, while in the zone the
//! name has addresses of the other family only. Resolvers that begin with the glue use it;
//! those that then go by the zone's own records drop it. If the address is an old one that no
//! longer answers, it costs every fresh resolver a delay.
//!
//! A name that has no address at all in the zone is `child-ns-host-missing`; the opposite, a
//! family that the zone has and the glue has not, is `glue-missing-family-aaaa` or
//! `glue-missing-family-a`.
//!
//! If the address works and is meant to be used, add the record to the zone. If not, remove the
//! address from the host object at the registrar (host names, child nameservers, personal DNS
//! or glue in its menus).

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    record::RecordData,
};

use crate::{
    picture::{GlueFact, GlueFault, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-extra-family",
    severity: Severity::Warning,
    actor: Actor::Zone,
    title: "glue has an address family that the zone does not have",
    text: include_str!("glue_extra_family.rs"),
    source: "RFC 1034, section 4.2.2; RFC 3901, section 4",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let facts = picture.glue_facts(GlueFault::ExtraFamily);
    facts.iter().map(|fact| finding(picture, fact)).collect()
}

fn finding(picture: &Picture, fact: &GlueFact) -> Finding {
    let host = &fact.host.name;
    let family = fact.sides[0].family;
    let draft = RULE
        .about(host)
        .server_if(fact.server())
        .detail(format!(
            "{host}: at the registry (glue) {}; in the zone no {family} address, only {}{}",
            wording::list(fact.published()),
            wording::list(fact.host.authoritative()),
            fact.seen_at()
        ))
        .evidence(fact.evidence());
    let works = |address: &std::net::IpAddr| {
        let child = picture.child(*address);
        child.is_some_and(|child| child.is_authoritative())
    };
    let remove = format!(
        "remove {} from the host object {}",
        wording::list(fact.published()),
        wording::host_object(host)
    );
    if fact.published().iter().all(works) {
        let records = fact.published().into_iter().map(|address| {
            let data = RecordData::from(address);
            format!("{host} IN {} {data}", data.record_type())
        });
        return draft
            .remedy(format!(
                "Add to the zone: {}; or {remove} at the registrar",
                wording::list(records)
            ))
            .done();
    }
    draft
        .actor(Actor::Registrar)
        .remedy(format!(
            "{}, {remove} {}",
            wording::at_the_registrar(picture),
            wording::CALLED
        ))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, findings, lines};

    #[test]
    fn a_family_that_only_the_glue_has_is_extra() {
        let both = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2";
        let four = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let extra = "warning: ns1.example.com.: at the registry (glue) 2001:db8::1; in the zone \
                     no IPv6 address, only 192.0.2.1";
        let world = || Fixture::healthy(both).zone(four);
        let cases: [(Fixture, &[&str], Actor, &str); 4] = [
            (Fixture::healthy(both), &[], Actor::Zone, "the same"),
            (world(), &[extra], Actor::Zone, "it works"),
            (
                world().acts("2001:db8::1", Acts::Silent),
                &[extra],
                Actor::Registrar,
                "it does not work",
            ),
            (
                Fixture::healthy(both).zone("ns1.example.com.; ns2.example.com. 192.0.2.2"),
                &[],
                Actor::Zone,
                "no address at all in the zone: child-ns-host-missing",
            ),
        ];
        for (world, expected, actor, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
            for found in findings(&RULE, &world) {
                assert_eq!(found.actor, actor, "{why}");
            }
        }
        let remedy = findings(&RULE, &world()).remove(0).remedy;
        assert_eq!(
            remedy,
            "Add to the zone: ns1.example.com. IN AAAA 2001:db8::1; or remove 2001:db8::1 from \
             the host object ns1.example.com at the registrar"
        );
    }
}
