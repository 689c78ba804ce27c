//! Every scenario: its world, a whole check in it, and the verdict that it must give.
//!
//! `UPDATE_GOLDEN=1` writes the verdicts that come out into the files instead of comparing.
//! The notation is told in `tests/scenarios/README.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use bailiwick_core::{
    finding::{Actor, Finding},
    place::Place,
    report::Report,
    verdict::Verdict,
};
use bailiwick_lab::{scenario::Scenario, world::Vantage};
use bailiwick_verdict::{Evidence, Policy, judge, rule::CATALOGUE};

/// Decides which datagrams a lossy world loses.
const SEED: u64 = 1;

fn scenarios() -> Vec<(PathBuf, Scenario)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    assert!(files.len() > 100, "the scenarios are in {folder}");
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let scenario = Scenario::parse(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            (file, scenario)
        })
        .collect()
}

/// Joins the reports in this order and judges them. Where each vantage point stands is told to
/// the evidence of its first report, as early as can be.
fn verdict(scenario: &Scenario, reports: impl IntoIterator<Item = Report>) -> Verdict {
    let evidence = reports
        .into_iter()
        .map(|report| {
            let place = scenario.places().find(|(id, _)| *id == report.vantage.id);
            place
                .into_iter()
                .fold(Evidence::of(report), |evidence, (who, place)| {
                    evidence.place(who, place)
                })
        })
        .reduce(Evidence::join);
    judge(
        &evidence.expect("every world has a vantage point"),
        &Policy::default(),
    )
}

/// Returns the verdict as it stands in a scenario.
fn golden(verdict: &Verdict) -> Vec<String> {
    let (new, seen) = verdict.published;
    let fraction = if seen > 0 {
        format!(" {new}/{seen}")
    } else {
        String::new()
    };
    let mut lines = vec![
        format!("state {}{fraction}", verdict.state),
        format!("exit {}", verdict.state.exit_code()),
        format!(
            "axes {} {} {}",
            verdict.publication, verdict.reachability, verdict.caches
        ),
    ];
    if verdict.vantages.len() > 1 {
        lines.push(format!(
            "scope {} {} networks {} regions",
            verdict.scope, verdict.quorum.networks, verdict.quorum.regions
        ));
    }
    lines.extend(verdict.findings.iter().map(line));
    lines
}

fn line(finding: &Finding) -> String {
    let mut line = format!("{} {} {}", finding.code, finding.severity, finding.actor);
    if let Some(server) = &finding.server {
        let _ = write!(line, " {server}");
    }
    if let Some(address) = finding.address {
        let _ = write!(line, " {address}");
    }
    let _ = write!(line, ": {}", finding.detail);
    line
}

