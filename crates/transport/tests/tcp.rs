//! Several questions on one connection, with servers of all kinds.

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
    observation::{Outcome, Rejection, Withheld},
    query::{Query, Via},
    record::RecordType,
};
use bailiwick_transport::{Network, Settings, Uplink};
use common::{LIMITS, ask, laboratory, network, query};
use server::{Behaviour, Running, Step, answer, framed};

const TYPES: [RecordType; 3] = [RecordType::SOA, RecordType::NS, RecordType::DNSKEY];

fn three(server: &Running) -> Query {
    query(server.ip(), Via::Tcp, &TYPES)
}

fn answers(queries: &[Vec<u8>]) -> Vec<Vec<u8>> {
    queries.iter().map(|query| framed(&answer(query))).collect()
}

#[tokio::test]
async fn all_questions_go_on_one_connection_and_answers_come_in_any_order() {
    let server = server::start(Behaviour::over_tcp(3, |queries| {
        answers(queries).into_iter().rev().map(Step::Send).collect()
    }))
    .await;
    let network = network(server.port());
    let seen = ask(&network, three(&server)).await;
    assert_eq!(seen.len(), 3);
    for (observation, record_type) in seen.iter().zip(TYPES) {
        assert!(
            matches!(observation.outcome, Outcome::Reply(_)),
            "{observation:?}"
        );
        assert_eq!(observation.question.record_type, record_type);
        assert_eq!(observation.case_kept, Some(true));
        assert!(observation.sent > Duration::ZERO && observation.elapsed < LIMITS.tcp_first);
    }
    assert_eq!(
        (network.packets(), server.received()),
        (1, 1),
        "one connection, one packet"
    );
}

#[tokio::test]
async fn ill_behaved_servers_cost_what_the_limits_say_and_no_more() {
    const OK: &str = "reply";
    const CLOSED: &str = "connection closed";
    const SILENCE: &str = "silence";
    type Case = (&'static str, fn(&[Vec<u8>]) -> Vec<Step>, [&'static str; 3]);
    let cases: [Case; 15] = [
        (
            "three answers in one segment",
            |q| vec![Step::Send(answers(q).concat())],
            [OK; 3],
        ),
        (
            "an answer octet by octet, in time",
            |q| {
                answers(q)
                    .concat()
                    .iter()
                    .flat_map(|&o| [Step::Send(vec![o])])
                    .collect()
            },
            [OK; 3],
        ),
        ("closes at once", |_| vec![], [CLOSED; 3]),
        ("resets at once", |_| vec![Step::Reset], [CLOSED; 3]),
        (
            "answers the first question only, then closes",
            |q| vec![Step::Send(answers(q)[0].clone())],
            [OK, CLOSED, CLOSED],
        ),
        (
            "answers one, resets inside the next",
            |q| {
                vec![
                    Step::Send(answers(q)[0].clone()),
                    Step::Send(answers(q)[1][..9].to_vec()),
                    Step::Wait(30),
                    Step::Reset,
                ]
            },
            [OK, CLOSED, CLOSED],
        ),
        ("says nothing", |_| vec![Step::Wait(3000)], [SILENCE; 3]),
        (
            "answers one, then says nothing",
            |q| vec![Step::Send(answers(q)[1].clone()), Step::Wait(3000)],
            [SILENCE, OK, SILENCE],
        ),
        (
            "an octet now and then",
            |q| {
                answers(q)
                    .concat()
                    .iter()
                    .flat_map(|&o| [Step::Send(vec![o]), Step::Wait(25)])
                    .collect()
            },
            ["malformed: only", "malformed: only", "malformed: only"],
        ),
        (
            "a length, and nothing behind it",
            |_| vec![Step::Send(vec![0x20, 0]), Step::Wait(3000)],
            ["malformed: only 0 of 8192 octets arrived"; 3],
        ),
        (
            "a length beyond the limit, and a stream without end",
            |q| {
                [
                    vec![Step::Send([&[0xff, 0xff], &answer(&q[1])[..]].concat())],
                    vec![Step::Send(vec![0; 9000]); 8],
                ]
                .concat()
            },
            [CLOSED, "message of 65535 octets", CLOSED],
        ),
        (
            "empty messages without end",
            |_| vec![Step::Send(vec![0; 2]); 100],
            ["only junk, 9 datagrams"; 3],
        ),
        (
            "strangers' answers, then its own",
            |q| {
                let mut stranger = answers(q)[0].clone();
                stranger[2] ^= 1;
                [
                    vec![Step::Send(stranger); 5],
                    answers(q).into_iter().map(Step::Send).collect(),
                ]
                .concat()
            },
            [OK; 3],
        ),
        (
            "an answer twice",
            |q| {
                [
                    vec![Step::Send(answers(q)[0].clone()); 2],
                    answers(q)[1..].iter().cloned().map(Step::Send).collect(),
                ]
                .concat()
            },
            [OK; 3],
        ),
        (
            "an answer that breaks off inside a record",
            |q| {
                let cut = framed(&answer(&q[0])[..27]);
                [
                    vec![Step::Send(cut)],
                    answers(q)[1..].iter().cloned().map(Step::Send).collect(),
                ]
                .concat()
            },
            ["malformed: ", OK, OK],
        ),
    ];
    for (why, script, expected) in cases {
        let server = server::start(Behaviour::over_tcp(3, script)).await;
        let network = network(server.port());
        let began = Instant::now();
        let seen = ask(&network, three(&server)).await;
        let most = LIMITS.tcp_whole + Duration::from_millis(150);
        assert!(began.elapsed() < most, "{why}: took {:?}", began.elapsed());
        assert_eq!(network.packets(), 1, "{why}");
        assert_eq!(seen.len(), 3, "{why}: every question has an outcome");
        for (observation, expected) in seen.iter().zip(expected) {
            let says = match &observation.outcome {
                Outcome::Reply(_) => OK.to_owned(),
                Outcome::Rejected(rejection) => rejection.to_string(),
                Outcome::Unreadable(unreadable) => unreadable.to_string(),
                Outcome::Silence => SILENCE.to_owned(),
                other => format!("{other:?}"),
            };
            assert!(
                says.starts_with(expected),
                "{why}: {} gave {says}",
                observation.question
            );
        }
    }
}

