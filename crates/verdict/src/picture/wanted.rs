//! What the parent should publish, and how an instance differs from that.
//!
//! Expected addresses replace what the zone says, for the hosts and families that somebody
//! named, and only those. Everything else is inferred from the zone itself. Where no server of
//! the zone answers and nobody said what to expect, nothing is wanted, and no instance differs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    check::Check, delegation::Relation, name::Name, server::Family, verdict::Intent,
};

use super::{Child, Host, Instance, Picture, Referral, parent::in_family};

/// The addresses wanted of a host in one family.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Want {
    /// The addresses; none if the zone has none.
    pub addresses: BTreeSet<IpAddr>,
    /// Who says so.
    pub intent: Intent,
}

/// What the parent should publish.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// Where most of it is known from.
    pub intent: Intent,
    /// The NS set of the apex, by what most servers of the zone say; `None` if none answers.
    pub names: Option<BTreeSet<Name>>,
    /// Addresses by host and family, as far as known.
    addresses: BTreeMap<(Name, Family), Want>,
}

/// How the glue of a parent instance differs from what is wanted, for one host and family.
///
/// Only differences that somebody could call wrong are here: no glue for a host that needs
/// none, and glue for an unrelated host, are not differences.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// The host.
    pub host: Name,
    /// How it relates to the zone.
    pub relation: Relation,
    /// The family.
    pub family: Family,
    /// What the instance publishes.
    pub published: BTreeSet<IpAddr>,
    /// What is wanted; it is not the same.
    pub wanted: Want,
    /// Whether the instance names the host at all.
    pub named: bool,
    /// Whether the instance has no glue for the host in either family.
    pub no_glue: bool,
}

impl Difference {
    /// Returns whether this is more than an inconsistency: the data is missing, old or other,
    /// so that the instance does not publish what is wanted. An address too many or too few
    /// beside a right one, and a missing IPv6 address, are inconsistencies only, unless
    /// somebody said what to expect.
    #[must_use]
    pub fn is_material(&self) -> bool {
        let expected = self.wanted.intent != Intent::Inferred;
        if self.published.is_empty() {
            return expected || self.no_glue || self.family == Family::V4;
        }
        if self.wanted.addresses.is_empty() {
            return false;
        }
        expected || self.published.is_disjoint(&self.wanted.addresses)
    }
}

impl Wanted {
    /// Derives what is wanted from the expectation and the zone.
    pub(super) fn of(
        check: &Check,
        hosts: &BTreeMap<Name, Host<'_>>,
        children: &BTreeMap<IpAddr, Child<'_>>,
    ) -> Self {
        let mut addresses = BTreeMap::new();
        for host in hosts.values() {
            for family in Family::ALL {
                let expected = check.expectation.of(&host.name, family);
                let want = expected
                    .map(|addresses| (addresses, Intent::Expected))
                    .or_else(|| Some((host.authoritative_in(family)?.clone(), Intent::Inferred)));
                if let Some((wanted, intent)) = want {
                    let want = Want {
                        addresses: wanted,
                        intent,
                    };
                    addresses.insert((host.name.clone(), family), want);
                }
            }
        }
        Self {
            intent: if check.expectation.is_empty() {
                Intent::Inferred
            } else {
                Intent::Expected
            },
            names: apex(children),
            addresses,
        }
    }

    /// Returns what is wanted of a host in a family; `None` if that is not known.
    #[must_use]
    pub fn of_host(&self, host: &Name, family: Family) -> Option<&Want> {
        self.addresses.get(&(host.clone(), family))
    }

    /// Returns every host and family of which something is wanted.
    pub fn addresses(&self) -> impl Iterator<Item = (&Name, Family, &Want)> {
        self.addresses
            .iter()
            .map(|((name, family), want)| (name, *family, want))
    }

    /// Returns the hosts that somebody said what to expect of.
    #[must_use]
    pub fn expected_hosts(&self) -> BTreeSet<&Name> {
        self.addresses()
            .filter(|(_, _, want)| want.intent != Intent::Inferred)
            .map(|(name, ..)| name)
            .collect()
    }
}

/// The NS set that most servers of the zone give; of equally strong ones the one that sorts
/// first, so that the choice does not depend on anything else.
fn apex(children: &BTreeMap<IpAddr, Child<'_>>) -> Option<BTreeSet<Name>> {
    let mut votes: BTreeMap<BTreeSet<Name>, usize> = BTreeMap::new();
    for child in children.values().filter(|child| !child.foreign) {
        if let Some((names, ..)) = child.ns() {
            *votes
                .entry(names.into_iter().cloned().collect())
                .or_default() += 1;
        }
    }
    let most = votes.values().copied().max()?;
    votes
        .into_iter()
        .find(|(_, count)| *count == most)
        .map(|(names, _)| names)
}

impl Picture<'_> {
    /// Returns how the glue of an instance differs from what is wanted, host by host and
    /// family by family. Nothing for an instance that does not refer to the zone.
    ///
    /// What an answer leaves out is a difference only if the answer proves that it is not there.
    #[must_use]
    pub fn differences(&self, instance: &Instance<'_>) -> Vec<Difference> {
        let Some(best) = instance.best() else {
            return Vec::new();
        };
        let (delegation, hosted) = match best.referral.as_deref() {
            Some(Referral::Delegation(delegation)) => (delegation, false),
            Some(Referral::Hosted(apex)) => (apex, true),
            _ => return Vec::new(),
        };
        let complete = best.is_complete() && !hosted;
        let mut differences = Vec::new();
        for (host, family, want) in self.wanted.addresses() {
            let expected = want.intent != Intent::Inferred;
            let glue = delegation.glue_of(host);
            let published = || glue.into_iter().flat_map(|glue| in_family(glue, family));
            let relation = || self.relation(host);
            let differs = match (glue, published().next().is_none()) {
                (None, _) => expected && !hosted,
                (Some(_), true) => {
                    complete && !want.addresses.is_empty() && relation() == Relation::InDomain
                }
                (Some(_), false) => {
                    !published().eq(want.addresses.iter().copied())
                        && relation() != Relation::Unrelated
                }
            };
            if differs {
                differences.push(Difference {
                    host: host.clone(),
                    relation: relation(),
                    family,
                    published: published().collect(),
                    wanted: want.clone(),
                    named: glue.is_some(),
                    no_glue: glue.is_none_or(|glue| glue.is_empty()),
                });
            }
        }
        differences
    }

    /// Returns whether the delegation of an instance and the apex NS set share no name.
    #[must_use]
    pub fn is_disjoint(&self, instance: &Instance<'_>) -> bool {
        let (Some(delegation), Some(apex)) = (instance.delegation(), &self.wanted.names) else {
            return false;
        };
        !apex.is_empty()
            && !apex
                .iter()
                .any(|name| delegation.name_servers.contains_key(name))
    }
}
