//! What the addresses of a name server outside of the zone depend on, by the look-up of its
//! name from the root.
//!
//! A look-up can lead back to where it began: the address of the one name is needed to find
//! the other, and the other way round. Glue breaks such a circle; a server of the zone cannot.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::{
    delegation::{Delegation, Glue, Relation},
    finding::Source,
    name::Name,
    query::Purpose,
    report::{Lookup, Lost},
};

use super::{Host, Picture, Seen};
use crate::usable::{self, How, Usable};

/// How many zones a way back may lead through; look-ups do not nest deeper (limit B5).
const DEEPEST: usize = 4;

impl<'e> Picture<'e> {
    /// Returns the way round the circle that the look-up of a host of the delegation without
    /// glue runs into. A zone whose own servers are in-domain and have no glue is no circle
    /// through others: nothing is returned for it.
    #[must_use]
    pub fn cycle_of(&self, host: &Host<'e>) -> Option<&'e [Name]> {
        let outside = host.relation != Relation::InDomain && host.in_delegation;
        let needed = host.relation == Relation::Unrelated || host.glue.is_empty();
        match host.lookup {
            Some(Lookup::Lost(Lost::Cycle { path })) if outside && needed => {
                (!is_own_glue_missing(path)).then_some(path.as_slice())
            }
            _ => None,
        }
    }

    /// The same for a circle through zones of one parent only: sibling glue would break it.
    #[must_use]
    pub fn sibling_cycle_of(&self, host: &Host<'e>) -> Option<&'e [Name]> {
        self.cycle_of(host).filter(|path| self.are_siblings(path))
    }

    /// Returns whether all names are below the parent zone.
    #[must_use]
    pub fn are_siblings(&self, names: &[Name]) -> bool {
        self.parent
            .is_some_and(|parent| names.iter().all(|name| name.is_at_or_below(parent)))
    }

    /// Returns the way from a host of the delegation without glue back to the zone, if its
    /// address can be found only by way of the zone itself: then it helps nobody who does not
    /// know another server. The way is read off the referrals that the look-ups saw.
    #[must_use]
    pub fn way_back(&self, host: &Host<'e>) -> Option<Vec<Name>> {
        let outside = host.relation != Relation::InDomain && host.in_delegation;
        let needed = host.relation == Relation::Unrelated || host.glue.is_empty();
        if !(outside && needed) || self.cycle_of(host).is_some() {
            return None;
        }
        let mut way = Vec::new();
        self.leads_back(&host.name, &self.referrals(), &mut way)
            .then_some(way)
    }

    /// Every delegation that a look-up saw, by zone, with the zone that was asked for it.
    fn referrals(&self) -> BTreeMap<Name, (&'e Name, Delegation)> {
        let mut referrals = BTreeMap::new();
        for seen in self
            .observations
            .iter()
            .filter(|s| s.purpose == Purpose::Lookup)
        {
            let observation = seen.observation;
            let Some(message) = observation.reply() else {
                continue;
            };
            let down = Delegation::owner(message)
                .filter(|owner| owner.is_below(&observation.zone))
                .and_then(|owner| Delegation::read(message, owner));
            if let Some(delegation) = down {
                let zone = delegation.zone.clone();
                referrals
                    .entry(zone)
                    .or_insert((&observation.zone, delegation));
            }
        }
        referrals
    }

    /// Whether every name server that could tell the address of `name` is in the zone, or leads
    /// back to it. Names already on the way are no way out, and no way back either.
    fn leads_back(
        &self,
        name: &Name,
        referrals: &BTreeMap<Name, (&'e Name, Delegation)>,
        way: &mut Vec<Name>,
    ) -> bool {
        if way.contains(name) || way.len() > DEEPEST {
            return false;
        }
        way.push(name.clone());
        if name.is_at_or_below(self.zone) {
            return true;
        }
        let labels = (0..=name.label_count()).rev();
        let cut = labels
            .filter_map(|n| referrals.get(&name.ancestor(n)?))
            .next();
        let back = cut.is_some_and(|(asked, delegation)| {
            let mut servers = delegation.name_servers.iter();
            let given =
                |(host, glue): &(&Name, &Glue)| !glue.is_empty() && host.is_at_or_below(asked);
            let depth = way.len();
            servers.clone().next().is_some()
                && servers.all(|server| {
                    // The way shown is that of the last name server; one is enough.
                    way.truncate(depth);
                    !given(&server) && self.leads_back(server.0, referrals, way)
                })
        });
        if !back {
            way.pop();
        }
        back
    }

    /// Returns whether the delegation leads to a server that has the zone by a name that is not
    /// among these.
    #[must_use]
    pub fn works_without(&self, names: &BTreeSet<&Name>) -> bool {
        self.delegated_hosts()
            .filter(|host| !names.contains(&host.name))
            .flat_map(Host::published)
            .any(|address| usable::address(self, address, How::Either) == Usable::Yes)
    }

    /// Returns the evidence for the end of the look-up of a name: the last questions asked for it.
    #[must_use]
    pub fn lookup_sources(&self, host: &Name) -> Vec<Source> {
        let on_the_way: Vec<&Seen> = self
            .observations
            .iter()
            .filter(|s| s.purpose == Purpose::Lookup && host.is_at_or_below(&s.question.name))
            .collect();
        let deepest = on_the_way
            .iter()
            .map(|s| s.question.name.label_count())
            .max();
        on_the_way
            .iter()
            .filter(|s| Some(s.question.name.label_count()) == deepest)
            .map(|s| s.source())
            .collect()
    }
}

/// Returns whether a circle is that of a zone with in-domain name servers and no glue: the zone
/// and one of its hosts.
#[must_use]
pub fn is_own_glue_missing(path: &[Name]) -> bool {
    let names: BTreeSet<&Name> = path.iter().collect();
    matches!(path, [zone, host] if names.len() == 2 && host.is_below(zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::name;

    #[test]
    fn a_zone_without_its_own_glue_is_no_circle_through_others() {
        let cases: [(&[&str], bool, &str); 3] = [
            (&["a.test.", "ns1.a.test."], true, "zone and its host"),
            (
                &["ns1.a.test.", "ns1.b.test.", "ns1.a.test."],
                false,
                "two zones",
            ),
            (&["a.test.", "ns1.b.test."], false, "a host of another zone"),
        ];
        for (path, expected, why) in cases {
            let path: Vec<Name> = path.iter().map(|text| name(text)).collect();
            assert_eq!(is_own_glue_missing(&path), expected, "{why}");
        }
    }
}
