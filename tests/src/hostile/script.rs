//! What a hostile server does about one question: a list of steps.

use std::net::IpAddr;
use std::time::Duration;

use bailiwick_core::message::{Edns, Flags, Message, Question};
use bailiwick_wire::dns::{self, Envelope};

use crate::internet::switch::Transport;

/// The UDP payload size that a query with EDNS is taken to offer, in octets.
const EDNS_SIZE: usize = 1232;
/// The UDP payload size without EDNS (RFC 1035, section 4.2.1).
const PLAIN_SIZE: usize = 512;

/// A question as the server sees it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The message.
    pub octets: Vec<u8>,
    /// Its head.
    pub envelope: Envelope,
    /// The question, in lower case.
    pub question: Question,
    /// The address that was asked.
    pub to: IpAddr,
    /// How it came.
    pub via: Transport,
}

impl Asked {
    /// Reads a query; `None` if it is none.
    #[must_use]
    pub fn read(octets: &[u8], to: IpAddr, via: Transport) -> Option<Self> {
        let envelope = dns::peek(octets).filter(|envelope| !envelope.response)?;
        let question = dns::to_question(envelope.question.as_ref()?)?;
        Some(Self {
            octets: octets.to_vec(),
            envelope,
            question,
            to,
            via,
        })
    }

    /// Whether the query has EDNS: its only additional record.
    #[must_use]
    pub fn has_edns(&self) -> bool {
        self.octets.get(11) == Some(&1)
    }

    /// Returns the question section as it came, case kept.
    #[must_use]
    pub fn question_section(&self) -> &[u8] {
        let end = dns::HEADER + self.question.name.wire_length() + 4;
        self.octets.get(dns::HEADER..end).unwrap_or_default()
    }

    /// Writes a reply with this ID and question.
    #[must_use]
    pub fn encode(&self, message: &Message) -> Vec<u8> {
        let mut message = message.clone();
        if self.has_edns() && message.edns.is_none() {
            message.edns = Some(Edns {
                version: 0,
                udp_size: 1232,
                ..Edns::default()
            });
        }
        dns::encode_reply(&message, &self.envelope)
    }

    /// Answers as an honest server: over UDP with TC where there is no room.
    #[must_use]
    pub fn reply(&self, message: &Message) -> Script {
        let octets = self.encode(message);
        let room = if self.has_edns() {
            EDNS_SIZE
        } else {
            PLAIN_SIZE
        };
        if self.via == Transport::Udp && octets.len() > room {
            return self.send(self.encode(&truncated(message)));
        }
        self.send(octets)
    }

    /// Sends octets as one message, whatever they are.
    #[must_use]
    pub fn send(&self, octets: Vec<u8>) -> Script {
        vec![Step::Send(self.framed(octets))]
    }

    /// Puts the length before a message where the transport is TCP (RFC 1035,
    /// section 4.2.2); a message that is too long for it is cut.
    #[must_use]
    pub fn framed(&self, mut octets: Vec<u8>) -> Vec<u8> {
        match self.via {
            Transport::Udp => octets,
            Transport::Tcp => {
                octets.truncate(usize::from(u16::MAX));
                let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
                [&length.to_be_bytes()[..], &octets].concat()
            }
        }
    }
}

/// Returns an empty message with TC.
#[must_use]
pub fn truncated(message: &Message) -> Message {
    Message {
        rcode: message.rcode,
        flags: Flags {
            truncated: true,
            ..message.flags
        },
        ..Message::default()
    }
}

/// One thing that a server does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Sends a datagram, or octets of a stream.
    Send(Vec<u8>),
    /// Sends a datagram from another port of the same address.
    SendFromElsewhere(Vec<u8>),
    /// Sends the same again and again.
    Repeat {
        /// What is sent.
        octets: Vec<u8>,
        /// How often.
        times: u32,
        /// The pause after each.
        every: Duration,
    },
    /// Sends octets one by one.
    Drip {
        /// What is sent.
        octets: Vec<u8>,
        /// The pause after each.
        every: Duration,
    },
    /// Waits.
    Wait(Duration),
    /// Closes the connection with FIN.
    Close,
    /// Closes the connection with RST.
    Reset,
}

/// What a server does about one question, in order. Nothing is silence.
pub type Script = Vec<Step>;
