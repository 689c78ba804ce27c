//! A world: who has which address, what is served there, and what goes wrong on the way.
//!
//! A [`World`] is a plain value. [`crate::scenario`] reads one from text, [`crate::respond`] says
//! what a server in it answers, [`crate::simulate`] lets a check run in it without any socket, and
//! [`crate::loopback`] puts it on real sockets. To let a world change, replace it by another.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use bailiwick_core::{
    message::Question,
    name::Name,
    observation::Rejection,
    place::Place,
    query::Options,
    record::{Record, RecordData, RecordType},
    server::{Family, Server},
};

use crate::zone::Zone;

/// A simulated internet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct World {
    /// Name servers and resolvers. An address may belong to several hosts: to all of them at once.
    pub hosts: Vec<Host>,
    /// Where one looks from. Never empty once read from a scenario.
    pub vantages: Vec<Vantage>,
}

/// A machine with a name, or a set of anycast instances that share one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host {
    /// The name.
    pub name: Name,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// What it does.
    pub kind: Kind,
    /// How it departs from a well-behaved server.
    pub rules: Vec<Rule>,
}

/// What a host does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It is an authoritative server of these zones.
    Authority(Vec<Served>),
    /// It resolves for others.
    Resolver(Resolver),
}

/// A zone as one host serves it to some askers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Served {
    /// To whom; of several that match the most specific is served, and the first of those.
    pub when: When,
    /// The zone.
    pub zone: Zone,
    /// The identity of the instance (RFC 5001); without it that of the host.
    pub nsid: Option<String>,
}

/// A public resolver.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Resolver {
    /// Where its questions come from.
    pub region: String,
    /// What it says when asked who it is.
    pub identity: String,
    /// Delegations and addresses that it still holds.
    pub cache: Vec<Record>,
    /// Names that it holds to be absent, with all below them, and for how many seconds more.
    pub absent: Vec<(Name, u32)>,
    /// Whether it answers from its cache when it reaches no server (RFC 8767).
    pub serves_stale: bool,
    /// Whether it is one of the services whose identity answers are known.
    pub well_known: bool,
}

/// A place to look from, and what lies between it and everybody else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vantage {
    /// Its name, which is its region, too.
    pub name: String,
    /// Addresses that it asks from, where the world is on sockets.
    pub addresses: Vec<IpAddr>,
    /// Where it stands, by its coordinator's word.
    pub place: Place,
    /// What its path does to the packets of all servers.
    pub rules: Vec<Rule>,
}

/// One thing that a host or a path does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// What it does.
    pub does: Behaviour,
    /// When it does so.
    pub when: When,
}

/// What a host or a path can do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Behaviour {
    /// Nothing comes back.
    Silent,
    /// The port is closed: ICMP port unreachable, or RST to the opening of a connection.
    PortClosed,
    /// ICMP host unreachable.
    Unreachable,
    /// The asker has no route there. For paths.
    NoRoute,
    /// Every question gets this response code, perhaps with an extended error (RFC 8914).
    Rcode(u16, Option<u16>),
    /// Every question gets NOERROR and nothing else.
    Empty,
    /// Refers to the root.
    UpwardReferral,
    /// Refers to the zone that it should serve itself.
    SelfReferral,
    /// Refers to a zone beside the one asked, at a host.
    SidewaysReferral(Name, Name),
    /// At its n-th address refers below this name to the zone n labels deeper, at its next
    /// address: delegations without end.
    EndlessReferral(Name),
    /// Never sets AA.
    NoAa,
    /// Sets AA on referrals.
    AaOnReferral,
    /// Silent when asked with EDNS.
    DropsEdns,
    /// FORMERR when asked with EDNS, and the answer has none (RFC 6891, section 7).
    FormerrOnEdns,
    /// Answers as if the question had no EDNS.
    IgnoresEdns,
    /// Over UDP, TC and empty sections if the answer is longer than so many octets.
    Truncates(usize),
    /// Over UDP, an empty additional section and no TC if the answer is longer than so many octets.
    DropsGlue(usize),
    /// Takes so much longer.
    Late(Duration),
    /// The round trip.
    Rtt(Duration),
    /// Loses so many of a hundred datagrams.
    Loss(u8),
    /// So many datagrams that answer no question come before the answer.
    Junk(u32),
    /// The answer ends in the middle.
    Malformed,
    /// Over TCP, accepts the connection and closes it.
    Closes,
    /// Over TCP, accepts the connection and says nothing.
    Stalls,
    /// Over TCP, an octet a second.
    Drips,
    /// Repeats the question in other case than asked.
    WrongCase,
    /// Answers with glue as if it were its own data.
    PromotesGlue,
    /// NXDOMAIN for names that only have names below them.
    DeniesEmptyNonTerminals,
    /// Every NXDOMAIN becomes this address.
    RewritesNxdomain(IpAddr),
    /// Offers recursion (RA).
    OffersRecursion,
    /// Something on the path answers for others: RA is set, TTLs count down, and there is an
    /// answer even where nobody is.
    Intercepted,
    /// Identifies itself (RFC 5001; RFC 4892).
    Nsid(String),
}

