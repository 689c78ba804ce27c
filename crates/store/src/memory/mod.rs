//! The store in memory: gone with the program.
//!
//! It is the plainest way to say what a store does, and so the measure of the others. Start with
//! [`World`]; the rest of this file only takes the lock.

mod agents;
mod checks;
mod plans;
mod reports;
mod watches;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bailiwick_core::{check::CheckId, time::Timestamp, vantage::VantageId};

use crate::{
    Agent, AgentState, Audit, BootId, Certificate, CheckRecord, CheckSummary, Equivocation, Error,
    Incoming, Ingested, ItemId, Judgement, Kept, KeptId, KeyHash, Mark, NewCheck, NewToken,
    NewWatch, Operator, Options, PlanDelta, PlanItem, Redeemed, Redemption, Role, Seen, Serial,
    Session, Slot, Store, Token, TokenId, Usage, Watch, WatchId, report::Key,
};

/// How many octets of reports are kept if nothing else is said.
const AT_MOST: u64 = 256 << 20;

/// Everything that is kept.
#[derive(Default)]
struct World {
    tokens: BTreeMap<TokenId, agents::TokenRow>,
    agents: BTreeMap<VantageId, agents::AgentRow>,
    operators: BTreeMap<String, Operator>,
    audit: BTreeSet<Audit>,
    checks: BTreeMap<CheckId, checks::CheckRow>,
    watches: BTreeMap<WatchId, watches::WatchRow>,
    reports: BTreeMap<Key, Kept>,
    by_check: BTreeSet<(CheckId, Key)>,
    equivocations: BTreeMap<Key, Equivocation>,
    /// Octets of reports and verdicts.
    octets: u64,
    /// How many of them there may be.
    at_most: u64,
}

impl World {
    /// Octets that can be stored before reports are refused.
    fn free(&self) -> u64 {
        let for_reports = self.at_most - self.at_most / 20;
        for_reports.saturating_sub(self.octets)
    }

    fn note(&mut self, audit: &Audit) {
        self.audit.insert(audit.clone());
    }
}

/// A store in memory.
pub(crate) struct Memory(Mutex<World>);

