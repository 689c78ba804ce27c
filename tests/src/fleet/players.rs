//! Players of one small scenario, and what must hold of them in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bailiwick_core::{
    check::{Check, CheckId, Expectation},
    query::Stub,
    report::{Lane, Report, ReportId},
    server::{Family, Server},
};
use bailiwick_lab::scenario::Scenario;
use bailiwick_store::{CheckRecord, Store};

use super::{Fleet, oracle::verdict, spooling::Spooling};

/// Six vantage points, of which one sees an instance that is behind all others.
///
/// # Panics
///
/// Panics if the file is not there.
#[must_use]
pub fn scenario() -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let text = std::fs::read_to_string(folder.join("w03-one-instance-lags.txt"));
    Scenario::parse(&text.expect("the scenario is there")).expect("and can be read")
}

/// A check that real agents are done with at once: the only root server's port is closed.
///
/// # Panics
///
/// Never: its names are names.
#[must_use]
pub fn short_check() -> Check {
    Check {
        id: CheckId(0),
        zone: "zone.test.".parse().expect("a name"),
        expectation: Expectation::default(),
        roots: vec![Server {
            name: "root.test.".parse().expect("a name"),
            address: Ipv4Addr::new(127, 53, 9, 1).into(),
        }],
        resolvers: Vec::new(),
        stub: Stub::Plain,
        families: [Family::V4].into(),
        minimise: true,
        timeout: Duration::from_secs(1),
        nonce: 0,
        blackholes: Vec::new(),
        lab: true,
    }
}

/// The check of the scenario as another one.
#[must_use]
pub fn check(timeout: Duration) -> Check {
    Check {
        id: CheckId(rand::random()),
        nonce: rand::random(),
        timeout,
        ..scenario().check
    }
}

/// Players in networks of their own that answer each check by themselves, so long after they are
/// asked.
///
/// # Errors
///
/// Fails if they cannot join or do not connect.
pub async fn players(fleet: &Fleet, after: &[Duration]) -> Result<Vec<Spooling>> {
    let mut players = Vec::new();
    for (number, (after, report)) in after.iter().zip(scenario().run(1)).enumerate() {
        let asn = format!("asn={}", 64_501 + number);
        let rir = ["rir=ripe", "rir=arin", "rir=apnic"][number % 3];
        let player = fleet
            .join(&format!("player-{number}"), &[&asn, rir])
            .await?;
        players.push(Spooling::start(player, report, *after));
    }
    for _ in 0..200 {
        if fleet.status().await?.connected == players.len() as u64 {
            return Ok(players);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("not all are connected")
}

/// Waits until nothing waits to be acknowledged, and says how long that took.
///
/// # Errors
///
/// Fails if it takes longer than this.
pub async fn acknowledged(players: &[Spooling], within: Duration) -> Result<Duration> {
    let began = Instant::now();
    while players.iter().any(|p| p.account().unacknowledged() > 0) {
        let troubles: Vec<_> = players
            .iter()
            .map(|p| p.account().trouble.clone())
            .collect();
        ensure!(began.elapsed() < within, "{troubles:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(began.elapsed())
}

/// What the store has of a check.
///
/// # Errors
///
/// Fails if it has none.
pub async fn record(fleet: &Fleet, id: CheckId) -> Result<CheckRecord> {
    let record = fleet.store.check(id).await?;
    record.context("the check is not in the store")
}

/// All that is kept about a check, each report once.
///
/// # Errors
///
/// Fails if one is there twice.
pub async fn kept(store: &dyn Store, check: CheckId) -> Result<BTreeSet<(String, ReportId)>> {
    let rows = store.evidence(check, None, 100_000).await?;
    let count = rows.len();
    let rows: BTreeSet<_> = rows
        .into_iter()
        .map(|row| (row.id.agent.0, row.id.report))
        .collect();
    ensure!(rows.len() == count, "a report is there twice");
    Ok(rows)
}

/// Every check that players were asked has the verdict that comes of all that they made, and the
/// store has each of their reports once.
///
/// # Errors
///
/// Fails if that is not so.
pub async fn all_is_judged(fleet: &Fleet, players: &[Spooling]) -> Result<usize> {
    fleet.settled().await?;
    let mut made: BTreeMap<CheckId, (BTreeSet<_>, Vec<Report>)> = BTreeMap::new();
    for player in players {
        let account = player.account();
        for (seq, (check, round)) in &account.made {
            let id = ReportId {
                lane: Lane::Change,
                epoch: account.epoch,
                seq: *seq,
            };
            let (ids, reports) = made.entry(check.id).or_default();
            ids.insert((player.name.clone(), id));
            reports.push(player.report(check, *round));
        }
    }
    let checks = made.len();
    for (id, (ids, reports)) in made {
        ensure!(
            kept(&*fleet.store, id).await? == ids,
            "another set of reports"
        );
        let judgement = record(fleet, id).await?.judgement.context("no verdict")?;
        let expected = verdict(&judgement.places, reports)?;
        ensure!(judgement.verdict == expected, "another verdict");
    }
    Ok(checks)
}
