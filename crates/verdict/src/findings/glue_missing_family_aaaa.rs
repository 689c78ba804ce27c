//! `glue-missing-family-aaaa`: the parent has no IPv6 address of a name server that the zone has one of.
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
    code: "glue-missing-family-aaaa",
    severity: Severity::Warning,
    actor: Actor::Registrar,
    title: "no IPv6 glue for a name server that has an IPv6 address",
    text: include_str!("glue_missing_family_aaaa.rs"),
    source: "RFC 9471, section 3.1; RFC 3901, section 4",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    missing_family::find(&RULE, Family::V6, picture)
}
