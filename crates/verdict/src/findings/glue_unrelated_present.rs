//! `glue-unrelated-present`: the parent hands out addresses that are not its to give.
//!
//! The additional section of the referral has addresses of a name server that is neither in the
//! zone nor below the parent zone, or of a host that is no name server of the zone at all. A
//! resolver does not believe them (RFC 2181, section 5.4.1), because anybody could say anything
//! about anybody: it looks the name up for itself. So they do no harm, and no good either;
//! whoever changes them changes nothing. Glue is for name servers inside the zone, and perhaps
//! for siblings (RFC 9471).
//!
//! If you entered addresses at the registrar for a name server of somebody else's domain, they
//! can go. The registrar may keep you from removing them while the name is in use; then leave
//! them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
};

use crate::{
    picture::{GlueFact, GlueFault, Instance, Picture, Place},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-unrelated-present",
    severity: Severity::Info,
    actor: Actor::Registrar,
    title: "addresses in the referral that nobody need believe",
    text: include_str!("glue_unrelated_present.rs"),
    source: "RFC 2181, section 5.4.1; RFC 9471, section 2",
    related: &[],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let facts = picture.glue_facts(GlueFault::Unrelated);
    let of_name_servers = facts.iter().map(|fact| unrelated(picture, fact));
    of_name_servers.chain(strays(picture)).collect()
}

fn unrelated(picture: &Picture, fact: &GlueFact) -> Finding {
    let host = &fact.host.name;
    let own = fact.host.authoritative();
    let truth = if own.is_empty() || own.is_superset(&fact.published()) {
        String::new()
    } else {
        format!("; by its own zone it is {}", wording::list(own))
    };
    RULE.about(host)
        .server_if(fact.server())
        .detail(format!(
            "the referral gives {} for the unrelated name server {host}; resolvers look it up \
             for themselves{truth}{}",
            wording::list(fact.published()),
            fact.seen_at()
        ))
        .remedy(format!(
            "Nothing need be done; the addresses of {} can go where the registrar lets you",
            wording::host_object(host)
        ))
        .evidence(fact.evidence())
        .evidence(picture.lookup_sources(host))
        .done()
}

/// Addresses, and the instances that give them.
type Stray<'p, 'e> = (BTreeSet<IpAddr>, Vec<&'p Instance<'e>>);

/// Addresses of hosts that are no name servers of the zone.
fn strays(picture: &Picture) -> Vec<Finding> {
    let mut hosts: BTreeMap<&Name, Stray> = BTreeMap::new();
    for instance in picture.delegating() {
        for (host, addresses) in instance.delegation().into_iter().flat_map(|d| &d.stray) {
            let (known, instances) = hosts.entry(host).or_default();
            known.extend(addresses);
            instances.push(instance);
        }
    }
    let all = picture.delegating().count();
    let stray = |(host, (addresses, instances)): (&Name, Stray)| {
        let place = Place::of(&instances, all);
        let everywhere = instances.len() == all;
        RULE.about(host)
            .server_if(place.server.as_ref().filter(|_| !everywhere))
            .actor(Actor::Registry)
            .detail(format!(
                "the referral to {} gives {} for {host}, which is no name server of it",
                picture.zone,
                wording::list(addresses)
            ))
            .evidence(place.evidence)
            .done()
    };
    hosts.into_iter().map(stray).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn addresses_that_the_parent_cannot_vouch_for_are_noted() {
        let world =
            |glue: &str| Fixture::healthy(glue).lookup_finds("ns1.provider.net.", &["192.0.2.1"]);
        let cases: [(Fixture, &[&str], &str); 5] = [
            (world("ns1.provider.net."), &[], "none is given"),
            (
                world("ns1.provider.net. 192.0.2.1"),
                &[
                    "info: the referral gives 192.0.2.1 for the unrelated name server \
                     ns1.provider.net.; resolvers look it up for themselves",
                ],
                "right, and not needed",
            ),
            (
                world("ns1.provider.net. 192.0.2.9"),
                &[
                    "info: the referral gives 192.0.2.9 for the unrelated name server \
                     ns1.provider.net.; resolvers look it up for themselves; by its own zone it \
                     is 192.0.2.1",
                ],
                "wrong, and not used",
            ),
            (
                world("ns1.example.com. 192.0.2.2").stray("www.example.com.", "192.0.2.80"),
                &["info: the referral to example.com. gives 192.0.2.80 for \
                     www.example.com., which is no name server of it"],
                "no name server",
            ),
            (
                world("ns1.example.com. 192.0.2.2; ns1.other.com. 192.0.2.3")
                    .lookup_finds("ns1.other.com.", &["192.0.2.3"]),
                &[],
                "in-domain and sibling glue is the parent's to give",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
