//! Showing on one connection that one holds a key.
//!
//! The signature covers what it is for, the trust domain, and keying material that only the two
//! ends of this TLS connection have. So it is worth nothing on another connection, for another
//! purpose or in another trust domain, and nobody has to keep a nonce.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use crate::{
    agent,
    identity::{Exporter, TrustDomain},
    key::{Key, KeyError, PublicKey},
};

/// What a proof is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The key becomes a member.
    Enrol,
    /// The key is one, and wants a new certificate.
    Renew,
}

impl Purpose {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Enrol => b"bailiwick-enrol-v1",
            Self::Renew => b"bailiwick-renew-v1",
        }
    }
}

/// Why a proof shows nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadProof {
    /// It is not there.
    #[error("no proof of a key")]
    Missing,
    /// The key is of another kind.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature is of another key, purpose, trust domain or connection.
    #[error("the signature does not fit key, purpose and connection")]
    Signature,
}

/// A proof as it travels: [`agent::Proof`].
pub struct Proof;

impl Proof {
    /// Proves on the connection of `exporter` that one holds `key`.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::NoRandom`] if the system gives no random numbers.
    pub fn make(
        key: &Key,
        purpose: Purpose,
        domain: &TrustDomain,
        exporter: &Exporter,
    ) -> Result<agent::Proof, KeyError> {
        let signature = key.sign(&signed(purpose, domain, exporter))?;
        Ok(agent::Proof {
            public_key: key.public().spki().to_vec().into(),
            signature: signature.into(),
        })
    }

    /// Returns the key that the caller holds.
    ///
    /// # Errors
    ///
    /// Returns [`BadProof`] if this is not shown for this purpose on this connection.
    pub fn verify(
        proof: Option<&agent::Proof>,
        purpose: Purpose,
        domain: &TrustDomain,
        exporter: &Exporter,
    ) -> Result<PublicKey, BadProof> {
        let proof = proof.ok_or(BadProof::Missing)?;
        let key = PublicKey::from_spki(&proof.public_key)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.point())
            .verify(&signed(purpose, domain, exporter), &proof.signature)
            .map_err(|_| BadProof::Signature)?;
        Ok(key)
    }
}

/// The octets that are signed. Each part has a length of its own or an end that cannot be part of
/// it, so that no two triples give the same octets.
fn signed(purpose: Purpose, domain: &TrustDomain, exporter: &Exporter) -> Vec<u8> {
    [
        purpose.word(),
        &[0],
        domain.as_str().as_bytes(),
        &[0],
        &exporter.0,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_for_one_key_purpose_domain_and_connection() {
        let key = Key::generate().unwrap();
        let other = Key::generate().unwrap();
        let domain: TrustDomain = "a.test".parse().unwrap();
        let elsewhere: TrustDomain = "b.test".parse().unwrap();
        let here = Exporter([7; 32]);
        let mut near = here;
        near.0[31] ^= 1;
        let good = Proof::make(&key, Purpose::Enrol, &domain, &here).unwrap();
        let verify = |proof: &agent::Proof, purpose, domain: &_, exporter: &_| {
            Proof::verify(Some(proof), purpose, domain, exporter)
        };
        assert_eq!(
            verify(&good, Purpose::Enrol, &domain, &here),
            Ok(key.public())
        );
        let mut another_key = good.clone();
        another_key.public_key = other.public().spki().to_vec().into();
        let mut off_the_curve = good.clone();
        let mut spki = key.public().spki().to_vec();
        spki[90] ^= 1;
        off_the_curve.public_key = spki.into();
        let mut cut = good.clone();
        cut.signature.truncate(cut.signature.len() - 1);
        let mut empty = good.clone();
        empty.signature = Vec::new().into();
        let cases = [
            (&good, Purpose::Renew, &domain, &here, "another purpose"),
            (&good, Purpose::Enrol, &elsewhere, &here, "another domain"),
            (&good, Purpose::Enrol, &domain, &near, "another connection"),
            (&another_key, Purpose::Enrol, &domain, &here, "another key"),
            (
                &off_the_curve,
                Purpose::Enrol,
                &domain,
                &here,
                "no point of the curve",
            ),
            (&cut, Purpose::Enrol, &domain, &here, "half a signature"),
            (&empty, Purpose::Enrol, &domain, &here, "no signature"),
        ];
        for (proof, purpose, domain, exporter, why) in cases {
            let result = verify(proof, purpose, domain, exporter);
            assert_eq!(result, Err(BadProof::Signature), "{why}");
        }
        let missing = Proof::verify(None, Purpose::Enrol, &domain, &here);
        assert_eq!(missing, Err(BadProof::Missing));
    }
}
