//! Carries one DNS query over the network and gives back what came of it.
//!
//! A [`Network`] belongs to one check. It never retries, falls back, caches or
//! follows: whoever wants another packet asks for another [`Query`]. Whatever
//! the network does is an [`Observation`]; what the limits or the address filter
//! forbid is one, too ([`Outcome::Withheld`]).
//!
//! ```text
//!  Query ─▶ special  may this address be asked at all?
//!        ─▶ uplink   wait: one at a time, 256 sockets, packets a second
//!        ─▶ limits   has the check packets left?
//!        ─▶ udp, tcp, stub ⇄ socket, the one place that opens any
//!        ─▶ Observation
//! ```
//!
//! [`drive()`] joins a [`Machine`](bailiwick_probe::Machine) with a network until it is done.

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bailiwick_core::{
    limit::Limits,
    observation::{Observation, Outcome, Withheld},
    query::{Query, Via},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::Instant,
};

mod drive;
mod limits;
mod reply;
mod socket;
mod special;
mod stub;
mod tcp;
mod udp;
mod uplink;

pub use drive::{Driven, drive};
pub use special::{BLACKHOLES, PublicAddr};
pub use uplink::Uplink;

use limits::Ledger;
use socket::Ends;
use special::Filter;
use uplink::Gate;

/// The port of DNS (RFC 1035, section 4.2).
pub const PORT: u16 = 53;

/// How often, and at what distance, a socket is tried when file descriptors are short.
const DESCRIPTOR_TRIES: u32 = 100;
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(20);

/// What one check may do on the network.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The limits B1 to B10.
    pub limits: Limits,
    /// Whether addresses that are not globally reachable may be asked: a laboratory.
    pub allow_special_use: bool,
    /// The port of all servers: [`PORT`], another only in a laboratory.
    pub port: u16,
    /// Addresses to send from, one a family; a family without one lets the routes decide.
    pub bind: Vec<IpAddr>,
    /// Which of [`BLACKHOLES`] control C3 may use.
    pub blackholes: Vec<IpAddr>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Another port than 53 outside of a laboratory.
    #[error("port {port} is for laboratories only; servers listen on {PORT}")]
    Port {
        /// What was given.
        port: u16,
    },
    /// A control address that is none of [`BLACKHOLES`].
    #[error("{address} is no blackhole address; those are 192.0.2.1 and 2001:db8::1")]
    Blackhole {
        /// What was given.
        address: IpAddr,
    },
    /// The addresses of this machine cannot be listed, so they cannot be kept out.
    #[error("cannot list the addresses of this machine")]
    Interfaces(#[source] nix::Error),
}

/// The network as one check may use it.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    filter: Filter,
    ends: Ends,
    ledger: Ledger,
    uplink: Uplink,
    began: OnceLock<Instant>,
    stopped: watch::Receiver<bool>,
}

impl Network {
    /// Begins a check that has the machine for itself.
    ///
    /// # Errors
    ///
    /// Returns [`SettingsError`] for settings that only a laboratory may have.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Self::on(&Uplink::default(), settings)
    }

    /// Begins a check beside others on the same machine.
    ///
    /// # Errors
    ///
    /// Returns [`SettingsError`] for settings that only a laboratory may have.
    pub fn on(uplink: &Uplink, settings: Settings) -> Result<Self, SettingsError> {
        let (stop, stopped) = watch::channel(false);
        Ok(Self {
            shared: Arc::new(Shared {
                filter: filter(&settings)?,
                ledger: Ledger::new(settings.limits),
                limits: settings.limits,
                ends: Ends {
                    port: settings.port,
                    bind: settings.bind,
                },
                uplink: uplink.clone(),
                began: OnceLock::new(),
                stopped,
            }),
            stop,
        })
    }

    /// Asks the questions of a query and sends what comes of each, as it comes.
    ///
    /// Each question has one outcome in time. A question over UDP that had no
    /// answer may have one more, [`Outcome::Late`]: the future then ends only
    /// with that answer, with [`stop`](Self::stop), or with the time of the check.
    pub fn exchange(
        &self,
        query: Query,
        to: mpsc::Sender<Observation>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.exchange(query, to).await }
    }

    /// Ends listening for late answers.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns how many packets were sent: UDP datagrams and TCP connections opened.
    #[must_use]
    pub fn packets(&self) -> u32 {
        self.shared.ledger.packets()
    }

    /// Returns how long the check takes already; it begins with the first call or query.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.elapsed()
    }
}

