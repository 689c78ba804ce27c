//! Reports for tests, from a compact description of what each server does.
//!
//! [`Fixture::healthy`] is a world in which nothing is wrong: the zone `example.com.`, two
//! servers of `com.` that publish what the zone says, every address answering, three resolvers
//! that resolve. A test changes one thing and looks at what the rules say:
//!
//! ```ignore
//! let world = Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2")
//!     .parent_at("b.gtld.test.", "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2")
//!     .acts("192.0.2.10", Acts::Silent);
//! assert_eq!(lines(&RULE, &world), ["error b.gtld.test. 198.51.100.2: …"]);
//! ```
//!
//! A list of name servers is written `name address address; name; name address`.

#![allow(dead_code, reason = "tests come one by one")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    check::{Check, CheckId, Expectation, Resolver},
    finding::Finding,
    message::{Class, Edns, ExtendedError, Flags, Message, Question, Rcode},
    name::Name,
    observation::{Observation, Outcome, Rejection, Withheld},
    query::{Control, Options, Purpose, Query, QueryId, Stub, Survey, Via},
    record::{Dnskey, Ds, Record, RecordData, RecordType, Soa, Ttl},
    report::{Cut, Found, LeftOut, Lookup, Report, RoundId},
    server::{Family, Role, Server},
    time::Timestamp,
    vantage::{VantageId, VantagePoint},
};

use crate::{evidence::Evidence, picture::Picture, rule::Rule};

/// The name servers of a zone, with their addresses.
pub(crate) type Servers = BTreeMap<Name, BTreeSet<IpAddr>>;

/// How a server behaves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Acts {
    /// As it should.
    Well,
    /// Answers nothing.
    Silent,
    /// Answers over UDP only.
    UdpOnly,
    /// Answers over TCP only.
    TcpOnly,
    /// Drops questions with EDNS over UDP.
    PlainOnly,
    /// Is turned away by ICMP and RST.
    Rejecting,
    /// Answers every question with this code.
    Code(Rcode),
    /// Answers rightly, but without AA and with RA.
    Recursive,
    /// Refers to the root.
    Upward,
    /// Is never asked.
    Withheld(Withheld),
}

/// What a zone contains, as far as rules look at it.
#[derive(Clone, Debug)]
struct Zone {
    servers: Servers,
    apex: BTreeSet<Name>,
    serial: u32,
    mname: Name,
    keys: Vec<Dnskey>,
    aliases: BTreeMap<Name, Name>,
}

#[derive(Clone, Debug)]
struct Parent {
    server: Server,
    acts: Acts,
    nsid: Option<Vec<u8>>,
    udp_nsid: Option<Vec<u8>>,
    serial: u32,
    /// By transport; nothing is NXDOMAIN.
    udp: Option<Servers>,
    tcp: Option<Servers>,
    small: Option<Servers>,
    truncated: bool,
    hosts_zone: bool,
    ns_ttl: Ttl,
    glue_ttl: Ttl,
}

#[derive(Clone, Debug)]
struct Survives {
    fresh: Option<Rcode>,
    unchecked: Option<Rcode>,
    control: Option<Rcode>,
    errors: Vec<u16>,
    warm_errors: Vec<u16>,
    denies: bool,
    invents: bool,
}

/// A description of what every server does.
#[derive(Clone, Debug)]
pub(crate) struct Fixture {
    zone: Name,
    parent: Name,
    parents: Vec<Parent>,
    content: Zone,
    at: BTreeMap<IpAddr, Zone>,
    acts: BTreeMap<IpAddr, Acts>,
    expected: Servers,
    lookups: BTreeMap<Name, Lookup>,
    /// Referrals that look-ups saw: the zone asked, the zone delegated, its name servers.
    lookup_referrals: Vec<(Name, Name, Servers)>,
    ds: BTreeSet<Ds>,
    resolvers: BTreeMap<String, (IpAddr, Survives)>,
    found: Option<Found>,
    stray: Vec<(Name, IpAddr)>,
    left_out: LeftOut,
    lost: usize,
    blackhole: bool,
    families: BTreeSet<Family>,
    vantage: String,
    silent_network: bool,
    no_tcp: bool,
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a test writes names that are names")
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse()
        .expect("a test writes addresses that are addresses")
}

/// Reads `name address address; name; name address`.
pub(crate) fn servers(text: &str) -> Servers {
    let mut servers = Servers::new();
    for part in text.split(';').filter(|part| !part.trim().is_empty()) {
        let mut words = part.split_whitespace();
        let host = name(words.next().expect("not blank"));
        servers.entry(host).or_default().extend(words.map(address));
    }
    servers
}

