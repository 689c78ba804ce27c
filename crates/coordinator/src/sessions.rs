//! Which agents are connected, and how their streams are told what to do.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bailiwick_core::vantage::VantageId;
use tokio::sync::watch;

/// An agent that ends so many sessions within [`FLAPPING_WINDOW`] comes and goes (control C11).
const FLAPPING: usize = 3;
const FLAPPING_WINDOW: Duration = Duration::from_mins(5);
/// For so long nothing of it counts as silence.
const QUARANTINE: Duration = Duration::from_mins(10);

/// What a stream is told from outside.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Signal {
    /// Grows when the agent's plan has changed.
    pub(crate) plan: u64,
    /// Why the stream is to end, if it is.
    pub(crate) end: Option<End>,
}

/// Why a stream is to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// The same key opened another stream.
    TakenOver,
    /// This program ends.
    Stopping,
}

/// The streams that are open.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    open: BTreeMap<VantageId, (u64, watch::Sender<Signal>)>,
    /// When sessions of an agent ended lately, and since when it is in quarantine.
    endings: BTreeMap<VantageId, (VecDeque<Instant>, Option<Instant>)>,
}

/// A stream that is open; it is not any more when this is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    name: VantageId,
    epoch: u64,
    table: Arc<Mutex<Table>>,
    /// What it is told.
    pub(crate) signals: watch::Receiver<Signal>,
}

impl Sessions {
    /// Notes a stream with a greater epoch than all before of the same agent, and ends those.
    pub(crate) fn open(&self, name: &VantageId, epoch: u64) -> Open {
        let (signal, signals) = watch::channel(Signal::default());
        let mut table = self.table();
        match table.open.get(name) {
            // Somebody else was quicker to open an even later one.
            Some((other, _)) if *other > epoch => end(&signal, End::TakenOver),
            _ => {
                if let Some((_, old)) = table.open.insert(name.clone(), (epoch, signal)) {
                    end(&old, End::TakenOver);
                }
            }
        }
        Open {
            name: name.clone(),
            epoch,
            table: Arc::clone(&self.0),
            signals,
        }
    }

    /// Tells an agent's stream, if there is one, that its plan has changed.
    pub(crate) fn plan_changed<'n>(&self, names: impl IntoIterator<Item = &'n VantageId>) {
        let table = self.table();
        for (_, signal) in names.into_iter().filter_map(|name| table.open.get(name)) {
            signal.send_modify(|signal| signal.plan += 1);
        }
    }

    /// Ends all streams.
    pub(crate) fn stop(&self) {
        for (_, signal) in self.table().open.values() {
            end(signal, End::Stopping);
        }
    }

    /// Returns whether an agent has a stream.
    pub(crate) fn is_connected(&self, name: &VantageId) -> bool {
        self.table().open.contains_key(name)
    }

    /// Returns how many agents have a stream.
    pub(crate) fn count(&self) -> usize {
        self.table().open.len()
    }

    /// Returns whether an agent comes and goes too often for its silence to mean anything.
    pub(crate) fn is_quarantined(&self, name: &VantageId) -> bool {
        let table = self.table();
        let since = table.endings.get(name).and_then(|(_, since)| *since);
        since.is_some_and(|since| since.elapsed() < QUARANTINE)
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(signal: &watch::Sender<Signal>, why: End) {
    signal.send_modify(|signal| signal.end = signal.end.or(Some(why)));
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = table
            .open
            .get(&self.name)
            .map(|(_, signal)| signal.borrow().end);
        if table
            .open
            .get(&self.name)
            .is_some_and(|(epoch, _)| *epoch == self.epoch)
        {
            table.open.remove(&self.name);
        }
        if ended == Some(Some(End::Stopping)) {
            return;
        }
        let now = Instant::now();
        let (endings, quarantine) = table.endings.entry(self.name.clone()).or_default();
        endings.push_back(now);
        while endings.front().is_some_and(|e| now - *e > FLAPPING_WINDOW) {
            endings.pop_front();
        }
        if endings.len() >= FLAPPING {
            endings.clear();
            *quarantine = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> VantageId {
        VantageId("fra-1".to_owned())
    }

    #[test]
    fn one_stream_of_an_agent_counts_and_that_is_the_latest() {
        let sessions = Sessions::default();
        let first = sessions.open(&name(), 1);
        let second = sessions.open(&name(), 2);
        assert_eq!(first.signals.borrow().end, Some(End::TakenOver));
        let late = sessions.open(&name(), 1);
        assert_eq!(late.signals.borrow().end, Some(End::TakenOver));
        assert_eq!(second.signals.borrow().end, None);
        drop((first, late));
        assert!(sessions.is_connected(&name()), "the second is still there");
        sessions.plan_changed([&name()]);
        assert_eq!(second.signals.borrow().plan, 1);
        drop(second);
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn who_comes_and_goes_is_in_quarantine() {
        let sessions = Sessions::default();
        for epoch in 1..=3 {
            assert!(!sessions.is_quarantined(&name()));
            drop(sessions.open(&name(), epoch));
        }
        assert!(sessions.is_quarantined(&name()));
        let other = VantageId("ams-1".to_owned());
        assert!(!sessions.is_quarantined(&other));
    }

    #[test]
    fn a_stop_of_the_coordinator_is_not_the_agents_fault() {
        let sessions = Sessions::default();
        for epoch in 1..=3 {
            let open = sessions.open(&name(), epoch);
            sessions.stop();
            assert_eq!(open.signals.borrow().end, Some(End::Stopping));
        }
        assert!(!sessions.is_quarantined(&name()));
    }
}
