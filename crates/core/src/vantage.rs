//! Where one looks from, and whether that place is fit to testify.

use std::{collections::BTreeSet, fmt};

use crate::server::Family;

/// The identity of a vantage point: `local` for this machine, else as enrolled.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct VantageId(pub String);

/// A vantage point.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct VantagePoint {
    /// Identity.
    pub id: VantageId,
    /// Address families that it tried to use.
    pub families: BTreeSet<Family>,
}

impl VantagePoint {
    /// Returns this machine.
    #[must_use]
    pub fn local(families: BTreeSet<Family>) -> Self {
        Self {
            id: VantageId("local".to_owned()),
            families,
        }
    }
}

/// Whether a vantage point is fit to testify, by its controls.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Fitness {
    /// All controls passed; its silence counts.
    Healthy,
    /// It loses packets; its silence does not count.
    Lossy,
    /// Its controls contradict themselves; nothing of it counts.
    Sick,
    /// Something on its path answers for others; what it heard from authorities does not count.
    Intercepted,
    /// It reaches nothing.
    Offline,
}

impl fmt::Display for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Lossy => "lossy",
            Self::Sick => "sick",
            Self::Intercepted => "intercepted",
            Self::Offline => "offline",
        })
    }
}
