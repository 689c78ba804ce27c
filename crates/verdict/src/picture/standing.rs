//! How an address of the zone stands over one transport, by one answer or the lack of one.

use std::fmt;

use bailiwick_core::{
    delegation::Delegation,
    message::{Message, Rcode},
    name::Name,
    observation::{Outcome, Rejection, Unreadable, Withheld},
    record::RecordType,
    verdict::Condition,
};

use super::Seen;

/// How an address stands over one transport. The order is from best to worst.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Standing {
    /// It answers with authority for the zone.
    Authoritative,
    /// It answers with authority, with somebody else's zone content.
    Foreign,
    /// It answers, but not with authority.
    Lame(Lame),
    /// It does not answer.
    Silent(Silent),
    /// It was not asked.
    NotAsked(Option<Withheld>),
}

/// Why an answer is not one with authority for the zone.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Lame {
    /// REFUSED.
    Refused,
    /// SERVFAIL.
    ServerFailure,
    /// Any other response code that is no answer, NXDOMAIN included.
    Error(Rcode),
    /// The answer is there without AA.
    NotAuthoritative,
    /// A referral to a zone above, sideways, or to the zone itself.
    Referral(Name),
    /// It answers for an enclosing zone, and has none of this name.
    Enclosing(Name),
    /// Nothing was in it, and TC is set.
    Truncated,
    /// Octets that are no usable answer.
    Unreadable(Unreadable),
    /// NOERROR and nothing else.
    Empty,
}

/// How an address does not answer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Silent {
    /// Nothing came in time, nor later.
    Timeout,
    /// ICMP, RST, or a connection that ended early.
    Rejected(Rejection),
}

impl Standing {
    /// Returns the word for the tables.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::Authoritative => Condition::Authoritative,
            Self::Foreign => Condition::Foreign,
            Self::Lame(_) => Condition::Lame,
            Self::Silent(_) => Condition::Silent,
            Self::NotAsked(_) => Condition::Withheld,
        }
    }

    /// Returns whether it is [`Standing::Authoritative`].
    #[must_use]
    pub fn is_authoritative(&self) -> bool {
        *self == Self::Authoritative
    }

    /// Returns whether anything came back that is a DNS response.
    #[must_use]
    pub fn answers(&self) -> bool {
        matches!(self, Self::Authoritative | Self::Foreign | Self::Lame(_))
    }

    /// Returns whether it was asked and did not answer.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Silent(_))
    }
}

impl fmt::Display for Standing {
    /// Writes what is wrong, in a few words; nothing for an authoritative server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authoritative => Ok(()),
            Self::Foreign => f.write_str("answers with somebody else's zone content"),
            Self::Lame(why) => why.fmt(f),
            Self::Silent(Silent::Timeout) => f.write_str("no answer"),
            Self::Silent(Silent::Rejected(why)) => why.fmt(f),
            Self::NotAsked(None) => f.write_str("not asked"),
            Self::NotAsked(Some(why)) => why.fmt(f),
        }
    }
}

impl fmt::Display for Lame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("answers REFUSED"),
            Self::ServerFailure => f.write_str("answers SERVFAIL"),
            Self::Error(rcode) => write!(f, "answers {rcode}"),
            Self::NotAuthoritative => f.write_str("answers without authority (AA is not set)"),
            Self::Referral(zone) => write!(f, "refers to the servers of {zone}"),
            Self::Enclosing(zone) => write!(f, "has {zone}, but not this zone"),
            Self::Truncated => f.write_str("answers with TC and nothing in it"),
            Self::Unreadable(why) => write!(f, "unusable answer ({why})"),
            Self::Empty => f.write_str("answers NOERROR without data"),
        }
    }
}

/// Reads one answer to a question about the apex.
pub(super) fn standing(seen: &Seen, zone: &Name) -> Standing {
    match &seen.outcome {
        Outcome::Reply(message) | Outcome::Late(message) => {
            read(message, zone, seen.question.record_type)
        }
        Outcome::Rejected(why) => Standing::Silent(Silent::Rejected(*why)),
        Outcome::Silence | Outcome::Unreadable(Unreadable::Junk(_)) => {
            Standing::Silent(Silent::Timeout)
        }
        Outcome::Unreadable(why) => Standing::Lame(Lame::Unreadable(why.clone())),
        Outcome::Withheld(why) => Standing::NotAsked(Some(*why)),
    }
}

fn read(message: &Message, zone: &Name, record_type: RecordType) -> Standing {
    let answered = message.answers(zone, record_type).next().is_some();
    let authoritative = message.flags.authoritative;
    Standing::Lame(match message.rcode {
        Rcode::REFUSED => Lame::Refused,
        Rcode::SERVFAIL => Lame::ServerFailure,
        Rcode::NOERROR if answered && authoritative => return Standing::Authoritative,
        Rcode::NOERROR if answered => Lame::NotAuthoritative,
        Rcode::NOERROR => {
            if let Some(owner) = Delegation::owner(message) {
                Lame::Referral(owner.clone())
            } else {
                match message.soa() {
                    // No such type at the apex, as for DNSKEY in an unsigned zone.
                    Some((owner, _)) if owner == zone && authoritative => {
                        return Standing::Authoritative;
                    }
                    Some((owner, _)) if zone.is_below(owner) => Lame::Enclosing(owner.clone()),
                    _ if message.flags.truncated => Lame::Truncated,
                    _ => Lame::Empty,
                }
            }
        }
        other => match message.soa() {
            Some((owner, _)) if zone.is_below(owner) && other == Rcode::NXDOMAIN => {
                Lame::Enclosing(owner.clone())
            }
            _ => Lame::Error(other),
        },
    })
}
