//! Reports, gaps and marks.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use bailiwick_core::{
    check::CheckId,
    report::{Lane, ReportId},
    time::Timestamp,
    vantage::VantageId,
};
use bailiwick_wire::report::hash;
use bytes::Bytes;

use super::World;
use crate::{
    Equivocation, Error, Fate, Gap, Incoming, Ingested, Kept, KeptId, Mark, NewReport,
    report::{Key, MAX_SEQ, MAX_SPOOLS, agent_key},
};

/// What an agent sent, by lane and spool.
#[derive(Default)]
pub(super) struct Spools {
    known: BTreeMap<(Lane, u64), Spool>,
    /// How many there were.
    born: i64,
    /// Reports of those that are forgotten.
    earlier: u64,
}

/// What an agent sent of one lane and spool.
#[derive(Default)]
struct Spool {
    born: i64,
    /// Everything up to here is kept or known to be lost.
    through: u64,
    /// Begin and end of each gap; they neither overlap nor touch each other.
    gaps: BTreeMap<u64, u64>,
    /// How many reports were kept.
    reports: u64,
}

impl Spools {
    pub(super) fn reports(&self) -> u64 {
        let known: u64 = self.known.values().map(|spool| spool.reports).sum();
        self.earlier + known
    }

    fn at(&mut self, lane: Lane, epoch: u64) -> &mut Spool {
        if !self.known.contains_key(&(lane, epoch)) {
            self.born += 1;
        }
        let born = self.born;
        self.known.entry((lane, epoch)).or_insert_with(|| Spool {
            born,
            ..Spool::default()
        })
    }

    fn forget_oldest(&mut self) {
        let oldest = self.born - MAX_SPOOLS;
        let forgotten = self.known.extract_if(.., |_, spool| spool.born <= oldest);
        self.earlier += forgotten.map(|(_, spool)| spool.reports).sum::<u64>();
    }
}

impl Spool {
    /// Returns begin and end of the gap that a report is in.
    fn gap_at(&self, seq: u64) -> Option<(u64, u64)> {
        let (&first, &last) = self.gaps.range(..=seq).next_back()?;
        (last >= seq).then_some((first, last))
    }

    /// Adds a gap, and joins it with those that it touches.
    fn lose(&mut self, gap: Gap) -> Fate {
        if self
            .gap_at(gap.first)
            .is_some_and(|(_, last)| last >= gap.last)
        {
            return Fate::Known;
        }
        let (mut first, mut last) = (gap.first, gap.last);
        let touches = |begin: u64, end: u64| begin <= last.saturating_add(1) && end + 1 >= first;
        let touched: Vec<(u64, u64)> = self
            .gaps
            .iter()
            .map(|(&begin, &end)| (begin, end))
            .filter(|&(begin, end)| touches(begin, end))
            .collect();
        for (begin, end) in touched {
            self.gaps.remove(&begin);
            (first, last) = (first.min(begin), last.max(end));
        }
        self.gaps.insert(first, last);
        Fate::Stored
    }
}

impl World {
    pub(super) fn ingest(
        &mut self,
        name: &VantageId,
        items: Vec<Incoming>,
    ) -> Result<Ingested, Error> {
        items.iter().try_for_each(Incoming::validate)?;
        if self.row(name)?.is_banned() {
            return Err(Error::Banned { name: name.clone() });
        }
        if self.free() == 0 {
            return Err(Error::Full { free: 0 });
        }
        let mut touched = BTreeSet::new();
        let mut fates = Vec::new();
        for item in items {
            let (lane, epoch, fate) = match item {
                Incoming::Report(report) => {
                    (report.id.lane, report.id.epoch, self.keep(name, report)?)
                }
                Incoming::Gap(gap) => (gap.lane, gap.epoch, self.lose(name, gap)?),
            };
            touched.insert((lane, epoch));
            fates.push(fate);
        }
        let mut marks = Vec::new();
        for (lane, epoch) in touched {
            let through = self.advance(name, lane, epoch)?;
            marks.push(Mark {
                lane,
                epoch,
                through,
            });
        }
        self.row(name)?.spools.forget_oldest();
        Ok(Ingested { fates, marks })
    }

