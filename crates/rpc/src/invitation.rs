//! One string with all that a newcomer needs.
//!
//! ```text
//!  bw1.<where>.<token>.<secret>.<pin>.<checksum>
//!       │        │       │       │     └ 40 bits: a slip of the hand is told from a wrong token
//!       │        │       │       └ SHA-256 of the root's key: whom to believe before sending
//!       │        │       └ 128 bits, worth one enrolment
//!       │        └ 80 bits, names the token
//!       └ [<trust domain>/]<host:port>[,<host:port>...], the default domain left out
//! ```
//!
//! All parts are base32 (RFC 4648, section 6) in lower case without padding: no character needs
//! quoting in a shell, and dots and colons of hosts are hidden.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    str::FromStr,
};

use data_encoding::BASE32_NOPAD;
use ring::{
    digest::{SHA256, digest},
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    identity::TrustDomain,
    key::{KeyError, Pin},
    private_file::{self, FileError},
};

const VERSION: &str = "bw1";
/// Longest string that is read, in octets, and most hosts in it.
const LONGEST: usize = 4096;
const MOST_HOSTS: usize = 16;

/// Why a string is no invitation. Each says what can be done.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// It begins with something else.
    #[error("not a join string: it begins with \"bw1.\", as `bailiwick agents invite` prints it")]
    Other,
    /// It is of a later version.
    #[error("join string of version {0}, this program knows bw1: use a newer program")]
    Version(String),
    /// Parts are missing or there are too many.
    #[error("join string with {found} parts instead of 6: copy the whole string once more")]
    Parts {
        /// How many there are.
        found: usize,
    },
    /// A letter was changed.
    #[error("the checksum of the join string does not fit: copy the whole string once more")]
    Checksum,
    /// A part is not what it should be although the checksum fits.
    #[error("the {part} of the join string is not {wanted}: ask for a new invitation")]
    Part {
        /// Which part.
        part: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// The string is absurdly long.
    #[error("join string of more than {LONGEST} octets")]
    Long,
}

/// Where a coordinator listens.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HostPort {
    /// A name or an address.
    pub host: String,
    /// TCP.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<Ipv6Addr>() {
            Ok(_) => write!(f, "[{}]:{}", self.host, self.port),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for HostPort {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, JoinError> {
        let bad = JoinError::Part {
            part: "address of the coordinator",
            wanted: "a host and a port, such as coordinator.example.org:8443 or [2001:db8::1]:8443",
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| bad.clone())?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(inner) => inner
                .parse::<Ipv6Addr>()
                .ok()
                .map(|address| address.to_string()),
            None => is_name_or_v4(host).then(|| host.to_ascii_lowercase()),
        };
        match (host, port) {
            (Some(host), Some(port)) => Ok(Self { host, port }),
            _ => Err(bad),
        }
    }
}

fn is_name_or_v4(host: &str) -> bool {
    let name = !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|o| o.is_ascii_alphanumeric() || matches!(o, b'-' | b'.' | b'_'));
    name && !matches!(host.parse(), Ok(IpAddr::V6(_)))
}

/// Names a token. It is no secret.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TokenId(pub [u8; 10]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32(&self.0))
    }
}

impl FromStr for TokenId {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, JoinError> {
        octets(text, "token", "80 bits").map(Self)
    }
}

