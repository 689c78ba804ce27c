//! A coordinator as people run it, with agents that are enrolled straight in its store.

use std::{
    collections::BTreeSet,
    fs::File,
    net::{SocketAddr, TcpListener, TcpStream},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use bailiwick_core::{check::CheckId, report::Report, time::Timestamp, vantage::VantageId};
use bailiwick_rpc::{
    Authority, Coordinator as Remote, Credentials, Issued, Key, Kind, Link, PublicKey, Trust,
    agent::{Once, PlanItem, plan_item},
};
use bailiwick_store::{
    Audit, Certificate, KeyHash, Location, NewCheck, NewToken, Redemption, Scope, Serial, Store,
    TokenId,
};
use bailiwick_wire::report;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use prost::Message as _;
use tokio::task::JoinSet;

use super::{
    agent::Member,
    deaf::{Deaf, RawKey},
};

/// How long a coordinator may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// A coordinator in a folder of its own.
#[derive(Debug)]
pub struct Site {
    program: PathBuf,
    folder: tempfile::TempDir,
    authority: Authority,
    agents: SocketAddr,
    running: Option<Child>,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl Site {
    /// Makes the folder below another, with the program's own command.
    ///
    /// # Errors
    ///
    /// Fails if the program does.
    pub fn create(program: &Path, below: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(below)?;
        // Free now, and outside of what the system gives to callers.
        let agents = (20_000 + rand::random_range(0..10_000)..30_000)
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .find(|address| TcpListener::bind(address).is_ok())
            .context("no port is free")?;
        let made = Command::new(program)
            .arg("--dir")
            .arg(folder.path())
            .args(["init", "--lab", "--socket", "operators.sock"])
            .args(["--agents", &agents.to_string()])
            .args(["--public", &agents.to_string()])
            .stdout(Stdio::null())
            .status()
            .with_context(|| program.display().to_string())?;
        ensure!(made.success(), "{made}");
        Ok(Self {
            program: program.to_owned(),
            authority: Authority::load(&folder.path().join("authority"))?,
            folder,
            agents,
            running: None,
        })
    }

    /// Where everything is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the store; the coordinator must not run.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be opened.
    pub async fn store(&self) -> Result<Arc<dyn Store>> {
        let path = self.folder.path().join("store.db");
        Ok(bailiwick_store::open(&Location::Sqlite(path)).await?)
    }

    /// Makes so many agents, each with a key and a certificate of its own.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn enrol(&self, store: &Arc<dyn Store>, agents: usize) -> Result<Vec<Member>> {
        self.enrol_labelled(store, 0..agents, |_| Vec::new()).await
    }

    /// Makes agents with these numbers and labels.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn enrol_labelled(
        &self,
        store: &Arc<dyn Store>,
        numbers: Range<usize>,
        labels: impl Fn(usize) -> Vec<String>,
    ) -> Result<Vec<Member>> {
        let remote = self.remote()?;
        let mut enrolling = Enrolling::new(self, store);
        let mut members = Vec::with_capacity(numbers.len());
        for number in numbers {
            let key = Key::generate()?;
            let (name, issued) = enrolling
                .enrol(number, labels(number), &key.public())
                .await?;
            let own = Credentials::new(issued.chain, &key);
            members.push(Member::new(name, own, remote.clone()));
        }
        enrolling.end().await?;
        Ok(members)
    }

    /// Makes agents that take nothing.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn enrol_deaf(
        &self,
        store: &Arc<dyn Store>,
        numbers: Range<usize>,
        labels: impl Fn(usize) -> Vec<String>,
    ) -> Result<Vec<Deaf>> {
        let mut enrolling = Enrolling::new(self, store);
        let mut members = Vec::with_capacity(numbers.len());
        for number in numbers {
            let key = RawKey::generate()?;
            let (name, issued) = enrolling
                .enrol(number, labels(number), &key.public()?)
                .await?;
            let root = self.authority.root().clone();
            let domain = self.authority.trust_domain().as_str();
            members.push(Deaf::new(
                name,
                issued.chain,
                &key,
                root,
                domain,
                self.agents,
            )?);
        }
        enrolling.end().await?;
        Ok(members)
    }

    /// Begins checks that every agent is asked for, and one more that never joins: so no round is
    /// complete, and none is judged while something else is measured.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn ask(
        &self,
        store: &Arc<dyn Store>,
        members: &[Member],
        seen: &Report,
        checks: usize,
    ) -> Result<Vec<CheckId>> {
        let nobody = "agent-0-nobody";
        let mut enrolling = Enrolling::new(self, store);
        let unused = Key::generate()?.public();
        enrolling
            .named(members.len(), nobody.to_owned(), vec![], &unused)
            .await?;
        enrolling.end().await?;
        let names = members.iter().map(|member| member.name.as_str());
        let asked: BTreeSet<_> = names
            .chain([nobody])
            .map(|name| VantageId(name.to_owned()))
            .collect();
        let mut ids = Vec::new();
        for _ in 0..checks {
            let mut check = seen.check.clone();
            check.id = CheckId(rand::random());
            let sent = report::to_check(&check);
            let item = PlanItem {
                id: check.id.0.to_be_bytes().to_vec().into(),
                check: Some(sent.clone()),
                when: Some(plan_item::When::Once(Once { round: 0 })),
                valid_for_ns: 0,
            };
            let at = now()?;
            let new = NewCheck {
                id: check.id,
                zone: sent.zone.clone(),
                check: sent.encode_to_vec().into(),
                operator: "load".to_owned(),
                created: at,
                deadline: at.after(Duration::from_hours(1)),
                asked: asked.clone(),
                item: item.encode_to_vec().into(),
            };
            let audit = audit(at, &format!("{:032x}", check.id.0));
            store.create_check(&new, &audit).await?;
            ids.push(check.id);
        }
        Ok(ids)
    }

    /// Where agents find it, and whom they believe.
    ///
    /// # Errors
    ///
    /// Fails if its own address is none.
    pub fn remote(&self) -> Result<Remote> {
        Ok(Remote {
            trust_domain: self.authority.trust_domain().clone(),
            hosts: vec![self.agents.to_string().parse()?],
            trust: Trust::Roots(vec![self.authority.root().clone()]),
        })
    }

    /// Where agents come in.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.agents
    }

    /// Who signs.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Starts the coordinator, and waits until it listens.
    ///
    /// # Errors
    ///
    /// Fails if it does not.
    pub fn start(&mut self) -> Result<()> {
        let log = self.log();
        let log = File::options().create(true).append(true).open(log)?;
        let mut child = Command::new(&self.program)
            .arg("--dir")
            .arg(self.folder.path())
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let began = Instant::now();
        while TcpStream::connect(self.agents).is_err() {
            ensure!(
                child.try_wait()?.is_none() && began.elapsed() < PATIENCE,
                "the coordinator does not listen: {}",
                std::fs::read_to_string(self.log())?
            );
            thread::sleep(Duration::from_millis(2));
        }
        self.running = Some(child);
        Ok(())
    }

    /// Where it writes its log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Ends it with SIGKILL, if it runs.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.running.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks it to end, and waits.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be asked, or ends with an error.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.running.take() {
            kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
            let ended = child.wait()?;
            ensure!(ended.success(), "{ended}");
        }
        Ok(())
    }

    /// The process.
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn pid(&self) -> Result<u32> {
        let running = self.running.as_ref();
        Ok(running.context("the coordinator does not run")?.id())
    }

    /// Connects as an operator of this machine.
    ///
    /// # Errors
    ///
    /// Fails if the socket cannot be opened.
    pub async fn operator(&self) -> Result<Link> {
        Ok(Link::local(&self.folder.path().join("operators.sock")).await?)
    }
}

