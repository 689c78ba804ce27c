//! Very many agents against one coordinator: the program itself, as it is released, in a process
//! of its own.
//!
//! - [`site`]: the coordinator with its folder, and agents that are enrolled straight in its store
//! - [`agent`]: an agent as the coordinator sees it: certificate, stream, reports
//! - [`deaf`]: one that takes nothing of what it is told
//! - [`bodies`]: reports of a given size
//! - [`floor`]: what the same octets cost at least
//! - [`process`]: what a process takes
//!
//! The programs that measure are in `src/bin/load`; `tests/bench/load` runs them.

pub mod agent;
pub mod bodies;
pub mod deaf;
pub mod floor;
pub mod process;
pub mod site;

use std::time::Duration;

/// The value below which so many of a hundred are; zero if there are none.
#[must_use]
pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

/// Shows a duration in milliseconds.
#[must_use]
pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
