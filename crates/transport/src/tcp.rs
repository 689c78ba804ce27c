//! Several questions on one connection (RFC 7766, section 6.2.1.1).
//!
//! All questions are sent at once, and answers are taken in any order. The
//! connection ends with the last answer, or by limit B10: so long for opening,
//! so long for a first octet, so long for everything.

use std::time::Duration;

use bailiwick_core::{
    observation::{Observation, Outcome, Rejection, Unreadable, Withheld},
    query::{MAX_QUESTIONS, Query},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    Shared,
    reply::{self, Asked, Ending, Kinship},
    socket::{Connection, Service},
    special::PublicAddr,
    udp::rejection,
    uplink::Gate,
};

/// After so many messages that answer no question the connection is closed.
const MUCH_JUNK: u32 = 8;

/// Asks all questions of the query.
pub(crate) async fn exchange(
    shared: &Shared,
    query: &Query,
    address: PublicAddr,
    to: &mpsc::Sender<Observation>,
) {
    let ip = address.address();
    let _leave = match shared.leave(Gate::Connection(ip), ip).await {
        Ok(leave) => leave,
        Err(withheld) => return shared.withhold(query, withheld, to).await,
    };
    let mut talk = Talk {
        shared,
        query,
        to,
        waiting: Vec::new(),
        sent: Instant::now(),
        junk: 0,
    };
    for (number, question) in query.questions.iter().enumerate() {
        let booked = match number {
            // More on one connection would not be one packet any more (limit B1).
            MAX_QUESTIONS.. => Err(Withheld::Packets),
            _ => shared.ledger.ask(ip, query.via, question),
        };
        match booked {
            Ok(()) => talk
                .waiting
                .push(Asked::new(number, question, &query.options)),
            Err(withheld) => talk.tell(number, Outcome::Withheld(withheld)).await,
        }
    }
    if talk.waiting.is_empty() {
        return;
    }
    match shared
        .open(ip, || shared.ends.tcp(address, Service::Plain))
        .await
    {
        Err(withheld) => talk.end(Outcome::Withheld(withheld)).await,
        Ok(stream) => {
            let outcome = talk.hold(stream).await;
            talk.end(outcome).await;
        }
    }
}

/// One connection and the questions on it.
struct Talk<'a> {
    shared: &'a Shared,
    query: &'a Query,
    to: &'a mpsc::Sender<Observation>,
    /// Questions without an outcome.
    waiting: Vec<Asked>,
    sent: Instant,
    junk: u32,
}