/// Writes agents into a store, many at once.
struct Enrolling<'a> {
    site: &'a Site,
    store: &'a Arc<dyn Store>,
    writing: JoinSet<Result<()>>,
}

impl<'a> Enrolling<'a> {
    fn new(site: &'a Site, store: &'a Arc<dyn Store>) -> Self {
        let writing = JoinSet::new();
        Self {
            site,
            store,
            writing,
        }
    }

    async fn enrol(
        &mut self,
        number: usize,
        labels: Vec<String>,
        key: &PublicKey,
    ) -> Result<(String, Issued)> {
        let name = format!("agent-{number}");
        let issued = self.named(number, name.clone(), labels, key).await?;
        Ok((name, issued))
    }

    async fn named(
        &mut self,
        number: usize,
        name: String,
        labels: Vec<String>,
        key: &PublicKey,
    ) -> Result<Issued> {
        let now = SystemTime::now();
        let named = name.parse()?;
        let issued = self.site.authority.issue(Kind::Agent, &named, key, now)?;
        let until = issued.not_after.duration_since(SystemTime::UNIX_EPOCH)?;
        let certificate = Certificate {
            serial: Serial(issued.serial.0),
            until: Timestamp(u64::try_from(until.as_micros())?),
        };
        let (store, hash) = (Arc::clone(self.store), KeyHash(key.hash().0));
        self.writing.spawn(async move {
            let name = VantageId(name);
            enrol(&*store, number, &name, labels, hash, &certificate).await
        });
        // As many as may wait in one queue.
        while self.writing.len() > 500 {
            self.writing.join_next().await.context("nothing")???;
        }
        Ok(issued)
    }

    async fn end(mut self) -> Result<()> {
        while let Some(written) = self.writing.join_next().await {
            written??;
        }
        Ok(())
    }
}

async fn enrol(
    store: &dyn Store,
    number: usize,
    name: &VantageId,
    labels: Vec<String>,
    key: KeyHash,
    certificate: &Certificate,
) -> Result<()> {
    let mut id = TokenId([0; 10]);
    id.0[..8].copy_from_slice(&number.to_be_bytes());
    let (mac, at) = ([0; 32], now()?);
    let token = NewToken {
        id,
        mac,
        scope: Scope::Agent {
            name: name.clone(),
            labels: labels.into_iter().collect(),
            from: None,
            approve: false,
        },
        created: at,
        expires: at.after(Duration::from_mins(10)),
    };
    store.create_token(&token, &audit(at, &name.0)).await?;
    let redemption = Redemption {
        token: id,
        mac,
        key,
        at,
    };
    store.redeem(&redemption).await?;
    Ok(store.certificate_issued(name, certificate).await?)
}

fn audit(at: Timestamp, what: &str) -> Audit {
    Audit {
        at,
        who: "load".to_owned(),
        what: what.to_owned(),
        request: [0; 32],
        result: "done".to_owned(),
    }
}

fn now() -> Result<Timestamp> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Timestamp(u64::try_from(since.as_micros())?))
}
