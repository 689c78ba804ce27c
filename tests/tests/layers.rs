//! The arrow table of `crates/README.md`, compared with what cargo sees; and what the tree of
//! dependencies must never contain.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// Who may use whom. Package names without the prefix `bailiwick-`.
const ARROWS: [(&str, &[&str]); 14] = [
    ("core", &[]),
    ("wire", &["core"]),
    ("probe", &["core"]),
    ("verdict", &["core"]),
    ("render", &["core"]),
    ("transport", &["core", "wire", "probe"]),
    ("spool", &["core"]),
    ("rpc", &["wire"]),
    ("store", &["core", "wire"]),
    (
        "coordinator",
        &["core", "wire", "verdict", "render", "rpc", "store", "host"],
    ),
    ("host", &[]),
    (
        "agent",
        &["core", "wire", "probe", "transport", "spool", "rpc", "host"],
    ),
    (
        "lab",
        &[
            "core",
            "wire",
            "probe",
            "verdict",
            "render",
            "transport",
            "rpc",
            "store",
            "agent",
            "coordinator",
            "host",
        ],
    ),
    (
        "cli",
        &[
            "core",
            "wire",
            "probe",
            "verdict",
            "render",
            "transport",
            "rpc",
            "host",
            "lab",
        ],
    ),
];

/// Licences that code in our binaries may have.
const LICENCES: [&str; 12] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "Unlicense",
    "CDLA-Permissive-2.0",
    "CC0-1.0",
];

/// A second TLS provider, or one that needs more than a C compiler.
const UNWANTED: [&str; 4] = ["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl-sys"];

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Crates of other platforms are in the lock file, too. Where they were never built they are
    // fetched; where they are at hand nothing is.
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

#[test]
fn arrows_point_down() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ARROWS
        .iter()
        .map(|(from, to)| (*from, to.iter().copied().collect()))
        .collect();
    let mut seen = BTreeSet::new();
    for package in list(&metadata, "packages") {
        let Some(name) = text(package, "name").strip_prefix("bailiwick-") else {
            continue;
        };
        if name == "tests" {
            continue;
        }
        let allowed = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no row"));
        seen.insert(name.to_owned());
        for dependency in list(package, "dependencies") {
            let Some(used) = text(dependency, "name").strip_prefix("bailiwick-") else {
                continue;
            };
            assert!(allowed.contains(used), "{name} must not use {used}");
        }
    }
    let rows: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, rows, "every row has its crate");
}

#[test]
fn the_map_shows_the_same_arrows() {
    let map = include_str!("../../crates/README.md");
    for (from, to) in ARROWS {
        let row = map
            .lines()
            .find(|line| line.starts_with(&format!("| `{from}` |")))
            .unwrap_or_else(|| panic!("crates/README.md has no row for {from}"));
        let last = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default();
        let named: BTreeSet<&str> = last
            .split([' ', ','])
            .filter(|w| ARROWS.iter().any(|(name, _)| name == w))
            .collect();
        assert_eq!(named, to.iter().copied().collect(), "row of {from}");
    }
}

#[test]
fn pure_crates_stay_pure() {
    let metadata = metadata();
    for package in list(&metadata, "packages") {
        let name = text(package, "name");
        let pure = ["core", "probe", "verdict", "render"];
        if !pure
            .iter()
            .any(|crate_name| name == format!("bailiwick-{crate_name}"))
        {
            continue;
        }
        for dependency in list(package, "dependencies") {
            let used = text(dependency, "name");
            let impure = [
                "tokio",
                "hickory-net",
                "hickory-resolver",
                "rand",
                "socket2",
                "tracing",
            ];
            let normal = dependency["kind"].is_null();
            assert!(
                !normal || !impure.contains(&used),
                "{name} must not use {used}"
            );
        }
    }
}

#[test]
fn no_unwanted_crate_and_no_unknown_licence() {
    let metadata = metadata();
    for package in list(&metadata, "packages") {
        let name = text(package, "name");
        assert!(!UNWANTED.contains(&name), "{name} is in the tree");
        let licence = text(package, "license");
        // `A/B` is the old way to write `A OR B`.
        let any_of = licence.replace('/', " OR ");
        let usable = any_of.split(" OR ").any(|choice| {
            choice
                .split(" AND ")
                .all(|part| LICENCES.contains(&part.trim_matches(['(', ')', ' '])))
        });
        let conjunction = licence.contains(") AND");
        assert!(
            usable || conjunction,
            "{name}: licence {licence:?} is not on the list"
        );
    }
}

#[test]
fn the_dns_codec_has_the_fixes_of_2026() {
    let metadata = metadata();
    let codec =
        list(&metadata, "packages").filter(|package| text(package, "name") == "hickory-proto");
    for package in codec {
        let version: Vec<u32> = text(package, "version")
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect();
        assert!(
            version >= vec![0, 26, 3],
            "hickory-proto {version:?} reads junk too trustingly"
        );
    }
}
