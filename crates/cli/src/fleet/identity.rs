//! Who this user is to coordinators elsewhere.
//!
//! The key is the identity, and the certificate its form for half a day. Each coordinator that was
//! joined has a folder of its own, with the key and a file of lines `word value`.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, anyhow};
use bailiwick_core::time::Timestamp;
use bailiwick_render::fleet::Joined;
use bailiwick_rpc::{
    Coordinator, Credentials, HostPort, Invitation, Key, Link, Trust, TrustDomain, agent,
    private_file,
};
use data_encoding::BASE64;

/// The first line of the file.
const VERSION: &str = "bailiwick-operator 1";
const FILE: &str = "identity";
/// The largest file that is read, in octets.
const LARGEST: u64 = 256 * 1024;
/// The most coordinators that are looked through.
const MOST: usize = 1000;

/// An operator that was enrolled.
#[derive(Debug)]
pub(crate) struct Identity {
    folder: PathBuf,
    name: String,
    trust_domain: TrustDomain,
    /// Where certificates are given out.
    enrolment: Vec<HostPort>,
    /// Where operators come in.
    operators: Vec<HostPort>,
    /// The file of the key, in the folder.
    key: String,
    /// In DER, the own one first and the root last.
    certificates: Vec<Vec<u8>>,
    /// The roots to believe, in DER; those that joined before there was more than one have none
    /// here, and believe the last certificate.
    roots: Vec<Vec<u8>>,
    /// When the certificate arrived, by this machine's clock, and how long it is good from then.
    issued: Timestamp,
    life: Duration,
}

impl Identity {
    /// Finds the identity for a coordinator.
    pub(crate) fn find(state: &Path, host: &HostPort) -> Result<Self, anyhow::Error> {
        let all = Self::all(&state.join("operator"))?;
        let exactly = all.iter().position(|one| one.operators.contains(host));
        // A coordinator may not know by which name and port it is reached.
        let near = || {
            all.iter()
                .position(|one| one.enrolment.iter().any(|known| known.host == host.host))
        };
        let at = exactly.or_else(near).ok_or_else(|| {
            anyhow!(
                "this user is no operator of the coordinator at {host}: ask for an invitation \
                 (bailiwick operator invite), then bailiwick operator join"
            )
        })?;
        all.into_iter()
            .nth(at)
            .context("an identity that was found is there")
    }

