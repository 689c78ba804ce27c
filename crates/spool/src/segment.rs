//! One file of records.

use std::fmt;

use crate::worth::Worth;

/// Which segment. Numbers rise, and the greatest is never given out.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct SegmentName {
    pub(crate) number: u32,
    pub(crate) epoch: u64,
    pub(crate) worth: Worth,
}

impl SegmentName {
    /// Reads a file's name, if it is one of ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (stem, word) = name.split_once('.')?;
        let (number, epoch) = stem.split_once('-')?;
        let found = Self {
            number: u32::from_str_radix(number, 16).ok()?,
            epoch: u64::from_str_radix(epoch, 16).ok()?,
            worth: Worth::DESCENDING
                .into_iter()
                .find(|worth| worth.word() == word)?,
        };
        (found.to_string() == name && found.number < u32::MAX).then_some(found)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            epoch,
            worth,
        } = self;
        write!(f, "{number:08x}-{epoch:016x}.{}", worth.word())
    }
}

/// What is known of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    /// Octets that count, with those of damaged and acknowledged records.
    pub(crate) octets: u64,
    /// Records that are not acknowledged.
    pub(crate) waiting: u64,
    /// Whether all octets could be read, in a format that is known. If not, another opening, or a
    /// later version, may be luckier.
    pub(crate) readable: bool,
}
