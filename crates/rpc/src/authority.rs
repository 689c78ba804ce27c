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

/// How long certificates live.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lives {
    /// Of an agent: a day.
    pub agent: Duration,
    /// Of an operator: half a day.
    pub operator: Duration,
    /// Of a server: 30 days.
    pub server: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            agent: DAY,
            operator: DAY / 2,
            server: DAY.saturating_mul(30),
        }
    }
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
    lives: Lives,
    /// Roots that are believed, too, while roots are exchanged.
    beside: Vec<CertificateDer<'static>>,
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
            lives: Lives::default(),
            beside: Vec::new(),
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

    /// Makes a new issuing authority if the one that is there has lived half of its life. Returns
    /// whether it did.
    ///
    /// # Errors
    ///
    /// As [`Authority::renew_issuing`].
    pub fn renew_issuing_in_time(&mut self, now: SystemTime) -> Result<bool, AuthorityError> {
        if now + ISSUING / 2 < self.issuing_ends {
            return Ok(false);
        }
        self.renew_issuing(now)?;
        Ok(true)
    }

    /// Writes all into a folder that is open to its owner alone. If it is interrupted, what is
    /// there is the authority before or this one.
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
        let path = folder.join(ISSUING_CERTIFICATE);
        let before = match path.exists() {
            true => certificates(&path)?,
            false => Vec::new(),
        };
        // Whichever key lies beside them, its certificate is there.
        let both: String = [&self.issuing]
            .into_iter()
            .chain(&before)
            .map(pem)
            .collect();
        private_file::write(&path, both.as_bytes())?;
        self.issuing_key.save(&folder.join(ISSUING_KEY))?;
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
        let issuing = certificates(&path)?;
        let issuing_key = Key::load(&folder.join(ISSUING_KEY))?;
        if root_key.as_ref().is_some_and(|key| !belongs(&root, key)) {
            return Err(AuthorityError::Mixed(ROOT_CERTIFICATE));
        }
        let mut issuing = issuing.into_iter();
        let issuing = issuing
            .find(|one| belongs(one, &issuing_key) && domain_of(one).as_ref() == Some(&domain))
            .ok_or(AuthorityError::Mixed(ISSUING_CERTIFICATE))?;
        let (_, issuing_ends) = validity::of(&issuing)
            .ok_or_else(|| FileError::content(&path, "the certificate of an authority"))?;
        Ok(Self {
            domain,
            root,
            root_key,
            issuing,
            issuing_key,
            issuing_ends,
            lives: Lives::default(),
            beside: Vec::new(),
        })
    }

    /// Lets a further root be believed, too, while roots are exchanged: by the servers of this
    /// authority, and by all that are told of [`Authority::roots`].
    #[must_use]
    pub fn beside(mut self, root: CertificateDer<'static>) -> Self {
        self.beside.push(root);
        self
    }

    /// Lets certificates live shorter than they would. Longer is not possible.
    #[must_use]
    pub fn shortened(mut self, lives: Lives) -> Self {
        self.lives = Lives {
            agent: self.lives.agent.min(lives.agent),
            operator: self.lives.operator.min(lives.operator),
            server: self.lives.server.min(lives.server),
        };
        self
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

    /// The certificates of all roots that are to be believed, that of this one first.
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        [&self.root]
            .into_iter()
            .chain(&self.beside)
            .cloned()
            .collect()
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
            Kind::Agent => self.lives.agent,
            Kind::Operator => self.lives.operator,
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
            self.lives.server,
            now,
        )?;
        Ok(ServerIdentity {
            domain: self.domain.clone(),
            not_after: issued.not_after,
            credentials: Credentials::new(issued.chain, &key),
            roots: self.roots(),
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

/// All certificates of a file, which has one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let octets = private_file::read(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    read.ok()
        .filter(|all| !all.is_empty())
        .ok_or_else(|| FileError::content(path, "a certificate in PEM"))
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;
    use webpki::{ALL_VERIFICATION_ALGS, KeyUsage, anchor_from_trusted_cert};

    use super::*;
    use crate::identity::Peer;

    fn now() -> SystemTime {
        SystemTime::now()
    }

    fn authority() -> Authority {
        Authority::create("a.test".parse().unwrap(), now()).unwrap()
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn agent(authority: &Authority, now: SystemTime) -> Issued {
        let key = Key::generate().unwrap();
        authority
            .issue(Kind::Agent, &name("fra-1"), &key.public(), now)
            .unwrap()
    }

    /// Whether a chain is good for a use at a moment, by the library that servers use.
    fn good(
        authority: &Authority,
        chain: &[CertificateDer<'_>],
        usage: KeyUsage,
        at: SystemTime,
    ) -> Result<(), webpki::Error> {
        let anchor = anchor_from_trusted_cert(&authority.root).unwrap();
        let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        EndEntityCert::try_from(&chain[0])?
            .verify_for_usage(
                ALL_VERIFICATION_ALGS,
                &[anchor],
                &chain[1..],
                rustls::pki_types::UnixTime::since_unix_epoch(at),
                usage,
                None,
                None,
            )
            .map(|_| ())
    }

    #[test]
    fn a_certificate_lives_as_long_as_it_should_and_is_for_one_use() {
        let authority = authority();
        let (now, minute) = (now(), Duration::from_secs(60));
        let key = Key::generate().unwrap().public();
        let member = |kind| authority.issue(kind, &name("a"), &key, now).unwrap().chain;
        let server = authority.server(now).unwrap().credentials.chain().to_vec();
        let client = KeyUsage::client_auth;
        let cases = [
            (member(Kind::Agent), client(), 24 * 60, "an agent: a day"),
            (
                member(Kind::Operator),
                client(),
                12 * 60,
                "an operator: half a day",
            ),
            (
                server,
                KeyUsage::server_auth(),
                30 * 24 * 60,
                "a server: 30 days",
            ),
        ];
        for (chain, usage, minutes, why) in cases {
            let good_at = |at| good(&authority, &chain, usage, at).is_ok();
            assert!(good_at(now), "{why}");
            assert!(good_at(now - 4 * minute), "{why}");
            assert!(!good_at(now - 6 * minute), "{why}");
            assert!(good_at(now + (minutes - 1) * minute), "{why}");
            assert!(!good_at(now + (minutes + 1) * minute), "{why}");
            let other = match minutes {
                43_200 => KeyUsage::client_auth(),
                _ => KeyUsage::server_auth(),
            };
            assert!(good(&authority, &chain, other, now).is_err(), "{why}");
        }
    }

    #[test]
    fn a_certificate_says_who_and_nothing_else() {
        let authority = authority();
        let domain = authority.trust_domain();
        let key = Key::generate().unwrap().public();
        let issued = authority
            .issue(Kind::Agent, &name("fra-1"), &key, now())
            .unwrap();
        let read = EndEntityCert::try_from(&issued.chain[0]).unwrap();
        let names: Vec<_> = read.valid_uri_names().collect();
        assert_eq!(names, ["bailiwick://a.test/agent/fra-1"]);
        assert_eq!(read.valid_dns_names().count(), 0);
        let Some(Peer::Agent(certified)) = Peer::certified(domain, &issued.chain[0]) else {
            panic!("not an agent");
        };
        assert_eq!(certified.name, name("fra-1"));
        assert_eq!(certified.key, key.hash());
        assert_eq!(certified.serial, issued.serial);
        assert_eq!(certified.not_after, issued.not_after);
        let elsewhere = "a.tes".parse().unwrap();
        assert_eq!(Peer::certified(&elsewhere, &issued.chain[0]), None);
        for not_a_member in &issued.chain[1..] {
            assert_eq!(Peer::certified(domain, not_a_member), None);
        }
        let server = authority.server(now()).unwrap();
        assert_eq!(
            Peer::certified(domain, &server.credentials.chain()[0]),
            None
        );
    }

    #[test]
    fn serial_numbers_do_not_come_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..10_000 {
            let serial = serial().unwrap();
            assert_eq!(serial.0[0] >> 6, 1, "positive, and 16 octets long");
            assert!(seen.insert(serial));
        }
    }

    #[test]
    fn nothing_outlives_what_it_was_signed_with() {
        let mut authority = authority();
        let near_the_end = authority.issuing_ends() - Duration::from_secs(3600);
        let issued = agent(&authority, near_the_end);
        assert_eq!(issued.not_after, authority.issuing_ends());
        let after = authority.issuing_ends();
        let key = Key::generate().unwrap().public();
        let ended = authority.issue(Kind::Agent, &name("a"), &key, after);
        assert!(matches!(ended, Err(AuthorityError::Ended)));
        assert!(matches!(
            authority.server(after),
            Err(AuthorityError::Ended)
        ));

        // A new one below the same root: who trusts the root notices nothing.
        let pin = authority.pin();
        let old = agent(&authority, near_the_end);
        authority.renew_issuing(near_the_end).unwrap();
        assert_eq!(authority.pin(), pin);
        let new = agent(&authority, after);
        let client = KeyUsage::client_auth;
        assert_eq!(good(&authority, &old.chain, client(), near_the_end), Ok(()));
        assert_eq!(good(&authority, &new.chain, client(), after), Ok(()));

        let ten_years = now() + ROOT;
        authority.renew_issuing(ten_years - 10 * DAY).unwrap();
        assert!(
            authority.issuing_ends() <= ten_years,
            "not longer than the root"
        );
        let ended = authority.renew_issuing(ten_years + DAY);
        assert!(matches!(ended, Err(AuthorityError::Ended)));
    }

    #[test]
    fn an_authority_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca");
        let authority = authority();
        authority.save(&path).unwrap();
        let read = Authority::load(&path).unwrap();
        assert_eq!(read.pin(), authority.pin());
        assert_eq!(read.trust_domain(), authority.trust_domain());
        assert_eq!(read.root(), authority.root());
        assert_eq!(
            whole_seconds(read.issuing_ends()).unwrap(),
            whole_seconds(authority.issuing_ends()).unwrap()
        );
        let issued = agent(&read, now());
        let client = KeyUsage::client_auth();
        assert_eq!(good(&authority, &issued.chain, client, now()), Ok(()));
        for file in fs::read_dir(&path).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn the_key_of_the_root_may_be_kept_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca");
        authority().save(&path).unwrap();
        fs::remove_file(path.join(ROOT_KEY)).unwrap();
        let mut read = Authority::load(&path).unwrap();
        agent(&read, now());
        let away = read.renew_issuing(now());
        assert!(matches!(away, Err(AuthorityError::RootIsAway)));
        assert!(format!("{read:?}").contains("root_is_here: false"));
    }

    #[test]
    fn an_exchange_that_is_interrupted_leaves_one_of_the_two() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority");
        let mut authority = Authority::create(TrustDomain::default(), now()).unwrap();
        authority.save(&path).unwrap();
        let before = authority.issuing.clone();
        let [key, certificate] = [ISSUING_KEY, ISSUING_CERTIFICATE].map(|name| path.join(name));
        let old_key = fs::read(&key).unwrap();
        let half = now() + ISSUING / 2;
        assert!(!authority.renew_issuing_in_time(half - DAY).unwrap());
        assert!(authority.renew_issuing_in_time(half + DAY).unwrap());
        authority.save(&path).unwrap();
        let new_key = fs::read(&key).unwrap();
        let both = [&authority.issuing, &before].map(pem).concat();
        let is_there = |wanted: &CertificateDer<'_>, why| {
            assert_eq!(Authority::load(&path).unwrap().issuing, *wanted, "{why}");
        };
        is_there(&authority.issuing, "all was written");
        private_file::write(&certificate, both.as_bytes()).unwrap();
        is_there(&authority.issuing, "all but the last step");
        private_file::write(&key, &old_key).unwrap();
        is_there(&before, "the first step alone");
        // And from there again.
        authority.save(&path).unwrap();
        assert_eq!(fs::read(&key).unwrap(), new_key);
        is_there(&authority.issuing, "a second try");
    }

    #[test]
    fn what_is_open_mixed_or_missing_is_refused() {
        type Harm = fn(&Path);
        let chmod = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let cases: [(Harm, &str); 9] = [
            (
                |path| drop(fs::remove_file(path.join(ISSUING_KEY))),
                "No such file",
            ),
            (
                |path| drop(fs::remove_file(path.join(ROOT_CERTIFICATE))),
                "No such file",
            ),
            (|path| swap(path, ROOT_KEY, ISSUING_KEY), "does not belong"),
            (
                |path| swap(path, ROOT_CERTIFICATE, ISSUING_CERTIFICATE),
                "does not belong",
            ),
            (
                |path| drop(fs::copy(path.join(ROOT_KEY), path.join(ISSUING_KEY))),
                "not belong",
            ),
            (
                |path| fs::write(path.join(ROOT_KEY), "").unwrap(),
                "does not hold a private key",
            ),
            (
                |path| fs::write(path.join(ROOT_CERTIFICATE), "x").unwrap(),
                "a certificate in PEM",
            ),
            (
                |path| fs::write(path.join(ISSUING_KEY), [0xff; 99]).unwrap(),
                "private key",
            ),
            (|path| other_domain(path), "does not belong"),
        ];
        for (harm, wanted) in cases {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ca");
            authority().save(&path).unwrap();
            harm(&path);
            let error = Authority::load(&path).unwrap_err().to_string();
            assert!(error.contains(wanted), "{wanted}: {error}");
        }
        for (file, wanted) in [
            (ROOT_KEY, "chmod 600"),
            (ISSUING_KEY, "chmod 600"),
            (ISSUING_CERTIFICATE, "chmod 600"),
            ("", "chmod 700"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ca");
            authority().save(&path).unwrap();
            chmod(&path.join(file), 0o750);
            let error = Authority::load(&path).unwrap_err().to_string();
            assert!(error.contains(wanted), "{file}: {error}");
        }
    }

    fn swap(path: &Path, one: &str, two: &str) {
        let (one, two, third) = (path.join(one), path.join(two), path.join("third"));
        fs::rename(&one, &third).unwrap();
        fs::rename(&two, &one).unwrap();
        fs::rename(&third, &two).unwrap();
    }

    /// The issuing authority of another trust domain, with its key.
    fn other_domain(path: &Path) {
        let other = Authority::create("b.test".parse().unwrap(), now()).unwrap();
        other.issuing_key.save(&path.join(ISSUING_KEY)).unwrap();
        private_file::write(
            &path.join(ISSUING_CERTIFICATE),
            pem(&other.issuing).as_bytes(),
        )
        .unwrap();
    }

    #[test]
    fn another_root_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca");
        let first = authority();
        first.save(&path).unwrap();
        first.save(&path).unwrap();
        let error = authority().save(&path).unwrap_err().to_string();
        assert!(error.contains("is not replaced"), "{error}");
        assert_eq!(Authority::load(&path).unwrap().pin(), first.pin());
    }

    #[test]
    fn a_key_that_is_no_authority_signs_nothing_that_is_believed() {
        let authority = authority();
        let agent_key = Key::generate().unwrap();
        let agent = authority
            .issue(Kind::Agent, &name("evil"), &agent_key.public(), now())
            .unwrap();
        let mut as_issuer = CertificateParams::default();
        as_issuer.distinguished_name = DistinguishedName::new();
        as_issuer
            .distinguished_name
            .push(DnType::CommonName, "evil");
        let issuer = Issuer::from_params(&as_issuer, agent_key.pair());
        let mut leaf = CertificateParams::default();
        let uri = Kind::Agent.uri(authority.trust_domain(), &name("fra-1"));
        leaf.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        let key = Key::generate().unwrap();
        let leaf = leaf.signed_by(&key.public(), &issuer).unwrap();
        let mut chain = vec![leaf.der().clone()];
        chain.extend(agent.chain);
        let result = good(&authority, &chain, KeyUsage::client_auth(), now());
        assert!(result.is_err());
    }

    fn member_of(uris: &[&str]) -> Option<Peer> {
        let key = Key::generate().unwrap();
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&serial().unwrap().0));
        params.subject_alt_names = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()))
            .collect();
        let certificate = params.self_signed(key.pair()).unwrap();
        Peer::certified(&"a.test".parse().unwrap(), certificate.der())
    }

    #[test]
    fn a_name_that_is_nearly_ours_is_nobody() {
        let ours = "bailiwick://a.test/agent/x";
        assert!(member_of(&[ours]).is_some());
        let cases: [&[&str]; 10] = [
            &[],
            &[ours, ours],
            &[ours, "bailiwick://a.test/operator/x"],
            &["bailiwick://a.test//agent/x"],
            &["bailiwick://a.testagent/x"],
            &["bailiwick://a.test.b/agent/x"],
            &["bailiwick://a.test/agent/x/y"],
            &["bailiwick://a.test/agent/x?y"],
            &["bailiwick://a.test/agents/x"],
            &["bailiwick://x@a.test/agent/x"],
        ];
        for uris in cases {
            assert_eq!(member_of(uris), None, "{uris:?}");
        }
    }

    #[test]
    fn lives_can_only_be_shortened() {
        let minute = Duration::from_secs(60);
        let authority = authority().shortened(Lives {
            agent: minute,
            operator: 99 * DAY,
            server: 99 * DAY,
        });
        let defaults = Lives::default();
        assert_eq!(
            authority.lives,
            Lives {
                agent: minute,
                ..defaults
            }
        );
        let now = whole_seconds(now()).unwrap();
        assert_eq!(agent(&authority, now).not_after, now + minute);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Whatever a certificate's names are: only those that we write name a member.
        #[test]
        fn only_names_of_our_form_are_members(
            word in "(agent|operator|root|Agent|)",
            name in "[a-z0-9./%:-]{0,12}",
            domain in "(a\\.test|b\\.test|a\\.test\\.|A\\.TEST|)",
            scheme in "(bailiwick|spiffe|Bailiwick)",
        ) {
            let uri = format!("{scheme}://{domain}/{word}/{name}");
            let key = Key::generate().unwrap();
            let mut params = CertificateParams::default();
            params.serial_number = Some(SerialNumber::from_slice(&serial().unwrap().0));
            let Ok(san) = uri.clone().try_into() else { return Ok(()) };
            params.subject_alt_names = vec![SanType::URI(san)];
            let certificate = params.self_signed(key.pair()).unwrap();
            let read = Peer::certified(&"a.test".parse().unwrap(), certificate.der());
            let ours = scheme == "bailiwick"
                && domain == "a.test"
                && ["agent", "operator"].contains(&&*word)
                && name.parse::<Name>().is_ok();
            prop_assert_eq!(read.is_some(), ours, "{}", uri);
        }

        /// Octets that were changed on the way are read or refused, and nothing worse.
        #[test]
        fn a_changed_certificate_harms_nobody(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let authority = authority();
            let mut octets = agent(&authority, now()).chain[0].to_vec();
            for (at, new) in changes {
                let at = at.index(octets.len());
                octets[at] = new;
            }
            let whole = CertificateDer::from(octets.clone());
            let _ = Peer::certified(authority.trust_domain(), &whole);
            octets.truncate(cut.index(octets.len()));
            let part = CertificateDer::from(octets);
            prop_assert_eq!(Peer::certified(authority.trust_domain(), &part), None);
        }
    }
}
