//! Reports, gaps and marks.
//!
//! Read [`ingest`] first. What can be computed without the database is computed before
//! ([`Batch::new`]), because the thread that writes is the one that everybody waits for.

use std::{
    collections::{BTreeMap, btree_map::Entry},
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
use rusqlite::{Connection, Row};

use super::{
    Done, agents,
    rows::{all, broken, check_id, execute, first as first_row, limit, micros, moment},
    space::Space,
};
use crate::{
    Equivocation, Fate, Gap, Incoming, Ingested, Kept, KeptId, Mark, NewReport,
    report::{Key, MAX_SEQ, MAX_SPOOLS, agent_key, bucket, days, lane_code, lane_of},
};

/// What an agent sent, ready to be written.
pub(super) struct Batch {
    name: VantageId,
    items: Vec<Item>,
    octets: usize,
}

enum Item {
    Report(Prepared),
    Gap(Gap),
}

struct Prepared {
    report: NewReport,
    key: Key,
    hash: [u8; 32],
    bucket: u16,
    /// SHA-256 of each answer, one after the other.
    answers: Vec<u8>,
}

impl Batch {
    pub(super) fn new(name: VantageId, items: Vec<Incoming>) -> Self {
        let octets = items.iter().map(Incoming::octets).sum();
        let prepare = |item| match item {
            Incoming::Report(report) => Item::Report(Prepared::new(&name, report)),
            Incoming::Gap(gap) => Item::Gap(gap),
        };
        let items = items.into_iter().map(prepare).collect();
        Self {
            name,
            items,
            octets,
        }
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn reports(&self) -> usize {
        self.items.len()
    }
}

impl Prepared {
    fn new(name: &VantageId, report: NewReport) -> Self {
        Self {
            key: Key::new(name, &report.id),
            hash: hash(&report.body),
            bucket: bucket(&report.body),
            answers: report.answers.iter().flat_map(|a| hash(a)).collect(),
            report,
        }
    }
}

/// Keeps a batch.
pub(super) fn ingest(db: &Connection, space: &Space, batch: &Batch) -> Done<Ingested> {
    let agent = agents::welcome(db, &batch.name)?;
    space.check(db)?;
    let mut spools = BTreeMap::new();
    let mut fates = Vec::with_capacity(batch.items.len());
    for item in &batch.items {
        let (lane, epoch) = match item {
            Item::Report(prepared) => (prepared.report.id.lane, prepared.report.id.epoch),
            Item::Gap(gap) => (gap.lane, gap.epoch),
        };
        let spool = match spools.entry((lane, epoch)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Spool::load(db, agent, lane, epoch)?),
        };
        fates.push(match item {
            Item::Report(prepared) => keep(db, spool, prepared)?,
            Item::Gap(gap) => lose(db, spool, gap)?,
        });
    }
    let mut marks = Vec::with_capacity(spools.len());
    let mut youngest = None;
    for ((lane, epoch), mut spool) in spools {
        spool.advance(db)?;
        spool.save(db)?;
        youngest = youngest.max(spool.is_new.then_some(spool.born));
        marks.push(Mark {
            lane,
            epoch,
            through: spool.through,
        });
    }
    if let Some(youngest) = youngest {
        forget_oldest(db, agent, youngest)?;
    }
    Ok(Ingested { fates, marks })
}

/// Keeps a report, unless it is there.
fn keep(db: &Connection, spool: &mut Spool, prepared: &Prepared) -> Done<Fate> {
    let (report, key) = (&prepared.report, prepared.key);
    // Below the mark the report is there, or was lost, or has been deleted by age.
    if key.seq <= spool.through
        && kept_hash(db, key)?.is_none()
        && spool.gap_at(db, key.seq)?.is_none()
    {
        return Ok(Fate::Known);
    }
    // A report that is known may be ahead of a mark that was forgotten.
    spool.furthest = spool.furthest.max(key.seq);
    let inserted = execute(
        db,
        "INSERT INTO report (agent_id, lane, epoch, seq, bucket, check_id, received_at, hash,
             answers, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (agent_id, lane, epoch, seq) DO NOTHING",
        (
            key.agent,
            key.lane,
            key.epoch,
            key.seq,
            prepared.bucket,
            report.check.map(check_id),
            micros(report.received),
            prepared.hash,
            &prepared.answers,
            &report.body[..],
        ),
    )?;
    if inserted == 0 {
        return match kept_hash(db, key)? {
            Some(kept) if kept != prepared.hash => {
                equivocate(db, prepared, kept)?;
                Ok(Fate::Equivocated)
            }
            _ => Ok(Fate::Known),
        };
    }
    for (answer, hash) in report.answers.iter().zip(prepared.answers.chunks(32)) {
        execute(
            db,
            "INSERT INTO answer (hash, day, octets) VALUES (?1, ?2, ?3)
             ON CONFLICT (hash) DO UPDATE SET day = excluded.day
             WHERE answer.day < excluded.day",
            (hash, days(report.received), &answer[..]),
        )?;
    }
    spool.count(key.seq);
    Ok(Fate::Stored)
}

fn kept_hash(db: &Connection, key: Key) -> Done<Option<[u8; 32]>> {
    first_row(
        db,
        "SELECT hash FROM report
         WHERE agent_id = ?1 AND lane = ?2 AND epoch = ?3 AND seq = ?4",
        (key.agent, key.lane, key.epoch, key.seq),
        |row| row.get(0),
    )
}

fn equivocate(db: &Connection, prepared: &Prepared, kept: [u8; 32]) -> Done<()> {
    let key = prepared.key;
    let noted = execute(
        db,
        "INSERT INTO equivocation (agent_id, lane, epoch, seq, kept, other, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (agent_id, lane, epoch, seq) DO NOTHING",
        (
            key.agent,
            key.lane,
            key.epoch,
            key.seq,
            kept,
            prepared.hash,
            micros(prepared.report.received),
        ),
    )?;
    if noted == 1 {
        execute(
            db,
            "UPDATE agent SET equivocations = equivocations + 1 WHERE agent_id = ?1",
            [key.agent],
        )?;
    }
    Ok(())
}

/// Keeps that reports are lost. Gaps that touch each other become one, so an agent that loses
/// report after report makes one row.
fn lose(db: &Connection, spool: &mut Spool, gap: &Gap) -> Done<Fate> {
    let before = spool.gap_at(db, gap.first)?;
    if before.is_some_and(|(_, last)| last >= gap.last) {
        return Ok(Fate::Known);
    }
    let (mut first, mut last) = (gap.first, gap.last);
    // One that ends where this begins.
    if let Some((before, _)) = spool.gap_at(db, first.saturating_sub(1))? {
        first = first.min(before);
    }
    // Those that begin in it, or where it ends.
    let reached = last.saturating_add(1).min(MAX_SEQ);
    let spool_key = (spool.agent, spool.lane, spool.epoch, first, reached);
    let furthest: Option<u64> = first_row(
        db,
        "SELECT MAX(last_seq) FROM report_gap
         WHERE agent_id = ?1 AND lane = ?2 AND epoch = ?3
             AND first_seq >= ?4 AND first_seq <= ?5",
        spool_key,
        |row| row.get(0),
    )?
    .flatten();
    last = last.max(furthest.unwrap_or_default());
    execute(
        db,
        "DELETE FROM report_gap
         WHERE agent_id = ?1 AND lane = ?2 AND epoch = ?3
             AND first_seq >= ?4 AND first_seq <= ?5",
        spool_key,
    )?;
    execute(
        db,
        "INSERT INTO report_gap (agent_id, lane, epoch, first_seq, last_seq)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (spool.agent, spool.lane, spool.epoch, first, last),
    )?;
    spool.furthest = spool.furthest.max(gap.last);
    Ok(Fate::Stored)
}

/// One lane of one spool of an agent.
struct Spool {
    agent: i64,
    lane: u8,
    epoch: i64,
    /// Its place among those of the agent, by when they were heard of first.
    born: i64,
    /// Whether nothing was heard of it before.
    is_new: bool,
    /// Everything up to here is kept or known to be lost.
    through: u64,
    /// Nothing is known of what is after this.
    furthest: u64,
    /// How many reports were kept.
    reports: u64,
}

impl Spool {
    fn load(db: &Connection, agent: i64, lane: Lane, epoch: u64) -> Done<Self> {
        let (lane, epoch) = (lane_code(lane), epoch.cast_signed());
        let found = first_row(
            db,
            "SELECT born, through, furthest, reports FROM ingest_mark
             WHERE agent_id = ?1 AND lane = ?2 AND epoch = ?3",
            (agent, lane, epoch),
            |row| {
                Ok(Self {
                    agent,
                    lane,
                    epoch,
                    born: row.get(0)?,
                    is_new: false,
                    through: row.get(1)?,
                    furthest: row.get(2)?,
                    reports: row.get(3)?,
                })
            },
        )?;
        match found {
            Some(spool) => Ok(spool),
            None => Self::begin(db, agent, lane, epoch),
        }
    }

    fn begin(db: &Connection, agent: i64, lane: u8, epoch: i64) -> Done<Self> {
        let last: Option<i64> = first_row(
            db,
            "SELECT MAX(born) FROM ingest_mark WHERE agent_id = ?1",
            [agent],
            |row| row.get(0),
        )?
        .flatten();
        let spool = Self {
            agent,
            lane,
            epoch,
            born: last.unwrap_or_default() + 1,
            is_new: true,
            through: 0,
            furthest: 0,
            reports: 0,
        };
        spool.save(db)?;
        Ok(spool)
    }

    /// Counts a report that is kept now.
    fn count(&mut self, seq: u64) {
        self.reports += 1;
        if seq == self.through + 1 {
            self.through = seq;
        }
    }

    /// Moves the mark over everything that follows it without a hole.
    fn advance(&mut self, db: &Connection) -> Done<()> {
        while self.through < self.furthest {
            let before = self.through;
            self.advance_over_reports(db)?;
            if self.through < self.furthest {
                self.advance_over_gap(db)?;
            }
            if self.through == before {
                break;
            }
        }
        Ok(())
    }

    fn advance_over_reports(&mut self, db: &Connection) -> Done<()> {
        let mut statement = db.prepare_cached(
            "SELECT seq FROM report
             WHERE agent_id = ?1 AND lane = ?2 AND epoch = ?3 AND seq > ?4 ORDER BY seq",
        )?;
        let mut rows = statement.query((self.agent, self.lane, self.epoch, self.through))?;
        while let Some(row) = rows.next()? {
            if row.get::<_, u64>(0)? != self.through + 1 {
                break;
            }
            self.through += 1;
        }
        Ok(())
    }

    fn advance_over_gap(&mut self, db: &Connection) -> Done<()> {
        if let Some((_, last)) = self.gap_at(db, self.through + 1)? {
            self.through = last;
        }
        Ok(())
    }

    /// Returns begin and end of the gap that a report is in.
    fn gap_at(&self, db: &Connection, seq: u64) -> Done<Option<(u64, u64)>> {
        let before = first_row(
            db,
            "SELECT first_seq, last_seq FROM report_gap
             WHERE agent_id = ?1 AND lane = ?2 AND epoch = ?3 AND first_seq <= ?4
             ORDER BY first_seq DESC LIMIT 1",
            (self.agent, self.lane, self.epoch, seq),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(before.filter(|&(_, last)| last >= seq))
    }

    fn save(&self, db: &Connection) -> Done<()> {
        execute(
            db,
            "INSERT INTO ingest_mark (agent_id, lane, epoch, born, through, furthest, reports)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (agent_id, lane, epoch) DO UPDATE SET
                 through = excluded.through, furthest = excluded.furthest,
                 reports = excluded.reports",
            (
                self.agent,
                self.lane,
                self.epoch,
                self.born,
                self.through,
                self.furthest,
                self.reports,
            ),
        )?;
        Ok(())
    }
}

/// Forgets the marks of the oldest spools of an agent if there are too many, and the gaps with
/// them. Their reports stay.
fn forget_oldest(db: &Connection, agent: i64, youngest: i64) -> Done<()> {
    let oldest = youngest - MAX_SPOOLS;
    execute(
        db,
        "UPDATE agent SET earlier_reports = earlier_reports
             + (SELECT COALESCE(SUM(reports), 0) FROM ingest_mark
                WHERE agent_id = ?1 AND born <= ?2)
         WHERE agent_id = ?1",
        (agent, oldest),
    )?;
    execute(
        db,
        "DELETE FROM report_gap WHERE agent_id = ?1 AND EXISTS
             (SELECT 1 FROM ingest_mark m
              WHERE m.agent_id = ?1 AND m.born <= ?2
                  AND m.lane = report_gap.lane AND m.epoch = report_gap.epoch)",
        (agent, oldest),
    )?;
    execute(
        db,
        "DELETE FROM ingest_mark WHERE agent_id = ?1 AND born <= ?2",
        (agent, oldest),
    )?;
    Ok(())
}

pub(super) fn marks(db: &Connection, name: &VantageId) -> Done<Vec<Mark>> {
    let mut marks = all(
        db,
        "SELECT lane, epoch, through FROM ingest_mark WHERE agent_id = ?1",
        [agent_key(name)],
        |row| {
            let (lane, epoch) = spool_of(row, 0)?;
            Ok(Mark {
                lane,
                epoch,
                through: row.get(2)?,
            })
        },
    )?;
    marks.sort();
    Ok(marks)
}

/// Reads a lane and an epoch.
fn spool_of(row: &Row<'_>, column: usize) -> rusqlite::Result<(Lane, u64)> {
    let lane = lane_of(row.get(column)?).ok_or_else(|| broken(column))?;
    let epoch: i64 = row.get(column + 1)?;
    Ok((lane, epoch.cast_unsigned()))
}

fn report_id(row: &Row<'_>, column: usize) -> rusqlite::Result<ReportId> {
    let (lane, epoch) = spool_of(row, column)?;
    Ok(ReportId {
        lane,
        epoch,
        seq: row.get(column + 2)?,
    })
}

pub(super) fn evidence(
    db: &Connection,
    check: CheckId,
    after: Option<&KeptId>,
    at_most: usize,
) -> Done<Vec<Kept>> {
    let after = after.map_or(Key::FIRST, Key::from);
    let found = all(
        db,
        "SELECT a.name, r.lane, r.epoch, r.seq, r.body, r.hash, r.received_at, r.answers
         FROM report r JOIN agent a ON a.agent_id = r.agent_id
         WHERE r.check_id = ?1 AND (r.agent_id, r.lane, r.epoch, r.seq) > (?2, ?3, ?4, ?5)
         ORDER BY r.agent_id, r.lane, r.epoch, r.seq LIMIT ?6",
        (
            check_id(check),
            after.agent,
            after.lane,
            after.epoch,
            after.seq,
            limit(at_most),
        ),
        |row| {
            let kept = Kept {
                id: KeptId {
                    agent: VantageId(row.get(0)?),
                    report: report_id(row, 1)?,
                },
                body: row.get::<_, Vec<u8>>(4)?.into(),
                hash: row.get(5)?,
                received: moment(row.get(6)?),
                answers: Vec::new(),
            };
            Ok((kept, row.get::<_, Vec<u8>>(7)?))
        },
    )?;
    // Most answers are equal: each is read once and shared.
    let mut read = BTreeMap::new();
    let kept = found.into_iter().map(|(kept, hashes)| {
        let answers = hashes.chunks(32).map(|hash| answer(db, &mut read, hash));
        let answers = answers.collect::<Done<_>>()?;
        Ok(Kept { answers, ..kept })
    });
    kept.collect()
}

pub(super) fn lately_reported(db: &Connection, within: Duration) -> Done<Vec<(CheckId, u64)>> {
    let within = i64::try_from(within.as_micros()).unwrap_or(i64::MAX);
    all(
        db,
        "SELECT check_id, COUNT(*) FROM report WHERE check_id IN
             (SELECT check_id FROM report
              WHERE received_at >= (SELECT MAX(received_at) FROM report) - ?1)
         GROUP BY check_id ORDER BY check_id",
        [within],
        |row| {
            let id: [u8; 16] = row.get(0)?;
            Ok((CheckId(u128::from_be_bytes(id)), row.get(1)?))
        },
    )
}

fn answer(db: &Connection, read: &mut BTreeMap<Vec<u8>, Bytes>, hash: &[u8]) -> Done<Bytes> {
    if let Some(octets) = read.get(hash) {
        return Ok(octets.clone());
    }
    let octets: Option<Vec<u8>> = first_row(
        db,
        "SELECT octets FROM answer WHERE hash = ?1",
        [hash],
        |row| row.get(0),
    )?;
    let octets = Bytes::from(octets.ok_or_else(|| broken(7))?);
    read.insert(hash.to_vec(), octets.clone());
    Ok(octets)
}

/// Forgets old reports, and answers if no report is left that is so old.
pub(super) fn forget(db: &Connection, before: Timestamp, at_most: usize) -> Done<usize> {
    let forgotten = execute(
        db,
        "DELETE FROM report WHERE (agent_id, lane, epoch, seq) IN
             (SELECT agent_id, lane, epoch, seq FROM report WHERE received_at < ?1
              ORDER BY received_at, agent_id, lane, epoch, seq LIMIT ?2)",
        (micros(before), limit(at_most)),
    )?;
    if forgotten < at_most {
        // Those that are one too many are for the next time.
        execute(
            db,
            "DELETE FROM answer WHERE hash IN
                 (SELECT hash FROM answer WHERE day < ?1 ORDER BY day LIMIT ?2)",
            (days(before), limit(at_most.saturating_mul(4))),
        )?;
    }
    Ok(forgotten)
}

pub(super) fn equivocations(
    db: &Connection,
    name: &VantageId,
    at_most: usize,
) -> Done<Vec<Equivocation>> {
    all(
        db,
        "SELECT lane, epoch, seq, kept, other, at FROM equivocation
         WHERE agent_id = ?1 ORDER BY lane, epoch, seq LIMIT ?2",
        (agent_key(name), limit(at_most)),
        |row| {
            Ok(Equivocation {
                report: report_id(row, 0)?,
                kept: row.get(3)?,
                other: row.get(4)?,
                at: moment(row.get(5)?),
            })
        },
    )
}
