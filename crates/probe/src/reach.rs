//! Whether each address of a name server answers with authority, and what it publishes.
//!
//! Over UDP the SOA comes first; the rest is asked only where it was answered
//! with authority. Over TCP one connection carries all questions. The number of
//! packets grows with the number of addresses, not with its square: a server is
//! asked for the addresses of its own host, and of one other where there are few.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    message::{Question, Rcode},
    name::Name,
    observation::{Observation, Outcome},
    query::{MAX_QUESTIONS, Options, Purpose, Query, QueryId, Via},
    record::{RecordData, RecordType},
    server::{Role, Server},
};

use crate::patience;

/// Up to this many name servers, each is asked for the addresses of the next one, too.
const FEW: usize = 8;

/// The servers of the zone.
#[derive(Debug)]
pub(crate) struct Reach {
    zone: Name,
    /// In-domain host names whose addresses the zone itself must know.
    hosts: BTreeSet<Name>,
    name_servers: usize,
    targets: BTreeMap<IpAddr, Target>,
    /// Hosts that the apex names and the delegation does not.
    extra_hosts: BTreeSet<Name>,
    retried: BTreeSet<(IpAddr, Question)>,
}

#[derive(Debug)]
struct Target {
    server: Server,
    /// The SOA was answered with authority over UDP.
    followed: bool,
}

impl Reach {
    pub(crate) fn new(zone: &Name) -> Self {
        Self {
            zone: zone.clone(),
            hosts: BTreeSet::new(),
            name_servers: 0,
            targets: BTreeMap::new(),
            extra_hosts: BTreeSet::new(),
            retried: BTreeSet::new(),
        }
    }

