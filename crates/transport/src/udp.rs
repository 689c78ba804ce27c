//! One question in one datagram (RFC 1035, section 4.2.1).
//!
//! Each query has a socket and so a port of its own, an ID and a case of
//! letters at random (RFC 5452). What does not repeat them is junk: it is
//! counted, and listening goes on, so that no forger can make a healthy server
//! look dead.

use std::{io, ops::ControlFlow, time::Duration};

use bailiwick_core::{
    observation::{Observation, Outcome, Rejection, Unreadable, Withheld},
    query::Query,
};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    Leave, Shared,
    reply::{self, Asked, Ending, Kinship},
    socket::{Datagrams, heard, receive},
    special::PublicAddr,
    uplink::Gate,
};

/// How long a true answer may still come after one that could be forged: an
/// answer in other case, or an ICMP error.
const GRACE: Duration = Duration::from_millis(250);
/// More junk than this is said to be the reason for silence.
const MUCH_JUNK: u32 = 8;

/// Asks the first question of the query; over UDP it has no other.
pub(crate) async fn exchange(
    shared: &Shared,
    query: &Query,
    address: PublicAddr,
    to: &mpsc::Sender<Observation>,
) {
    let Some(question) = query.questions.first() else {
        return;
    };
    debug_assert_eq!(query.questions.len(), 1, "one datagram, one question");
    let asked = Asked::new(0, question, &query.options);
    let gate = Gate::Question(address.address(), question.clone());
    let (leave, socket, sent) = match send(shared, query, address, gate, &asked).await {
        Ok(sent) => sent,
        Err(withheld) => return shared.withhold(query, withheld, to).await,
    };
    let Leave {
        turn,
        socket: permit,
    } = leave;
    let mut listener = Listener {
        shared,
        query,
        asked,
        socket,
        sent,
        junk: 0,
    };
    let observation = listener.listen().await;
    drop(turn);
    let answered = observation.reply().is_some();
    let _ = to.send(observation).await;
    if !answered && let Some(late) = listener.listen_on(to).await {
        let _ = to.send(late).await;
    }
    drop(permit);
}

/// Waits for leave, then sends.
async fn send(
    shared: &Shared,
    query: &Query,
    address: PublicAddr,
    gate: Gate,
    asked: &Asked,
) -> Result<(Leave, Datagrams, Instant), Withheld> {
    let to = address.address();
    let leave = shared.leave(gate, to).await?;
    shared.ledger.ask(to, query.via, &query.questions[0])?;
    let mut sent = Instant::now();
    let socket = shared
        .open(to, || shared.ends.udp(address, &asked.octets, &mut sent))
        .await?;
    Ok((leave, socket, sent))
}

struct Listener<'a> {
    shared: &'a Shared,
    query: &'a Query,
    asked: Asked,
    socket: Datagrams,
    sent: Instant,
    junk: u32,
}

impl Listener<'_> {
    /// Listens until there is an answer or patience is over.
    async fn listen(&mut self) -> Observation {
        let patience = (self.sent + self.query.patience).min(self.shared.deadline());
        let mut doubtful: Option<Observation> = None;
        let sleep = tokio::time::sleep_until(patience);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                ready = heard(&self.socket) => {
                    if ready.is_err() {
                        break;
                    }
                }
                () = &mut sleep => break,
            }
            match self.receive() {
                ControlFlow::Break(observation) => return observation,
                ControlFlow::Continue(None) => {}
                ControlFlow::Continue(Some(observation)) => {
                    if doubtful.is_none() {
                        sleep.as_mut().reset(patience.min(Instant::now() + GRACE));
                        doubtful = Some(observation);
                    }
                }
            }
        }
        let mut observation = doubtful.unwrap_or_else(|| {
            self.observe(match self.junk {
                junk if junk > MUCH_JUNK => Outcome::Unreadable(Unreadable::Junk(junk)),
                _ => Outcome::Silence,
            })
        });
        observation.junk = self.junk;
        observation
    }

    /// Listens on until an answer comes after all.
    async fn listen_on(&mut self, to: &mpsc::Sender<Observation>) -> Option<Observation> {
        let ended = async {
            tokio::select! {
                () = self.shared.stopped() => {}
                () = to.closed() => {}
                () = self.shared.uplink.crowded() => {}
                () = tokio::time::sleep_until(self.shared.deadline()) => {}
            }
        };
        tokio::pin!(ended);
        loop {
            tokio::select! {
                ready = heard(&self.socket) => ready.ok()?,
                () = &mut ended => return None,
            }
            if let ControlFlow::Break(mut observation) = self.receive()
                && let Outcome::Reply(message) = observation.outcome
            {
                observation.outcome = Outcome::Late(message);
                return Some(observation);
            }
        }
    }

    /// Receives one datagram, if there is one. Breaks with an answer; continues with what is
    /// the outcome only if no answer comes.
    fn receive(&mut self) -> ControlFlow<Observation, Option<Observation>> {
        reply::with_buffer(|buffer| match receive(&self.socket, buffer) {
            Ok(length) => self.read(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ControlFlow::Continue(None),
            Err(error) => {
                let outcome = rejection(&error).unwrap_or(Outcome::Rejected(Rejection::Host));
                ControlFlow::Continue(Some(self.observe(outcome)))
            }
        })
    }

    fn read(&mut self, octets: &[u8]) -> ControlFlow<Observation, Option<Observation>> {
        let kinship = self.asked.kinship(octets);
        if kinship == Kinship::Stranger {
            self.junk += 1;
            return ControlFlow::Continue(None);
        }
        self.shared.ledger.receive(octets.len());
        let ending = Ending {
            outcome: Outcome::Unreadable(Unreadable::Case),
            elapsed: self.sent.elapsed(),
            junk: self.junk,
            case_kept: match kinship {
                Kinship::Answer => Some(true),
                Kinship::OtherCase => Some(false),
                Kinship::Bare | Kinship::Stranger => None,
            },
            octets,
        };
        if kinship == Kinship::OtherCase {
            return ControlFlow::Continue(Some(self.end(ending)));
        }
        let outcome = match reply::read(octets, self.shared.limits.udp_message) {
            Ok(message) => Outcome::Reply(message.into()),
            Err(unreadable) => Outcome::Unreadable(unreadable),
        };
        ControlFlow::Break(self.end(Ending { outcome, ..ending }))
    }

    fn observe(&self, outcome: Outcome) -> Observation {
        self.end(Ending {
            outcome,
            elapsed: self.sent.elapsed(),
            junk: self.junk,
            case_kept: None,
            octets: &[],
        })
    }

    fn end(&self, ending: Ending<'_>) -> Observation {
        let sent = self.sent.saturating_duration_since(self.shared.began());
        ending.observation(self.query, self.asked.number, sent)
    }
}

/// Reads an ICMP error (Linux, ip(7)); `None` if there was only nothing to read.
pub(crate) fn rejection(error: &io::Error) -> Option<Outcome> {
    use nix::libc::{EACCES, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ENOPROTOOPT, EPERM};
    match error.raw_os_error()? {
        ECONNREFUSED => Some(Outcome::Rejected(Rejection::Port)),
        EHOSTUNREACH | ENETUNREACH | ENOPROTOOPT | EACCES | EPERM => {
            Some(Outcome::Rejected(Rejection::Host))
        }
        _ => None,
    }
}
