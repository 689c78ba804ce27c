//! The protobuf messages, as generated from `proto/`.
//!
//! Nothing but this crate, `rpc` and whoever answers a call needs them; everyone else has the
//! values of `core`.

#![allow(missing_docs, clippy::pedantic)] // Their documentation is in `proto/`.

/// `bailiwick.report`: what was seen.
pub mod report {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/bailiwick.report.v1.rs"));
    }
}

/// `bailiwick.agent`: between an agent and its coordinator.
pub mod agent {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/bailiwick.agent.v1.rs"));
    }
}

/// `bailiwick.operator`: between operators and a coordinator.
pub mod operator {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/bailiwick.operator.v1.rs"));
    }
}

use std::fmt;

impl fmt::Debug for agent::v1::EnrollRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrollRequest")
            .field("token_id", &self.token_id)
            .field("proof", &self.proof)
            .finish_non_exhaustive() // The secret is not shown.
    }
}

impl fmt::Debug for operator::v1::Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("until_us", &self.until_us)
            .finish_non_exhaustive() // The string to join with has a secret in it.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let request = agent::v1::EnrollRequest {
            token_id: "id".to_owned(),
            secret: b"sesame"[..].into(),
            proof: None,
        };
        let invitation = operator::v1::Invitation {
            join: "sesame".to_owned(),
            until_us: 7,
        };
        let shown = format!("{request:?} {invitation:?}");
        assert_eq!(
            shown,
            "EnrollRequest { token_id: \"id\", proof: None, .. } Invitation { until_us: 7, .. }"
        );
    }
}
