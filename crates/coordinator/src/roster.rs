//! Who is who at this moment, for every call to be compared with.
//!
//! The store knows it; the roster is its picture in memory, because a call must not wait. It is
//! drawn anew after each change by this program, and every [`REFRESH`] for changes by others, so a
//! ban holds within that time wherever it was spoken.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bailiwick_core::vantage::VantageId;
use bailiwick_rpc::{
    Certified, Peer,
    access::{Role, Standing, Standings},
};
use bailiwick_store::{Agent, AgentState, Error, Operator, Store};

/// How old the picture may be.
pub(crate) const REFRESH: Duration = Duration::from_secs(2);

/// What users of this machine may do who come through the unix socket.
#[derive(Clone, Copy, Debug)]
pub struct LocalRights {
    /// This user, and root, decide who takes part.
    pub owner: u32,
    /// Members of this group may start checks.
    pub group: Option<u32>,
}

impl LocalRights {
    /// Whoever runs this program decides, and nobody else comes in.
    #[must_use]
    pub fn of_this_user() -> Self {
        Self {
            owner: nix::unistd::geteuid().as_raw(),
            group: None,
        }
    }
}

/// Who is who.
#[derive(Debug)]
pub(crate) struct Roster {
    store: Arc<dyn Store>,
    local: LocalRights,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    agents: BTreeMap<VantageId, Agent>,
    operators: HashMap<[u8; 32], Operator>,
}

impl Roster {
    /// Draws the first picture.
    pub(crate) async fn of(store: Arc<dyn Store>, local: LocalRights) -> Result<Self, Error> {
        let roster = Self {
            store,
            local,
            known: RwLock::default(),
        };
        roster.refresh().await?;
        Ok(roster)
    }

    /// Draws it anew.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        let agents = self.store.agents().await?;
        let operators = self.store.operators().await?;
        let known = Known {
            agents: agents.into_iter().map(|a| (a.name.clone(), a)).collect(),
            operators: operators.into_iter().map(|o| (o.key.0, o)).collect(),
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Draws one agent anew: thousands may connect at once, and none of them needs all others.
    pub(crate) async fn look_at(&self, name: &VantageId) -> Result<(), Error> {
        let agent = self.store.agent(name).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match agent {
            Some(agent) => known.agents.insert(name.clone(), agent),
            None => known.agents.remove(name),
        };
        Ok(())
    }

    /// Returns an agent as it was known last.
    pub(crate) fn agent(&self, name: &VantageId) -> Option<Agent> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.agents.get(name).cloned()
    }

    /// Returns all agents, in the order of their names.
    pub(crate) fn agents(&self) -> Vec<Agent> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.agents.values().cloned().collect()
    }

    /// Says who called, for the audit.
    pub(crate) fn who(peer: &Peer) -> String {
        match peer {
            Peer::Nobody => "nobody".to_owned(),
            Peer::Agent(certified) => format!("agent {}", certified.name),
            Peer::Operator(certified) => format!("operator {}", certified.name),
            Peer::Local { uid, .. } => format!("user {uid}"),
        }
    }
}

impl Standings for Roster {
    fn standing(&self, peer: &Peer) -> Standing {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match peer {
            Peer::Nobody => Standing::Unknown,
            Peer::Agent(certified) => known.of_agent(certified),
            Peer::Operator(certified) => {
                let operator = known.operators.get(&certified.key.0);
                operator
                    .filter(|operator| operator.name == certified.name.as_str())
                    .map_or(Standing::Unknown, |o| Standing::Operator(role(o.role)))
            }
            Peer::Local { uid, .. } if *uid == 0 || *uid == self.local.owner => {
                Standing::Operator(Role::Admin)
            }
            // Who else can open the socket is in its group.
            Peer::Local { .. } if self.local.group.is_some() => Standing::Operator(Role::Operator),
            Peer::Local { .. } => Standing::Unknown,
        }
    }
}

impl Known {
    /// A certificate counts if its key is the one that is enrolled and its serial number one of
    /// the two that are in use.
    fn of_agent(&self, certified: &Certified) -> Standing {
        let name = VantageId(certified.name.as_str().to_owned());
        let Some(agent) = self.agents.get(&name) else {
            return Standing::Unknown;
        };
        let in_use = [&agent.current, &agent.next]
            .into_iter()
            .flatten()
            .any(|certificate| certificate.serial.0 == certified.serial.0);
        match agent.state {
            _ if agent.key.0 != certified.key.0 => Standing::Unknown,
            AgentState::Banned { .. } => Standing::Banned,
            _ if !in_use => Standing::Unknown,
            AgentState::Active | AgentState::Pending => Standing::Agent,
        }
    }
}

fn role(role: bailiwick_store::Role) -> Role {
    match role {
        bailiwick_store::Role::Viewer => Role::Viewer,
        bailiwick_store::Role::Operator => Role::Operator,
        bailiwick_store::Role::Admin => Role::Admin,
    }
}
