//! Every address of every parent server, asked for the same delegation.
//!
//! Over UDP the referral alone; over one TCP connection the referral and the
//! SOA of the parent zone, so that both come from the same anycast instance.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    delegation::Delegation,
    message::Question,
    name::Name,
    observation::{Observation, Outcome},
    query::{Options, Purpose, Query, QueryId, Via},
    record::{Record, RecordType},
    report::{Cut, Found, Inside, Lost},
    server::{Role, Server},
};

use crate::{
    patience,
    reply::{self, Meaning},
};

/// How many parent server names are asked without EDNS.
const SMALL: usize = 4;

/// The sweep over the servers of the parent zone.
#[derive(Debug)]
pub(crate) struct Sweep {
    zone: Name,
    parent: Name,
    asked: BTreeSet<IpAddr>,
    retried: BTreeSet<IpAddr>,
    small: BTreeSet<Name>,
}

/// What one parent server says of the zone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    /// It refers to it.
    Delegation(Delegation),
    /// It hosts the zone itself: the NS set, with whatever addresses came along.
    Hosted(Vec<Record>),
    /// It says that the name does not exist.
    Absent,
    /// It answers for the name as part of the parent zone.
    Inside(Inside),
}

impl Sweep {
    pub(crate) fn new(zone: &Name, parent: &Name) -> Self {
        Self {
            zone: zone.clone(),
            parent: parent.clone(),
            asked: BTreeSet::new(),
            retried: BTreeSet::new(),
            small: BTreeSet::new(),
        }
    }

    pub(crate) fn parent(&self) -> &Name {
        &self.parent
    }

    /// Returns the queries for a server; none if its address was asked already.
    pub(crate) fn ask(&mut self, server: &Server) -> Vec<Query> {
        if !self.asked.insert(server.address) {
            return Vec::new();
        }
        let mut queries = vec![self.referral(server, Options::ITERATIVE, patience::FIRST)];
        let with_ds = Options {
            dnssec_ok: true,
            ..Options::ITERATIVE
        };
        let soa = Question::new(self.parent.clone(), RecordType::SOA);
        queries.push(Query {
            via: Via::Tcp,
            questions: vec![self.question(), soa],
            patience: patience::TCP,
            ..self.referral(server, with_ds, patience::TCP)
        });
        if self.small.len() < SMALL && self.small.insert(server.name.clone()) {
            let plain = self.referral(server, Options::PLAIN, patience::FIRST);
            queries.push(Query {
                purpose: Purpose::Small,
                ..plain
            });
        }
        queries
    }

    /// Returns what follows from an observation of this sweep: another try, perhaps.
    pub(crate) fn retry(&mut self, observation: &Observation) -> Option<Query> {
        let no_edns = match &observation.outcome {
            Outcome::Silence => false,
            Outcome::Reply(message) => {
                reply::read(message, &observation.question, &self.parent) == Meaning::NoEdns
            }
            _ => return None,
        };
        let first = observation.via == Via::Udp
            && (observation.reply().is_none() || no_edns)
            && observation.purpose == Purpose::Parent;
        if !first || !self.retried.insert(observation.server.address) {
            return None;
        }
        let options = if no_edns {
            Options::PLAIN
        } else {
            Options::ITERATIVE
        };
        Some(self.referral(&observation.server, options, patience::SECOND))
    }

    fn question(&self) -> Question {
        Question::new(self.zone.clone(), RecordType::NS)
    }

    fn referral(&self, server: &Server, options: Options, patience: Duration) -> Query {
        Query {
            id: QueryId::default(),
            server: server.clone(),
            role: if self.parent.is_root() {
                Role::Root
            } else {
                Role::Parent
            },
            zone: self.parent.clone(),
            purpose: Purpose::Parent,
            via: Via::Udp,
            questions: vec![self.question()],
            options,
            patience,
        }
    }
}

/// Reads what a parent server says of the zone; `None` if it says nothing usable.
pub(crate) fn said(observation: &Observation, zone: &Name, parent: &Name) -> Option<Said> {
    if !matches!(observation.purpose, Purpose::Parent | Purpose::Small)
        || observation.question.name != *zone
        || observation.question.record_type != RecordType::NS
    {
        return None;
    }
    let message = observation.reply()?;
    match reply::read(message, &observation.question, parent) {
        Meaning::Referral(delegation) if delegation.zone == *zone => {
            Some(Said::Delegation(delegation))
        }
        Meaning::Answer(records) => Some(Said::Hosted(
            records
                .into_iter()
                .chain(message.additional.clone())
                .collect(),
        )),
        Meaning::NoName => Some(Said::Absent),
        Meaning::NoData { zone: Some(owner) } if owner == *zone => Some(Said::Hosted(Vec::new())),
        Meaning::NoData { .. } => Some(Said::Inside(Inside::Data)),
        Meaning::Alias { .. } => Some(Said::Inside(Inside::Alias)),
        _ => None,
    }
}

/// Concludes what is at the name from all that the parent servers said. A delegation anywhere
/// is a delegation; else what most of them say.
pub(crate) fn conclude<'a>(
    observations: impl Iterator<Item = &'a Observation>,
    zone: &Name,
    parent: &Cut,
) -> Found {
    let mut votes: BTreeMap<Found, usize> = BTreeMap::new();
    for observation in observations {
        let found = match said(observation, zone, &parent.zone) {
            Some(Said::Delegation(_)) => Found::Delegated,
            Some(Said::Hosted(_)) => Found::SharedServers,
            Some(Said::Absent) => Found::Absent,
            Some(Said::Inside(inside)) => Found::Inside(inside),
            None => continue,
        };
        *votes.entry(found).or_insert(0) += 1;
    }
    for decisive in [Found::Delegated, Found::SharedServers] {
        if votes.contains_key(&decisive) {
            return decisive;
        }
    }
    let most = votes.into_iter().max_by_key(|(_, count)| *count);
    most.map_or_else(
        || {
            Found::Lost(Lost::NoUsableAnswer {
                zone: parent.zone.clone(),
            })
        },
        |(found, _)| found,
    )
}
