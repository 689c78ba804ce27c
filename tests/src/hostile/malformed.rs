//! T12: messages that break the rules of RFC 1035, section 4, each in one way.

use bailiwick_core::message::{Flags, Message};
use bailiwick_core::name::Name;
use bailiwick_core::record::{Record, RecordData, RecordType};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::names::{host, server_at, two_hosts, v4};
use super::realm::Realm;
use super::script::Asked;
use super::{Expected, Plan, Seed, play};

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    PointerToItself,
    PointerLoop,
    ForwardPointer,
    PointerBeyond,
    PointerChain,
    Label0x40,
    Label0x80,
    AnswerCount,
    AllCounts,
    LengthBeyond,
    ShortAddress,
    NoData,
    CutSoa,
    TwoOpt,
    OptInAnswer,
    OptOptionBeyond,
    LongName,
    ManyNames,
    HeaderOnly,
    HalfQuestion,
    Nothing,
    Trailing,
    Random,
    Flipped,
    Cut,
    TextBeyond,
    WrongSize,
    OddClass,
    ControlOctets,
    ManyRecords,
    MaximalTtl,
    RcodeAndData,
}

const FAULTS: [Fault; 32] = [
    Fault::PointerToItself,
    Fault::PointerLoop,
    Fault::ForwardPointer,
    Fault::PointerBeyond,
    Fault::PointerChain,
    Fault::Label0x40,
    Fault::Label0x80,
    Fault::AnswerCount,
    Fault::AllCounts,
    Fault::LengthBeyond,
    Fault::ShortAddress,
    Fault::NoData,
    Fault::CutSoa,
    Fault::TwoOpt,
    Fault::OptInAnswer,
    Fault::OptOptionBeyond,
    Fault::LongName,
    Fault::ManyNames,
    Fault::HeaderOnly,
    Fault::HalfQuestion,
    Fault::Nothing,
    Fault::Trailing,
    Fault::Random,
    Fault::Flipped,
    Fault::Cut,
    Fault::TextBeyond,
    Fault::WrongSize,
    Fault::OddClass,
    Fault::ControlOctets,
    Fault::ManyRecords,
    Fault::MaximalTtl,
    Fault::RcodeAndData,
];

/// Whose messages they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Who {
    Child,
    Parent,
    OnTheWay,
}

pub(super) const SHAPES: usize = FAULTS.len() * 3;

const OPT: u16 = 41;

pub(super) fn plan(mut seed: Seed) -> Plan {
    let fault = seed.pick(&FAULTS);
    let who = seed.pick(&[Who::Child, Who::Parent, Who::OnTheWay]);
    let salt: u64 = seed.random.random();

    let com = seed.apex("", "com");
    let net = seed.apex("", "net");
    let zone = format!("z.{com}");
    let outside = format!("@ NS ns1\n@ NS ns.{net}\n{}", host("ns1", 2));
    let below = format!("z NS ns1.z\nz NS ns.{net}\n{}", host("ns1.z", 2));
    let mut realm = Realm::of(seed.number, &below, &host("ns", 3));
    realm.serve(&zone, &[2, 3], &outside);
    let about = format!("{fault:?}, {who:?}");
    let plan = Plan::check(
        &seed,
        &zone,
        about,
        play(move |asked| {
            let server = server_at(asked.to).unwrap_or(0);
            let is_net = asked.question.name.labels().next_back() == Some(b"net");
            let is_bad = match who {
                Who::Child => server >= 2,
                Who::Parent => server < 2 && !is_net,
                Who::OnTheWay => server < 2 && is_net,
            };
            if !is_bad {
                return realm.answer(asked);
            }
            let mut random = StdRng::seed_from_u64(salt ^ octet_sum(&asked.octets));
            asked.send(broken(fault, asked, &realm.message(asked), &mut random))
        }),
    );
    plan.registered(&net, &two_hosts([0, 1]))
        .expecting(Expected::default())
}

/// Gives unlike questions unlike faults, without looking at the random ID.
fn octet_sum(query: &[u8]) -> u64 {
    query[2..]
        .iter()
        .map(|octet| u64::from(octet.to_ascii_lowercase()))
        .sum()
}

/// Writes the header and the question of a reply, with these counts, and what follows.
fn raw(asked: &Asked, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let mut octets = asked.envelope.id.to_be_bytes().to_vec();
    octets.extend([0x84, 0x00]); // QR and AA
    for count in counts {
        octets.extend(count.to_be_bytes());
    }
    octets.extend(asked.question_section());
    octets.extend(rest);
    octets
}