/// What makes a token worth something. It is never shown and never stored as it is.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Reads a secret as it came in a request.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }

    /// To be sent, on a connection that has proved its pin.
    pub(crate) fn reveal(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// With which stored tokens are made and compared. It is not in the store.
pub struct TokenKey(hmac::Key, Zeroizing<[u8; 32]>);

impl TokenKey {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::NoRandom`] if the system gives no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        random().map(Self::of)
    }

    /// Reads a key as [`TokenKey::save`] wrote it.
    ///
    /// # Errors
    ///
    /// Returns an error if others can read the file, or it holds something else.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let octets = Zeroizing::new(private_file::read(path)?);
        let octets = <[u8; 32]>::try_from(octets.as_slice())
            .map_err(|_| FileError::content(path, "a key of 32 octets"))?;
        Ok(Self::of(octets))
    }

    /// Writes the key where only the owner can read it.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written durably.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        private_file::write(path, &*self.1)
    }

    /// What is stored of a token: HMAC-SHA-256 over its identifier and secret.
    pub fn mac(&self, token: &TokenId, secret: &Secret) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.0, &*macced(token, secret)).as_ref());
        mac
    }

    /// Whether a secret is that of a stored token. Takes equally long whatever differs.
    pub fn verify(&self, token: &TokenId, secret: &Secret, stored: &[u8]) -> bool {
        hmac::verify(&self.0, &*macced(token, secret), stored).is_ok()
    }

    fn of(octets: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &octets), octets.into())
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(not shown)")
    }
}

fn macced(token: &TokenId, secret: &Secret) -> Zeroizing<[u8; 26]> {
    let mut whole = Zeroizing::new([0; 26]);
    whole[..10].copy_from_slice(&token.0);
    whole[10..].copy_from_slice(&secret.0);
    whole
}

/// All that a newcomer needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invitation {
    /// The name that the coordinator must have.
    pub trust_domain: TrustDomain,
    /// Where it listens; at least one.
    pub hosts: Vec<HostPort>,
    /// Which token.
    pub token: TokenId,
    /// What makes it worth something.
    pub secret: Secret,
    /// The root that must vouch for the coordinator.
    pub pin: Pin,
}

impl Invitation {
    /// Makes an invitation with a new token and secret.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::NoRandom`] if the system gives no random numbers.
    pub fn new(
        trust_domain: TrustDomain,
        hosts: Vec<HostPort>,
        pin: Pin,
    ) -> Result<Self, KeyError> {
        Ok(Self {
            trust_domain,
            hosts,
            token: TokenId(random()?),
            secret: Secret(random()?),
            pin,
        })
    }

    /// The string for the newcomer. It is as secret as its secret.
    pub fn to_join(&self) -> Zeroizing<String> {
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        let mut place = hosts.join(",");
        if self.trust_domain != TrustDomain::default() {
            place = format!("{}/{place}", self.trust_domain);
        }
        let signed = Zeroizing::new(format!(
            "{VERSION}.{}.{}.{}.{}",
            base32(place.as_bytes()),
            self.token,
            *Zeroizing::new(base32(&self.secret.0)),
            base32(&self.pin.0),
        ));
        Zeroizing::new(format!("{}.{}", *signed, checksum(&signed)))
    }
}

impl FromStr for Invitation {
    type Err = JoinError;

    /// Reads a join string. White space around it and capitals do not matter.
    fn from_str(text: &str) -> Result<Self, JoinError> {
        if text.len() > LONGEST {
            return Err(JoinError::Long);
        }
        let text = Zeroizing::new(text.trim().to_ascii_lowercase());
        let parts: Vec<&str> = text.split('.').collect();
        match parts[0] {
            VERSION => {}
            other if is_version(other) => return Err(JoinError::Version(other.to_owned())),
            _ => return Err(JoinError::Other),
        }
        let [_, place, token, secret, pin, sum] = parts[..] else {
            return Err(JoinError::Parts { found: parts.len() });
        };
        if checksum(&text[..text.len() - sum.len() - 1]) != sum {
            return Err(JoinError::Checksum);
        }
        let (trust_domain, hosts) = read_place(place)?;
        Ok(Self {
            trust_domain,
            hosts,
            token: token.parse()?,
            secret: Secret(octets(secret, "secret", "128 bits")?),
            pin: crate::key::KeyHash(octets(pin, "pin", "256 bits")?),
        })
    }
}

fn is_version(text: &str) -> bool {
    text.strip_prefix("bw")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|o| o.is_ascii_digit()))
}

fn read_place(part: &str) -> Result<(TrustDomain, Vec<HostPort>), JoinError> {
    let bad = |wanted| JoinError::Part {
        part: "address of the coordinator",
        wanted,
    };
    let place = BASE32_NOPAD
        .decode(part.to_ascii_uppercase().as_bytes())
        .ok()
        .and_then(|octets| String::from_utf8(octets).ok())
        .ok_or_else(|| bad("readable"))?;
    let (domain, hosts) = match place.split_once('/') {
        Some((domain, hosts)) => {
            let domain = domain
                .parse()
                .map_err(|_| bad("below a trust domain that can be"))?;
            (domain, hosts)
        }
        None => (TrustDomain::default(), place.as_str()),
    };
    let hosts: Vec<HostPort> = hosts.split(',').map(str::parse).collect::<Result<_, _>>()?;
    if hosts.len() > MOST_HOSTS {
        return Err(bad("of at most 16 hosts"));
    }
    Ok((domain, hosts))
}

fn octets<const N: usize>(
    text: &str,
    part: &'static str,
    wanted: &'static str,
) -> Result<[u8; N], JoinError> {
    BASE32_NOPAD
        .decode(text.to_ascii_uppercase().as_bytes())
        .ok()
        .and_then(|octets| octets.try_into().ok())
        .ok_or(JoinError::Part { part, wanted })
}

fn base32(octets: &[u8]) -> String {
    let mut text = BASE32_NOPAD.encode(octets);
    text.make_ascii_lowercase();
    text
}

