//! Vantage points whose clock is wrong (fault F8): the verdict is the one that it would be.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bailiwick_core::{time::Timestamp, vantage::Objection};
use bailiwick_lab::scenario::Scenario;
use bailiwick_rpc::operator;
use bailiwick_tests::fleet::{Fleet, answer};
use bailiwick_wire::evidence;

const SCENARIOS: [&str; 4] = [
    "healthy-in-domain",
    "w03-one-instance-lags",
    "glue-stale-address",
    "glue-dead-address",
];
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const YEAR: i64 = 8_766 * HOUR;

/// What a clock says when the agent connects and when it measures, by how much it is ahead; and
/// whether the coordinator can see that it is wrong.
const CLOCKS: [(&str, i64, i64, bool); 10] = [
    ("ten years ahead", 10 * YEAR, 10 * YEAR, true),
    ("ten years behind", -10 * YEAR, -10 * YEAR, true),
    ("an hour ahead", HOUR, HOUR, true),
    ("an hour behind", -HOUR, -HOUR, true),
    ("three seconds ahead", 3 * SECOND, 3 * SECOND, true),
    ("three seconds behind", -3 * SECOND, -3 * SECOND, true),
    ("at the end of time", i64::MAX, i64::MAX, true),
    ("at its beginning", i64::MIN, i64::MIN, true),
    ("set an hour ahead during the check", 0, HOUR, false),
    ("frozen an hour ago", -HOUR, -HOUR - 30 * SECOND, true),
];

/// What a clock says that is so far ahead.
fn says(ahead: i64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_micros())
        .unwrap()
        .saturating_add_signed(ahead)
}

/// Plays a scenario to a coordinator, seen from several networks. The clock of the first is as
/// said. Returns state, exit code and findings, and whether that one is held to be skewed.
async fn judged(
    scenario: &Scenario,
    clock: Option<(i64, i64)>,
) -> Result<(String, u32, Vec<String>, bool)> {
    let fleet = Fleet::start().await?;
    let reports = scenario.run(1);
    let mut played = Vec::new();
    for number in 0..reports.len().max(4) {
        // Others see the same, if the scenario has fewer.
        let mut report = reports[number % reports.len()].clone();
        let name = format!("vantage-{number}");
        let asn = format!("asn={}", 64_501 + number);
        let place = [
            ["rir=ripe", "geo=50.11,8.68"],
            ["rir=arin", "geo=40.71,-74.01"],
            ["rir=apnic", "geo=35.68,139.69"],
            ["rir=lacnic", "geo=-23.55,-46.63"],
            ["rir=ripe", "geo=40.42,-3.70"],
            ["rir=arin", "geo=47.61,-122.33"],
        ][number];
        let mut player = fleet.join(&name, &[&asn, place[0], place[1]]).await?;
        let wrong = clock.filter(|_| number == 0);
        player.clock_us = wrong.map(|(connecting, _)| says(connecting));
        report.started = Timestamp(says(wrong.map_or(0, |(_, measuring)| measuring)));
        let mut session = player.session().await?;
        played.push(tokio::spawn(async move {
            let (check, round) = session.asked().await?;
            let id = session.report(answer(report, &check, round, &name)).await?;
            session.acknowledged(id).await?;
            anyhow::Ok(session)
        }));
    }
    let followed = fleet.check(&scenario.check, "json").await?;
    for played in played {
        played.await??;
    }
    let asked = operator::GetAgentRequest {
        name: "vantage-0".to_owned(),
    };
    let agent = fleet.operator().await?.operator().get_agent(asked).await?;
    let (_, place) = evidence::place(&agent.into_inner().place.context("a place")?)?;
    let shown: serde_json::Value = serde_json::from_str(&followed.ended.shown)?;
    let findings = shown["findings"].as_array().context("findings")?.iter();
    let findings = findings.map(|finding| format!("{} {}", finding["severity"], finding["id"]));
    // That a clock is wrong is told.
    let findings: Vec<_> = findings
        .filter(|it| !it.contains("vantage-clock-skew"))
        .collect();
    let skewed = place.objections.contains(&Objection::Skewed);
    Ok((
        followed.ended.state,
        followed.ended.exit_code,
        findings,
        skewed,
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_changes_no_verdict_and_is_told() -> Result<()> {
    let mut compared = 0;
    for name in SCENARIOS {
        let file = format!("{}/scenarios/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let scenario = Scenario::parse(&std::fs::read_to_string(file)?)?;
        let (state, code, findings, skewed) = judged(&scenario, None).await?;
        ensure!(!skewed, "{name}: nobody is off");
        for (what, connecting, measuring, seen) in CLOCKS {
            let clock = Some((connecting, measuring));
            let (is, exits, finds, skewed) = judged(&scenario, clock).await?;
            let same = (&is, exits, &finds) == (&state, code, &findings);
            ensure!(
                same,
                "{name}, {what}: {is} {finds:?}, not {state} {findings:?}"
            );
            ensure!(skewed == seen, "{name}, {what}: skewed {skewed}");
            compared += 1;
        }
        eprintln!("{name}: {state}, whatever the clock of one says");
    }
    ensure!(compared == 40, "{compared}");
    Ok(())
}
