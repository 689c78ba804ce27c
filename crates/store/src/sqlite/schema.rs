//! The tables, and how a database is opened.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::space::PAGE;
use crate::{OpenError, Options};

/// `bwks`: tells our databases from others.
const APPLICATION: u32 = 0x6277_6b73;

/// Each brings a database from the version of its place to the next.
const MIGRATIONS: [&str; 2] = [TABLES, WATCHES];

/// Version 1.
const TABLES: &str = "
    CREATE TABLE join_token (
        id BLOB NOT NULL PRIMARY KEY,
        mac BLOB NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        labels TEXT NOT NULL,
        network TEXT,
        approve INTEGER NOT NULL,
        role TEXT,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        used_at INTEGER,
        used_spki BLOB
    ) STRICT;

    CREATE TABLE agent (
        agent_id INTEGER NOT NULL PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        spki BLOB NOT NULL UNIQUE,
        labels TEXT NOT NULL,
        state TEXT NOT NULL,
        banned_since INTEGER,
        banned_reason TEXT,
        enrolled_at INTEGER NOT NULL,
        serial_cur BLOB,
        until_cur INTEGER,
        serial_next BLOB,
        until_next INTEGER,
        seen_at INTEGER,
        seen_address BLOB,
        seen_build TEXT,
        seen_boot BLOB,
        seen_durable INTEGER,
        seen_lab INTEGER,
        seen_offset INTEGER,
        equivocations INTEGER NOT NULL,
        earlier_reports INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE agent_session (
        agent_id INTEGER NOT NULL PRIMARY KEY REFERENCES agent,
        session_epoch INTEGER NOT NULL,
        replica TEXT NOT NULL,
        boot BLOB NOT NULL,
        opened_at INTEGER NOT NULL,
        takeovers INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE takeover (
        agent_id INTEGER NOT NULL REFERENCES agent,
        session_epoch INTEGER NOT NULL,
        taken_at INTEGER NOT NULL,
        PRIMARY KEY (agent_id, session_epoch)
    ) STRICT;

    CREATE TABLE operator (
        name TEXT NOT NULL PRIMARY KEY,
        spki BLOB NOT NULL UNIQUE,
        role TEXT NOT NULL,
        enrolled_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE audit (
        hash BLOB NOT NULL PRIMARY KEY,
        at INTEGER NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        request BLOB NOT NULL,
        result TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_at ON audit (at, who, what, request, result);

    CREATE TABLE check_run (
        id BLOB NOT NULL PRIMARY KEY,
        zone BLOB NOT NULL,
        spec BLOB NOT NULL,
        operator TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        deadline INTEGER NOT NULL,
        is_open INTEGER NOT NULL,
        revisions INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX check_run_created ON check_run (created_at, id);
    CREATE INDEX check_run_zone ON check_run (zone, created_at, id);
    CREATE INDEX check_run_open ON check_run (deadline, id) WHERE is_open = 1;

    CREATE TABLE check_agent (
        check_id BLOB NOT NULL REFERENCES check_run,
        agent_id INTEGER NOT NULL REFERENCES agent,
        PRIMARY KEY (check_id, agent_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE judgement (
        check_id BLOB NOT NULL REFERENCES check_run,
        revision INTEGER NOT NULL,
        state TEXT NOT NULL,
        exit_code INTEGER NOT NULL,
        headline TEXT NOT NULL,
        policy INTEGER NOT NULL,
        judged_at INTEGER NOT NULL,
        verdict BLOB NOT NULL,
        places BLOB NOT NULL,
        PRIMARY KEY (check_id, revision)
    ) STRICT;

    CREATE TABLE plan_head (
        agent_id INTEGER NOT NULL PRIMARY KEY REFERENCES agent,
        rev INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE plan_item (
        agent_id INTEGER NOT NULL REFERENCES agent,
        item_id BLOB NOT NULL,
        rev INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        spec BLOB NOT NULL,
        not_after INTEGER NOT NULL,
        PRIMARY KEY (agent_id, item_id)
    ) STRICT;
    CREATE INDEX plan_item_rev ON plan_item (agent_id, rev);
    CREATE INDEX plan_item_end ON plan_item (agent_id, not_after);

    -- Where reports are partitioned by bucket, it comes first in the key. Here one key finds a
    -- report and its double whatever their days are.
    CREATE TABLE report (
        agent_id INTEGER NOT NULL,
        lane INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        bucket INTEGER NOT NULL,
        check_id BLOB,
        received_at INTEGER NOT NULL,
        hash BLOB NOT NULL,
        answers BLOB NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (agent_id, lane, epoch, seq)
    ) STRICT;
    CREATE INDEX report_check ON report (check_id, agent_id, lane, epoch, seq)
        WHERE check_id IS NOT NULL;
    CREATE INDEX report_received ON report (received_at, agent_id, lane, epoch, seq);

    -- Gaps neither overlap nor touch each other.
    CREATE TABLE report_gap (
        agent_id INTEGER NOT NULL,
        lane INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        PRIMARY KEY (agent_id, lane, epoch, first_seq)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE ingest_mark (
        agent_id INTEGER NOT NULL,
        lane INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        born INTEGER NOT NULL,
        through INTEGER NOT NULL,
        furthest INTEGER NOT NULL,
        reports INTEGER NOT NULL,
        PRIMARY KEY (agent_id, lane, epoch)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE equivocation (
        agent_id INTEGER NOT NULL,
        lane INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        kept BLOB NOT NULL,
        other BLOB NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (agent_id, lane, epoch, seq)
    ) STRICT;

    -- The day is that of the last report that refers to it, by its receipt: when all reports of
    -- that day are forgotten, nothing refers to it any more.
    CREATE TABLE answer (
        hash BLOB NOT NULL PRIMARY KEY,
        day INTEGER NOT NULL,
        octets BLOB NOT NULL
    ) STRICT;
    CREATE INDEX answer_day ON answer (day);
";

/// Version 2.
const WATCHES: &str = "
    CREATE TABLE watch (
        watch_id BLOB NOT NULL PRIMARY KEY,
        zone BLOB NOT NULL,
        spec BLOB NOT NULL,
        operator TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        interval_us INTEGER NOT NULL,
        not_after INTEGER NOT NULL,
        removed_at INTEGER
    ) STRICT;

    CREATE TABLE watch_agent (
        watch_id BLOB NOT NULL REFERENCES watch,
        agent_id INTEGER NOT NULL REFERENCES agent,
        item BLOB NOT NULL,
        PRIMARY KEY (watch_id, agent_id)
    ) STRICT, WITHOUT ROWID;

    -- A check that is a round of a watch.
    ALTER TABLE check_run ADD COLUMN watch_id BLOB;
    CREATE INDEX check_run_slot ON check_run (created_at, id) WHERE watch_id IS NOT NULL;
";

/// Opens a database to write to it, and makes it if there is none.
pub(super) fn open(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    let failed = |why: &dyn std::fmt::Display| OpenError::File {
        path: path.display().to_string(),
        why: why.to_string(),
    };
    // SQLite gives the files beside it the same rights. What is watched is nobody's business.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(&error))?;
    let mut db = connect(path).map_err(|error| failed(&error))?;
    empty_log(&db).map_err(|error| failed(&error))?;
    migrate(&mut db, path)?;
    bound(&db, options).map_err(|error| failed(&error))?;
    Ok(db)
}

/// Opens a database to read it.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let opened = connect(path).and_then(|db| {
        db.pragma_update(None, "query_only", true)?;
        Ok(db)
    });
    opened.map_err(|error| OpenError::File {
        path: path.display().to_string(),
        why: error.to_string(),
    })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    // Else each new value of a parameter may be another reason to use a partial index, and every
    // statement on such a table is compiled anew each time.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "page_size", PAGE)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    // 16 MiB of log are copied at once; after that the log file is not longer than that.
    db.pragma_update(None, "wal_autocheckpoint", (16 << 20) / PAGE)?;
    db.pragma_update(None, "journal_size_limit", 16 << 20)?;
    db.pragma_update(None, "cache_size", -(16 << 10))?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(db)
}

/// Moves all that is in the log into the database, and waits for the disk.
///
/// After a sync that failed, the system may serve octets that never reached the disk as if they
/// had, and a log that is read again then looks whole. Reports that were added to it would be
/// lost with it. Written to the database and synced there, they are safe.
fn empty_log(db: &Connection) -> rusqlite::Result<()> {
    let busy: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let why = "another program is using it".to_owned();
        return Err(rusqlite::Error::SqliteFailure(code, Some(why)));
    }
    Ok(())
}

fn bound(db: &Connection, options: &Options) -> rusqlite::Result<()> {
    if let Some(octets) = options.at_most {
        let pages = i64::try_from(octets).unwrap_or(i64::MAX) / PAGE;
        db.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

fn migrate(db: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let shown = || path.display().to_string();
    let failed = |error: rusqlite::Error| OpenError::File {
        path: shown(),
        why: error.to_string(),
    };
    // Of two that open a new database at once, the second waits here.
    let transaction = db
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(failed)?;
    let number = |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0));
    let application = number("application_id").map_err(failed)?;
    let version = number("user_version").map_err(failed)?;
    let tables: u32 = transaction
        .query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let ours = application == APPLICATION || (application == 0 && tables == 0);
    if !ours {
        return Err(OpenError::Foreign { path: shown() });
    }
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if version > known {
        return Err(OpenError::TooNew {
            path: shown(),
            version,
            known,
        });
    }
    if version == known {
        return Ok(());
    }
    for migration in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    let noted = transaction
        .pragma_update(None, "application_id", APPLICATION)
        .and_then(|()| transaction.pragma_update(None, "user_version", known));
    noted.map_err(failed)?;
    transaction.commit().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_version_1_is_brought_up_and_keeps_its_checks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        std::fs::File::create(&path).unwrap();
        let old = connect(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.pragma_update(None, "application_id", APPLICATION)
            .unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        let row = "INSERT INTO check_run
                       (id, zone, spec, operator, created_at, deadline, is_open, revisions)
                   VALUES (x'01', x'00', x'', 'uid 0', 1, 2, 0, 0)";
        old.execute_batch(row).unwrap();
        drop(old);
        let new = open(&path, &Options::default()).unwrap();
        let version: u32 = new
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version, 2);
        let kept = "SELECT COUNT(*) FROM check_run WHERE watch_id IS NULL";
        let kept: u32 = new.query_row(kept, [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 1);
        new.prepare("SELECT item FROM watch_agent").unwrap();
    }

    /// A thousand kills of the process pass without any of this; a power cut does not.
    #[test]
    fn a_commit_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(&folder.path().join("store.db"), &Options::default()).unwrap();
        let text = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, String>(0));
        let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        assert_eq!(text("journal_mode").unwrap(), "wal");
        assert_eq!(number("synchronous").unwrap(), 2, "FULL");
        assert_eq!(
            number("fullfsync").unwrap(),
            0,
            "only elsewhere is it needed"
        );
        assert_eq!(number("foreign_keys").unwrap(), 1);
        assert_eq!(number("page_size").unwrap(), PAGE);
    }
}
