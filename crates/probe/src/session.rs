//! A whole check as one machine.
use std::time::Duration;
use bailiwick_core::{check::Check, limit::Limits, observation::Observation, query::Query, report::Report};
use crate::{Ended, Machine, Progress};
/// A check in progress.
#[derive(Debug)]
pub struct Session { check: Check }
impl Session {
    /// Begins a check.
    #[must_use]
    pub fn new(check: Check, _limits: Limits) -> Self { Self { check } }
    /// Ends it.
    #[must_use]
    pub fn finish(self, _ended: Ended) -> Report { unreachable!("skeleton") }
}
impl Machine for Session {
    fn poll_query(&mut self, _now: Duration) -> Option<Query> { None }
    fn next_wake(&self) -> Option<Duration> { None }
    fn handle(&mut self, _now: Duration, _observation: Observation) {}
    fn is_finished(&self, _now: Duration) -> bool { true }
    fn progress(&self) -> Progress { Progress { zone: self.check.zone.clone(), line: String::new(), asked: 0, answered: 0 } }
}
