//! The edges of every block, every way to embed an IPv4 address, and a second opinion.

use proptest::prelude::*;

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn passes(address: IpAddr) -> bool {
    PublicAddr::new(address).is_ok()
}

fn step(address: IpAddr, forward: bool) -> Option<IpAddr> {
    let step = |bits: u128| match forward {
        true => bits.checked_add(1),
        false => bits.checked_sub(1),
    };
    match address {
        IpAddr::V4(v4) => u32::try_from(step(u32::from(v4).into())?)
            .ok()
            .map(|b| Ipv4Addr::from(b).into()),
        IpAddr::V6(v6) => Some(Ipv6Addr::from(step(v6.into())?).into()),
    }
}

/// First and last address of a block, whether inside passes, and whether the neighbours do.
/// Written from the registries' pages, not from our copy of them.
const EDGES: &[(&str, &str, bool, bool, bool)] = &[
    // IPv4: first, last, inside, before, behind
    ("0.0.0.0", "0.255.255.255", false, false, true),
    ("10.0.0.0", "10.255.255.255", false, true, true),
    ("100.64.0.0", "100.127.255.255", false, true, true),
    ("127.0.0.0", "127.255.255.255", false, true, true),
    ("169.254.0.0", "169.254.255.255", false, true, true),
    ("172.16.0.0", "172.31.255.255", false, true, true),
    ("192.0.0.0", "192.0.0.8", false, true, true),
    ("192.0.0.9", "192.0.0.10", true, false, false),
    ("192.0.0.11", "192.0.0.255", false, true, true),
    ("192.0.0.170", "192.0.0.171", false, false, false),
    ("192.0.2.0", "192.0.2.255", false, true, true),
    ("192.31.196.0", "192.31.196.255", true, true, true),
    ("192.52.193.0", "192.52.193.255", true, true, true),
    ("192.88.99.0", "192.88.99.255", false, true, true),
    ("192.168.0.0", "192.168.255.255", false, true, true),
    ("192.175.48.0", "192.175.48.255", true, true, true),
    ("198.18.0.0", "198.19.255.255", false, true, true),
    ("198.51.100.0", "198.51.100.255", false, true, true),
    ("203.0.113.0", "203.0.113.255", false, true, true),
    ("224.0.0.0", "239.255.255.255", false, true, false),
    ("240.0.0.0", "255.255.255.255", false, false, false),
    // IPv6
    ("::", "::ffff:ffff", false, false, true),
    ("::1", "::1", false, false, false),
    ("::ffff:0:0", "::ffff:ffff:ffff", false, true, true),
    (
        "64:ff9b:1::",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        true,
    ),
    ("100::", "100::ffff:ffff:ffff:ffff", false, true, false),
    (
        "100:0:0:1::",
        "100:0:0:1:ffff:ffff:ffff:ffff",
        false,
        false,
        true,
    ),
    (
        "2001::",
        "2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        false,
    ),
    ("2001:1::", "2001:1::", false, false, true),
    ("2001:1::1", "2001:1::3", true, false, false),
    (
        "2001:1::4",
        "2001:2:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        true,
    ),
    (
        "2001:2::",
        "2001:2:0:ffff:ffff:ffff:ffff:ffff",
        false,
        false,
        false,
    ),
    (
        "2001:3::",
        "2001:3:ffff:ffff:ffff:ffff:ffff:ffff",
        true,
        false,
        false,
    ),
    (
        "2001:4::",
        "2001:4:111:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        true,
    ),
    (
        "2001:4:112::",
        "2001:4:112:ffff:ffff:ffff:ffff:ffff",
        true,
        false,
        false,
    ),
    (
        "2001:4:113::",
        "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        true,
    ),
    (
        "2001:10::",
        "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        false,
        true,
    ),
    (
        "2001:20::",
        "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff",
        true,
        false,
        true,
    ),
    (
        "2001:30::",
        "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff",
        true,
        true,
        false,
    ),
    (
        "2001:40::",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        true,
    ),
    (
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        true,
    ),
    (
        "2002::",
        "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        true,
    ),
    (
        "2620:4f:8000::",
        "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
        true,
        true,
        true,
    ),
    (
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        true,
    ),
    (
        "5f00::",
        "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        true,
    ),
    (
        "fc00::",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        true,
    ),
    (
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        true,
        false,
    ),
    // Site-local addresses are in no registry, and still in use where nobody sees it.
    (
        "fec0::",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        false,
        false,
    ),
    (
        "ff00::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        false,
        false,
    ),
];

