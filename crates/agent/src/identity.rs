//! Who this agent is, and how it became that.
//!
//! The key is the identity; the certificate is its form for a day. Both are kept, with the
//! coordinator and the roots to trust, and written anew when one of them changes.

use std::{path::Path, time::Duration};

use bailiwick_core::time::Timestamp;
use bailiwick_host::Usage;
use bailiwick_rpc::{
    Coordinator, Credentials, Invitation, Key, Trust, TrustDomain, agent::Identity,
};
use data_encoding::BASE64;
use rustls::{RootCertStore, pki_types::CertificateDer};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::{
    clock::{self, Clock},
    folder,
};

/// The largest identity file that is read, in octets.
const LARGEST: u64 = 256 * 1024;
/// The most roots that are trusted: one, the one that follows, and some to spare.
const ROOTS: usize = 8;

/// How long a coordinator may take to enrol.
const PATIENCE: Duration = Duration::from_secs(10);

/// An agent that was enrolled.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where its coordinator is, and the roots that vouch for it.
    pub(crate) coordinator: Coordinator,
    pub(crate) key: Key,
    /// The token that it was redeemed for.
    token: String,
    chain: Vec<CertificateDer<'static>>,
    /// When the certificate arrived, by this machine's clock.
    issued: Timestamp,
    /// How long it is good for from then on.
    life: Duration,
}

/// A member in the file. Fields that are not known are left alone: a later version wrote them.
#[derive(Debug, Deserialize, Serialize)]
struct File {
    version: u32,
    name: String,
    trust_domain: String,
    hosts: Vec<String>,
    token: String,
    issued_us: u64,
    life_s: u64,
    certificates: Vec<String>,
    roots: Vec<String>,
}

/// Why there is no identity to work with.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The file holds something else.
    #[error("{file} cannot be read ({why}): move it away and join again")]
    Broken {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// What the coordinator sent cannot be used.
    #[error("what the coordinator sent cannot be used: {0}")]
    Answer(String),
    /// It does not answer.
    #[error(
        "the coordinator did not answer within {PATIENCE:?}; within 10 minutes the same command can be tried again"
    )]
    Silent,
}

