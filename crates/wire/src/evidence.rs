//! All that a verdict was computed from, as messages of `bailiwick.operator.v1` and as a file.
//!
//! ```text
//!  Check, places, policy, verdict ─ to_head ──▶ EvidencePart ─ frame ─▶ MAGIC part part … END
//!  report as it was received ─── to_report ──▶ EvidencePart ─┘                  │
//!                                                   ▲────────── parts ──────────┘
//!  Saved ◀──────────────── read ────────────────────┘
//! ```
//!
//! A coordinator sends the parts, the command line writes them to a file as they come, and reads
//! them back to judge again. Reading is strict: a file that was cut off, changed or is of a later
//! version is refused, so that a verdict is never computed from half of its evidence.

use bailiwick_core::{
    check::Check, place::Place, report::Report, time::Timestamp, vantage::VantageId,
};
use prost::{
    Message as _,
    bytes::{Buf as _, Bytes},
};

use crate::{
    proto::{
        operator::v1::{self as pb, evidence_part::Kind},
        report::v1::ReportEnvelope,
    },
    report::{self, DecodeError, parts::present},
};

mod place;
#[cfg(test)]
mod tests;

pub use place::{place, to_place};

/// The first octets of a file: what it is, and the version of what follows.
pub const MAGIC: &[u8] = b"bailiwick.evidence/1\n";
/// The last octet of a file: a part of length 0.
pub const END: &[u8] = &[0];
/// The most octets of a file.
pub const MAX_FILE: usize = 256 * 1024 * 1024;
/// The most octets of a part. The head has a whole verdict.
pub const MAX_PART: usize = 16 * 1024 * 1024;
/// The most reports of one check.
pub const MAX_REPORTS: usize = 4096;

/// What a verdict was computed from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Saved {
    /// What was to be found out.
    pub check: Check,
    /// What was reported, in the order in which it was sent.
    pub reports: Vec<(VantageId, Report)>,
    /// Where each vantage point that was asked stands, as it was known then.
    pub places: Vec<(VantageId, Place)>,
    /// The version of the rules by which it was judged.
    pub policy: u32,
    /// The verdict as it was given, `bailiwick.check/1`; empty if there was none yet.
    pub verdict: Bytes,
}

/// Why octets are no evidence.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EvidenceError {
    /// Something else.
    #[error("no evidence of bailiwick: it does not begin with \"bailiwick.evidence/\"")]
    Other,
    /// Of a version that is not known here.
    #[error("evidence of version {0:?}, this program knows 1: use a newer program")]
    Version(String),
    /// It ends before its end.
    #[error("the evidence is cut off after part {parts}")]
    CutOff {
        /// How many parts are whole.
        parts: usize,
    },
    /// Something follows the end.
    #[error("{octets} octets follow the end of the evidence")]
    Beyond {
        /// How many.
        octets: usize,
    },
    /// More than evidence may have.
    #[error("evidence with more than {most} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many are allowed.
        most: usize,
    },
    /// The first part is no head, or another one is.
    #[error("part {part} of the evidence is not a {wanted}")]
    Order {
        /// Which part, from 1.
        part: usize,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A part cannot be understood.
    #[error("part {part} of the evidence: {why}")]
    Part {
        /// Which part, from 1.
        part: usize,
        /// Why.
        why: DecodeError,
    },
    /// The octets of a report are not those that were sent.
    #[error("part {part} of the evidence was changed: its hash does not fit")]
    Changed {
        /// Which part, from 1.
        part: usize,
    },
}

/// Writes the head: all but the reports, and how many these are.
pub fn to_head<'a>(
    check: &Check,
    places: impl IntoIterator<Item = (&'a VantageId, &'a Place)>,
    policy: u32,
    verdict: Bytes,
) -> pb::EvidencePart {
    let head = pb::EvidenceHead {
        policy,
        verdict,
        places: places
            .into_iter()
            .map(|(vantage, place)| to_place(vantage, place))
            .collect(),
        check: Some(report::to_check(check)),
        reports: 0,
    };
    pb::EvidencePart {
        kind: Some(Kind::Head(head)),
    }
}

/// Writes a report, as it was received from a vantage point.
#[must_use]
pub fn to_report(
    vantage: &VantageId,
    received: Timestamp,
    report: ReportEnvelope,
) -> pb::EvidencePart {
    let report = pb::EvidenceReport {
        vantage: vantage.0.clone(),
        received_us: received.0,
        report: Some(report),
    };
    pb::EvidencePart {
        kind: Some(Kind::Report(report)),
    }
}

