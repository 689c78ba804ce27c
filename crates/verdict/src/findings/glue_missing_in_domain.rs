//! `glue-missing-in-domain`: the parent gives no address for a name server inside the zone.
//!
//! A name server whose name lies at or below the zone's own apex is *in-domain* (RFC 9471,
//! section 2.1). To find its address one would have to ask the zone, and to ask the zone one
//! needs the address. Only the parent zone can break the circle, by handing out the address
//! together with the delegation: that is glue. A referral must carry all of it or set TC.
//!
//! Without glue the name server is of no use to a resolver that starts with an empty cache. If
//! other name servers of the delegation lead to the zone, resolvers fail only now and then
//! (a warning); where none does, they fail every time.
//!
//! That glue is missing is concluded only from a referral over TCP, or over UDP with EDNS, room
//! left and TC not set. An address of one family that is missing beside one of the other is
//! `glue-missing-family-a` or `glue-missing-family-aaaa`. If no name server of the zone has any
//! glue, `glue-missing-all` says so for all of them together.
//!
//! Nothing in the zone can repair it. Create the host object, with its addresses, at the
//! registrar: the menu is called host names, child nameservers, personal DNS or glue. If the
//! name is no name server any more, take it out of the delegation instead.

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{
    picture::{GlueFact, GlueFault, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-missing-in-domain",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "no glue for an in-domain name server",
    text: include_str!("glue_missing_in_domain.rs"),
    source: "RFC 9471, section 3.1; RFC 1034, section 4.2.1",
    related: &["servfail", "resolution-failure", "domain-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    if picture.lacks_all_glue().is_some() {
        return Vec::new();
    }
    let facts = picture.glue_facts(GlueFault::Missing);
    facts.iter().map(|fact| finding(picture, fact)).collect()
}

fn finding(picture: &Picture, fact: &GlueFact) -> Finding {
    let host = &fact.host.name;
    let severity = if fact.others_work(picture) {
        Severity::Warning
    } else {
        Severity::Error
    };
    let draft = RULE
        .about(host)
        .server_if(fact.server())
        .severity(severity)
        .detail(format!(
            "no glue for {host}, an in-domain name server; {}{}",
            in_the_zone(fact),
            fact.seen_at()
        ))
        .evidence(fact.evidence());
    let others = picture.delegating().any(|instance| {
        let glue = instance.delegation().and_then(|d| d.glue_of(host));
        glue.is_some_and(|glue| !glue.is_empty())
    });
    if others {
        return draft
            .actor(Actor::Nobody)
            .remedy(wording::wait(picture, "have glue for it already"))
            .done();
    }
    draft.remedy(remedy(picture, fact)).done()
}

fn in_the_zone(fact: &GlueFact) -> String {
    let known = fact.host.authoritative();
    if !known.is_empty() {
        format!("in the zone it is {}", wording::list(known))
    } else if fact.host.answers.is_empty() {
        "its address in the zone is not known".to_owned()
    } else {
        "the zone has no address of it either".to_owned()
    }
}

fn remedy(picture: &Picture, fact: &GlueFact) -> String {
    let create = wording::create(picture, &fact.host.name, &fact.wanted());
    if fact.host.in_apex || fact.host.answers.is_empty() {
        return create;
    }
    format!("{create}; or remove the name there, if it is no name server any more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, findings, lines};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const NONE: &str = "ns1.example.com. 192.0.2.1; ns2.example.com.";

    fn world() -> Fixture {
        Fixture::healthy(BOTH)
    }

    #[test]
    fn an_in_domain_name_server_needs_glue() {
        let missing = "no glue for ns2.example.com., an in-domain name server; in the zone it is \
                       192.0.2.2";
        let cases: [(Fixture, &[String], &str); 9] = [
            (world(), &[], "all have glue"),
            (
                world().parents(NONE),
                &[format!("warning: {missing}")],
                "ns1 works cold",
            ),
            (
                world().parents(NONE).acts("192.0.2.1", Acts::Silent),
                &[format!("error: {missing}")],
                "ns1 does not work",
            ),
            (
                world().parent_at("2001:db8:100::2", NONE),
                &[format!("warning b.gtld.test. 2001:db8:100::2: {missing}")],
                "one instance only: the finding names it",
            ),
            (
                world().parent_at("b.gtld.test.", NONE),
                &[format!(
                    "warning: {missing}; seen at 2 parent addresses (b.gtld.test. 198.51.100.2, \
                     b.gtld.test. 2001:db8:100::2)"
                )],
                "some instances: one finding",
            ),
            (
                world().parents("ns1.example.com.; ns2.example.com."),
                &[],
                "nobody has glue: glue-missing-all",
            ),
            (
                world().parent_udp_at("*", NONE, true),
                &[],
                "left out over UDP with TC, present over TCP",
            ),
            (
                Fixture::healthy("ns1.provider.net.; ns2.other.com.")
                    .lookup_finds("ns1.provider.net.", &["192.0.2.1"])
                    .lookup_finds("ns2.other.com.", &["192.0.2.2"]),
                &[],
                "unrelated and sibling names need none",
            ),
            (
                world().parents(NONE).expect("ns2.example.com. 192.0.2.2"),
                &[format!("warning: {missing}")],
                "expected or not, what is missing is missing",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }

    #[test]
    fn the_remedy_is_filled_in() {
        let found = findings(&RULE, &world().parents(NONE)).remove(0);
        assert_eq!(found.actor, Actor::Registrar);
        assert!(
            found.remedy.starts_with(
                "At the registrar, create the host object ns2.example.com with 192.0.2.2"
            ),
            "{}",
            found.remedy
        );
        assert!(!found.evidence.is_empty());
        let behind = findings(&RULE, &world().parent_at("b.gtld.test.", NONE)).remove(0);
        assert_eq!(behind.actor, Actor::Nobody, "a lag is not the registrar's");
    }
}
