//! A world made of random octets: every answer is what the next octet has it be.
//!
//! A referral, a denial, an alias, junk or silence; names and addresses are
//! drawn from a small set, so that circles and repetitions are common. Whatever
//! such servers say, a machine must end in time and within the limits B1 to B8:
//! [`check_a_session`] and [`check_a_walk`] say which limit was broken.
//! Property tests and fuzzers share them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use bailiwick_core::{
    check::{Check, CheckId, Expectation, Resolver},
    limit::Limits,
    message::{Flags, Message, Question, Rcode},
    name::Name,
    observation::{Observation, Outcome, Rejection, Unreadable, Withheld},
    query::{Query, Stub, Via},
    record::{Record, RecordData, RecordType, Soa},
    report::RoundId,
    server::{Family, Server},
    time::Timestamp,
    vantage::VantagePoint,
};
use bailiwick_probe::{Ended, Machine, Session, Tracer};

const NAMES: [&str; 10] = [
    "example.test.",
    "ns1.example.test.",
    "ns2.example.test.",
    "ns.other.test.",
    "other.test.",
    "ns.third.invalid.",
    "third.invalid.",
    "test.",
    ".",
    "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.example.test.",
];

/// Runs a whole check in the world of these octets.
///
/// # Errors
///
/// Returns which limit was broken, and how.
pub fn check_a_session(octets: &[u8]) -> Result<(), String> {
    let limits = Limits::FULL_ROUND;
    let mut dice = Dice::new(octets);
    let minimise = dice.roll(2) == 0;
    let mut session = Session::new(check(minimise), limits);
    let outside = drive(&mut session, &mut dice)?;
    let report = session.finish(ended(&outside));
    outside.within(&limits, withheld(report.observations.values()))?;
    if report.path.len() > limits.referrals + 2 {
        return Err(format!("B6: a path of {} zones", report.path.len()));
    }
    Ok(())
}

/// Runs a walk in the world of these octets.
///
/// # Errors
///
/// Returns which limit was broken, and how.
pub fn check_a_walk(octets: &[u8]) -> Result<(), String> {
    let limits = Limits::FULL_ROUND;
    let mut dice = Dice::new(octets);
    let minimise = dice.roll(2) == 0;
    let asked = if dice.roll(2) == 0 {
        NAMES[9]
    } else {
        "www.example.test."
    };
    let question = Question::new(name(asked), RecordType::A);
    let mut tracer = Tracer::new(question, &check(minimise), limits);
    let outside = drive(&mut tracer, &mut dice)?;
    let trace = tracer.finish(ended(&outside));
    outside.within(&limits, withheld(trace.observations.values()))?;
    let aliases = trace
        .answer
        .records
        .iter()
        .filter(|r| r.record_type() == RecordType::CNAME);
    match aliases.count() {
        count if count > limits.aliases + 1 => Err(format!("B7: {count} aliases")),
        _ => Ok(()),
    }
}

/// Reads octets as a message, and whatever can be read once more after writing it.
///
/// # Errors
///
/// Returns what differs after a round trip.
pub fn check_decoding(octets: &[u8]) -> Result<(), String> {
    let _ = bailiwick_wire::dns::peek(octets);
    let Ok(message) = bailiwick_wire::dns::decode(octets) else {
        return Ok(());
    };
    let again = bailiwick_wire::dns::encode_message(&message, None, 0);
    // The codec takes a record without data for a dynamic update, by its class, which a value
    // of ours does not keep (RFC 2136, section 2.4).
    let mut records = message
        .answer
        .iter()
        .chain(&message.authority)
        .chain(&message.additional);
    if records.any(|record| matches!(&record.data, RecordData::Other(_, data) if data.is_empty())) {
        return Ok(());
    }
    match bailiwick_wire::dns::decode(&again) {
        Ok(read) if read.answer == message.answer && read.rcode == message.rcode => Ok(()),
        Ok(read) => Err(format!("{message:?} became {read:?}")),
        Err(error) => Err(format!("{message:?} cannot be read again: {error}")),
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("the names here are well-formed")
}

/// Random octets that never run out.
struct Dice<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Dice<'a> {
    fn new(octets: &'a [u8]) -> Self {
        Self {
            octets: if octets.is_empty() { &[0] } else { octets },
            at: 0,
        }
    }

    fn roll(&mut self, sides: usize) -> usize {
        let octet = self.octets[self.at % self.octets.len()];
        // A second time round must not repeat the first.
        let turn = self.at / self.octets.len();
        self.at += 1;
        (usize::from(octet) + turn) % sides
    }

    fn name(&mut self) -> Name {
        name(NAMES[self.roll(NAMES.len())])
    }

    fn record(&mut self, owner: Name) -> Record {
        let data = match self.roll(6) {
            0 => RecordData::Cname(self.name()),
            1 => RecordData::Dname(self.name()),
            2 => RecordData::Soa(Soa {
                mname: Name::root(),
                rname: Name::root(),
                serial: 1,
                refresh: 1,
                retry: 1,
                expire: 1,
                minimum: 1,
            }),
            3 => RecordData::A(self.address()),
            _ => RecordData::Ns(self.name()),
        };
        Record {
            name: owner,
            ttl: 60,
            data,
        }
    }

    fn address(&mut self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, u8::try_from(self.roll(40)).unwrap_or(0))
    }

    fn message(&mut self, question: &Question) -> Message {
        let mut message = Message {
            rcode: [
                Rcode::NOERROR,
                Rcode::NXDOMAIN,
                Rcode::REFUSED,
                Rcode::FORMERR,
            ][self.roll(24).saturating_sub(20)],
            flags: Flags {
                authoritative: self.roll(2) == 0,
                truncated: self.roll(12) == 0,
                recursion_available: self.roll(12) == 0,
                ..Flags::default()
            },
            ..Message::default()
        };
        // Deeper referrals are what makes a walk long.
        let deeper = question
            .name
            .ancestor(self.roll(question.name.label_count() + 1));
        for _ in 0..self.roll(4) {
            let owner = deeper.clone().unwrap_or_else(Name::root);
            let data = RecordData::Ns(self.name());
            message.authority.push(Record {
                name: owner,
                ttl: 60,
                data,
            });
        }
        for _ in 0..self.roll(3) {
            let owner = if self.roll(2) == 0 {
                question.name.clone()
            } else {
                self.name()
            };
            let record = self.record(owner);
            if self.roll(3) == 0 {
                message.answer.push(record);
            } else {
                message.authority.push(record);
            }
        }
        for _ in 0..self.roll(5) {
            let owner = self.name();
            let data = RecordData::A(self.address());
            message.additional.push(Record {
                name: owner,
                ttl: 60,
                data,
            });
        }
        message
    }

    fn outcome(&mut self, question: &Question) -> Outcome {
        match self.roll(16) {
            0 => Outcome::Silence,
            1 => Outcome::Rejected(Rejection::Port),
            2 => Outcome::Withheld(Withheld::NoRoute),
            3 => Outcome::Unreadable(Unreadable::Case),
            4 => Outcome::Unreadable(Unreadable::Malformed("cut".to_owned())),
            _ => Outcome::Reply(self.message(question).into()),
        }
    }
}

