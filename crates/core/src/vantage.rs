//! Who looks, and whether that vantage point may testify and vote.
//!
//! [`Fitness`] is what its own controls say; an [`Objection`] is what its coordinator knows
//! besides. Where it stands is its [`Place`](crate::place::Place).

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

/// What speaks against a vantage point, whatever its controls say.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Objection {
    /// Its clock is off, so nothing of it that counts time is believed (control C1).
    Skewed,
    /// What it sent was refused, because the coordinator's disk is nearly full.
    StoreFull,
    /// It comes and goes (control C11).
    Quarantined,
    /// It looks at a laboratory, while others look at the Internet.
    Laboratory,
    /// It is seen in another network than it was enrolled for (control C10).
    Mislabelled,
    /// Two machines seem to use its key.
    SuspectClone,
    /// It sent two different reports as one.
    Equivocated,
    /// A rule failed twice on what it sent, so that is left out. Not its fault but ours.
    Unjudged,
    /// An operator shut it out.
    Banned,
}

impl Objection {
    /// All of them, the lightest first.
    pub const ALL: [Self; 9] = [
        Self::Skewed,
        Self::StoreFull,
        Self::Quarantined,
        Self::Laboratory,
        Self::Mislabelled,
        Self::SuspectClone,
        Self::Equivocated,
        Self::Unjudged,
        Self::Banned,
    ];

    /// Returns whether nothing of it counts. Otherwise only its silence does not.
    #[must_use]
    pub fn forbids_testimony(self) -> bool {
        self > Self::Quarantined
    }

    /// Returns the objection with this name, as it is displayed.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.to_string() == name)
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skewed => "skewed",
            Self::StoreFull => "store-full",
            Self::Quarantined => "quarantined",
            Self::Laboratory => "laboratory",
            Self::Mislabelled => "mislabelled",
            Self::SuspectClone => "suspect-clone",
            Self::Equivocated => "equivocated",
            Self::Unjudged => "unjudged",
            Self::Banned => "banned",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objections_are_known_by_their_names() {
        for objection in Objection::ALL {
            assert_eq!(Objection::named(&objection.to_string()), Some(objection));
        }
        assert_eq!(Objection::named("suspicious"), None);
        let heard: Vec<_> = Objection::ALL
            .into_iter()
            .filter(|o| !o.forbids_testimony())
            .collect();
        let expected = [
            Objection::Skewed,
            Objection::StoreFull,
            Objection::Quarantined,
        ];
        assert_eq!(heard, expected);
    }
}
