//! Messages by example, broken ones above all.

use super::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn question(text: &str, record_type: RecordType) -> Question {
    Question::new(name(text), record_type)
}

#[test]
fn a_query_is_written_octet_by_octet() {
    let asked = question("a1.Bc.", RecordType::SOA);
    let plain = b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02a1\x02bc\x00\x00\x06\x00\x01";
    assert_eq!(encode_query(&asked, &Options::PLAIN, 0x1234, 0), plain);

    let options = Options {
        dnssec_ok: true,
        checking_disabled: true,
        ..Options::RECURSIVE
    };
    let full = b"\x12\x34\x01\x10\x00\x01\x00\x00\x00\x00\x00\x01\x02A1\x02bC\x00\x00\x06\x00\x01\
                 \x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x04\x00\x03\x00\x00";
    assert_eq!(
        encode_query(&asked, &options, 0x1234, 0b101),
        full,
        "bits count letters, not octets; EDNS with DO and NSID"
    );
    let chaos = Question {
        class: Class::Chaos,
        ..question("id.server.", RecordType::TXT)
    };
    let octets = encode_query(&chaos, &Options::PLAIN, 1, 0);
    assert_eq!(octets[octets.len() - 4..], [0, 16, 0, 3]);
}

#[test]
fn the_codec_reads_our_queries_as_we_mean_them() {
    for (text, case) in [(".", u64::MAX), ("example.", u64::MAX), (r"\000\255.x.", 7)] {
        let asked = question(text, RecordType::DNSKEY);
        let octets = encode_query(&asked, &Options::ITERATIVE, 7, case);
        let read = op::Message::from_vec(&octets).unwrap();
        assert_eq!(super::name(read.queries[0].name()), Ok(asked.name));
        assert_eq!(read.edns.unwrap().max_payload(), UDP_SIZE);
    }
    let long = ["abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"; 3].join(".");
    let octets = encode_query(
        &question(&long, RecordType::A),
        &Options::PLAIN,
        7,
        1 << 63 | 1,
    );
    let (wire, ..) = peek(&octets).unwrap().question.unwrap();
    let upper = wire
        .iter()
        .enumerate()
        .filter(|(_, o)| o.is_ascii_uppercase());
    let places: Vec<_> = upper.map(|(at, _)| at).collect();
    // Labels of 52 letters and a length octet: letter 63 stands 65 octets from the start.
    assert_eq!(
        places,
        [1, 65, 66, 130, 131],
        "bits come round after 64 letters"
    );
}

#[test]
fn an_envelope_is_read_before_all_else() {
    let asked = question("a.example.", RecordType::NS);
    let query = encode_query(&asked, &Options::ITERATIVE, 0xbeef, u64::MAX);
    let envelope = peek(&query).unwrap();
    assert_eq!(
        (envelope.id, envelope.response, envelope.opcode),
        (0xbeef, false, 0)
    );
    let expected = (b"\x01A\x07EXAMPLE\x00".to_vec(), 2, 1);
    assert_eq!(envelope.question, Some(expected), "case is kept");
    assert_eq!(
        to_question(envelope.question.as_ref().unwrap()),
        Some(asked)
    );

    let reply = encode_reply(&Message::default(), &envelope);
    let seen = peek(&reply).unwrap();
    assert!(seen.response && seen.question == envelope.question && seen.id == 0xbeef);
}

#[test]
fn what_has_no_envelope_belongs_to_nobody() {
    let header = |questions: u8| [0, 1, 0x80, 0, 0, questions, 0, 0, 0, 0, 0, 0].to_vec();
    let with = |rest: &[u8]| [&header(1), rest].concat();
    let cases = [
        (vec![], "nothing"),
        (header(0)[..11].to_vec(), "less than a header"),
        (header(1), "no question where one is promised"),
        (with(b"\x03ab"), "the name ends in a label"),
        (with(b"\x01a\x00\x00\x01\x00"), "the class is cut"),
        (with(b"\xc0\x0c\x00\x01\x00\x01"), "a pointer to itself"),
        (with(b"\x40a\x00\x00\x01\x00\x01"), "a label type of old"),
        (
            with(&[&[63; 256][..], &[0; 5]].concat()),
            "a name of more than 255 octets",
        ),
        (
            [
                header(2),
                b"\x00\x00\x01\x00\x01\x00\x00\x01\x00\x01".to_vec(),
            ]
            .concat(),
            "two questions",
        ),
    ];
    for (octets, why) in cases {
        assert_eq!(peek(&octets), None, "{why}");
    }
    assert_eq!(
        peek(&header(0)).unwrap().question,
        None,
        "no question is no error"
    );
}

