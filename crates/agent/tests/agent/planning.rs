//! Plans: what is done when, with and without a coordinator.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bailiwick_core::{
    observation::{Outcome, Withheld},
    report::{Lane, Report},
    vantage::VantageId,
};
use bailiwick_wire::{report, slot};

use crate::{
    Agent,
    coordinator::{Arrived, Coordinator},
    item_id, once, standing,
    wire::Wire,
};

fn read(arrived: &Arrived) -> Report {
    let vantage = VantageId("fra-1".to_owned());
    report::decode(&arrived.envelope.body, &arrived.envelope.answers, vantage).unwrap()
}

#[tokio::test]
async fn a_standing_plan_goes_on_without_a_coordinator() {
    let coordinator = Coordinator::start().await;
    coordinator.plan(vec![standing(1)]);
    let wire = Wire::to(coordinator.address).await;
    let mut agent = Agent::joined(&coordinator, wire.address).await;
    agent.start();
    coordinator.reports(1).await;
    wire.cut();
    agent.stop().await;
    let before = coordinator.kept.heard.lock().unwrap().reports.len();
    let began = unix();
    agent.start();
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let ended = unix();
    wire.join();
    let reports = coordinator.reports(before + 3).await;
    // Whoever has the same item and a clock knows the rounds.
    let second = Duration::from_secs(1);
    let rounds: BTreeMap<_, _> = (slot::slot(began, second)..=slot::slot(ended, second) + 20)
        .map(|slot| (slot::round(item_id(1), slot), slot))
        .collect();
    // One of before the restart can come again.
    let reports: Vec<Report> = reports[before..].iter().map(read).collect();
    let slots: Vec<u64> = reports
        .iter()
        .filter_map(|report| rounds.get(&report.round).copied())
        .collect();
    assert!(slots.len() + 1 >= reports.len() && slots.len() >= 2);
    assert!(
        slots.windows(2).all(|pair| pair[0] < pair[1]),
        "each slot once: {slots:?}"
    );
    let nonces: std::collections::BTreeSet<_> = reports.iter().map(|r| r.check.nonce).collect();
    assert_eq!(
        nonces.len(),
        reports.len(),
        "names that no cache knows are others each time"
    );
    agent.stop().await;
    coordinator.stop().await;
}

fn unix() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
}

#[tokio::test]
async fn a_plan_that_is_taken_back_is_not_followed() {
    let coordinator = Coordinator::start().await;
    coordinator.plan(vec![standing(1), standing(2)]);
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    coordinator.reports(2).await;
    coordinator.plan(vec![once(3)]);
    coordinator
        .until("the new plan", |heard| {
            heard
                .reports
                .iter()
                .any(|a| a.id.lane == Lane::Change)
                .then_some(())
        })
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = coordinator.kept.heard.lock().unwrap().reports.len();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(coordinator.kept.heard.lock().unwrap().reports.len(), before);
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn an_item_is_over_when_it_is_over() {
    let coordinator = Coordinator::start().await;
    let mut short = standing(1);
    short.valid_for_ns = 1_500_000_000;
    let mut broken = once(2);
    broken.check = None;
    let mut nameless = once(3);
    nameless.id = vec![0; 3].into();
    coordinator.plan(vec![short, broken, nameless]);
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    coordinator.reports(1).await;
    tokio::time::sleep(Duration::from_millis(3000)).await;
    let count = coordinator.kept.heard.lock().unwrap().reports.len();
    assert!(count <= 2, "{count} reports of 1.5 s");
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn what_the_owner_did_not_allow_no_coordinator_can_allow() {
    let coordinator = Coordinator::start().await;
    let mut item = once(1);
    let check = item.check.as_mut().unwrap();
    check.lab = true;
    check.blackholes = vec![vec![127, 0, 0, 1].into()];
    check.timeout_ns = i64::MAX;
    coordinator.plan(vec![item]);
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.settings.allow_special_use = false;
    agent.settings.port = 53;
    agent.start();
    let report = read(&coordinator.reports(1).await[0]);
    assert_eq!(report.packets, 0);
    assert!(!report.observations.is_empty());
    for observation in report.observations.values() {
        assert_eq!(observation.outcome, Outcome::Withheld(Withheld::SpecialUse));
    }
    assert!(report.check.blackholes.is_empty());
    assert_eq!(report.check.timeout, Duration::from_secs(45));
    assert!(!coordinator.sessions(1).await[0].hello.lab);
    agent.stop().await;
    coordinator.stop().await;
}
