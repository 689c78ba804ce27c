//! See the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bailiwick_coordinator::start(std::env::args_os())
}