/// Writes a record with an owner as on the wire.
fn record(owner: &[u8], record_type: RecordType, length: u16, data: &[u8]) -> Vec<u8> {
    let mut octets = owner.to_vec();
    octets.extend(record_type.0.to_be_bytes());
    octets.extend([0, 1, 0, 0, 0x0e, 0x10]); // IN, one hour
    octets.extend(length.to_be_bytes());
    octets.extend(data);
    octets
}

/// A pointer to the name of the question, which every compressor makes.
const TO_QUESTION: [u8; 2] = [0xc0, 0x0c];

/// Answers, wrongly.
fn broken(fault: Fault, asked: &Asked, honest: &Message, random: &mut StdRng) -> Vec<u8> {
    let one = [1, 1, 0, 0];
    // Where the first record begins, for pointers into it.
    let here = u16::try_from(12 + asked.question_section().len()).unwrap_or(12);
    let pointer = |to: u16| (0xc000 | to).to_be_bytes();
    let good = asked.encode(honest);
    let a = RecordType::A;
    match fault {
        Fault::PointerToItself => raw(asked, one, &record(&pointer(here), a, 4, &[91, 200, 0, 53])),
        Fault::PointerLoop => {
            let owner = [&[1, b'a'][..], &pointer(here + 4), &pointer(here)].concat();
            raw(asked, one, &record(&owner[..4], a, 2, &pointer(here)))
        }
        Fault::ForwardPointer => {
            let forward = record(&pointer(here + 12), RecordType::NS, 3, &[1, b'a', 0]);
            raw(asked, one, &forward)
        }
        Fault::PointerBeyond => raw(asked, one, &record(&pointer(0x3fff), a, 4, &[1, 2, 3, 4])),
        Fault::PointerChain => {
            // Each name is a pointer to the one before: legal, and slow where pointers are
            // followed without memory.
            let mut rest = record(&TO_QUESTION, RecordType::NS, 2, &TO_QUESTION);
            let mut at = here + 12;
            for _ in 0..40 {
                rest.extend(record(&TO_QUESTION, RecordType::NS, 2, &pointer(at - 2)));
                at = here + u16::try_from(rest.len()).unwrap_or(0);
            }
            raw(asked, [1, 41, 0, 0], &rest)
        }
        Fault::Label0x40 => raw(asked, one, &record(&[0x41, b'a', 0], a, 4, &[1, 2, 3, 4])),
        Fault::Label0x80 => raw(asked, one, &record(&[0x81, b'a', 0], a, 4, &[1, 2, 3, 4])),
        Fault::AnswerCount => raw(asked, [1, 65535, 0, 0], &[]),
        Fault::AllCounts => raw(asked, [65535; 4], &good[12..]),
        Fault::LengthBeyond => raw(asked, one, &record(&TO_QUESTION, a, 0xffff, &[1, 2])),
        Fault::ShortAddress => raw(asked, one, &record(&TO_QUESTION, a, 3, &[1, 2, 3])),
        Fault::NoData => raw(
            asked,
            one,
            &record(&TO_QUESTION, asked.question.record_type, 0, &[]),
        ),
        Fault::CutSoa => raw(
            asked,
            one,
            &record(
                &TO_QUESTION,
                RecordType::SOA,
                9,
                &[0, 0, 0, 0, 0, 1, 0, 0, 2],
            ),
        ),
        Fault::TwoOpt => {
            let opt = record(&[0], RecordType(OPT), 0, &[]);
            raw(asked, [1, 0, 0, 2], &[&opt[..], &opt].concat())
        }
        Fault::OptInAnswer => raw(asked, one, &record(&[0], RecordType(OPT), 0, &[])),
        Fault::OptOptionBeyond => {
            let option = [0, 3, 0xff, 0xff, b'x'];
            raw(
                asked,
                [1, 0, 0, 1],
                &record(&[0], RecordType(OPT), 5, &option),
            )
        }
        Fault::LongName => {
            let label = [&[63_u8][..], &[b'a'; 63]].concat();
            let owner = [&label.repeat(5)[..], &[0]].concat();
            raw(asked, one, &record(&owner, a, 4, &[1, 2, 3, 4]))
        }
        Fault::ManyNames => many_names(asked, here),
        Fault::HeaderOnly => good[..12].to_vec(),
        Fault::HalfQuestion => good[..good.len().min(20)].to_vec(),
        Fault::Nothing => vec![],
        Fault::Trailing => [&good[..], &[0xff; 40]].concat(),
        Fault::Random => {
            let rest: Vec<u8> = (0..random.random_range(1..400))
                .map(|_| random.random())
                .collect();
            raw(asked, [1, 3, 2, 1], &rest)
        }
        Fault::Flipped => {
            let mut octets = good;
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(2..octets.len());
                octets[at] ^= 1 << random.random_range(0..8);
            }
            octets
        }
        Fault::Cut => good[..random.random_range(0..good.len())].to_vec(),
        Fault::TextBeyond => raw(
            asked,
            one,
            &record(&TO_QUESTION, RecordType::TXT, 3, &[0xff, b'a', b'b']),
        ),
        Fault::WrongSize => {
            let six = record(&TO_QUESTION, RecordType::AAAA, 4, &[1, 2, 3, 4]);
            let four = record(&TO_QUESTION, a, 16, &[0x2a; 16]);
            raw(asked, [1, 2, 0, 0], &[six, four].concat())
        }
        Fault::OddClass => {
            let mut odd = record(
                &TO_QUESTION,
                asked.question.record_type,
                4,
                &[91, 200, 0, 53],
            );
            odd[4..6].copy_from_slice(&[0, 254]);
            raw(asked, one, &odd)
        }
        Fault::ControlOctets => asked.encode(&with_control_octets(asked, honest)),
        Fault::ManyRecords => asked.encode(&with_many_records(asked)),
        Fault::MaximalTtl => {
            let mut message = honest.clone();
            for record in [
                &mut message.answer,
                &mut message.authority,
                &mut message.additional,
            ]
            .into_iter()
            .flatten()
            {
                record.ttl = u32::MAX;
            }
            asked.encode(&message)
        }
        Fault::RcodeAndData => {
            let mut octets = good;
            octets[3] |= 1 << random.random_range(0..4);
            octets
        }
    }
}

