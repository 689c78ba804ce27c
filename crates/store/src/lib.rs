//! What a coordinator keeps: agents and operators, checks and their verdicts, plans, and every
//! report that was acknowledged.
//!
//! [`Store`] is the whole of it; whoever reads that trait knows what can be kept. Two stores do
//! it: SQLite, for a coordinator on one machine, and one in memory, for tests and
//! demonstrations. They give equal answers to equal calls, and a suite of cases says so
//! (`tests/conformance`).
//!
//! Three promises hold for every store:
//!
//! - **What was answered with success is kept.** A write returns after its transaction is on the
//!   disk. Without an answer nothing is known: the write may have happened. So callers do again
//!   what was not answered, and every write that an agent causes may be repeated without effect.
//! - **Order does not matter.** Reports and gaps may come twice, late and in any order; what is
//!   kept in the end is the same.
//! - **Nothing grows without bound.** Too much at once is [`Error::Busy`]; too little space is
//!   [`Error::Full`] for reports, early enough that verdicts can still be written.
//!
//! A store has no clock and no chance: moments and identities are its callers' to give. It
//! computes no verdict, and it reads nothing of a report but the day on which it was made.

mod agent;
mod audit;
mod check;
mod error;
mod location;
mod memory;
mod plan;
mod report;
mod sqlite;
mod token;
mod usage;
mod watch;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bailiwick_core::{check::CheckId, time::Timestamp, vantage::VantageId};

pub use agent::{
    Agent, AgentState, BootId, Certificate, KeyHash, Operator, Role, Seen, Serial, Session,
    TAKEOVER_WINDOW,
};
pub use audit::Audit;
pub use check::{CheckRecord, CheckSummary, Judgement, NewCheck, Outcome};
pub use error::{Error, LocationError, OpenError, Refusal};
pub use location::{Location, Options, Reserve};
pub use plan::{ItemId, PlanDelta, PlanItem};
pub use report::{Equivocation, Fate, Gap, Incoming, Ingested, Kept, KeptId, Mark, NewReport};
pub use token::{NewToken, RETRY_WINDOW, Redeemed, Redemption, Scope, Token, TokenId};
pub use usage::Usage;
pub use watch::{NewWatch, Slot, Watch, WatchId};

/// Opens the store at a location, and makes it if there is none.
///
/// # Errors
///
/// Returns [`OpenError`] if it cannot be opened, or was written by a later version.
pub async fn open(location: &Location) -> Result<Arc<dyn Store>, OpenError> {
    open_with(location, &Options::default()).await
}

/// Opens the store at a location within other bounds than the usual ones.
///
/// # Errors
///
/// As [`open`].
#[allow(clippy::unused_async, reason = "a store behind a network has to wait")]
pub async fn open_with(
    location: &Location,
    options: &Options,
) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match location {
        Location::Memory => Arc::new(memory::Memory::new(options)),
        Location::Sqlite(path) => Arc::new(sqlite::Sqlite::open(path, options)?),
    })
}

