//! Axis C: what public resolvers make of the zone.
//!
//! Without a declared change there is no old data to look for, so the axis says whether the
//! resolvers that are well can resolve a name that no cache knows, and how long caches may keep
//! what is published now. A service fails if none of its addresses resolves; silence of a
//! resolver counts only where nothing else was lost. Asked from several networks, a service stands
//! in as many places, and fails also if it does so in two of them.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::{
    message::Rcode,
    query::Survey,
    vantage::VantageId,
    verdict::{Bounds, Caches},
};

use crate::picture::{Picture, Resolver, ResolverResult, Vantage};

/// What resolvers make of the zone.
#[derive(Clone, Debug)]
pub(crate) struct Sampled {
    /// The axis.
    pub(crate) caches: Caches,
    /// Services that are well and resolve the fresh name.
    pub(crate) resolving: BTreeSet<String>,
    /// Services that are well and cannot resolve it at any of their addresses.
    pub(crate) failing: BTreeSet<String>,
}

impl Sampled {
    /// Sums up the resolvers, service by service.
    pub(crate) fn of(picture: &Picture) -> Self {
        let places = places(picture);
        let mut sampled = Self {
            caches: Caches::Unknown,
            resolving: BTreeSet::new(),
            failing: BTreeSet::new(),
        };
        for (service, places) in places {
            let that = |wanted| {
                let places = places.iter().filter(move |(_, made)| **made == wanted);
                places.map(|(vantage, _)| *vantage)
            };
            let resolves = that(Fresh::Resolved).next().is_some();
            let fails = that(Fresh::Failed).next().is_some();
            if resolves {
                sampled.resolving.insert(service.to_owned());
            }
            let alone = !resolves && that(Fresh::Unclear).next().is_none();
            if fails && (alone || picture.networks.count(that(Fresh::Failed)).0 >= PLACES) {
                sampled.failing.insert(service.to_owned());
            }
        }
        sampled.caches = if !sampled.failing.is_empty() {
            Caches::BrokenResolver
        } else if sampled.resolving.is_empty() {
            Caches::Unknown
        } else {
            Caches::SampledOk
        };
        sampled
    }
}

/// In so many networks a service fails before it is not their own doing.
const PLACES: usize = 2;

/// What each service made of a fresh name, by who asked: the best of its addresses there.
pub(crate) fn places<'e>(
    picture: &Picture<'e>,
) -> BTreeMap<&'e str, BTreeMap<&'e VantageId, Fresh>> {
    let mut places: BTreeMap<_, BTreeMap<_, Fresh>> = BTreeMap::new();
    for resolver in usable(picture) {
        let made = fresh(picture, resolver);
        let of_service = places.entry(resolver.service).or_default();
        let known = of_service.entry(resolver.vantage).or_insert(made);
        *known = made.min(*known);
    }
    places
}

/// Returns the resolvers that are well, asked from a place that is fit. Where one of them invents
/// answers (control C5, asked of one for all), what stands there is not the service that it seems,
/// so none of that place is believed.
pub(crate) fn usable<'p, 'e>(picture: &'p Picture<'e>) -> impl Iterator<Item = &'p Resolver<'e>> {
    let is_fit = |vantage: &Vantage| vantage.testifies() && vantage.hijacked.is_empty();
    picture.resolvers.iter().filter(move |resolver| {
        resolver.is_well() && picture.vantage(resolver.vantage).is_some_and(is_fit)
    })
}

/// What a resolver made of a fresh name. Of several addresses the first of these holds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fresh {
    /// It resolved.
    Resolved,
    /// Not asked, or silence that may be loss.
    Unclear,
    /// It did not, for certain.
    Failed,
}

