//! Reports are kept for a time, and then forgotten. Verdicts stay, but those of watches go with
//! their reports: there is another for each slot, for ever.

use std::{sync::Arc, time::Duration};

use bailiwick_core::time::Timestamp;

use crate::{Shared, clock};

/// How long reports are kept if nothing else is said: 90 days.
pub const KEEP: Duration = Duration::from_hours(90 * 24);
/// The shortest that can be said. A report may be a week late and is judged with the others.
pub const SHORTEST: Duration = Duration::from_hours(8 * 24);
/// How often is looked for what is too old.
const EVERY: Duration = Duration::from_hours(1);
/// Reports that are forgotten in one transaction.
const AT_ONCE: usize = 500;
/// Between two transactions: whoever reports is more important.
const BREATH: Duration = Duration::from_millis(50);

impl Shared {
    /// Forgets what is too old, for ever.
    pub(crate) async fn forget(self: Arc<Self>) {
        loop {
            match self.forget_until(self.keep_since()).await {
                Ok((0, 0)) => {}
                Ok((reports, rounds)) => {
                    tracing::info!(reports, rounds, "old reports and rounds were forgotten");
                }
                Err(error) => tracing::warn!(%error, "old reports cannot be forgotten now"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Returns how many reports, and how many rounds of watches.
    async fn forget_until(
        &self,
        before: Timestamp,
    ) -> Result<(usize, usize), bailiwick_store::Error> {
        let (mut reports, mut rounds) = (0, 0);
        loop {
            let some = self.store.forget_reports(before, AT_ONCE).await?;
            let others = self.store.forget_slots(before, AT_ONCE).await?;
            (reports, rounds) = (reports + some, rounds + others);
            if some.max(others) < AT_ONCE {
                return Ok((reports, rounds));
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    /// Reports that came before this moment are forgotten, or will be within the hour.
    pub(crate) fn keep_since(&self) -> Timestamp {
        let keep = u64::try_from(self.keep.as_micros()).unwrap_or(u64::MAX);
        Timestamp(clock::now().0.saturating_sub(keep))
    }

    /// Returns whether not all may be there any more that a verdict was computed from.
    pub(crate) fn is_forgotten(&self, created: Timestamp) -> bool {
        created < self.keep_since()
    }
}
