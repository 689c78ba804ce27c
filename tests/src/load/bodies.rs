//! Reports of a given size, as a real check gives them.

use anyhow::{Context, Result, ensure};
use bailiwick_core::{
    check::CheckId,
    report::{Lane, Report, ReportId},
};
use bailiwick_lab::scenario::Scenario;
use bailiwick_wire::{
    proto::report::v1 as pb,
    report::{self, Encoded},
};
use bytes::{BufMut as _, BytesMut};

/// Octets of a report: its body with the answers that it refers to.
pub const SIZE: usize = 1024;

const WORLD: &str = include_str!("../../scenarios/healthy-in-domain.txt");

/// What one vantage point saw of a zone in good order, cut down so far that it fits into
/// [`SIZE`].
///
/// # Errors
///
/// Fails if there is no such report.
pub fn seen() -> Result<Report> {
    let scenario = Scenario::parse(WORLD)?;
    let mut seen = scenario.run(1).into_iter().next().context("no report")?;
    seen.check.resolvers.clear();
    seen.check.roots.truncate(2);
    seen.path.truncate(1);
    seen.lookups.clear();
    let all = std::mem::take(&mut seen.observations);
    for (id, observation) in all {
        seen.observations.insert(id, observation);
        if report::encode(&seen).octets() + 8 > SIZE {
            seen.observations.remove(&id);
        }
    }
    ensure!(!seen.observations.is_empty(), "no observation fits");
    Ok(seen)
}

/// Returns the report as an answer to a check, with exactly [`SIZE`] octets: what is missing is
/// put into a field that nobody knows yet, as a later version may.
#[must_use]
pub fn answer(seen: &Report, check: CheckId) -> Encoded {
    /// Field 1000, as octets (protobuf encoding).
    const KEY: [u8; 2] = [0xc2, 0x3e];
    let mut seen = seen.clone();
    seen.check.id = check;
    let mut encoded = report::encode(&seen);
    let missing = SIZE - encoded.octets();
    let mut body = BytesMut::from(&encoded.body[..]);
    // Key, length of two octets (the second may be a needless zero), and what fills it up.
    let fill = missing - KEY.len() - 2;
    let [low, high] = [fill % 128 + 128, fill / 128].map(|part| u8::try_from(part).unwrap_or(0));
    body.put_slice(&KEY);
    body.put_slice(&[low, high]);
    body.put_bytes(0x55, fill);
    encoded.body = body.freeze();
    encoded
}

/// Returns a report as it travels.
#[must_use]
pub fn envelope(id: ReportId, encoded: &Encoded, hash: &bytes::Bytes) -> pb::ReportEnvelope {
    pb::ReportEnvelope {
        id: Some(pb::ReportId {
            lane: report::to_lane(id.lane),
            epoch: id.epoch,
            seq: id.seq,
        }),
        body: encoded.body.clone(),
        body_hash: hash.clone(),
        answers: encoded.answers.clone(),
    }
}

/// The identity of an agent's report.
#[must_use]
pub fn id(epoch: u64, seq: u64) -> ReportId {
    ReportId {
        lane: Lane::Change,
        epoch,
        seq,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_its_size_and_can_be_read() {
        let seen = seen().unwrap();
        let sent = answer(&seen, CheckId(7));
        assert_eq!(sent.octets(), SIZE);
        let read = report::decode(&sent.body, &sent.answers, seen.vantage.id.clone()).unwrap();
        assert_eq!(read.check.id, CheckId(7));
        assert_eq!(read.observations, seen.observations);
    }
}
