//! The clock of this program: the only place where it reads one.

use std::time::{SystemTime, UNIX_EPOCH};

use bailiwick_core::time::Timestamp;

/// Returns now.
pub(crate) fn now() -> Timestamp {
    of(SystemTime::now())
}

/// Returns a moment of the system's clock; one before 1970 is 1970.
pub(crate) fn of(moment: SystemTime) -> Timestamp {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
