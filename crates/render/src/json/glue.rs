//! `bailiwick.glue/1`: what each parent server publishes.

use bailiwick_core::name::Name;
use serde::Serialize;

use super::{Parent, parents, print, whole_milliseconds};
use crate::{glue::Published, names::unicode};

#[derive(Serialize)]
struct Glue<'a> {
    schema: &'static str,
    zone: String,
    zone_unicode: Option<String>,
    parent: Option<String>,
    exit_code: u8,
    agree: bool,
    parents: Vec<Parent<'a>>,
    packets_sent: u32,
    elapsed_ms: u64,
}

/// Writes what the parent servers publish as `bailiwick.glue/1`.
#[must_use]
pub fn glue(published: &Published<'_>) -> String {
    print(&Glue {
        schema: "bailiwick.glue/1",
        zone: published.zone.to_string(),
        zone_unicode: unicode(published.zone),
        parent: published.parent.map(Name::to_string),
        exit_code: published.exit_code,
        agree: published.agree,
        parents: parents(published.parents),
        packets_sent: published.packets,
        elapsed_ms: whole_milliseconds(published.elapsed),
    })
}
