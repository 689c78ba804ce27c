//! T5: aliases, name servers without glue and names of many labels, multiplied
//! with each other (CAMP, Duan et al. 2024).
//!
//! ```text
//!  h0001.com     NS  x.x.n0h0.d1.h0001.net      width names, no glue
//!  d1.h0001.net  NS  x.x.n0h0.d2.h0001c.com     and so on, depth times
//!  x.x.n0h0.d3.h0001c.com  CNAME  x.x.n0h1.d4.h0001.net     chain times
//! ```
//!
//! Where the chain ends there are as many addresses as anybody takes, and all
//! of them answer, so that everything else is asked there, too.

use bailiwick_core::message::{Flags, Message, Rcode};
use bailiwick_core::name::Name;
use bailiwick_core::record::{Record, RecordData, RecordType};
use rand::RngExt;

use super::names::{host, server_at, two_hosts, v4, v6};
use super::realm::Realm;
use super::script::{Asked, Script};
use super::{Plan, Seed, name, play};

const WIDTHS: [usize; 4] = [1, 2, 5, 13];
const DEPTHS: [usize; 4] = [0, 1, 2, 3];
const CHAINS: [usize; 4] = [0, 1, 8, 17];
const LABELS: [usize; 4] = [0, 1, 9, 30];

pub(super) const SHAPES: usize = 512;

/// The servers of zones at the end of the glueless ones, and of the zone that is checked.
const ENDS: u8 = 4;
const CHILDREN: u8 = 20;
/// Addresses of one name in each family: as many as are considered.
const ADDRESSES: usize = 4;
const SERVERS: usize = 32;
/// Name servers that only the zone itself names.
const OWN_HOSTS: u8 = 8;

/// The measures of a composition.
#[derive(Clone, Copy, Debug)]
struct Measures {
    width: usize,
    depth: usize,
    chain: usize,
    labels: usize,
    /// Whether the last name has an address at all.
    ends: bool,
    /// Who publishes the first names: the registry, or a parent of the attacker's.
    in_registry: bool,
}

pub(super) fn plan(mut seed: Seed) -> Plan {
    let measures = Measures {
        width: seed.pick(&WIDTHS),
        depth: seed.pick(&DEPTHS),
        chain: seed.pick(&CHAINS),
        labels: seed.pick(&LABELS),
        in_registry: seed.pick(&[true, false]),
        ends: seed.random.random_bool(0.7),
    };
    let com = seed.apex("c", "com");
    let apexes = [name(&com), name(&seed.apex("", "net"))];
    let zone = if measures.in_registry {
        seed.apex("", "com")
    } else {
        format!("z.{com}")
    };
    let mut composition = Composition {
        realm: Realm::of(seed.number, "", ""),
        zone: name(&zone),
        apexes,
        measures,
    };
    let published: String = composition
        .hosts(0, &composition.apexes[1])
        .map(|host| format!("@ NS {host}\n"))
        .collect();
    let own: String = (0..OWN_HOSTS)
        .map(|at| format!("@ NS own{at}\n") + &host(&format!("own{at}"), CHILDREN + 24 + at))
        .collect();
    let children: Vec<u8> = (0..SERVERS).map(|at| CHILDREN + small(at)).collect();
    let realm = &mut composition.realm;
    realm.serve(&com, &[0, 1], &two_hosts([0, 1]));
    realm.serve(&zone, &children, &(published.clone() + &own));
    let about = format!("{measures:?}");
    let plan = Plan::check(
        &seed,
        &zone,
        about,
        play(move |asked| composition.answer(asked)),
    )
    .registered(&com, &two_hosts([0, 1]));
    if measures.in_registry {
        plan.registered(&zone, &published)
    } else {
        plan
    }
}

struct Composition {
    realm: Realm,
    zone: Name,
    apexes: [Name; 2],
    measures: Measures,
}