/// When a rule or a served zone applies: all that is given must hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct When {
    /// Over this transport.
    pub carrier: Option<Carrier>,
    /// At addresses of this family.
    pub family: Option<Family>,
    /// At this address.
    pub address: Option<IpAddr>,
    /// To askers from this region.
    pub region: Option<String>,
    /// To questions for this name or one below it.
    pub below: Option<Name>,
    /// To questions for this type.
    pub record_type: Option<RecordType>,
    /// To questions with EDNS, or without.
    pub edns: Option<bool>,
    /// To questions that leave validation to the resolver (CD=0), or not.
    pub checked: Option<bool>,
    /// From this moment of the check on.
    pub after: Option<Duration>,
    /// Until this moment of the check.
    pub until: Option<Duration>,
}

/// UDP or TCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carrier {
    /// A datagram.
    Udp,
    /// A connection.
    Tcp,
}

/// What a [`When`] is compared with. Without a question it is the opening of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Over what.
    pub carrier: Carrier,
    /// At which address.
    pub address: IpAddr,
    /// From where.
    pub region: &'a str,
    /// What is asked, and with which header and EDNS settings.
    pub question: Option<(&'a Question, Options)>,
    /// Since the check began.
    pub now: Duration,
}

impl When {
    /// Returns whether the condition holds.
    #[must_use]
    pub fn holds(&self, at: &Moment<'_>) -> bool {
        let asked = |holds: &dyn Fn(&Question, Options) -> bool| {
            at.question
                .is_some_and(|(question, options)| holds(question, options))
        };
        self.carrier.is_none_or(|carrier| carrier == at.carrier)
            && self
                .family
                .is_none_or(|family| family == Family::of(at.address))
            && self.address.is_none_or(|address| address == at.address)
            && self
                .region
                .as_ref()
                .is_none_or(|region| region == at.region)
            && self
                .below
                .as_ref()
                .is_none_or(|below| asked(&|question, _| question.name.is_at_or_below(below)))
            && self
                .record_type
                .is_none_or(|wanted| asked(&|question, _| question.record_type == wanted))
            && self
                .edns
                .is_none_or(|wanted| asked(&|_, options| options.edns == wanted))
            && self
                .checked
                .is_none_or(|wanted| asked(&|_, options| options.checking_disabled != wanted))
            && self.after.is_none_or(|after| at.now >= after)
            && self.until.is_none_or(|until| at.now < until)
    }

    /// Returns how many conditions there are.
    #[must_use]
    pub fn count(&self) -> usize {
        [
            self.carrier.is_some(),
            self.family.is_some(),
            self.address.is_some(),
            self.region.is_some(),
            self.below.is_some(),
            self.record_type.is_some(),
            self.edns.is_some(),
            self.checked.is_some(),
            self.after.is_some(),
            self.until.is_some(),
        ]
        .into_iter()
        .filter(|given| *given)
        .count()
    }
}

impl World {
    /// Returns the hosts that have this address.
    pub fn hosts_at(&self, address: IpAddr) -> impl Iterator<Item = &Host> {
        self.hosts
            .iter()
            .filter(move |host| host.addresses.contains(&address))
    }

    /// Returns the vantage point of this name.
    #[must_use]
    pub fn vantage(&self, name: &str) -> Option<&Vantage> {
        self.vantages.iter().find(|vantage| vantage.name == name)
    }

    /// Returns the servers of the root zone: where a resolver in this world begins.
    #[must_use]
    pub fn hints(&self) -> Vec<Server> {
        let serves_root = |host: &&Host| host.zones().any(|served| served.zone.apex().is_root());
        self.hosts
            .iter()
            .filter(serves_root)
            .flat_map(|host| {
                host.addresses.iter().map(|&address| Server {
                    name: host.name.clone(),
                    address,
                })
            })
            .collect()
    }

    /// Returns the hints as a file in the format of `named.root`.
    #[must_use]
    pub fn hints_text(&self) -> String {
        let hints = self.hints();
        let names: BTreeSet<_> = hints.iter().map(|server| &server.name).collect();
        let mut text = String::from("; The root servers of a simulated internet.\n");
        for name in names {
            // Writing to a String cannot fail.
            let _ = writeln!(text, ". 3600000 NS {name}");
        }
        for Server { name, address } in &hints {
            let kind = RecordData::from(*address).record_type();
            let _ = writeln!(text, "{name} 3600000 {kind} {address}");
        }
        text
    }