/// Keeps agents, rounds, reports and verdicts.
///
/// Every method may return [`Error::Busy`], [`Error::Closed`] and [`Error::Storage`]; the rest of
/// what may go wrong is said at each.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    // Tokens.

    /// Keeps a token that somebody may join with.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if there is a token of that identity.
    async fn create_token(&self, token: &NewToken, audit: &Audit) -> Result<(), Error>;

    /// Returns a token, used or not, expired or not.
    async fn token(&self, id: TokenId) -> Result<Option<Token>, Error>;

    /// Turns a token into an agent or an operator with this key. Of any number of redemptions
    /// with different keys one wins; the winner may ask again for [`RETRY_WINDOW`] and gets the
    /// same identity, because its answer may have been lost.
    ///
    /// An agent or operator of that name that is there already gets the new key, and loses its
    /// certificates; it keeps its reports. Whether the token may be used from where the caller
    /// is, is the caller's to check ([`Scope::Agent`]).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the reason, which is for the log and not for whoever asked.
    async fn redeem(&self, redemption: &Redemption) -> Result<Redeemed, Error>;

    // Agents.

    /// Returns the agent of a name.
    async fn agent(&self, name: &VantageId) -> Result<Option<Agent>, Error>;

    /// Returns the agent that enrolled with a key.
    async fn agent_by_key(&self, key: KeyHash) -> Result<Option<Agent>, Error>;

    /// Returns all agents, in the order of their names.
    async fn agents(&self) -> Result<Vec<Agent>, Error>;

    /// Lets an agent take part, or takes its voice.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchAgent`].
    async fn set_agent_state(
        &self,
        name: &VantageId,
        state: &AgentState,
        audit: &Audit,
    ) -> Result<(), Error>;

    /// Notes a certificate that is about to be handed out. It is the agent's next one; another
    /// that was never used is forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchAgent`].
    async fn certificate_issued(
        &self,
        name: &VantageId,
        certificate: &Certificate,
    ) -> Result<(), Error>;

    /// Returns whether an agent may use the certificate of this serial number: its current one,
    /// or the next, which becomes the current one by that. The one before is worth nothing from
    /// then on.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchAgent`].
    async fn certificate_used(&self, name: &VantageId, serial: Serial) -> Result<bool, Error>;

    /// Notes what was seen of an agent when it connected.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchAgent`].
    async fn note_seen(&self, name: &VantageId, seen: &Seen) -> Result<(), Error>;

    /// Opens a session of an agent and ends the one before: its epoch is no longer current.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchAgent`].
    async fn take_session(
        &self,
        name: &VantageId,
        replica: &str,
        boot: BootId,
        at: Timestamp,
    ) -> Result<Session, Error>;

    /// Returns the current session of an agent.
    async fn session(&self, name: &VantageId) -> Result<Option<Session>, Error>;

    // Operators.

    /// Returns the operator with a key.
    async fn operator_by_key(&self, key: KeyHash) -> Result<Option<Operator>, Error>;

    /// Returns all operators, in the order of their names.
    async fn operators(&self) -> Result<Vec<Operator>, Error>;

    /// Gives an operator another role.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchOperator`].
    async fn set_role(&self, name: &str, role: Role, audit: &Audit) -> Result<(), Error>;

    /// Forgets an operator.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchOperator`].
    async fn remove_operator(&self, name: &str, audit: &Audit) -> Result<(), Error>;

    // Who did what.

    /// Notes a call that changed nothing here, such as one that was refused. Two notes that are
    /// equal in everything are one.
    async fn note(&self, audit: &Audit) -> Result<(), Error>;

    /// Returns what was done, latest first, at most so many.
    async fn audit(&self, limit: usize) -> Result<Vec<Audit>, Error>;

    // Checks.

    /// Begins a check: keeps it, and puts its item into the plan of each agent that is asked.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if there is a check of that identity, and [`Error::NoSuchAgent`].
    async fn create_check(&self, check: &NewCheck, audit: &Audit) -> Result<(), Error>;

    /// Ends a check with its verdict, and takes its item out of all plans.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchCheck`], and [`Error::CheckClosed`] if it has a verdict.
    async fn close_check(&self, id: CheckId, judgement: &Judgement) -> Result<(), Error>;

    /// Replaces a verdict after late reports, or after a ban. The first verdict stays beside
    /// the latest. Returns how often it has been revised; a verdict of equal octets, state and
    /// policy is no revision.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchCheck`], and [`Error::CheckOpen`] if it has no verdict yet.
    async fn revise_check(&self, id: CheckId, judgement: &Judgement) -> Result<u64, Error>;

    /// Returns a check with its latest verdict.
    async fn check(&self, id: CheckId) -> Result<Option<CheckRecord>, Error>;

    /// Returns the first verdict of a check.
    async fn first_judgement(&self, id: CheckId) -> Result<Option<Judgement>, Error>;

    /// Returns checks, latest first, at most so many; only those of a zone if one is given, as
    /// uncompressed wire octets in lower case.
    async fn checks(&self, zone: Option<&[u8]>, limit: usize) -> Result<Vec<CheckSummary>, Error>;

    /// Returns checks without a verdict, oldest deadline first, at most so many: what a
    /// coordinator goes on with after it was started again.
    async fn open_checks(&self, limit: usize) -> Result<Vec<CheckRecord>, Error>;

    // Watches.

    /// Begins a watch: keeps it, and puts its item into the plan of each agent that is asked.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if there is or was a watch of that identity, and [`Error::NoSuchAgent`].
    async fn create_watch(&self, watch: &NewWatch, audit: &Audit) -> Result<(), Error>;

    /// Lets agents go on with a watch until another moment: puts its item into their plans again.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchWatch`] if there is none, or it was removed.
    async fn renew_watch(
        &self,
        id: WatchId,
        not_after: Timestamp,
        at: Timestamp,
    ) -> Result<(), Error>;

    /// Ends a watch, and takes its item out of all plans. It is remembered for the reports that
    /// are still on their way, until [`Store::forget_slots`].
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchWatch`] if there is none, or it was removed.
    async fn remove_watch(&self, id: WatchId, audit: &Audit) -> Result<(), Error>;

    /// Returns a watch, removed or not.
    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, Error>;

    /// Returns all watches that were not removed, oldest first.
    async fn watches(&self) -> Result<Vec<Watch>, Error>;

    /// Makes checks of rounds of watches, removed or not: open, and asked of all that the watch
    /// asks. One that is there already stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchWatch`]. Nothing of it is kept then.
    async fn open_slots(&self, slots: &[Slot]) -> Result<(), Error>;

    /// Forgets rounds of watches that began before a moment, at most so many, with their
    /// verdicts; and when there are no more, watches that were removed before it. Returns how many
    /// rounds were forgotten. Checks that somebody asked for stay.
    async fn forget_slots(&self, before: Timestamp, limit: usize) -> Result<usize, Error>;

    // Plans.

    /// Puts an item into an agent's plan, or changes it. Returns the plan's new revision.
    /// Items that are no longer valid `at` this moment are forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchAgent`].
    async fn put_plan_item(
        &self,
        name: &VantageId,
        item: &PlanItem,
        at: Timestamp,
    ) -> Result<u64, Error>;

    /// Takes an item out of an agent's plan. Returns the plan's revision, which is the same as
    /// before if the item was not in it.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchAgent`].
    async fn remove_plan_item(
        &self,
        name: &VantageId,
        item: ItemId,
        at: Timestamp,
    ) -> Result<u64, Error>;

    /// Returns what changed in an agent's plan since a revision that the agent holds, as far as
    /// it is valid `at` this moment; the whole plan for revision 0 and for one that was never
    /// given.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchAgent`].
    async fn plan_since(
        &self,
        name: &VantageId,
        revision: u64,
        at: Timestamp,
    ) -> Result<PlanDelta, Error>;

    // Reports.

    /// Keeps what an agent sent. Returns after it is on the disk; only then may it be
    /// acknowledged, up to the marks that are returned.
    ///
    /// Whether a check was asked of this agent is its caller's to check, and so are the limits
    /// on sizes and rates.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchAgent`], [`Error::Banned`], [`Error::Invalid`] for sequence numbers that
    /// cannot be, and [`Error::Full`]. Nothing of it is kept then.
    async fn ingest(&self, name: &VantageId, items: Vec<Incoming>) -> Result<Ingested, Error>;

    /// Returns how far everything of an agent is kept or known to be lost.
    async fn marks(&self, name: &VantageId) -> Result<Vec<Mark>, Error>;

    /// Returns the reports of a check with their answers, in an order that does not change, at
    /// most so many, beginning after the one that is named.
    async fn evidence(
        &self,
        check: CheckId,
        after: Option<&KeptId>,
        limit: usize,
    ) -> Result<Vec<Kept>, Error>;

    /// Returns the checks that a report came about within so long before the last report of all,
    /// each with how many reports are kept about it: those whose verdict may not know all of them,
    /// if the program ended. In the order of their identities.
    async fn lately_reported(&self, within: Duration) -> Result<Vec<(CheckId, u64)>, Error>;

    /// Returns reports of an agent that were sent as one but were two, at most so many.
    async fn equivocations(
        &self,
        name: &VantageId,
        limit: usize,
    ) -> Result<Vec<Equivocation>, Error>;

    /// Forgets reports that were received before a moment, at most so many, and the answers that
    /// nothing refers to any more. Returns how many reports were forgotten; fewer than the limit
    /// means that all were. Marks, counts and verdicts stay, so a report that is sent again is
    /// known.
    ///
    /// It goes by the moment of receipt: by its own clock, an agent could have its reports kept
    /// for ever, or forgotten at once.
    async fn forget_reports(&self, before: Timestamp, limit: usize) -> Result<usize, Error>;

    // The store itself.

    /// Returns how much is kept, and how much more can be.
    async fn usage(&self) -> Result<Usage, Error>;
}