#[test]
fn the_edges_of_every_block_are_kept() {
    let mut cases = 0;
    for &(first, last, inside, before, behind) in EDGES {
        let (first, last) = (address(first), address(last));
        let middle = match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                Ipv4Addr::from(u32::from(a) + (u32::from(b) - u32::from(a)) / 2).into()
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                Ipv6Addr::from(u128::from(a) + (u128::from(b) - u128::from(a)) / 2).into()
            }
            _ => unreachable!("both ends of a row have one family"),
        };
        let mut rows = vec![(Some(first), inside), (Some(last), inside)];
        // The blocks that others are cut out of have other rules somewhere inside.
        if !matches!(first, IpAddr::V6(v6) if v6.segments()[0] == 0x2001 && v6.segments()[1] == 4) {
            rows.push((Some(middle), inside));
        }
        rows.push((step(first, false), before));
        rows.push((step(last, true), behind));
        for (address, expected) in rows {
            let Some(address) = address else { continue };
            assert_eq!(passes(address), expected, "{address} at {first} to {last}");
            cases += 1;
        }
    }
    assert!(cases >= 200, "{cases} cases");
}

#[test]
fn an_embedded_address_does_not_pass_by_its_wrapping() {
    let inner = [
        ("0.0.0.0", false),
        ("0.1.2.3", false),
        ("10.0.0.1", false),
        ("10.255.255.255", false),
        ("100.64.0.1", false),
        ("100.127.255.255", false),
        ("127.0.0.1", false),
        ("127.255.255.254", false),
        ("169.254.169.254", false),
        ("172.16.0.1", false),
        ("172.31.255.255", false),
        ("192.0.0.1", false),
        ("192.0.0.9", true),
        ("192.0.0.170", false),
        ("192.0.2.1", false),
        ("192.31.196.1", true),
        ("192.52.193.1", true),
        ("192.88.99.1", false),
        ("192.168.0.1", false),
        ("192.168.255.255", false),
        ("192.175.48.1", true),
        ("198.18.0.1", false),
        ("198.19.255.255", false),
        ("198.51.100.1", false),
        ("203.0.113.1", false),
        ("224.0.0.251", false),
        ("239.255.255.255", false),
        ("240.0.0.1", false),
        ("255.255.255.255", false),
        ("1.1.1.1", true),
        ("8.8.8.8", true),
        ("9.9.9.9", true),
        ("198.41.0.4", true),
        ("199.7.83.42", true),
    ];
    let mut cases = 0;
    for (v4, public) in inner {
        let v4: Ipv4Addr = v4.parse().unwrap();
        let [a, b, c, d] = v4.octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        let inverted = (!high, !low);
        let forms = [
            ([0, 0, 0, 0, 0, 0xffff, high, low], false, "IPv4-mapped"),
            ([0, 0, 0, 0, 0, 0, high, low], false, "IPv4-compatible"),
            ([0x64, 0xff9b, 0, 0, 0, 0, high, low], public, "NAT64"),
            ([0x64, 0xff9b, 1, 0, 0, 0, high, low], false, "local NAT64"),
            (
                [0x64, 0xff9b, 1, high, a, b << 8, low, 0],
                false,
                "local NAT64 with another prefix length",
            ),
            ([0x2002, high, low, 0, 0, 0, 0, 1], false, "6to4"),
            ([0x2001, 0, high, low, 0, 0, 0, 0], false, "Teredo server"),
            (
                [
                    0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, inverted.0, inverted.1,
                ],
                false,
                "Teredo client",
            ),
        ];
        for (groups, expected, form) in forms {
            let wrapped = Ipv6Addr::from(groups);
            assert_eq!(
                passes(wrapped.into()),
                expected,
                "{wrapped}: {form} of {v4}"
            );
            cases += 1;
        }
        assert_eq!(passes(v4.into()), public, "{v4} itself");
    }
    assert!(cases >= 200, "{cases} cases");
}

#[test]
fn every_row_of_the_registries_is_read() {
    assert_eq!((REGISTRIES.v4.len(), REGISTRIES.v6.len()), (25, 25));
}

#[test]
fn roles_and_settings_open_named_exceptions_only() {
    let filter = Filter {
        allow_special_use: false,
        own: BTreeSet::from([address("8.8.4.4"), address("2606:4700::5")]),
        blackholes: BTreeSet::from([BLACKHOLES[0]]),
    };
    let cases = [
        ("192.0.2.1", Role::Blackhole, Ok(()), "the control target"),
        (
            "192.0.2.1",
            Role::Child,
            Err(Withheld::SpecialUse),
            "the control target as glue",
        ),
        (
            "192.0.2.1",
            Role::Resolver,
            Err(Withheld::SpecialUse),
            "the control target as resolver",
        ),
        (
            "192.0.2.2",
            Role::Blackhole,
            Err(Withheld::SpecialUse),
            "its neighbour",
        ),
        (
            "2001:db8::1",
            Role::Blackhole,
            Err(Withheld::SpecialUse),
            "a target not switched on",
        ),
        (
            "8.8.8.8",
            Role::Blackhole,
            Err(Withheld::SpecialUse),
            "an address that may answer",
        ),
        (
            "8.8.4.4",
            Role::Child,
            Err(Withheld::OwnAddress),
            "this machine",
        ),
        (
            "2606:4700::5",
            Role::Root,
            Err(Withheld::OwnAddress),
            "this machine by IPv6",
        ),
        (
            "64:ff9b::8.8.4.4",
            Role::Child,
            Err(Withheld::OwnAddress),
            "this machine through NAT64",
        ),
        (
            "127.0.0.1",
            Role::Child,
            Err(Withheld::SpecialUse),
            "the loopback is special use first",
        ),
        ("8.8.8.8", Role::Child, Ok(()), "an ordinary address"),
    ];
    for (text, role, expected, why) in cases {
        let admitted = filter.admit(address(text), role);
        assert_eq!(
            admitted.map(|public| assert_eq!(public.address(), address(text))),
            expected,
            "{why}"
        );
    }
    let laboratory = Filter {
        allow_special_use: true,
        ..filter
    };
    for text in ["127.0.0.1", "8.8.4.4", "fe80::1", "192.0.2.1"] {
        assert!(
            laboratory.admit(address(text), Role::Child).is_ok(),
            "{text} in a laboratory"
        );
    }
}

