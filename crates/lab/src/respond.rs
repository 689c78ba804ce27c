//! What comes back from an address of the world when it is asked something.
//!
//! Here the answer of [`crate::authority`] or [`crate::resolver`] meets what the host and the
//! path do to it, and becomes octets that fit the transport. Both ways of running a world ask
//! here, so a check over sockets and a check without them see the same.

use std::{net::IpAddr, time::Duration};

use bailiwick_core::{
    message::{Class, Edns, ExtendedError, Message, Question, Rcode},
    name::Name,
    observation::Rejection,
    query::{Options, UDP_SIZE},
    record::{Record, RecordData, RecordType},
    server::Family,
};

use crate::{
    authority::{self, Habits, bare},
    resolver,
    world::{Behaviour, Carrier, Host, Kind, Moment, Rule, Served, Vantage, World, rejection},
    zone::Zone,
};

/// A question as it reaches an address.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The address.
    pub address: IpAddr,
    /// Over what.
    pub carrier: Carrier,
    /// From where.
    pub region: &'a str,
    /// What lies between; `None` for resolvers, whose paths are clean.
    pub path: Option<&'a Vantage>,
    /// The question.
    pub question: &'a Question,
    /// Header and EDNS settings of the query.
    pub options: Options,
    /// The EDNS payload size offered, in octets.
    pub udp_size: u16,
    /// The message identity.
    pub id: u16,
    /// Since the check began.
    pub now: Duration,
    /// Random bits that decide about loss.
    pub chance: u64,
}

/// What comes back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Response {
    /// Nothing.
    Silence,
    /// The asker has no route there, so nothing was sent.
    NoRoute,
    /// Turned away, so long after sending.
    Rejected(Rejection, Duration),
    /// An answer.
    Answer(Answer),
}

/// An answer on its way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The message.
    pub octets: Vec<u8>,
    /// How long after sending it arrives.
    pub after: Duration,
    /// How many datagrams that answer nothing come before it.
    pub junk: u32,
    /// Whether it repeats the question in other case than asked.
    pub wrong_case: bool,
    /// Whether it comes octet by octet, one a second. TCP only.
    pub drips: bool,
}

/// How the opening of a TCP connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opening {
    /// No answer to the SYN.
    Silence,
    /// The asker has no route there.
    NoRoute,
    /// Turned away, so long after the SYN.
    Rejected(Rejection, Duration),
    /// Open after so long.
    Accepted(Duration),
    /// Open after so long, and closed when the question arrives.
    Closes(Duration),
    /// Open after so long, and then nothing.
    Stalls(Duration),
}

impl World {
    /// Returns what comes back for a question; over TCP the connection is open already.
    #[must_use]
    pub fn respond(&self, asked: &Asked<'_>) -> Response {
        let moment = asked.moment(Some((asked.question, asked.options)));
        let effects = self.effects(asked, &moment);
        if effects.no_route {
            return Response::NoRoute;
        }
        if effects.silent || (effects.drops_edns && asked.options.edns) {
            return Response::Silence;
        }
        let after = effects.round_trip(asked.address);
        if let Some(rejection) = effects.rejection.filter(|_| asked.carrier == Carrier::Udp) {
            return Response::Rejected(rejection, after);
        }
        if asked.carrier == Carrier::Udp && asked.chance % 100 < u64::from(effects.loss) {
            return Response::Silence;
        }
        let Some((mut message, thinking)) = self.message(asked, &moment, &effects) else {
            return Response::Silence;
        };
        effects.alter(&mut message, asked);
        let mut octets = effects.fit(&mut message, asked);
        if effects.malformed {
            octets.truncate(octets.len() * 2 / 3);
        }
        Response::Answer(Answer {
            octets,
            after: after + effects.late + thinking,
            junk: effects.junk,
            wrong_case: effects.wrong_case,
            drips: effects.drips,
        })
    }

    /// Returns how the opening of a TCP connection ends; the question of `asked` plays no part.
    #[must_use]
    pub fn open(&self, asked: &Asked<'_>) -> Opening {
        let moment = asked.moment(None);
        let effects = self.effects(asked, &moment);
        let after = effects.round_trip(asked.address);
        let nobody = self.hosts_at(asked.address).next().is_none() && !effects.intercepted;
        if effects.no_route {
            Opening::NoRoute
        } else if effects.silent || nobody {
            Opening::Silence
        } else if let Some(rejection) = effects.rejection {
            Opening::Rejected(rejection, after)
        } else if effects.closes {
            Opening::Closes(after)
        } else if effects.stalls {
            Opening::Stalls(after)
        } else {
            Opening::Accepted(after)
        }
    }