fn check(minimise: bool) -> Check {
    let root = |last| Server {
        name: name("a.root."),
        address: IpAddr::from([198, 51, 100, last]),
    };
    Check {
        id: CheckId(1),
        zone: name("example.test."),
        expectation: Expectation::default(),
        roots: vec![root(1), root(2)],
        resolvers: vec![Resolver {
            name: "r".to_owned(),
            addresses: vec![IpAddr::from([203, 0, 113, 8])],
            well_known: true,
        }],
        stub: Stub::Plain,
        families: Family::ALL.into(),
        minimise,
        timeout: Duration::from_secs(5),
        nonce: 7,
        blackholes: Vec::new(),
        lab: true,
    }
}

struct Outside {
    packets: u32,
    of_question: BTreeMap<(IpAddr, Via, Question), u32>,
    ended: Duration,
}

/// Drives a machine over the random world and counts from outside.
fn drive(machine: &mut impl Machine, dice: &mut Dice<'_>) -> Result<Outside, String> {
    let mut outside = Outside {
        packets: 0,
        of_question: BTreeMap::new(),
        ended: Duration::ZERO,
    };
    let mut queue: BTreeMap<(Duration, usize), Observation> = BTreeMap::new();
    let mut now = Duration::ZERO;
    let mut number = 0;
    while !machine.is_finished(now) {
        while let Some(query) = machine.poll_query(now) {
            outside.count(&query);
            for at in 0..query.questions.len() {
                let outcome = dice.outcome(&query.questions[at]);
                let delay = match outcome {
                    Outcome::Silence => query.patience,
                    _ => Duration::from_millis(1 + 20 * u64::try_from(dice.roll(30)).unwrap_or(0)),
                };
                let mut observation = Observation::of(&query, at, now, outcome);
                observation.elapsed = delay;
                queue.insert((now + delay, number), observation);
                number += 1;
            }
        }
        if machine.is_finished(now) {
            break;
        }
        let arrival = queue.first_key_value().map(|((at, _), _)| *at);
        let wake = machine.next_wake().filter(|wake| *wake > now);
        now = match (arrival, wake) {
            (Some(arrival), Some(wake)) => arrival.min(wake),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => {
                return Err("a machine that waits for nothing and is not finished".to_owned());
            }
        };
        while let Some(entry) = queue.first_entry().filter(|entry| entry.key().0 <= now) {
            machine.handle(now, entry.remove());
        }
    }
    outside.ended = now;
    Ok(outside)
}

impl Outside {
    fn count(&mut self, query: &Query) {
        self.packets += 1;
        for question in &query.questions {
            let key = (query.server.address, query.via, question.clone());
            *self.of_question.entry(key).or_insert(0) += 1;
        }
    }

    fn within(&self, limits: &Limits, given_back: u32) -> Result<(), String> {
        if self.ended > Duration::from_secs(5) {
            return Err(format!("B8: ended after {:?}", self.ended));
        }
        if self.packets > limits.packets + given_back {
            return Err(format!("B1: {} packets", self.packets));
        }
        let too_often = self
            .of_question
            .iter()
            .find(|(_, count)| **count > limits.same_question);
        too_often.map_or(Ok(()), |(key, count)| {
            Err(format!("B3: {key:?} {count} times"))
        })
    }
}

fn ended(outside: &Outside) -> Ended {
    Ended {
        vantage: VantagePoint::local(Family::ALL.into()),
        round: RoundId(0),
        started: Timestamp(0),
        elapsed: outside.ended,
        packets: outside.packets,
    }
}

/// What was withheld never became a packet.
fn withheld<'a>(observations: impl Iterator<Item = &'a Observation>) -> u32 {
    let never_sent = observations.filter(|o| matches!(o.outcome, Outcome::Withheld(_)));
    u32::try_from(never_sent.count()).unwrap_or(u32::MAX)
}