impl Memory {
    pub(crate) fn new(options: &Options) -> Self {
        Self(Mutex::new(World {
            at_most: options.at_most.unwrap_or(AT_MOST),
            ..World::default()
        }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        // Nothing in here panics half way through a change.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[async_trait]
impl Store for Memory {
    async fn create_token(&self, token: &NewToken, audit: &Audit) -> Result<(), Error> {
        self.with(|world| world.create_token(token, audit))
    }

    async fn token(&self, id: TokenId) -> Result<Option<Token>, Error> {
        Ok(self.with(|world| world.token(id)))
    }

    async fn redeem(&self, redemption: &Redemption) -> Result<Redeemed, Error> {
        self.with(|world| world.redeem(redemption))
    }

    async fn agent(&self, name: &VantageId) -> Result<Option<Agent>, Error> {
        Ok(self.with(|world| world.agent(name)))
    }

    async fn agent_by_key(&self, key: KeyHash) -> Result<Option<Agent>, Error> {
        Ok(self.with(|world| world.agent_by_key(key)))
    }

    async fn agents(&self) -> Result<Vec<Agent>, Error> {
        Ok(self.with(|world| world.all_agents()))
    }

    async fn set_agent_state(
        &self,
        name: &VantageId,
        state: &AgentState,
        audit: &Audit,
    ) -> Result<(), Error> {
        self.with(|world| world.set_agent_state(name, state, audit))
    }

    async fn certificate_issued(
        &self,
        name: &VantageId,
        certificate: &Certificate,
    ) -> Result<(), Error> {
        self.with(|world| world.certificate_issued(name, *certificate))
    }

    async fn certificate_used(&self, name: &VantageId, serial: Serial) -> Result<bool, Error> {
        self.with(|world| world.certificate_used(name, serial))
    }

    async fn note_seen(&self, name: &VantageId, seen: &Seen) -> Result<(), Error> {
        self.with(|world| world.note_seen(name, seen))
    }

    async fn take_session(
        &self,
        name: &VantageId,
        replica: &str,
        boot: BootId,
        at: Timestamp,
    ) -> Result<Session, Error> {
        self.with(|world| world.take_session(name, replica, boot, at))
    }

    async fn session(&self, name: &VantageId) -> Result<Option<Session>, Error> {
        Ok(self.with(|world| world.session(name)))
    }

    async fn operator_by_key(&self, key: KeyHash) -> Result<Option<Operator>, Error> {
        Ok(self.with(|world| world.operator_by_key(key)))
    }

    async fn operators(&self) -> Result<Vec<Operator>, Error> {
        Ok(self.with(|world| world.operators.values().cloned().collect()))
    }

    async fn set_role(&self, name: &str, role: Role, audit: &Audit) -> Result<(), Error> {
        self.with(|world| world.set_role(name, role, audit))
    }

    async fn remove_operator(&self, name: &str, audit: &Audit) -> Result<(), Error> {
        self.with(|world| world.remove_operator(name, audit))
    }

    async fn note(&self, audit: &Audit) -> Result<(), Error> {
        self.with(|world| world.note(audit));
        Ok(())
    }

    async fn audit(&self, limit: usize) -> Result<Vec<Audit>, Error> {
        Ok(self.with(|world| world.audit.iter().rev().take(limit).cloned().collect()))
    }

    async fn create_check(&self, check: &NewCheck, audit: &Audit) -> Result<(), Error> {
        self.with(|world| world.create_check(check, audit))
    }

    async fn close_check(&self, id: CheckId, judgement: &Judgement) -> Result<(), Error> {
        self.with(|world| world.close_check(id, judgement))
    }

    async fn revise_check(&self, id: CheckId, judgement: &Judgement) -> Result<u64, Error> {
        self.with(|world| world.revise_check(id, judgement))
    }

    async fn check(&self, id: CheckId) -> Result<Option<CheckRecord>, Error> {
        Ok(self.with(|world| world.check(id)))
    }

    async fn first_judgement(&self, id: CheckId) -> Result<Option<Judgement>, Error> {
        Ok(self.with(|world| world.first_judgement(id)))
    }

    async fn checks(&self, zone: Option<&[u8]>, limit: usize) -> Result<Vec<CheckSummary>, Error> {
        Ok(self.with(|world| world.list_checks(zone, limit)))
    }

    async fn open_checks(&self, limit: usize) -> Result<Vec<CheckRecord>, Error> {
        Ok(self.with(|world| world.open_checks(limit)))
    }

    async fn create_watch(&self, watch: &NewWatch, audit: &Audit) -> Result<(), Error> {
        self.with(|world| world.create_watch(watch, audit))
    }

    async fn renew_watch(
        &self,
        id: WatchId,
        not_after: Timestamp,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.with(|world| world.renew_watch(id, not_after, at))
    }

    async fn remove_watch(&self, id: WatchId, audit: &Audit) -> Result<(), Error> {
        self.with(|world| world.remove_watch(id, audit))
    }

    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, Error> {
        Ok(self.with(|world| world.watch(id)))
    }

    async fn watches(&self) -> Result<Vec<Watch>, Error> {
        Ok(self.with(|world| world.list_watches()))
    }

    async fn open_slots(&self, slots: &[Slot]) -> Result<(), Error> {
        self.with(|world| world.open_slots(slots))
    }

    async fn forget_slots(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        Ok(self.with(|world| world.forget_slots(before, limit)))
    }

    async fn put_plan_item(
        &self,
        name: &VantageId,
        item: &PlanItem,
        at: Timestamp,
    ) -> Result<u64, Error> {
        self.with(|world| world.put_plan_item(name, item, at))
    }

    async fn remove_plan_item(
        &self,
        name: &VantageId,
        item: ItemId,
        at: Timestamp,
    ) -> Result<u64, Error> {
        self.with(|world| world.remove_plan_item(name, item, at))
    }

    async fn plan_since(
        &self,
        name: &VantageId,
        revision: u64,
        at: Timestamp,
    ) -> Result<PlanDelta, Error> {
        self.with(|world| world.plan_since(name, revision, at))
    }

    async fn ingest(&self, name: &VantageId, items: Vec<Incoming>) -> Result<Ingested, Error> {
        self.with(|world| world.ingest(name, items))
    }

    async fn marks(&self, name: &VantageId) -> Result<Vec<Mark>, Error> {
        Ok(self.with(|world| world.marks(name)))
    }

    async fn evidence(
        &self,
        check: CheckId,
        after: Option<&KeptId>,
        limit: usize,
    ) -> Result<Vec<Kept>, Error> {
        Ok(self.with(|world| world.evidence(check, after, limit)))
    }

    async fn lately_reported(&self, within: Duration) -> Result<Vec<(CheckId, u64)>, Error> {
        Ok(self.with(|world| world.lately_reported(within)))
    }

    async fn equivocations(
        &self,
        name: &VantageId,
        limit: usize,
    ) -> Result<Vec<Equivocation>, Error> {
        Ok(self.with(|world| world.equivocations(name, limit)))
    }

    async fn forget_reports(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        Ok(self.with(|world| world.forget_reports(before, limit)))
    }

    async fn usage(&self) -> Result<Usage, Error> {
        Ok(self.with(|world| world.usage()))
    }
}
