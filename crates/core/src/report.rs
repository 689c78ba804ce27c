//! What one vantage point saw of one check.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    time::Duration,
};

use crate::{
    check::Check,
    message::Rcode,
    name::Name,
    observation::{Observation, ObservationId},
    server::Server,
    time::Timestamp,
    vantage::VantagePoint,
};

/// The identity of a round: the same check asked of all vantage points at one time.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct RoundId(pub u64);

/// Which of an agent's reports go first when not all can be sent at once.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Lane {
    /// Somebody waits: a check that was asked for, or a change that is followed.
    Change,
    /// Standing checks.
    Routine,
}

impl Lane {
    /// All lanes, the more urgent first.
    pub const ALL: [Self; 2] = [Self::Change, Self::Routine];
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Change => "change",
            Self::Routine => "routine",
        })
    }
}

/// The identity of a report among those of one agent. Sending it again is sending the same.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct ReportId {
    /// Its lane; each has a sequence of its own.
    pub lane: Lane,
    /// Which opening of the agent's spool it comes from: random, so that a sequence number whose
    /// report was lost is never used twice.
    pub epoch: u64,
    /// Its place in the lane, from 1 and without gaps.
    pub seq: u64,
}

/// A zone on the way down, and who serves it by its parent's word.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Cut {
    /// The zone.
    pub zone: Name,
    /// The NS names that its parent gave; for the root, those of the hints.
    pub names: BTreeSet<Name>,
    /// The addresses that are known: glue, hints and look-ups.
    pub servers: BTreeSet<Server>,
}

/// What the walk from the root found at the name of the zone.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Found {
    /// A parent server refers to the zone.
    Delegated,
    /// The parent's servers host the zone themselves and answer for it; no referral can be seen.
    SharedServers,
    /// The parent zone says that there is no such zone: NXDOMAIN.
    Absent,
    /// The name exists in the parent zone but is no zone.
    Inside(Inside),
    /// The walk could not get there.
    Lost(Lost),
}

/// How a zone answers for a name that is no zone of its own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Inside {
    /// The name has data, or exists without the type asked (RFC 2308, section 2.2).
    Data,
    /// The name is an alias.
    Alias,
}

/// Why a walk ended before its goal.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Lost {
    /// No server of this zone gave a usable answer.
    NoUsableAnswer {
        /// The zone whose servers were asked.
        zone: Name,
    },
    /// No server of this zone has an address that can be found.
    NoAddress {
        /// The zone.
        zone: Name,
    },
    /// Finding the addresses leads back to where it began.
    Cycle {
        /// The zones and name servers on the way round.
        path: Vec<Name>,
    },
    /// Limit B6.
    TooDeep {
        /// Where it ended.
        zone: Name,
    },
    /// Limit B7, or an alias that leads back to itself.
    AliasLoop {
        /// The name at which the loop was seen.
        name: Name,
    },
    /// Limit B1 or B8.
    Exhausted,
}

/// What a look-up of a name server's addresses gave.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Lookup {
    /// These addresses, perhaps none.
    Addresses(BTreeSet<IpAddr>),
    /// The name is an alias (RFC 2181, section 10.3 forbids that).
    Alias {
        /// Where it leads.
        target: Name,
        /// The addresses found there.
        addresses: BTreeSet<IpAddr>,
    },
    /// A zone on the way says that the name does not exist, or has no address.
    Absent {
        /// NXDOMAIN, or NOERROR for a name without addresses.
        rcode: Rcode,
        /// The zone that said so.
        zone: Name,
    },
    /// The walk failed.
    Lost(Lost),
    /// Limit B5 left it out.
    NotTried,
}

impl Lookup {
    /// Returns the addresses found.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        match self {
            Self::Addresses(addresses) | Self::Alias { addresses, .. } => addresses.clone(),
            _ => BTreeSet::new(),
        }
    }
}

/// How many items a limit left out.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct LeftOut {
    /// B4: NS names.
    pub names: usize,
    /// B4: addresses.
    pub addresses: usize,
    /// B5: look-ups.
    pub lookups: usize,
    /// B1 and B2: exchanges.
    pub exchanges: usize,
}

/// What one vantage point saw of one check in one round.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Report {
    /// What was to be found out.
    pub check: Check,
    /// The round.
    pub round: RoundId,
    /// Who looked.
    pub vantage: VantagePoint,
    /// When it began, by this machine's clock.
    pub started: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// The zones from the root to the parent, in order.
    pub path: Vec<Cut>,
    /// What is at the name.
    pub found: Found,
    /// The look-ups of name servers' names, for the zone and for its parent.
    pub lookups: BTreeMap<Name, Lookup>,
    /// Everything that was asked, and what came of it.
    pub observations: BTreeMap<ObservationId, Observation>,
    /// What limits left out.
    pub left_out: LeftOut,
    /// Packets sent.
    pub packets: u32,
}

impl Report {
    /// Returns the parent zone with its servers, if the walk got there.
    #[must_use]
    pub fn parent(&self) -> Option<&Cut> {
        self.path.last()
    }

    /// Joins two accounts of the same round from the same vantage point: the union of the
    /// observations, of each the one that says more; the rest from the account that ended later.
    ///
    /// Commutative, associative and idempotent.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let (mut kept, added) = if self.conclusion() >= other.conclusion() {
            (self, other)
        } else {
            (other, self)
        };
        for (id, observation) in added.observations {
            let joined = match kept.observations.remove(&id) {
                Some(known) => known.join(observation),
                None => observation,
            };
            kept.observations.insert(id, joined);
        }
        kept
    }

    /// Everything but the observations, latest end first: what decides whose conclusions stay.
    fn conclusion(&self) -> impl Ord + '_ {
        (
            (
                self.elapsed,
                self.packets,
                self.started,
                &self.found,
                &self.path,
            ),
            (
                &self.lookups,
                &self.left_out,
                &self.check,
                &self.vantage,
                self.round,
            ),
        )
    }
}
