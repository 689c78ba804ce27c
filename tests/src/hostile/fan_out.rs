//! T1: a referral to many names without glue, so that whoever follows asks for
//! each of them (NXNSAttack, Afek et al. 2020).

use bailiwick_core::message::{Message, Rcode};
use bailiwick_core::name::Name;
use bailiwick_core::record::{Record, RecordData};
use rand::RngExt;

use super::names::two_hosts;
use super::realm::Realm;
use super::script::{Asked, Script};
use super::{Expected, Plan, Seed, name, play};

const SIZES: [usize; 7] = [1, 5, 13, 14, 50, 135, 1500];

/// What the servers that the names lead to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Victim {
    NoName,
    Fails,
    Silent,
    /// Refers to as many names again, for ever.
    Accomplice,
}

const VICTIMS: [Victim; 4] = [
    Victim::NoName,
    Victim::Fails,
    Victim::Silent,
    Victim::Accomplice,
];

/// Who publishes the names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// The registry.
    Registry,
    /// The attacker, as the parent of the zone that is checked.
    Parent,
}

/// Where the names lead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Below {
    /// Another zone under the same registry.
    Sibling,
    /// A zone under another registry.
    Unrelated,
}

pub(super) const SHAPES: usize = SIZES.len() * 4 * 2 * 2;

pub(super) fn plan(mut seed: Seed) -> Plan {
    let size = seed.pick(&SIZES);
    let victim = seed.pick(&VICTIMS);
    let mut place = seed.pick(&[Place::Registry, Place::Parent]);
    let below = seed.pick(&[Below::Sibling, Below::Unrelated]);
    if size == 1500 && (victim, below) != (Victim::NoName, Below::Sibling) {
        // One such set is enough for a registry, which takes seconds to sign each.
        place = Place::Parent;
    }
    let salt: u32 = seed.random.random_range(0..1000);

    let target = match below {
        Below::Sibling => seed.apex("v", "com"),
        Below::Unrelated => seed.apex("v", "net"),
    };
    let names: String = (0..size)
        .map(|at| format!("NS t{at}x{salt}.{target}\n"))
        .collect();
    let apex = seed.apex("", "com");
    let (zone, com) = match place {
        Place::Registry => (apex.clone(), String::new()),
        Place::Parent => (format!("z.{apex}"), names.replace("NS ", "z NS ")),
    };
    let mut realm = Realm::of(seed.number, &com, "");
    for tld in ["com", "net"] {
        realm.serve(&seed.apex("v", tld), &[2, 3], &two_hosts([2, 3]));
    }
    let apexes = ["com", "net"].map(|tld| name(&seed.apex("v", tld)));
    let about = format!("{size} names, {victim:?}, published by the {place:?}, {below:?}");
    let mut plan = Plan::check(
        &seed,
        &zone,
        about,
        play(move |asked| answer(&realm, victim, &apexes, asked)),
    );
    for tld in ["com", "net"] {
        plan = plan.registered(&seed.apex("v", tld), &two_hosts([2, 3]));
    }
    if place == Place::Registry {
        plan = plan.registered(&apex, &names.replace("NS ", "@ NS "));
    }
    plan.expecting(Expected {
        // The answer with 1,500 names is larger than what is read at all (B9).
        findings: match size {
            14..1000 => vec!["ns-set-truncated"],
            1000.. => vec!["referral-oversize", "parent-coverage-incomplete"],
            _ => vec![],
        },
        states: vec!["BROKEN", "INCONCLUSIVE", "DEGRADED", "NOT_PUBLISHED"],
        ..Expected::default()
    })
}

/// The victims are the zones with "v"; the rest is honest.
fn answer(realm: &Realm, victim: Victim, victims: &[Name; 2], asked: &Asked) -> Script {
    let question = &asked.question.name;
    let Some(own) = victims
        .iter()
        .position(|victim| question.is_below(victim))
        .filter(|_| !is_own_host(question))
    else {
        return realm.answer(asked);
    };
    match victim {
        Victim::NoName => realm.answer(asked),
        Victim::Fails => asked.reply(&Message {
            rcode: Rcode::SERVFAIL,
            ..Message::default()
        }),
        Victim::Silent => vec![],
        Victim::Accomplice => asked.reply(&onwards(question, &victims[own], &victims[1 - own])),
    }
}

fn is_own_host(question: &Name) -> bool {
    question
        .labels()
        .next()
        .is_some_and(|label| label.starts_with(b"ns"))
}

/// Refers the zone that a name is in to names that are in zones of their own.
fn onwards(question: &Name, own: &Name, other: &Name) -> Message {
    let zone = question
        .ancestor(own.label_count() + 1)
        .unwrap_or_else(|| question.clone());
    let first = zone.labels().next().unwrap_or_default();
    let host = |at: usize| {
        // A few labels that go round, so that the number of names stays finite and large.
        let sum: usize = first.iter().map(|octet| usize::from(*octet)).sum();
        other.child(format!("t{}x{}", at, (sum * 31 + at) % 1009).as_bytes())
    };
    let ns = |host| Record {
        name: zone.clone(),
        ttl: 3600,
        data: RecordData::Ns(host),
    };
    Message {
        authority: (0..13).filter_map(|at| host(at).ok()).map(ns).collect(),
        ..Message::default()
    }
}
