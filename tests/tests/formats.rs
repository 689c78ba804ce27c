//! What is sent and kept: reports as octets, and the messages of `proto/`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{fs, path::PathBuf};

use bailiwick_core::report::Report;
use bailiwick_lab::scenario::Scenario;
use bailiwick_verdict::{Evidence, Policy, judge};
use bailiwick_wire::report::{MAX_REPORT, decode, encode};

/// Decides which datagrams a lossy world loses.
const SEED: u64 = 1;

/// Every report of every scenario.
fn reports() -> Vec<(PathBuf, Vec<Report>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|ending| ending == "txt") {
            let scenario = Scenario::parse(&fs::read_to_string(&file).unwrap()).unwrap();
            found.push((file, scenario.run(SEED)));
        }
    }
    assert!(found.len() > 100, "the scenarios are in {folder}");
    found
}

fn sent(report: &Report) -> Report {
    let encoded = encode(report);
    assert!(encoded.octets() <= MAX_REPORT);
    decode(&encoded.body, &encoded.answers, report.vantage.id.clone()).unwrap()
}

/// Takes out what the encoding leaves out: message ID and case of the question.
fn without_octets(report: &Report) -> Report {
    let mut report = report.clone();
    for observation in report.observations.values_mut() {
        observation.octets = Box::default();
    }
    report
}

#[test]
fn a_report_arrives_as_it_was_and_is_judged_alike() {
    for (file, reports) in reports() {
        let arrived: Vec<Report> = reports.iter().map(sent).collect();
        for (report, arrived) in reports.iter().zip(&arrived) {
            let (was, is) = (without_octets(report), without_octets(arrived));
            assert_eq!(was, is, "{}", file.display());
            assert_eq!(encode(arrived), encode(report), "{}", file.display());
        }
        let verdict = |reports: Vec<Report>| {
            let evidence = reports.into_iter().map(Evidence::of).reduce(Evidence::join);
            judge(&evidence.unwrap(), &Policy::default())
        };
        assert_eq!(verdict(reports), verdict(arrived), "{}", file.display());
    }
}

#[test]
fn a_broken_report_is_an_error_and_never_a_panic() {
    let (_, reports) = reports().swap_remove(0);
    let encoded = encode(&reports[0]);
    let vantage = || reports[0].vantage.id.clone();
    for at in 0..encoded.body.len() {
        let mut body = encoded.body.to_vec();
        body[at] ^= 0xff;
        // A changed octet may still be a report; it is only another one then.
        let _ = decode(&body, &encoded.answers, vantage());
        let cut = decode(&body[..at], &encoded.answers, vantage());
        assert_ne!(cut.ok().as_ref(), Some(&reports[0]));
    }
    let without = decode(&encoded.body, &encoded.answers[1..], vantage());
    assert!(
        without.is_err(),
        "an answer that was not sent is not made up"
    );
}
