//! One name server's name: what the parent, the zone and the expectation say of its addresses.
//!
//! *Glue* is what the parent instances give, as a union; ask an
//! [`Instance`] for its own. *Authoritative* is what the zone that holds the
//! name says: for an in-domain name the servers of the zone checked, of which the most decide
//! ([`Host::authoritative_in`]); for any other name the look-up from the root, else a server
//! that answered with authority.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    rc::Rc,
};

use bailiwick_core::{
    check::Check,
    delegation::Relation,
    message::{Message, Rcode},
    name::Name,
    record::{Record, RecordData, RecordType, Ttl},
    report::Lookup,
    server::Family,
};

use super::{Child, Instance, Referral, Seen, relation};
use crate::serial;

/// What a server says, with authority, about the addresses of a name in one family.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Says {
    /// These addresses; none is NODATA.
    Addresses(BTreeSet<IpAddr>),
    /// NXDOMAIN: there is no such name.
    Absent,
    /// The name is an alias.
    Alias(Name),
}

/// An answer with authority about a host's addresses in one family.
#[derive(Clone, Debug)]
pub struct HostAnswer<'e> {
    /// The server that said so.
    pub server: IpAddr,
    /// The family that was asked for.
    pub family: Family,
    /// What it said; answers that say the same share it.
    pub says: Rc<Says>,
    /// The smallest TTL of the addresses.
    pub ttl: Option<Ttl>,
    /// The evidence.
    pub seen: Seen<'e>,
}

/// A name server's name.
#[derive(Clone, Debug)]
pub struct Host<'e> {
    /// The name.
    pub name: Name,
    /// How it relates to the zone.
    pub relation: Relation,
    /// Whether any parent instance names it. True also for the apex NS set of a parent's
    /// server that hosts the zone itself: then there is no other sign of the delegation.
    pub in_delegation: bool,
    /// Whether any server of the zone names it in the apex NS set.
    pub in_apex: bool,
    /// Whether somebody said what to expect of it.
    pub is_expected: bool,
    /// The addresses that were expected, in both families.
    pub expected: BTreeSet<IpAddr>,
    /// Glue: the union over all parent instances.
    pub glue: BTreeSet<IpAddr>,
    /// What servers of the zone say with authority about its addresses, in order of address;
    /// without answers of servers with foreign zone content.
    pub answers: Vec<HostAnswer<'e>>,
    /// The look-up of the name from the root, if there was one.
    pub lookup: Option<&'e Lookup>,
    /// What the zone that holds the name says, by family; no entry where that is not known.
    settled: BTreeMap<Family, BTreeSet<IpAddr>>,
    /// Whether only servers that host parent and zone alike stand for the delegation.
    hosted: bool,
}

impl Host<'_> {
    /// Returns the addresses in the zone that holds the name. `None` if that is not known,
    /// and nothing in it if it is known that there is none.
    #[must_use]
    pub fn authoritative_in(&self, family: Family) -> Option<&BTreeSet<IpAddr>> {
        self.settled.get(&family)
    }

    /// Returns the addresses in the zone that holds the name, in both families, as far as known.
    #[must_use]
    pub fn authoritative(&self) -> BTreeSet<IpAddr> {
        self.settled.values().flatten().copied().collect()
    }

    /// Returns the glue of one family, as a union over all parent instances.
    #[must_use]
    pub fn glue_in(&self, family: Family) -> BTreeSet<IpAddr> {
        self.glue
            .iter()
            .copied()
            .filter(|&address| Family::of(address) == family)
            .collect()
    }

    /// Returns the addresses that a resolver which follows the parent finds: the glue, else
    /// what a look-up from the root gives. None if the delegation does not have the name.
    #[must_use]
    pub fn published(&self) -> BTreeSet<IpAddr> {
        if !self.in_delegation {
            return BTreeSet::new();
        }
        if !self.glue.is_empty() {
            return self.glue.clone();
        }
        match self.lookup {
            Some(lookup) if self.relation != Relation::InDomain => lookup.addresses(),
            _ if self.hosted => self.authoritative(),
            _ => BTreeSet::new(),
        }
    }

    /// Returns the different things that servers say about one family, each with who says so.
    #[must_use]
    pub fn statements(&self, family: Family) -> BTreeMap<&Says, BTreeSet<IpAddr>> {
        let mut statements: BTreeMap<&Says, BTreeSet<IpAddr>> = BTreeMap::new();
        for answer in self.answers.iter().filter(|a| a.family == family) {
            statements
                .entry(&*answer.says)
                .or_default()
                .insert(answer.server);
        }
        statements
    }

    /// Returns the alias that the name is, by any server or look-up.
    #[must_use]
    pub fn alias(&self) -> Option<&Name> {
        let told = self.answers.iter().find_map(|answer| match &*answer.says {
            Says::Alias(target) => Some(target),
            _ => None,
        });
        told.or(match self.lookup {
            Some(Lookup::Alias { target, .. }) => Some(target),
            _ => None,
        })
    }
}

