//! What is wrong with the glue of a host, and where.
//!
//! For one host, one family and one parent instance at most one [`GlueFault`] holds, so that
//! no two findings state the same fact. [`Picture::glue_facts`] gathers them: one [`GlueFact`]
//! for each host and each set of instances that show the same.
//!
//! That glue is missing is said only where an answer proves it
//! ([`Answer::is_complete`](super::Answer::is_complete)).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    delegation::{Delegation, Relation},
    finding::Source,
    name::Name,
    record::Ttl,
    server::{Family, Server},
    verdict::Intent,
};

use super::{Difference, Host, Instance, Picture, Place, Referral, Standing, parent::in_family};
use crate::usable::{self, Addresses, How, Usable};

/// In which way the glue of a host is not what the zone, or an expectation, says.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum GlueFault {
    /// An in-domain host has no glue at all.
    Missing,
    /// It is not what somebody said to expect, or the host is not named.
    Unexpected,
    /// An in-domain host has glue in the other family only, and the zone has this one, too.
    MissingFamily,
    /// No address is the zone's, and those given are dead or lame.
    Stale,
    /// No address is the zone's, and nothing says why.
    Mismatch,
    /// Some addresses are the zone's.
    PartialOverlap,
    /// The zone has addresses of the other family only.
    ExtraFamily,
    /// A sibling's glue is not what its zone says.
    Sibling,
    /// A sibling has no glue; it needs none, unless there is a cycle.
    SiblingWithout,
    /// An unrelated host has glue, which nobody need believe.
    Unrelated,
}

/// The places, in [`Picture::instances`], of all instances that show the same fault of a host.
pub(super) type Faults = BTreeMap<GlueFault, BTreeMap<(Name, Vec<Sides>), Vec<usize>>>;

/// The two sides for one family.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Sides {
    /// The family.
    pub family: Family,
    /// What the instances publish.
    pub published: BTreeSet<IpAddr>,
    /// What is wanted: the zone's addresses, or the expected ones. None also where not known.
    pub wanted: BTreeSet<IpAddr>,
}

/// One fault of one host at all parent instances that show the same.
#[derive(Clone, Debug)]
pub struct GlueFact<'p, 'e> {
    /// The host.
    pub host: &'p Host<'e>,
    /// The families concerned; at least one.
    pub sides: Vec<Sides>,
    /// The instances.
    pub instances: Vec<&'p Instance<'e>>,
    /// Where that is, in words, with the evidence.
    pub place: Place,
    /// Whether no instance shows anything else of this host.
    pub everywhere: bool,
    /// How many parent addresses publish what is wanted already.
    pub already: usize,
}

impl<'p> GlueFact<'p, '_> {
    /// Returns the server, if one shows it and others do not.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        self.place.server.as_ref().filter(|_| !self.everywhere)
    }

    /// Says where several servers of more show it; nothing if all do, and nothing if one does,
    /// because then the finding names it.
    #[must_use]
    pub fn seen_at(&self) -> String {
        if self.everywhere || self.place.server.is_some() {
            String::new()
        } else {
            format!("; seen at {}", self.place.words)
        }
    }

    /// Returns what is published, over the families concerned.
    #[must_use]
    pub fn published(&self) -> BTreeSet<IpAddr> {
        let sides = self.sides.iter();
        sides.flat_map(|s| s.published.iter().copied()).collect()
    }

    /// Returns what is wanted, over the families concerned.
    #[must_use]
    pub fn wanted(&self) -> BTreeSet<IpAddr> {
        let sides = self.sides.iter();
        sides.flat_map(|s| s.wanted.iter().copied()).collect()
    }

    /// Returns the evidence: the referrals, and what servers of the zone say of the host.
    #[must_use]
    pub fn evidence(&self) -> Vec<Source> {
        let families: BTreeSet<Family> = self.sides.iter().map(|s| s.family).collect();
        let told = self
            .host
            .answers
            .iter()
            .filter(|answer| families.contains(&answer.family))
            .map(|answer| answer.seen.source());
        self.place.evidence.iter().cloned().chain(told).collect()
    }

    /// Returns how long resolvers may keep what is published: the larger of the TTLs of NS set
    /// and glue, in seconds.
    #[must_use]
    pub fn kept_for(&self) -> Ttl {
        let delegations = self.instances.iter().filter_map(|i| i.delegation());
        delegations
            .flat_map(|d| {
                let glue = d.glue_of(&self.host.name).into_iter().flatten();
                glue.map(|(_, ttl)| *ttl).chain([d.ns_ttl])
            })
            .max()
            .unwrap_or(0)
    }

    /// Returns whether every instance that shows it leads to the zone by another name.
    #[must_use]
    pub fn others_work(&self, picture: &'p Picture<'_>) -> bool {
        self.instances
            .iter()
            .all(|instance| picture.has_way_in(instance, &self.host.name))
    }
}

