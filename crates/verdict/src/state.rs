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
    /// Returns the axes, which are computed once for all the rules that ask.
    pub(crate) fn of<'p>(picture: &'p Picture) -> &'p Self {
        picture.axes.get_or_init(|| Self::compute(picture))
    }

    fn compute(picture: &Picture) -> Self {
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

#[cfg(test)]
mod tests {
    use bailiwick_core::{message::Rcode, report::Inside, server::Family};

    use super::*;
    use crate::{
        Policy,
        fixture::{Acts, Fixture, name},
        judge,
    };

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const OLD: &str = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";
    const B: &str = "b.gtld.test.";

    fn both(acts: &Acts) -> Fixture {
        Fixture::healthy(BOTH)
            .acts("192.0.2.1", acts.clone())
            .acts("192.0.2.2", acts.clone())
    }

    #[test]
    fn the_first_match_wins() {
        use State::{
            Broken, Consistent, Degraded, Divergent, Inconclusive, NotAZone, NotPublished,
            Publishing,
        };
        let world = || Fixture::healthy(BOTH);
        let fail = Some(Rcode::SERVFAIL);
        let inside = || {
            world()
                .parent_at("*", "")
                .found(Found::Inside(Inside::Data))
        };
        let lost = |lost| {
            world()
                .found(Found::Lost(lost))
                .parent_acts("*", &Acts::Silent)
        };
        let cases = [
            (world(), Consistent, "all agrees and answers"),
            (
                world().no_resolvers(),
                Consistent,
                "resolvers are no part of it",
            ),
            (
                world().acts("192.0.2.1", Acts::UdpOnly),
                Consistent,
                "a warning beside it",
            ),
            (
                world().acts("192.0.2.1", Acts::Silent),
                Degraded,
                "one address is dead",
            ),
            (
                both(&Acts::Silent),
                Degraded,
                "silent here, resolving elsewhere",
            ),
            (
                both(&Acts::Silent).all_resolvers(fail, &[22]),
                Broken,
                "silent here, failing elsewhere",
            ),
            (
                both(&Acts::Silent).all_resolvers(fail, &[22]).lose(5),
                Inconclusive,
                "silent here, failing elsewhere, and packets are lost here",
            ),
            (
                both(&Acts::Silent).no_resolvers(),
                Inconclusive,
                "silent here, nobody else asked",
            ),
            (
                both(&Acts::Code(Rcode::REFUSED)),
                Broken,
                "every server says no",
            ),
            (
                both(&Acts::Code(Rcode::REFUSED)).lose(5),
                Broken,
                "what servers say counts also where packets are lost",
            ),
            (
                world().parents(OLD),
                NotPublished,
                "another address everywhere",
            ),
            (
                world().parent_at(B, OLD).serial_at(B, 7),
                Publishing,
                "another address at one",
            ),
            (
                world().parent_at(B, OLD),
                Divergent,
                "another address at an equal serial",
            ),
            (world().parent_at("*", ""), Broken, "NXDOMAIN"),
            (
                world().parent_at("*", "").expect(BOTH),
                NotPublished,
                "NXDOMAIN of what is expected",
            ),
            (inside(), NotAZone, "a name in the zone above"),
            (
                inside().expect(BOTH),
                NotPublished,
                "the same, but expected to be a zone",
            ),
            (
                world().parent_acts(B, &Acts::Silent),
                Inconclusive,
                "a parent server is unheard",
            ),
            (
                world().parent_acts("2001:db8:100::2", &Acts::Silent),
                Consistent,
                "one address of a parent server is silent",
            ),
            (world().without(Family::V6), Consistent, "no IPv6 here"),
            (world().offline(), Inconclusive, "nothing answers"),
            (
                world().blackhole_answers(),
                Inconclusive,
                "something answers for others",
            ),
            (
                world().parent_acts("*", &Acts::Upward),
                Inconclusive,
                "no usable answer",
            ),
            (
                lost(Lost::NoUsableAnswer { zone: name("com.") }),
                Inconclusive,
                "the walk ended above",
            ),
            (
                lost(Lost::Cycle {
                    path: vec![name("com.")],
                }),
                Broken,
                "a circle above",
            ),
            (lost(Lost::Exhausted), Inconclusive, "a limit of the check"),
            (
                world().resolver("google", fail, fail, &[22]),
                Degraded,
                "a resolver that is well cannot resolve it",
            ),
            (
                world().resolver_is_sick("google"),
                Consistent,
                "a resolver that is not well",
            ),
            (
                world().parents_host_zone(),
                Consistent,
                "the parent's servers have the zone",
            ),
        ];
        for (world, expected, why) in cases {
            let verdict = judge(&world.evidence(), &Policy::default());
            assert_eq!(verdict.state, expected, "{why}: {}", verdict.headline);
        }
    }

    #[test]
    fn one_sick_vantage_point_changes_nothing() {
        let well = Fixture::healthy(BOTH).from("eu");
        let sick = [
            both(&Acts::Silent).from("ap").offline(),
            Fixture::healthy(BOTH)
                .parents(OLD)
                .from("ap")
                .blackhole_answers(),
            both(&Acts::Silent).from("ap").lose(9),
        ];
        for sick in sick {
            let evidence = well.evidence().join(sick.evidence());
            let verdict = judge(&evidence, &Policy::default());
            assert_eq!(verdict.state, State::Consistent, "{}", verdict.headline);
            assert!(verdict.findings.iter().all(|f| f.actor == Actor::Vantage));
        }
    }

    #[test]
    fn one_healthy_vantage_point_that_sees_other_things_is_enough() {
        let well = Fixture::healthy(BOTH).from("eu");
        let cases = [
            (
                Fixture::healthy(BOTH)
                    .parent_at("198.51.100.2", OLD)
                    .from("ap"),
                State::Divergent,
                "an instance that the other one does not see",
            ),
            (
                both(&Acts::Silent).from("ap"),
                State::Degraded,
                "cut off from the servers",
            ),
        ];
        for (other, expected, why) in cases {
            let verdict = judge(&well.evidence().join(other.evidence()), &Policy::default());
            assert_eq!(verdict.state, expected, "{why}: {}", verdict.headline);
        }
    }

    #[test]
    fn an_operator_may_weigh_findings_otherwise() {
        let world = Fixture::healthy(BOTH).acts("192.0.2.1", Acts::UdpOnly);
        let mut policy = Policy::default();
        policy
            .severities
            .insert("child-tcp-blocked".to_owned(), Severity::Error);
        assert_eq!(judge(&world.evidence(), &policy).state, State::Degraded);
    }
}
