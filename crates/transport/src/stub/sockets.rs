//! The sockets that a stub resolver's look-up gets: those of [`socket`](crate::socket).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bailiwick_core::{
    message::Question,
    observation::{Outcome, Withheld},
};
use bailiwick_wire::dns;
use hickory_net::runtime::{
    DnsUdpSocket, RuntimeProvider, Spawn, TokioTime, iocompat::AsyncIoTokioAsStd,
};
use tokio::{io::ReadBuf, sync::OwnedSemaphorePermit, task::JoinSet, time::Instant};

use crate::{
    Shared,
    limits::lock,
    not_sent,
    reply::{Asked, Kinship},
    socket::{Connection, Datagrams, Service, heard, receive},
    special::PublicAddr,
    tcp::opened,
    udp::rejection,
    uplink::Gate,
};

/// One look-up: where its packets may go, and what its sockets saw.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) shared: Arc<Shared>,
    address: PublicAddr,
    question: Question,
    seen: Mutex<Seen>,
}

/// What the sockets of a look-up saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When the first packet left.
    pub(super) sent: Option<Instant>,
    /// Why there is no answer, if a socket knows.
    pub(super) outcome: Option<Outcome>,
    /// The last reply over UDP.
    pub(super) reply: Option<Reply>,
    asked: Option<Asked>,
    /// Whether the datagram was given away.
    bound: bool,
    /// The turn of the TCP connection.
    turn: Option<OwnedSemaphorePermit>,
}

/// A reply over UDP.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) octets: Vec<u8>,
    pub(super) truncated: bool,
}

impl Lookup {
    pub(super) fn new(shared: &Arc<Shared>, address: PublicAddr, question: Question) -> Self {
        Self {
            shared: Arc::clone(shared),
            address,
            question,
            seen: Mutex::default(),
        }
    }

    /// Returns what was seen, and ends the turn of the connection.
    pub(super) fn seen(&self) -> Seen {
        std::mem::take(&mut lock(&self.seen))
    }

    /// Notes why nothing was sent, and gives the resolver an error to stop at.
    fn withhold(&self, withheld: Withheld) -> io::Error {
        lock(&self.seen).outcome = Some(Outcome::Withheld(withheld));
        io::Error::other(withheld.to_string())
    }

    /// Refuses every other destination than the one that was looked up in the registries.
    fn check(&self, to: SocketAddr) -> io::Result<()> {
        if to.ip() == self.address.address() {
            Ok(())
        } else {
            Err(self.withhold(Withheld::SpecialUse))
        }
    }

    /// Returns a datagram socket; only the first one that is asked for ever comes.
    ///
    /// The resolver sends again when it hears nothing for a while. Here whoever wants
    /// another packet asks for another query.
    async fn datagram(self: Arc<Self>, to: SocketAddr) -> io::Result<Datagram> {
        self.check(to)?;
        if std::mem::replace(&mut lock(&self.seen).bound, true) {
            return std::future::pending().await;
        }
        let paced = self.shared.pace(to.ip()).await;
        paced.map_err(|withheld| self.withhold(withheld))?;
        Ok(Datagram {
            lookup: self,
            socket: OnceLock::new(),
        })
    }

    /// Opens the datagram socket with its packet.
    fn send(&self, octets: &[u8]) -> io::Result<Datagrams> {
        let shared = &self.shared;
        let mut sent = Instant::now();
        let opened = shared
            .ledger
            .send(shared.elapsed(), self.address.address(), || {
                shared.ends.udp(self.address, octets, &mut sent)
            });
        match opened {
            Ok(Ok(socket)) => {
                let mut seen = lock(&self.seen);
                seen.sent = Some(sent);
                seen.asked = Asked::of(octets, &self.question);
                Ok(socket)
            }
            Ok(Err(error)) => Err(self.withhold(not_sent(&error))),
            Err(withheld) => Err(self.withhold(withheld)),
        }
    }

    /// Keeps a datagram if it is the reply.
    fn receive(&self, octets: &[u8]) {
        let mut seen = lock(&self.seen);
        let ours = seen
            .asked
            .as_ref()
            .is_some_and(|asked| asked.kinship(octets) != Kinship::Stranger);
        if ours {
            seen.reply = Some(Reply {
                octets: octets.to_vec(),
                truncated: dns::peek(octets).is_some_and(|envelope| envelope.truncated),
            });
        }
    }

