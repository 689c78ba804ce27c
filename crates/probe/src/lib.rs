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
    limit::Limits, name::Name, observation::Observation, query::Query, report::RoundId,
    time::Timestamp, vantage::VantagePoint,
};

mod controls;
pub mod hints;
mod leaves;
mod ledger;
mod plan;
mod reach;
mod reply;
mod session;
mod survey;
mod sweep;
mod tracer;
mod walk;

pub use leaves::Leaves;
pub use plan::{Only, Plan};
pub use session::Session;
pub use tracer::Tracer;

/// How long the parts of a check wait. A one-shot check gives one silent server 2 seconds.
mod patience {
    use std::time::Duration;

    /// The first try over UDP.
    pub(crate) const FIRST: Duration = Duration::from_millis(700);
    /// The second try over UDP.
    pub(crate) const SECOND: Duration = Duration::from_millis(1200);
    /// A question to a server that has answered before.
    pub(crate) const FOLLOW: Duration = Duration::from_millis(700);
    /// A TCP connection with all its answers.
    pub(crate) const TCP: Duration = Duration::from_millis(1900);
    /// A recursive resolver that may have to walk itself.
    pub(crate) const RESOLVER: Duration = Duration::from_millis(4500);
    /// How long resolvers are waited for when they do not decide, from the start.
    pub(crate) const SURVEY_GRACE: Duration = Duration::from_millis(1450);
    /// The time between the two halves of control C4.
    pub(crate) const CONSTANCY: Duration = Duration::from_secs(3);
}

/// When a machine stops: a little before whoever waits gives up, and never past limit B8.
fn deadline(timeout: Duration, limits: &Limits) -> Duration {
    let timeout = timeout.min(limits.wall_time);
    timeout.saturating_sub(Duration::from_millis(200).min(timeout / 10))
}

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
