//! Where vantage points stand.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::{
    place::{Asn, Place, Position, Rir},
    time::Timestamp,
    vantage::{Objection, VantageId},
};
use prost::bytes::Bytes;

use crate::{
    proto::operator::v1 as pb,
    report::{
        DecodeError, at_most, list,
        parts::{address, to_address},
    },
};

/// The most octets of a text.
const MAX_TEXT: usize = 1024;

/// Writes where a vantage point stands. AS 0 stands for none (RFC 7607), so it is written as such.
#[must_use]
pub fn to_place(vantage: &VantageId, place: &Place) -> pb::Place {
    pb::Place {
        vantage: vantage.0.clone(),
        asn: place.asn.map_or(0, |asn| asn.0),
        rir: place.rir.map(|rir| rir.to_string()).unwrap_or_default(),
        observed: place.address.map(to_address).unwrap_or_default(),
        labels: place
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect(),
        lab: place.lab,
        without_vote: place.objections.iter().map(ToString::to_string).collect(),
        position: place.position.map(|position| {
            let (latitude, longitude) = position.micro_degrees();
            pb::Position {
                latitude,
                longitude,
            }
        }),
        operator: place.operator.clone(),
        since_us: place.since.0,
    }
}

/// Reads where which vantage point stands.
///
/// # Errors
///
/// Returns [`DecodeError`] for anything that is not understood: an objection that is not known
/// must not become a vote.
pub fn place(place: &pb::Place) -> Result<(VantageId, Place), DecodeError> {
    let read = Place {
        since: Timestamp(place.since_us),
        asn: (place.asn != 0).then_some(Asn(place.asn)),
        rir: some(&place.rir).map(rir).transpose()?,
        position: place.position.as_ref().map(position).transpose()?,
        address: some_octets(&place.observed).map(address).transpose()?,
        operator: place.operator.as_deref().map(text).transpose()?,
        labels: labels(&place.labels)?,
        lab: place.lab,
        objections: list::<_, _, BTreeSet<_>>("objections", &place.without_vote, |word| {
            objection(word)
        })?,
    };
    Ok((vantage(&place.vantage)?, read))
}

/// Reads the identity of a vantage point.
pub(super) fn vantage(name: &str) -> Result<VantageId, DecodeError> {
    if name.is_empty() {
        let field = "vantage point";
        return Err(DecodeError::Missing { field });
    }
    text(name).map(VantageId)
}

fn text(text: &str) -> Result<String, DecodeError> {
    at_most("octets in a text", text.len(), MAX_TEXT)?;
    Ok(text.to_owned())
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn some_octets(octets: &Bytes) -> Option<&Bytes> {
    (!octets.is_empty()).then_some(octets)
}

fn rir(word: &str) -> Result<Rir, DecodeError> {
    let known = Rir::ALL.into_iter().find(|rir| rir.to_string() == word);
    known.ok_or_else(|| unknown("registry", word))
}

fn position(position: &pb::Position) -> Result<Position, DecodeError> {
    Position::of(position.latitude, position.longitude).ok_or_else(|| {
        let word = format!("{},{}", position.latitude, position.longitude);
        unknown("position", &word)
    })
}

fn objection(word: &str) -> Result<Objection, DecodeError> {
    Objection::named(word).ok_or_else(|| unknown("objection", word))
}

fn labels(labels: &[String]) -> Result<BTreeMap<String, String>, DecodeError> {
    at_most("labels", labels.len(), crate::report::MAX_ITEMS)?;
    let mut read = BTreeMap::new();
    for label in labels {
        at_most("octets in a text", label.len(), MAX_TEXT)?;
        let pair = label.split_once('=');
        let (key, value) = pair.ok_or_else(|| unknown("label", label))?;
        if read.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(unknown("label, for the second time", label));
        }
    }
    Ok(read)
}

/// Only the beginning of a word is told: it may be long.
fn unknown(field: &'static str, word: &str) -> DecodeError {
    let word = word.chars().take(40).collect();
    DecodeError::Word { field, word }
}
