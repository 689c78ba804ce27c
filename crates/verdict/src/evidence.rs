//! What is known: the reports of all vantage points, joined in any order.
//!
//! A report counts once per round and vantage point. Two accounts of the same
//! round from the same vantage point (one of them early, late or sent again)
//! are joined question by question, so the order of arrival does not matter.

use std::collections::BTreeMap;

use bailiwick_core::{
    report::{Report, RoundId},
    vantage::VantageId,
};

/// The reports on one zone. There is at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evidence {
    reports: BTreeMap<(RoundId, VantageId), Report>,
}

impl Evidence {
    /// Returns what one report says.
    #[must_use]
    pub fn of(report: Report) -> Self {
        let key = (report.round, report.vantage.id.clone());
        Self {
            reports: BTreeMap::from([(key, report)]),
        }
    }

    /// Returns what both say. Commutative, associative and idempotent.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let mut reports = self.reports;
        for (key, report) in other.reports {
            let joined = match reports.remove(&key) {
                Some(known) => known.join(report),
                None => report,
            };
            reports.insert(key, joined);
        }
        Self { reports }
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
}
