//! Tokens, agents and operators.

use bailiwick_core::{time::Timestamp, vantage::VantageId};

use super::{World, plans::Plan, reports::Spools};
use crate::{
    Agent, AgentState, Audit, BootId, Certificate, Error, KeyHash, NewToken, Operator,
    RETRY_WINDOW, Redeemed, Redemption, Refusal, Role, Scope, Seen, Serial, Session,
    TAKEOVER_WINDOW, Token, TokenId,
};

/// A token, and who used it.
pub(super) struct TokenRow {
    token: NewToken,
    used: Option<(KeyHash, Timestamp)>,
}

/// An agent, and what goes on with it.
pub(super) struct AgentRow {
    agent: Agent,
    session: Option<Session>,
    takeovers: Vec<Timestamp>,
    pub(super) plan: Plan,
    pub(super) spools: Spools,
}

impl AgentRow {
    pub(super) fn is_banned(&self) -> bool {
        matches!(self.agent.state, AgentState::Banned { .. })
    }

    pub(super) fn count_equivocation(&mut self) {
        self.agent.equivocations += 1;
    }

    fn shown(&self) -> Agent {
        Agent {
            reports: self.spools.reports(),
            ..self.agent.clone()
        }
    }
}

impl World {
    pub(super) fn create_token(&mut self, token: &NewToken, audit: &Audit) -> Result<(), Error> {
        if self.tokens.contains_key(&token.id) {
            return Err(Error::Exists { what: "token" });
        }
        let row = TokenRow {
            token: token.clone(),
            used: None,
        };
        self.tokens.insert(token.id, row);
        self.note(audit);
        Ok(())
    }

    pub(super) fn token(&self, id: TokenId) -> Option<Token> {
        let row = self.tokens.get(&id)?;
        Some(Token {
            id,
            scope: row.token.scope.clone(),
            created: row.token.created,
            expires: row.token.expires,
            used: row.used,
        })
    }

    pub(super) fn redeem(&mut self, redemption: &Redemption) -> Result<Redeemed, Error> {
        let row = self.tokens.get(&redemption.token);
        let row = row.ok_or(Refusal::Unknown)?;
        if row.token.mac != redemption.mac {
            return Err(Refusal::WrongSecret.into());
        }
        let scope = row.token.scope.clone();
        if let Some((key, at)) = row.used {
            let again = key == redemption.key
                && redemption.at <= at.after(RETRY_WINDOW)
                && self.holds(&scope, key);
            return if again {
                Ok(Redeemed { scope, again })
            } else {
                Err(Refusal::Used.into())
            };
        }
        if row.token.expires <= redemption.at {
            return Err(Refusal::Expired.into());
        }
        self.enrol(&scope, redemption)?;
        if let Some(row) = self.tokens.get_mut(&redemption.token) {
            row.used = Some((redemption.key, redemption.at));
        }
        Ok(Redeemed {
            scope,
            again: false,
        })
    }

    /// Returns whether the one that a scope names has this key.
    fn holds(&self, scope: &Scope, key: KeyHash) -> bool {
        match scope {
            Scope::Agent { name, .. } => self.agents.get(name).map(|row| row.agent.key),
            Scope::Operator { name, .. } => self.operators.get(name).map(|operator| operator.key),
        }
        .is_some_and(|held| held == key)
    }

    fn enrol(&mut self, scope: &Scope, redemption: &Redemption) -> Result<(), Refusal> {
        let (key, enrolled) = (redemption.key, redemption.at);
        match scope {
            Scope::Agent {
                name,
                labels,
                approve,
                ..
            } => {
                let other = self.agent_by_key(key).is_some_and(|a| &a.name != name);
                if other || self.operator_by_key(key).is_some() {
                    return Err(Refusal::KeyInUse);
                }
                if self.agents.get(name).is_some_and(AgentRow::is_banned) {
                    return Err(Refusal::Banned);
                }
                let agent = Agent {
                    name: name.clone(),
                    key,
                    labels: labels.clone(),
                    state: if *approve {
                        AgentState::Pending
                    } else {
                        AgentState::Active
                    },
                    enrolled,
                    current: None,
                    next: None,
                    seen: None,
                    reports: 0,
                    equivocations: 0,
                };
                self.insert_agent(agent);
            }
            Scope::Operator { name, role } => {
                let other = self.operator_by_key(key).is_some_and(|o| &o.name != name);
                if other || self.agent_by_key(key).is_some() {
                    return Err(Refusal::KeyInUse);
                }
                let operator = Operator {
                    name: name.clone(),
                    key,
                    role: *role,
                    enrolled,
                };
                self.operators.insert(name.clone(), operator);
            }
        }
        Ok(())
    }

