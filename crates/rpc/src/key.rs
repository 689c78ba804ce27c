//! Keys: ECDSA on P-256 everywhere, known by the SHA-256 of their public half.

use std::{fmt, path::Path};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey};
use ring::digest::{SHA256, digest};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::private_file::{self, FileError};

/// What precedes the point in each SubjectPublicKeyInfo of an uncompressed point on P-256
/// (RFC 5480, section 2). Every such key has one form, so its hash is its name.
const SPKI_OF_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Octets of an uncompressed point.
const POINT: usize = 65;

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// The public key is not an uncompressed point on P-256.
    #[error("not a public key of ECDSA on P-256")]
    NotP256,
    /// The private key cannot be read.
    #[error("not a private key of ECDSA on P-256 in PKCS #8")]
    Unreadable,
    /// The system gave no random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// A private key with its public half. It never leaves the machine that made it.
pub struct Key {
    pair: KeyPair,
}

impl Key {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::NoRandom`] if the system gives no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let pair =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| KeyError::NoRandom)?;
        Ok(Self { pair })
    }

    /// Reads a key as [`Key::save`] wrote it.
    ///
    /// # Errors
    ///
    /// Returns an error if others than the owner can read the file, or if it holds no such key.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let text = Zeroizing::new(private_file::read(path)?);
        std::str::from_utf8(&text)
            .ok()
            .and_then(|text| {
                KeyPair::from_pkcs8_pem_and_sign_algo(text, &PKCS_ECDSA_P256_SHA256).ok()
            })
            .map(|pair| Self { pair })
            .ok_or_else(|| FileError::content(path, "a private key of ECDSA on P-256 in PKCS #8"))
    }

    /// Writes the key where only the owner can read it: PKCS #8 in PEM.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written durably.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        let text = Zeroizing::new(self.pair.serialize_pem());
        private_file::write(path, text.as_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let mut spki = SPKI_OF_P256.to_vec();
        spki.extend_from_slice(self.pair.public_key_raw());
        PublicKey { spki }
    }

    /// Signs with ECDSA and SHA-256; the signature is in DER.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::NoRandom`] if the system gives no random numbers.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.pair.sign(message).map_err(|_| KeyError::NoRandom)
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    pub(crate) fn for_tls(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pair.serialize_der()).into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, private half not shown)", self.public().hash())
    }
}

/// The public half of a key.
#[derive(Clone, Eq, PartialEq)]
pub struct PublicKey {
    /// SubjectPublicKeyInfo in DER.
    spki: Vec<u8>,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// Whether the point is on the curve is seen when a signature is verified.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::NotP256`] for any other kind of key.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        match spki.strip_prefix(&SPKI_OF_P256) {
            Some([0x04, rest @ ..]) if rest.len() == POINT - 1 => Ok(Self {
                spki: spki.to_vec(),
            }),
            _ => Err(KeyError::NotP256),
        }
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// By which the key is known.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of_spki(&self.spki)
    }

    pub(crate) fn point(&self) -> &[u8] {
        &self.spki[SPKI_OF_P256.len()..]
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.hash())
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        self.point()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// SHA-256 of a SubjectPublicKeyInfo.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    pub(crate) fn of_spki(spki: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, spki).as_ref());
        Self(hash)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// The hash of the key of a root, by which a newcomer knows the right one.
pub type Pin = KeyHash;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_form() {
        let key = Key::generate().unwrap();
        let public = key.public();
        assert_eq!(PublicKey::from_spki(public.spki()), Ok(public.clone()));
        assert_eq!(
            rcgen::PublicKeyData::subject_public_key_info(key.pair()),
            public.spki(),
            "as the library writes it"
        );
        let spki = public.spki();
        let mut compressed = spki.to_vec();
        compressed[26] = 0x02;
        let mut other_curve = spki.to_vec();
        other_curve[22] = 0x22;
        let cases: [(&[u8], &str); 5] = [
            (&[], "nothing"),
            (&spki[..90], "an octet short"),
            (&[spki, &[0]].concat(), "an octet more"),
            (&compressed, "a compressed point"),
            (&other_curve, "P-384"),
        ];
        for (spki, why) in cases {
            assert_eq!(PublicKey::from_spki(spki), Err(KeyError::NotP256), "{why}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = Key::generate().unwrap();
        let shown = format!("{key:?}");
        let wanted = format!("Key({}, private half not shown)", key.public().hash());
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_key_is_kept_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = folder.path().join("agent.key");
        let key = Key::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Key::load(&path).unwrap().public(), key.public());
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = Key::load(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{mode:o}: {error}");
        }
    }
}
