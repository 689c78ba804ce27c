//! Who is at the other end of a connection, as the connection itself shows it.
//!
//! No message names its sender. A handler asks [`Caller::of`] instead: the name is in the
//! certificate whose chain was verified, or the kernel says which user opened the socket.

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc, time::SystemTime};

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::{key::KeyHash, key::PublicKey, validity};

/// Longest name of an agent or operator, in octets: that of a DNS label.
const LONGEST_NAME: usize = 63;

/// The name of everything that one root vouches for, also that of its servers in TLS: a domain
/// name in lower case.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TrustDomain {
    /// `bailiwick.internal`, for whoever runs one coordinator.
    fn default() -> Self {
        Self(Arc::from("bailiwick.internal"))
    }
}

impl FromStr for TrustDomain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let labels_are_good = text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|o| matches!(o, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        });
        // The last label must not be a number, or it could be taken for an address.
        let last_is_a_number = text
            .rsplit('.')
            .next()
            .is_some_and(|label| label.bytes().all(|o| o.is_ascii_digit()));
        if labels_are_good && !last_is_a_number && text.len() <= 253 {
            Ok(Self(Arc::from(text)))
        } else {
            Err(NameError::TrustDomain)
        }
    }
}

/// The name of an agent or operator within its trust domain.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(Arc<str>);

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let edge = |o: u8| matches!(o, b'a'..=b'z' | b'0'..=b'9');
        let octets = text.as_bytes();
        let good = octets.len() <= LONGEST_NAME
            && octets.iter().all(|o| edge(*o) || *o == b'-' || *o == b'.')
            && octets.first().is_some_and(|o| edge(*o))
            && octets.last().is_some_and(|o| edge(*o));
        if good {
            Ok(Self(Arc::from(text)))
        } else {
            Err(NameError::Name)
        }
    }
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// Not a trust domain.
    #[error("a trust domain is a domain name in lower case, such as bailiwick.internal")]
    TrustDomain,
    /// Not the name of an agent or operator.
    #[error("a name is 1 to 63 of a-z, 0-9, \"-\" and \".\", with a letter or digit at each end")]
    Name,
}

macro_rules! shown_as_text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}
shown_as_text! { TrustDomain Name }

/// Which kind of member a certificate is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A vantage point.
    Agent,
    /// Somebody who asks for checks.
    Operator,
}

impl Kind {
    /// Its word in the name of a certificate.
    pub fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Operator => "operator",
        }
    }

    /// The subject alternative name of a member.
    pub(crate) fn uri(self, domain: &TrustDomain, name: &Name) -> String {
        format!("bailiwick://{domain}/{}/{name}", self.word())
    }
}

/// The serial number of a certificate.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Serial(pub [u8; 16]);

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// What a verified certificate says of its holder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certified {
    /// As enrolled.
    pub name: Name,
    /// Of the key that was used.
    pub key: KeyHash,
    /// Of the certificate.
    pub serial: Serial,
    /// The last second of the certificate, by the clock of this machine.
    pub not_after: SystemTime,
}

/// Who is at the other end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Peer {
    /// Nobody known: no certificate was shown.
    Nobody,
    /// An agent.
    Agent(Certified),
    /// An operator from elsewhere.
    Operator(Certified),
    /// A process of this machine, as the kernel knows it.
    Local {
        /// Effective user when it connected.
        uid: u32,
        /// Effective group when it connected.
        gid: u32,
        /// Process, if the kernel says.
        pid: Option<i32>,
    },
}

impl Peer {
    /// Reads who holds a certificate.
    ///
    /// The chain must have been verified. None if the certificate is not one that an
    /// [`Authority`](crate::Authority) of the trust domain gives to a member.
    pub(crate) fn certified(
        domain: &TrustDomain,
        certificate: &CertificateDer<'_>,
    ) -> Option<Self> {
        let read = EndEntityCert::try_from(certificate).ok()?;
        let mut names = read.valid_uri_names();
        let (Some(uri), None) = (names.next(), names.next()) else {
            return None;
        };
        let path = uri
            .strip_prefix("bailiwick://")?
            .strip_prefix(domain.as_str())?
            .strip_prefix('/')?;
        let (word, name) = path.split_once('/')?;
        let certified = Certified {
            name: name.parse().ok()?,
            key: PublicKey::from_spki(read.subject_public_key_info().as_ref())
                .ok()?
                .hash(),
            serial: Serial(read.serial().try_into().ok()?),
            not_after: validity::of(certificate)?.1,
        };
        match word {
            "agent" => Some(Self::Agent(certified)),
            "operator" => Some(Self::Operator(certified)),
            _ => None,
        }
    }

    /// The certificate's content, if the peer has one.
    pub fn certificate(&self) -> Option<&Certified> {
        match self {
            Self::Agent(certified) | Self::Operator(certified) => Some(certified),
            Self::Nobody | Self::Local { .. } => None,
        }
    }

    pub(crate) fn is_a(&self, kind: Kind) -> bool {
        match self {
            Self::Agent(_) => kind == Kind::Agent,
            Self::Operator(_) => kind == Kind::Operator,
            Self::Nobody | Self::Local { .. } => false,
        }
    }
}

/// 32 octets that only the two ends of one TLS connection know (RFC 8446, section 7.5).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Exporter(pub(crate) [u8; 32]);

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter(not shown)")
    }
}

/// A connection from the side of the server: who called, and from where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub peer: Peer,
    /// From where; None for a unix socket.
    pub source: Option<SocketAddr>,
    /// For [`Proof::verify`](crate::Proof::verify); None for a unix socket.
    pub exporter: Option<Exporter>,
}

impl Caller {
    /// Returns who sent a request.
    ///
    /// # Errors
    ///
    /// Returns `INTERNAL` if the request did not come through a listener of this crate.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self, tonic::Status> {
        request
            .extensions()
            .get::<Arc<Self>>()
            .map(|caller| &**caller)
            .ok_or_else(|| tonic::Status::internal("the connection does not say who called"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        let long = "a".repeat(63);
        let good = ["a", "fra-1", "fra-1.example", "7", &long];
        for text in good {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
        let longer = "a".repeat(64);
        let bad = [
            "", "-a", "a-", ".a", "a.", "A", "a b", "a/b", "ä", "a_b", "a\n", "a\0", &longer,
        ];
        for text in bad {
            assert_eq!(text.parse::<Name>(), Err(NameError::Name), "{text:?}");
        }
    }

    #[test]
    fn a_trust_domain_is_a_domain_name() {
        for text in ["bailiwick.internal", "a", "x-1.example", "1.example"] {
            assert_eq!(text.parse::<TrustDomain>().unwrap().as_str(), text);
        }
        let bad = [
            "",
            ".",
            "a.",
            "a..b",
            "-a.b",
            "a-.b",
            "A.b",
            "192.0.2.1",
            "a/b",
            "a:1",
            "*.b",
        ];
        for text in bad {
            assert_eq!(
                text.parse::<TrustDomain>(),
                Err(NameError::TrustDomain),
                "{text:?}"
            );
        }
    }
}
