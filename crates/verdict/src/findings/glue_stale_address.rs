//! `glue-stale-address`: the parent still gives an address that the name server has left.
//!
//! The glue of an in-domain name server and its address in the zone have nothing in common, and
//! at the addresses in the glue nobody answers, or somebody who does not have the zone. So the
//! zone has moved and the glue has not. Resolvers begin with the glue (RFC 1034, section 5.3.3):
//! those with an empty cache go to the old address and find nothing. Where another name server
//! of the delegation still leads to the zone they get in after a delay; where none does, the
//! domain is down for them, though everything looks well to whoever still has the zone cached.
//!
//! If the addresses in the glue do answer for the zone, it is not clear which side is right:
//! that is `glue-mismatch`. What the old address does by itself is told by `glue-dead-address`
//! or `glue-lame-address`.
//!
//! Change the host object at the registrar (host names, child nameservers, personal DNS or glue
//! in its menus), old to new in one step: removing first may be refused, or leave none. Caches
//! keep the old glue for as long as its TTL says, so let the old address answer with the new
//! zone until that time has passed.

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{
    picture::{GlueFact, GlueFault, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-stale-address",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "glue gives an address that the name server has left",
    text: include_str!("glue_stale_address.rs"),
    source: "RFC 1034, section 4.2.2; RFC 1912, section 2.3",
    related: &[
        "nameserver-not-responding",
        "servfail",
        "resolution-failure",
    ],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let facts = picture.glue_facts(GlueFault::Stale);
    facts.iter().map(|fact| finding(picture, fact)).collect()
}

fn finding(picture: &Picture, fact: &GlueFact) -> Finding {
    let host = &fact.host.name;
    let old = fact.published();
    let asked = old.iter().filter_map(|address| picture.child(*address));
    let left = old.iter().map(|address| {
        let why = picture.child(*address).map(|child| child.standing());
        match why.map(|standing| standing.to_string()) {
            Some(why) if !why.is_empty() => format!("{address} ({why})"),
            _ => address.to_string(),
        }
    });
    let draft = RULE
        .about(host)
        .server_if(fact.server())
        .detail(format!(
            "{host}: at the registry (glue) {}; in the zone {}{}",
            wording::list(left),
            wording::list(fact.wanted()),
            fact.seen_at()
        ))
        .evidence(fact.evidence())
        .evidence(asked.flat_map(|child| child.sources()));
    if fact.already > 0 {
        return draft
            .actor(Actor::Nobody)
            .remedy(wording::wait(picture, "have the new address already"))
            .done();
    }
    let change = wording::change(picture, host, &old, &fact.wanted());
    draft
        .remedy(format!(
            "{change}; caches keep the old glue for {} after that",
            wording::span(fact.kept_for())
        ))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, findings, lines};
    use bailiwick_core::message::Rcode;

    const ZONE: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const OLD: &str = "ns1.example.com. 192.0.2.9; ns2.example.com. 192.0.2.2";

    #[test]
    fn glue_that_the_server_has_left_is_stale() {
        let world = || Fixture::healthy(ZONE).parents(OLD);
        let stale = |why: &str| {
            format!(
                "error: ns1.example.com.: at the registry (glue) 192.0.2.9 ({why}); in the zone \
                 192.0.2.1"
            )
        };
        let cases: [(Fixture, &[String], &str); 7] = [
            (Fixture::healthy(ZONE), &[], "both sides agree"),
            (
                world().acts("192.0.2.9", Acts::Silent),
                &[stale("no answer")],
                "dead",
            ),
            (
                world().acts("192.0.2.9", Acts::Code(Rcode::REFUSED)),
                &[stale("answers REFUSED")],
                "lame",
            ),
            (
                world().zone_at("192.0.2.9", 7, "ns.parking.net. 192.0.2.9"),
                &[stale("answers with somebody else's zone content")],
                "somebody else's",
            ),
            (world(), &[], "it answers for the zone: glue-mismatch"),
            (
                world().acts("192.0.2.9", Acts::Silent).lose(3),
                &[],
                "a lossy vantage point cannot call it dead: glue-mismatch",
            ),
            (
                world()
                    .acts("192.0.2.9", Acts::Silent)
                    .expect("ns1.example.com. 192.0.2.1"),
                &[],
                "expected otherwise: glue-differs-from-expected",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }

    #[test]
    fn the_remedy_is_one_step_and_names_the_time_of_caches() {
        let world = Fixture::healthy(ZONE).acts("192.0.2.9", Acts::Silent);
        let found = findings(&RULE, &world.clone().parents(OLD)).remove(0);
        assert_eq!(
            found.remedy,
            "At the registrar, change the host object ns1.example.com from 192.0.2.9 to 192.0.2.1 \
             in one step (look for host names, child nameservers, personal DNS or glue in its \
             menus); caches keep the old glue for 2 days after that"
        );
        let behind = findings(&RULE, &world.parent_at("198.51.100.1", OLD)).remove(0);
        assert_eq!(behind.actor, Actor::Nobody);
        assert_eq!(behind.address, Some("198.51.100.1".parse().unwrap()));
    }
}
