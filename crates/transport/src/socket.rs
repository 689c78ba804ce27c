//! The one place where DNS sockets are opened; each takes a [`PublicAddr`].
//!
//! A test looks for the names of socket types in all other files, so those go by other names there.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::Interest,
    net::{TcpStream, UdpSocket},
    time::Instant,
};

use crate::{PORT, special::PublicAddr};

/// A socket for datagrams to and from one address.
pub(crate) type Datagrams = UdpSocket;
/// A TCP connection.
pub(crate) type Connection = TcpStream;

/// What is spoken with a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Service {
    /// DNS over UDP and TCP.
    Plain,
    /// DNS over TLS.
    Tls,
    /// DNS over HTTPS.
    Https,
}

/// Where sockets lead and begin.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// The port of all servers: [`PORT`], or that of a laboratory.
    pub(crate) port: u16,
    /// Addresses to send from, at most one a family is used.
    pub(crate) bind: Vec<IpAddr>,
}

impl Ends {
    /// Returns the port of a service (RFC 7858, section 3.1; RFC 8484, section 4.1).
    ///
    /// A laboratory has one port for everything.
    pub(crate) fn port(&self, service: Service) -> u16 {
        match service {
            Service::Tls if self.port == PORT => 853,
            Service::Https if self.port == PORT => 443,
            _ => self.port,
        }
    }

    /// Sends a datagram from a new socket that hears from this address only.
    ///
    /// The kernel gives the socket a port at random, a new one each time.
    pub(crate) fn udp(
        &self,
        to: PublicAddr,
        octets: &[u8],
        sent: &mut Instant,
    ) -> io::Result<Datagrams> {
        let socket = self.open(to, Type::DGRAM, Protocol::UDP)?;
        socket.connect(&SocketAddr::new(to.address(), self.port).into())?;
        *sent = Instant::now();
        socket.send(octets)?;
        UdpSocket::from_std(socket.into())
    }

    /// Begins to open a TCP connection; writable means open, or failed.
    pub(crate) fn tcp(&self, to: PublicAddr, service: Service) -> io::Result<Connection> {
        let socket = self.open(to, Type::STREAM, Protocol::TCP)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&SocketAddr::new(to.address(), self.port(service)).into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => Err(error),
            _ => TcpStream::from_std(socket.into()),
        }
    }

    fn open(&self, to: PublicAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let to = to.address();
        let domain = if to.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        let socket = Socket::new(domain, kind.nonblocking(), Some(protocol))?;
        if let Some(&from) = self.bind.iter().find(|from| from.is_ipv4() == to.is_ipv4()) {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        Ok(socket)
    }
}

/// Waits until there is a datagram or an ICMP error; the kernel does not call the latter readable.
pub(crate) async fn heard(socket: &Datagrams) -> io::Result<()> {
    let heard = Interest::READABLE.add(Interest::ERROR);
    socket.ready(heard).await.map(|_| ())
}

/// Receives a datagram or an ICMP error, if there is one.
pub(crate) fn receive(socket: &Datagrams, buffer: &mut [u8]) -> io::Result<usize> {
    let mut receive = || (&*SockRef::from(socket)).read(buffer);
    // One at a time: of both together tokio would forget neither when there is nothing.
    match socket.try_io(Interest::READABLE, &mut receive) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            socket.try_io(Interest::ERROR, &mut receive)
        }
        received => received,
    }
}
