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
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
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
    /// How many wait for a socket.
    waiting: AtomicUsize,
    /// Wakes a socket that only listens for late answers, to give way.
    crowded: Notify,
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
            waiting: AtomicUsize::new(0),
            crowded: Notify::new(),
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
        let _waiting = Waiting::new(self);
        self.make_room();
        acquire(Arc::clone(&self.0.sockets)).await
    }

    /// Asks the socket that has listened longest for a late answer to close.
    pub(crate) fn make_room(&self) {
        self.0.crowded.notify_one();
    }

    /// Waits until somebody needs the socket more than who listens for a late answer.
    pub(crate) async fn crowded(&self) {
        if self.0.waiting.load(Ordering::Relaxed) == 0 {
            self.0.crowded.notified().await;
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

/// Counts one who waits for a socket, also when it gives up.
struct Waiting<'a>(&'a Uplink);

impl<'a> Waiting<'a> {
    fn new(uplink: &'a Uplink) -> Self {
        uplink.0.waiting.fetch_add(1, Ordering::Relaxed);
        Self(uplink)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
