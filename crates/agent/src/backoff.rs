//! When to call a coordinator again.

use std::time::Duration;

/// Between which bounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    /// The first pause is at most so long; each further one at most twice as long.
    pub first: Duration,
    /// No pause is longer.
    pub most: Duration,
    /// A session of this length lets the pauses begin anew.
    pub steady: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(60),
            steady: Duration::from_secs(60),
        }
    }
}

/// Pauses that grow, each a random part of the whole, so that agents that lost their coordinator
/// at the same moment do not come back at the same moment ("full jitter").
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    retry: Retry,
    ceiling: Duration,
}

impl Backoff {
    /// Begins with the shortest.
    #[must_use]
    pub fn new(retry: Retry) -> Self {
        Self {
            retry,
            ceiling: retry.first,
        }
    }

    /// Returns the pause after a session that lasted so long. `chance` is in 0..1.
    pub fn pause(&mut self, lasted: Duration, chance: f64) -> Duration {
        if lasted >= self.retry.steady {
            self.ceiling = self.retry.first;
        }
        let pause = self.ceiling.mul_f64(chance.clamp(0.0, 1.0));
        self.ceiling = (self.ceiling * 2).min(self.retry.most);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_begin_anew_after_a_steady_session() {
        let mut backoff = Backoff::new(Retry::default());
        let lasted = |seconds| Duration::from_secs(seconds);
        let seconds: Vec<u64> = [0, 0, 0, 59, 0, 0, 0, 0, 60, 0]
            .into_iter()
            .map(|seconds| backoff.pause(lasted(seconds), 1.0).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 1, 2]);
    }

    #[test]
    fn a_flapping_link_makes_few_handshakes() {
        // Each session lasts a second; the pauses are those of many agents over ten minutes.
        let mut handshakes = 0;
        for agent in 0..1000_u32 {
            let mut backoff = Backoff::new(Retry::default());
            let mut chance = f64::from(agent) / 1000.0;
            let mut now = Duration::ZERO;
            while now < Duration::from_secs(600) {
                handshakes += 1;
                chance = (chance * 997.0 + 0.618).fract();
                let session = Duration::from_secs(1);
                now += session + backoff.pause(session, chance);
            }
        }
        let per_minute = f64::from(handshakes) / 1000.0 / 10.0;
        assert!(per_minute <= 3.0, "{per_minute} handshakes a minute");
    }

    #[test]
    fn a_pause_is_any_part_of_the_whole() {
        for (chance, milliseconds) in [(0.0, 0), (0.5, 500), (0.999, 999)] {
            let pause = Backoff::new(Retry::default()).pause(Duration::ZERO, chance);
            assert_eq!(pause, Duration::from_millis(milliseconds));
        }
    }
}
