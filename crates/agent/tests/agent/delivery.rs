//! From a plan to reports that are acknowledged.

use std::{collections::BTreeSet, time::Duration};

use bailiwick_core::{
    report::{Lane, RoundId},
    vantage::VantageId,
};
use bailiwick_spool::{Directory, Spool, Value};
use bailiwick_wire::{proto::report::v1::ReportEnvelope, report};
use prost::Message as _;

use crate::{
    Agent, check,
    coordinator::{Arrived, Coordinator},
    once, standing,
    wire::Wire,
};

/// Every lane of every epoch is in order and without holes.
pub(crate) fn in_order(reports: &[Arrived]) {
    for pair in reports
        .iter()
        .map(|a| (a.id.lane, a.id.epoch))
        .collect::<BTreeSet<_>>()
    {
        let seqs: Vec<u64> = reports
            .iter()
            .filter(|a| (a.id.lane, a.id.epoch) == pair)
            .map(|a| a.id.seq)
            .collect();
        let first = seqs[0];
        let wanted: Vec<u64> = (first..first + seqs.len() as u64).collect();
        assert_eq!(seqs, wanted, "{pair:?}");
    }
}

/// Whether all of a spool was acknowledged: a new session has nothing to send.
async fn nothing_is_left(coordinator: &Coordinator, agent: &mut Agent) {
    // The acknowledgement is on its way.
    tokio::time::sleep(Duration::from_millis(500)).await;
    agent.stop().await;
    let before = coordinator.kept.heard.lock().unwrap().reports.len();
    let sessions = coordinator.kept.heard.lock().unwrap().sessions.len();
    coordinator.plan(Vec::new());
    agent.start();
    coordinator.sessions(sessions + 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = coordinator.kept.heard.lock().unwrap().reports.len();
    assert_eq!(after, before, "everything was acknowledged");
}

#[tokio::test]
async fn a_check_is_done_reported_and_acknowledged() {
    let coordinator = Coordinator::start().await;
    coordinator.plan(vec![once(1)]);
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    let reports = coordinator.reports(1).await;
    let id = reports[0].id;
    assert_eq!((id.lane, id.seq), (Lane::Change, 1));
    let envelope = &reports[0].envelope;
    assert_eq!(envelope.body_hash[..], report::hash(&envelope.body));
    let vantage = VantageId("fra-1".to_owned());
    let read = report::decode(&envelope.body, &envelope.answers, vantage).unwrap();
    assert_eq!(read.check, check(1));
    assert_eq!(read.round, RoundId(1001));
    assert!(!read.observations.is_empty() && read.packets > 0);
    let met = coordinator.sessions(1).await.remove(0);
    assert_eq!((met.hello.protocol_min, met.hello.protocol_max), (1, 1));
    assert_eq!(met.hello.boot.len(), 16);
    assert!(met.hello.lab && met.hello.durable);
    assert!(met.hello.build.starts_with("bailiwick-agent "));
    nothing_is_left(&coordinator, &mut agent).await;
    let met = coordinator.sessions(2).await;
    assert_ne!(met[0].hello.boot, met[1].hello.boot);
    assert_eq!(met[1].hello.plan_revision, 1, "the plan was kept");
    let progress = coordinator.kept.heard.lock().unwrap().progress.clone();
    assert!(progress.iter().all(|progress| progress.round == 1001));
    assert!(!progress.is_empty(), "whoever waits is told");
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_report_is_spooled_before_it_is_sent() {
    let coordinator = Coordinator::start().await;
    coordinator.plan(vec![once(1)]);
    coordinator.behave(|manner| manner.credit = 0);
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    coordinator.sessions(1).await;
    agent.spooled(".change").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    agent.stop().await;
    assert!(
        coordinator.kept.heard.lock().unwrap().reports.is_empty(),
        "there was no credit"
    );
    coordinator.behave(|manner| manner.credit = 1 << 20);
    agent.start();
    coordinator.reports(1).await;
    nothing_is_left(&coordinator, &mut agent).await;
    let count = coordinator.kept.heard.lock().unwrap().reports.len();
    assert_eq!(count, 1, "it was not measured again");
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again() {
    let coordinator = Coordinator::start().await;
    coordinator.plan(vec![once(1), once(2), once(3)]);
    coordinator.behave(|manner| manner.acknowledge = false);
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    coordinator.reports(3).await;
    coordinator.cut();
    let twice = coordinator.reports(6).await;
    for (first, second) in twice.iter().zip(&twice[3..]) {
        assert_eq!(first.id, second.id);
        assert_eq!(first.envelope, second.envelope, "octet by octet");
        assert_ne!(first.session, second.session);
    }
    coordinator.behave(|manner| manner.acknowledge = true);
    coordinator.cut();
    coordinator.reports(9).await;
    nothing_is_left(&coordinator, &mut agent).await;
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn after_a_partition_all_comes_in_order_and_the_change_lane_first() {
    let coordinator = Coordinator::start().await;
    coordinator.plan(vec![standing(1), standing(2), once(3), once(4)]);
    coordinator.behave(|manner| manner.credit = 0);
    let wire = Wire::to(coordinator.address).await;
    let mut agent = Agent::joined(&coordinator, wire.address).await;
    agent.start();
    coordinator.sessions(1).await;
    agent.spooled(".routine").await;
    wire.cut();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let sessions = coordinator.kept.heard.lock().unwrap().sessions.len();
    assert_eq!(sessions, 1, "the wire is cut");
    coordinator.behave(|manner| manner.credit = 1 << 20);
    wire.join();
    // 2 that somebody waits for, and 2 a second.
    let reports = coordinator.reports(2 + 2 * 3).await;
    assert!(reports[..2].iter().all(|a| a.id.lane == Lane::Change));
    assert!(reports[2..].iter().all(|a| a.id.lane == Lane::Routine));
    in_order(&reports);
    assert_eq!(
        reports
            .iter()
            .map(|a| a.id.epoch)
            .collect::<BTreeSet<_>>()
            .len(),
        1
    );
    // What is measured from now on comes soon.
    let now = coordinator.kept.heard.lock().unwrap().reports.len();
    coordinator.reports(now + 2).await;
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn what_is_asked_now_overtakes_what_has_waited() {
    let coordinator = Coordinator::start().await;
    // It takes 50 reports a second, and may have all of these on their way at once.
    coordinator.behave(|manner| manner.pace = Some(50.0));
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    let directory = Directory::open(&agent.path().join("spool")).unwrap();
    let (mut spool, _) = Spool::open(directory, bailiwick_spool::Settings::default(), 1);
    let waited = ReportEnvelope {
        body: vec![7; 400].into(),
        ..ReportEnvelope::default()
    };
    for _ in 0..400 {
        let payload = waited.encode_to_vec();
        spool
            .append(Duration::ZERO, Lane::Routine, Value::New, &payload)
            .unwrap();
    }
    spool.sync(Duration::ZERO);
    drop(spool);
    agent.start();
    coordinator.reports(1).await;
    coordinator.plan(vec![once(1)]);
    let reports = coordinator.reports(401).await;
    let lanes = reports.iter().map(|arrived| arrived.id.lane);
    let before = lanes.take_while(|lane| *lane == Lane::Routine).count();
    assert!(before < 400, "it came last");
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn no_more_is_on_its_way_than_there_is_credit() {
    let coordinator = Coordinator::start().await;
    coordinator.plan((1..=20).map(once).collect());
    coordinator.behave(|manner| {
        manner.credit = 6_000;
        manner.delay = Duration::from_millis(20);
    });
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    let reports = coordinator.reports(20).await;
    for arrived in &reports {
        assert!(
            arrived.octets <= arrived.allowed,
            "{} octets with a credit of {}",
            arrived.octets,
            arrived.allowed
        );
    }
    in_order(&reports);
    let all: u64 = reports.last().unwrap().octets;
    assert!(all > 6_000, "the credit was used up: {all}");
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn batches_are_bounded() {
    let coordinator = Coordinator::start().await;
    coordinator.plan((1..=100).map(once).collect());
    coordinator.behave(|manner| manner.credit = 0);
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    coordinator.sessions(1).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    coordinator.behave(|manner| manner.credit = 1 << 20);
    in_order(&coordinator.reports(100).await);
    let (reports, octets) = coordinator.kept.heard.lock().unwrap().batch;
    assert!(reports > 8 && reports <= 64, "{reports} in one batch");
    assert!(octets <= 256 * 1024, "{octets} octets in one batch");
    agent.stop().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_broken_disk_is_told_and_stops_nothing() {
    let coordinator = Coordinator::start().await;
    let mut agent = Agent::joined(&coordinator, coordinator.address).await;
    agent.start();
    assert!(coordinator.sessions(1).await[0].hello.durable);
    std::fs::remove_dir_all(agent.path().join("spool")).unwrap();
    coordinator.plan(vec![once(1)]);
    coordinator.reports(1).await;
    let met = coordinator.sessions(2).await;
    assert!(!met[1].hello.durable);
    coordinator.plan(vec![once(2)]);
    let reports = coordinator.reports(2).await;
    assert!(reports.iter().any(|a| a.id.seq == 2));
    agent.stop().await;
    coordinator.stop().await;
}