impl Composition {
    fn answer(&self, asked: &Asked) -> Script {
        let question = &asked.question.name;
        let at_apex = server_at(asked.to).is_some_and(|server| server < 2);
        if at_apex && !self.measures.in_registry && question.is_at_or_below(&self.zone) {
            return asked.reply(&self.referral(&self.zone, 0, &self.apexes[1]));
        }
        let Some((own, depth)) = self.place(question) else {
            return self.realm.answer(asked);
        };
        let Some(zone) = question.ancestor(self.apexes[own].label_count() + 1) else {
            return vec![];
        };
        if !at_apex {
            return asked.reply(&self.data(question, asked.question.record_type, own, depth));
        }
        if depth <= self.measures.depth {
            return asked.reply(&self.referral(&zone, depth, &self.apexes[1 - own]));
        }
        asked.reply(&referral_with_glue(&zone, ENDS + small(depth % 8)))
    }

    /// Returns the apex and the depth that a name below `d…` has.
    fn place(&self, question: &Name) -> Option<(usize, usize)> {
        let own = self
            .apexes
            .iter()
            .position(|apex| question.is_below(apex))?;
        let place = self.apexes[own].label_count();
        let label = question.labels().rev().nth(place)?;
        let depth = std::str::from_utf8(label).ok()?.strip_prefix('d')?;
        Some((own, depth.parse().ok()?))
    }

    /// The name of host `at` after `hop` aliases, one step deeper.
    fn host(&self, at: usize, hop: usize, depth: usize, apex: &Name) -> Option<Name> {
        let zone = apex.child(format!("d{depth}").as_bytes()).ok()?;
        let host = zone.child(format!("n{at}h{hop}").as_bytes()).ok()?;
        (0..self.measures.labels).try_fold(host, |name, _| name.child(b"x").ok())
    }

    /// The name servers of a zone at this depth.
    fn hosts<'a>(&'a self, depth: usize, other: &'a Name) -> impl Iterator<Item = Name> + 'a {
        (0..self.measures.width).filter_map(move |at| self.host(at, 0, depth + 1, other))
    }

    fn referral(&self, zone: &Name, depth: usize, other: &Name) -> Message {
        Message {
            authority: self
                .hosts(depth, other)
                .map(|host| record(zone, RecordData::Ns(host)))
                .collect(),
            ..Message::default()
        }
    }

    /// What the servers at the end say of a name: nothing of a shortened one, an
    /// alias, or at last an address.
    fn data(&self, question: &Name, asked: RecordType, own: usize, depth: usize) -> Message {
        let mut message = Message {
            flags: Flags {
                authoritative: true,
                ..Flags::default()
            },
            ..Message::default()
        };
        let whole = self.apexes[own].label_count() + 2 + self.measures.labels;
        let Some((at, hop)) = self.host_of(question, own) else {
            return message;
        };
        if question.label_count() < whole {
            return message;
        }
        if hop < self.measures.chain {
            let target = self.host(at, hop + 1, depth + 1, &self.apexes[1 - own]);
            message
                .answer
                .extend(target.map(|target| record(question, RecordData::Cname(target))));
        } else if !self.measures.ends {
            message.rcode = Rcode::NXDOMAIN;
        } else {
            let servers = (at * ADDRESSES..).take(ADDRESSES);
            message.answer.extend(servers.filter_map(|at| {
                let server = CHILDREN + small(at % SERVERS);
                let address = match asked {
                    RecordType::A => v4(server),
                    RecordType::AAAA => v6(server),
                    _ => return None,
                };
                Some(record(question, address.into()))
            }));
        }
        message
    }

    fn host_of(&self, question: &Name, own: usize) -> Option<(usize, usize)> {
        let place = self.apexes[own].label_count() + 1;
        let label = std::str::from_utf8(question.labels().rev().nth(place)?).ok()?;
        let (at, hop) = label.strip_prefix('n')?.split_once('h')?;
        Some((at.parse().ok()?, hop.parse().ok()?))
    }
}

fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(0)
}

fn referral_with_glue(zone: &Name, server: u8) -> Message {
    let Ok(host) = zone.child(b"ns") else {
        return Message::default();
    };
    Message {
        authority: vec![record(zone, RecordData::Ns(host.clone()))],
        additional: vec![
            record(&host, v4(server).into()),
            record(&host, v6(server).into()),
        ],
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