impl<'e> Picture<'e> {
    /// Returns every fact of one kind, by host.
    #[must_use]
    pub fn glue_facts(&self, fault: GlueFault) -> Vec<GlueFact<'_, 'e>> {
        let faults = self.faults.get_or_init(|| self.all_faults());
        let groups = faults.get(&fault).into_iter().flatten();
        let facts = groups.filter_map(|((host, sides), places)| {
            let instances = places.iter().map(|place| &self.instances[*place]).collect();
            Some(self.glue_fact(self.hosts.get(host)?, sides.clone(), instances))
        });
        facts.collect()
    }

    /// Returns the in-domain hosts without glue, if no resolver finds any address to start
    /// with: every NS name is in-domain, or a sibling in a cycle, and none has glue anywhere.
    #[must_use]
    pub fn lacks_all_glue(&self) -> Option<Vec<GlueFact<'_, 'e>>> {
        if self
            .answering()
            .any(|i| matches!(i.referral(), Some(Referral::Hosted(_))))
        {
            return None;
        }
        let missing = self.glue_facts(GlueFault::Missing);
        let nowhere: BTreeSet<&Name> = missing
            .iter()
            .filter(|fact| fact.everywhere)
            .map(|fact| &fact.host.name)
            .collect();
        let hopeless = |host: &Host| {
            host.glue.is_empty()
                && (nowhere.contains(&host.name) || self.sibling_cycle_of(host).is_some())
        };
        (!nowhere.is_empty() && self.delegated_hosts().all(hopeless)).then_some(missing)
    }

    /// Returns whether the delegation of an instance leads to a server that has the zone by
    /// another name than this one.
    #[must_use]
    pub fn has_way_in(&self, instance: &Instance<'e>, without: &Name) -> bool {
        let Some(answer) = instance.best() else {
            return false;
        };
        let Some(delegation) = answer.delegation() else {
            return false;
        };
        let others = delegation.name_servers.keys().filter(|n| *n != without);
        others
            .map(|name| usable::addresses(self, answer, name, false))
            .any(|found| match found {
                Addresses::Found(addresses) => addresses
                    .iter()
                    .any(|a| usable::address(self, *a, How::Either) == Usable::Yes),
                Addresses::Nowhere | Addresses::Unknown => false,
            })
    }

