//! Domain names (RFC 1035, section 3.1; RFC 9499, section 2).
//!
//! A [`Name`] is absolute and case-folded: DNS compares ASCII letters without
//! case (RFC 4343), and so does everything here. It is kept as wire labels, so
//! a dot or a control octet inside a label survives, and is printed with the
//! escapes of RFC 1035, section 5.1.

use std::{cmp::Ordering, fmt, str::FromStr, sync::Arc};

/// The longest name, in octets on the wire, root label included (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest label, in octets (RFC 1035, section 2.3.4).
pub const MAX_LABEL: usize = 63;

/// An absolute domain name, case-folded.
///
/// The order is the canonical one (RFC 4034, section 6.1): by labels from the
/// root down, so a zone sorts directly before what lies below it. Clones share
/// their octets.
#[derive(Clone, Eq, PartialEq, Hash)]
pub struct Name {
    /// Each label behind its length, in lower case, with the root label.
    wire: Arc<[u8]>,
}

/// Why a text or a sequence of labels is not a domain name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, or a leading dot.
    #[error("empty label at character {at}")]
    EmptyLabel {
        /// Offset in the text.
        at: usize,
    },
    /// A label is longer than 63 octets.
    #[error("label of {length} octets; at most {MAX_LABEL} are allowed")]
    LongLabel {
        /// Length in octets.
        length: usize,
    },
    /// The whole name is longer than 255 octets.
    #[error("name of {length} octets; at most {MAX_NAME} are allowed")]
    LongName {
        /// Length in octets on the wire.
        length: usize,
    },
    /// A backslash is not followed by a character or three digits up to 255.
    #[error("broken escape at character {at}")]
    BrokenEscape {
        /// Offset in the text.
        at: usize,
    },
    /// A character beyond ASCII; names on the wire are octets.
    #[error("character beyond ASCII at character {at}")]
    NotAscii {
        /// Offset in the text.
        at: usize,
    },
    /// Nothing at all.
    #[error("empty name")]
    Empty,
}

impl Name {
    /// Returns the root.
    #[must_use]
    pub fn root() -> Self {
        Self {
            wire: Arc::new([0]),
        }
    }

    /// Returns the name made of these labels, leftmost first, without the root label.
    ///
    /// # Errors
    ///
    /// Returns [`NameError`] for an empty or overlong label and for an overlong name.
    pub fn from_labels<I, L>(labels: I) -> Result<Self, NameError>
    where
        I: IntoIterator<Item = L>,
        L: AsRef<[u8]>,
    {
        let mut wire = [0; MAX_NAME];
        let mut length = 1;
        for label in labels {
            let label = label.as_ref();
            let octets = match label.len() {
                0 => return Err(NameError::EmptyLabel { at: length - 1 }),
                n if n > MAX_LABEL => return Err(NameError::LongLabel { length: n }),
                n => u8::try_from(n).unwrap_or(0),
            };
            let start = length;
            length += 1 + label.len();
            // A name that is too long is read to its end, for the sake of the error.
            if let Some([first, rest @ ..]) = wire.get_mut(start - 1..length - 1) {
                *first = octets;
                rest.copy_from_slice(label);
                rest.make_ascii_lowercase();
            }
        }
        if length > MAX_NAME {
            return Err(NameError::LongName { length });
        }
        Ok(Self {
            wire: wire[..length].into(),
        })
    }

