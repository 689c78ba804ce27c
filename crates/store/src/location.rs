//! Where a store is, and within which bounds.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::LocationError;

/// Where a store is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// In memory: gone with the program.
    Memory,
    /// In an SQLite database: this file, and two beside it.
    Sqlite(PathBuf),
}

impl FromStr for Location {
    type Err = LocationError;

    /// Reads `memory` or `sqlite:PATH`.
    fn from_str(text: &str) -> Result<Self, LocationError> {
        let refused = || LocationError {
            text: text.to_owned(),
        };
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

/// How much of the disk stays free: reports are refused before it is touched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reserve {
    /// So many octets at least.
    pub octets: u64,
    /// So many hundredths of the file system at least.
    pub percent: u8,
}

impl Reserve {
    /// Returns how many octets stay free on a file system of this size.
    #[must_use]
    pub fn of(self, size: u64) -> u64 {
        self.octets.max(size / 100 * u64::from(self.percent))
    }
}

/// The bounds of a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// How much of the disk stays free.
    pub reserve: Reserve,
    /// How many octets the store may have at most; reports are refused when a twentieth of that
    /// is left. Without it a store on disk may fill what the reserve leaves.
    pub at_most: Option<u64>,
    /// How many octets of reports may wait to be written.
    pub queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reserve: Reserve {
                octets: 512 << 20,
                percent: 5,
            },
            at_most: None,
            queue: 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_as_they_are_written() {
        for text in ["memory", "sqlite:/var/lib/x.db", "sqlite:x", "sqlite:a:b"] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        for text in ["", "sqlite", "sqlite:", "memory:", "postgres://x", "/x"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_greater_reserve_holds() {
        let reserve = Options::default().reserve;
        assert_eq!(reserve.of(1 << 30), 512 << 20, "a small disk");
        assert_eq!(reserve.of(100 << 30), (100 << 30) / 100 * 5, "a large disk");
    }
}