/// Runs one rule over the world and prints each finding: severity, server, address, detail.
pub(crate) fn lines(rule: &Rule, fixture: &Fixture) -> Vec<String> {
    findings(rule, fixture).iter().map(line).collect()
}

/// Prints a finding as scenario files do.
pub(crate) fn line(finding: &Finding) -> String {
    let mut line = finding.severity.to_string();
    for part in [
        finding.server.as_ref().map(ToString::to_string),
        finding.address.as_ref().map(ToString::to_string),
    ]
    .into_iter()
    .flatten()
    {
        line.push(' ');
        line.push_str(&part);
    }
    line.push_str(": ");
    line.push_str(&finding.detail);
    line
}

/// Runs one rule over the world. Every finding of a test has evidence and a detail.
pub(crate) fn findings(rule: &Rule, fixture: &Fixture) -> Vec<Finding> {
    let evidence = fixture.evidence();
    let found = (rule.find)(&Picture::of(&evidence));
    for finding in &found {
        assert_eq!(finding.code.0, rule.code);
        assert!(!finding.detail.is_empty() && !finding.detail.ends_with('.'));
        assert!(!finding.remedy.ends_with("..") && !finding.remedy.contains("  "));
    }
    found
}

impl Fixture {
    /// A world in which delegation and zone both have these name servers, and all is well.
    pub(crate) fn healthy(text: &str) -> Self {
        Self::healthy_zone("example.com.", "com.", text)
    }

    /// The same for another zone and its parent.
    pub(crate) fn healthy_zone(zone: &str, parent: &str, text: &str) -> Self {
        let all = servers(text);
        let parent_server = |letter: &str, last: u8, family: Family| Parent {
            server: Server {
                name: name(&format!("{letter}.gtld.test.")),
                address: match family {
                    Family::V4 => address(&format!("198.51.100.{last}")),
                    Family::V6 => address(&format!("2001:db8:100::{last}")),
                },
            },
            acts: Acts::Well,
            nsid: None,
            udp_nsid: None,
            serial: 1_700_000_000,
            udp: Some(all.clone()),
            tcp: Some(all.clone()),
            small: Some(all.clone()),
            truncated: false,
            hosts_zone: false,
            ns_ttl: 172_800,
            glue_ttl: 172_800,
        };
        let well = Survives {
            fresh: Some(Rcode::NXDOMAIN),
            unchecked: Some(Rcode::NXDOMAIN),
            control: Some(Rcode::NOERROR),
            errors: Vec::new(),
            warm_errors: Vec::new(),
            denies: false,
            invents: false,
        };
        let resolver = |service: &str, at: &str| (service.to_owned(), (address(at), well.clone()));
        Self {
            zone: name(zone),
            parent: name(parent),
            parents: ["a", "b"]
                .iter()
                .zip(1..)
                .flat_map(|(letter, last)| Family::ALL.map(|f| parent_server(letter, last, f)))
                .collect(),
            content: Zone {
                apex: all.keys().cloned().collect(),
                mname: all.keys().next().cloned().unwrap_or_else(Name::root),
                servers: all,
                serial: 2_026_010_101,
                keys: Vec::new(),
                aliases: BTreeMap::new(),
            },
            at: BTreeMap::new(),
            acts: BTreeMap::new(),
            expected: Servers::new(),
            lookups: BTreeMap::new(),
            lookup_referrals: Vec::new(),
            ds: BTreeSet::new(),
            resolvers: BTreeMap::from([
                resolver("cloudflare", "1.1.1.1"),
                resolver("google", "8.8.8.8"),
                resolver("quad9", "9.9.9.9"),
            ]),
            found: None,
            stray: Vec::new(),
            left_out: LeftOut::default(),
            lost: 0,
            blackhole: false,
            families: BTreeSet::from(Family::ALL),
            vantage: "local".to_owned(),
            silent_network: false,
            no_tcp: false,
        }
    }

    /// Every parent server publishes this instead.
    pub(crate) fn parents(mut self, text: &str) -> Self {
        for parent in &mut self.parents {
            parent.publish(&servers(text));
        }
        self
    }

    /// The parent servers of one name, or at one address, publish this instead; an empty text
    /// is NXDOMAIN.
    pub(crate) fn parent_at(self, which: &str, text: &str) -> Self {
        let all = servers(text);
        self.each(which, |parent| {
            if all.is_empty() {
                (parent.udp, parent.tcp, parent.small) = (None, None, None);
            } else {
                parent.publish(&all);
            }
        })
    }

