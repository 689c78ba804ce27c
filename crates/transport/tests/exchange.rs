//! Exchanges with servers on the loopback, well and ill behaved.

mod server;

use std::time::Duration;

use bailiwick_core::{
    limit::Limits,
    message::{Message, Question},
    observation::{Observation, Outcome},
    query::{Options, Purpose, Query, QueryId, Via},
    record::RecordType,
    server::{Role, Server},
};
use bailiwick_transport::{Network, Settings};
use server::Behaviour;
use tokio::sync::mpsc;

fn query(address: std::net::IpAddr, via: Via, types: &[RecordType]) -> Query {
    Query {
        id: QueryId(0),
        server: Server {
            name: "ns.example.".parse().unwrap(),
            address,
        },
        role: Role::Child,
        zone: "example.".parse().unwrap(),
        purpose: Purpose::Child,
        via,
        questions: types
            .iter()
            .map(|&t| Question::new("example.".parse().unwrap(), t))
            .collect(),
        options: Options::ITERATIVE,
        patience: Duration::from_millis(300),
    }
}

fn network(port: u16) -> Network {
    Network::new(Settings {
        limits: Limits::FULL_ROUND,
        allow_special_use: true,
        port,
        bind: Vec::new(),
        blackholes: Vec::new(),
    })
    .unwrap()
}

async fn ask(network: &Network, query: Query) -> Vec<Observation> {
    let (to, mut from) = mpsc::channel(16);
    let count = query.questions.len();
    let exchange = tokio::spawn(network.exchange(query, to));
    let mut observations = Vec::new();
    while observations.len() < count
        && let Some(observation) = from.recv().await
    {
        observations.push(observation);
    }
    network.stop();
    exchange.await.unwrap();
    observations
}

#[tokio::test]
async fn a_healthy_server_answers_over_udp_and_tcp() {
    let server = server::start(Behaviour::Healthy).await;
    for (via, types) in [
        (Via::Udp, vec![RecordType::SOA]),
        (
            Via::Tcp,
            vec![RecordType::SOA, RecordType::NS, RecordType::DNSKEY],
        ),
    ] {
        let network = network(server.port());
        let seen = ask(&network, query(server.ip(), via, &types)).await;
        assert_eq!(seen.len(), types.len());
        for observation in seen {
            assert!(
                matches!(observation.outcome, Outcome::Reply(Message { .. })),
                "{observation:?}"
            );
            assert_eq!(observation.case_kept, Some(true));
        }
        assert_eq!(network.packets(), 1);
    }
}