    /// Returns the labels, leftmost first, without the root label.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        let (starts, count) = self.starts();
        (0..count).map(move |label| {
            let start = usize::from(starts[label]);
            let length = usize::from(self.wire[start]);
            &self.wire[start + 1..=start + length]
        })
    }

    /// Returns where labels start, and how many there are. A name has at most 127.
    fn starts(&self) -> ([u8; MAX_NAME / 2], usize) {
        let mut starts = [0; MAX_NAME / 2];
        let mut count = 0;
        let mut at = 0;
        while self.wire[usize::from(at)] != 0 {
            starts[count] = at;
            count += 1;
            at += 1 + self.wire[usize::from(at)];
        }
        (starts, count)
    }

    /// Returns the name that begins at an octet, where one of the labels starts.
    fn suffix(&self, start: usize) -> Self {
        Self {
            wire: self.wire[start..].into(),
        }
    }

    /// Returns how many labels the name has; the root has none.
    #[must_use]
    pub fn label_count(&self) -> usize {
        self.starts().1
    }

    /// Returns whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.wire.len() == 1
    }

    /// Returns the length on the wire in octets, root label included.
    #[must_use]
    pub fn wire_length(&self) -> usize {
        self.wire.len()
    }

    /// Returns the uncompressed wire form in canonical (lower) case (RFC 4034, section 6.2).
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        self.wire.to_vec()
    }

    /// Returns the name without its leftmost label; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        (!self.is_root()).then(|| self.suffix(1 + usize::from(self.wire[0])))
    }

    /// Returns the ancestor (or self) that has `count` labels; `None` if the name has fewer.
    #[must_use]
    pub fn ancestor(&self, count: usize) -> Option<Self> {
        let (starts, own) = self.starts();
        match own.checked_sub(count)? {
            0 => Some(self.clone()),
            _ if count == 0 => Some(Self::root()),
            skipped => Some(self.suffix(starts[skipped].into())),
        }
    }

    /// Returns whether the name is `other` or lies below it, by labels.
    #[must_use]
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        let Some(above) = self.wire.len().checked_sub(other.wire.len()) else {
            return false;
        };
        // Equal octets at the end are equal labels only where a label starts.
        self.wire[above..] == *other.wire && {
            let (starts, count) = self.starts();
            above + 1 == self.wire.len()
                || starts[..count]
                    .iter()
                    .any(|&start| usize::from(start) == above)
        }
    }

    /// Returns whether the name lies strictly below `other`, by labels.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.wire.len() > other.wire.len() && self.is_at_or_below(other)
    }

    /// Returns the name one label below this one.
    ///
    /// # Errors
    ///
    /// Returns [`NameError`] if label or name become too long.
    pub fn child(&self, label: &[u8]) -> Result<Self, NameError> {
        Self::from_labels(std::iter::once(label).chain(self.labels()))
    }

    /// Returns the name with the suffix `from` replaced by `to` (a DNAME, RFC 6672).
    ///
    /// `None` if the name is not below `from` or the result is too long.
    #[must_use]
    pub fn rebase(&self, from: &Self, to: &Self) -> Option<Self> {
        if !self.is_below(from) {
            return None;
        }
        let own = self.label_count() - from.label_count();
        Self::from_labels(self.labels().take(own).chain(to.labels())).ok()
    }
}

impl Ord for Name {
    /// Compares the labels that precede the longest common ending of whole labels. Names are keys
    /// everywhere, so this walks both once and keeps nothing.
    fn cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (&self.wire[..], &other.wire[..]);
        if Arc::ptr_eq(&self.wire, &other.wire) {
            return Ordering::Equal;
        }
        let common = common_ending(ours, theirs);
        if common == ours.len() && common == theirs.len() {
            return Ordering::Equal;
        }
        let (mut own, mut other) = (Labels::of(ours), Labels::of(theirs));
        // An equal octet may begin a label here and lie within one there, so only a place where
        // labels begin in both counts. The root label is one such at the latest.
        while own.rest() != other.rest() || own.rest() > common {
            match own.rest().cmp(&other.rest()) {
                Ordering::Greater => own.step(),
                Ordering::Less => other.step(),
                Ordering::Equal => {
                    own.step();
                    other.step();
                }
            }
        }
        own.passed.cmp(&other.passed)
    }
}

