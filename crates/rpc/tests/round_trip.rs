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

#[tokio::test]
async fn anybody_learns_that_it_is_alive_and_operators_what_is_served() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let toy = Toy::start().await;
    let link = toy.for_agents().connect(None).await.unwrap();
    let mut health = HealthClient::new(link.channel());
    let asked = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    let alive = health.check(asked("")).await.unwrap().into_inner();
    assert_eq!(alive.status, 1);
    let unknown = health.check(asked("bailiwick.agent.v1.AgentService")).await;
    assert_eq!(
        unknown.unwrap_err().code(),
        tonic::Code::NotFound,
        "and no more"
    );

    let viewer = toy.member(Kind::Operator, "eve", Standing::Operator(Role::Viewer));
    let link = toy.for_operators().connect(Some(&viewer)).await.unwrap();
    let mut reflection = ServerReflectionClient::new(link.channel());
    let question = tokio_stream::once(ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    });
    let answers = reflection.server_reflection_info(question).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.unwrap().message_response else {
        panic!("no list");
    };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    assert!(
        names.contains(&"bailiwick.operator.v1.OperatorService"),
        "{names:?}"
    );
    toy.stop().await;
}

#[tokio::test]
async fn roots_are_exchanged_without_anybody_noticing() {
    let now = std::time::SystemTime::now();
    let create = || bailiwick_rpc::Authority::create(bailiwick_rpc::TrustDomain::default(), now);
    let (old, new) = (create().unwrap(), create().unwrap());
    let (old_root, new_root) = (old.root().clone(), new.root().clone());
    let first = toy::credentials(&old, Kind::Agent, "a", now);
    let second = toy::credentials(&new, Kind::Agent, "a", now);
    let from_old = old.server(now).unwrap().and_root(new_root.clone());
    let from_new = new.server(now).unwrap().and_root(old_root.clone());
    let toy = Toy::start_with(old, None).await;
    toy.agent("a");
    let mut coordinator = toy.for_agents();
    for (shown, step) in [
        (from_old, "agents learn of the new root"),
        (from_new, "it is shown"),
    ] {
        toy.tls.replace(&shown).unwrap();
        coordinator.trust = Trust::Roots(vec![old_root.clone(), new_root.clone()]);
        for own in [&first, &second] {
            let link = coordinator.connect(Some(own)).await.unwrap();
            let session = link.agent().session(tokio_stream::once(hello())).await;
            let answer = session.unwrap().into_inner().message().await;
            assert!(answer.unwrap().is_some(), "{step}");
        }
    }
    coordinator.trust = Trust::Roots(vec![old_root]);
    assert!(
        coordinator.connect(Some(&first)).await.is_err(),
        "the old root alone is over"
    );
    toy.stop().await;
}

#[tokio::test]
async fn a_session_ends_with_its_certificate() {
    let now = std::time::SystemTime::now();
    let life = Duration::from_secs(3);
    let lives = bailiwick_rpc::Lives {
        agent: life,
        ..bailiwick_rpc::Lives::default()
    };
    let authority = bailiwick_rpc::Authority::create(bailiwick_rpc::TrustDomain::default(), now);
    let toy = Toy::start_with(authority.unwrap().shortened(lives), None).await;
    let mut sessions = tokio::task::JoinSet::new();
    for number in 0..20 {
        let own = toy.agent(&format!("a-{number}"));
        let began = std::time::Instant::now();
        let link = toy.for_agents().connect(Some(&own)).await.unwrap();
        let (say, said) = mpsc::channel(4);
        let session = link.agent().session(ReceiverStream::new(said)).await;
        let mut answers = session.unwrap().into_inner();
        sessions.spawn(async move {
            // It talks until the end, and does not notice that it comes.
            while let (Ok(()), Ok(Some(_))) = (say.send(hello()).await, answers.message().await) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            began.elapsed()
        });
    }
    while let Some(lived) = sessions.join_next().await {
        let lived = lived.unwrap();
        // Certificates have whole seconds.
        let good = life - Duration::from_millis(1_100)..life + Duration::from_millis(1_500);
        assert!(good.contains(&lived), "{lived:?}");
    }
    toy.stop().await;
}
