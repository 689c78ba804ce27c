//! What every world has, unless its scenario says otherwise: a root, the servers of top-level
//! domains, three public resolvers.
//!
//! The resolvers have their true addresses. The name servers have addresses of real servers of
//! the root and of .com, so that a check which sends to globally reachable addresses only can
//! run in such a world, too; nothing is ever sent there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bailiwick_core::name::Name;

/// Addresses where nothing may answer, where the world has no server there (control C3).
pub const BLACKHOLES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The name servers of the root.
pub(crate) const ROOT: [&str; 2] = ["a.root.test.", "b.root.test."];
/// The name servers of top-level domains.
pub(crate) const TOP: [&str; 2] = ["a.gtld.test.", "b.gtld.test."];

const SERVERS: [(&str, [&str; 2]); 4] = [
    ("a.root.test.", ["198.41.0.4", "2001:503:ba3e::2:30"]),
    ("b.root.test.", ["170.247.170.2", "2801:1b8:10::b"]),
    ("a.gtld.test.", ["192.5.6.30", "2001:503:a83e::2:30"]),
    ("b.gtld.test.", ["192.33.14.30", "2001:503:231d::2:30"]),
];

/// Service, addresses, and what it says when asked who it is.
const RESOLVERS: [(&str, [&str; 2], &str); 3] = [
    ("google", ["8.8.8.8", "2001:4860:4860::8888"], ""),
    ("cloudflare", ["1.1.1.1", "2606:4700:4700::1111"], "FRA"),
    (
        "quad9",
        ["9.9.9.9", "2620:fe::fe"],
        "res100.fra.rrdns.pch.net",
    ),
];

/// Returns the addresses that a name server has by default.
pub(crate) fn addresses(server: &Name) -> Option<Vec<IpAddr>> {
    let server = server.to_string();
    SERVERS
        .iter()
        .find(|(name, _)| *name == server)
        .map(|(_, addresses)| read(addresses))
}

/// Returns the public resolvers: service, addresses, identity.
pub(crate) fn resolvers() -> impl Iterator<Item = (&'static str, Vec<IpAddr>, &'static str)> {
    RESOLVERS
        .iter()
        .map(|(name, addresses, identity)| (*name, read(addresses), *identity))
}

/// Returns a default name.
pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("the names above are well-formed")
}

fn read(addresses: &[&str; 2]) -> Vec<IpAddr> {
    addresses
        .iter()
        .map(|text| text.parse().expect("the addresses above are well-formed"))
        .collect()
}