    /// Makes the NS names of the delegation known; to be called before their addresses.
    pub(crate) fn name_servers<'a>(&mut self, names: impl Iterator<Item = &'a Name>) {
        let names: BTreeSet<_> = names.cloned().collect();
        self.name_servers = self.name_servers.max(names.len());
        self.hosts.extend(
            names
                .into_iter()
                .filter(|name| name.is_at_or_below(&self.zone)),
        );
    }

    /// Returns how many addresses are known.
    pub(crate) fn len(&self) -> usize {
        self.targets.len()
    }

    pub(crate) fn knows(&self, address: IpAddr) -> bool {
        self.targets.contains_key(&address)
    }

    /// Returns the first questions for an address; none if it is known already.
    pub(crate) fn ask(&mut self, server: Server) -> Vec<Query> {
        if self.targets.contains_key(&server.address) {
            return Vec::new();
        }
        let mut questions = vec![self.at_apex(RecordType::SOA), self.at_apex(RecordType::NS)];
        questions.extend(self.host_questions(&server.name));
        questions.push(self.at_apex(RecordType::DNSKEY));
        questions.truncate(MAX_QUESTIONS);
        let soa = self.query(&server, self.at_apex(RecordType::SOA), patience::FIRST);
        let tcp = Query {
            via: Via::Tcp,
            questions,
            patience: patience::TCP,
            ..soa.clone()
        };
        self.targets.insert(
            server.address,
            Target {
                server,
                followed: false,
            },
        );
        vec![soa, tcp]
    }

    /// Returns what follows from an observation of a server of the zone.
    pub(crate) fn learn(&mut self, observation: &Observation) -> Vec<Query> {
        let mut queries = Vec::new();
        if observation.via == Via::Udp {
            queries.extend(self.retry(observation));
        }
        let Some(message) = observation.reply().filter(|m| m.flags.authoritative) else {
            return queries;
        };
        let has_soa = message
            .answers(&self.zone, RecordType::SOA)
            .next()
            .is_some()
            && observation.via == Via::Udp;
        if has_soa
            && let Some(target) = self.targets.get_mut(&observation.server.address)
            && !target.followed
        {
            target.followed = true;
            let server = target.server.clone();
            let questions: Vec<_> = std::iter::once(self.at_apex(RecordType::NS))
                .chain(self.host_questions(&server.name))
                .collect();
            let query = |question| self.query(&server, question, patience::FOLLOW);
            queries.extend(questions.into_iter().map(query));
        }
        queries.extend(self.hosts_of_apex(observation));
        queries
    }

    /// Returns the addresses that a server of the zone gives for hosts within it.
    pub(crate) fn addresses(&self, observation: &Observation) -> Vec<Server> {
        let Some(message) = observation.reply().filter(|m| m.flags.authoritative) else {
            return Vec::new();
        };
        let asked_for_address = matches!(
            observation.question.record_type,
            RecordType::A | RecordType::AAAA
        );
        if !asked_for_address {
            return Vec::new();
        }
        let known = |name: &Name| self.hosts.contains(name) || self.extra_hosts.contains(name);
        let of_hosts = message.answer.iter().filter(|record| known(&record.name));
        of_hosts
            .filter_map(|record| {
                Some(Server {
                    name: record.name.clone(),
                    address: record.data.address()?,
                })
            })
            .collect()
    }

    /// Returns the NS names at the apex, if the observation shows them.
    pub(crate) fn apex(&self, observation: &Observation) -> BTreeSet<Name> {
        let reply = observation
            .reply()
            .filter(|message| message.flags.authoritative);
        reply
            .iter()
            .flat_map(|message| message.answers(&self.zone, RecordType::NS))
            .filter_map(|record| match &record.data {
                RecordData::Ns(host) => Some(host.clone()),
                _ => None,
            })
            .collect()
    }

    /// Hosts that only the apex names are asked for once, of whoever named them.
    fn hosts_of_apex(&mut self, observation: &Observation) -> Vec<Query> {
        let mut queries = Vec::new();
        for host in self.apex(observation) {
            let extra = host.is_at_or_below(&self.zone)
                && !self.hosts.contains(&host)
                && self.extra_hosts.len() < FEW
                && self.extra_hosts.insert(host.clone());
            if extra {
                for record_type in [RecordType::A, RecordType::AAAA] {
                    let question = Question::new(host.clone(), record_type);
                    queries.push(self.query(&observation.server, question, patience::FOLLOW));
                }
            }
        }
        queries
    }

    /// A silent question is asked once more, the SOA without EDNS; so is one that the server
    /// could not read with EDNS.
    fn retry(&mut self, observation: &Observation) -> Option<Query> {
        let no_edns = observation.reply().is_some_and(|message| {
            matches!(
                message.rcode,
                Rcode::FORMERR | Rcode::NOTIMP | Rcode::BADVERS
            )
        });
        let again = matches!(observation.outcome, Outcome::Silence) || no_edns;
        let key = (observation.server.address, observation.question.clone());
        if !again || !self.retried.insert(key) {
            return None;
        }
        let is_soa = observation.question.record_type == RecordType::SOA;
        let options = if no_edns || is_soa {
            Options::PLAIN
        } else {
            Options::ITERATIVE
        };
        let query = self.query(
            &observation.server,
            observation.question.clone(),
            patience::SECOND,
        );
        Some(Query { options, ..query })
    }

    /// The address questions for a server's own host, and for the next one in name order.
    fn host_questions(&self, own: &Name) -> Vec<Question> {
        let mut hosts: Vec<&Name> = self.hosts.get(own).into_iter().collect();
        if self.name_servers <= FEW {
            let after = self.hosts.range(own.clone()..).find(|host| *host != own);
            hosts.extend(after.or_else(|| self.hosts.first().filter(|host| *host != own)));
        }
        let types = [RecordType::A, RecordType::AAAA];
        hosts
            .into_iter()
            .flat_map(|host| types.map(|record_type| Question::new(host.clone(), record_type)))
            .collect()
    }

    fn at_apex(&self, record_type: RecordType) -> Question {
        Question::new(self.zone.clone(), record_type)
    }

    fn query(&self, server: &Server, question: Question, patience: Duration) -> Query {
        Query {
            id: QueryId::default(),
            server: server.clone(),
            role: Role::Child,
            zone: self.zone.clone(),
            purpose: Purpose::Child,
            via: Via::Udp,
            questions: vec![question],
            options: Options::ITERATIVE,
            patience,
        }
    }
}
