//! Which parts a check needs.

use std::net::IpAddr;

use bailiwick_core::{name::Name, server::Server};

/// The parts of a session. The walk to the parent zone and the sweep over its servers are
/// always among them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Ask the servers of the zone.
    pub children: bool,
    /// Ask the public resolvers.
    pub resolvers: bool,
    /// Test the vantage point.
    pub controls: bool,
    /// Listen for late answers to the deadline, as long as a server of the DNS is silent. Without
    /// it a check ends when every question has an outcome, and silence means that nothing came
    /// until then.
    pub patient: bool,
    /// Ask this parent server only.
    pub only: Option<Only>,
}

/// One parent server, by name or by address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Only {
    /// Every address of this name.
    Name(Name),
    /// This address.
    Address(IpAddr),
}

impl Plan {
    /// Everything.
    #[must_use]
    pub fn check() -> Self {
        Self {
            children: true,
            resolvers: true,
            controls: true,
            patient: false,
            only: None,
        }
    }

    /// Everything, for a round that nobody waits for.
    #[must_use]
    pub fn round() -> Self {
        Self {
            patient: true,
            ..Self::check()
        }
    }

    /// What the parent servers publish, and nothing else.
    #[must_use]
    pub fn glue(only: Option<Only>) -> Self {
        Self {
            children: false,
            resolvers: false,
            controls: false,
            patient: false,
            only,
        }
    }

    /// Returns whether a parent server is among those to be asked.
    pub(crate) fn includes(&self, server: &Server) -> bool {
        match &self.only {
            None => true,
            Some(Only::Name(name)) => server.name == *name,
            Some(Only::Address(address)) => server.address == *address,
        }
    }
}
