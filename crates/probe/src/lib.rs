//! Decides what to ask next and what was learned, without asking.
//!
//! A [`Machine`] is a value: it says which [`Query`] to send, learns from each
//! [`Observation`], and is done at some point. It opens no socket and reads no
//! clock, so equal observations at equal times give equal walks. Whoever drives
//! it carries the queries: `bailiwick-transport` over the network, a test over
//! a simulated one.
//!
//! ```text
//!            poll_query                    exchange
//!  Machine ─────────────▶ Query ⇄ network ─────────▶ Observation ─▶ handle ─▶ Machine
//! ```
//!
//! - [`Tracer`] follows one name from the root, by glue alone.
//! - [`Session`] is a whole check: the walk to the parent, every parent server,
//!   every server of the zone, the public resolvers, the vantage controls.

use std::time::Duration;

use bailiwick_core::{
    name::Name, observation::Observation, query::Query, report::RoundId, time::Timestamp,
    vantage::VantagePoint,
};

pub mod hints;
mod session;
mod tracer;

pub use session::Session;
pub use tracer::Tracer;

/// Something that asks and learns until it is done. Times count from its start.
pub trait Machine {
    /// Returns a query to send now; called until it returns `None`.
    fn poll_query(&mut self, now: Duration) -> Option<Query>;

    /// Returns when to poll again though nothing has arrived.
    fn next_wake(&self) -> Option<Duration>;

    /// Learns what came of a question.
    fn handle(&mut self, now: Duration, observation: Observation);

    /// Returns whether nothing more is to be asked or waited for.
    fn is_finished(&self, now: Duration) -> bool;

    /// Returns what a person who watches wants to know.
    fn progress(&self) -> Progress;
}

/// How far a machine has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Progress {
    /// The zone whose servers are being asked.
    pub zone: Name,
    /// What is being done, in a few words.
    pub line: String,
    /// Questions asked.
    pub asked: usize,
    /// Questions with an outcome.
    pub answered: usize,
}

/// What only the driver of a machine knows when it has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// Who looked.
    pub vantage: VantagePoint,
    /// For which round.
    pub round: RoundId,
    /// When it began, by this machine's clock.
    pub started: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// Packets sent, as the transport counted them.
    pub packets: u32,
}
