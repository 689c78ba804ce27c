//! What the addresses of a name server outside of the zone depend on, by the look-up of its
//! name from the root.
//!
//! A look-up can lead back to where it began: the address of the one name is needed to find
//! the other, and the other way round. Glue breaks such a circle; a server of the zone cannot.

use std::collections::BTreeSet;

use bailiwick_core::{
    delegation::Relation,
    finding::Source,
    name::Name,
    query::Purpose,
    report::{Lookup, Lost},
};

use super::{Host, Picture, Seen};
use crate::usable::{self, How, Usable};

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
        let path = self.cycle_of(host)?;
        let parent = self.parent?;
        path.iter()
            .all(|name| name.is_at_or_below(parent))
            .then_some(path)
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
