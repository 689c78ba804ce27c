//! Agents that two machines may be (threat T24).

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use bailiwick_core::vantage::VantageId;
use bailiwick_store::TAKEOVER_WINDOW;

/// A session that is taken over more often than this within ten minutes is fought for.
const MOST: u64 = 3;

/// Who was seen to be two.
#[derive(Debug, Default)]
pub(crate) struct Clones(Mutex<BTreeMap<VantageId, (u64, Instant)>>);

impl Clones {
    /// Notes how often sessions of an agent were lately taken over by another start of its program.
    pub(crate) fn note(&self, name: &VantageId, takeovers: u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(name.clone(), (takeovers, Instant::now()));
        if takeovers > MOST {
            tracing::warn!(
                agent = name.0,
                takeovers,
                "SUSPECT_CLONE: two machines use one key"
            );
        }
    }

    /// Returns whether nothing of an agent is believed, because nobody knows which one spoke. Who
    /// held one session for as long as take-overs count is believed again.
    pub(crate) fn is_suspect(&self, name: &VantageId) -> bool {
        self.is_suspect_at(name, Instant::now())
    }

    fn is_suspect_at(&self, name: &VantageId, now: Instant) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get(name);
        seen.is_some_and(|(takeovers, at)| *takeovers > MOST && now < *at + TAKEOVER_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_holds_one_session_for_long_is_believed_again() {
        let clones = Clones::default();
        let name = VantageId("fra-1".to_owned());
        assert!(!clones.is_suspect(&name), "nothing is known of it");
        clones.note(&name, MOST);
        assert!(!clones.is_suspect(&name), "a program may start again");
        clones.note(&name, MOST + 1);
        assert!(clones.is_suspect(&name));
        let just = Instant::now() + TAKEOVER_WINDOW;
        assert!(clones.is_suspect_at(&name, just - Duration::from_secs(60)));
        assert!(!clones.is_suspect_at(&name, just));
    }
}
