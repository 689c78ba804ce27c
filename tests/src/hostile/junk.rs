//! T14: datagrams that answer nothing, before the one that does. The zone is
//! healthy, and whoever keeps listening sees that.

use std::time::Duration;

use bailiwick_core::message::{Flags, Message};
use bailiwick_wire::dns::HEADER;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::realm::Realm;
use super::script::{Asked, Script, Step};
use super::{Expected, Plan, Seed, play};
use crate::internet::switch::Transport;

/// What is wrong with the junk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Id,
    Name,
    Case,
    Type,
    Class,
    Query,
    Opcode,
    NoQuestion,
    TwoQuestions,
    Short,
    Random,
    OtherPort,
}

const KINDS: [Kind; 12] = [
    Kind::Id,
    Kind::Name,
    Kind::Case,
    Kind::Type,
    Kind::Class,
    Kind::Query,
    Kind::Opcode,
    Kind::NoQuestion,
    Kind::TwoQuestions,
    Kind::Short,
    Kind::Random,
    Kind::OtherPort,
];
const COUNTS: [u32; 4] = [1, 3, 10, 1000];
/// Datagrams sent at once: more would overflow the socket of a reader that
/// keeps up, and loss is another subject.
const BURST: u32 = 50;

pub(super) const SHAPES: usize = KINDS.len() * COUNTS.len();

pub(super) fn plan(mut seed: Seed) -> Plan {
    let count = seed.pick(&COUNTS);
    let kind = seed.pick(&KINDS);
    let salt: u64 = seed.random.random();

    let zone = seed.apex("", "com");
    let realm = Realm::of(seed.number, "", "");
    let about = format!("{count} datagrams, wrong {kind:?}");
    let plan = Plan::check(
        &seed,
        &zone,
        about,
        play(move |asked| {
            let answer = realm.message(asked);
            let mut script = Vec::new();
            if asked.via == Transport::Udp {
                script = junk(kind, count, salt, asked, &answer);
            }
            script.extend(asked.reply(&answer));
            script
        }),
    );
    plan.expecting(Expected {
        states: vec!["CONSISTENT"],
        never: vec![
            "glue-dead-address",
            "glue-lame-address",
            "child-udp-blocked",
            "child-tcp-blocked",
        ],
        resolvers: Some(false),
        ..Expected::default()
    })
}

fn junk(kind: Kind, count: u32, salt: u64, asked: &Asked, answer: &Message) -> Script {
    let octets = wrong(kind, salt, asked, answer);
    let mut script = Vec::new();
    let mut left = count;
    while left > 0 {
        let times = left.min(BURST);
        script.extend((0..times).map(|_| match kind {
            Kind::OtherPort => Step::SendFromElsewhere(octets.clone()),
            _ => Step::Send(octets.clone()),
        }));
        left -= times;
        if left > 0 {
            script.push(Step::Wait(Duration::from_millis(1)));
        }
    }
    script
}

/// The true answer with other data, and one thing wrong.
fn wrong(kind: Kind, salt: u64, asked: &Asked, answer: &Message) -> Vec<u8> {
    let lie = Message {
        flags: Flags {
            authoritative: true,
            ..Flags::default()
        },
        authority: answer.authority.clone(),
        ..Message::default()
    };
    let mut octets = asked.encode(&lie);
    let end = HEADER + asked.question_section().len();
    match kind {
        Kind::Id => octets[1] ^= 1,
        Kind::Name => {
            octets[HEADER + 1] = if octets[HEADER + 1] == b'q' {
                b'w'
            } else {
                b'q'
            }
        }
        Kind::Case => {
            for octet in &mut octets[HEADER..end - 4] {
                if octet.is_ascii_alphabetic() {
                    *octet ^= 0x20;
                }
            }
        }
        Kind::Type => octets[end - 3] ^= 0x40,
        Kind::Class => octets[end - 1] = 4,
        Kind::Query => octets[2] &= 0x7f,
        Kind::Opcode => octets[2] |= 0x28,
        Kind::NoQuestion => {
            octets[4..6].copy_from_slice(&[0, 0]);
            octets.drain(HEADER..end);
        }
        Kind::TwoQuestions => {
            octets[4..6].copy_from_slice(&[0, 2]);
            let question = octets[HEADER..end].to_vec();
            octets.splice(end..end, question);
        }
        Kind::Short => octets.truncate(usize::try_from(salt % 12).unwrap_or(0)),
        Kind::Random => {
            let mut random = StdRng::seed_from_u64(salt);
            octets = (0..random.random_range(12..512))
                .map(|_| random.random())
                .collect();
        }
        Kind::OtherPort => {}
    }
    octets
}
