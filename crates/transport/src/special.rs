//! Which addresses may be asked: only what the whole internet can reach.
//!
//! Name server addresses come from zone data, so whoever owns a zone could
//! point us at the loopback, at a metadata service, at somebody's inner
//! network. A [`PublicAddr`] is an address that passed the IANA special-purpose
//! registries (RFC 6890), and only such a one gets a socket.
//!
//! Two exceptions exist, both out of reach of zone data: the blackhole
//! addresses of control C3, and the operator's leave to use special-use
//! addresses in a laboratory.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use bailiwick_core::{observation::Withheld, server::Role};

/// The addresses where nothing may answer (control C3), one a family (RFC 5737, RFC 3849).
pub const BLACKHOLES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// An address that may be asked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct PublicAddr(IpAddr);

impl PublicAddr {
    /// Looks the address up in the registries.
    ///
    /// # Errors
    ///
    /// Returns [`Withheld::SpecialUse`] if it is not globally reachable, or
    /// carries an IPv4 address that is not.
    pub fn new(address: IpAddr) -> Result<Self, Withheld> {
        let reachable = match address {
            IpAddr::V4(address) => reachable_v4(address),
            IpAddr::V6(address) => reachable_v6(address),
        };
        reachable
            .then_some(Self(address))
            .ok_or(Withheld::SpecialUse)
    }

    /// Returns the address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0
    }
}

/// What may be asked from this machine.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// The operator allowed everything: a laboratory.
    pub(crate) allow_special_use: bool,
    /// The addresses of this machine's interfaces.
    pub(crate) own: BTreeSet<IpAddr>,
    /// Which of [`BLACKHOLES`] the controls may use.
    pub(crate) blackholes: BTreeSet<IpAddr>,
}

impl Filter {
    /// Decides about one destination.
    pub(crate) fn admit(&self, address: IpAddr, role: Role) -> Result<PublicAddr, Withheld> {
        if self.allow_special_use {
            return Ok(PublicAddr(address));
        }
        if role == Role::Blackhole {
            let control = BLACKHOLES.contains(&address) && self.blackholes.contains(&address);
            return control
                .then_some(PublicAddr(address))
                .ok_or(Withheld::SpecialUse);
        }
        let public = PublicAddr::new(address)?;
        if self.own.contains(&address) || embedded(address).is_some_and(|v4| self.own.contains(&v4))
        {
            return Err(Withheld::OwnAddress);
        }
        Ok(public)
    }
}

/// Returns the IPv4 address that a translator would make of an IPv6 address.
fn embedded(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => translated(address).map(IpAddr::V4),
    }
}

fn reachable_v4(address: Ipv4Addr) -> bool {
    !address.is_multicast() && allow(&REGISTRIES.v4, u32::from(address).into())
}

fn reachable_v6(address: Ipv6Addr) -> bool {
    let bits = u128::from(address);
    !REFUSED_V6.iter().any(|block| block.contains(bits))
        && allow(&REGISTRIES.v6, bits)
        && translated(address).is_none_or(reachable_v4)
}

/// Reads the IPv4 address in the last 32 bits of the mapped and the NAT64 form
/// (RFC 4291, section 2.5.5.2; RFC 6052, section 2.1).
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    const FORMS: [Block; 2] = [
        Block::v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
        Block::v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    ];
    let bits = u128::from(address);
    let [.., a, b, c, d] = address.octets();
    FORMS
        .iter()
        .any(|form| form.contains(bits))
        .then(|| Ipv4Addr::new(a, b, c, d))
}

/// What no registry row refuses, or what leads to IPv4 in ways that cannot be checked.
const REFUSED_V6: [Block; 6] = [
    // Multicast (RFC 4291, section 2.7).
    Block::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    // Site-local addresses: never given to anybody, and networks that use them may go on
    // (RFC 3879, section 4).
    Block::v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    // IPv4-compatible addresses (RFC 4291, section 2.5.5.1: deprecated).
    Block::v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
    // Local translation prefixes (RFC 8215): whose translator, nobody can tell.
    Block::v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    // 6to4 (RFC 3056) and Teredo (RFC 4380) carry IPv4 addresses of relays and clients.
    Block::v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    Block::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
];

/// A block of addresses, as the upper bits of a number of `width` bits.
#[derive(Clone, Copy, Debug)]
struct Block {
    first: u128,
    /// Bits below the prefix.
    free: u32,
    reachable: bool,
}

impl Block {
    const fn v6(groups: [u16; 8], prefix: u32) -> Self {
        let [a, b, c, d, e, f, g, h] = groups;
        Self {
            first: Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits(),
            free: 128 - prefix,
            reachable: false,
        }
    }

    const fn contains(&self, bits: u128) -> bool {
        match bits.checked_shr(self.free) {
            Some(upper) => upper == self.first >> self.free,
            None => true,
        }
    }
}

/// Both registries, the longest prefixes first.
struct Registries {
    v4: Vec<Block>,
    v6: Vec<Block>,
}

static REGISTRIES: LazyLock<Registries> = LazyLock::new(|| Registries {
    v4: read(include_str!("../data/iana-ipv4-special.csv")),
    v6: read(include_str!("../data/iana-ipv6-special.csv")),
});

/// The longest prefix decides; what is in no row is an ordinary address.
fn allow(registry: &[Block], bits: u128) -> bool {
    registry
        .iter()
        .find(|block| block.contains(bits))
        .is_none_or(|block| block.reachable)
}

fn read(csv: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = csv
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| row(line).expect("the embedded registries were read in a test"))
        .collect();
    blocks.sort_by_key(|block| block.free);
    blocks
}

/// Reads one row. Only `True` counts as reachable: neither `N/A` nor an allocation that ended.
fn row(line: &str) -> Option<Block> {
    let mut columns = line.split(',');
    let (first, prefix) = columns.next()?.split_once('/')?;
    let prefix: u32 = prefix.parse().ok()?;
    let (first, width) = match first.parse().ok()? {
        IpAddr::V4(first) => (u32::from(first).into(), 32),
        IpAddr::V6(first) => (u128::from(first), 128),
    };
    Some(Block {
        first,
        free: u32::checked_sub(width, prefix)?,
        reachable: columns.next()? == "True",
    })
}

#[cfg(test)]
mod tests;