    fn keep(&mut self, name: &VantageId, report: NewReport) -> Result<Fate, Error> {
        let ReportId { lane, epoch, seq } = report.id;
        let key = Key::new(name, &report.id);
        let body_hash = hash(&report.body);
        if let Some(kept) = self.reports.get(&key) {
            if kept.hash == body_hash {
                return Ok(Fate::Known);
            }
            let pair = Equivocation {
                report: report.id,
                kept: kept.hash,
                other: body_hash,
                at: report.received,
            };
            if let Entry::Vacant(entry) = self.equivocations.entry(key) {
                entry.insert(pair);
                self.row(name)?.count_equivocation();
            }
            return Ok(Fate::Equivocated);
        }
        let spool = self.row(name)?.spools.at(lane, epoch);
        if seq <= spool.through && spool.gap_at(seq).is_none() {
            return Ok(Fate::Known);
        }
        spool.reports += 1;
        let kept = Kept {
            id: KeptId {
                agent: name.clone(),
                report: report.id,
            },
            body: report.body,
            hash: body_hash,
            answers: report.answers,
            received: report.received,
        };
        self.octets += octets(&kept);
        self.reports.insert(key, kept);
        if let Some(check) = report.check {
            self.by_check.insert((check, key));
        }
        Ok(Fate::Stored)
    }

    fn lose(&mut self, name: &VantageId, gap: Gap) -> Result<Fate, Error> {
        let spool = self.row(name)?.spools.at(gap.lane, gap.epoch);
        Ok(spool.lose(gap))
    }

    /// Moves a mark over everything that follows it without a hole.
    fn advance(&mut self, name: &VantageId, lane: Lane, epoch: u64) -> Result<u64, Error> {
        let row = self.agents.get_mut(name);
        let row = row.ok_or_else(|| Error::NoSuchAgent { name: name.clone() })?;
        let spool = row.spools.at(lane, epoch);
        while spool.through < MAX_SEQ {
            let seq = spool.through + 1;
            let next = ReportId { lane, epoch, seq };
            if self.reports.contains_key(&Key::new(name, &next)) {
                spool.through = seq;
            } else if let Some((_, last)) = spool.gap_at(seq) {
                spool.through = last;
            } else {
                break;
            }
        }
        Ok(spool.through)
    }

    pub(super) fn marks(&self, name: &VantageId) -> Vec<Mark> {
        let mark = |(&(lane, epoch), spool): (&(Lane, u64), &Spool)| Mark {
            lane,
            epoch,
            through: spool.through,
        };
        let row = self.agents.get(name);
        row.map(|row| row.spools.known.iter().map(mark).collect())
            .unwrap_or_default()
    }

    pub(super) fn evidence(
        &self,
        check: CheckId,
        after: Option<&KeptId>,
        limit: usize,
    ) -> Vec<Kept> {
        let after = after.map(Key::from);
        self.by_check
            .range((check, Key::FIRST)..)
            .take_while(|(of, _)| *of == check)
            .filter(|(_, key)| after.is_none_or(|after| *key > after))
            .take(limit)
            .filter_map(|(_, key)| self.reports.get(key).cloned())
            .collect()
    }

    pub(super) fn lately_reported(&self, within: Duration) -> Vec<(CheckId, u64)> {
        let within = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
        let last = self.reports.values().map(|kept| kept.received.0).max();
        let since = last.unwrap_or_default().saturating_sub(within);
        let mut found: BTreeMap<CheckId, (u64, bool)> = BTreeMap::new();
        for (check, key) in &self.by_check {
            let (count, late) = found.entry(*check).or_default();
            *count += 1;
            *late |= self.reports.get(key).is_some_and(|k| k.received.0 >= since);
        }
        let late = found.into_iter().filter(|(_, (_, late))| *late);
        late.map(|(check, (count, _))| (check, count)).collect()
    }

    pub(super) fn forget_reports(&mut self, before: Timestamp, limit: usize) -> usize {
        let old = self
            .reports
            .iter()
            .filter(|(_, kept)| kept.received < before);
        let mut old: Vec<(Timestamp, Key)> = old.map(|(key, kept)| (kept.received, *key)).collect();
        old.sort();
        old.truncate(limit);
        for (_, key) in &old {
            if let Some(kept) = self.reports.remove(key) {
                self.octets -= octets(&kept);
            }
        }
        self.by_check
            .retain(|(_, key)| self.reports.contains_key(key));
        old.len()
    }

    pub(super) fn equivocations(&self, name: &VantageId, limit: usize) -> Vec<Equivocation> {
        let agent = agent_key(name);
        let of_agent = self
            .equivocations
            .iter()
            .filter(|(key, _)| key.agent == agent);
        of_agent.take(limit).map(|(_, pair)| pair.clone()).collect()
    }
}

fn octets(kept: &Kept) -> u64 {
    (kept.body.len() + kept.answers.iter().map(Bytes::len).sum::<usize>()) as u64
}

/// Returns how many agents reported on a check.
pub(super) fn agents_of(by_check: &BTreeSet<(CheckId, Key)>, check: CheckId) -> u64 {
    let of_check = by_check
        .range((check, Key::FIRST)..)
        .take_while(|(of, _)| *of == check);
    let agents: BTreeSet<i64> = of_check.map(|(_, key)| key.agent).collect();
    agents.len() as u64
}