#[test]
fn broken_messages_are_refused_for_what_is_wrong() {
    let reply = |counts: [u16; 4], rest: &[u8]| {
        let mut octets = vec![0, 1, 0x84, 0];
        octets.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        octets.extend_from_slice(rest);
        octets
    };
    let record = |record_type: u8, data: &[u8]| {
        let length = u8::try_from(data.len()).unwrap();
        [&[0, 0, record_type, 0, 1, 0, 0, 0, 0, 0, length], data].concat()
    };
    let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
    let cases = [
        (vec![0; 11], "no header", "11 octets"),
        (
            reply([2, 0, 0, 0], &[0; 40]),
            "2 questions",
            "no server may repeat more than it was asked",
        ),
        (
            reply([1, 65_535, 65_535, 65_535], &[0; 40]),
            "do not fit",
            "counts out of all proportion",
        ),
        (
            reply([0, 2, 0, 0], &record(1, &[1, 2, 3, 4])),
            "do not fit",
            "the second answer is missing",
        ),
        (
            reply([0, 1, 0, 0], &record(1, &[1, 2, 3, 4])[..14]),
            "rdata length",
            "cut inside the data",
        ),
        (
            reply([0, 1, 0, 0], &record(1, &[1, 2, 3, 4, 5])),
            "rdata length",
            "an A record of 5 octets",
        ),
        (
            reply([0, 1, 0, 0], &record(28, &[0; 4])),
            "end of input",
            "an AAAA record of 4 octets",
        ),
        (
            reply([0, 1, 0, 0], &record(43, &[0; 3])),
            "DS record of 3",
            "a DS record without digest type",
        ),
        (
            reply([0, 1, 0, 0], &record(48, &[0; 3])),
            "DNSKEY record of 3",
            "a DNSKEY without algorithm",
        ),
        (
            reply([0, 1, 0, 0], &record(39, &[0xc0, 12])),
            "DNAME record of 2",
            "DNAME may not be compressed",
        ),
        (
            reply([0, 1, 0, 0], &record(39, &[1, b'a', 0, 0])),
            "DNAME record of 4",
            "more than a name",
        ),
        (
            reply([0, 1, 0, 0], &record(2, &[0xc0, 23])),
            "not prior",
            "a pointer to itself",
        ),
        (
            reply([0, 1, 0, 0], &record(2, &[0xc0, 0x40])),
            "not prior",
            "a pointer forwards",
        ),
        (
            reply([0, 1, 0, 0], &record(2, &[0x40, 0])),
            "rdata length",
            "label type 0x40",
        ),
        (
            reply([0, 1, 0, 0], &record(2, &[0x80, 0])),
            "rdata length",
            "label type 0x80",
        ),
        (
            reply([0, 1, 0, 0], &record(1, &[])),
            "length 0",
            "an A record without data",
        ),
        (
            reply([0, 0, 0, 2], &[opt, &opt[..]].concat()),
            "edns",
            "OPT twice",
        ),
        (
            reply([0, 1, 0, 0], opt),
            "only allowed in additional",
            "OPT among the answers",
        ),
        (
            reply(
                [0, 0, 0, 1],
                b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x05\x00\x03\x00\x09x",
            ),
            "",
            "an EDNS option longer than its record",
        ),
    ];
    for (octets, says, why) in cases {
        let error = decode(&octets).expect_err(why).to_string();
        assert!(
            error.to_lowercase().contains(&says.to_lowercase()),
            "{why}: {error}"
        );
    }
}

#[test]
fn odd_but_readable_messages_are_read() {
    let long_ttl =
        b"\0\x01\x84\0\0\0\0\x01\0\0\0\0\0\0\x01\0\x01\xff\xff\xff\xff\0\x04\xc0\0\x02\x01rest";
    let message = decode(long_ttl).unwrap();
    assert_eq!(message.answer[0].ttl, MAX_TTL, "RFC 8767, section 4");
    assert_eq!(
        message.octets,
        long_ttl.len(),
        "what follows the last record is counted"
    );

    let unknown =
        decode(b"\0\x01\x80\x0e\0\0\0\0\0\0\0\x01\0\0\x29\x02\0\xfe\x01\x80\0\0\0").unwrap();
    assert_eq!(
        unknown.rcode,
        Rcode(0xfee),
        "codes that nobody knows stay as they are"
    );
    assert_eq!(unknown.edns.unwrap().version, 1);

    let mx = decode(
        b"\0\x01\x80\0\0\x01\0\x01\0\0\0\0\x01A\0\0\x0f\0\x01\xc0\x0c\0\x0f\0\x01\0\0\0\x05\0\x04\0\x0a\xc0\x0c",
    );
    let expected = RecordData::Other(RecordType::MX, b"\0\x0a\x01a\0".as_slice().into());
    assert_eq!(
        mx.unwrap().answer[0].data,
        expected,
        "names expanded, in lower case"
    );
}

#[test]
fn extended_errors_and_identifiers_are_read() {
    let sent = Message {
        rcode: Rcode::SERVFAIL,
        edns: Some(Edns {
            version: 0,
            udp_size: 1232,
            nsid: Some(b"fra1".as_slice().into()),
            errors: vec![
                ExtendedError {
                    code: 22,
                    text: b"no reachable authority".as_slice().into(),
                },
                ExtendedError {
                    code: 23,
                    text: Box::default(),
                },
            ],
        }),
        ..Message::default()
    };
    let read = decode(&encode_message(&sent, None, 1)).unwrap();
    assert_eq!(read.edns, sent.edns);
    assert_eq!(extended_error(b"\x01"), None, "one octet is no code");
}

#[test]
fn sixteen_kibibytes_of_long_compressed_names_are_read_in_bounded_time() {
    // The largest message that is decoded (limit B9), made of what costs most: a name of 127
    // labels, and as many records as fit whose owner and data are pointers to it.
    let mut octets = vec![0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    octets.extend([1, b'a'].repeat(127));
    octets.extend([0, 0, 2, 0, 1]);
    let record = [0xc0, 12, 0, 2, 0, 1, 0, 0, 0, 0, 0, 2, 0xc0, 12];
    let records = (16 * 1024 - octets.len()) / record.len();
    octets.extend(record.repeat(records));
    octets[6..8].copy_from_slice(&u16::try_from(records).unwrap().to_be_bytes());
    let began = std::time::Instant::now();
    let message = decode(&octets).unwrap();
    assert_eq!((message.answer.len(), records), (records, 1_150));
    // Some milliseconds with optimisation, some more without.
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
}
