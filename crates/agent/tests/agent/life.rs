//! Sessions and certificates: how they end, and what comes then.

use std::time::{Duration, Instant, SystemTime};

use bailiwick_agent::Clock;
use bailiwick_core::{report::RoundId, vantage::VantageId};
use bailiwick_wire::report;

use crate::{
    Agent,
    coordinator::{Arrived, Coordinator},
    once, standing,
};

#[tokio::test]
async fn a_farewell_is_respected() {
    let coordinator = Coordinator::start().await;
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    let pause = Duration::from_millis(1500);
    coordinator.behave(|manner| manner.farewell = Some(pause));
    agent.start();
    let met = coordinator.sessions(2).await;
    let away = met[1].at - met[0].at;
    assert!(away >= pause && away < pause * 2, "{away:?}");
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_lost_session_is_taken_up_and_measuring_goes_on() {
    let coordinator = Coordinator::start().await;
    coordinator.plan(vec![standing(1)]);
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    for number in 1..=10 {
        coordinator.sessions(number).await;
        coordinator.cut();
    }
    let met = coordinator.sessions(11).await;
    let boot = &met[0].hello.boot;
    assert!(met.iter().all(|met| met.hello.boot == boot));
    coordinator.reports(2).await;
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_at_half_of_its_life_and_shown_at_once() {
    let coordinator = Coordinator::start().await;
    coordinator.behave(|manner| manner.life = Duration::from_secs(2));
    let began = Instant::now();
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    let met = coordinator.sessions(3).await;
    let serials: std::collections::BTreeSet<_> = met.iter().map(|met| met.serial).collect();
    assert_eq!(serials.len(), 3, "each with a certificate of its own");
    let first = met[1].at - began;
    assert!(
        first > Duration::from_millis(850) && first < Duration::from_millis(1500),
        "{first:?}"
    );
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn after_its_end_a_certificate_is_renewed_by_the_key_alone() {
    let coordinator = Coordinator::start().await;
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    // Three days later, by the clock of the agent.
    let later = Duration::from_secs(3 * 86_400);
    agent.settings.clock = Clock::new(move || SystemTime::now() + later);
    agent.start();
    let met = coordinator.sessions(1).await;
    let ours = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let said = Duration::from_micros(met[0].hello.clock_us);
    assert!(
        said > ours + later - Duration::from_secs(60),
        "the agent says its own time"
    );
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_certificate_that_the_coordinator_finds_ended_is_renewed() {
    let coordinator = Coordinator::start().await;
    coordinator.behave(|manner| manner.ago = Duration::from_secs(2 * 86_400));
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    coordinator.behave(|manner| manner.ago = Duration::ZERO);
    agent.start();
    coordinator.sessions(1).await;
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_certificate_that_the_coordinator_does_not_know_is_renewed() {
    let coordinator = Coordinator::start().await;
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    let first = coordinator.sessions(1).await[0].serial;
    coordinator.kept.replaced.lock().unwrap().insert(first);
    coordinator.cut();
    assert_ne!(coordinator.sessions(2).await[1].serial, first);
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn whatever_the_clock_says_reports_arrive() {
    let coordinator = Coordinator::start().await;
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    let day = 86_400;
    let began = Instant::now();
    let frozen = SystemTime::now();
    let clocks: [(&str, Clock); 7] = [
        ("frozen", Clock::new(move || frozen)),
        (
            "an hour ahead",
            Clock::new(|| SystemTime::now() + Duration::from_secs(3600)),
        ),
        (
            "ten years ahead",
            Clock::new(move || SystemTime::now() + Duration::from_secs(3650 * day)),
        ),
        (
            "ten years behind",
            Clock::new(move || SystemTime::now() - Duration::from_secs(3650 * day)),
        ),
        (
            "an hour behind",
            Clock::new(|| SystemTime::now() - Duration::from_secs(3600)),
        ),
        (
            "before 1970",
            Clock::new(|| SystemTime::UNIX_EPOCH - Duration::from_secs(5)),
        ),
        (
            "jumping",
            Clock::new(move || {
                let hour = Duration::from_secs(
                    3600 * u64::from(began.elapsed().subsec_millis() / 100 % 2),
                );
                SystemTime::now() + hour
            }),
        ),
    ];
    let mut number = 0;
    for (what, clock) in clocks {
        number += 2;
        coordinator.plan(vec![once(number), standing(number + 1)]);
        agent.settings.clock = clock;
        agent.start();
        let round = RoundId(1000 + u64::from(number));
        let read = |a: &Arrived| {
            let vantage = VantageId(String::new());
            report::decode(&a.envelope.body, &a.envelope.answers, vantage).unwrap()
        };
        let report = coordinator
            .until(what, |heard| {
                let mut reports = heard.reports.iter().map(read);
                reports.find(|report| report.round == round)
            })
            .await;
        // How long something took is not taken from that clock.
        let long = Duration::from_secs(10);
        let elapsed = report.observations.values().map(|seen| seen.elapsed);
        assert!(
            elapsed.chain([report.elapsed]).all(|took| took < long),
            "{what}"
        );
        agent.stop().await;
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn a_banned_agent_keeps_what_it_measures() {
    let coordinator = Coordinator::start().await;
    coordinator.plan(vec![standing(1)]);
    coordinator.behave(|manner| manner.credit = 0);
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    coordinator.sessions(1).await;
    let ban = |banned| {
        let mut all = coordinator.kept.banned.lock().unwrap();
        match banned {
            true => all.insert("fra-1".to_owned()),
            false => all.remove("fra-1"),
        };
    };
    ban(true);
    coordinator.cut();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(coordinator.sessions(1).await.len(), 1, "no session");
    coordinator.behave(|manner| manner.credit = 1 << 20);
    ban(false);
    coordinator.reports(2).await;
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_silent_coordinator_keeps_nobody_from_stopping() {
    let coordinator = Coordinator::start().await;
    coordinator.behave(|manner| manner.silent = true);
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    coordinator.sessions(1).await;
    agent.stop().await;
    coordinator.stop().await;
}
