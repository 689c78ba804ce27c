//! Machines that ask over real sockets of the loopback until they are finished.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests, and helpers that not all of them use"
)]

mod common;
mod server;

use std::time::{Duration, Instant};

use bailiwick_core::{
    limit::Limits,
    name::Name,
    observation::{Observation, Outcome, Withheld},
    query::{Query, QueryId, Via},
    record::RecordType,
};
use bailiwick_probe::{Machine, Progress};
use bailiwick_transport::drive;
use common::{LIMITS, network, query, with_limits};
use server::{Behaviour, Running, Step, answer};

/// Asks what it was given, and is finished when everything has an outcome in time.
#[derive(Default)]
struct Asker {
    queries: Vec<Query>,
    asked: usize,
    heard: Vec<Observation>,
    wake: Option<Duration>,
    polls: usize,
    stubborn: bool,
    /// Waits also for that many late answers.
    late: usize,
}

impl Machine for Asker {
    fn poll_query(&mut self, _: Duration) -> Option<Query> {
        self.polls += 1;
        let mut query = self.queries.pop()?;
        query.id = QueryId(u32::try_from(self.asked).unwrap());
        self.asked += query.questions.len();
        Some(query)
    }

    fn next_wake(&self) -> Option<Duration> {
        self.wake
    }

    fn handle(&mut self, now: Duration, observation: Observation) {
        assert!(
            observation.sent + observation.elapsed <= now,
            "learned before it happened"
        );
        self.heard.push(observation);
    }

    fn is_finished(&self, _: Duration) -> bool {
        !self.stubborn && self.heard.len() == self.asked + self.late
    }

    fn progress(&self) -> Progress {
        Progress {
            zone: Name::root(),
            line: String::new(),
            asked: self.asked,
            answered: self.heard.len(),
        }
    }
}

fn queries(server: &Running, count: usize) -> Vec<Query> {
    (0..count)
        .map(|n| {
            let mut query = query(server.ip(), Via::Udp, &[RecordType::SOA]);
            query.questions[0].name = format!("n{n}.example.").parse().unwrap();
            query
        })
        .collect()
}

#[tokio::test]
async fn everything_is_asked_and_everything_is_learned() {
    let server = server::start(Behaviour::default()).await;
    let mut machine = Asker {
        queries: queries(&server, 12),
        ..Asker::default()
    };
    let mut told = Vec::new();
    let driven = drive(&mut machine, &network(server.port()), |p| {
        told.push(p.clone())
    })
    .await;
    assert_eq!((machine.heard.len(), driven.packets), (12, 12));
    assert!(
        machine
            .heard
            .iter()
            .all(|o| matches!(o.outcome, Outcome::Reply(_)))
    );
    assert!(
        driven.elapsed < Duration::from_secs(1),
        "{:?}",
        driven.elapsed
    );
    assert!(driven.started.seconds() > 1_700_000_000);
    let last = told.last().unwrap();
    assert_eq!(
        (last.asked, last.answered),
        (12, 12),
        "the end is always told"
    );
    assert!(told.len() <= 3, "{} times in less than 100 ms", told.len());
}

#[tokio::test]
async fn a_machine_that_waits_for_late_answers_gets_them() {
    let server = server::start(Behaviour::over_udp(|query| {
        vec![Step::Wait(400), Step::Send(answer(query))]
    }))
    .await;
    let mut machine = Asker {
        queries: queries(&server, 1),
        late: 1,
        wake: Some(Duration::from_secs(5)),
        ..Asker::default()
    };
    drive(&mut machine, &network(server.port()), |_| {}).await;
    let outcomes: Vec<_> = machine.heard.iter().map(|o| o.outcome.rank()).collect();
    assert_eq!(outcomes, [4, 1], "silence, then late");
}

#[tokio::test]
async fn a_machine_that_never_ends_is_ended() {
    let server = server::start(Behaviour::over_udp(|_| vec![])).await;
    let limits = Limits {
        wall_time: Duration::from_millis(400),
        ..LIMITS
    };
    let cases = [
        (Some(Duration::ZERO), "always wants to be woken"),
        (
            Some(Duration::from_secs(3600)),
            "wants to be woken in an hour",
        ),
        (None, "waits for nothing"),
    ];
    for (wake, why) in cases {
        let mut machine = Asker {
            queries: queries(&server, 2),
            stubborn: true,
            wake,
            ..Asker::default()
        };
        let began = Instant::now();
        drive(&mut machine, &with_limits(server.port(), limits), |_| {}).await;
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{why}: {:?}",
            began.elapsed()
        );
        assert!(machine.polls < 1000, "{why}: {} polls", machine.polls);
        assert_eq!(machine.heard.len(), 2, "{why}");
    }
}

#[tokio::test]
async fn what_the_limits_refuse_is_an_observation() {
    let server = server::start(Behaviour::default()).await;
    let mut machine = Asker {
        queries: queries(&server, 20),
        ..Asker::default()
    };
    let driven = drive(&mut machine, &network(server.port()), |_| {}).await;
    let refused = Outcome::Withheld(Withheld::PacketsToAddress);
    let refused = machine
        .heard
        .iter()
        .filter(|o| o.outcome == refused)
        .count();
    assert_eq!((machine.heard.len(), driven.packets, refused), (20, 12, 8));
    assert_eq!(
        server.received(),
        12,
        "what was counted is what was received"
    );
}

#[tokio::test]
async fn equal_questions_wait_for_each_other() {
    let server = server::start(Behaviour::over_udp(|query| {
        vec![Step::Wait(50), Step::Send(answer(query))]
    }))
    .await;
    let one = query(server.ip(), Via::Udp, &[RecordType::SOA]);
    let mut machine = Asker {
        queries: vec![one; 5],
        ..Asker::default()
    };
    let driven = drive(&mut machine, &network(server.port()), |_| {}).await;
    assert_eq!(driven.packets, 3, "limit B3");
    let mut sent: Vec<_> = machine
        .heard
        .iter()
        .filter(|o| o.reply().is_some())
        .collect();
    sent.sort_by_key(|o| o.sent);
    for pair in sent.windows(2) {
        assert!(
            pair[1].sent >= pair[0].sent + pair[0].elapsed,
            "one is outstanding at a time"
        );
    }
}
