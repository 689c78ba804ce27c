//! From an invitation to a session, and what operators see, over real TLS on the loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod toy;

use std::time::Duration;

use bailiwick_rpc::{
    Coordinator, Credentials, Invitation, Key, Kind, Link, Trust,
    access::{Role, Standing},
    agent::to_agent,
    operator::GetStatusRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use toy::{Toy, hello};

#[tokio::test]
async fn a_newcomer_becomes_an_agent() {
    let toy = Toy::start().await;
    let typed = toy.invite("fra-1").to_join();

    // The agent knows the string alone.
    let invitation: Invitation = typed.parse().unwrap();
    let key = Key::generate().unwrap();
    let mut coordinator = Coordinator::of_invitation(&invitation);
    let link = coordinator.connect(None).await.unwrap();
    let identity = link.enroll(&invitation, &key).await.unwrap();
    assert_eq!(identity.name, "fra-1");
    assert!(
        Duration::from_nanos(identity.valid_for_ns.try_into().unwrap())
            > Duration::from_secs(86_000)
    );
    let own = Credentials::of_identity(&identity, &key).unwrap();

    // From now on it trusts the root that it was given.
    coordinator.trust = Trust::Roots(own.chain().last().cloned().into_iter().collect());
    let link = coordinator.connect(Some(&own)).await.unwrap();
    let (say, said) = mpsc::channel(4);
    say.send(hello()).await.unwrap();
    let answer = link.agent().session(ReceiverStream::new(said)).await;
    let mut answers = answer.unwrap().into_inner();
    for _ in 0..3 {
        let Some(to_agent::Kind::Welcome(welcome)) = answers.message().await.unwrap().unwrap().kind
        else {
            panic!("not a welcome");
        };
        assert_eq!(welcome.features, ["fra-1"], "by the certificate alone");
        say.send(hello()).await.unwrap();
    }

    // A day later it has no certificate that is valid, but still its key.
    let link = coordinator.connect(None).await.unwrap();
    let again = link.renew(&key).await.unwrap();
    assert_eq!(again.name, "fra-1");
    assert_ne!(again.certificates[0], identity.certificates[0]);

    drop((say, answers, link));
    toy.stop().await;
}

#[tokio::test]
async fn an_operator_asks_from_elsewhere_and_from_here() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bailiwick.sock");
    let authority = bailiwick_rpc::Authority::create(
        "dns.example.org".parse().unwrap(),
        std::time::SystemTime::now(),
    );
    let toy = Toy::start_with(authority.unwrap(), Some(&socket)).await;
    let viewer = toy.member(Kind::Operator, "eve", Standing::Operator(Role::Viewer));
    let link = toy.for_operators().connect(Some(&viewer)).await.unwrap();
    link.operator()
        .get_status(GetStatusRequest {})
        .await
        .unwrap();
    drop(link);
    let link = Link::local(&socket).await.unwrap();
    link.operator()
        .get_status(GetStatusRequest {})
        .await
        .unwrap();
    drop(link);
    toy.stop().await;
    assert!(!socket.exists(), "taken away at the end");
}
