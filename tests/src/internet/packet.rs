//! What the switch must know of an IP packet: from where, to where, carrying
//! what.
//!
//! A [`Datagram`] can also be taken out of a packet and put into one, for what a
//! middlebox or a forger does. Nothing is checked beyond what forwarding and counting need; the two kernels
//! at the ends verify checksums and lengths. The layouts are those of RFC 791,
//! RFC 8200, RFC 768 and RFC 9293.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const IPV6_FRAGMENT: u8 = 44;
const TCP: u8 = 6;
const UDP: u8 = 17;

const TCP_SYN: u8 = 0x02;
const TCP_ACK: u8 = 0x10;

/// The envelope of one IP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Packet {
    /// The address that the packet says it comes from.
    pub(super) source: IpAddr,
    /// The address that it goes to.
    pub(super) destination: IpAddr,
    /// What it carries.
    pub(super) payload: Payload,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Payload {
    /// A UDP datagram, or the first fragment of one.
    Udp {
        /// Source port.
        from: u16,
        /// Destination port.
        to: u16,
    },
    /// A TCP segment.
    Tcp {
        /// Source port.
        from: u16,
        /// Destination port.
        to: u16,
        /// The sequence number, if this segment asks for a connection (SYN
        /// without ACK): a repeated SYN has the same one.
        opens: Option<u32>,
    },
    /// A later fragment, ICMP, or anything else.
    Other {
        /// The IANA number of the protocol.
        protocol: u8,
    },
}

impl Packet {
    /// Reads the envelope, or `None` if the packet is too short to have one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::read_v4(bytes),
            6 => Self::read_v6(bytes),
            _ => None,
        }
    }

    fn read_v4(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; 20] = bytes.first_chunk()?;
        let length = usize::from(header[0] & 0x0f) * 4;
        let first_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
        let payload = Payload::read(header[9], bytes.get(length..)?, first_fragment)?;
        Some(Self {
            source: Ipv4Addr::from(*bytes[12..].first_chunk::<4>()?).into(),
            destination: Ipv4Addr::from(*bytes[16..].first_chunk::<4>()?).into(),
            payload,
        })
    }

    fn read_v6(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; 40] = bytes.first_chunk()?;
        let mut protocol = header[6];
        let mut rest = &bytes[40..];
        let mut first_fragment = true;
        if protocol == IPV6_FRAGMENT {
            let fragment: &[u8; 8] = rest.first_chunk()?;
            protocol = fragment[0];
            first_fragment = u16::from_be_bytes([fragment[2], fragment[3]]) & 0xfff8 == 0;
            rest = &rest[8..];
        }
        Some(Self {
            source: Ipv6Addr::from(*bytes[8..].first_chunk::<16>()?).into(),
            destination: Ipv6Addr::from(*bytes[24..].first_chunk::<16>()?).into(),
            payload: Payload::read(protocol, rest, first_fragment)?,
        })
    }

    /// Returns where a datagram or segment goes; without ports, port 0.
    pub(super) fn destination_socket(&self) -> SocketAddr {
        let port = match self.payload {
            Payload::Udp { to, .. } | Payload::Tcp { to, .. } => to,
            Payload::Other { .. } => 0,
        };
        SocketAddr::new(self.destination, port)
    }
}

impl Payload {
    fn read(protocol: u8, bytes: &[u8], first_fragment: bool) -> Option<Self> {
        let port = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        match protocol {
            UDP if first_fragment => Some(Self::Udp {
                from: port(0)?,
                to: port(2)?,
            }),
            TCP if first_fragment => {
                let flags = *bytes.get(13)?;
                let sequence = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
                let opens = flags & (TCP_SYN | TCP_ACK) == TCP_SYN;
                Some(Self::Tcp {
                    from: port(0)?,
                    to: port(2)?,
                    opens: opens.then_some(sequence),
                })
            }
            _ => Some(Self::Other { protocol }),
        }
    }
}

