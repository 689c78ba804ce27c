//! A walk ends within its limits, whatever the servers say.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| bailiwick_lab::chance::check_a_walk(octets).unwrap());
