//! DNS messages (RFC 1035, section 4; EDNS: RFC 6891).
//!
//! A reply is read in two steps. [`peek`] takes what says whether it belongs to
//! a query of ours: ID, flags, question. [`decode`] takes the rest, and gives
//! all or nothing; whoever needs the octets keeps them.
//!
//! [`encode_query`] writes what we ask. [`encode_message`] and [`encode_reply`]
//! write what a simulated server answers.

use bailiwick_core::{
    message::{Class, Edns, ExtendedError, Flags, Message, Question, Rcode},
    name::{MAX_NAME, Name, NameError},
    query::{Options, UDP_SIZE},
    record::{Dnskey, Ds, Record, RecordData, RecordType, Soa},
};
use hickory_proto::{
    op,
    rr::{self, RData, rdata::opt::EdnsOption},
    serialize::binary::{BinDecoder, BinEncodable, BinEncoder, Restrict},
};

mod message;

pub use message::{encode_message, encode_reply, to_octets, to_question};

/// Length of the header in octets.
pub const HEADER: usize = 12;

const QR: u8 = 0x80;
const TC: u8 = 0x02;
const RD: u8 = 0x01;
const CD: u8 = 0x10;
const OPT: u16 = 41;
const DO: u16 = 0x8000;
const NSID: u16 = 3;
const EXTENDED_ERROR: u16 = 15;
/// The largest TTL (RFC 2181, section 8; RFC 8767, section 4 caps what is larger).
const MAX_TTL: u32 = i32::MAX as u32;

/// Why the octets of a reply cannot be read as a DNS message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than a header.
    #[error("{length} octets are no header")]
    NoHeader {
        /// Length in octets.
        length: usize,
    },
    /// The header promises more than the octets can hold.
    #[error("{counted} records and questions do not fit into {length} octets")]
    Counts {
        /// Entries by the header, all sections together.
        counted: usize,
        /// Length in octets.
        length: usize,
    },
    /// More than one question; no server may repeat more than it was asked.
    #[error("{count} questions")]
    Questions {
        /// Questions by the header.
        count: u16,
    },
    /// The codec found it broken.
    #[error("{0}")]
    Broken(String),
    /// The data of a record is too short for its type.
    #[error("{record_type} record of {length} octets")]
    Data {
        /// The type.
        record_type: RecordType,
        /// Length of the data in octets.
        length: usize,
    },
    /// A name is none.
    #[error("broken name: {0}")]
    Name(#[from] NameError),
}

/// What says whether a message belongs to a query, read before all else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// ID.
    pub id: u16,
    /// QR: a reply.
    pub response: bool,
    /// The kind of query.
    pub opcode: u8,
    /// Name on the wire in the case received, type and class; `None` if there is no question.
    pub question: Option<(Vec<u8>, u16, u16)>,
    /// TC.
    pub truncated: bool,
}

/// Reads ID, flags and question.
///
/// `None` if that much is not there, if the name of the question is compressed
/// (there is nothing before it that a pointer could mean), or if there is more
/// than one question.
#[must_use]
pub fn peek(octets: &[u8]) -> Option<Envelope> {
    let header = octets.get(..HEADER)?;
    let question = match u16_at(header, 4)? {
        0 => None,
        1 => {
            let end = HEADER + name_length(&octets[HEADER..])?;
            Some((
                octets.get(HEADER..end)?.to_vec(),
                u16_at(octets, end)?,
                u16_at(octets, end + 2)?,
            ))
        }
        _ => return None,
    };
    Some(Envelope {
        id: u16_at(header, 0)?,
        response: header[2] & QR != 0,
        opcode: header[2] >> 3 & 0x0f,
        question,
        truncated: header[2] & TC != 0,
    })
}