impl Member {
    /// Reads the identity in a folder; `None` if nobody joined.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, anyhow::Error> {
        let path = folder.join(folder::IDENTITY);
        let Some(octets) = folder::read(&path, LARGEST)? else {
            return Ok(None);
        };
        let key = Key::load(&folder.join(folder::KEY))?;
        let member = String::from_utf8(octets)
            .map_err(|error| error.to_string())
            .and_then(|text| toml::from_str(&text).map_err(|error| error.to_string()))
            .and_then(|file| Self::of(file, key))
            .map_err(|why| MemberError::Broken {
                file: path.display().to_string(),
                why,
            })?;
        Ok(Some(member))
    }

    fn of(file: File, key: Key) -> Result<Self, String> {
        if file.version != 1 {
            return Err(format!("version {}, this program knows 1", file.version));
        }
        let trust_domain: TrustDomain = file.trust_domain.parse().map_err(text)?;
        let hosts = file.hosts.iter().map(|host| host.parse());
        Ok(Self {
            name: file.name,
            coordinator: Coordinator {
                trust_domain,
                hosts: hosts.collect::<Result<_, _>>().map_err(text)?,
                trust: Trust::Roots(roots(&certificates(&file.roots)?).map_err(text)?),
            },
            key,
            token: file.token,
            chain: certificates(&file.certificates)?,
            issued: Timestamp(file.issued_us),
            life: Duration::from_secs(file.life_s),
        })
    }

    /// Returns the content of the identity file.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let file = File {
            version: 1,
            name: self.name.clone(),
            trust_domain: self.coordinator.trust_domain.to_string(),
            hosts: self
                .coordinator
                .hosts
                .iter()
                .map(ToString::to_string)
                .collect(),
            token: self.token.clone(),
            issued_us: self.issued.0,
            life_s: self.life.as_secs(),
            certificates: self.chain.iter().map(|der| BASE64.encode(der)).collect(),
            roots: self
                .trusted()
                .iter()
                .map(|der| BASE64.encode(der))
                .collect(),
        };
        // A table of texts and numbers can always be written.
        toml::to_string(&file).unwrap_or_default().into_bytes()
    }

    /// Returns the roots that vouch for the coordinator.
    fn trusted(&self) -> &[CertificateDer<'static>] {
        match &self.coordinator.trust {
            Trust::Roots(roots) => roots,
            Trust::Pin(_) => &[],
        }
    }

    /// Returns what to show to the coordinator.
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(self.chain.clone(), &self.key)
    }

    /// Returns how long the certificate is good for, by this machine's clock.
    pub(crate) fn left(&self, clock: &Clock) -> Duration {
        self.life
            .saturating_sub(clock::since(self.issued, clock.now()))
    }

    /// Returns how long until the certificate is to be renewed: at half of its life, a tenth of
    /// the life sooner or later. `chance` is in 0..1.
    pub(crate) fn renew_in(&self, clock: &Clock, chance: f64) -> Duration {
        let at = self.life.mul_f64(0.45 + 0.1 * chance.clamp(0.0, 1.0));
        at.saturating_sub(clock::since(self.issued, clock.now()))
    }

    /// Takes a new certificate for the same key.
    pub(crate) fn renewed(
        &mut self,
        identity: &Identity,
        clock: &Clock,
    ) -> Result<(), MemberError> {
        let credentials = Credentials::of_identity(identity, &self.key)
            .map_err(|error| MemberError::Answer(error.to_string()))?;
        self.chain = credentials.chain().to_vec();
        self.issued = clock.now();
        self.life = life(identity)?;
        Ok(())
    }

    /// Takes the roots that are to be trusted from now on. Returns whether they are others.
    pub(crate) fn trust(&mut self, authorities: &[impl AsRef<[u8]>]) -> Result<bool, MemberError> {
        if authorities.is_empty() {
            return Ok(false);
        }
        let listed: Vec<_> = authorities
            .iter()
            .map(|der| CertificateDer::from(der.as_ref().to_vec()))
            .collect();
        let new = roots(&listed)?;
        let changed = new != self.trusted();
        self.coordinator.trust = Trust::Roots(new);
        Ok(changed)
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn certificates(texts: &[String]) -> Result<Vec<CertificateDer<'static>>, String> {
    texts
        .iter()
        .map(|text| BASE64.decode(text.as_bytes()).map(CertificateDer::from))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// Checks that all of these can be trusted as roots. Without that, an agent could be made to trust
/// nobody.
fn roots(listed: &[CertificateDer<'static>]) -> Result<Vec<CertificateDer<'static>>, MemberError> {
    if listed.is_empty() || listed.len() > ROOTS {
        return Err(MemberError::Answer(format!(
            "{} root certificates instead of 1 to {ROOTS}",
            listed.len()
        )));
    }
    let mut store = RootCertStore::empty();
    for root in listed {
        store
            .add(root.clone())
            .map_err(|error| MemberError::Answer(format!("a root certificate: {error}")))?;
    }
    Ok(listed.to_vec())
}

fn life(identity: &Identity) -> Result<Duration, MemberError> {
    u64::try_from(identity.valid_for_ns)
        .ok()
        .filter(|life| *life > 0)
        .map(Duration::from_nanos)
        .ok_or_else(|| MemberError::Answer("a certificate that is not valid".to_owned()))
}

/// Becomes a member: makes a key, proves it, and keeps what came back.
///
/// Doing it again with the same invitation is harmless: if an identity is there already nothing is
/// done, and if only the answer was lost the same key asks again. Returns the name that the
/// coordinator gave.
///
/// # Errors
///
/// Returns a [`Usage`] if the folder has another identity, or what is wrong with folder, connection
/// or invitation.
pub async fn join(
    folder: &Path,
    invitation: &Invitation,
    clock: &Clock,
) -> Result<String, anyhow::Error> {
    folder::make(folder)?;
    let token = invitation.token.to_string();
    if let Some(member) = Member::load(folder)? {
        if member.token == token {
            return Ok(member.name);
        }
        return Err(Usage(format!(
            "{} has an identity already: {} of {}; leave out join to run it, or name another folder \
             with --state-dir",
            folder.display(),
            member.name,
            member.coordinator.trust_domain,
        ))
        .into());
    }
    let key = key_for(folder, &token)?;
    let mut coordinator = Coordinator::of_invitation(invitation);
    let link = coordinator.connect(None).await?;
    let identity = timeout(PATIENCE, link.enroll(invitation, &key))
        .await
        .map_err(|_| MemberError::Silent)??;
    let credentials = Credentials::of_identity(&identity, &key)?;
    let root = credentials.chain().last().cloned();
    coordinator.trust = Trust::Roots(roots(&Vec::from_iter(root))?);
    let member = Member {
        name: identity.name.clone(),
        coordinator,
        key,
        token,
        chain: credentials.chain().to_vec(),
        issued: clock.now(),
        life: life(&identity)?,
    };
    folder::write(&folder.join(folder::IDENTITY), &member.to_file())?;
    folder::remove(&folder.join(folder::JOINING))?;
    Ok(member.name)
}

/// Returns the key that was made for this invitation before, or a new one.
fn key_for(folder: &Path, token: &str) -> Result<Key, anyhow::Error> {
    let (path, joining) = (folder.join(folder::KEY), folder.join(folder::JOINING));
    if folder::read(&joining, LARGEST)?.as_deref() == Some(token.as_bytes()) && path.exists() {
        return Ok(Key::load(&path)?);
    }
    let key = Key::generate()?;
    folder::remove(&joining)?;
    key.save(&path)?;
    folder::write(&joining, token.as_bytes())?;
    Ok(key)
}
