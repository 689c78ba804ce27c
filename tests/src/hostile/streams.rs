//! T11: TCP connections that drip, stall, never end or break off.

use std::time::Duration;

use bailiwick_core::message::Message;
use rand::RngExt;

use super::names::{server_at, two_hosts};
use super::realm::Realm;
use super::script::{Asked, Script, Step, truncated};
use super::{Expected, Plan, Seed, play};
use crate::internet::switch::Transport;

/// More than a connection may take.
const PATIENT: Duration = Duration::from_secs(12);

/// What happens to a connection after its first question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Behaviour {
    /// The true answer, one octet a second.
    Drip,
    /// The true answer, one octet in 4.9 seconds: each in time for a patient reader.
    SlowDrip,
    /// A length of 65,535, then silence.
    HugeLength,
    /// A length of 65,535, then so many octets, slowly.
    HugeMessage,
    /// An answer to another question, then the true one twice.
    TwoMessages,
    /// Messages of no length, again and again.
    Empty,
    /// FIN at once.
    Close,
    /// FIN after the length.
    CloseEarly,
    /// RST after the length.
    Reset,
    /// RST in the middle of the message.
    ResetLate,
    /// Answers to other questions, as fast as the reader takes them.
    Endless,
    /// Nothing.
    TarPit,
    /// A length that is shorter than the message.
    ShortLength,
}

const BEHAVIOURS: [Behaviour; 13] = [
    Behaviour::Drip,
    Behaviour::SlowDrip,
    Behaviour::HugeLength,
    Behaviour::HugeMessage,
    Behaviour::TwoMessages,
    Behaviour::Empty,
    Behaviour::Close,
    Behaviour::CloseEarly,
    Behaviour::Reset,
    Behaviour::ResetLate,
    Behaviour::Endless,
    Behaviour::TarPit,
    Behaviour::ShortLength,
];

/// What is heard over UDP meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Udp {
    True,
    Truncated,
    Silent,
}

const UDP: [Udp; 3] = [Udp::True, Udp::Truncated, Udp::Silent];

pub(super) const SHAPES: usize = BEHAVIOURS.len() * UDP.len() * 2;

pub(super) fn plan(mut seed: Seed) -> Plan {
    let behaviour = seed.pick(&BEHAVIOURS);
    let udp = seed.pick(&UDP);
    let is_parent = seed.pick(&[false, true]);
    // From which octet on it goes wrong.
    let cut: usize = seed.random.random_range(1..40);

    let com = seed.apex("", "com");
    let zone = if is_parent {
        format!("z.{com}")
    } else {
        com.clone()
    };
    let below = "z NS ns1.z\nz NS ns2.z\n".to_owned()
        + &super::names::host("ns1.z", 2)
        + &super::names::host("ns2.z", 3);
    let mut realm = Realm::of(seed.number, if is_parent { &below } else { "" }, "");
    if is_parent {
        realm.serve(&zone, &[2, 3], &two_hosts([2, 3]));
    }
    let about = format!(
        "{behaviour:?}, over UDP {udp:?}, the {}",
        if is_parent { "parent" } else { "zone" }
    );
    let plan = Plan::check(
        &seed,
        &zone,
        about,
        play(move |asked| {
            let is_bad = server_at(asked.to).is_some_and(|server| server < 2);
            match (is_bad, asked.via, udp) {
                (true, Transport::Tcp, _) => act(behaviour, cut, asked, &realm.message(asked)),
                (true, Transport::Udp, Udp::Silent) => vec![],
                (true, Transport::Udp, Udp::Truncated) => {
                    asked.reply(&truncated(&realm.message(asked)))
                }
                _ => realm.answer(asked),
            }
        }),
    );
    let plan = Plan {
        // Once around, there is time enough for limit B10 alone to end a connection.
        given: if seed.turn == 1 { PATIENT } else { plan.given },
        ..plan
    };
    plan.expecting(Expected::default())
}

fn act(behaviour: Behaviour, cut: usize, asked: &Asked, message: &Message) -> Script {
    let framed = asked.framed(asked.encode(message));
    let cut = cut.min(framed.len());
    let mut other = asked.encode(message);
    other[0] ^= 0x55;
    let other = asked.framed(other);
    let long = |every| Step::Repeat {
        octets: vec![0; 1024],
        times: 64,
        every,
    };
    match behaviour {
        Behaviour::Drip => vec![Step::Drip {
            octets: framed,
            every: Duration::from_secs(1),
        }],
        Behaviour::SlowDrip => vec![Step::Drip {
            octets: framed,
            every: Duration::from_millis(4900),
        }],
        Behaviour::HugeLength => vec![
            Step::Send(vec![0xff, 0xff]),
            Step::Wait(Duration::from_secs(60)),
        ],
        Behaviour::HugeMessage => vec![
            Step::Send([&[0xff, 0xff], &framed[2..]].concat()),
            long(Duration::from_millis(50)),
        ],
        Behaviour::TwoMessages => vec![Step::Send([other, framed.clone(), framed].concat())],
        Behaviour::Empty => vec![Step::Repeat {
            octets: vec![0, 0],
            times: 100_000,
            every: Duration::ZERO,
        }],
        Behaviour::Close => vec![Step::Close],
        Behaviour::CloseEarly => vec![Step::Send(framed[..2].to_vec()), Step::Close],
        Behaviour::Reset => vec![Step::Send(framed[..2].to_vec()), Step::Reset],
        Behaviour::ResetLate => vec![Step::Send(framed[..cut].to_vec()), Step::Reset],
        Behaviour::Endless => vec![Step::Repeat {
            octets: other,
            times: 1_000_000,
            every: Duration::ZERO,
        }],
        Behaviour::TarPit => vec![Step::Wait(Duration::from_secs(60))],
        Behaviour::ShortLength => {
            let mut octets = framed;
            octets[..2].copy_from_slice(&[0, 20]);
            vec![Step::Send(octets)]
        }
    }
}