/// A UDP datagram with the addresses it travels under.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// Where it says it comes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// Takes the datagram out of an IP packet; `None` if there is none, or only
    /// a part of one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let Packet {
            source,
            destination,
            payload: Payload::Udp { from, to },
        } = Packet::read(bytes)?
        else {
            return None;
        };
        let header = match source {
            IpAddr::V4(_) => usize::from(bytes.first()? & 0x0f) * 4,
            IpAddr::V6(_) if bytes.get(6) == Some(&UDP) => 40,
            IpAddr::V6(_) => return None,
        };
        let datagram = bytes.get(header..)?;
        let length = u16::from_be_bytes([*datagram.get(4)?, *datagram.get(5)?]);
        Some(Self {
            source: SocketAddr::new(source, from),
            destination: SocketAddr::new(destination, to),
            payload: datagram.get(8..usize::from(length))?.to_vec(),
        })
    }

    /// Returns the datagram that answers this one with `payload`: from where it
    /// went, to where it came from.
    #[must_use]
    pub fn answer(&self, payload: Vec<u8>) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            payload,
        }
    }

    /// Puts the datagram into an IP packet. `None` if it is longer than UDP
    /// allows or its addresses are of two families.
    pub(super) fn packet(&self) -> Option<Vec<u8>> {
        let length = u16::try_from(self.payload.len() + 8).ok()?;
        let mut datagram = Vec::with_capacity(usize::from(length));
        datagram.extend(self.source.port().to_be_bytes());
        datagram.extend(self.destination.port().to_be_bytes());
        datagram.extend(length.to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(&self.payload);

        let addresses = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
            _ => return None,
        };
        let pseudo_header = [&addresses[..], &[0, UDP], &length.to_be_bytes()].concat();
        let sum = match checksum(&[&pseudo_header[..], &datagram].concat()) {
            0 => 0xffff, // zero would mean: no checksum
            sum => sum,
        };
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());

        let mut packet = if self.source.is_ipv4() {
            let total = u16::try_from(20 + datagram.len()).ok()?;
            let mut header = vec![0x45, 0];
            header.extend(total.to_be_bytes());
            header.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
            header.extend(&addresses);
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        } else {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(length.to_be_bytes());
            header.extend([UDP, 64]);
            header.extend(&addresses);
            header
        };
        packet.extend(datagram);
        Some(packet)
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| {
            let low = pair.get(1).copied().unwrap_or(0);
            u32::from(u16::from_be_bytes([pair[0], low]))
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0];
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([64, protocol, 0, 0, 45, 83, 1, 2, 8, 8, 8, 8]);
        bytes.extend(payload);
        bytes
    }

    fn tcp(flags: u8) -> Vec<u8> {
        let mut segment = vec![0x30, 0x39, 0, 53, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, flags];
        segment.extend([0; 6]);
        segment
    }

    #[test]
    fn payload_is_told_by_protocol_fragment_and_flags() {
        let udp = [0x30, 0x39, 0, 53, 0, 8, 0, 0];
        let opens = |opens| Payload::Tcp {
            from: 12345,
            to: 53,
            opens,
        };
        let cases = [
            (
                v4(17, 0, &udp),
                Payload::Udp {
                    from: 12345,
                    to: 53,
                },
                "a datagram",
            ),
            (
                v4(17, 0x00b9, &udp),
                Payload::Other { protocol: 17 },
                "a later fragment has no ports",
            ),
            (v4(6, 0, &tcp(0x02)), opens(Some(7)), "SYN opens"),
            (
                v4(6, 0, &tcp(0xc2)),
                opens(Some(7)),
                "SYN with ECN bits opens",
            ),
            (
                v4(6, 0, &tcp(0x12)),
                opens(None),
                "SYN and ACK is an answer",
            ),
            (v4(6, 0, &tcp(0x10)), opens(None), "ACK goes on"),
            (
                v4(1, 0, &[8, 0]),
                Payload::Other { protocol: 1 },
                "ICMP has no ports",
            ),
        ];
        for (bytes, expected, why) in cases {
            assert_eq!(
                Packet::read(&bytes).map(|p| p.payload),
                Some(expected),
                "{why}"
            );
        }
    }

    #[test]
    fn a_cut_packet_is_no_packet() {
        let whole = v4(6, 0, &tcp(0x02));
        for length in 0..34 {
            assert_eq!(Packet::read(&whole[..length]), None, "{length} octets");
        }
    }

    #[test]
    fn ipv6_fragment_header_is_passed_over() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 16, 44, 64];
        bytes.extend([0x20; 32]);
        bytes.extend([17, 0, 0, 1, 0, 0, 0, 9]);
        bytes.extend([0x30, 0x39, 0, 53, 0, 8, 0, 0]);
        let packet = Packet::read(&bytes).expect("whole packet");
        assert_eq!(packet.destination_socket().port(), 53);
    }

    #[test]
    fn a_datagram_comes_out_as_it_went_in() {
        for (from, to) in [
            ("45.83.1.2:12345", "8.8.8.8:53"),
            ("[2a0e:1c80::1]:12345", "[2001:4860:4860::8888]:53"),
        ] {
            for payload in [vec![], vec![1, 2, 3], vec![0xff; 1200]] {
                let datagram = Datagram {
                    source: from.parse().expect("socket address"),
                    destination: to.parse().expect("socket address"),
                    payload,
                };
                let packet = datagram.packet().expect("one family");
                assert_eq!(Datagram::read(&packet), Some(datagram));
            }
        }
    }
}
