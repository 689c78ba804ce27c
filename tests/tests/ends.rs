//! Whatever servers say, every machine ends in time and within the limits B1 to B8; whatever
//! octets arrive, reading them does not panic.
//!
//! The corpus of the fuzzers (`fuzz/`) is replayed here, so that it counts without a nightly
//! toolchain, too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::path::Path;

use bailiwick_lab::chance;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn a_session_ends_within_its_limits(octets in prop::collection::vec(any::<u8>(), 1..600)) {
        prop_assert_eq!(chance::check_a_session(&octets), Ok(()));
    }

    #[test]
    fn a_walk_ends_within_its_limits(octets in prop::collection::vec(any::<u8>(), 1..600)) {
        prop_assert_eq!(chance::check_a_walk(&octets), Ok(()));
    }

    #[test]
    fn any_octets_can_be_looked_at(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(chance::check_decoding(&octets), Ok(()));
    }
}

/// Runs a check over every file of a corpus folder.
fn replay(target: &str, check: fn(&[u8]) -> Result<(), String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let octets = std::fs::read(&file).unwrap();
        assert_eq!(check(&octets), Ok(()), "{}", file.display());
    }
}

#[test]
fn the_corpus_of_decoding_holds() {
    replay("decode", chance::check_decoding);
}

#[test]
fn the_corpus_of_walks_holds() {
    replay("walk", chance::check_a_walk);
}

#[test]
fn the_corpus_of_sessions_holds() {
    replay("session", chance::check_a_session);
}
