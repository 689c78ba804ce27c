//! From how many networks something was seen.
//!
//! Fifty machines in one network see what one of them sees, so networks are counted and not
//! machines: of the vantage points at hand as many as possible, each
//! [distinct](bailiwick_core::place::Place::is_distinct_from) from every other one. Vantage points of which nobody knows where
//! they stand count as one network, all together, and only where there is no other.
//!
//! Quorum decides what *silence* means, and nothing else. What a server said needs no quorum.

use std::collections::BTreeMap;

use bailiwick_core::{
    place::Rir,
    vantage::VantageId,
    verdict::{QuorumCount, Scope},
};

use crate::picture::Vantage;

/// Which vantage points stand in different networks.
#[derive(Clone, Debug)]
pub struct Networks<'e> {
    /// The vantage points, each with its row in `common`.
    rows: BTreeMap<&'e VantageId, usize>,
    regions: Vec<Option<Rir>>,
    /// Whether two vantage points, by their rows, may have a common cause for what they see.
    common: Vec<Vec<bool>>,
}

impl<'e> Networks<'e> {
    /// Compares every vantage point with every other one.
    pub(crate) fn of(vantages: &[Vantage<'e>]) -> Self {
        let distinct = |one: &Vantage, other: &Vantage| {
            let places = one.place.zip(other.place);
            places.is_some_and(|(one, other)| one.is_distinct_from(other))
        };
        Self {
            rows: vantages.iter().map(|v| v.id).zip(0..).collect(),
            regions: vantages.iter().map(|v| v.place?.rir).collect(),
            common: vantages
                .iter()
                .map(|one| vantages.iter().map(|other| !distinct(one, other)).collect())
                .collect(),
        }
    }

    /// Returns how many networks and regions these vantage points stand in.
    pub fn count<'v>(&self, vantages: impl IntoIterator<Item = &'v VantageId>) -> (usize, usize) {
        let chosen = self.choose(vantages);
        let mut regions: Vec<Rir> = chosen.iter().filter_map(|row| self.regions[*row]).collect();
        regions.sort_unstable();
        regions.dedup();
        (chosen.len(), regions.len())
    }

    /// Returns whether some of these vantage points may see the same network as this one.
    pub(crate) fn shares<'v>(
        &self,
        one: &VantageId,
        others: impl IntoIterator<Item = &'v VantageId>,
    ) -> bool {
        self.rows.get(one).is_some_and(|&row| {
            let mut others = others.into_iter().filter_map(|id| self.rows.get(id));
            others.any(|&other| self.common[row][other])
        })
    }

    /// Chooses vantage points that are distinct from each other, again and again the one that
    /// has least in common with those that are left. That is never too many, and the most there
    /// are where only networks are common.
    fn choose<'v>(&self, vantages: impl IntoIterator<Item = &'v VantageId>) -> Vec<usize> {
        let mut rows: Vec<usize> = vantages
            .into_iter()
            .filter_map(|id| self.rows.get(id).copied())
            .collect();
        rows.sort_unstable();
        rows.dedup();
        let sharing = |row: usize| {
            rows.iter()
                .filter(|&&other| self.common[row][other])
                .count()
        };
        // Each with the number of those left that it has something in common with.
        let mut left: Vec<(usize, usize)> = rows.iter().map(|&row| (row, sharing(row))).collect();
        let mut chosen = Vec::new();
        while let Some(&(next, _)) = left.iter().min_by_key(|(_, sharing)| *sharing) {
            chosen.push(next);
            let gone: Vec<(usize, usize)> = left
                .extract_if(.., |(row, _)| *row == next || self.common[next][*row])
                .collect();
            for (row, sharing) in &mut left {
                let lost = gone.iter().filter(|(other, _)| self.common[*row][*other]);
                *sharing -= lost.count();
            }
        }
        chosen
    }
}

/// Counts the networks of a fleet.
pub(crate) fn count(networks: &Networks, vantages: &[Vantage]) -> QuorumCount {
    let voters = vantages.iter().filter(|vantage| vantage.votes());
    let (voting, regions) = networks.count(voters.map(|vantage| vantage.id));
    let (fleet, _) = networks.count(vantages.iter().map(|vantage| vantage.id));
    QuorumCount {
        networks: voting,
        regions,
        fleet,
    }
}

