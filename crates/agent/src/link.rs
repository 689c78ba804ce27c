//! Keeps up the one session with the coordinator, and the certificate that it needs.
//!
//! ```text
//!  connect ─▶ Hello ─▶ Welcome ─┬─▶ plan deltas      to the worker
//!     ▲                         ├─▶ acknowledgements to the keeper
//!     │                         ├─▶ credit           to the delivery ─▶ batches
//!     │                         └─▶ half life over: renew
//!     └── pause ◀── Farewell, end, trouble
//! ```
//!
//! Whatever goes wrong here is told and tried again. The worker never notices.

use std::{convert::Infallible, time::Duration};

use bailiwick_rpc::{
    IdentityError, Key, Link as Connection, Trouble,
    agent::{
        Acknowledged, Farewell, FromAgent, Hello, Identity, PlanDelta, Progress, ToAgent, Welcome,
        from_agent, to_agent,
    },
};
use bailiwick_wire::report::lane;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::{
    backoff::Backoff,
    delivery::{Delivery, Gone},
    folder,
    identity::{Member, MemberError},
    keeper::Keeper,
    settings::Settings,
};

/// The version of the protocol that is spoken here.
const PROTOCOL: u32 = 1;
/// How long the coordinator may take to welcome.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest that a coordinator may keep an agent away.
const LONGEST_FAREWELL: Duration = Duration::from_secs(3_600);
/// Messages to the coordinator that wait for HTTP/2.
const OUTBOX: usize = 4;
/// How long to wait after a renewal that failed, and after one that was refused.
const RENEW_AGAIN: Duration = Duration::from_secs(300);
const REFUSED_AGAIN: Duration = Duration::from_secs(900);

