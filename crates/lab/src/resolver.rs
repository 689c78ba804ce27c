//! A resolver of the simulated internet: honest, and with an empty cache unless the world says
//! otherwise.
//!
//! It follows referrals from the root by glue alone, tries every address of a zone until one
//! gives a usable answer, looks up what has no glue, and looks whether the DS set of a zone
//! matches one of its keys. That is the algorithm of RFC 1034, section 5.3.3, and no more of
//! DNSSEC than a broken chain needs: signatures are not simulated.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    delegation::Delegation,
    message::{Class, Edns, ExtendedError, Message, Question, Rcode},
    name::Name,
    query::{Options, UDP_SIZE},
    record::{Ds, Record, RecordData, RecordType},
    server::Server,
};

use crate::{
    authority::bare,
    respond::{Asked, Opening, Response, identity},
    world::{Carrier, Resolver, World},
};

/// Questions that one answer may cost.
const BUDGET: u32 = 60;
/// How long it waits for one server: it has many clients and little patience.
const PATIENCE: Duration = Duration::from_millis(120);
/// How deep look-ups of name servers' addresses may nest.
const NESTING: usize = 4;
/// Referrals on one way down.
const REFERRALS: usize = 16;
/// Aliases in one answer.
const ALIASES: usize = 8;
/// The TTL of stale data, in seconds (RFC 8767, section 4).
const STALE_TTL: u32 = 30;

/// Extended errors (RFC 8914, section 4).
const STALE_ANSWER: u16 = 3;
const DNSKEY_MISSING: u16 = 9;
const NO_REACHABLE_AUTHORITY: u16 = 22;

/// Returns what a resolver of the world answers, and how long it thinks about it.
#[must_use]
pub fn answer(world: &World, resolver: &Resolver, asked: &Asked<'_>) -> (Message, Duration) {
    let question = asked.question;
    if question.class == Class::Chaos {
        return (identity(question, Some(&resolver.identity)), Duration::ZERO);
    }
    if let Some(message) = own_address(resolver, question) {
        return (message, Duration::ZERO);
    }
    if let Some(message) = absent(resolver, question) {
        return (message, Duration::ZERO);
    }
    let mut search = Search {
        world,
        region: &resolver.region,
        now: asked.now,
        spent: Duration::ZERO,
        left: BUDGET,
        cache: &resolver.cache,
        looking_up: BTreeSet::new(),
        learned: BTreeMap::new(),
        checks: !asked.options.checking_disabled,
    };
    let found = search.resolve(&question.name, question.record_type);
    let mut message = match found {
        Ok(message) => message,
        Err(error) => stale(resolver, question).unwrap_or_else(|| failure(error)),
    };
    message.flags.authoritative = false;
    message.flags.recursion_available = true;
    (message, search.spent)
}

/// Google Public DNS tells who asks for this name from where the question came.
fn own_address(resolver: &Resolver, question: &Question) -> Option<Message> {
    let asks = question.name.to_string() == "o-o.myaddr.l.google.com."
        && question.record_type == RecordType::TXT
        && resolver.well_known;
    asks.then(|| Message {
        answer: vec![Record {
            name: question.name.clone(),
            ttl: 60,
            data: RecordData::Txt(vec![b"172.217.32.1".as_slice().into()]),
        }],
        ..Message::default()
    })
}

fn absent(resolver: &Resolver, question: &Question) -> Option<Message> {
    let (name, seconds) = resolver
        .absent
        .iter()
        .find(|(name, _)| question.name.is_at_or_below(name))?;
    let parent = name.parent().unwrap_or_else(Name::root);
    let zone = crate::zone::Zone::new(parent, []);
    let mut message = bare(Rcode::NXDOMAIN);
    if let Some((soa, _)) = zone.soa() {
        message.authority.push(Record {
            ttl: *seconds,
            ..soa.clone()
        });
    }
    Some(message)
}

fn stale(resolver: &Resolver, question: &Question) -> Option<Message> {
    let held: Vec<_> = resolver
        .cache
        .iter()
        .filter(|record| {
            record.name == question.name && record.record_type() == question.record_type
        })
        .map(|record| Record {
            ttl: STALE_TTL,
            ..record.clone()
        })
        .collect();
    (resolver.serves_stale && !held.is_empty()).then(|| Message {
        answer: held,
        edns: Some(with_error(STALE_ANSWER)),
        ..Message::default()
    })
}

fn failure(error: u16) -> Message {
    Message {
        edns: Some(with_error(error)),
        ..bare(Rcode::SERVFAIL)
    }
}

fn with_error(code: u16) -> Edns {
    Edns {
        errors: vec![ExtendedError {
            code,
            text: Box::default(),
        }],
        ..Edns::default()
    }
}

