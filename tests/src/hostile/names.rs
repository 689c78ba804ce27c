//! The names and addresses that hostile zones have.
//!
//! Zone number 12 has `h0012.com.` and `h0012.net.`, and, where it needs more,
//! `h0012b.com.` and so on: whoever reads a name knows whose it is. All zones
//! share one host with many addresses, each in a prefix of its own, so that no
//! limit on prefixes hides what a program would do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bailiwick_core::name::Name;

/// How many servers the hostile host has; each has an address of each family.
pub const SERVERS: u8 = 64;

/// How many vantage points there may be.
pub const CHECKERS: u8 = 8;

/// Returns the addresses of a vantage point.
#[must_use]
pub fn checker(number: u8) -> [IpAddr; 2] {
    [
        Ipv4Addr::new(146, 185, 20, number + 1).into(),
        Ipv6Addr::new(0x2a03, 0xb0c0, 0x20, 0, 0, 0, 0, u16::from(number) + 1).into(),
    ]
}

/// Returns the apex of a zone: `part` tells apart those of one number.
#[must_use]
pub fn apex(number: usize, part: &str, tld: &str) -> String {
    format!("h{number:04}{part}.{tld}.")
}

/// Returns the number of the hostile zone that a name belongs to, if to any.
#[must_use]
pub fn number_of(name: &Name) -> Option<usize> {
    let label = std::str::from_utf8(name.labels().rev().nth(1)?).ok()?;
    let rest = label.strip_prefix('h')?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// Returns the IPv4 address of a server.
#[must_use]
pub fn v4(server: u8) -> IpAddr {
    Ipv4Addr::new(91, 200, server, 53).into()
}

/// Returns the IPv6 address of a server.
#[must_use]
pub fn v6(server: u8) -> IpAddr {
    Ipv6Addr::new(0x2a0f, 0x9400, server.into(), 0, 0, 0, 0, 53).into()
}

/// Returns an IPv4 address where nobody answers.
#[must_use]
pub fn nobody_v4(number: u8) -> IpAddr {
    Ipv4Addr::new(91, 201, number, 53).into()
}

/// Returns an IPv6 address where nobody answers.
#[must_use]
pub fn nobody_v6(number: u8) -> IpAddr {
    Ipv6Addr::new(0x2a0f, 0x9401, number.into(), 0, 0, 0, 0, 53).into()
}

/// Returns which server an address belongs to.
#[must_use]
pub fn server_at(address: IpAddr) -> Option<u8> {
    let server = match address {
        IpAddr::V4(address) => address.octets()[2],
        IpAddr::V6(address) => u8::try_from(address.segments()[2]).ok()?,
    };
    (address == v4(server) || address == v6(server)).then_some(server)
}

/// Returns every address of the hostile host.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    (0..SERVERS)
        .flat_map(|server| [v4(server), v6(server)])
        .collect()
}

/// Writes the address records of a host on a server.
#[must_use]
pub fn host(name: &str, server: u8) -> String {
    format!("{name} A {}\n{name} AAAA {}\n", v4(server), v6(server))
}

/// Writes two name servers with their addresses, on two servers.
#[must_use]
pub fn two_hosts([first, second]: [u8; 2]) -> String {
    format!(
        "@ NS ns1\n@ NS ns2\n{}{}",
        host("ns1", first),
        host("ns2", second)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_it_is() {
        let cases = [
            ("h0012.com.", Some(12), "the apex"),
            ("a.b.h0012x.net.", Some(12), "below another part"),
            ("h123456.com.", Some(123_456), "more than four digits"),
            ("healthy.com.", None, "somebody else"),
            ("com.", None, "too short"),
        ];
        for (name, number, why) in cases {
            assert_eq!(number_of(&name.parse().unwrap()), number, "{name}: {why}");
        }
    }

    #[test]
    fn an_address_tells_its_server() {
        for server in [0, 7, SERVERS - 1] {
            assert_eq!(server_at(v4(server)), Some(server));
            assert_eq!(server_at(v6(server)), Some(server));
            assert_eq!(server_at(nobody_v4(server)), None);
            assert_eq!(server_at(nobody_v6(server)), None);
        }
    }
}
