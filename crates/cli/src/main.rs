//! The program `bailiwick`; see the library of the same crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    bailiwick_cli::start(std::env::args_os())
}
