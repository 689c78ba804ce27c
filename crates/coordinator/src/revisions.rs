//! Checks that are to be judged again: a report came after the verdict, or the verdict could not
//! be stored. And rounds of watches, when their time is over.
//!
//! One after the other, so that of two verdicts of a check the one that knows more is the last; and
//! as often as it takes, so that a store that is busy costs time and no verdict. What was to be
//! done when the program ended is found again in the store ([`Shared::catch_up`]).

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bailiwick_core::check::CheckId;
use bailiwick_rpc::operator::{EvidencePart, evidence_part};
use prost::Message as _;
use tokio::sync::Notify;

use crate::Shared;

/// How long a verdict may be behind a report when the program ends.
const BEHIND: Duration = Duration::from_mins(10);
/// After the first failure of the store, and after many in a row.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// Those whose time is over just now.
    first: VecDeque<CheckId>,
    order: VecDeque<CheckId>,
    waiting: BTreeSet<CheckId>,
    /// Whether one is being judged.
    busy: bool,
}

impl Revisions {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a check be judged again, once for however many reports come before its turn.
    pub(crate) fn add(&self, check: CheckId) {
        let mut queue = self.queue();
        if queue.waiting.insert(check) {
            queue.order.push_back(check);
            self.more.notify_one();
        }
    }

    /// Lets a check have its turn before all that are late already. What agents catch up with must
    /// not delay what is now.
    pub(crate) fn add_first(&self, check: CheckId) {
        let mut queue = self.queue();
        queue.waiting.insert(check);
        if !queue.first.contains(&check) {
            queue.first.push_back(check);
            self.more.notify_one();
        }
    }

    /// How many wait or are at it.
    pub(crate) fn waiting(&self) -> usize {
        let queue = self.queue();
        queue.waiting.len() + usize::from(queue.busy)
    }

    fn take(&self) -> Option<CheckId> {
        let mut queue = self.queue();
        let next = loop {
            let Some(check) = queue.first.pop_front().or_else(|| queue.order.pop_front()) else {
                break None;
            };
            // What comes from now on may be too late for this turn. One that waited in both places
            // has had its turn already.
            if queue.waiting.remove(&check) {
                break Some(check);
            }
        };
        queue.busy = next.is_some();
        next
    }
}

impl Shared {
    /// Judges again whatever is to be judged again, for ever.
    pub(crate) async fn revise(self: Arc<Self>) {
        if let Err(error) = self.catch_up().await {
            tracing::error!(%error, "verdicts may be older than their reports");
        }
        let mut pause = PAUSE;
        loop {
            let Some(check) = self.revisions.take() else {
                self.revisions.more.notified().await;
                continue;
            };
            let Err(error) = self.settle(check).await else {
                pause = PAUSE;
                continue;
            };
            tracing::warn!(%error, "a check cannot be judged again now");
            self.revisions.add(check);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Finds checks with reports that their verdict does not know.
    async fn catch_up(&self) -> Result<(), bailiwick_store::Error> {
        for (id, kept) in self.store.lately_reported(BEHIND).await? {
            let Some(record) = self.store.check(id).await? else {
                continue;
            };
            let Some(judgement) = record.judgement else {
                continue; // Its round is open.
            };
            let known = match EvidencePart::decode(judgement.places).map(|part| part.kind) {
                Ok(Some(evidence_part::Kind::Head(head))) => head.reports,
                _ => 0,
            };
            if u64::from(known) != kept {
                self.revisions.add(id);
            }
        }
        Ok(())
    }

    /// Gives a check the verdict that comes of all that is stored.
    async fn settle(self: &Arc<Self>, id: CheckId) -> Result<(), bailiwick_store::Error> {
        let Some(record) = self.store.check(id).await? else {
            return Ok(());
        };
        let reports = self.stored(&record).await?;
        let parts = u32::try_from(reports.len()).unwrap_or(u32::MAX);
        let judged = self.judge(id, &record.asked, reports, parts).await;
        let judgement = match judged {
            Ok(judged) => judged.judgement,
            Err(why) => why.judgement(),
        };
        if record.judgement.is_none() {
            return self.store.close_check(id, &judgement).await;
        }
        let revisions = self.store.revise_check(id, &judgement).await?;
        match record.watch {
            None => tracing::info!(revisions, "a late report was judged"),
            // Of these there are many after an outage.
            Some(_) => tracing::debug!(revisions, "a late round was judged"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_waits_once_and_again_after_its_turn() {
        let revisions = Revisions::default();
        for check in [1, 2, 1] {
            revisions.add(CheckId(check));
        }
        assert_eq!(revisions.waiting(), 2);
        assert_eq!(revisions.take(), Some(CheckId(1)));
        // A report that comes while it is judged.
        revisions.add(CheckId(1));
        assert_eq!(revisions.waiting(), 3);
        assert_eq!(revisions.take(), Some(CheckId(2)));
        assert_eq!(revisions.take(), Some(CheckId(1)));
        assert_eq!(revisions.take(), None);
        assert_eq!(revisions.waiting(), 0);
    }

    #[test]
    fn what_is_now_comes_before_what_is_late_and_nothing_twice() {
        let revisions = Revisions::default();
        for check in [1, 2, 3] {
            revisions.add(CheckId(check));
        }
        for check in [4, 2, 4] {
            revisions.add_first(CheckId(check));
        }
        assert_eq!(revisions.waiting(), 4);
        let taken: Vec<_> = std::iter::from_fn(|| revisions.take()).collect();
        assert_eq!(taken, [4, 2, 1, 3].map(CheckId));
        assert_eq!(revisions.waiting(), 0);
    }
}
