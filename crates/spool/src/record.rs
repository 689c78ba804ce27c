//! One report in a segment, and finding the next one behind a damaged place.
//!
//! ```text
//!  length of payload u32 | crc32c u32 | worth u8 | epoch u64 | seq u64 | payload     little endian
//! ```
//!
//! The checksum covers all but itself. Behind a damaged place the next record is found by its
//! epoch: nobody outside can put that into a payload, because it is random and told to the
//! coordinator alone, so no answer of a DNS server can pose as a record.

use std::ops::Range;

use crate::worth::Worth;

/// Octets before the payload.
pub(crate) const HEADER: usize = 25;
/// Where the checksum begins and ends.
const CHECKSUM: Range<usize> = 4..8;
/// Where the epoch begins and ends.
const EPOCH: Range<usize> = 9..17;

/// What a segment begins with: a name and a version of the format.
pub(crate) const MAGIC: &[u8; 16] = b"bailiwick-spool\x01";

/// Tells a segment that a later version of the program wrote.
pub(crate) fn is_of_another_version(segment: &[u8]) -> bool {
    let (name, version) = MAGIC.split_at(MAGIC.len() - 1);
    segment.starts_with(name)
        && segment.len() > name.len()
        && !segment[name.len()..].starts_with(version)
}

/// A record that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Record<'a> {
    pub(crate) seq: u64,
    pub(crate) payload: &'a [u8],
}

/// Adds a record. The payload must be shorter than 4 GiB, as a segment is.
pub(crate) fn write(into: &mut Vec<u8>, worth: Worth, epoch: u64, seq: u64, payload: &[u8]) {
    let begin = into.len();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    into.push(worth.code());
    into.extend_from_slice(&epoch.to_le_bytes());
    into.extend_from_slice(&seq.to_le_bytes());
    into.extend_from_slice(payload);
    let sum = checksum(&into[begin..]);
    into[begin + CHECKSUM.start..begin + CHECKSUM.end].copy_from_slice(&sum.to_le_bytes());
}

/// Reads the record at the beginning of the octets, if a good one of this worth and epoch is there.
pub(crate) fn read(octets: &[u8], worth: Worth, epoch: u64) -> Option<Record<'_>> {
    let header = octets.get(..HEADER)?;
    let ours = header[8] == worth.code() && header[EPOCH] == epoch.to_le_bytes();
    if !ours {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(header[..4].try_into().ok()?)).ok()?;
    let whole = octets.get(..HEADER.checked_add(length)?)?;
    let sum = u32::from_le_bytes(header[CHECKSUM].try_into().ok()?);
    (checksum(whole) == sum).then_some(Record {
        seq: u64::from_le_bytes(header[17..HEADER].try_into().ok()?),
        payload: &whole[HEADER..],
    })
}

fn checksum(record: &[u8]) -> u32 {
    let length = crc32c::crc32c(&record[..CHECKSUM.start]);
    crc32c::crc32c_append(length, &record[CHECKSUM.end..])
}

