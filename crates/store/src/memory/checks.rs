//! Checks and verdicts.

use std::cmp::Reverse;

use bailiwick_core::{check::CheckId, time::Timestamp};

use super::World;
use crate::{
    Audit, CheckRecord, CheckSummary, Error, Judgement, NewCheck, Outcome, PlanItem, Usage,
    WatchId, memory::reports::agents_of,
};

/// A check, and its first and latest verdict.
pub(super) struct CheckRow {
    check: NewCheck,
    first: Option<Judgement>,
    latest: Option<Judgement>,
    revisions: u64,
    watch: Option<WatchId>,
}

impl CheckRow {
    /// A check that has no verdict yet.
    pub(super) fn open(check: NewCheck, watch: Option<WatchId>) -> Self {
        Self {
            check,
            first: None,
            latest: None,
            revisions: 0,
            watch,
        }
    }

    /// When it began, if it is a round of a watch.
    pub(super) fn slot_began(&self) -> Option<Timestamp> {
        self.watch.map(|_| self.check.created)
    }

    /// Octets of the verdicts that are kept of it.
    pub(super) fn octets(&self) -> u64 {
        let latest = self.latest.as_ref().filter(|_| self.revisions > 0);
        let verdicts = self.first.iter().chain(latest);
        verdicts.map(|verdict| verdict.octets() as u64).sum()
    }
}

impl World {
    pub(super) fn create_check(&mut self, check: &NewCheck, audit: &Audit) -> Result<(), Error> {
        if self.checks.contains_key(&check.id) {
            return Err(Error::Exists { what: "check" });
        }
        for name in &check.asked {
            self.row(name)?;
        }
        let item = PlanItem {
            id: check.id.into(),
            spec: check.item.clone(),
            not_after: check.deadline,
        };
        for name in &check.asked {
            self.row(name)?.plan.put(&item, check.created);
        }
        let row = CheckRow::open(check.clone(), None);
        self.checks.insert(check.id, row);
        self.note(audit);
        Ok(())
    }

    pub(super) fn close_check(&mut self, id: CheckId, judgement: &Judgement) -> Result<(), Error> {
        let row = self.checks.get_mut(&id).ok_or(Error::NoSuchCheck { id })?;
        if row.latest.is_some() {
            return Err(Error::CheckClosed { id });
        }
        row.first = Some(judgement.clone());
        row.latest = Some(judgement.clone());
        self.octets += judgement.octets() as u64;
        for name in row.check.asked.clone() {
            self.row(&name)?.plan.remove(id.into(), judgement.judged);
        }
        Ok(())
    }

    pub(super) fn revise_check(
        &mut self,
        id: CheckId,
        judgement: &Judgement,
    ) -> Result<u64, Error> {
        let row = self.checks.get_mut(&id).ok_or(Error::NoSuchCheck { id })?;
        let latest = row.latest.as_ref().ok_or(Error::CheckOpen { id })?;
        if !latest.says_the_same(judgement) {
            let replaced = if row.revisions > 0 {
                latest.octets()
            } else {
                0
            };
            self.octets = self.octets + judgement.octets() as u64 - replaced as u64;
            row.latest = Some(judgement.clone());
            row.revisions += 1;
        }
        Ok(row.revisions)
    }

    pub(super) fn check(&self, id: CheckId) -> Option<CheckRecord> {
        self.checks.get(&id).map(record)
    }

    pub(super) fn first_judgement(&self, id: CheckId) -> Option<Judgement> {
        self.checks.get(&id)?.first.clone()
    }

    pub(super) fn list_checks(&self, zone: Option<&[u8]>, limit: usize) -> Vec<CheckSummary> {
        let wanted = |row: &&CheckRow| zone.is_none_or(|zone| row.check.zone == zone);
        let mut rows: Vec<&CheckRow> = self.checks.values().filter(wanted).collect();
        rows.sort_by_key(|row| Reverse((row.check.created, row.check.id)));
        rows.into_iter()
            .take(limit)
            .map(|row| self.summary(row))
            .collect()
    }

    fn summary(&self, row: &CheckRow) -> CheckSummary {
        let outcome = |judgement: &Judgement| Outcome {
            state: judgement.state.clone(),
            exit_code: judgement.exit_code,
            headline: judgement.headline.clone(),
        };
        CheckSummary {
            id: row.check.id,
            zone: row.check.zone.clone(),
            created: row.check.created,
            operator: row.check.operator.clone(),
            outcome: row.latest.as_ref().map(outcome),
            asked: row.check.asked.len() as u64,
            reported: agents_of(&self.by_check, row.check.id),
            revisions: row.revisions,
        }
    }

    pub(super) fn open_checks(&self, limit: usize) -> Vec<CheckRecord> {
        let open = |row: &&CheckRow| row.latest.is_none();
        let mut rows: Vec<&CheckRow> = self.checks.values().filter(open).collect();
        rows.sort_by_key(|row| (row.check.deadline, row.check.id));
        rows.into_iter().take(limit).map(record).collect()
    }

    pub(super) fn usage(&self) -> Usage {
        let open = |row: &&CheckRow| row.latest.is_none();
        Usage {
            agents: self.agents.len() as u64,
            reports: self.agents.values().map(|row| row.spools.reports()).sum(),
            checks: self.checks.len() as u64,
            open_checks: self.checks.values().filter(open).count() as u64,
            octets: self.octets,
            free: self.free(),
        }
    }
}

fn record(row: &CheckRow) -> CheckRecord {
    let check = row.check.clone();
    CheckRecord {
        id: check.id,
        zone: check.zone,
        check: check.check,
        operator: check.operator,
        created: check.created,
        deadline: check.deadline,
        asked: check.asked,
        judgement: row.latest.clone(),
        revisions: row.revisions,
        watch: row.watch,
    }
}
