//! Becoming an agent, and what is said when that fails.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _};

use bailiwick_agent::{Clock, join, run};
use bailiwick_rpc::{Authority, Invitation, TrustDomain};

use crate::{Agent, coordinator::Coordinator};

fn said(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

#[tokio::test]
async fn an_invitation_makes_an_agent_once() {
    let coordinator = Coordinator::start().await;
    let agent = Agent::new();
    let invitation = coordinator.invite("fra-1", coordinator.address);
    let clock = Clock::default();
    assert_eq!(
        join(agent.path(), &invitation, &clock).await.unwrap(),
        "fra-1"
    );
    for file in ["agent.key", "identity.toml"] {
        let mode = agent.path().join(file).metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{file}");
    }
    let again = join(agent.path(), &invitation, &clock).await;
    assert_eq!(again.unwrap(), "fra-1", "nothing is done twice");

    let other = coordinator.invite("fra-2", coordinator.address);
    let error = join(agent.path(), &other, &clock).await.unwrap_err();
    assert!(
        said(&error).contains("has an identity already: fra-1"),
        "{error:#}"
    );
    assert_eq!(bailiwick_host::exit_code(&error), 2);

    let stranger = Agent::new();
    let error = join(stranger.path(), &invitation, &clock)
        .await
        .unwrap_err();
    assert!(
        said(&error).contains("this invitation cannot be used"),
        "{error:#}"
    );
    coordinator.stop().await;
}

#[tokio::test]
async fn a_lost_answer_does_not_strand_an_agent() {
    let coordinator = Coordinator::start().await;
    let agent = Agent::new();
    let invitation = coordinator.invite("fra-1", coordinator.address);
    let clock = Clock::default();
    join(agent.path(), &invitation, &clock).await.unwrap();
    // As if the program had ended before it could write down who it is.
    std::fs::remove_file(agent.path().join("identity.toml")).unwrap();
    let token = invitation.token.to_string();
    std::fs::write(agent.path().join("joining"), token).unwrap();
    assert_eq!(
        join(agent.path(), &invitation, &clock).await.unwrap(),
        "fra-1"
    );
    // For another invitation the key of the first is not used.
    std::fs::remove_file(agent.path().join("identity.toml")).unwrap();
    let key = std::fs::read(agent.path().join("agent.key")).unwrap();
    let other = coordinator.invite("fra-2", coordinator.address);
    assert_eq!(join(agent.path(), &other, &clock).await.unwrap(), "fra-2");
    assert_ne!(key, std::fs::read(agent.path().join("agent.key")).unwrap());
    coordinator.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_way_out() {
    let coordinator = Coordinator::start().await;
    let clock = Clock::default();
    let agent = Agent::new();
    let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let stranger = Authority::create(TrustDomain::default(), std::time::SystemTime::now()).unwrap();
    let mut wrong_pin = coordinator.invite("fra-1", coordinator.address);
    wrong_pin.pin = stranger.pin();
    let mut wrong_secret: Invitation = coordinator.invite("fra-2", coordinator.address);
    wrong_secret.secret = coordinator.invite("x", nobody).secret;
    let cases = [
        (
            coordinator.invite("fra-3", nobody),
            "is the coordinator running",
        ),
        (wrong_pin, "nothing secret was sent"),
        (wrong_secret, "this invitation cannot be used"),
    ];
    for (invitation, wanted) in cases {
        let error = join(agent.path(), &invitation, &clock).await.unwrap_err();
        assert!(said(&error).contains(wanted), "{wanted}: {error:#}");
        assert!(!agent.path().join("identity.toml").exists());
    }
    let error = run(agent.settings.clone(), std::future::pending())
        .await
        .unwrap_err();
    assert!(
        said(&error).contains("bailiwick-agent join STRING"),
        "{error:#}"
    );
    assert_eq!(bailiwick_host::exit_code(&error), 2);
    std::fs::set_permissions(agent.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let invitation = coordinator.invite("fra-4", coordinator.address);
    let error = join(agent.path(), &invitation, &clock).await.unwrap_err();
    assert!(said(&error).contains("chmod 700"), "{error:#}");
    coordinator.stop().await;
}
