//! A name server that answers late is slow, and not dead (fault F26).
//!
//! Five delays, with and without loss, fifty times each, in the simulated internet. A round that
//! nobody waits for listens to its deadline, so every late answer is one; a check that somebody
//! waits for ends sooner, and then says no more than that nothing came until then.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::time::Duration;

use bailiwick_core::{
    observation::{Observation, Outcome},
    query::{Purpose, Via},
    report::{Report, RoundId},
    time::Timestamp,
    vantage::{VantageId, VantagePoint},
    verdict::State,
};
use bailiwick_lab::{
    scenario::Scenario,
    simulate::{Settings, simulate},
};
use bailiwick_probe::{Ended, Plan, Session};
use bailiwick_verdict::{Evidence, Policy, judge};

const SLOW: &str = "192.0.2.1";
/// Milliseconds, and whether a first try is answered in time.
const DELAYS: [(u64, bool); 5] = [
    (500, true),
    (1_900, true),
    (2_100, false),
    (4_000, false),
    (10_000, false),
];
const SEEDS: u64 = 50;

fn world(delay: u64, path: &str) -> Scenario {
    let text = format!(
        "[check example.com.]\n\n[vantage local]\n{path}\n\n\
         [server ns1.example.com. {SLOW}]\nlate {delay}ms udp\nzone example.com.\n\n\
         [server ns2.example.com. 192.0.2.2]\nzone example.com.\n\n[verdict]\n"
    );
    Scenario::parse(&text).unwrap()
}

fn run(scenario: &Scenario, plan: Plan, seed: u64) -> Report {
    let settings = Settings {
        seed,
        ..Settings::laboratory()
    };
    let mut check = scenario.check.clone();
    check.timeout = scenario.limits.wall_time;
    let mut session = Session::with_plan(check, plan, scenario.limits);
    let (elapsed, packets) = simulate(&mut session, &scenario.world, &settings);
    session.finish(Ended {
        vantage: VantagePoint {
            id: VantageId("local".to_owned()),
            families: scenario.check.families.clone(),
        },
        round: RoundId(1),
        started: Timestamp(1_700_000_000_000_000),
        elapsed,
        packets,
    })
}

/// What was asked over UDP of the slow server.
fn asked(report: &Report) -> impl Iterator<Item = &Observation> {
    report.observations.values().filter(|seen| {
        seen.purpose == Purpose::Child
            && seen.via == Via::Udp
            && seen.server.address.to_string() == SLOW
    })
}

#[test]
fn a_round_tells_late_from_dead() {
    let mut cases = 0;
    for (delay, in_time) in DELAYS {
        for path in ["", "loss 30%"] {
            let scenario = world(delay, path);
            for seed in 0..SEEDS {
                let report = run(&scenario, Plan::round(), seed);
                let about = format!("{delay} ms, {path}, seed {seed}");
                let mut heard = 0;
                for seen in asked(&report) {
                    let right = match seen.outcome {
                        Outcome::Reply(_) => in_time,
                        // A second try is listened for longer than the first, or shorter.
                        Outcome::Late(_) => {
                            assert!(seen.elapsed >= Duration::from_millis(delay), "{about}");
                            true
                        }
                        Outcome::Silence => !path.is_empty(),
                        _ => false,
                    };
                    assert!(right, "{about}: {seen:?}");
                    heard +=
                        usize::from(matches!(seen.outcome, Outcome::Reply(_) | Outcome::Late(_)));
                }
                assert!(heard > 0 || !path.is_empty(), "{about}: nothing was heard");
                let verdict = judge(&Evidence::of(report), &Policy::default());
                assert_ne!(verdict.state, State::Broken, "{about}");
                let dead = verdict.findings.iter().find(|finding| {
                    finding.code.0 == "glue-dead-address" || finding.code.0 == "child-udp-blocked"
                });
                assert!(dead.is_none(), "{about}: {dead:?}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 500);
}

#[test]
fn a_check_that_somebody_waits_for_ends_sooner() {
    let scenario = world(10_000, "");
    let (check, round) = (
        run(&scenario, Plan::check(), 1),
        run(&scenario, Plan::round(), 1),
    );
    assert!(asked(&check).all(|seen| seen.outcome == Outcome::Silence));
    assert!(
        check.elapsed < Duration::from_secs(6),
        "{:?}",
        check.elapsed
    );
    assert!(
        round.elapsed >= Duration::from_secs(10),
        "{:?}",
        round.elapsed
    );
}
