//! The statements keep to what other databases understand, too (reliability: 5.3).
//!
//! All SQL is in literals; this test reads them out of the source.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{fs, path::PathBuf};

/// What begins a statement.
const STATEMENTS: [&str; 5] = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];

/// What no statement has, in upper case, and why.
const FORBIDDEN: [(&str, &str); 27] = [
    ("NOW(", "the caller gives moments"),
    ("CURRENT_", "the caller gives moments"),
    ("DATETIME(", "the caller gives moments"),
    ("STRFTIME(", "the caller gives moments"),
    ("JULIANDAY(", "the caller gives moments"),
    ("UNIXEPOCH(", "the caller gives moments"),
    ("RANDOM", "the caller gives chance"),
    ("AUTOINCREMENT", "sequences become visible out of order"),
    ("SERIAL,", "sequences become visible out of order"),
    ("NEXTVAL", "sequences become visible out of order"),
    ("ROWID", "only SQLite has it"),
    ("LAST_INSERT", "only SQLite has it"),
    ("LISTEN", "a lost hint must not matter"),
    ("NOTIFY", "a lost hint must not matter"),
    ("ADVISORY", "CockroachDB has none"),
    ("OR IGNORE", "ON CONFLICT says which"),
    ("OR REPLACE", "it deletes rows"),
    ("REPLACE INTO", "it deletes rows"),
    ("IFNULL", "COALESCE is the standard"),
    ("GROUP_CONCAT", "only SQLite has it"),
    (" GLOB ", "only SQLite has it"),
    ("PRAGMA", "only SQLite has it"),
    ("==", "= is the standard"),
    ("\"", "a name needs no quotes, and a text has others"),
    ("`", "only MySQL has it"),
    ("SELECT *", "columns are added"),
    ("{}", "a statement is not put together from parts"),
];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sqlite"))
}

/// Returns the string literals of Rust source. It knows comments, characters and escapes as far
/// as they occur here.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line_or_more in source.split("//").enumerate().map(|(n, part)| {
        // What follows `//` up to the end of the line is a comment.
        if n == 0 {
            part
        } else {
            part.split_once('\n').map_or("", |(_, rest)| rest)
        }
    }) {
        let mut rest = line_or_more;
        while let Some((_, after)) = rest.split_once('"') {
            let mut literal = String::new();
            let mut characters = after.char_indices();
            let end = loop {
                match characters.next() {
                    Some((_, '\\')) => literal.extend(characters.next().map(|(_, c)| c)),
                    Some((at, '"')) => break at + 1,
                    Some((_, c)) => literal.push(c),
                    None => break after.len(),
                }
            };
            found.push(literal);
            rest = &after[end..];
        }
    }
    found
}

/// Returns all statements with their files.
fn statements() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        for literal in literals(&fs::read_to_string(&path).unwrap()) {
            if STATEMENTS.iter().any(|begin| literal.starts_with(begin)) {
                found.push((file.clone(), literal));
            }
        }
    }
    found
}

/// The statements of a migration that make tables.
fn tables() -> String {
    let schema = fs::read_to_string(folder().join("schema.rs")).unwrap();
    let begins = |literal: &&String| literal.trim_start().starts_with("CREATE TABLE");
    let found: Vec<_> = literals(&schema).iter().filter(begins).cloned().collect();
    assert_eq!(found.len(), 2, "two versions, and their comments are SQL's");
    found.concat()
}

#[test]
fn statements_are_portable() {
    let all = statements();
    assert!(all.len() > 60, "only {} statements were found", all.len());
    for (file, statement) in &all {
        let upper = statement.to_uppercase();
        for (word, why) in FORBIDDEN {
            assert!(!upper.contains(word), "{file}: {word}: {why}: {statement}");
        }
        if upper.contains(" LIMIT ?") {
            assert!(
                upper.contains("ORDER BY"),
                "{file}: which ones? {statement}"
            );
        }
        if upper.starts_with("INSERT") {
            let named = upper.contains(" (") && upper.contains("VALUES");
            assert!(named, "{file}: names its columns: {statement}");
        }
    }
    let upper = tables().to_uppercase();
    for word in ["AUTOINCREMENT", "DEFAULT", "NOW(", "CURRENT_", "TRIGGER"] {
        assert!(!upper.contains(word), "the tables: {word}");
    }
}

#[test]
fn statements_fit_the_tables() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    db.execute_batch(&tables()).unwrap();
    for (file, statement) in statements() {
        let prepared = db.prepare(&statement);
        assert!(
            prepared.is_ok(),
            "{file}: {statement}: {:?}",
            prepared.err()
        );
    }
}

/// What is read by key is found by key: nothing that an agent or a caller waits for walks through
/// a whole table.
#[test]
fn reports_are_never_walked_through() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    db.execute_batch(&tables()).unwrap();
    let large = [
        "report",
        "answer",
        "judgement",
        "check_run",
        "check_agent",
        "r",
        "c",
        "j",
    ];
    for (file, statement) in statements() {
        let mut plan = db
            .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
            .unwrap();
        let parameters = plan.parameter_count();
        let nothing = vec![rusqlite::types::Null; parameters];
        let steps = plan
            .query_map(rusqlite::params_from_iter(nothing), |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        for step in steps.map(Result::unwrap) {
            let scanned = step
                .strip_prefix("SCAN ")
                .map(|rest| rest.split(' ').next().unwrap());
            let walks = scanned.is_some_and(|table| large.contains(&table));
            // A list of the latest checks walks along an index until it has enough.
            let bounded = scanned.is_some_and(|table| ["check_run", "c"].contains(&table))
                && step.contains("USING")
                && statement.contains("LIMIT")
                && !statement.contains("c.zone = ");
            let counts = statement.starts_with("SELECT COUNT(*) FROM check_run");
            let sorts = step.contains("TEMP B-TREE FOR ORDER BY") && statement.contains("LIMIT");
            assert!(!sorts, "{file}: all are sorted for a few: {statement}");
            assert!(!walks || bounded || counts, "{file}: {step}: {statement}");
        }
    }
}