impl Talk<'_> {
    /// Connects, asks and listens. Returns what comes of the questions that stay without answer.
    async fn hold(&mut self, stream: Connection) -> Outcome {
        let limits = &self.shared.limits;
        // Limit B10, or sooner where whoever asks is not that patient.
        let patience = (self.sent + self.query.patience).min(self.shared.deadline());
        let connect = (self.sent + limits.tcp_connect).min(patience);
        match timeout_at(connect, opened(&stream)).await {
            Err(_) => return Outcome::Silence,
            Ok(Err(outcome)) => return outcome,
            Ok(Ok(())) => {}
        }
        self.sent = Instant::now();
        let whole = (self.sent + limits.tcp_whole).min(patience);
        match timeout_at(whole, self.ask(&stream)).await {
            Err(_) => return Outcome::Silence,
            Ok(Err(_)) => return Outcome::Rejected(Rejection::Closed),
            Ok(Ok(())) => {}
        }
        self.listen(&stream, whole).await
    }

    /// Writes all questions, each behind its length (RFC 1035, section 4.2.2).
    async fn ask(&self, stream: &Connection) -> std::io::Result<()> {
        let mut octets = Vec::new();
        for asked in &self.waiting {
            let length = u16::try_from(asked.octets.len()).unwrap_or(u16::MAX);
            octets.extend(length.to_be_bytes());
            octets.extend_from_slice(&asked.octets);
        }
        let mut rest = &octets[..];
        while !rest.is_empty() {
            stream.writable().await?;
            match stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes answers until there is one for each question.
    async fn listen(&mut self, stream: &Connection, whole: Instant) -> Outcome {
        let mut pending = Vec::new();
        let mut first = Instant::now() + self.shared.limits.tcp_first;
        loop {
            let until = if pending.is_empty() {
                first.min(whole)
            } else {
                whole
            };
            match timeout_at(until, receive(stream, &mut pending)).await {
                Err(_) => return self.stalled(&pending),
                Ok(Err(_) | Ok(0)) => return Outcome::Rejected(Rejection::Closed),
                Ok(Ok(_)) => {}
            }
            if let Some(outcome) = self.take_messages(&mut pending).await {
                return outcome;
            }
            if pending.is_empty() {
                first = Instant::now() + self.shared.limits.tcp_first;
            }
        }
    }

    /// Takes whole messages from the front. Returns an outcome if the connection is to end.
    async fn take_messages(&mut self, pending: &mut Vec<u8>) -> Option<Outcome> {
        let mut at = 0;
        while let Some((length, rest)) = pending[at..].split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length > self.shared.limits.tcp_message {
                self.oversize(length, rest).await;
                return Some(Outcome::Rejected(Rejection::Closed));
            }
            let Some(message) = rest.get(..length) else {
                break;
            };
            at += 2 + length;
            self.take(message).await;
            if self.waiting.is_empty() {
                return Some(Outcome::Silence);
            }
            if self.junk > MUCH_JUNK {
                return Some(Outcome::Unreadable(Unreadable::Junk(self.junk)));
            }
        }
        pending.drain(..at);
        None
    }

    /// Matches a message to a question. Over TCP nobody can forge from afar, so another case
    /// is noted and the answer taken.
    async fn take(&mut self, message: &[u8]) {
        let Some((place, kinship)) = self.whose(message) else {
            self.junk += 1;
            return;
        };
        let asked = self.waiting.swap_remove(place);
        self.shared.ledger.receive(message.len());
        let outcome = match reply::read(message, self.shared.limits.tcp_message) {
            Ok(message) => Outcome::Reply(message.into()),
            Err(unreadable) => Outcome::Unreadable(unreadable),
        };
        let case_kept = match kinship {
            Kinship::Answer => Some(true),
            Kinship::OtherCase => Some(false),
            Kinship::Bare | Kinship::Stranger => None,
        };
        self.observe(asked.number, outcome, case_kept, message)
            .await;
    }

    fn whose(&self, message: &[u8]) -> Option<(usize, Kinship)> {
        self.waiting
            .iter()
            .map(|asked| asked.kinship(message))
            .enumerate()
            .find(|&(_, kinship)| kinship != Kinship::Stranger)
    }

    /// A message that is too large answers the question that it begins with, else the only one.
    async fn oversize(&mut self, length: usize, begun: &[u8]) {
        let outcome = Outcome::Unreadable(Unreadable::Oversize(length));
        let place = self.whose(begun).map_or(0, |(place, _)| place);
        if begun.len() >= bailiwick_wire::dns::HEADER || self.waiting.len() == 1 {
            let asked = self.waiting.swap_remove(place);
            self.tell(asked.number, outcome).await;
        }
    }

    /// What a connection means that is open and says nothing more.
    fn stalled(&self, pending: &[u8]) -> Outcome {
        if self.junk > 0 {
            return Outcome::Unreadable(Unreadable::Junk(self.junk));
        }
        match pending.split_first_chunk() {
            None => Outcome::Silence,
            Some((length, rest)) => Outcome::Unreadable(Unreadable::Malformed(format!(
                "only {} of {} octets arrived",
                rest.len(),
                u16::from_be_bytes(*length)
            ))),
        }
    }

    /// Gives all questions that still wait this outcome.
    async fn end(&mut self, outcome: Outcome) {
        for asked in std::mem::take(&mut self.waiting) {
            self.tell(asked.number, outcome.clone()).await;
        }
    }

    async fn tell(&self, number: usize, outcome: Outcome) {
        self.observe(number, outcome, None, &[]).await;
    }

    async fn observe(
        &self,
        number: usize,
        outcome: Outcome,
        case_kept: Option<bool>,
        octets: &[u8],
    ) {
        let ending = Ending {
            elapsed: match outcome {
                Outcome::Withheld(_) => Duration::ZERO,
                _ => self.sent.elapsed(),
            },
            outcome,
            junk: self.junk,
            case_kept,
            octets,
        };
        let sent = self.sent.saturating_duration_since(self.shared.began());
        let _ = self
            .to
            .send(ending.observation(self.query, number, sent))
            .await;
    }
}

/// Waits until the connection is open, or is not to be.
pub(crate) async fn opened(stream: &Connection) -> Result<(), Outcome> {
    let refused = |error: &std::io::Error| rejection(error).unwrap_or(Outcome::Silence);
    stream.writable().await.map_err(|error| refused(&error))?;
    match stream.take_error() {
        Ok(None) => Ok(()),
        Ok(Some(error)) | Err(error) => Err(refused(&error)),
    }
}

/// Receives what is there and returns how much that was; 0 is the end.
async fn receive(stream: &Connection, pending: &mut Vec<u8>) -> std::io::Result<usize> {
    loop {
        stream.readable().await?;
        let received: std::io::Result<usize> = reply::with_buffer(|buffer| {
            let length = stream.try_read(buffer)?;
            pending.extend_from_slice(&buffer[..length]);
            Ok(length)
        });
        match received {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            received => return received,
        }
    }
}
