//! What an operator may decide otherwise than the rules do.

use std::collections::BTreeMap;

use bailiwick_core::finding::{Finding, Severity};

/// What an operator decided.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// Severities by the code of the finding, instead of those that the rules give.
    pub severities: BTreeMap<String, Severity>,
}

impl Policy {
    /// The version of the rules: another one where equal evidence may give another verdict.
    pub const VERSION: u32 = 1;

    /// Gives a finding the severity that the operator wants for it.
    pub(crate) fn apply(&self, finding: &mut Finding) {
        if let Some(severity) = self.severities.get(finding.code.0) {
            finding.severity = *severity;
        }
    }
}
