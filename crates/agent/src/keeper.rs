//! The thread that writes: the spool, and the files that change while the program runs.
//!
//! Writing to stable storage takes milliseconds and more, in which nothing else could be done. So
//! that is asked of a thread of its own, by orders. There are never more orders than places, so
//! sending one never waits for the thread.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use bailiwick_core::report::{Lane, ReportId};
use bailiwick_spool::{Directory, Disk, Entry, Opened, Spool, State, TooLarge, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::folder;

/// Orders that may wait.
const PLACES: usize = 256;
/// Orders that are taken together before what they brought is synced.
const TOGETHER: usize = 64;
/// The thread reads and writes octets; it needs little.
const STACK: usize = 512 * 1024;

/// Something to be done by the thread.
enum Order {
    /// Keeps a report, and says when it is spooled.
    Keep {
        lane: Lane,
        value: Value,
        payload: Vec<u8>,
        done: oneshot::Sender<Result<ReportId, TooLarge>>,
    },
    Next {
        lane: Lane,
        after: Option<ReportId>,
        octets: usize,
        reply: oneshot::Sender<Vec<Entry>>,
    },
    Acknowledged {
        lane: Lane,
        epoch: u64,
        through: u64,
    },
    /// Replaces a file.
    Write {
        path: PathBuf,
        content: Vec<u8>,
    },
    Stop {
        done: oneshot::Sender<()>,
    },
}

impl Order {
    /// Whether it makes another order, given before, needless.
    fn replaces(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::Write { path, .. }, Self::Write { path: same, .. }) => path == same,
            _ => false,
        }
    }
}

/// What whoever sends reports waits for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Kept {
    /// Reports that were synced since the program began, by lane.
    pub(crate) change: u64,
    pub(crate) routine: u64,
    /// Whether they are on disk, and not in memory only.
    pub(crate) durable: bool,
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    orders: SyncSender<(Order, OwnedSemaphorePermit)>,
    places: Arc<Semaphore>,
    kept: watch::Receiver<Kept>,
}

impl Keeper {
    /// Opens the spool and starts the thread.
    pub(crate) fn start(
        directory: Directory,
        settings: bailiwick_spool::Settings,
        epoch: u64,
    ) -> std::io::Result<(Self, Opened)> {
        let (spool, opened) = Spool::open(directory, settings, epoch);
        let (orders, taken) = sync_channel(PLACES);
        let durable = matches!(spool.state(), State::Durable);
        let (tell, kept) = watch::channel(Kept {
            durable,
            ..Kept::default()
        });
        let writer = Writer::new(spool, tell);
        thread::Builder::new()
            .name("spool".to_owned())
            .stack_size(STACK)
            .spawn(move || writer.run(&taken))?;
        let keeper = Self {
            orders,
            places: Arc::new(Semaphore::new(PLACES)),
            kept,
        };
        Ok((keeper, opened))
    }

    /// Returns what changes when there is more to send.
    pub(crate) fn kept(&self) -> watch::Receiver<Kept> {
        self.kept.clone()
    }

    /// Keeps a report. When this returns it is spooled, if the disk can be used.
    pub(crate) async fn keep(
        &self,
        lane: Lane,
        value: Value,
        payload: Vec<u8>,
    ) -> Option<Result<ReportId, TooLarge>> {
        let (done, kept) = oneshot::channel();
        self.order(Order::Keep {
            lane,
            value,
            payload,
            done,
        })
        .await;
        kept.await.ok()
    }

    /// Returns what is to be sent after a report; see [`Spool::next`].
    pub(crate) async fn next(
        &self,
        lane: Lane,
        after: Option<ReportId>,
        octets: usize,
    ) -> Vec<Entry> {
        let (reply, entries) = oneshot::channel();
        self.order(Order::Next {
            lane,
            after,
            octets,
            reply,
        })
        .await;
        entries.await.unwrap_or_default()
    }

    /// Forgets what is acknowledged.
    pub(crate) async fn acknowledged(&self, lane: Lane, epoch: u64, through: u64) {
        self.order(Order::Acknowledged {
            lane,
            epoch,
            through,
        })
        .await;
    }

