//! Agents and operators, as they are known.

use std::{collections::BTreeSet, fmt, net::IpAddr, time::Duration};

use bailiwick_core::{time::Timestamp, vantage::VantageId};

/// How far back take-overs of a session are counted.
pub const TAKEOVER_WINDOW: Duration = Duration::from_mins(10);

/// An enrolled key: the SHA-256 of its SubjectPublicKeyInfo in DER.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct KeyHash(pub [u8; 32]);

/// The serial number of a certificate: 128 random bits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Serial(pub [u8; 16]);

/// One start of an agent's program: 128 random bits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct BootId(pub [u8; 16]);

/// A certificate, as far as it has to be remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// Its serial number.
    pub serial: Serial,
    /// Until when it is valid.
    pub until: Timestamp,
}

/// Whether an agent takes part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AgentState {
    /// It has a key, but no voice before an operator approves it.
    Pending,
    /// It takes part.
    Active,
    /// An operator shut it out.
    Banned {
        /// What it reported from this moment on has no vote.
        since: Timestamp,
        /// Why, for people.
        reason: String,
    },
}

impl fmt::Display for AgentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Banned { .. } => "banned",
        })
    }
}

/// What was seen of an agent when it connected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// The address that it came from.
    pub address: IpAddr,
    /// Name and version of its program, by its own word.
    pub build: String,
    /// The start of its program.
    pub boot: BootId,
    /// Whether it keeps reports on disk, by its own word.
    pub durable: bool,
    /// Whether its owner allowed addresses that are not globally reachable, by its own word.
    pub lab: bool,
    /// How far its clock is ahead of the coordinator's, in nanoseconds; negative if it is behind.
    pub clock_offset: i64,
}

/// An agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agent {
    /// Identity.
    pub name: VantageId,
    /// The key that it enrolled with.
    pub key: KeyHash,
    /// What its token said of its place, each as `key=value`.
    pub labels: BTreeSet<String>,
    /// Whether it takes part.
    pub state: AgentState,
    /// When it enrolled, the last time.
    pub enrolled: Timestamp,
    /// The certificate that it uses.
    pub current: Option<Certificate>,
    /// The certificate that it was given and did not use yet.
    pub next: Option<Certificate>,
    /// What was seen of it last.
    pub seen: Option<Seen>,
    /// How many reports of it were kept, those included that have been deleted by age.
    pub reports: u64,
    /// How many of its reports were two that were sent as one.
    pub equivocations: u64,
}

/// The one stream of an agent that counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// From 1; every session of an agent has a greater one.
    pub epoch: u64,
    /// Which coordinator has the stream.
    pub replica: String,
    /// The start of the agent's program.
    pub boot: BootId,
    /// Since when.
    pub opened: Timestamp,
    /// How often within [`TAKEOVER_WINDOW`] before it was opened, this time included, a session
    /// came from another start of the program than the one before. Programs that start again do
    /// this once; two machines with one key do it all the time.
    pub takeovers: u64,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Role {
    /// Look.
    Viewer,
    /// Look and check.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them, the one with the fewest rights first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Returns the role with this name, as it is displayed.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.to_string() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// An operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Operator {
    /// Identity.
    pub name: String,
    /// The key that it enrolled with.
    pub key: KeyHash,
    /// What it may do.
    pub role: Role,
    /// When it enrolled, the last time.
    pub enrolled: Timestamp,
}