/// A second opinion: walks over octets instead of shifting numbers, most special row first.
mod reference {
    use std::net::{Ipv4Addr, Ipv6Addr};

    pub(super) fn v4(address: Ipv4Addr) -> bool {
        match address.octets() {
            [192, 0, 0, 9 | 10] => true,
            [192, 0, 0 | 2, _] | [192, 88, 99, _] | [192, 168, ..] => false,
            [0 | 10 | 127 | 224..=255, ..] => false,
            [100, second, ..] => second >> 6 != 1,
            [169, 254, ..] => false,
            [172, second, ..] => !(16..32).contains(&second),
            [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => false,
            _ => true,
        }
    }

    pub(super) fn v6(address: Ipv6Addr) -> bool {
        match address.segments() {
            [0, 0, 0, 0, 0, 0 | 0xffff, ..] => false,
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                v4(Ipv4Addr::new(a, b, c, d))
            }
            [0x64, 0xff9b, 1, ..] => false,
            [0x100, 0, 0, 0 | 1, ..] => false,
            [0x2001, 1, 0, 0, 0, 0, 0, 1..=3] => true,
            [0x2001, 3, ..] | [0x2001, 4, 0x112, ..] => true,
            [0x2001, 0x20..=0x3f, ..] => true,
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] => false,
            [0x2002 | 0x5f00, ..] => false,
            [0x3fff, second, ..] => second >= 0x1000,
            [0xfc00..=0xfdff, ..] | [0xfe80..=0xffff, ..] => false,
            _ => true,
        }
    }
}

fn near_a_block() -> impl Strategy<Value = Ipv6Addr> {
    const UPPER: [u128; 14] = [
        0,
        0xffff << 32,
        0x64_ff9b << 96,
        0x64_ff9b_0001 << 80,
        0x100 << 112,
        0x2001 << 112,
        0x2001_0001 << 96,
        0x2001_0004_0112 << 80,
        0x2001_0020 << 96,
        0x2001_0db8 << 96,
        0x2002 << 112,
        0x3fff << 112,
        0x5f00 << 112,
        0xfe80 << 112,
    ];
    // All blocks of interest with anything in the lower bits, and one of the upper bits changed.
    (
        proptest::sample::select(&UPPER[..]),
        0..128_u32,
        any::<u128>(),
        proptest::option::of(0..128_u32),
    )
        .prop_map(|(upper, width, lower, flip)| {
            let mask = u128::MAX.checked_shr(width).unwrap_or(0);
            Ipv6Addr::from((upper | lower & mask) ^ flip.map_or(0, |bit| 1 << bit))
        })
}

proptest! {
    // 4 x 250,000 addresses; a run takes a second or two.
    #![proptest_config(ProptestConfig { cases: 250_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_ipv4_address_is_judged_as_the_reference_does(bits: u32) {
        let address = Ipv4Addr::from(bits);
        prop_assert_eq!(passes(address.into()), reference::v4(address), "{}", address);
    }

    #[test]
    fn any_ipv6_address_is_judged_as_the_reference_does(bits: u128) {
        let address = Ipv6Addr::from(bits);
        prop_assert_eq!(passes(address.into()), reference::v6(address), "{}", address);
    }

    #[test]
    fn addresses_near_special_blocks_are_judged_as_the_reference_does(address in near_a_block()) {
        prop_assert_eq!(passes(address.into()), reference::v6(address), "{}", address);
    }

    #[test]
    fn any_embedded_address_is_judged_as_the_reference_does(v4: u32, form in 0..4_usize) {
        let prefix = [0x64_ff9b << 96, 0xffff << 32, 0, 0x64_ff9b_0001 << 80][form];
        let address = Ipv6Addr::from(prefix | u128::from(v4));
        prop_assert_eq!(passes(address.into()), reference::v6(address), "{}", address);
    }
}
