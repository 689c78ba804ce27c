//! The program `bailiwick-coordinator`: opens rounds, gathers reports, judges, answers operators.
//!
//! ```text
//!  agents ──TLS──▶ enrol, session ──▶ store ──▶ rounds ──▶ judging ──▶ store
//!                      ▲  plans ◀─────────────────┐                      │
//!  operators ──▶ operator ── CreateCheck ─────────┘ ◀── events ──────────┘
//! ```
//!
//! - `roster`: who may do what at this moment
//! - `enrol`, `session`, `sessions`: agents
//! - `rounds`, `judging`, `revisions`: what they saw becomes a verdict
//! - `watches`: rounds that nobody waits for, again and again
//! - `refusals`, `retention`: what is not kept
//! - `operator`, `choosing`, `following`: what people ask
//! - `program`, `roots`: what is done in the folder, before it serves
//!
//! It asks nothing of the DNS. What it acknowledged is on the disk; everything else may be lost
//! with the process and is sent again. Start with [`Coordinator::start`].

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bailiwick_core::time::Timestamp;
use bailiwick_rpc::{
    AgentListener, Attempts, Authority, HostPort, OperatorListener, ServeError, ServerTls,
    TokenKey, access::Access, agent_routes, operator_routes,
};
use bailiwick_store::Store;
use prost::bytes::Bytes;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

pub mod args;
mod choosing;
mod clock;
mod clones;
mod enrol;
mod following;
mod judging;
mod networks;
mod operator;
mod pieces;
mod program;
mod refusals;
mod retention;
mod revisions;
mod roots;
mod roster;
mod rounds;
mod session;
mod sessions;
pub mod settings;
mod watches;

pub use judging::Rules;
pub use networks::{BadLine, Networks};
pub use program::{PROGRAM, start};
pub use retention::{KEEP, SHORTEST};
pub use roster::LocalRights;
pub use watches::PLAN_AHEAD;

use choosing::Quota;
use clones::Clones;
use enrol::Enrolment;
use judging::Quarantine;
use operator::Operators;
use refusals::Refusals;
use revisions::Revisions;
use roster::Roster;
use rounds::Rounds;
use session::Agents;
use sessions::Sessions;
use watches::Watches;

/// Where a coordinator listens, and what it goes by.
#[derive(Debug)]
pub struct Config {
    /// Where agents come in; port 0 lets the system choose.
    pub agents: SocketAddr,
    /// Where operators from elsewhere come in, if they may.
    pub operators: Option<SocketAddr>,
    /// The unix socket for operators of this machine.
    pub socket: Option<PathBuf>,
    /// Who may do what through the socket.
    pub local: LocalRights,
    /// Where agents find it, for invitations; if empty, where it listens.
    pub public: Vec<HostPort>,
    /// Which network an address belongs to.
    pub networks: Networks,
    /// Whether its agents look at a laboratory.
    pub lab: bool,
}

/// What a coordinator does with what it gathers.
#[derive(Clone, Debug)]
pub struct Habits {
    /// How long reports are kept.
    pub keep: Duration,
    /// By what it judges.
    pub rules: Rules,
    /// How long agents go on with a watch if they do not hear of the coordinator again.
    pub plan_ahead: Duration,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            keep: KEEP,
            rules: Rules::default(),
            plan_ahead: PLAN_AHEAD,
        }
    }
}

