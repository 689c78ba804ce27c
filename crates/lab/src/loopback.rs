//! A world on real sockets: UDP and TCP servers on addresses of 127.0.0.0/8.
//!
//! All servers share one port, so none needs root. They answer through [`World::respond`], as a
//! simulated check hears them; who asks is told by the source address
//! ([`Vantage::addresses`](crate::world::Vantage::addresses)), and whoever is unknown stands at
//! the first vantage point. The world can be replaced while the servers run.
//!
//! A user-space server cannot leave a SYN without answer or send ICMP errors. So a silent TCP
//! server here accepts and says nothing, and `unreachable` is silent over UDP; `port-closed`
//! without conditions leaves the port unbound, which is the real thing.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, tcp::OwnedWriteHalf},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    asking::Asking,
    network::mix,
    respond::{Asked, Opening, Response},
    world::{Carrier, World},
};

/// Answers over UDP that may be on their way at a time, per address; more questions are dropped.
const IN_FLIGHT: usize = 256;
/// Connections at a time, per address.
const CONNECTIONS: usize = 64;
/// Questions on one connection.
const QUESTIONS: usize = 16;
/// How long a connection may be quiet.
const QUIET: Duration = Duration::from_secs(10);
/// The longest query that is read, in octets.
const LONGEST: usize = 512;
/// Ports that are tried until one is free on all addresses.
const PORTS: usize = 20;

/// Running servers. They end when this is dropped.
#[derive(Debug)]
pub struct Loopback {
    shared: Arc<Shared>,
    port: u16,
    servers: JoinSet<()>,
}

/// Why a world cannot be put on sockets.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackError {
    /// An address outside of 127.0.0.0/8.
    #[error("{0} is no IPv4 loopback address")]
    NotLoopback(IpAddr),
    /// A socket cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// Address and port.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

#[derive(Debug)]
struct Shared {
    world: RwLock<Arc<World>>,
    began: Instant,
    asked: AtomicU64,
}

