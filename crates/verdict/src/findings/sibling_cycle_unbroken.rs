//! `sibling-cycle-unbroken`: two zones have their name servers in each other, without glue.
//!
//! The name servers of the zone lie in a sibling zone, the name servers of that zone lie in this
//! one (or further round), and the parent gives no address of any. To find the one a resolver
//! needs the other, and never gets in. Glue for siblings may be left out of a referral
//! otherwise; in such a cycle it is needed (RFC 9471, section 2.3), and a parent that has no
//! addresses cannot give any. If no name server outside of the circle works, nobody reaches the
//! domain, and for the other zone it is the same. If one does, this is a warning: the names in
//! the circle add nothing to it.
//!
//! A circle through zones of different parents is `ns-cycle`. If some names are in-domain and
//! have no glue either, `glue-missing-all` says it for all of them.
//!
//! Break the circle at one place: give one of the names an address at the registrar of the
//! domain it lies in (host names, child nameservers, personal DNS or glue in its menus), or use
//! a name server that does not depend on either zone.

use std::collections::BTreeSet;

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
};

use crate::{
    picture::{Host, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "sibling-cycle-unbroken",
    severity: Severity::Critical,
    actor: Actor::Registrar,
    title: "name servers of two zones depend on each other, without glue",
    text: include_str!("sibling_cycle_unbroken.rs"),
    source: "RFC 9471, section 2.3",
    related: &["servfail", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    if picture.lacks_all_glue().is_some() {
        return Vec::new();
    }
    circles(picture, &RULE, |path| picture.are_siblings(path))
}

/// Returns a finding about the hosts in circles of this kind, and one about those of which the
/// address was found, but can be found only by way of the zone itself.
pub(super) fn circles(
    picture: &Picture,
    rule: &Rule,
    kind: impl Fn(&[Name]) -> bool,
) -> Vec<Finding> {
    let in_circle = |host: &&Host| picture.cycle_of(host).is_some_and(&kind);
    let hosts: Vec<&Host> = picture.delegated_hosts().filter(in_circle).collect();
    let ways = picture
        .delegated_hosts()
        .filter_map(|host| Some((&host.name, picture.way_back(host)?)))
        .filter(|(_, way)| kind(way));
    in_a_circle(picture, rule, &hosts)
        .into_iter()
        .chain(led_back(picture, rule, ways.collect()))
        .collect()
}

fn led_back(picture: &Picture, rule: &Rule, ways: Vec<(&Name, Vec<Name>)>) -> Option<Finding> {
    let (_, way) = ways.first()?;
    let way: Vec<String> = way.iter().map(ToString::to_string).collect();
    let names: Vec<&Name> = ways.iter().map(|(name, _)| *name).collect();
    let finding = rule
        .about(picture.zone)
        .severity(Severity::Warning)
        .detail(format!(
            "the address of {} can be found only by way of {} itself ({}): it is no help when \
             the other name servers are down",
            wording::list(&names),
            picture.zone,
            way.join(" -> ")
        ))
        .remedy(remedy(names[0]))
        .evidence(picture.delegating().flat_map(|i| i.sources()))
        .evidence(names.iter().flat_map(|name| picture.lookup_sources(name)));
    Some(finding.done())
}

fn remedy(host: &Name) -> String {
    format!(
        "Break the circle at one place: give {} an address at the registrar of the domain it \
         lies in {}, or use a name server outside of these zones",
        wording::host_object(host),
        wording::CALLED
    )
}

/// Returns one finding about all hosts in circles; `None` if there is none.
fn in_a_circle(picture: &Picture, rule: &Rule, hosts: &[&Host]) -> Option<Finding> {
    let path = picture.cycle_of(hosts.first()?)?;
    let names: BTreeSet<&Name> = hosts.iter().map(|host| &host.name).collect();
    let severity = if picture.works_without(&names) {
        Severity::Warning
    } else {
        Severity::Critical
    };
    let path: Vec<String> = path.iter().map(ToString::to_string).collect();
    let referrals = picture.delegating().flat_map(|i| i.sources());
    let finding = rule
        .about(picture.zone)
        .severity(severity)
        .detail(format!(
            "finding the address of {} leads in a circle ({}), and no glue breaks it",
            wording::list(&names),
            path.join(" -> ")
        ))
        .remedy(remedy(&hosts[0].name))
        .evidence(referrals)
        .evidence(names.iter().flat_map(|name| picture.lookup_sources(name)))
        .done();
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines, name};
    use bailiwick_core::report::{Lookup, Lost};

    fn circle(names: [&str; 3]) -> Lookup {
        Lookup::Lost(Lost::Cycle {
            path: names.map(name).to_vec(),
        })
    }

    #[test]
    fn siblings_that_need_each_other_need_glue() {
        let round = ["ns1.example.com.", "ns1.other.com.", "ns1.example.com."];
        let world = |servers: &str| {
            Fixture::healthy(servers)
                .lookup("ns1.other.com.", circle(round))
                .lookup("ns2.other.com.", circle(round))
                .lookup_finds("ns.provider.net.", &["192.0.2.3"])
        };
        let both = "ns1.other.com. and ns2.other.com.";
        let found = |severity: &str, hosts: &str| {
            format!(
                "{severity}: finding the address of {hosts} leads in a circle (ns1.example.com. \
                 -> ns1.other.com. -> ns1.example.com.), and no glue breaks it"
            )
        };
        let cases: [(Fixture, &[String], &str); 7] = [
            (
                world("ns1.other.com.; ns2.other.com."),
                &[found("critical", both)],
                "no way in",
            ),
            (
                world("ns1.other.com.; ns2.other.com. 192.0.2.2"),
                &[found("warning", "ns1.other.com.")],
                "glue for the other one breaks it",
            ),
            (
                world("ns1.other.com. 192.0.2.1; ns2.other.com. 192.0.2.2"),
                &[],
                "glue for both",
            ),
            (
                world("ns1.other.com.; ns.provider.net."),
                &[found("warning", "ns1.other.com.")],
                "another name leads in",
            ),
            (
                world("ns1.other.com.; ns1.example.com."),
                &[],
                "in-domain without glue: glue-missing-all",
            ),
            (
                Fixture::healthy("ns1.other.com.").lookup(
                    "ns1.other.com.",
                    circle(["ns1.example.com.", "ns1.other.net.", "ns1.example.com."]),
                ),
                &[],
                "through another parent: ns-cycle",
            ),
            (
                Fixture::healthy("ns1.other.com.").lookup(
                    "ns1.other.com.",
                    Lookup::Lost(Lost::Cycle {
                        path: ["other.com.", "ns1.other.com."].map(name).to_vec(),
                    }),
                ),
                &[],
                "the sibling's own glue is missing: ns-unresolvable",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
