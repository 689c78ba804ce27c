//! Resource records, as far as a checker of delegations reads them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use crate::name::Name;

/// A record type (RFC 1035, section 3.2.2; IANA "Resource Record (RR) TYPEs").
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct RecordType(pub u16);

impl RecordType {
    /// IPv4 address (RFC 1035).
    pub const A: Self = Self(1);
    /// Name server (RFC 1035).
    pub const NS: Self = Self(2);
    /// Alias (RFC 1035).
    pub const CNAME: Self = Self(5);
    /// Start of authority (RFC 1035).
    pub const SOA: Self = Self(6);
    /// Pointer (RFC 1035).
    pub const PTR: Self = Self(12);
    /// Mail exchange (RFC 1035).
    pub const MX: Self = Self(15);
    /// Text (RFC 1035).
    pub const TXT: Self = Self(16);
    /// IPv6 address (RFC 3596).
    pub const AAAA: Self = Self(28);
    /// Service (RFC 2782).
    pub const SRV: Self = Self(33);
    /// Alias of a subtree (RFC 6672).
    pub const DNAME: Self = Self(39);
    /// Delegation signer (RFC 4034).
    pub const DS: Self = Self(43);
    /// Signature (RFC 4034).
    pub const RRSIG: Self = Self(46);
    /// Denial of existence (RFC 4034).
    pub const NSEC: Self = Self(47);
    /// Zone key (RFC 4034).
    pub const DNSKEY: Self = Self(48);
    /// Hashed denial of existence (RFC 5155).
    pub const NSEC3: Self = Self(50);
    /// Service binding for HTTPS (RFC 9460).
    pub const HTTPS: Self = Self(65);
    /// Certification authority authorisation (RFC 8659).
    pub const CAA: Self = Self(257);
    /// Any type; a question only (RFC 8482).
    pub const ANY: Self = Self(255);

    const MNEMONICS: [(Self, &'static str); 18] = [
        (Self::A, "A"),
        (Self::NS, "NS"),
        (Self::CNAME, "CNAME"),
        (Self::SOA, "SOA"),
        (Self::PTR, "PTR"),
        (Self::MX, "MX"),
        (Self::TXT, "TXT"),
        (Self::AAAA, "AAAA"),
        (Self::SRV, "SRV"),
        (Self::DNAME, "DNAME"),
        (Self::DS, "DS"),
        (Self::RRSIG, "RRSIG"),
        (Self::NSEC, "NSEC"),
        (Self::DNSKEY, "DNSKEY"),
        (Self::NSEC3, "NSEC3"),
        (Self::HTTPS, "HTTPS"),
        (Self::CAA, "CAA"),
        (Self::ANY, "ANY"),
    ];
}

impl fmt::Display for RecordType {
    /// Writes the mnemonic, else `TYPE` and the number (RFC 3597, section 5).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::MNEMONICS.iter().find(|(known, _)| known == self) {
            Some((_, mnemonic)) => f.write_str(mnemonic),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// A text that names no record type.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown record type {text:?}; use a mnemonic such as A or NS, or TYPE and a number")]
pub struct UnknownRecordType {
    /// What was given.
    pub text: String,
}

impl FromStr for RecordType {
    type Err = UnknownRecordType;

    fn from_str(text: &str) -> Result<Self, UnknownRecordType> {
        let upper = text.to_ascii_uppercase();
        Self::MNEMONICS
            .iter()
            .find(|(_, mnemonic)| *mnemonic == upper)
            .map(|(known, _)| *known)
            .or_else(|| upper.strip_prefix("TYPE")?.parse().ok().map(Self))
            .ok_or_else(|| UnknownRecordType {
                text: text.to_owned(),
            })
    }
}

/// A time to live in seconds, 0 to 2^31 - 1 (RFC 2181, section 8).
pub type Ttl = u32;

/// The start of authority (RFC 1035, section 3.3.13).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Soa {
    /// The primary name server.
    pub mname: Name,
    /// The mailbox of the person responsible.
    pub rname: Name,
    /// The version of the zone (serial arithmetic: RFC 1982).
    pub serial: u32,
    /// Seconds between two looks of a secondary.
    pub refresh: u32,
    /// Seconds between tries after a failure.
    pub retry: u32,
    /// Seconds until a secondary gives up.
    pub expire: u32,
    /// Seconds that an absence may be cached (RFC 2308, section 4).
    pub minimum: u32,
}

/// A delegation signer (RFC 4034, section 5).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Ds {
    /// Key tag of the DNSKEY.
    pub key_tag: u16,
    /// Algorithm of the DNSKEY.
    pub algorithm: u8,
    /// Digest type: 1 SHA-1, 2 SHA-256, 4 SHA-384.
    pub digest_type: u8,
    /// Digest over owner name and key data.
    pub digest: Box<[u8]>,
}

/// A zone key (RFC 4034, section 2).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Dnskey {
    /// Flags; 0x0100 marks a zone key.
    pub flags: u16,
    /// Always 3.
    pub protocol: u8,
    /// Algorithm.
    pub algorithm: u8,
    /// Key material.
    pub public_key: Box<[u8]>,
}

