//! Three axes to one state: the table in which the first match wins.
//!
//! This is the table for one moment without a declared change, so `STALLED`,
//! `PUBLISHED_DRAINING` and `CONFIRMED` are never given here, and `REGRESSED` needs a history.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
    report::{Found, Lost},
    server::Family,
    vantage::Fitness,
    verdict::{Caches, Publication, Reachability, State},
};

use crate::{caches::Sampled, picture::Picture, publication::Published, reachability::Reach};

/// The three axes with what they rest on.
#[derive(Clone, Debug)]
pub(crate) struct Axes {
    /// A.
    pub(crate) published: Published,
    /// B.
    pub(crate) reach: Reach,
    /// C.
    pub(crate) sampled: Sampled,
}

/// Why something could not be seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Blind {
    /// No vantage point is fit to testify.
    Unfit(Fitness),
    /// The walk from the root did not get there.
    Lost(Lost),
    /// No parent server gave a usable answer.
    NoParent,
    /// This name of a parent server answers at none of its addresses.
    ParentName(Name),
    /// No address of the zone answered here, and nobody else could say more.
    Silence,
}

/// Returns the state, and for `INCONCLUSIVE` the reason.
pub(crate) fn state(
    picture: &Picture,
    axes: &Axes,
    findings: &[Finding],
) -> (State, Option<Blind>) {
    if let Some(fitness) = unfit(picture) {
        return (State::Inconclusive, Some(Blind::Unfit(fitness)));
    }
    if is_inside(picture) {
        return (State::NotAZone, None);
    }
    if axes.reach.reachability == Reachability::Broken {
        return (State::Broken, None);
    }
    match axes.published.publication {
        Publication::Divergent => return (State::Divergent, None),
        Publication::NotPublished => return (State::NotPublished, None),
        Publication::Publishing => return (State::Publishing, None),
        _ => {}
    }
    if let Some(blind) = blind(picture, axes) {
        return (State::Inconclusive, Some(blind));
    }
    let degraded = matches!(
        axes.reach.reachability,
        Reachability::Degraded | Reachability::Partial
    ) || axes.sampled.caches == Caches::BrokenResolver
        || findings.iter().any(is_serious);
    if degraded {
        (State::Degraded, None)
    } else {
        (State::Consistent, None)
    }
}

/// Returns whether a finding is about the domain and at least an error.
pub(crate) fn is_serious(finding: &Finding) -> bool {
    finding.actor != Actor::Vantage && finding.severity >= Severity::Error
}

/// The best fitness there is, if it is not good enough.
fn unfit(picture: &Picture) -> Option<Fitness> {
    let best = picture.vantages.iter().map(|v| v.fitness).min();
    best.filter(|_| !picture.has_witness())
}

/// Whether the name lies inside a zone, and nobody expects it to be delegated.
fn is_inside(picture: &Picture) -> bool {
    matches!(picture.found, Found::Inside(_))
        && picture.delegating().next().is_none()
        && picture.check.expectation.is_empty()
}

fn blind(picture: &Picture, axes: &Axes) -> Option<Blind> {
    if let Found::Lost(lost) = picture.found {
        return Some(Blind::Lost(lost.clone()));
    }
    if axes.published.publication == Publication::Unknown {
        return Some(Blind::NoParent);
    }
    if let Some(name) = unheard(picture).into_iter().next() {
        return Some(Blind::ParentName(name.clone()));
    }
    (axes.reach.reachability == Reachability::Unknown).then_some(Blind::Silence)
}

/// Returns the names of parent servers that answered at none of the addresses that could be
/// asked. Families in which nothing answers here are left out.
pub(crate) fn unheard<'p>(picture: &'p Picture) -> BTreeSet<&'p Name> {
    let mut heard: BTreeMap<&'p Name, bool> = BTreeMap::new();
    for instance in &picture.instances {
        let family = Family::of(instance.server.address);
        if picture.witnesses(family).next().is_some() {
            *heard.entry(&instance.server.name).or_default() |= instance.referral().is_some();
        }
    }
    heard
        .into_iter()
        .filter(|(_, heard)| !heard)
        .map(|(name, _)| name)
        .collect()
}
