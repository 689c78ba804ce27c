//! Checks and verdicts.

use bailiwick_core::{check::CheckId, vantage::VantageId};
use rusqlite::{Connection, Row};

use super::{
    Done, audit, plans,
    rows::{all, check_id, execute, first, known_agent, limit, micros, moment},
};
use crate::{
    Audit, CheckRecord, CheckSummary, Error, Judgement, NewCheck, Outcome, PlanItem, WatchId,
};

pub(super) fn create(db: &Connection, check: &NewCheck, noted: &Audit) -> Done<()> {
    let created = execute(
        db,
        "INSERT INTO check_run
             (id, zone, spec, operator, created_at, deadline, is_open, revisions)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 0)
         ON CONFLICT (id) DO NOTHING",
        (
            check_id(check.id),
            &check.zone[..],
            &check.check[..],
            &check.operator,
            micros(check.created),
            micros(check.deadline),
        ),
    )?;
    if created == 0 {
        return Err(Error::Exists { what: "check" }.into());
    }
    let item = PlanItem {
        id: check.id.into(),
        spec: check.item.clone(),
        not_after: check.deadline,
    };
    for name in &check.asked {
        let agent = known_agent(db, name)?;
        execute(
            db,
            "INSERT INTO check_agent (check_id, agent_id) VALUES (?1, ?2)",
            (check_id(check.id), agent),
        )?;
        plans::put_for(db, agent, &item, check.created)?;
    }
    audit::note(db, noted)
}

/// Whether a check is open, and how often it was revised.
fn progress(db: &Connection, id: CheckId) -> Done<(bool, u64)> {
    let found = first(
        db,
        "SELECT is_open, revisions FROM check_run WHERE id = ?1",
        [check_id(id)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(found.ok_or(Error::NoSuchCheck { id })?)
}

pub(super) fn close(db: &Connection, id: CheckId, judgement: &Judgement) -> Done<()> {
    let (true, _) = progress(db, id)? else {
        return Err(Error::CheckClosed { id }.into());
    };
    judge(db, id, 0, judgement)?;
    execute(
        db,
        "UPDATE check_run SET is_open = 0 WHERE id = ?1",
        [check_id(id)],
    )?;
    let asked: Vec<i64> = all(
        db,
        "SELECT agent_id FROM check_agent WHERE check_id = ?1",
        [check_id(id)],
        |row| row.get(0),
    )?;
    for agent in asked {
        plans::remove_for(db, agent, id.into(), judgement.judged)?;
    }
    Ok(())
}

pub(super) fn revise(db: &Connection, id: CheckId, judgement: &Judgement) -> Done<u64> {
    let (false, revisions) = progress(db, id)? else {
        return Err(Error::CheckOpen { id }.into());
    };
    let latest = judgement_of(db, id, revisions)?;
    if latest.is_some_and(|latest| latest.says_the_same(judgement)) {
        return Ok(revisions);
    }
    judge(db, id, revisions + 1, judgement)?;
    // The first stays, and the latest.
    execute(
        db,
        "DELETE FROM judgement WHERE check_id = ?1 AND revision > 0 AND revision <= ?2",
        (check_id(id), revisions),
    )?;
    execute(
        db,
        "UPDATE check_run SET revisions = ?2 WHERE id = ?1",
        (check_id(id), revisions + 1),
    )?;
    Ok(revisions + 1)
}

fn judge(db: &Connection, id: CheckId, revision: u64, judgement: &Judgement) -> Done<()> {
    execute(
        db,
        "INSERT INTO judgement (check_id, revision, state, exit_code, headline, policy,
             judged_at, verdict, places)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            check_id(id),
            revision,
            &judgement.state,
            judgement.exit_code,
            &judgement.headline,
            judgement.policy,
            micros(judgement.judged),
            &judgement.verdict[..],
            &judgement.places[..],
        ),
    )?;
    Ok(())
}

fn judgement_of(db: &Connection, id: CheckId, revision: u64) -> Done<Option<Judgement>> {
    first(
        db,
        "SELECT state, exit_code, headline, policy, judged_at, verdict, places FROM judgement
         WHERE check_id = ?1 AND revision = ?2",
        (check_id(id), revision),
        |row| {
            Ok(Judgement {
                state: row.get(0)?,
                exit_code: row.get(1)?,
                headline: row.get(2)?,
                policy: row.get(3)?,
                judged: moment(row.get(4)?),
                verdict: row.get::<_, Vec<u8>>(5)?.into(),
                places: row.get::<_, Vec<u8>>(6)?.into(),
            })
        },
    )
}

