//! The words of one line of a scenario.

use std::{str::FromStr, time::Duration};

use bailiwick_core::{name::Name, server::Family};

use crate::world::{Carrier, When};

/// The words of a line that are still to be read.
#[derive(Clone, Debug)]
pub(crate) struct Words<'a> {
    rest: std::iter::Peekable<std::str::SplitAsciiWhitespace<'a>>,
}

/// Why the words of a line make no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WordsError {
    /// The line ends too early.
    #[error("the {0} is missing")]
    Missing(&'static str),
    /// A word is not what is wanted in its place.
    #[error("{word:?} is no {wanted}")]
    NotA {
        /// The word.
        word: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// The line goes on where it should end.
    #[error("{0:?} is one word too much")]
    TooMany(String),
}

impl<'a> Words<'a> {
    pub(crate) fn of(line: &'a str) -> Self {
        Self {
            rest: line.split_ascii_whitespace().peekable(),
        }
    }

    pub(crate) fn peek(&mut self) -> Option<&'a str> {
        self.rest.peek().copied()
    }

    pub(crate) fn next(&mut self, wanted: &'static str) -> Result<&'a str, WordsError> {
        self.rest.next().ok_or(WordsError::Missing(wanted))
    }

    /// Reads the next word if it is this one.
    pub(crate) fn skip(&mut self, word: &str) -> bool {
        self.rest.next_if(|next| *next == word).is_some()
    }

    pub(crate) fn parse<T: FromStr>(&mut self, wanted: &'static str) -> Result<T, WordsError> {
        read(self.next(wanted)?, wanted)
    }

    pub(crate) fn name(&mut self, wanted: &'static str) -> Result<Name, WordsError> {
        self.parse(wanted)
    }

    /// Reads all words that are left.
    pub(crate) fn rest<T: FromStr>(&mut self, wanted: &'static str) -> Result<Vec<T>, WordsError> {
        self.rest.by_ref().map(|word| read(word, wanted)).collect()
    }

    /// Reads a duration with its unit, `ms` or `s`.
    pub(crate) fn duration(&mut self, wanted: &'static str) -> Result<Duration, WordsError> {
        let word = self.next(wanted)?;
        let (number, unit) = match word.strip_suffix("ms") {
            Some(number) => (number, 1),
            None => (word.strip_suffix('s').unwrap_or(""), 1_000),
        };
        let number: u64 = number.parse().map_err(|_| not_a(word, wanted))?;
        Ok(Duration::from_millis(number * unit))
    }

    /// Reads a share of a hundred.
    pub(crate) fn percent(&mut self, wanted: &'static str) -> Result<u8, WordsError> {
        let word = self.next(wanted)?;
        word.strip_suffix('%')
            .and_then(|number| number.parse().ok())
            .filter(|share| *share <= 100)
            .ok_or_else(|| not_a(word, wanted))
    }

    /// Reads conditions to the end of the line.
    pub(crate) fn conditions(&mut self) -> Result<When, WordsError> {
        let mut when = When::default();
        while let Some(word) = self.rest.next() {
            match word {
                "udp" => when.carrier = Some(Carrier::Udp),
                "tcp" => when.carrier = Some(Carrier::Tcp),
                "v4" => when.family = Some(Family::V4),
                "v6" => when.family = Some(Family::V6),
                "edns" => when.edns = Some(true),
                "plain" => when.edns = Some(false),
                "checked" => when.checked = Some(true),
                "unchecked" => when.checked = Some(false),
                "from" => when.region = Some(self.next("region")?.to_owned()),
                "for" => when.below = Some(self.name("name")?),
                "type" => when.record_type = Some(self.parse("record type")?),
                "after" => when.after = Some(self.duration("time")?),
                "until" => when.until = Some(self.duration("time")?),
                address => when.address = Some(read(address, "condition")?),
            }
        }
        Ok(when)
    }

    /// Fails if there are words left.
    pub(crate) fn end(&mut self) -> Result<(), WordsError> {
        match self.rest.next() {
            Some(word) => Err(WordsError::TooMany(word.to_owned())),
            None => Ok(()),
        }
    }
}

fn read<T: FromStr>(word: &str, wanted: &'static str) -> Result<T, WordsError> {
    word.parse().map_err(|_| not_a(word, wanted))
}

fn not_a(word: &str, wanted: &'static str) -> WordsError {
    WordsError::NotA {
        word: word.to_owned(),
        wanted,
    }
}
