//! One question in one datagram, with servers and forgers of all kinds.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests, and helpers that not all of them use"
)]

mod common;
mod server;

use std::time::Duration;

use bailiwick_core::{
    message::{Message, Rcode},
    observation::{Outcome, Rejection, Unreadable, Withheld},
    query::{Options, Query, Via},
    record::RecordType,
};
use bailiwick_wire::dns;
use common::{LIMITS, PATIENCE, ask, ask_for, network, query, with_limits};
use server::{Behaviour, Running, Step, answer, truth};

fn soa(server: &Running) -> Query {
    query(server.ip(), Via::Udp, &[RecordType::SOA])
}

/// Changes an answer.
fn but(query: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut octets = answer(query);
    change(&mut octets);
    octets
}

/// Swaps the case of every letter of the question.
fn other_case(octets: &mut [u8]) {
    for octet in &mut octets[dns::HEADER..dns::HEADER + 9] {
        if octet.is_ascii_alphabetic() {
            *octet ^= 0x20;
        }
    }
}

#[tokio::test]
async fn an_answer_is_taken_as_it_is() {
    let server = server::start(Behaviour::default()).await;
    let network = network(server.port());
    let [observation] = &ask(&network, soa(&server)).await[..] else {
        panic!("one question, one outcome");
    };
    let octets = observation.octets.len();
    let expected = Message { octets, ..truth() };
    assert_eq!(observation.outcome, Outcome::Reply(expected.into()));
    assert_eq!((observation.junk, observation.case_kept), (0, Some(true)));
    assert!(observation.elapsed < PATIENCE && observation.elapsed > Duration::ZERO);
    assert_eq!(
        dns::decode(&observation.octets).unwrap().answer,
        truth().answer
    );
    assert_eq!((network.packets(), server.received()), (1, 1));
}

