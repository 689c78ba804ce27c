//! Agents whose reports were refused because the disk is nearly full (fault F12).
//!
//! To whoever waits for a verdict such an agent looks as if it were silent, so it is remembered
//! until its reports are taken again.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bailiwick_core::vantage::VantageId;

/// How often it is said in the log.
const SAID_EVERY: Duration = Duration::from_mins(1);

/// Who was refused.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Refused>);

#[derive(Debug, Default)]
struct Refused {
    agents: BTreeSet<VantageId>,
    said: Option<Instant>,
}

impl Refusals {
    /// Notes that nothing of an agent is taken.
    pub(crate) fn refuse(&self, agent: &VantageId) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.agents.insert(agent.clone());
        if refused.said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            refused.said = Some(Instant::now());
            tracing::error!(
                agents = refused.agents.len(),
                "the disk is nearly full: reports are refused, and agents keep them, until there \
                 is room"
            );
        }
    }

    /// Notes that reports of an agent are taken.
    pub(crate) fn take(&self, agent: &VantageId) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.agents.remove(agent) && refused.agents.is_empty() {
            refused.said = None;
            tracing::info!("there is room again: reports are taken");
        }
    }

    /// Returns whether an agent was refused last time.
    pub(crate) fn is_refused(&self, agent: &VantageId) -> bool {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.agents.contains(agent)
    }
}
