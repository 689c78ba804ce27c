//! `ns-unresolvable`: the address of a name server outside of the zone cannot be found.
//!
//! A name server outside of the zone is found by looking its name up from the root, as any
//! other. That look-up failed here: the name does not exist, or has no address, or nobody who
//! should know answers. A resolver with an empty cache cannot use this name server. If none of
//! the names is found, the domain is down for everybody.
//!
//! A name that does not exist is more than useless: if it lies in a domain that nobody has
//! registered, whoever registers that domain gets the power over yours.
//!
//! Where a look-up leads back to where it began it is `sibling-cycle-unbroken` or `ns-cycle`;
//! a name that is an alias is `ns-is-alias`; an endless chain of referrals is
//! `delegation-too-deep`; a look-up that was not made for lack of budget is `ns-set-truncated`.
//!
//! Correct the name if it is a typing error, remove it if the server is gone, or ask its owner
//! to repair it: in the delegation, at the registrar, and in the zone.

use bailiwick_core::{
    delegation::Relation,
    finding::{Actor, Finding, Severity},
    message::Rcode,
    report::{Lookup, Lost},
    server::Family,
    vantage::Fitness,
};

use crate::{
    picture::{Host, Picture, is_own_glue_missing},
    rule::Rule,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "ns-unresolvable",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "the address of a name server cannot be found",
    text: include_str!("ns_unresolvable.rs"),
    source: "RFC 1034, section 4.2.2; RFC 1912, section 2.8",
    related: &["servfail", "resolution-failure", "domain-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let lost: Vec<(&Host, Failure)> = picture
        .hosts
        .values()
        .filter_map(|host| Some((host, failure(picture, host)?)))
        .collect();
    let denied = |host: &Host| {
        lost.iter()
            .any(|(other, failure)| other.name == host.name && failure.proved)
    };
    let all = picture.delegated_hosts().all(denied);
    lost.iter()
        .map(|(host, failure)| finding(picture, host, failure, all))
        .collect()
}

/// Why a look-up failed.
struct Failure {
    why: String,
    /// Somebody said so; else somebody was silent.
    proved: bool,
}

fn failure(picture: &Picture, host: &Host) -> Option<Failure> {
    let outside = host.relation != Relation::InDomain && (host.in_delegation || host.in_apex);
    let by_glue = host.relation == Relation::Sibling && !host.glue.is_empty();
    if !outside || by_glue || host.alias().is_some() {
        return None;
    }
    let proved = |why: String| Some(Failure { why, proved: true });
    match host.lookup? {
        Lookup::Absent { rcode, zone } if *rcode == Rcode::NXDOMAIN => {
            proved(format!("{zone} says that it does not exist"))
        }
        Lookup::Absent { zone, .. } => proved(format!("{zone} has the name, without an address")),
        Lookup::Addresses(addresses) if addresses.is_empty() => {
            proved("it has no address".to_owned())
        }
        Lookup::Lost(Lost::Cycle { path }) if is_own_glue_missing(path) => {
            proved(format!("{} is delegated without glue", path[0]))
        }
        Lookup::Lost(Lost::AliasLoop { name }) => {
            proved(format!("the aliases at {name} have no end"))
        }
        Lookup::Lost(Lost::NoAddress { zone }) => silent(
            picture,
            format!("no address is known of any server of {zone}"),
        ),
        Lookup::Lost(Lost::NoUsableAnswer { zone }) => silent(
            picture,
            format!("no server of {zone} gives a usable answer"),
        ),
        _ => None,
    }
}

/// What rests on silence counts only where a healthy vantage point saw it.
fn silent(picture: &Picture, why: String) -> Option<Failure> {
    let healthy = picture
        .vantages
        .iter()
        .any(|vantage| vantage.fitness == Fitness::Healthy);
    healthy.then(|| Failure {
        why: format!("{why}, seen from {}", picture.seen_from()),
        proved: false,
    })
}

fn finding(picture: &Picture, host: &Host, failure: &Failure, all: bool) -> Finding {
    let both_families = Family::ALL
        .into_iter()
        .all(|family| picture.witnesses(family).next().is_some());
    let severity = if !host.in_delegation || !(failure.proved || both_families) {
        Severity::Warning
    } else if all {
        Severity::Critical
    } else {
        Severity::Error
    };
    let referrals = picture.delegating().flat_map(|i| i.sources());
    let (actor, remedy) = if failure.proved {
        let remedy = format!(
            "Correct or remove the name server {} at the registrar and in the zone",
            host.name
        );
        (Actor::Registrar, remedy)
    } else {
        let remedy = format!(
            "Ask whoever runs the zone that {} is in to repair it, or use another name server",
            host.name
        );
        (Actor::Server, remedy)
    };
    RULE.about(&host.name)
        .severity(severity)
        .actor(actor)
        .detail(format!(
            "no address of the name server {} can be found: {}",
            host.name, failure.why
        ))
        .remedy(remedy)
        .evidence(picture.lookup_sources(&host.name))
        .evidence(referrals)
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines, name};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns.gone.net.";

    fn absent(rcode: Rcode) -> Lookup {
        Lookup::Absent {
            rcode,
            zone: name("net."),
        }
    }

    #[test]
    fn a_name_server_without_an_address_is_of_no_use() {
        let world = |lookup| Fixture::healthy(BOTH).lookup("ns.gone.net.", lookup);
        let lost = |lost| world(Lookup::Lost(lost));
        let zone = || name("gone.net.");
        let line = |severity: &str, why: &str| {
            format!("{severity}: no address of the name server ns.gone.net. can be found: {why}")
        };
        let silence = "no server of gone.net. gives a usable answer, seen from 1 network";
        let cases: [(Fixture, &[String], &str); 11] = [
            (
                world(Lookup::Addresses([[192, 0, 2, 2].into()].into())),
                &[],
                "found",
            ),
            (
                world(absent(Rcode::NXDOMAIN)),
                &[line("error", "net. says that it does not exist")],
                "no such name",
            ),
            (
                world(absent(Rcode::NOERROR)),
                &[line("error", "net. has the name, without an address")],
                "no address",
            ),
            (
                lost(Lost::NoUsableAnswer { zone: zone() }),
                &[line("error", silence)],
                "nobody answers",
            ),
            (
                lost(Lost::NoUsableAnswer { zone: zone() }).without(Family::V6),
                &[line("warning", silence)],
                "perhaps somebody does over IPv6",
            ),
            (
                lost(Lost::NoUsableAnswer { zone: zone() }).lose(3),
                &[],
                "the vantage point loses packets",
            ),
            (
                lost(Lost::Cycle {
                    path: vec![zone(), name("ns.gone.net.")],
                }),
                &[line("error", "gone.net. is delegated without glue")],
                "the provider's glue is missing",
            ),
            (
                world(Lookup::NotTried),
                &[],
                "not looked up: ns-set-truncated",
            ),
            (
                Fixture::healthy("ns.gone.net.").lookup("ns.gone.net.", absent(Rcode::NXDOMAIN)),
                &[line("critical", "net. says that it does not exist")],
                "there is no other name",
            ),
            (
                Fixture::healthy("ns1.example.com. 192.0.2.1")
                    .apex(&["ns1.example.com.", "ns.gone.net."])
                    .lookup("ns.gone.net.", absent(Rcode::NXDOMAIN)),
                &[line("warning", "net. says that it does not exist")],
                "in the zone only",
            ),
            (
                Fixture::healthy("ns1.other.com. 192.0.2.1")
                    .lookup("ns1.other.com.", absent(Rcode::NXDOMAIN)),
                &[],
                "a sibling with glue: sibling-glue-mismatch",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