/// One answer being looked for. A failure is the extended error that tells of it.
struct Search<'a> {
    world: &'a World,
    region: &'a str,
    now: Duration,
    spent: Duration,
    left: u32,
    cache: &'a [Record],
    /// Names whose addresses are being looked up: coming back to one is a cycle.
    looking_up: BTreeSet<Name>,
    /// Zones that referrals of this search led to.
    learned: BTreeMap<Name, Zone>,
    checks: bool,
}

/// A zone on the way down.
#[derive(Clone)]
struct Zone {
    name: Name,
    servers: BTreeMap<Name, BTreeSet<IpAddr>>,
    signers: BTreeSet<Ds>,
}

impl Search<'_> {
    fn resolve(&mut self, name: &Name, record_type: RecordType) -> Result<Message, u16> {
        let mut chain = Vec::new();
        let mut name = name.clone();
        for _ in 0..=ALIASES {
            let mut message = self.descend(&name, record_type)?;
            let alias = follow(&message.answer, &name, record_type);
            chain.append(&mut message.answer);
            match alias {
                Some(target) => name = target,
                None => {
                    message.answer = chain;
                    message.additional.clear();
                    return Ok(message);
                }
            }
        }
        Err(NO_REACHABLE_AUTHORITY)
    }

    /// Walks from the closest known zone down to an answer for one name.
    fn descend(&mut self, name: &Name, record_type: RecordType) -> Result<Message, u16> {
        let mut zone = self.closest(name);
        for _ in 0..REFERRALS {
            let message = self.ask_zone(&zone, name, record_type)?;
            match Delegation::owner(&message) {
                Some(owner) if *owner != zone.name && owner.is_below(&zone.name) => {
                    let owner = owner.clone();
                    zone = below(&zone.name, &owner, &message).ok_or(NO_REACHABLE_AUTHORITY)?;
                    self.learned.insert(owner, zone.clone());
                    self.check_chain(&zone)?;
                }
                _ => return Ok(message),
            }
        }
        Err(NO_REACHABLE_AUTHORITY)
    }

    /// Returns the closest zone above the name that the cache or this search knows, else the root.
    fn closest(&self, name: &Name) -> Zone {
        let held = |owner: &Name, record_type| {
            self.cache
                .iter()
                .filter(move |r| r.name == *owner && r.record_type() == record_type)
                .collect::<Vec<_>>()
        };
        for count in (1..=name.label_count()).rev() {
            let Some(owner) = name.ancestor(count) else {
                continue;
            };
            if let Some(zone) = self.learned.get(&owner) {
                return zone.clone();
            }
            let mut servers = BTreeMap::new();
            for record in held(&owner, RecordType::NS) {
                if let RecordData::Ns(host) = &record.data {
                    let addresses = held(host, RecordType::A)
                        .into_iter()
                        .chain(held(host, RecordType::AAAA))
                        .filter_map(|record| record.data.address())
                        .collect();
                    servers.insert(host.clone(), addresses);
                }
            }
            if !servers.is_empty() {
                return Zone {
                    name: owner,
                    servers,
                    signers: BTreeSet::new(),
                };
            }
        }
        let mut servers: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for Server { name, address } in self.world.hints() {
            servers.entry(name).or_default().insert(address);
        }
        Zone {
            name: Name::root(),
            servers,
            signers: BTreeSet::new(),
        }
    }

    /// Asks the servers of a zone until one gives a usable answer.
    fn ask_zone(
        &mut self,
        zone: &Zone,
        name: &Name,
        record_type: RecordType,
    ) -> Result<Message, u16> {
        let with_glue = zone.servers.values().flatten().copied();
        let addresses: BTreeSet<_> = with_glue.collect();
        for address in addresses {
            if let Some(message) = self.usable(zone, address, name, record_type) {
                return Ok(message);
            }
        }
        let without_glue = zone.servers.iter().filter(|(_, glue)| glue.is_empty());
        for host in without_glue.map(|(host, _)| host) {
            for address in self.look_up(host) {
                if let Some(message) = self.usable(zone, address, name, record_type) {
                    return Ok(message);
                }
            }
        }
        Err(NO_REACHABLE_AUTHORITY)
    }

    /// Returns the addresses of a name server without glue; none where that leads in a circle.
    fn look_up(&mut self, host: &Name) -> BTreeSet<IpAddr> {
        if self.looking_up.len() >= NESTING || !self.looking_up.insert(host.clone()) {
            return BTreeSet::new();
        }
        let mut found = BTreeSet::new();
        for record_type in [RecordType::A, RecordType::AAAA] {
            if let Ok(message) = self.resolve(host, record_type) {
                found.extend(message.answer.iter().filter_map(|r| r.data.address()));
            }
        }
        self.looking_up.remove(host);
        found
    }

    /// Asks one address; `None` if the answer leads nowhere.
    fn usable(
        &mut self,
        zone: &Zone,
        address: IpAddr,
        name: &Name,
        record_type: RecordType,
    ) -> Option<Message> {
        let message = self.ask(address, name, record_type)?;
        let says_something = matches!(message.rcode, Rcode::NOERROR | Rcode::NXDOMAIN);
        let refers = Delegation::owner(&message)
            .is_some_and(|owner| owner.is_below(&zone.name) && name.is_at_or_below(owner));
        (says_something && (message.flags.authoritative || refers)).then_some(message)
    }

    /// Asks one question over UDP, and over TCP after truncation.
    fn ask(&mut self, address: IpAddr, name: &Name, record_type: RecordType) -> Option<Message> {
        let question = Question::new(name.clone(), record_type);
        let message = self.carry(address, &question, Carrier::Udp)?;
        if message.flags.truncated {
            return self.carry(address, &question, Carrier::Tcp);
        }
        Some(message)
    }

    fn carry(&mut self, address: IpAddr, question: &Question, carrier: Carrier) -> Option<Message> {
        self.left = self.left.checked_sub(1)?;
        let asked = Asked {
            address,
            carrier,
            region: self.region,
            path: None,
            question,
            options: Options {
                dnssec_ok: true,
                ..Options::ITERATIVE
            },
            udp_size: UDP_SIZE,
            id: 0,
            now: self.now,
            chance: u64::MAX,
        };
        if carrier == Carrier::Tcp && !matches!(self.world.open(&asked), Opening::Accepted(_)) {
            self.spent += PATIENCE;
            return None;
        }
        match self.world.respond(&asked) {
            Response::Answer(answer) if !answer.drips => {
                self.spent += answer.after.min(PATIENCE);
                bailiwick_wire::dns::decode(&answer.octets).ok()
            }
            Response::Rejected(_, after) => {
                self.spent += after;
                None
            }
            _ => {
                self.spent += PATIENCE;
                None
            }
        }
    }

    /// Fails if the zone has a DS set and none of its keys matches (RFC 4035, section 5.2).
    fn check_chain(&mut self, zone: &Zone) -> Result<(), u16> {
        // A DS set of kinds that nobody knows leaves the zone unsigned.
        if !zone.signers.iter().any(is_known) || !self.checks {
            return Ok(());
        }
        let Ok(message) = self.ask_zone(zone, &zone.name, RecordType::DNSKEY) else {
            // Nobody answers: that is not the fault of the chain.
            return Ok(());
        };
        let matches = message.answer.iter().any(|record| match &record.data {
            RecordData::Dnskey(key) => zone
                .signers
                .iter()
                .any(|ds| (ds.key_tag, ds.algorithm) == (key.key_tag(), key.algorithm)),
            _ => false,
        });
        if matches { Ok(()) } else { Err(DNSKEY_MISSING) }
    }
}

