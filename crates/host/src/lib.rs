//! What every program needs: one way to start, to log, to stop and to end.
//!
//! ```text
//!  main ─▶ run ─▶ Ok(code)             the result's own exit code
//!             ├─▶ Err(.. Usage ..)     2: the command line or a file is wrong
//!             └─▶ Err(..)              3: the program could not do its work
//! ```
//!
//! Standard output belongs to the result. What went wrong goes to standard
//! error, as does the log.

mod exit;
mod logging;
pub mod paths;
mod stop;

use std::{future::Future, process::ExitCode};

pub use exit::{FAILURE, USAGE, Usage, exit_code, told};
pub use stop::stopped;

/// Runs a program and says how it ended.
///
/// The log level is that of `RUST_LOG`, else by `verbose`: 0 warnings, 1
/// information, 2 details, more everything.
pub fn run(
    program: &str,
    verbose: u8,
    main: impl FnOnce() -> Result<u8, anyhow::Error>,
) -> ExitCode {
    logging::start(verbose);
    match main() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{program}: {}", told(&error));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Runs a future to its end on this thread.
///
/// # Errors
///
/// Returns an error if the system gives no event queue.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, anyhow::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| anyhow::Error::new(error).context("cannot start the event loop"))?;
    Ok(runtime.block_on(future))
}
