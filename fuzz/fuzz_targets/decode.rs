//! Octets from anywhere are read without panic; what can be read can be written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../crates/lab/src/chance.rs"]
mod chance;

fuzz_target!(|octets: &[u8]| chance::check_decoding(octets).unwrap());
