//! What all checks on one machine share: how fast it sends, how many sockets it
//! holds, and what it does not do twice at a time.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bailiwick_core::message::Question;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::limits::{Pace, lock};

/// The most sockets at a time.
const SOCKETS: usize = 256;
/// How many gates are kept before unused ones are looked for and forgotten.
const GATES: usize = 4096;

/// This machine's way to the internet. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Uplink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    began: Instant,
    pace: Mutex<Pace>,
    sockets: Arc<Semaphore>,
    /// How many want a socket and cannot have one.
    wishes: AtomicUsize,
    /// A permit for each wish that nobody gave way to.
    way: Semaphore,
    gates: Mutex<HashMap<Gate, Arc<Semaphore>>>,
}

/// What is done one at a time.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Gate {
    /// One outstanding query for a question and an address: equal ones help a forger (RFC 5452, section 5).
    Question(IpAddr, Question),
    /// One TCP connection to an address.
    Connection(IpAddr),
}

impl Default for Uplink {
    fn default() -> Self {
        Self(Arc::new(Shared {
            began: Instant::now(),
            pace: Mutex::default(),
            sockets: Arc::new(Semaphore::new(SOCKETS)),
            wishes: AtomicUsize::new(0),
            way: Semaphore::new(0),
            gates: Mutex::default(),
        }))
    }
}

impl Uplink {
    /// Waits until nothing else goes through the gate.
    pub(crate) async fn pass(&self, gate: Gate) -> OwnedSemaphorePermit {
        let semaphore = {
            let mut gates = lock(&self.0.gates);
            if gates.len() >= GATES {
                gates.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            }
            Arc::clone(
                gates
                    .entry(gate)
                    .or_insert_with(|| Arc::new(Semaphore::new(1))),
            )
        };
        acquire(semaphore).await
    }

    /// Waits for leave to open a socket. Who only listens for late answers gives way.
    pub(crate) async fn socket(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.0.sockets).try_acquire_owned() {
            return permit;
        }
        let _wish = self.wish();
        acquire(Arc::clone(&self.0.sockets)).await
    }

    /// Asks one who only listens for a late answer to give way, as long as the wish is kept.
    pub(crate) fn wish(&self) -> Wish<'_> {
        self.0.wishes.fetch_add(1, Ordering::Relaxed);
        self.0.way.add_permits(1);
        Wish(self)
    }

    /// Waits until somebody needs the socket more than who listens for a late answer.
    pub(crate) async fn crowded(&self) {
        if let Ok(wish) = self.0.way.acquire().await {
            // Nobody else has to give way to the same wish.
            wish.forget();
        }
    }

    /// Waits until a packet may go to this address (limit B12).
    ///
    /// Returns whether it may at all before `deadline`.
    pub(crate) async fn pace(&self, to: IpAddr, deadline: Instant) -> bool {
        let now = self.since_began(Instant::now());
        let reserved = lock(&self.0.pace).reserve(now, to, self.since_began(deadline));
        match reserved {
            None => return false,
            Some(at) if at > now => tokio::time::sleep_until(self.0.began + at).await,
            Some(_) => {}
        }
        true
    }

    fn since_began(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.0.began)
    }
}

async fn acquire(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore
        .acquire_owned()
        .await
        .expect("these semaphores are never closed")
}

/// Somebody wants a socket and cannot have one.
pub(crate) struct Wish<'a>(&'a Uplink);

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        let shared = &self.0.0;
        let left = shared.wishes.fetch_sub(1, Ordering::Relaxed) - 1;
        while shared.way.available_permits() > left {
            match shared.way.try_acquire() {
                Ok(unused) => unused.forget(),
                Err(_) => break,
            }
        }
    }
}