/// Returns how far a verdict reaches.
pub(crate) fn scope(quorum: QuorumCount) -> Scope {
    if quorum.is_met() {
        Scope::Fleet
    } else {
        Scope::Local
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_core::{
        message::Rcode,
        vantage::Objection,
        verdict::{Reachability, State, Verdict},
    };

    use super::*;
    use crate::{
        Evidence, Policy,
        fixture::{Acts, Fixture, PLACES, fleet},
        judge,
    };

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";

    fn well() -> Fixture {
        Fixture::healthy(BOTH)
    }

    /// No server of the zone answers, and no resolver either.
    fn dead() -> Fixture {
        well()
            .acts("192.0.2.1", Acts::Silent)
            .acts("192.0.2.2", Acts::Silent)
            .all_resolvers(Some(Rcode::SERVFAIL), &[22])
    }

    fn verdict(evidence: &Evidence) -> Verdict {
        judge(evidence, &Policy::default())
    }

    fn of(worlds: impl IntoIterator<Item = Fixture>) -> Verdict {
        verdict(&fleet(worlds))
    }

    #[test]
    fn networks_are_counted_and_not_machines() {
        let at = |id: &str, labels: &str| well().stands(id, labels).evidence();
        let cases = [
            (
                PLACES.iter().map(|(id, labels)| at(id, labels)).collect(),
                (6, 4),
                Scope::Fleet,
                "six networks in four regions",
            ),
            (
                vec![at("a", "asn=64500 rir=ripe"), at("b", "asn=64500 rir=arin")],
                (1, 1),
                Scope::Local,
                "one network, whatever its regions",
            ),
            (
                (1..=3)
                    .map(|n| at(&n.to_string(), &format!("asn={n} rir=ripe")))
                    .collect(),
                (3, 1),
                Scope::Local,
                "one region",
            ),
            (
                vec![
                    at("a", "asn=1 rir=ripe geo=50.11,8.68"),
                    at("b", "asn=2 rir=ripe geo=50.11,8.68"),
                    at("c", "asn=3 rir=arin geo=40.71,-74.01"),
                ],
                (2, 2),
                Scope::Local,
                "two in one city",
            ),
            (
                vec![
                    well().from("x").evidence(),
                    at("a", "asn=1 rir=ripe"),
                    at("b", "asn=2 rir=arin"),
                ],
                (2, 2),
                Scope::Local,
                "one of which nobody knows where it stands",
            ),
            (
                vec![well().from("x").evidence(), well().from("y").evidence()],
                (1, 0),
                Scope::Local,
                "two of which nobody knows",
            ),
        ];
        for (evidence, expected, scope, why) in cases {
            let joined = evidence.into_iter().reduce(Evidence::join).unwrap();
            let verdict = verdict(&joined);
            let seen = (verdict.quorum.networks, verdict.quorum.regions);
            assert_eq!((seen, verdict.scope), (expected, scope), "{why}");
            assert_eq!(verdict.state, State::Consistent, "{why}");
        }
    }

    #[test]
    fn silence_of_nearly_all_networks_is_an_outage() {
        use Reachability::{Broken, Partial, Reachable};
        let of_six = |dead_ones: usize| {
            let ill = (0..dead_ones).map(|_| dead());
            of(ill.chain((dead_ones..6).map(|_| well())))
        };
        let expected = [Reachable, Partial, Partial, Partial, Broken, Broken, Broken];
        for (dead_ones, expected) in expected.into_iter().enumerate() {
            assert_eq!(of_six(dead_ones).reachability, expected, "{dead_ones} of 6");
        }
        let refused = || {
            let no = Acts::Code(Rcode::REFUSED);
            dead().acts("192.0.2.1", no.clone()).acts("192.0.2.2", no)
        };
        let lie = of([refused(), refused(), refused(), refused(), well()]);
        assert_eq!(lie.state, State::Broken, "one says that all is well");
        let resolving = || {
            well()
                .acts("192.0.2.1", Acts::Silent)
                .acts("192.0.2.2", Acts::Silent)
        };
        let cut_off = of([resolving(), resolving(), resolving()]);
        assert_eq!(
            cut_off.reachability, Partial,
            "resolvers beside them get in"
        );
    }

    #[test]
    fn who_has_no_vote_is_not_heard() {
        for objection in Objection::ALL {
            let verdict = of([well(), well(), well(), dead().held(objection)]);
            assert_eq!(verdict.state, State::Consistent, "{objection}: silence");
            assert_eq!(verdict.quorum.networks, 3, "{objection}");
            let old = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";
            let other = well().parents(old).held(objection);
            let expected = if objection.forbids_testimony() {
                State::Consistent
            } else {
                State::Divergent
            };
            let verdict = of([well(), well(), well(), other]);
            assert_eq!(verdict.state, expected, "{objection}: a contradiction");
        }
        let lab = dead().stands("lab", "asn=64512 rir=ripe lab=true");
        let verdict = verdict(&fleet([well(), well(), well()]).join(lab.evidence()));
        assert_eq!(
            verdict.state,
            State::Consistent,
            "a laboratory beside the Internet"
        );
    }

    #[test]
    fn half_of_a_sick_fleet_is_no_quorum() {
        for sick in 0..6 {
            // Nobody else is there to tell.
            let silent = || dead().no_resolvers();
            let verdict = of((0..6).map(|n| if n < sick { silent().lose(9) } else { silent() }));
            let expected = if sick < 3 {
                Reachability::Broken
            } else {
                Reachability::Unknown
            };
            assert_eq!(verdict.reachability, expected, "{sick} of 6 are sick");
        }
    }
}