/// Why a coordinator cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Certificates cannot be made.
    #[error("cannot make a certificate: {0}")]
    Authority(#[from] bailiwick_rpc::AuthorityError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] bailiwick_rpc::TlsError),
    /// An address or the socket cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// The store does not answer.
    #[error("cannot read the store: {0}")]
    Store(#[from] bailiwick_store::Error),
}

/// Everything that calls share.
pub(crate) struct Shared {
    store: Arc<dyn Store>,
    authority: Authority,
    token_key: TokenKey,
    roster: Arc<Roster>,
    access: Access,
    attempts: Mutex<Attempts>,
    sessions: Sessions,
    clones: Clones,
    rounds: Rounds,
    revisions: Revisions,
    watches: Watches,
    plan_ahead: Duration,
    quarantine: Quarantine,
    refusals: Refusals,
    rules: Rules,
    keep: Duration,
    quota: Quota,
    /// Octets of reports that may still come in.
    intake: Arc<Semaphore>,
    networks: Networks,
    lab: bool,
    public: Vec<HostPort>,
    listening: SocketAddr,
    operators: Option<SocketAddr>,
    started: Timestamp,
    replica: String,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Where agents find this coordinator. Nobody knows that of one that listens everywhere.
    fn public(&self) -> Vec<HostPort> {
        if !self.public.is_empty() || self.listening.ip().is_unspecified() {
            return self.public.clone();
        }
        self.listening.to_string().parse().into_iter().collect()
    }

    /// The roots that whoever comes in is to believe from now on, in DER.
    fn authorities(&self) -> Vec<Bytes> {
        let roots = self.authority.roots().into_iter();
        roots.map(|root| root.to_vec().into()).collect()
    }

    /// Where operators from elsewhere find it, written host:port: the same hosts, another port.
    fn for_operators(&self) -> Vec<String> {
        let at = |operators: SocketAddr| {
            let port = operators.port();
            let hosts = self.public().into_iter();
            hosts.map(move |public| HostPort { port, ..public }.to_string())
        };
        self.operators.into_iter().flat_map(at).collect()
    }
}

/// A coordinator that runs. Dropping it ends it at once; [`Coordinator::stop`] says good-bye.
#[derive(Debug)]
pub struct Coordinator {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    serving: JoinSet<Result<(), ServeError>>,
    /// What goes on beside all calls, and ends with it.
    _beside: JoinSet<()>,
}

type Serving = Pin<Box<dyn Future<Output = Result<(), ServeError>> + Send>>;

impl Coordinator {
    /// Begins to listen, with the usual habits.
    ///
    /// # Errors
    ///
    /// Returns [`StartError`] if it cannot.
    pub async fn start(
        config: Config,
        authority: Authority,
        token_key: TokenKey,
        store: Arc<dyn Store>,
    ) -> Result<Self, StartError> {
        Self::start_with(config, authority, token_key, store, Habits::default()).await
    }

    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// Returns [`StartError`] if it cannot.
    pub async fn start_with(
        config: Config,
        authority: Authority,
        token_key: TokenKey,
        store: Arc<dyn Store>,
        habits: Habits,
    ) -> Result<Self, StartError> {
        let tls = ServerTls::new(&authority.server(SystemTime::now())?)?;
        let agents = AgentListener::bind(config.agents, Arc::clone(&tls)).await?;
        let remote = match config.operators {
            Some(address) => Some(OperatorListener::bind(address, Arc::clone(&tls)).await?),
            None => None,
        };
        let operators = remote.as_ref().and_then(OperatorListener::address);
        let local = match &config.socket {
            Some(path) => Some(OperatorListener::bind_local(path, config.local.group)?),
            None => None,
        };
        let roster = Arc::new(Roster::of(Arc::clone(&store), config.local).await?);
        let shared = Arc::new(Shared {
            rounds: Rounds::new(Arc::clone(&store)),
            store,
            authority,
            token_key,
            access: Access::new(Arc::clone(&roster) as _),
            roster,
            attempts: Mutex::default(),
            sessions: Sessions::default(),
            clones: Clones::default(),
            revisions: Revisions::default(),
            watches: Watches::default(),
            plan_ahead: habits.plan_ahead,
            quarantine: Quarantine::default(),
            refusals: Refusals::default(),
            rules: habits.rules,
            keep: habits.keep,
            quota: Quota::default(),
            intake: Arc::new(Semaphore::new(session::INTAKE)),
            networks: config.networks,
            lab: config.lab,
            public: config.public,
            listening: agents.address(),
            operators,
            started: clock::now(),
            replica: format!("{:016x}", rand::random::<u64>()),
        });
        shared.resume().await?;
        shared.resume_watches().await?;
        let (stop, stopped) = watch::channel(false);
        let mut serving = JoinSet::new();
        let routes = agent_routes(Enrolment(Arc::clone(&shared)), Agents(Arc::clone(&shared)));
        let until = |mut stopped| async move { until(&mut stopped).await };
        let access = || shared.access.clone();
        let at_agents: Serving = Box::pin(agents.serve(routes, access(), until(stopped.clone())));
        serving.spawn(at_agents);
        for listener in remote.into_iter().chain(local) {
            let routes = operator_routes(Operators(Arc::clone(&shared)));
            let served: Serving =
                Box::pin(listener.serve(routes, access(), until(stopped.clone())));
            serving.spawn(served);
        }
        let mut beside = JoinSet::new();
        beside.spawn(keep_up(Arc::clone(&shared), tls, stopped));
        beside.spawn(Arc::clone(&shared).revise());
        beside.spawn(Arc::clone(&shared).attend());
        beside.spawn(Arc::clone(&shared).forget());
        Ok(Self {
            shared,
            stop,
            serving,
            _beside: beside,
        })
    }

    /// Where agents come in.
    #[must_use]
    pub fn agents(&self) -> SocketAddr {
        self.shared.listening
    }

    /// Where operators from elsewhere come in, if they may.
    #[must_use]
    pub fn operators(&self) -> Option<SocketAddr> {
        self.shared.operators
    }

    /// Waits until a listener fails. Usually it does not.
    ///
    /// # Errors
    ///
    /// Returns why.
    pub async fn failed(&mut self) -> Result<(), ServeError> {
        match self.serving.join_next().await {
            Some(Ok(ended)) => ended,
            _ => Ok(()),
        }
    }

    /// Says good-bye to all agents, lets calls end, and closes.
    pub async fn stop(mut self) {
        self.shared.sessions.stop();
        self.stop.send_replace(true);
        while self.serving.join_next().await.is_some() {}
    }
}

/// Waits for the end.
async fn until(stopped: &mut watch::Receiver<bool>) {
    // An error means that the coordinator is gone, which is as good.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// What goes on beside all calls: the roster is looked at, and the server's certificate replaced
/// at two thirds of its life.
async fn keep_up(shared: Arc<Shared>, tls: Arc<ServerTls>, mut stopped: watch::Receiver<bool>) {
    const CERTIFICATE: Duration = Duration::from_hours(20 * 24);
    let mut look = tokio::time::interval(roster::REFRESH);
    let mut renew = tokio::time::interval(CERTIFICATE);
    renew.reset();
    loop {
        tokio::select! {
            () = until(&mut stopped) => return,
            _ = look.tick() => {
                if let Err(error) = shared.roster.refresh().await {
                    tracing::warn!(%error, "the roster cannot be looked at");
                }
            }
            _ = renew.tick() => {
                let renewed = shared.authority.server(SystemTime::now());
                let shown = renewed.map_err(|e| e.to_string())
                    .and_then(|identity| tls.replace(&identity).map_err(|e| e.to_string()));
                if let Err(error) = shown {
                    tracing::error!(%error, "the server's certificate cannot be renewed");
                }
            }
        }
    }
}
