//! The program `bailiwick-agent`; see the library of the same crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    bailiwick_agent::start(std::env::args_os())
}
