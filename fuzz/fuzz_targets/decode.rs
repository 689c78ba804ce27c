//! Octets from anywhere are read without panic; what can be read can be written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| bailiwick_lab::chance::check_decoding(octets).unwrap());
