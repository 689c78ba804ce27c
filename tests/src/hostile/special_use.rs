//! T8: name servers at addresses that are not globally reachable, so that
//! whoever follows asks its own machine, its neighbours or a metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names::{self, CHECKERS, host};
use super::realm::Realm;
use super::{Expected, Plan, Seed, play};
use crate::internet::zone::address_records;

/// Addresses that nobody may be sent to (IANA special-purpose registries, and
/// forms that embed such IPv4 addresses).
const ADDRESSES: [&str; 45] = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.254",
    "169.254.169.254",
    "169.254.0.1",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.1",
    "192.0.2.53",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.254",
    "198.18.0.1",
    "198.19.255.254",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.251",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:db8::53",
    "2002:7f00:1::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::fb",
    "fec0::1",
    OWN,
];

/// Stands for the addresses of all vantage points, one of which asks.
const OWN: &str = "own";

/// Where the address is published.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// As glue at the registry, beside a good name server.
    Registry,
    /// As glue at the registry, and nothing else.
    RegistryAlone,
    /// As glue at a parent of the attacker's.
    Parent,
    /// In the zone alone; the glue is good.
    Zone,
    /// For a name server in another zone.
    Outside,
    /// For a name server in another zone, behind an alias.
    Alias,
}

const PLACES: [Place; 6] = [
    Place::Registry,
    Place::RegistryAlone,
    Place::Parent,
    Place::Zone,
    Place::Outside,
    Place::Alias,
];

pub(super) fn shapes() -> usize {
    ADDRESSES.len() * PLACES.len()
}

pub(super) fn plan(mut seed: Seed) -> Plan {
    let place = seed.pick(&PLACES);
    let address = seed.pick(&ADDRESSES);
    let com = seed.apex("", "com");
    let net = seed.apex("", "net");
    let bad = |name: &str| bad_host(name, address);

    let good = format!("@ NS ns1\n@ NS ns2\n{}", host("ns1", 0));
    let glue = match place {
        Place::Registry | Place::Parent => good.clone() + &bad("ns2"),
        Place::RegistryAlone => "@ NS ns2\n".to_owned() + &bad("ns2"),
        Place::Zone => good.clone() + &host("ns2", 1),
        Place::Outside => format!("@ NS ns1\n@ NS bad.{net}\n{}", host("ns1", 0)),
        Place::Alias => format!("@ NS ns1\n@ NS alias.{net}\n{}", host("ns1", 0)),
    };
    let zone = if place == Place::Parent {
        seed.apex("z", "com")
    } else {
        com.clone()
    };
    let own = match place {
        Place::Outside | Place::Alias => glue.clone(),
        _ => good + &bad("ns2"),
    };
    let mut realm = Realm::default();
    realm.serve(&zone, &[0, 1], &own);
    let others = bad("bad") + "alias CNAME bad\n";
    realm.serve(&net, &[0, 1], &(names::two_hosts([0, 1]) + &others));
    let checked = format!("y.{zone}");
    let (target, realm) = if place == Place::Parent {
        // The zone that is checked is one further down, below the attacker's.
        let below = glue
            .replace("@ NS ns", "y NS ns")
            .replace("NS ns1\n", "NS ns1.y\n")
            .replace("NS ns2\n", "NS ns2.y\n")
            .replace("\nns1 ", "\nns1.y ")
            .replace("\nns2 ", "\nns2.y ");
        let mut realm = Realm::default();
        realm.serve(&zone, &[2], &format!("@ NS ns1\n{}{below}", host("ns1", 2)));
        realm.serve(&checked, &[0, 1], &own);
        (checked, realm)
    } else {
        (zone.clone(), realm)
    };
    let about = format!("{address}, published by the {place:?}");
    let plan = Plan::check(
        &seed,
        &target,
        about,
        play(move |asked| realm.answer(asked)),
    );
    let plan = if place == Place::Parent {
        plan.registered(&zone, &format!("@ NS ns1\n{}", host("ns1", 2)))
    } else {
        plan.registered(&zone, &glue)
    };
    if address == OWN {
        // To the other vantage points it is an address like any other.
        return plan;
    }
    plan.expecting(Expected {
        findings: match place {
            Place::Registry | Place::RegistryAlone | Place::Parent => {
                vec!["glue-special-use-address"]
            }
            _ => vec![],
        },
        states: match place {
            Place::RegistryAlone => vec!["BROKEN"],
            Place::Registry | Place::Parent => vec!["DEGRADED"],
            _ => vec![],
        },
        ..Expected::default()
    })
}

/// Writes the address records of a name server.
fn bad_host(name: &str, address: &str) -> String {
    if let Ok(address) = address.parse() {
        return address_records(name, &[address]);
    }
    // Nobody looks at more than four addresses of a name and family.
    let half = |from: u8, to: u8| -> Vec<IpAddr> { (from..to).flat_map(names::checker).collect() };
    address_records(name, &half(0, 4)) + "@ NS ns3\n" + &address_records("ns3", &half(4, CHECKERS))
}

/// Returns whether no packet may go to an address. It is written without the
/// registries' files, as a second opinion to the program's own.
#[must_use]
pub(super) fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_special_v4(address),
        IpAddr::V6(address) => is_special_v6(address),
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || matches!(
            (a, b, c),
            (0 | 224..=255, ..)
                | (100, 64..=127, _)
                | (192, 0, 0)
                | (192, 88, 99)
                | (198, 18 | 19, _)
        )
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    let [.., a, b, c, d] = address.octets();
    let embedded = Ipv4Addr::new(a, b, c, d);
    match address.segments() {
        // Mapped and NAT64: as good as the address inside.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_special_v4(embedded),
        [0..=0xff, ..] | [0x100, 0, 0, 0..=1, ..] => true,
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002 | 0x5f00, ..] => true,
        [0x3fff, 0..=0xfff, ..] => true,
        // Unique local, link-local, site-local and multicast.
        [0xfc00..=0xffff, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_the_attack_are_special_and_those_of_the_hosts_are_not() {
        for address in ADDRESSES.into_iter().filter(|address| *address != OWN) {
            assert!(is_special(address.parse().unwrap()), "{address}");
        }
        let public = [
            "198.41.0.4",
            "2001:503:ba3e::2:30",
            "8.8.8.8",
            "2620:fe::fe",
        ];
        for address in public {
            assert!(!is_special(address.parse().unwrap()), "{address}");
        }
        for address in names::addresses() {
            assert!(!is_special(address), "{address}");
        }
    }
}
