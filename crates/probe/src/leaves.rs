//! The servers on a walk that the walk did not need to ask.
//!
//! A walk goes on as soon as one server of a level refers onwards, and stops at
//! the first answer. Whoever draws every path wants to know what the others say,
//! since a resolver may pick any of them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    check::Check,
    limit::Limits,
    message::Question,
    name::Name,
    observation::{Observation, ObservationId, Outcome},
    query::{Options, Purpose, Query, QueryId, Via},
    record::{RecordData, RecordType},
    report::Cut,
    server::{Family, Role},
    trace::Trace,
};

use crate::{Ended, Machine, Progress, deadline, ledger::Ledger, patience};

/// A walk that is being completed.
#[derive(Debug)]
pub struct Leaves {
    trace: Trace,
    outbox: VecDeque<Query>,
    retried: BTreeSet<(Name, IpAddr)>,
    ledger: Ledger,
    deadline: Duration,
}

impl Leaves {
    /// Begins with a walk that has ended. Families and time-out are those of the check.
    #[must_use]
    pub fn new(trace: Trace, check: &Check, limits: Limits) -> Self {
        let outbox = trace
            .path
            .iter()
            .enumerate()
            .flat_map(|(at, cut)| {
                let question = question(&trace, trace.path.get(at + 1));
                unasked(&trace, cut, check)
                    .take(limits.addresses)
                    .map(move |server| Query {
                        id: QueryId::default(),
                        role: if cut.zone.is_root() {
                            Role::Root
                        } else {
                            Role::Parent
                        },
                        server: server.clone(),
                        zone: cut.zone.clone(),
                        purpose: Purpose::Walk,
                        via: Via::Udp,
                        questions: vec![question.clone()],
                        options: Options::ITERATIVE,
                        patience: patience::FIRST,
                    })
            })
            .collect();
        Self {
            trace,
            outbox,
            retried: BTreeSet::new(),
            ledger: Ledger::new(limits),
            deadline: deadline(check.timeout, &limits),
        }
    }

    /// Returns the walk with everything that was heard since.
    #[must_use]
    pub fn finish(self, ended: &Ended) -> Trace {
        let mut trace = self.trace;
        let next = trace
            .observations
            .last_key_value()
            .map_or(0, |(id, _)| id.query.0 + 1);
        let heard: BTreeMap<ObservationId, Observation> = self.ledger.close(ended.elapsed);
        for (_, mut observation) in heard {
            observation.id.query.0 += next;
            trace.observations.insert(observation.id, observation);
        }
        trace.elapsed = ended.elapsed;
        trace.packets = ended.packets;
        trace
    }
}

/// Returns what to ask the servers of a zone on the path: what leads to the next one, or the
/// question at the end of all aliases.
fn question(trace: &Trace, next: Option<&Cut>) -> Question {
    if let Some(next) = next {
        return Question::new(next.zone.clone(), RecordType::NS);
    }
    let last = trace
        .answer
        .records
        .iter()
        .rev()
        .find_map(|record| match &record.data {
            RecordData::Cname(target) => Some(target.clone()),
            _ => None,
        });
    Question {
        name: last.unwrap_or_else(|| trace.question.name.clone()),
        ..trace.question.clone()
    }
}

/// Returns the servers of a zone that were not asked, or not waited for.
fn unasked<'a>(
    trace: &'a Trace,
    cut: &'a Cut,
    check: &'a Check,
) -> impl Iterator<Item = &'a bailiwick_core::server::Server> {
    let mut seen: BTreeSet<IpAddr> = trace
        .observations
        .values()
        .filter(|step| step.zone == cut.zone && step.purpose == Purpose::Walk)
        .filter(|step| step.outcome != Outcome::Silence || step.elapsed >= patience::FIRST)
        .map(|step| step.server.address)
        .collect();
    cut.servers.iter().filter(move |server| {
        check.families.contains(&Family::of(server.address)) && seen.insert(server.address)
    })
}

impl Machine for Leaves {
    fn poll_query(&mut self, now: Duration) -> Option<Query> {
        while let Some(query) = self.outbox.pop_front() {
            if let Ok(query) = self.ledger.book(now, query) {
                return Some(query);
            }
        }
        None
    }

    fn next_wake(&self) -> Option<Duration> {
        Some(self.deadline)
    }

    fn handle(&mut self, _now: Duration, observation: Observation) {
        let silent = observation.outcome == Outcome::Silence && self.ledger.is_news(&observation);
        let whom = (observation.zone.clone(), observation.server.address);
        if silent && self.retried.insert(whom) {
            self.outbox.push_back(Query {
                id: QueryId::default(),
                server: observation.server.clone(),
                role: observation.role,
                zone: observation.zone.clone(),
                purpose: observation.purpose,
                via: observation.via,
                questions: vec![observation.question.clone()],
                options: observation.options,
                patience: patience::SECOND,
            });
        }
        self.ledger.keep(observation);
    }

    fn is_finished(&self, now: Duration) -> bool {
        now >= self.deadline || self.outbox.is_empty() && self.ledger.settled(|_| true)
    }

