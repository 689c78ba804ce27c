//! The world as one check may use it: what comes of a query, and when.
//!
//! This is `bailiwick-transport` without sockets, with the same promises: one outcome in time for
//! each question, over UDP perhaps a late one, and limits that nothing gets past.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use bailiwick_core::{
    check::Counter,
    limit::Limits,
    message::Question,
    observation::{Observation, Outcome, Rejection, Unreadable, Withheld},
    query::{Query, UDP_SIZE, Via},
    server::Role,
};
use bailiwick_transport::PublicAddr;

use crate::{
    respond::{Answer, Asked, Opening, Response},
    simulate::Settings,
    world::{Carrier, Vantage, World},
};

/// How long a true answer may still come after one that could be forged, as in the transport.
const GRACE: Duration = Duration::from_millis(250);
/// More junk than this is said to be the reason for silence, as in the transport.
const MUCH_JUNK: u32 = 8;

/// The world as one check may use it.
#[derive(Debug)]
pub struct Network<'a> {
    world: &'a World,
    path: Option<&'a Vantage>,
    settings: Settings<'a>,
    packets: Counter,
    to_address: BTreeMap<IpAddr, u32>,
    asked: BTreeMap<(IpAddr, Via, Question), u32>,
}

/// What is known of a question when it ends.
struct Ending {
    after: Duration,
    outcome: Outcome,
    junk: u32,
    case_kept: Option<bool>,
    octets: Vec<u8>,
}

impl Ending {
    fn without_answer(after: Duration, outcome: Outcome) -> Self {
        Self {
            after,
            outcome,
            junk: 0,
            case_kept: None,
            octets: Vec::new(),
        }
    }
}

