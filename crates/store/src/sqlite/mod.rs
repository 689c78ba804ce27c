//! The store in an SQLite database, for a coordinator on one machine.
//!
//! One thread writes and gathers what is waiting into one transaction ([`writer`]); a few others
//! read ([`reader`]). Both run plain functions over a connection, one file for each kind of
//! thing: [`tokens`], [`agents`], [`checks`], [`watches`], [`plans`], [`ingest`], [`audit`]. The tables are in
//! [`schema`].
//!
//! A commit is on the disk when it returns: write-ahead log, `synchronous = FULL`. If the log
//! cannot be synced, SQLite gives an error and does not count the transaction; what comes later
//! writes those pages of the log anew, so a failed sync cannot hide below a later success.
//!
//! The statements keep to what PostgreSQL and CockroachDB understand, too: no function that
//! tells the time, no sequence that is read as a cursor, keys that begin with a hash. A test
//! reads all of them (`tests/sql.rs`).

mod agents;
mod audit;
mod checks;
mod ingest;
mod plans;
mod reader;
mod rows;
mod schema;
mod space;
mod tokens;
mod watches;
mod writer;

use std::{fmt, path::Path, time::Duration};

use async_trait::async_trait;
use bailiwick_core::{check::CheckId, time::Timestamp, vantage::VantageId};
use rusqlite::Connection;

use crate::{
    Agent, AgentState, Audit, BootId, Certificate, CheckRecord, CheckSummary, Equivocation, Error,
    Incoming, Ingested, ItemId, Judgement, Kept, KeptId, KeyHash, Mark, NewCheck, NewToken,
    NewWatch, OpenError, Operator, Options, PlanDelta, PlanItem, Redeemed, Redemption, Role, Seen,
    Serial, Session, Slot, Store, Token, TokenId, Usage, Watch, WatchId,
};

/// Why a function over a connection did not do what it was for.
enum Failure {
    /// It has an answer, and its changes are not wanted.
    Answer(Error),
    /// The database failed. Nothing is known of the transaction.
    Database(rusqlite::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Answer(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Answer(error) => error,
            Failure::Database(error) => match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => Self::Full { free: 0 },
                // Another process held the database for longer than we wait.
                Some(rusqlite::ErrorCode::DatabaseBusy) => Self::Busy,
                _ => Self::Storage {
                    why: error.to_string(),
                },
            },
        }
    }
}

/// What functions over a connection return.
type Done<T> = Result<T, Failure>;

/// A store in an SQLite database.
pub(crate) struct Sqlite {
    writer: writer::Writer,
    readers: reader::Readers,
    space: space::Space,
}

