//! How much is kept.

/// How much is kept, and how much more can be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Usage {
    /// Agents, whatever their state.
    pub agents: u64,
    /// Reports that were kept, those included that have been deleted by age.
    pub reports: u64,
    /// Checks.
    pub checks: u64,
    /// Checks without a verdict.
    pub open_checks: u64,
    /// Octets on the disk; of a store in memory, octets of reports and verdicts.
    pub octets: u64,
    /// Octets that can be stored before reports are refused.
    pub free: u64,
}