    fn progress(&self) -> Progress {
        let (asked, answered) = self.ledger.counts();
        Progress {
            zone: self.trace.question.name.clone(),
            line: "asking the servers beside the way".to_owned(),
            asked,
            answered,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use bailiwick_core::{
        check::{CheckId, Expectation},
        message::Rcode,
        observation::Outcome,
        query::Stub,
        report::RoundId,
        server::Server,
        time::Timestamp,
        trace::Answer,
        vantage::VantagePoint,
    };

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn server(host: &str, address: &str) -> Server {
        Server {
            name: name(host),
            address: address.parse().unwrap(),
        }
    }

    fn cut(zone: &str, servers: &[Server]) -> Cut {
        Cut {
            zone: name(zone),
            names: servers.iter().map(|s| s.name.clone()).collect(),
            servers: servers.iter().cloned().collect(),
        }
    }

    fn check() -> Check {
        Check {
            id: CheckId(1),
            zone: name("example.com"),
            expectation: Expectation::default(),
            roots: Vec::new(),
            resolvers: Vec::new(),
            stub: Stub::Plain,
            families: Family::ALL.into(),
            minimise: true,
            timeout: Duration::from_secs(5),
            nonce: 1,
            blackholes: Vec::new(),
            lab: false,
        }
    }

    /// A walk over the root and example. that asked one of two servers of each.
    fn walk() -> Trace {
        let roots = [server("a.root", "192.0.2.1"), server("b.root", "192.0.2.2")];
        let own = [
            server("ns1.example", "192.0.2.3"),
            server("ns2.example", "2001:db8::4"),
        ];
        let asked = |id, zone: &str, server: &Server| {
            let query = Query {
                id: QueryId(id),
                server: server.clone(),
                role: Role::Parent,
                zone: name(zone),
                purpose: Purpose::Walk,
                via: Via::Udp,
                questions: vec![Question::new(name("www.example"), RecordType::A)],
                options: Options::ITERATIVE,
                patience: patience::FIRST,
            };
            let reply = Outcome::Reply(Arc::default());
            Observation::of(&query, 0, Duration::ZERO, reply)
        };
        let steps = [asked(0, ".", &roots[0]), asked(1, "example", &own[0])];
        Trace {
            question: Question::new(name("www.example"), RecordType::A),
            answer: Answer {
                rcode: Rcode::NOERROR,
                records: Vec::new(),
                reason: None,
            },
            path: vec![cut(".", &roots), cut("example", &own)],
            lookups: BTreeMap::new(),
            observations: steps.into_iter().map(|step| (step.id, step)).collect(),
            started: Timestamp(0),
            elapsed: Duration::from_millis(20),
            packets: 2,
        }
    }

    fn ended() -> Ended {
        Ended {
            vantage: VantagePoint::local(Family::ALL.into()),
            round: RoundId(0),
            started: Timestamp(0),
            elapsed: Duration::from_millis(900),
            packets: 5,
        }
    }

    fn asked(machine: &mut Leaves) -> Vec<Query> {
        std::iter::from_fn(|| machine.poll_query(Duration::ZERO)).collect()
    }

    #[test]
    fn only_the_servers_that_were_not_asked_are_asked() {
        let mut leaves = Leaves::new(walk(), &check(), Limits::FULL_ROUND);
        let queries: Vec<(String, String)> = asked(&mut leaves)
            .iter()
            .map(|query| {
                let whom = query.server.address.to_string();
                (whom, query.questions[0].to_string())
            })
            .collect();
        let expected = [
            ("192.0.2.2", "example. NS"),
            ("2001:db8::4", "www.example. A"),
        ];
        assert_eq!(queries, expected.map(|(a, q)| (a.to_owned(), q.to_owned())));
    }

    #[test]
    fn a_server_that_was_not_waited_for_is_asked_again() {
        let mut walk = walk();
        for step in walk.observations.values_mut() {
            step.outcome = Outcome::Silence;
            step.elapsed = if step.zone.is_root() {
                patience::FIRST
            } else {
                Duration::from_millis(20)
            };
        }
        let mut leaves = Leaves::new(walk, &check(), Limits::FULL_ROUND);
        let whom: Vec<String> = asked(&mut leaves)
            .iter()
            .map(|query| query.server.address.to_string())
            .collect();
        assert_eq!(whom, ["192.0.2.2", "192.0.2.3", "2001:db8::4"]);
    }

    #[test]
    fn a_family_that_is_not_wanted_is_not_asked() {
        let mut check = check();
        check.families = [Family::V4].into();
        let mut leaves = Leaves::new(walk(), &check, Limits::FULL_ROUND);
        assert_eq!(asked(&mut leaves).len(), 1);
    }

    #[test]
    fn silence_is_asked_again_once_and_the_walk_is_complete_then() {
        let mut leaves = Leaves::new(walk(), &check(), Limits::FULL_ROUND);
        let queries = asked(&mut leaves);
        for query in &queries {
            let silent = Observation::of(query, 0, Duration::ZERO, Outcome::Silence);
            leaves.handle(Duration::ZERO, silent);
        }
        let again = asked(&mut leaves);
        assert_eq!(again.len(), 2);
        assert!(!leaves.is_finished(Duration::ZERO), "two are on their way");
        for query in &again {
            let silent = Observation::of(query, 0, Duration::ZERO, Outcome::Silence);
            leaves.handle(Duration::ZERO, silent);
        }
        assert!(asked(&mut leaves).is_empty(), "not a third time");
        assert!(leaves.is_finished(Duration::ZERO));
        let trace = leaves.finish(&ended());
        let ids: Vec<u32> = trace.observations.keys().map(|id| id.query.0).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5], "numbers go on after the walk");
        assert_eq!(trace.packets, 5);
    }
}
