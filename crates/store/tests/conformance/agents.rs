//! Agents, their certificates and sessions (reliability: 4.2, T24).

use std::sync::Arc;

use bailiwick_store::{
    AgentState, BootId, Certificate, Error, Seen, Serial, Store, TAKEOVER_WINDOW,
};

use crate::world::*;

fn certificate(number: u8) -> Certificate {
    Certificate {
        serial: Serial([number; 16]),
        until: later(u32::from(number) * HOUR),
    }
}

fn seen(address: &str) -> Seen {
    Seen {
        at: later(MINUTE),
        address: address.parse().unwrap(),
        build: "bailiwick-agent 0.1.0".to_owned(),
        boot: BootId([3; 16]),
        durable: true,
        lab: false,
        clock_offset: -1_500_000_000,
    }
}

pub(crate) async fn agents_are_listed_by_name(store: Arc<dyn Store>) {
    for (number, name) in (1..).zip(["fra-2", "ams-1", "Fra-1", "fra-1", "fra-10"]) {
        enrol(&*store, number, name).await;
    }
    let agents = store.agents().await.unwrap();
    let names: Vec<&str> = agents.iter().map(|agent| agent.name.0.as_str()).collect();
    assert_eq!(names, ["Fra-1", "ams-1", "fra-1", "fra-10", "fra-2"]);
    for agent in &agents {
        assert_eq!(
            store.agent(&agent.name).await.unwrap().as_ref(),
            Some(agent)
        );
    }
}

pub(crate) async fn an_agent_is_found_by_its_key(store: Arc<dyn Store>) {
    enrol(&*store, 1, "fra-1").await;
    enrol(&*store, 2, "ams-1").await;
    let agent = store.agent_by_key(key(2)).await.unwrap().unwrap();
    assert_eq!(agent.name, named("ams-1"));
    assert_eq!(store.agent_by_key(key(3)).await.unwrap(), None);
    assert_eq!(store.agent(&named("fra-2")).await.unwrap(), None);
}

pub(crate) async fn states_change_and_are_noted(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let banned = |reason: &str| AgentState::Banned {
        since: later(HOUR),
        reason: reason.to_owned(),
    };
    let states = [
        AgentState::Pending,
        banned("it lies"),
        banned("it still lies"),
        AgentState::Active,
    ];
    for (number, state) in states.into_iter().enumerate() {
        let noted = audit(&format!("state {number}"));
        store.set_agent_state(&name, &state, &noted).await.unwrap();
        let agent = store.agent(&name).await.unwrap().unwrap();
        assert_eq!(agent.state, state);
        assert!(store.audit(100).await.unwrap().contains(&noted));
    }
}

pub(crate) async fn nobody_is_changed_who_is_not_there(store: Arc<dyn Store>) {
    let name = named("fra-1");
    let nobody = Error::NoSuchAgent { name: name.clone() };
    let noted = audit("approve");
    let done = store
        .set_agent_state(&name, &AgentState::Active, &noted)
        .await;
    assert_eq!(done, Err(nobody.clone()));
    assert_eq!(store.audit(100).await.unwrap(), [], "nothing was done");
    let done = store.certificate_issued(&name, &certificate(1)).await;
    assert_eq!(done, Err(nobody.clone()));
    let done = store.certificate_used(&name, Serial([1; 16])).await;
    assert_eq!(done, Err(nobody.clone()));
    let done = store.note_seen(&name, &seen("192.0.2.1")).await;
    assert_eq!(done, Err(nobody.clone()));
    let done = store.take_session(&name, "a", BootId([1; 16]), now()).await;
    assert_eq!(done, Err(nobody));
    assert_eq!(store.session(&name).await.unwrap(), None);
}

pub(crate) async fn a_certificate_is_next_until_it_is_used(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let used = async |number| {
        store
            .certificate_used(&name, certificate(number).serial)
            .await
    };
    assert!(!used(1).await.unwrap(), "never issued");
    store
        .certificate_issued(&name, &certificate(1))
        .await
        .unwrap();
    let agent = store.agent(&name).await.unwrap().unwrap();
    assert_eq!((agent.current, agent.next), (None, Some(certificate(1))));
    for _ in 0..2 {
        assert!(used(1).await.unwrap());
        let agent = store.agent(&name).await.unwrap().unwrap();
        assert_eq!((agent.current, agent.next), (Some(certificate(1)), None));
    }
}

