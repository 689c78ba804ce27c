//! Messages as a server sends them, for simulated servers and for tests.

use bailiwick_core::{
    message::{Class, Edns, Message, Question},
    name::Name,
    record::{Record, RecordData, RecordType},
};
use hickory_proto::{
    op::{self, MessageType, OpCode, ResponseCode},
    rr::{
        self, DNSClass, RData,
        rdata::{
            NULL,
            opt::{EdnsOption, NSIDPayload},
        },
    },
};

use super::{EXTENDED_ERROR, Envelope, HEADER, QR, class_code, whole_name};

/// Writes a message as a server would send it, with compressed names.
///
/// The question is in lower case; a server that keeps the case of the query
/// uses [`encode_reply`].
#[must_use]
pub fn encode_message(message: &Message, question: Option<&Question>, id: u16) -> Vec<u8> {
    let mut wire = op::Message::new(id, MessageType::Response, OpCode::Query);
    let header = &mut wire.metadata;
    header.authoritative = message.flags.authoritative;
    header.truncation = message.flags.truncated;
    header.recursion_desired = message.flags.recursion_desired;
    header.recursion_available = message.flags.recursion_available;
    header.authentic_data = message.flags.authentic_data;
    header.checking_disabled = message.flags.checking_disabled;
    header.response_code = ResponseCode::from(
        (message.rcode.0 >> 4).to_be_bytes()[1],
        message.rcode.0.to_be_bytes()[1] & 0x0f,
    );
    wire.queries = question.map(to_query).into_iter().collect();
    let class = question.map_or(Class::In, |question| question.class);
    let to_records = |section: &[Record]| section.iter().map(|r| to_record(r, class)).collect();
    wire.answers = to_records(&message.answer);
    wire.authorities = to_records(&message.authority);
    wire.additionals = to_records(&message.additional);
    wire.edns = message.edns.as_ref().map(to_edns);
    wire.to_vec().unwrap_or_else(|_| too_long(id))
}

/// Writes the reply to a query: its ID, its question in its case, then as [`encode_message`].
#[must_use]
pub fn encode_reply(message: &Message, query: &Envelope) -> Vec<u8> {
    let question = query.question.as_ref().and_then(to_question);
    let mut octets = encode_message(message, question.as_ref(), query.id);
    if let (Some(_), Some((name, _, _))) = (question, &query.question) {
        // Nothing can be compressed before the first name, so it stands there in full.
        if let Some(place) = octets.get_mut(HEADER..HEADER + name.len()) {
            place.copy_from_slice(name);
        }
    }
    octets
}

/// Reads a question from its parts on the wire; `None` for classes that nobody here asks in.
#[must_use]
pub fn to_question((name, record_type, class): &(Vec<u8>, u16, u16)) -> Option<Question> {
    Some(Question {
        name: whole_name(name)?,
        record_type: RecordType(*record_type),
        class: match class {
            1 => Class::In,
            3 => Class::Chaos,
            _ => return None,
        },
    })
}

/// A message of more than 65,535 octets cannot be sent; a server says SERVFAIL then.
fn too_long(id: u16) -> Vec<u8> {
    let mut octets = id.to_be_bytes().to_vec();
    octets.extend([QR, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    octets
}

fn to_query(question: &Question) -> op::Query {
    let mut query = op::Query::query(
        to_name(&question.name),
        rr::RecordType::from(question.record_type.0),
    );
    query.set_query_class(DNSClass::from(class_code(question.class)));
    query
}

fn to_name(name: &Name) -> rr::Name {
    let mut wire = rr::Name::from_labels(name.labels()).unwrap_or_else(|_| rr::Name::root());
    wire.set_fqdn(true);
    wire
}

fn to_record(record: &Record, class: Class) -> rr::Record {
    let mut wire = rr::Record::from_rdata(to_name(&record.name), record.ttl, to_data(&record.data));
    wire.dns_class = DNSClass::from(class_code(class));
    wire
}

fn to_data(data: &RecordData) -> RData {
    match data {
        RecordData::A(address) => RData::A((*address).into()),
        RecordData::Aaaa(address) => RData::AAAA((*address).into()),
        RecordData::Ns(host) => RData::NS(rr::rdata::NS(to_name(host))),
        RecordData::Cname(target) => RData::CNAME(rr::rdata::CNAME(to_name(target))),
        RecordData::Soa(soa) => RData::SOA(rr::rdata::SOA::new(
            to_name(&soa.mname),
            to_name(&soa.rname),
            soa.serial,
            soa.refresh.cast_signed(),
            soa.retry.cast_signed(),
            soa.expire.cast_signed(),
            soa.minimum,
        )),
        other => {
            // Not by `NULL::with`, which takes a record without data for a mistake.
            let mut rdata = NULL::new();
            rdata.anything = to_octets(other);
            RData::Unknown {
                code: rr::RecordType::from(other.record_type().0),
                rdata,
            }
        }
    }
}

/// Returns the data of a record as on the wire, without compression.
#[must_use]
pub fn to_octets(data: &RecordData) -> Vec<u8> {
    match data {
        RecordData::A(address) => address.octets().to_vec(),
        RecordData::Aaaa(address) => address.octets().to_vec(),
        RecordData::Ns(name) | RecordData::Cname(name) | RecordData::Dname(name) => name.to_wire(),
        RecordData::Soa(soa) => {
            let mut octets = soa.mname.to_wire();
            octets.extend(soa.rname.to_wire());
            for number in [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum] {
                octets.extend(number.to_be_bytes());
            }
            octets
        }
        RecordData::Txt(strings) => {
            let mut octets = Vec::new();
            for string in strings {
                // A character string has at most 255 octets (RFC 1035, section 3.3).
                let string = &string[..string.len().min(255)];
                octets.push(u8::try_from(string.len()).unwrap_or(u8::MAX));
                octets.extend_from_slice(string);
            }
            octets
        }
        RecordData::Ds(ds) => {
            let mut octets = ds.key_tag.to_be_bytes().to_vec();
            octets.extend([ds.algorithm, ds.digest_type]);
            octets.extend_from_slice(&ds.digest);
            octets
        }
        RecordData::Dnskey(key) => key.to_wire(),
        RecordData::Other(_, octets) => octets.to_vec(),
    }
}

fn to_edns(edns: &Edns) -> op::Edns {
    let mut wire = op::Edns::new();
    wire.set_version(edns.version);
    wire.set_max_payload(edns.udp_size);
    if let Some(nsid) = &edns.nsid
        && let Ok(nsid) = NSIDPayload::new(nsid.to_vec())
    {
        wire.options_mut().insert(EdnsOption::NSID(nsid));
    }
    for error in &edns.errors {
        let mut data = error.code.to_be_bytes().to_vec();
        data.extend_from_slice(&error.text);
        wire.options_mut()
            .insert(EdnsOption::Unknown(EXTENDED_ERROR, data));
    }
    wire
}
