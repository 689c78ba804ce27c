//! What was asked, written down by those who were asked and by the switch.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bailiwick_core::message::Question;

use super::script::Asked;
use crate::internet::switch::{Datagram, Transport};

/// Entries kept of one asker; a check has a few hundred.
const KEPT: usize = 100_000;

/// One question that was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// The address asked.
    pub to: IpAddr,
    /// How.
    pub via: Transport,
    /// The question, in lower case.
    pub question: Question,
}

/// One TCP connection that has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Connection {
    /// The address asked.
    pub to: IpAddr,
    /// From its acceptance to its end.
    pub lasted: Duration,
    /// Octets that the server could send.
    pub sent: u64,
}

/// What one asker did.
#[derive(Clone, Debug, Default)]
pub struct Doings {
    /// Its questions.
    pub questions: Vec<Seen>,
    /// Its connections.
    pub connections: Vec<Connection>,
}

/// The doings of some askers; of others nothing is kept.
#[derive(Debug, Default)]
pub struct Log(Mutex<BTreeMap<IpAddr, Doings>>);

impl Log {
    /// Returns an empty log for these askers.
    pub fn new(askers: impl IntoIterator<Item = IpAddr>) -> Self {
        let doings = askers.into_iter().map(|asker| (asker, Doings::default()));
        Self(Mutex::new(doings.collect()))
    }

    /// Writes down a question.
    pub fn question(&self, from: IpAddr, asked: &Asked) {
        if let Some(doings) = self.lock().get_mut(&from)
            && doings.questions.len() < KEPT
        {
            doings.questions.push(Seen {
                to: asked.to,
                via: asked.via,
                question: asked.question.clone(),
            });
        }
    }

    /// Writes down the question in a datagram that passes by.
    pub fn passing(&self, datagram: &Datagram) {
        let to = datagram.destination.ip();
        if let Some(asked) = Asked::read(&datagram.payload, to, Transport::Udp) {
            self.question(datagram.source.ip(), &asked);
        }
    }

    /// Writes down the end of a connection.
    pub fn connection(&self, from: IpAddr, connection: Connection) {
        if let Some(doings) = self.lock().get_mut(&from)
            && doings.connections.len() < KEPT
        {
            doings.connections.push(connection);
        }
    }

    /// Returns what these askers did, and forgets it.
    pub fn take(&self, askers: &[IpAddr]) -> Doings {
        let mut all = Doings::default();
        let mut log = self.lock();
        for asker in askers {
            let doings = log.get_mut(asker).map(std::mem::take);
            let Doings {
                questions,
                connections,
            } = doings.unwrap_or_default();
            all.questions.extend(questions);
            all.connections.extend(connections);
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Doings>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