    /// Opens a connection, as [`tcp`](crate::tcp) does.
    async fn connect(self: Arc<Self>, to: SocketAddr) -> io::Result<Connection> {
        self.check(to)?;
        let shared = &self.shared;
        let service = [Service::Plain, Service::Tls, Service::Https]
            .into_iter()
            .find(|&service| shared.ends.port(service) == to.port())
            .ok_or_else(|| self.withhold(Withheld::SpecialUse))?;
        let turn = shared.uplink.pass(Gate::Connection(to.ip())).await;
        let paced = shared.pace(to.ip()).await;
        paced.map_err(|withheld| self.withhold(withheld))?;
        let stream = shared
            .open(to.ip(), || shared.ends.tcp(self.address, service))
            .await
            .map_err(|withheld| self.withhold(withheld))?;
        {
            let mut seen = lock(&self.seen);
            seen.turn = Some(turn);
            seen.sent.get_or_insert_with(Instant::now);
        }
        let limit = shared.limits.tcp_connect;
        match tokio::time::timeout(limit, opened(&stream)).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(outcome)) => {
                lock(&self.seen).outcome = Some(outcome);
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Gives a look-up its sockets.
#[derive(Clone)]
pub(super) struct Sockets {
    lookup: Arc<Lookup>,
    tasks: Tasks,
}

impl Sockets {
    pub(super) fn new(lookup: &Arc<Lookup>) -> Self {
        Self {
            lookup: Arc::clone(lookup),
            tasks: Tasks::default(),
        }
    }

    pub(super) fn address(&self) -> IpAddr {
        self.lookup.address.address()
    }

    pub(super) fn port(&self, service: Service) -> u16 {
        self.lookup.shared.ends.port(service)
    }

    /// Ends what the resolver still does in the background.
    pub(super) fn close(&self) {
        lock(&self.tasks.0).abort_all();
    }
}

/// What the resolver does in the background.
#[derive(Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Spawn for Tasks {
    fn spawn_bg(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        lock(&self.0).spawn(future);
    }
}

/// What comes of waiting for a socket, as the resolver wants it.
type Opening<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for Sockets {
    type Handle = Tasks;
    type Timer = TokioTime;
    type Udp = Datagram;
    type Tcp = AsyncIoTokioAsStd<Connection>;

    fn create_handle(&self) -> Tasks {
        self.tasks.clone()
    }

    fn connect_tcp(
        &self,
        to: SocketAddr,
        _from: Option<SocketAddr>,
        _timeout: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        let lookup = Arc::clone(&self.lookup);
        Box::pin(async move { lookup.connect(to).await.map(AsyncIoTokioAsStd) })
    }

    fn bind_udp(&self, _from: SocketAddr, to: SocketAddr) -> Opening<Datagram> {
        Box::pin(Arc::clone(&self.lookup).datagram(to))
    }
}

/// A socket for one datagram and its replies; it is opened by sending.
pub(super) struct Datagram {
    lookup: Arc<Lookup>,
    socket: OnceLock<Datagrams>,
}

impl DnsUdpSocket for Datagram {
    type Time = TokioTime;

    fn poll_send_to(
        &self,
        _: &mut Context<'_>,
        octets: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.lookup.check(to)?;
        let socket = self.lookup.send(octets)?;
        Poll::Ready(match self.socket.set(socket) {
            Ok(()) => Ok(octets.len()),
            Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
        })
    }

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let Some(socket) = self.socket.get() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let mut buffer = ReadBuf::new(buffer);
        ready!(socket.poll_recv(cx, &mut buffer))?;
        Poll::Ready(Ok(self.received(buffer.filled())))
    }

    fn recv_from<'s, 'b, 'f>(&'s self, buffer: &'b mut [u8]) -> Receiving<'f>
    where
        's: 'f,
        'b: 'f,
        Self: 'f,
    {
        Box::pin(self.receive(buffer))
    }
}

/// What comes of waiting for a datagram, as the resolver wants it.
type Receiving<'f> = Pin<Box<dyn Send + Future<Output = io::Result<(usize, SocketAddr)>> + 'f>>;

impl Datagram {
    /// Waits for a datagram or an ICMP error.
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let socket = self.socket.get().ok_or(io::ErrorKind::NotConnected)?;
        let length = loop {
            heard(socket).await?;
            match receive(socket, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(length) => break length,
                Err(error) => {
                    // The resolver forgets the error, so it is kept here.
                    lock(&self.lookup.seen).outcome = rejection(&error);
                    return Err(error);
                }
            }
        };
        Ok(self.received(&buffer[..length]))
    }

    /// Says whose datagram it is: the socket is connected, so nobody else can have sent it.
    fn received(&self, octets: &[u8]) -> (usize, SocketAddr) {
        self.lookup.receive(octets);
        let ip = self.lookup.address.address();
        let port = self.lookup.shared.ends.port(Service::Plain);
        (octets.len(), SocketAddr::new(ip, port))
    }
}
