use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use bailiwick_core::{
    check::{CheckId, Expectation},
    place::{Asn, Position, Rir},
    query::Stub,
    report::{Found, LeftOut, RoundId},
    server::Family,
    vantage::{Objection, VantagePoint},
};
use proptest::{collection, option, prelude::*, sample};

use super::*;

fn any_place() -> impl Strategy<Value = Place> {
    let network = (
        any::<u64>(),
        option::of((1..=u32::MAX).prop_map(Asn)),
        option::of(sample::select(Rir::ALL.to_vec())),
        option::of(
            (-90_000_000..=90_000_000, -180_000_000..=180_000_000)
                .prop_filter_map("a point on Earth", |(north, east)| {
                    Position::of(north, east)
                }),
        ),
        option::of(any::<IpAddr>()),
    );
    let enrolled = (
        option::of(".{0,20}"),
        collection::btree_map("[^=]{0,10}", ".{0,20}", 0..4),
        any::<bool>(),
        collection::btree_set(sample::select(Objection::ALL.to_vec()), 0..3),
    );
    (network, enrolled).prop_map(
        |((since, asn, rir, position, address), (operator, labels, lab, objections))| Place {
            since: Timestamp(since),
            asn,
            rir,
            position,
            address,
            operator,
            labels,
            lab,
            objections,
        },
    )
}

fn who(name: &str) -> VantageId {
    VantageId(name.to_owned())
}

fn check() -> Check {
    Check {
        id: CheckId(7),
        zone: "example.com.".parse().unwrap(),
        expectation: Expectation::default(),
        roots: Vec::new(),
        resolvers: Vec::new(),
        stub: Stub::Plain,
        families: Family::ALL.into(),
        minimise: true,
        timeout: Duration::from_secs(5),
        nonce: 9,
        blackholes: Vec::new(),
        lab: false,
    }
}

fn report(from: &str) -> Report {
    Report {
        check: check(),
        round: RoundId(1),
        vantage: VantagePoint {
            id: who(from),
            families: Family::ALL.into(),
        },
        started: Timestamp(5),
        elapsed: Duration::from_millis(3),
        path: Vec::new(),
        found: Found::Absent,
        lookups: BTreeMap::new(),
        observations: BTreeMap::new(),
        left_out: LeftOut::default(),
        packets: 12,
    }
}

fn report_part(from: &str) -> pb::EvidencePart {
    let encoded = crate::report::encode(&report(from));
    let envelope = ReportEnvelope {
        id: None,
        body_hash: crate::report::hash(&encoded.body).to_vec().into(),
        body: encoded.body,
        answers: encoded.answers,
    };
    to_report(&who(from), Timestamp(1_000), envelope)
}

fn saved() -> (Vec<pb::EvidencePart>, Saved) {
    let place = Place::of_labels(["asn=64500", "rir=ripe", "role=probe"]).unwrap();
    let places = vec![(who("fra-1"), place), (who("nyc-1"), Place::default())];
    let verdict = Bytes::from_static(b"{}\n");
    let head = to_head(
        &check(),
        places.iter().map(|(vantage, place)| (vantage, place)),
        1,
        verdict.clone(),
    );
    let parts = vec![head, report_part("nyc-1"), report_part("fra-1")];
    let saved = Saved {
        check: check(),
        reports: ["nyc-1", "fra-1"].map(|v| (who(v), report(v))).to_vec(),
        places,
        policy: 1,
        verdict,
    };
    (parts, saved)
}

fn file(parts: &[pb::EvidencePart]) -> Vec<u8> {
    let mut octets = MAGIC.to_vec();
    for part in parts {
        octets.extend_from_slice(&frame(part));
    }
    octets.extend_from_slice(END);
    octets
}

#[test]
fn what_was_saved_is_read_back() {
    let (parts, wanted) = saved();
    let back = super::parts(file(&parts).into()).unwrap();
    assert_eq!(back, parts, "octet by octet");
    assert_eq!(read(&back), Ok(wanted));
}

#[test]
fn half_a_file_is_none() {
    let (parts, _) = saved();
    let whole = file(&parts);
    for length in 0..whole.len() {
        let cut = Bytes::copy_from_slice(&whole[..length]);
        let refused = super::parts(cut).unwrap_err();
        assert!(
            matches!(refused, EvidenceError::CutOff { .. })
                || length == 0 && refused == EvidenceError::Other,
            "{length}: {refused}"
        );
    }
}

