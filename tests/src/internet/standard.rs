//! The standard world: a small Internet with one domain for each thing that can
//! be right or wrong with a delegation.
//!
//! ```text
//!  .        13 letters, 26 addresses   NSD   signed
//!  com net  13 names, 26 addresses     NSD   signed; m.gtld-servers.net is a server
//!                                            of its own that contradicts the others
//!  nl       3 names, anycast           Knot  signed; the instance in "us" lags, and
//!                                            ns4.dns.nl stands in "us" alone
//!  uk co.uk 8 names, 16 addresses      BIND  signed; the same servers for both
//!  children                            NSD, Knot, BIND, as [`scenarios`] says
//!  8.8.8.8 Unbound, 1.1.1.1 Knot Resolver, 9.9.9.9 PowerDNS Recursor, in both families
//! ```
//!
//! The addresses of the root servers, of `.com`, of `.nl`, of `.uk` and of the
//! resolvers are the true ones, so that built-in hints work. Those of the
//! children are globally reachable unicast, too, and mean nothing.
//!
//! Texts are in zone-file syntax, relative to the zone, with `N` in an address
//! for the number of the scenario: no two zones share an address.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::server::{ServerPlan, Service, Software};
use super::switch::{Rule, Transport};
use super::zone::{Denial, Key, Zone, address_records};
use super::{Blueprint, RulePlan};

/// Vantage points: name, region, addresses.
pub const VANTAGES: [(&str, &str, [&str; 2]); 2] = [
    ("vantage-eu", "eu", ["146.185.10.2", "2a03:b0c0:2::2"]),
    ("vantage-us", "us", ["104.131.5.2", "2604:a880:2::2"]),
];

/// Resolvers: name, program, addresses.
pub const RESOLVERS: [(&str, Software, [&str; 2]); 3] = [
    (
        "resolver-google",
        Software::Unbound,
        ["8.8.8.8", "2001:4860:4860::8888"],
    ),
    (
        "resolver-cloudflare",
        Software::KnotResolver,
        ["1.1.1.1", "2606:4700:4700::1111"],
    ),
    (
        "resolver-quad9",
        Software::Recursor,
        ["9.9.9.9", "2620:fe::fe"],
    ),
];

/// The addresses of the root servers, a to m.
pub const ROOT_SERVERS: [[&str; 2]; 13] = [
    ["198.41.0.4", "2001:503:ba3e::2:30"],
    ["170.247.170.2", "2801:1b8:10::b"],
    ["192.33.4.12", "2001:500:2::c"],
    ["199.7.91.13", "2001:500:2d::d"],
    ["192.203.230.10", "2001:500:a8::e"],
    ["192.5.5.241", "2001:500:2f::f"],
    ["192.112.36.4", "2001:500:12::d0d"],
    ["198.97.190.53", "2001:500:1::53"],
    ["192.36.148.17", "2001:7fe::53"],
    ["192.58.128.30", "2001:503:c27::2:30"],
    ["193.0.14.129", "2001:7fd::1"],
    ["199.7.83.42", "2001:500:9f::42"],
    ["202.12.27.33", "2001:dc3::35"],
];

/// The addresses of the servers of `com` and `net`, a to m.
pub const GTLD_SERVERS: [[&str; 2]; 13] = [
    ["192.5.6.30", "2001:503:a83e::2:30"],
    ["192.33.14.30", "2001:503:231d::2:30"],
    ["192.26.92.30", "2001:503:83eb::30"],
    ["192.31.80.30", "2001:500:856e::30"],
    ["192.12.94.30", "2001:502:1ca1::30"],
    ["192.35.51.30", "2001:503:d414::30"],
    ["192.42.93.30", "2001:503:eea3::30"],
    ["192.54.112.30", "2001:502:8cc::30"],
    ["192.43.172.30", "2001:503:39c1::30"],
    ["192.48.79.30", "2001:502:7094::30"],
    ["192.52.178.30", "2001:503:d2d::30"],
    ["192.41.162.30", "2001:500:d937::30"],
    ["192.55.83.30", "2001:501:b1f9::30"],
];

const NL_SERVERS: [(&str, [&str; 2]); 3] = [
    ("ns1.dns.nl.", ["194.0.28.53", "2001:678:2c:0:194:0:28:53"]),
    ("ns3.dns.nl.", ["194.0.25.24", "2001:678:20::24"]),
    ("ns4.dns.nl.", ["185.159.199.200", "2620:10a:80ac::200"]),
];

