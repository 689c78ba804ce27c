//! One machine of the parent zone, as all vantage points together saw it.
//!
//! An [`Instance`] is what one vantage point saw. Several that see the same address, identity,
//! serial and data see the same thing, so it is told once, with everybody who saw it.

use std::collections::BTreeMap;

use bailiwick_core::{finding::Source, vantage::VantageId};

use super::{Content, Instance, Picture};
use crate::wording;

/// One machine, and who saw it.
#[derive(Clone, Debug)]
pub struct Sighting<'p, 'e> {
    /// As the first of them saw it.
    pub instance: &'p Instance<'e>,
    /// Everybody who saw it so.
    pub all: Vec<&'p Instance<'e>>,
}

impl<'e> Picture<'e> {
    /// Puts together what several vantage points saw of one machine, in the order of servers.
    #[must_use]
    pub fn sightings<'p>(
        &self,
        instances: impl IntoIterator<Item = &'p Instance<'e>>,
    ) -> Vec<Sighting<'p, 'e>>
    where
        'e: 'p,
    {
        let mut same: BTreeMap<_, Vec<&Instance>> = BTreeMap::new();
        for instance in instances {
            let content = instance.best().and_then(|a| Content::of(a, self.zone));
            let key = (&instance.server, instance.nsid, instance.serial(), content);
            same.entry(key).or_default().push(instance);
        }
        let sightings = same.into_values();
        sightings
            .filter_map(|all| {
                let instance = *all.first()?;
                Some(Sighting { instance, all })
            })
            .collect()
    }
}

impl<'p, 'e> Sighting<'p, 'e> {
    /// Returns who saw it.
    pub fn by(&self) -> impl Iterator<Item = &'e VantageId> {
        self.all.iter().map(|instance| instance.vantage)
    }

    /// Names it by server, address and identity, and in a fleet by who saw it:
    /// `a.gtld.test. 192.5.6.30 (instance fra2, seen from eu (AS64500))`.
    #[must_use]
    pub fn named(&self, picture: &Picture<'e>) -> String {
        let identity = self.instance.nsid_text().map(|id| format!("instance {id}"));
        let seen = picture
            .is_fleet()
            .then(|| format!("seen from {}", wording::witnesses(picture, self.by())));
        let known: Vec<String> = identity.into_iter().chain(seen).collect();
        if known.is_empty() {
            self.instance.server.to_string()
        } else {
            format!("{} ({})", self.instance.server, known.join(", "))
        }
    }

    /// Returns whether only one network of a fleet saw it, and not over TCP with an identity:
    /// then it may be the vantage point's own doing.
    #[must_use]
    pub fn is_single_source(&self, picture: &Picture<'e>) -> bool {
        let confirmed = |i: &&Instance| i.nsid.is_some() && i.tcp.is_some();
        picture.is_fleet()
            && picture.networks.count(self.by()).0 < 2
            && !self.all.iter().any(confirmed)
    }

    /// Returns where the evidence is: the data and the serial.
    pub fn sources(&self) -> impl Iterator<Item = Source> {
        self.all.iter().flat_map(|instance| {
            let serial = instance.soa.map(|(_, seen)| seen.source());
            instance.sources().into_iter().chain(serial)
        })
    }
}
