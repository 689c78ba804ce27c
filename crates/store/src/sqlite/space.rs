//! How much more may be kept.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::Done;
use crate::{Error, Options, Reserve, Usage};

/// Octets of a page of the database.
pub(super) const PAGE: i64 = 4096;

/// Knows how much may be kept at one place.
#[derive(Clone)]
pub(super) struct Space {
    file: PathBuf,
    folder: PathBuf,
    reserve: Reserve,
    at_most: Option<u64>,
}

impl Space {
    pub(super) fn new(file: &Path, options: &Options) -> Self {
        let folder = file.parent().filter(|parent| *parent != Path::new(""));
        Self {
            file: file.to_owned(),
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            reserve: options.reserve,
            at_most: options.at_most,
        }
    }

    /// Refuses reports if there is no room for them. It asks the system each time, so they are
    /// accepted again as soon as there is.
    pub(super) fn check(&self, db: &Connection) -> Done<()> {
        match self.free(db)? {
            0 => Err(Error::Full { free: 0 }.into()),
            _ => Ok(()),
        }
    }

    /// Returns how many octets can be stored before reports are refused.
    fn free(&self, db: &Connection) -> Done<u64> {
        let of_disk = self.free_on_disk()?;
        let of_file = match self.at_most {
            Some(at_most) => (at_most - at_most / 20).saturating_sub(used(db)?),
            None => u64::MAX,
        };
        Ok(of_disk.min(of_file))
    }

    fn free_on_disk(&self) -> Result<u64, Error> {
        let found = rustix::fs::statvfs(&self.folder).map_err(|error| Error::Storage {
            why: error.to_string(),
        })?;
        let size = found.f_blocks.saturating_mul(found.f_frsize);
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        Ok(free.saturating_sub(self.reserve.of(size)))
    }

    /// Octets of the database and of the files beside it.
    fn octets(&self) -> u64 {
        ["", "-wal", "-shm"]
            .into_iter()
            .filter_map(|suffix| {
                let mut name = self.file.clone().into_os_string();
                name.push(suffix);
                Some(std::fs::metadata(name).ok()?.len())
            })
            .sum()
    }
}

/// Octets of the database that are in use.
fn used(db: &Connection) -> Done<u64> {
    let pages = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, u64>(0));
    let used = pages("page_count")?.saturating_sub(pages("freelist_count")?);
    Ok(used * PAGE.unsigned_abs())
}

pub(super) fn usage(db: &Connection, space: &Space) -> Done<Usage> {
    let count =
        |sql: &str| -> Done<u64> { Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?) };
    Ok(Usage {
        agents: count("SELECT COUNT(*) FROM agent")?,
        reports: count(
            "SELECT (SELECT COALESCE(SUM(reports), 0) FROM ingest_mark)
                 + (SELECT COALESCE(SUM(earlier_reports), 0) FROM agent)",
        )?,
        checks: count("SELECT COUNT(*) FROM check_run")?,
        open_checks: count("SELECT COUNT(*) FROM check_run WHERE is_open = 1")?,
        octets: space.octets(),
        free: space.free(db)?,
    })
}
