//! Axis A: how far the parent servers have come in publishing the delegation.
//!
//! Every instance is compared with what is wanted and gets a [`Class`]; the classes together
//! give the axis. There is no snapshot of an earlier delegation, so what is not new counts as
//! old. Where the zone answers nobody and nothing was expected, nothing is wanted, and the axis
//! says only whether the parent servers agree.
//!
//! Serials tell a server that is behind from one that contradicts the others, but only where
//! serials mean something: if all of them read as Unix time of the last seven days, as those of
//! large registries do. Some parent zones are run by several parties with unrelated serials.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    delegation::{Delegation, Relation},
    name::Name,
    server::Family,
    verdict::{Class, Intent, Publication},
};

use crate::{
    picture::{Content, Instance, Picture, Referral},
    serial,
};

/// How far back a serial may lie to be taken for the time of its making, in seconds.
const SERIAL_AGE: u64 = 7 * 86_400;
/// How far clocks may be apart, in seconds.
const SERIAL_AHEAD: u64 = 3_600;

/// Axis A with what it rests on.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// The axis.
    pub(crate) publication: Publication,
    /// The class of every instance, in the order of [`Picture::instances`].
    pub(crate) classes: Vec<Class>,
    /// Instances that publish all of it, whoever looks.
    pub(crate) new: usize,
    /// Instances that gave a usable answer; one that several vantage points saw counts once.
    pub(crate) seen: usize,
    /// Names of parent servers that gave no usable answer at any address that could be asked.
    pub(crate) unheard: BTreeSet<Name>,
    /// Whether the serials of the parent zone tell which version is newer.
    pub(crate) serials_trusted: bool,
    /// The lowest serial that is known to carry the wanted data (RFC 1982).
    pub(crate) first_new: Option<u32>,
}

impl Published {
    /// Classifies the instances.
    pub(crate) fn of(picture: &Picture) -> Self {
        let classes = classes(picture);
        let seen = distinct(picture, &classes);
        let new = seen.values().filter(|all_new| **all_new).count();
        let seen = seen.len();
        let unheard = unheard(picture, &classes);
        let mut published = Self {
            publication: Publication::Unknown,
            new,
            seen,
            // Without anything wanted nobody can contradict it.
            serials_trusted: !nothing_wanted(picture) && serials_trusted(picture),
            first_new: first_new(picture, &classes),
            unheard,
            classes,
        };
        published.publication = match (new, seen) {
            (_, 0) => Publication::Unknown,
            (0, _) => Publication::NotPublished,
            (new, seen) if new == seen && !published.unheard.is_empty() => Publication::Unknown,
            (new, seen) if new == seen => Publication::Published,
            _ if published.contradicting(picture).next().is_some() => Publication::Divergent,
            _ => Publication::Publishing,
        };
        published
    }

    /// Returns every instance with its class.
    pub(crate) fn classified<'p, 'e>(
        &self,
        picture: &'p Picture<'e>,
    ) -> impl Iterator<Item = (&'p Instance<'e>, Class)> {
        picture.instances.iter().zip(self.classes.clone())
    }

    /// Returns the instances whose serial says that they must have the wanted data, and that
    /// do not have it. None where serials are not trusted.
    pub(crate) fn contradicting<'p, 'e>(
        &self,
        picture: &'p Picture<'e>,
    ) -> impl Iterator<Item = &'p Instance<'e>> {
        self.not_new(picture, |own, first| !serial::is_newer(first, own))
    }

    /// Returns the instances whose serial says that they do not have the wanted data yet.
    pub(crate) fn lagging<'p, 'e>(
        &self,
        picture: &'p Picture<'e>,
    ) -> impl Iterator<Item = &'p Instance<'e>> {
        self.not_new(picture, |own, first| serial::is_newer(first, own))
    }

    fn not_new<'p, 'e>(
        &self,
        picture: &'p Picture<'e>,
        keep: fn(u32, u32) -> bool,
    ) -> impl Iterator<Item = &'p Instance<'e>> {
        let first = self.first_new.filter(|_| self.serials_trusted);
        self.classified(picture)
            .filter(|(_, class)| !matches!(class, Class::New | Class::Silent))
            .map(|(instance, _)| instance)
            .filter(move |instance| {
                let serials = instance.serial().zip(first);
                serials.is_some_and(|(own, first)| keep(own, first))
            })
    }
}

/// What tells instances apart: address and identity; without identity what they publish, and
/// whether over UDP alone.
type Identity<'p> = (IpAddr, Option<&'p [u8]>, Option<Class>, bool);

