//! Queries and networks for tests.

use std::{net::IpAddr, time::Duration};

use bailiwick_core::{
    limit::Limits,
    message::Question,
    observation::Observation,
    query::{Options, Purpose, Query, QueryId, Via},
    record::RecordType,
    server::{Role, Server},
};
use bailiwick_transport::{Network, Settings, Uplink};
use tokio::sync::mpsc;

/// How long tests call silence.
pub(crate) const PATIENCE: Duration = Duration::from_millis(300);

/// Limits that let no test wait for long.
pub(crate) const LIMITS: Limits = Limits {
    wall_time: Duration::from_secs(10),
    tcp_connect: Duration::from_millis(300),
    tcp_first: Duration::from_millis(300),
    tcp_whole: Duration::from_millis(600),
    ..Limits::FULL_ROUND
};

pub(crate) fn query(address: IpAddr, via: Via, types: &[RecordType]) -> Query {
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
        patience: match via {
            Via::Udp => PATIENCE,
            _ => LIMITS.tcp_connect + LIMITS.tcp_whole,
        },
    }
}

pub(crate) fn network(port: u16) -> Network {
    with_limits(port, LIMITS)
}

pub(crate) fn with_limits(port: u16, limits: Limits) -> Network {
    Network::on(&Uplink::default(), laboratory(port, limits)).unwrap()
}

pub(crate) fn laboratory(port: u16, limits: Limits) -> Settings {
    Settings {
        limits,
        allow_special_use: true,
        port,
        bind: Vec::new(),
        blackholes: Vec::new(),
    }
}

/// Asks, and returns what came of each question in time.
pub(crate) async fn ask(network: &Network, query: Query) -> Vec<Observation> {
    let (to, mut from) = mpsc::channel(16);
    let count = query.questions.len();
    let exchange = tokio::spawn(network.exchange(query, to));
    let mut observations = Vec::new();
    while observations.len() < count
        && let Some(observation) = from.recv().await
    {
        observations.push(observation);
    }
    exchange.abort();
    observations.sort_by_key(|observation| observation.id);
    observations
}

/// Asks one question, and returns everything that came of it until the server said all it had to say.
pub(crate) async fn ask_for(network: &Network, query: Query, time: Duration) -> Vec<Observation> {
    let (to, mut from) = mpsc::channel(16);
    let exchange = tokio::spawn(network.exchange(query, to));
    let mut observations = Vec::new();
    let _ = tokio::time::timeout(time, async {
        while let Some(observation) = from.recv().await {
            observations.push(observation);
        }
    })
    .await;
    exchange.abort();
    observations
}
