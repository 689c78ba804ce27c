//! Whether a resolver gets the zone's data from an address: yes, no, or not known from here.
//!
//! *No* is said only of what was proved: an answer that is no answer, an address that no
//! resolver may use, or silence that counts. Everything else is not known.

use std::{collections::BTreeSet, net::IpAddr};

use bailiwick_core::{
    delegation::Relation,
    name::Name,
    observation::Withheld,
    query::Via,
    report::{Lookup, Lost},
    server::Family,
};

use crate::picture::{Answer, Child, ChildView, Host, Picture, Standing, Vantage};

/// An answer of three values.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Usable {
    /// Proved.
    Yes,
    /// Not to be told from here.
    Unknown,
    /// Disproved.
    No,
}

impl Usable {
    /// One of them is enough; none at all is a no.
    pub(crate) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().min().unwrap_or(Self::No)
    }
}

/// How a resolver would ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum How {
    /// Over UDP, or over TCP where UDP fails.
    Either,
    /// Over one of them.
    Over(Via),
}

/// Returns whether a resolver gets the zone from an address.
pub(crate) fn address(picture: &Picture, address: IpAddr, how: How) -> Usable {
    let Some(child) = picture.child(address) else {
        return Usable::Unknown;
    };
    match how {
        How::Over(via) => over(child, via),
        How::Either => Usable::any([Via::Udp, Via::Tcp].map(|via| over(child, via))),
    }
}

fn over(child: &Child, via: Via) -> Usable {
    let standing = match via {
        Via::Tcp => child.tcp(),
        _ => child.udp(),
    };
    let is_blocked = |view: &ChildView| match via {
        Via::Tcp => view.is_tcp_blocked(),
        _ => view.is_udp_blocked(),
    };
    match standing {
        Standing::Authoritative => Usable::Yes,
        Standing::Foreign | Standing::Lame(_) => Usable::No,
        Standing::NotAsked(Some(Withheld::SpecialUse)) => Usable::No,
        Standing::Silent(_) | Standing::NotAsked(_) => {
            if child.views.iter().any(is_blocked) || child.is_dead() {
                Usable::No
            } else {
                Usable::Unknown
            }
        }
    }
}

/// Returns at how many of the published addresses a resolver beside this vantage point gets the
/// zone, and at how many it provably does not. Families that it does not have are left out.
pub(crate) fn seen_from(picture: &Picture, vantage: &Vantage) -> (usize, usize) {
    let published = picture.children.values().filter(|child| child.published);
    let views = published
        .filter(|child| vantage.alive(child.family()))
        .filter_map(|child| Some((child, child.view_from(vantage.id)?)));
    let (mut reached, mut closed) = (0, 0);
    for (child, view) in views {
        match view_usable(child, view) {
            Usable::Yes => reached += 1,
            Usable::No => closed += 1,
            Usable::Unknown => {}
        }
    }
    (reached, closed)
}

/// Returns whether a resolver beside this vantage point gets in at any published address.
pub(crate) fn from(picture: &Picture, vantage: &Vantage) -> Usable {
    let (reached, closed) = seen_from(picture, vantage);
    let asked = picture
        .children
        .values()
        .filter(|child| child.published && vantage.alive(child.family()))
        .count();
    match (reached, closed) {
        (1.., _) => Usable::Yes,
        (0, 1..) if closed == asked => Usable::No,
        _ => Usable::Unknown,
    }
}

fn view_usable(child: &Child, view: &ChildView) -> Usable {
    match view.standing() {
        Standing::Authoritative if !child.foreign => Usable::Yes,
        Standing::NotAsked(Some(Withheld::SpecialUse)) => Usable::No,
        standing if standing.answers() || view.is_dead() => Usable::No,
        _ => Usable::Unknown,
    }
}

/// The addresses that a resolver finds for a name server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Addresses {
    /// These; at least one.
    Found(BTreeSet<IpAddr>),
    /// It is proved that there is none.
    Nowhere,
    /// Not known.
    Unknown,
}

impl Addresses {
    fn found(addresses: BTreeSet<IpAddr>) -> Self {
        if addresses.is_empty() {
            Self::Nowhere
        } else {
            Self::Found(addresses)
        }
    }
}

/// Returns the addresses that a resolver with this answer of a parent server finds for a name
/// server in it: its glue, else what a look-up from the root gives. Sibling glue may be ignored.
pub(crate) fn addresses(
    picture: &Picture,
    answer: &Answer,
    host: &Name,
    ignore_sibling_glue: bool,
) -> Addresses {
    let relation = picture.relation(host);
    let glue: BTreeSet<IpAddr> = answer
        .delegation()
        .and_then(|delegation| delegation.glue_of(host))
        .map(|glue| glue.keys().copied().collect())
        .unwrap_or_default();
    let ignored = match relation {
        Relation::InDomain => false,
        Relation::Sibling => ignore_sibling_glue,
        Relation::Unrelated => true,
    };
    if !glue.is_empty() && !ignored {
        return Addresses::Found(glue);
    }
    match (relation, picture.hosts.get(host)) {
        (Relation::InDomain, _) if answer.is_complete() => Addresses::Nowhere,
        (Relation::InDomain, _) | (_, None) => Addresses::Unknown,
        (_, Some(host)) => looked_up(host),
    }
}

/// Returns the addresses that a look-up of the name from the root gives.
pub(crate) fn looked_up(host: &Host) -> Addresses {
    match host.lookup {
        Some(Lookup::Addresses(addresses) | Lookup::Alias { addresses, .. }) => {
            Addresses::found(addresses.clone())
        }
        Some(Lookup::Absent { .. } | Lookup::Lost(Lost::Cycle { .. })) => Addresses::Nowhere,
        Some(Lookup::Lost(_) | Lookup::NotTried) | None => {
            // A server of the zone may serve the other zone, too, and say so with authority.
            let told = host.authoritative();
            if told.is_empty() {
                Addresses::Unknown
            } else {
                Addresses::Found(told)
            }
        }
    }
}

/// Keeps the addresses of one family.
pub(crate) fn of_family(addresses: &BTreeSet<IpAddr>, family: Option<Family>) -> Vec<IpAddr> {
    addresses
        .iter()
        .copied()
        .filter(|&address| family.is_none_or(|family| Family::of(address) == family))
        .collect()
}
