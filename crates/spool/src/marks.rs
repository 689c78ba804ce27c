//! How far each lane of each epoch has come, in two files that are written in turn.
//!
//! ```text
//!  "bwmarks\x01" | generation u64 | entries u32 | crc32c u32 | entries              little endian
//!  entry: epoch u64 | first segment u32 | 0 u32 | change: acknowledged u64, last u64 | routine: both
//! ```
//!
//! A file that was torn has a wrong checksum; the other one then holds the generation before.

use bailiwick_core::report::Lane;

use crate::epoch::Epoch;

/// The two files.
pub(crate) const FILES: [&str; 2] = ["marks.0", "marks.1"];

const MAGIC: &[u8; 8] = b"bwmarks\x01";
const HEADER: usize = 24;
const ENTRY: usize = 48;

/// What one of the files says.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) generation: u64,
    pub(crate) epochs: Vec<Epoch>,
}

/// Returns the octets of a file.
pub(crate) fn write<'a>(generation: u64, epochs: impl Iterator<Item = &'a Epoch>) -> Vec<u8> {
    let mut octets = Vec::with_capacity(4096);
    octets.extend_from_slice(MAGIC);
    octets.extend_from_slice(&generation.to_le_bytes());
    octets.extend_from_slice(&[0; 8]);
    let mut entries = 0_u32;
    for epoch in epochs {
        octets.extend_from_slice(&epoch.epoch.to_le_bytes());
        octets.extend_from_slice(&epoch.since.to_le_bytes());
        octets.extend_from_slice(&[0; 4]);
        for lane in Lane::ALL {
            let sequence = epoch.lane(lane);
            octets.extend_from_slice(&sequence.acknowledged.to_le_bytes());
            octets.extend_from_slice(&sequence.last.to_le_bytes());
        }
        entries += 1;
    }
    octets[16..20].copy_from_slice(&entries.to_le_bytes());
    let sum = checksum(&octets);
    octets[20..HEADER].copy_from_slice(&sum.to_le_bytes());
    octets
}

/// Reads a file, if it is whole. What follows the entries is reserved space.
pub(crate) fn read(octets: &[u8]) -> Option<Marks> {
    let entries = u32::from_le_bytes(octets.get(16..20)?.try_into().ok()?);
    let length = usize::try_from(entries).ok()?.checked_mul(ENTRY)?;
    let octets = octets.get(..HEADER.checked_add(length)?)?;
    let sum = u32::from_le_bytes(octets[20..HEADER].try_into().ok()?);
    if !octets.starts_with(MAGIC) || checksum(octets) != sum {
        return None;
    }
    let epochs = octets[HEADER..]
        .chunks_exact(ENTRY)
        .map(read_entry)
        .collect::<Option<_>>()?;
    let generation = u64::from_le_bytes(octets[8..16].try_into().ok()?);
    // So many were never written, and there is always a next one.
    (generation < 1 << 63).then_some(Marks { generation, epochs })
}

fn read_entry(entry: &[u8]) -> Option<Epoch> {
    let number = |at: usize| Some(u64::from_le_bytes(entry.get(at..at + 8)?.try_into().ok()?));
    let since = u32::from_le_bytes(entry.get(8..12)?.try_into().ok()?);
    let mut epoch = Epoch::new(number(0)?, since);
    for (lane, at) in Lane::ALL.into_iter().zip([16, 32]) {
        let sequence = epoch.lane_mut(lane);
        sequence.acknowledged = number(at)?;
        sequence.last = number(at + 8)?.max(sequence.acknowledged);
    }
    Some(epoch)
}

fn checksum(octets: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&octets[..20]), &octets[HEADER..])
}