/// Returns the length of the uncompressed name at the beginning, root label included.
fn name_length(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < MAX_NAME {
        match *octets.get(at)? {
            0 => return Some(at + 1),
            label @ 1..=63 => at += 1 + usize::from(label),
            _ => return None,
        }
    }
    None
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

/// Writes a query.
///
/// Letter `i` of the name is upper case if bit `i` modulo 64 of `case` is set
/// (draft-vixie-dnsext-dns0x20); 0 gives lower case. EDNS offers [`UDP_SIZE`]
/// octets and asks for the NSID (RFC 5001).
#[must_use]
pub fn encode_query(question: &Question, options: &Options, id: u16, case: u64) -> Vec<u8> {
    let mut octets = Vec::with_capacity(HEADER + question.name.wire_length() + 4 + 15);
    octets.extend(id.to_be_bytes());
    octets.push(if options.recursion_desired { RD } else { 0 });
    octets.push(if options.checking_disabled { CD } else { 0 });
    for count in [1, 0, 0, u16::from(options.edns)] {
        octets.extend(count.to_be_bytes());
    }
    push_question(&mut octets, question, case);
    if options.edns {
        octets.push(0);
        octets.extend(OPT.to_be_bytes());
        octets.extend(UDP_SIZE.to_be_bytes());
        octets.extend([0, 0]);
        octets.extend(if options.dnssec_ok { DO } else { 0 }.to_be_bytes());
        octets.extend(4_u16.to_be_bytes());
        octets.extend(NSID.to_be_bytes());
        octets.extend([0, 0]);
    }
    octets
}

fn push_question(octets: &mut Vec<u8>, question: &Question, case: u64) {
    let start = octets.len();
    octets.extend(question.name.to_wire());
    if case != 0 {
        mix_case(&mut octets[start..], case);
    }
    octets.extend(question.record_type.0.to_be_bytes());
    octets.extend(class_code(question.class).to_be_bytes());
}

/// Raises the letters of a lower-case name on the wire whose bit is set.
fn mix_case(name: &mut [u8], case: u64) {
    let mut at = 0;
    let mut letter = 0_u32;
    while let Some(&label) = name.get(at) {
        let end = at + 1 + usize::from(label);
        for octet in name.get_mut(at + 1..end).into_iter().flatten() {
            if octet.is_ascii_lowercase() {
                if case >> (letter % 64) & 1 == 1 {
                    octet.make_ascii_uppercase();
                }
                letter += 1;
            }
        }
        if label == 0 {
            return;
        }
        at = end;
    }
}

/// Returns the code of a class on the wire (IANA "DNS CLASSes").
#[must_use]
pub fn class_code(class: Class) -> u16 {
    match class {
        Class::In => 1,
        Class::Chaos => 3,
    }
}

/// Reads a message.
///
/// # Errors
///
/// Returns [`DecodeError`] if any part of it is broken; there are no half messages.
/// Octets after the last record are not looked at.
pub fn decode(octets: &[u8]) -> Result<Message, DecodeError> {
    check_counts(octets)?;
    let message =
        op::Message::from_vec(octets).map_err(|broken| DecodeError::Broken(broken.to_string()))?;
    // The codec folds codes that it does not know; the octets do not.
    let low = u16::from(octets[3] & 0x0f);
    let high = message
        .edns
        .as_ref()
        .map_or(0, |edns| u16::from(edns.rcode_high()));
    let header = &message.metadata;
    Ok(Message {
        rcode: Rcode(high << 4 | low),
        flags: Flags {
            authoritative: header.authoritative,
            truncated: header.truncation,
            recursion_desired: header.recursion_desired,
            recursion_available: header.recursion_available,
            authentic_data: header.authentic_data,
            checking_disabled: header.checking_disabled,
        },
        answer: records(&message.answers)?,
        authority: records(&message.authorities)?,
        additional: records(&message.additionals)?,
        edns: message.edns.as_ref().map(edns),
        octets: octets.len(),
    })
}

/// Refuses counts that cannot be true before anything is allocated for them: a
/// question has at least 5 octets, a record 11.
fn check_counts(octets: &[u8]) -> Result<(), DecodeError> {
    let length = octets.len();
    let no_header = DecodeError::NoHeader { length };
    let header = octets.get(..HEADER).ok_or(no_header.clone())?;
    let mut counts = [0_usize; 4];
    for (section, count) in counts.iter_mut().enumerate() {
        *count = usize::from(u16_at(header, 4 + 2 * section).ok_or(no_header.clone())?);
    }
    let [questions, records @ ..] = counts;
    if questions > 1 {
        return Err(DecodeError::Questions {
            count: u16_at(header, 4).unwrap_or(u16::MAX),
        });
    }
    let records: usize = records.iter().sum();
    if questions * 5 + records * 11 > length - HEADER {
        return Err(DecodeError::Counts {
            counted: questions + records,
            length,
        });
    }
    Ok(())
}

fn records(section: &[rr::Record]) -> Result<Vec<Record>, DecodeError> {
    section.iter().map(record).collect()
}

fn record(record: &rr::Record) -> Result<Record, DecodeError> {
    Ok(Record {
        name: name(&record.name)?,
        ttl: record.ttl.min(MAX_TTL),
        data: data(&record.data)?,
    })
}

fn name(name: &rr::Name) -> Result<Name, DecodeError> {
    Ok(Name::from_labels(name.iter())?)
}

fn data(data: &RData) -> Result<RecordData, DecodeError> {
    Ok(match data {
        RData::A(address) => RecordData::A(address.0),
        RData::AAAA(address) => RecordData::Aaaa(address.0),
        RData::NS(host) => RecordData::Ns(name(&host.0)?),
        RData::CNAME(target) => RecordData::Cname(name(&target.0)?),
        RData::SOA(soa) => RecordData::Soa(Soa {
            mname: name(&soa.mname)?,
            rname: name(&soa.rname)?,
            serial: soa.serial,
            refresh: soa.refresh.cast_unsigned(),
            retry: soa.retry.cast_unsigned(),
            expire: soa.expire.cast_unsigned(),
            minimum: soa.minimum,
        }),
        RData::TXT(text) => RecordData::Txt(text.txt_data.to_vec()),
        RData::Unknown { code, rdata } => {
            from_octets(RecordType(u16::from(*code)), &rdata.anything)?
        }
        other => from_octets(
            RecordType(u16::from(other.record_type())),
            &canonical(other)?,
        )?,
    })
}

/// Reads the data of a record that stands alone, as in the syntax of RFC 3597.
pub(crate) fn data_of(record_type: RecordType, octets: &[u8]) -> Result<RecordData, DecodeError> {
    let Some(length) = u16::try_from(octets.len()).ok().filter(|&n| n > 0) else {
        return from_octets(record_type, octets);
    };
    let mut decoder = BinDecoder::new(octets);
    let code = rr::RecordType::from(record_type.0);
    let read = RData::read(&mut decoder, code, Restrict::new(length))
        .map_err(|broken| DecodeError::Broken(broken.to_string()))?;
    data(&read)
}

/// Returns the data of a record with its names expanded and in lower case
/// (RFC 4034, section 6.2), so that equal data has equal octets.
pub(crate) fn canonical(data: &RData) -> Result<Vec<u8>, DecodeError> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_canonical_form(true);
    data.emit(&mut encoder)
        .map_err(|broken| DecodeError::Broken(broken.to_string()))?;
    Ok(octets)
}