impl Loopback {
    /// Puts the world on sockets. Without a port, one is chosen that is free on all addresses.
    ///
    /// # Errors
    ///
    /// Returns [`LoopbackError`] for an address that is none of the loopback, or that is taken.
    pub async fn start(world: World, port: Option<u16>) -> Result<Self, LoopbackError> {
        let addresses = addresses(&world)?;
        let shared = Arc::new(Shared {
            world: RwLock::new(Arc::new(world)),
            began: Instant::now(),
            asked: AtomicU64::new(0),
        });
        let mut tries = if port.is_some() { 1 } else { PORTS };
        loop {
            tries -= 1;
            match bind(&shared, &addresses, port.unwrap_or(0)).await {
                Ok((port, sockets)) => {
                    let servers = serve(&shared, sockets);
                    return Ok(Self {
                        shared,
                        port,
                        servers,
                    });
                }
                Err(LoopbackError::Bind { source, .. })
                    if tries > 0 && source.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the port of all servers.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets the servers answer from another world from now on. Only the addresses with which the
    /// servers were started are listened on.
    pub fn replace(&self, world: World) {
        *self
            .shared
            .world
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(world);
    }

    /// Ends the servers and waits until their sockets are closed.
    pub async fn stop(mut self) {
        self.servers.shutdown().await;
    }
}

fn addresses(world: &World) -> Result<BTreeSet<IpAddr>, LoopbackError> {
    let addresses: BTreeSet<_> = world
        .hosts
        .iter()
        .flat_map(|host| host.addresses.iter().copied())
        .collect();
    match addresses
        .iter()
        .find(|address| !address.is_ipv4() || !address.is_loopback())
    {
        Some(&address) => Err(LoopbackError::NotLoopback(address)),
        None => Ok(addresses),
    }
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpListener),
}

/// Binds every address over both transports; with port 0 the first socket decides.
async fn bind(
    shared: &Shared,
    addresses: &BTreeSet<IpAddr>,
    mut port: u16,
) -> Result<(u16, BTreeMap<IpAddr, Vec<Socket>>), LoopbackError> {
    let mut bound: BTreeMap<IpAddr, Vec<Socket>> = BTreeMap::new();
    for &ip in addresses {
        let sockets = bound.entry(ip).or_default();
        for carrier in [Carrier::Udp, Carrier::Tcp] {
            if shared.is_closed(ip, carrier) {
                continue;
            }
            let address = SocketAddr::new(ip, port);
            let failed = |source| LoopbackError::Bind { address, source };
            let (socket, local) = match carrier {
                Carrier::Udp => {
                    let socket = UdpSocket::bind(address).await.map_err(failed)?;
                    let local = socket.local_addr().map_err(failed)?;
                    (Socket::Udp(socket), local)
                }
                Carrier::Tcp => {
                    let socket = TcpListener::bind(address).await.map_err(failed)?;
                    let local = socket.local_addr().map_err(failed)?;
                    (Socket::Tcp(socket), local)
                }
            };
            port = local.port();
            sockets.push(socket);
        }
    }
    Ok((port, bound))
}

fn serve(shared: &Arc<Shared>, sockets: BTreeMap<IpAddr, Vec<Socket>>) -> JoinSet<()> {
    let mut servers = JoinSet::new();
    for (ip, sockets) in sockets {
        for socket in sockets {
            let shared = Arc::clone(shared);
            match socket {
                Socket::Udp(socket) => servers.spawn(datagrams(shared, ip, socket)),
                Socket::Tcp(socket) => servers.spawn(connections(shared, ip, socket)),
            };
        }
    }
    servers
}

async fn datagrams(shared: Arc<Shared>, ip: IpAddr, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut answering = JoinSet::new();
    let mut buffer = [0; LONGEST];
    loop {
        // An ICMP error of an earlier answer arrives as an error here: not ours to mind.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        while answering.try_join_next().is_some() {}
        let Some(query) = Asking::read(&buffer[..length]) else {
            continue;
        };
        let Response::Answer(answer) = shared.respond(ip, from.ip(), Carrier::Udp, &query) else {
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            continue;
        };
        let socket = Arc::clone(&socket);
        answering.spawn(async move {
            let octets = query.echo(&answer);
            sleep(answer.after).await;
            for _ in 0..answer.junk {
                let mut junk = octets.clone();
                junk[0] ^= 0xff;
                let _ = socket.send_to(&junk, from).await;
            }
            // Whoever asked may be gone.
            let _ = socket.send_to(&octets, from).await;
            drop(place);
        });
    }
}

async fn connections(shared: Arc<Shared>, ip: IpAddr, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut talking = JoinSet::new();
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of file descriptors, perhaps: there may be some soon.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        while talking.try_join_next().is_some() {}
        if let Ok(place) = Arc::clone(&room).try_acquire_owned() {
            let shared = Arc::clone(&shared);
            talking.spawn(async move {
                talk(&shared, ip, from.ip(), stream).await;
                drop(place);
            });
        }
    }
}

async fn talk(shared: &Shared, ip: IpAddr, from: IpAddr, mut stream: TcpStream) {
    match shared.open(ip, from) {
        Opening::Accepted(_) => {}
        Opening::Rejected(..) | Opening::NoRoute => {
            let _ = stream.set_zero_linger();
            return;
        }
        Opening::Closes(_) => {
            let _ = timeout(QUIET, message(&mut stream)).await;
            return;
        }
        Opening::Silence | Opening::Stalls(_) => {
            // Until the other side has enough.
            let mut buffer = [0; LONGEST];
            while let Ok(Ok(1..)) = timeout(QUIET, stream.read(&mut buffer)).await {}
            return;
        }
    }
    let (mut reader, writer) = stream.into_split();
    let (to, answers) = mpsc::channel(QUESTIONS);
    let mut tasks = JoinSet::new();
    tasks.spawn(write(writer, answers));
    for _ in 0..QUESTIONS {
        let Ok(Some(octets)) = timeout(QUIET, message(&mut reader)).await else {
            break;
        };
        let Some(query) = Asking::read(&octets) else {
            continue;
        };
        if let Response::Answer(answer) = shared.respond(ip, from, Carrier::Tcp, &query) {
            let to = to.clone();
            tasks.spawn(async move {
                let octets = query.echo(&answer);
                sleep(answer.after).await;
                let _ = to.send((octets, answer.drips)).await;
            });
        }
    }
    drop(to);
    // The writer ends when the last answer is written.
    while tasks.join_next().await.is_some() {}
}

/// Reads one message behind its length (RFC 1035, section 4.2.2); `None` at the end.
async fn message(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let length = usize::from(stream.read_u16().await.ok()?);
    if length > LONGEST {
        return None;
    }
    let mut octets = vec![0; length];
    stream.read_exact(&mut octets).await.ok()?;
    Some(octets)
}

async fn write(mut writer: OwnedWriteHalf, mut answers: mpsc::Receiver<(Vec<u8>, bool)>) {
    while let Some((octets, drips)) = answers.recv().await {
        let mut framed = u16::try_from(octets.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes()
            .to_vec();
        framed.extend(octets);
        if !drips {
            if writer.write_all(&framed).await.is_err() {
                return;
            }
            continue;
        }
        for octet in framed {
            if writer.write_all(&[octet]).await.is_err() {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }
}

impl Shared {
    fn world(&self) -> Arc<World> {
        Arc::clone(&self.world.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn respond(&self, ip: IpAddr, from: IpAddr, carrier: Carrier, query: &Asking) -> Response {
        let world = self.world();
        world.respond(&self.asked(&world, ip, from, carrier, query))
    }

    fn open(&self, ip: IpAddr, from: IpAddr) -> Opening {
        let world = self.world();
        world.open(&self.asked(&world, ip, from, Carrier::Tcp, &Asking::nothing()))
    }

    /// Returns whether the port is closed to everybody.
    fn is_closed(&self, ip: IpAddr, carrier: Carrier) -> bool {
        let world = self.world();
        let nothing = Asking::nothing();
        let asked = self.asked(&world, ip, ip, carrier, &nothing);
        matches!(
            world.open(&asked),
            Opening::Rejected(bailiwick_core::observation::Rejection::Port, _)
        )
    }

    fn asked<'a>(
        &self,
        world: &'a World,
        ip: IpAddr,
        from: IpAddr,
        carrier: Carrier,
        query: &'a Asking,
    ) -> Asked<'a> {
        let path = world
            .vantages
            .iter()
            .find(|vantage| vantage.addresses.contains(&from))
            .or(world.vantages.first());
        Asked {
            address: ip,
            carrier,
            region: path.map_or("local", |vantage| &vantage.name),
            path,
            question: &query.question,
            options: query.options,
            udp_size: query.udp_size,
            id: query.envelope.id,
            now: self.began.elapsed(),
            chance: mix(self.asked.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scenario::Scenario,
        simulate::{Settings, simulate},
    };
    use bailiwick_core::{
        check::Check,
        limit::Limits,
        observation::Outcome,
        query::Via,
        report::{Report, RoundId},
        server::Family,
        vantage::VantagePoint,
    };
    use bailiwick_probe::{Ended, Session};

    const WORLD: &str = "\
[check example.com.]
families v4
no-resolvers
[server a.gtld.test. 192.0.2.3]
nsid fra1
zone com. complete
[server ns1.example.com. 192.0.2.10]
truncates 100 udp
zone example.com.
[server ns2.example.com. 192.0.2.11]
refused tcp
zone example.com.
[server ns3.example.com. 192.0.2.12]
port-closed
zone example.com.
";

    /// What was asked, and what came of it, without times.
    fn seen(report: &Report) -> Vec<String> {
        let mut seen: Vec<_> = report
            .observations
            .values()
            .filter(|o| !matches!(o.via, Via::Stub(_)))
            .map(|o| {
                let outcome = match &o.outcome {
                    Outcome::Reply(message) | Outcome::Late(message) => format!("{message:?}"),
                    other => format!("{other:?}"),
                };
                format!("{} {} {} {outcome}", o.via, o.server, o.question)
            })
            .collect();
        seen.sort();
        seen
    }

    fn ended(elapsed: Duration, packets: u32) -> Ended {
        Ended {
            vantage: VantagePoint::local([Family::V4].into()),
            round: RoundId(1),
            started: crate::scenario::START,
            elapsed,
            packets,
        }
    }

    async fn over_sockets(check: Check, port: u16) -> Report {
        let network = bailiwick_transport::Network::new(bailiwick_transport::Settings {
            limits: Limits::FULL_ROUND,
            allow_special_use: true,
            port,
            bind: Vec::new(),
            blackholes: Vec::new(),
        })
        .unwrap();
        let mut session = Session::new(check, Limits::FULL_ROUND);
        let driven = bailiwick_transport::drive(&mut session, &network, |_| {}).await;
        session.finish(ended(driven.elapsed, driven.packets))
    }

    #[tokio::test]
    async fn a_check_over_sockets_sees_what_a_simulated_one_sees() {
        let scenario = Scenario::parse(WORLD).unwrap();
        let (world, _) = scenario.world.on_loopback();
        let check = Check {
            roots: world.hints(),
            // An empty 127.0.0.0/8 address refuses where the simulated world is silent.
            blackholes: Vec::new(),
            ..scenario.check
        };
        let mut session = Session::new(check.clone(), Limits::FULL_ROUND);
        let (elapsed, packets) = simulate(&mut session, &world, &Settings::laboratory());
        let simulated = session.finish(ended(elapsed, packets));

        let servers = Loopback::start(world, None).await.unwrap();
        let real = over_sockets(check, servers.port()).await;
        servers.stop().await;

        assert_eq!(seen(&real), seen(&simulated));
        assert!(!simulated.observations.is_empty());
    }

    #[tokio::test]
    async fn only_loopback_addresses_are_listened_on() {
        let scenario = Scenario::parse(WORLD).unwrap();
        let error = Loopback::start(scenario.world, None).await.unwrap_err();
        assert!(matches!(error, LoopbackError::NotLoopback(_)), "{error}");
    }
}
