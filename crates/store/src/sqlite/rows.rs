//! Values to columns and back.

use std::{collections::BTreeSet, net::IpAddr};

use bailiwick_core::{check::CheckId, time::Timestamp, vantage::VantageId};
use rusqlite::{
    Connection, OptionalExtension as _, Params, Row,
    types::{FromSqlError, Type},
};

use super::Done;
use crate::{Error, report::agent_key};

/// A moment as a column. Databases count with signs; what is later than they can say is the last
/// moment that they can.
pub(super) fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

pub(super) fn moment(column: i64) -> Timestamp {
    Timestamp(column.unsigned_abs())
}

/// A limit as a parameter.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn check_id(id: CheckId) -> [u8; 16] {
    id.0.to_be_bytes()
}

/// Labels as a column: one a line.
pub(super) fn labels(labels: &BTreeSet<String>) -> String {
    let escape = |label: &String| label.replace('\\', "\\\\").replace('\n', "\\n");
    let lines: Vec<String> = labels.iter().map(escape).collect();
    lines.join("\n")
}

pub(super) fn to_labels(column: &str) -> BTreeSet<String> {
    let unescape = |line: &str| {
        let mut label = String::new();
        let mut rest = line.chars();
        while let Some(c) = rest.next() {
            label.push(match c {
                '\\' => match rest.next() {
                    Some('n') => '\n',
                    other => other.unwrap_or('\\'),
                },
                c => c,
            });
        }
        label
    };
    if column.is_empty() {
        return BTreeSet::new();
    }
    column.split('\n').map(unescape).collect()
}

pub(super) fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

pub(super) fn to_address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// Says that a column has a value that was never written by us.
pub(super) fn broken(column: usize) -> rusqlite::Error {
    let why = Box::new(FromSqlError::InvalidType);
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, why)
}

/// Returns the key of an agent that is there.
pub(super) fn known_agent(db: &Connection, name: &VantageId) -> Done<i64> {
    let id = agent_key(name);
    let found: Option<i64> = first(db, "SELECT 1 FROM agent WHERE agent_id = ?1", [id], |row| {
        row.get(0)
    })?;
    found.ok_or_else(|| Error::NoSuchAgent { name: name.clone() })?;
    Ok(id)
}

/// Does something, and returns how many rows it changed.
pub(super) fn execute(db: &Connection, sql: &str, params: impl Params) -> Done<usize> {
    Ok(db.prepare_cached(sql)?.execute(params)?)
}

/// Returns the first row.
pub(super) fn first<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Done<Option<T>> {
    let mut statement = db.prepare_cached(sql)?;
    Ok(statement.query_row(params, read).optional()?)
}

/// Returns all rows.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Done<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back() {
        let cases: [&[&str]; 5] = [
            &[],
            &["a=b"],
            &["a=b", "c=d"],
            &["a=\n", "b=\\n", "c=\\", "d=\\\n"],
            &["geo=50.11,8.68", "umlaut=ä"],
        ];
        for case in cases {
            let set: BTreeSet<String> = case.iter().map(|&label| label.to_owned()).collect();
            assert_eq!(to_labels(&labels(&set)), set);
        }
    }
}
