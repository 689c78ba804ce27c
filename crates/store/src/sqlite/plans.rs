//! Plans, and their revisions.

use bailiwick_core::{time::Timestamp, vantage::VantageId};
use rusqlite::Connection;

use super::{
    Done,
    rows::{all, execute, first, known_agent, micros, moment},
};
use crate::{ItemId, PlanDelta, PlanItem};

pub(super) fn put(db: &Connection, name: &VantageId, item: &PlanItem, at: Timestamp) -> Done<u64> {
    put_for(db, known_agent(db, name)?, item, at)
}

/// Puts an item into the plan of an agent that is there.
pub(super) fn put_for(db: &Connection, agent: i64, item: &PlanItem, at: Timestamp) -> Done<u64> {
    forget(db, agent, at)?;
    let revision = next_revision(db, agent)?;
    execute(
        db,
        "INSERT INTO plan_item (agent_id, item_id, rev, deleted, spec, not_after)
         VALUES (?1, ?2, ?3, 0, ?4, ?5)
         ON CONFLICT (agent_id, item_id) DO UPDATE SET
             rev = excluded.rev, deleted = 0, spec = excluded.spec,
             not_after = excluded.not_after",
        (
            agent,
            item.id.0.to_be_bytes(),
            revision,
            &item.spec[..],
            micros(item.not_after),
        ),
    )?;
    Ok(revision)
}

pub(super) fn remove(db: &Connection, name: &VantageId, item: ItemId, at: Timestamp) -> Done<u64> {
    remove_for(db, known_agent(db, name)?, item, at)
}

/// Takes an item out of the plan of an agent that is there.
pub(super) fn remove_for(db: &Connection, agent: i64, item: ItemId, at: Timestamp) -> Done<u64> {
    forget(db, agent, at)?;
    let id = item.0.to_be_bytes();
    let live: Option<i64> = first(
        db,
        "SELECT 1 FROM plan_item WHERE agent_id = ?1 AND item_id = ?2 AND deleted = 0",
        (agent, id),
        |row| row.get(0),
    )?;
    if live.is_none() {
        return revision(db, agent);
    }
    let revision = next_revision(db, agent)?;
    execute(
        db,
        "UPDATE plan_item SET rev = ?3, deleted = 1 WHERE agent_id = ?1 AND item_id = ?2",
        (agent, id, revision),
    )?;
    Ok(revision)
}

/// Counts a plan's revision up. The row is locked until the end of the transaction, so revisions
/// become visible in their order.
fn next_revision(db: &Connection, agent: i64) -> Done<u64> {
    let revision = first(
        db,
        "INSERT INTO plan_head (agent_id, rev) VALUES (?1, 1)
         ON CONFLICT (agent_id) DO UPDATE SET rev = plan_head.rev + 1
         RETURNING rev",
        [agent],
        |row| row.get(0),
    )?;
    Ok(revision.unwrap_or_default())
}

fn revision(db: &Connection, agent: i64) -> Done<u64> {
    let revision = first(
        db,
        "SELECT rev FROM plan_head WHERE agent_id = ?1",
        [agent],
        |row| row.get(0),
    )?;
    Ok(revision.unwrap_or_default())
}

/// Agents forget items by themselves when their time is over, so nobody has to be told.
fn forget(db: &Connection, agent: i64, at: Timestamp) -> Done<()> {
    execute(
        db,
        "DELETE FROM plan_item WHERE agent_id = ?1 AND not_after <= ?2",
        (agent, micros(at)),
    )?;
    Ok(())
}

pub(super) fn since(
    db: &Connection,
    name: &VantageId,
    since: u64,
    at: Timestamp,
) -> Done<PlanDelta> {
    let agent = known_agent(db, name)?;
    let revision = revision(db, agent)?;
    let whole = since == 0 || since > revision;
    let mut delta = PlanDelta {
        revision,
        whole,
        items: Vec::new(),
        removed: Vec::new(),
    };
    let rows = all(
        db,
        "SELECT item_id, deleted, spec, not_after FROM plan_item
         WHERE agent_id = ?1 AND rev > ?2 AND not_after > ?3 ORDER BY rev",
        (agent, if whole { 0 } else { since }, micros(at)),
        |row| {
            let item = PlanItem {
                id: ItemId(u128::from_be_bytes(row.get(0)?)),
                spec: row.get::<_, Vec<u8>>(2)?.into(),
                not_after: moment(row.get(3)?),
            };
            Ok((row.get::<_, bool>(1)?, item))
        },
    )?;
    for (deleted, item) in rows {
        match deleted {
            false => delta.items.push(item),
            true if !whole => delta.removed.push(item.id),
            true => {}
        }
    }
    Ok(delta)
}