    /// The same over UDP only, with TC as given.
    pub(crate) fn parent_udp_at(self, which: &str, text: &str, truncated: bool) -> Self {
        let all = servers(text);
        self.each(which, |parent| {
            parent.udp = Some(all.clone());
            parent.truncated = truncated;
        })
    }

    /// The same in 512 octets only.
    pub(crate) fn parent_small_at(self, which: &str, text: &str) -> Self {
        let all = servers(text);
        self.each(which, |parent| parent.small = Some(all.clone()))
    }

    /// Parent servers behave otherwise.
    pub(crate) fn parent_acts(self, which: &str, acts: &Acts) -> Self {
        self.each(which, |parent| parent.acts = acts.clone())
    }

    /// Parent servers have this serial.
    pub(crate) fn serial_at(self, which: &str, serial: u32) -> Self {
        self.each(which, |parent| parent.serial = serial)
    }

    /// Parent servers identify themselves, over TCP and over UDP.
    pub(crate) fn nsid_at(self, which: &str, tcp: &str, udp: &str) -> Self {
        self.each(which, |parent| {
            parent.nsid = Some(tcp.as_bytes().to_vec());
            parent.udp_nsid = Some(udp.as_bytes().to_vec());
        })
    }

    /// Parent servers have these TTLs for the NS set and the glue.
    pub(crate) fn ttl_at(self, which: &str, ns: Ttl, glue: Ttl) -> Self {
        self.each(which, |parent| {
            (parent.ns_ttl, parent.glue_ttl) = (ns, glue)
        })
    }

    /// Every parent server hosts the zone itself.
    pub(crate) fn parents_host_zone(mut self) -> Self {
        for parent in &mut self.parents {
            parent.hosts_zone = true;
        }
        self.found(Found::SharedServers)
    }

    fn each(mut self, which: &str, change: impl Fn(&mut Parent)) -> Self {
        let mut changed = 0;
        for parent in &mut self.parents {
            let by_name = parent.server.name.to_string() == which;
            if which == "*" || by_name || parent.server.address.to_string() == which {
                change(parent);
                changed += 1;
            }
        }
        assert!(changed > 0, "no parent server {which}");
        self
    }

    /// The zone says this instead, at every server.
    pub(crate) fn zone(mut self, text: &str) -> Self {
        self.content.servers = servers(text);
        self.content.apex = self.content.servers.keys().cloned().collect();
        self
    }

    /// The zone says this instead at one address, as a version of its own.
    pub(crate) fn zone_at(mut self, at: &str, serial: u32, text: &str) -> Self {
        let servers = servers(text);
        let zone = Zone {
            apex: servers.keys().cloned().collect(),
            mname: servers.keys().next().cloned().unwrap_or_else(Name::root),
            servers,
            serial,
            ..self.content.clone()
        };
        self.at.insert(address(at), zone);
        self
    }

    /// The apex names these name servers; what the zone says of their addresses stays.
    pub(crate) fn apex(mut self, names: &[&str]) -> Self {
        self.content.apex = names.iter().map(|text| name(text)).collect();
        self
    }

    /// A name server's name is an alias in the zone.
    pub(crate) fn alias(mut self, host: &str, target: &str) -> Self {
        self.content.aliases.insert(name(host), name(target));
        self
    }

    /// The server at one address behaves otherwise.
    pub(crate) fn acts(mut self, at: &str, acts: Acts) -> Self {
        self.acts.insert(address(at), acts);
        self
    }

    /// Somebody said what to expect.
    pub(crate) fn expect(mut self, text: &str) -> Self {
        self.expected = servers(text);
        self
    }

    /// The walk for a name server's name ended so.
    pub(crate) fn lookup(mut self, host: &str, lookup: Lookup) -> Self {
        self.lookups.insert(name(host), lookup);
        self
    }

    /// The walk for a name server's name found these addresses.
    pub(crate) fn lookup_finds(self, host: &str, addresses: &[&str]) -> Self {
        let found = addresses.iter().map(|text| address(text)).collect();
        self.lookup(host, Lookup::Addresses(found))
    }

    /// A look-up asked a server of one zone, which referred to another one.
    pub(crate) fn lookup_sees(mut self, asked: &str, zone: &str, text: &str) -> Self {
        let referral = (name(asked), name(zone), servers(text));
        self.lookup_referrals.push(referral);
        self
    }

