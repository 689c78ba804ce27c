//! Who vouches for whom: a root of ten years, an issuing authority of one, and certificates of
//! hours below it.
//!
//! A certificate is made for a public key alone. There is no request in which the holder could
//! ask for a name or an extension: all that is in the certificate is composed here. That the
//! caller holds the key is shown by a [`Proof`](crate::Proof), before.
//!
//! ```text
//!  root (10 years, may be kept elsewhere) ─▶ issuing (1 year) ─┬▶ server    30 days
//!                                                              ├▶ agent     24 hours
//!                                                              └▶ operator  12 hours
//! ```

use std::{
    fmt, fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use webpki::EndEntityCert;

use crate::{
    identity::{Kind, Name, Serial, TrustDomain},
    key::{Key, KeyError, KeyHash, Pin, PublicKey},
    private_file::{self, FileError},
    tls::Credentials,
    validity,
};

const DAY: Duration = Duration::from_secs(86_400);
const ROOT: Duration = DAY.saturating_mul(3_652);
const ISSUING: Duration = DAY.saturating_mul(365);
const SERVER: Duration = DAY.saturating_mul(30);
const AGENT: Duration = DAY;
const OPERATOR: Duration = Duration::from_secs(12 * 3_600);

/// Certificates begin so much before now, for clocks that are behind.
const BEFORE: Duration = Duration::from_secs(5 * 60);

/// Why a certificate cannot be made, or an authority not be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Keys and certificates in the folder do not belong together.
    #[error("{0} does not belong to the key beside it")]
    Mixed(&'static str),
    /// The key of the root is not here.
    #[error("the key of the root is kept elsewhere: put root.key back to renew the authority")]
    RootIsAway,
    /// The issuing authority has ended.
    #[error("the issuing authority ended; it must be renewed with the key of the root")]
    Ended,
    /// The clock is outside of what certificates can say.
    #[error("the clock of this machine is before 1970 or after 9000")]
    Clock,
    /// The library refused.
    #[error("cannot compose a certificate: {0}")]
    Compose(#[from] rcgen::Error),
}

/// A root with the issuing authority below it.
pub struct Authority {
    domain: TrustDomain,
    root: CertificateDer<'static>,
    /// None if it is kept elsewhere.
    root_key: Option<Key>,
    issuing: CertificateDer<'static>,
    issuing_key: Key,
    issuing_ends: SystemTime,
}

impl Authority {
    /// Makes a root and an issuing authority.
    ///
    /// # Errors
    ///
    /// Returns an error if the system gives no random numbers or an impossible time.
    pub fn create(domain: TrustDomain, now: SystemTime) -> Result<Self, AuthorityError> {
        let root_key = Key::generate()?;
        let root_params = authority(&domain, Level::Root, now)?;
        let root = root_params.self_signed(root_key.pair())?.der().clone();
        let (issuing, issuing_key, issuing_ends) = below(&domain, &root, &root_key, now)?;
        Ok(Self {
            domain,
            root,
            root_key: Some(root_key),
            issuing,
            issuing_key,
            issuing_ends,
        })
    }

    /// Makes a new issuing authority below the same root. Members and servers notice nothing.
    ///
    /// # Errors
    ///
    /// Returns [`AuthorityError::RootIsAway`] if the key of the root is not here.
    pub fn renew_issuing(&mut self, now: SystemTime) -> Result<(), AuthorityError> {
        let root_key = self.root_key.as_ref().ok_or(AuthorityError::RootIsAway)?;
        let (issuing, key, ends) = below(&self.domain, &self.root, root_key, now)?;
        self.issuing = issuing;
        self.issuing_key = key;
        self.issuing_ends = ends;
        Ok(())
    }

    /// Writes all into a folder that is open to its owner alone.
    ///
    /// # Errors
    ///
    /// Returns an error if the folder is open to others, has another root, or cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), AuthorityError> {
        private_file::folder(folder)?;
        let path = folder.join(ROOT_CERTIFICATE);
        if path.exists() && certificate(&path)? != self.root {
            return Err(FileError::Exists { path }.into());
        }
        if let Some(key) = &self.root_key {
            key.save(&folder.join(ROOT_KEY))?;
        }
        private_file::write(&path, pem(&self.root).as_bytes())?;
        // The certificate that lies beside the wrong key for a moment is noticed by `load`.
        self.issuing_key.save(&folder.join(ISSUING_KEY))?;
        let path = folder.join(ISSUING_CERTIFICATE);
        private_file::write(&path, pem(&self.issuing).as_bytes())?;
        Ok(())
    }

    /// Reads what [`Authority::save`] wrote. The key of the root may be missing.
    ///
    /// # Errors
    ///
    /// Returns an error if a file is open to others, missing, or does not belong to the rest.
    pub fn load(folder: &Path) -> Result<Self, AuthorityError> {
        private_file::folder(folder)?;
        let path = folder.join(ROOT_CERTIFICATE);
        let root = certificate(&path)?;
        let domain = domain_of(&root)
            .ok_or_else(|| FileError::content(&path, "the certificate of a Bailiwick root"))?;
        let path = folder.join(ROOT_KEY);
        let root_key = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            _ => Some(Key::load(&path)?),
        };
        let path = folder.join(ISSUING_CERTIFICATE);
        let issuing = certificate(&path)?;
        let issuing_key = Key::load(&folder.join(ISSUING_KEY))?;
        if root_key.as_ref().is_some_and(|key| !belongs(&root, key)) {
            return Err(AuthorityError::Mixed(ROOT_CERTIFICATE));
        }
        if !belongs(&issuing, &issuing_key) || domain_of(&issuing).as_ref() != Some(&domain) {
            return Err(AuthorityError::Mixed(ISSUING_CERTIFICATE));
        }
        let (_, issuing_ends) = validity::of(&issuing)
            .ok_or_else(|| FileError::content(&path, "the certificate of an authority"))?;
        Ok(Self {
            domain,
            root,
            root_key,
            issuing,
            issuing_key,
            issuing_ends,
        })
    }

    /// The name of all that this authority vouches for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// By which a newcomer knows this root.
    pub fn pin(&self) -> Pin {
        KeyHash::of_spki(&spki(&self.root).expect("the root was made or read by this type"))
    }

    /// The certificate of the root.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// When the issuing authority ends and must have been renewed.
    pub fn issuing_ends(&self) -> SystemTime {
        self.issuing_ends
    }

    /// Gives a member a certificate for a key: 24 hours for an agent, 12 for an operator, never
    /// longer than the authority itself.
    ///
    /// # Errors
    ///
    /// Returns [`AuthorityError::Ended`] if the authority itself has ended.
    pub fn issue(
        &self,
        kind: Kind,
        name: &Name,
        key: &PublicKey,
        now: SystemTime,
    ) -> Result<Issued, AuthorityError> {
        let life = match kind {
            Kind::Agent => AGENT,
            Kind::Operator => OPERATOR,
        };
        let uri = kind.uri(&self.domain, name).try_into()?;
        self.sign(
            name.as_str(),
            SanType::URI(uri),
            ExtendedKeyUsagePurpose::ClientAuth,
            key,
            life,
            now,
        )
    }

    /// Makes a key and a certificate of 30 days for a server of the trust domain.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Authority::issue`] does.
    pub fn server(&self, now: SystemTime) -> Result<ServerIdentity, AuthorityError> {
        let key = Key::generate()?;
        let name = self.domain.as_str();
        let issued = self.sign(
            name,
            SanType::DnsName(name.try_into()?),
            ExtendedKeyUsagePurpose::ServerAuth,
            &key.public(),
            SERVER,
            now,
        )?;
        Ok(ServerIdentity {
            domain: self.domain.clone(),
            not_after: issued.not_after,
            credentials: Credentials::new(issued.chain, &key),
            roots: vec![self.root.clone()],
        })
    }

    fn sign(
        &self,
        common_name: &str,
        name: SanType,
        usage: ExtendedKeyUsagePurpose,
        key: &PublicKey,
        life: Duration,
        now: SystemTime,
    ) -> Result<Issued, AuthorityError> {
        if now >= self.issuing_ends {
            return Err(AuthorityError::Ended);
        }
        let serial = serial()?;
        let not_after = whole_seconds(now + life)?.min(self.issuing_ends);
        let mut params = CertificateParams::default();
        params.not_before = calendar(now - BEFORE)?;
        params.not_after = calendar(not_after)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial.0));
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.subject_alt_names = vec![name];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        // The name and the key identifier are all that an issuer adds.
        let issuer_params = authority(&self.domain, Level::Issuing, now)?;
        let issuer = Issuer::from_params(&issuer_params, self.issuing_key.pair());
        let leaf = params.signed_by(key, &issuer)?;
        Ok(Issued {
            chain: vec![leaf.der().clone(), self.issuing.clone(), self.root.clone()],
            serial,
            not_after,
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("domain", &self.domain)
            .field("pin", &self.pin())
            .field("root_is_here", &self.root_key.is_some())
            .finish_non_exhaustive()
    }
}

