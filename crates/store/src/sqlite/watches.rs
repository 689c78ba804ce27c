//! Watches, and their rounds.

use std::time::Duration;

use bailiwick_core::{time::Timestamp, vantage::VantageId};
use rusqlite::{Connection, Row};

use super::{
    Done, audit, plans,
    rows::{all, check_id, execute, first, known_agent, limit, micros, moment},
};
use crate::{Audit, Error, NewWatch, PlanItem, Slot, Watch, WatchId};

fn watch_id(id: WatchId) -> [u8; 16] {
    id.0.to_be_bytes()
}

pub(super) fn create(db: &Connection, watch: &NewWatch, noted: &Audit) -> Done<()> {
    let interval = i64::try_from(watch.interval.as_micros()).unwrap_or(i64::MAX);
    let created = execute(
        db,
        "INSERT INTO watch (watch_id, zone, spec, operator, created_at, interval_us, not_after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (watch_id) DO NOTHING",
        (
            watch_id(watch.id),
            &watch.zone[..],
            &watch.check[..],
            &watch.operator,
            micros(watch.created),
            interval,
            micros(watch.not_after),
        ),
    )?;
    if created == 0 {
        return Err(Error::Exists { what: "watch" }.into());
    }
    for (name, spec) in &watch.items {
        let agent = known_agent(db, name)?;
        execute(
            db,
            "INSERT INTO watch_agent (watch_id, agent_id, item) VALUES (?1, ?2, ?3)",
            (watch_id(watch.id), agent, &spec[..]),
        )?;
        let item = PlanItem {
            id: watch.id.into(),
            spec: spec.clone(),
            not_after: watch.not_after,
        };
        plans::put_for(db, agent, &item, watch.created)?;
    }
    audit::note(db, noted)
}

pub(super) fn renew(db: &Connection, id: WatchId, not_after: Timestamp, at: Timestamp) -> Done<()> {
    let renewed = execute(
        db,
        "UPDATE watch SET not_after = ?2 WHERE watch_id = ?1 AND removed_at IS NULL",
        (watch_id(id), micros(not_after)),
    )?;
    if renewed == 0 {
        return Err(Error::NoSuchWatch { id }.into());
    }
    let items = all(
        db,
        "SELECT agent_id, item FROM watch_agent WHERE watch_id = ?1",
        [watch_id(id)],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)),
    )?;
    for (agent, spec) in items {
        let item = PlanItem {
            id: id.into(),
            spec: spec.into(),
            not_after,
        };
        plans::put_for(db, agent, &item, at)?;
    }
    Ok(())
}

pub(super) fn remove(db: &Connection, id: WatchId, noted: &Audit) -> Done<()> {
    let removed = execute(
        db,
        "UPDATE watch SET removed_at = ?2 WHERE watch_id = ?1 AND removed_at IS NULL",
        (watch_id(id), micros(noted.at)),
    )?;
    if removed == 0 {
        return Err(Error::NoSuchWatch { id }.into());
    }
    for agent in agents(db, id)? {
        plans::remove_for(db, agent, id.into(), noted.at)?;
    }
    audit::note(db, noted)
}

fn agents(db: &Connection, id: WatchId) -> Done<Vec<i64>> {
    all(
        db,
        "SELECT agent_id FROM watch_agent WHERE watch_id = ?1",
        [watch_id(id)],
        |row| row.get(0),
    )
}

pub(super) fn find(db: &Connection, id: WatchId) -> Done<Option<Watch>> {
    let found = first(
        db,
        "SELECT watch_id, zone, spec, operator, created_at, interval_us, not_after, removed_at
         FROM watch WHERE watch_id = ?1",
        [watch_id(id)],
        record,
    )?;
    found.map(|watch| complete(db, watch)).transpose()
}

pub(super) fn list(db: &Connection) -> Done<Vec<Watch>> {
    let found = all(
        db,
        "SELECT watch_id, zone, spec, operator, created_at, interval_us, not_after, removed_at
         FROM watch WHERE removed_at IS NULL ORDER BY created_at, watch_id",
        [],
        record,
    )?;
    found.into_iter().map(|watch| complete(db, watch)).collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<Watch> {
    Ok(Watch {
        id: WatchId(u128::from_be_bytes(row.get(0)?)),
        zone: row.get::<_, Vec<u8>>(1)?.into(),
        check: row.get::<_, Vec<u8>>(2)?.into(),
        operator: row.get(3)?,
        created: moment(row.get(4)?),
        interval: Duration::from_micros(row.get(5)?),
        not_after: moment(row.get(6)?),
        removed: row.get::<_, Option<i64>>(7)?.map(moment),
        asked: Default::default(),
    })
}

/// Adds who is asked.
fn complete(db: &Connection, watch: Watch) -> Done<Watch> {
    let asked = all(
        db,
        "SELECT a.name FROM watch_agent w JOIN agent a ON a.agent_id = w.agent_id
         WHERE w.watch_id = ?1",
        [watch_id(watch.id)],
        |row| Ok(VantageId(row.get(0)?)),
    )?;
    Ok(Watch {
        asked: asked.into_iter().collect(),
        ..watch
    })
}

pub(super) fn open_slots(db: &Connection, slots: &[Slot]) -> Done<()> {
    slots.iter().try_for_each(|slot| open_slot(db, slot))
}

fn open_slot(db: &Connection, slot: &Slot) -> Done<()> {
    let watch = find(db, slot.watch)?.ok_or(Error::NoSuchWatch { id: slot.watch })?;
    let created = execute(
        db,
        "INSERT INTO check_run
             (id, zone, spec, operator, created_at, deadline, is_open, revisions, watch_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 0, ?7)
         ON CONFLICT (id) DO NOTHING",
        (
            check_id(slot.id),
            &watch.zone[..],
            &watch.check[..],
            &watch.operator,
            micros(slot.begins),
            micros(slot.deadline),
            watch_id(slot.watch),
        ),
    )?;
    if created == 0 {
        return Ok(());
    }
    for agent in agents(db, slot.watch)? {
        execute(
            db,
            "INSERT INTO check_agent (check_id, agent_id) VALUES (?1, ?2)",
            (check_id(slot.id), agent),
        )?;
    }
    Ok(())
}

pub(super) fn forget_slots(db: &Connection, before: Timestamp, at_most: usize) -> Done<usize> {
    let old: Vec<[u8; 16]> = all(
        db,
        "SELECT id FROM check_run WHERE watch_id IS NOT NULL AND created_at < ?1
         ORDER BY created_at, id LIMIT ?2",
        (micros(before), limit(at_most)),
        |row| row.get(0),
    )?;
    for id in &old {
        execute(db, "DELETE FROM judgement WHERE check_id = ?1", [id])?;
        execute(db, "DELETE FROM check_agent WHERE check_id = ?1", [id])?;
        execute(db, "DELETE FROM check_run WHERE id = ?1", [id])?;
    }
    if old.len() < at_most {
        execute(
            db,
            "DELETE FROM watch_agent WHERE watch_id IN
                 (SELECT watch_id FROM watch WHERE removed_at < ?1)",
            [micros(before)],
        )?;
        execute(
            db,
            "DELETE FROM watch WHERE removed_at < ?1",
            [micros(before)],
        )?;
    }
    Ok(old.len())
}
