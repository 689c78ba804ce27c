//! A coordinator with agents that play what they are told to have seen.
//!
//! Coordinator, store, TLS and calls are the real ones, on the loopback. Only the measuring is
//! replaced: a [`Player`] sends reports that a scenario gave. [`spooling`] makes players that go on
//! by themselves, [`programs`] starts the programs as people do, [`players`] and [`oracle`] say what
//! must come out in the end.

pub mod oracle;
pub mod players;
pub mod programs;
pub mod spooling;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use bailiwick_coordinator::{Config, Coordinator, Habits, LocalRights, Networks};
use bailiwick_core::{
    check::Check,
    report::{Lane, Report, ReportId, RoundId},
    vantage::VantageId,
};
use bailiwick_rpc::{
    Authority, Coordinator as Remote, Credentials, Invitation, Key, Link, TokenKey, Trust,
    TrustDomain,
    agent::{
        Acknowledged, FromAgent, Hello, ReportBatch, ToAgent, from_agent, plan_item, to_agent,
    },
    operator,
};
use bailiwick_store::{Location, Options, Store};
use bailiwick_wire::{proto::report::v1 as pb, report};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Makes a folder for a coordinator, in memory where that can be: it refuses reports where the
/// disk is nearly full, and what else fills the disk of this machine is not under test.
///
/// # Errors
///
/// Fails if the folder cannot be made.
pub fn folder() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(match memory.is_dir() {
        true => tempfile::tempdir_in(memory)?,
        false => tempfile::tempdir()?,
    })
}

/// A coordinator, and the folder that its socket and store are in.
#[derive(Debug)]
pub struct Fleet {
    /// What runs.
    pub coordinator: Coordinator,
    /// Where it keeps things.
    pub store: Arc<dyn Store>,
    /// The one that it vouches with.
    pub authority: Authority,
    /// Where operators of this machine come in.
    pub socket: PathBuf,
    folder: tempfile::TempDir,
}

/// What is other than usual about a coordinator.
#[derive(Debug, Default)]
pub struct Setup {
    /// The bounds of its store.
    pub options: Options,
    /// A store that is there already.
    pub store: Option<Arc<dyn Store>>,
    /// What it does with what it gathers.
    pub habits: Habits,
}

impl Fleet {
    /// Starts a coordinator for a laboratory, with an SQLite store.
    ///
    /// # Errors
    ///
    /// Fails if it cannot listen.
    pub async fn start() -> Result<Self> {
        Self::with(Setup::default(), |_| {}).await
    }

    /// As [`Fleet::start`], with other settings.
    ///
    /// # Errors
    ///
    /// Fails if it cannot listen.
    pub async fn start_as(change: impl FnOnce(&mut Config)) -> Result<Self> {
        Self::with(Setup::default(), change).await
    }

    /// As [`Fleet::start`], with another store, other habits, other settings.
    ///
    /// # Errors
    ///
    /// Fails if it cannot listen.
    pub async fn with(setup: Setup, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let folder = folder()?;
        let socket = folder.path().join("coordinator.sock");
        let location = Location::Sqlite(folder.path().join("store.db"));
        let store = match setup.store {
            Some(store) => store,
            None => bailiwick_store::open_with(&location, &setup.options).await?,
        };
        let mut config = Config {
            agents: "127.0.0.1:0".parse()?,
            operators: None,
            socket: Some(socket.clone()),
            local: LocalRights::of_this_user(),
            public: vec![],
            networks: Networks::default(),
            lab: true,
        };
        change(&mut config);
        let authority = Authority::create(TrustDomain::default(), SystemTime::now())?;
        // Kept, so that a test can give certificates as the coordinator does.
        let kept = folder.path().join("authority");
        authority.save(&kept)?;
        let key = TokenKey::generate()?;
        let (used, habits) = (Arc::clone(&store), setup.habits);
        let coordinator = Coordinator::start_with(config, authority, key, used, habits).await?;
        Ok(Self {
            coordinator,
            store,
            authority: Authority::load(&kept)?,
            socket,
            folder,
        })
    }

    /// Its database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    /// What the coordinator says of itself.
    ///
    /// # Errors
    ///
    /// Fails if it does not answer.
    pub async fn status(&self) -> Result<operator::Status> {
        let mut asked = self.operator().await?.operator();
        let status = asked.get_status(operator::GetStatusRequest::default());
        Ok(status.await?.into_inner())
    }

