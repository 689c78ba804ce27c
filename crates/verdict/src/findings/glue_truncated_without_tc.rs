//! `glue-truncated-without-tc`: a parent server leaves glue out over UDP and does not say so.
//!
//! A referral must carry the addresses of all in-domain name servers. If they do not fit, the
//! server must set TC, so that the resolver asks again over TCP (RFC 9471, section 3.1). Here an
//! answer over UDP has less glue than the same server has over TCP, and TC is not set. A
//! resolver has no reason to ask again: it believes that there is no glue, and cannot use those
//! name servers. Where a name server with glue is left it gets in by that one (a warning).
//!
//! Many servers do this where a resolver does not use EDNS and gets 512 octets at most. Hardly
//! any resolver of today sees that, so it is told here only if such an answer leads nowhere; how
//! large the referral is, is told by `referral-oversize`. Other differences between UDP and TCP
//! are `parent-transport-divergent`.
//!
//! Only the registry can repair its servers. Until then fewer name servers, or shorter names,
//! make the referral small enough.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    delegation::Delegation,
    finding::{Actor, Finding, Severity},
    name::Name,
};

use crate::{
    picture::{Answer, Instance, Picture, Place},
    rule::Rule,
    usable::{self, Addresses, How, Usable},
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-truncated-without-tc",
    severity: Severity::Error,
    actor: Actor::Registry,
    title: "glue left out over UDP without setting TC",
    text: include_str!("glue_truncated_without_tc.rs"),
    source: "RFC 9471, section 3.1",
    related: &["servfail", "resolution-failure"],
    find,
};

/// Glue that an answer lacks, by name server.
type Lost<'p> = BTreeMap<&'p Name, BTreeSet<IpAddr>>;

/// What is wrong at an instance, so that equal cases can be told together.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Case<'p> {
    severity: Severity,
    plain: bool,
    lost: Lost<'p>,
}

fn find(picture: &Picture) -> Vec<Finding> {
    let mut cases: BTreeMap<Case, Vec<(&Instance, &Answer)>> = BTreeMap::new();
    for instance in &picture.instances {
        if let Some((case, answer)) = case(picture, instance) {
            cases.entry(case).or_default().push((instance, answer));
        }
    }
    cases
        .iter()
        .map(|(case, seen)| finding(picture, case, seen))
        .collect()
}

fn case<'p, 'e>(
    picture: &'p Picture<'e>,
    instance: &'p Instance<'e>,
) -> Option<(Case<'p>, &'p Answer<'e>)> {
    let with_edns = instance.udp.as_ref().filter(|answer| has_edns(answer));
    if let Some((answer, lost)) = with_edns.and_then(|answer| compared(picture, instance, answer)) {
        let severity = if leads_in(picture, answer) {
            Severity::Warning
        } else {
            Severity::Error
        };
        let case = Case {
            severity,
            plain: false,
            lost,
        };
        return Some((case, answer));
    }
    // An answer without EDNS has no NSID: it is from this instance only if there is no other.
    let alone = || {
        let all = picture.instances.iter();
        let here = all.filter(|i| (&i.server, i.vantage) == (&instance.server, instance.vantage));
        here.count() == 1
    };
    let without_edns = instance.udp.iter().filter(|answer| !has_edns(answer));
    let plain = || instance.small.iter().chain(without_edns);
    let (answer, lost) = plain()
        .find_map(|answer| compared(picture, instance, answer))
        .filter(|(answer, _)| alone() && !leads_in(picture, answer))?;
    let case = Case {
        severity: Severity::Warning,
        plain: true,
        lost,
    };
    Some((case, answer))
}

fn has_edns(answer: &Answer) -> bool {
    answer
        .message()
        .is_some_and(|message| message.edns.is_some())
}

/// What an answer without TC lacks of the in-domain glue that the same instance has over TCP.
/// Nothing if they differ in another way, too.
fn compared<'p, 'e>(
    picture: &Picture,
    instance: &'p Instance<'e>,
    answer: &'p Answer<'e>,
) -> Option<(&'p Answer<'e>, Lost<'p>)> {
    let whole = instance.tcp.as_ref().filter(|tcp| !tcp.truncated)?;
    let (whole, part) = (whole.delegation()?, answer.delegation()?);
    // Most are the same.
    if answer.truncated || part.publishes_the_same_as(whole) || !is_part(part, whole) {
        return None;
    }
    let mut lost = Lost::new();
    for (host, glue) in &whole.name_servers {
        let left = part.glue_of(host)?;
        let addresses: BTreeSet<IpAddr> = glue
            .keys()
            .filter(|address| !left.contains_key(address))
            .copied()
            .collect();
        if host.is_at_or_below(picture.zone) && !addresses.is_empty() {
            lost.insert(host, addresses);
        }
    }
    (!lost.is_empty()).then_some((answer, lost))
}