    /// The parent has this DS set, the zone these keys.
    pub(crate) fn signed(mut self, ds: Ds, keys: Vec<Dnskey>) -> Self {
        self.ds.insert(ds);
        self.content.keys = keys;
        self
    }

    /// The server at one address has these keys.
    pub(crate) fn keys_at(mut self, at: &str, keys: Vec<Dnskey>) -> Self {
        let zone = Zone {
            keys,
            ..self.content.clone()
        };
        self.at.insert(address(at), zone);
        self
    }

    /// A resolver answers the fresh name so, with CD=0 and CD=1, with these extended errors;
    /// `None` is silence.
    pub(crate) fn resolver(
        self,
        service: &str,
        fresh: Option<Rcode>,
        unchecked: Option<Rcode>,
        errors: &[u16],
    ) -> Self {
        self.change(service, |survives| {
            survives.fresh = fresh;
            survives.unchecked = unchecked;
            survives.errors = errors.to_vec();
        })
    }

    /// Every resolver answers the fresh name so.
    pub(crate) fn all_resolvers(mut self, fresh: Option<Rcode>, errors: &[u16]) -> Self {
        for service in self.resolvers.keys().cloned().collect::<Vec<_>>() {
            self = self.resolver(&service, fresh, fresh, errors);
        }
        self
    }

    /// A resolver does not even resolve the control name.
    pub(crate) fn resolver_is_sick(self, service: &str) -> Self {
        self.change(service, |survives| survives.control = Some(Rcode::SERVFAIL))
    }

    /// A resolver answers cached names with these extended errors.
    pub(crate) fn warm_errors(self, service: &str, errors: &[u16]) -> Self {
        self.change(service, |survives| survives.warm_errors = errors.to_vec())
    }

    /// A resolver remembers that there is no such zone.
    pub(crate) fn denied_by(self, service: &str) -> Self {
        self.change(service, |survives| survives.denies = true)
    }

    /// A resolver invents addresses for names that do not exist.
    pub(crate) fn hijacked(self, service: &str) -> Self {
        self.change(service, |survives| survives.invents = true)
    }

    fn change(mut self, service: &str, change: impl Fn(&mut Survives)) -> Self {
        change(&mut self.resolvers.get_mut(service).expect("a known service").1);
        self
    }

    /// No resolver is asked.
    pub(crate) fn no_resolvers(mut self) -> Self {
        self.resolvers.clear();
        self
    }

    /// The walk from the root found this.
    pub(crate) fn found(mut self, found: Found) -> Self {
        self.found = Some(found);
        self
    }

    /// Every referral carries the address of a host that is no name server of the zone.
    pub(crate) fn stray(mut self, host: &str, at: &str) -> Self {
        self.stray.push((name(host), address(at)));
        self
    }

    /// Limits left things out.
    pub(crate) fn left_out(mut self, left_out: LeftOut) -> Self {
        self.left_out = left_out;
        self
    }

    /// So many questions to root servers that answer others stay without answer.
    pub(crate) fn lose(mut self, questions: usize) -> Self {
        self.lost = questions;
        self
    }

    /// Something answers where nothing may.
    pub(crate) fn blackhole_answers(mut self) -> Self {
        self.blackhole = true;
        self
    }

    /// Nothing answers in this family.
    pub(crate) fn without(mut self, family: Family) -> Self {
        self.families.remove(&family);
        self
    }

    /// Nothing answers over TCP.
    pub(crate) fn without_tcp(mut self) -> Self {
        self.no_tcp = true;
        self
    }

    /// Nothing answers at all.
    pub(crate) fn offline(mut self) -> Self {
        self.silent_network = true;
        self.found(Found::Lost(bailiwick_core::report::Lost::NoUsableAnswer {
            zone: Name::root(),
        }))
    }

    /// The report is from this vantage point.
    pub(crate) fn from(mut self, vantage: &str) -> Self {
        vantage.clone_into(&mut self.vantage);
        self
    }

    pub(crate) fn evidence(&self) -> Evidence {
        Evidence::of(self.report())
    }

