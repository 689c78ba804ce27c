//! `glue-ttl-anomalous`: the TTLs of the delegation are odd.
//!
//! The parent's NS set and its glue are kept by resolvers for as long as their TTLs say; after
//! a change the old ones live on for that time. Usually a registry gives one TTL to both. Here
//! they differ, or one is zero, or the parent's servers do not agree. With different TTLs a
//! resolver may lose the addresses while it still has the names, or the other way round; with
//! zero it must ask the parent every time; and nobody can say exactly when the old data is gone.
//!
//! What this program says about waiting times goes by the largest TTL that it saw.
//!
//! The registry decides on these TTLs. There is nothing to repair on your side; take the longer
//! time when you plan a change.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::{
    delegation::{Delegation, Relation},
    finding::{Actor, Finding, Severity},
    record::Ttl,
};

use crate::{
    picture::{Instance, Picture, Place},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-ttl-anomalous",
    severity: Severity::Warning,
    actor: Actor::Registry,
    title: "NS set and glue at the parent have odd TTLs",
    text: include_str!("glue_ttl_anomalous.rs"),
    source: "RFC 2181, sections 5.2 and 8",
    related: &["resolution-failure"],
    find,
};

/// The TTLs of an instance: of the NS set, and those that occur in the glue.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
struct Ttls {
    names: Ttl,
    glue: BTreeSet<Ttl>,
}

impl Ttls {
    fn of(picture: &Picture, delegation: &Delegation) -> Self {
        // Addresses of unrelated hosts are not used.
        let own = delegation
            .name_servers
            .iter()
            .filter(|(host, _)| picture.relation(host) != Relation::Unrelated);
        Self {
            names: delegation.ns_ttl,
            glue: own.flat_map(|(_, glue)| glue.values().copied()).collect(),
        }
    }

    fn is_odd(&self) -> bool {
        self.names == 0 || self.glue.iter().any(|ttl| *ttl == 0 || *ttl != self.names)
    }

    fn words(&self) -> String {
        let glue = wording::list(self.glue.iter().map(|ttl| wording::span(*ttl)));
        let names = wording::span(self.names);
        if self.glue.is_empty() {
            format!("{names} for the NS set")
        } else if self.glue.len() == 1 && self.glue.contains(&self.names) {
            format!("{names} for NS set and glue")
        } else {
            format!("{names} for the NS set and {glue} for the glue")
        }
    }
}

fn find(picture: &Picture) -> Vec<Finding> {
    let mut seen: BTreeMap<Ttls, Vec<&Instance>> = BTreeMap::new();
    for instance in picture.delegating() {
        if let Some(delegation) = instance.delegation() {
            let ttls = Ttls::of(picture, delegation);
            seen.entry(ttls).or_default().push(instance);
        }
    }
    if seen.len() > 1 && !is_by_content(picture, &seen) {
        return vec![differing(picture, &seen)];
    }
    let all = picture.delegating().count();
    let odd = seen.into_iter().filter(|(ttls, _)| ttls.is_odd());
    odd.map(|(ttls, instances)| {
        let place = Place::of(&instances, all);
        let one = place.server.as_ref().filter(|_| instances.len() < all);
        let detail = format!("the parent's TTLs are {}", ttls.words());
        let finding = RULE.about(picture.zone).server_if(one).detail(detail);
        let longest = ttls.glue.iter().copied().chain([ttls.names]).max();
        finding
            .remedy(remedy(longest.unwrap_or(0)))
            .evidence(place.evidence)
            .done()
    })
    .collect()
}

/// Whether the instances differ in TTLs because they have different data, one of them none.
fn is_by_content(picture: &Picture, seen: &BTreeMap<Ttls, Vec<&Instance>>) -> bool {
    let names: BTreeSet<Ttl> = seen.keys().map(|ttls| ttls.names).collect();
    let mut glue: BTreeMap<_, BTreeSet<Ttl>> = BTreeMap::new();
    for delegation in picture.delegating().filter_map(|i| i.delegation()) {
        for (host, addresses) in &delegation.name_servers {
            for (address, ttl) in addresses {
                glue.entry((host, address)).or_default().insert(*ttl);
            }
        }
    }
    names.len() == 1 && glue.values().all(|ttls| ttls.len() == 1)
}

fn differing(picture: &Picture, seen: &BTreeMap<Ttls, Vec<&Instance>>) -> Finding {
    let all = picture.delegating().count();
    let places: Vec<(String, Place)> = seen
        .iter()
        .map(|(ttls, instances)| (ttls.words(), Place::of(instances, all)))
        .collect();
    let told = places
        .iter()
        .map(|(words, place)| format!("{words} at {}", place.words));
    let longest = seen
        .keys()
        .flat_map(|ttls| ttls.glue.iter().copied().chain([ttls.names]))
        .max();
    RULE.about(picture.zone)
        .detail(format!(
            "the parent's servers give different TTLs: {}",
            wording::list(told)
        ))
        .remedy(remedy(longest.unwrap_or(0)))
        .evidence(places.into_iter().flat_map(|(_, place)| place.evidence))
        .done()
}

fn remedy(longest: Ttl) -> String {
    format!(
        "Reckon with {} for old data to leave the caches; the TTLs are the registry's",
        wording::span(longest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn the_ttls_of_ns_set_and_glue_should_be_one() {
        let both = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let world = || Fixture::healthy(both);
        let unrelated = || {
            Fixture::healthy("ns.provider.net. 192.0.2.1")
                .lookup_finds("ns.provider.net.", &["192.0.2.1"])
        };
        let cases: [(Fixture, &[&str], &str); 8] = [
            (world(), &[], "two days each"),
            (world().ttl_at("*", 3600, 3600), &[], "an hour each"),
            (
                world().ttl_at("*", 172_800, 300),
                &[
                    "warning: the parent's TTLs are 2 days for the NS set and 5 minutes for the \
                     glue",
                ],
                "different",
            ),
            (
                world().ttl_at("*", 0, 0),
                &["warning: the parent's TTLs are 0 seconds for NS set and glue"],
                "not to be kept",
            ),
            (
                world().ttl_at("b.gtld.test.", 3600, 3600),
                &[
                    "warning: the parent's servers give different TTLs: 1 hour for NS set and \
                     glue at 2 parent addresses (b.gtld.test. 198.51.100.2, b.gtld.test. \
                     2001:db8:100::2) and 2 days for NS set and glue at 2 parent addresses \
                     (a.gtld.test. 198.51.100.1, a.gtld.test. 2001:db8:100::1)",
                ],
                "servers differ",
            ),
            (
                world().parent_at("b.gtld.test.", "ns1.example.com.; ns2.example.com."),
                &[],
                "one has no glue: another finding",
            ),
            (unrelated(), &[], "no glue that counts"),
            (
                unrelated().ttl_at("*", 172_800, 60),
                &[],
                "addresses of unrelated hosts are not used",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
