//! Why something is not kept.

use bailiwick_core::{check::CheckId, vantage::VantageId};

use crate::WatchId;

/// Why a call failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Too much is waiting to be written or read. Nothing was done; it may be tried again.
    #[error("too much is waiting for the store")]
    Busy,
    /// There is too little space for reports. Nothing was done; it may be tried again when there
    /// is more.
    #[error("the store is full: {free} octets are left for reports")]
    Full {
        /// How many octets can be stored before reports are refused.
        free: u64,
    },
    /// The store was closed, or what wrote to it ended. Whether the call had an effect is not
    /// known.
    #[error("the store is closed")]
    Closed,
    /// The disk or the database failed. Whether the call had an effect is not known.
    #[error("the store failed: {why}")]
    Storage {
        /// What it said.
        why: String,
    },
    /// No agent has this name.
    #[error("there is no agent {}", name.0)]
    NoSuchAgent {
        /// The name.
        name: VantageId,
    },
    /// The agent is shut out.
    #[error("the agent {} is banned", name.0)]
    Banned {
        /// Its name.
        name: VantageId,
    },
    /// No operator has this name.
    #[error("there is no operator {name}")]
    NoSuchOperator {
        /// The name.
        name: String,
    },
    /// No check has this identity.
    #[error("there is no check {:032x}", id.0)]
    NoSuchCheck {
        /// The identity.
        id: CheckId,
    },
    /// No watch has this identity, or it was removed.
    #[error("there is no watch {:032x}", id.0)]
    NoSuchWatch {
        /// The identity.
        id: WatchId,
    },
    /// The check has its verdict.
    #[error("check {:032x} is closed", id.0)]
    CheckClosed {
        /// Its identity.
        id: CheckId,
    },
    /// The check has no verdict yet.
    #[error("check {:032x} is open", id.0)]
    CheckOpen {
        /// Its identity.
        id: CheckId,
    },
    /// There is one of this identity.
    #[error("there is a {what} of this identity")]
    Exists {
        /// What there is.
        what: &'static str,
    },
    /// A token was not accepted.
    #[error("the token was refused: {0}")]
    Refused(#[from] Refusal),
    /// A value that cannot be.
    #[error("{what} cannot be {value}")]
    Invalid {
        /// Of what.
        what: &'static str,
        /// The value.
        value: u64,
    },
}

/// Why a token was not accepted. It is for the log: whoever asked learns only that it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No token has this identity.
    #[error("it is not known")]
    Unknown,
    /// The secret is another.
    #[error("its secret is another")]
    WrongSecret,
    /// It was used with another key, or too long ago, or its agent has got another key since.
    #[error("it has been used")]
    Used,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// The key belongs to somebody of another name.
    #[error("the key is somebody else's")]
    KeyInUse,
    /// The agent of that name is shut out.
    #[error("its agent is banned")]
    Banned,
}

/// Why a store cannot be opened.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or opened.
    #[error("cannot open {path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What the system or the database said.
        why: String,
    },
    /// Something else wrote the file.
    #[error("{path} is not a store of Bailiwick")]
    Foreign {
        /// The file.
        path: String,
    },
    /// A later version wrote the file.
    #[error("{path} has version {version}; this program knows versions up to {known}")]
    TooNew {
        /// The file.
        path: String,
        /// Its version.
        version: u32,
        /// The latest version that is known here.
        known: u32,
    },
}

/// Why a text is no location.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is no location of a store: neither `memory` nor `sqlite:PATH`")]
pub struct LocationError {
    /// The text.
    pub text: String,
}