    /// Plays the check and returns what it saw.
    pub(crate) fn report(&self) -> Report {
        let mut play = Play {
            fixture: self,
            observations: BTreeMap::new(),
            next: 0,
        };
        play.controls();
        play.parents();
        play.lookups();
        play.children();
        play.resolvers();
        let observations = play.observations;
        let cut = |zone: Name, servers: BTreeSet<Server>| Cut {
            zone,
            names: servers.iter().map(|s| s.name.clone()).collect(),
            servers,
        };
        let servers = self.parents.iter().map(|p| p.server.clone()).collect();
        let found = self.found.clone().unwrap_or_else(|| {
            if self.parents.iter().any(|p| p.tcp.is_some()) {
                Found::Delegated
            } else {
                Found::Absent
            }
        });
        Report {
            check: self.check(),
            round: RoundId(1),
            vantage: VantagePoint {
                id: VantageId(self.vantage.clone()),
                families: BTreeSet::from(Family::ALL),
            },
            started: Timestamp(1_700_000_100_000_000),
            elapsed: Duration::from_secs(3),
            path: vec![
                cut(Name::root(), roots().into_iter().collect()),
                cut(self.parent.clone(), servers),
            ],
            found,
            lookups: self.lookups.clone(),
            packets: u32::try_from(observations.len()).expect("a test asks little"),
            observations,
            left_out: self.left_out.clone(),
        }
    }

    fn check(&self) -> Check {
        let resolvers = self.resolvers.iter().map(|(service, (at, _))| Resolver {
            name: service.clone(),
            addresses: vec![*at],
            well_known: true,
        });
        Check {
            id: CheckId(7),
            zone: self.zone.clone(),
            expectation: Expectation {
                hosts: self.expected.clone(),
            },
            roots: roots(),
            resolvers: resolvers.collect(),
            stub: Stub::Plain,
            families: BTreeSet::from(Family::ALL),
            minimise: false,
            timeout: Duration::from_secs(20),
            nonce: 1,
            blackholes: vec![address("192.0.2.254")],
            lab: true,
        }
    }

    /// Every address that a check would ask as a server of the zone, with its name.
    fn addresses(&self) -> BTreeMap<IpAddr, Name> {
        let published = self.parents.iter().flat_map(|p| [&p.udp, &p.tcp]).flatten();
        let zones = self.at.values().chain([&self.content]).map(|z| &z.servers);
        let mut addresses = BTreeMap::new();
        for servers in published.chain(zones).chain([&self.expected]) {
            for (host, at) in servers {
                for at in at {
                    addresses.entry(*at).or_insert_with(|| host.clone());
                }
            }
        }
        for (host, lookup) in &self.lookups {
            for at in lookup.addresses() {
                addresses.entry(at).or_insert_with(|| host.clone());
            }
        }
        addresses
    }
}

impl Parent {
    fn publish(&mut self, servers: &Servers) {
        (self.udp, self.tcp) = (Some(servers.clone()), Some(servers.clone()));
        self.small = Some(servers.clone());
    }
}

fn roots() -> Vec<Server> {
    let root = |letter: &str, at: &str| Server {
        name: name(&format!("{letter}.root-servers.test.")),
        address: address(at),
    };
    vec![
        root("a", "198.51.100.101"),
        root("b", "198.51.100.102"),
        root("a", "2001:db8:100::101"),
        root("b", "2001:db8:100::102"),
    ]
}

/// Asks what a check asks, and writes down what the servers of the fixture answer.
struct Play<'f> {
    fixture: &'f Fixture,
    observations: BTreeMap<bailiwick_core::observation::ObservationId, Observation>,
    next: u32,
}