    fn glue_fact<'p>(
        &'p self,
        host: &'p Host<'e>,
        sides: Vec<Sides>,
        instances: Vec<&'p Instance<'e>>,
    ) -> GlueFact<'p, 'e> {
        let others: Vec<(&Instance, &Delegation)> = self
            .instances
            .iter()
            .filter(|i| !instances.iter().any(|own| std::ptr::eq(*own, *i)))
            .filter_map(|i| Some((i, i.delegation()?)))
            // What does not prove that glue is missing contradicts nobody.
            .filter(|(i, d)| {
                i.is_complete() || d.glue_of(&host.name).is_none_or(|glue| !glue.is_empty())
            })
            .collect();
        let already: BTreeSet<&Server> = others
            .iter()
            .filter(|(_, delegation)| publishes(delegation, &host.name, &sides))
            .map(|(instance, _)| &instance.server)
            .collect();
        let mut place = Place::of(&instances, instances.len() + others.len());
        if let Some(server) = &place.server {
            // One of several machines behind an address: only the NSID tells which.
            let siblings = others.iter().any(|(i, _)| i.server == *server);
            if let Some(nsid) = instances[0].nsid_text().filter(|_| siblings) {
                place.words = format!("{server} (instance {nsid})");
            }
        }
        GlueFact {
            host,
            sides,
            everywhere: others.is_empty(),
            already: already.len(),
            place,
            instances,
        }
    }

    /// Looks at every host at every instance.
    fn all_faults(&self) -> Faults {
        let mut faults = Faults::new();
        for places in &self.sayings {
            let instance = &self.instances[places[0]];
            let differences = self.differences(instance);
            for host in self.hosts.values() {
                for (fault, sides) in self.faults_of(instance, host, &differences) {
                    let groups = faults.entry(fault).or_default();
                    let group = groups.entry((host.name.clone(), sides)).or_default();
                    group.extend(places);
                }
            }
        }
        for places in faults.values_mut().flat_map(BTreeMap::values_mut) {
            places.sort_unstable();
        }
        faults
    }

    /// Returns the faults of a host at an instance, each with its families.
    fn faults_of(
        &self,
        instance: &Instance<'e>,
        host: &Host,
        differences: &[Difference],
    ) -> BTreeMap<GlueFault, Vec<Sides>> {
        let mut faults: BTreeMap<GlueFault, Vec<Sides>> = BTreeMap::new();
        for family in Family::ALL {
            if let Some(fault) = self.glue_fault(instance, host, family, differences) {
                let sides = self.sides(instance, host, family);
                faults.entry(fault).or_default().push(sides);
            }
        }
        faults
    }

    fn sides(&self, instance: &Instance<'e>, host: &Host, family: Family) -> Sides {
        let delegation = match instance.referral() {
            Some(Referral::Delegation(d) | Referral::Hosted(d)) => Some(d),
            _ => None,
        };
        let glue = delegation.and_then(|d| d.glue_of(&host.name));
        let wanted = self.wanted.of_host(&host.name, family);
        Sides {
            family,
            published: glue
                .map(|g| in_family(g, family).collect())
                .unwrap_or_default(),
            wanted: wanted.map(|w| w.addresses.clone()).unwrap_or_default(),
        }
    }

    /// The one fault of a host in a family at an instance. What comes first stands.
    fn glue_fault(
        &self,
        instance: &Instance<'e>,
        host: &Host,
        family: Family,
        differences: &[Difference],
    ) -> Option<GlueFault> {
        let best = instance.best()?;
        let glue = best.delegation().and_then(|d| d.glue_of(&host.name));
        let without = glue.is_some_and(|glue| glue.is_empty()) && best.is_complete();
        let in_domain = host.relation == Relation::InDomain;
        if without && in_domain {
            return Some(GlueFault::Missing);
        }
        let difference = differences
            .iter()
            .find(|d| d.host == host.name && d.family == family);
        let wanted = self.wanted.of_host(&host.name, family);
        if wanted.is_some_and(|want| want.intent != Intent::Inferred) {
            return difference.map(|_| GlueFault::Unexpected);
        }
        let published = in_family(glue?, family).next().is_some();
        match host.relation {
            Relation::Unrelated => published.then_some(GlueFault::Unrelated),
            Relation::Sibling if without => Some(GlueFault::SiblingWithout),
            Relation::Sibling => difference.map(|_| GlueFault::Sibling),
            Relation::InDomain => self.in_domain_fault(host, difference?),
        }
    }

    fn in_domain_fault(&self, host: &Host, difference: &Difference) -> Option<GlueFault> {
        let wanted = &difference.wanted.addresses;
        if difference.published.is_empty() {
            return Some(GlueFault::MissingFamily);
        }
        if wanted.is_empty() {
            // A host without any address in the zone is another matter: it lives by glue only.
            return (!host.authoritative().is_empty()).then_some(GlueFault::ExtraFamily);
        }
        if !difference.published.is_disjoint(wanted) {
            return Some(GlueFault::PartialOverlap);
        }
        Some(if self.is_gone(&difference.published) {
            GlueFault::Stale
        } else {
            GlueFault::Mismatch
        })
    }

    /// Whether addresses look left behind: none has the zone, and at least one is known to be
    /// dead, lame or somebody else's.
    fn is_gone(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        let mut gone = false;
        for child in addresses.iter().filter_map(|a| self.child(*a)) {
            match child.standing() {
                Standing::Authoritative => return false,
                Standing::Foreign | Standing::Lame(_) => gone = true,
                Standing::Silent(_) | Standing::NotAsked(_) => gone |= child.is_dead(),
            }
        }
        gone
    }
}