pub(crate) async fn a_certificate_before_the_current_one_is_worth_nothing(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let used = async |number| {
        store
            .certificate_used(&name, certificate(number).serial)
            .await
    };
    store
        .certificate_issued(&name, &certificate(1))
        .await
        .unwrap();
    assert!(used(1).await.unwrap());
    store
        .certificate_issued(&name, &certificate(2))
        .await
        .unwrap();
    assert!(used(1).await.unwrap(), "the next one was not used yet");
    assert!(used(2).await.unwrap());
    assert!(!used(1).await.unwrap());
}

pub(crate) async fn a_certificate_that_was_never_used_is_replaced(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    store
        .certificate_issued(&name, &certificate(1))
        .await
        .unwrap();
    store
        .certificate_issued(&name, &certificate(2))
        .await
        .unwrap();
    assert!(
        !store
            .certificate_used(&name, Serial([1; 16]))
            .await
            .unwrap()
    );
    assert!(
        store
            .certificate_used(&name, Serial([2; 16]))
            .await
            .unwrap()
    );
}

pub(crate) async fn what_was_seen_comes_back(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    for address in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "0.0.0.0"] {
        for (durable, lab) in [(true, false), (false, true)] {
            let seen = Seen {
                durable,
                lab,
                ..seen(address)
            };
            store.note_seen(&name, &seen).await.unwrap();
            let agent = store.agent(&name).await.unwrap().unwrap();
            assert_eq!(agent.seen, Some(seen));
        }
    }
}

pub(crate) async fn what_was_seen_last_holds(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    for offset in [i64::MIN, -1, 0, 1, i64::MAX] {
        let seen = Seen {
            clock_offset: offset,
            ..seen("192.0.2.1")
        };
        store.note_seen(&name, &seen).await.unwrap();
        let agent = store.agent(&name).await.unwrap().unwrap();
        assert_eq!(agent.seen, Some(seen));
    }
}

async fn take(store: &dyn Store, boot: u8, at: std::time::Duration) -> (u64, u64) {
    let session = store
        .take_session(&named("fra-1"), "replica-1", BootId([boot; 16]), later(at))
        .await
        .unwrap();
    let kept = store.session(&named("fra-1")).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&session));
    assert_eq!(
        (session.boot, session.opened),
        (BootId([boot; 16]), later(at))
    );
    assert_eq!(session.replica, "replica-1");
    (session.epoch, session.takeovers)
}

pub(crate) async fn each_session_has_a_greater_epoch(store: Arc<dyn Store>) {
    enrol(&*store, 1, "fra-1").await;
    for epoch in 1..=5 {
        assert_eq!(
            take(&*store, 1, MINUTE).await,
            (epoch, 0),
            "the same program"
        );
    }
}

pub(crate) async fn a_program_that_starts_again_takes_over_once(store: Arc<dyn Store>) {
    enrol(&*store, 1, "fra-1").await;
    assert_eq!(take(&*store, 1, MINUTE).await, (1, 0), "nobody was there");
    assert_eq!(take(&*store, 2, MINUTE).await, (2, 1));
    assert_eq!(take(&*store, 2, MINUTE).await, (3, 1));
}

pub(crate) async fn two_machines_with_one_key_are_counted(store: Arc<dyn Store>) {
    enrol(&*store, 1, "fra-1").await;
    enrol(&*store, 2, "ams-1").await;
    for turn in 0..20 {
        let boot = u8::try_from(turn % 2).unwrap();
        let (_, takeovers) = take(&*store, boot, MINUTE * u32::try_from(turn).unwrap() / 4).await;
        assert_eq!(takeovers, turn);
    }
    let ams = named("ams-1");
    let other = store.take_session(&ams, "a", BootId([9; 16]), now()).await;
    assert_eq!(other.unwrap().takeovers, 0, "another agent");
}

pub(crate) async fn old_takeovers_are_forgotten(store: Arc<dyn Store>) {
    enrol(&*store, 1, "fra-1").await;
    take(&*store, 1, MINUTE).await;
    assert_eq!(take(&*store, 2, MINUTE).await.1, 1);
    assert_eq!(take(&*store, 1, 2 * MINUTE).await.1, 2);
    let just = TAKEOVER_WINDOW + MINUTE;
    assert_eq!(take(&*store, 1, just).await.1, 1, "the first is old now");
    assert_eq!(take(&*store, 1, just + MINUTE).await.1, 0);
    assert_eq!(take(&*store, 2, just + 2 * MINUTE).await, (6, 1));
}