/// How a try to be in a session ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("no coordinator: {0}")]
    Connect(#[from] bailiwick_rpc::ConnectError),
    #[error("the certificate cannot be renewed: {0}")]
    Renew(IdentityError),
    #[error("the coordinator refuses this agent a new certificate: {0}")]
    Refused(IdentityError),
    #[error("{}", told(.0))]
    Session(Box<Status>),
    #[error("no welcome within {PATIENCE:?}")]
    Silent,
    #[error("the coordinator speaks version {0} of the protocol, this program {PROTOCOL}")]
    Protocol(u32),
    #[error("the coordinator began with something else than a welcome")]
    NoWelcome,
    #[error("the session ended")]
    Closed,
    #[error("the coordinator says farewell: {reason}")]
    Farewell { reason: String, pause: Duration },
    #[error("the certificate is new")]
    Renewed,
    #[error("the coordinator is told in a new session that reports are in memory only")]
    Degraded,
    #[error(transparent)]
    Answer(#[from] MemberError),
}

fn told(status: &Status) -> String {
    let why = status.message();
    match status.code() {
        Code::Unauthenticated => {
            format!("the coordinator refuses a session: {why} (is it approved, and not banned?)")
        }
        // Nobody said that: the connection has ended.
        Code::Unknown | Code::Unavailable | Code::Cancelled | Code::Internal => {
            format!("the session was cut off: {why}")
        }
        _ => format!("the coordinator refuses a session: {why}"),
    }
}

impl End {
    fn renew_again(&self) -> Duration {
        match self {
            Self::Refused(_) => REFUSED_AGAIN,
            _ => RENEW_AGAIN,
        }
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Session(Box::new(status))
    }
}

/// The way to the coordinator.
pub(crate) struct Link {
    pub(crate) settings: Settings,
    pub(crate) member: Member,
    pub(crate) keeper: Keeper,
    /// To the worker.
    pub(crate) deltas: mpsc::Sender<PlanDelta>,
    /// From the worker: which plan it has, and what is being done.
    pub(crate) revision: watch::Receiver<u64>,
    pub(crate) progress: mpsc::Receiver<Progress>,
    /// Drawn when the program began.
    pub(crate) boot: [u8; 16],
    /// When the certificate is to be renewed.
    pub(crate) renew_at: Instant,
    /// The coordinator said that the certificate is not good, whatever our clock says.
    pub(crate) stale: bool,
    /// When the coordinator did not know the certificate, and a new one was asked for.
    pub(crate) unknown: Option<Instant>,
    /// What the coordinator was told of the spool.
    pub(crate) durable: bool,
}

impl Link {
    /// Is in a session as often as possible.
    pub(crate) async fn run(mut self) -> Infallible {
        let mut backoff = Backoff::new(self.settings.retry);
        loop {
            let began = Instant::now();
            let Err(end) = self.try_once().await;
            let pause = match &end {
                // If that came at once, it may come again and again.
                End::Renewed if began.elapsed() >= self.settings.retry.first => {
                    tracing::info!("the certificate was renewed");
                    continue;
                }
                End::Farewell { pause, .. } => {
                    (*pause).max(backoff.pause(began.elapsed(), rand::random()))
                }
                End::Refused(_) => REFUSED_AGAIN.mul_f64(rand::random_range(0.5..1.5)),
                End::Session(status)
                    if status.code() == Code::Unauthenticated && self.renewed_by_key().await =>
                {
                    tracing::info!("the certificate was replaced by a new one");
                    continue;
                }
                _ => backoff.pause(began.elapsed(), rand::random()),
            };
            tracing::warn!("{end}; next try in {:.1} s", pause.as_secs_f64());
            sleep(pause).await;
        }
    }

    async fn try_once(&mut self) -> Result<Infallible, End> {
        if self.stale || self.member.left(&self.settings.clock).is_zero() {
            self.renew_from_outside().await?;
        }
        let connection = match self
            .member
            .coordinator
            .connect(Some(&self.member.credentials()))
            .await
        {
            Ok(connection) => connection,
            Err(error) => {
                self.stale = error.tried.iter().any(|(_, trouble)| {
                    matches!(trouble, Trouble::OwnEnded | Trouble::OwnRefused(_))
                });
                return Err(error.into());
            }
        };
        self.session(&connection).await
    }

    /// Renews over a connection without certificate: the key alone shows who this is.
    async fn renew_from_outside(&mut self) -> Result<(), End> {
        let connection = self.member.coordinator.connect(None).await?;
        let identity = renew(&connection, &self.member.key).await?;
        self.accept(&identity).await
    }

    /// Tries to get a certificate that the coordinator knows, if it does not know this one. It may
    /// be that of an old copy of the folder; or the agent is not approved yet, then this is in vain
    /// and is not tried often.
    async fn renewed_by_key(&mut self) -> bool {
        let now = Instant::now();
        if self.unknown.is_some_and(|tried| now < tried + RENEW_AGAIN) {
            return false;
        }
        self.unknown = Some(now);
        match self.renew_from_outside().await {
            Ok(()) => true,
            Err(end) => {
                tracing::debug!("{end}");
                false
            }
        }
    }

    async fn accept(&mut self, identity: &Identity) -> Result<(), End> {
        self.member.renewed(identity, &self.settings.clock)?;
        self.save().await;
        self.stale = false;
        self.renew_at = Instant::now() + self.member.renew_in(&self.settings.clock, rand::random());
        Ok(())
    }

    async fn save(&self) {
        let path = self.settings.folder.join(folder::IDENTITY);
        self.keeper.write(path, self.member.to_file()).await;
    }

    async fn session(&mut self, connection: &Connection) -> Result<Infallible, End> {
        let (say, said) = mpsc::channel(OUTBOX);
        self.durable = self.keeper.kept().borrow().durable;
        // The channel is empty and has its other end here.
        let _ = say.try_send(self.hello());
        let mut client = connection.agent();
        let welcomed = timeout(PATIENCE, async {
            let mut heard = client
                .session(ReceiverStream::new(said))
                .await?
                .into_inner();
            let welcome = welcome(heard.message().await?)?;
            Ok::<_, End>((heard, welcome))
        });
        let (heard, welcome) = welcomed.await.map_err(|_| End::Silent)??;
        if self.member.trust(&welcome.authorities)? {
            tracing::info!("the roots to trust have changed");
            self.save().await;
        }
        let at = connection.address().map(|address| address.to_string());
        tracing::info!(
            "in session as {} with {}",
            self.member.name,
            at.unwrap_or_default()
        );
        while self.progress.try_recv().is_ok() {} // Nobody waits for that any more.
        let (grant, credit) = watch::channel(welcome.credit);
        let delivery = Delivery::new(
            self.keeper.clone(),
            say.clone(),
            credit,
            self.settings.flush,
        );
        let reading = listen(heard, self.keeper.clone(), self.deltas.clone(), grant);
        let telling = tell(&mut self.progress, say);
        let mut renew_at = self.renew_at;
        let mut kept = self.keeper.kept();
        let said = self.durable;
        let identity = {
            let mut reading = std::pin::pin!(reading);
            let mut delivering = std::pin::pin!(delivery.run());
            let mut telling = std::pin::pin!(telling);
            loop {
                let renewal = async {
                    sleep_until(renew_at).await;
                    renew(connection, &self.member.key).await
                };
                tokio::select! {
                    end = &mut reading => return Err(end),
                    Gone = &mut delivering => return Err(End::Closed),
                    () = &mut telling => return Err(End::Closed),
                    Ok(_) = kept.wait_for(|kept| kept.durable != said) => {
                        return Err(End::Degraded);
                    }
                    renewed = renewal => match renewed {
                        Ok(identity) => break identity,
                        Err(end) => {
                            let pause = end.renew_again().mul_f64(rand::random_range(0.5..1.5));
                            tracing::error!("{end}; next try in {:.0} s", pause.as_secs_f64());
                            renew_at = Instant::now() + pause;
                        }
                    }
                }
            }
        };
        self.accept(&identity).await?;
        // The new certificate is only worth something once it was shown.
        Err(End::Renewed)
    }

    fn hello(&self) -> FromAgent {
        let hello = Hello {
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            features: Vec::new(),
            build: concat!("bailiwick-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
            boot: self.boot.to_vec().into(),
            plan_revision: *self.revision.borrow(),
            clock_us: self.settings.clock.now().0,
            lab: self.settings.allow_special_use,
            durable: self.durable,
        };
        FromAgent {
            kind: Some(from_agent::Kind::Hello(hello)),
        }
    }
}

async fn renew(connection: &Connection, key: &Key) -> Result<Identity, End> {
    let refusals = [
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::FailedPrecondition,
    ];
    match timeout(PATIENCE, connection.renew(key)).await {
        Ok(Ok(identity)) => Ok(identity),
        Ok(Err(IdentityError::Refused(status))) if refusals.contains(&status.code()) => {
            Err(End::Refused(IdentityError::Refused(status)))
        }
        Ok(Err(error)) => Err(End::Renew(error)),
        Err(_) => Err(End::Silent),
    }
}

/// Checks how a coordinator begins.
fn welcome(first: Option<ToAgent>) -> Result<Welcome, End> {
    match first.ok_or(End::Closed)?.kind {
        Some(to_agent::Kind::Welcome(welcome)) if welcome.protocol == PROTOCOL => Ok(welcome),
        Some(to_agent::Kind::Welcome(welcome)) => Err(End::Protocol(welcome.protocol)),
        Some(to_agent::Kind::Farewell(farewell)) => Err(End::farewell(farewell)),
        _ => Err(End::NoWelcome),
    }
}

impl End {
    fn farewell(farewell: Farewell) -> Self {
        let pause = Duration::from_nanos(farewell.retry_after_ns.try_into().unwrap_or(0));
        Self::Farewell {
            reason: farewell.reason,
            pause: pause.min(LONGEST_FAREWELL),
        }
    }
}

/// Does what the coordinator says, until it says no more.
async fn listen(
    mut heard: Streaming<ToAgent>,
    keeper: Keeper,
    deltas: mpsc::Sender<PlanDelta>,
    credit: watch::Sender<u64>,
) -> End {
    loop {
        let message = match heard.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return End::Closed,
            Err(status) => return status.into(),
        };
        match message.kind {
            Some(to_agent::Kind::Plan(delta)) => {
                if deltas.send(delta).await.is_err() {
                    return End::Closed; // The program ends.
                }
            }
            Some(to_agent::Kind::Acknowledged(acknowledged)) => {
                acknowledge(&keeper, &acknowledged).await;
            }
            Some(to_agent::Kind::Credit(more)) => {
                credit.send_modify(|credit| *credit = credit.saturating_add(more.octets));
            }
            Some(to_agent::Kind::Farewell(farewell)) => return End::farewell(farewell),
            // What a later version says is for later agents.
            Some(to_agent::Kind::Welcome(_)) | None => {}
        }
    }
}

async fn acknowledge(keeper: &Keeper, acknowledged: &Acknowledged) {
    match lane(acknowledged.lane) {
        Ok(lane) => {
            keeper
                .acknowledged(lane, acknowledged.epoch, acknowledged.through)
                .await;
        }
        Err(error) => tracing::warn!("an acknowledgement is not understood: {error}"),
    }
}

/// Tells how far checks have come, as long as there is nothing more important to send.
async fn tell(progress: &mut mpsc::Receiver<Progress>, say: mpsc::Sender<FromAgent>) {
    while let Some(progress) = progress.recv().await {
        let message = FromAgent {
            kind: Some(from_agent::Kind::Progress(progress)),
        };
        if let Err(mpsc::error::TrySendError::Closed(_)) = say.try_send(message) {
            return;
        }
    }
    std::future::pending().await
}
