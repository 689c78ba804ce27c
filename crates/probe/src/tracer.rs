//! One name from the root.
use std::time::Duration;
use bailiwick_core::{check::Check, limit::Limits, observation::Observation, query::Query, message::Question, trace::Trace};
use crate::{Ended, Machine, Progress};
/// A walk in progress.
#[derive(Debug)]
pub struct Tracer { check: Check }
impl Tracer {
    /// Begins a walk.
    #[must_use]
    pub fn new(_question: Question, check: Check, _limits: Limits) -> Self { Self { check } }
    /// Ends it.
    #[must_use]
    pub fn finish(self, _ended: Ended) -> Trace { unreachable!("skeleton") }
}
impl Machine for Tracer {
    fn poll_query(&mut self, _now: Duration) -> Option<Query> { None }
    fn next_wake(&self) -> Option<Duration> { None }
    fn handle(&mut self, _now: Duration, _observation: Observation) {}
    fn is_finished(&self, _now: Duration) -> bool { true }
    fn progress(&self) -> Progress { Progress { zone: self.check.zone.clone(), line: String::new(), asked: 0, answered: 0 } }
}