#[test]
fn what_is_no_evidence_is_refused_with_its_reason() {
    let (parts, _) = saved();
    let whole = file(&parts);
    let with = |more: &[u8]| [&whole[..], more].concat();
    let [head, one, _] = &parts[..] else {
        panic!("three parts")
    };
    let mut changed = one.clone();
    if let Some(Kind::Report(report)) = &mut changed.kind {
        report.report.as_mut().unwrap().body = Bytes::from_static(b"x");
    }
    let mut nobody = one.clone();
    if let Some(Kind::Report(report)) = &mut nobody.kind {
        report.vantage.clear();
    }
    let huge = [MAGIC, &[0xff, 0xff, 0xff, 0x7f]].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"{}".to_vec(), "no evidence of bailiwick"),
        (
            b"bailiwick.evidence/2\n".to_vec(),
            "version \"2\", this program knows 1",
        ),
        (with(b"more"), "4 octets follow the end"),
        (huge, "more than 16777216 octets in a part"),
        (file(&[]), "part 1 of the evidence is not a head"),
        (
            file(&[one.clone(), head.clone()]),
            "part 1 of the evidence is not a head",
        ),
        (
            file(&[head.clone(), head.clone()]),
            "part 2 of the evidence is not a report",
        ),
        (
            file(&[head.clone(), changed]),
            "part 2 of the evidence was changed",
        ),
        (
            file(&[head.clone(), one.clone(), nobody]),
            "part 3 of the evidence: vantage point is missing",
        ),
        (
            [MAGIC, &[2, 0xff, 0xff, 0]].concat(),
            "part 1 of the evidence: broken message",
        ),
    ];
    for (octets, wanted) in cases {
        let refused = super::parts(octets.into()).and_then(|parts| read(&parts));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(wanted), "{wanted}: {refused}");
    }
}

#[test]
fn a_place_that_is_not_understood_is_refused() {
    let good = || to_place(&who("fra-1"), &Place::default());
    assert!(place(&good()).is_ok());
    let bad = |change: fn(&mut pb::Place)| {
        let mut bad = good();
        change(&mut bad);
        bad
    };
    let cases = [
        (bad(|p| p.vantage.clear()), "vantage point is missing"),
        (bad(|p| p.rir = "RIPE".to_owned()), "registry: \"RIPE\""),
        (
            bad(|p| p.observed = vec![1, 2, 3].into()),
            "4 or 16 octets, not 3",
        ),
        (
            bad(|p| p.without_vote = vec!["ugly\u{1b}[m".to_owned()]),
            "objection: \"ugly\\u{1b}[m\" is not known",
        ),
        (
            bad(|p| p.labels = vec!["role".to_owned()]),
            "label: \"role\"",
        ),
        (
            bad(|p| p.labels = vec!["a=1".to_owned(), "a=2".to_owned()]),
            "second time: \"a=2\"",
        ),
        (
            bad(|p| p.labels = (0..513).map(|n| format!("{n}=")).collect()),
            "513 labels; at most 512",
        ),
        (
            bad(|p| p.operator = Some("x".repeat(1025))),
            "1025 octets in a text; at most 1024",
        ),
        (
            bad(|p| {
                p.position = Some(pb::Position {
                    latitude: 90_000_001,
                    longitude: 0,
                });
            }),
            "position: \"90000001,0\"",
        ),
    ];
    for (bad, wanted) in cases {
        let refused = place(&bad).unwrap_err().to_string();
        assert!(refused.contains(wanted), "{wanted}: {refused}");
    }
}

proptest! {
    #[test]
    fn places_are_read_as_they_were_written(place in any_place(), name in ".{1,20}") {
        let written = to_place(&who(&name), &place);
        let octets = written.encode_to_vec();
        let back = pb::Place::decode(octets.as_slice()).unwrap();
        prop_assert_eq!(super::place(&back), Ok((who(&name), place)));
    }

    #[test]
    fn reading_never_panics(octets in collection::vec(any::<u8>(), 0..200)) {
        let file = [MAGIC, &octets].concat();
        let _ = parts(file.into()).and_then(|parts| read(&parts));
    }
}
