//! One small DNS question, to see whether a server is up.
//!
//! It knows just enough of RFC 1035 to ask and to read the header of the
//! answer; what the answer says is for the program under test.

use std::io::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// The header bits of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    /// The response code.
    pub(super) rcode: u8,
    /// Whether the server speaks with authority (AA).
    pub(super) authoritative: bool,
    /// The number of records in the answer section.
    pub(super) answers: u16,
}

/// Asks a server for the SOA record of a name, over UDP from the calling
/// thread's network namespace.
///
/// # Errors
///
/// Fails if no answer comes within half a second.
pub(super) fn soa(server: IpAddr, name: &str, recursion_desired: bool) -> Result<Answer> {
    let any: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.connect(SocketAddr::new(server, 53))?;
    socket.send(&question(name, recursion_desired))?;
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer)?;
    read(&answer[..length]).ok_or_else(|| std::io::Error::other("not an answer"))
}

fn question(name: &str, recursion_desired: bool) -> Vec<u8> {
    let flags = u8::from(recursion_desired);
    let mut message = vec![0x0b, 0x53, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap_or(63));
        message.extend(label.bytes().take(63));
    }
    message.extend([0, 0, 6, 0, 1]); // root label, type SOA, class IN
    message
}

fn read(message: &[u8]) -> Option<Answer> {
    let header: &[u8; 12] = message.first_chunk()?;
    let is_response = header[2] & 0x80 != 0;
    is_response.then_some(Answer {
        rcode: header[3] & 0x0f,
        authoritative: header[2] & 0x04 != 0,
        answers: u16::from_be_bytes([header[6], header[7]]),
    })
}
