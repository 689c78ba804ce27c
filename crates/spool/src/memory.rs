//! Reports that are kept in memory because the disk is broken.

use std::collections::VecDeque;

use crate::worth::{Each, Worth};

/// Payloads of the epoch that is open, bounded.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// By rising sequence number.
    held: Each<VecDeque<(u64, Vec<u8>)>>,
    /// Of payload, and of what is known of each report.
    octets: usize,
}

impl Memory {
    /// Takes a report and tells which had to go for it, the least and oldest first; perhaps itself.
    pub(crate) fn keep(
        &mut self,
        worth: Worth,
        seq: u64,
        payload: Vec<u8>,
        bound: usize,
        mut dropped: impl FnMut(Worth, u64),
    ) {
        self.octets += size(&payload);
        self.held[worth].push_back((seq, payload));
        for worth in Worth::DESCENDING.into_iter().rev() {
            while self.octets > bound
                && let Some((seq, payload)) = self.held[worth].pop_front()
            {
                self.octets -= size(&payload);
                dropped(worth, seq);
            }
        }
    }

    pub(crate) fn read(&self, worth: Worth, seq: u64) -> Option<&[u8]> {
        let held = &self.held[worth];
        let at = held.binary_search_by_key(&seq, |(known, _)| *known).ok()?;
        Some(&held[at].1)
    }

    pub(crate) fn forget(&mut self, worth: Worth, through: u64) {
        while let Some((_, payload)) = self.held[worth].pop_front_if(|(seq, _)| *seq <= through) {
            self.octets -= size(&payload);
        }
    }
}

/// Octets that a report takes: the payload, its place here and its slot.
fn size(payload: &[u8]) -> usize {
    payload.len() + 64
}
