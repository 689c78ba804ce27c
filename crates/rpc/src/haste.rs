//! Who comes again too often.
//!
//! A connection that floods is ended, and its owner comes again. Then the handshake is what costs:
//! about a millisecond of a processor, of which streams that are open have less. A member needs few
//! connections, so a key that makes many lets its address wait: from there one handshake begins
//! after the other, with a pause before each. Nobody is refused for it; neighbours at that address
//! come in later, and other addresses notice nothing.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::key::KeyHash;

/// Connections that a key may make at once, and how long it takes until it may make one more.
const AT_ONCE: u32 = 8;
const ANOTHER: Duration = Duration::from_secs(3);
/// How long an address waits after a key that came too often.
const SLOW: Duration = Duration::from_secs(10);
/// Before each handshake from there: so long that fewer than one answer in a hundred meets one.
const PAUSE: Duration = Duration::from_millis(100);
/// Most connections that wait at one address: whoever calls waits for about so many.
const WAITING: usize = 50;
/// Keys and addresses that are remembered before those are forgotten that do not matter any more.
const REMEMBERED: usize = 16_384;

/// How often each key came, and which addresses wait.
#[derive(Default)]
pub(crate) struct Haste {
    /// By key: when it may make [`AT_ONCE`] connections again.
    keys: Mutex<HashMap<KeyHash, Instant>>,
    slow: Mutex<HashMap<IpAddr, Arc<Lane>>>,
}

/// The way in from an address that waits.
struct Lane {
    until: Mutex<Instant>,
    turn: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

/// Somebody who waits there.
struct Waiting(Arc<Lane>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Haste {
    /// Counts a connection that a key made from an address. Returns whether it was one too many.
    pub(crate) fn came(&self, key: KeyHash, from: IpAddr) -> bool {
        let now = Instant::now();
        let hasty = {
            let mut keys = lock(&self.keys);
            if keys.len() >= REMEMBERED {
                keys.retain(|_, rested| *rested > now);
            }
            let rested = keys.entry(key).or_insert(now);
            *rested = (*rested).max(now) + ANOTHER;
            let hasty = *rested > now + ANOTHER * AT_ONCE;
            *rested = (*rested).min(now + ANOTHER * AT_ONCE);
            hasty
        };
        if hasty {
            let mut slow = lock(&self.slow);
            if slow.len() >= REMEMBERED {
                slow.retain(|_, lane| *lock(&lane.until) > now);
            }
            let lane = slow.entry(from).or_insert_with(|| Arc::new(Lane::new(now)));
            *lock(&lane.until) = now + SLOW;
        }
        hasty
    }

    /// Waits until a handshake from an address may begin. False at once if too many wait there.
    pub(crate) async fn turn(&self, from: IpAddr) -> bool {
        let lane = lock(&self.slow).get(&from).map(Arc::clone);
        let Some(lane) = lane.filter(|lane| lane.is_slow()) else {
            return true;
        };
        if lane.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            lane.waiting.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let waiting = Waiting(lane);
        let _turn = waiting.0.turn.lock().await;
        if waiting.0.is_slow() {
            sleep(PAUSE).await;
        }
        true
    }
}

impl Lane {
    fn new(now: Instant) -> Self {
        Self {
            until: Mutex::new(now),
            turn: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    fn is_slow(&self) -> bool {
        *lock(&self.until) > Instant::now()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn key(number: u8) -> KeyHash {
        KeyHash([number; 32])
    }

    /// How long it takes until so many handshakes from an address have begun.
    async fn begun(haste: &Arc<Haste>, from: IpAddr, handshakes: u32) -> Duration {
        let began = Instant::now();
        let mut all = JoinSet::new();
        for _ in 0..handshakes {
            let haste = Arc::clone(haste);
            all.spawn(async move { haste.turn(from).await });
        }
        assert!(all.join_all().await.into_iter().all(|may| may));
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_comes_too_often_lets_its_address_wait() {
        let haste = Arc::new(Haste::default());
        for time in 0..AT_ONCE {
            assert!(!haste.came(key(1), HERE), "{time}");
        }
        // As many others as there are, each once: a fleet that comes back.
        for other in 2..=255 {
            assert!(!haste.came(key(other), HERE), "{other}");
        }
        assert_eq!(begun(&haste, HERE, 100).await, Duration::ZERO);
        assert!(haste.came(key(1), HERE));
        assert!(begun(&haste, HERE, 40).await >= PAUSE * 40);
        assert_eq!(begun(&haste, THERE, 100).await, Duration::ZERO);
        tokio::time::advance(SLOW).await;
        assert_eq!(begun(&haste, HERE, 100).await, Duration::ZERO);
        // What it did before does not count for ever.
        for _ in 0..100 {
            tokio::time::advance(ANOTHER).await;
            assert!(!haste.came(key(1), HERE));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn not_more_than_some_wait() {
        let haste = Arc::new(Haste::default());
        while !haste.came(key(1), HERE) {}
        let mut all = JoinSet::new();
        for _ in 0..WAITING + 10 {
            let haste = Arc::clone(&haste);
            all.spawn(async move { haste.turn(HERE).await });
        }
        let refused = all.join_all().await.into_iter().filter(|may| !may).count();
        assert_eq!(refused, 10);
        assert_eq!(begun(&haste, HERE, 1).await, PAUSE, "there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_matter_any_more_is_forgotten() {
        let haste = Haste::default();
        for number in 0..REMEMBERED as u64 {
            let mut octets = [0; 32];
            octets[..8].copy_from_slice(&number.to_be_bytes());
            haste.came(KeyHash(octets), HERE);
        }
        tokio::time::advance(ANOTHER).await;
        haste.came(key(255), HERE);
        assert_eq!(lock(&haste.keys).len(), 1);
    }
}
