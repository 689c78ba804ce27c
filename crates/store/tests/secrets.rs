//! T33: whoever reads the store or a backup of it learns no secret.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

use bailiwick_core::{time::Timestamp, vantage::VantageId};
use bailiwick_store::{
    Audit, KeyHash, Location, NewToken, Redemption, Refusal, Scope, TokenId, open,
};
use bailiwick_wire::report::hash;

/// HMAC-SHA-256 (RFC 2104).
fn mac(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block
            .iter_mut()
            .zip(key)
            .for_each(|(octet, key)| *octet ^= key);
        block.to_vec()
    };
    let inner = hash(&[padded(0x36), text.to_vec()].concat());
    hash(&[padded(0x5c), inner.to_vec()].concat())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Base 32 as in tokens (RFC 4648, lower case, no padding).
fn base32(octets: &[u8]) -> String {
    let bits: Vec<u8> = octets
        .iter()
        .flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1))
        .collect();
    bits.chunks(5)
        .map(|five| {
            let value = five.iter().fold(0, |sum, bit| sum << 1 | bit) << (5 - five.len());
            char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(value)])
        })
        .collect()
}

/// Looks for octets. The standard library's search of texts is quick even in tests, so each octet
/// is made a character.
struct Heap(String);

fn text(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}

impl Heap {
    fn has(&self, octets: &[u8]) -> bool {
        self.0.contains(&text(octets))
    }
}

#[tokio::test]
async fn no_secret_is_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("store.db"));
    let store = open(&location).await.unwrap();
    let server_key = hash(b"the key of the server");
    let secrets: Vec<[u8; 16]> = (0..100_u8)
        .map(|n| hash(&[n, 1])[..16].try_into().unwrap())
        .collect();
    for (number, secret) in (0..).zip(&secrets) {
        let token = NewToken {
            id: TokenId([number; 10]),
            mac: mac(&server_key, secret),
            scope: Scope::Agent {
                name: VantageId(format!("agent-{number}")),
                labels: BTreeSet::new(),
                from: None,
                approve: false,
            },
            created: Timestamp(1),
            expires: Timestamp(9),
        };
        let audit = Audit {
            at: Timestamp(1),
            who: "uid 0".to_owned(),
            what: format!("invite agent-{number}"),
            request: hash(&[number]),
            result: "done".to_owned(),
        };
        store.create_token(&token, &audit).await.unwrap();
        // Half are used; some are tried with a secret that is almost right.
        let shown = if number % 3 == 0 { &secrets[0] } else { secret };
        let redemption = Redemption {
            token: token.id,
            mac: mac(&server_key, shown),
            key: KeyHash(hash(
                secret.iter().rev().copied().collect::<Vec<u8>>().as_slice(),
            )),
            at: Timestamp(2),
        };
        if number % 2 == 0 {
            let redeemed = store.redeem(&redemption).await;
            let refused = Err(Refusal::WrongSecret.into());
            let right = shown == secret;
            assert_eq!(
                redeemed.map(|redeemed| redeemed.again),
                if right { Ok(false) } else { refused }
            );
        }
        assert!(!format!("{token:?}{redemption:?}").contains(&format!("{:?}", token.mac)));
    }
    let files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(
        files.len(),
        3,
        "the database, its log and its index: {files:?}"
    );
    let mut octets = Vec::new();
    for file in &files {
        octets.extend(fs::read(file).unwrap());
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let heap = Heap(text(&octets));
    let wanted = mac(&server_key, &secrets[0]);
    assert!(heap.has(&wanted), "this way of looking finds things");
    assert!(heap.has(b"agent-99"));
    for secret in secrets
        .iter()
        .chain([&server_key[..16].try_into().unwrap()])
    {
        for text in [hex(secret), base32(secret)] {
            assert!(!heap.has(text.as_bytes()), "{text}");
            assert!(!heap.has(text.to_uppercase().as_bytes()), "{text}");
        }
        assert!(!heap.has(secret), "{}", hex(secret));
    }
}