    /// Waits until every round is closed and every verdict knows all that was reported.
    ///
    /// # Errors
    ///
    /// Fails if that takes longer than 20 seconds.
    pub async fn settled(&self) -> Result<()> {
        for _ in 0..400 {
            let status = self.status().await?;
            let judging = status.notes.iter().any(|n| n.contains("judged again"));
            if status.open_checks == 0 && !judging {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("not settled: {:?}", self.status().await?)
    }

    /// Connects as an operator of this machine.
    ///
    /// # Errors
    ///
    /// Fails if the socket cannot be opened.
    pub async fn operator(&self) -> Result<Link> {
        Ok(Link::local(&self.socket).await?)
    }

    /// Invites an agent and lets it join.
    ///
    /// # Errors
    ///
    /// Fails if it is refused.
    pub async fn join(&self, name: &str, labels: &[&str]) -> Result<Player> {
        let request = operator::InviteAgentRequest {
            name: name.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            ..operator::InviteAgentRequest::default()
        };
        let mut asked = self.operator().await?.operator();
        let invited = asked.invite_agent(request).await?.into_inner();
        Player::join(&invited.join).await
    }

    /// Starts a check and waits for its verdict.
    ///
    /// # Errors
    ///
    /// As [`follow`].
    pub async fn check(&self, check: &Check, format: &str) -> Result<Followed> {
        follow(&self.operator().await?, check, format).await
    }
}

/// Starts a check as an operator and waits for its verdict.
///
/// # Errors
///
/// Fails if the check is refused, or its stream ends early.
pub async fn follow(link: &Link, check: &Check, format: &str) -> Result<Followed> {
    follow_of(link, check, format, 0).await
}

/// As [`follow`], with so many vantage points; 0 stands for the usual number.
///
/// # Errors
///
/// As [`follow`].
pub async fn follow_of(link: &Link, check: &Check, format: &str, of: u32) -> Result<Followed> {
    let request = operator::CreateCheckRequest {
        check: Some(report::to_check(check)),
        view: Some(operator::View {
            format: format.to_owned(),
            ..operator::View::default()
        }),
        agents: of,
        ..operator::CreateCheckRequest::default()
    };
    let mut asked = link.operator();
    let mut events = asked.create_check(request).await?.into_inner();
    let mut followed = Followed::default();
    while let Some(event) = events.message().await? {
        match event.kind.context("an empty event")? {
            operator::check_event::Kind::Started(started) => {
                followed.left_out = started.left_out;
                for row in started.vantages {
                    followed.rows.insert(row.name.clone(), row);
                }
            }
            operator::check_event::Kind::Vantage(row) => {
                followed.rows.insert(row.name.clone(), row);
            }
            operator::check_event::Kind::Ended(ended) => {
                followed.ended = ended;
                return Ok(followed);
            }
        }
    }
    bail!("the stream ended without a verdict")
}

/// What somebody saw who followed a check.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// The vantage points, as they were last.
    pub rows: BTreeMap<String, operator::VantageRow>,
    /// Who was not asked, and why.
    pub left_out: Vec<String>,
    /// The verdict.
    pub ended: operator::CheckEnded,
}

/// An agent that measures nothing.
#[derive(Debug)]
pub struct Player {
    /// As enrolled.
    pub name: String,
    key: Arc<Key>,
    own: Credentials,
    remote: Remote,
    boot: [u8; 16],
    /// What its clock says, in microseconds since 1970, if that is not the time.
    pub clock_us: Option<u64>,
}

impl Player {
    /// Redeems an invitation.
    ///
    /// # Errors
    ///
    /// Fails if it is refused.
    pub async fn join(invitation: &str) -> Result<Self> {
        let invitation: Invitation = invitation.parse()?;
        let key = Key::generate()?;
        let remote = Remote::of_invitation(&invitation);
        let identity = remote
            .connect(None)
            .await?
            .enroll(&invitation, &key)
            .await?;
        Ok(Self {
            own: Credentials::of_identity(&identity, &key)?,
            name: identity.name,
            key: Arc::new(key),
            remote,
            boot: rand::random(),
            clock_us: None,
        })
    }

    /// Another machine with the same key.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self {
            name: self.name.clone(),
            key: Arc::clone(&self.key),
            own: self.own.clone(),
            remote: self.remote.clone(),
            boot: rand::random(),
            clock_us: self.clock_us,
        }
    }

    /// Begins again, as another start of the program with the same key.
    pub fn restarted(&mut self) {
        self.boot = rand::random();
    }

    /// Believes from now on whom a coordinator named in a session. Returns whether that is news.
    pub fn believe(&mut self, session: &Session) -> bool {
        let named = session.authorities.iter().map(|der| der.to_vec().into());
        let named: Vec<_> = named.collect();
        let known = matches!(&self.remote.trust, Trust::Roots(known) if *known == named);
        self.remote.trust = Trust::Roots(named);
        !known
    }

    /// Asks for a new certificate.
    ///
    /// # Errors
    ///
    /// Fails if it is refused.
    pub async fn renew(&mut self) -> Result<()> {
        let identity = self.remote.connect(None).await?.renew(&self.key).await?;
        self.own = Credentials::of_identity(&identity, &self.key)?;
        Ok(())
    }

    /// Opens a session and waits to be welcome.
    ///
    /// # Errors
    ///
    /// Fails if it is refused.
    pub async fn session(&self) -> Result<Session> {
        let link = self.remote.connect(Some(&self.own)).await?;
        let (say, said) = mpsc::channel(64);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let hello = Hello {
            protocol_min: 1,
            protocol_max: 1,
            build: "player".to_owned(),
            boot: self.boot.to_vec().into(),
            clock_us: self.clock_us.unwrap_or(u64::try_from(now.as_micros())?),
            lab: true,
            durable: true,
            ..Hello::default()
        };
        let first = FromAgent {
            kind: Some(from_agent::Kind::Hello(hello)),
        };
        say.send(first).await?;
        let answers = link.agent().session(ReceiverStream::new(said)).await?;
        let mut session = Session {
            say,
            answers: answers.into_inner(),
            epoch: rand::random(),
            seq: 0,
            credit: 0,
            authorities: Vec::new(),
            _link: link,
        };
        let to_agent::Kind::Welcome(welcome) = session.next().await? else {
            bail!("the first word is no welcome");
        };
        session.credit = welcome.credit;
        session.authorities = welcome.authorities;
        Ok(session)
    }
}

