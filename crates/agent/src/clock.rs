//! What this machine says the time is.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bailiwick_core::time::Timestamp;

/// The clock of this machine, which can be wrong. Durations do not come from it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock that says what the function says.
    pub fn new(says: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(says))
    }

    /// Returns the time since 1970; 0 before.
    #[must_use]
    pub fn unix(&self) -> Duration {
        (self.0)().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Returns the moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.unix().as_micros()).unwrap_or(u64::MAX))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// Returns how long ago a moment was by this clock; nothing if it is to come.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(now.0.saturating_sub(then.0))
}