pub(super) fn first_judgement(db: &Connection, id: CheckId) -> Done<Option<Judgement>> {
    judgement_of(db, id, 0)
}

pub(super) fn find(db: &Connection, id: CheckId) -> Done<Option<CheckRecord>> {
    let found = first(
        db,
        "SELECT id, zone, spec, operator, created_at, deadline, revisions, watch_id
         FROM check_run
         WHERE id = ?1",
        [check_id(id)],
        record,
    )?;
    found.map(|record| complete(db, record)).transpose()
}

pub(super) fn open(db: &Connection, at_most: usize) -> Done<Vec<CheckRecord>> {
    let found = all(
        db,
        "SELECT id, zone, spec, operator, created_at, deadline, revisions, watch_id
         FROM check_run
         WHERE is_open = 1 ORDER BY deadline, id LIMIT ?1",
        [limit(at_most)],
        record,
    )?;
    let records = found.into_iter().map(|record| complete(db, record));
    records.collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<CheckRecord> {
    Ok(CheckRecord {
        id: CheckId(u128::from_be_bytes(row.get(0)?)),
        zone: row.get::<_, Vec<u8>>(1)?.into(),
        check: row.get::<_, Vec<u8>>(2)?.into(),
        operator: row.get(3)?,
        created: moment(row.get(4)?),
        deadline: moment(row.get(5)?),
        asked: Default::default(),
        judgement: None,
        revisions: row.get(6)?,
        watch: row
            .get::<_, Option<[u8; 16]>>(7)?
            .map(|id| WatchId(u128::from_be_bytes(id))),
    })
}

/// Adds what is in other tables.
fn complete(db: &Connection, record: CheckRecord) -> Done<CheckRecord> {
    let asked = all(
        db,
        "SELECT a.name FROM check_agent c JOIN agent a ON a.agent_id = c.agent_id
         WHERE c.check_id = ?1",
        [check_id(record.id)],
        |row| Ok(VantageId(row.get(0)?)),
    )?;
    Ok(CheckRecord {
        asked: asked.into_iter().collect(),
        judgement: judgement_of(db, record.id, record.revisions)?,
        ..record
    })
}

pub(super) fn list(
    db: &Connection,
    zone: Option<&[u8]>,
    at_most: usize,
) -> Done<Vec<CheckSummary>> {
    match zone {
        None => all(
            db,
            "SELECT c.id, c.zone, c.created_at, c.operator, c.revisions,
                 (SELECT COUNT(*) FROM check_agent a WHERE a.check_id = c.id),
                 (SELECT COUNT(DISTINCT r.agent_id) FROM report r WHERE r.check_id = c.id),
                 j.state, j.exit_code, j.headline
             FROM check_run c
             LEFT JOIN judgement j ON j.check_id = c.id AND j.revision = c.revisions
             ORDER BY c.created_at DESC, c.id DESC LIMIT ?1",
            [limit(at_most)],
            summary,
        ),
        Some(zone) => all(
            db,
            "SELECT c.id, c.zone, c.created_at, c.operator, c.revisions,
                 (SELECT COUNT(*) FROM check_agent a WHERE a.check_id = c.id),
                 (SELECT COUNT(DISTINCT r.agent_id) FROM report r WHERE r.check_id = c.id),
                 j.state, j.exit_code, j.headline
             FROM check_run c
             LEFT JOIN judgement j ON j.check_id = c.id AND j.revision = c.revisions
             WHERE c.zone = ?2
             ORDER BY c.created_at DESC, c.id DESC LIMIT ?1",
            (limit(at_most), zone),
            summary,
        ),
    }
}

fn summary(row: &Row<'_>) -> rusqlite::Result<CheckSummary> {
    let outcome = match row.get(7)? {
        Some(state) => Some(Outcome {
            state,
            exit_code: row.get(8)?,
            headline: row.get(9)?,
        }),
        None => None,
    };
    Ok(CheckSummary {
        id: CheckId(u128::from_be_bytes(row.get(0)?)),
        zone: row.get::<_, Vec<u8>>(1)?.into(),
        created: moment(row.get(2)?),
        operator: row.get(3)?,
        outcome,
        revisions: row.get(4)?,
        asked: row.get(5)?,
        reported: row.get(6)?,
    })
}
