//! T7: referrals that do not lead down towards the name asked: upwards,
//! sideways, to the asker's own zone. Their glue is a trap.

use std::net::IpAddr;

use bailiwick_core::message::{Flags, Message};
use bailiwick_core::name::Name;
use bailiwick_core::record::{Record, RecordData};

use super::names::{host, server_at, two_hosts, v4, v6};
use super::realm::Realm;
use super::script::{Asked, Script};
use super::{Expected, Plan, Seed, name, play};

/// Who refers badly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Who {
    /// A server of the parent zone, about the zone that is checked.
    Parent,
    /// A server of the zone that is checked.
    Child,
    /// A server on the way to a name server's name.
    OnTheWay,
}

/// Where to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum To {
    Root,
    RootInAnswer,
    Registry,
    OtherRegistry,
    Itself,
    Sibling,
    Unrelated,
    Parent,
    OffTheWay,
    /// Right, and upwards too.
    Both,
}

const WHO: [Who; 3] = [Who::Parent, Who::Child, Who::OnTheWay];
const TO: [To; 10] = [
    To::Root,
    To::RootInAnswer,
    To::Registry,
    To::OtherRegistry,
    To::Itself,
    To::Sibling,
    To::Unrelated,
    To::Parent,
    To::OffTheWay,
    To::Both,
];
/// Servers that nobody is sent to but by bad referrals.
const TRAPS: [u8; 2] = [50, 51];

pub(super) const SHAPES: usize = WHO.len() * TO.len() * 2;

pub(super) fn plan(mut seed: Seed) -> Plan {
    let who = seed.pick(&WHO);
    let to = seed.pick(&TO);
    // Whether all servers refer badly, or one of two.
    let all = seed.pick(&[true, false]);

    let com = seed.apex("", "com");
    let net = seed.apex("", "net");
    let zone = format!("z.{com}");
    let outside = format!("ns.{net}");
    let child = match who {
        Who::OnTheWay => format!("@ NS ns1\n@ NS {outside}\n{}", host("ns1", 2)),
        _ => format!("@ NS ns1\n@ NS ns2\n{}{}", host("ns1", 2), host("ns2", 3)),
    };
    let parent = child
        .replace("@ ", "z ")
        .replace("NS ns1\n", "NS ns1.z\n")
        .replace("NS ns2\n", "NS ns2.z\n")
        .replace("\nns1 ", "\nns1.z ")
        .replace("\nns2 ", "\nns2.z ");
    let mut realm = Realm::of(seed.number, &parent, &host("ns", 4));
    realm.serve(&zone, &[2, 3, 4], &child);

    let bad: Vec<u8> = match (who, all) {
        (Who::Child, true) => vec![2, 3],
        (Who::Child, false) => vec![3],
        (_, true) => vec![0, 1],
        (_, false) => vec![1],
    };
    let below = match who {
        Who::Parent | Who::Child => name(&zone),
        Who::OnTheWay => name(&outside),
    };
    let own = match who {
        Who::Parent => name(&com),
        Who::Child => name(&zone),
        Who::OnTheWay => name(&net),
    };
    let owners: Vec<Name> = match to {
        To::Root | To::RootInAnswer => vec![Name::root()],
        To::Registry => vec![name("com.")],
        To::OtherRegistry => vec![name("net.")],
        To::Itself => vec![own.clone()],
        To::Sibling => vec![name(&seed.apex("s", "com"))],
        To::Unrelated => vec![name(&seed.apex("s", "net"))],
        To::Parent => vec![own.parent().unwrap_or_else(Name::root)],
        To::OffTheWay => vec![own.child(b"off").unwrap_or_else(|_| own.clone())],
        To::Both => vec![below.clone(), Name::root()],
    };
    let about = format!("{who:?} refers to {to:?}, {} servers", bad.len());
    let referral = Referral {
        realm,
        bad,
        below,
        owners,
        in_answer: to == To::RootInAnswer,
    };
    let plan = Plan::check(
        &seed,
        &zone,
        about,
        play(move |asked| referral.answer(asked)),
    )
    .registered(&net, &two_hosts([0, 1]));
    let is_seen = all || who == Who::Child;
    plan.expecting(Expected {
        findings: match (who, to) {
            (_, To::Both | To::RootInAnswer) => vec![],
            (Who::OnTheWay, _) if all => vec!["bad-referral", "ns-unresolvable"],
            (Who::OnTheWay, _) => vec![],
            _ if is_seen || who == Who::Parent => vec!["bad-referral"],
            _ => vec![],
        },
        // A referral to the zone itself has the right owner, so its glue counts.
        traps: if matches!((who, to), (Who::Parent | Who::OnTheWay, To::Both)) {
            vec![]
        } else {
            TRAPS
                .into_iter()
                .flat_map(|trap| [v4(trap), v6(trap)])
                .collect::<Vec<IpAddr>>()
        },
        ..Expected::default()
    })
}

struct Referral {
    realm: Realm,
    bad: Vec<u8>,
    /// The questions that are answered badly are for names at or below this.
    below: Name,
    owners: Vec<Name>,
    in_answer: bool,
}

impl Referral {
    fn answer(&self, asked: &Asked) -> Script {
        let is_bad = server_at(asked.to).is_some_and(|server| self.bad.contains(&server));
        if !is_bad || !asked.question.name.is_at_or_below(&self.below) {
            return self.realm.answer(asked);
        }
        let record = |name: &Name, data| Record {
            name: name.clone(),
            ttl: 3600,
            data,
        };
        let mut ns = Vec::new();
        let mut message = Message::default();
        for owner in &self.owners {
            for trap in TRAPS {
                // The host is at or below the owner, so glue for it is plausible.
                let Ok(host) = owner.child(format!("trap{trap}").as_bytes()) else {
                    continue;
                };
                ns.push(record(owner, RecordData::Ns(host.clone())));
                message.additional.push(record(&host, v4(trap).into()));
                message.additional.push(record(&host, v6(trap).into()));
            }
        }
        if self.in_answer {
            message.flags = Flags {
                authoritative: true,
                ..Flags::default()
            };
            message.answer = ns;
        } else {
            message.authority = ns;
        }
        asked.reply(&message)
    }
}