    fn all(folder: &Path) -> Result<Vec<Self>, anyhow::Error> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Ok(Vec::new());
        };
        let mut folders: Vec<PathBuf> = entries
            .take(MOST)
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join(FILE).is_file())
            .collect();
        folders.sort();
        folders.iter().map(|folder| Self::load(folder)).collect()
    }

    fn load(folder: &Path) -> Result<Self, anyhow::Error> {
        let path = folder.join(FILE);
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::of_text(folder, &text).with_context(|| {
            format!(
                "{} cannot be understood: move it away and join again",
                path.display()
            )
        })
    }

    fn of_text(folder: &Path, text: &str) -> Result<Self, anyhow::Error> {
        let mut lines = text.lines();
        if lines.next() != Some(VERSION) {
            return Err(anyhow!("its first line is not {VERSION:?}"));
        }
        let pairs: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(' ')).collect();
        let every = |word: &str| {
            let of_word = pairs.iter().filter(move |(key, _)| *key == word);
            of_word.map(|(_, value)| *value).collect::<Vec<_>>()
        };
        let one = |word: &str| match every(word)[..] {
            [value] => Ok(value),
            _ => Err(anyhow!("there is not one line {word:?}")),
        };
        let hosts = |word: &str| -> Result<Vec<HostPort>, anyhow::Error> {
            every(word).iter().map(|host| Ok(host.parse()?)).collect()
        };
        let decoded = |word: &str| -> Result<Vec<Vec<u8>>, anyhow::Error> {
            let texts = every(word);
            let all = texts.iter().map(|text| Ok(BASE64.decode(text.as_bytes())?));
            all.collect()
        };
        Ok(Self {
            folder: folder.to_owned(),
            name: one("name")?.to_owned(),
            trust_domain: one("trust-domain")?.parse()?,
            enrolment: hosts("enrolment")?,
            operators: hosts("operators")?,
            key: one("key")?.to_owned(),
            certificates: decoded("certificate")?,
            roots: decoded("root")?,
            issued: Timestamp(one("issued-us")?.parse()?),
            life: Duration::from_secs(one("life-s")?.parse()?),
        })
    }

    fn to_text(&self) -> String {
        let mut lines = vec![
            VERSION.to_owned(),
            format!("name {}", self.name),
            format!("trust-domain {}", self.trust_domain),
            format!("key {}", self.key),
            format!("issued-us {}", self.issued.0),
            format!("life-s {}", self.life.as_secs()),
        ];
        let hosts = |word: &'static str, hosts: &[HostPort]| {
            let lines = hosts.iter().map(move |host| format!("{word} {host}"));
            lines.collect::<Vec<_>>()
        };
        lines.extend(hosts("enrolment", &self.enrolment));
        lines.extend(hosts("operators", &self.operators));
        for (word, all) in [("certificate", &self.certificates), ("root", &self.roots)] {
            lines.extend(
                all.iter()
                    .map(|der| format!("{word} {}", BASE64.encode(der))),
            );
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Redeems an invitation for a key that is made here.
    ///
    /// The key is kept before the secret goes out: if the answer gets lost, the same string and
    /// key give the same identity once more.
    pub(crate) async fn join(state: &Path, invitation: &Invitation) -> Result<Self, anyhow::Error> {
        let first = invitation.hosts.first();
        let first = first.context("the invitation names no coordinator")?;
        // Colons are no letters of file names everywhere.
        let folder = state
            .join("operator")
            .join(first.to_string().replace(':', "_"));
        private_file::folder(&folder)?;
        let file = format!("key-{}", invitation.token);
        let path = folder.join(&file);
        let key = if path.exists() {
            Key::load(&path)?
        } else {
            let key = Key::generate()?;
            key.save(&path)?;
            key
        };
        let coordinator = Coordinator::of_invitation(invitation);
        let link = coordinator
            .connect(None)
            .await
            .context("cannot join: no coordinator could be reached")?;
        let given = link.enroll(invitation, &key).await.context("cannot join")?;
        let mut identity = Self {
            folder,
            name: given.name.clone(),
            trust_domain: invitation.trust_domain.clone(),
            enrolment: invitation.hosts.clone(),
            operators: Vec::new(),
            key: file,
            certificates: Vec::new(),
            roots: Vec::new(),
            issued: Timestamp::default(),
            life: Duration::ZERO,
        };
        identity.take(&given, &key)?;
        Ok(identity)
    }

    /// Takes a certificate that was given, and keeps it.
    fn take(&mut self, given: &agent::Identity, key: &Key) -> Result<(), anyhow::Error> {
        let credentials = Credentials::of_identity(given, key)?;
        self.certificates = credentials.chain().iter().map(|c| c.to_vec()).collect();
        self.roots = given.authorities.iter().map(|der| der.to_vec()).collect();
        let operators: Vec<HostPort> = given
            .operators
            .iter()
            .filter_map(|host| host.parse().ok())
            .collect();
        if !operators.is_empty() {
            self.operators = operators;
        }
        self.issued = now();
        self.life = Duration::from_nanos(u64::try_from(given.valid_for_ns).unwrap_or(0));
        self.save()
    }

    /// Writes the file as a whole or not at all.
    fn save(&self) -> Result<(), anyhow::Error> {
        let path = self.folder.join(FILE);
        Ok(private_file::write(&path, self.to_text().as_bytes())?)
    }

    /// Gets the next certificate if half of the life of this one is over. While this one is still
    /// good, nothing is lost if that fails.
    pub(crate) async fn renew(&mut self) -> Result<(), anyhow::Error> {
        let age = Duration::from_micros(now().0.saturating_sub(self.issued.0));
        if age < self.life / 2 && self.issued <= now() {
            return Ok(());
        }
        match self.renewed().await {
            Err(error) if age >= self.life => Err(error.context(
                "the certificate of this user has ended and could not be renewed; if this goes \
                 on, ask for a new invitation",
            )),
            _ => Ok(()),
        }
    }

    async fn renewed(&mut self) -> Result<(), anyhow::Error> {
        let key = self.load_key()?;
        let link = self.at(self.enrolment.clone()).connect(None).await?;
        let given = link.renew(&key).await?;
        self.take(&given, &key)
    }

    /// Connects as this operator.
    pub(crate) async fn connect(&self, host: &HostPort) -> Result<Link, anyhow::Error> {
        let chain = self.certificates.iter().cloned().map(Into::into).collect();
        let credentials = Credentials::new(chain, &self.load_key()?);
        let coordinator = self.at(vec![host.clone()]);
        Ok(coordinator.connect(Some(&credentials)).await?)
    }

    fn at(&self, hosts: Vec<HostPort>) -> Coordinator {
        let roots = match &self.roots[..] {
            [] => self.certificates.last().cloned().into_iter().collect(),
            roots => roots.to_vec(),
        };
        Coordinator {
            trust_domain: self.trust_domain.clone(),
            hosts,
            trust: Trust::Roots(roots.into_iter().map(Into::into).collect()),
        }
    }

    fn load_key(&self) -> Result<Key, anyhow::Error> {
        Ok(Key::load(&self.folder.join(&self.key))?)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What is to be known of it after joining.
    pub(crate) fn joined(&self) -> Joined {
        Joined {
            name: self.name.clone(),
            trust_domain: self.trust_domain.to_string(),
            operators: self.operators.iter().map(ToString::to_string).collect(),
            until: self.issued.after(self.life),
            folder: self.folder.display().to_string(),
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::default().after(since.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            folder: "/nonexistent".into(),
            name: "alice".to_owned(),
            trust_domain: TrustDomain::default(),
            enrolment: vec!["a.test:8443".parse().unwrap()],
            operators: vec!["a.test:8444".parse().unwrap(), "[::1]:1".parse().unwrap()],
            key: "key-x".to_owned(),
            certificates: vec![vec![1, 2, 3], vec![255; 40]],
            roots: vec![vec![255; 40], vec![4; 40]],
            issued: Timestamp(7),
            life: Duration::from_secs(43_200),
        }
    }

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let text = identity().to_text();
        let back = Identity::of_text(Path::new("/nonexistent"), &text).unwrap();
        assert_eq!(format!("{back:?}"), format!("{:?}", identity()));
    }

    #[test]
    fn half_an_identity_is_none() {
        let whole = identity().to_text();
        for word in ["name", "trust-domain", "key", "issued-us", "life-s"] {
            let lines = whole.lines().filter(|line| !line.starts_with(word));
            let part = lines.collect::<Vec<_>>().join("\n");
            assert!(Identity::of_text(Path::new("/"), &part).is_err(), "{word}");
        }
        let later = whole.replace("operator 1", "operator 2");
        assert!(Identity::of_text(Path::new("/"), &later).is_err());
    }

    #[test]
    fn the_identity_of_a_coordinator_is_found_by_its_address() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("operator/a.test_8443");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(FILE), identity().to_text()).unwrap();
        let cases = [
            ("a.test:8444", true, "as the coordinator says"),
            ("a.test:1", true, "the same machine at another port"),
            ("b.test:8444", false, "another machine"),
        ];
        for (host, found, why) in cases {
            let looked = Identity::find(state.path(), &host.parse().unwrap());
            assert_eq!(looked.is_ok(), found, "{host}: {why}");
        }
    }
}
