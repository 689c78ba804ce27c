//! Who did what.

use bailiwick_core::time::Timestamp;

/// A note of a call that changed something, or tried to. It is written in the transaction of
/// the change, so there is neither a change without its note nor a note without its change.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Audit {
    /// When.
    pub at: Timestamp,
    /// Who called.
    pub who: String,
    /// What was called, and on whom.
    pub what: String,
    /// SHA-256 of the request.
    pub request: [u8; 32],
    /// What came of it.
    pub result: String,
}
