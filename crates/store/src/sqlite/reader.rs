//! The few threads that read.
//!
//! Each has a connection of its own and sees, through one call, one state of the database: the
//! last that was committed when the call began.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::Done;
use crate::{Error, OpenError};

const THREADS: usize = 3;
/// How many calls may wait.
const QUEUE: usize = 1024;

type Call = Box<dyn FnOnce(&Connection) + Send>;

/// Hands calls to the threads that read.
pub(super) struct Readers {
    sender: Sender<Call>,
    free: Arc<Semaphore>,
}

impl Readers {
    /// Starts the threads. They end when the readers are dropped.
    pub(super) fn start(
        open: impl Fn() -> Result<Connection, OpenError>,
    ) -> Result<Self, OpenError> {
        let (sender, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..THREADS {
            let (connection, receiver) = (open()?, Arc::clone(&receiver));
            thread::spawn(move || run(&connection, &receiver));
        }
        let free = Arc::new(Semaphore::new(QUEUE));
        Ok(Self { sender, free })
    }

    /// Reads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> Done<T> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Busy)?;
        let (reply, answer) = oneshot::channel();
        let call: Call = Box::new(move |db| {
            let _permit = permit;
            // Nobody listens if the caller gave up.
            let _ = reply.send(snapshot(db, act).map_err(Error::from));
        });
        self.sender.send(call).map_err(|_| Error::Closed)?;
        answer.await.unwrap_or(Err(Error::Closed))
    }
}

/// Calls a function that sees one state of the database.
fn snapshot<T>(db: &Connection, act: impl FnOnce(&Connection) -> Done<T>) -> Done<T> {
    let transaction = db.unchecked_transaction()?;
    let found = act(&transaction)?;
    transaction.commit()?;
    Ok(found)
}

fn run(db: &Connection, receiver: &Mutex<Receiver<Call>>) {
    loop {
        // Holds the lock while it waits; a call runs without it.
        let call = {
            let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            receiver.recv()
        };
        let Ok(call) = call else { return };
        call(db);
    }
}
