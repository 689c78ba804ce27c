//! Which network an address belongs to, by the operator's own table.
//!
//! One line for each network: prefix, autonomous system, and, if known, the registry of its
//! region. `#` begins a comment.
//!
//! ```text
//! 192.0.2.0/24    64500  ripe
//! 2001:db8::/32   64500
//! ```

use std::{net::IpAddr, str::FromStr};

use bailiwick_core::place::{Asn, Place, Rir};

/// A range of addresses by its prefix (RFC 4632).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Returns whether an address is in it. Addresses of the other family are not.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let differing = u32::from(net) ^ u32::from(address);
                differing.leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let differing = u128::from(net) ^ u128::from(address);
                differing.leading_zeros() >= u32::from(self.length)
            }
            _ => false,
        }
    }
}

/// A text is no prefix.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no network, such as 192.0.2.0/24 or 2001:db8::/32")]
pub(crate) struct NoNetwork(String);

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let parsed = text.split_once('/').and_then(|(address, length)| {
            let address: IpAddr = address.parse().ok()?;
            let length = length.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            (length <= most).then_some(Self { address, length })
        });
        parsed.ok_or_else(|| NoNetwork(text.to_owned()))
    }
}

/// The operator's table.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<(Network, Asn, Option<Rir>)>);

/// A line of the table cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadLine {
    line: usize,
    why: String,
}

impl FromStr for Networks {
    type Err = BadLine;

    fn from_str(text: &str) -> Result<Self, BadLine> {
        let mut networks = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let bad = |why: String| BadLine {
                line: number + 1,
                why,
            };
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<_> = line.split_whitespace().collect();
            let (network, asn, rir) = match words[..] {
                [] => continue,
                [network, asn] => (network, asn, None),
                [network, asn, rir] => (network, asn, Some(rir)),
                _ => return Err(bad("a network, a number and perhaps a region".to_owned())),
            };
            networks.push((
                network.parse().map_err(|e: NoNetwork| bad(e.to_string()))?,
                asn.parse::<Asn>().map_err(|e| bad(e.to_string()))?,
                rir.map(str::parse)
                    .transpose()
                    .map_err(|e: bailiwick_core::place::PlaceError| bad(e.to_string()))?,
            ));
        }
        Ok(Self(networks))
    }
}

impl Networks {
    /// Writes into a place what the table says of an address. Returns whether the place said
    /// something else before.
    pub(crate) fn locate(&self, address: IpAddr, place: &mut Place) -> bool {
        let of = self.0.iter().filter(|(net, ..)| net.contains(address));
        let Some((_, asn, rir)) = of.max_by_key(|(net, ..)| net.length) else {
            return false;
        };
        let contradicts = place.asn.is_some_and(|said| said != *asn)
            || (rir.is_some() && place.rir.is_some() && place.rir != *rir);
        place.asn = Some(*asn);
        place.rir = rir.or(place.rir);
        contradicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let table = "# ours\n192.0.2.0/24 64500 ripe\n192.0.2.128/25 AS64501 # a part\n\n2001:db8::/32 64502 apnic\n";
        let networks: Networks = table.parse().unwrap();
        let cases = [
            ("192.0.2.1", Some(64_500), Some(Rir::Ripe)),
            ("192.0.2.129", Some(64_501), None),
            ("::ffff:192.0.2.1", Some(64_500), Some(Rir::Ripe)),
            ("2001:db8:1::1", Some(64_502), Some(Rir::Apnic)),
            ("192.0.3.1", None, None),
        ];
        for (address, asn, rir) in cases {
            let mut place = Place::of_labels([]).unwrap();
            networks.locate(address.parse().unwrap(), &mut place);
            assert_eq!((place.asn, place.rir), (asn.map(Asn), rir), "{address}");
        }
    }

    #[test]
    fn a_label_that_the_table_contradicts_is_told() {
        let networks: Networks = "192.0.2.0/24 64500 ripe".parse().unwrap();
        let cases = [
            (vec!["asn=64500", "rir=ripe"], false),
            (vec!["asn=64501"], true),
            (vec!["rir=apnic"], true),
            (vec![], false),
        ];
        for (labels, expected) in cases {
            let mut place = Place::of_labels(labels.iter().copied()).unwrap();
            let contradicts = networks.locate("192.0.2.1".parse().unwrap(), &mut place);
            assert_eq!(contradicts, expected, "{labels:?}");
            assert_eq!(place.asn, Some(Asn(64_500)), "the address decides");
        }
    }

    #[test]
    fn what_is_no_table_is_told_by_line() {
        let cases = [
            ("192.0.2.0 64500", 1),
            ("\n192.0.2.0/33 64500", 2),
            ("192.0.2.0/24 many", 1),
            ("192.0.2.0/24 1 nowhere", 1),
            ("192.0.2.0/24", 1),
        ];
        for (text, line) in cases {
            assert_eq!(text.parse::<Networks>().unwrap_err().line, line, "{text:?}");
        }
    }
}