/// A stream that is open.
#[derive(Debug)]
pub struct Session {
    say: mpsc::Sender<FromAgent>,
    answers: Streaming<ToAgent>,
    /// Of the reports that are sent.
    pub epoch: u64,
    /// Of the report that was sent last.
    pub seq: u64,
    /// Octets of reports that may be on their way, as it was at first.
    pub credit: u64,
    /// The roots that the coordinator named, in DER.
    pub authorities: Vec<Bytes>,
    _link: Link,
}

impl Session {
    /// Waits for what the coordinator says next.
    ///
    /// # Errors
    ///
    /// Fails if the stream ends or ten seconds pass.
    pub async fn next(&mut self) -> Result<to_agent::Kind> {
        let heard = tokio::time::timeout(Duration::from_secs(10), self.heard());
        heard.await.context("nothing was said")?
    }

    /// Waits for what the coordinator says next, however long that takes.
    ///
    /// # Errors
    ///
    /// Fails if the stream ends.
    pub async fn heard(&mut self) -> Result<to_agent::Kind> {
        let message = self.answers.message().await?;
        let message = message.context("the stream has ended")?;
        message.kind.context("an empty message")
    }

    /// Waits until a check is to be done. Returns it with its round.
    ///
    /// # Errors
    ///
    /// As [`Session::next`].
    pub async fn asked(&mut self) -> Result<(Check, RoundId)> {
        loop {
            if let to_agent::Kind::Plan(plan) = self.next().await? {
                for item in plan.items {
                    if let Some(plan_item::When::Once(once)) = item.when {
                        let check = report::check(&item.check.context("no check")?)?;
                        return Ok((check, RoundId(once.round)));
                    }
                }
            }
        }
    }

    /// Sends a report as an answer to a check, and returns its identity.
    ///
    /// # Errors
    ///
    /// Fails if the stream has ended.
    pub async fn report(&mut self, report: Report) -> Result<ReportId> {
        self.report_as(self.seq + 1, report).await
    }

    /// Sends a report as one of this number, and returns its identity.
    ///
    /// # Errors
    ///
    /// Fails if the stream has ended.
    pub async fn report_as(&mut self, seq: u64, report: Report) -> Result<ReportId> {
        self.seq = seq;
        let id = ReportId {
            lane: Lane::Change,
            epoch: self.epoch,
            seq,
        };
        self.send(vec![envelope(id, &report)]).await?;
        Ok(id)
    }

    /// Sends reports as they are.
    ///
    /// # Errors
    ///
    /// Fails if the stream has ended.
    pub async fn send(&mut self, reports: Vec<pb::ReportEnvelope>) -> Result<()> {
        let batch = ReportBatch {
            reports,
            gaps: vec![],
        };
        let message = FromAgent {
            kind: Some(from_agent::Kind::Reports(batch)),
        };
        Ok(self.say.send(message).await?)
    }

    /// Waits until everything up to a report is acknowledged.
    ///
    /// # Errors
    ///
    /// As [`Session::next`].
    pub async fn acknowledged(&mut self, id: ReportId) -> Result<()> {
        loop {
            if let to_agent::Kind::Acknowledged(Acknowledged { epoch, through, .. }) =
                self.next().await?
                && epoch == id.epoch
                && through >= id.seq
            {
                return Ok(());
            }
        }
    }
}

/// Returns a report as it travels.
pub fn envelope(id: ReportId, report: &Report) -> pb::ReportEnvelope {
    let encoded = report::encode(report);
    pb::ReportEnvelope {
        id: Some(pb::ReportId {
            lane: report::to_lane(id.lane),
            epoch: id.epoch,
            seq: id.seq,
        }),
        body_hash: report::hash(&encoded.body).to_vec().into(),
        body: encoded.body,
        answers: encoded.answers,
    }
}

/// Returns a report as an answer to a check: what was seen stays.
#[must_use]
pub fn answer(mut report: Report, check: &Check, round: RoundId, name: &str) -> Report {
    report.check = check.clone();
    report.round = round;
    report.vantage.id = VantageId(name.to_owned());
    report
}
