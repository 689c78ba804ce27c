//! A machine that has few file descriptors left.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests, and helpers that not all of them use"
)]

mod common;
mod server;

use bailiwick_core::{observation::Outcome, query::Via, record::RecordType};
use common::{network, query};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use server::{Behaviour, Step, answer};

// One test only: the limit is that of the whole process.
#[tokio::test]
async fn queries_wait_for_descriptors() {
    let slow = Behaviour::over_udp(|query| vec![Step::Wait(30), Step::Send(answer(query))]);
    let server = server::start(slow).await;
    let dead = server::start_on([0; 4].into(), Behaviour::over_udp(|_| vec![])).await;
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let few = u64::try_from(used).unwrap() + 6;
    setrlimit(Resource::RLIMIT_NOFILE, few, hard).unwrap();

    let network = network(server.port());
    let silent = common::network(dead.port());
    let (to, mut from) = tokio::sync::mpsc::channel(100);
    let mut exchanges = tokio::task::JoinSet::new();
    for n in 0..12_u8 {
        let mut query = query(server.ip(), Via::Udp, &[RecordType::SOA]);
        query.questions[0].name = format!("n{n}.example.").parse().unwrap();
        exchanges.spawn(network.exchange(query, to.clone()));
    }
    for _ in 0..12 {
        let observation = from.recv().await.unwrap();
        assert!(
            matches!(observation.outcome, Outcome::Reply(_)),
            "{:?}",
            observation.outcome
        );
    }
    assert_eq!((network.packets(), server.received()), (12, 12));

    // Sockets that only listen for late answers give way.
    for n in 0..12_u8 {
        let query = query([127, 0, 1, n].into(), Via::Udp, &[RecordType::SOA]);
        exchanges.spawn(silent.exchange(query, to.clone()));
    }
    for _ in 0..12 {
        let observation = from.recv().await.unwrap();
        assert_eq!(observation.outcome, Outcome::Silence);
    }
}
