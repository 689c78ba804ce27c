//! The addresses of a name server of which something is to be said, together.
//!
//! An address with several names is told under one of them only, so that one fact is one fact.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{finding::Source, name::Name, observation::Withheld};

use super::{Child, Picture, Standing};

/// Who gives an address; of several the first that holds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Given {
    /// The delegation, or a look-up for it: every resolver that starts uses the address.
    Published,
    /// Somebody who said what to expect.
    Expected,
    /// The zone alone: resolvers use it that go on with the zone's own data.
    InZone,
}

/// Addresses of one name server, given in the same way.
#[derive(Clone, Debug)]
pub struct HostAddresses<'p, 'e> {
    /// The name server.
    pub host: &'p Name,
    /// Who gives the addresses.
    pub given: Given,
    /// The addresses; at least one.
    pub children: Vec<&'p Child<'e>>,
}

impl HostAddresses<'_, '_> {
    /// Returns the addresses.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.children.iter().map(|child| child.address).collect()
    }

    /// Returns the evidence for how they stand.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.children.iter().flat_map(|c| c.sources()).collect()
    }

    /// Says where the addresses are from, where that is not the delegation.
    #[must_use]
    pub fn whence(&self) -> &'static str {
        match self.given {
            Given::Published => "",
            Given::Expected => " (as expected, not in the delegation yet)",
            Given::InZone => " (in the zone, not in the delegation)",
        }
    }
}

impl<'e> Picture<'e> {
    /// Returns the addresses that show something, by name server.
    pub fn addresses_that(&self, shows: impl Fn(&Child<'e>) -> bool) -> Vec<HostAddresses<'_, 'e>> {
        let mut groups: BTreeMap<(&Name, Given), Vec<&Child<'e>>> = BTreeMap::new();
        for child in self.children.values().filter(|child| shows(child)) {
            if let Some((host, given)) = self.given(child) {
                groups.entry((host, given)).or_default().push(child);
            }
        }
        let group = |((host, given), children)| HostAddresses {
            host,
            given,
            children,
        };
        groups.into_iter().map(group).collect()
    }

    fn given(&self, child: &Child<'e>) -> Option<(&Name, Given)> {
        let address = &child.address;
        let hosts = || {
            let known = child.names.iter();
            known.filter_map(|name| self.hosts.get(name))
        };
        let first = |given, has: &dyn Fn(&&super::Host<'e>) -> bool| {
            hosts().find(has).map(|host| (&host.name, given))
        };
        first(Given::Published, &|h| h.published().contains(address))
            .or_else(|| first(Given::Expected, &|h| h.expected.contains(address)))
            .or_else(|| first(Given::InZone, &|h| h.authoritative().contains(address)))
    }

    /// Returns whether it is proved, by what servers said and not by silence, that no published
    /// address has the zone: each answers without it, or is one that nobody may use.
    #[must_use]
    pub fn has_no_server(&self) -> bool {
        let published = self.published_servers();
        let hopeless = |address: &IpAddr| match self.child(*address).map(Child::standing) {
            Some(Standing::Foreign | Standing::Lame(_)) => true,
            Some(Standing::NotAsked(why)) => *why == Some(Withheld::SpecialUse),
            _ => false,
        };
        !published.is_empty() && published.keys().all(hopeless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture};
    use bailiwick_core::message::Rcode;

    #[test]
    fn an_address_is_told_once_and_by_who_gives_it() {
        let world = Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.1")
            .zone("ns1.example.com. 192.0.2.1 192.0.2.3; ns2.example.com. 192.0.2.1")
            .expect("ns2.example.com. 192.0.2.4");
        let evidence = world.evidence();
        let picture = Picture::of(&evidence);
        let found: Vec<String> = picture
            .addresses_that(|_| true)
            .iter()
            .map(|group| format!("{} {:?} {:?}", group.host, group.given, group.addresses()))
            .collect();
        assert_eq!(
            found,
            [
                "ns1.example.com. Published {192.0.2.1}",
                "ns1.example.com. InZone {192.0.2.3}",
                "ns2.example.com. Expected {192.0.2.4}",
            ]
        );
    }

    #[test]
    fn silence_proves_nothing_about_all_servers() {
        let refused = Acts::Code(Rcode::REFUSED);
        let cases = [
            (Acts::Well, false, "one has the zone"),
            (refused.clone(), true, "all answer, none has the zone"),
            (
                Acts::Withheld(Withheld::SpecialUse),
                true,
                "nobody may use the other one",
            ),
            (Acts::Silent, false, "one is silent"),
            (
                Acts::Withheld(Withheld::Packets),
                false,
                "one was not asked",
            ),
        ];
        for (acts, expected, why) in cases {
            let world = Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2")
                .acts("192.0.2.1", refused.clone())
                .acts("192.0.2.2", acts);
            let evidence = world.evidence();
            assert_eq!(Picture::of(&evidence).has_no_server(), expected, "{why}");
        }
    }
}