/// As many names as fit into 64 KiB, each compressed to two octets.
fn many_names(asked: &Asked, here: u16) -> Vec<u8> {
    let long = [&[63_u8][..], &[b'a'; 63]].concat();
    let room = 255 - asked.question.name.wire_length();
    let first = [
        &long[..room.min(64) * usize::from(room >= 64)],
        &TO_QUESTION,
    ]
    .concat();
    let length = u16::try_from(first.len()).unwrap_or(0);
    let mut rest = record(&TO_QUESTION, RecordType::NS, length, &first);
    let to_first = (0xc000 | (here + 12)).to_be_bytes();
    let another = record(&to_first, RecordType::NS, 2, &to_first);
    let room = match asked.via {
        crate::internet::switch::Transport::Udp => 4000,
        crate::internet::switch::Transport::Tcp => 65_000,
    };
    let count = (room - rest.len()) / another.len();
    for _ in 0..count {
        rest.extend(&another);
    }
    raw(
        asked,
        [1, u16::try_from(count + 1).unwrap_or(u16::MAX), 0, 0],
        &rest,
    )
}

/// Name servers whose names would do something to a terminal.
fn with_control_octets(asked: &Asked, honest: &Message) -> Message {
    let labels: [&[u8]; 5] = [
        b"\x1b[31mred",
        b"\x00nul",
        b"a.b\"c",
        b"\xff\xfe",
        b"=cmd|' /c'",
    ];
    let records = labels.iter().filter_map(|label| {
        Some(Record {
            name: asked.question.name.clone(),
            ttl: 60,
            data: RecordData::Ns(asked.question.name.child(label).ok()?),
        })
    });
    let mut message = honest.clone();
    if message
        .authority
        .iter()
        .any(|r| r.record_type() == RecordType::NS)
    {
        message.authority.extend(records);
    } else {
        message.answer.extend(records);
    }
    message
}

/// More addresses and names than anybody has.
fn with_many_records(asked: &Asked) -> Message {
    let name: &Name = &asked.question.name;
    let data = (0..60).flat_map(|at| {
        let host = name.child(format!("m{at}").as_bytes()).ok();
        [host.map(RecordData::Ns), Some(v4(at).into())]
    });
    Message {
        flags: Flags {
            authoritative: true,
            ..Flags::default()
        },
        answer: data
            .flatten()
            .map(|data| Record {
                name: name.clone(),
                ttl: 60,
                data,
            })
            .collect(),
        ..Message::default()
    }
}
