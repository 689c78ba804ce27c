use super::*;

fn answer(id: u16, case: u64) -> Vec<u8> {
    use bailiwick_core::{message::Question, query::Options, record::RecordType};
    let question = Question::new("ns1.example.com.".parse().unwrap(), RecordType::A);
    crate::dns::encode_query(&question, &Options::ITERATIVE, id, case)
}

#[test]
fn equal_answers_to_different_questions_are_kept_once() {
    let mut answers = Answers::default();
    let places = [
        answers.place(&answer(1, 0)),
        answers.place(&answer(2, 0x0f0f)),
        answers.place(b"no message"),
        answers.place(&[]),
        answers.place(&answer(3, u64::MAX)),
    ];
    assert_eq!(places, [1, 1, 2, 0, 1]);
    assert_eq!(answers.octets.len(), 2);
    assert_eq!(answers.octets[1], b"no message".as_slice(), "as it came");
}

#[test]
fn what_is_no_report_is_refused_with_its_place() {
    let none: [&[u8]; 0] = [];
    let here = || VantageId("fra-1".to_owned());
    let refused = |body: pb::Report| decode(&body.encode_to_vec(), &none, here()).unwrap_err();
    assert_eq!(
        refused(pb::Report::default()).to_string(),
        "check is missing"
    );
    let many = vec![pb::Observation::default(); MAX_OBSERVATIONS + 1];
    let crowded = pb::Report {
        observations: many,
        ..pb::Report::default()
    };
    assert_eq!(
        refused(crowded).to_string(),
        "2561 observations; at most 2560 are allowed"
    );
    let dangling = pb::Report {
        observations: vec![pb::Observation {
            answer: 1,
            ..pb::Observation::default()
        }],
        ..pb::Report::default()
    };
    assert_eq!(refused(dangling).to_string(), "answer 1 is missing");
    let long = vec![0; MAX_REPORT + 1];
    assert!(matches!(
        decode(&long, &none, here()),
        Err(DecodeError::TooMany { what: "octets", .. })
    ));
}

#[test]
fn the_beginning_is_read_without_the_rest() {
    let body = pb::Report {
        started_us: u64::MAX,
        // Half a check is no check, but that is not the question.
        check: Some(pb::Check::default()),
        observations: vec![pb::Observation::default(); 3],
        ..pb::Report::default()
    };
    let octets = body.encode_to_vec();
    assert_eq!(started(&octets), Some(Timestamp(u64::MAX)));
    assert_eq!(started(&[]), None, "not said");
    assert_eq!(started(b"\xff\xff\xff"), None, "no message");
    assert_eq!(started(&octets[..octets.len() - 1]), None, "cut off");
}

proptest::proptest! {
    #[test]
    fn reading_never_panics(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let none: [&[u8]; 0] = [];
        let _ = decode(&body, &none, VantageId("any".to_owned()));
    }
}

#[test]
fn what_a_report_is_about_is_read_without_the_rest() {
    let id = [7; 16];
    let of = |id: &[u8]| pb::Report {
        check: Some(pb::Check {
            id: id.to_vec().into(),
            ..pb::Check::default()
        }),
        round: 9,
        ..pb::Report::default()
    };
    let read = |body: pb::Report| about(&body.encode_to_vec());
    let expected = Some((CheckId(u128::from_be_bytes(id)), RoundId(9)));
    assert_eq!(read(of(&id)), expected);
    assert_eq!(read(of(&id[1..])), None, "an identity has 16 octets");
    assert_eq!(read(pb::Report::default()), None);
    assert_eq!(about(b"\xff\xff"), None);
}
