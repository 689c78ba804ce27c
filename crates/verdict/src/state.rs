//! Three axes to one state: the table in which the first match wins.
//!
//! This is the table for one moment without a declared change, so `STALLED`,
//! `PUBLISHED_DRAINING` and `CONFIRMED` are never given here, and `REGRESSED` needs a history.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
    report::{Found, Lost},
    vantage::Fitness,
    verdict::{Caches, ModelResult, Publication, Reachability, State},
};

use crate::{
    caches::Sampled,
    models,
    picture::Picture,
    publication::Published,
    reachability::{self, Outage},
};

/// The three axes with what they rest on.
#[derive(Clone, Debug)]
pub(crate) struct Axes {
    /// A.
    pub(crate) published: Published,
    /// Which kinds of resolver get in.
    pub(crate) models: Vec<ModelResult>,
    /// Why there is no way in, if that is settled.
    pub(crate) outage: Option<Outage>,
    /// B.
    pub(crate) reachability: Reachability,
    /// C.
    pub(crate) sampled: Sampled,
}

impl Axes {
    /// Computes the axes.
    pub(crate) fn of(picture: &Picture) -> Self {
        let sampled = Sampled::of(picture);
        let outage = reachability::outage(picture, &sampled);
        let models = models::models(picture, outage.is_some());
        if is_inside(picture) {
            return Self::of_no_zone(picture, sampled, models);
        }
        Self {
            published: Published::of(picture),
            reachability: reachability::reachability(picture, &sampled, outage, &models),
            models,
            outage,
            sampled,
        }
    }

    /// Of a name that is no zone there is nothing to publish, to reach or to keep.
    fn of_no_zone(picture: &Picture, sampled: Sampled, models: Vec<ModelResult>) -> Self {
        Self {
            published: Published {
                publication: Publication::Unknown,
                new: 0,
                seen: 0,
                ..Published::of(picture)
            },
            reachability: Reachability::Unknown,
            models,
            outage: None,
            sampled: Sampled {
                caches: Caches::Unknown,
                ..sampled
            },
        }
    }
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
    let awaited =
        axes.outage == Some(Outage::NoDelegation) && !picture.check.expectation.is_empty();
    if axes.reachability == Reachability::Broken && !awaited {
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
        axes.reachability,
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
    if let Some(name) = axes.published.unheard.first() {
        return Some(Blind::ParentName(name.clone()));
    }
    if axes.published.publication == Publication::Unknown {
        return Some(Blind::NoParent);
    }
    (axes.reachability == Reachability::Unknown).then_some(Blind::Silence)
}