    fn effects(&self, asked: &Asked<'_>, moment: &Moment<'_>) -> Effects {
        let of_hosts = self.hosts_at(asked.address).flat_map(|host| &host.rules);
        let of_path = asked.path.iter().flat_map(|path| &path.rules);
        Effects::of(of_hosts.chain(of_path), moment)
    }

    /// Returns what the hosts at the address say, and how long they think about it.
    fn message(
        &self,
        asked: &Asked<'_>,
        moment: &Moment<'_>,
        effects: &Effects,
    ) -> Option<(Message, Duration)> {
        let mut hosts = self.hosts_at(asked.address).peekable();
        if hosts.peek().is_none() {
            // Only somebody on the path can answer where nobody is.
            return effects
                .intercepted
                .then(|| (bare(Rcode::SERVFAIL), Duration::ZERO));
        }
        if effects.formerr_on_edns && asked.options.edns {
            return Some((bare(Rcode::FORMERR), Duration::ZERO));
        }
        if let Some(said) = effects.instead {
            let mut message = bare(Rcode(said.0));
            message.edns = said.1.map(|code| Edns {
                errors: vec![ExtendedError {
                    code,
                    text: Box::default(),
                }],
                ..Edns::default()
            });
            return Some((message, Duration::ZERO));
        }
        let hosts: Vec<_> = hosts.collect();
        if let Some(resolver) = hosts.iter().find_map(|host| match &host.kind {
            Kind::Resolver(resolver) => Some(resolver),
            Kind::Authority(_) => None,
        }) {
            return Some(resolver::answer(self, resolver, asked));
        }
        let zones = served(&hosts, moment);
        Some((self.authoritative(asked, &zones, effects), Duration::ZERO))
    }

    fn authoritative(&self, asked: &Asked<'_>, zones: &[&Served], effects: &Effects) -> Message {
        let nsid = zones
            .iter()
            .filter(|served| asked.question.name.is_at_or_below(served.zone.apex()))
            .max_by_key(|served| served.zone.apex().label_count())
            .or(zones.first())
            .and_then(|served| served.nsid.clone())
            .or_else(|| effects.nsid.clone());
        let mut message = match asked.question.class {
            Class::Chaos => identity(asked.question, nsid.as_deref()),
            Class::In => {
                let zones: Vec<&Zone> = zones.iter().map(|served| &served.zone).collect();
                match &effects.referral {
                    Some(referral) => self.referral(referral, &zones, asked),
                    None => authority::answer(
                        &zones,
                        asked.question,
                        asked.options.dnssec_ok,
                        effects.habits,
                    ),
                }
            }
        };
        if let Some(nsid) = nsid {
            message.edns = Some(Edns {
                nsid: Some(nsid.into_bytes().into()),
                ..Edns::default()
            });
        }
        message
    }

    fn referral(&self, referral: &Referral, zones: &[&Zone], asked: &Asked<'_>) -> Message {
        let question = asked.question;
        let ns = |zone: &Name, host: &Name| Record {
            name: zone.clone(),
            ttl: crate::zone::PARENT_TTL,
            data: RecordData::Ns(host.clone()),
        };
        let mut message = Message::default();
        match referral {
            Referral::Up => {
                for server in self.hints() {
                    message.authority.push(ns(&Name::root(), &server.name));
                }
                message.authority.dedup();
            }
            Referral::ToSelf => {
                let own = zones
                    .iter()
                    .filter(|zone| question.name.is_at_or_below(zone.apex()))
                    .max_by_key(|zone| zone.apex().label_count());
                if let Some(zone) = own {
                    let set = zone.set(zone.apex(), RecordType::NS);
                    message.authority.extend_from_slice(set);
                }
            }
            Referral::Endless(above) => {
                let (depth, next) = self.next_address(asked.address);
                let zone = question.name.ancestor(above.label_count() + depth);
                let zone = zone.unwrap_or_else(|| question.name.clone());
                let host = zone.child(b"ns").unwrap_or_else(|_| zone.clone());
                message.authority.push(ns(&zone, &host));
                message.additional.push(Record {
                    name: host,
                    ttl: crate::zone::PARENT_TTL,
                    data: next.into(),
                });
            }
            Referral::Aside(zone, host) => message.authority.push(ns(zone, host)),
        }
        message
    }

