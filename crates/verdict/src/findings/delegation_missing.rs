//! `delegation-missing`: the parent zone does not delegate the name.
//!
//! The servers of the parent zone say that the name does not exist (NXDOMAIN), or answer for it
//! as part of their own zone. Without a delegation nobody is ever sent to the zone's servers,
//! whatever they have. Usually the registration has lapsed or is on hold, or no name servers
//! were ever entered at the registrar, or they were rejected there.
//!
//! If the name has data in the enclosing zone, or is an alias there, it was perhaps never meant
//! to be a zone: a host like `www` is none. Then nothing is wrong (the severity is info), and
//! the enclosing zone is the one to check.
//!
//! If only some of the parent's servers lack the delegation, a new one is on its way to them,
//! or one that was removed is still at the others.
//!
//! Look at the registration of the domain: has it expired, is it on hold, has it name servers?
//! Then enter the name servers at the registrar, with their addresses if they are in-domain.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
    report::Inside,
};

use crate::{
    picture::{Instance, Picture, Place, Referral},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "delegation-missing",
    severity: Severity::Critical,
    actor: Actor::Registrar,
    title: "the parent zone does not delegate the name",
    text: include_str!("delegation_missing.rs"),
    source: "RFC 1034, section 4.2; RFC 2308, section 2",
    related: &["domain-transfer", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let lacking =
        |i: &&Instance| matches!(i.referral(), Some(Referral::Absent | Referral::Inside(_)));
    let instances: Vec<&Instance> = picture.answering().filter(lacking).collect();
    let (Some(first), Some(parent)) = (instances.first(), picture.parent) else {
        return Vec::new();
    };
    let delegated = picture.answering().any(|i| {
        let referral = i.referral();
        matches!(
            referral,
            Some(Referral::Delegation(_) | Referral::Hosted(_))
        )
    });
    let finding = if delegated {
        at_some(picture, &instances, parent)
    } else {
        everywhere(picture, &instances, first, parent)
    };
    vec![finding]
}

fn everywhere(
    picture: &Picture,
    instances: &[&Instance],
    first: &Instance,
    parent: &Name,
) -> Finding {
    let zone = picture.zone;
    let evidence = instances.iter().flat_map(|i| i.sources());
    let draft = RULE.about(zone).evidence(evidence);
    let expected = &picture.check.expectation;
    let inside = match first.referral() {
        Some(Referral::Inside(Inside::Alias)) => Some("is an alias in it"),
        Some(Referral::Inside(Inside::Data)) => Some("belongs to it"),
        _ => None,
    };
    let detail = match inside {
        Some(how) => format!("{parent} does not delegate {zone}: the name {how}"),
        None => format!("{parent} does not delegate {zone}: no such name (NXDOMAIN)"),
    };
    if inside.is_some() && expected.is_empty() {
        return draft
            .severity(Severity::Info)
            .actor(Actor::Zone)
            .detail(detail)
            .remedy(format!(
                "Check {parent} instead, unless {zone} is meant to be a zone of its own"
            ))
            .done();
    }
    let objects = expected
        .hosts
        .iter()
        .map(|(host, addresses)| wording::object(host, addresses));
    let remedy = if expected.is_empty() {
        format!(
            "{}, see whether {} is registered, not expired and not on hold, and enter its name \
             servers",
            wording::at_the_registrar(picture),
            wording::host_object(zone)
        )
    } else {
        format!(
            "{}, enter the name servers of {}: {}",
            wording::at_the_registrar(picture),
            wording::host_object(zone),
            wording::list(objects)
        )
    };
    draft.detail(detail).remedy(remedy).done()
}

fn at_some(picture: &Picture, instances: &[&Instance], parent: &Name) -> Finding {
    let place = Place::of(instances, picture.answering().count());
    let here = match &place.server {
        Some(_) => "here".to_owned(),
        None => format!("at {}", place.words),
    };
    RULE.about(picture.zone)
        .severity(Severity::Error)
        .actor(Actor::Nobody)
        .server_if(place.server.as_ref())
        .detail(format!(
            "no delegation of {} {here}, though other servers of {parent} have it",
            picture.zone
        ))
        .remedy(wording::wait(picture, "have the delegation"))
        .evidence(place.evidence)
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, findings, lines};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";

    #[test]
    fn without_a_delegation_there_is_no_zone() {
        let world = || Fixture::healthy(BOTH);
        let none = "critical: com. does not delegate example.com.: no such name (NXDOMAIN)";
        let cases: [(Fixture, &[&str], &str); 6] = [
            (world(), &[], "delegated"),
            (world().parent_at("*", ""), &[none], "NXDOMAIN everywhere"),
            (
                world().parent_at("*", "").expect(BOTH),
                &[none],
                "expected, and not there yet",
            ),
            (
                world().parent_at("198.51.100.1", ""),
                &[
                    "error a.gtld.test. 198.51.100.1: no delegation of example.com. here, though \
                     other servers of com. have it",
                ],
                "at one server",
            ),
            (
                world().parents_host_zone(),
                &[],
                "the servers have the zone",
            ),
            (
                world().parent_acts("*", &Acts::Silent),
                &[],
                "nobody says anything",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }

    #[test]
    fn the_remedy_says_what_to_enter() {
        let world = Fixture::healthy(BOTH).parent_at("*", "");
        let unknown = findings(&RULE, &world).remove(0).remedy;
        assert_eq!(
            unknown,
            "At the registrar, see whether example.com is registered, not expired and not on \
             hold, and enter its name servers"
        );
        let known = findings(&RULE, &world.expect(BOTH)).remove(0).remedy;
        assert_eq!(
            known,
            "At the registrar, enter the name servers of example.com: ns1.example.com with \
             192.0.2.1 and ns2.example.com with 192.0.2.2"
        );
    }
}