impl Dnskey {
    /// Returns the data as on the wire.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = self.flags.to_be_bytes().to_vec();
        wire.extend([self.protocol, self.algorithm]);
        wire.extend_from_slice(&self.public_key);
        wire
    }

    /// Returns the key tag (RFC 4034, appendix B; algorithm 1 is out of use and not special here).
    #[must_use]
    pub fn key_tag(&self) -> u16 {
        let sum = self
            .to_wire()
            .iter()
            .enumerate()
            .fold(0_u32, |sum, (at, &octet)| {
                let octet = u32::from(octet);
                sum.wrapping_add(if at % 2 == 0 { octet << 8 } else { octet })
            });
        u16::try_from((sum + (sum >> 16)) & 0xffff).unwrap_or(0)
    }
}

/// What a record says.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A name server.
    Ns(Name),
    /// An alias.
    Cname(Name),
    /// An alias of a subtree.
    Dname(Name),
    /// The start of authority.
    Soa(Soa),
    /// Character strings.
    Txt(Vec<Box<[u8]>>),
    /// A delegation signer.
    Ds(Ds),
    /// A zone key.
    Dnskey(Dnskey),
    /// Any other type, as the octets of its data with names expanded.
    Other(RecordType, Box<[u8]>),
}

impl RecordData {
    /// Returns the type.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::AAAA,
            Self::Ns(_) => RecordType::NS,
            Self::Cname(_) => RecordType::CNAME,
            Self::Dname(_) => RecordType::DNAME,
            Self::Soa(_) => RecordType::SOA,
            Self::Txt(_) => RecordType::TXT,
            Self::Ds(_) => RecordType::DS,
            Self::Dnskey(_) => RecordType::DNSKEY,
            Self::Other(record_type, _) => *record_type,
        }
    }

    /// Returns the address of an A or AAAA record.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::A(address) => Some((*address).into()),
            Self::Aaaa(address) => Some((*address).into()),
            _ => None,
        }
    }
}

impl From<IpAddr> for RecordData {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::A(address),
            IpAddr::V6(address) => Self::Aaaa(address),
        }
    }
}

impl fmt::Display for RecordData {
    /// Writes presentation form; no octet below 0x20 or above 0x7e appears.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
            Self::Ns(name) | Self::Cname(name) | Self::Dname(name) => write!(f, "{name}"),
            Self::Soa(soa) => write!(
                f,
                "{} {} {} {} {} {} {}",
                soa.mname, soa.rname, soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum
            ),
            Self::Txt(strings) => {
                for (at, string) in strings.iter().enumerate() {
                    if at > 0 {
                        f.write_str(" ")?;
                    }
                    write!(f, "\"{}\"", Escaped(string))?;
                }
                Ok(())
            }
            Self::Ds(ds) => {
                write!(f, "{} {} {} ", ds.key_tag, ds.algorithm, ds.digest_type)?;
                hex(f, &ds.digest)
            }
            Self::Dnskey(key) => {
                // The key itself tells a reader nothing; its tag does.
                write!(f, "{} {} {} ", key.flags, key.protocol, key.algorithm)?;
                hex(f, &key.public_key)
            }
            Self::Other(_, data) => {
                write!(f, "\\# {}", data.len())?;
                if !data.is_empty() {
                    f.write_str(" ")?;
                }
                hex(f, data)
            }
        }
    }
}

fn hex(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

/// Octets of foreign origin, printed so that no terminal or parser can be misled.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&octet| match octet {
            b'"' | b'\\' => write!(f, "\\{}", char::from(octet)),
            0x20..=0x7e => write!(f, "{}", char::from(octet)),
            _ => write!(f, "\\{octet:03}"),
        })
    }
}

/// A resource record of class IN, or of class CH where a server was asked about itself.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Record {
    /// The owner.
    pub name: Name,
    /// How long a cache may keep it.
    pub ttl: Ttl,
    /// What it says.
    pub data: RecordData,
}

impl Record {
    /// Returns the type.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        self.data.record_type()
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} IN {} {}",
            self.name,
            self.ttl,
            self.record_type(),
            self.data
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_types_are_read_and_printed() {
        for text in ["A", "NS", "DNSKEY", "TYPE64000"] {
            assert_eq!(text.parse::<RecordType>().unwrap().to_string(), text);
        }
        assert_eq!("aaaa".parse::<RecordType>(), Ok(RecordType::AAAA));
        assert_eq!("TYPE1".parse::<RecordType>(), Ok(RecordType::A));
        assert!(
            "TYPE70000".parse::<RecordType>().is_err(),
            "types have 16 bits"
        );
    }

    #[test]
    fn foreign_octets_cannot_reach_a_terminal() {
        let text = RecordData::Txt(vec![b"\x1b[31m\r\"=cmd\\\x00\xff".to_vec().into()]);
        assert_eq!(text.to_string(), r#""\027[31m\013\"=cmd\\\000\255""#);
    }

    #[test]
    fn key_tag_is_that_of_the_standard() {
        // The example of RFC 4034, section 5.4: key tag 60485.
        let key = "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZ\
                   DRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9Xzc\
                   nOf+EPbtG9DMBmADjFDc2w/rljwvFw==";
        let key = Dnskey {
            flags: 256,
            protocol: 3,
            algorithm: 5,
            public_key: base64(key).into(),
        };
        assert_eq!(key.key_tag(), 60485);
    }

    fn base64(text: &str) -> Vec<u8> {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits: Vec<u8> = text
            .bytes()
            .filter_map(|c| DIGITS.iter().position(|&d| d == c))
            .flat_map(|value| (0..6).rev().map(move |bit| u8::from(value >> bit & 1 == 1)))
            .collect();
        bits.chunks_exact(8)
            .map(|octet| octet.iter().fold(0, |sum, bit| sum << 1 | bit))
            .collect()
    }
}