    /// Returns which of its host's addresses this is, from 1, and the one after it.
    fn next_address(&self, address: IpAddr) -> (usize, IpAddr) {
        let addresses = self
            .hosts_at(address)
            .next()
            .map_or(&[][..], |host| &host.addresses);
        let at = addresses.iter().position(|known| *known == address);
        let next = at
            .and_then(|at| addresses.get(at + 1))
            .or(addresses.first());
        (at.unwrap_or(0) + 1, next.copied().unwrap_or(address))
    }
}

impl Asked<'_> {
    fn moment<'a>(&'a self, question: Option<(&'a Question, Options)>) -> Moment<'a> {
        Moment {
            carrier: self.carrier,
            address: self.address,
            region: self.region,
            question,
            now: self.now,
        }
    }
}

/// Returns the zones that the hosts serve at this moment: of each apex the most specific.
fn served<'a>(hosts: &[&'a Host], moment: &Moment<'_>) -> Vec<&'a Served> {
    let mut chosen: Vec<&Served> = Vec::new();
    for served in hosts.iter().flat_map(|host| host.zones()) {
        if !served.when.holds(moment) {
            continue;
        }
        let same = chosen
            .iter_mut()
            .find(|known| known.zone.apex() == served.zone.apex());
        match same {
            Some(known) if served.when.count() > known.when.count() => *known = served,
            Some(_) => {}
            None => chosen.push(served),
        }
    }
    chosen
}

/// Returns the answer of a server that is asked who it is (RFC 4892).
pub(crate) fn identity(question: &Question, identity: Option<&str>) -> Message {
    let known = ["id.server.", "hostname.bind."];
    let asks = known.contains(&question.name.to_string().as_str());
    match identity.filter(|_| asks && question.record_type == RecordType::TXT) {
        Some(identity) => {
            let mut message = Message::default();
            message.flags.authoritative = true;
            message.answer.push(Record {
                name: question.name.clone(),
                ttl: 0,
                data: RecordData::Txt(vec![identity.as_bytes().into()]),
            });
            message
        }
        None => bare(Rcode::REFUSED),
    }
}

/// A referral that leads nowhere.
#[derive(Clone, Debug)]
enum Referral {
    Up,
    ToSelf,
    Aside(Name, Name),
    Endless(Name),
}

/// Everything that happens to one question.
#[derive(Clone, Debug, Default)]
struct Effects {
    silent: bool,
    no_route: bool,
    rejection: Option<Rejection>,
    instead: Option<(u16, Option<u16>)>,
    referral: Option<Referral>,
    habits: Habits,
    drops_edns: bool,
    formerr_on_edns: bool,
    ignores_edns: bool,
    truncates: Option<usize>,
    drops_glue: Option<usize>,
    late: Duration,
    round_trip: Option<Duration>,
    loss: u8,
    junk: u32,
    malformed: bool,
    closes: bool,
    stalls: bool,
    drips: bool,
    wrong_case: bool,
    rewrites: Option<IpAddr>,
    offers_recursion: bool,
    intercepted: bool,
    nsid: Option<String>,
}

