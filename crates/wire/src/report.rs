//! Reports as octets: `bailiwick.report.v1`.
//!
//! A report is a *body* and the DNS *answers* that the body refers to by their SHA-256. The two are
//! kept apart because most answers are equal: what thirteen servers of a parent zone say to eight
//! vantage points every hour is a handful of messages. To make equal answers equal octets, the
//! message ID is set to 0 and the question to lower case; whether the server kept the case is
//! said in the observation.
//!
//! Who looked is not in it. [`decode`] takes that from its caller, who knows it from the
//! connection.
//!
//! Reading is strict: whatever cannot be understood in full is a [`DecodeError`], and there are
//! no half reports.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bailiwick_core::{
    check::CheckId,
    message::Message,
    name::{Name, NameError},
    report::{Report, RoundId},
    time::Timestamp,
    vantage::{VantageId, VantagePoint},
};
use prost::{Message as _, bytes::Bytes};
use sha2::{Digest as _, Sha256};

use crate::proto::report::v1 as pb;

mod check;
mod codes;
mod found;
mod observation;
pub(crate) mod parts;
#[cfg(test)]
mod tests;

pub use check::{check, check_id, to_check};
pub use codes::{lane, to_lane};
pub use parts::name;

use parts::{duration, nanoseconds, present};

/// The most octets of a body and its answers together: limit B9 and 64 KiB for the rest.
pub const MAX_REPORT: usize = 320 * 1024;
/// The most observations of a report: eight questions for each packet of limit B1.
pub const MAX_OBSERVATIONS: usize = 320 * 8;
/// The most items of any other list.
pub const MAX_ITEMS: usize = 512;

/// A report in octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encoded {
    /// A `bailiwick.report.v1.Report`.
    pub body: Bytes,
    /// The answers that it refers to, each once.
    pub answers: Vec<Bytes>,
}

impl Encoded {
    /// Returns the length in octets, with all answers.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.body.len() + self.answers.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Why octets are no report.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not a protobuf message of this kind.
    #[error("broken message: {0}")]
    Broken(#[from] prost::DecodeError),
    /// Without this, nothing can be said.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A value that this version does not know.
    #[error("{field} has the unknown value {value}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// The value.
        value: i64,
    },
    /// A word that this version does not know, or a text that is not what it should be.
    #[error("{field}: {word:?} is not known")]
    Word {
        /// The field.
        field: &'static str,
        /// The word.
        word: String,
    },
    /// Octets that are no name on the wire.
    #[error("{field} is no name")]
    NoName {
        /// The field.
        field: &'static str,
    },
    /// Octets that are no address.
    #[error("an address has 4 or 16 octets, not {length}")]
    Address {
        /// How many there were.
        length: usize,
    },
    /// More than anybody may send.
    #[error("{count} {what}; at most {most} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are allowed.
        most: usize,
    },
    /// The answer that an observation refers to was not sent.
    #[error("answer {answer} is missing")]
    Answer {
        /// Its place in the list, from 1.
        answer: u32,
    },
    /// An answer that is said to have been read cannot be read.
    #[error("answer {answer} cannot be read: {why}")]
    Unreadable {
        /// Its place in the list, from 1.
        answer: u32,
        /// Why.
        why: crate::dns::DecodeError,
    },
}

impl From<NameError> for DecodeError {
    fn from(_: NameError) -> Self {
        Self::NoName { field: "name" }
    }
}

/// Returns when a report began, by its agent's clock, without reading the rest; `None` if that is
/// not said, or if these octets are no body.
#[must_use]
pub fn started(body: &[u8]) -> Option<Timestamp> {
    /// What is needed of a `bailiwick.report.v1.Report`.
    #[derive(prost::Message)]
    struct Started {
        #[prost(uint64, tag = "4")]
        started_us: u64,
    }
    let started = Started::decode(body).ok()?.started_us;
    (started != 0).then_some(Timestamp(started))
}

/// Returns which check a report is about and in which round, without reading the rest; `None` if
/// that is not said, or if these octets are no body.
#[must_use]
pub fn about(body: &[u8]) -> Option<(CheckId, RoundId)> {
    /// What is needed of a `bailiwick.report.v1.Report`.
    #[derive(prost::Message)]
    struct About {
        #[prost(message, optional, tag = "1")]
        check: Option<Named>,
        #[prost(fixed64, tag = "2")]
        round: u64,
    }
    /// What is needed of a `bailiwick.report.v1.Check`.
    #[derive(prost::Message)]
    struct Named {
        #[prost(bytes = "bytes", tag = "1")]
        id: Bytes,
    }
    let about = About::decode(body).ok()?;
    let id = about.check?.id;
    let id = u128::from_be_bytes(id.as_ref().try_into().ok()?);
    Some((CheckId(id), RoundId(about.round)))
}

/// Returns the SHA-256 of octets.
#[must_use]
pub fn hash(octets: &[u8]) -> [u8; 32] {
    Sha256::digest(octets).into()
}

/// Writes a report. Equal reports are equal octets.
#[must_use]
pub fn encode(report: &Report) -> Encoded {
    let mut answers = Answers::default();
    let observations = report
        .observations
        .values()
        .map(|observation| observation::to_observation(observation, &mut answers))
        .collect();
    let body = pb::Report {
        check: Some(to_check(&report.check)),
        round: report.round.0,
        families: codes::to_families(&report.vantage.families),
        started_us: report.started.0,
        elapsed_ns: nanoseconds(report.elapsed),
        path: report.path.iter().map(found::to_cut).collect(),
        found: Some(found::to_found(&report.found)),
        lookups: report.lookups.iter().map(found::to_lookup).collect(),
        observations,
        left_out: Some(found::to_left_out(&report.left_out)),
        packets: report.packets,
        answers: answers.hashes,
    };
    Encoded {
        body: body.encode_to_vec().into(),
        answers: answers.octets,
    }
}

