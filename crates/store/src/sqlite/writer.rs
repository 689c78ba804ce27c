//! The one thread that writes.
//!
//! What waits is gathered into one transaction: the disk is waited for once for many
//! ([`Thread::commit`]). If nothing else waits, a transaction has one member and nobody waits
//! for company. Each member is undone by itself if its answer is an error; those that say no before
//! they write anything need no savepoint for that, which keeps a copy of every page that they
//! change. If the database fails for one, each is tried again alone, so that one large report on a
//! full disk does not take a verdict with it. If another process holds the database, all that wait
//! are told.
//!
//! A member is answered after the commit and never before.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Done, Failure};
use crate::Error;

/// A transaction takes no more members after so many reports.
const GROUP_REPORTS: usize = 500;
/// A transaction takes no more members after so many octets.
const GROUP_OCTETS: usize = 256 << 10;
/// A transaction takes no more members after this time.
const GROUP_TIME: Duration = Duration::from_millis(20);
/// What every member costs in a queue, besides the octets that it brings.
const MEMBER_OCTETS: usize = 256;
/// How many octets of everything but reports may wait. It has a queue of its own, so that a
/// flood of reports does not shut operators out.
const OTHER_QUEUE: usize = 16 << 20;

/// Hands work to the thread that writes.
pub(super) struct Writer {
    sender: Sender<Box<dyn Member>>,
    reports: Queue,
    others: Queue,
}

/// How many octets may wait.
struct Queue {
    free: Arc<Semaphore>,
    size: usize,
}

impl Queue {
    fn new(size: usize) -> Self {
        let free = Arc::new(Semaphore::new(size));
        Self { free, size }
    }

    fn take(&self, octets: usize) -> Result<OwnedSemaphorePermit, Error> {
        let octets = octets + MEMBER_OCTETS;
        if octets > self.size {
            // It would be in the way forever.
            let what = "the octets of one call";
            let value = octets as u64;
            return Err(Error::Invalid { what, value });
        }
        let octets = u32::try_from(octets).map_err(|_| Error::Busy)?;
        let free = Arc::clone(&self.free);
        free.try_acquire_many_owned(octets).map_err(|_| Error::Busy)
    }
}

impl Writer {
    /// Starts the thread. It ends when the writer is dropped and everything that waited is done.
    pub(super) fn start(connection: Connection, queue: usize) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || Thread::new(connection, receiver).run());
        Self {
            sender,
            reports: Queue::new(queue),
            others: Queue::new(OTHER_QUEUE),
        }
    }

    /// Writes so many octets of something else, and returns when they are on the disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        octets: usize,
        act: impl FnMut(&Connection) -> Done<T> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.others.take(octets)?;
        self.send(permit, (octets, 0), Undo::Savepoint, act).await
    }

    /// Writes so many octets of so many reports, and returns when they are on the disk. If the
    /// answer is an error, nothing was written before.
    pub(super) async fn ingest<T: Send + 'static>(
        &self,
        octets: usize,
        reports: usize,
        act: impl FnMut(&Connection) -> Done<T> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.reports.take(octets)?;
        self.send(permit, (octets, reports), Undo::Nothing, act)
            .await
    }

    async fn send<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        size: (usize, usize),
        undo: Undo,
        act: impl FnMut(&Connection) -> Done<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let member = Work {
            act,
            size,
            undo,
            result: Err(Error::Closed),
            reply,
            _permit: permit,
        };
        let sent = self.sender.send(Box::new(member));
        sent.map_err(|_| Error::Closed)?;
        answer.await.unwrap_or(Err(Error::Closed))
    }
}

/// What there is to undo if a member's answer is an error.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Undo {
    /// Perhaps something.
    Savepoint,
    /// It errs before it writes.
    Nothing,
}

/// A part of a transaction.
trait Member: Send {
    /// Octets and reports.
    fn size(&self) -> (usize, usize);

    /// Does its work, perhaps again. It is undone if the answer is an error.
    fn run(&mut self, db: &Connection) -> Result<(), rusqlite::Error>;

    /// Answers whoever waits, if somebody does.
    fn settle(self: Box<Self>, failed: Option<Error>);
}

struct Work<F, T> {
    act: F,
    size: (usize, usize),
    undo: Undo,
    result: Result<T, Error>,
    reply: oneshot::Sender<Result<T, Error>>,
    _permit: OwnedSemaphorePermit,
}

