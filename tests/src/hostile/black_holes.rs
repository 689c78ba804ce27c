//! T2: more name servers than anybody needs, which never answer, or whose
//! machines say that nobody is there (NRDelegation, Afek et al. 2023), or which
//! all answer, so that everything is asked of each.

use super::names::{SERVERS, host, nobody_v4, nobody_v6, server_at, v4, v6};
use super::realm::Realm;
use super::{Expected, Plan, Seed, play};

/// Names, and IPv4 and IPv6 addresses of each.
const SIZES: [(u8, u8, u8); 9] = [
    (13, 4, 4),
    (13, 4, 0),
    (13, 0, 4),
    (13, 2, 2),
    (13, 1, 1),
    (8, 2, 2),
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
    /// All answer, as far as there are servers.
    AllAnswer,
}

/// The first server of a zone that is checked.
const FIRST: u8 = 8;

pub(super) const SHAPES: usize = SIZES.len() * 4 * 2;

pub(super) fn plan(mut seed: Seed) -> Plan {
    let (names, with_v4, with_v6) = seed.pick(&SIZES);
    let there = seed.pick(&[
        There::Nobody,
        There::Silent,
        There::OneAnswers,
        There::AllAnswer,
    ]);
    let in_registry = seed.pick(&[true, false]);

    let apex = seed.apex("", "com");
    let zone = if in_registry {
        apex.clone()
    } else {
        format!("z.{apex}")
    };
    let mut text = String::new();
    let mut number = FIRST;
    for at in 0..names {
        text += &format!("@ NS n{at}.{zone}\n");
        for is_v4 in (0..with_v4)
            .map(|_| true)
            .chain((0..with_v6).map(|_| false))
        {
            let is_server = matches!(there, There::Silent | There::AllAnswer);
            let owned = is_server && number < SERVERS;
            let answers = there == There::OneAnswers && number == FIRST;
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
    let servers: Vec<u8> = match there {
        There::AllAnswer => (FIRST..SERVERS).collect(),
        _ => vec![2],
    };
    // Hosts that the registry does not name make more questions.
    let own: String = (0..8)
        .map(|at| format!("@ NS own{at}\n") + &host(&format!("own{at}"), FIRST + at))
        .collect();
    realm.serve(&zone, &servers, &(text.clone() + &own));
    let about = format!("{names} names, {with_v4} + {with_v6} addresses each, {there:?}");
    let plan = Plan::check(
        &seed,
        &zone,
        about,
        play(move |asked| {
            let is_hole = server_at(asked.to).is_some_and(|server| server >= FIRST);
            if is_hole && there != There::AllAnswer {
                vec![]
            } else {
                realm.answer(asked)
            }
        }),
    );
    let plan = if in_registry {
        plan.registered(&apex, &text)
    } else {
        plan
    };
    if there == There::AllAnswer {
        // With the resolvers, it is more than limit B1.
        return plan.expecting(Expected {
            resolvers: Some(true),
            ..Expected::default()
        });
    }
    plan.expecting(Expected {
        findings: vec!["glue-dead-address"],
        states: vec!["BROKEN", "INCONCLUSIVE", "DEGRADED"],
        most_packets: Some(256),
        ..Expected::default()
    })
}
