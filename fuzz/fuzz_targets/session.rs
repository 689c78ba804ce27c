//! A whole check ends within its limits, whatever the servers say.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../crates/lab/src/chance.rs"]
mod chance;

fuzz_target!(|octets: &[u8]| chance::check_a_session(octets).unwrap());
