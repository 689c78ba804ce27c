//! What came of one question. Whatever the network does is an outcome, never an error.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    message::{Message, Question},
    name::Name,
    query::{Options, Purpose, Query, QueryId, Via},
    server::{Role, Server},
};

/// One question of one exchange within one check.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct ObservationId {
    /// The exchange.
    pub query: QueryId,
    /// Which of its questions, from 0.
    pub question: u8,
}

/// Why a packet was never sent, though somebody named its destination.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Withheld {
    /// The address is not globally reachable (IANA special-purpose registries).
    SpecialUse,
    /// The address belongs to this machine.
    OwnAddress,
    /// Limit B1: packets of the check.
    Packets,
    /// Limit B2: packets to one address.
    PacketsToAddress,
    /// Limit B3: the same question to the same address.
    SameQuestion,
    /// Limit B8: the time of the check is over.
    Time,
    /// Limit B9: octets received.
    Octets,
    /// This machine has no route to the address or no such family.
    NoRoute,
    /// This machine could not make a socket.
    NoSocket,
}

/// How the network or the server turned a packet away.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Rejection {
    /// ICMP port unreachable, or RST to the opening of a connection.
    Port,
    /// ICMP host, network or administratively unreachable.
    Host,
    /// The connection was closed or reset before the answer was complete.
    Closed,
}

/// Why octets that were matched to a query cannot be used.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Unreadable {
    /// Not a DNS message; says where it breaks.
    Malformed(String),
    /// Larger than limit B9 allows, in octets.
    Oversize(usize),
    /// Only datagrams arrived that belong to no question of ours; says how many.
    Junk(u32),
    /// The answer repeats the question in another case only, so it may be forged.
    Case,
}

/// What came of a question. Later variants say less; [`Outcome::rank`] orders them.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Outcome {
    /// An answer in time. Observations of equal answers may share it.
    Reply(Arc<Message>),
    /// An answer after the patience of the query was over.
    Late(Arc<Message>),
    /// Turned away.
    Rejected(Rejection),
    /// An answer that cannot be used.
    Unreadable(Unreadable),
    /// Nothing, for as long as [`Observation::elapsed`] says.
    Silence,
    /// Never sent.
    Withheld(Withheld),
}

impl Outcome {
    /// Returns how much the outcome says, best first.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Reply(_) => 0,
            Self::Late(_) => 1,
            Self::Unreadable(_) => 2,
            Self::Rejected(_) => 3,
            Self::Silence => 4,
            Self::Withheld(_) => 5,
        }
    }
}

/// One question, whom it was asked, and what came of it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Observation {
    /// Which question of which exchange.
    pub id: ObservationId,
    /// Whom it was asked.
    pub server: Server,
    /// What the server was asked as.
    pub role: Role,
    /// The zone that it was asked as a server of.
    pub zone: Name,
    /// Which part of the check it served.
    pub purpose: Purpose,
    /// How it was carried.
    pub via: Via,
    /// The question.
    pub question: Question,
    /// Header and EDNS settings.
    pub options: Options,
    /// When it was sent, since the check began.
    pub sent: Duration,
    /// From sending to the outcome. Over TCP the opening of the connection is
    /// not in it.
    pub elapsed: Duration,
    /// What came of it.
    pub outcome: Outcome,
    /// Datagrams on the same socket that answered no question of ours.
    pub junk: u32,
    /// Whether the answer kept the case of the question (control C9); `None` without an answer.
    pub case_kept: Option<bool>,
    /// The reply as received; empty without one.
    pub octets: Box<[u8]>,
}

impl Observation {
    /// Returns the observation of one question of a query, with the outcome to be filled in.
    ///
    /// # Panics
    ///
    /// Panics if the query has no question of that number.
    #[must_use]
    pub fn of(query: &Query, question: usize, sent: Duration, outcome: Outcome) -> Self {
        Self {
            id: ObservationId {
                query: query.id,
                question: u8::try_from(question).unwrap_or(u8::MAX),
            },
            server: query.server.clone(),
            role: query.role,
            zone: query.zone.clone(),
            purpose: query.purpose,
            via: query.via,
            question: query.questions[question].clone(),
            options: query.options,
            sent,
            elapsed: Duration::ZERO,
            outcome,
            junk: 0,
            case_kept: None,
            octets: Box::default(),
        }
    }

    /// Returns the reply, in time or late.
    #[must_use]
    pub fn reply(&self) -> Option<&Message> {
        match &self.outcome {
            Outcome::Reply(message) | Outcome::Late(message) => Some(message),
            _ => None,
        }
    }

    /// Returns the observation that says more about the same question; either if they are equal.
    ///
    /// Commutative, associative and idempotent, so reports join in any order.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        if (self.outcome.rank(), &self) <= (other.outcome.rank(), &other) {
            self
        } else {
            other
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "port unreachable",
            Self::Host => "host unreachable",
            Self::Closed => "connection closed",
        })
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SpecialUse => "not asked: the address is not globally reachable",
            Self::OwnAddress => "not asked: the address belongs to this machine",
            Self::Packets => "not asked: all packets of the check were used",
            Self::PacketsToAddress => "not asked: the address had its share of packets",
            Self::SameQuestion => "not asked: the question was asked often enough",
            Self::Time => "not asked: the time of the check was over",
            Self::Octets => "not asked: the check received as much as it may",
            Self::NoRoute => "not asked: this machine has no route there",
            Self::NoSocket => "not asked: this machine could not make a socket",
        })
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "malformed: {why}"),
            Self::Oversize(octets) => write!(f, "message of {octets} octets"),
            Self::Junk(count) => write!(f, "only junk, {count} datagrams"),
            Self::Case => f.write_str("answer in other case than asked"),
        }
    }
}