#[test]
fn every_scenario_gives_its_verdict() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = String::new();
    for (file, scenario) in scenarios() {
        let found = golden(&verdict(&scenario, scenario.run(SEED)));
        if found == scenario.verdict {
            continue;
        }
        if update {
            fs::write(&file, scenario.with_verdict(&found)).unwrap();
            continue;
        }
        let name = file.file_name().unwrap_or_default().display();
        let _ = writeln!(wrong, "\n{name}: {}", scenario.about());
        for line in scenario.verdict.iter().filter(|l| !found.contains(l)) {
            let _ = writeln!(wrong, "  - {line}");
        }
        for line in found.iter().filter(|l| !scenario.verdict.contains(l)) {
            let _ = writeln!(wrong, "  + {line}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_finding_has_a_scenario() {
    let scenarios = scenarios();
    let shown: BTreeSet<&str> = scenarios
        .iter()
        .flat_map(|(_, scenario)| &scenario.verdict)
        .filter_map(|line| line.split(' ').next())
        .collect();
    let missing: Vec<_> = CATALOGUE
        .iter()
        .map(|rule| rule.code)
        .filter(|code| !shown.contains(code))
        .collect();
    assert!(missing.is_empty(), "no world shows {missing:?}");
}

#[test]
fn the_order_in_which_evidence_arrives_changes_nothing() {
    for (file, scenario) in scenarios() {
        let reports = scenario.run(SEED);
        let expected = verdict(&scenario, reports.clone());
        let mut pieces: Vec<Report> = reports.iter().flat_map(in_pieces).collect();
        for turn in 0..4 {
            shuffle(&mut pieces, turn);
            // A report that arrives twice is the same report.
            let again = pieces.first().cloned();
            let joined = verdict(&scenario, pieces.iter().cloned().chain(again));
            assert_eq!(
                golden(&joined),
                golden(&expected),
                "{}, order {turn}",
                file.display()
            );
            assert_eq!(joined, expected, "{}, order {turn}", file.display());
        }
    }
}

/// Cuts a report into several that each have a part of the observations.
fn in_pieces(report: &Report) -> Vec<Report> {
    const PIECES: usize = 5;
    (0..PIECES)
        .map(|piece| {
            let observations = report
                .observations
                .iter()
                .enumerate()
                .filter(|(number, _)| number % PIECES == piece)
                .map(|(_, (id, observation))| (*id, observation.clone()));
            Report {
                observations: observations.collect(),
                ..report.clone()
            }
        })
        .collect()
}

/// Puts the items into another order, the same for the same turn.
fn shuffle<T>(items: &mut [T], turn: usize) {
    let length = items.len();
    for at in (1..length).rev() {
        items.swap(at, (at * 7 + turn * 13 + 3) % (at + 1));
    }
}

#[test]
fn a_check_costs_no_more_than_its_limits() {
    for (file, scenario) in scenarios() {
        for report in scenario.run(SEED) {
            assert!(
                report.packets <= scenario.limits.packets,
                "{}: {} packets",
                file.display(),
                report.packets
            );
            assert!(
                report.elapsed <= scenario.check.timeout,
                "{}: {:?}",
                file.display(),
                report.elapsed
            );
        }
    }
}

/// Where the vantage points of a fleet stand that looks at worlds made for one.
const FLEET: [(&str, &str); 3] = [
    ("fra", "asn=64500 rir=ripe"),
    ("nyc", "asn=64501 rir=arin"),
    ("nrt", "asn=64502 rir=apnic"),
];

/// Silence that one place cannot settle is settled by three.
const SETTLED_BY_A_FLEET: &str = "silence-not-settled.txt";

#[test]
fn a_fleet_says_once_what_each_of_its_places_sees() {
    let mut wrong = String::new();
    for (file, mut scenario) in scenarios() {
        let [only] = scenario.world.vantages.as_slice() else {
            continue;
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let local = scenario.with_verdict(&[]).contains("from local");
        if local || name == SETTLED_BY_A_FLEET {
            continue;
        }
        let rules = only.rules.clone();
        let alone = verdict(&scenario, scenario.run(SEED));
        scenario.world.vantages = FLEET
            .map(|(name, labels)| Vantage {
                name: name.to_owned(),
                addresses: Vec::new(),
                place: Place::of_labels(labels.split(' ')).unwrap(),
                rules: rules.clone(),
            })
            .into();
        let fleet = verdict(&scenario, scenario.run(SEED));
        let said = |verdict: &Verdict| {
            let said = verdict
                .findings
                .iter()
                .filter(|f| f.actor != Actor::Vantage);
            let said = said.map(|f| (f.code, f.severity, f.subject.clone(), f.address));
            (verdict.state, verdict.published, said.collect::<Vec<_>>())
        };
        if said(&alone) != said(&fleet) {
            let _ = writeln!(wrong, "\n{name}: {}", scenario.about());
            let (alone, fleet) = (golden(&alone), golden(&fleet));
            for line in alone.iter().filter(|l| !fleet.contains(l)) {
                let _ = writeln!(wrong, "  - {line}");
            }
            for line in fleet.iter().filter(|l| !alone.contains(l)) {
                let _ = writeln!(wrong, "  + {line}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
