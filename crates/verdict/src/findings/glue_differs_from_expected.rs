//! `glue-differs-from-expected`: the parent does not publish what you said it should.
//!
//! Somebody said which addresses a name server should have (with `--expect`), and a parent
//! server publishes others, or does not have the name in the delegation at all. This is how a
//! change of glue is watched: the expectation takes the place of what the zone says, for the
//! hosts and families it names and only for those, so that the old world cannot hide behind the
//! fact that it agrees with itself.
//!
//! An in-domain name server without any glue is `glue-missing-in-domain` or `glue-missing-all`,
//! expected or not. Whether the expected addresses answer is told by `glue-dead-address` and
//! `glue-lame-address`.
//!
//! If no parent server has it yet, look whether the registrar saved the change: host names,
//! child nameservers, personal DNS or glue in its menus. The change is then on its way for as
//! long as the registry takes, minutes for most. If some parent servers have it, the registrar
//! has done its part, and the others follow.

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{
    picture::{GlueFact, GlueFault, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-differs-from-expected",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "glue is not what was expected",
    text: include_str!("glue_differs_from_expected.rs"),
    source: "what --expect says; RFC 1034, section 4.2.2",
    related: &["domain-transfer", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let facts = picture.glue_facts(GlueFault::Unexpected);
    facts.iter().map(|fact| finding(picture, fact)).collect()
}

fn finding(picture: &Picture, fact: &GlueFact) -> Finding {
    let draft = RULE
        .about(&fact.host.name)
        .server_if(fact.server())
        .detail(format!("{}{}", difference(fact), fact.seen_at()))
        .evidence(fact.evidence());
    if fact.already > 0 {
        return draft
            .actor(Actor::Nobody)
            .remedy(wording::wait(picture, "publish what you expect already"))
            .done();
    }
    draft.remedy(remedy(picture, fact)).done()
}

fn is_named(fact: &GlueFact) -> bool {
    let named = |delegation: &bailiwick_core::delegation::Delegation| {
        delegation.glue_of(&fact.host.name).is_some()
    };
    fact.instances
        .iter()
        .any(|i| i.delegation().is_none_or(named))
}

fn difference(fact: &GlueFact) -> String {
    let host = &fact.host.name;
    let expected = wording::list(fact.wanted());
    if !is_named(fact) {
        return format!("{host} is not in the delegation, expected with {expected}");
    }
    if fact.published().is_empty() {
        let families = wording::list(fact.sides.iter().map(|side| side.family));
        return format!("{host} has no {families} glue, expected {expected}");
    }
    format!(
        "{host} is {}, expected {expected}",
        wording::list(fact.published())
    )
}

fn remedy(picture: &Picture, fact: &GlueFact) -> String {
    let host = &fact.host.name;
    let wanted = fact.wanted();
    if !is_named(fact) {
        let create = wording::create(picture, host, &wanted);
        return format!("{create}, and make it a name server of {}", picture.zone);
    }
    if fact.published().is_empty() {
        return wording::add(picture, host, &wanted);
    }
    let change = wording::change(picture, host, &fact.published(), &wanted);
    format!(
        "{change}; caches keep the old glue for {} after that",
        wording::span(fact.kept_for())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, findings, lines};

    const OLD: &str = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.11";
    const NEW: &str = "ns1.example.com. 192.0.2.20; ns2.example.com. 192.0.2.11";

    #[test]
    fn what_is_published_is_compared_with_the_expectation() {
        let world = || Fixture::healthy(OLD).expect("ns1.example.com. 192.0.2.20");
        let differs = "error: ns1.example.com. is 192.0.2.10, expected 192.0.2.20";
        let one = "error b.gtld.test. 198.51.100.2: ns1.example.com. is 192.0.2.10, expected \
                   192.0.2.20";
        let cases: [(Fixture, &[&str], &str); 8] = [
            (Fixture::healthy(OLD), &[], "nothing was expected"),
            (
                world().parents(NEW),
                &[],
                "as expected, whatever the zone says",
            ),
            (world(), &[differs], "the old world agrees with itself"),
            (
                world().parents(NEW).parent_at("198.51.100.2", OLD),
                &[one],
                "one instance is behind",
            ),
            (
                Fixture::healthy(OLD).expect("ns1.example.com. 192.0.2.10 2001:db8::1"),
                &["error: ns1.example.com. has no IPv6 glue, expected 2001:db8::1"],
                "a family is missing",
            ),
            (
                Fixture::healthy(OLD).expect("ns3.example.com. 192.0.2.12"),
                &["error: ns3.example.com. is not in the delegation, expected with 192.0.2.12"],
                "a host that is expected must be in the delegation",
            ),
            (
                world().parents("ns1.example.com.; ns2.example.com. 192.0.2.11"),
                &[],
                "no glue at all is glue-missing-in-domain",
            ),
            (
                Fixture::healthy("ns1.provider.net.")
                    .lookup_finds("ns1.provider.net.", &["192.0.2.10"])
                    .expect("ns1.provider.net. 192.0.2.20"),
                &[],
                "the parent has no address of an unrelated host, and need not",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }

    #[test]
    fn the_registrar_is_told_what_to_change_until_some_parent_has_it() {
        let world = Fixture::healthy(OLD).expect("ns1.example.com. 192.0.2.20");
        let all = findings(&RULE, &world).remove(0);
        assert_eq!(all.actor, Actor::Registrar);
        assert!(all.remedy.contains("from 192.0.2.10 to 192.0.2.20"));
        let one = findings(&RULE, &world.parent_at("a.gtld.test.", NEW)).remove(0);
        assert_eq!(one.actor, Actor::Nobody);
        assert!(one.remedy.starts_with("Wait:"), "{}", one.remedy);
    }
}
