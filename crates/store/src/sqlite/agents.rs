//! Agents and operators.

use std::collections::BTreeSet;

use bailiwick_core::{time::Timestamp, vantage::VantageId};
use rusqlite::{Connection, Row};

use super::{
    Done, audit,
    rows::{
        address, all as all_rows, broken, execute, first, known_agent, labels, micros, moment,
        to_address, to_labels,
    },
};
use crate::{
    Agent, AgentState, Audit, BootId, Certificate, Error, KeyHash, Operator, Role, Seen, Serial,
    Session, TAKEOVER_WINDOW, report::agent_key,
};

/// Makes an agent, or gives one that is there a new key.
pub(super) fn enrol(
    db: &Connection,
    name: &VantageId,
    key: KeyHash,
    place: &BTreeSet<String>,
    approve: bool,
    at: Timestamp,
) -> Done<()> {
    let state = if approve {
        AgentState::Pending
    } else {
        AgentState::Active
    };
    execute(
        db,
        "INSERT INTO agent (agent_id, name, spki, labels, state, enrolled_at, equivocations,
             earlier_reports)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0)
         ON CONFLICT (name) DO UPDATE SET
             spki = excluded.spki, labels = excluded.labels, state = excluded.state,
             enrolled_at = excluded.enrolled_at, serial_cur = NULL, until_cur = NULL,
             serial_next = NULL, until_next = NULL",
        (
            agent_key(name),
            &name.0,
            key.0,
            labels(place),
            state.to_string(),
            micros(at),
        ),
    )?;
    Ok(())
}

pub(super) fn find(db: &Connection, name: &VantageId) -> Done<Option<Agent>> {
    first(
        db,
        "SELECT a.name, a.spki, a.labels, a.state, a.banned_since, a.banned_reason,
             a.enrolled_at, a.serial_cur, a.until_cur, a.serial_next, a.until_next, a.seen_at,
             a.seen_address, a.seen_build, a.seen_boot, a.seen_durable, a.seen_lab,
             a.seen_offset, a.equivocations,
             a.earlier_reports + (SELECT COALESCE(SUM(m.reports), 0) FROM ingest_mark m
                                  WHERE m.agent_id = a.agent_id)
         FROM agent a WHERE a.agent_id = ?1",
        [agent_key(name)],
        agent,
    )
}

pub(super) fn by_key(db: &Connection, key: KeyHash) -> Done<Option<Agent>> {
    let name = first(
        db,
        "SELECT name FROM agent WHERE spki = ?1",
        [key.0],
        |row| row.get(0),
    )?;
    match name {
        Some(name) => find(db, &VantageId(name)),
        None => Ok(None),
    }
}

pub(super) fn all(db: &Connection) -> Done<Vec<Agent>> {
    all_rows(
        db,
        "SELECT a.name, a.spki, a.labels, a.state, a.banned_since, a.banned_reason,
             a.enrolled_at, a.serial_cur, a.until_cur, a.serial_next, a.until_next, a.seen_at,
             a.seen_address, a.seen_build, a.seen_boot, a.seen_durable, a.seen_lab,
             a.seen_offset, a.equivocations,
             a.earlier_reports + (SELECT COALESCE(SUM(m.reports), 0) FROM ingest_mark m
                                  WHERE m.agent_id = a.agent_id)
         FROM agent a ORDER BY a.name",
        [],
        agent,
    )
}

fn agent(row: &Row<'_>) -> rusqlite::Result<Agent> {
    let state = match row.get_ref(3)?.as_str()? {
        "pending" => AgentState::Pending,
        "active" => AgentState::Active,
        "banned" => AgentState::Banned {
            since: moment(row.get(4)?),
            reason: row.get(5)?,
        },
        _ => return Err(broken(3)),
    };
    Ok(Agent {
        name: VantageId(row.get(0)?),
        key: KeyHash(row.get(1)?),
        labels: to_labels(row.get_ref(2)?.as_str()?),
        state,
        enrolled: moment(row.get(6)?),
        current: certificate(row, 7)?,
        next: certificate(row, 9)?,
        seen: seen(row, 11)?,
        equivocations: row.get(18)?,
        reports: row.get(19)?,
    })
}