/// Returns how many octets at the end are the same, read eight at a time.
fn common_ending(ours: &[u8], theirs: &[u8]) -> usize {
    let mut common = 0;
    let words = ours.rchunks_exact(8).zip(theirs.rchunks_exact(8));
    for (own, other) in words {
        // The last octet of a word is its most significant one.
        let word = |octets: &[u8]| octets.try_into().map_or(0, u64::from_le_bytes);
        let differing = word(own) ^ word(other);
        if differing != 0 {
            return common + (differing.leading_zeros() / 8) as usize;
        }
        common += 8;
    }
    let rest = |octets: &[u8]| octets.len() - common;
    let (own, other) = (&ours[..rest(ours)], &theirs[..rest(theirs)]);
    let same = own.iter().rev().zip(other.iter().rev());
    common + same.take_while(|(a, b)| a == b).count()
}

/// Walks a name on the wire from left to right.
struct Labels<'a> {
    wire: &'a [u8],
    /// The label passed last; the name itself begins without one, which sorts before any.
    passed: Option<&'a [u8]>,
}

impl<'a> Labels<'a> {
    fn of(wire: &'a [u8]) -> Self {
        Self { wire, passed: None }
    }

    /// Returns how many octets are still to come.
    fn rest(&self) -> usize {
        self.wire.len()
    }

    fn step(&mut self) {
        let (label, wire) = self.wire[1..].split_at(usize::from(self.wire[0]));
        (self.passed, self.wire) = (Some(label), wire);
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Name {
    type Err = NameError;

    /// Reads presentation form (RFC 1035, section 5.1); a missing final dot is supplied.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self::root());
        }
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let octets = text.as_bytes();
        let mut labels = Vec::new();
        let mut label = Vec::new();
        let mut at = 0;
        while at < octets.len() {
            match octets[at] {
                b'.' => {
                    if label.is_empty() {
                        return Err(NameError::EmptyLabel { at });
                    }
                    labels.push(std::mem::take(&mut label));
                    at += 1;
                }
                b'\\' => {
                    let (octet, used) =
                        unescape(&octets[at + 1..]).ok_or(NameError::BrokenEscape { at })?;
                    label.push(octet);
                    at += 1 + used;
                }
                octet if !octet.is_ascii() => return Err(NameError::NotAscii { at }),
                octet => {
                    label.push(octet);
                    at += 1;
                }
            }
        }
        if !label.is_empty() {
            labels.push(label);
        }
        Self::from_labels(labels)
    }
}

