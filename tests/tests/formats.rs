//! What is sent and kept: reports as octets, and the messages of `proto/`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{fs, path::PathBuf};

use bailiwick_core::{
    place::Place, report::Report, time::Timestamp, vantage::VantageId, verdict::Verdict,
};
use bailiwick_lab::scenario::Scenario;
use bailiwick_render::{Page, Style, json};
use bailiwick_verdict::{Evidence, Policy, judge};
use bailiwick_wire::{
    evidence,
    proto::report::v1::ReportEnvelope,
    report::{MAX_REPORT, decode, encode, hash},
};

/// Decides which datagrams a lossy world loses.
const SEED: u64 = 1;

/// Every scenario.
fn scenarios() -> Vec<(PathBuf, Scenario)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|ending| ending == "txt") {
            let scenario = Scenario::parse(&fs::read_to_string(&file).unwrap()).unwrap();
            found.push((file, scenario));
        }
    }
    assert!(found.len() > 100, "the scenarios are in {folder}");
    found
}

/// Every report of every scenario.
fn reports() -> Vec<(PathBuf, Vec<Report>)> {
    let run = |(file, scenario): (PathBuf, Scenario)| (file, scenario.run(SEED));
    scenarios().into_iter().map(run).collect()
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

/// The verdict as a coordinator keeps it.
fn kept(reports: &[Report], places: &[(VantageId, Place)]) -> String {
    let joined = reports.iter().cloned().map(Evidence::of);
    let mut evidence = joined.reduce(Evidence::join).unwrap();
    for (vantage, place) in places {
        evidence = evidence.place(vantage.clone(), place.clone());
    }
    let verdict: Verdict = judge(&evidence, &Policy::default());
    json::check(&Page {
        verdict: &verdict,
        reports,
        style: Style::PLAIN,
        full: false,
        raw: false,
        port: 53,
    })
}

#[test]
fn a_file_of_evidence_gives_every_verdict_byte_for_byte() {
    for (file, scenario) in scenarios() {
        let reports = scenario.run(SEED);
        let places: Vec<(VantageId, Place)> = scenario
            .world
            .vantages
            .iter()
            .map(|v| (VantageId(v.name.clone()), v.place.clone()))
            .collect();
        let given = kept(&reports, &places);
        let known = places.iter().map(|(vantage, place)| (vantage, place));
        let head = evidence::to_head(&scenario.check, known, 1, given.clone().into());
        let mut octets = evidence::MAGIC.to_vec();
        octets.extend_from_slice(&evidence::frame(&head));
        for report in &reports {
            let sent = encode(report);
            let envelope = ReportEnvelope {
                id: None,
                body_hash: hash(&sent.body).to_vec().into(),
                body: sent.body,
                answers: sent.answers,
            };
            let part = evidence::to_report(&report.vantage.id, Timestamp(1), envelope);
            octets.extend_from_slice(&evidence::frame(&part));
        }
        octets.extend_from_slice(evidence::END);

        let parts = evidence::parts(octets.into()).unwrap();
        let saved = evidence::read(&parts).unwrap();
        let reports: Vec<Report> = saved
            .reports
            .into_iter()
            .map(|(_, report)| report)
            .collect();
        let again = kept(&reports, &saved.places);
        assert_eq!(again.as_bytes(), &saved.verdict[..], "{}", file.display());
        assert_eq!(again, given, "{}", file.display());
    }
}
