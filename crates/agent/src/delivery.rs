//! Sends what is spooled, the change lane first, as fast as the coordinator gives credit.
//!
//! After an outage a spool holds hours of routine reports, and a coordinator reads so many a second
//! of one agent. What is on its way cannot be overtaken, so of the routine lane there is never more
//! on its way than one batch: a report that somebody waits for now waits for that one at most.

use std::time::Duration;

use bailiwick_core::report::{Lane, ReportId};
use bailiwick_rpc::agent::{FromAgent, ReportBatch, from_agent};
use bailiwick_spool::Entry;
use bailiwick_wire::{
    proto::report::v1::{Gap, ReportEnvelope, ReportId as PbReportId},
    report::to_lane,
};
use bytes::Bytes;
use prost::Message as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use crate::keeper::{Keeper, Kept};

/// The most reports of one batch, by lane, and gaps and octets.
const REPORTS: usize = 64;
const ROUTINE: usize = 32;
const GAPS: usize = 64;
const OCTETS: usize = 256 * 1024;
/// So many routine reports do not wait for others.
const FLUSH_AT: u64 = 64;

/// The coordinator does not listen any more.
#[derive(Debug)]
pub(crate) struct Gone;

/// What came of looking for more to send.
enum Sent {
    Something,
    Nothing,
    /// There is something, but no credit for it, or not before what was sent has arrived.
    NoCredit,
}

/// Sends all of a spool, from its beginning, in one session.
pub(crate) struct Delivery {
    keeper: Keeper,
    say: mpsc::Sender<FromAgent>,
    /// Octets that the coordinator allowed since the session began.
    credit: watch::Receiver<u64>,
    /// Octets that were allowed at first: each that arrived is given back.
    window: u64,
    /// Octets that were sent.
    spent: u64,
    /// How long routine reports may wait for others.
    flush: Duration,
    change: Option<ReportId>,
    routine: Option<ReportId>,
}

impl Delivery {
    pub(crate) fn new(
        keeper: Keeper,
        say: mpsc::Sender<FromAgent>,
        credit: watch::Receiver<u64>,
        flush: Duration,
    ) -> Self {
        let window = *credit.borrow();
        Self {
            keeper,
            say,
            credit,
            window,
            spent: 0,
            flush,
            change: None,
            routine: None,
        }
    }