/// Reads the types whose names may not be compressed, so that their octets say all.
pub(crate) fn from_octets(
    record_type: RecordType,
    octets: &[u8],
) -> Result<RecordData, DecodeError> {
    let short = || DecodeError::Data {
        record_type,
        length: octets.len(),
    };
    Ok(match record_type {
        RecordType::DNAME => RecordData::Dname(whole_name(octets).ok_or_else(short)?),
        RecordType::DS => match octets {
            [tag_high, tag_low, algorithm, digest_type, digest @ ..] => RecordData::Ds(Ds {
                key_tag: u16::from_be_bytes([*tag_high, *tag_low]),
                algorithm: *algorithm,
                digest_type: *digest_type,
                digest: digest.into(),
            }),
            _ => return Err(short()),
        },
        RecordType::DNSKEY => match octets {
            [flags_high, flags_low, protocol, algorithm, key @ ..] => RecordData::Dnskey(Dnskey {
                flags: u16::from_be_bytes([*flags_high, *flags_low]),
                protocol: *protocol,
                algorithm: *algorithm,
                public_key: key.into(),
            }),
            _ => return Err(short()),
        },
        _ => RecordData::Other(record_type, octets.into()),
    })
}

/// Reads an uncompressed name that fills all the octets.
pub(crate) fn whole_name(octets: &[u8]) -> Option<Name> {
    if name_length(octets)? != octets.len() {
        return None;
    }
    let mut labels = Vec::new();
    let mut rest = octets;
    while let Some((&label @ 1.., after)) = rest.split_first() {
        let (label, after) = after.split_at_checked(usize::from(label))?;
        labels.push(label);
        rest = after;
    }
    Name::from_labels(labels).ok()
}

fn edns(edns: &op::Edns) -> Edns {
    let mut nsid = None;
    let mut errors = Vec::new();
    for (_, option) in edns.options().as_ref() {
        match option {
            EdnsOption::NSID(id) => nsid = Some(id.as_ref().into()),
            EdnsOption::Unknown(EXTENDED_ERROR, data) => errors.extend(extended_error(data)),
            _ => {}
        }
    }
    Edns {
        version: edns.version(),
        udp_size: edns.max_payload(),
        nsid,
        errors,
    }
}

/// Reads an extended error (RFC 8914, section 2); one that is too short says nothing.
fn extended_error(data: &[u8]) -> Option<ExtendedError> {
    let (code, text) = data.split_first_chunk()?;
    Some(ExtendedError {
        code: u16::from_be_bytes(*code),
        text: text.into(),
    })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