/// Gathers the names with everything that was said of them.
pub(super) fn hosts<'e>(
    check: &'e Check,
    parent: Option<&Name>,
    instances: &[Instance<'e>],
    children: &BTreeMap<IpAddr, Child<'e>>,
    lookups: &BTreeMap<&'e Name, &'e Lookup>,
) -> BTreeMap<Name, Host<'e>> {
    let mut hosts = BTreeMap::new();
    let empty = |name: &Name| Host {
        name: name.clone(),
        relation: relation(name, &check.zone, parent),
        in_delegation: false,
        in_apex: false,
        is_expected: false,
        expected: BTreeSet::new(),
        glue: BTreeSet::new(),
        answers: Vec::new(),
        lookup: lookups.get(name).copied(),
        settled: BTreeMap::new(),
        hosted: true,
    };
    let mut last = None;
    for answer in instances.iter().flat_map(Instance::answers) {
        // Neighbours mostly say the same.
        if last == Some(&answer.referral) {
            continue;
        }
        last = Some(&answer.referral);
        let (delegation, hosted) = match answer.referral.as_deref() {
            Some(Referral::Delegation(delegation)) => (delegation, false),
            Some(Referral::Hosted(apex)) => (apex, true),
            _ => continue,
        };
        for (name, glue) in &delegation.name_servers {
            let host = hosts.entry(name.clone()).or_insert_with(|| empty(name));
            host.in_delegation = true;
            host.hosted &= hosted;
            host.glue.extend(glue.keys());
        }
    }
    for name in children
        .values()
        .filter_map(Child::ns)
        .flat_map(|(names, ..)| names)
    {
        let host = hosts.entry(name.clone()).or_insert_with(|| empty(name));
        host.in_apex = true;
    }
    for (name, addresses) in &check.expectation.hosts {
        let host = hosts.entry(name.clone()).or_insert_with(|| empty(name));
        host.is_expected = true;
        host.expected.extend(addresses);
    }
    for view in children.values().flat_map(|child| &child.views) {
        for (seen, message) in view.authoritative() {
            let Some(family) = family_asked(seen.question.record_type) else {
                continue;
            };
            if let Some(host) = hosts.get_mut(&seen.question.name) {
                // The latest of each family are the likeliest to say the same.
                let latest = host.answers.iter().rev().take(4);
                let known = latest
                    .map(|a| &a.says)
                    .find(|says| says.is_said(seen, message));
                let says = known
                    .cloned()
                    .or_else(|| Some(Rc::new(Says::read(seen, message)?)));
                host.answers.extend(says.map(|says| HostAnswer {
                    server: seen.server.address,
                    family,
                    says,
                    ttl: answered(seen, message).map(|r| r.ttl).min(),
                    seen,
                }));
            }
        }
    }
    hosts
}

/// The family that a question is for.
fn family_asked(record_type: RecordType) -> Option<Family> {
    match record_type {
        RecordType::A => Some(Family::V4),
        RecordType::AAAA => Some(Family::V6),
        _ => None,
    }
}