const UK_SERVERS: [(&str, [&str; 2]); 8] = [
    ("nsa.nic.uk.", ["156.154.100.3", "2001:502:ad09::3"]),
    ("nsb.nic.uk.", ["156.154.101.3", "2001:502:2eda::3"]),
    ("nsc.nic.uk.", ["156.154.102.3", "2610:a1:1009::3"]),
    ("nsd.nic.uk.", ["156.154.103.3", "2610:a1:1010::3"]),
    ("dns1.nic.uk.", ["213.248.216.1", "2a01:618:400::1"]),
    ("dns2.nic.uk.", ["103.49.80.1", "2401:fd80:400::1"]),
    ("dns3.nic.uk.", ["213.248.220.1", "2a01:618:404::1"]),
    ("dns4.nic.uk.", ["43.230.48.1", "2401:fd80:404::1"]),
];

/// Where the zone of a scenario is served, or where nothing is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// A host with NSD.
    Nsd,
    /// A host with Knot.
    Knot,
    /// A host with BIND.
    Bind,
    /// A host with NSD that still has zones which moved away.
    Old,
    /// A host with NSD that has none of the zones asked for, so it refuses.
    Lame,
    /// The servers of `uk` and `co.uk`.
    Uk,
}

impl Place {
    const fn host(self) -> &'static str {
        match self {
            Self::Nsd => "child-nsd",
            Self::Knot => "child-knot",
            Self::Bind => "child-bind",
            Self::Old => "child-old",
            Self::Lame => "child-lame",
            Self::Uk => "uk",
        }
    }

    const fn software(self) -> Software {
        match self {
            Self::Nsd | Self::Old | Self::Lame => Software::Nsd,
            Self::Knot => Software::Knot,
            Self::Bind | Self::Uk => Software::Bind,
        }
    }
}

/// Whether a child zone is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signed {
    /// No, and there is no DS record.
    No,
    /// Yes, and the DS record fits.
    Yes,
    /// Yes, but the DS record is of another key.
    WithForeignDs,
}

/// One child zone and how it is delegated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The zone.
    pub zone: &'static str,
    /// What is special about it.
    pub about: &'static str,
    /// What the parent zone says.
    pub parent: Vec<&'static str>,
    /// What the one parent server says that differs, if any does.
    pub other_parent: Option<Vec<&'static str>>,
    /// Where which addresses live and what is served there; without text,
    /// nothing is.
    pub served: Vec<(Place, Vec<&'static str>, Vec<&'static str>)>,
    /// Addresses towards which one transport is blocked.
    pub blocked: Vec<(Transport, &'static str)>,
    /// Whether it is signed.
    pub signed: Signed,
}

const NS: &str = "@ NS ns1\n@ NS ns2\n";
const NS1_A: &str = "ns1 A 45.83.N.53\n";
const NS1_AAAA: &str = "ns1 AAAA 2a0e:1c80:N::53\n";
const NS2_A: &str = "ns2 A 94.140.N.53\n";
const NS2_AAAA: &str = "ns2 AAAA 2a10:50c0:N::53\n";
const HOSTS: &str = "ns1 A 45.83.N.53\nns1 AAAA 2a0e:1c80:N::53\n\
                     ns2 A 94.140.N.53\nns2 AAAA 2a10:50c0:N::53\n";
const OLD1: &str = "ns1 A 62.4.N.53\nns1 AAAA 2a01:e0c:N::53\n";
const OLD2: &str = "ns2 A 77.88.N.53\nns2 AAAA 2a02:6b8:N::53\n";
const WWW: &str = "@ A 45.83.N.80\nwww A 45.83.N.80\n";
const OLD_WWW: &str = "@ A 62.4.N.80\nwww A 62.4.N.80\n";
const PROVIDER: &str = "@ NS ns1.provider.net.\n@ NS ns2.provider.net.\n";

const ADDRESSES: [&str; 4] = [
    "45.83.N.53",
    "2a0e:1c80:N::53",
    "94.140.N.53",
    "2a10:50c0:N::53",
];
const OLD_ADDRESSES: [&str; 4] = [
    "62.4.N.53",
    "2a01:e0c:N::53",
    "77.88.N.53",
    "2a02:6b8:N::53",
];