/// Returns a part as it is in a file.
#[must_use]
pub fn frame(part: &pb::EvidencePart) -> Bytes {
    part.encode_length_delimited_to_vec().into()
}

/// Reads a file into its parts.
///
/// # Errors
///
/// Returns [`EvidenceError`] for anything that is not a whole file of this version.
pub fn parts(mut file: Bytes) -> Result<Vec<pb::EvidencePart>, EvidenceError> {
    if file.len() > MAX_FILE {
        let (what, most) = ("octets", MAX_FILE);
        return Err(EvidenceError::TooMany { what, most });
    }
    begins(&file)?;
    file.advance(MAGIC.len());
    let mut parts = Vec::new();
    loop {
        let cut_off = EvidenceError::CutOff { parts: parts.len() };
        let length = prost::decode_length_delimiter(&mut file).map_err(|_| cut_off.clone())?;
        if length == 0 {
            break;
        }
        if length > MAX_PART {
            let (what, most) = ("octets in a part", MAX_PART);
            return Err(EvidenceError::TooMany { what, most });
        }
        if length > file.len() {
            return Err(cut_off);
        }
        if parts.len() > MAX_REPORTS {
            let (what, most) = ("reports", MAX_REPORTS);
            return Err(EvidenceError::TooMany { what, most });
        }
        let part = pb::EvidencePart::decode(file.split_to(length));
        parts.push(part.map_err(|why| EvidenceError::Part {
            part: parts.len() + 1,
            why: why.into(),
        })?);
    }
    if !file.is_empty() {
        let octets = file.len();
        return Err(EvidenceError::Beyond { octets });
    }
    Ok(parts)
}

fn begins(file: &[u8]) -> Result<(), EvidenceError> {
    if file.starts_with(MAGIC) {
        return Ok(());
    }
    if !file.is_empty() && MAGIC.starts_with(file) {
        return Err(EvidenceError::CutOff { parts: 0 });
    }
    let Some(rest) = file.strip_prefix(b"bailiwick.evidence/") else {
        return Err(EvidenceError::Other);
    };
    let version = rest.split(|octet| *octet == b'\n').next().unwrap_or(rest);
    let version = &version[..version.len().min(20)];
    Err(EvidenceError::Version(
        String::from_utf8_lossy(version).into_owned(),
    ))
}

/// Reads what the parts say: first the head, then the reports.
///
/// # Errors
///
/// Returns [`EvidenceError`] for anything that is not understood in full.
pub fn read(parts: &[pb::EvidencePart]) -> Result<Saved, EvidenceError> {
    if parts.len() > MAX_REPORTS + 1 {
        let (what, most) = ("reports", MAX_REPORTS);
        return Err(EvidenceError::TooMany { what, most });
    }
    let Some(Kind::Head(head)) = parts.first().and_then(|first| first.kind.as_ref()) else {
        return Err(EvidenceError::Order {
            part: 1,
            wanted: "head",
        });
    };
    let mut saved = read_head(head).map_err(|why| EvidenceError::Part { part: 1, why })?;
    for (part, content) in (2..).zip(&parts[1..]) {
        let Some(Kind::Report(report)) = &content.kind else {
            let wanted = "report";
            return Err(EvidenceError::Order { part, wanted });
        };
        saved.reports.push(read_report(report, part)?);
    }
    Ok(saved)
}

fn read_head(head: &pb::EvidenceHead) -> Result<Saved, DecodeError> {
    Ok(Saved {
        check: report::check(present("check", head.check.as_ref())?)?,
        reports: Vec::new(),
        places: report::list("places", &head.places, place)?,
        policy: head.policy,
        verdict: head.verdict.clone(),
    })
}

fn read_report(
    content: &pb::EvidenceReport,
    part: usize,
) -> Result<(VantageId, Report), EvidenceError> {
    let about = |why| EvidenceError::Part { part, why };
    let vantage = place::vantage(&content.vantage).map_err(about)?;
    let envelope = present("report", content.report.as_ref()).map_err(about)?;
    if report::hash(&envelope.body)[..] != envelope.body_hash[..] {
        return Err(EvidenceError::Changed { part });
    }
    let report = report::decode(&envelope.body, &envelope.answers, vantage.clone());
    Ok((vantage, report.map_err(about)?))
}