    /// Returns the resolvers with their service names and addresses.
    pub fn resolvers(&self) -> impl Iterator<Item = (&Host, &Resolver)> {
        self.hosts.iter().filter_map(|host| match &host.kind {
            Kind::Resolver(resolver) => Some((host, resolver)),
            Kind::Authority(_) => None,
        })
    }

    /// Returns the apexes of all zones that somebody serves.
    #[must_use]
    pub fn zones(&self) -> BTreeSet<Name> {
        self.hosts
            .iter()
            .flat_map(Host::zones)
            .map(|served| served.zone.apex().clone())
            .collect()
    }

    /// Returns the same world with all IPv4 addresses replaced, one for one, by addresses of
    /// 127.53.0.0/16, in zone data and conditions, too, and the replacements made. There is only
    /// one IPv6 loopback address, so IPv6 is left out.
    #[must_use]
    pub fn on_loopback(&self) -> (Self, BTreeMap<Ipv4Addr, Ipv4Addr>) {
        let renamed: BTreeMap<_, _> = self
            .ipv4_addresses()
            .into_iter()
            .zip((0_u16..).map(loopback_address))
            .collect();
        let mut world = self.clone();
        for host in &mut world.hosts {
            host.rename(&renamed);
        }
        world.hosts.retain(|host| !host.addresses.is_empty());
        for rule in world.vantages.iter_mut().flat_map(|v| &mut v.rules) {
            rule.rename(&renamed);
        }
        (world, renamed)
    }

    fn ipv4_addresses(&self) -> BTreeSet<Ipv4Addr> {
        let of_record = |record: &Record| record.data.address();
        let v4 = |address: IpAddr| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        self.hosts
            .iter()
            .flat_map(|host| {
                let in_zones = host.zones().flat_map(|served| served.zone.records());
                let cached = match &host.kind {
                    Kind::Resolver(resolver) => resolver.cache.as_slice(),
                    Kind::Authority(_) => &[],
                };
                let in_data = in_zones.chain(cached).filter_map(of_record);
                host.addresses.iter().copied().chain(in_data)
            })
            .filter_map(v4)
            .collect()
    }
}

/// Returns the loopback address number `index`: 127.53.0.1 and so on.
fn loopback_address(index: u16) -> Ipv4Addr {
    let [high, low] = (index + 1).to_be_bytes();
    Ipv4Addr::new(127, 53, high, low)
}

type Renamed = BTreeMap<Ipv4Addr, Ipv4Addr>;

/// Returns the new address; `None` for IPv6.
fn renamed_address(address: IpAddr, renamed: &Renamed) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some((*renamed.get(&address).unwrap_or(&address)).into()),
        IpAddr::V6(_) => None,
    }
}

fn rename_record(record: &mut Record, renamed: &Renamed) {
    if let RecordData::A(address) = &mut record.data {
        *address = *renamed.get(address).unwrap_or(address);
    }
}

impl Host {
    /// Returns what it serves; nothing for a resolver.
    pub fn zones(&self) -> impl Iterator<Item = &Served> {
        match &self.kind {
            Kind::Authority(served) => served.as_slice(),
            Kind::Resolver(_) => &[],
        }
        .iter()
    }

    fn rename(&mut self, renamed: &Renamed) {
        self.addresses = self
            .addresses
            .iter()
            .filter_map(|&address| renamed_address(address, renamed))
            .collect();
        for rule in &mut self.rules {
            rule.rename(renamed);
        }
        match &mut self.kind {
            Kind::Authority(served) => {
                for served in served {
                    served.when.rename(renamed);
                    let without_ipv6 = served
                        .zone
                        .records()
                        .filter(|record| record.record_type() != RecordType::AAAA)
                        .cloned();
                    served.zone = Zone::new(served.zone.apex().clone(), without_ipv6);
                    for record in served.zone.records_mut() {
                        rename_record(record, renamed);
                    }
                }
            }
            Kind::Resolver(resolver) => {
                resolver
                    .cache
                    .retain(|record| record.record_type() != RecordType::AAAA);
                for record in &mut resolver.cache {
                    rename_record(record, renamed);
                }
            }
        }
    }
}

impl Rule {
    fn rename(&mut self, renamed: &Renamed) {
        self.when.rename(renamed);
        if let Behaviour::RewritesNxdomain(address) = &mut self.does
            && let Some(new) = renamed_address(*address, renamed)
        {
            *address = new;
        }
    }
}

impl When {
    fn rename(&mut self, renamed: &Renamed) {
        if let Some(address) = &mut self.address
            && let Some(new) = renamed_address(*address, renamed)
        {
            *address = new;
        }
    }
}

/// How the world turns a packet away, if it does.
#[must_use]
pub fn rejection(does: &Behaviour) -> Option<Rejection> {
    match does {
        Behaviour::PortClosed => Some(Rejection::Port),
        Behaviour::Unreachable => Some(Rejection::Host),
        _ => None,
    }
}