const THIRTEEN: &str = "\
    @ NS ns1\n@ NS ns2\n@ NS ns3\n@ NS ns4\n@ NS ns5\n@ NS ns6\n@ NS ns7\n\
    @ NS ns8\n@ NS ns9\n@ NS ns10\n@ NS ns11\n@ NS ns12\n@ NS ns13\n\
    ns1 A 45.83.N.1\nns1 AAAA 2a0e:1c80:N::1\nns2 A 45.83.N.2\nns2 AAAA 2a0e:1c80:N::2\n\
    ns3 A 45.83.N.3\nns3 AAAA 2a0e:1c80:N::3\nns4 A 45.83.N.4\nns4 AAAA 2a0e:1c80:N::4\n\
    ns5 A 45.83.N.5\nns5 AAAA 2a0e:1c80:N::5\nns6 A 45.83.N.6\nns6 AAAA 2a0e:1c80:N::6\n\
    ns7 A 45.83.N.7\nns7 AAAA 2a0e:1c80:N::7\nns8 A 45.83.N.8\nns8 AAAA 2a0e:1c80:N::8\n\
    ns9 A 45.83.N.9\nns9 AAAA 2a0e:1c80:N::9\nns10 A 45.83.N.10\nns10 AAAA 2a0e:1c80:N::10\n\
    ns11 A 45.83.N.11\nns11 AAAA 2a0e:1c80:N::11\nns12 A 45.83.N.12\nns12 AAAA 2a0e:1c80:N::12\n\
    ns13 A 45.83.N.13\nns13 AAAA 2a0e:1c80:N::13\n";

impl Scenario {
    /// A zone whose parent and child agree and whose servers all answer.
    fn healthy(zone: &'static str, place: Place, about: &'static str) -> Self {
        Self {
            zone,
            about,
            parent: vec![NS, HOSTS],
            other_parent: None,
            served: vec![(place, ADDRESSES.to_vec(), vec![NS, HOSTS, WWW])],
            blocked: vec![],
            signed: Signed::No,
        }
    }