/// Reads a report that this vantage point sent.
///
/// The answers may come in any order, and may be more than are needed. The octets of an
/// observation are those of its answer: with ID 0 and the question in lower case.
///
/// # Errors
///
/// Returns [`DecodeError`] for anything that is not understood.
pub fn decode(
    body: &[u8],
    answers: &[impl AsRef<[u8]>],
    vantage: VantageId,
) -> Result<Report, DecodeError> {
    let octets = body.len() + answers.iter().map(|a| a.as_ref().len()).sum::<usize>();
    at_most("octets", octets, MAX_REPORT)?;
    let body = pb::Report::decode(body)?;
    at_most("observations", body.observations.len(), MAX_OBSERVATIONS)?;
    at_most("answers", body.answers.len(), MAX_OBSERVATIONS)?;
    let mut answers = Known::new(&body.answers, answers);
    let mut observations = BTreeMap::new();
    for observation in &body.observations {
        let observation = observation::observation(observation, &mut answers)?;
        observations.insert(observation.id, observation);
    }
    Ok(Report {
        check: check(present("check", body.check.as_ref())?)?,
        round: RoundId(body.round),
        vantage: VantagePoint {
            id: vantage,
            families: codes::families(&body.families)?,
        },
        started: Timestamp(body.started_us),
        elapsed: duration("elapsed", body.elapsed_ns)?,
        path: list("zones", &body.path, found::cut)?,
        found: found::found(present("found", body.found.as_ref())?)?,
        lookups: list::<_, _, Vec<_>>("look-ups", &body.lookups, found::lookup)?
            .into_iter()
            .collect(),
        observations,
        left_out: found::left_out(body.left_out.as_ref()),
        packets: body.packets,
    })
}

pub(crate) fn at_most(what: &'static str, count: usize, most: usize) -> Result<(), DecodeError> {
    if count > most {
        return Err(DecodeError::TooMany { what, count, most });
    }
    Ok(())
}

/// Reads a list that may not be longer than [`MAX_ITEMS`].
pub(crate) fn list<'a, T: 'a, U, C: FromIterator<U>>(
    what: &'static str,
    items: &'a [T],
    read: impl FnMut(&'a T) -> Result<U, DecodeError>,
) -> Result<C, DecodeError> {
    at_most(what, items.len(), MAX_ITEMS)?;
    items.iter().map(read).collect()
}

/// Reads a set of names.
fn names(field: &'static str, names: &[Bytes]) -> Result<BTreeSet<Name>, DecodeError> {
    list(field, names, |name| parts::name(field, name))
}

/// The answers of a report that is being written.
#[derive(Default)]
struct Answers {
    places: HashMap<[u8; 32], u32>,
    hashes: Vec<Bytes>,
    octets: Vec<Bytes>,
}

impl Answers {
    /// Returns the place of an answer, from 1; 0 if there is none.
    fn place(&mut self, octets: &[u8]) -> u32 {
        if octets.is_empty() {
            return 0;
        }
        let folded = fold(octets);
        let hash = hash(&folded);
        *self.places.entry(hash).or_insert_with(|| {
            self.hashes.push(Bytes::copy_from_slice(&hash));
            self.octets.push(folded.into());
            // A report has fewer answers than packets.
            u32::try_from(self.hashes.len()).unwrap_or(u32::MAX)
        })
    }
}

/// Takes out of an answer what our own question put into it by chance.
fn fold(octets: &[u8]) -> Vec<u8> {
    let mut folded = octets.to_vec();
    if let Some(envelope) = crate::dns::peek(octets) {
        folded[..2].fill(0);
        if let Some((name, _, _)) = envelope.question {
            let start = crate::dns::HEADER;
            folded[start..start + name.len()].make_ascii_lowercase();
        }
    }
    folded
}

/// The answers of a report that is being read.
struct Known<'a> {
    wanted: &'a [Bytes],
    sent: HashMap<[u8; 32], &'a [u8]>,
    /// Those that were read, by place: what many servers say alike is read once.
    read: HashMap<u32, Arc<Message>>,
}

impl<'a> Known<'a> {
    fn new(wanted: &'a [Bytes], sent: &'a [impl AsRef<[u8]>]) -> Self {
        let sent = sent.iter().map(AsRef::as_ref);
        Self {
            wanted,
            sent: sent.map(|octets| (hash(octets), octets)).collect(),
            read: HashMap::new(),
        }
    }

    /// Reads the answer at a place.
    fn message(&mut self, answer: u32) -> Result<Arc<Message>, DecodeError> {
        if let Some(message) = self.read.get(&answer) {
            return Ok(Arc::clone(message));
        }
        let message = crate::dns::decode(self.at(answer)?)
            .map_err(|why| DecodeError::Unreadable { answer, why })?;
        let message = Arc::new(message);
        self.read.insert(answer, Arc::clone(&message));
        Ok(message)
    }

    /// Returns the answer at a place, from 1; nothing for place 0.
    fn at(&self, answer: u32) -> Result<&'a [u8], DecodeError> {
        let Some(place) = answer.checked_sub(1) else {
            return Ok(&[]);
        };
        usize::try_from(place)
            .ok()
            .and_then(|place| self.wanted.get(place))
            .and_then(|hash| self.sent.get(hash.as_ref()))
            .copied()
            .ok_or(DecodeError::Answer { answer })
    }
}
