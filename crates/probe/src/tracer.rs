//! One name from the root: what a resolver with an empty cache would answer.

use std::time::Duration;

use bailiwick_core::{
    check::Check,
    limit::Limits,
    message::{Question, Rcode},
    observation::Observation,
    query::Query,
    report::Lost,
    trace::{Answer, Trace},
};

use crate::{
    Ended, Machine, Progress, deadline,
    ledger::Ledger,
    walk::{End, GoalId, Manner, Target, Walker},
};

/// A walk to the answer of one question.
#[derive(Debug)]
pub struct Tracer {
    question: Question,
    deadline: Duration,
    walker: Walker,
    goal: GoalId,
    ledger: Ledger,
}

impl Tracer {
    /// Begins at the roots of the check, with its families and its time-out; its zone does not
    /// matter.
    #[must_use]
    pub fn new(question: Question, check: &Check, limits: Limits) -> Self {
        let manner = Manner {
            limits,
            families: check.families.clone(),
            minimise: check.minimise,
            salt: check.nonce,
        };
        let mut walker = Walker::new(manner, &check.roots);
        let goal = walker.start(Target::Answer(question.clone()));
        let deadline = deadline(check.timeout, &limits);
        Self {
            question,
            deadline,
            walker,
            goal,
            ledger: Ledger::new(limits),
        }
    }

    /// Returns the answer, and everything that led to it.
    #[must_use]
    pub fn finish(self, ended: Ended) -> Trace {
        let goal = self.walker.goal(self.goal);
        let lost = |reason| (Rcode::SERVFAIL, Some(reason));
        let (rcode, reason) = match goal.end() {
            Some(End::Answer | End::NoData | End::Arrived) => (Rcode::NOERROR, None),
            Some(End::NoName) => (Rcode::NXDOMAIN, None),
            Some(End::Lost(reason)) => lost(reason.clone()),
            None => lost(Lost::Exhausted),
        };
        let records = if reason.is_some() {
            Vec::new()
        } else {
            goal.records.clone()
        };
        let lookups = self.walker.lookups();
        Trace {
            question: self.question,
            answer: Answer {
                rcode,
                records,
                reason,
            },
            path: goal.path.clone(),
            lookups: lookups
                .filter_map(|(host, found)| Some((host.clone(), found?.clone())))
                .collect(),
            observations: self.ledger.close(ended.elapsed),
            started: ended.started,
            elapsed: ended.elapsed,
            packets: ended.packets,
        }
    }
}

impl Machine for Tracer {
    fn poll_query(&mut self, now: Duration) -> Option<Query> {
        if self.is_finished(now) {
            None
        } else {
            self.walker.poll(now, &mut self.ledger)
        }
    }

    fn next_wake(&self) -> Option<Duration> {
        Some(
            self.walker
                .next_wake()
                .map_or(self.deadline, |wake| wake.min(self.deadline)),
        )
    }

    fn handle(&mut self, _now: Duration, observation: Observation) {
        if self.ledger.is_news(&observation) {
            self.walker.learn(&observation);
        }
        self.ledger.keep(observation);
    }

    fn is_finished(&self, now: Duration) -> bool {
        now >= self.deadline || self.walker.goal(self.goal).end().is_some()
    }

    fn progress(&self) -> Progress {
        let (asked, answered) = self.ledger.counts();
        let zone = self
            .walker
            .current_zone()
            .unwrap_or(&self.question.name)
            .clone();
        Progress {
            line: format!("asking the servers of {zone}"),
            zone,
            asked,
            answered,
        }
    }
}