    fn insert_agent(&mut self, mut agent: Agent) {
        if let Some(row) = self.agents.get_mut(&agent.name) {
            agent.seen = row.agent.seen.take();
            agent.equivocations = row.agent.equivocations;
            row.agent = agent;
            return;
        }
        let row = AgentRow {
            agent,
            session: None,
            takeovers: Vec::new(),
            plan: Plan::default(),
            spools: Spools::default(),
        };
        self.agents.insert(row.agent.name.clone(), row);
    }

    pub(super) fn row(&mut self, name: &VantageId) -> Result<&mut AgentRow, Error> {
        let row = self.agents.get_mut(name);
        row.ok_or_else(|| Error::NoSuchAgent { name: name.clone() })
    }

    pub(super) fn agent(&self, name: &VantageId) -> Option<Agent> {
        self.agents.get(name).map(AgentRow::shown)
    }

    pub(super) fn agent_by_key(&self, key: KeyHash) -> Option<Agent> {
        let mut rows = self.agents.values();
        rows.find(|row| row.agent.key == key).map(AgentRow::shown)
    }

    pub(super) fn all_agents(&self) -> Vec<Agent> {
        self.agents.values().map(AgentRow::shown).collect()
    }

    pub(super) fn set_agent_state(
        &mut self,
        name: &VantageId,
        state: &AgentState,
        audit: &Audit,
    ) -> Result<(), Error> {
        self.row(name)?.agent.state = state.clone();
        self.note(audit);
        Ok(())
    }

    pub(super) fn certificate_issued(
        &mut self,
        name: &VantageId,
        certificate: Certificate,
    ) -> Result<(), Error> {
        self.row(name)?.agent.next = Some(certificate);
        Ok(())
    }

    pub(super) fn certificate_used(
        &mut self,
        name: &VantageId,
        serial: Serial,
    ) -> Result<bool, Error> {
        let agent = &mut self.row(name)?.agent;
        if agent.next.is_some_and(|next| next.serial == serial) {
            agent.current = agent.next.take();
            return Ok(true);
        }
        Ok(agent.current.is_some_and(|c| c.serial == serial))
    }

    pub(super) fn note_seen(&mut self, name: &VantageId, seen: &Seen) -> Result<(), Error> {
        self.row(name)?.agent.seen = Some(seen.clone());
        Ok(())
    }

    pub(super) fn take_session(
        &mut self,
        name: &VantageId,
        replica: &str,
        boot: BootId,
        at: Timestamp,
    ) -> Result<Session, Error> {
        let row = self.row(name)?;
        let last = row.session.as_ref();
        let epoch = last.map_or(0, |session| session.epoch) + 1;
        if last.is_some_and(|session| session.boot != boot) {
            row.takeovers.push(at);
        }
        row.takeovers.retain(|t| t.after(TAKEOVER_WINDOW) > at);
        let session = Session {
            epoch,
            replica: replica.to_owned(),
            boot,
            opened: at,
            takeovers: row.takeovers.len() as u64,
        };
        row.session = Some(session.clone());
        Ok(session)
    }

    pub(super) fn session(&self, name: &VantageId) -> Option<Session> {
        self.agents.get(name)?.session.clone()
    }

    pub(super) fn operator_by_key(&self, key: KeyHash) -> Option<Operator> {
        let mut operators = self.operators.values();
        operators.find(|operator| operator.key == key).cloned()
    }

    pub(super) fn set_role(&mut self, name: &str, role: Role, audit: &Audit) -> Result<(), Error> {
        let operator = self.operators.get_mut(name);
        operator.ok_or_else(|| no_such_operator(name))?.role = role;
        self.note(audit);
        Ok(())
    }

    pub(super) fn remove_operator(&mut self, name: &str, audit: &Audit) -> Result<(), Error> {
        let operator = self.operators.remove(name);
        operator.ok_or_else(|| no_such_operator(name))?;
        self.note(audit);
        Ok(())
    }
}

fn no_such_operator(name: &str) -> Error {
    Error::NoSuchOperator {
        name: name.to_owned(),
    }
}