/// Returns what a resolver that is well made of a fresh name.
pub(crate) fn fresh(picture: &Picture, resolver: &Resolver) -> Fresh {
    if is_denied(resolver) {
        return Fresh::Failed;
    }
    let silence_counts = || {
        let vantage = picture.vantage(resolver.vantage);
        vantage.is_some_and(|vantage| vantage.loss.lost == 0)
    };
    match resolver.result(Survey::Fresh) {
        ResolverResult::Resolved(_) => Fresh::Resolved,
        ResolverResult::Failed(_) => Fresh::Failed,
        ResolverResult::Silent
            if silence_counts()
                && resolver.result(Survey::FreshUnchecked) == ResolverResult::Silent =>
        {
            Fresh::Failed
        }
        ResolverResult::Silent | ResolverResult::NotAsked => Fresh::Unclear,
    }
}

/// Returns whether a resolver says that there is no such zone (NXDOMAIN).
pub(crate) fn is_denied(resolver: &Resolver) -> bool {
    [Survey::Stub, Survey::Warm]
        .iter()
        .any(|survey| resolver.result(*survey).rcode() == Some(Rcode::NXDOMAIN))
}

/// Returns how long caches may keep what is published now.
pub(crate) fn bounds(picture: &Picture) -> Bounds {
    let referrals = || picture.instances.iter().filter_map(|i| i.delegation());
    let ns = referrals().map(|delegation| delegation.ns_ttl).max();
    let glue = referrals()
        .flat_map(|delegation| delegation.name_servers.values().flat_map(|g| g.values()))
        .copied()
        .max();
    let apex = picture
        .children
        .values()
        .filter(|child| !child.foreign)
        .filter_map(|child| child.ns().map(|(_, ttl, _)| ttl))
        .max();
    let hosts = picture
        .hosts
        .values()
        .flat_map(|host| &host.answers)
        .filter_map(|answer| answer.ttl)
        .max();
    let negative = picture
        .instances
        .iter()
        .filter_map(|instance| Some(instance.soa?.0.minimum.min(instance.soa_ttl?)))
        .max();
    Bounds {
        parent_ttl: ns.max(glue),
        child_ttl: apex.max(hosts),
        negative_ttl: negative,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn resolvers_are_summed_up_by_service() {
        use Caches::{BrokenResolver, SampledOk, Unknown};
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1");
        let fail = Some(Rcode::SERVFAIL);
        let cases = [
            (world(), SampledOk, 3, 0, "all resolve"),
            (
                world().resolver("google", fail, fail, &[]),
                BrokenResolver,
                2,
                1,
                "one fails",
            ),
            (
                world().resolver("google", None, None, &[]),
                BrokenResolver,
                2,
                1,
                "one does not answer for the zone, only for the control",
            ),
            (
                world().resolver("google", None, None, &[]).lose(1),
                SampledOk,
                2,
                0,
                "it may be loss",
            ),
            (
                world()
                    .resolver("google", fail, fail, &[])
                    .resolver_is_sick("google"),
                SampledOk,
                2,
                0,
                "a resolver that fails the control says nothing",
            ),
            (world().no_resolvers(), Unknown, 0, 0, "none was asked"),
            (
                world().hijacked("google"),
                Unknown,
                0,
                0,
                "one invents answers, so nothing here is what it seems",
            ),
        ];
        for (world, caches, resolving, failing, why) in cases {
            let evidence = world.evidence();
            let sampled = Sampled::of(&Picture::of(&evidence));
            let seen = (
                sampled.caches,
                sampled.resolving.len(),
                sampled.failing.len(),
            );
            assert_eq!(seen, (caches, resolving, failing), "{why}");
        }
    }

    #[test]
    fn bounds_are_the_largest_ttls_seen() {
        let world = Fixture::healthy("ns1.example.com. 192.0.2.1")
            .ttl_at("a.gtld.test.", 3600, 86_400)
            .ttl_at("b.gtld.test.", 7200, 60);
        let evidence = world.evidence();
        let bounds = bounds(&Picture::of(&evidence));
        let expected = Bounds {
            parent_ttl: Some(86_400),
            child_ttl: Some(3600),
            negative_ttl: Some(900),
        };
        assert_eq!(bounds, expected);
    }
}
