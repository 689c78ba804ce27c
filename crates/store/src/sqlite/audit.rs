//! Who did what.

use rusqlite::Connection;

use super::{
    Done,
    rows::{all, execute, limit, micros, moment},
};
use crate::Audit;

pub(super) fn note(db: &Connection, audit: &Audit) -> Done<()> {
    execute(
        db,
        "INSERT INTO audit (hash, at, who, what, request, result)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (hash) DO NOTHING",
        (
            identity(audit),
            micros(audit.at),
            &audit.who,
            &audit.what,
            audit.request,
            &audit.result,
        ),
    )?;
    Ok(())
}

/// Tells notes from each other: the hash of all that is in them.
fn identity(audit: &Audit) -> [u8; 32] {
    let mut octets = audit.at.0.to_be_bytes().to_vec();
    octets.extend(audit.request);
    for text in [&audit.who, &audit.what, &audit.result] {
        octets.extend(text.len().to_be_bytes());
        octets.extend(text.as_bytes());
    }
    bailiwick_wire::report::hash(&octets)
}

pub(super) fn latest(db: &Connection, at_most: usize) -> Done<Vec<Audit>> {
    all(
        db,
        "SELECT at, who, what, request, result FROM audit
         ORDER BY at DESC, who DESC, what DESC, request DESC, result DESC LIMIT ?1",
        [limit(at_most)],
        |row| {
            Ok(Audit {
                at: moment(row.get(0)?),
                who: row.get(1)?,
                what: row.get(2)?,
                request: row.get(3)?,
                result: row.get(4)?,
            })
        },
    )
}
