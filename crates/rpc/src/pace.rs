//! How many calls a connection may make.
//!
//! HTTP/2 limits the streams that are open at one time, not those that are opened and reset one
//! after the other: each costs the server a call and its sender next to nothing (CVE-2023-44487).
//! An agent needs one call and an operator few, so a connection that makes many is ended.

use std::{sync::Mutex, time::Instant};

use tokio::sync::Notify;

use crate::identity::Peer;

/// A bucket of calls that fills up again.
pub(crate) struct Pace {
    /// None: as many as it likes.
    limit: Option<Limit>,
    left: Mutex<(f64, Instant)>,
    over: Notify,
}

#[derive(Clone, Copy)]
struct Limit {
    at_once: f64,
    per_second: f64,
}

impl Pace {
    pub(crate) fn of(peer: &Peer) -> Self {
        let limit = match peer {
            Peer::Nobody => Some((20.0, 1.0)),
            Peer::Agent(_) | Peer::Operator(_) => Some((100.0, 20.0)),
            Peer::Local { .. } => None,
        };
        let limit = limit.map(|(at_once, per_second)| Limit {
            at_once,
            per_second,
        });
        Self {
            limit,
            left: Mutex::new((limit.map_or(0.0, |limit| limit.at_once), Instant::now())),
            over: Notify::new(),
        }
    }

    /// Counts a call. False if it is one too many; then the connection ends.
    pub(crate) fn call(&self) -> bool {
        self.call_at(Instant::now())
    }

    /// Ends when there was a call too many.
    pub(crate) async fn exceeded(&self) {
        self.over.notified().await;
    }

    fn call_at(&self, now: Instant) -> bool {
        let Some(limit) = self.limit else {
            return true;
        };
        let mut left = self.left.lock().unwrap_or_else(|e| e.into_inner());
        let passed = now.saturating_duration_since(left.1).as_secs_f64();
        let full = (left.0 + passed * limit.per_second).min(limit.at_once);
        *left = (full - 1.0, now);
        if full < 1.0 {
            self.over.notify_one();
        }
        full >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_let_through_and_a_flood_is_not() {
        let newcomer = Pace::of(&Peer::Nobody);
        let now = Instant::now();
        for call in 0..20 {
            assert!(newcomer.call_at(now), "{call}");
        }
        assert!(!newcomer.call_at(now));
        let steady = Pace::of(&Peer::Nobody);
        for second in 0..1000 {
            assert!(
                steady.call_at(now + Duration::from_secs(second)),
                "{second}"
            );
        }
        let local = Pace::of(&Peer::Local {
            uid: 0,
            gid: 0,
            pid: None,
        });
        assert!((0..100_000).all(|_| local.call_at(now)));
    }
}