/// 40 bits of a hash: enough to notice a slip of the hand. Against forgery stands the pin.
fn checksum(text: &str) -> String {
    base32(&digest(&SHA256, text.as_bytes()).as_ref()[..5])
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut octets = [0; N];
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| KeyError::NoRandom)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invitation(hosts: &[&str]) -> Invitation {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Invitation::new(TrustDomain::default(), hosts, crate::key::KeyHash([9; 32])).unwrap()
    }

    #[test]
    fn a_join_string_is_read_as_it_was_written() {
        let mut elsewhere = invitation(&["192.0.2.1:1"]);
        elsewhere.trust_domain = "dns.example.org".parse().unwrap();
        let cases = [
            invitation(&["coordinator.example.org:8443"]),
            invitation(&["[2001:db8::1]:8443", "192.0.2.1:65535", "a:1"]),
            elsewhere,
        ];
        for invitation in cases {
            let text = invitation.to_join();
            assert_eq!(text.parse(), Ok(invitation.clone()), "{}", *text);
            let shouted = format!("  {}\n", text.to_ascii_uppercase());
            assert_eq!(shouted.parse(), Ok(invitation), "{shouted:?}");
            assert!(
                text.bytes().all(|o| o.is_ascii_alphanumeric() || o == b'.'),
                "needs no quoting: {}",
                *text
            );
        }
    }

    #[test]
    fn errors_say_which_part_and_what_to_do() {
        let text = invitation(&["a.test:1"]).to_join();
        let part = |at: usize, new: &str| {
            let mut parts: Vec<&str> = text.split('.').take(5).collect();
            parts[at] = new;
            let signed = parts.join(".");
            format!("{signed}.{}", checksum(&signed))
        };
        let cases = [
            (String::new(), "begins with \"bw1.\""),
            ("hello".to_owned(), "begins with \"bw1.\""),
            (text.replace("bw1", "bw2"), "use a newer program"),
            (text.rsplit_once('.').unwrap().0.to_owned(), "5 parts"),
            (format!("{}.a", *text), "7 parts"),
            (text[..text.len() - 1].to_owned(), "checksum"),
            (part(1, "me"), "address of the coordinator"),
            (part(1, &base32(b"a.test")), "a host and a port"),
            (part(1, &base32(b"a.test:0")), "a host and a port"),
            (part(1, &base32(b"a.test:65536")), "a host and a port"),
            (part(1, &base32(b"2001:db8::1:80")), "a host and a port"),
            (part(1, &base32(b"UPPER/a.test:1")), "trust domain"),
            (part(1, &base32(&b"a:1,".repeat(17)[..67])), "at most 16"),
            (part(2, "aa"), "token"),
            (part(3, "1"), "secret"),
            (part(4, &base32(&[0; 31])), "pin"),
            ("x".repeat(5000), "4096"),
        ];
        for (text, wanted) in cases {
            let error = text.parse::<Invitation>().unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn any_other_letter_is_noticed() {
        let text = invitation(&["a.test:1"]).to_join();
        for at in 4..text.len() {
            for new in *b"a7.z" {
                let mut octets = text.as_bytes().to_vec();
                if octets[at] != new {
                    octets[at] = new;
                    let changed = String::from_utf8(octets).unwrap();
                    assert!(changed.parse::<Invitation>().is_err(), "{at}: {changed}");
                }
            }
        }
    }

    #[test]
    fn what_is_stored_of_a_token_fits_it_alone() {
        let key = TokenKey::generate().unwrap();
        let one = invitation(&["a.test:1"]);
        let two = invitation(&["a.test:1"]);
        let mac = key.mac(&one.token, &one.secret);
        assert!(key.verify(&one.token, &one.secret, &mac));
        assert!(!key.verify(&one.token, &two.secret, &mac));
        assert!(!key.verify(&two.token, &one.secret, &mac));
        assert!(!key.verify(&one.token, &one.secret, &mac[..31]));
        assert!(!key.verify(&one.token, &one.secret, &[]));
        let another = TokenKey::generate().unwrap();
        assert!(!another.verify(&one.token, &one.secret, &mac));
    }

    #[test]
    fn secrets_are_not_shown() {
        let invitation = invitation(&["a.test:1"]);
        let shown = format!("{invitation:?} {:?}", TokenKey::generate().unwrap());
        assert!(shown.contains("Secret(not shown)") && shown.contains("TokenKey(not shown)"));
        assert!(!shown.contains(&base32(invitation.secret.reveal())));
    }

    proptest! {
        #[test]
        fn anything_may_be_typed(text in "(bw1\\.)?[ -~]{0,80}") {
            let _ = text.parse::<Invitation>();
        }
    }
}