/// Goes through a segment and tells each good record with its place, and each damaged place.
pub(crate) fn scan(
    segment: &[u8],
    worth: Worth,
    epoch: u64,
    mut record: impl FnMut(usize, Record<'_>),
    mut damage: impl FnMut(Range<usize>),
) {
    let (mut at, mut bad) = (0, None);
    if segment.starts_with(MAGIC) {
        at = MAGIC.len();
    }
    while at < segment.len() {
        match read(&segment[at..], worth, epoch) {
            Some(found) => {
                if let Some(from) = bad.take() {
                    damage(from..at);
                }
                record(at, found);
                at += HEADER + found.payload.len();
            }
            None => {
                bad.get_or_insert(at);
                at = candidate(segment, at + 1, epoch);
            }
        }
    }
    if let Some(from) = bad {
        damage(from..segment.len());
    }
}

/// Returns where the next record of the epoch could begin, or the end.
fn candidate(segment: &[u8], from: usize, epoch: u64) -> usize {
    let wanted = epoch.to_le_bytes();
    segment
        .get(from + EPOCH.start..)
        .and_then(|rest| {
            rest.windows(wanted.len())
                .position(|octets| octets == wanted)
        })
        .map_or(segment.len(), |found| from + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: u64 = 0x5be0_cd19_137e_2179;

    fn segment(records: &[(Worth, u64, u64, &[u8])]) -> Vec<u8> {
        let mut octets = MAGIC.to_vec();
        for (worth, epoch, seq, payload) in records {
            write(&mut octets, *worth, *epoch, *seq, payload);
        }
        octets
    }

    /// The numbers of the records found in a segment of changes, and where damage begins and ends.
    fn found(octets: &[u8]) -> (Vec<u64>, Vec<(usize, usize)>) {
        let (mut records, mut damage) = (Vec::new(), Vec::new());
        scan(
            octets,
            Worth::Change,
            OURS,
            |_, record| records.push(record.seq),
            |range| damage.push((range.start, range.end)),
        );
        (records, damage)
    }

    #[test]
    fn a_record_of_another_segment_is_none_of_this_one() {
        let rows: [(&str, Worth, u64); 3] = [
            ("another epoch", Worth::Change, OURS + 1),
            ("another worth", Worth::Routine, OURS),
            ("no epoch", Worth::Change, 0),
        ];
        for (why, worth, epoch) in rows {
            let octets = segment(&[
                (Worth::Change, OURS, 1, b"one"),
                (worth, epoch, 2, b"two"),
                (Worth::Change, OURS, 3, b"three"),
            ]);
            assert_eq!(found(&octets), (vec![1, 3], vec![(44, 72)]), "{why}");
        }
    }

    #[test]
    fn a_payload_cannot_pose_as_a_record_even_behind_damage() {
        let forged = segment(&[(Worth::Change, OURS - 1, 7, b"forged")]);
        let mut octets = segment(&[
            (Worth::Change, OURS, 1, &forged),
            (Worth::Change, OURS, 2, b"two"),
        ]);
        // Where the first record ends is not known any more.
        octets[MAGIC.len()] ^= 0x40;
        assert_eq!(found(&octets).0, [2]);
    }

    #[test]
    fn every_octet_of_a_record_is_covered() {
        let whole = segment(&[(Worth::Change, OURS, 1, b"one")]);
        for at in MAGIC.len()..whole.len() {
            for bit in 0..8 {
                let mut octets = whole.clone();
                octets[at] ^= 1 << bit;
                assert_eq!(found(&octets).0, [0; 0], "bit {bit} of octet {at}");
            }
        }
        for length in MAGIC.len()..whole.len() {
            assert_eq!(found(&whole[..length]).0, [0; 0], "cut at {length}");
        }
    }

    #[test]
    fn a_damaged_beginning_hides_nothing() {
        let whole = segment(&[(Worth::Change, OURS, 1, b"one")]);
        let rows: [(&str, Vec<u8>, usize); 4] = [
            ("whole", whole.clone(), 0),
            ("other name", [b"x", &whole[1..]].concat(), 1),
            (
                "other version",
                [&whole[..15], b"\x02", &whole[16..]].concat(),
                1,
            ),
            ("gone", whole[16..].to_vec(), 0),
        ];
        for (why, octets, damaged) in rows {
            let (records, damage) = found(&octets);
            assert_eq!((records, damage.len()), (vec![1], damaged), "{why}");
        }
        assert_eq!(found(b""), (vec![], vec![]));
        assert_eq!(found(&[0; 100]), (vec![], vec![(0, 100)]));
    }

    #[test]
    fn a_later_version_is_told_by_its_last_octet() {
        let rows: [(&[u8], bool); 4] = [
            (MAGIC, false),
            (b"bailiwick-spool\x02", true),
            (b"bailiwick-spool", false),
            (b"bailiwick-pool\x02\x02", false),
        ];
        for (octets, other) in rows {
            assert_eq!(is_of_another_version(octets), other, "{octets:?}");
        }
    }
}