impl Play<'_> {
    fn ask(
        &mut self,
        (server, role, zone): (&Server, Role, &Name),
        (purpose, via, options): (Purpose, Via, Options),
        questions: &[Question],
        answer: impl Fn(&Question) -> Outcome,
    ) {
        let query = Query {
            id: QueryId(self.next),
            server: server.clone(),
            role,
            zone: zone.clone(),
            purpose,
            via,
            questions: questions.to_vec(),
            options,
            patience: Duration::from_millis(1500),
        };
        self.next += 1;
        let dead = self.fixture.silent_network
            || (self.fixture.no_tcp && via == Via::Tcp)
            || !self.fixture.families.contains(&Family::of(server.address));
        for (number, question) in questions.iter().enumerate() {
            let outcome = if dead {
                Outcome::Silence
            } else {
                answer(question)
            };
            let sent = Duration::from_millis(u64::from(self.next));
            let mut observation = Observation::of(&query, number, sent, outcome);
            observation.elapsed = Duration::from_millis(12);
            self.observations.insert(observation.id, observation);
        }
    }

    fn controls(&mut self) {
        let root = Name::root();
        let soa = [Question::new(root.clone(), RecordType::SOA)];
        let well = |_: &Question| {
            Outcome::Reply(authoritative(vec![soa_of(&Name::root(), &Name::root(), 1)]))
        };
        for server in roots() {
            for via in [Via::Udp, Via::Tcp] {
                let how = (Purpose::Control(Control::Root), via, Options::ITERATIVE);
                self.ask((&server, Role::Root, &root), how, &soa, well);
            }
        }
        for _ in 0..self.fixture.lost {
            let how = (
                Purpose::Control(Control::Root),
                Via::Udp,
                Options::ITERATIVE,
            );
            let silent = |_: &Question| Outcome::Silence;
            self.ask((&roots()[0], Role::Root, &root), how, &soa, silent);
        }
        let hole = Server {
            name: root.clone(),
            address: address("192.0.2.254"),
        };
        let how = (
            Purpose::Control(Control::Blackhole),
            Via::Udp,
            Options::ITERATIVE,
        );
        let answers = self.fixture.blackhole;
        self.ask((&hole, Role::Blackhole, &root), how, &soa, |question| {
            if answers {
                well(question)
            } else {
                Outcome::Silence
            }
        });
    }

    fn parents(&mut self) {
        let fixture = self.fixture;
        let ns = Question::new(fixture.zone.clone(), RecordType::NS);
        let soa = Question::new(fixture.parent.clone(), RecordType::SOA);
        let signed = Options {
            dnssec_ok: true,
            ..Options::ITERATIVE
        };
        for parent in &fixture.parents {
            let whom = (&parent.server, Role::Parent, &fixture.parent);
            let udp = (Purpose::Parent, Via::Udp, Options::ITERATIVE);
            let tcp = (Purpose::Parent, Via::Tcp, signed);
            let small = (Purpose::Small, Via::Udp, Options::PLAIN);
            let one = std::slice::from_ref(&ns);
            self.ask(whom, udp, one, |q| fixture.parent_says(parent, &udp, q));
            let both = [ns.clone(), soa.clone()];
            self.ask(whom, tcp, &both, |q| fixture.parent_says(parent, &tcp, q));
            self.ask(whom, small, one, |q| fixture.parent_says(parent, &small, q));
        }
    }

    fn lookups(&mut self) {
        let fixture = self.fixture;
        for (asked, zone, servers) in &fixture.lookup_referrals {
            let server = Server {
                name: name("ns.asked.test."),
                address: address("198.51.100.99"),
            };
            let whom = (&server, Role::Parent, asked);
            let how = (Purpose::Lookup, Via::Udp, Options::ITERATIVE);
            let question = Question::new(zone.clone(), RecordType::A);
            let ns = servers
                .keys()
                .map(|host| record(zone, 3600, RecordData::Ns(host.clone())));
            let glue = servers
                .iter()
                .flat_map(|(host, at)| at.iter().map(|at| record(host, 3600, (*at).into())));
            let message = Message {
                authority: ns.collect(),
                additional: glue.collect(),
                octets: 200,
                ..Message::default()
            };
            self.ask(whom, how, &[question], |_| Outcome::Reply(message.clone()));
        }
    }

    fn children(&mut self) {
        let fixture = self.fixture;
        let zone = &fixture.zone;
        let own = |record_type| Question::new(zone.clone(), record_type);
        let mut questions = vec![own(RecordType::SOA), own(RecordType::NS)];
        let hosts: BTreeSet<Name> = fixture.addresses().into_values().collect();
        let named = hosts.iter().chain(&fixture.content.apex);
        for host in named.collect::<BTreeSet<_>>() {
            questions.push(Question::new(host.clone(), RecordType::A));
            questions.push(Question::new(host.clone(), RecordType::AAAA));
        }
        questions.push(own(RecordType::DNSKEY));
        for (at, host) in fixture.addresses() {
            let server = Server {
                name: host,
                address: at,
            };
            let whom = (&server, Role::Child, zone);
            let mut ways = vec![
                (Via::Udp, Options::ITERATIVE),
                (Via::Tcp, Options::ITERATIVE),
            ];
            if fixture.acts.get(&at) == Some(&Acts::PlainOnly) {
                ways.push((Via::Udp, Options::PLAIN));
            }
            for (via, options) in ways {
                let how = (Purpose::Child, via, options);
                self.ask(whom, how, &questions, |q| fixture.child_says(at, &how, q));
            }
        }
    }

    fn resolvers(&mut self) {
        let fixture = self.fixture;
        let fresh = fixture.zone.child(b"bw-1").expect("room for a label");
        for (at, survives) in fixture.resolvers.values() {
            let server = Server {
                name: Name::root(),
                address: *at,
            };
            let whom = (&server, Role::Resolver, &Name::root());
            let zone = &fixture.zone;
            let chaos = Question {
                class: Class::Chaos,
                ..Question::new(name("id.server."), RecordType::TXT)
            };
            let asked = [
                (
                    Survey::Stub,
                    Question::new(zone.clone(), RecordType::SOA),
                    survives.fresh,
                ),
                (
                    Survey::Warm,
                    Question::new(zone.clone(), RecordType::NS),
                    survives.fresh,
                ),
                (
                    Survey::Fresh,
                    Question::new(fresh.clone(), RecordType::A),
                    survives.fresh,
                ),
                (
                    Survey::FreshUnchecked,
                    Question::new(fresh.clone(), RecordType::A),
                    survives.unchecked,
                ),
                (Survey::Identity, chaos, Some(Rcode::NOERROR)),
                (
                    Survey::Control,
                    Question::new(fixture.parent.clone(), RecordType::SOA),
                    survives.control,
                ),
            ];
            for (survey, question, rcode) in asked {
                let how = (Purpose::Survey(survey), Via::Udp, Options::RECURSIVE);
                let known = matches!(survey, Survey::Stub | Survey::Warm);
                let rcode = match rcode {
                    Some(Rcode::NXDOMAIN) if known && !survives.denies => Some(Rcode::NOERROR),
                    other => other,
                };
                let errors = match rcode {
                    Some(Rcode::SERVFAIL) => survives.errors.as_slice(),
                    _ if known => &survives.warm_errors,
                    _ => &[],
                };
                self.ask(whom, how, &[question], |_| match rcode {
                    None => Outcome::Silence,
                    Some(rcode) => Outcome::Reply(resolved(rcode, errors)),
                });
            }
            let absent = Question::new(name("bw-2.invalid."), RecordType::A);
            let how = (
                Purpose::Control(Control::Absent),
                Via::Udp,
                Options::RECURSIVE,
            );
            self.ask(whom, how, &[absent], |question| {
                let mut message = resolved(Rcode::NXDOMAIN, &[]);
                if survives.invents {
                    message.rcode = Rcode::NOERROR;
                    let invented = address("203.0.113.99").into();
                    message.answer = vec![record(&question.name, 60, invented)];
                }
                Outcome::Reply(message)
            });
        }
    }
}

