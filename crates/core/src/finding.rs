//! One thing that is wrong, or worth knowing: what, where, who can change it, and how.

use std::{fmt, net::IpAddr};

use crate::{name::Name, observation::ObservationId, vantage::VantageId};

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Severity {
    /// Context.
    Info,
    /// A risk or an inconsistency.
    Warning,
    /// An outage for some of the users, or certain at the next expiry of a cache.
    Error,
    /// No conforming resolver reaches the domain with an empty cache, or its
    /// answers are out of the owner's control.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        })
    }
}

/// Who can change it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Actor {
    /// Whoever edits the zone.
    Zone,
    /// The registrar's customer, at the registrar.
    Registrar,
    /// The registry.
    Registry,
    /// Whoever runs the server or the network before it.
    Server,
    /// Nobody: time will do it.
    Nobody,
    /// Whoever runs the vantage point; it says nothing about the domain.
    Vantage,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zone => "zone",
            Self::Registrar => "registrar",
            Self::Registry => "registry",
            Self::Server => "server/network",
            Self::Nobody => "nobody",
            Self::Vantage => "vantage",
        })
    }
}

/// The stable name of a finding, such as `glue-missing-in-domain`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Where a piece of evidence is: one observation of one vantage point.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Source {
    /// Who saw it.
    pub vantage: VantageId,
    /// Which observation of the report.
    pub observation: ObservationId,
}

/// One finding.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Finding {
    /// Which one.
    pub code: Code,
    /// How bad it is here, by its measured consequence.
    pub severity: Severity,
    /// Who can change it.
    pub actor: Actor,
    /// What it is about: the zone, or a name server's name.
    pub subject: Name,
    /// The name of the server that showed it, if one did.
    pub server: Option<Name>,
    /// The address that showed it, or is at fault.
    pub address: Option<IpAddr>,
    /// The fact, in one sentence without the final stop.
    pub detail: String,
    /// What to do, filled in with names and addresses; empty where nothing is to be done.
    pub remedy: String,
    /// What it rests on.
    pub evidence: Vec<Source>,
}