impl Sqlite {
    /// Opens the database, and makes it if there is none.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let space = space::Space::new(path, options);
        let connection = schema::open(path, options)?;
        let writer = writer::Writer::start(connection, options.queue);
        let readers = reader::Readers::start(|| schema::open_reader(path))?;
        Ok(Self {
            writer,
            readers,
            space,
        })
    }

    /// Writes something small.
    async fn write<T: Send + 'static>(
        &self,
        act: impl FnMut(&Connection) -> Done<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.write(0, act).await
    }

    async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> Done<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.readers.read(act).await
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sqlite")
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn create_token(&self, token: &NewToken, audit: &Audit) -> Result<(), Error> {
        let (token, audit) = (token.clone(), audit.clone());
        self.write(move |db| tokens::create(db, &token, &audit))
            .await
    }

    async fn token(&self, id: TokenId) -> Result<Option<Token>, Error> {
        self.read(move |db| tokens::find(db, id)).await
    }

    async fn redeem(&self, redemption: &Redemption) -> Result<Redeemed, Error> {
        let redemption = redemption.clone();
        self.write(move |db| tokens::redeem(db, &redemption)).await
    }

    async fn agent(&self, name: &VantageId) -> Result<Option<Agent>, Error> {
        let name = name.clone();
        self.read(move |db| agents::find(db, &name)).await
    }

    async fn agent_by_key(&self, key: KeyHash) -> Result<Option<Agent>, Error> {
        self.read(move |db| agents::by_key(db, key)).await
    }

    async fn agents(&self) -> Result<Vec<Agent>, Error> {
        self.read(agents::all).await
    }

    async fn set_agent_state(
        &self,
        name: &VantageId,
        state: &AgentState,
        audit: &Audit,
    ) -> Result<(), Error> {
        let (name, state, audit) = (name.clone(), state.clone(), audit.clone());
        self.write(move |db| agents::set_state(db, &name, &state, &audit))
            .await
    }

    async fn certificate_issued(
        &self,
        name: &VantageId,
        certificate: &Certificate,
    ) -> Result<(), Error> {
        let (name, certificate) = (name.clone(), *certificate);
        self.write(move |db| agents::certificate_issued(db, &name, certificate))
            .await
    }

    async fn certificate_used(&self, name: &VantageId, serial: Serial) -> Result<bool, Error> {
        let name = name.clone();
        self.write(move |db| agents::certificate_used(db, &name, serial))
            .await
    }

    async fn note_seen(&self, name: &VantageId, seen: &Seen) -> Result<(), Error> {
        let (name, seen) = (name.clone(), seen.clone());
        self.write(move |db| agents::note_seen(db, &name, &seen))
            .await
    }

    async fn take_session(
        &self,
        name: &VantageId,
        replica: &str,
        boot: BootId,
        at: Timestamp,
    ) -> Result<Session, Error> {
        let (name, replica) = (name.clone(), replica.to_owned());
        self.write(move |db| agents::take_session(db, &name, &replica, boot, at))
            .await
    }

    async fn session(&self, name: &VantageId) -> Result<Option<Session>, Error> {
        let name = name.clone();
        self.read(move |db| agents::session(db, &name)).await
    }

    async fn operator_by_key(&self, key: KeyHash) -> Result<Option<Operator>, Error> {
        self.read(move |db| agents::operator_by_key(db, key)).await
    }

    async fn operators(&self) -> Result<Vec<Operator>, Error> {
        self.read(agents::operators).await
    }

    async fn set_role(&self, name: &str, role: Role, audit: &Audit) -> Result<(), Error> {
        let (name, audit) = (name.to_owned(), audit.clone());
        self.write(move |db| agents::set_role(db, &name, role, &audit))
            .await
    }

    async fn remove_operator(&self, name: &str, audit: &Audit) -> Result<(), Error> {
        let (name, audit) = (name.to_owned(), audit.clone());
        self.write(move |db| agents::remove_operator(db, &name, &audit))
            .await
    }

    async fn note(&self, audit: &Audit) -> Result<(), Error> {
        let audit = audit.clone();
        self.write(move |db| audit::note(db, &audit)).await
    }

    async fn audit(&self, limit: usize) -> Result<Vec<Audit>, Error> {
        self.read(move |db| audit::latest(db, limit)).await
    }

    async fn create_check(&self, check: &NewCheck, audit: &Audit) -> Result<(), Error> {
        let (check, audit) = (check.clone(), audit.clone());
        let octets = check.check.len() + check.item.len();
        let act = move |db: &Connection| checks::create(db, &check, &audit);
        self.writer.write(octets, act).await
    }

    async fn close_check(&self, id: CheckId, judgement: &Judgement) -> Result<(), Error> {
        let judgement = judgement.clone();
        let octets = judgement.octets();
        let act = move |db: &Connection| checks::close(db, id, &judgement);
        self.writer.write(octets, act).await
    }

    async fn revise_check(&self, id: CheckId, judgement: &Judgement) -> Result<u64, Error> {
        let judgement = judgement.clone();
        let octets = judgement.octets();
        let act = move |db: &Connection| checks::revise(db, id, &judgement);
        self.writer.write(octets, act).await
    }

    async fn check(&self, id: CheckId) -> Result<Option<CheckRecord>, Error> {
        self.read(move |db| checks::find(db, id)).await
    }

    async fn first_judgement(&self, id: CheckId) -> Result<Option<Judgement>, Error> {
        self.read(move |db| checks::first_judgement(db, id)).await
    }

    async fn checks(&self, zone: Option<&[u8]>, limit: usize) -> Result<Vec<CheckSummary>, Error> {
        let zone = zone.map(<[u8]>::to_vec);
        self.read(move |db| checks::list(db, zone.as_deref(), limit))
            .await
    }

    async fn open_checks(&self, limit: usize) -> Result<Vec<CheckRecord>, Error> {
        self.read(move |db| checks::open(db, limit)).await
    }

    async fn create_watch(&self, watch: &NewWatch, audit: &Audit) -> Result<(), Error> {
        let (watch, audit) = (watch.clone(), audit.clone());
        let items: usize = watch.items.values().map(bytes::Bytes::len).sum();
        let octets = watch.check.len() + items;
        let act = move |db: &Connection| watches::create(db, &watch, &audit);
        self.writer.write(octets, act).await
    }

    async fn renew_watch(
        &self,
        id: WatchId,
        not_after: Timestamp,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.write(move |db| watches::renew(db, id, not_after, at))
            .await
    }

    async fn remove_watch(&self, id: WatchId, audit: &Audit) -> Result<(), Error> {
        let audit = audit.clone();
        self.write(move |db| watches::remove(db, id, &audit)).await
    }

    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, Error> {
        self.read(move |db| watches::find(db, id)).await
    }

    async fn watches(&self) -> Result<Vec<Watch>, Error> {
        self.read(watches::list).await
    }

    async fn open_slots(&self, slots: &[Slot]) -> Result<(), Error> {
        let slots = slots.to_vec();
        self.write(move |db| watches::open_slots(db, &slots)).await
    }

    async fn forget_slots(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        self.write(move |db| watches::forget_slots(db, before, limit))
            .await
    }

    async fn put_plan_item(
        &self,
        name: &VantageId,
        item: &PlanItem,
        at: Timestamp,
    ) -> Result<u64, Error> {
        let (name, item) = (name.clone(), item.clone());
        let octets = item.spec.len();
        let act = move |db: &Connection| plans::put(db, &name, &item, at);
        self.writer.write(octets, act).await
    }

    async fn remove_plan_item(
        &self,
        name: &VantageId,
        item: ItemId,
        at: Timestamp,
    ) -> Result<u64, Error> {
        let name = name.clone();
        self.write(move |db| plans::remove(db, &name, item, at))
            .await
    }

    async fn plan_since(
        &self,
        name: &VantageId,
        revision: u64,
        at: Timestamp,
    ) -> Result<PlanDelta, Error> {
        let name = name.clone();
        self.read(move |db| plans::since(db, &name, revision, at))
            .await
    }

    async fn ingest(&self, name: &VantageId, items: Vec<Incoming>) -> Result<Ingested, Error> {
        items.iter().try_for_each(Incoming::validate)?;
        let batch = ingest::Batch::new(name.clone(), items);
        let (space, octets, reports) = (self.space.clone(), batch.octets(), batch.reports());
        self.writer
            .ingest(octets, reports, move |db| {
                ingest::ingest(db, &space, &batch)
            })
            .await
    }

    async fn marks(&self, name: &VantageId) -> Result<Vec<Mark>, Error> {
        let name = name.clone();
        self.read(move |db| ingest::marks(db, &name)).await
    }

    async fn evidence(
        &self,
        check: CheckId,
        after: Option<&KeptId>,
        limit: usize,
    ) -> Result<Vec<Kept>, Error> {
        let after = after.cloned();
        self.read(move |db| ingest::evidence(db, check, after.as_ref(), limit))
            .await
    }

    async fn lately_reported(&self, within: Duration) -> Result<Vec<(CheckId, u64)>, Error> {
        self.read(move |db| ingest::lately_reported(db, within))
            .await
    }

    async fn equivocations(
        &self,
        name: &VantageId,
        limit: usize,
    ) -> Result<Vec<Equivocation>, Error> {
        let name = name.clone();
        self.read(move |db| ingest::equivocations(db, &name, limit))
            .await
    }

    async fn forget_reports(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        self.write(move |db| ingest::forget(db, before, limit))
            .await
    }

    async fn usage(&self) -> Result<Usage, Error> {
        let space = self.space.clone();
        self.read(move |db| space::usage(db, &space)).await
    }
}