/// A certificate that was just made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Leaf first, root last, as it is sent to the holder.
    pub chain: Vec<CertificateDer<'static>>,
    /// Of the leaf.
    pub serial: Serial,
    /// Its last second.
    pub not_after: SystemTime,
}

/// What a server shows, and whose clients it believes.
#[derive(Debug)]
pub struct ServerIdentity {
    pub(crate) domain: TrustDomain,
    pub(crate) credentials: Credentials,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// The last second of the certificate.
    pub not_after: SystemTime,
}

impl ServerIdentity {
    /// Certificate, chain and key.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Believes clients below a further root, too, while roots are exchanged.
    #[must_use]
    pub fn and_root(mut self, root: CertificateDer<'static>) -> Self {
        self.roots.push(root);
        self
    }
}

const ROOT_CERTIFICATE: &str = "root.pem";
const ROOT_KEY: &str = "root.key";
const ISSUING_CERTIFICATE: &str = "issuing.pem";
const ISSUING_KEY: &str = "issuing.key";

#[derive(Clone, Copy)]
enum Level {
    Root,
    Issuing,
}

/// What the certificate of an authority says. The name depends on the level and the trust domain
/// alone, so it is the same each time.
fn authority(
    domain: &TrustDomain,
    level: Level,
    now: SystemTime,
) -> Result<CertificateParams, AuthorityError> {
    let (name, below, life) = match level {
        Level::Root => ("Bailiwick root", 1, ROOT),
        Level::Issuing => ("Bailiwick issuing authority", 0, ISSUING),
    };
    let mut params = CertificateParams::default();
    params.not_before = calendar(now - BEFORE)?;
    params.not_after = calendar(now + life)?;
    params.serial_number = Some(SerialNumber::from_slice(&serial()?.0));
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, domain.as_str());
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![SanType::URI(format!("{AUTHORITY}{domain}").try_into()?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// How the subject alternative name of an authority begins; the trust domain follows. No member's
/// name can look so: there a word and a name follow the trust domain.
const AUTHORITY: &str = "bailiwick://";

fn below(
    domain: &TrustDomain,
    root: &CertificateDer<'_>,
    root_key: &Key,
    now: SystemTime,
) -> Result<(CertificateDer<'static>, Key, SystemTime), AuthorityError> {
    let (_, root_ends) = validity::of(root).ok_or(AuthorityError::Mixed(ROOT_CERTIFICATE))?;
    if now >= root_ends {
        return Err(AuthorityError::Ended);
    }
    let ends = whole_seconds(now + ISSUING)?.min(root_ends);
    let key = Key::generate()?;
    let mut params = authority(domain, Level::Issuing, now)?;
    params.not_after = calendar(ends)?;
    params.use_authority_key_identifier_extension = true;
    let root_params = authority(domain, Level::Root, now)?;
    let issuer = Issuer::from_params(&root_params, root_key.pair());
    let certificate = params.signed_by(key.pair(), &issuer)?;
    Ok((certificate.der().clone(), key, ends))
}

/// A random serial number. Its first two bits are 01, so that it is positive and always 16 octets
/// long; 126 bits are random.
fn serial() -> Result<Serial, KeyError> {
    let mut octets = [0; 16];
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| KeyError::NoRandom)?;
    octets[0] = octets[0] & 0x3f | 0x40;
    Ok(Serial(octets))
}

fn whole_seconds(moment: SystemTime) -> Result<SystemTime, AuthorityError> {
    let seconds = since_1970(moment)?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn calendar(moment: SystemTime) -> Result<time::OffsetDateTime, AuthorityError> {
    Ok(rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(since_1970(moment)?))
}

fn since_1970(moment: SystemTime) -> Result<u64, AuthorityError> {
    let seconds = moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| AuthorityError::Clock)?
        .as_secs();
    // 9000-01-01: what follows may not fit into four digits of a year.
    (seconds < 221_845_392_000)
        .then_some(seconds)
        .ok_or(AuthorityError::Clock)
}

/// SubjectPublicKeyInfo of a certificate.
pub(crate) fn spki(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let read = EndEntityCert::try_from(certificate).ok()?;
    Some(read.subject_public_key_info().as_ref().to_vec())
}

fn belongs(certificate: &CertificateDer<'_>, key: &Key) -> bool {
    spki(certificate).is_some_and(|spki| spki == key.public().spki())
}

fn domain_of(authority: &CertificateDer<'_>) -> Option<TrustDomain> {
    let read = EndEntityCert::try_from(authority).ok()?;
    let mut names = read.valid_uri_names();
    let domain = names.next()?.strip_prefix(AUTHORITY)?.parse().ok()?;
    names.next().is_none().then_some(domain)
}

fn certificate(path: &Path) -> Result<CertificateDer<'static>, FileError> {
    CertificateDer::from_pem_slice(&private_file::read(path)?)
        .map_err(|_| FileError::content(path, "a certificate in PEM"))
}

/// RFC 7468, section 5.
pub(crate) fn pem(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let base64 = data_encoding::BASE64.encode(certificate);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
