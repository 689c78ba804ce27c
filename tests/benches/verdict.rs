//! How long one verdict over a hundred vantage points takes, beside its floor: reading every
//! observation once, which here is copying the reports.
//!
//! `cargo bench -p bailiwick-tests --bench verdict`. Both are measured in turn; medians count.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on ends here"
)]

use std::{
    fmt::Write as _,
    hint::black_box,
    time::{Duration, Instant},
};

use bailiwick_core::{place::Place, report::Report, vantage::VantageId};
use bailiwick_lab::scenario::Scenario;
use bailiwick_verdict::{Evidence, Policy, judge};
use bailiwick_wire::report::{decode, encode};

const VANTAGES: usize = 100;
const NAMES: usize = 5;
const RUNS: usize = 21;

fn main() {
    let mut text = "[check example.com.]\n".to_owned();
    for n in 1..=NAMES {
        let _ = write!(
            text,
            "\n[server ns{n}.example.com. 192.0.2.{n} 2001:db8:{n}::53]\nzone example.com.\n"
        );
    }
    let scenario = Scenario::parse(&(text + "\n[verdict]\n")).unwrap();
    let seen = scenario.run(1).remove(0);
    let reports: Vec<Report> = (0..VANTAGES).map(|n| from(&seen, n)).collect();
    let joined = reports.iter().cloned().map(Evidence::of);
    let mut evidence = joined.reduce(Evidence::join).unwrap();
    for (n, report) in reports.iter().enumerate() {
        evidence = evidence.place(report.vantage.id.clone(), place(n));
    }
    let mut verdicts = Vec::new();
    let mut floors = Vec::new();
    for _ in 0..RUNS {
        floors.push(timed(|| reports.clone()));
        verdicts.push(timed(|| judge(&evidence, &Policy::default())));
    }
    let (verdict, floor) = (median(verdicts), median(floors));
    let observations: usize = reports.iter().map(|r| r.observations.len()).sum();
    println!("{VANTAGES} vantage points, {observations} observations");
    println!("verdict       {:>8.2} ms", verdict.as_secs_f64() * 1e3);
    println!("reading all   {:>8.2} ms", floor.as_secs_f64() * 1e3);
    println!(
        "ratio         {:>8.2}",
        verdict.as_secs_f64() / floor.as_secs_f64()
    );
}

/// The report as a coordinator has it: read from octets, so that it shares nothing with others.
fn from(seen: &Report, number: usize) -> Report {
    let sent = encode(seen);
    let vantage = VantageId(format!("vantage-{number:03}"));
    decode(&sent.body, &sent.answers, vantage).unwrap()
}

fn place(number: usize) -> Place {
    let rir = ["ripe", "arin", "apnic", "lacnic", "afrinic"][number % 5];
    let labels = [format!("asn={}", 64_500 + number), format!("rir={rir}")];
    Place::of_labels(labels.iter().map(String::as_str)).unwrap()
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    black_box(work());
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
