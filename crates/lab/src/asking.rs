//! A query as octets, and the question of an answer in the case in which it was asked.

use bailiwick_core::{message::Question, name::Name, query::Options, record::RecordType};
use bailiwick_wire::dns::{self, Envelope};

use crate::respond::Answer;

/// A query as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) envelope: Envelope,
    pub(crate) question: Question,
    pub(crate) options: Options,
    pub(crate) udp_size: u16,
}

impl Asking {
    /// Reads a query; `None` for what is none, or asks for what nobody here has.
    pub(crate) fn read(octets: &[u8]) -> Option<Self> {
        let envelope = dns::peek(octets)?;
        if envelope.response || envelope.opcode != 0 {
            return None;
        }
        let parts = envelope.question.as_ref()?;
        let question = dns::to_question(parts)?;
        let opt = octets
            .get(dns::HEADER + parts.0.len() + 4..)
            .and_then(opt_record);
        Some(Self {
            options: Options {
                recursion_desired: octets[2] & 0x01 != 0,
                checking_disabled: octets[3] & 0x10 != 0,
                edns: opt.is_some(),
                dnssec_ok: opt.is_some_and(|(_, dnssec_ok)| dnssec_ok),
            },
            udp_size: opt.map_or(512, |(udp_size, _)| udp_size),
            envelope,
            question,
        })
    }

    /// Stands for the opening of a connection, which asks nothing.
    pub(crate) fn nothing() -> Self {
        Self {
            envelope: Envelope {
                id: 0,
                response: false,
                opcode: 0,
                question: None,
                truncated: false,
            },
            question: Question::new(Name::root(), RecordType::SOA),
            options: Options::PLAIN,
            udp_size: 512,
        }
    }

    /// Returns the octets of the answer with the question in the case in which it came, or just not.
    pub(crate) fn echo(&self, answer: &Answer) -> Vec<u8> {
        let mut octets = answer.octets.clone();
        if let Some((name, _, _)) = &self.envelope.question
            && let Some(place) = octets.get_mut(dns::HEADER..dns::HEADER + name.len())
        {
            place.copy_from_slice(name);
            if answer.wrong_case {
                // Lengths of labels are below 64 and no letters.
                for octet in place.iter_mut().filter(|o| o.is_ascii_alphabetic()) {
                    *octet ^= 0x20;
                }
            }
        }
        octets
    }
}

/// Reads payload size and DO of an OPT record (RFC 6891, section 6.1.2) where records begin.
fn opt_record(octets: &[u8]) -> Option<(u16, bool)> {
    let fixed: &[u8; 11] = octets.first_chunk()?;
    let is_opt = fixed[0] == 0 && u16::from_be_bytes([fixed[1], fixed[2]]) == 41;
    let udp_size = u16::from_be_bytes([fixed[3], fixed[4]]);
    is_opt.then_some((udp_size, fixed[7] & 0x80 != 0))
}