fn certificate(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Certificate>> {
    let (serial, until): (Option<_>, Option<_>) = (row.get(at)?, row.get(at + 1)?);
    Ok(serial.zip(until).map(|(serial, until)| Certificate {
        serial: Serial(serial),
        until: moment(until),
    }))
}

fn seen(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Seen>> {
    let Some(at) = row.get(column)? else {
        return Ok(None);
    };
    let octets = row.get_ref(column + 1)?.as_blob()?;
    Ok(Some(Seen {
        at: moment(at),
        address: to_address(octets).ok_or_else(|| broken(column + 1))?,
        build: row.get(column + 2)?,
        boot: BootId(row.get(column + 3)?),
        durable: row.get(column + 4)?,
        lab: row.get(column + 5)?,
        clock_offset: row.get(column + 6)?,
    }))
}

/// Returns the key of an agent that may send reports.
pub(super) fn welcome(db: &Connection, name: &VantageId) -> Done<i64> {
    let id = agent_key(name);
    match is_banned(db, name)? {
        None => Err(Error::NoSuchAgent { name: name.clone() }.into()),
        Some(true) => Err(Error::Banned { name: name.clone() }.into()),
        Some(false) => Ok(id),
    }
}

/// Returns whether an agent is shut out; `None` if there is none of that name.
pub(super) fn is_banned(db: &Connection, name: &VantageId) -> Done<Option<bool>> {
    first(
        db,
        "SELECT state = 'banned' FROM agent WHERE agent_id = ?1",
        [agent_key(name)],
        |row| row.get(0),
    )
}

pub(super) fn set_state(
    db: &Connection,
    name: &VantageId,
    state: &AgentState,
    noted: &Audit,
) -> Done<()> {
    let id = known_agent(db, name)?;
    let (since, reason) = match state {
        AgentState::Banned { since, reason } => (Some(micros(*since)), Some(reason)),
        AgentState::Pending | AgentState::Active => (None, None),
    };
    execute(
        db,
        "UPDATE agent SET state = ?2, banned_since = ?3, banned_reason = ?4
         WHERE agent_id = ?1",
        (id, state.to_string(), since, reason),
    )?;
    audit::note(db, noted)
}

pub(super) fn certificate_issued(
    db: &Connection,
    name: &VantageId,
    certificate: Certificate,
) -> Done<()> {
    let id = known_agent(db, name)?;
    execute(
        db,
        "UPDATE agent SET serial_next = ?2, until_next = ?3 WHERE agent_id = ?1",
        (id, certificate.serial.0, micros(certificate.until)),
    )?;
    Ok(())
}

pub(super) fn certificate_used(db: &Connection, name: &VantageId, serial: Serial) -> Done<bool> {
    let id = known_agent(db, name)?;
    execute(
        db,
        "UPDATE agent SET serial_cur = serial_next, until_cur = until_next,
             serial_next = NULL, until_next = NULL
         WHERE agent_id = ?1 AND serial_next = ?2",
        (id, serial.0),
    )?;
    let current: Option<i64> = first(
        db,
        "SELECT 1 FROM agent WHERE agent_id = ?1 AND serial_cur = ?2",
        (id, serial.0),
        |row| row.get(0),
    )?;
    Ok(current.is_some())
}

pub(super) fn note_seen(db: &Connection, name: &VantageId, seen: &Seen) -> Done<()> {
    let id = known_agent(db, name)?;
    execute(
        db,
        "UPDATE agent SET seen_at = ?2, seen_address = ?3, seen_build = ?4, seen_boot = ?5,
             seen_durable = ?6, seen_lab = ?7, seen_offset = ?8
         WHERE agent_id = ?1",
        (
            id,
            micros(seen.at),
            address(seen.address),
            &seen.build,
            seen.boot.0,
            seen.durable,
            seen.lab,
            seen.clock_offset,
        ),
    )?;
    Ok(())
}

pub(super) fn take_session(
    db: &Connection,
    name: &VantageId,
    replica: &str,
    boot: BootId,
    at: Timestamp,
) -> Done<Session> {
    let id = known_agent(db, name)?;
    let last = session(db, name)?;
    let epoch = last.as_ref().map_or(0, |session| session.epoch) + 1;
    if last.is_some_and(|session| session.boot != boot) {
        execute(
            db,
            "INSERT INTO takeover (agent_id, session_epoch, taken_at) VALUES (?1, ?2, ?3)",
            (id, epoch, micros(at)),
        )?;
    }
    let window = i64::try_from(TAKEOVER_WINDOW.as_micros()).unwrap_or(i64::MAX);
    execute(
        db,
        "DELETE FROM takeover WHERE agent_id = ?1 AND taken_at <= ?2",
        (id, micros(at) - window),
    )?;
    let takeovers = first(
        db,
        "SELECT COUNT(*) FROM takeover WHERE agent_id = ?1",
        [id],
        |row| row.get(0),
    )?;
    let session = Session {
        epoch,
        replica: replica.to_owned(),
        boot,
        opened: at,
        takeovers: takeovers.unwrap_or_default(),
    };
    execute(
        db,
        "INSERT INTO agent_session
             (agent_id, session_epoch, replica, boot, opened_at, takeovers)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (agent_id) DO UPDATE SET
             session_epoch = excluded.session_epoch, replica = excluded.replica,
             boot = excluded.boot, opened_at = excluded.opened_at,
             takeovers = excluded.takeovers",
        (id, epoch, replica, boot.0, micros(at), session.takeovers),
    )?;
    Ok(session)
}

pub(super) fn session(db: &Connection, name: &VantageId) -> Done<Option<Session>> {
    first(
        db,
        "SELECT session_epoch, replica, boot, opened_at, takeovers FROM agent_session
         WHERE agent_id = ?1",
        [agent_key(name)],
        |row| {
            Ok(Session {
                epoch: row.get(0)?,
                replica: row.get(1)?,
                boot: BootId(row.get(2)?),
                opened: moment(row.get(3)?),
                takeovers: row.get(4)?,
            })
        },
    )
}

/// Makes an operator, or gives one that is there a new key.
pub(super) fn enrol_operator(
    db: &Connection,
    name: &str,
    key: KeyHash,
    role: Role,
    at: Timestamp,
) -> Done<()> {
    execute(
        db,
        "INSERT INTO operator (name, spki, role, enrolled_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET
             spki = excluded.spki, role = excluded.role, enrolled_at = excluded.enrolled_at",
        (name, key.0, role.to_string(), micros(at)),
    )?;
    Ok(())
}

pub(super) fn operator_by_key(db: &Connection, key: KeyHash) -> Done<Option<Operator>> {
    first(
        db,
        "SELECT name, spki, role, enrolled_at FROM operator WHERE spki = ?1",
        [key.0],
        operator,
    )
}

pub(super) fn operators(db: &Connection) -> Done<Vec<Operator>> {
    all_rows(
        db,
        "SELECT name, spki, role, enrolled_at FROM operator ORDER BY name",
        [],
        operator,
    )
}

fn operator(row: &Row<'_>) -> rusqlite::Result<Operator> {
    Ok(Operator {
        name: row.get(0)?,
        key: KeyHash(row.get(1)?),
        role: Role::named(row.get_ref(2)?.as_str()?).ok_or_else(|| broken(2))?,
        enrolled: moment(row.get(3)?),
    })
}

pub(super) fn set_role(db: &Connection, name: &str, role: Role, noted: &Audit) -> Done<()> {
    let changed = execute(
        db,
        "UPDATE operator SET role = ?2 WHERE name = ?1",
        (name, role.to_string()),
    )?;
    noted_if(db, changed, name, noted)
}

pub(super) fn remove_operator(db: &Connection, name: &str, noted: &Audit) -> Done<()> {
    let changed = execute(db, "DELETE FROM operator WHERE name = ?1", [name])?;
    noted_if(db, changed, name, noted)
}

fn noted_if(db: &Connection, changed: usize, name: &str, noted: &Audit) -> Done<()> {
    if changed == 0 {
        let name = name.to_owned();
        return Err(Error::NoSuchOperator { name }.into());
    }
    audit::note(db, noted)
}
