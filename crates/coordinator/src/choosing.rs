//! Who is asked in a check, and how often an operator may ask.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bailiwick_core::{place::Place, vantage::VantageId};
use bailiwick_store::AgentState;
use tonic::Status;

use crate::Shared;

/// Checks an hour of one operator (limit B14).
const CHECKS: usize = 5_000;

/// Who is asked, and why others are not.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) agents: BTreeMap<VantageId, Place>,
    pub(crate) left_out: Vec<String>,
}

impl Shared {
    /// Chooses vantage points: connected, of age, with these labels, and as many distinct networks
    /// as there are before a second one of the same.
    pub(crate) fn choose(&self, labels: &[String], wanted: usize) -> Result<Chosen, Status> {
        let mut left_out = Vec::new();
        let mut fit = Vec::new();
        for agent in self.roster.agents() {
            let name = &agent.name.0;
            if !labels.iter().all(|label| agent.labels.contains(label)) {
                continue;
            }
            match agent.state {
                AgentState::Banned { .. } => left_out.push(format!("{name} is banned")),
                AgentState::Pending => left_out.push(format!("{name} waits to be approved")),
                AgentState::Active if self.sessions.is_connected(&agent.name) => {
                    fit.push((agent.name.clone(), self.place(&agent)));
                }
                AgentState::Active if self.refusals.is_refused(&agent.name) => {
                    left_out.push(format!(
                        "{name} is sent away for some seconds, because the disk is nearly full"
                    ));
                }
                AgentState::Active => {
                    left_out.push(format!("{name} is not connected"));
                }
            }
        }
        let mut agents: BTreeMap<VantageId, Place> = BTreeMap::new();
        while agents.len() < wanted && !fit.is_empty() {
            let distinct = |place: &Place| agents.values().all(|p| place.is_distinct_from(p));
            let next = fit
                .iter()
                .position(|(_, place)| distinct(place))
                .unwrap_or(0);
            let (name, place) = fit.remove(next);
            agents.insert(name, place);
        }
        if !fit.is_empty() {
            left_out.push(format!("{} more are not needed", fit.len()));
        }
        if agents.is_empty() {
            let why = match left_out.is_empty() {
                true if labels.is_empty() => {
                    "no agent has joined; invite one with `bailiwick agents invite`".to_owned()
                }
                true => "no agent has these labels".to_owned(),
                false => format!("no agent can be asked: {}", left_out.join(", ")),
            };
            return Err(Status::failed_precondition(why));
        }
        Ok(Chosen { agents, left_out })
    }
}

/// How many checks each operator started in the last hour.
#[derive(Debug, Default)]
pub(crate) struct Quota(Mutex<HashMap<String, VecDeque<Instant>>>);

impl Quota {
    pub(crate) fn take(&self, who: &str) -> Result<(), Status> {
        let mut started = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_who = started.entry(who.to_owned()).or_default();
        while of_who
            .front()
            .is_some_and(|at| at.elapsed() > Duration::from_hours(1))
        {
            of_who.pop_front();
        }
        if of_who.len() >= CHECKS {
            let why = format!("{CHECKS} checks an hour are allowed; the hour is not over");
            return Err(Status::resource_exhausted(why));
        }
        of_who.push_back(Instant::now());
        Ok(())
    }
}