/// Something that is no answer.
type Junk = (&'static str, fn(&[u8]) -> Vec<u8>);

const JUNK: [Junk; 13] = [
    ("wrong ID", |q| but(q, |o| o[0] ^= 1)),
    ("wrong name", |q| but(q, |o| o[13] = b'x')),
    ("wrong type", |q| but(q, |o| o[22] = 1)),
    ("wrong class", |q| but(q, |o| o[24] = 3)),
    ("other case", |q| but(q, |o| other_case(o))),
    ("a query", |q| q.to_vec()),
    ("another opcode", |q| but(q, |o| o[2] |= 0x28)),
    ("no octet", |_| Vec::new()),
    ("less than a header", |q| q[..11].to_vec()),
    ("a question that is cut", |q| but(q, |o| o.truncate(20))),
    ("no question, no error", |q| {
        but(q, |o| {
            o[5] = 0;
            o.drain(12..25);
        })
    }),
    ("two questions", |q| but(q, |o| o[5] = 2)),
    ("a pointer as question", |q| {
        but(q, |o| {
            o.splice(12..21, [0xc0, 0x0c]);
        })
    }),
];

#[tokio::test]
async fn junk_does_not_hide_the_true_answer() {
    for (kind, junk) in JUNK {
        for count in [1, 3, 10, 1000] {
            let server = server::start(Behaviour::over_udp(move |query| {
                let mut steps = vec![Step::Send(junk(query)); count];
                steps.push(Step::Send(answer(query)));
                steps
            }))
            .await;
            let network = network(server.port());
            let query = Query {
                patience: LIMITS.wall_time,
                ..soa(&server)
            };
            let seen = ask(&network, query).await;
            assert!(
                matches!(seen[0].outcome, Outcome::Reply(_)),
                "{count} x {kind}: {:?}",
                seen[0].outcome
            );
            // Nobody counts those in other case: they could be the server's.
            let expected = if kind == "other case" { 0 } else { count };
            assert_eq!(seen[0].junk as usize, expected, "{count} x {kind}");
            assert_eq!(
                network.packets(),
                1,
                "{count} x {kind}: nothing is asked again"
            );
        }
    }
}

#[tokio::test]
async fn a_datagram_from_elsewhere_is_not_even_seen() {
    let server = server::start(Behaviour::over_udp(|query| {
        vec![Step::SendFromElsewhere(answer(query)); 3]
    }))
    .await;
    let network = network(server.port());
    let seen = ask(&network, soa(&server)).await;
    assert_eq!((&seen[0].outcome, seen[0].junk), (&Outcome::Silence, 0));
}

#[tokio::test]
async fn what_is_no_answer_has_an_outcome_that_says_so() {
    type Case = (
        &'static str,
        fn(&[u8]) -> Vec<Step>,
        fn(&Outcome) -> bool,
        Option<bool>,
        u32,
    );
    let cases: [Case; 9] = [
        ("silence", |_| vec![], |o| *o == Outcome::Silence, None, 0),
        (
            "a little junk is noise",
            |q| vec![Step::Send(but(q, |o| o[1] ^= 1)); 8],
            |o| *o == Outcome::Silence,
            None,
            8,
        ),
        (
            "much junk is a reason",
            |q| vec![Step::Send(but(q, |o| o[1] ^= 1)); 9],
            |o| *o == Outcome::Unreadable(Unreadable::Junk(9)),
            None,
            9,
        ),
        (
            "an answer in other case may be forged",
            |q| vec![Step::Send(but(q, |o| other_case(o)))],
            |o| *o == Outcome::Unreadable(Unreadable::Case),
            Some(false),
            0,
        ),
        (
            "a matched answer that cannot be read",
            |q| vec![Step::Send(but(q, |o| o.truncate(27)))],
            |o| matches!(o, Outcome::Unreadable(Unreadable::Malformed(_))),
            Some(true),
            0,
        ),
        (
            "an answer of more than 4096 octets",
            |q| vec![Step::Send(but(q, |o| o.resize(4097, 0)))],
            |o| *o == Outcome::Unreadable(Unreadable::Oversize(4097)),
            Some(true),
            0,
        ),
        (
            "an answer of 4096 octets",
            |q| vec![Step::Send(but(q, |o| o.resize(4096, 0)))],
            |o| matches!(o, Outcome::Reply(message) if message.octets == 4096),
            Some(true),
            0,
        ),
        (
            "an error that repeats no question",
            |q| {
                vec![Step::Send(vec![
                    q[0], q[1], 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0,
                ])]
            },
            |o| matches!(o, Outcome::Reply(message) if message.rcode == Rcode::FORMERR),
            None,
            0,
        ),
        (
            "an error without question that carries data",
            |q| {
                vec![Step::Send(but(q, |o| {
                    o[3] = 1;
                    o[5] = 0;
                    o.drain(12..25);
                }))]
            },
            |o| *o == Outcome::Silence,
            None,
            1,
        ),
    ];
    for (why, script, expected, case_kept, junk) in cases {
        let server = server::start(Behaviour::over_udp(script)).await;
        let network = network(server.port());
        let seen = ask(&network, soa(&server)).await;
        let observation = &seen[0];
        assert!(
            expected(&observation.outcome),
            "{why}: {:?}",
            observation.outcome
        );
        assert_eq!(
            (observation.case_kept, observation.junk),
            (case_kept, junk),
            "{why}"
        );
        let has_octets = !matches!(
            observation.outcome,
            Outcome::Silence | Outcome::Unreadable(Unreadable::Junk(_))
        );
        assert_eq!(
            !observation.octets.is_empty(),
            has_octets,
            "{why}: octets are kept"
        );
    }
}

#[tokio::test]
async fn an_answer_after_patience_comes_late() {
    let server = server::start(Behaviour::over_udp(|query| {
        vec![
            Step::Wait(400),
            Step::Send(but(query, |o| o[0] ^= 1)),
            Step::Send(answer(query)),
        ]
    }))
    .await;
    let network = network(server.port());
    let seen = ask_for(&network, soa(&server), Duration::from_secs(2)).await;
    let [silence, late] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(silence.outcome, Outcome::Silence);
    assert!(silence.elapsed >= PATIENCE && silence.elapsed < late.elapsed);
    assert!(
        matches!(late.outcome, Outcome::Late(_)),
        "{:?}",
        late.outcome
    );
    assert!(
        late.elapsed >= Duration::from_millis(400),
        "since it was sent"
    );
    assert_eq!(
        (late.id, late.sent, late.junk),
        (silence.id, silence.sent, 1)
    );
}

#[tokio::test]
async fn listening_for_late_answers_ends_when_told() {
    let server = server::start(Behaviour::over_udp(|_| vec![])).await;
    let network = network(server.port());
    let (to, mut from) = tokio::sync::mpsc::channel(4);
    let exchange = tokio::spawn(network.exchange(soa(&server), to));
    assert_eq!(from.recv().await.unwrap().outcome, Outcome::Silence);
    assert!(!exchange.is_finished(), "it listens");
    network.stop();
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_closed_port_is_a_rejection() {
    let closed = server::start(Behaviour::default()).await;
    let query = soa(&closed);
    let network = network(closed.port());
    drop(closed);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let seen = ask(&network, query).await;
    assert_eq!(seen[0].outcome, Outcome::Rejected(Rejection::Port));
    assert_eq!(network.packets(), 1, "the packet was sent");
}

#[tokio::test]
async fn an_address_without_a_way_is_withheld_and_costs_nothing() {
    // 255.255.255.255 needs a permission that the socket does not have.
    let network = network(5353);
    let seen = ask(
        &network,
        query([255; 4].into(), Via::Udp, &[RecordType::SOA]),
    )
    .await;
    assert_eq!(seen[0].outcome, Outcome::Withheld(Withheld::NoRoute));
    assert_eq!(network.packets(), 0);
}

#[tokio::test]
async fn every_query_has_an_id_a_port_and_a_case_of_its_own() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = server::start(Behaviour::over_udp(move |query| {
        tell.send(query.to_vec()).unwrap();
        vec![Step::Send(answer(query))]
    }))
    .await;
    let limits = bailiwick_core::limit::Limits {
        same_question: 40,
        packets_per_address: 40,
        ..LIMITS
    };
    let network = with_limits(server.port(), limits);
    let mut queries = std::collections::BTreeSet::new();
    let mut cases = std::collections::BTreeSet::new();
    for _ in 0..12 {
        ask(&network, soa(&server)).await;
        let octets = told.recv().await.unwrap();
        cases.insert(octets[12..21].to_vec());
        queries.insert(octets[..2].to_vec());
    }
    assert!(queries.len() >= 11, "IDs: {queries:?}");
    assert!(cases.len() >= 8, "cases of 7 letters: {cases:?}");
}

#[tokio::test]
async fn options_reach_the_server() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = server::start(Behaviour::over_udp(move |query| {
        tell.send(query.to_vec()).unwrap();
        vec![Step::Send(answer(query))]
    }))
    .await;
    let network = network(server.port());
    let query = Query {
        options: Options::PLAIN,
        ..soa(&server)
    };
    ask(&network, query).await;
    assert_eq!(told.recv().await.unwrap().len(), 12 + 9 + 4, "no EDNS");
}

#[tokio::test]
async fn who_only_listens_for_late_answers_makes_room() {
    let silent = Behaviour::over_udp(|_| vec![]);
    let silent = server::start_on([0; 4].into(), silent).await;
    let network = network(silent.port());
    let (to, mut from) = tokio::sync::mpsc::channel(400);
    let mut exchanges = tokio::task::JoinSet::new();
    // More than there are sockets; each to an address of its own, a few to a /24.
    for n in 0..300_u16 {
        let [high, low] = n.to_be_bytes();
        let query = query([127, high, low, 1].into(), Via::Udp, &[RecordType::SOA]);
        exchanges.spawn(network.exchange(query, to.clone()));
    }
    let mut silences = 0;
    let all = async {
        while silences < 300 {
            let observation = from.recv().await.unwrap();
            assert_eq!(observation.outcome, Outcome::Silence);
            silences += 1;
        }
    };
    tokio::time::timeout(PATIENCE * 4, all).await.unwrap();
    assert_eq!(network.packets(), 300);
    while exchanges.try_join_next().is_some() {}
    assert!(exchanges.len() <= 256, "{} still listen", exchanges.len());
    assert!(
        exchanges.len() >= 200,
        "only {} still listen",
        exchanges.len()
    );
}