fn resolved(rcode: Rcode, errors: &[u16]) -> Message {
    Message {
        rcode,
        flags: Flags {
            recursion_desired: true,
            recursion_available: true,
            ..Flags::default()
        },
        edns: Some(Edns {
            errors: errors
                .iter()
                .map(|&code| ExtendedError {
                    code,
                    text: Box::default(),
                })
                .collect(),
            ..Edns::default()
        }),
        octets: 100,
        ..Message::default()
    }
}

impl Fixture {
    fn parent_says(
        &self,
        parent: &Parent,
        (purpose, via, options): &(Purpose, Via, Options),
        question: &Question,
    ) -> Outcome {
        if let Some(outcome) = parent.acts.instead(*via, options.edns) {
            return outcome;
        }
        let mut message = if question.record_type == RecordType::SOA {
            authoritative(vec![soa_of(&self.parent, &self.parent, parent.serial)])
        } else {
            let servers = match (purpose, via) {
                (Purpose::Small, _) => &parent.small,
                (_, Via::Tcp) => &parent.tcp,
                _ => &parent.udp,
            };
            self.referral(parent, servers.as_ref(), options.dnssec_ok)
        };
        let nsid = if *via == Via::Tcp {
            &parent.nsid
        } else {
            &parent.udp_nsid
        };
        message.edns = options.edns.then(|| Edns {
            nsid: nsid.as_ref().map(|nsid| nsid.clone().into()),
            ..Edns::default()
        });
        message.flags.truncated = *via == Via::Udp && options.edns && parent.truncated;
        message.flags.recursion_available = parent.acts == Acts::Recursive;
        Outcome::Reply(message)
    }

    fn referral(&self, parent: &Parent, servers: Option<&Servers>, signed: bool) -> Message {
        let Some(servers) = servers else {
            let mut message = authoritative(Vec::new());
            message.rcode = Rcode::NXDOMAIN;
            message.authority = vec![soa_of(&self.parent, &self.parent, parent.serial)];
            return message;
        };
        let ns = servers
            .keys()
            .map(|host| record(&self.zone, parent.ns_ttl, RecordData::Ns(host.clone())));
        let glue = servers
            .iter()
            .flat_map(|(host, at)| at.iter().map(move |at| (host, at)))
            .map(|(host, at)| record(host, parent.glue_ttl, (*at).into()));
        let stray = self
            .stray
            .iter()
            .map(|(host, at)| record(host, 60, (*at).into()));
        let ds = self.ds.iter().filter(|_| signed);
        let mut message = Message {
            additional: glue.chain(stray).collect(),
            octets: 200,
            ..Message::default()
        };
        if parent.hosts_zone {
            message.answer = ns.collect();
            message.flags.authoritative = true;
        } else {
            let ds = ds.map(|ds| record(&self.zone, 3600, RecordData::Ds(ds.clone())));
            message.authority = ns.chain(ds).collect();
        }
        message
    }

