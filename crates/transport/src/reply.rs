//! Does a message answer a question of ours?

use std::{cell::RefCell, time::Duration};

use bailiwick_core::{
    message::{Message, Question, Rcode},
    observation::{Observation, Outcome, Unreadable},
    query::{Options, Query},
};
use bailiwick_wire::dns;

/// A question as it was put on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Which question of the query.
    pub(crate) number: usize,
    /// Header and question, case mixed.
    pub(crate) octets: Vec<u8>,
    id: u16,
    /// Where the question ends in `octets`.
    end: usize,
}

/// How a message relates to a question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kinship {
    /// ID and question are ours, to the case of each letter.
    Answer,
    /// Only the case differs.
    OtherCase,
    /// An error that repeats no question, with our ID.
    Bare,
    /// Not ours.
    Stranger,
}

impl Asked {
    /// Writes a question, with an ID and with cases that nobody can know.
    pub(crate) fn new(number: usize, question: &Question, options: &Options) -> Self {
        let id = rand::random();
        let octets = dns::encode_query(question, options, id, rand::random());
        Self {
            number,
            id,
            end: dns::HEADER + question.name.wire_length() + 4,
            octets,
        }
    }

    /// Reads a question that somebody else wrote.
    pub(crate) fn of(octets: &[u8], question: &Question) -> Option<Self> {
        let id = u16::from_be_bytes(*octets.first_chunk()?);
        let end = dns::HEADER + question.name.wire_length() + 4;
        (end <= octets.len()).then(|| Self {
            number: 0,
            octets: octets.to_vec(),
            id,
            end,
        })
    }

    /// Tells how a message relates to this question.
    pub(crate) fn kinship(&self, octets: &[u8]) -> Kinship {
        let Some(envelope) = dns::peek(octets) else {
            return Kinship::Stranger;
        };
        if !envelope.response || envelope.opcode != 0 || envelope.id != self.id {
            return Kinship::Stranger;
        }
        if envelope.question.is_none() {
            return if is_bare_error(octets) {
                Kinship::Bare
            } else {
                Kinship::Stranger
            };
        }
        let ours = &self.octets[dns::HEADER..self.end];
        match octets.get(dns::HEADER..self.end) {
            Some(theirs) if theirs == ours => Kinship::Answer,
            Some(theirs) if self.same_but_case(theirs) => Kinship::OtherCase,
            _ => Kinship::Stranger,
        }
    }

    /// Compares without case. The lengths of labels are below 64 and so no letters.
    fn same_but_case(&self, theirs: &[u8]) -> bool {
        let ours = &self.octets[dns::HEADER..self.end];
        let name = ours.len() - 4;
        theirs[name..] == ours[name..] && theirs[..name].eq_ignore_ascii_case(&ours[..name])
    }
}

/// Some servers repeat no question when they could not read it. Such a message is only
/// believed if it carries an error and nothing else, so that nobody can hide data in it.
fn is_bare_error(octets: &[u8]) -> bool {
    let rcode = Rcode(u16::from(octets[3] & 0x0f));
    let empty = octets[6..10].iter().all(|&count| count == 0);
    empty && rcode != Rcode::NOERROR && rcode != Rcode::NXDOMAIN
}

/// Reads a message that answers a question.
pub(crate) fn read(octets: &[u8], largest: usize) -> Result<Message, Unreadable> {
    if octets.len() > largest {
        return Err(Unreadable::Oversize(octets.len()));
    }
    dns::decode(octets).map_err(|error| Unreadable::Malformed(error.to_string()))
}

/// What is known of an exchange when it ends.
pub(crate) struct Ending<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) elapsed: Duration,
    pub(crate) junk: u32,
    pub(crate) case_kept: Option<bool>,
    pub(crate) octets: &'a [u8],
}

impl Ending<'_> {
    /// Makes an observation of it.
    pub(crate) fn observation(self, query: &Query, number: usize, sent: Duration) -> Observation {
        Observation {
            elapsed: self.elapsed,
            junk: self.junk,
            case_kept: self.case_kept,
            octets: self.octets.into(),
            ..Observation::of(query, number, sent, self.outcome)
        }
    }
}

/// Lends a buffer that holds any datagram, so that nobody has to clear one each time.
pub(crate) fn with_buffer<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local! {
        static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; 1 << 16].into());
    }
    BUFFER.with_borrow_mut(|buffer| use_it(buffer))
}
