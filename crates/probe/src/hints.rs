//! The root servers as IANA publishes them (`named.root`), so that a walk needs no file.
//!
//! Source: <https://www.internic.net/domain/named.root>. A wrong or outdated
//! address costs a walk nothing as long as one of the others answers.

use std::net::{Ipv4Addr, Ipv6Addr};

use bailiwick_core::server::Server;

const ROOTS: [(char, Ipv4Addr, Ipv6Addr); 13] = [
    (
        'a',
        v4(198, 41, 0, 4),
        v6(0x2001, 0x503, 0xba3e, 0, 0, 0, 0x2, 0x30),
    ),
    (
        'b',
        v4(170, 247, 170, 2),
        v6(0x2801, 0x1b8, 0x10, 0, 0, 0, 0, 0xb),
    ),
    (
        'c',
        v4(192, 33, 4, 12),
        v6(0x2001, 0x500, 0x2, 0, 0, 0, 0, 0xc),
    ),
    (
        'd',
        v4(199, 7, 91, 13),
        v6(0x2001, 0x500, 0x2d, 0, 0, 0, 0, 0xd),
    ),
    (
        'e',
        v4(192, 203, 230, 10),
        v6(0x2001, 0x500, 0xa8, 0, 0, 0, 0, 0xe),
    ),
    (
        'f',
        v4(192, 5, 5, 241),
        v6(0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf),
    ),
    (
        'g',
        v4(192, 112, 36, 4),
        v6(0x2001, 0x500, 0x12, 0, 0, 0, 0, 0xd0d),
    ),
    (
        'h',
        v4(198, 97, 190, 53),
        v6(0x2001, 0x500, 0x1, 0, 0, 0, 0, 0x53),
    ),
    (
        'i',
        v4(192, 36, 148, 17),
        v6(0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53),
    ),
    (
        'j',
        v4(192, 58, 128, 30),
        v6(0x2001, 0x503, 0xc27, 0, 0, 0, 0x2, 0x30),
    ),
    (
        'k',
        v4(193, 0, 14, 129),
        v6(0x2001, 0x7fd, 0, 0, 0, 0, 0, 0x1),
    ),
    (
        'l',
        v4(199, 7, 83, 42),
        v6(0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42),
    ),
    (
        'm',
        v4(202, 12, 27, 33),
        v6(0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35),
    ),
];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

#[expect(
    clippy::too_many_arguments,
    reason = "an IPv6 address has eight groups"
)]
const fn v6(a: u16, b: u16, c: u16, d: u16, e: u16, f: u16, g: u16, h: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

/// Returns the root servers, each with an IPv4 and an IPv6 address.
#[must_use]
pub fn iana() -> Vec<Server> {
    ROOTS
        .iter()
        .flat_map(|&(letter, v4, v6)| {
            let name = format!("{letter}.root-servers.net.")
                .parse::<bailiwick_core::name::Name>()
                .expect("a letter and a fixed suffix make a name");
            [v4.into(), v6.into()].map(|address| Server {
                name: name.clone(),
                address,
            })
        })
        .collect()
}
