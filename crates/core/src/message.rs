//! One DNS message as a checker of delegations reads it (RFC 1035, section 4).

use std::fmt;

use crate::{
    name::Name,
    record::{Record, RecordType, Soa},
};

/// A response code, with the upper bits from EDNS (RFC 6895, section 2.3).
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Rcode(pub u16);

impl Rcode {
    /// No error.
    pub const NOERROR: Self = Self(0);
    /// The server could not read the question.
    pub const FORMERR: Self = Self(1);
    /// The server failed.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);
    /// Not implemented.
    pub const NOTIMP: Self = Self(4);
    /// The server will not answer this.
    pub const REFUSED: Self = Self(5);
    /// The server is not authoritative for the zone.
    pub const NOTAUTH: Self = Self(9);
    /// EDNS version not supported.
    pub const BADVERS: Self = Self(16);
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            9 => "NOTAUTH",
            16 => "BADVERS",
            23 => "BADCOOKIE",
            other => return write!(f, "RCODE{other}"),
        })
    }
}

/// The class of a question.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Class {
    /// The Internet.
    #[default]
    In,
    /// Chaos: questions about the server itself (RFC 4892).
    Chaos,
}

/// What is asked.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Question {
    /// The name.
    pub name: Name,
    /// The type.
    pub record_type: RecordType,
    /// The class.
    pub class: Class,
}

impl Question {
    /// Returns the question for a name and type in class IN.
    #[must_use]
    pub fn new(name: Name, record_type: RecordType) -> Self {
        Self {
            name,
            record_type,
            class: Class::In,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            Class::In => write!(f, "{} {}", self.name, self.record_type),
            Class::Chaos => write!(f, "{} CH {}", self.name, self.record_type),
        }
    }
}

/// The header flags of a reply (RFC 1035, section 4.1.1; RFC 4035, section 3).
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Flags {
    /// AA: the server is an authority for the name.
    pub authoritative: bool,
    /// TC: something was left out for lack of room.
    pub truncated: bool,
    /// RD: recursion was asked for.
    pub recursion_desired: bool,
    /// RA: recursion is offered.
    pub recursion_available: bool,
    /// AD: the data was validated.
    pub authentic_data: bool,
    /// CD: validation was asked to be left out.
    pub checking_disabled: bool,
}

/// An extended DNS error (RFC 8914).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct ExtendedError {
    /// The INFO-CODE.
    pub code: u16,
    /// The EXTRA-TEXT, as sent.
    pub text: Box<[u8]>,
}

/// What EDNS carried (RFC 6891).
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Edns {
    /// The version.
    pub version: u8,
    /// The UDP payload size offered.
    pub udp_size: u16,
    /// The name server identifier (RFC 5001), if one was given.
    pub nsid: Option<Box<[u8]>>,
    /// Extended errors in the order of the message.
    pub errors: Vec<ExtendedError>,
}

/// A section of a message.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Section {
    /// Answer.
    Answer,
    /// Authority.
    Authority,
    /// Additional.
    Additional,
}

/// A reply that was matched to its query.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Message {
    /// Response code.
    pub rcode: Rcode,
    /// Header flags.
    pub flags: Flags,
    /// Answer section.
    pub answer: Vec<Record>,
    /// Authority section.
    pub authority: Vec<Record>,
    /// Additional section, without OPT.
    pub additional: Vec<Record>,
    /// EDNS, if the reply had it.
    pub edns: Option<Edns>,
    /// Length on the wire in octets.
    pub octets: usize,
}

impl Message {
    /// Returns the records of a section.
    #[must_use]
    pub fn section(&self, section: Section) -> &[Record] {
        match section {
            Section::Answer => &self.answer,
            Section::Authority => &self.authority,
            Section::Additional => &self.additional,
        }
    }

    /// Returns the records of one owner and type in the answer section.
    pub fn answers<'a>(
        &'a self,
        name: &'a Name,
        record_type: RecordType,
    ) -> impl Iterator<Item = &'a Record> {
        self.answer
            .iter()
            .filter(move |r| r.name == *name && r.record_type() == record_type)
    }

    /// Returns the SOA of the answer section, else that of the authority section, with its owner.
    #[must_use]
    pub fn soa(&self) -> Option<(&Name, &Soa)> {
        self.answer
            .iter()
            .chain(&self.authority)
            .find_map(|record| match &record.data {
                crate::record::RecordData::Soa(soa) => Some((&record.name, soa)),
                _ => None,
            })
    }

    /// Returns the name server identifier, if one was given.
    #[must_use]
    pub fn nsid(&self) -> Option<&[u8]> {
        self.edns.as_ref()?.nsid.as_deref()
    }

    /// Returns the codes of the extended errors (RFC 8914).
    pub fn extended_errors(&self) -> impl Iterator<Item = u16> {
        self.edns
            .iter()
            .flat_map(|edns| edns.errors.iter().map(|error| error.code))
    }
}