/// Every instance that gave a usable answer, and whether it publishes all of it to everybody.
fn distinct<'p>(picture: &'p Picture, classes: &[Class]) -> BTreeMap<Identity<'p>, bool> {
    let mut seen = BTreeMap::new();
    for (instance, class) in picture.instances.iter().zip(classes) {
        if *class != Class::Silent {
            let all_new = seen
                .entry((
                    instance.server.address,
                    instance.nsid,
                    instance.nsid.is_none().then_some(*class),
                    instance.tcp.is_some(),
                ))
                .or_insert(true);
            *all_new &= *class == Class::New;
        }
    }
    seen
}

/// The names of parent servers that gave no usable answer at any address that could be asked.
/// Families in which nothing answers here are left out.
fn unheard(picture: &Picture, classes: &[Class]) -> BTreeSet<Name> {
    let mut heard: BTreeMap<&Name, bool> = BTreeMap::new();
    for (instance, class) in picture.instances.iter().zip(classes) {
        if instance.family_alive {
            *heard.entry(&instance.server.name).or_default() |= *class != Class::Silent;
        }
    }
    heard
        .into_iter()
        .filter(|(_, heard)| !heard)
        .map(|(name, _)| name.clone())
        .collect()
}

fn classes(picture: &Picture) -> Vec<Class> {
    if nothing_wanted(picture) {
        return agreement(picture);
    }
    let mut classes = vec![Class::Silent; picture.instances.len()];
    for places in &picture.sayings {
        let class = class(picture, &picture.instances[places[0]]);
        for &place in places {
            classes[place] = class;
        }
    }
    classes
}

fn nothing_wanted(picture: &Picture) -> bool {
    picture.wanted.names.is_none() && picture.wanted.addresses().next().is_none()
}

/// Compares one instance with what is wanted.
fn class(picture: &Picture, instance: &Instance) -> Class {
    let plain = plain_class(picture, instance);
    if plain != Class::New {
        return plain;
    }
    let differences = picture.differences(instance);
    let material: Vec<_> = differences.iter().filter(|d| d.is_material()).collect();
    if material.is_empty() && !picture.is_disjoint(instance) {
        return Class::New;
    }
    // Of what somebody said to expect, a part may be there already.
    let expected = || {
        picture
            .wanted
            .addresses()
            .filter(|(_, _, want)| want.intent != Intent::Inferred)
    };
    let there = expected().any(|(host, family, _)| {
        !material
            .iter()
            .any(|d| d.host == *host && d.family == family)
    });
    if there && material.iter().any(|d| d.wanted.intent != Intent::Inferred) {
        Class::Mixed
    } else {
        Class::Old
    }
}

/// The class as far as it does not depend on what is wanted; `New` where it does.
fn plain_class(picture: &Picture, instance: &Instance) -> Class {
    match instance.referral() {
        Some(Referral::Delegation(delegation)) if has_no_way_in(picture, instance, delegation) => {
            Class::None
        }
        Some(Referral::Delegation(_) | Referral::Hosted(_)) => Class::New,
        Some(Referral::Absent | Referral::Inside(_)) => Class::None,
        Some(Referral::Elsewhere(_) | Referral::NotAuthoritative | Referral::Error(_)) | None => {
            Class::Silent
        }
    }
}

/// Whether a referral names in-domain name servers only, and proves that none has glue.
fn has_no_way_in(picture: &Picture, instance: &Instance, delegation: &Delegation) -> bool {
    delegation.name_servers.keys().all(|host| {
        picture.relation(host) == Relation::InDomain
            && Family::ALL
                .iter()
                .all(|&family| instance.glue(host, family).is_some_and(|g| g.is_empty()))
    })
}

/// Without anything wanted: what most instances publish is `New`, of equally many that with
/// the newer serial, and the rest is `Old`.
fn agreement(picture: &Picture) -> Vec<Class> {
    let plain: Vec<Class> = picture
        .instances
        .iter()
        .map(|instance| plain_class(picture, instance))
        .collect();
    let leading = picture
        .versions()
        .into_iter()
        .filter(|(content, _)| *content != Content::Nothing)
        .max_by_key(|(_, instances)| {
            let newest = instances.iter().filter_map(|i| i.serial()).max();
            (instances.len(), newest)
        })
        .map(|(content, _)| content);
    let differs = |instance: &Instance| {
        let content = instance
            .best()
            .and_then(|answer| Content::of(answer, picture.zone));
        content.is_some() && content != leading
    };
    plain
        .into_iter()
        .zip(&picture.instances)
        .map(|(class, instance)| match class {
            Class::New if differs(instance) => Class::Old,
            class => class,
        })
        .collect()
}

fn serials_trusted(picture: &Picture) -> bool {
    let mut serials = picture
        .instances
        .iter()
        .filter_map(Instance::serial)
        .peekable();
    let now = picture.now().seconds();
    serials.peek().is_some()
        && serials.all(|serial| {
            let serial = u64::from(serial);
            serial + SERIAL_AGE >= now && serial <= now + SERIAL_AHEAD
        })
}

