//! The program is killed at any moment, and nothing that it had spooled is lost.
//!
//! `BAILIWICK_KILLS=1000 cargo test -p bailiwick-agent kill` kills as often.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bailiwick_agent::{Clock, Said, join};
use bailiwick_core::report::{Lane, ReportId};
use bailiwick_spool::{Directory, Entry, Settings, Spool};
use bailiwick_wire::proto::report::v1::ReportEnvelope;
use prost::Message as _;

use crate::{
    Agent, PORT,
    coordinator::{Arrived, Coordinator},
    once, standing,
};

fn start(folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_bailiwick-agent"))
        .args(["run", "--state-dir"])
        .arg(folder)
        .env("RUST_LOG", "error")
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What is spooled and not acknowledged. The program does not run.
pub(crate) fn spooled(folder: &Path) -> BTreeMap<ReportId, ReportEnvelope> {
    let directory = Directory::open(&folder.join("spool")).unwrap();
    let (mut spool, _) = Spool::open(directory, Settings::default(), rand::random());
    let mut all = BTreeMap::new();
    for lane in Lane::ALL {
        let mut after = None;
        loop {
            let entries = spool.next(lane, after, 1 << 20);
            let Some(last) = entries.last() else { break };
            after = Some(last.last());
            for entry in entries {
                if let Entry::Report(stored) = entry {
                    let envelope = ReportEnvelope::decode(&stored.payload[..]).unwrap();
                    all.insert(stored.id, envelope);
                }
            }
        }
    }
    all
}

fn without_id(arrived: &Arrived) -> ReportEnvelope {
    ReportEnvelope {
        id: None,
        ..arrived.envelope.clone()
    }
}

#[tokio::test]
async fn no_report_that_was_spooled_is_lost() {
    let kills: u64 = std::env::var("BAILIWICK_KILLS").map_or(20, |text| text.parse().unwrap());
    let coordinator = Coordinator::start().await;
    let agent = Agent::new();
    let invitation = coordinator.invite("fra-1", coordinator.address);
    join(agent.path(), &invitation, &Clock::default())
        .await
        .unwrap();
    let said = Said {
        allow_special_use: true,
        port: Some(PORT),
        bind: Vec::new(),
    };
    said.write(agent.path()).unwrap();

    let mut wanted: BTreeMap<ReportId, ReportEnvelope> = BTreeMap::new();
    let mut number: u8 = 0;
    for kill in 0..kills {
        // Some of the time nothing is acknowledged, or nothing may be sent.
        coordinator.behave(|manner| {
            manner.acknowledge = kill % 3 != 0;
            manner.credit = if kill % 5 == 4 { 0 } else { 1 << 20 };
        });
        number = number % 200 + 1;
        coordinator.plan(vec![once(number), standing(201), standing(202)]);
        let mut child = start(agent.path());
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..1500))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        wanted.extend(spooled(agent.path()));
    }
    coordinator.behave(|manner| {
        manner.acknowledge = true;
        manner.credit = 1 << 20;
    });
    coordinator.plan(Vec::new());
    let mut child = start(agent.path());
    let began = Instant::now();
    let missing = |reports: &[Arrived]| {
        let there: BTreeSet<ReportId> = reports.iter().map(|a| a.id).collect();
        wanted.keys().filter(|id| !there.contains(id)).count()
    };
    while missing(&coordinator.kept.heard.lock().unwrap().reports) > 0
        && began.elapsed() < Duration::from_secs(20)
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    child.kill().unwrap();
    child.wait().unwrap();

    let heard = std::mem::take(&mut *coordinator.kept.heard.lock().unwrap());
    eprintln!(
        "{kills} kills: {} reports were seen spooled, {} arrivals, {} gaps",
        wanted.len(),
        heard.reports.len(),
        heard.gaps.len()
    );
    assert!(wanted.len() as u64 >= kills / 2, "enough was measured");
    assert_eq!(
        missing(&heard.reports),
        0,
        "reports that were spooled are lost"
    );
    let mut same: BTreeMap<ReportId, ReportEnvelope> = BTreeMap::new();
    for arrived in &heard.reports {
        let first = same
            .entry(arrived.id)
            .or_insert_with(|| without_id(arrived));
        assert_eq!(*first, without_id(arrived), "one identity, one report");
        if let Some(wanted) = wanted.get(&arrived.id) {
            assert_eq!(*wanted, without_id(arrived), "as it was spooled");
        }
    }
    assert!(spooled(agent.path()).is_empty(), "all was acknowledged");
    coordinator.stop().await;
}