impl<'a> Network<'a> {
    /// Begins a check.
    #[must_use]
    pub fn new(world: &'a World, settings: &Settings<'a>) -> Self {
        Self {
            world,
            path: world.vantage(settings.vantage),
            settings: *settings,
            packets: Counter::default(),
            to_address: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Returns how many packets were sent.
    #[must_use]
    pub fn packets(&self) -> u32 {
        self.packets.taken()
    }

    /// Returns what will be observed of a query sent now, and when.
    pub fn exchange(&mut self, query: &Query, now: Duration) -> Vec<(Duration, Observation)> {
        if let Err(withheld) = self.admit(query) {
            return withhold(query, now, withheld);
        }
        if let Some(withheld) = self.refusal(query.server.address, now) {
            return withhold(query, now, withheld);
        }
        match query.via {
            Via::Tcp => self.connection(query, now),
            Via::Udp | Via::Stub(_) => self.datagram(query, now),
        }
    }

    fn admit(&self, query: &Query) -> Result<(), Withheld> {
        let address = query.server.address;
        if self.settings.allow_special_use || query.role == Role::Blackhole {
            return Ok(());
        }
        PublicAddr::new(address).map(|_| ())
    }

    fn refusal(&self, to: IpAddr, now: Duration) -> Option<Withheld> {
        let limits = &self.settings.limits;
        let sent = self.to_address.get(&to).copied().unwrap_or(0);
        if now >= limits.wall_time {
            Some(Withheld::Time)
        } else if sent >= limits.packets_per_address {
            Some(Withheld::PacketsToAddress)
        } else if self.packets.taken() >= limits.packets {
            Some(Withheld::Packets)
        } else {
            None
        }
    }

    /// Books one asking of a question, unless it was asked often enough (limit B3).
    fn ask(&mut self, query: &Query, question: &Question) -> Result<(), Withheld> {
        let key = (query.server.address, query.via, question.clone());
        let asked = self.asked.entry(key).or_default();
        if *asked >= self.settings.limits.same_question {
            return Err(Withheld::SameQuestion);
        }
        *asked += 1;
        Ok(())
    }

    fn book(&mut self, to: IpAddr) {
        let _ = self.packets.take(self.settings.limits.packets);
        *self.to_address.entry(to).or_default() += 1;
    }

    fn datagram(&mut self, query: &Query, now: Duration) -> Vec<(Duration, Observation)> {
        let Some(question) = query.questions.first() else {
            return Vec::new();
        };
        if let Err(withheld) = self.ask(query, question) {
            return withhold(query, now, withheld);
        }
        let asked = self.asked(query, question, Carrier::Udp, now);
        let response = match self.world.respond(&asked) {
            Response::NoRoute => return withhold(query, now, Withheld::NoRoute),
            response => response,
        };
        self.book(query.server.address);
        let (first, late) = udp_endings(response, query.patience);
        let mut observed = vec![observation(query, 0, now, first)];
        observed.extend(late.map(|late| observation(query, 0, now, late)));
        observed
    }

    fn connection(&mut self, query: &Query, now: Duration) -> Vec<(Duration, Observation)> {
        let mut observed = Vec::new();
        let mut open = Vec::new();
        for (number, question) in query.questions.iter().enumerate() {
            match self.ask(query, question) {
                Ok(()) => open.push((number, question)),
                Err(withheld) => {
                    let ending =
                        Ending::without_answer(Duration::ZERO, Outcome::Withheld(withheld));
                    observed.push(observation(query, number, now, ending));
                }
            }
        }
        let Some((_, first)) = open.first() else {
            return observed;
        };
        let whole = self.settings.limits;
        // Limit B10, or sooner where whoever asks is not that patient.
        let limits = Limits {
            tcp_connect: whole.tcp_connect.min(query.patience),
            tcp_first: whole.tcp_first.min(query.patience),
            tcp_whole: whole.tcp_whole.min(query.patience),
            ..whole
        };
        let opening = self
            .world
            .open(&self.asked(query, first, Carrier::Tcp, now));
        if opening != Opening::NoRoute {
            self.book(query.server.address);
        }
        let connect = limits.tcp_connect.min(query.patience);
        let opening = match opening {
            Opening::Accepted(after) | Opening::Closes(after) | Opening::Stalls(after)
                if after > connect =>
            {
                Opening::Silence
            }
            opening => opening,
        };
        let (sent, same_for_all) = match opening {
            Opening::NoRoute => (
                now,
                Some((Duration::ZERO, Outcome::Withheld(Withheld::NoRoute))),
            ),
            Opening::Silence => (now, Some((connect, Outcome::Silence))),
            Opening::Rejected(rejection, after) => {
                (now, Some((after, Outcome::Rejected(rejection))))
            }
            Opening::Closes(after) => (
                now + after,
                Some((after, Outcome::Rejected(Rejection::Closed))),
            ),
            Opening::Stalls(after) | Opening::Accepted(after) => (now + after, None),
        };
        let patience = Patience::of(&limits, (now + query.patience).saturating_sub(sent));
        let same_for_all = match opening {
            Opening::Stalls(_) => Some((patience.first, Outcome::Silence)),
            _ => same_for_all,
        };
        for (number, question) in open {
            let ending = match &same_for_all {
                Some((after, outcome)) => Ending::without_answer(*after, outcome.clone()),
                None => {
                    let asked = self.asked(query, question, Carrier::Tcp, now);
                    tcp_ending(self.world.respond(&asked), patience)
                }
            };
            observed.push(observation(query, number, sent, ending));
        }
        observed
    }

    fn asked<'q>(
        &self,
        query: &'q Query,
        question: &'q Question,
        carrier: Carrier,
        now: Duration,
    ) -> Asked<'q>
    where
        'a: 'q,
    {
        Asked {
            address: query.server.address,
            carrier,
            region: self.settings.vantage,
            path: self.path,
            question,
            options: query.options,
            udp_size: UDP_SIZE,
            id: 0,
            now,
            chance: self.chance(query),
        }
    }

    /// Returns random bits that depend on nothing but the seed, the query and its destination.
    fn chance(&self, query: &Query) -> u64 {
        let address = match query.server.address {
            IpAddr::V4(address) => u64::from(u32::from(address)),
            IpAddr::V6(address) => {
                let bits = u128::from(address);
                u64::try_from((bits ^ bits >> 64) & u128::from(u64::MAX)).unwrap_or(0)
            }
        };
        mix(mix(self.settings.seed ^ address) ^ u64::from(query.id.0))
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014): every bit depends on every bit.
pub(crate) fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

fn withhold(query: &Query, now: Duration, withheld: Withheld) -> Vec<(Duration, Observation)> {
    (0..query.questions.len())
        .map(|number| {
            let ending = Ending::without_answer(Duration::ZERO, Outcome::Withheld(withheld));
            observation(query, number, now, ending)
        })
        .collect()
}

fn observation(
    query: &Query,
    number: usize,
    sent: Duration,
    ending: Ending,
) -> (Duration, Observation) {
    let observation = Observation {
        elapsed: ending.after,
        junk: ending.junk,
        case_kept: ending.case_kept,
        octets: ending.octets.into(),
        ..Observation::of(query, number, sent, ending.outcome)
    };
    (sent + ending.after, observation)
}

/// Returns the outcome of a datagram within patience, and what comes after all.
fn udp_endings(response: Response, patience: Duration) -> (Ending, Option<Ending>) {
    match response {
        Response::Rejected(rejection, after) => {
            // A true answer may still come after an ICMP error, which anybody can send.
            let after = (after + GRACE).min(patience);
            let outcome = Outcome::Rejected(rejection);
            (Ending::without_answer(after, outcome), None)
        }
        Response::Answer(answer) if answer.after <= patience => (read(answer), None),
        Response::Answer(answer) => {
            let mut late = read(answer);
            let junk = late.junk;
            let mut first = Ending::without_answer(patience, silence(junk));
            first.junk = junk;
            late.outcome = match late.outcome {
                Outcome::Reply(message) => Outcome::Late(message),
                _ => return (first, None),
            };
            (first, Some(late))
        }
        Response::Silence | Response::NoRoute => {
            (Ending::without_answer(patience, Outcome::Silence), None)
        }
    }
}

fn silence(junk: u32) -> Outcome {
    if junk > MUCH_JUNK {
        Outcome::Unreadable(Unreadable::Junk(junk))
    } else {
        Outcome::Silence
    }
}

fn read(answer: Answer) -> Ending {
    let (after, outcome) = if answer.wrong_case {
        let outcome = Outcome::Unreadable(Unreadable::Case);
        (answer.after + GRACE, outcome)
    } else {
        (answer.after, decoded(&answer.octets))
    };
    Ending {
        after,
        outcome,
        junk: answer.junk,
        case_kept: Some(!answer.wrong_case),
        octets: answer.octets,
    }
}

fn decoded(octets: &[u8]) -> Outcome {
    match bailiwick_wire::dns::decode(octets) {
        Ok(message) => Outcome::Reply(message.into()),
        Err(error) => Outcome::Unreadable(Unreadable::Malformed(error.to_string())),
    }
}

/// How long an open connection is waited for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For the first octet.
    first: Duration,
    /// For everything.
    whole: Duration,
}

impl Patience {
    /// Limit B10, or sooner where whoever asks is not that patient.
    fn of(limits: &Limits, left: Duration) -> Self {
        Self {
            first: limits.tcp_first.min(left),
            whole: limits.tcp_whole.min(left),
        }
    }
}

/// Over TCP nobody can forge from afar, so another case is noted and the answer taken.
fn tcp_ending(response: Response, patience: Patience) -> Ending {
    match response {
        Response::Answer(answer) if answer.after > patience.first => {
            Ending::without_answer(patience.first, Outcome::Silence)
        }
        Response::Answer(answer) if answer.drips => {
            let dripped = patience.whole.saturating_sub(answer.after).as_secs() + 1;
            let outcome = Outcome::Unreadable(Unreadable::Malformed(format!(
                "only {} of {} octets arrived",
                dripped.saturating_sub(2),
                answer.octets.len()
            )));
            Ending::without_answer(patience.whole, outcome)
        }
        Response::Answer(answer) => Ending {
            after: answer.after,
            outcome: decoded(&answer.octets),
            junk: answer.junk,
            case_kept: Some(!answer.wrong_case),
            octets: answer.octets,
        },
        Response::Rejected(rejection, after) => {
            Ending::without_answer(after, Outcome::Rejected(rejection))
        }
        Response::Silence | Response::NoRoute => {
            Ending::without_answer(patience.first, Outcome::Silence)
        }
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_core::{
        name::Name,
        query::{Options, Purpose, QueryId},
        record::RecordType,
        server::Server,
    };

    use super::*;
    use crate::scenario::Scenario;

    /// Returns a world where one server with these rules has example.com.
    fn world(rules: &str) -> World {
        let text = format!(
            "[check example.com.]\n[server ns.test. 192.0.2.53]\n{rules}\nzone example.com.\n@ NS ns.test.\n"
        );
        Scenario::parse(&text).unwrap().world
    }

    fn query(via: Via, types: &[RecordType], number: u32) -> Query {
        let zone: Name = "example.com.".parse().unwrap();
        Query {
            id: QueryId(number),
            server: Server {
                name: "ns.test.".parse().unwrap(),
                address: "192.0.2.53".parse().unwrap(),
            },
            role: Role::Child,
            questions: types
                .iter()
                .map(|&t| Question::new(zone.clone(), t))
                .collect(),
            zone,
            purpose: Purpose::Child,
            via,
            options: Options::ITERATIVE,
            patience: Duration::from_millis(700),
        }
    }

    /// Returns what comes of a query, each with its outcome in a word and its arrival.
    fn outcomes(world: &World, query: &Query) -> Vec<(&'static str, u128)> {
        Network::new(world, &Settings::laboratory())
            .exchange(query, Duration::from_secs(1))
            .into_iter()
            .map(|(at, observation)| (word(&observation.outcome), at.as_millis()))
            .collect()
    }

    fn word(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Reply(message) if message.flags.truncated => "truncated",
            Outcome::Reply(_) => "reply",
            Outcome::Late(_) => "late",
            Outcome::Rejected(Rejection::Port) => "port",
            Outcome::Rejected(Rejection::Host) => "host",
            Outcome::Rejected(Rejection::Closed) => "closed",
            Outcome::Unreadable(Unreadable::Malformed(_)) => "malformed",
            Outcome::Unreadable(Unreadable::Case) => "case",
            Outcome::Unreadable(_) => "unreadable",
            Outcome::Silence => "silence",
            Outcome::Withheld(_) => "withheld",
        }
    }

    #[test]
    fn every_rule_comes_out_as_the_transport_would_tell_it() {
        type Expected = &'static [(&'static str, u128)];
        let cases: [(&str, Via, Expected); 17] = [
            ("", Via::Udp, &[("reply", 1020)]),
            ("", Via::Tcp, &[("reply", 1040)]),
            ("rtt 100ms", Via::Tcp, &[("reply", 1200)]),
            ("silent", Via::Udp, &[("silence", 1700)]),
            ("silent", Via::Tcp, &[("silence", 1700)]),
            ("late 900ms", Via::Udp, &[("silence", 1700), ("late", 1920)]),
            ("late 900ms", Via::Tcp, &[("silence", 1700)]),
            ("port-closed", Via::Udp, &[("port", 1270)]),
            ("port-closed", Via::Tcp, &[("port", 1020)]),
            ("unreachable", Via::Udp, &[("host", 1270)]),
            ("no-route", Via::Udp, &[("withheld", 1000)]),
            ("closes", Via::Tcp, &[("closed", 1040)]),
            ("stalls", Via::Tcp, &[("silence", 1700)]),
            ("drips", Via::Tcp, &[("malformed", 1700)]),
            ("malformed", Via::Udp, &[("malformed", 1020)]),
            ("wrong-case", Via::Udp, &[("case", 1270)]),
            ("truncates 20", Via::Udp, &[("truncated", 1020)]),
        ];
        for (rule, via, expected) in cases {
            let query = query(via, &[RecordType::SOA], 0);
            assert_eq!(
                outcomes(&world(rule), &query),
                expected,
                "{rule} over {via}"
            );
        }
    }

    #[test]
    fn one_connection_carries_several_questions() {
        let query = query(Via::Tcp, &[RecordType::SOA, RecordType::NS], 0);
        let both = outcomes(&world("silent type NS"), &query);
        assert_eq!(
            both,
            [("reply", 1040), ("silence", 1700)],
            "one of them without answer"
        );
    }

    #[test]
    fn limits_are_kept() {
        let world = world("");
        let mut network = Network::new(&world, &Settings::laboratory());
        let mut ask = |types: &[RecordType], via, number| {
            let (_, observation) = network
                .exchange(&query(via, types, number), Duration::ZERO)
                .remove(0);
            observation.outcome
        };
        for number in 0..3 {
            assert_eq!(word(&ask(&[RecordType::SOA], Via::Udp, number)), "reply");
        }
        let again = ask(&[RecordType::SOA], Via::Udp, 3);
        assert_eq!(again, Outcome::Withheld(Withheld::SameQuestion), "limit B3");
        assert_eq!(
            word(&ask(&[RecordType::SOA], Via::Tcp, 4)),
            "reply",
            "another transport"
        );
        for number in 5..13 {
            let other = RecordType(u16::try_from(1000 + number).unwrap());
            ask(&[other], Via::Udp, number);
        }
        let more = ask(&[RecordType::NS], Via::Udp, 13);
        assert_eq!(
            more,
            Outcome::Withheld(Withheld::PacketsToAddress),
            "limit B2"
        );
        assert_eq!(network.packets(), 12);
    }

    #[test]
    fn addresses_that_are_not_global_need_a_laboratory() {
        let world = world("");
        let settings = Settings {
            allow_special_use: false,
            ..Settings::laboratory()
        };
        let (_, observation) = Network::new(&world, &settings)
            .exchange(&query(Via::Udp, &[RecordType::SOA], 0), Duration::ZERO)
            .remove(0);
        assert_eq!(observation.outcome, Outcome::Withheld(Withheld::SpecialUse));
    }

    #[test]
    fn loss_depends_on_the_seed_alone() {
        let world = world("loss 50%");
        let lost = |seed| {
            let settings = Settings {
                seed,
                ..Settings::laboratory()
            };
            (0..200)
                .filter(|&number| {
                    let query = query(Via::Udp, &[RecordType::SOA], number);
                    let (_, observation) = Network::new(&world, &settings)
                        .exchange(&query, Duration::ZERO)
                        .remove(0);
                    observation.outcome == Outcome::Silence
                })
                .count()
        };
        assert_eq!(lost(1), lost(1));
        assert!(
            (70..130).contains(&lost(1)),
            "about half of 200: {}",
            lost(1)
        );
    }
}
