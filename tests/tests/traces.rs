//! What a resolver with an empty cache gets in broken worlds, and why.
//!
//! The worlds are those of the scenarios; the walk follows glue alone and asks no local resolver.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{fmt::Write as _, fs};

use bailiwick_core::{
    message::Question, record::RecordType, report::RoundId, trace::Trace, vantage::VantagePoint,
};
use bailiwick_lab::{
    scenario::{START, Scenario},
    simulate::{Settings, simulate},
};
use bailiwick_probe::{Ended, Tracer};

/// Walks to the SOA of the zone that a scenario checks.
fn trace(scenario: &str) -> Trace {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let text = fs::read_to_string(format!("{folder}/{scenario}.txt")).unwrap();
    let scenario = Scenario::parse(&text).unwrap();
    let question = Question::new(scenario.check.zone.clone(), RecordType::SOA);
    let mut tracer = Tracer::new(question, &scenario.check, scenario.limits);
    let settings = Settings {
        allow_special_use: scenario.check.lab,
        ..Settings::laboratory()
    };
    let (elapsed, packets) = simulate(&mut tracer, &scenario.world, &settings);
    tracer.finish(Ended {
        vantage: VantagePoint::local(scenario.check.families),
        round: RoundId(1),
        started: START,
        elapsed,
        packets,
    })
}

#[test]
fn a_walk_ends_where_the_world_is_broken() {
    let cases = [
        ("healthy-in-domain", "NOERROR", "", "a healthy zone"),
        (
            "healthy-unrelated",
            "NOERROR",
            "",
            "names without glue are looked up",
        ),
        (
            "healthy-empty-non-terminal-denied",
            "NOERROR",
            "",
            "minimisation is given up where it hurts",
        ),
        (
            "delegation-missing",
            "NXDOMAIN",
            "",
            "a denial is an answer",
        ),
        (
            "not-a-zone-data",
            "NOERROR",
            "",
            "no data is an answer, too",
        ),
        (
            "ds-broken-after-move",
            "NOERROR",
            "",
            "the walk does not validate",
        ),
        (
            "glue-dead-address",
            "NOERROR",
            "",
            "the other address answers",
        ),
        (
            "glue-missing-all",
            "SERVFAIL",
            "Cycle { path: [example.com., ns1.example.com.] }",
            "its own name servers are inside",
        ),
        (
            "glue-dead-address-all",
            "SERVFAIL",
            "NoUsableAnswer { zone: example.com. }",
            "silence",
        ),
        (
            "glue-lame-address-all",
            "SERVFAIL",
            "NoUsableAnswer { zone: example.com. }",
            "refusal",
        ),
        (
            "v7-glue-stale",
            "SERVFAIL",
            "NoUsableAnswer { zone: example.com. }",
            "old addresses",
        ),
        (
            "glue-special-use-address-all",
            "SERVFAIL",
            "NoUsableAnswer { zone: example.com. }",
            "never asked",
        ),
        (
            "ns-unresolvable-all",
            "SERVFAIL",
            "NoAddress { zone: example.com. }",
            "a dead dependency",
        ),
        (
            "v7-dead-sibling",
            "SERVFAIL",
            "NoAddress { zone: example.com. }",
            "a dead sibling",
        ),
        (
            "sibling-cycle-unbroken",
            "SERVFAIL",
            "Cycle",
            "round and round below one registry",
        ),
        ("ns-cycle", "SERVFAIL", "Cycle", "round and round below two"),
        ("delegation-too-deep", "SERVFAIL", "TooDeep", "limit B6"),
        (
            "parent-silent",
            "SERVFAIL",
            "NoUsableAnswer { zone: com. }",
            "the registry's servers are dead",
        ),
        (
            "root-silent",
            "SERVFAIL",
            "NoUsableAnswer { zone: . }",
            "not online",
        ),
    ];
    let mut wrong = String::new();
    for (scenario, rcode, reason, why) in cases {
        let answer = trace(scenario).answer;
        let found = answer.reason.map_or(String::new(), |r| format!("{r:?}"));
        let as_expected = answer.rcode.to_string() == rcode
            && found.starts_with(reason)
            && found.is_empty() == reason.is_empty();
        if !as_expected {
            let _ = writeln!(wrong, "{scenario}: {why}: {} {found}", answer.rcode);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
