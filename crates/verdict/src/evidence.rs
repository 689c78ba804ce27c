//! What is known: the reports of all vantage points and where these stand, joined in any order.
//!
//! A report counts once per round and vantage point. Two accounts of the same
//! round from the same vantage point (one of them early, late or sent again)
//! are joined question by question, so the order of arrival does not matter. Of two accounts
//! of where a vantage point stands the later one holds.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::{
    place::Place,
    report::{Report, RoundId},
    vantage::{Objection, VantageId},
};

use crate::unheard;

/// The reports on one zone. There is at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evidence {
    reports: BTreeMap<(RoundId, VantageId), Report>,
    places: BTreeMap<VantageId, Place>,
}

impl Evidence {
    /// Returns what one report says.
    #[must_use]
    pub fn of(report: Report) -> Self {
        let key = (report.round, report.vantage.id.clone());
        Self {
            reports: BTreeMap::from([(key, report)]),
            places: BTreeMap::new(),
        }
    }

    /// Adds where a vantage point stands that was asked. Until it reports, nothing follows from that
    /// but that it is missing.
    #[must_use]
    pub fn place(mut self, vantage: VantageId, place: Place) -> Self {
        insert(&mut self.places, vantage, place, Place::join);
        self
    }

    /// Returns what both say. Commutative, associative and idempotent.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let Self {
            mut reports,
            mut places,
        } = self;
        for (key, report) in other.reports {
            insert(&mut reports, key, report, Report::join);
        }
        for (vantage, place) in other.places {
            insert(&mut places, vantage, place, Place::join);
        }
        Self { reports, places }
    }

    /// Returns every report, by round and vantage point.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.reports.values()
    }

    /// Returns the report of the latest round of every vantage point, by vantage point.
    #[must_use]
    pub fn latest(&self) -> Vec<&Report> {
        let mut latest = BTreeMap::new();
        for ((_, vantage), report) in &self.reports {
            // Rounds come in ascending order, so the last one stays.
            latest.insert(vantage, report);
        }
        latest.into_values().collect()
    }

    /// Returns the vantage points that were asked and have not reported, and nobody knows why.
    pub fn missing(&self) -> impl Iterator<Item = &VantageId> {
        let silent = self.absent().filter(|(_, reason)| reason.is_none());
        silent.map(|(vantage, _)| vantage)
    }

    /// Returns the vantage points of which nothing is there for a reason that is known.
    pub(crate) fn unheard(&self) -> impl Iterator<Item = (&VantageId, Objection)> {
        self.absent()
            .filter_map(|(vantage, reason)| Some((vantage, reason?)))
    }

    fn absent(&self) -> impl Iterator<Item = (&VantageId, Option<Objection>)> {
        let reported: BTreeSet<_> = self.reports.keys().map(|(_, vantage)| vantage).collect();
        let asked = self.places.iter();
        asked
            .filter(move |(vantage, _)| !reported.contains(vantage))
            .map(|(vantage, place)| (vantage, unheard::reason(&place.objections)))
    }

    /// Returns where a vantage point stands, if somebody said so.
    #[must_use]
    pub fn place_of(&self, vantage: &VantageId) -> Option<&Place> {
        self.places.get(vantage)
    }
}

/// Adds a value; where there is one already, both together.
fn insert<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V, join: fn(V, V) -> V) {
    let joined = match map.remove(&key) {
        Some(known) => join(known, value),
        None => value,
    };
    map.insert(key, joined);
}

#[cfg(test)]
mod tests {
    use bailiwick_core::{
        observation::Outcome, place::Asn, report::RoundId, time::Timestamp, vantage::Objection,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{Acts, Fixture};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";

    /// A report of one of a few rounds and vantage points, with an arbitrary part of what a
    /// whole one has, so that joining has something to do.
    fn report() -> impl Strategy<Value = Report> {
        let parts = (
            0..2_u64,
            0..2_u8,
            0..3_u8,
            any::<u64>(),
            any::<u64>(),
            0..4_u64,
        );
        parts.prop_map(|(round, who, world, kept, silent, seconds)| {
            let fixture = Fixture::healthy(BOTH).from(&format!("v{who}"));
            let fixture = match world {
                0 => fixture,
                1 => fixture.acts("192.0.2.1", Acts::Silent),
                _ => fixture.parent_at("b.gtld.test.", "ns1.example.com. 192.0.2.9"),
            };
            let mut report = fixture.report();
            report.round = RoundId(round);
            report.elapsed = std::time::Duration::from_secs(seconds);
            let bit = |octets: u64, at: u32| octets >> (at % 64) & 1 == 1;
            report.observations.retain(|id, _| bit(kept, id.query.0));
            for (id, observation) in &mut report.observations {
                if bit(silent, id.query.0) {
                    observation.outcome = Outcome::Silence;
                }
            }
            report
        })
    }

    /// An account of where one of these vantage points stands, one of a few.
    fn account() -> impl Strategy<Value = (VantageId, Place)> {
        let parts = (0..3_u8, 0..2_u64, 64_500..64_503_u32, any::<bool>());
        parts.prop_map(|(who, since, asn, banned)| {
            let place = Place {
                since: Timestamp(since),
                asn: Some(Asn(asn)),
                objections: banned.then_some(Objection::Banned).into_iter().collect(),
                ..Place::default()
            };
            (VantageId(format!("v{who}")), place)
        })
    }

    fn evidence() -> impl Strategy<Value = Evidence> {
        (report(), prop::collection::vec(account(), 0..3)).prop_map(|(report, accounts)| {
            accounts
                .into_iter()
                .fold(Evidence::of(report), |evidence, (who, place)| {
                    evidence.place(who, place)
                })
        })
    }

    fn join(reports: impl IntoIterator<Item = Report>) -> Evidence {
        reports
            .into_iter()
            .map(Evidence::of)
            .reduce(Evidence::join)
            .expect("at least one report")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn evidence_joins_in_any_order(a in evidence(), b in evidence(), c in evidence()) {
            let joined = a.clone().join(b.clone());
            prop_assert_eq!(&joined, &b.clone().join(a.clone()), "commutative");
            prop_assert_eq!(&joined, &joined.clone().join(a.clone()), "idempotent");
            let left = joined.join(c.clone());
            prop_assert_eq!(&left, &a.join(b.join(c)), "associative");
        }

        #[test]
        fn reports_sent_again_change_nothing(
            reports in prop::collection::vec(report(), 1..5),
            at in any::<prop::sample::Index>(),
        ) {
            let again = at.get(&reports).clone();
            let once = join(reports.clone());
            let twice = join(reports.into_iter().rev().chain([again]));
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn the_latest_round_of_each_vantage_point_is_read() {
        let of = |who: &str, round: u64| {
            let mut report = Fixture::healthy(BOTH).from(who).report();
            report.round = RoundId(round);
            report
        };
        let evidence = join([of("b", 1), of("a", 2), of("a", 1)]);
        let latest: Vec<_> = evidence
            .latest()
            .iter()
            .map(|r| (r.vantage.id.0.as_str(), r.round.0))
            .collect();
        assert_eq!(latest, [("a", 2), ("b", 1)]);
    }
}
