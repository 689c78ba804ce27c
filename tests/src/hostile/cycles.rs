//! T3: delegations whose name servers can only be found through themselves
//! (TsuNAME, Moura et al. 2021).

use super::names::{host, two_hosts};
use super::realm::Realm;
use super::{Expected, Plan, Seed, play};

/// What kind of circle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Round {
    /// Through zones of one registry.
    Siblings,
    /// Through zones of two registries.
    Unrelated,
    /// Through zones whose parent is the attacker.
    Below,
    /// A tail that leads into a circle which the zone itself is not on.
    Tail,
}

pub(super) const SHAPES: usize = 4 * 5 * 2 * 2;

pub(super) fn plan(mut seed: Seed) -> Plan {
    let round = seed.pick(&[Round::Siblings, Round::Unrelated, Round::Below, Round::Tail]);
    // One zone is a circle of its own: its name servers are in it, without glue.
    let length = seed.pick(&[1_usize, 2, 3, 4, 5]);
    let names = seed.pick(&[1_usize, 2]);
    let glue = seed.pick(&[false, true]);

    let zones: Vec<String> = (0..length)
        .map(|at| match round {
            Round::Siblings | Round::Tail => seed.apex(&letter(at), "com"),
            Round::Unrelated if at % 2 == 0 => seed.apex(&letter(at), "com"),
            Round::Unrelated => seed.apex(&letter(at), "net"),
            Round::Below => format!("{}.{}", letter(at), seed.apex("", "com")),
        })
        .collect();
    let mut realm = Realm::of(seed.number, "", "");
    let mut texts = Vec::new();
    for (at, zone) in zones.iter().enumerate() {
        // The next zone on the way round has the names; from the tail one does not come back.
        let next = match round {
            Round::Tail if at + 1 == length => &zones[1 % length],
            _ => &zones[(at + 1) % length],
        };
        let mut text = String::new();
        for host in 0..names {
            text += &format!("{zone} NS ns{host}.{next}\n");
        }
        let hosts: String = (0..names)
            .map(|number| host(&format!("ns{number}.{zone}"), 2))
            .collect();
        realm.serve(zone, &[2], &format!("{text}{hosts}"));
        // Glue breaks the circle for whoever believes it: the registry has the
        // addresses of the hosts in this zone.
        texts.push(if glue { text + &hosts } else { text });
    }
    if round == Round::Below {
        let own = two_hosts([0, 1]) + &texts.concat();
        realm = {
            let mut with = Realm::of(seed.number, "", "");
            with.serve(&seed.apex("", "com"), &[0, 1], &own);
            for (zone, text) in zones.iter().zip(&texts) {
                with.serve(zone, &[2], text);
            }
            with
        };
    }
    let about = format!("{round:?} circle of {length}, {names} names each, glue: {glue}");
    let mut plan = Plan::check(
        &seed,
        &zones[0],
        about,
        play(move |asked| realm.answer(asked)),
    );
    if round != Round::Below {
        for (zone, text) in zones.iter().zip(&texts) {
            plan = plan.registered(zone, text);
        }
    }
    // A tail leads to a circle that is shorter by one.
    let circle = if round == Round::Tail {
        length.max(2) - 1
    } else {
        length
    };
    let findings = match (round, circle, glue) {
        (_, _, true) => vec![],
        (_, 1, _) if length == 1 => vec!["glue-missing-all"],
        // Look-ups nest no deeper than limit B5 allows, so the circle is never closed.
        (_, 4.., _) => vec!["ns-set-truncated"],
        (Round::Unrelated, ..) => vec!["ns-cycle"],
        (Round::Siblings | Round::Below, ..) => vec!["sibling-cycle-unbroken"],
        (Round::Tail, ..) => vec!["sibling-cycle-unbroken", "ns-cycle", "ns-unresolvable"],
    };
    plan.expecting(Expected {
        findings,
        most_for_attack: Some(40),
        ..Expected::default()
    })
}

fn letter(at: usize) -> String {
    char::from(b'a' + u8::try_from(at).unwrap_or(0)).to_string()
}