    /// Replaces a file, after everything that was ordered before.
    pub(crate) async fn write(&self, path: PathBuf, content: Vec<u8>) {
        self.order(Order::Write { path, content }).await;
    }

    /// Ends the thread. When this returns everything is synced.
    pub(crate) async fn stop(self) {
        let (done, stopped) = oneshot::channel();
        self.order(Order::Stop { done }).await;
        // An error means that the thread has ended already.
        let _ = stopped.await;
    }

    async fn order(&self, order: Order) {
        // The semaphore is never closed; and with a permit there is a place.
        if let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
            // An error means that the thread has ended, and then so does the program.
            let _ = self.orders.try_send((order, place));
        }
    }
}

/// Told when its report is spooled.
type Waiting = (ReportId, oneshot::Sender<Result<ReportId, TooLarge>>);

struct Writer<D> {
    spool: Spool<D>,
    tell: watch::Sender<Kept>,
    began: Instant,
    waiting: Vec<Waiting>,
}

impl<D: Disk> Writer<D> {
    fn new(spool: Spool<D>, tell: watch::Sender<Kept>) -> Self {
        Self {
            spool,
            tell,
            began: Instant::now(),
            waiting: Vec::new(),
        }
    }

    fn run(mut self, orders: &Receiver<(Order, OwnedSemaphorePermit)>) {
        loop {
            let due = self.spool.sync_due();
            let wait = due.map(|due| due.saturating_sub(self.began.elapsed()));
            let first = match wait {
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(wait) => orders.recv_timeout(wait),
            };
            let first = match first {
                Ok((order, _)) => order,
                Err(RecvTimeoutError::Timeout) => {
                    self.sync();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break self.sync(),
            };
            let more = orders.try_iter().take(TOGETHER).map(|(order, _)| order);
            let mut together: VecDeque<Order> = std::iter::once(first).chain(more).collect();
            while let Some(order) = together.pop_front() {
                if together.iter().any(|later| later.replaces(&order)) {
                    continue;
                }
                if let Order::Stop { done } = order {
                    self.sync();
                    // Whoever begins next finds the directory free.
                    drop(self);
                    let _ = done.send(());
                    return;
                }
                self.obey(order);
            }
            // In memory there is nothing to sync, but still somebody who waits.
            let due = self.spool.sync_due();
            if due.map_or(!self.waiting.is_empty(), |due| due <= self.now()) {
                self.sync();
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Keep {
                lane,
                value,
                payload,
                done,
            } => match self.spool.append(self.now(), lane, value, &payload) {
                Ok(id) => self.waiting.push((id, done)),
                Err(error) => drop(done.send(Err(error))),
            },
            Order::Next {
                lane,
                after,
                octets,
                reply,
            } => drop(reply.send(self.spool.next(lane, after, octets))),
            Order::Acknowledged {
                lane,
                epoch,
                through,
            } => self.spool.acknowledge(lane, epoch, through),
            Order::Write { path, content } => {
                // What is spooled must not come later than a file that says so.
                self.sync();
                if let Err(error) = folder::write(&path, &content) {
                    tracing::error!("{error}");
                }
            }
            Order::Stop { .. } => {}
        }
    }

    fn sync(&mut self) {
        let now = self.now();
        let was_durable = self.tell.borrow().durable;
        let durable = match self.spool.sync(now) {
            State::Durable => true,
            State::MemoryOnly { why, .. } => {
                if was_durable {
                    tracing::error!(
                        "reports are kept in memory only from now on: {why}; look at the disk, then \
                         restart this program"
                    );
                }
                false
            }
        };
        let (mut change, mut routine) = (0, 0);
        for (id, done) in self.waiting.drain(..) {
            match id.lane {
                Lane::Change => change += 1,
                Lane::Routine => routine += 1,
            }
            // Nobody who waits is nobody who misses it.
            let _ = done.send(Ok(id));
        }
        if change + routine > 0 || durable != was_durable {
            self.tell.send_modify(|kept| {
                kept.change += change;
                kept.routine += routine;
                kept.durable = durable;
            });
        }
    }
}
