//! The program under attack: hostile zones from seeds, and what it may cost to
//! check them.
//!
//! Everything is counted from outside of the program. With a summary:
//!
//! ```text
//! cargo test -p bailiwick-tests --test hostile -- --nocapture
//! ```
//!
//! `BAILIWICK_HOSTILE_ZONES` makes so many zones instead of a thousand;
//! `BAILIWICK_HOSTILE_FIRST` begins at another index, so at other seeds;
//! `BAILIWICK_HOSTILE_FAMILY` takes one family alone; with
//! `BAILIWICK_HOSTILE_EACH` there is a line for each zone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bailiwick_tests::hostile::judge::{Said, attacked, faults};
use bailiwick_tests::hostile::names::CHECKERS;
use bailiwick_tests::hostile::world::{Outcome, Programs, World, arguments};
use bailiwick_tests::hostile::{Family, Zone, corpus};
use bailiwick_tests::internet::can_run;

/// Zones in a run, unless the environment says otherwise: what two cores do in
/// less than three minutes.
const ZONES: usize = 1000;
/// Programs at once; most of their time they wait.
const VANTAGES: u8 = CHECKERS;
/// Faults shown in full.
const SHOWN: usize = 100;

/// What a family has come to.
#[derive(Debug, Default)]
struct Tally {
    zones: usize,
    most_packets: u64,
    most_per_address: u64,
    most_attacked: u64,
    slowest: Duration,
    largest_kib: u64,
    states: BTreeMap<String, usize>,
    findings: BTreeMap<String, usize>,
}

impl Tally {
    fn add(&mut self, zone: &Zone, outcome: &Outcome) {
        let counts = &outcome.counts;
        let per_address = counts.per_address().into_values().max().unwrap_or(0);
        self.zones += 1;
        self.most_packets = self.most_packets.max(counts.packets());
        self.most_per_address = self.most_per_address.max(per_address);
        self.most_attacked = self.most_attacked.max(attacked(outcome));
        self.slowest = self.slowest.max(outcome.wall);
        self.largest_kib = self.largest_kib.max(outcome.peak_kib);
        if let Ok(said) = Said::read(&zone.task, &outcome.output) {
            *self.states.entry(said.state).or_default() += 1;
            for finding in said.findings {
                *self.findings.entry(finding).or_default() += 1;
            }
        }
    }

    fn line(&self, name: &str) -> String {
        let listed = |counts: &BTreeMap<String, usize>| {
            let counts = counts.iter();
            let texts: Vec<String> = counts
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            texts.join(", ")
        };
        format!(
            "{name:<14} {:>4} zones, at most {:>3} packets, {:>2} to one address, {:>3} for the \
             attack, {:>4} ms, {:>2} MiB; {}; findings: {}",
            self.zones,
            self.most_packets,
            self.most_per_address,
            self.most_attacked,
            self.slowest.as_millis(),
            self.largest_kib.div_ceil(1024),
            listed(&self.states),
            listed(&self.findings),
        )
    }
}

fn number(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable}={text}")),
        Err(_) => Ok(default),
    }
}

/// Finds the program under test: by the environment, else as cargo has built it.
fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("BAILIWICK_BIN") {
        return Some(path.into());
    }
    let profile = Path::new(env!("CARGO_BIN_EXE_measured")).parent()?;
    let beside = [profile.to_owned(), profile.with_file_name("release")];
    beside
        .map(|folder| folder.join("bailiwick"))
        .into_iter()
        .find(|program| program.is_file())
}

fn zones() -> Result<Vec<Zone>> {
    let count = number("BAILIWICK_HOSTILE_ZONES", ZONES)?;
    let first = number("BAILIWICK_HOSTILE_FIRST", 0)?;
    match std::env::var("BAILIWICK_HOSTILE_FAMILY") {
        Ok(wanted) => {
            let family = Family::ALL
                .into_iter()
                .find(|family| format!("{family:?}") == wanted)
                .with_context(|| format!("no family {wanted}"))?;
            Ok((0..count)
                .map(|index| family.zone(index + 1, first + index))
                .collect())
        }
        Err(_) => Ok(corpus(count, first)),
    }
}

/// What has come of one zone.
fn line(zone: &Zone, outcome: &Outcome) -> String {
    let said = Said::read(&zone.task, &outcome.output).unwrap_or_default();
    let findings: Vec<String> = said.findings.into_iter().collect();
    format!(
        "{zone:?}: {}, {} packets, {} for the attack, {} ms; {}",
        said.state,
        outcome.counts.packets(),
        attacked(outcome),
        outcome.wall.as_millis(),
        findings.join(", ")
    )
}

#[test]
fn no_zone_makes_the_program_cost_or_claim_what_it_must_not() -> Result<()> {
    const NAME: &str = "no_zone_makes_the_program_cost_or_claim_what_it_must_not";
    if !can_run(NAME) {
        return Ok(());
    }
    let Some(bailiwick) = program() else {
        let reason = "bailiwick is not built (cargo build -p bailiwick-cli)";
        let on_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        ensure!(!on_ci, "{reason}");
        eprintln!("skipped: {NAME}: {reason}");
        return Ok(());
    };
    let programs = Programs {
        bailiwick,
        measured: env!("CARGO_BIN_EXE_measured").into(),
    };
    let zones = zones()?;
    let started = Instant::now();
    let world = World::start(&zones, VANTAGES)?;
    let up = started.elapsed();

    let each = std::env::var_os("BAILIWICK_HOSTILE_EACH").is_some();
    let next = AtomicUsize::new(0);
    let tallies: Mutex<BTreeMap<Family, Tally>> = Mutex::default();
    let failed: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for vantage in 0..world.vantages() {
            let (world, programs, zones) = (&world, &programs, &zones);
            let (next, tallies, failed) = (&next, &tallies, &failed);
            scope.spawn(move || {
                while let Some(zone) = zones.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let arguments = arguments(zone, zone.number % 2 == 0);
                    let wrong = match world.run(vantage, programs, zone, &arguments) {
                        Ok(outcome) => {
                            if each {
                                println!("{}", line(zone, &outcome));
                            }
                            let mut tallies = tallies.lock().unwrap();
                            tallies.entry(zone.family).or_default().add(zone, &outcome);
                            faults(zone, &outcome)
                        }
                        Err(error) => vec![format!("{error:#}")],
                    };
                    let lines = wrong.iter().map(|fault| {
                        format!("{zone:?} (bailiwick {}): {fault}", arguments.join(" "))
                    });
                    failed.lock().unwrap().extend(lines);
                }
            });
        }
    });

    for (family, tally) in tallies.lock().unwrap().iter() {
        println!("{}", tally.line(&format!("{family:?}")));
    }
    println!(
        "{} zones in {} s, up after {} ms",
        zones.len(),
        started.elapsed().as_secs(),
        up.as_millis()
    );
    let failed = failed.into_inner()?;
    let shown = failed[..failed.len().min(SHOWN)].join("\n");
    assert!(failed.is_empty(), "{} faults:\n{shown}", failed.len());
    Ok(())
}
