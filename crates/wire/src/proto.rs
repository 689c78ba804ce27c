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