    fn parent(mut self, parent: &[&'static str]) -> Self {
        self.parent = parent.to_vec();
        self
    }

    fn other_parent(mut self, parent: &[&'static str]) -> Self {
        self.other_parent = Some(parent.to_vec());
        self
    }

    fn child(mut self, text: &[&'static str]) -> Self {
        self.served[0].2 = text.to_vec();
        self
    }

    fn addresses(mut self, addresses: &[&'static str]) -> Self {
        self.served[0].1 = addresses.to_vec();
        self
    }

    fn also(mut self, place: Place, addresses: &[&'static str], text: &[&'static str]) -> Self {
        self.served.push((place, addresses.to_vec(), text.to_vec()));
        self
    }

    fn blocked(mut self, transport: Transport, addresses: &[&'static str]) -> Self {
        self.blocked
            .extend(addresses.iter().map(|address| (transport, *address)));
        self
    }

    fn signed(mut self, signed: Signed) -> Self {
        self.signed = signed;
        self
    }
}

/// Lists the child zones. The first is the provider whose servers others use.
pub fn scenarios() -> Vec<Scenario> {
    use Place::{Bind, Knot, Lame, Nsd, Old, Uk};
    let healthy = Scenario::healthy;
    let [new1_v4, new1_v6, new2_v4, new2_v6] = ADDRESSES;
    vec![
        healthy("provider.net.", Bind, "healthy, and serves others").child(&[
            NS,
            HOSTS,
            WWW,
            "alias CNAME ns1\n",
        ]),
        healthy("healthy.com.", Nsd, "healthy").child(&[
            NS,
            HOSTS,
            WWW,
            "text TXT hello\nalias CNAME www\n",
        ]),
        healthy("healthy.nl.", Knot, "healthy, under an anycast TLD"),
        healthy(
            "healthy.co.uk.",
            Bind,
            "healthy, under servers of uk and co.uk",
        ),
        healthy("signed.com.", Knot, "healthy and signed").signed(Signed::Yes),
        healthy("v4only.com.", Nsd, "healthy without IPv6")
            .parent(&[NS, NS1_A, NS2_A])
            .child(&[NS, NS1_A, NS2_A, WWW])
            .addresses(&[new1_v4, new2_v4]),
        healthy("thirteen.com.", Nsd, "healthy, 13 names with 26 addresses")
            .parent(&[THIRTEEN])
            .child(&[THIRTEEN, WWW])
            .addresses(&[
                "45.83.N.1",
                "45.83.N.2",
                "45.83.N.3",
                "45.83.N.4",
                "45.83.N.5",
                "45.83.N.6",
                "45.83.N.7",
                "45.83.N.8",
                "45.83.N.9",
                "45.83.N.10",
                "45.83.N.11",
                "45.83.N.12",
                "45.83.N.13",
                "2a0e:1c80:N::1",
                "2a0e:1c80:N::2",
                "2a0e:1c80:N::3",
                "2a0e:1c80:N::4",
                "2a0e:1c80:N::5",
                "2a0e:1c80:N::6",
                "2a0e:1c80:N::7",
                "2a0e:1c80:N::8",
                "2a0e:1c80:N::9",
                "2a0e:1c80:N::10",
                "2a0e:1c80:N::11",
                "2a0e:1c80:N::12",
                "2a0e:1c80:N::13",
            ]),
        healthy(
            "unrelated.com.",
            Bind,
            "name servers of a provider, no glue",
        )
        .parent(&[PROVIDER])
        .child(&[PROVIDER, WWW])
        .addresses(&[]),
        healthy(
            "sibling.com.",
            Nsd,
            "name servers of another domain under com",
        )
        .parent(&["@ NS ns1.healthy.com.\n@ NS ns2.healthy.com.\n"])
        .child(&["@ NS ns1.healthy.com.\n@ NS ns2.healthy.com.\n", WWW])
        .addresses(&[]),
        healthy("same.co.uk.", Uk, "on the servers of its parent")
            .parent(&["@ NS nsa.nic.uk.\n@ NS dns1.nic.uk.\n"])
            .child(&["@ NS nsa.nic.uk.\n@ NS dns1.nic.uk.\n", WWW])
            .addresses(&[]),
        healthy(
            "stale-dead.com.",
            Nsd,
            "old glue of ns1, its old server off",
        )
        .parent(&[NS, OLD1, NS2_A, NS2_AAAA]),
        healthy(
            "all-dead.com.",
            Nsd,
            "old glue of both, both old servers off",
        )
        .parent(&[NS, OLD1, OLD2]),
        healthy(
            "stale-alive.com.",
            Nsd,
            "old glue of both, old server still serves",
        )
        .parent(&[NS, OLD1, OLD2])
        .also(Old, &OLD_ADDRESSES, &[NS, OLD1, OLD2, OLD_WWW]),
        healthy(
            "half-moved.com.",
            Nsd,
            "old glue of ns1, old server still serves",
        )
        .parent(&[NS, OLD1, NS2_A, NS2_AAAA])
        .also(
            Old,
            &OLD_ADDRESSES[..2],
            &[NS, OLD1, NS2_A, NS2_AAAA, OLD_WWW],
        ),
        healthy("no-glue.com.", Nsd, "no glue at all").parent(&[NS]),
        healthy("part-glue.com.", Nsd, "no glue of ns1").parent(&[NS, NS2_A, NS2_AAAA]),
        healthy("no-aaaa.com.", Nsd, "AAAA glue of neither").parent(&[NS, NS1_A, NS2_A]),
        healthy("one-aaaa.com.", Nsd, "AAAA glue of ns1 only")
            .parent(&[NS, NS1_A, NS1_AAAA, NS2_A]),
        healthy(
            "extra-aaaa.com.",
            Nsd,
            "AAAA glue that the zone does not have",
        )
        .child(&[NS, NS1_A, NS2_A, WWW]),
        healthy(
            "overlap.com.",
            Nsd,
            "one address of ns1 is in the zone only",
        )
        .child(&[NS, HOSTS, "ns1 A 45.83.N.54\n", WWW])
        .addresses(&[new1_v4, new1_v6, new2_v4, new2_v6, "45.83.N.54"]),
        healthy("lame.com.", Nsd, "ns2 refuses")
            .addresses(&[new1_v4, new1_v6])
            .also(Lame, &[new2_v4, new2_v6], &[]),
        healthy("all-lame.com.", Lame, "both refuse").child(&[]),
        healthy("no-tcp.com.", Nsd, "TCP blocked at both").blocked(Transport::Tcp, &ADDRESSES),
        healthy("no-udp.com.", Nsd, "UDP blocked at ns2")
            .blocked(Transport::Udp, &[new2_v4, new2_v6]),
        healthy("v6-dead.com.", Knot, "no IPv6 address answers").addresses(&[new1_v4, new2_v4]),
        healthy("one-dead.com.", Bind, "both addresses of ns2 are dead")
            .addresses(&[new1_v4, new1_v6]),
        healthy("special.com.", Nsd, "ns2 has a private address")
            .parent(&[NS, NS1_A, NS1_AAAA, "ns2 A 10.0.0.1\n"])
            .child(&[NS, NS1_A, NS1_AAAA, "ns2 A 10.0.0.1\n", WWW])
            .addresses(&[new1_v4, new1_v6]),
        healthy("no-host.com.", Nsd, "the zone has no address of ns2")
            .child(&[NS, NS1_A, NS1_AAAA, WWW]),
        healthy("alias.com.", Bind, "one name server name is an alias")
            .parent(&["@ NS ns2.provider.net.\n@ NS alias.provider.net.\n"])
            .child(&["@ NS ns2.provider.net.\n@ NS alias.provider.net.\n", WWW])
            .addresses(&[]),
        healthy(
            "unresolvable.com.",
            Bind,
            "one name server name does not exist",
        )
        .parent(&["@ NS ns1.provider.net.\n@ NS ns1.not-there.net.\n"])
        .child(&["@ NS ns1.provider.net.\n@ NS ns1.not-there.net.\n", WWW])
        .addresses(&[]),
        healthy("ns-differ.com.", Nsd, "the zone names ns3 instead of ns2").child(&[
            "@ NS ns1\n@ NS ns3\n",
            NS1_A,
            NS1_AAAA,
            "ns2 A 94.140.N.53\nns2 AAAA 2a10:50c0:N::53\n\
             ns3 A 94.140.N.53\nns3 AAAA 2a10:50c0:N::53\n",
            WWW,
        ]),
        healthy(
            "ns-disjoint.com.",
            Bind,
            "the zone names only other servers",
        )
        .child(&[PROVIDER, HOSTS, WWW]),
        healthy("cycle-a.com.", Nsd, "sibling cycle with cycle-b.com")
            .parent(&["@ NS ns1.cycle-b.com.\n@ NS ns2.cycle-b.com.\n"])
            .child(&["@ NS ns1.cycle-b.com.\n@ NS ns2.cycle-b.com.\n", HOSTS]),
        healthy("cycle-b.com.", Nsd, "sibling cycle with cycle-a.com")
            .parent(&["@ NS ns1.cycle-a.com.\n@ NS ns2.cycle-a.com.\n"])
            .child(&["@ NS ns1.cycle-a.com.\n@ NS ns2.cycle-a.com.\n", HOSTS]),
        healthy(
            "loop.com.",
            Nsd,
            "cycle with loop.net, through unrelated zones",
        )
        .parent(&["@ NS ns1.loop.net.\n@ NS ns2.loop.net.\n"])
        .child(&["@ NS ns1.loop.net.\n@ NS ns2.loop.net.\n", HOSTS]),
        healthy(
            "loop.net.",
            Nsd,
            "cycle with loop.com, through unrelated zones",
        )
        .parent(&["@ NS ns1.loop.com.\n@ NS ns2.loop.com.\n"])
        .child(&["@ NS ns1.loop.com.\n@ NS ns2.loop.com.\n", HOSTS]),
        healthy("ds-broken.com.", Nsd, "the DS record is of another key")
            .signed(Signed::WithForeignDs),
        healthy(
            "lagging.nl.",
            Knot,
            "moved; the instance in us has old glue, old server off",
        )
        .other_parent(&[NS, OLD1, OLD2]),
        healthy(
            "moving.nl.",
            Knot,
            "moved; the instance in us has old glue, old server on",
        )
        .other_parent(&[NS, OLD1, OLD2])
        .also(Old, &OLD_ADDRESSES, &[NS, HOSTS, WWW]),
        healthy(
            "contradicts.com.",
            Nsd,
            "m.gtld-servers.net has old glue and a newer serial",
        )
        .other_parent(&[NS, OLD1, OLD2])
        .also(Old, &OLD_ADDRESSES, &[NS, HOSTS, WWW]),
    ]
}

/// How much of the world to make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Size {
    /// All of it.
    Full,
    /// The root, `.com`, two healthy domains, one resolver.
    Minimal,
}

/// Returns the standard world. Its keys are made in `folder`.
///
/// # Errors
///
/// Fails if a zone cannot be signed.
pub fn blueprint(folder: &Path, size: Size) -> Result<Blueprint> {
    blueprint_with(folder, size, &[])
}

/// A zone that a test delegates to servers of its own, which it puts on hosts
/// that it adds to the blueprint.
#[derive(Clone, Debug)]
pub struct Delegation {
    /// The zone, absolute, under `com`, `net`, `nl` or `co.uk`.
    pub zone: String,
    /// What the parent says: NS records and glue, relative to the zone.
    pub text: String,
}

/// Returns the standard world with more delegations.
///
/// # Errors
///
/// Fails if a zone cannot be signed.
pub fn blueprint_with(folder: &Path, size: Size, more: &[Delegation]) -> Result<Blueprint> {
    let mut builder = Builder::new(folder)?;
    let mut scenarios = scenarios();
    if size == Size::Minimal {
        scenarios.retain(|scenario| ["provider.net.", "healthy.com."].contains(&scenario.zone));
    }
    for (number, scenario) in scenarios.iter().enumerate() {
        builder.child(number + 1, scenario)?;
    }
    for Delegation { zone, text } in more {
        let text = format!("$ORIGIN {zone}\n$TTL 172800\n{text}\n");
        builder.parent_of(zone).add(&text, None);
    }
    builder.finish(size)
}

/// One version of a parent zone, as one server or several load it.
struct Parent {
    plain: Zone,
    other: Option<Zone>,
}

impl Parent {
    fn add(&mut self, text: &str, other: Option<&str>) {
        self.plain.add(text);
        if let Some(zone) = &mut self.other {
            zone.add(other.unwrap_or(text));
        }
    }

    fn versions(&self) -> Vec<Zone> {
        [&self.plain]
            .into_iter()
            .chain(&self.other)
            .cloned()
            .collect()
    }
}

struct Builder<'a> {
    folder: &'a Path,
    blueprint: Blueprint,
    com: Parent,
    net: Parent,
    nl: Parent,
    co_uk: Parent,
    children: Vec<Child>,
}

/// The host of a [`Place`] as it fills up.
struct Child {
    place: Place,
    addresses: Vec<IpAddr>,
    zones: Vec<Zone>,
}

impl<'a> Builder<'a> {
    fn new(folder: &'a Path) -> Result<Self> {
        // Serials of com and net are the time of the last change; the one of
        // the server that contradicts is later than that of the others.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let epoch = u32::try_from(now)?;
        let gtld = ns_records(&gtld_servers());
        let nl: Vec<(String, Vec<IpAddr>)> = named(&NL_SERVERS)?;
        let uk: Vec<(String, Vec<IpAddr>)> = named(&UK_SERVERS)?;
        let parent = |name, serials: [u32; 2], text: &str| Parent {
            plain: Zone::new(name, serials[0], text),
            other: Some(Zone::new(name, serials[1], text)),
        };
        let mut net = parent("net.", [epoch - 90, epoch - 60], &gtld);
        for (zone, servers) in [
            ("gtld-servers.net.", gtld_servers()),
            ("root-servers.net.", root_servers()),
        ] {
            net.add(&delegation(zone, &servers, true), None);
        }
        let places = [
            Place::Nsd,
            Place::Knot,
            Place::Bind,
            Place::Old,
            Place::Lame,
            Place::Uk,
        ];
        Ok(Self {
            folder,
            blueprint: Blueprint::default(),
            com: parent("com.", [epoch - 90, epoch - 60], &gtld),
            net,
            nl: parent(
                "nl.",
                [2_026_010_102, 2_026_010_101],
                &(ns_records(&nl) + &hosts(&nl)),
            ),
            co_uk: Parent {
                plain: Zone::new("co.uk.", 2_026_010_101, &ns_records(&uk)),
                other: None,
            },
            children: places
                .map(|place| Child {
                    place,
                    addresses: vec![],
                    zones: vec![],
                })
                .into(),
        })
    }

    fn host_of(&mut self, place: Place) -> Result<&mut Child> {
        self.children
            .iter_mut()
            .find(|child| child.place == place)
            .context("every place has a host")
    }

    fn parent_of(&mut self, zone: &str) -> &mut Parent {
        if zone.ends_with(".co.uk.") {
            &mut self.co_uk
        } else if zone.ends_with(".net.") {
            &mut self.net
        } else if zone.ends_with(".nl.") {
            &mut self.nl
        } else {
            &mut self.com
        }
    }

    /// Adds one scenario: its delegation, its zone, its addresses, its rules.
    fn child(&mut self, number: usize, scenario: &Scenario) -> Result<()> {
        let name = scenario.zone;
        let key = match scenario.signed {
            Signed::No => None,
            Signed::Yes | Signed::WithForeignDs => Some(Key::generate(self.folder, name)?),
        };
        let ds = match (scenario.signed, &key) {
            (Signed::Yes, Some(key)) => key.ds()?,
            (Signed::WithForeignDs, _) => Key::generate(self.folder, name)?.ds()?,
            _ => String::new(),
        };
        let delegation = |text: &[&str]| {
            format!(
                "$ORIGIN {name}\n$TTL 172800\n{}{ds}\n",
                numbered(&text.concat(), number)
            )
        };
        let other = scenario.other_parent.as_deref().map(delegation);
        let parent = self.parent_of(name);
        parent.add(&delegation(&scenario.parent), other.as_deref());

        for (place, addresses, text) in &scenario.served {
            let child = self.host_of(*place)?;
            for address in addresses {
                child.addresses.push(numbered(address, number).parse()?);
            }
            if text.is_empty() {
                continue;
            }
            let mut zone = Zone::new(name, 1, &numbered(&text.concat(), number));
            if let Some(key) = &key {
                zone = key.sign(&zone, Denial::Nsec)?;
            }
            child.zones.push(zone);
        }
        for (transport, address) in &scenario.blocked {
            self.blueprint.rules.push(RulePlan {
                from: None,
                rule: Rule {
                    to: Some(numbered(address, number).parse()?),
                    transport: Some(*transport),
                    ..Rule::default()
                },
            });
        }
        Ok(())
    }

    /// Signs the parents from the bottom up, and puts everything on hosts.
    fn finish(mut self, size: Size) -> Result<Blueprint> {
        let folder = self.folder;
        let uk_servers = named(&UK_SERVERS)?;
        let mut uk = Zone::new(
            "uk.",
            2_026_010_101,
            &(ns_records(&uk_servers) + &hosts(&uk_servers)),
        );
        uk.add(&delegation("co.uk.", &uk_servers, false));
        let (co_uk, ds) = signed(folder, self.co_uk.versions(), Denial::Nsec3OptOut)?;
        uk.add(&ds);
        let (uk, uk_ds) = signed(folder, vec![uk], Denial::Nsec3OptOut)?;
        let (com, com_ds) = signed(folder, self.com.versions(), Denial::Nsec3OptOut)?;
        let (net, net_ds) = signed(folder, self.net.versions(), Denial::Nsec3OptOut)?;
        let (nl, nl_ds) = signed(folder, self.nl.versions(), Denial::Nsec3OptOut)?;

        let roots = root_servers();
        let mut root = Zone::new(".", 2_026_010_100, &ns_records(&roots));
        root.add(&hosts(&roots));
        root.add(&delegation("com.", &gtld_servers(), true));
        root.add(&delegation("net.", &gtld_servers(), false));
        for ds in [com_ds, net_ds] {
            root.add(&ds);
        }
        if size == Size::Full {
            root.add(&delegation("nl.", &named(&NL_SERVERS)?, true));
            root.add(&delegation("uk.", &uk_servers, true));
            for ds in [nl_ds, uk_ds] {
                root.add(&ds);
            }
        }
        let (root, trust_anchor) = signed(folder, vec![root], Denial::Nsec)?;
        let root_servers_zone = Zone::new(
            "root-servers.net.",
            1,
            &(ns_records(&roots) + &hosts(&roots)),
        );

        self.blueprint.host("root", "eu", &addresses_of(&roots));
        self.serve("root", "root", Software::Nsd, addresses_of(&roots), {
            let mut zones = root;
            zones.push(root_servers_zone);
            zones
        });
        self.gtld(com, net);
        if size == Size::Full {
            self.nl(nl)?;
            let addresses = addresses_of(&uk_servers);
            let child = self.host_of(Place::Uk)?;
            child.addresses = addresses;
            child.zones.extend(co_uk.into_iter().chain(uk));
        }
        self.children();
        for (name, software, addresses) in RESOLVERS {
            if size == Size::Minimal && software != Software::Unbound {
                continue;
            }
            let addresses = parsed(&addresses)?;
            self.blueprint.host(name, "eu", &addresses);
            self.blueprint.servers.push(ServerPlan {
                host: name.to_owned(),
                name: name.to_owned(),
                software,
                addresses,
                service: Service::Resolver {
                    hints: delegation(".", &roots, true),
                    trust_anchor: trust_anchor.clone(),
                },
            });
        }
        for (name, region, addresses) in VANTAGES {
            self.blueprint.host(name, region, &parsed(&addresses)?);
        }
        Ok(self.blueprint)
    }

    /// `com`, `net` and `gtld-servers.net`: one host, two servers.
    fn gtld(&mut self, com: Vec<Zone>, net: Vec<Zone>) {
        let names = gtld_servers();
        let addresses = addresses_of(&names);
        self.blueprint.host("gtld", "eu", &addresses);
        let own = Zone::new(
            "gtld-servers.net.",
            1,
            &(ns_records(&names) + &hosts(&names)),
        );
        let (most, last) = addresses.split_at(addresses.len() - 2);
        let shares = [("gtld", most), ("gtld-m", last)];
        for ((name, addresses), (com, net)) in shares.into_iter().zip(com.into_iter().zip(net)) {
            let zones = vec![com, net, own.clone()];
            self.serve("gtld", name, Software::Nsd, addresses.to_vec(), zones);
        }
    }

    /// `nl`: two instances of two anycast names, and one name in "us" alone.
    fn nl(&mut self, versions: Vec<Zone>) -> Result<()> {
        let names = named(&NL_SERVERS)?;
        let instances = [("nl-eu", "eu", &names[..2]), ("nl-us", "us", &names[..])];
        for ((host, region, names), zone) in instances.into_iter().zip(versions) {
            let addresses = addresses_of(names);
            self.blueprint.host(host, region, &addresses);
            self.serve(host, host, Software::Knot, addresses, vec![zone]);
        }
        Ok(())
    }

    fn children(&mut self) {
        for child in std::mem::take(&mut self.children) {
            if child.addresses.is_empty() {
                continue;
            }
            let host = child.place.host();
            self.blueprint.host(host, "eu", &child.addresses);
            let software = child.place.software();
            self.serve(host, host, software, child.addresses, child.zones);
        }
    }

    fn serve(
        &mut self,
        host: &str,
        name: &str,
        software: Software,
        addresses: Vec<IpAddr>,
        zones: Vec<Zone>,
    ) {
        self.blueprint.servers.push(ServerPlan {
            host: host.to_owned(),
            name: name.to_owned(),
            software,
            addresses,
            service: Service::Zones(zones),
        });
    }
}

/// Signs all versions of a zone with one new key; returns its DS record, too.
fn signed(folder: &Path, versions: Vec<Zone>, denial: Denial) -> Result<(Vec<Zone>, String)> {
    let name = versions
        .first()
        .context("a zone has a version")?
        .name
        .clone();
    let key = Key::generate(folder, &name)?;
    let zones: Result<Vec<Zone>> = versions.iter().map(|zone| key.sign(zone, denial)).collect();
    Ok((zones?, key.ds()?))
}

/// Puts the number of a scenario into its addresses.
fn numbered(text: &str, number: usize) -> String {
    let number = number.to_string();
    text.replace(".N.", &format!(".{number}."))
        .replace(":N::", &format!(":{number}::"))
}

type Names = Vec<(String, Vec<IpAddr>)>;

fn named(servers: &[(&str, [&str; 2])]) -> Result<Names> {
    servers
        .iter()
        .map(|(name, addresses)| Ok(((*name).to_owned(), parsed(addresses)?)))
        .collect()
}

fn lettered(domain: &str, servers: &[[&str; 2]]) -> Names {
    ('a'..)
        .zip(servers)
        .map(|(letter, addresses)| {
            let addresses = addresses.iter().filter_map(|address| address.parse().ok());
            (format!("{letter}.{domain}"), addresses.collect())
        })
        .collect()
}

fn root_servers() -> Names {
    lettered("root-servers.net.", &ROOT_SERVERS)
}

fn gtld_servers() -> Names {
    lettered("gtld-servers.net.", &GTLD_SERVERS)
}

fn parsed(addresses: &[&str]) -> Result<Vec<IpAddr>> {
    addresses
        .iter()
        .map(|address| address.parse().with_context(|| (*address).to_owned()))
        .collect()
}

fn addresses_of(names: &[(String, Vec<IpAddr>)]) -> Vec<IpAddr> {
    names
        .iter()
        .flat_map(|(_, addresses)| addresses)
        .copied()
        .collect()
}

fn ns_records(names: &[(String, Vec<IpAddr>)]) -> String {
    names
        .iter()
        .map(|(name, _)| format!("@ NS {name}\n"))
        .collect()
}

fn hosts(names: &[(String, Vec<IpAddr>)]) -> String {
    names
        .iter()
        .map(|(name, addresses)| address_records(name, addresses))
        .collect()
}

/// Writes the NS records of a zone and, if wanted, the addresses.
fn delegation(zone: &str, names: &[(String, Vec<IpAddr>)], glue: bool) -> String {
    let mut text = String::from("$TTL 172800\n");
    for (name, _) in names {
        let _ = writeln!(text, "{zone} NS {name}");
    }
    if glue {
        text += &hosts(names);
    }
    text
}
