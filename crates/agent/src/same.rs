//! Whether a report says what the one before it said.
//!
//! This decides nothing but what is dropped first when there is no space. Times and what changes by
//! itself are left out: TTLs, names made of random octets, serial numbers of parent zones.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher as _},
    net::IpAddr,
};

use bailiwick_core::{
    message::{Message, Rcode},
    observation::{Observation, Outcome},
    query::Purpose,
    record::{RecordData, RecordType},
    report::Report,
    server::Role,
};

/// What a report says, in short. Only comparable within one run of the program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Digest(u64);

/// What one answer says.
type Answer<'a> = (Rcode, bool, bool, BTreeSet<&'a RecordData>);

impl Digest {
    pub(crate) fn of(report: &Report) -> Self {
        let mut hasher = DefaultHasher::new();
        (&report.found, &report.path, &report.lookups).hash(&mut hasher);
        // In whatever order they were asked.
        let said: BTreeSet<_> = report.observations.values().map(said).collect();
        said.hash(&mut hasher);
        Self(hasher.finish())
    }
}

fn said(seen: &Observation) -> (IpAddr, Purpose, RecordType, u8, Option<Answer<'_>>) {
    let answer = match &seen.outcome {
        Outcome::Reply(message) => Some(answer(message, seen.role)),
        _ => None,
    };
    (
        seen.server.address,
        seen.purpose,
        seen.question.record_type,
        seen.outcome.rank(),
        answer,
    )
}

fn answer(message: &Message, role: Role) -> Answer<'_> {
    let sections = [&message.answer, &message.authority, &message.additional];
    let records = sections.into_iter().flatten().map(|record| &record.data);
    let lasting = records.filter(|data| match data {
        RecordData::Soa(_) => role == Role::Child,
        // Signatures and proofs are made anew all the time.
        RecordData::Other(..) | RecordData::Txt(_) => false,
        _ => true,
    });
    let flags = message.flags;
    (
        message.rcode,
        flags.authoritative,
        flags.truncated,
        lasting.collect(),
    )
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Duration};

    use bailiwick_core::{
        check::{Check, CheckId, Expectation},
        message::Question,
        observation::ObservationId,
        query::{Options, QueryId, Stub, Via},
        record::Record,
        report::{Found, LeftOut, RoundId},
        server::Server,
        time::Timestamp,
        vantage::VantagePoint,
    };

    use super::*;

    fn seen(number: u32, address: &str) -> Observation {
        let name = || "zone.test.".parse().unwrap();
        Observation {
            id: ObservationId {
                query: QueryId(number),
                question: 0,
            },
            server: Server {
                name: name(),
                address: "192.0.2.1".parse().unwrap(),
            },
            role: Role::Parent,
            zone: name(),
            purpose: Purpose::Parent,
            via: Via::Udp,
            question: Question::new(name(), RecordType::NS),
            options: Options::ITERATIVE,
            sent: Duration::ZERO,
            elapsed: Duration::ZERO,
            outcome: Outcome::Reply(Arc::new(Message {
                additional: vec![Record {
                    name: name(),
                    ttl: 60,
                    data: RecordData::A(address.parse().unwrap()),
                }],
                ..Message::default()
            })),
            junk: 0,
            case_kept: None,
            octets: Box::default(),
        }
    }

    fn report(observations: impl IntoIterator<Item = Observation>) -> Report {
        Report {
            check: Check {
                id: CheckId(1),
                zone: "zone.test.".parse().unwrap(),
                expectation: Expectation::default(),
                roots: Vec::new(),
                resolvers: Vec::new(),
                stub: Stub::Plain,
                families: BTreeSet::new(),
                minimise: true,
                timeout: Duration::from_secs(5),
                nonce: 1,
                blackholes: Vec::new(),
                lab: false,
            },
            round: RoundId(1),
            vantage: VantagePoint::local(BTreeSet::new()),
            started: Timestamp(1),
            elapsed: Duration::from_secs(1),
            path: Vec::new(),
            found: Found::Delegated,
            lookups: BTreeMap::new(),
            observations: observations
                .into_iter()
                .map(|seen| (seen.id, seen))
                .collect(),
            left_out: LeftOut::default(),
            packets: 1,
        }
    }

    #[test]
    fn a_report_is_new_if_it_says_something_else() {
        let first = Digest::of(&report([seen(1, "192.0.2.7")]));
        let mut later = report([seen(2, "192.0.2.7")]);
        later.round = RoundId(2);
        later.started = Timestamp(99);
        later.packets = 7;
        for seen in later.observations.values_mut() {
            seen.elapsed = Duration::from_millis(3);
            if let Outcome::Reply(message) = &mut seen.outcome {
                Arc::make_mut(message).additional[0].ttl = 59;
            }
        }
        assert_eq!(Digest::of(&later), first, "times and numbers are no news");
        let others = [
            ("another address", report([seen(1, "192.0.2.8")])),
            (
                "one more",
                report([seen(1, "192.0.2.7"), seen(2, "192.0.2.8")]),
            ),
            ("nothing", report([])),
            ("silence", {
                let mut silent = seen(1, "192.0.2.7");
                silent.outcome = Outcome::Silence;
                report([silent])
            }),
            (
                "another end",
                Report {
                    found: Found::Absent,
                    ..report([seen(1, "192.0.2.7")])
                },
            ),
        ];
        for (what, other) in others {
            assert_ne!(Digest::of(&other), first, "{what}");
        }
    }
}
