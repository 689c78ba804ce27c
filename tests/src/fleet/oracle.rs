//! What must come out: the verdict of reports as somebody else than the coordinator computes it.

use anyhow::Result;
use bailiwick_core::report::Report;
use bailiwick_render::{Page, Style};
use bailiwick_rpc::operator::EvidencePart;
use bailiwick_verdict::{Evidence, Policy, judge};
use bailiwick_wire::evidence;
use prost::Message as _;

/// The verdict that comes of reports, in the octets in which it is kept, by the places as they are
/// kept with it. Nothing of no reports.
///
/// # Errors
///
/// Fails if the places cannot be read.
pub fn verdict(places: &[u8], reports: Vec<Report>) -> Result<Vec<u8>> {
    let evidence = reports.into_iter().map(Evidence::of);
    let Some(mut joined) = evidence.reduce(Evidence::join) else {
        return Ok(Vec::new());
    };
    if places.is_empty() {
        return Ok(b"one that was judged".to_vec());
    }
    let saved = evidence::read(&[EvidencePart::decode(places)?])?;
    for (vantage, place) in saved.places {
        joined = joined.place(vantage, place);
    }
    let verdict = judge(&joined, &Policy::default());
    let reports: Vec<_> = joined.reports().cloned().collect();
    let page = Page {
        verdict: &verdict,
        reports: &reports,
        style: Style::PLAIN,
        full: false,
        raw: false,
        port: 53,
    };
    Ok(bailiwick_render::json::check(&page).into_bytes())
}
