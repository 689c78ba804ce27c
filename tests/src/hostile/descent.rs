//! T4: each server refers to a zone one label further down, for ever (iDNS,
//! VU#264212).
//!
//! The zone with `n` labels is on server `n`, so the last server asked tells
//! how many referrals were followed.

use bailiwick_core::message::{Flags, Message};
use bailiwick_core::name::Name;
use bailiwick_core::record::{Record, RecordData, RecordType, Soa};

use super::names::{self, two_hosts, v4, v6};
use super::script::{Asked, Script};
use super::{Expected, Plan, Seed, play};

/// Limit B6: com is the first step, the apex the second.
const STEPS: u8 = 16;
const SERVERS_A_STEP: [u8; 2] = [1, 2];

/// The way down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// To the zone that is checked.
    Zone,
    /// To a name server of the zone that is checked.
    NameServer,
}

pub(super) const SHAPES: usize = 2 * 2 * 2 * 2;

pub(super) fn plan(mut seed: Seed) -> Plan {
    let way = seed.pick(&[Way::Zone, Way::NameServer]);
    let more = seed.pick(&SERVERS_A_STEP);
    let labels = seed.pick(&[20_usize, 60]);
    let families = seed.pick(&[[true, true], [true, false]]);

    let com = seed.apex("", "com");
    let net = seed.apex("", "net");
    let deep = |apex: &str| "a.".repeat(labels) + apex;
    let zone = match way {
        Way::Zone => deep(&com),
        Way::NameServer => com.clone(),
    };
    let play = play(move |asked| answer(more, families, asked));
    let about = format!("{labels} labels to a {way:?}, {more} servers a step");
    let plan = Plan::check(&seed, &zone, about, play);
    match way {
        Way::Zone => plan
            .registered(&com, &two_hosts([2, 2]))
            .expecting(Expected {
                findings: vec!["delegation-too-deep"],
                last_server: Some(STEPS),
                ..Expected::default()
            }),
        Way::NameServer => plan
            .registered(&com, &format!("@ NS {}\n", deep(&net)))
            .registered(&net, &two_hosts([2, 2]))
            .expecting(Expected {
                findings: vec!["delegation-too-deep", "ns-unresolvable"],
                last_server: Some(STEPS),
                ..Expected::default()
            }),
    }
}

/// Refers to the zone below the one that this server has, with glue for it.
fn answer(more: u8, families: [bool; 2], asked: &Asked) -> Script {
    let Some(step) = names::server_at(asked.to) else {
        return vec![];
    };
    let question = &asked.question.name;
    let labels = usize::from(step);
    let Some(zone) = question.ancestor(labels + 1) else {
        return asked.reply(&apex(&asked.question.name, asked.question.record_type));
    };
    let mut message = Message::default();
    for number in 0..more {
        let Ok(host) = zone.child(format!("ns{number}").as_bytes()) else {
            continue;
        };
        message
            .authority
            .push(record(&zone, RecordData::Ns(host.clone())));
        let [with_v4, with_v6] = families;
        let next = step.saturating_add(1).min(names::SERVERS - 1);
        if with_v4 {
            message.additional.push(record(&host, v4(next).into()));
        }
        if with_v6 {
            message.additional.push(record(&host, v6(next).into()));
        }
    }
    asked.reply(&message)
}

/// Answers for the apex of the zone that a server has: only its SOA is there.
fn apex(zone: &Name, record_type: RecordType) -> Message {
    let soa = record(
        zone,
        RecordData::Soa(Soa {
            mname: zone.clone(),
            rname: zone.clone(),
            serial: 1,
            refresh: 7200,
            retry: 3600,
            expire: 1_209_600,
            minimum: 300,
        }),
    );
    let (answer, authority) = match record_type {
        RecordType::SOA => (vec![soa], vec![]),
        _ => (vec![], vec![soa]),
    };
    Message {
        flags: Flags {
            authoritative: true,
            ..Flags::default()
        },
        answer,
        authority,
        ..Message::default()
    }
}

fn record(name: &Name, data: RecordData) -> Record {
    Record {
        name: name.clone(),
        ttl: 3600,
        data,
    }
}