impl Effects {
    fn of<'a>(rules: impl Iterator<Item = &'a Rule>, moment: &Moment<'_>) -> Self {
        let mut effects = Self::default();
        for rule in rules.filter(|rule| rule.when.holds(moment)) {
            effects.apply(&rule.does);
        }
        effects
    }

    fn apply(&mut self, does: &Behaviour) {
        match does {
            Behaviour::Silent => self.silent = true,
            Behaviour::NoRoute => self.no_route = true,
            Behaviour::PortClosed | Behaviour::Unreachable => self.rejection = rejection(does),
            Behaviour::Rcode(rcode, error) => self.instead = Some((*rcode, *error)),
            Behaviour::Empty => self.instead = Some((0, None)),
            Behaviour::UpwardReferral => self.referral = Some(Referral::Up),
            Behaviour::SelfReferral => self.referral = Some(Referral::ToSelf),
            Behaviour::SidewaysReferral(zone, host) => {
                self.referral = Some(Referral::Aside(zone.clone(), host.clone()));
            }
            Behaviour::EndlessReferral(above) => {
                self.referral = Some(Referral::Endless(above.clone()));
            }
            Behaviour::NoAa => self.habits.no_aa = true,
            Behaviour::AaOnReferral => self.habits.aa_on_referral = true,
            Behaviour::PromotesGlue => self.habits.promotes_glue = true,
            Behaviour::DeniesEmptyNonTerminals => self.habits.denies_empty_non_terminals = true,
            Behaviour::DropsEdns => self.drops_edns = true,
            Behaviour::FormerrOnEdns => self.formerr_on_edns = true,
            Behaviour::IgnoresEdns => self.ignores_edns = true,
            Behaviour::Truncates(octets) => self.truncates = Some(*octets),
            Behaviour::DropsGlue(octets) => self.drops_glue = Some(*octets),
            Behaviour::Late(time) => self.late += *time,
            Behaviour::Rtt(time) => self.round_trip = Some(*time),
            Behaviour::Loss(share) => self.loss = self.loss.max(*share),
            Behaviour::Junk(count) => self.junk += count,
            Behaviour::Malformed => self.malformed = true,
            Behaviour::Closes => self.closes = true,
            Behaviour::Stalls => self.stalls = true,
            Behaviour::Drips => self.drips = true,
            Behaviour::WrongCase => self.wrong_case = true,
            Behaviour::RewritesNxdomain(address) => self.rewrites = Some(*address),
            Behaviour::OffersRecursion => self.offers_recursion = true,
            Behaviour::Intercepted => self.intercepted = true,
            Behaviour::Nsid(identity) => self.nsid = Some(identity.clone()),
        }
    }

    fn round_trip(&self, address: IpAddr) -> Duration {
        self.round_trip.unwrap_or(match Family::of(address) {
            Family::V4 => Duration::from_millis(20),
            Family::V6 => Duration::from_millis(25),
        })
    }

    /// Sets what header and EDNS need, and lets the path change what it changes.
    fn alter(&self, message: &mut Message, asked: &Asked<'_>) {
        message.flags.recursion_desired = asked.options.recursion_desired;
        message.flags.checking_disabled = asked.options.checking_disabled;
        message.flags.recursion_available |= self.offers_recursion || self.intercepted;
        let has_edns = asked.options.edns
            && !self.ignores_edns
            && !(self.formerr_on_edns && message.rcode == Rcode::FORMERR);
        message.edns = has_edns.then(|| Edns {
            version: 0,
            udp_size: UDP_SIZE,
            ..message.edns.take().unwrap_or_default()
        });
        if let Some(address) = self.rewrites {
            rewrite(message, asked.question, address);
        }
        if self.intercepted {
            let passed = u32::try_from(asked.now.as_secs()).unwrap_or(u32::MAX);
            for record in message
                .answer
                .iter_mut()
                .chain(&mut message.authority)
                .chain(&mut message.additional)
            {
                // A cache on the path fetched it a while ago.
                record.ttl = record.ttl.saturating_sub(passed.saturating_add(17));
            }
        }
    }

    /// Returns the octets of the message, cut to what the transport carries.
    fn fit(&self, message: &mut Message, asked: &Asked<'_>) -> Vec<u8> {
        let encode = |message: &Message| {
            bailiwick_wire::dns::encode_message(message, Some(asked.question), asked.id)
        };
        let mut octets = encode(message);
        if asked.carrier == Carrier::Tcp {
            return octets;
        }
        if self.truncates.is_some_and(|longest| octets.len() > longest) {
            message.flags.truncated = true;
            message.answer.clear();
            message.authority.clear();
            message.additional.clear();
            return encode(message);
        }
        while self
            .drops_glue
            .is_some_and(|longest| octets.len() > longest)
            && message.additional.pop().is_some()
        {
            octets = encode(message);
        }
        let room = if message.edns.is_some() {
            usize::from(asked.udp_size.clamp(512, UDP_SIZE))
        } else {
            512
        };
        while octets.len() > room && shorten(message) {
            octets = encode(message);
        }
        octets
    }
}

/// Leaves one record out: addresses that are not in-domain first, and only then with TC set
/// (RFC 9471, section 3.1). Returns whether there was one.
fn shorten(message: &mut Message) -> bool {
    let owner = message.authority.first().map(|record| record.name.clone());
    let optional = message.additional.iter().rposition(|record| {
        owner
            .as_ref()
            .is_some_and(|zone| !record.name.is_at_or_below(zone))
    });
    if let Some(at) = optional {
        message.additional.remove(at);
        return true;
    }
    message.flags.truncated = true;
    message.additional.pop().is_some()
        || message.authority.pop().is_some()
        || message.answer.pop().is_some()
}

fn rewrite(message: &mut Message, question: &Question, address: IpAddr) {
    let data = RecordData::from(address);
    if message.rcode == Rcode::NXDOMAIN && question.record_type == data.record_type() {
        message.rcode = Rcode::NOERROR;
        message.authority.clear();
        message.answer = vec![Record {
            name: question.name.clone(),
            ttl: 60,
            data,
        }];
    }
}