/// Reads what follows a backslash: three digits, or one character taken as it is.
fn unescape(rest: &[u8]) -> Option<(u8, usize)> {
    let first = *rest.first()?;
    if !first.is_ascii_digit() {
        return first.is_ascii().then_some((first, 1));
    }
    let digits = rest.get(..3)?;
    let value = std::str::from_utf8(digits).ok()?.parse::<u8>().ok()?;
    Some((value, 3))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(octet))?;
                    }
                    0x21..=0x7e => write!(f, "{}", char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn presentation_form_is_read_and_printed() {
        let cases = [
            ("example.com", "example.com.", "the final dot is supplied"),
            ("EXAMPLE.Com.", "example.com.", "case is folded"),
            (".", ".", "the root"),
            (
                r"a\.b.example.",
                r"a\.b.example.",
                "an escaped dot stays in its label",
            ),
            (r"\000\255x.", r"\000\255x.", "octets by number"),
            (r"\065.", "a.", "a number that is a letter is folded, too"),
        ];
        for (text, printed, why) in cases {
            assert_eq!(name(text).to_string(), printed, "{text}: {why}");
        }
    }

    #[test]
    fn names_are_in_canonical_order_whatever_octets_they_have() {
        // Octets that could be taken for lengths, so that equal endings lie across labels.
        let labels: [&[u8]; 7] = [
            b"\x01",
            b"\x01\x01",
            b"a",
            b"\x01a",
            b"aa",
            b"\x02aa",
            b"\x00",
        ];
        let mut names = vec![Name::root()];
        for depth in 0..3 {
            let longest = names.iter().filter(|name| name.label_count() == depth);
            let longer: Vec<_> = longest
                .flat_map(|name| {
                    labels.map(|label| {
                        Name::from_labels(std::iter::once(label).chain(name.labels())).unwrap()
                    })
                })
                .collect();
            names.extend(longer);
        }
        assert_eq!(names.len(), 1 + 7 + 49 + 343);
        for a in &names {
            for b in &names {
                let expected = a.labels().rev().cmp(b.labels().rev());
                assert_eq!(a.cmp(b), expected, "{a} and {b}");
            }
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        let cases = [
            ("", NameError::Empty),
            ("a..b", NameError::EmptyLabel { at: 2 }),
            (".a", NameError::EmptyLabel { at: 0 }),
            (long.as_str(), NameError::LongLabel { length: 64 }),
            (r"a\25", NameError::BrokenEscape { at: 1 }),
            (r"a\256", NameError::BrokenEscape { at: 1 }),
            ("b\u{fc}cher", NameError::NotAscii { at: 1 }),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Name>(), Err(error), "{text}");
        }
        let overlong = [
            "a".repeat(63),
            "b".repeat(63),
            "c".repeat(63),
            "d".repeat(63),
        ]
        .join(".");
        assert_eq!(
            overlong.parse::<Name>(),
            Err(NameError::LongName { length: 257 })
        );
    }

    #[test]
    fn below_is_decided_by_labels_not_by_text() {
        let cases = [
            (
                "ns.bone.ee.",
                "one.ee.",
                false,
                "a suffix of the text, not of the labels",
            ),
            ("ns1.one.ee.", "one.ee.", true, "one label below"),
            ("one.ee.", "one.ee.", false, "not below itself"),
            ("one.ee.", ".", true, "everything is below the root"),
            (
                r"a\.one.ee.",
                "one.ee.",
                false,
                "an escaped dot is no border",
            ),
            (
                r"a\003one\002ee.",
                "one.ee.",
                false,
                "octets of a label that look like labels",
            ),
            ("ee.", "one.ee.", false, "above it"),
        ];
        for (below, above, expected, why) in cases {
            assert_eq!(
                name(below).is_below(&name(above)),
                expected,
                "{below} {above}: {why}"
            );
        }
    }

    #[test]
    fn names_are_taken_apart_at_labels() {
        let long = name("a.bc.example.");
        assert_eq!(long.parent(), Some(name("bc.example.")));
        assert_eq!(name("a.").parent(), Some(Name::root()));
        assert_eq!(Name::root().parent(), None);
        let ancestors = [
            (0, Some(".")),
            (1, Some("example.")),
            (2, Some("bc.example.")),
            (3, Some("a.bc.example.")),
            (4, None),
        ];
        for (count, expected) in ancestors {
            assert_eq!(long.ancestor(count), expected.map(name), "{count} labels");
        }
        let labels: Vec<_> = long.labels().rev().collect();
        assert_eq!(labels, [b"example".as_slice(), b"bc", b"a"]);
        assert_eq!((long.label_count(), long.wire_length()), (3, 14));
        assert_eq!(long.to_wire(), b"\x01a\x02bc\x07example\x00");
        assert_eq!(name("a.b.").child(b"C"), Ok(name("c.a.b.")));
    }

    #[test]
    fn the_longest_names_are_kept_and_longer_ones_refused() {
        let longest = Name::from_labels([b"a"; 127]).unwrap();
        assert_eq!(
            (longest.wire_length(), longest.label_count()),
            (MAX_NAME, 127)
        );
        assert_eq!(longest.labels().count(), 127);
        assert_eq!(
            longest.child(b"a"),
            Err(NameError::LongName { length: 257 })
        );
        assert!(longest > longest.parent().unwrap());
    }

    #[test]
    fn order_is_canonical() {
        let sorted = [
            ".",
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "z.example.",
            "test.",
        ]
        .map(name);
        assert!(sorted.is_sorted(), "RFC 4034, section 6.1");
    }

    #[test]
    fn a_dname_replaces_the_suffix() {
        let moved = name("www.old.test.").rebase(&name("old.test."), &name("new.example."));
        assert_eq!(moved, Some(name("www.new.example.")));
        assert_eq!(
            name("old.test.").rebase(&name("old.test."), &name("new.example.")),
            None
        );
    }
}
