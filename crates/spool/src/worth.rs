//! What is dropped first when there is no space.

use bailiwick_core::report::Lane;

/// Whether a report of the routine lane says anything new.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Value {
    /// It says what the one before it said: the first to go.
    Unchanged,
    /// It may not be known yet.
    New,
}

/// The worth of a report, least first. Each has its own segments, so that dropping the least and
/// oldest gives its space back at once.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub(crate) enum Worth {
    Unchanged,
    Routine,
    Change,
}

impl Worth {
    /// Most first: what is written first, and stays longest.
    pub(crate) const DESCENDING: [Self; 3] = [Self::Change, Self::Routine, Self::Unchanged];

    pub(crate) fn of(lane: Lane, value: Value) -> Self {
        match (lane, value) {
            (Lane::Change, _) => Self::Change,
            (Lane::Routine, Value::New) => Self::Routine,
            (Lane::Routine, Value::Unchanged) => Self::Unchanged,
        }
    }

    pub(crate) fn lane(self) -> Lane {
        match self {
            Self::Change => Lane::Change,
            Self::Routine | Self::Unchanged => Lane::Routine,
        }
    }

    /// The octet in a record. Never changes.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Change => 1,
            Self::Routine => 2,
            Self::Unchanged => 3,
        }
    }

    /// The end of a segment's name. Never changes.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Routine => "routine",
            Self::Unchanged => "unchanged",
        }
    }
}

/// One of something for each worth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Each<T>([T; 3]);

impl<T> std::ops::Index<Worth> for Each<T> {
    type Output = T;

    fn index(&self, worth: Worth) -> &T {
        &self.0[worth as usize]
    }
}

impl<T> std::ops::IndexMut<Worth> for Each<T> {
    fn index_mut(&mut self, worth: Worth) -> &mut T {
        &mut self.0[worth as usize]
    }
}