    /// Sends until the session is over.
    pub(crate) async fn run(mut self) -> Gone {
        let mut kept = self.keeper.kept();
        // What is there already has waited long enough.
        let mut routine_due = Some(Instant::now());
        let mut flushed = kept.borrow().routine;
        loop {
            let seen: Kept = *kept.borrow_and_update();
            if seen.routine > flushed && routine_due.is_none() {
                routine_due = Some(Instant::now() + self.flush);
            }
            if seen.routine.saturating_sub(flushed) >= FLUSH_AT {
                routine_due = Some(Instant::now());
            }
            let mut sent = match self.send(Lane::Change).await {
                Ok(sent) => sent,
                Err(gone) => return gone,
            };
            let due = routine_due.is_some_and(|due| due <= Instant::now());
            if matches!(sent, Sent::Nothing) && due {
                sent = match self.send(Lane::Routine).await {
                    Ok(sent) => sent,
                    Err(gone) => return gone,
                };
                if matches!(sent, Sent::Nothing) {
                    (routine_due, flushed) = (None, seen.routine);
                }
            }
            let wait = async {
                match routine_due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            match sent {
                Sent::Something => {}
                Sent::NoCredit => tokio::select! {
                    more = self.credit.changed() => if more.is_err() { return Gone },
                    // A report of the other lane may be smaller, and is more urgent.
                    more = kept.changed() => if more.is_err() { return Gone },
                },
                Sent::Nothing => tokio::select! {
                    more = kept.changed() => if more.is_err() { return Gone },
                    () = wait => {}
                },
            }
        }
    }

    fn cursor(&mut self, lane: Lane) -> &mut Option<ReportId> {
        match lane {
            Lane::Change => &mut self.change,
            Lane::Routine => &mut self.routine,
        }
    }

    async fn send(&mut self, lane: Lane) -> Result<Sent, Gone> {
        let granted = *self.credit.borrow_and_update();
        let on_its_way = self
            .spent
            .saturating_sub(granted.saturating_sub(self.window));
        if lane == Lane::Routine && on_its_way > 0 {
            return Ok(Sent::NoCredit);
        }
        let room = usize::try_from(granted.saturating_sub(self.spent)).unwrap_or(usize::MAX);
        let most = match lane {
            Lane::Change => REPORTS,
            Lane::Routine => ROUTINE,
        };
        let after = *self.cursor(lane);
        let entries = self.keeper.next(lane, after, room.min(OCTETS)).await;
        if entries.is_empty() {
            return Ok(Sent::Nothing);
        }
        let (batch, octets, last) = pack(entries, most, room);
        let Some(last) = last else {
            tracing::debug!("a report of the {lane} lane waits for credit: {room} octets are left");
            return Ok(Sent::NoCredit);
        };
        let message = FromAgent {
            kind: Some(from_agent::Kind::Reports(batch)),
        };
        self.say.send(message).await.map_err(|_| Gone)?;
        self.spent += octets as u64;
        *self.cursor(lane) = Some(last);
        Ok(Sent::Something)
    }
}

/// Packs as many entries as may go together and have room. Returns the octets that count, and the
/// last one that is in it.
fn pack(entries: Vec<Entry>, most: usize, room: usize) -> (ReportBatch, usize, Option<ReportId>) {
    let mut batch = ReportBatch::default();
    let (mut octets, mut last) = (0, None);
    for entry in entries {
        let end = entry.last();
        match entry {
            Entry::Gap(gap) => {
                if batch.gaps.len() == GAPS {
                    break;
                }
                batch.gaps.push(Gap {
                    lane: to_lane(gap.lane),
                    epoch: gap.epoch,
                    first: gap.first,
                    last: gap.last,
                });
            }
            Entry::Report(stored) => {
                let envelope = envelope(stored.id, stored.payload);
                let cost = cost(&envelope);
                let full = batch.reports.len() == most
                    || (!batch.reports.is_empty() && octets + cost > OCTETS);
                if full || octets + cost > room {
                    break;
                }
                octets += cost;
                batch.reports.push(envelope);
            }
        }
        last = Some(end);
    }
    (batch, octets, last)
}

/// What of a report counts against the credit.
fn cost(envelope: &ReportEnvelope) -> usize {
    envelope.body.len() + envelope.answers.iter().map(Bytes::len).sum::<usize>()
}

/// Joins a report with its identity. The spool gives back what it was given, octet by octet, so a
/// payload that cannot be read is one that another version wrote: an empty report takes its place,
/// which the coordinator refuses and counts.
fn envelope(id: ReportId, payload: Vec<u8>) -> ReportEnvelope {
    let envelope = ReportEnvelope::decode(Bytes::from(payload)).unwrap_or_default();
    ReportEnvelope {
        id: Some(PbReportId {
            lane: to_lane(id.lane),
            epoch: id.epoch,
            seq: id.seq,
        }),
        ..envelope
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_spool::{Gap as Missing, Stored};

    use super::*;

    fn report(seq: u64, octets: usize) -> Entry {
        let envelope = ReportEnvelope {
            body: vec![1; octets - octets / 3].into(),
            answers: vec![vec![2; octets / 3].into()],
            ..ReportEnvelope::default()
        };
        Entry::Report(Stored {
            id: ReportId {
                lane: Lane::Change,
                epoch: 7,
                seq,
            },
            payload: envelope.encode_to_vec(),
        })
    }

    fn gap(first: u64, last: u64) -> Entry {
        Entry::Gap(Missing {
            lane: Lane::Change,
            epoch: 7,
            first,
            last,
        })
    }

    /// What is there and its credit; reports, gaps and octets of the batch; its last one, and why.
    type Case = (Vec<Entry>, usize, (usize, usize, usize), u64, &'static str);

    #[test]
    fn a_batch_has_what_may_go_together() {
        let small = || (1..=100).map(|seq| report(seq, 10)).collect::<Vec<_>>();
        let gaps = (1..=100).map(|seq| gap(2 * seq, 2 * seq)).collect();
        let cases: [Case; 8] = [
            (small(), 1 << 20, (64, 0, 640), 64, "so many at most"),
            (small(), 25, (2, 0, 20), 2, "what there is credit for"),
            (small(), 9, (0, 0, 0), 0, "none without credit"),
            (
                gaps,
                0,
                (0, 64, 0),
                128,
                "gaps cost nothing, and are bounded, too",
            ),
            (
                vec![report(1, 200_000), report(2, 100_000), report(3, 10)],
                1 << 20,
                (1, 0, 200_000),
                1,
                "octets of a batch",
            ),
            (
                vec![report(1, 300_000), report(2, 10)],
                1 << 20,
                (1, 0, 300_000),
                1,
                "a large one goes alone",
            ),
            (
                vec![report(1, 10), gap(2, 5), report(6, 10)],
                1 << 20,
                (2, 1, 20),
                6,
                "reports and gaps together",
            ),
            (
                vec![gap(1, 5), report(6, 100), report(7, 1)],
                50,
                (0, 1, 0),
                5,
                "nothing goes past one that has no credit",
            ),
        ];
        for (entries, room, wanted, last, why) in cases {
            let (batch, octets, end) = pack(entries, REPORTS, room);
            let found = (batch.reports.len(), batch.gaps.len(), octets);
            assert_eq!(found, wanted, "{why}");
            assert_eq!(end.map_or(0, |id| id.seq), last, "{why}");
            for report in &batch.reports {
                assert!(report.id.is_some(), "{why}");
            }
        }
    }
}