fn filter(settings: &Settings) -> Result<Filter, SettingsError> {
    if settings.port != PORT && !settings.allow_special_use {
        return Err(SettingsError::Port {
            port: settings.port,
        });
    }
    if let Some(&address) = settings.blackholes.iter().find(|a| !BLACKHOLES.contains(a)) {
        return Err(SettingsError::Blackhole { address });
    }
    Ok(Filter {
        allow_special_use: settings.allow_special_use,
        own: own_addresses().map_err(SettingsError::Interfaces)?,
        blackholes: settings.blackholes.iter().copied().collect(),
    })
}

/// Returns the addresses of this machine's interfaces.
fn own_addresses() -> Result<BTreeSet<IpAddr>, nix::Error> {
    Ok(nix::ifaddrs::getifaddrs()?
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect())
}

/// Why the kernel let no packet leave.
fn not_sent(error: &io::Error) -> Withheld {
    use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    match error.raw_os_error() {
        Some(EMFILE | ENFILE | ENOBUFS | ENOMEM) => Withheld::NoSocket,
        // Whatever else it refuses is about the way: no route, no family, no permission.
        _ => Withheld::NoRoute,
    }
}

/// Leave to send one packet; ends when dropped.
struct Leave {
    /// Others with the same question, or to the same address over TCP, wait for this.
    turn: OwnedSemaphorePermit,
    socket: OwnedSemaphorePermit,
}

impl Shared {
    async fn exchange(self: Arc<Self>, query: Query, to: mpsc::Sender<Observation>) {
        match self.filter.admit(query.server.address, query.role) {
            Err(withheld) => self.withhold(&query, withheld, &to).await,
            Ok(address) => match query.via {
                Via::Udp => udp::exchange(&self, &query, address, &to).await,
                Via::Tcp => tcp::exchange(&self, &query, address, &to).await,
                Via::Stub(stub) => stub::exchange(&self, &query, stub, address, &to).await,
            },
        }
    }

    /// Says of all questions that they were not asked.
    async fn withhold(&self, query: &Query, withheld: Withheld, to: &mpsc::Sender<Observation>) {
        let now = self.elapsed();
        for question in 0..query.questions.len() {
            let outcome = Outcome::Withheld(withheld);
            // Nobody who listens is nobody who misses it.
            let _ = to
                .send(Observation::of(query, question, now, outcome))
                .await;
        }
    }

    /// Waits for everything that one has to wait for before sending.
    async fn leave(&self, gate: Gate, to: IpAddr) -> Result<Leave, Withheld> {
        let leave = self.turn(gate).await?;
        self.pace(to).await?;
        Ok(leave)
    }

    /// Waits until nobody else does the same, and until there is a place for a socket.
    async fn turn(&self, gate: Gate) -> Result<Leave, Withheld> {
        let wait = async {
            Leave {
                turn: self.uplink.pass(gate).await,
                socket: self.uplink.socket().await,
            }
        };
        tokio::time::timeout_at(self.deadline(), wait)
            .await
            .map_err(|_| Withheld::Time)
    }

    /// Waits until this machine may send a packet there. Who will be refused anyway takes no
    /// place in the queue.
    async fn pace(&self, to: IpAddr) -> Result<(), Withheld> {
        if let Some(refusal) = self.ledger.refusal(self.elapsed(), to) {
            return Err(refusal);
        }
        let in_time = self.uplink.pace(to, self.deadline()).await;
        in_time.then_some(()).ok_or(Withheld::Time)
    }

    /// Opens a socket with its first packet, and books the packet.
    ///
    /// A machine that has no file descriptor left may have one soon, so that is waited for a while.
    async fn open<T>(
        &self,
        to: IpAddr,
        mut open: impl FnMut() -> io::Result<T>,
    ) -> Result<T, Withheld> {
        for _ in 0..DESCRIPTOR_TRIES {
            match self.ledger.send(self.elapsed(), to, &mut open)? {
                Ok(opened) => return Ok(opened),
                Err(error) => match error.raw_os_error() {
                    Some(nix::libc::EMFILE | nix::libc::ENFILE) => {
                        let _wish = self.uplink.wish();
                        tokio::time::sleep(DESCRIPTOR_PAUSE).await;
                    }
                    _ => return Err(not_sent(&error)),
                },
            }
        }
        Err(Withheld::NoSocket)
    }

    fn began(&self) -> Instant {
        *self.began.get_or_init(Instant::now)
    }

    fn elapsed(&self) -> Duration {
        self.began().elapsed()
    }

    /// Returns when the time of the check is over (limit B8).
    fn deadline(&self) -> Instant {
        self.began() + self.limits.wall_time
    }

    /// Waits until nobody wants late answers any more.
    async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // An error means that the network is gone, which is as good.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}
