//! The first link of the chain of trust: does a DS in the parent match a key of the zone
//! (RFC 4035, section 5.2; digests: RFC 4509, RFC 6605)?
//!
//! Signatures are not checked here. A DS whose algorithm or digest type no common validator
//! knows is as if it were not there (RFC 4035, section 5.2): the zone then counts as unsigned.

use std::collections::BTreeSet;

use bailiwick_core::{
    name::Name,
    record::{Dnskey, Ds},
};
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha384};

/// The flag that marks a zone key (RFC 4034, section 2.1.1).
const ZONE_KEY: u16 = 0x0100;
/// RSA, ECDSA and EdDSA (RFC 8624, section 3.1: what validators implement).
const ALGORITHMS: [u8; 8] = [5, 7, 8, 10, 13, 14, 15, 16];

/// Returns the DS records that a validator takes notice of.
pub(crate) fn known(ds: &BTreeSet<Ds>) -> impl Iterator<Item = &Ds> {
    ds.iter()
        .filter(|ds| ALGORITHMS.contains(&ds.algorithm) && matches!(ds.digest_type, 1 | 2 | 4))
}

/// Returns whether one of the keys is the one that a DS speaks of.
pub(crate) fn matches<'k>(
    zone: &Name,
    ds: &BTreeSet<Ds>,
    keys: impl IntoIterator<Item = &'k Dnskey>,
) -> bool {
    keys.into_iter()
        .any(|key| known(ds).any(|ds| is_digest(zone, ds, key)))
}

fn is_digest(zone: &Name, ds: &Ds, key: &Dnskey) -> bool {
    if key.flags & ZONE_KEY == 0 || ds.algorithm != key.algorithm || ds.key_tag != key.key_tag() {
        return false;
    }
    let data = [zone.to_wire(), key.to_wire()].concat();
    let digest: Vec<u8> = match ds.digest_type {
        1 => Sha1::digest(&data).to_vec(),
        2 => Sha256::digest(&data).to_vec(),
        4 => Sha384::digest(&data).to_vec(),
        _ => return false,
    };
    *digest == *ds.digest
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a key for tests, and a DS for it.
    pub(crate) fn pair(zone: &str, seed: u8) -> (Dnskey, Ds) {
        let zone: Name = zone.parse().unwrap();
        let key = Dnskey {
            flags: 257,
            protocol: 3,
            algorithm: 13,
            public_key: vec![seed; 64].into(),
        };
        let data = [zone.to_wire(), key.to_wire()].concat();
        let ds = Ds {
            key_tag: key.key_tag(),
            algorithm: 13,
            digest_type: 2,
            digest: Sha256::digest(&data).to_vec().into(),
        };
        (key, ds)
    }

    #[test]
    fn digests_are_those_of_the_standards() {
        // The examples of RFC 4034, section 5.4 (SHA-1) and RFC 4509, section 2.3 (SHA-256).
        let key = Dnskey {
            flags: 256,
            protocol: 3,
            algorithm: 5,
            public_key: base64(
                "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZ\
                 DRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9Xzc\
                 nOf+EPbtG9DMBmADjFDc2w/rljwvFw==",
            )
            .into(),
        };
        let zone: Name = "dskey.example.com.".parse().unwrap();
        let ds = |digest_type, digest: &str| Ds {
            key_tag: 60485,
            algorithm: 5,
            digest_type,
            digest: hex(digest).into(),
        };
        let sha1 = ds(1, "2BB183AF5F22588179A53B0A98631FAD1A292118");
        let sha256 = ds(
            2,
            "D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A",
        );
        for (ds, why) in [(&sha1, "SHA-1"), (&sha256, "SHA-256")] {
            assert!(
                matches(&zone, &BTreeSet::from([ds.clone()]), [&key]),
                "{why}"
            );
        }
        let other: Name = "other.example.com.".parse().unwrap();
        assert!(
            !matches(&other, &BTreeSet::from([sha256]), [&key]),
            "the owner is part of the digest"
        );
    }

    #[test]
    fn a_ds_that_nobody_understands_does_not_count() {
        let (key, ds) = pair("example.com.", 1);
        let cases = [
            (ds.clone(), 1, "plain"),
            (
                Ds {
                    digest_type: 3,
                    ..ds.clone()
                },
                0,
                "GOST digest",
            ),
            (
                Ds {
                    algorithm: 253,
                    ..ds.clone()
                },
                0,
                "a private algorithm",
            ),
        ];
        for (ds, count, why) in cases {
            assert_eq!(known(&BTreeSet::from([ds])).count(), count, "{why}");
        }
        let zone: Name = "example.com.".parse().unwrap();
        let not_a_zone_key = Dnskey { flags: 0, ..key };
        assert!(!matches(&zone, &BTreeSet::from([ds]), [&not_a_zone_key]));
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
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