impl<T: Send, F: FnMut(&Connection) -> Done<T> + Send> Member for Work<F, T> {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn run(&mut self, db: &Connection) -> Result<(), rusqlite::Error> {
        if self.undo == Undo::Nothing {
            return self.run_whole(db);
        }
        statement(db, "SAVEPOINT member")?;
        self.result = match (self.act)(db) {
            Ok(value) => Ok(value),
            Err(Failure::Answer(error)) => {
                statement(db, "ROLLBACK TO member")?;
                Err(error)
            }
            Err(Failure::Database(error)) => return Err(error),
        };
        statement(db, "RELEASE member")
    }

    fn settle(self: Box<Self>, failed: Option<Error>) {
        // Nobody listens if the caller gave up; the work is done all the same.
        let _ = self.reply.send(failed.map_or(self.result, Err));
    }
}

/// Whether another process held the database for longer than is waited.
fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

impl<T, F: FnMut(&Connection) -> Done<T>> Work<F, T> {
    /// Without a savepoint. That nothing was written before an error is looked at: if it was, the
    /// whole transaction counts for nothing.
    fn run_whole(&mut self, db: &Connection) -> Result<(), rusqlite::Error> {
        let before = db.total_changes();
        self.result = match (self.act)(db) {
            Ok(value) => Ok(value),
            Err(Failure::Answer(_)) if db.total_changes() != before => {
                return Err(rusqlite::Error::StatementChangedRows(1));
            }
            Err(Failure::Answer(error)) => Err(error),
            Err(Failure::Database(error)) => return Err(error),
        };
        Ok(())
    }
}

fn statement(db: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    db.prepare_cached(sql)?.execute([])?;
    Ok(())
}

struct Thread {
    db: Connection,
    receiver: Receiver<Box<dyn Member>>,
}

impl Thread {
    fn new(db: Connection, receiver: Receiver<Box<dyn Member>>) -> Self {
        Self { db, receiver }
    }

    fn run(&self) {
        while let Ok(first) = self.receiver.recv() {
            let mut group = Vec::new();
            match self.commit(first, &mut group) {
                Ok(()) => group.into_iter().for_each(|member| member.settle(None)),
                Err(error) if is_busy(&error) => {
                    self.undo();
                    // Others that wait would wait as long, one after the other.
                    group.extend(self.receiver.try_iter());
                    group.into_iter().for_each(|m| m.settle(Some(Error::Busy)));
                }
                Err(error) => {
                    self.undo();
                    self.one_by_one(group, error);
                }
            }
        }
    }

    /// Commits the first member, and with it whatever waits.
    fn commit(
        &self,
        first: Box<dyn Member>,
        group: &mut Vec<Box<dyn Member>>,
    ) -> Result<(), rusqlite::Error> {
        let began = Instant::now();
        let (mut octets, mut reports) = (0, 0);
        group.push(first);
        statement(&self.db, "BEGIN IMMEDIATE")?;
        for at in 0.. {
            group[at].run(&self.db)?;
            let size = group[at].size();
            octets += size.0;
            reports += size.1;
            let room = octets < GROUP_OCTETS && reports < GROUP_REPORTS;
            if !room || began.elapsed() >= GROUP_TIME {
                break;
            }
            let Ok(next) = self.receiver.try_recv() else {
                break;
            };
            group.push(next);
        }
        statement(&self.db, "COMMIT")
    }

    fn one_by_one(&self, group: Vec<Box<dyn Member>>, error: rusqlite::Error) {
        if group.len() == 1 {
            let failed = Error::from(Failure::Database(error));
            group
                .into_iter()
                .for_each(|m| m.settle(Some(failed.clone())));
            return;
        }
        for mut member in group {
            let done = statement(&self.db, "BEGIN IMMEDIATE")
                .and_then(|()| member.run(&self.db))
                .and_then(|()| statement(&self.db, "COMMIT"));
            if done.is_err() {
                self.undo();
            }
            member.settle(done.err().map(|error| Failure::Database(error).into()));
        }
    }

    /// Ends a transaction that failed, if SQLite did not do so by itself.
    fn undo(&self) {
        if !self.db.is_autocommit() {
            // If even this fails, the next BEGIN does, too, and says why.
            let _ = statement(&self.db, "ROLLBACK");
        }
    }
}