/// The records that answer a question.
fn answered<'e>(seen: Seen<'e>, message: &'e Message) -> impl Iterator<Item = &'e Record> {
    let question = &seen.observation.question;
    message.answers(&question.name, question.record_type)
}

impl Says {
    /// Reads an answer to a question for addresses; `None` if it says nothing for certain.
    fn read(seen: Seen, message: &Message) -> Option<Self> {
        let name = &seen.observation.question.name;
        let alias = message.answer.iter().find_map(|r| match &r.data {
            RecordData::Cname(target) if r.name == *name => Some(target),
            _ => None,
        });
        match (message.rcode, alias) {
            (_, Some(target)) => Some(Self::Alias(target.clone())),
            (Rcode::NXDOMAIN, None) => Some(Self::Absent),
            (Rcode::NOERROR, None) if !message.flags.truncated => {
                let addresses = answered(seen, message).filter_map(|r| r.data.address());
                Some(Self::Addresses(addresses.collect()))
            }
            _ => None,
        }
    }

    /// Returns whether an answer is these addresses, in order, and nothing else. False says
    /// nothing.
    fn is_said(&self, seen: Seen, message: &Message) -> bool {
        let Self::Addresses(addresses) = self else {
            return false;
        };
        let said = || answered(seen, message).filter_map(|r| r.data.address());
        message.rcode == Rcode::NOERROR
            && !message.flags.truncated
            && message.answer.len() == addresses.len()
            && said().eq(addresses.iter().copied())
    }
}

/// Decides what the zone that holds each name says.
pub(super) fn settle(
    hosts: &mut BTreeMap<Name, Host<'_>>,
    children: &BTreeMap<IpAddr, Child<'_>>,
    lookups: &BTreeMap<&Name, &Lookup>,
) {
    for host in hosts.values_mut() {
        let lookup = lookups.get(&host.name).copied();
        for family in Family::ALL {
            let told = match lookup.filter(|_| host.relation != Relation::InDomain) {
                Some(lookup) => looked_up(lookup, family).or_else(|| vote(host, family, children)),
                None => vote(host, family, children),
            };
            if let Some(addresses) = told {
                host.settled.insert(family, addresses);
            }
        }
    }
}

fn looked_up(lookup: &Lookup, family: Family) -> Option<BTreeSet<IpAddr>> {
    match lookup {
        Lookup::Lost(_) | Lookup::NotTried => None,
        known => Some(
            known
                .addresses()
                .into_iter()
                .filter(|&a| Family::of(a) == family)
                .collect(),
        ),
    }
}

/// What most servers say; of two equally strong sides the one with the newer zone (RFC 1982).
fn vote(
    host: &Host,
    family: Family,
    children: &BTreeMap<IpAddr, Child>,
) -> Option<BTreeSet<IpAddr>> {
    let mut sides: BTreeMap<BTreeSet<IpAddr>, Side> = BTreeMap::new();
    let mut heard = BTreeSet::new();
    for answer in host.answers.iter().filter(|a| a.family == family) {
        if !heard.insert(answer.server) {
            continue;
        }
        let addresses = match &*answer.says {
            Says::Addresses(addresses) => addresses.clone(),
            Says::Absent => BTreeSet::new(),
            Says::Alias(_) => continue,
        };
        let soa = children.get(&answer.server).and_then(Child::soa);
        sides
            .entry(addresses)
            .or_default()
            .add(soa.map(|(soa, _)| soa.serial));
    }
    let mut best: Option<(BTreeSet<IpAddr>, Side)> = None;
    for (addresses, side) in sides {
        if best.as_ref().is_none_or(|(_, known)| side.beats(*known)) {
            best = Some((addresses, side));
        }
    }
    best.map(|(addresses, _)| addresses)
}

/// Servers that say the same.
#[derive(Clone, Copy, Default)]
struct Side {
    servers: usize,
    newest: Option<u32>,
}