/// Whether algorithm and digest of a DS record are in use (IANA "DNS Security Algorithm Numbers").
fn is_known(ds: &Ds) -> bool {
    matches!(ds.algorithm, 5 | 7 | 8 | 10 | 13..=16) && matches!(ds.digest_type, 1 | 2 | 4)
}

/// Reads a referral; addresses of names outside of the zone that refers are not believed.
fn below(asked: &Name, owner: &Name, message: &Message) -> Option<Zone> {
    let delegation = Delegation::read(message, owner)?;
    let servers = delegation
        .name_servers
        .into_iter()
        .map(|(host, glue)| {
            let believed = host.is_at_or_below(asked);
            let addresses = glue.into_keys().filter(|_| believed).collect();
            (host, addresses)
        })
        .collect();
    Some(Zone {
        name: owner.clone(),
        servers,
        signers: delegation.ds,
    })
}

/// Returns where the answer ends if that is an alias without the data asked for.
fn follow(answer: &[Record], name: &Name, record_type: RecordType) -> Option<Name> {
    if matches!(record_type, RecordType::CNAME | RecordType::ANY) {
        return None;
    }
    let mut at = name.clone();
    for _ in 0..=ALIASES {
        if answer
            .iter()
            .any(|r| r.name == at && r.record_type() == record_type)
        {
            return None;
        }
        let next = answer.iter().find_map(|record| match &record.data {
            RecordData::Cname(target) if record.name == at => Some(target.clone()),
            _ => None,
        });
        match next {
            Some(target) => at = target,
            None => break,
        }
    }
    (at != *name).then_some(at)
}
