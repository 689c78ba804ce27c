//! When a standing check is due, and which round that is.
//!
//! Time since 1970 is cut into slots as long as the interval of the check. All agents that have the
//! same item of a plan are in the same slot, and so their reports are of the same round, though
//! nobody told them. Each does its check at an offset of its own within the slot.

use std::time::Duration;

use bailiwick_core::{check::CheckId, report::RoundId};
use sha2::{Digest as _, Sha256};

/// The shortest interval of a standing check.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// What the hash of a round begins with.
const CONTEXT: &[u8] = b"bailiwick-round-v1";

/// Returns the slot in which a moment is, counted in durations since 1970: `floor(unix / interval)`.
#[must_use]
pub fn slot(unix: Duration, interval: Duration) -> u64 {
    let slot = unix.as_nanos() / interval.max(SHORTEST).as_nanos();
    u64::try_from(slot).unwrap_or(u64::MAX)
}

/// Returns the first slot, with the moment in it, at which a check is due strictly after `unix`.
///
/// An offset beyond the interval counts from the beginning of the slot again.
#[must_use]
pub fn next(unix: Duration, interval: Duration, offset: Duration) -> (u64, Duration) {
    let interval = interval.max(SHORTEST).as_nanos();
    let offset = offset.as_nanos() % interval;
    let mut slot = unix.as_nanos() / interval;
    if slot * interval + offset <= unix.as_nanos() {
        slot += 1;
    }
    let due = u64::try_from(slot * interval + offset).unwrap_or(u64::MAX);
    (
        u64::try_from(slot).unwrap_or(u64::MAX),
        Duration::from_nanos(due),
    )
}

/// Returns the round of an item of a plan in a slot: the first 8 octets of
/// SHA-256("bailiwick-round-v1" | item | slot), numbers in network order.
///
/// So rounds of different items do not meet, and a round does not tell its neighbour.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the first half of the octets"
)]
pub fn round(item: [u8; 16], slot: u64) -> RoundId {
    RoundId((check(item, slot).0 >> 64) as u64)
}

/// Returns the identity of a round as a check of its own: the first 16 octets of the same hash.
#[must_use]
pub fn check(item: [u8; 16], slot: u64) -> CheckId {
    let hash = Sha256::new()
        .chain_update(CONTEXT)
        .chain_update(item)
        .chain_update(slot.to_be_bytes())
        .finalize();
    let first = hash.iter().take(16);
    CheckId(first.fold(0, |id, octet| id << 8 | u128::from(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_check_is_due_once_in_each_slot() {
        // now, interval, offset; slot and moment
        let cases = [
            ((0, 60, 0), (1, 60), "now is not after now"),
            ((0, 60, 7), (0, 7), "later in the same slot"),
            ((7, 60, 7), (1, 67), "just done"),
            ((6, 60, 7), (0, 7), "almost"),
            ((119, 60, 7), (2, 127), "the rest of a slot"),
            ((120, 60, 67), (2, 127), "an offset beyond the interval"),
            ((5, 0, 0), (6, 6), "no interval is the shortest one"),
        ];
        for ((now, interval, offset), (slot_wanted, due), why) in cases {
            let (now, interval) = (seconds(now), seconds(interval));
            let found = next(now, interval, seconds(offset));
            assert_eq!(found, (slot_wanted, seconds(due)), "{why}");
            assert_eq!(slot(found.1, interval), slot_wanted, "{why}");
        }
    }

    #[test]
    fn a_round_is_the_same_everywhere_for_ever() {
        assert_eq!(round([7; 16], 1), RoundId(0x242f_8c1c_39bc_1835));
        let check = check([7; 16], 1);
        assert_eq!(check.0 >> 64, 0x242f_8c1c_39bc_1835, "the round begins it");
        assert_ne!(round([7; 16], 1), round([7; 16], 2));
        assert_ne!(round([7; 16], 1), round([8; 16], 1));
    }
}
