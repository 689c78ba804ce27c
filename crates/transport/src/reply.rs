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
    let empty = match octets[6..dns::HEADER] {
        [0, 0, 0, 0, 0, 0] => true,
        // One additional record: OPT of the root.
        [0, 0, 0, 0, 0, 1] => octets[dns::HEADER..].starts_with(&[0, 0, 41]),
        _ => false,
    };
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

#[cfg(test)]
mod tests {
    use bailiwick_core::record::RecordType;

    use super::*;

    fn question() -> Question {
        Question::new("www.example.test.".parse().unwrap(), RecordType::SOA)
    }

    fn asked() -> Asked {
        Asked::new(0, &question(), &Options::ITERATIVE)
    }

    /// What the server would answer, here just the question again.
    fn reply(asked: &Asked) -> Vec<u8> {
        let query = dns::peek(&asked.octets).unwrap();
        dns::encode_reply(&Message::default(), &query)
    }

    #[test]
    fn no_forgery_is_an_answer() {
        // 1,000 queries with 1,000 forgeries each, all by a forger who knows the question.
        let mut answers = 0;
        for _ in 0..1_000 {
            let asked = asked();
            let true_reply = reply(&asked);
            assert_eq!(asked.kinship(&true_reply), Kinship::Answer);
            let mut forged = dns::encode_query(&question(), &Options::PLAIN, 0, 0);
            forged[2] |= 0x84;
            for _ in 0..1_000 {
                let id: u16 = rand::random();
                let case: u64 = rand::random();
                forged[..2].copy_from_slice(&id.to_be_bytes());
                for (letter, octet) in forged[dns::HEADER..30].iter_mut().enumerate() {
                    if octet.is_ascii_alphabetic() {
                        *octet = *octet & !0x20 | u8::from(case >> letter & 1 == 1) << 5;
                    }
                }
                let lucky = forged[..2] == true_reply[..2] && forged[12..34] == true_reply[12..34];
                let accepted = asked.kinship(&forged) == Kinship::Answer;
                assert_eq!(accepted, lucky, "only who guesses everything is believed");
                answers += usize::from(accepted);
            }
        }
        // 16 bits of ID and 14 letters: a guess in 2^30.
        assert!(answers <= 1, "{answers} of a million guesses");
    }

    #[test]
    fn ids_are_spread_evenly() {
        let mut buckets = [0_u32; 256];
        for _ in 0..100_000 {
            buckets[usize::from(asked().octets[0])] += 1;
        }
        let expected = 100_000.0 / 256.0;
        let chi_square: f64 = buckets
            .iter()
            .map(|&count| (f64::from(count) - expected).powi(2) / expected)
            .sum();
        // 255 degrees of freedom: more than 400 comes by chance less often than once in 10^7.
        assert!(chi_square < 400.0, "chi square {chi_square}");
    }

    #[test]
    fn kinship_tells_what_differs() {
        type Change = fn(&mut Vec<u8>);
        let cases: [(Change, Kinship, &str); 11] = [
            (|_| {}, Kinship::Answer, "nothing"),
            (
                |o| o.push(7),
                Kinship::Answer,
                "what follows is not looked at here",
            ),
            (
                |o| o[13] ^= 0x20,
                Kinship::OtherCase,
                "the case of a letter",
            ),
            (|o| o[13] ^= 0x01, Kinship::Stranger, "a letter"),
            (|o| o[12] = 2, Kinship::Stranger, "where a label ends"),
            (
                |o| o[31] ^= 0x20,
                Kinship::Stranger,
                "the type, though by the same bit as case",
            ),
            (|o| o[33] = 3, Kinship::Stranger, "the class"),
            (|o| o[1] ^= 0x20, Kinship::Stranger, "the ID"),
            (|o| o[2] &= 0x7f, Kinship::Stranger, "it is a query"),
            (|o| o[2] |= 0x08, Kinship::Stranger, "the opcode"),
            (|o| o.truncate(33), Kinship::Stranger, "the class is cut"),
        ];
        for (change, expected, why) in cases {
            let asked = asked();
            let mut octets = reply(&asked);
            change(&mut octets);
            assert_eq!(asked.kinship(&octets), expected, "{why}");
        }
    }

    #[test]
    fn an_error_may_leave_the_question_out_but_nothing_else_may() {
        let asked = asked();
        let [high, low] = asked.id.to_be_bytes();
        let bare = |rcode, [answer, authority, additional]: [u8; 3]| {
            let header = [high, low, 0x80, rcode, 0, 0];
            [&header[..], &[0, answer, 0, authority, 0, additional]].concat()
        };
        let with = |record: &[u8]| [&bare(1, [0, 0, 1]), record].concat();
        let cases = [
            (bare(1, [0, 0, 0]), Kinship::Bare, "FORMERR"),
            (bare(4, [0, 0, 0]), Kinship::Bare, "NOTIMP"),
            (bare(5, [0, 0, 0]), Kinship::Bare, "REFUSED"),
            (with(&[0, 0, 41, 4, 208]), Kinship::Bare, "FORMERR with OPT"),
            (
                with(&[0, 0, 1, 0, 1]),
                Kinship::Stranger,
                "FORMERR with an address",
            ),
            (
                bare(0, [0, 0, 0]),
                Kinship::Stranger,
                "NOERROR says that there is nothing",
            ),
            (bare(3, [0, 0, 0]), Kinship::Stranger, "NXDOMAIN of what?"),
            (
                bare(1, [1, 0, 0]),
                Kinship::Stranger,
                "an error with an answer",
            ),
            (
                bare(1, [0, 1, 0]),
                Kinship::Stranger,
                "an error with authority",
            ),
        ];
        for (octets, expected, why) in cases {
            assert_eq!(asked.kinship(&octets), expected, "{why}");
        }
    }
}