fn is_part(part: &Delegation, whole: &Delegation) -> bool {
    part.name_servers.keys().eq(whole.name_servers.keys())
        && part.name_servers.iter().all(|(host, glue)| {
            let all = whole.glue_of(host);
            all.is_some_and(|all| glue.keys().all(|address| all.contains_key(address)))
        })
}

/// Whether a resolver that has only this answer gets in.
fn leads_in(picture: &Picture, answer: &Answer) -> bool {
    let names = answer.delegation().map(|d| d.name_servers.keys());
    names.into_iter().flatten().any(
        |host| match usable::addresses(picture, answer, host, false) {
            Addresses::Found(addresses) => addresses
                .iter()
                .any(|a| usable::address(picture, *a, How::Either) != Usable::No),
            Addresses::Nowhere | Addresses::Unknown => false,
        },
    )
}

fn finding(picture: &Picture, case: &Case, seen: &[(&Instance, &Answer)]) -> Finding {
    let instances: Vec<&Instance> = seen.iter().map(|(instance, _)| *instance).collect();
    let all = picture.delegating().count();
    let place = Place::of(&instances, all);
    let one = place.server.as_ref().filter(|_| instances.len() < all);
    let lost = case
        .lost
        .iter()
        .map(|(host, addresses)| format!("{host} {}", wording::list(addresses)));
    let room = if case.plain {
        "in 512 octets without EDNS"
    } else {
        "over UDP"
    };
    let seen_at = match (one, instances.len() < all) {
        (None, true) => format!("; seen at {}", place.words),
        _ => String::new(),
    };
    let parent = picture.parent.map(ToString::to_string).unwrap_or_default();
    RULE.about(picture.zone)
        .severity(case.severity)
        .server_if(one)
        .detail(format!(
            "{room} the referral leaves out {} without setting TC; over TCP it has them{seen_at}",
            wording::list(lost)
        ))
        .remedy(format!(
            "Report it to the operator of the servers of {parent}; until then fewer name \
             servers, or shorter names, make the referral smaller"
        ))
        .evidence(place.evidence)
        .evidence(seen.iter().map(|(_, answer)| answer.seen.source()))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const NONE: &str = "ns1.example.com.; ns2.example.com.";
    const ONE: &str = "ns1.example.com. 192.0.2.1; ns2.example.com.";

    #[test]
    fn what_is_left_out_must_be_announced() {
        let world = || Fixture::healthy(BOTH);
        let all = "ns1.example.com. 192.0.2.1 and ns2.example.com. 192.0.2.2";
        let udp = |severity: &str, lost: &str| {
            format!(
                "{severity}: over UDP the referral leaves out {lost} without setting TC; over \
                 TCP it has them"
            )
        };
        let cases: [(Fixture, &[String], &str); 9] = [
            (world(), &[], "all there"),
            (
                world().parent_udp_at("*", NONE, false),
                &[udp("error", all)],
                "no glue over UDP",
            ),
            (
                world().parent_udp_at("*", NONE, true),
                &[],
                "announced by TC",
            ),
            (
                world().parent_udp_at("*", ONE, false),
                &[udp("warning", "ns2.example.com. 192.0.2.2")],
                "ns1 leads in",
            ),
            (
                world().parent_udp_at("198.51.100.1", NONE, false),
                &[udp("error a.gtld.test. 198.51.100.1", all)],
                "one server",
            ),
            (
                world().parent_udp_at("*", "ns1.example.com. 192.0.2.9; ns2.example.com.", false),
                &[],
                "another difference: parent-transport-divergent",
            ),
            (world().parents(NONE), &[], "missing over TCP as well"),
            (
                world().parent_small_at("*", NONE),
                &[format!(
                    "warning: in 512 octets without EDNS the referral leaves out {all} without \
                     setting TC; over TCP it has them"
                )],
                "512 octets lead nowhere",
            ),
            (
                world().parent_small_at("*", ONE),
                &[],
                "512 octets lead in: referral-oversize",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
