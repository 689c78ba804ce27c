//! The one place where DNS sockets are opened; each takes a [`PublicAddr`].

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpStream, UdpSocket},
    time::Instant,
};

use crate::special::PublicAddr;

/// Where sockets lead and begin.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// The port of all servers.
    pub(crate) port: u16,
    /// Addresses to send from, at most one a family is used.
    pub(crate) bind: Vec<IpAddr>,
}

impl Ends {
    /// Sends a datagram from a new socket that hears from this address only.
    ///
    /// The kernel gives the socket a port at random, a new one each time.
    pub(crate) fn udp(
        &self,
        to: PublicAddr,
        octets: &[u8],
        sent: &mut Instant,
    ) -> io::Result<UdpSocket> {
        let socket = self.open(to, Type::DGRAM, Protocol::UDP)?;
        socket.connect(&SocketAddr::new(to.address(), self.port).into())?;
        *sent = Instant::now();
        socket.send(octets)?;
        UdpSocket::from_std(socket.into())
    }

    /// Begins to open a TCP connection; writable means open, or failed.
    pub(crate) fn tcp(&self, to: PublicAddr) -> io::Result<TcpStream> {
        let socket = self.open(to, Type::STREAM, Protocol::TCP)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&SocketAddr::new(to.address(), self.port).into()) {
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