#[tokio::test]
async fn another_case_is_noted_and_the_answer_taken() {
    let server = server::start(Behaviour::over_tcp(1, |queries| {
        let mut octets = answer(&queries[0]);
        octets[13..20].make_ascii_lowercase();
        octets[13..15].make_ascii_uppercase();
        vec![Step::Send(framed(&octets))]
    }))
    .await;
    let mut kept = 0;
    for _ in 0..4 {
        let network = network(server.port());
        let seen = ask(&network, query(server.ip(), Via::Tcp, &[RecordType::NS])).await;
        assert!(matches!(seen[0].outcome, Outcome::Reply(_)), "{seen:?}");
        kept += usize::from(seen[0].case_kept == Some(true));
    }
    assert!(kept < 4, "four times the same of 128 cases");
}

#[tokio::test]
async fn a_closed_port_is_a_rejection() {
    let closed = server::start(Behaviour::default()).await;
    let query = three(&closed);
    let network = network(closed.port());
    drop(closed);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let seen = ask(&network, query).await;
    let expected = Outcome::Rejected(Rejection::Port);
    assert!(
        seen.iter()
            .all(|observation| observation.outcome == expected),
        "{seen:?}"
    );
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn one_connection_at_a_time_goes_to_an_address() {
    let server = server::start(Behaviour::over_tcp(3, |queries| {
        vec![Step::Wait(50), Step::Send(answers(queries).concat())]
    }))
    .await;
    let network = network(server.port());
    let (first, second, third) = tokio::join!(
        ask(&network, three(&server)),
        ask(&network, three(&server)),
        ask(&network, three(&server)),
    );
    for seen in [first, second, third] {
        assert!(
            seen.iter().all(|o| matches!(o.outcome, Outcome::Reply(_))),
            "{seen:?}"
        );
    }
    assert_eq!((server.received(), server.crowd()), (3, 1));
}

#[tokio::test]
async fn tar_pits_do_not_delay_a_healthy_server() {
    let pit = Behaviour::over_tcp(3, |_| vec![Step::Wait(9000)]);
    let pit = server::start_on([0; 4].into(), pit).await;
    let healthy = Behaviour::over_tcp(3, |queries| vec![Step::Send(answers(queries).concat())]);
    let healthy = server::start(healthy).await;
    let uplink = Uplink::default();
    let stuck = Network::on(&uplink, laboratory(pit.port(), Limits::FULL_ROUND)).unwrap();
    let (to, _from) = tokio::sync::mpsc::channel(100);
    let mut pits = tokio::task::JoinSet::new();
    for host in 2..34 {
        // Each on an address of its own, so that none waits for another.
        let query = query([127, 0, 0, host].into(), Via::Tcp, &TYPES);
        pits.spawn(stuck.exchange(query, to.clone()));
    }
    while pit.received() < 32 {
        tokio::task::yield_now().await;
    }
    let mut took = Vec::new();
    // The machine that runs the tests may be slow once.
    for _ in 0..3 {
        let network = Network::on(&uplink, laboratory(healthy.port(), LIMITS)).unwrap();
        let began = Instant::now();
        let seen = ask(&network, three(&healthy)).await;
        took.push(began.elapsed());
        assert!(seen.iter().all(|o| o.reply().is_some()), "{seen:?}");
    }
    assert!(
        took.iter().min() < Some(&Duration::from_millis(100)),
        "took {took:?}"
    );
    assert_eq!(pits.len(), 32);
    assert!(
        pits.try_join_next().is_none(),
        "all pits still hold what they caught"
    );
}

#[tokio::test]
async fn a_connection_carries_eight_questions_and_no_more() {
    let server = server::start(Behaviour::over_tcp(8, |queries| {
        vec![Step::Send(answers(queries).concat())]
    }))
    .await;
    let network = network(server.port());
    let types: Vec<_> = (1..=9).map(RecordType).collect();
    let seen = ask(&network, query(server.ip(), Via::Tcp, &types)).await;
    let replies = seen.iter().filter(|o| o.reply().is_some()).count();
    assert_eq!((seen.len(), replies), (9, 8));
    assert_eq!(seen[8].outcome, Outcome::Withheld(Withheld::Packets));
}

#[tokio::test]
async fn servers_are_reached_over_ipv6() {
    let loopback = std::net::Ipv6Addr::LOCALHOST.into();
    let server = server::start_on(loopback, Behaviour::default()).await;
    let network = network(server.port());
    for via in [Via::Udp, Via::Tcp] {
        let seen = ask(&network, query(loopback, via, &[RecordType::NS])).await;
        assert!(matches!(seen[0].outcome, Outcome::Reply(_)), "{seen:?}");
    }
}

#[tokio::test]
async fn queries_come_from_the_address_that_was_asked_for() {
    let server = server::start(Behaviour::default()).await;
    let cases = [
        ("127.0.0.9", None, "an address of this machine"),
        ("::1", None, "of the other family: the routes decide"),
        (
            "192.0.2.1",
            Some(Withheld::NoRoute),
            "an address that this machine does not have",
        ),
    ];
    for (bind, withheld, why) in cases {
        let settings = Settings {
            bind: vec![bind.parse().unwrap()],
            ..laboratory(server.port(), LIMITS)
        };
        for via in [Via::Udp, Via::Tcp] {
            let network = Network::new(settings.clone()).unwrap();
            let seen = ask(&network, query(server.ip(), via, &[RecordType::NS])).await;
            let expected = withheld.map(Outcome::Withheld);
            match expected {
                Some(expected) => assert_eq!(seen[0].outcome, expected, "{why}"),
                None => assert!(seen[0].reply().is_some(), "{why}: {seen:?}"),
            }
        }
    }
    assert_eq!(
        server.peers(),
        ["127.0.0.1", "127.0.0.9"]
            .map(|a| a.parse::<std::net::IpAddr>().unwrap())
            .into()
    );
}
