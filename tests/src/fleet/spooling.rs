//! Players that behave as agents do when a coordinator comes and goes.
//!
//! They keep what is not acknowledged and send it again, forget what is, and write down what they
//! made and what they heard. That account is an oracle: it believes nothing that a store says
//! about itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use bailiwick_agent::{Backoff, Retry};
use bailiwick_core::{
    check::{Check, CheckId},
    report::{Lane, Report, ReportId, RoundId},
};
use bailiwick_rpc::agent::{plan_item, to_agent};
use bailiwick_wire::{proto::report::v1 as pb, report};
use tokio::task::JoinHandle;

use super::{Player, Session, answer, envelope};

/// Reports and octets of one batch.
const REPORTS: usize = 64;
const OCTETS: u64 = 256 * 1024;
/// At most so long between two tries to be in a session.
const PAUSE: Duration = Duration::from_millis(20);

/// What a player made and what it heard.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Of its reports.
    pub epoch: u64,
    /// By sequence number: what it was asked, and in which round.
    pub made: BTreeMap<u64, (Check, RoundId)>,
    /// Everything up to here was acknowledged.
    pub acknowledged: u64,
    /// How often a session began, and what went wrong with the others.
    pub sessions: u64,
    /// Why sessions ended or did not begin, and how often.
    pub trouble: BTreeMap<String, u64>,
    /// Envelopes that were sent, those that were sent again included.
    pub sent: u64,
    waiting: BTreeMap<u64, pb::ReportEnvelope>,
}

impl Account {
    /// How many reports are not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.waiting.len()
    }
}

/// A player that works by itself until it is dropped.
#[derive(Debug)]
pub struct Spooling {
    /// As enrolled.
    pub name: String,
    report: Report,
    account: Arc<Mutex<Account>>,
    working: JoinHandle<()>,
}

impl Drop for Spooling {
    fn drop(&mut self) {
        self.working.abort();
    }
}

impl Spooling {
    /// Lets a player answer each check with what this report says, some time after it was asked.
    #[must_use]
    pub fn start(player: Player, report: Report, after: Duration) -> Self {
        let always = Retry {
            first: PAUSE,
            most: PAUSE,
            steady: PAUSE,
        };
        Self::start_with(player, report, after, always)
    }

    /// As [`Spooling::start`], with other pauses between two tries to be in a session.
    #[must_use]
    pub fn start_with(player: Player, report: Report, after: Duration, retry: Retry) -> Self {
        let account = Arc::new(Mutex::new(Account {
            epoch: rand::random(),
            ..Account::default()
        }));
        let name = player.name.clone();
        let worker = Worker {
            player,
            report: report.clone(),
            account: Arc::clone(&account),
            after,
            backoff: Backoff::new(retry),
            known: BTreeSet::new(),
        };
        Self {
            name,
            report,
            account,
            working: tokio::spawn(worker.work()),
        }
    }

    /// Its account as it stands.
    pub fn account(&self) -> MutexGuard<'_, Account> {
        lock(&self.account)
    }

    /// A report as it was made.
    #[must_use]
    pub fn report(&self, check: &Check, round: RoundId) -> Report {
        answer(self.report.clone(), check, round, &self.name)
    }
}

fn lock(account: &Mutex<Account>) -> MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Worker {
    player: Player,
    report: Report,
    account: Arc<Mutex<Account>>,
    after: Duration,
    backoff: Backoff,
    known: BTreeSet<CheckId>,
}

impl Worker {
    async fn work(mut self) {
        loop {
            let began = Instant::now();
            let ended = match self.player.session().await {
                Ok(session) => {
                    lock(&self.account).sessions += 1;
                    self.begin(session).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                let mut account = lock(&self.account);
                *account.trouble.entry(format!("{error:#}")).or_default() += 1;
            }
            let pause = self.backoff.pause(began.elapsed(), rand::random());
            tokio::time::sleep(pause).await;
        }
    }

    async fn begin(&mut self, session: Session) -> Result<()> {
        // Others may be named because another one is to sign soon, or does so already.
        if self.player.believe(&session) {
            self.player.renew().await?;
        }
        self.serve(session).await
    }

    async fn serve(&mut self, mut session: Session) -> Result<()> {
        let mut credit = session.credit;
        let mut sent = 0;
        loop {
            self.send(&mut session, &mut credit, &mut sent).await?;
            match session.heard().await? {
                to_agent::Kind::Plan(plan) => {
                    for item in plan.items {
                        let Some(plan_item::When::Once(once)) = item.when else {
                            continue;
                        };
                        if let Some(check) = item.check {
                            self.asked(&report::check(&check)?, RoundId(once.round))
                                .await;
                        }
                    }
                }
                to_agent::Kind::Acknowledged(acknowledged) => {
                    let mut account = lock(&self.account);
                    if acknowledged.epoch == account.epoch {
                        let through = account.acknowledged.max(acknowledged.through);
                        account.acknowledged = through;
                        account.waiting = account.waiting.split_off(&(through + 1));
                    }
                }
                to_agent::Kind::Credit(more) => credit += more.octets,
                to_agent::Kind::Farewell(farewell) => bail!("farewell: {}", farewell.reason),
                to_agent::Kind::Welcome(_) => {}
            }
        }
    }

    async fn asked(&mut self, check: &Check, round: RoundId) {
        if !self.known.insert(check.id) {
            return;
        }
        tokio::time::sleep(self.after).await;
        let report = answer(self.report.clone(), check, round, &self.player.name);
        let mut account = lock(&self.account);
        let seq = account.made.last_key_value().map_or(0, |(seq, _)| *seq) + 1;
        let id = ReportId {
            lane: Lane::Change,
            epoch: account.epoch,
            seq,
        };
        account.made.insert(seq, (check.clone(), round));
        account.waiting.insert(seq, envelope(id, &report));
    }

    /// Sends what was not sent in this session, as far as there is credit.
    async fn send(&self, session: &mut Session, credit: &mut u64, sent: &mut u64) -> Result<()> {
        loop {
            let mut batch = Vec::new();
            let mut octets = 0;
            {
                let mut account = lock(&self.account);
                for (seq, envelope) in account.waiting.range(*sent + 1..) {
                    let size = size(envelope);
                    if batch.len() == REPORTS || octets + size > OCTETS.min(*credit) {
                        break;
                    }
                    octets += size;
                    *sent = *seq;
                    batch.push(envelope.clone());
                }
                account.sent += batch.len() as u64;
            }
            if batch.is_empty() {
                return Ok(());
            }
            *credit -= octets;
            session.send(batch).await?;
        }
    }
}

fn size(envelope: &pb::ReportEnvelope) -> u64 {
    let answers: usize = envelope.answers.iter().map(|a| a.len()).sum();
    (envelope.body.len() + answers) as u64
}
