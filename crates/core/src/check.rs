//! What somebody wants to know about a zone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::{
    name::Name,
    query::Stub,
    server::{Family, Server},
};

/// The identity of a check: 128 random bits, given by whoever starts it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct CheckId(pub u128);

/// What the delegation should say, as far as somebody said so: the addresses of some hosts.
///
/// It replaces what the zone says for the hosts and families it names, and only those.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Expectation {
    /// Host name to addresses.
    pub hosts: BTreeMap<Name, BTreeSet<IpAddr>>,
}

impl Expectation {
    /// Returns whether nothing is expected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Returns the addresses expected of a host in a family; `None` if nothing was said of it.
    #[must_use]
    pub fn of(&self, host: &Name, family: Family) -> Option<BTreeSet<IpAddr>> {
        let found: BTreeSet<_> = self
            .hosts
            .get(host)?
            .iter()
            .copied()
            .filter(|&a| Family::of(a) == family)
            .collect();
        (!found.is_empty()).then_some(found)
    }
}

/// A public resolver service.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Resolver {
    /// What people call it, such as `google`.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it is one of the default services, whose identity answers are known (control C6).
    pub well_known: bool,
}

/// What to find out, and within which bounds.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Check {
    /// Identity.
    pub id: CheckId,
    /// The zone.
    pub zone: Name,
    /// What its delegation should say.
    pub expectation: Expectation,
    /// Where walks begin.
    pub roots: Vec<Server>,
    /// Whom to ask for the users' view.
    pub resolvers: Vec<Resolver>,
    /// How the stub's view is carried.
    pub stub: Stub,
    /// The families to use.
    pub families: BTreeSet<Family>,
    /// Whether walks minimise the name asked (RFC 9156).
    pub minimise: bool,
    /// When to stop at the latest.
    pub timeout: Duration,
    /// Random octets for names and labels that no cache can know.
    pub nonce: u64,
    /// Addresses where nothing may answer (control C3); empty where the world has a server there.
    pub blackholes: Vec<IpAddr>,
    /// Whether the operator allowed addresses that are not globally reachable (a laboratory).
    pub lab: bool,
}

/// Counts the packets of one check. It can only grow: there is no reset and no copy.
#[derive(Debug, Default)]
pub struct Counter(AtomicU32);

impl Counter {
    /// Takes one packet if fewer than `limit` were taken; returns whether it did.
    #[must_use]
    pub fn take(&self, limit: u32) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < limit).then_some(taken + 1)
            })
            .is_ok()
    }

    /// Returns how many packets were taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_stops_at_its_limit_and_never_goes_back() {
        let counter = Counter::default();
        let taken = (0..500).filter(|_| counter.take(320)).count();
        assert_eq!((taken, counter.taken()), (320, 320));
        assert!(
            !counter.take(10),
            "a lower limit does not give packets back"
        );
        assert_eq!(counter.taken(), 320);
    }
}