impl Side {
    fn add(&mut self, serial: Option<u32>) {
        self.servers += 1;
        if is_newer(serial, self.newest) {
            self.newest = serial;
        }
    }

    fn beats(self, other: Self) -> bool {
        self.servers > other.servers
            || (self.servers == other.servers && is_newer(self.newest, other.newest))
    }
}

fn is_newer(a: Option<u32>, b: Option<u32>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => serial::is_newer(a, b),
        (a, b) => a.is_some() && b.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_core::report::Lost;

    use super::*;
    use crate::{
        fixture::{Fixture, address, name},
        picture::Picture,
    };

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const OLD: &str = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";

    fn settled(world: &Fixture, host: &str) -> Option<Vec<String>> {
        let evidence = world.evidence();
        let picture = Picture::of(&evidence);
        let addresses = picture.hosts[&name(host)].authoritative_in(Family::V4)?;
        Some(addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn most_servers_of_the_zone_decide_what_the_zone_says() {
        let world = || Fixture::healthy(BOTH);
        let ns1 = |address: &str| Some(vec![address.to_owned()]);
        let cases = [
            (world(), ns1("192.0.2.1"), "all say the same"),
            (
                world().zone_at("192.0.2.2", 2_026_020_101, OLD),
                ns1("192.0.2.1"),
                "two against one, the new address included",
            ),
            (
                world().zone_at("192.0.2.2", 2_026_020_101, OLD).zone_at(
                    "192.0.2.10",
                    2_026_020_101,
                    OLD,
                ),
                ns1("192.0.2.10"),
                "one against two",
            ),
            (
                Fixture::healthy("ns1.example.com. 192.0.2.1").zone_at(
                    "192.0.2.10",
                    2_026_020_101,
                    "ns1.example.com. 192.0.2.10",
                ),
                ns1("192.0.2.10"),
                "one against one: the newer zone",
            ),
            (
                Fixture::healthy("ns1.example.com. 192.0.2.1").zone_at(
                    "192.0.2.10",
                    2_025_010_101,
                    "ns1.example.com. 192.0.2.10",
                ),
                ns1("192.0.2.1"),
                "one against one: not the older zone",
            ),
            (
                world().zone("ns1.example.com."),
                Some(vec![]),
                "there is none",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(settled(&world, "ns1.example.com."), expected, "{why}");
        }
    }

    #[test]
    fn another_zone_speaks_for_its_own_names() {
        let world = || Fixture::healthy("ns1.other.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let host = "ns1.other.com.";
        let found = world().lookup_finds(host, &["192.0.2.99"]);
        assert_eq!(settled(&found, host), Some(vec!["192.0.2.99".to_owned()]));
        assert_eq!(settled(&world(), host), None, "nobody asked");
        let lost = world().lookup(host, Lookup::Lost(Lost::Exhausted));
        assert_eq!(settled(&lost, host), None, "nobody got there");
    }

    #[test]
    fn published_is_what_a_resolver_finds() {
        let world = Fixture::healthy(
            "ns1.example.com. 192.0.2.1; ns2.example.com.; ns1.other.net.; ns2.other.net.",
        )
        .zone("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2; ns9.example.com. 192.0.2.9")
        .lookup_finds("ns1.other.net.", &["192.0.2.3"]);
        let evidence = world.evidence();
        let picture = Picture::of(&evidence);
        let cases = [
            ("ns1.example.com.", vec![address("192.0.2.1")], "glue"),
            ("ns2.example.com.", vec![], "in-domain without glue"),
            ("ns1.other.net.", vec![address("192.0.2.3")], "looked up"),
            ("ns2.other.net.", vec![], "not looked up"),
            ("ns9.example.com.", vec![], "at the apex only"),
        ];
        for (host, expected, why) in cases {
            let published: Vec<_> = picture.published(&name(host)).into_iter().collect();
            assert_eq!(published, expected, "{why}");
        }
    }
}