/// Whether a delegation has what is wanted of the host, in all these families.
fn publishes(delegation: &Delegation, host: &Name, sides: &[Sides]) -> bool {
    let Some(glue) = delegation.glue_of(host) else {
        return false;
    };
    sides.iter().any(|side| !side.wanted.is_empty())
        && sides
            .iter()
            .all(|side| in_family(glue, side.family).eq(side.wanted.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture};

    const FAULTS: [GlueFault; 10] = [
        GlueFault::Missing,
        GlueFault::Unexpected,
        GlueFault::MissingFamily,
        GlueFault::Stale,
        GlueFault::Mismatch,
        GlueFault::PartialOverlap,
        GlueFault::ExtraFamily,
        GlueFault::Sibling,
        GlueFault::SiblingWithout,
        GlueFault::Unrelated,
    ];

    #[test]
    fn of_each_host_and_family_one_thing_is_said() {
        use GlueFault::*;
        let zone = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2";
        let with = |ns1: &str| {
            Fixture::healthy(zone).parents(&format!("{ns1}; ns2.example.com. 192.0.2.2"))
        };
        let cases: [(Fixture, &[GlueFault], &str); 12] = [
            (Fixture::healthy(zone), &[], "all agree"),
            (
                with("ns1.example.com."),
                &[Missing, Missing],
                "both families",
            ),
            (
                with("ns1.example.com. 192.0.2.1"),
                &[MissingFamily],
                "no AAAA",
            ),
            (
                with("ns1.example.com. 2001:db8::1"),
                &[MissingFamily],
                "no A",
            ),
            (
                with("ns1.example.com. 192.0.2.9 2001:db8::1"),
                &[Mismatch],
                "another address, which works",
            ),
            (
                with("ns1.example.com. 192.0.2.9 2001:db8::1").acts("192.0.2.9", Acts::Silent),
                &[Stale],
                "another address, which is dead",
            ),
            (
                with("ns1.example.com. 192.0.2.9 2001:db8::9").acts("192.0.2.9", Acts::Upward),
                &[Stale, Mismatch],
                "each family by itself",
            ),
            (
                with("ns1.example.com. 192.0.2.1 192.0.2.9 2001:db8::1"),
                &[PartialOverlap],
                "one address more",
            ),
            (
                Fixture::healthy(zone)
                    .zone("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2"),
                &[ExtraFamily],
                "glue that the zone does not have",
            ),
            (
                Fixture::healthy(zone).zone("ns1.example.com.; ns2.example.com. 192.0.2.2"),
                &[],
                "a host without any address in the zone is another matter",
            ),
            (
                with("ns1.example.com. 192.0.2.9").expect("ns1.example.com. 192.0.2.1"),
                &[Unexpected, MissingFamily],
                "an expectation holds for the family it names",
            ),
            (
                with("ns1.example.com. 192.0.2.9 2001:db8::1").expect("ns1.example.com. 192.0.2.9"),
                &[],
                "an expectation replaces what the zone says",
            ),
        ];
        for (world, expected, why) in cases {
            let evidence = world.evidence();
            let picture = Picture::of(&evidence);
            let found: Vec<GlueFault> = FAULTS
                .into_iter()
                .flat_map(|fault| {
                    let facts = picture.glue_facts(fault);
                    facts
                        .into_iter()
                        .flat_map(move |fact| fact.sides.into_iter().map(move |_| fault))
                })
                .collect();
            assert_eq!(found, expected, "{why}");
        }
    }

    #[test]
    fn equal_facts_are_one_and_say_where() {
        let zone = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let old = "ns1.example.com. 192.0.2.9; ns2.example.com. 192.0.2.2";
        let cases = [
            (Fixture::healthy(zone).parents(old), true, 0, "", "all"),
            (
                Fixture::healthy(zone).parent_at("198.51.100.2", old),
                false,
                3,
                "",
                "one: the finding has it as its server",
            ),
            (
                Fixture::healthy(zone).parent_at("b.gtld.test.", old),
                false,
                2,
                "; seen at 2 parent addresses (b.gtld.test. 198.51.100.2, \
                 b.gtld.test. 2001:db8:100::2)",
                "some",
            ),
        ];
        for (world, everywhere, already, seen_at, why) in cases {
            let evidence = world.evidence();
            let picture = Picture::of(&evidence);
            let facts = picture.glue_facts(GlueFault::Mismatch);
            assert_eq!(facts.len(), 1, "{why}");
            assert_eq!(facts[0].everywhere, everywhere, "{why}");
            assert_eq!(facts[0].already, already, "{why}");
            assert_eq!(facts[0].seen_at(), seen_at, "{why}");
            assert_eq!(facts[0].kept_for(), 172_800, "{why}");
        }
    }
}