fn first_new(picture: &Picture, classes: &[Class]) -> Option<u32> {
    picture
        .instances
        .iter()
        .zip(classes)
        .filter(|(_, class)| **class == Class::New)
        .filter_map(|(instance, _)| instance.serial())
        .reduce(|a, b| if serial::is_newer(a, b) { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture};

    const NEW: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const OLD: &str = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";
    const B: &str = "b.gtld.test.";
    const NOW: u32 = 1_700_000_000;

    fn of(world: &Fixture) -> (Publication, usize, usize) {
        let evidence = world.evidence();
        let published = Published::of(&Picture::of(&evidence));
        (published.publication, published.new, published.seen)
    }

    #[test]
    fn parents_are_compared_with_what_is_wanted() {
        use Publication::{Divergent, NotPublished, Published, Publishing, Unknown};
        let world = || Fixture::healthy(NEW);
        let behind = || world().parent_at(B, OLD).acts("192.0.2.10", Acts::Silent);
        let dead = || {
            ["192.0.2.1", "192.0.2.2", "192.0.2.10"]
                .into_iter()
                .fold(world(), |world, at| world.acts(at, Acts::Silent))
        };
        let cases: [(Fixture, (Publication, usize, usize), &str); 15] = [
            (world(), (Published, 4, 4), "all agree with the zone"),
            (
                behind().serial_at(B, NOW - 38),
                (Publishing, 2, 4),
                "one server is behind",
            ),
            (
                behind().serial_at(B, NOW + 600),
                (Divergent, 2, 4),
                "it has a newer version, and still other data",
            ),
            (
                behind().serial_at(B, NOW),
                (Divergent, 2, 4),
                "the same version, and other data",
            ),
            (
                behind().serial_at("a.gtld.test.", 42).serial_at(B, 43),
                (Publishing, 2, 4),
                "serials that are no times say nothing",
            ),
            (
                behind().parents(OLD),
                (NotPublished, 0, 4),
                "the parents agree with each other, not with the zone",
            ),
            (
                world().parents("ns1.example.com.; ns2.example.com."),
                (NotPublished, 0, 4),
                "names without glue are no way in",
            ),
            (
                world()
                    .parents("ns1.example.com. 192.0.2.1; ns9.example.com. 192.0.2.9")
                    .apex(&["ns1.example.com."]),
                (Published, 4, 4),
                "a name too many is an inconsistency, not a missing publication",
            ),
            (
                world().parents("old1.example.com. 192.0.2.1; old2.example.com. 192.0.2.2"),
                (NotPublished, 0, 4),
                "no name in common with the apex",
            ),
            (
                dead(),
                (Published, 4, 4),
                "no server of the zone answers: nothing is wanted, and the parents agree",
            ),
            (
                dead().parent_at(B, OLD),
                (Publishing, 2, 4),
                "no server of the zone answers, and the parents disagree",
            ),
            (
                world().parent_acts("198.51.100.2", &Acts::Silent),
                (Published, 3, 3),
                "what is silent is not seen",
            ),
            (
                world().parent_acts(B, &Acts::Silent),
                (Unknown, 2, 2),
                "a server that nobody hears may publish anything",
            ),
            (
                world().parent_acts("*", &Acts::Code(bailiwick_core::message::Rcode::REFUSED)),
                (Unknown, 0, 0),
                "nothing usable",
            ),
            (
                world().parents_host_zone(),
                (Published, 4, 4),
                "servers of the parent that have the zone themselves",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(of(&world), expected, "{why}");
        }
    }

    #[test]
    fn an_expectation_replaces_what_the_zone_says() {
        use Class::{Mixed, New, Old};
        let both = "ns1.example.com. 192.0.2.21; ns2.example.com. 192.0.2.22";
        let half = "ns1.example.com. 192.0.2.21; ns2.example.com. 192.0.2.2";
        let world = || Fixture::healthy(NEW).expect(both);
        let cases = [
            (world(), Old, "the old world agrees with itself"),
            (world().parents(half), Mixed, "one of two hosts has moved"),
            (
                world().parents(both),
                New,
                "both have, whatever the zone says",
            ),
            (
                Fixture::healthy(NEW).expect("ns3.example.com. 192.0.2.3"),
                Old,
                "a host that is expected must be in the delegation",
            ),
            (
                Fixture::healthy(NEW).expect("ns1.example.com. 2001:db8::1"),
                Old,
                "a family that is expected must be there",
            ),
            (
                Fixture::healthy(NEW).expect("ns1.example.com. 192.0.2.1"),
                New,
                "as it is",
            ),
        ];
        for (world, expected, why) in cases {
            let evidence = world.evidence();
            let published = Published::of(&Picture::of(&evidence));
            assert_eq!(published.classes, [expected; 4], "{why}");
        }
    }
}
