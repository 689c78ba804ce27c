//! A stub resolver's look-ups, with resolvers of all kinds.

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
    message::{Edns, ExtendedError, Message, Rcode},
    observation::{Outcome, Rejection, Unreadable, Withheld},
    query::{Options, Query, Stub, Via},
    record::RecordType,
};
use bailiwick_transport::{Network, Settings};
use bailiwick_wire::dns;
use common::{LIMITS, ask, network, query, with_limits};
use server::{Behaviour, Running, Step, answer, framed, truth};

fn look_up(server: &Running, stub: Stub) -> Query {
    Query {
        options: Options::RECURSIVE,
        ..query(server.ip(), Via::Stub(stub), &[RecordType::NS])
    }
}

async fn outcome(behaviour: Behaviour) -> (Outcome, u32) {
    let server = server::start(behaviour).await;
    let network = network(server.port());
    let seen = ask(&network, look_up(&server, Stub::Plain)).await;
    assert_eq!(seen.len(), 1, "one look-up, one outcome");
    assert_eq!(
        network.packets() as usize,
        server.received(),
        "every packet is counted"
    );
    (seen[0].outcome.clone(), network.packets())
}

#[tokio::test]
async fn an_answer_is_taken_with_its_octets() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = server::start(Behaviour::over_udp(move |query| {
        tell.send(query.to_vec()).unwrap();
        vec![Step::Send(answer(query))]
    }))
    .await;
    let network = network(server.port());
    let seen = ask(&network, look_up(&server, Stub::Plain)).await;
    let octets = seen[0].octets.len();
    assert_eq!(
        seen[0].outcome,
        Outcome::Reply(Message { octets, ..truth() }.into())
    );
    assert_eq!((network.packets(), seen[0].case_kept), (1, None));
    assert!(seen[0].elapsed < Duration::from_millis(200));
    let asked = dns::decode(&told.recv().await.unwrap()).unwrap();
    assert!(asked.flags.recursion_desired && asked.edns.unwrap().nsid.is_some());
}

#[tokio::test]
async fn an_error_is_taken_with_its_reason() {
    for rcode in [
        Rcode::SERVFAIL,
        Rcode::REFUSED,
        Rcode::NXDOMAIN,
        Rcode::NOERROR,
    ] {
        let failure = Message {
            rcode,
            edns: Some(Edns {
                udp_size: 1232,
                errors: vec![ExtendedError {
                    code: 22,
                    text: b"no reachable authority".as_slice().into(),
                }],
                ..Edns::default()
            }),
            ..Message::default()
        };
        let sent = failure.clone();
        let (outcome, packets) = outcome(Behaviour::over_udp(move |query| {
            vec![Step::Send(dns::encode_reply(
                &sent,
                &dns::peek(query).unwrap(),
            ))]
        }))
        .await;
        let Outcome::Reply(message) = outcome else {
            panic!("{rcode}: {outcome:?}");
        };
        assert_eq!((message.rcode, &message.edns), (rcode, &failure.edns));
        assert_eq!(packets, 1, "{rcode} is not asked again");
    }
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let truncated = |query: &[u8]| {
        let mut octets = answer(query);
        octets[2] |= 2;
        vec![Step::Send(octets)]
    };
    let (reply, packets) = outcome(Behaviour {
        tcp: std::sync::Arc::new(|queries| vec![Step::Send(framed(&answer(&queries[0])))]),
        ..Behaviour::over_udp(truncated)
    })
    .await;
    let Outcome::Reply(message) = reply else {
        panic!("{reply:?}");
    };
    assert!(!message.flags.truncated && message.answer == truth().answer);
    assert_eq!(packets, 2, "a datagram and a connection");

    let (closed, _) = outcome(Behaviour {
        tcp: std::sync::Arc::new(|_| vec![]),
        ..Behaviour::over_udp(truncated)
    })
    .await;
    assert_eq!(
        closed,
        Outcome::Rejected(Rejection::Closed),
        "half an answer is none"
    );
}

#[tokio::test]
async fn silence_costs_one_packet() {
    let began = Instant::now();
    let (outcome, packets) = outcome(Behaviour::over_udp(|_| vec![])).await;
    assert_eq!((outcome, packets), (Outcome::Silence, 1));
    let patience = LIMITS.tcp_connect + LIMITS.tcp_whole;
    assert!(
        began.elapsed() >= patience,
        "the resolver would have sent again long ago"
    );
}

#[tokio::test]
async fn junk_is_no_answer_and_broken_answers_are_said_to_be_broken() {
    let (outcome_, _) = outcome(Behaviour::over_udp(|query| {
        let mut stranger = answer(query);
        stranger[0] ^= 1;
        vec![Step::Send(stranger), Step::Send(answer(query))]
    }))
    .await;
    assert!(matches!(outcome_, Outcome::Reply(_)), "{outcome_:?}");
    let (outcome_, _) = outcome(Behaviour::over_udp(|query| {
        let mut broken = answer(query);
        broken.truncate(27);
        vec![Step::Send(broken)]
    }))
    .await;
    assert!(
        matches!(outcome_, Outcome::Unreadable(Unreadable::Malformed(_))),
        "{outcome_:?}"
    );
}

#[tokio::test]
async fn a_closed_port_is_a_rejection() {
    for stub in [Stub::Plain, Stub::Tls, Stub::Https] {
        let closed = server::start(Behaviour::default()).await;
        let query = look_up(&closed, stub);
        let network = network(closed.port());
        drop(closed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let seen = ask(&network, query).await;
        assert_eq!(
            seen[0].outcome,
            Outcome::Rejected(Rejection::Port),
            "{stub:?}"
        );
        assert_eq!(network.packets(), 1, "{stub:?}");
    }
}

#[tokio::test]
async fn who_speaks_no_tls_has_no_certificate() {
    for stub in [Stub::Tls, Stub::Https] {
        let server = server::start(Behaviour::over_tcp(0, |_| {
            vec![
                Step::Send(b"220 mail.example ESMTP\r\n".to_vec()),
                Step::Wait(200),
            ]
        }))
        .await;
        let network = network(server.port());
        let seen = ask(&network, look_up(&server, stub)).await;
        assert!(
            matches!(
                seen[0].outcome,
                Outcome::Unreadable(Unreadable::Malformed(_))
            ),
            "{stub:?}: {:?}",
            seen[0].outcome
        );
        assert_eq!(network.packets(), 1);
    }
}

#[tokio::test]
async fn filter_and_limits_hold_for_look_ups_too() {
    let server = server::start(Behaviour::default()).await;
    let outside = Network::new(Settings {
        limits: LIMITS,
        allow_special_use: false,
        port: 53,
        bind: Vec::new(),
        blackholes: Vec::new(),
    })
    .unwrap();
    for stub in [Stub::Plain, Stub::Tls, Stub::Https] {
        let seen = ask(&outside, look_up(&server, stub)).await;
        assert_eq!(seen[0].outcome, Outcome::Withheld(Withheld::SpecialUse));
    }
    assert_eq!(outside.packets(), 0);

    let none_left = with_limits(
        server.port(),
        Limits {
            packets: 0,
            ..LIMITS
        },
    );
    for stub in [Stub::Plain, Stub::Tls, Stub::Https] {
        let seen = ask(&none_left, look_up(&server, stub)).await;
        assert_eq!(
            seen[0].outcome,
            Outcome::Withheld(Withheld::Packets),
            "{stub:?}"
        );
    }
    assert_eq!((none_left.packets(), server.received()), (0, 0));
}
