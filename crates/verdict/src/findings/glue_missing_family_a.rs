//! `glue-missing-family-a`: the parent has no IPv4 address of a name server that the zone has one of.
//!
HEADER

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    server::Family,
};

use super::missing_family;
use crate::{picture::Picture, rule::Rule};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-missing-family-a",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "no IPv4 glue for a name server that has an IPv4 address",
    text: include_str!("glue_missing_family_a.rs"),
    source: "RFC 9471, section 3.1; RFC 3901, section 4",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    missing_family::find(&RULE, Family::V4, picture)
}
