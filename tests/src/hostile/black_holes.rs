//! T2: name servers that never answer, or whose machines say that nobody is
//! there (NRDelegation, Afek et al. 2023).

use super::names::{nobody_v4, nobody_v6, v4, v6};
use super::realm::Realm;
use super::{Expected, Plan, Seed, play};

/// Names, and IPv4 and IPv6 addresses of each.
const SIZES: [(u8, u8, u8); 8] = [
    (13, 4, 4),
    (13, 4, 0),
    (13, 0, 4),
    (13, 2, 2),
    (13, 1, 1),
    (4, 4, 4),
    (2, 1, 1),
    (1, 4, 0),
];

/// What is at the addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum There {
    /// Nothing.
    Nobody,
    /// A server that takes questions and connections and never answers.
    Silent,
    /// One address of many answers.
    OneAnswers,
}

pub(super) const SHAPES: usize = SIZES.len() * 3 * 2;

pub(super) fn plan(mut seed: Seed) -> Plan {
    let (names, with_v4, with_v6) = seed.pick(&SIZES);
    let there = seed.pick(&[There::Nobody, There::Silent, There::OneAnswers]);
    let in_registry = seed.pick(&[true, false]);

    let apex = seed.apex("", "com");
    let zone = if in_registry {
        apex.clone()
    } else {
        format!("z.{apex}")
    };
    let mut text = String::new();
    let mut number: u8 = 8;
    for at in 0..names {
        text += &format!("@ NS n{at}.{zone}\n");
        for is_v4 in (0..with_v4)
            .map(|_| true)
            .chain((0..with_v6).map(|_| false))
        {
            let owned = there == There::Silent && number < super::names::SERVERS;
            let answers = there == There::OneAnswers && number == 8;
            let address = match (is_v4, answers, owned) {
                (true, true, _) => v4(2),
                (false, true, _) => v6(2),
                (true, _, true) => v4(number),
                (false, _, true) => v6(number),
                (true, ..) => nobody_v4(number),
                (false, ..) => nobody_v6(number),
            };
            let kind = if is_v4 { "A" } else { "AAAA" };
            text += &format!("n{at}.{zone} {kind} {address}\n");
            number += 1;
        }
    }
    let below = text.replace("@ NS", "z NS");
    let mut realm = Realm::of(seed.number, if in_registry { "" } else { &below }, "");
    realm.serve(&zone, &[2], &text);
    let about = format!("{names} names, {with_v4} + {with_v6} addresses each, {there:?}");
    let plan = Plan::check(
        &seed,
        &zone,
        about,
        play(move |asked| {
            let is_trap = super::names::server_at(asked.to).is_some_and(|server| server >= 8);
            if is_trap { vec![] } else { realm.answer(asked) }
        }),
    );
    let plan = if in_registry {
        plan.registered(&apex, &text)
    } else {
        plan
    };
    plan.expecting(Expected {
        findings: vec!["glue-dead-address"],
        states: vec!["BROKEN", "INCONCLUSIVE", "DEGRADED"],
        most_packets: Some(256),
        ..Expected::default()
    })
}
