//! What is asked of one server in one exchange.

use std::{fmt, time::Duration};

use crate::{
    message::Question,
    name::Name,
    server::{Role, Server},
};

/// The number of an exchange within one check, in the order of asking.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct QueryId(pub u32);

/// How an exchange is carried.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Via {
    /// One datagram, one question.
    Udp,
    /// One connection, at most [`MAX_QUESTIONS`] questions.
    Tcp,
    /// A stub resolver's look-up: what a program on this machine would get.
    Stub(Stub),
}

/// How a stub resolver reaches its recursive resolver.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Stub {
    /// UDP, and TCP after truncation.
    Plain,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Stub(Stub::Plain) => "stub",
            Self::Stub(Stub::Tls) => "dot",
            Self::Stub(Stub::Https) => "doh",
        })
    }
}

/// The most questions on one TCP connection; it counts as one packet.
pub const MAX_QUESTIONS: usize = 8;

/// The EDNS payload size offered over UDP in octets ("DNS flag day 2020").
pub const UDP_SIZE: u16 = 1232;

/// Header and EDNS settings of a query.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Options {
    /// RD.
    pub recursion_desired: bool,
    /// CD.
    pub checking_disabled: bool,
    /// EDNS with [`UDP_SIZE`] and a request for the NSID (RFC 5001).
    pub edns: bool,
    /// DO; only with EDNS.
    pub dnssec_ok: bool,
}

impl Options {
    /// To an authoritative server: RD=0, EDNS.
    pub const ITERATIVE: Self = Self {
        recursion_desired: false,
        checking_disabled: false,
        edns: true,
        dnssec_ok: false,
    };
    /// To a resolver: RD=1, EDNS.
    pub const RECURSIVE: Self = Self {
        recursion_desired: true,
        checking_disabled: false,
        edns: true,
        dnssec_ok: false,
    };
    /// To an authoritative server as in 1987: RD=0, no EDNS, 512 octets.
    pub const PLAIN: Self = Self {
        recursion_desired: false,
        checking_disabled: false,
        edns: false,
        dnssec_ok: false,
    };
}

/// Which part of a check an exchange serves.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Purpose {
    /// On the way from the root to the parent zone.
    Walk,
    /// On the way to the addresses of a name server's name.
    Lookup,
    /// The delegation, and the SOA of the parent zone, from a parent server.
    Parent,
    /// The delegation without EDNS, in 512 octets.
    Small,
    /// SOA, NS, DNSKEY and host addresses from a server of the zone.
    Child,
    /// A question to a public resolver.
    Survey(Survey),
    /// A control of the vantage point.
    Control(Control),
}

/// The questions to a public resolver.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Survey {
    /// What a stub resolver gets.
    Stub,
    /// The NS set, perhaps from the cache.
    Warm,
    /// A name that no cache can know.
    Fresh,
    /// A name that no cache can know, with CD=1.
    FreshUnchecked,
    /// Who the resolver is.
    Identity,
    /// A name that resolves if the resolver is well: the SOA of the parent zone.
    Control,
}

/// The controls of the vantage point that send packets of their own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Control {
    /// C2: the SOA of the root.
    Root,
    /// C3: an address that must not answer.
    Blackhole,
    /// C4: the same referral three seconds later.
    Constancy,
    /// C5: a name that does not exist, at a resolver or under the parent zone.
    Absent,
}

/// One exchange: one question over UDP, or several on one TCP connection.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Query {
    /// Number within the check.
    pub id: QueryId,
    /// Whom to ask.
    pub server: Server,
    /// What it is asked as.
    pub role: Role,
    /// The zone that it is asked as a server of; the root for resolvers.
    pub zone: Name,
    /// What it is asked for.
    pub purpose: Purpose,
    /// How it is asked.
    pub via: Via,
    /// One question over UDP, at most [`MAX_QUESTIONS`] over TCP.
    pub questions: Vec<Question>,
    /// Header and EDNS settings.
    pub options: Options,
    /// When to call it silence. Over UDP the socket goes on listening after that, and
    /// what arrives then is [`Late`](crate::observation::Outcome::Late).
    pub patience: Duration,
}