    fn child_says(
        &self,
        at: IpAddr,
        (_, via, options): &(Purpose, Via, Options),
        question: &Question,
    ) -> Outcome {
        let acts = self.acts.get(&at).unwrap_or(&Acts::Well);
        if let Some(outcome) = acts.instead(*via, options.edns) {
            return outcome;
        }
        let mut message = self
            .at
            .get(&at)
            .unwrap_or(&self.content)
            .answer(&self.zone, question);
        if *acts == Acts::Recursive {
            message.flags.authoritative = false;
            message.flags.recursion_available = true;
        }
        Outcome::Reply(message)
    }
}

impl Acts {
    /// What comes instead of a good answer.
    fn instead(&self, via: Via, edns: bool) -> Option<Outcome> {
        match self {
            Self::Well | Self::Recursive => None,
            Self::UdpOnly if via == Via::Udp => None,
            Self::TcpOnly if via == Via::Tcp => None,
            Self::PlainOnly if via == Via::Tcp || !edns => None,
            Self::Silent | Self::UdpOnly | Self::TcpOnly | Self::PlainOnly => {
                Some(Outcome::Silence)
            }
            Self::Rejecting => Some(Outcome::Rejected(Rejection::Port)),
            Self::Code(rcode) => Some(Outcome::Reply(Message {
                rcode: *rcode,
                octets: 40,
                ..Message::default()
            })),
            Self::Upward => Some(Outcome::Reply(Message {
                authority: vec![record(
                    &Name::root(),
                    518_400,
                    RecordData::Ns(name("a.root-servers.test.")),
                )],
                octets: 60,
                ..Message::default()
            })),
            Self::Withheld(why) => Some(Outcome::Withheld(*why)),
        }
    }
}

impl Zone {
    fn answer(&self, zone: &Name, question: &Question) -> Message {
        let own = |data| record(&question.name, 3600, data);
        let answer: Vec<Record> = match question.record_type {
            RecordType::SOA => vec![soa_of(zone, &self.mname, self.serial)],
            RecordType::NS => self
                .apex
                .iter()
                .cloned()
                .map(RecordData::Ns)
                .map(own)
                .collect(),
            RecordType::DNSKEY => self
                .keys
                .iter()
                .cloned()
                .map(RecordData::Dnskey)
                .map(own)
                .collect(),
            wanted => match self.aliases.get(&question.name) {
                Some(target) => vec![own(RecordData::Cname(target.clone()))],
                None => self
                    .servers
                    .get(&question.name)
                    .into_iter()
                    .flatten()
                    .map(|at| own((*at).into()))
                    .filter(|record| record.record_type() == wanted)
                    .collect(),
            },
        };
        if !question.name.is_at_or_below(zone) {
            return Message {
                rcode: Rcode::REFUSED,
                octets: 40,
                ..Message::default()
            };
        }
        let mut message = authoritative(answer);
        if message.answer.is_empty() {
            message.authority = vec![soa_of(zone, &self.mname, self.serial)];
            let known = self.servers.contains_key(&question.name) || question.name == *zone;
            message.rcode = if known {
                Rcode::NOERROR
            } else {
                Rcode::NXDOMAIN
            };
        }
        message
    }
}

fn authoritative(answer: Vec<Record>) -> Message {
    Message {
        flags: Flags {
            authoritative: true,
            ..Flags::default()
        },
        answer,
        edns: Some(Edns::default()),
        octets: 120,
        ..Message::default()
    }
}

fn record(owner: &Name, ttl: Ttl, data: RecordData) -> Record {
    Record {
        name: owner.clone(),
        ttl,
        data,
    }
}

fn soa_of(owner: &Name, mname: &Name, serial: u32) -> Record {
    let soa = Soa {
        mname: mname.clone(),
        rname: owner.clone(),
        serial,
        refresh: 7200,
        retry: 3600,
        expire: 1_209_600,
        minimum: 900,
    };
    record(owner, 900, RecordData::Soa(soa))
}
